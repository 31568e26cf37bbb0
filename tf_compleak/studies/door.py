"""What every door does around its question: lock, workers, journal, claim, report."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from tf_compleak.engine import executors, provenance, stage
from tf_compleak.engine.journal import Journal
from tf_compleak.engine.tasks import Executor
from tf_compleak.engine.workdir import Workdir, write_text
from tf_compleak.leakage.question import Question
from tf_compleak.report.report import Report
from tf_compleak.studies.options import Options
from tf_compleak.types.findings import Findings
from tf_compleak.types.progress import Tell


@contextlib.contextmanager
def opened(question: Question, options: Options, tell: Tell) -> Iterator[tuple[Tell, float]]:
    """Lock the workdir; gives what to tell, which keeps a journal, and when that was."""
    started, workdir = time.monotonic(), Workdir(options.workdir)
    with workdir.locked():
        yield Journal(workdir.logs(), tell).tell, started


def executor(question: Question, options: Options, workers: int = 0) -> Executor:
    """The workers of a study, `workers` of them where that is not 0; a context manager."""
    return executors.executor(
        options.executor,
        workers or options.workers,
        question.threads,
        Workdir(options.workdir).logs(),
        options.ray_address,
        options.ray_resources,
        options.ray_retries,
    )


@contextlib.contextmanager
def claimed(question: Question, options: Options, overwrite: bool = False) -> Iterator[None]:
    """Make the workdir this study's while its input is checked; see `Workdir.claim`."""
    workdir = Workdir(options.workdir)
    with workdir.claim(question, overwrite=options.overwrite or overwrite):
        yield
    if options.flags:
        write_text(workdir.root / "flags.cfg", options.flags)


def reported(
    findings: Findings,
    question: Question,
    options: Options,
    started: float,
    facts: dict[str, Any],
) -> Report:
    """The report of findings, saved; the folder's own where that says the same.

    Args:
      facts: of the door, for the provenance.
    """
    workdir = Workdir(options.workdir)
    report = Report.of(findings, study=question.to_json())
    if (saved := _saved(workdir, report)) is not None:
        return saved
    origin = {
        **provenance.facts(options.command, options.flags, options.workdir),
        "seed": question.seed,
        "seconds": round(time.monotonic() - started, 1),
        **facts,
        "measured": stage.read(workdir.figures())["made"]["at"],
    }
    report = dataclasses.replace(report, provenance=origin)
    report.save(workdir.root)
    return report


def _saved(workdir: Workdir, report: Report) -> Report | None:
    """The folder's report where it says the same: who made it and when stays in it."""
    try:
        saved = Report.load(workdir.root)
    except (OSError, ValueError):
        return None
    says, new = ({**of.to_json(), "provenance": {}} for of in (saved, report))
    return saved if saved.provenance and says == new and _same(saved, report) else None


def _same(one: Report, other: Report) -> bool:
    """Whether they say the same of every example."""
    if one.scored is None or other.scored is None:
        return False
    pairs = zip(dataclasses.astuple(one.scored), dataclasses.astuple(other.scored), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)
