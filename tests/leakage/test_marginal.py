"""What each version adds, on families whose leak is known."""

import dataclasses
import itertools

import numpy as np
import pytest

from tf_compleak.attacks import load
from tf_compleak.inference.observe import softmax
from tf_compleak.leakage import crossfit, marginal, subsets
from tf_compleak.metrics import grammar, roc, slices
from tf_compleak.types import Version
from tf_compleak.types.marginal_leakage import Marginal
from tf_compleak.types.observations import Observations

_SLOW = pytest.mark.slow
NAMES = ("original", "copy", "much", "nothing")
AUC = grammar.metric("auc", "x")


def family(seed, n=1200, leak=1.2, classes=4):
    """`copy` repeats the original, `much` has a leak of its own, `nothing` has none."""
    rng = np.random.default_rng(seed)
    labels, members = rng.integers(classes, size=n), rng.permutation(n) < n // 2

    def version(strength):
        logits = rng.standard_normal((n, classes))
        logits[np.arange(n), labels] += 1.5 + strength * members
        return softmax(logits)

    first = version(leak)
    rows = np.stack([first, first, version(leak), version(0)])
    return Observations.from_arrays(rows, labels, members, versions=NAMES)


FACTS = tuple(
    Version(name, name, "", bytes=100 * (i + 1), gzip_bytes=10 * (i + 1))
    for i, name in enumerate(NAMES)
)


@pytest.mark.parametrize("shadows", [[], [family(1)]])
def test_a_copy_adds_nothing_and_another_leak_adds_much(shadows):
    added = marginal.marginal(family(0), shadows, metric=AUC, versions=FACTS)
    alone = {subset.release[0]: subset.figure for subset in added.singles}
    assert alone["nothing"].low < 0.5 < alone["nothing"].high and alone["original"].low > 0.6
    order = [step.added for step in added.order]
    assert order[0] == "nothing" and set(order) == set(NAMES)
    gains = {step.added: step.gain for step in added.order}
    second_of_twins = max(("original", "copy"), key=order.index)
    assert gains[second_of_twins].low < 0.01 and gains[second_of_twins].high < 0.03
    assert gains["much"].low > 0.02 and gains["nothing"] is None
    for before, after in itertools.pairwise(added.order):
        difference = after.subset.figure.value - before.subset.figure.value
        assert after.gain.value == pytest.approx(difference, abs=1e-9)
    assert [subset.release for subset in added.pairs] == [("original", n) for n in NAMES[1:]]
    assert added.order[-1].subset.gzip_bytes == 100 and added.order[-1].subset.bytes == 1000
    assert Marginal.from_json(added.to_json()).order == added.order


def test_it_agrees_with_the_public_attack():
    target, shadow = family(0), family(1)
    attack = subsets.SubsetAttack(target, [shadow], None)
    for release in (NAMES[:1], NAMES[:3], NAMES):
        public = load("tabular").fit([shadow.select(release)], seed=0)
        scores = public.score(target.select(release).hidden())
        assert roc.auc(attack.values(release), target.members) == pytest.approx(
            roc.auc(scores, target.members), abs=3e-3
        )
    folds = crossfit.folds_of(target.members, 5, np.random.default_rng(0))
    values, _ = crossfit.cross_fitted(lambda *_: None, target, folds, load("tabular"), 0)
    scores = subsets.SubsetAttack(target, [], folds).values(NAMES)
    public = roc.auc(values, target.members)
    assert roc.auc(scores, target.members) == pytest.approx(public, abs=3e-3)


def test_a_threshold_has_not_seen_its_fold():
    """Not even through the scores that it is chosen on, which are of fits to other folds."""
    target = family(0, n=400)
    folds = crossfit.folds_of(target.members, 5, np.random.default_rng(0))
    members, first = target.members.copy(), np.flatnonzero(folds == 0)
    members[first] = np.random.default_rng(1).permutation(members[first])
    thresholds = []
    for known in (target.members, members):
        attack = subsets.SubsetAttack(dataclasses.replace(target, members=known), [], folds)
        thresholds.append(attack.values(NAMES) - attack.margins(NAMES))
    np.testing.assert_allclose(thresholds[0][first], thresholds[1][first], atol=1e-9)
    assert (np.abs(thresholds[0] - thresholds[1])[folds != 0] > 1e-6).all()


def noise(rng, n=1000, count=4):
    """A family of which no version tells anything."""
    names = ("original", *(f"version-{i}" for i in range(1, count)))
    labels, members = rng.integers(4, size=n), rng.permutation(n) < n // 2
    rows = np.stack([softmax(rng.standard_normal((n, 4))) for _ in names])
    facts = tuple(Version(name, name, "") for name in names)
    return Observations.from_arrays(rows, labels, members, versions=names), facts


@pytest.mark.parametrize("name", ["tpr@0.02", "accuracy", "auc"])
def test_intervals_stay_within_the_bounds_of_their_figures(name):
    seen, facts = noise(np.random.default_rng(3), count=2)
    budget = grammar.condition(f"{name}<=0.9", "x", ("<", "<="))
    metric = budget.metric
    added = marginal.marginal(seen, [], metric=metric, versions=facts, budget=budget)
    sets = (*added.singles, *added.pairs, *added.within, *(step.subset for step in added.order))
    assert added.within
    assert all(0 <= s.figure.low <= s.figure.value <= s.figure.high <= 1 for s in sets)
    assert -1 <= added.order[1].gain.low <= added.order[1].gain.high <= 1


