"""The door `audit`: load, ask, check, then the question. Resumable; needs no TensorFlow itself."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak.data import sides, sources
from tf_compleak.engine import executors
from tf_compleak.engine.declaration import foretell, pending
from tf_compleak.engine.workdir import Workdir
from tf_compleak.inference import prepare
from tf_compleak.leakage.investigation import investigate
from tf_compleak.leakage.observation_folder import ObservationFolder
from tf_compleak.leakage.plan import TARGET, Plan, kinds
from tf_compleak.leakage.provider import Inputs
from tf_compleak.leakage.question_stages import FIGURES, Figures, scored
from tf_compleak.report.report import Report
from tf_compleak.studies import door
from tf_compleak.studies.audit import family_answers, query
from tf_compleak.studies.audit import shadows as shadow_folders
from tf_compleak.studies.audit.audit_settings import Audit, Where
from tf_compleak.studies.audit.open_model import Asking
from tf_compleak.studies.audit.query import Family, Given
from tf_compleak.studies.audit.shadows import LeftOut
from tf_compleak.studies.audit.token_ids import tokenized
from tf_compleak.types import Texts, seeds
from tf_compleak.types.progress import Tell, silent

Examples = str | tuple | sides.Side
BLIND_MOST = 20_000  # examples that the blind baseline sees
ASKING_WEIGHT = 50  # of asking a version, see `engine.declaration.Declaration`
LARGE = 500_000  # examples from which attacks run one at a time: each holds all of them


def audit(
    versions: Mapping[str, Given],
    members: Examples,
    non_members: Examples,
    *,
    shadows: Sequence[str] = (),
    where: Where | None = None,
    tell: Tell = silent,
    **settings: Any,
) -> Report:
    """What these versions of a model tell about who was in its training data.

    Args:
      versions: by name ("original" for the uncompressed one): a path of a `.tflite`, `.keras` or
        `.h5` file or a SavedModel folder; "MEMBERS.npy+NON_MEMBERS.npy" or a pair of arrays [N, C],
        its outputs; or a function from a batch of inputs to outputs.
      members, non_members: a source (see `data.sources`), or a pair of arrays (inputs, labels).
      shadows: folders of shadow models, see `studies.audit.shadows`; none: cross-fitted.
      where: folder, processes, limits.
      tell: told (task, done, total, text) as the work goes on.
      settings: fields of `studies.audit.settings.Audit`.

    Raises:
      ValueError, FileNotFoundError, OSError: for bad input, in one line.
    """
    where = where or Where()
    given = _given(versions, members, non_members, shadows, settings)
    with _folder(where) as where, door.opened(given.settings, where, tell) as (tell, started):
        with door.claimed(given.settings, where, overwrite=_unfinished(Workdir(where.workdir))):
            families, left_out = _families(given, where)
            given.settings.check_measurable(len(families[0].sides[1]))
        facts = {
            "dropped_overlap": left_out[0].overlap,
            "data_sha256": list(families[0].digests),
            "cautions": [line for family in left_out for line in family.cautions],
        }
        return _report(given.settings, where, families, facts, tell, started)


def would_run(
    versions: Mapping[str, Given],
    members: Examples,
    non_members: Examples,
    *,
    shadows: Sequence[str] = (),
    where: Where,
    **settings: Any,
) -> list[tuple[str, str]]:
    """Every task that such an audit would do, with its reason; nothing is written.

    Raises:
      ValueError, OSError: when the audit would be refused.
    """
    given = _given(versions, members, non_members, shadows, settings)
    workdir = Workdir(where.workdir)
    workdir.check(given.settings, overwrite=where.overwrite or _unfinished(workdir))
    families, _ = _families(given, where)
    given.settings.check_measurable(len(families[0].sides[1]))
    asking = _asking(given.settings, where)
    asked = [*families, *family_answers.crossed(families, _needs(given.settings), given.settings)]
    tasks = [
        (query.title(family, name), why)
        for family in asked
        for name in family.versions
        if (why := query.why(family, name, asking, workdir.root))
    ]
    plan = given.settings.plan(_has_inputs(families[0]))
    provider = ObservationFolder(given.settings, where.workdir)
    if tasks or provider.missing(plan.has_inputs):
        titles = [*(stage.title for stage in scored(plan)), FIGURES]
        return [*tasks, *((title, "waits for the answers") for title in titles)]
    attacks = [(task.name, why) for task, why in pending(scored(plan), provider)]
    why = "waits for what comes before" if attacks else Figures(plan).why(provider)
    return [*attacks, *([(FIGURES, why)] if why else [])]


@dataclass(frozen=True, eq=False)
class _Given:
    """What an audit was called with: its settings, and the objects that these name."""

    settings: Audit
    versions: dict[str, Given]
    members: Examples
    non_members: Examples


def _given(versions, members, non_members, shadows: Sequence[str], settings: dict) -> _Given:
    versions = {name: query.outputs_of(given) for name, given in versions.items()}
    checked = Audit(
        versions=tuple((name, _text(given)) for name, given in versions.items()),
        members=_text(members),
        non_members=_text(non_members),
        shadows=tuple(shadows),
        **settings,
    )
    if checked.preprocess != prepare.AUTO:
        prepare.function(checked.preprocess)
    return _Given(checked, versions, members, non_members)


def _text(given: Any) -> str:
    """What stands for an example source or a version in the saved settings."""
    if isinstance(given, (str, Path)):
        return str(given)
    if isinstance(given, sides.Side):
        return given.where
    if callable(given):
        return f"function {getattr(given, '__qualname__', type(given).__name__)}"
    return "arrays " + ", ".join(f"{np.shape(array)}" for array in given)


@contextlib.contextmanager
def _folder(where: Where) -> Iterator[Where]:
    """The same, with a folder of its own where it names none."""
    if where.workdir:
        yield where
        return
    with tempfile.TemporaryDirectory(prefix="tf-compleak-") as folder:
        yield dataclasses.replace(where, workdir=folder)


def _unfinished(workdir: Workdir) -> bool:
    """Whether the folder is of an audit that never came to a report: another may go on there."""
    try:
        saved = workdir.study() or {}
    except (OSError, ValueError):
        return False
    return saved.get("kind") == "audit" and not (workdir.root / "report.json").exists()


def _families(given: _Given, where: Where) -> tuple[list[Family], list[LeftOut]]:
    """The target and its shadows, and what was left out of each."""
    settings = given.settings
    mine, others = sides.paired(
        _side(given.members, "--members", where.data_dir),
        _side(given.non_members, "--non_members", where.data_dir),
    )
    target = shadow_folders.family(TARGET, given.versions, mine, others, settings.drop_overlap)
    shadows = [
        shadow_folders.load(folder, settings.names, index)
        for index, folder in enumerate(settings.shadows)
    ]
    families, left_out = zip(target, *shadows, strict=True)
    if settings.vocabulary:
        families = [tokenized(family, settings) for family in families]
    return list(families), list(left_out)


def _side(given: Examples, where: str, data_dir: str | None) -> sides.Side:
    if isinstance(given, sides.Side):
        return given
    if isinstance(given, (str, Path)):
        return sources.load_side(str(given), where, data_dir)
    return sides.of_arrays(*given, where=where)


def _report(
    settings: Audit,
    where: Where,
    families: list[Family],
    facts: dict[str, Any],
    tell: Tell,
    started: float,
) -> Report:
    root, asking = Workdir(where.workdir).root, _asking(settings, where)
    needs = _needs(settings)
    crossed = family_answers.crossed(families, needs, settings)
    has_inputs = _has_inputs(families[0])
    _foretell([*families, *crossed], settings.plan(has_inputs), tell)
    answers = query.ask([*families, *crossed], asking, root, tell)
    how = family_answers.FamilyReader(settings, asking, root, tell)
    seen, confidences = family_answers.observations(how, families, answers, needs)
    provider = ObservationFolder(settings, where.workdir)
    for name, observations in seen.items():
        provider.save_family(name, observations)
    provider.save_versions(family_answers.versions(settings, answers, confidences, seen[TARGET]))
    if has_inputs:
        provider.save_inputs(blind_inputs(families[0], settings.seed))
    of_answers = family_answers.asking_facts(answers)
    cautions = [*facts.pop("cautions"), *of_answers.pop("cautions", ())]
    facts = {**_fitted(settings), **of_answers, **facts}
    facts |= {"cautions": cautions} if cautions else {}
    del seen, confidences, answers  # gigabytes, which workers read from their files
    workers = attackers(where, settings.threads, sum(map(len, families[0].sides)))
    with door.executor(settings, where, workers) as executor:
        findings = investigate(settings.plan(has_inputs), provider, executor, (), tell)
    return door.reported(findings, settings, where, started, facts)


def _foretell(families: Sequence[Family], plan: Plan, tell: Tell) -> None:
    """Tell of all that is to come: versions that are asked, then the stages of the question."""
    for family in families:
        for name, version in family.versions.items():
            if not isinstance(version, tuple):  # outputs are not asked for
                tell(query.title(family, name), ASKING_WEIGHT, 0, "")
    foretell(scored(plan), tell)


def _needs(settings: Audit) -> set[str]:
    """What else than confidences its attacks need."""
    lost = dict(settings.plan(False).inapplicable)
    attacks = [attack for attack in settings.attacks if attack not in lost]
    return {kind for attack in attacks for kind in kinds(settings, attack)}


def _has_inputs(target: Family) -> bool:
    return bool(target.sides[0].inputs) or target.sides[0].texts is not None


def _asking(settings: Audit, where: Where) -> Asking:
    return Asking(
        settings.preprocess,
        settings.output,
        settings.signature,
        settings.batch,
        settings.threads,
        executors.workers_of(where.workers, settings.threads),
        where.time_limit,
        where.memory_limit,
        where.trust_files,
        settings.seed,
        settings.stateful,
    )


def attackers(where: Where, threads: int, examples: int) -> int:
    """How many attacks run side by side: one where the examples are many and no number is asked."""
    if examples >= LARGE and not where.workers:
        return 1
    return executors.workers_of(where.workers, threads)


def blind_inputs(target: Family, seed: int) -> Inputs:
    """What the blind baseline sees of at most `BLIND_MOST` examples, half of either side."""
    from tf_compleak.attacks import blind  # scikit-learn

    tables, labels, members, texts = [], [], [], []
    for side, member in zip(target.sides, (True, False), strict=True):
        rng = seeds.generator(seed, "blind", str(member))
        rows = np.sort(rng.permutation(len(side))[: BLIND_MOST // 2])
        members.append(np.full(len(rows), member))
        if side.texts is not None:
            texts += list(side.texts[rows])
            labels.append(side.labels[rows])
            continue
        for start in range(0, len(rows), sides.BLOCK):
            which = rows[start : start + sides.BLOCK]
            flat = [
                np.float32(part).reshape(len(which), -1)
                for _, part in sorted(side.rows(which).items())
            ]
            tables.append(blind.summary(np.concatenate(flat, axis=1)))
            labels.append(side.labels[which])
    seen = Texts.of(texts) if texts else np.concatenate(tables)
    return Inputs(seen, np.concatenate(labels), np.concatenate(members))


def _fitted(settings: Audit) -> dict[str, Any]:
    shadows = len(settings.shadows)
    fitted = (
        f"on {shadows} shadow model(s), their members and non-members"
        if shadows
        else f"cross-fitted in {settings.folds} folds over the known members and non-members of "
        "the target itself: an auditor's upper view, an attacker knows less"
    )
    return {"num_shadows": shadows, "fitted": fitted}
