"""The door `run`: data, training, versions, observations, then the question; resumable."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

from tf_compleak.data import vocabularies
from tf_compleak.engine.declaration import Declaration, call_off, executed, foretell
from tf_compleak.engine.tasks import Executor, Outcome
from tf_compleak.leakage.investigation import investigate
from tf_compleak.leakage.plan import TARGET
from tf_compleak.report.report import Report
from tf_compleak.studies import door
from tf_compleak.studies.options import Options
from tf_compleak.studies.run import remedy_work, run_versions
from tf_compleak.studies.run.architecture import check, spec
from tf_compleak.studies.run.remedy_work import Compared
from tf_compleak.studies.run.run_stages import (
    Data,
    DataFolder,
    Membership,
    Observation,
    Preset,
    Training,
    asking_more,
    building,
    everything,
)
from tf_compleak.studies.run.source import Source
from tf_compleak.studies.study import Study, remedied
from tf_compleak.types import Failure, Release
from tf_compleak.types.findings import Findings, Remedy
from tf_compleak.types.progress import Tell, silent


def run(study: Study, options: Options, tell: Tell = silent) -> Report:
    """Run a study, reusing its finished stages; writes `report.json` and returns the report.

    Args:
      tell: told (task, done, total, text) as the work goes on; see `engine.journal`.

    Raises:
      ValueError, FileNotFoundError, OSError: for bad input or an unusable workdir, in one line.
    """
    with (
        door.opened(study, options, tell) as (journal, started),
        door.executor(study, options) as executor,
    ):
        for each, tell_of in _studies(study, journal):
            foretell(everything(each, each.versions), tell_of)
        with door.claimed(study, options):
            source = _source(executor, study, options, journal)
        findings, usable = _measured(executor, source, journal)
        tried = tuple(
            _tried(executor, source, name, usable, findings, journal) for name in study.remedies
        )
        findings = dataclasses.replace(findings, remedies=tried)
        return door.reported(findings, study, options, started, _provenance(source))


def title_under(remedy: str, title: str) -> str:
    """What a stage of the study under a remedy is called."""
    return f"{title} under {remedy}"


def _studies(study: Study, tell: Tell) -> Iterator[tuple[Study, Tell]]:
    """The study and those under its remedies, with what to tell of the stages of each."""
    yield study, tell
    for remedy in study.trained_remedies:
        yield remedied(study, remedy), _telling(remedy, tell)


def _telling(remedy: str, tell: Tell) -> Tell:
    def tell_under(title: str, done: int, total: int, text: str) -> None:
        tell(title_under(remedy, title), done, total, text)

    return tell_under


def _measured(executor: Executor, source: Source, tell: Tell) -> tuple[Findings, Release]:
    """Train, compress, ask and attack; what was found, and the versions that could be used."""
    study = source.study
    planned = everything(study, study.versions)
    call_off([stage for stage in planned if not stage.why(source, thorough=False)], tell)
    failures = _versions(executor, source, tell)
    usable = tuple(name for name in study.versions if name not in failures)
    if not usable:
        reasons = dict.fromkeys(f"{name}: {of.reason}" for name, of in failures.items())
        raise ValueError(f"no version can be used: {'; '.join(reasons)}")
    left = everything(study, usable)
    call_off([stage for stage in planned if stage not in left], tell)
    findings = investigate(
        study.plan(usable),
        source,
        executor,
        list(failures.values()),
        tell,
        first=asking_more(study, usable),
    )
    return findings, usable


def _tried(
    executor: Executor,
    source: Source,
    name: str,
    usable: Release,
    findings: Findings,
    tell: Tell,
) -> Remedy:
    """A remedy: the study under it where that needs another training, then what it changes."""
    if name not in source.study.trained_remedies:
        stage = Compared(name, usable, ())
        rows = {exposed.exposure: exposed.results for exposed in findings.exposed}[name]
        return remedy_work.remedy(source, stage, executed(executor, [stage], source, tell), rows)
    under, tell_under = source.under(name), _telling(name, tell)
    try:
        found, usable_under = _measured(executor, under, tell_under)
    except ValueError as error:
        call_off(everything(under.study, under.study.versions), tell_under)
        return Remedy(name, "training", "could not be tried", (), (), (Failure(name, str(error)),))
    stage = Compared(name, usable, usable_under)
    outcomes = executed(executor, [stage], source, tell)
    return remedy_work.remedy(source, stage, outcomes, found.results, found.failures)


def data_folder(study: Study, options: Options) -> DataFolder:
    """Where the data of a study come from and go to."""
    return DataFolder(study, options.workdir, options.data_dir)


def text_stages(source: Source) -> list[Declaration]:
    """What texts take before their models: the preset, then the token ids of every vocabulary."""
    if not source.holds_texts:
        return []
    preset = [Preset()] if source.study.preset else []
    return [*preset, *dict.fromkeys(map(source.vocabulary_of, source.study.families))]


def _source(executor: Executor, study: Study, options: Options, tell: Tell) -> Source:
    """Load the data unless that is done, and check that the study can be run on it."""
    _must(executed(executor, [Data()], data_folder(study, options), tell))
    source = Source(study, options.workdir)
    check(study, source.examples)
    study.check_measurable(study.num_non_members)
    _must(executed(executor, text_stages(source), source, tell))
    if not study.makes_versions:
        spec(source)
    return source


def _must(outcomes: dict[str, Outcome], names: Sequence[str] = ()) -> None:
    """ValueError for the first of these tasks (of all, where none are named) that failed."""
    for name in names or outcomes:
        if name in outcomes and outcomes[name].error:
            where = f"{name}: " if names else ""
            raise ValueError(f"{where}{outcomes[name].error}")


def _versions(executor: Executor, source: Source, tell: Tell) -> dict[str, Failure]:
    """Train the families, make and query their versions; the versions that failed, by name."""
    study = source.study
    outcomes = executed(executor, building(study), source, tell)
    needed = [kind(family).title for kind in (Training, Membership) for family in study.families]
    _must(outcomes, needed)
    failures = {name: _failure(source, name, outcomes) for name in study.versions}
    return {name: failure for name, failure in failures.items() if failure}


def _failure(source: Source, name: str, outcomes: dict[str, Outcome]) -> Failure | None:
    for family in source.study.families:
        outcome = outcomes.get(Observation(family, name).title)
        if outcome is not None and outcome.error:
            return Failure(name, f"{family}: {outcome.error}")
    return run_versions.failure(source, name)


def _provenance(source: Source) -> dict[str, Any]:
    study = source.study
    return {
        "num_shadows": study.num_shadows,
        "representative_data": run_versions.representative_data(source),
        "data_sha256": source.sha256,
        "duplicates": dataclasses.asdict(source.dropped),
        **({"cautions": [source.dropped.sentence()]} if source.dropped.count else {}),
        **_text_provenance(source),
        **_own_provenance(source),
        "training": {family: source.fingerprint(Training(family)) for family in study.families},
    }


def _own_provenance(source: Source) -> dict[str, Any]:
    """The user's own code, which is part of what is attacked."""
    if not source.own_code:
        return {}
    (facts,) = json.loads(source.own_code).values()
    return {"family": {**facts, "does": source.study.level or "command"}}


def _text_provenance(source: Source) -> dict[str, Any]:
    """Where the vocabulary comes from, which is part of what is attacked."""
    if not source.holds_texts:
        return {}
    study, learned = source.study, source.learned_from(TARGET)
    if study.preset and study.vocabulary in vocabularies.OWN:
        origin = f"the preset's own ({study.preset})"
    elif learned is None:
        origin = f"given: {study.vocabulary}"
    else:
        origin = {
            "members": "learned from the members of each family, the shadows' from their own",
            "outside": "one for all, from validation and population, which no model is trained on",
        }[study.vocabulary]
    tokens = {family: source.tokens(family).facts()["sha256"] for family in study.families}
    return {"vocabulary": origin, "tokens": tokens}
