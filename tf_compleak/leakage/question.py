"""The question: what is asked of the families. One set of flags for every door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tf_compleak.attacks import ATTACKS
from tf_compleak.leakage import exposures
from tf_compleak.metrics import grammar
from tf_compleak.types import ORIGINAL, Release, validators
from tf_compleak.types.settings import Settings
from tf_compleak.types.versions import release_text

NONE = "none"
GROWING = ("versions", "attacks", "releases", "shadow_counts", "exposure")


@dataclass(frozen=True, kw_only=True)
class Question(Settings):
    """What is asked; every field is a flag of the same name, see its help for meanings.

    Raises:
      ValueError: for an unknown name or a value out of range, naming the flag.
    """

    growing: ClassVar[tuple[str, ...]] = GROWING

    attacks: tuple[str, ...] = ("modified-entropy", "tabular")
    releases: tuple[Release, ...] = ()
    shadow_counts: tuple[int, ...] = ()
    exposure: tuple[str, ...] = (exposures.FULL,)
    marginal: str = "auc"
    subset_budget: str = ""
    folds: int = 5
    queries: int = 0
    sensitivity_queries: int = 10
    sensitivity_epsilon: float = 1e-3
    delta: float = 0.0
    threads: int = 1
    seed: int = 0

    @property
    def coins(self) -> bool:
        """Whether an independent fair coin decided of each example whether it is a member."""
        return False

    def __post_init__(self):
        _check_attacks(self.attacks)
        if not self.exposure:
            raise ValueError("--exposure: empty; name at least one, such as full.")
        validators.distinct("--exposure", self.exposure)
        for name in self.exposure:
            exposures.parse(name)
        self.order_by()
        self.budget()
        validators.between("--folds", self.folds, 2, 50)
        validators.between("--queries", self.queries, 0, 64)
        validators.between("--sensitivity_queries", self.sensitivity_queries, 1, 1000)
        validators.between("--sensitivity_epsilon", self.sensitivity_epsilon, 1e-6, 1.0)
        validators.between("--delta", self.delta, 0, 0.5)
        validators.between("--threads", self.threads, 1, 1024)
        validators.at_least("--seed", self.seed, 0)

    def ask(self, names: Release, num_shadows: int) -> None:
        """Check the question against the versions and the number of shadows; orders releases.

        Raises:
          ValueError: for releases of other versions, counts of more shadows than there are.
        """
        releases = tuple(arranged(release, names) for release in self.releases)
        object.__setattr__(self, "releases", releases)
        validators.distinct("--releases", [release_text(release) for release in releases])
        validators.distinct("--shadow_counts", self.shadow_counts)
        for count in self.shadow_counts:
            if not num_shadows:
                raise ValueError(f"--shadow_counts={count}: there are no shadows; leave it out.")
            validators.between("--shadow_counts", count, 1, num_shadows)

    def check_measurable(self, num_non_members: int) -> None:
        """ValueError where the order or the budget go by what so few non-members cannot measure."""
        if metric := self.order_by():
            check_measurable(metric, num_non_members, "--marginal")
        if budget := self.budget():
            check_measurable(budget.metric, num_non_members, "--subset_budget")

    def order_by(self) -> grammar.Metric | None:
        """The metric of --marginal; None where it is "none"."""
        return None if self.marginal == NONE else grammar.metric(self.marginal, "--marginal")

    def budget(self) -> grammar.Condition | None:
        """The condition of --subset_budget; None where there is none."""
        if not self.subset_budget:
            return None
        return grammar.condition(self.subset_budget, "--subset_budget", ("<", "<="))


def _check_attacks(attacks: Sequence[str]) -> None:
    if not attacks:
        raise ValueError("--attacks: empty; name at least one, such as tabular.")
    validators.distinct("--attacks", attacks)
    for attack in attacks:
        validators.choice("--attacks", attack, ATTACKS)


def check_measurable(metric: grammar.Metric, num_non_members: int, flag: str) -> None:
    """ValueError for a metric that has no order, or that so few non-members cannot measure."""
    from tf_compleak.metrics import intervals  # scipy

    if metric.name == "epsilon":
        raise ValueError(
            f"{flag}: epsilon has no order; name auc, accuracy, advantage or tpr@0.01."
        )
    if metric.fpr is None:
        return
    few = intervals.few_non_members(num_non_members, metric.fpr)
    if few:
        raise ValueError(f"{flag}: {metric} is not measurable: {few}; raise the rate.")


def arranged(release: Release, names: Release) -> Release:
    """A release in the order of the versions, the original first; ValueError for a bad name."""
    for name in release:
        known = [release_text((version,)) for version in names]
        validators.choice("--releases", release_text((name,)), known)
    validators.distinct("--releases", release)
    return tuple(sorted(release, key=lambda name: (name != ORIGINAL, names.index(name))))
