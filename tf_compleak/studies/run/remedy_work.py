"""What a remedy changes: the stage, its work, and what the report says of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tf_compleak.engine.declaration import Declaration
from tf_compleak.engine.tasks import Outcome
from tf_compleak.leakage import investigation, remedy_changes
from tf_compleak.leakage.plan import TARGET
from tf_compleak.leakage.question_stages import Figures, content
from tf_compleak.leakage.remedy_changes import Side
from tf_compleak.studies.run import remedied_training
from tf_compleak.studies.run.run_stages import Training
from tf_compleak.studies.run.source import Source
from tf_compleak.types import Failure, Release
from tf_compleak.types.findings import Findings, Remedy, Result
from tf_compleak.types.progress import Progress

SAVED = "changes.json"


@dataclass(frozen=True)
class Compared(Declaration):
    """What a remedy changes, from the figures of the study and of the same study under it.

    `usable`: the versions of the study; `remedied`: of that under the remedy, none where it only
    hides answers.
    """

    remedy: str
    usable: Release
    remedied: Release
    name: ClassVar[str] = "compared/1"
    work: ClassVar[str] = f"{__name__}:compare"
    depends: ClassVar[tuple[str, ...]] = ("seed",)
    weight: ClassVar[int] = 10

    @property
    def title(self) -> str:
        return f"compare {self.remedy}"

    def folder(self, source: Source) -> os.PathLike:
        return source.workdir.remedied(self.remedy).compared()

    def inputs(self, source: Source) -> dict[str, Any]:
        figures = {"plain": content(Figures(source.study.plan(self.usable)), source)}
        if self.remedied:
            under = source.under(self.remedy)
            figures["remedied"] = content(Figures(under.study.plan(self.remedied)), under)
        return {"remedy": self.remedy, "figures": figures}


def compare(
    progress: Progress, source: Source, stage: Compared, folder: Path, facts: dict[str, Any]
) -> None:
    """The stage `Compared`: the study beside that under a remedy, as a `Remedy`."""
    plain = _measured(source, stage.usable)
    if stage.remedied:
        under = source.under(stage.remedy)
        remedied, kind = _measured(under, stage.remedied), "training"
        trained = Training(TARGET).stage(under).facts()
        note = remedied_training.note(under.study, trained)
    else:
        remedied, kind = _measured(source, stage.usable, stage.remedy), "exposure"
        shown = source.study.exposure[0]
        note = f"the app shows {stage.remedy} of its confidences instead of {shown}"
    changes = remedy_changes.changes(plain, remedied, stage.remedy, source.study.seed)
    saved = Remedy(stage.remedy, kind, note, (), changes)
    (folder / SAVED).write_text(json.dumps(saved.to_json(), indent=1), encoding="utf-8")


def _measured(source: Source, usable: Release, exposure: str = "") -> Side:
    """Rows, scores and answers of a study whose figures are made."""
    plan = source.study.plan(usable)
    file = Figures(plan).stage(source).folder() / investigation.SAVED
    findings = Findings.from_json(json.loads(file.read_text(encoding="utf-8")))
    rows = findings.results
    if exposure:
        rows = {exposed.exposure: exposed.results for exposed in findings.exposed}[exposure]
    scores = investigation.pooled(plan, source, 0, exposure)
    return Side(rows, scores, investigation.shown(plan, source, exposure))


def remedy(
    source: Source,
    stage: Compared,
    outcomes: Mapping[str, Outcome],
    rows: Sequence[Result],
    failures: Sequence[Failure] = (),
) -> Remedy:
    """What the report says of a remedy.

    Args:
      outcomes: of the stage, where it was to be done.
      rows, failures: of the study under the remedy.
    """
    left_out = source.under(stage.remedy).study.left_out if stage.remedied else ()
    failures = (*(Failure(*version) for version in left_out), *failures)
    kind = "training" if stage.remedied else "exposure"
    if (outcome := outcomes.get(stage.title)) and outcome.error:
        failures = (*failures, Failure(stage.title, outcome.error))
        return Remedy(stage.remedy, kind, "could not be compared", tuple(rows), (), failures)
    text = (stage.stage(source).folder() / SAVED).read_text(encoding="utf-8")
    saved = Remedy.from_json(json.loads(text))
    return Remedy(stage.remedy, kind, saved.note, tuple(rows), saved.changes, failures)
