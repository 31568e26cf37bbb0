"""What a workdir holds and what a run would do: read from its files, without TensorFlow."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tf_compleak.engine import bounded_reads, file_store, journal, lock, stage
from tf_compleak.engine.declaration import Declaration, pending
from tf_compleak.engine.workdir import ASIDE, RECORD, Workdir
from tf_compleak.leakage.investigation import SAVED
from tf_compleak.leakage.observation_folder import ObservationFolder
from tf_compleak.leakage.question_stages import FIGURES, Figures, scored
from tf_compleak.report import report_folder
from tf_compleak.report.report import Report
from tf_compleak.studies.audit.audit_settings import Audit
from tf_compleak.studies.options import Options
from tf_compleak.studies.run import pipeline, run_versions, train_command
from tf_compleak.studies.run.remedy_work import Compared
from tf_compleak.studies.run.run_stages import (
    Data,
    DataFolder,
    Observation,
    Training,
    VersionFile,
    everything,
)
from tf_compleak.studies.run.source import Source
from tf_compleak.studies.study import Study, remedied

DONE, FAILED, OPEN = "done", "failed", "to do"
WAITS = "waits for what comes before"
REPORT = "report"
LOG_MOST = 2**26  # bytes of the journal that are read


@dataclass(frozen=True)
class State:
    """One stage: what it is called, `DONE`, `FAILED` or `OPEN`, why, and what it takes on disk."""

    name: str
    state: str
    why: str = ""
    bytes: int = 0
    made: str = ""


def would_run(study: Study, options: Options) -> list[tuple[str, str]]:
    """Every task that a run would do, with its reason; nothing is written.

    Which versions will be usable is not known before they are there: those that are still to be
    made count as usable.

    Raises:
      ValueError, OSError: when the run would be refused.
    """
    Workdir(options.workdir).check(study, overwrite=options.overwrite)
    return [
        (title, _with_command(study, options, title, why)) for title, why in _tasks(study, options)
    ]


def _with_command(study: Study, options: Options, title: str, why: str) -> str:
    """A reason, with the command that a training runs."""
    family = title.removeprefix("train ")
    if not study.train_command or title != f"train {family}" or family not in study.families:
        return why
    return f"{why}; runs {shlex.join(train_command.filled(study, options.workdir, family))}"


def _tasks(study: Study, options: Options) -> list[tuple[str, str]]:
    data = pipeline.data_folder(study, options)
    if why := Data().why(data):
        return [("data", why), *_waiting(study, "the data")]
    source = Source(study, options.workdir)
    if texts := pending(pipeline.text_stages(source), source):
        return [*((task.name, why) for task, why in texts), *_waiting(study, "the token ids")]
    tasks = _tasks_of(source)
    for remedy in study.trained_remedies:
        of_remedy = _tasks_of(source.under(remedy))
        tasks += [(pipeline.title_under(remedy, title), why) for title, why in of_remedy]
    return [*tasks, *_comparing(source, bool(tasks))]


def _tasks_of(source: Source) -> list[tuple[str, str]]:
    """The tasks of one study, plain or under a remedy."""
    study, usable = source.study, _usable(source)
    tasks = pending(everything(study, usable), source)
    why = WAITS if tasks else Figures(study.plan(usable)).why(source)
    return [*((task.name, why) for task, why in tasks), *([(FIGURES, why)] if why else [])]


def _comparing(source: Source, waits: bool) -> list[tuple[str, str]]:
    """The comparisons with remedies that are to be made."""
    reasons = [(stage.title, WAITS if waits else stage.why(source)) for stage in _compared(source)]
    return [(title, why) for title, why in reasons if why]


def _compared(source: Source) -> list[Compared]:
    study, usable = source.study, _usable(source)
    under = {remedy: _usable(source.under(remedy)) for remedy in study.trained_remedies}
    return [Compared(remedy, usable, under.get(remedy, ())) for remedy in study.remedies]


def _waiting(study: Study, what: str) -> list[tuple[str, str]]:
    titles = [*(stage.title for stage in everything(study, study.versions)), FIGURES]
    for remedy in study.trained_remedies:
        under = remedied(study, remedy)
        under_it = [*(stage.title for stage in everything(under, under.versions)), FIGURES]
        titles += [pipeline.title_under(remedy, title) for title in under_it]
    titles += [Compared(remedy, (), ()).title for remedy in study.remedies]
    return [(title, f"waits for {what}") for title in titles]


def _usable(source: Source) -> tuple[str, ...]:
    """The versions that are not known to have failed."""
    study = source.study
    ready = [
        name
        for name in study.versions
        if all(
            Training(family).stage(source).facts()
            and Observation(family, name).stage(source).facts()
            for family in study.families
        )
    ]
    failed = {name for name in ready if run_versions.failure(source, name)}
    return tuple(name for name in study.versions if name not in failed)


def states(root: str, thorough: bool = False) -> Iterator[State]:
    """The state of every stage of a study's or an audit's folder.

    Args:
      thorough: read every file and compare its SHA-256, not its size alone.

    Raises:
      FileNotFoundError, ValueError: when there is no study, or one of another schema.
    """
    workdir = Workdir(root)
    workdir.check_folder()
    if not (workdir.root / "study.json").exists():
        raise FileNotFoundError(f"{root}: holds no study; name the workdir of a run or an audit.")
    saved = workdir.study()
    if saved is None:
        raise ValueError(f"{root}: study.json cannot be read; run the study's command again.")
    if saved.get("kind") == "audit":
        yield from _audited(saved, workdir, _errors(workdir), thorough)
    else:
        yield from _planned(_study(saved, root), root, _errors(workdir), thorough)
    if thorough and (wrong := _report_damage(workdir)):
        yield State(REPORT, OPEN, f"damaged: {wrong}")


def _study(saved: dict, root: str) -> Study:
    try:
        return Study.from_json(saved)
    except (TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{root}: study.json cannot be read ({error}); run the study's command again."
        ) from error


def _errors(workdir: Workdir) -> dict[str, str]:
    """The error of every task that failed last, where the journal can be read."""
    try:
        if (Path(workdir.logs()) / journal.EVENTS).stat().st_size > LOG_MOST:
            return {}
        return {str(task): str(error) for task, error in journal.failed(workdir.logs()).items()}
    except (OSError, TypeError, RecursionError):
        return {}


def _report_damage(workdir: Workdir) -> str:
    """What is wrong with a folder's report, "" where nothing is or there is none."""
    if not (workdir.root / report_folder.REPORT).exists():
        return ""
    try:
        report = Report.load(workdir.root)
    except (ValueError, OSError) as error:
        return str(error).removeprefix(f"{workdir.root}/")
    if report.scored is None:
        return "the scores of its examples are missing"
    figures = workdir.figures()
    record = stage.read(figures)
    if record is None or SAVED not in record["files"]:
        return ""
    if stage.damage(figures, record):
        return ""  # told as a stage of its own
    file = file_store.fetched(figures, list(record["files"]), record["made"]["id"]) / SAVED
    try:
        measured = Report.from_json(bounded_reads.json_object(file, follow=False))
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        return f"measured/{SAVED} cannot be read ({error})"
    says = [
        {**findings.to_json(), "study": {}, "provenance": {}, "remedies": []}
        for findings in (report, measured)
    ]
    return "" if says[0] == says[1] else "report.json does not say what was measured"


