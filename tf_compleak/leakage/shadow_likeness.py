"""Whether the shadows are like their target: an attack fits the target as far as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tf_compleak.leakage import version_record
from tf_compleak.leakage.plan import TARGET, Plan
from tf_compleak.leakage.provider import Provider
from tf_compleak.metrics import intervals
from tf_compleak.types import Estimate
from tf_compleak.types.comparisons import FamilyAccuracy

TOLERANCE = 0.03  # difference in accuracy that models of the same kind may have
LEVEL = 0.95  # of all comparisons of a report together
KINDS = ("member", "non-member", "validation")


def accuracies(plan: Plan, provider: Provider) -> tuple[FamilyAccuracy, ...]:
    """Accuracies of every usable version of the target and of its shadows; none without shadows."""
    if not plan.num_shadows:
        return ()
    of = [_accuracy(provider, family, name) for family in plan.families for name in plan.usable]
    return tuple(accuracy for accuracy in of if accuracy is not None)


def _accuracy(provider: Provider, family: str, name: str) -> FamilyAccuracy | None:
    """None where a shadow lacks the version, which is told as a failure of attacks on it."""
    try:
        observations = provider.observations(family, (name,))
    except ValueError:
        return None
    record = version_record.record(name, observations, recipe=name, path="")
    validation = provider.validation_accuracy(family, name)
    return FamilyAccuracy(
        family, name, record.member_accuracy, record.non_member_accuracy, validation
    )


def warnings(families: Sequence[FamilyAccuracy]) -> list[str]:
    """One sentence for every shadow whose accuracies differ from the target's.

    That is, by more than `TOLERANCE` beyond what sampling can do: the interval of the difference,
    at a level for all comparisons together, lies outside. It is made of the two accuracies' own
    (Newcombe, Statistics in Medicine 1998, method 10, on Clopper-Pearson intervals).
    """
    pairs = list(_pairs(families))
    level = 1 - (1 - LEVEL) / max(1, len(pairs))
    unlike: dict[str, list[tuple[float, str]]] = {}
    for shadow, kind, accuracy, wanted in pairs:
        low, high = _difference(accuracy, wanted, level)
        if low <= TOLERANCE and high >= -TOLERANCE:
            continue
        gap = accuracy.value - wanted.value
        words = (
            f"its {shadow.version} has a {kind} accuracy of {accuracy.value:.3f} (n = "
            f"{accuracy.n:,}), the target's has {wanted.value:.3f} (n = {wanted.n:,}), a "
            f"difference of {gap:+.3f} [{low:+.3f}, {high:+.3f}]"
        )
        unlike.setdefault(shadow.family, []).append((abs(gap), words))
    return [_sentence(family, differences) for family, differences in unlike.items()]


def _sentence(family: str, differences: list[tuple[float, str]]) -> str:
    more = f", and {len(differences) - 1} more such differences" if len(differences) > 1 else ""
    return (
        f"{family} is unlike the target: {max(differences)[1]}{more}. An attack that is fitted on "
        "it may find too little, and its threshold may not fit: train shadows as the target was."
    )


def _pairs(
    families: Sequence[FamilyAccuracy],
) -> Iterator[tuple[FamilyAccuracy, str, Estimate, Estimate]]:
    """Each shadow's accuracies with their kind, beside the target's of the same version."""
    target = {of.version: of for of in families if of.family == TARGET}
    for shadow in families:
        if shadow.family == TARGET or shadow.version not in target:
            continue
        for kind in KINDS:
            name = f"{kind.replace('-', '_')}_accuracy"
            accuracy, wanted = getattr(shadow, name), getattr(target[shadow.version], name)
            if accuracy is not None and wanted is not None:
                yield shadow, kind, accuracy, wanted


def _difference(accuracy: Estimate, wanted: Estimate, level: float) -> tuple[float, float]:
    one, other = (
        intervals.proportion(round(of.value * of.n), of.n, level) for of in (accuracy, wanted)
    )
    return intervals.mover(one, other, 0.0)
