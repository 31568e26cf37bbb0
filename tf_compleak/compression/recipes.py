"""Recipes: how a version is made. Frozen dataclasses; `str(recipe)` is the version's name.

A name is one step, or steps joined by "+" in the order in which they are taken: pruning, then
clustering, which keeps the zeros, then one quantization, which keeps zeros and shared values:
`pruning-0.80+clustering-16+int8-qat`.
"""

import difflib
import re
from dataclasses import dataclass

from tf_compleak.types import validators


@dataclass(frozen=True)
class Original:
    """The trained model itself, exported in float32."""

    def __str__(self) -> str:
        return "original"


@dataclass(frozen=True)
class Pruning:
    """Magnitude pruning of every kernel to `sparsity`, ramped, fine-tuned (Zhu & Gupta, 2017)."""

    sparsity: float

    def __post_init__(self):
        validators.between("pruning sparsity", self.sparsity, 0.01, 0.99)

    def __str__(self) -> str:
        return f"pruning-{self.sparsity:.2f}"


@dataclass(frozen=True)
class PatternPruning:
    """`zeros` of every `block` weights that follow one another along a kernel's input channels.

    Such patterns are what hardware skips (Mishra et al., 2021, arXiv:2104.08378); fine-tuned. Also
    written `pruning-2:4`; a version's name is a file's, too, and holds no colon.
    """

    zeros: int
    block: int

    def __post_init__(self):
        validators.between("pruning block", self.block, 2, 32)
        validators.between("pruning zeros of a block", self.zeros, 1, self.block - 1)

    def __str__(self) -> str:
        return f"pruning-{self.zeros}of{self.block}"


@dataclass(frozen=True)
class Clustering:
    """Every kernel shares `clusters` values, fine-tuned (Han et al., ICLR 2016)."""

    clusters: int

    def __post_init__(self):
        validators.between("clustering clusters", self.clusters, 2, 256)

    def __str__(self) -> str:
        return f"clustering-{self.clusters}"


@dataclass(frozen=True)
class QuantizationAware:
    """INT8 by quantization-aware training (Jacob et al., CVPR 2018): `tfmot` `quantize_model`."""

    def __str__(self) -> str:
        return "int8-qat"


@dataclass(frozen=True)
class PostTraining:
    """Post-training quantization by the TF-Lite converter.

    Schemes: "int8" (full integer, inputs and outputs included; calibrated on data), "int16x8" (the
    same with INT16 activations), "dynamic" (INT8 weights, float activations), "float16" (float16
    weights).
    """

    scheme: str

    def __post_init__(self):
        validators.choice("post-training scheme", self.scheme, SCHEMES)

    def __str__(self) -> str:
        return f"{self.scheme}-ptq"


@dataclass(frozen=True)
class LiteRT:
    """Post-training quantization of the float `.tflite` file by litert-quantizer.

    Attributes:
      bits: of the weights, one scale a channel.
      scheme: "weights" (made float again before they are used), "dynamic" (activations quantized
        while it runs), "static" (activations in integers, calibrated on data), "blockwise" (as
        "dynamic", with one scale for every `block` weights of dense kernels).
      activations: bits of the activations of "static": 8 or 16.
    """

    bits: int
    scheme: str
    activations: int = 0
    block: int = 0

    def __str__(self) -> str:
        if self.scheme == "static":
            return f"int{self.activations}-static"
        return f"int{self.bits}-{self.scheme}" + (f"-{self.block}" if self.block else "")


Pruned = Pruning | PatternPruning
Quantization = QuantizationAware | PostTraining | LiteRT
Step = Pruned | Clustering | Quantization


