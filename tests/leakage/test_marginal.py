"""What each version adds, on families whose leak is known."""

import dataclasses
import itertools

import numpy as np
import pytest

from tf_compleak.attacks import load
from tf_compleak.inference.observe import softmax
from tf_compleak.leakage import crossfit, marginal, subsets
from tf_compleak.metrics import grammar, roc
from tf_compleak.types import Version
from tf_compleak.types.marginal_leakage import Marginal
from tf_compleak.types.observations import Observations

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
    found = marginal.marginal(family(0), shadows, metric=AUC, versions=FACTS)
    alone = {subset.release[0]: subset.figure for subset in found.singles}
    assert alone["nothing"].low < 0.5 < alone["nothing"].high and alone["original"].low > 0.6
    order = [step.added for step in found.order]
    assert order[0] == "nothing" and set(order) == set(NAMES)
    gains = {step.added: step.gain for step in found.order}
    second_of_twins = max(("original", "copy"), key=order.index)
    assert gains[second_of_twins].low < 0.01 and gains[second_of_twins].high < 0.03
    assert gains["much"].low > 0.02 and gains["nothing"] is None
    for before, after in itertools.pairwise(found.order):
        difference = after.subset.figure.value - before.subset.figure.value
        assert after.gain.value == pytest.approx(difference, abs=1e-9)
    assert [subset.release for subset in found.pairs] == [("original", n) for n in NAMES[1:]]
    assert found.order[-1].subset.gzip_bytes == 100 and found.order[-1].subset.bytes == 1000
    assert Marginal.from_json(found.to_json()).order == found.order


def test_it_agrees_with_the_public_attack():
    target, shadow = family(0), family(1)
    engine = subsets.Engine(target, [shadow], None)
    for release in (NAMES[:1], NAMES[:3], NAMES):
        public = load("tabular").fit([shadow.select(release)], seed=0)
        scores = public.score(target.select(release).hidden())
        own = engine.scores(release).values
        assert roc.auc(own, target.members) == pytest.approx(
            roc.auc(scores, target.members), abs=3e-3
        )
    folds = crossfit.folds_of(target.members, 5, np.random.default_rng(0))
    values, _ = crossfit.cross_fitted(lambda *_: None, target, folds, load("tabular"), 0)
    own = subsets.Engine(target, [], folds).scores(NAMES).values
    assert roc.auc(own, target.members) == pytest.approx(roc.auc(values, target.members), abs=3e-3)


def test_redrawn_membership_gives_no_subset_anything():
    seen = family(0)
    drawn = np.random.default_rng(5).permutation(seen.members)
    found = marginal.marginal(
        dataclasses.replace(seen, members=drawn), [], metric=AUC, versions=FACTS
    )
    for subset in (*found.singles, *found.pairs, *(step.subset for step in found.order)):
        half = 1.7 * (subset.figure.high - subset.figure.low) / 2
        assert abs(subset.figure.value - 0.5) < half


def test_sets_within_a_budget_are_the_largest():
    budget = grammar.condition("auc<=0.8", "x", ("<", "<="))
    found = marginal.marginal(family(0), [family(1)], metric=AUC, versions=FACTS, budget=budget)
    assert found.looked == 15 and not found.cut_off and found.within
    kept = [set(subset.release) for subset in found.within]
    assert all(subset.figure.high <= 0.8 for subset in found.within)
    assert not any(one < other for one in kept for other in kept)
    assert any({"original", "copy"} <= each for each in kept)  # the copy costs nothing
    assert not any({"original", "much"} <= each for each in kept)
    none = grammar.condition("auc<=0.1", "x", ("<", "<="))
    assert not marginal.marginal(
        family(0), [family(1)], metric=AUC, versions=FACTS, budget=none
    ).within


@pytest.mark.parametrize("name", ["accuracy", "advantage", "tpr@0.1"])
def test_other_metrics(name):
    metric = grammar.metric(name, "x")
    found = marginal.marginal(family(0), [family(1)], metric=metric, versions=FACTS)
    last = found.order[-1]
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
    found = marginal.marginal(many, [], metric=AUC, versions=facts, budget=budget)
    assert found.looked < 255 and not found.cut_off
    assert {"v3", "v7"} <= {name for subset in found.within for name in subset.release}
