"""Cross-fitting: folds, honest intervals where nothing or little leaks."""

import weakref

import numpy as np
import pytest

import tf_compleak
from tf_compleak.attacks import load
from tf_compleak.inference.observe import softmax
from tf_compleak.leakage import crossfit
from tf_compleak.metrics import intervals, roc


def test_folds_are_alike_in_membership():
    rng = np.random.default_rng(0)
    members = rng.random(1003) < 0.3
    folds = crossfit.folds_of(members, 5, rng)
    for member in (True, False):
        counts = np.bincount(folds[members == member], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_cross_fitting_finds_nothing_where_nothing_is():
    """Classes whose shares of members differ by chance, which labels alone would tell."""
    rng, aucs = np.random.default_rng(0), []
    labels = np.repeat(np.arange(20), 20)
    for seed in range(60):
        seen = tf_compleak.Observations.from_arrays(
            softmax(rng.standard_normal((400, 20)))[None],
            labels,
            rng.permutation(400) < 200,
            versions=["original"],
        )
        folds = crossfit.folds_of(seen.members, 5, rng)
        values, _ = crossfit.cross_fitted(
            lambda *_: None, seen, folds, load("tabular"), seed, with_margins=False
        )
        aucs.append(roc.auc(values, seen.members))
    spread = np.sqrt(401 / (12 * 200 * 200))  # of a Mann-Whitney AUC where nothing is to be found
    assert abs(np.mean(aucs) - 0.5) < 3 * spread / np.sqrt(60)
    assert np.std(aucs) / spread == pytest.approx(np.sqrt(2), rel=0.25)  # see `crossfit`


def drawn(rng, n, leak, classes=5, versions=1):
    labels, members = rng.integers(classes, size=n), rng.permutation(n) < n // 2
    logits = rng.standard_normal((n, classes))
    logits[np.arange(n), labels] += 1.5 + leak * members
    answers = [logits]
    if versions > 1:
        answers = [logits + 0.5 * rng.standard_normal(logits.shape) for _ in range(versions)]
    names = ["original", "other"][:versions]
    return tf_compleak.Observations.from_arrays(
        np.stack([softmax(logits) for logits in answers]), labels, members, versions=names
    )


def test_one_fit_is_held_at_a_time():
    """A fit holds its table until its threshold is chosen: that of the next is made after it."""
    loss, fits, most = load("loss"), weakref.WeakSet(), []

    class Counted:
        def fit(self, shadows, *, seed):
            most.append(len(fits))
            fitted = loss.fit(shadows, seed=seed)
            fits.add(fitted)
            return fitted

    seen = drawn(np.random.default_rng(0), 60, 0.0)
    folds = crossfit.folds_of(seen.members, 3, np.random.default_rng(0))
    crossfit.cross_fitted(lambda *_: None, seen, folds, Counted(), 0)
    assert most == [0, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("leak", [0.0, 0.4, 0.7, 1.0])
@pytest.mark.parametrize("name", ["loss", "tabular"])
def test_widened_intervals_cover(leak, name):
    """Without the widening, tabular covers 80 % of the time where nothing leaks.

    A threshold on the loss has next to nothing to fit: conservative where little leaks.
    """
    estimates = []
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        seen = drawn(rng, 400, leak)
        folds = crossfit.folds_of(seen.members, 5, rng)
        values, _ = crossfit.cross_fitted(lambda *_: None, seen, folds, load(name), seed)
        auc = intervals.auc_estimate(values, seen.members)
        share = crossfit.noise(seen, folds, load(name), seed)
        estimates.append(auc.widened(crossfit.widening(auc.value, 200, 200, share), "x", (0, 1)))
    truth = np.mean([of.value for of in estimates]) if leak else 0.5
    most = 0.975 if name == "tabular" else 1
    assert 0.93 <= np.mean([of.low <= truth <= of.high for of in estimates]) <= most


@pytest.mark.slow
@pytest.mark.parametrize("leak", [0.0, 0.7])
def test_widened_rates_and_gains_cover(leak):
    """Conservative: their intervals are stretched as far as the AUC's, which needs it most."""
    estimates = {"gain": [], "accuracy": [], "tpr": []}
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        seen = drawn(rng, 400, leak, versions=2)
        members, folds = seen.members, crossfit.folds_of(seen.members, 5, rng)
        values, margins, shares = [], [], []
        for release in (seen.versions[:1], seen.versions):
            part = seen.select(release)
            scores = crossfit.cross_fitted(lambda *_: None, part, folds, load("tabular"), seed)
            values.append(scores[0]), margins.append(scores[1])
            shares.append(crossfit.noise(part, folds, load("tabular"), seed))
        auc = roc.auc(values[1], members)
        alone, both = (
            crossfit.widening(auc, 200, 200, share) for share in (shares[1], max(shares))
        )
        rates = {
            "accuracy": intervals.balanced_accuracy_estimate(margins[1], members, 0.0),
            "tpr": intervals.tpr_at_fpr_estimate(values[1], members, 0.1, rng=rng),
        }
        gain = intervals.auc_difference(values[1], values[0], members)
        estimates["gain"].append(gain.widened(both, "x", (-1, 1)))
        for name, rate in rates.items():
            estimates[name].append(rate.widened(alone, "x", (0, 1)))
    for name, drawn_estimates in estimates.items():
        truth = np.mean([of.value for of in drawn_estimates])
        assert np.mean([of.low <= truth <= of.high for of in drawn_estimates]) >= 0.93, name


def test_widening_is_for_fits_that_are_chance():
    assert crossfit.widening(0.5, 200, 200, 0.0) == 1
    assert crossfit.widening(0.5, 200, 200, 0.3) == pytest.approx(np.sqrt(2))
    assert crossfit.widening(0.9, 2000, 2000, 0.01) == pytest.approx(np.sqrt(1.025), abs=1e-6)
    rng = np.random.default_rng(0)
    signal = rng.standard_normal(5000)
    first, second = (signal + 0.5 * rng.standard_normal(5000) for _ in range(2))
    assert crossfit.disagreement(first, second) == pytest.approx(0.25 / 2.25, abs=0.02)
    assert crossfit.disagreement(first, first) == 0 and crossfit.disagreement(first, -first) == 1


@pytest.mark.parametrize(("inside", "outside"), [(40, 9), (9, 40), (40, 1)])
@pytest.mark.parametrize("attack", ["loss", "tabular", "nasr-rf"])
def test_too_few_examples_of_a_side_are_said_in_one_line(inside, outside, attack):
    rng = np.random.default_rng(0)
    answers = rng.standard_normal((inside + outside, 3))
    labels = answers.argmax(axis=1)
    sides = (None, labels[:inside]), (None, labels[inside:])
    with pytest.raises(
        ValueError, match=f"{inside} members and {outside} non-members: without"
    ) as told:
        tf_compleak.audit(
            {"original": (answers[:inside], answers[inside:])}, *sides, attacks=(attack,)
        )
    assert "needs 10 examples; give more, or shadows" in str(told.value)
    assert "\n" not in str(told.value)