@dataclass(frozen=True)
class Combination:
    """Two steps or three, each on what the one before left; see `parse` for which."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.steps))


Recipe = Original | Step | Combination

SCHEMES = ("int8", "int16x8", "dynamic", "float16")
BLOCKS = (32, 64, 128, 256)
ALL = (
    "original",
    *("pruning-0.60", "pruning-0.70", "pruning-0.80", "pruning-0.90"),
    *("clustering-4", "clustering-8", "clustering-16"),
    *("int8-qat", "int8-ptq", "dynamic-ptq", "float16-ptq"),
)
_FIXED = {
    str(recipe): recipe
    for recipe in (
        Original(),
        QuantizationAware(),
        *map(PostTraining, SCHEMES),
        *(LiteRT(4, "weights"), LiteRT(4, "dynamic"), LiteRT(8, "dynamic")),
        *(LiteRT(8, "static", 8), LiteRT(8, "static", 16)),
        *(LiteRT(4, "blockwise", block=block) for block in BLOCKS),
    )
}
KNOWN = tuple(dict.fromkeys((*ALL, "pruning-2of4", *_FIXED)))
_KINDS = (("pruning", Pruned), ("clustering", Clustering), ("quantization", Quantization))
LEAST_BESIDE_ZERO = 3  # clusters: zero, and a value on each side of it


def parse(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
      ValueError: for a step of no such name, with the nearest one; for steps in another order, two
        of one kind, and `original` with anything else.
    """
    steps = tuple(_step(word, name) for word in name.split("+"))
    if len(steps) == 1:
        return steps[0]
    text = f"--versions: {name!r}"
    if any(isinstance(step, Original) for step in steps):
        raise ValueError(f"{text}: original is the model as it is, combined with nothing.")
    for kind, kinds in _KINDS:
        twice = [str(step) for step in steps if isinstance(step, kinds)]
        if len(twice) > 1:
            raise ValueError(f"{text}: a version has one {kind}, not {' and '.join(twice)}.")
    order = tuple(sorted(steps, key=_place))
    if order != steps:
        raise ValueError(
            f"{text}: pruning comes first, then clustering, then quantization; write "
            f"{Combination(order)}."
        )
    return Combination(_beside_zero(text, steps))


def steps(recipe: Recipe) -> tuple[Step | Original, ...]:
    """The steps of a recipe, in order; a recipe of one step is its own."""
    return recipe.steps if isinstance(recipe, Combination) else (recipe,)


def step(recipe: Recipe, kind) -> Step | None:
    """The step of a kind, such as `Pruned`; None where a recipe has none."""
    return next((step for step in steps(recipe) if isinstance(step, kind)), None)


def tuned(recipe: Recipe) -> list[Step]:
    """The steps of a recipe that are fine-tuned on the members."""
    kinds = (Pruning, PatternPruning, Clustering, QuantizationAware)
    return [each for each in steps(recipe) if isinstance(each, kinds)]


def calibrated(recipe: Recipe) -> bool:
    """Whether activation ranges are found on examples."""
    match step(recipe, Quantization):
        case PostTraining(scheme):
            return scheme in ("int8", "int16x8")
        case LiteRT(scheme=scheme):
            return scheme == "static"
    return False


def _step(word: str, name: str) -> Step | Original:
    if match := re.fullmatch(r"pruning-(\d?\.\d+)", word):
        return Pruning(float(match[1]))
    if match := re.fullmatch(r"pruning-(\d{1,3})(?::|of)(\d{1,3})", word):
        return PatternPruning(int(match[1]), int(match[2]))
    if match := re.fullmatch(r"clustering-(\d+)", word):
        return Clustering(int(match[1]))
    if word not in _FIXED and word != name:
        near = difflib.get_close_matches(word, KNOWN, n=1, cutoff=0.5)
        hint = f" Did you mean {name.replace(word, near[0])!r}?" if word and near else ""
        raise ValueError(
            f"--versions: unknown step {word!r} of {name!r}.{hint} Steps: {', '.join(KNOWN[1:])}."
        )
    validators.choice("--versions", word, KNOWN)
    return _FIXED[word]


def _place(step: Step) -> int:
    return next(place for place, (_, kinds) in enumerate(_KINDS) if isinstance(step, kinds))


def _beside_zero(text: str, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps, if their clusters leave room for the zeros that pruning made."""
    clusters = [step.clusters for step in steps if isinstance(step, Clustering)]
    if isinstance(steps[0], Pruned) and clusters and clusters[0] < LEAST_BESIDE_ZERO:
        raise ValueError(
            f"{text}: one value of a pruned kernel is zero; write clustering-{LEAST_BESIDE_ZERO} "
            "or more."
        )
    return steps
