"""From what versions answered to a family's observations, and to the records of its versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak.leakage import version_record
from tf_compleak.leakage.plan import TARGET
from tf_compleak.studies.audit import checks, quantized_versions, query, sensitivities
from tf_compleak.studies.audit.audit_settings import Audit
from tf_compleak.studies.audit.checks import Confidences
from tf_compleak.studies.audit.open_model import Asking
from tf_compleak.studies.audit.query import Answers, Family
from tf_compleak.studies.audit.token_ids import tokenized
from tf_compleak.types import Output, Version
from tf_compleak.types.observations import Observations
from tf_compleak.types.progress import Tell

KINDS = ("members", "non_members")
Answered = Mapping[tuple[str, str], Answers]  # by family and version


@dataclass(frozen=True)
class FamilyReader:
    """How an audit's families are asked: its settings, and where answers are kept."""

    settings: Audit
    asking: Asking
    root: Path
    tell: Tell


def asked_about(family: Family, other: Family, settings: Audit) -> Family:
    """The versions of a family, to be asked about the examples of another.

    Texts are the ids of the vocabulary that the asked versions were trained with.
    """
    crossed = dataclasses.replace(
        other,
        name=f"{family.name} of {other.name}",
        versions=family.versions,
        vocabulary=family.vocabulary,
    )
    return tokenized(crossed, settings) if settings.vocabulary else crossed


def crossed(families: Sequence[Family], kinds: Sequence[str], settings: Audit) -> list[Family]:
    """Every family about every other's examples, where attacks need that and all can be asked."""
    can = all(
        isinstance(version, str) or callable(version)
        for family in families
        for version in family.versions.values()
    )
    if "aside" not in kinds or not can:
        return []
    return [asked_about(a, b, settings) for a in families for b in families if a is not b]


def observations(
    how: FamilyReader, families: Sequence[Family], answers: Answered, kinds: Sequence[str]
) -> tuple[dict[str, Observations], dict[str, Confidences]]:
    """Observations of all families, aside with them what they said of the others' examples.

    Args:
      kinds: what else attacks need, such as "aside".

    Returns:
      by family; and the target's confidences by version.
    """
    confidences = {family.name: _confidences(how, family, answers) for family in families}
    by_family = {
        family.name: _family(how, family, confidences[family.name], kinds) for family in families
    }
    pairs = {family.name: family for family in crossed(families, kinds, how.settings)}
    for family in families:
        others = [other for other in families if f"{family.name} of {other.name}" in pairs]
        if others:
            parts = [_aside(how, family, other, answers) for other in others]
            aside = _without(_joined(parts), by_family[family.name].ids)
            by_family[family.name] = dataclasses.replace(by_family[family.name], aside=aside)
    return by_family, confidences[TARGET]


def _without(aside: Observations, ids: np.ndarray) -> Observations | None:
    """The examples aside that the family itself does not have (`ids`)."""
    rows = np.flatnonzero(~np.isin(aside.ids, ids))
    return aside.take(rows) if len(rows) else None


def _confidences(how: FamilyReader, family: Family, answers: Answered) -> dict[str, Confidences]:
    """What each version says, once it is sure that it was asked rightly."""
    settings = how.settings
    by_version = {
        name: checks.confidences(answers[family.name, name], settings.outputs)
        for name in settings.names
    }
    labels = _labels(how, family, by_version)
    if not settings.force:
        for name, confidences in by_version.items():
            offset = settings.label_offset
            checks.refuse_chance(name, confidences, labels, family, how.asking, offset)
    return by_version


def _labels(how: FamilyReader, family: Family, by_version: Mapping[str, Confidences]) -> np.ndarray:
    classes = checks.same_classes(by_version, family.name)
    return checks.labels_of(family, how.settings.label_offset, classes, how.settings.names[0])


def _ids(family: Family) -> np.ndarray | None:
    """S16[N] digests of a family's examples, members first: the same content, the same example."""
    return None if family.contents is None else np.concatenate(family.contents)


def names(family: Family) -> np.ndarray:
    """[N] what users call a family's examples, members first: side and row."""
    return np.array(
        [
            f"{kind}/{name}"
            for kind, side in zip(KINDS, family.sides, strict=True)
            for name in side.ids
        ]
    )


