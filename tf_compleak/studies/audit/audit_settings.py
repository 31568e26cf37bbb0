"""Everything that determines the figures of an audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tf_compleak.attacks import ATTACKS
from tf_compleak.inference import prepare
from tf_compleak.inference.making import CALIBRATED, WAYS
from tf_compleak.leakage.plan import TARGET, TOKENS_HAVE_NO_NEIGHBOURS, Plan, kinds
from tf_compleak.leakage.question import Question
from tf_compleak.models import TEXT
from tf_compleak.studies.audit import repeat
from tf_compleak.studies.options import Options
from tf_compleak.types import Release, validators

DEFAULT_ATTACKS = ("confidence", "loss", "entropy", "modified-entropy", "nasr-lr", "tabular")
OUTPUTS = ("auto", "probabilities", "logits")
MEMBERS = "members"  # of --calibration
NO_CONTENT = (
    "compares what models say of the same example, and only labels and outputs were given; give "
    "the examples themselves (x) on every side"
)


@dataclass(frozen=True, kw_only=True)
class Audit(Question):
    """Every field is a flag of `tf-compleak audit` with the same name; see its help for meanings.

    `versions` are names and where they come from, as text: a path, or what stands for an object
    given from Python.

    Raises:
      ValueError: for an unknown name or a value out of range, naming the flag.
    """

    kind: ClassVar[str] = "audit"

    versions: tuple[tuple[str, str], ...]
    members: str
    non_members: str
    make: tuple[str, ...] = ()
    calibration: str = ""
    shadows: tuple[str, ...] = ()
    attacks: tuple[str, ...] = DEFAULT_ATTACKS
    preprocess: str = prepare.AUTO
    output: str = ""
    signature: str = ""
    outputs: str = "auto"
    label_offset: int = 0
    batch: int = 64
    coins: bool = False
    drop_overlap: bool = False
    force: bool = False
    allow_shared_examples: bool = False
    stateful: str = repeat.REFUSE
    vocabulary: str = ""
    tokenizer: str = "bert"
    sequence_length: int = 128

    def __post_init__(self):
        names = self.names
        if not names:
            raise ValueError("--versions: empty; write original=model.tflite,int8=model8.tflite.")
        for name in names:
            validators.version("--versions", name)
        validators.distinct("--versions", names)
        self._check_making()
        super().__post_init__()
        self._check_needs()
        self.ask(names, len(self.shadows))
        validators.choice("--outputs", self.outputs, OUTPUTS)
        validators.choice("--stateful", self.stateful, repeat.CHOICES)
        validators.between("--label_offset", self.label_offset, -1000, 1000)
        validators.between("--batch", self.batch, 1, 65536)
        validators.choice("--tokenizer", self.tokenizer, TEXT)
        validators.between("--sequence_length", self.sequence_length, 4, 4096)

    def _check_making(self) -> None:
        for way in self.make:
            validators.choice("--make", way, WAYS)
        calibrated = [way for way in self.make if way in CALIBRATED]
        if calibrated and not self.calibration:
            raise ValueError(
                f"--make={calibrated[0]}: goes by examples; name some by --calibration, neither "
                f"members nor non-members (--calibration={MEMBERS} takes the members)."
            )
        if self.calibration and not calibrated:
            raise ValueError(
                f"--calibration={self.calibration}: no version is calibrated; add "
                f"--make={CALIBRATED[0]}, or leave it out."
            )
        if self.make and not self.source:
            raise ValueError(
                f"--make={self.make[0]}: made of the version original; call the float file so."
            )

    def _check_needs(self) -> None:
        for attack in self.attacks:
            entry = ATTACKS[attack]
            if "aside" in entry.needs and not self.shadows:
                raise ValueError(
                    f"--attacks={attack}: compares with models that were not trained on the "
                    "examples; name some by --shadows, or another attack."
                )
            least = entry.least_shadows if self.shadows else 1
            number = len(self.shadows) or 1
            validators.at_least(f"number of --shadows with --attacks={attack}", number, least)
        if self.queries:
            raise ValueError(
                f"--queries={self.queries}: copies are flipped and shifted images, which an audit "
                "does not ask about; leave it out."
            )

    @property
    def names(self) -> Release:
        """The versions' names, those that are made last."""
        return (*self.given, *self.make)

    @property
    def given(self) -> Release:
        """Names of the versions that are given."""
        return tuple(name for name, _ in self.versions)

    @property
    def source(self) -> str:
        """The version that others are made of; "" where it is not told which."""
        return "original" if "original" in self.given else ""

    @property
    def families(self) -> tuple[str, ...]:
        """The target and its shadows."""
        return (TARGET, *(f"shadow-{index}" for index in range(len(self.shadows))))

    def plan(self, has_inputs: bool) -> Plan:
        """What is run; without inputs, no example is told to be another model's, too."""
        lost = ()
        if self.vocabulary:
            lost += self._lost("sensitivities", TOKENS_HAVE_NO_NEIGHBOURS)
        if not has_inputs:
            lost += self._lost("aside", NO_CONTENT)
        return Plan(
            self, self.families, self.names, self.names, inapplicable=lost, has_inputs=has_inputs
        )

    def _lost(self, kind: str, reason: str) -> tuple[tuple[str, str], ...]:
        return tuple((name, reason) for name in self.attacks if kind in kinds(self, name))

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values; versions as they are written on the command line."""
        return super().to_json() | {"versions": [f"{name}={of}" for name, of in self.versions]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Audit:
        """What `to_json` made into a dict; nothing that it names is looked at or imported."""
        versions = values.get("versions")
        if not isinstance(versions, list) or not all(isinstance(text, str) for text in versions):
            raise ValueError("not an audit of this version of tf-compleak (versions).")
        pairs = [text.partition("=") for text in versions]
        return super().from_json({**values, "versions": tuple((a, b) for a, _, b in pairs)})


@dataclass(frozen=True)
class Where(Options):
    """Where and how an audit runs: nothing that its figures depend on. See `Options`, and:

    Attributes:
      time_limit: seconds for opening a file, and for each batch.
      memory_limit: GiB of one file's process.
      trust_files: open Keras 2 and SavedModel files also where their process cannot be isolated.
    """

    time_limit: float = 60.0
    memory_limit: float = 8.0
    trust_files: bool = False

    def __post_init__(self):
        super().__post_init__()
        validators.between("--time_limit", self.time_limit, 0.1, 86400)
        validators.between("--memory_limit", self.memory_limit, 0.5, 4096)