def _planned(study: Study, root: str, errors: dict[str, str], thorough: bool) -> Iterator[State]:
    data = DataFolder(study, root, None)
    yield _state(Data(), data, errors, thorough)
    if Data().stage(data).why(thorough):
        yield from (State(title, OPEN, why) for title, why in _waiting(study, "the data"))
        return
    source = Source(study, root)
    texts = pipeline.text_stages(source)
    yield from (_state(declared, source, errors, thorough) for declared in texts)
    if any(declared.why(source, thorough) for declared in texts):
        yield from (State(title, OPEN, why) for title, why in _waiting(study, "the token ids"))
        return
    yield from _states_of(source, errors, thorough)
    for remedy in study.trained_remedies:
        of_remedy = {
            title.removesuffix(end): error
            for title, error in errors.items()
            if title.endswith(end := pipeline.title_under(remedy, ""))
        }
        for state in _states_of(source.under(remedy), of_remedy, thorough):
            yield dataclasses.replace(state, name=pipeline.title_under(remedy, state.name))
    yield from (_state(stage_, source, errors, thorough) for stage_ in _compared(source))


def _states_of(source: Source, errors: dict[str, str], thorough: bool) -> Iterator[State]:
    """Of the stages of one study, plain or under a remedy, after its data and token ids."""
    study = source.study
    broken = {
        name
        for name in study.versions
        for family in study.families
        for declared in (VersionFile(family, name), Observation(family, name))
        if declared.title in errors and declared.why(source, thorough)
    }
    usable = tuple(name for name in _usable(source) if name not in broken)
    for declared in (*everything(study, usable, errors), Figures(study.plan(usable), thorough)):
        yield _state(declared, source, errors, thorough)