def test_a_gain_in_advantage_may_be_two():
    """From always wrong to always right; a bound of one would leave out the value."""
    members = np.arange(200) < 100
    attack = SumAttack(np.stack([1.0 - 2 * members, 3.0 * (2 * members - 1)]), members)
    measure = subsets.Measure(attack, grammar.metric("advantage", "x"), 0, ())
    gain = measure.gain(("v0", "v1"), ("v0",))
    assert gain.value == 2 and gain.high == 2 and gain.low > 1.8


class SumAttack:
    """In place of the tabular attack: a subset's scores are the sums of its versions' scores."""

    def __init__(self, scores: np.ndarray, members: np.ndarray):
        names = tuple(f"v{i}" for i in range(len(scores)))
        self.target = Observations.from_arrays(
            np.full((len(scores), scores.shape[1], 2), 0.5, np.float32),
            np.zeros(scores.shape[1], int),
            members,
            versions=names,
        )
        self.folds, self.scores = None, dict(zip(names, scores, strict=True))

    def values(self, release):
        return np.sum([self.scores[name] for name in release], axis=0)

    margins = values


@pytest.mark.parametrize("name", ["auc", "accuracy", pytest.param("tpr@0.1", marks=_SLOW)])
def test_all_of_an_order_of_noise_holds_together(name):
    """The order is picked by the figures it shows: at 95 % each, one run of three misleads."""
    rng, count, draws = np.random.default_rng(0), 6, 150
    metric = grammar.metric(name, "x")
    wrong, naive = [], []
    level = slices.adjusted_level(0.95, marginal.looked_at(count))
    for seed in range(draws):
        attack = SumAttack(rng.standard_normal((count, 400)), rng.permutation(400) < 200)
        names = list(attack.target.versions)
        measure = subsets.Measure(attack, metric, seed, [Version(name, name, "") for name in names])
        order = marginal.greedy(measure.value, names)
        wrong.append(misleads(marginal.additions(measure, order, level), metric.fpr or 0.5))
        naive.append(misleads(marginal.additions(measure, order, 0.95), metric.fpr or 0.5))
    assert np.mean(wrong) <= 0.05 < 0.15 < np.mean(naive)


def misleads(steps, chance: float) -> bool:
    """Whether any figure or gain of an order tells of a leak, or of less than chance."""
    figures, gains = ([step.subset.figure for step in steps], [step.gain for step in steps[1:]])
    sound = all(figure.low <= chance <= figure.high for figure in figures)
    return not sound or not all(gain.low <= 0 <= gain.high for gain in gains)


@pytest.mark.slow
def test_all_that_is_shown_of_noise_holds_together_cross_fitted():
    wrong = []
    for seed in range(120):
        seen, facts = noise(np.random.default_rng(seed), n=400)
        added = marginal.marginal(seen, [], metric=AUC, versions=facts, seed=seed)
        sets = (*added.singles, *added.pairs)
        sound = all(subset.figure.low <= 0.5 <= subset.figure.high for subset in sets)
        wrong.append(not sound or misleads(added.order, 0.5))
    assert np.mean(wrong) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 120)


def test_redrawn_membership_gives_no_subset_anything():
    seen = family(0)
    drawn = np.random.default_rng(5).permutation(seen.members)
    added = marginal.marginal(
        dataclasses.replace(seen, members=drawn), [], metric=AUC, versions=FACTS
    )
    for subset in (*added.singles, *added.pairs, *(step.subset for step in added.order)):
        half = 1.7 * (subset.figure.high - subset.figure.low) / 2
        assert abs(subset.figure.value - 0.5) < half


def test_sets_within_a_budget_are_the_largest():
    budget = grammar.condition("auc<=0.8", "x", ("<", "<="))
    added = marginal.marginal(family(0), [family(1)], metric=AUC, versions=FACTS, budget=budget)
    assert added.looked == 15 and not added.cut_off and added.within
    releases = [set(subset.release) for subset in added.within]
    assert all(subset.figure.high <= 0.8 for subset in added.within)
    assert not any(one < other for one in releases for other in releases)
    assert any({"original", "copy"} <= release for release in releases)  # the copy costs nothing
    assert not any({"original", "much"} <= release for release in releases)
    none = grammar.condition("auc<=0.1", "x", ("<", "<="))
    assert not marginal.marginal(
        family(0), [family(1)], metric=AUC, versions=FACTS, budget=none
    ).within


@pytest.mark.parametrize("name", ["accuracy", "advantage", "tpr@0.1"])
def test_other_metrics(name):
    metric = grammar.metric(name, "x")
    added = marginal.marginal(family(0), [family(1)], metric=metric, versions=FACTS)
    last = added.order[-1]
    assert last.subset.figure.low <= last.subset.figure.value <= last.subset.figure.high
    assert last.gain.low <= last.gain.value <= last.gain.high
    with pytest.raises(ValueError, match="needs 10,000 non-members, has 600; raise the rate"):
        rare = grammar.metric("tpr@0.001", "x")
        marginal.marginal(family(0), [], metric=rare, versions=FACTS)


def test_many_versions_are_searched_level_by_level():
    seen = family(0, n=400)
    names = tuple(f"v{i}" for i in range(8))
    many = Observations.from_arrays(
        np.concatenate([seen.probabilities, seen.probabilities]),
        seen.labels,
        seen.members,
        versions=names,
    )
    facts = tuple(Version(name, name, "") for name in names)
    budget = grammar.condition("auc<=0.72", "x", ("<", "<="))
    added = marginal.marginal(many, [], metric=AUC, versions=facts, budget=budget)
    assert added.looked < 255 and not added.cut_off
    assert {"v3", "v7"} <= {name for subset in added.within for name in subset.release}
