"""Versions that an audit makes itself (`--make`): quantized ones of a float file, for each family.

They are kept in WORKDIR/made, made again when the file, the examples or the way changes, and
audited as any other file. Each is made where the file is opened: in its isolated process.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tf_compleak.data import duplicates, sources
from tf_compleak.data.sides import Side
from tf_compleak.engine.stage import Stage, digest
from tf_compleak.inference.making import CALIBRATED, QUANTIZERS, check
from tf_compleak.leakage.plan import TARGET
from tf_compleak.studies.audit.audit_settings import MEMBERS, Audit
from tf_compleak.studies.audit.model_files import content
from tf_compleak.studies.audit.open_model import Asking, Opened
from tf_compleak.studies.audit.query import Family
from tf_compleak.types import seeds
from tf_compleak.types.progress import Tell

MOST = 512  # examples that a version is calibrated on


class Making:
    """How the versions of an audit's families are made."""

    def __init__(self, settings: Audit, asking: Asking, root: Path, calibration: Side | None):
        """Args: calibration: examples to calibrate on; None where none or the members are."""
        self._settings, self._asking, self._root = settings, asking, root
        self._calibration = calibration

    @classmethod
    def of(cls, settings: Audit, asking: Asking, root: Path, data_dir: str | None) -> Making:
        """By the settings of an audit, with the examples that `--calibration` names."""
        named = settings.calibration not in ("", MEMBERS)
        side = sources.load_side(settings.calibration, "--calibration", data_dir) if named else None
        return cls(settings, asking, root, side)

    def to_make(self, families: Sequence[Family]) -> list[tuple[str, str]]:
        """Versions that are to be made (again), with the reasons."""
        return [
            (title(family, way), why)
            for family in families
            for way in self._settings.make
            if (why := self._stage(family, way).why())
        ]

    def with_made(self, families: Sequence[Family], tell: Tell) -> list[Family]:
        """The families with the paths of these versions, which are made where they are missing.

        Raises:
          ValueError, OSError: in one line, for a file that cannot be quantized.
        """
        for family in families:
            self._check(family)
        return [self._extended(family, tell) for family in families]

    def _check(self, family: Family) -> None:
        """ValueError where calibration would tell of examples that it is not meant to."""
        calibration = self._calibration
        if calibration is None or family.contents is None:
            return
        inside = np.isin(duplicates.digests(calibration), np.concatenate(family.contents))
        if inside.any():
            raise ValueError(
                f"--calibration={self._settings.calibration}: {inside.sum()} of its examples are "
                f"members or non-members of the {family.name}, too, of which the version would "
                f"then tell more; name others, or --calibration={MEMBERS} if that is how it ships."
            )

    def _extended(self, family: Family, tell: Tell) -> Family:
        made = {}
        for way in self._settings.make:
            stage, kind = self._stage(family, way), check(self._source(family), way)
            if why := stage.why():
                tell(title(family, way), 0, 0, why)
                tell(title(family, way), 0, 1, "")
                with stage.writing() as (folder, _):
                    (folder / f"model.{kind}").write_bytes(self._made(family, way))
                tell(title(family, way), 1, 1, "")
            made[way] = str(stage.folder() / f"model.{kind}")
        return dataclasses.replace(family, versions=family.versions | made)

    def _stage(self, family: Family, way: str) -> Stage:
        source = self._source(family)
        components = {"source": content(source)["sha256"], "way": way}
        if way in CALIBRATED:
            side, asking = self._side(family), self._asking
            components |= {
                "examples": digest(duplicates.digests(side)),
                "types": sorted(str(array.dtype) for array in side.inputs.values()),
                "bytes": sorted(family.byte_inputs),
                "asking": [asking.preprocess, asking.output, asking.batch, asking.seed],
            }
        path = self._root / "made" / family.name / way
        return Stage.of(path, stage="made/1", **components)

    def _source(self, family: Family) -> str:
        source = family.versions[self._settings.source]
        if not isinstance(source, str):
            raise ValueError(
                f"--make: {self._settings.source} is not given as a file; name a model file."
            )
        return os.path.expanduser(source)

    def _side(self, family: Family) -> Side:
        """Examples that this family's versions are calibrated on."""
        side = family.sides[0] if self._calibration is None else self._calibration
        if not side.inputs:
            raise ValueError(f"{side.where}: holds no inputs to calibrate on; give x beside y.")
        return side

    def _made(self, family: Family, way: str) -> bytes:
        source = self._source(family)
        is_calibrated = way in CALIBRATED
        side = self._side(family) if is_calibrated else family.sides[0]
        opened = Opened(source, self._asking, (side,), family.byte_inputs, making=way)
        try:
            if is_calibrated:
                rng = seeds.generator(self._asking.seed, "calibration", family.name)
                rows = rng.permutation(len(side))[:MOST]
                whole = -(-len(rows) // opened.batch) * opened.batch  # no rows of zeros beside them
                opened.ask_rows((side,), np.resize(rows, whole))
            return opened.made(os.path.getsize(source))
        finally:
            opened.close()


def title(family: Family, way: str) -> str:
    """What making a version is called on the terminal."""
    return f"making {way}" if family.name == TARGET else f"making {way} of {family.name}"


def notes(settings: Audit, name: str, kind: str) -> tuple[str, ...]:
    """How a version, a file of this kind, came to be, where the audit has made it."""
    if name not in settings.make:
        return ()
    on = f", calibrated on {settings.calibration}" if name in CALIBRATED else ""
    return (f"made of {settings.source} by {QUANTIZERS[kind].name}{on}",)
