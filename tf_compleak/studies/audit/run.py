"""The audit: load, ask, check, attack, report. Resumable; needs no TensorFlow of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak.attacks import ATTACKS
from tf_compleak.data import sides, sources
from tf_compleak.engine import bounded_reads, provenance
from tf_compleak.engine.workdir import Workdir, write_text
from tf_compleak.report.report import Report
from tf_compleak.studies.audit import attacking, checks, findings, query, scoring
from tf_compleak.studies.audit import shadows as shadowing
from tf_compleak.studies.audit.checks import Confidences
from tf_compleak.studies.audit.open_model import Asking
from tf_compleak.studies.audit.query import Answers, Family, Given
from tf_compleak.studies.audit.settings import Audit, Where
from tf_compleak.types import seeds
from tf_compleak.types.observations import Observations

Tell = Callable[[str, int, int, str], None]
Examples = str | tuple | sides.Side


def audit(
    versions: Mapping[str, Given],
    members: Examples,
    non_members: Examples,
    *,
    shadows: Sequence[str] = (),
    where: Where | None = None,
    tell: Tell = lambda *_: None,
    **settings: Any,
) -> Report:
    """What these versions of a model tell about who was in its training data.

    Args:
      versions: by name ("original" for the uncompressed one): a path of a `.tflite`, `.keras` or
        `.h5` file or a SavedModel folder; "MEMBERS.npy+NON_MEMBERS.npy" or a pair of arrays [N, C],
        its outputs; or a function from a batch of inputs to outputs.
      members, non_members: a source (see `data.sources`), or a pair of arrays (inputs, labels).
      shadows: folders of shadow models, see `auditing.shadows`; none: cross-fitted.
      where: folder, processes, limits.
      tell: told (task, done, total, text) as the work goes on.
      settings: fields of `auditing.settings.Audit`.

    Raises:
      ValueError, FileNotFoundError, OSError: for bad input, in one line.
    """
    where = where or Where()
    versions = {name: query.outputs_of(given) for name, given in versions.items()}
    settings = Audit(
        versions=tuple((name, _text(given)) for name, given in versions.items()),
        members=_text(members),
        non_members=_text(non_members),
        shadows=tuple(shadows),
        **settings,
    )
    with _folder(where.workdir) as root, Workdir(root).locked():
        with Workdir(root).claim(settings, overwrite=where.overwrite or _unfinished(root)):
            target, dropped = _target(versions, members, non_members, settings, where)
            known = [shadowing.load(path, settings.names, i) for i, path in enumerate(shadows)]
        if where.flags:
            write_text(root / "flags.cfg", where.flags)
        facts = {"dropped_overlap": dropped, "data_sha256": list(target.digests)}
        return _report(settings, where, root, [target, *known], facts, tell)


def _text(given) -> str:
    if isinstance(given, (str, Path)):
        return str(given)
    if isinstance(given, sides.Side):
        return given.where
    if callable(given):
        return f"function {getattr(given, '__qualname__', type(given).__name__)}"
    return "arrays " + ", ".join(f"{np.shape(each)}" for each in given)


@contextlib.contextmanager
def _folder(workdir: str) -> Iterator[Path]:
    if "://" in workdir:
        raise ValueError(f"--workdir={workdir}: audits need a folder; a bucket is for run only.")
    if workdir:
        yield Path(workdir)
        return
    with tempfile.TemporaryDirectory(prefix="tf-compleak-") as folder:
        yield Path(folder)


def _unfinished(root: Path) -> bool:
    """Whether the folder is of an audit that never came to a report: another may go on there."""
    try:
        record = bounded_reads.json_object(root / "study.json", follow=False)
    except (OSError, ValueError):
        return False
    return record.get("kind") == "audit" and not (root / "report.json").exists()


def _side(given: Examples, where: str, data_dir: str | None) -> sides.Side:
    if isinstance(given, sides.Side):
        return given
    if isinstance(given, (str, Path)):
        return sources.load_side(str(given), where, data_dir)
    return sides.of_arrays(*given, where=where)


def _target(versions, members, non_members, settings: Audit, where: Where) -> tuple[Family, int]:
    mine, others = sides.paired(
        _side(members, "--members", where.data_dir),
        _side(non_members, "--non_members", where.data_dir),
    )
    return shadowing.family("target", versions, mine, others, settings.drop_overlap)


def _report(
    settings: Audit, where: Where, root: Path, families: list[Family], facts: dict, tell: Tell
) -> Report:
    started = time.monotonic()
    asking = Asking(
        settings.preprocess,
        settings.output,
        settings.signature,
        settings.batch,
        settings.threads,
        where.processes(settings.threads),
        where.time_limit,
        where.memory_limit,
        where.trust_files,
        settings.seed,
        settings.stateful,
    )
    answers = query.ask(families, asking, root, tell)
    seen, found = {}, {}
    for family in families:
        found[family.name] = _confidences(settings, asking, family, answers)
        seen[family.name] = _observations(settings, asking, family, found[family.name], root, tell)
    for name in settings.exposure:
        for family, observations in seen.items():
            scoring.save(root, name, family, findings.shown(observations, name))
    failures = attacking.run(settings, where, root, families[0], tell)
    paths = dict(settings.versions)
    versions = tuple(
        findings.version(
            name, paths[name], answers["target", name], found["target"], seen["target"]
        )
        for name in settings.names
    )
    report = findings.report(
        settings,
        root,
        families[0],
        seen["target"],
        versions,
        failures,
        _provenance(settings, where, started) | findings.asking_facts(answers) | facts,
        tell,
    )
    added = findings.added(settings, root, list(seen), versions, tell)
    report = dataclasses.replace(report, marginal=added)
    report.save(root)
    return report


def _confidences(
    settings: Audit, asking: Asking, family: Family, answers: dict[tuple[str, str], Answers]
) -> dict[str, Confidences]:
    """What each version says, once it is sure that it was asked rightly."""
    found = {
        name: checks.confidences(answers[family.name, name], settings.outputs)
        for name in settings.names
    }
    classes = checks.same_classes(found, family.name)
    labels = checks.labels_of(family, settings.label_offset, classes, settings.names[0])
    if not settings.force:
        for name, each in found.items():
            checks.refuse_chance(name, each, labels, family, asking, settings.label_offset)
    return found


def _observations(
    settings: Audit,
    asking: Asking,
    family: Family,
    found: dict[str, Confidences],
    root: Path,
    tell: Tell,
) -> Observations:
    """What the versions of a family say, its rows in an order that tells nothing."""
    sizes = [len(side) for side in family.sides]
    moved = None
    if any("sensitivities" in ATTACKS[name].needs for name in settings.attacks):
        from tf_compleak.studies.audit.sensitivities import sensitivities

        kinds = {name: each.kind for name, each in found.items()}
        moved = sensitivities(family, kinds, settings, asking, root, tell)
    ids = [
        f"{kind}/{own}"
        for kind, side in zip(("members", "non_members"), family.sides, strict=True)
        for own in side.ids
    ]
    classes = found[settings.names[0]].probabilities.shape[1]
    observations = Observations(
        versions=settings.names,
        probabilities=np.stack([found[name].probabilities for name in settings.names]),
        labels=checks.labels_of(family, settings.label_offset, classes, settings.names[0]),
        members=np.repeat([True, False], sizes),
        ids=np.array(ids),
        sensitivities=moved,
        resolutions=tuple(found[name].step for name in settings.names),
    )
    rng = seeds.generator(settings.seed, "order", family.name)
    return observations.take(rng.permutation(sum(sizes)))


def _provenance(settings: Audit, where: Where, started: float) -> dict[str, Any]:
    shadows = len(settings.shadows)
    fitted = (
        f"on {shadows} shadow model(s), their members and non-members"
        if shadows
        else f"cross-fitted in {settings.folds} folds over the known members and non-members of "
        "the target itself: an auditor's upper view, an attacker knows less"
    )
    return {
        **provenance.facts(where.command, where.flags, where.workdir),
        "seed": settings.seed,
        "seconds": round(time.monotonic() - started, 1),
        "num_shadows": shadows,
        "fitted": fitted,
    }
