"""Sensitivities of versions of an audit, for attacks that ask them: kept like answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tf_compleak.engine.workdir import Stage, fingerprint
from tf_compleak.leakage.plan import TARGET
from tf_compleak.studies.audit import order, query
from tf_compleak.studies.audit.audit_settings import Audit
from tf_compleak.studies.audit.model_files import content
from tf_compleak.studies.audit.open_model import Asking, Opened
from tf_compleak.studies.audit.query import Family
from tf_compleak.types import Output, seeds


class _Ready:
    """A model file that takes prepared inputs, as `inference.observe.sensitivities` asks it."""

    def __init__(self, opened: Opened, port: str, batch: int):
        self._opened, self._port, self.batch = opened, port, batch
        self.classes = opened.classes

    def stream(self, x: np.ndarray):
        yield self._opened.predict({self._port: x})


def sensitivities(
    family: Family, kinds: dict[str, Output], settings: Audit, asking: Asking, root: Path, tell
) -> np.ndarray:
    """f32[V, N, C] of a family's versions, members first; see `inference.observe.sensitivities`.

    `kinds` says what each version emits. Examples are asked in the order of their answers; the
    noise depends on the seed, the family's name and the position in that order, on no path.
    """
    return np.stack(
        [
            _of_version(family, name, kind, settings, asking, root, tell)
            for name, kind in kinds.items()
        ]
    )


def _of_version(
    family: Family, name, kind, settings: Audit, asking, root: Path, tell
) -> np.ndarray:
    stage = _stage(family, name, kind, settings, asking, root)
    if stage.facts() is None:
        with stage.writing() as (folder, _):
            values = _asked(family, name, kind, settings, asking, tell)
            np.save(folder / "sensitivities.npy", values, allow_pickle=False)
    return np.load(stage.folder() / "sensitivities.npy", allow_pickle=False)


def _stage(family: Family, name: str, kind, settings: Audit, asking: Asking, root: Path) -> Stage:
    """Where a version's sensitivities are kept; ValueError where it cannot be asked for them."""
    path = family.versions[name]
    if not isinstance(path, str) or any(len(side.inputs) != 1 for side in family.sides):
        raise ValueError(
            f"--attacks=samia: asks versions about changed inputs; {name} must be a model file "
            "with one input."
        )
    return Stage(
        root / "sensitivities" / family.name / name,
        fingerprint(
            stage="sensitivities/3",
            file=content(path)["sha256"],
            examples=query.examples_of(family),
            asking=[asking.preprocess, asking.output, asking.signature, kind],
            settings=[settings.sensitivity_queries, settings.sensitivity_epsilon, settings.seed],
        ),
    )


def why(family: Family, name: str, kind: Output, settings: Audit, asking, root: Path) -> str:
    """Why a version is to be asked for sensitivities (again); empty where they are kept."""
    return _stage(family, name, kind, settings, asking, root).why()


def title(family: Family, name: str) -> str:
    """What it is called on the terminal."""
    return f"sensitivities of {name}" + ("" if family.name == TARGET else f" of {family.name}")


def _asked(family: Family, name, kind, settings: Audit, asking, tell) -> np.ndarray:
    from tf_compleak.inference import observe

    sizes = tuple(map(len, family.sides))
    mixed, done, answers = order.mixed(sizes, settings.seed, family.name), 0, []
    opened = Opened(family.versions[name], asking, family.sides, family.byte_inputs)
    block = min(1024, opened.block(family.sides[0]))
    try:
        for number, part in enumerate(mixed.parts):
            moves = []
            for start in range(0, len(part), block):
                prepared = opened.prepared(family.sides, part[start : start + block])
                ((port, rows),) = prepared.items()
                names = (family.name, str(number))
                moves.append(
                    observe.sensitivities(
                        _Ready(opened, port, len(rows)),
                        rows,
                        kind,
                        rng=seeds.generator(settings.seed, "noise", *names),
                        queries=settings.sensitivity_queries,
                        epsilon=settings.sensitivity_epsilon,
                        first=start,
                    )
                )
                done += len(rows)
                tell(title(family, name), done, len(mixed), "")
            answers.append(np.concatenate(moves))
    finally:
        opened.close()
    tell(title(family, name), 1, 1, "")
    return mixed.in_place(answers)
