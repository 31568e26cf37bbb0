"""Sensitivities of versions of an audit, for attacks that ask them: kept like answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tf_compleak.engine.workdir import Stage, fingerprint
from tf_compleak.studies.audit import order
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
    noise depends on the seed, the family and the position in that order.
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
    given = family.versions[name]
    if not isinstance(given, str) or any(len(side.inputs) != 1 for side in family.sides):
        raise ValueError(
            f"--attacks=samia: asks versions about changed inputs; {name} must be a model file "
            "with one input."
        )
    stage = Stage(
        root / "sensitivities" / family.name / name,
        fingerprint(
            stage="sensitivities/2",
            file=content(given)["sha256"],
            data=family.digests,
            asking=[asking.preprocess, asking.output, asking.signature, kind],
            settings=[settings.sensitivity_queries, settings.sensitivity_epsilon, settings.seed],
        ),
    )
    if stage.facts() is None:
        with stage.writing() as (folder, _):
            values = _asked(family, name, kind, given, settings, asking, tell)
            np.save(folder / "sensitivities.npy", values, allow_pickle=False)
    return np.load(stage.folder() / "sensitivities.npy", allow_pickle=False)


def _asked(family: Family, name, kind, path: str, settings: Audit, asking, tell) -> np.ndarray:
    from tf_compleak.inference import observe

    sizes = tuple(map(len, family.sides))
    mixed, done, answers = order.mixed(sizes, settings.seed, family.name), 0, []
    opened = Opened(path, asking, family.sides[0])
    block = min(1024, opened.block(family.sides[0]))
    try:
        for number, part in enumerate(mixed.parts):
            moves = []
            for start in range(0, len(part), block):
                prepared = opened.prepared(family.sides, part[start : start + block])
                ((port, rows),) = prepared.items()
                names = (family.name, str(number), str(start))
                moves.append(
                    observe.sensitivities(
                        _Ready(opened, port, len(rows)),
                        rows,
                        kind,
                        rng=seeds.generator(settings.seed, "noise", *names),
                        queries=settings.sensitivity_queries,
                        epsilon=settings.sensitivity_epsilon,
                    )
                )
                done += len(rows)
                tell(f"sensitivities of {name}", done, len(mixed), family.name)
            answers.append(np.concatenate(moves))
    finally:
        opened.close()
    tell(f"sensitivities of {name}", 1, 1, "")
    return mixed.in_place(answers)
