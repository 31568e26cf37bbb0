"""The door `audit`: load, ask, check, then the question. Resumable; needs no TensorFlow itself."""

from __future__ import annotations

import contextlib
import dataclasses
import os
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
from tf_compleak.studies.audit.given_versions import Given, outputs_of
from tf_compleak.studies.audit.open_model import Asking
from tf_compleak.studies.audit.quantized_versions import Making
from tf_compleak.studies.audit.query import Family
from tf_compleak.studies.audit.shadows import LeftOut
from tf_compleak.studies.audit.token_ids import tokenized
from tf_compleak.types import Texts, seeds, validators
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
      versions: by name ("original" for the uncompressed one): a path of a `.tflite`, `.onnx`,
        `.keras` or `.h5` file or a SavedModel folder; "MEMBERS.npy+NON_MEMBERS.npy" or a pair of
        arrays [N, C], its outputs; or a function from a batch of inputs to outputs.
      members: a source (see `data.sources`), or a pair of arrays (inputs, labels).
      non_members: the same of examples that were not trained on.
      shadows: folders of shadow models, see `studies.audit.shadows`; none: cross-fitted.
      where: folder, processes, limits, together.
      tell: told (task, done, total, text) as the work goes on.
      settings: fields of `audit_settings.Audit`, such as attacks, and of `Where`, such as workdir,
        overwrite, workers, executor, which count over those of `where`.

    Raises:
      ValueError, FileNotFoundError, OSError: for bad input, in one line.
    """
    where, settings = _running(where, settings)
    request = _given(versions, members, non_members, shadows, settings)
    with _folder(where) as where, door.opened(request.settings, where, tell) as (tell, started):
        with door.claimed(request.settings, where, overwrite=_unfinished(Workdir(where.workdir))):
            families, left_out = _families(request, where)
            _check(request.settings, families)
            families = _making(request.settings, where).with_made(families, tell)
        facts = {
            "dropped_overlap": left_out[0].overlap,
            "cautions": [line for family in left_out for line in family.cautions],
        }
        if families[0].contents is not None:  # labels alone do not tell which examples these are
            facts["data_sha256"] = list(families[0].digests)
        return _report(request.settings, where, families, facts, tell, started)


def would_run(
    versions: Mapping[str, Given],
    members: Examples,
    non_members: Examples,
    *,
    shadows: Sequence[str] = (),
    where: Where | None = None,
    **settings: Any,
) -> list[tuple[str, str]]:
    """Every task that such an audit would do, with its reason; nothing is written.

    Raises:
      ValueError, OSError: when the audit would be refused.
    """
    where, settings = _running(where, settings)
    request = _given(versions, members, non_members, shadows, settings)
    workdir = Workdir(where.workdir)
    workdir.check(request.settings, overwrite=where.overwrite or _unfinished(workdir))
    families, _ = _families(request, where)
    _check(request.settings, families)
    making = _making(request.settings, where)
    if tasks := making.to_make(families):
        titles = [query.title(of, name) for of in families for name in request.settings.names]
        return [*tasks, *((title, "waits for the versions") for title in (*titles, FIGURES))]
    families = making.with_made(families, silent)
    plan = request.settings.plan(_has_inputs(families[0]))
    provider = ObservationFolder(request.settings, where.workdir)
    tasks = _to_ask(request.settings, where, families) or _to_keep(
        request.settings, where, families
    )
    if tasks or provider.missing(plan.has_inputs):
        titles = [*(stage.title for stage in scored(plan)), FIGURES]
        return [*tasks, *((title, "waits for the answers") for title in titles)]
    attacks = [(task.name, why) for task, why in pending(scored(plan), provider)]
    why = "waits for what comes before" if attacks else Figures(plan).why(provider)
    return [*attacks, *([(FIGURES, why)] if why else [])]


def _to_ask(settings: Audit, where: Where, families: list[Family]) -> list[tuple[str, str]]:
    """Versions that are to be asked (again), with the reasons."""
    crossed = family_answers.crossed(families, _needs(settings, families), settings)
    asking, root = _asking(settings, where), Workdir(where.workdir).root
    return [
        (query.title(family, name), why)
        for family in (*families, *crossed)
        for name in family.versions
        if (why := query.why(family, name, asking, root))
    ]


def _to_keep(settings: Audit, where: Where, families: list[Family]) -> list[tuple[str, str]]:
    """Where all answers are given or kept: what they make that is not what is kept."""
    root, asking = Workdir(where.workdir).root, _asking(settings, where)
    needs = _needs(settings, families)
    crossed = family_answers.crossed(families, needs, settings)
    answers = query.ask([*families, *crossed], asking, root, silent)
    how = family_answers.FamilyReader(settings, asking, root, silent)
    if tasks := family_answers.sensitivities_to_ask(how, families, answers, needs):
        return tasks
    by_family, _ = family_answers.observations(how, families, answers, needs)
    provider, names = ObservationFolder(settings, where.workdir), _example_names(families)
    return [
        (f"observations of {family}", why)
        for family, observations in by_family.items()
        if (why := provider.changes_of(family, observations, names.get(family)))
    ]


def _running(where: Where | None, settings: dict) -> tuple[Where, dict]:
    """Where an audit runs, and the settings of the audit itself; ValueError for an unknown one."""
    running, figures = (
        {field.name for field in dataclasses.fields(kind)} for kind in (Where, Audit)
    )
    for name in settings:
        validators.choice("audit", name, sorted(running | figures))
    options = {name: settings[name] for name in settings if name in running}
    if isinstance(options.get("workdir"), os.PathLike):
        options["workdir"] = os.fspath(options["workdir"])
    rest = {name: value for name, value in settings.items() if name not in running}
    return dataclasses.replace(where or Where(), **options), rest


@dataclass(frozen=True, eq=False)
class _Given:
    """What an audit was called with: its settings, and the objects that these name."""

    settings: Audit
    versions: dict[str, Given]
    members: Examples
    non_members: Examples


def _given(versions, members, non_members, shadows: Sequence[str], settings: dict) -> _Given:
    versions = {name: outputs_of(name, given) for name, given in versions.items()}
    checked = Audit(
        versions=tuple((name, _text(given)) for name, given in versions.items()),
        members=_text(members),
        non_members=_text(non_members),
        shadows=(shadows,) if isinstance(shadows, str) else tuple(map(str, shadows)),
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


def _families(request: _Given, where: Where) -> tuple[list[Family], list[LeftOut]]:
    """The target and its shadows, and what was left out of each."""
    settings = request.settings
    pair = sides.paired(
        _side(request.members, "--members", where.data_dir),
        _side(request.non_members, "--non_members", where.data_dir),
    )
    target = shadow_folders.family(TARGET, request.versions, *pair, settings.drop_overlap)
    shadows = [
        shadow_folders.load(folder, settings.given, index)
        for index, folder in enumerate(settings.shadows)
    ]
    families, left_out = zip(target, *shadows, strict=True)
    cautions = shadow_folders.shared(families, settings.shadows, settings.allow_shared_examples)
    if settings.vocabulary:
        families = [tokenized(family, settings) for family in families]
    byte_inputs = _byte_inputs(families)
    families = [dataclasses.replace(family, byte_inputs=byte_inputs) for family in families]
    return families, [*left_out, LeftOut(cautions=cautions)]


def _making(settings: Audit, where: Where) -> Making:
    return Making.of(
        settings, _asking(settings, where), Workdir(where.workdir).root, where.data_dir
    )


def _byte_inputs(families: Sequence[Family]) -> frozenset[str]:
    """Names of the inputs that are bytes on any side: all sides are prepared as these are."""
    return frozenset(
        name
        for family in families
        for side in family.sides
        for name, array in side.inputs.items()
        if array.dtype == np.uint8
    )


def _side(examples: Examples, where: str, data_dir: str | None) -> sides.Side:
    if isinstance(examples, sides.Side):
        return examples
    if isinstance(examples, (str, Path)):
        return sources.load_side(str(examples), where, data_dir)
    return sides.of_arrays(*examples, where=where)


def _report(
    settings: Audit,
    where: Where,
    families: list[Family],
    facts: dict[str, Any],
    tell: Tell,
    started: float,
) -> Report:
    root, asking = Workdir(where.workdir).root, _asking(settings, where)
    needs = _needs(settings, families)
    crossed = family_answers.crossed(families, needs, settings)
    has_inputs = _has_inputs(families[0])
    _foretell([*families, *crossed], settings.plan(has_inputs), tell)
    answers = query.ask([*families, *crossed], asking, root, tell)
    how = family_answers.FamilyReader(settings, asking, root, tell)
    by_family, confidences = family_answers.observations(how, families, answers, needs)
    provider = ObservationFolder(settings, where.workdir)
    names = _example_names(families)
    for family, observations in by_family.items():
        provider.save_family(family, observations, names.get(family))
    provider.save_versions(
        family_answers.versions(settings, answers, confidences, by_family[TARGET])
    )
    if has_inputs:
        provider.save_inputs(blind_inputs(families[0], settings.seed))
    of_answers = family_answers.asking_facts(answers)
    cautions = [*facts.pop("cautions"), *of_answers.pop("cautions", ())]
    facts = {**_fitted(settings), **of_answers, **facts}
    facts |= {"cautions": cautions} if cautions else {}
    del by_family, confidences, answers  # gigabytes, which workers read from their files
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


def _example_names(families: Sequence[Family]) -> dict[str, np.ndarray]:
    """What users call the target's examples; of others attacks alone are told, by content."""
    return {TARGET: family_answers.names(families[0])}


