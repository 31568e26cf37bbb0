"""Observations that are kept in the workdir: the provider of families that were not made here."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_compleak.engine import bounded_reads
from tf_compleak.engine.declaration import Declaration, Opener
from tf_compleak.engine.stage import Damaged, Stage, digest, fingerprint, read
from tf_compleak.engine.workdir import Workdir
from tf_compleak.leakage.provider import Inputs, drawing
from tf_compleak.leakage.question import Question
from tf_compleak.types import Release, Texts, Version, seeds, validators
from tf_compleak.types.observations import Observations

NAME = "observations/4"
ARRAYS = ("probabilities", "sensitivities", "augmented")


@dataclass(frozen=True)
class ObservationFolder:
    """What families answered, as `save_family` and the others left it; see `Provider`."""

    question: Question
    root: str

    @property
    def workdir(self) -> Workdir:
        """The study's folder."""
        return Workdir(self.root)

    def opener(self) -> Opener:
        """How a worker opens the same."""
        return Opener(f"{__name__}:ObservationFolder", (self.question, self.root))

    def flags(self, *names: str) -> dict[str, Any]:
        """The flags of these names, as JSON values."""
        return self.question.flags(*names)

    def observations(
        self, family: str, release: Release, kinds: tuple[str, ...] = (), null: int = 0
    ) -> Observations:
        """What was saved of a family, as some versions said it."""
        members = self._array(family, "members")
        if null:
            members = drawing(self.question.seed, family, null).permutation(members)
        observations = self._part(family, release, kinds, self._order(family, members), members)
        if "aside" not in kinds or not self._family(family)["aside"]:
            return observations
        name = f"{family}-aside"
        order = np.argsort(self._array(name, "ids")) if self._has_ids(name) else slice(None)
        aside = self._part(name, release, kinds, order)  # another's members and non-members: mixed
        return dataclasses.replace(observations, aside=aside)

    def _order(self, family: str, members: np.ndarray) -> np.ndarray:
        """int64[N]: members first, then shuffled, so that the order tells nothing."""
        shuffled = seeds.generator(self.question.seed, "order", family).permutation(len(members))
        return np.argsort(~members, kind="stable")[shuffled]

    def _array(self, name: str, of: str) -> np.ndarray:
        return np.load(self._folder(name) / f"{of}.npy", allow_pickle=False)

    def _part(
        self,
        name: str,
        release: Release,
        kinds: tuple[str, ...],
        order: np.ndarray | slice = slice(None),
        members: np.ndarray | None = None,
    ) -> Observations:
        """Rows in an order, each array put into it as it is read; `members` in place of its own."""
        facts = self._family(name)
        for version in release:
            validators.choice("release", version, facts["versions"])
        columns = [facts["versions"].index(version) for version in release]

        def rows(of: str) -> np.ndarray:
            array = self._array(name, of)
            return array[..., order] if of.startswith("augmented") else array[order]

        more = {
            of: np.stack([rows(f"{of}-{column}") for column in columns])
            for of in ARRAYS
            if (of == "probabilities" or of in kinds) and f"{of}-0" in facts["digests"]
        }
        return Observations(
            versions=release,
            labels=rows("labels"),
            members=rows("members") if members is None else members[order],
            ids=rows("ids") if self._has_ids(name) else None,
            resolutions=tuple(facts["resolutions"][column] for column in columns),
            **more,
        )

    def _has_ids(self, name: str) -> bool:
        return "ids" in self._family(name)["digests"]

    def ids(self, family: str) -> np.ndarray:
        """[N] ids of a family's examples, in the order of its observations."""
        return self._in_order(family, "ids" if self._has_ids(family) else "names")

    def names(self, family: str) -> np.ndarray:
        """[N] what users call a family's examples, in the order of its observations."""
        return self._in_order(family, "names")

    def _in_order(self, family: str, of: str) -> np.ndarray:
        return self._array(family, of)[self._order(family, self._array(family, "members"))]

    def observed(
        self, families: Sequence[str], release: Release, kinds: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Digests of what these versions answered."""
        prints = {}
        for family in families:
            parts = [family, f"{family}-aside"] if "aside" in kinds else [family]
            for part in parts:
                if part == family or self._family(family)["aside"]:
                    prints[part] = _digests(self._family(part), release, kinds)
        return prints

    def asked(
        self, families: Sequence[str], release: Release, kinds: tuple[str, ...] = ()
    ) -> Sequence[Declaration]:
        """None: everything has been asked before."""
        return ()

    def versions(self, names: Sequence[str]) -> tuple[Version, ...]:
        """The records that were saved."""
        file = self._folder("versions") / "versions.json"
        saved = bounded_reads.json_object(file, follow=False)["versions"]
        versions = {values["name"]: Version.from_json(values) for values in saved}
        return tuple(versions[name] for name in names)

    def validation_accuracy(self, family: str, name: str) -> None:
        """Not known: families that were not made here are asked about no validation examples."""
        return None

    def versions_from(self) -> dict[str, Any]:
        """Digests of these records."""
        return self._facts("versions")

    def inputs(self) -> Inputs:
        """What the blind baseline sees of the target's examples."""
        folder = self._folder("inputs")
        names = ("labels", "members", *self._facts("inputs")["of"])
        arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in names}
        values = arrays.get("table")
        if values is None:
            values = Texts(arrays["content"], arrays["ends"])
        return Inputs(values, arrays["labels"], arrays["members"])

    def inputs_from(self) -> dict[str, Any]:
        """Digests of what it sees."""
        return self._facts("inputs")

    def missing(self, has_inputs: bool) -> str:
        """What has not been saved yet, "" where all is there."""
        names = [*self.question.families, "versions", *(["inputs"] if has_inputs else [])]
        return next((name for name in names if read(self._path(name)) is None), "")

    def _path(self, name: str) -> os.PathLike:
        return self.workdir.root / "observations" / name

    def _facts(self, name: str) -> dict[str, Any]:
        record = read(self._path(name))
        if record is None:
            raise Damaged(
                f"{self._path(name)}: its stage.json cannot be read; the same command makes it "
                "again."
            )
        return record["facts"]

    def _family(self, name: str) -> dict[str, Any]:
        """The facts of a family; Damaged where they are not those that `save_family` wrote."""
        facts = self._facts(name)
        try:
            count = len(facts["versions"])
            sound = (
                all(isinstance(version, str) for version in facts["versions"])
                and count == len(facts["resolutions"])
                and all(type(step) in (int, float) for step in facts["resolutions"])
                and all(isinstance(sha256, str) for sha256 in facts["digests"].values())
                and isinstance(facts["aside"], bool)
            )
        except (KeyError, TypeError, AttributeError):
            sound = False
        if not sound:
            raise Damaged(
                f"{self._path(name)}: its stage.json is not what was written; the same command "
                "makes it again."
            )
        return facts

    def _folder(self, name: str) -> os.PathLike:
        """A folder of this machine with the files, whose checksums are compared."""
        path = self._path(name)
        return Stage(path, (read(path) or {}).get("fingerprint", "")).folder()

    # Saving ---------------------------------------------------------------------------------------

    def save_family(
        self, family: str, observations: Observations, names: np.ndarray | None = None
    ) -> None:
        """Keep what a family answered, and what it said of examples aside.

        Args:
          names: [N] what users call its examples; by default their ids, or the rows' numbers.
            Attacks are given ids that tell nothing instead, see `opaque`.
        """
        for name, arrays, facts in self._parts(family, observations, names):
            self._save(name, arrays, facts)

    def changes_of(
        self, family: str, observations: Observations, names: np.ndarray | None = None
    ) -> str:
        """Why `save_family` would write, "" where it all is kept."""
        reasons = (
            self._stage(name, arrays, facts).why()
            for name, arrays, facts in self._parts(family, observations, names)
        )
        return next(filter(None, reasons), "")

    def _parts(self, family: str, observations: Observations, names: np.ndarray | None):
        aside = observations.aside
        if aside is not None:
            yield f"{family}-aside", *self._arrays(aside, None, False)
        yield family, *self._arrays(observations, names, aside is not None)

    def _arrays(self, observations: Observations, names: np.ndarray | None, aside: bool):
        """What is saved of observations: arrays by name, and facts."""
        ids = observations.ids
        if names is None:
            names = np.arange(len(observations)) if ids is None else ids
        arrays = {
            "labels": observations.labels,
            "members": observations.members,
            "names": names.astype(str) if names.dtype.kind == "O" else names,
        }
        if ids is not None:
            arrays["ids"] = opaque(ids, self.question.seed)
        for of in ARRAYS:
            if (stack := getattr(observations, of)) is not None:
                arrays |= {f"{of}-{column}": array for column, array in enumerate(stack)}
        facts = {
            "versions": list(observations.versions),
            "resolutions": list(observations.resolutions),
            "aside": aside,
        }
        return arrays, facts

    def save_versions(self, versions: Sequence[Version]) -> None:
        """Keep the records of the target's versions."""
        text = json.dumps(
            {"versions": [version.to_json() for version in versions]}, indent=1, allow_nan=False
        )
        self._save("versions", {}, {"sha256": fingerprint(text=text)}, {"versions.json": text})

    def save_inputs(self, inputs: Inputs) -> None:
        """Keep what the blind baseline sees."""
        values = inputs.values
        if isinstance(values, Texts):
            seen = {"content": values.content, "ends": values.ends}
        else:
            seen = {"table": values}
        arrays = {**seen, "labels": inputs.labels, "members": inputs.members}
        self._save("inputs", arrays, {"of": list(seen)})

    def _stage(self, name: str, arrays: dict, facts: dict) -> Stage:
        digests = {of: digest(array) for of, array in arrays.items()}
        return Stage.of(self._path(name), stage=NAME, digests=digests, **facts)

    def _save(self, name: str, arrays: dict, parts: dict, texts: dict | None = None) -> None:
        stage = self._stage(name, arrays, parts)
        if stage.facts() is not None:
            return
        with stage.writing() as (folder, facts):
            for of, array in arrays.items():
                np.save(folder / f"{of}.npy", array, allow_pickle=False)
            for file, text in (texts or {}).items():
                (folder / file).write_text(text, encoding="utf-8")
            facts.update(parts, digests=stage.components["digests"])


def opaque(ids: np.ndarray, seed: int) -> np.ndarray:
    """int64[N]: digests of ids, the same for the same id: what attacks tell examples apart by.

    The callers' own may spell out who is a member, such as "train/17", or by their order.
    """
    key = f"{seed}".encode()
    digests = [
        hashlib.blake2b(str(name).encode(), digest_size=8, key=key).digest()
        for name in np.asarray(ids).tolist()
    ]
    return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)


def _digests(facts: dict[str, Any], release: Release, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Of what some versions said, beyond the confidences of `kinds` alone, and of the examples."""
    columns = [facts["versions"].index(name) for name in release if name in facts["versions"]]
    names = ["labels", "members", "ids"]
    names += [
        f"{of}-{column}" for of in ("probabilities", *sorted(kinds)) for column in sorted(columns)
    ]
    steps = [facts["resolutions"][column] for column in sorted(columns)]
    return {
        "resolutions": steps,
        **{name: facts["digests"][name] for name in names if name in facts["digests"]},
    }
