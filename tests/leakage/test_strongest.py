"""The strongest attacker: one row a release, made of what the shadows show."""

import dataclasses
import types

import numpy as np
import planted
import pytest
from scipy import stats

import tf_compleak
from tf_compleak.attacks import classifiers, load, tabular
from tf_compleak.leakage import crossfit, pooled_scores, strongest
from tf_compleak.leakage.plan import Plan, Run
from tf_compleak.leakage.question import Question
from tf_compleak.leakage.scoring import RunScores
from tf_compleak.metrics import intervals
from tf_compleak.types import STRONGEST

ATTACKS = ("loss", "nasr-lr", "sr2-lr", "tabular")
RELEASES = (("original",), ("int8-ptq",), ("original", "int8-ptq"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(tabular, "DEALS", 1)


def report(leak, seed, attacks=ATTACKS, n=400, releases=RELEASES, **more):
    target, shadow = (planted.family(2 * seed + part, leak, n) for part in (0, 1))
    return tf_compleak.run_attacks(
        target, [shadow], attacks, releases=releases, marginal="none", **more
    )


def of_strongest(findings):
    return {row.release: row for row in findings.results if row.attack == STRONGEST}


def test_every_release_has_one_row():
    rows = of_strongest(found := report(1.0, 0))
    assert set(rows) == set(RELEASES) and not found.failures
    assert all(0.5 < row.shadow_auc < 1 for row in rows.values())
    assert [run.attack for run in found.sanity.null_runs][-1] == STRONGEST


def test_the_leading_row_is_chosen_by_the_shadows():
    """Not by what turned out on the target, whichever row that favours."""
    found = report(1.0, 0)
    (first, second) = sorted(
        (row for row in of_strongest(found).values() if row.tier == "NR"),
        key=lambda row: -row.shadow_auc,
    )
    assert found.leading("NR").release == first.release and found.candidates("NR") == 1
    better = dataclasses.replace(second.auc, value=0.99, low=0.98, high=1.0)
    rows = tuple(
        dataclasses.replace(row, auc=better) if row is second else row for row in found.results
    )
    changed = dataclasses.replace(found, results=rows)
    assert changed.leading("NR").release == first.release
    assert changed.best("NR").release == second.release


def test_no_row_of_it_is_clearly_below_what_it_knows():
    """Over six studies: neither below the best attack that it holds nor for knowing more."""
    worst, gains = [], []
    for seed in range(6):
        for row in of_strongest(report(0.8, seed, ("loss", "nasr-lr", "sr2-lr"))).values():
            worst.append(row.to_best_attack.auc.high)
            if row.tier == "SR":
                gains.append(row.gain_same.auc.high)
    assert sum(high < 0 for high in worst) <= 1 and not any(high < 0 for high in gains)


def test_nothing_of_the_targets_membership_is_used():
    """Other lists of the target's members change no score."""
    target, shadow = planted.family(0, 1.0, 300), planted.family(1, 1.0, 300)
    turned = dataclasses.replace(target, members=~target.members)
    values = []
    for family in (target, turned):
        found = tf_compleak.run_attacks(
            family, [shadow], ATTACKS, releases=RELEASES, marginal="none"
        )
        which = [row.attack == STRONGEST for row in found.results]
        values.append(found.scored.values[which])
    np.testing.assert_array_equal(*values)


def test_an_attack_that_failed_is_left_out():
    without = planted.family(0, 1.0, 300), planted.family(1, 1.0, 300)
    target, shadow = (dataclasses.replace(family, sensitivities=None) for family in without)
    lost = tf_compleak.run_attacks(
        target, [shadow], ("loss", "tabular", "samia"), releases=(("original",),), marginal="none"
    )
    assert len(of_strongest(lost)) == 1
    assert [failure.name for failure in lost.failures] == ["samia original"]


def test_one_attack_on_single_versions_is_no_combination():
    assert not of_strongest(report(1.0, 0, attacks=("loss",)))


def test_cross_fitted_it_has_the_widened_interval_of_what_it_holds():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((2, 400, 4)) + 2 * np.eye(4)[np.arange(400) % 4]
    sides = [(None, np.arange(200) % 4)] * 2
    versions = {"original": (logits[0, :200], logits[0, 200:])}
    found = tf_compleak.audit(versions, *sides, attacks=("loss", "tabular"), folds=3)
    rows = {row.attack: row for row in found.results}
    assert set(rows) == {"loss", "tabular", STRONGEST}
    assert rows[STRONGEST].auc.low < 0.5 < rows[STRONGEST].auc.high
    assert rows[STRONGEST].shadow_auc is None and "cross-fitting" in rows[STRONGEST].auc.method


@pytest.mark.slow
def test_cross_fitted_on_noise_its_intervals_hold_as_often_as_they_say():
    outside, draws = 0, 200
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        logits = rng.standard_normal((2, 200, 4)) + 2 * np.eye(4)[np.arange(200) % 4]
        sides = [(None, np.arange(100) % 4)] * 2
        versions = {
            name: (rows[:100], rows[100:])
            for name, rows in zip(("original", "other"), logits, strict=True)
        }
        found = tf_compleak.audit(
            versions, *sides, attacks=("loss", "nasr-lr"), releases=(("original",),), force=True
        )
        (row,) = of_strongest(found).values()
        outside += not row.auc.low <= 0.5 <= row.auc.high
    assert outside <= draws * 0.05 + 3 * np.sqrt(draws * 0.05 * 0.95)


@pytest.mark.slow
def test_cross_fitted_over_many_versions_it_is_above_chance_no_more_often_than_it_says():
    """Weights found on scores that saw the fold left out put it wholly above in 12 of 200."""
    names, above, draws = tuple(f"v{number}" for number in range(8)), 0, 200
    for seed in range(draws):
        target, parts = cross_fitted_noise(seed, names)
        provider = types.SimpleNamespace(question=types.SimpleNamespace(seed=seed, folds=5))
        scores, weights = strongest.combined(provider, Run(STRONGEST, names), parts)
        assert len(set(weights)) == 1
        pooled = pooled_scores.pool([scores], [target.ids], 0)
        auc = intervals.auc_estimate(pooled.values, pooled.members)
        above += pooled.widened(auc, auc.value, (0, 1)).low > 0.5
    assert above <= stats.binom.ppf(0.99, draws, 0.025)


def cross_fitted_noise(seed, names, n=200):
    """A target whose versions tell nothing, and an attack cross-fitted on each of them."""
    target = planted.family(seed, 0.0, n, classes=4, versions=names)
    folds = crossfit.folds_of(target.members, 5, np.random.default_rng(seed))
    attack, parts = load("nasr-lr"), []
    for name in names:
        seen = target.select((name,))
        values, margins = crossfit.cross_fitted(lambda *told: None, seen, folds, attack, seed)
        noise = crossfit.noise(seen, folds, attack, seed)
        parts.append(RunScores(values, margins, target.members, noise))
    return target, parts


def test_cross_fitted_no_weight_is_found_on_membership():
    target, parts = cross_fitted_noise(0, ("a", "b"))
    provider = types.SimpleNamespace(question=types.SimpleNamespace(seed=0, folds=5))
    _, weights = strongest.combined(provider, Run(STRONGEST, ("a", "b")), parts)
    told = dataclasses.replace(parts[1], values=1.0 * target.members)
    _, same = strongest.combined(provider, Run(STRONGEST, ("a", "b")), [parts[0], told])
    assert weights == same == [0.5, 0.5]


def test_held_out_scores_are_by_fits_without_the_example():
    """A nearest neighbour that knows its own examples tells none of those held out."""

    class ByHeart:
        threshold = 0.0

        def fit(self, shadows, *, seed):
            (shadow,) = shadows
            fitted = ByHeart()
            fitted.known = {
                row.tobytes(): member
                for row, member in zip(shadow.probabilities[0], shadow.members, strict=True)
            }
            return fitted

        def score(self, target):
            known = (self.known.get(row.tobytes(), 0.5) for row in target.probabilities[0])
            return np.fromiter(known, float, len(target))

    shadow = planted.family(1, 0.0, 200).select(("original",))
    fitted = ByHeart().fit([shadow], seed=0)
    assert (fitted.score(shadow) == shadow.members).all()
    np.testing.assert_array_equal(crossfit.held_out(fitted, ByHeart(), [shadow], 0), 0.5)


@pytest.mark.parametrize("attack", [classifiers.Linear(), tabular.Tabular()])
def test_attacks_tell_held_out_scores_of_the_scale_of_their_own(attack):
    shadow, target = (planted.family(seed, 1.0).select(("original",)) for seed in (1, 2))
    fitted = attack.fit([shadow], seed=0)
    own, other = crossfit.held_out(fitted, attack, [shadow], 0), fitted.score(target.hidden())
    assert own.shape == (len(shadow),) and own.dtype == np.float32
    assert abs(own.mean() - other.mean()) < 0.2 and 0.8 < own.std() / other.std() < 1.25


def test_parts_are_all_attacks_on_some_of_the_releases_versions():
    names = ("original", "a", "b")
    question = Question(attacks=("loss", "sr2-lr", "tabular"))
    plan = Plan(question, ("target", "shadow-0"), names, names)
    combined = {run.release: parts for run, parts in plan.combined().items()}
    assert set(combined) == set(plan.releases())
    assert {part.title for part in combined["original", "a"]} == {
        *("loss original", "loss a", "tabular original", "tabular a"),
        *("sr2-lr original+a", "tabular original+a"),
    }
    assert len(combined[names]) == 3 + 2 + 7
    fewer = plan.combined(failed={"sr2-lr original+a"})
    assert all(
        part.attack != "sr2-lr" for run in fewer for part in fewer[run] if "b" not in run.release
    )