def _audited(
    saved: dict, workdir: Workdir, errors: dict[str, str], thorough: bool
) -> Iterator[State]:
    """The answers that are kept, then the stages of the question with their reasons.

    Where the record is of no audit of this version: every stage that is there.
    """
    try:
        settings = Audit.from_json(saved)
    except (ValueError, TypeError, LookupError, AttributeError):
        settings = None
    more = () if settings else ("attacks", "marginal", "measured")
    for folder in ("answers", "sensitivities", "observations", *more):
        if file_store.is_local(workdir.root) and (workdir.root / folder).exists():
            yield from _stages_below(workdir.root, thorough, folder)
    if settings is None:
        return
    provider = ObservationFolder(settings, str(workdir.root))
    has_inputs = (workdir.root / "observations" / "inputs").exists()
    plan = settings.plan(has_inputs)
    declared = (*scored(plan, errors), Figures(plan, thorough))
    if missing := provider.missing(has_inputs):
        yield State(f"observations/{missing}", OPEN, "missing")
        yield from (State(stage.title, OPEN, "waits for the answers") for stage in declared)
        return
    for stage_ in declared:
        yield _state(stage_, provider, errors, thorough)


def _state(declared: Declaration, source: Any, errors: dict[str, str], thorough: bool) -> State:
    stage = declared.stage(source)
    if why := stage.why(thorough):
        error = errors.get(declared.title, "")
        return State(declared.title, FAILED if error else OPEN, error or why)
    record = stage.record()
    size = sum(file["bytes"] for file in record["files"].values())
    return State(declared.title, DONE, "", size, record["made"]["at"])


def _stages_below(root: Path, thorough: bool, below: str) -> Iterator[State]:
    """What is in a folder whose plan is not known: every stage that has a record."""
    records = (
        Path(entry.path) for entry in bounded_reads.entries(root / below) if entry.name == RECORD
    )
    for file in sorted(records):
        name = file.parent.relative_to(root).as_posix()
        if any(part.startswith(ASIDE) for part in file.relative_to(root).parts):
            continue
        folder = file_store.path(file.parent)
        record = stage.read(folder)
        if record is None or record.get("schema") != stage.SCHEMA:
            yield State(name, OPEN, "its record cannot be read")
            continue
        broken = stage.damage(folder, record, thorough)
        size = sum(file["bytes"] for file in record["files"].values())
        made = record["made"]["at"]
        yield (
            State(name, OPEN, f"damaged: {broken}") if broken else State(name, DONE, "", size, made)
        )


def histories(root: str) -> dict[str, list[dict[str, float]]]:
    """What every epoch of every family's training gave, as `curve.csv` says, by family."""
    curves = {}
    families = Workdir(root).root / "families"
    for folder in sorted(families.iterdir()) if families.exists() else ():
        file = folder / "training" / "curve.csv"
        if file.exists():
            rows = csv.DictReader(bounded_reads.text(file, follow=False).splitlines())
            curves[folder.name] = [_epoch(row, file) for row in rows]
    return curves


def _epoch(row: dict, file: os.PathLike) -> dict[str, float]:
    """A line of `curve.csv`; ValueError where it is none."""
    try:
        figures = {str(key): float(value) for key, value in row.items()}
        if not math.isfinite(figures["epoch"]):
            raise ValueError("epoch")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file}: is damaged; run the study's command again.") from error
    return figures


def text(root: str, stages: list[State]) -> Iterator[str]:
    """Lines for the terminal: every stage, then how many there are of each state."""
    folder = file_store.path(root)
    for stage_ in stages:
        more = f"{stage_.made}  {stage_.bytes:>11,} bytes" if stage_.state == DONE else stage_.why
        yield _printable(f"{stage_.state:7} {stage_.name:60} {more}".rstrip())
    counts = Counter(stage_.state for stage_ in stages)
    told = ", ".join(f"{counts[state]} {state}" for state in (DONE, FAILED, OPEN) if counts[state])
    yield f"{root}: {told}; {sum(stage_.bytes for stage_ in stages):,} bytes in stages"
    owner = lock.owner(folder)
    if owner:
        alive = lock.is_alive(folder)
        how = "running now" if alive else "stopped in the middle; the same command goes on"
        line = f"{how}: process {owner.pid} on {owner.host} since {owner.since} ({owner.command})"
        yield _printable(line)
    report = folder / "report.json"
    if report.exists():
        yield f"report: {report}"


def _printable(line: str) -> str:
    """A line without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in line)