def _family(
    how: FamilyReader,
    family: Family,
    by_version: Mapping[str, Confidences],
    kinds: Sequence[str],
) -> Observations:
    """What the versions say of their own examples, members first."""
    sizes, moved = [len(side) for side in family.sides], None
    labels = _labels(how, family, by_version)
    if "sensitivities" in kinds:
        moved = sensitivities.sensitivities(
            family, _outputs(by_version), how.settings, how.asking, how.root, how.tell
        )
    return _observations(how, by_version, labels, _ids(family), sizes, moved)


def _outputs(by_version: Mapping[str, Confidences]) -> dict[str, Output]:
    return {name: confidences.kind for name, confidences in by_version.items()}


def sensitivities_to_ask(
    how: FamilyReader, families: Sequence[Family], answers: Answered, kinds: Sequence[str]
) -> list[tuple[str, str]]:
    """Versions that are to be asked (again) about changed inputs, with the reasons."""
    if "sensitivities" not in kinds:
        return []
    return [
        (sensitivities.title(family, name), why)
        for family in families
        for name, output in _outputs(_confidences(how, family, answers)).items()
        if (why := sensitivities.why(family, name, output, how.settings, how.asking, how.root))
    ]


def _observations(how: FamilyReader, by_version, labels, ids, sizes, moved=None) -> Observations:
    return Observations(
        versions=how.settings.names,
        probabilities=np.stack([by_version[name].probabilities for name in how.settings.names]),
        labels=labels,
        members=np.repeat([True, False], sizes),
        ids=ids,
        sensitivities=moved,
        resolutions=tuple(by_version[name].step for name in how.settings.names),
    )


def _aside(how: FamilyReader, family: Family, other: Family, answers: Answered) -> Observations:
    """What a family's versions say of another's examples, none of which they were trained on."""
    about = asked_about(family, other, how.settings)
    by_version = {
        name: checks.confidences(answers[about.name, name], how.settings.outputs)
        for name in how.settings.names
    }
    sizes = [0, sum(map(len, other.sides))]
    labels = _labels(how, about, by_version)
    return _observations(how, by_version, labels, _ids(other), sizes)


def _joined(parts: Sequence[Observations]) -> Observations:
    """Observations of the same versions on several sets of examples, an example once.

    A step that is seen in one of the sets alone is that of the version, and holds for all.
    """
    first = parts[0]
    steps = zip(*(part.resolutions for part in parts), strict=True)
    probabilities = np.concatenate([part.probabilities for part in parts], axis=1)
    together = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("labels", "members", "ids")
    }
    _, rows = np.unique(together["ids"], return_index=True)
    return dataclasses.replace(
        first,
        probabilities=probabilities[:, rows],
        resolutions=tuple(map(max, steps)),
        **{name: array[rows] for name, array in together.items()},
    )


def versions(
    settings: Audit,
    answers: Answered,
    confidences: Mapping[str, Confidences],
    target: Observations,
) -> list[Version]:
    """The records of the target's versions."""
    paths = dict(settings.versions)
    return [
        version_record.record(
            name,
            target,
            recipe=answers[TARGET, name].facts["kind"],
            path=paths.get(name, paths.get(settings.source, "")),
            output=confidences[name].kind,
            bytes=answers[TARGET, name].facts.get("bytes", 0),
            gzip_bytes=answers[TARGET, name].facts.get("gzip_bytes", 0),
            resolution=confidences[name].step,
            notes=(
                *quantized_versions.notes(settings, name, answers[TARGET, name].facts["kind"]),
                *checks.notes(answers[TARGET, name], confidences[name]),
                *_asking_notes(answers[TARGET, name]),
            ),
        )
        for name in settings.names
    ]


def _asking_notes(answers: Answers) -> tuple[str, ...]:
    """What asking a version twice found, and how its process was isolated."""
    isolation = answers.facts.get("isolation")
    of_process = (f"isolation: {isolation}",) if isolation else ()
    return (answers.facts["repeated"], *of_process)


def asking_facts(answers: Answered) -> dict[str, Any]:
    """Of all versions of all families together, for the report's provenance.

    "isolation": the weakest of any model file's process; "cautions": one sentence for each version
    that answers the same question differently. Either only where there is something to say.
    """
    facts: dict[str, Any] = {}
    isolations = [a.facts["isolation"] for a in answers.values() if a.facts.get("isolation")]
    if isolations:
        facts["isolation"] = min(isolations, key=query.strength)
    cautions = [
        answer.facts["caution"] if family == TARGET else f"{family}, {answer.facts['caution']}"
        for (family, _), answer in answers.items()
        if "caution" in answer.facts
    ]
    return facts | ({"cautions": cautions} if cautions else {})