def _check(settings: Audit, families: Sequence[Family]) -> None:
    """ValueError where examples are too few for what is asked, or tell no attack what it needs."""
    settings.check_measurable(len(families[0].sides[1]))
    lost = dict(settings.plan(_has_inputs(families[0])).inapplicable)
    if set(settings.attacks) <= set(lost):
        raise ValueError(f"--attacks={settings.attacks[0]}: {lost[settings.attacks[0]]}.")


def _needs(settings: Audit, families: Sequence[Family]) -> set[str]:
    """What else than confidences its attacks need."""
    lost = dict(settings.plan(_has_inputs(families[0])).inapplicable)
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
    values = Texts.of(texts) if texts else np.concatenate(tables)
    return Inputs(values, np.concatenate(labels), np.concatenate(members))


def _fitted(settings: Audit) -> dict[str, Any]:
    """Where the attacks are fitted, and what figures from there claim."""
    shadows = len(settings.shadows)
    if shadows:
        fitted = f"on {shadows} shadow model(s), their members and non-members: what an attacker "
        return {"num_shadows": shadows, "fitted": f"{fitted}finds who can train such models"}
    fitted = f"cross-fitted in {settings.folds} folds over the known members and non-members of "
    fitted += "the target itself: an auditor's upper view, an attacker knows less"
    if "qmia" in settings.attacks:
        fitted += "; qmia on its non-members alone: what an attacker with such examples finds"
    return {"num_shadows": shadows, "fitted": fitted}
