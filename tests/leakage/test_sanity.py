"""The checks of a report, as rates: how often they void what is sound, and find what is not."""

import dataclasses

import numpy as np
import planted
import pytest

import tf_compleak
from tf_compleak.attacks import blind, classifiers
from tf_compleak.inference.observe import softmax
from tf_compleak.leakage import crossfit, sanity
from tf_compleak.leakage.observation_folder import ObservationFolder
from tf_compleak.leakage.plan import Plan, Run
from tf_compleak.leakage.provider import drawing
from tf_compleak.leakage.question import Question
from tf_compleak.metrics import slices
from tf_compleak.types.soundness import holds_chance

SIDES = [(50, 50), (40, 160), (180, 20)]


def most(level: float, draws: int) -> float:
    """A rate of false alarms that draws with this level exceed once in a thousand times."""
    return 1 - level + 3 * np.sqrt(level * (1 - level) / draws)


def drawn(rng, sides: tuple[int, int], width: int, shift: float = 0.0):
    """Inputs f64[N, width] and members bool[N]; `shift` moves one feature of the members."""
    members = rng.permutation(sum(sides)) < sides[0]
    table = rng.standard_normal((sum(sides), width))
    table[members, 0] += shift
    return table, members


def linear_scores(rng, table: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Cross-fitted scores f64[N] of the plainest classifier: the difference of the means."""
    values, folds = np.empty(len(members)), crossfit.folds_of(members, blind.FOLDS, rng)
    for fold in range(blind.FOLDS):
        others, left_out = folds != fold, folds == fold
        direction = table[others & members].mean(axis=0) - table[others & ~members].mean(axis=0)
        values[left_out] = table[left_out] @ (direction / np.linalg.norm(direction))
    return values


@pytest.mark.parametrize("sides", SIDES)
def test_a_blind_baseline_on_sound_data_fails_once_in_a_hundred(sides):
    rng, draws, alarms = np.random.default_rng(0), 1000, 0
    for _ in range(draws):
        table, members = drawn(rng, sides, width=20)
        alarms += not holds_chance(
            sanity.blind_estimate(linear_scores(rng, table, members), members)
        )
    assert alarms / draws <= most(sanity.LEVEL, draws)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("sides", SIDES)
def test_the_baseline_of_reports_on_sound_data_fails_once_in_a_hundred(sides):
    draws, alarms = 1000, 0
    for seed in range(draws):
        table, members = drawn(np.random.default_rng(seed), sides, width=8)
        values = blind.scores(table, members, seed=seed)
        alarms += not holds_chance(sanity.blind_estimate(values, members))
    assert alarms / draws <= most(sanity.LEVEL, draws)


@pytest.mark.parametrize("sides", [(200, 200), (80, 320)])
def test_a_blind_baseline_finds_sides_that_differ(sides):
    for seed in range(2):
        table, members = drawn(np.random.default_rng(seed), sides, width=8, shift=1.5)
        auc = sanity.blind_estimate(blind.scores(table, members, seed=seed), members)
        assert auc.low > 0.5


# Null runs ----------------------------------------------------------------------------------------

RUNS = 3  # null runs of a report, which share their draws of membership
UNEQUAL = [(100, 100), (180, 20)]


def is_void(score, rng, sides: tuple[int, int], cross_fitted: bool) -> bool:
    """Whether a report is void by one of `RUNS` null runs; `score` gives f64[N] for members."""
    draws = [rng.permutation(sum(sides)) < sides[0] for _ in range(sanity.DRAWS)]
    level = slices.adjusted_level(sanity.NULL_LEVEL, RUNS)
    for _ in range(RUNS):
        values = np.stack([score(members) for members in draws])
        auc = sanity.null_estimate(values, np.stack(draws), level, cross_fitted)
        if not holds_chance(auc):
            return True
    return False


@pytest.mark.parametrize("sides", UNEQUAL)
@pytest.mark.parametrize("draws", [250, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_sound_report_is_void_by_its_null_runs_once_in_a_thousand(sides, draws):
    rng, width = np.random.default_rng(0), 20

    def cross_fitted(members):
        return linear_scores(rng, rng.standard_normal((len(members), width)), members)

    def fitted_elsewhere(members):
        return rng.standard_normal(len(members))

    alarms = sum(is_void(fitted_elsewhere, rng, sides, False) for _ in range(draws))
    assert alarms / draws <= most(sanity.NULL_LEVEL, draws)
    alarms = sum(is_void(cross_fitted, rng, sides, True) for _ in range(draws // RUNS))
    assert alarms / (draws // RUNS) <= most(sanity.NULL_LEVEL, draws // RUNS)


@pytest.mark.parametrize("sides", UNEQUAL)
def test_the_interval_of_a_mean_over_draws_covers_as_often_as_it_says(sides):
    """At a level at which a thousand draws tell: neither too narrow nor much too wide."""
    rng, level, draws = np.random.default_rng(1), 0.9, 1000
    covered = 0
    for _ in range(draws):
        members = np.stack([rng.permutation(sum(sides)) < sides[0] for _ in range(sanity.DRAWS)])
        values = rng.standard_normal(members.shape)
        covered += holds_chance(sanity.null_estimate(values, members, level, False))
    assert level - 3 * np.sqrt(0.09 / draws) <= covered / draws <= level + 0.06


@pytest.mark.parametrize("sides", UNEQUAL)
def test_a_report_whose_attacks_read_membership_is_void(sides):
    """Scores that tell half a standard deviation: less than any order or list would tell."""
    rng, draws = np.random.default_rng(2), 100
    share = 0.9 if min(sides) > 20 else 0.5
    broken = [
        is_void(
            lambda members: rng.standard_normal(len(members)) + 0.7 * members, rng, sides, False
        )
        for _ in range(draws)
    ]
    assert np.mean(broken) >= share
    drastic = [
        is_void(lambda members: rng.standard_normal(len(members)) + 3 * members, rng, sides, True)
        for _ in range(20)
    ]
    assert all(drastic)


def test_draws_of_membership_differ_and_depend_on_the_seed():
    drawn_of = {
        (seed, family, draw): tuple(drawing(seed, family, draw).permutation(50))
        for seed in (0, 1)
        for family in ("target", "shadow-0")
        for draw in (1, 2, 3)
    }
    assert len(set(drawn_of.values())) == len(drawn_of)


@dataclasses.dataclass(frozen=True, eq=False)
class Guesses:
    """A provider of versions that know nothing of their examples' membership."""

    question: Question
    target: tf_compleak.Observations

    @classmethod
    def of(cls, seed: int, sides: tuple[int, int]):
        rng, n = np.random.default_rng(seed), sum(sides)
        labels = rng.integers(5, size=n)
        logits = rng.standard_normal((2, n, 5))
        logits[:, np.arange(n), labels] += 1.5
        answers = np.stack([softmax(rows) for rows in logits])
        members = np.arange(n) < sides[0]
        names = ["original", "other"]
        return cls(
            Question(seed=seed),
            tf_compleak.Observations.from_arrays(answers, labels, members, versions=names),
        )

    def observations(self, family, release, kinds=(), null=0):
        members = drawing(self.question.seed, family, null).permutation(self.target.members)
        return dataclasses.replace(self.target.select(release), members=members)


def drawn_scores(seed: int, sides: tuple[int, int], attack: str):
    """What the null run of a cross-fitted attack on such versions gives."""
    guesses, run = Guesses.of(seed, sides), Run(attack, ("original",))
    draws = sanity.null_draws(lambda *_: None, guesses, run)
    return tuple(np.stack([getattr(draw, of) for draw in draws]) for of in ("values", "members"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("attack", "audits"), [("loss", 300), ("nasr-lr", 100), ("tabular", 60)])
@pytest.mark.parametrize("sides", [(100, 100), (40, 160)])
def test_an_audit_that_leaks_nothing_is_void_once_in_a_thousand(attack, audits, sides):
    """At its level, and at one at which so few audits tell more."""
    levels = (sanity.NULL_LEVEL, 0.9)
    alarms = dict.fromkeys(levels, 0)
    for seed in range(audits):
        scores = drawn_scores(seed, sides, attack)
        for level in levels:
            auc = sanity.null_estimate(*scores, level, cross_fitted=True)
            alarms[level] += not holds_chance(auc)
    for level, count in alarms.items():
        assert count / audits <= most(level, audits)


def test_a_cross_fitted_null_run_is_one_wide_interval_over_its_draws():
    auc = sanity.null_estimate(*drawn_scores(0, (40, 60), "loss"), 0.99, cross_fitted=True)
    assert "mean of 3 draws" in auc.method and "1.41 times as wide" in auc.method
    assert auc.n == 100 and auc.low < 0.5 < auc.high


# Which runs are repeated --------------------------------------------------------------------------

NAMES = ("original", "pruned", "int8")
ATTACKS = ("loss", "nasr-lr", "sr2-lr", "tabular", "rmia")


def plan(attacks=ATTACKS):
    return Plan(Question(attacks=attacks), ("target", "shadow-0"), NAMES, NAMES)


def test_every_kind_of_attack_has_its_null_run_on_the_most_versions():
    """nasr-lr and sr2-lr are one attack by two names: the wider of the two stands for both."""
    runs = {run.attack: run.release for run in plan().null_runs()}
    assert set(runs) == {"loss", "sr2-lr", "tabular", "rmia"}
    assert runs["loss"] == ("int8",) and runs["sr2-lr"] == ("original", "int8")
    assert len(runs["tabular"]) == 3 and len(runs["rmia"]) == 3


def test_a_run_that_failed_gives_its_null_run_to_the_next():
    before = {run.attack: run for run in plan().null_runs()}
    failed = [before["tabular"].title, *(f"rmia {'+'.join(r)}" for r in plan().releases())]
    after = {run.attack: run.release for run in plan().null_runs(failed)}
    assert set(after) == {"loss", "sr2-lr", "tabular"}
    assert after["tabular"] != before["tabular"].release and len(after["tabular"]) == 2


def test_an_attack_that_failed_does_not_void_the_others():
    target, shadow = planted.family(0, 2.0, n=100), planted.family(1, 2.0, n=100)
    report = tf_compleak.run_attacks(target, [shadow], ["loss", "lira-online"])
    assert {failure.name.split()[0] for failure in report.failures} == {"lira-online"}
    assert report.sanity.warnings() == ()
    assert [run.attack for run in report.sanity.null_runs] == ["loss"]
    assert report.sanity.null_runs[0].draws == sanity.DRAWS


class ByPlace:
    """An "attack" that takes the first rows for members."""

    threshold = 0.0

    def fit(self, shadows, *, seed):
        return self

    def score(self, target):
        return -np.arange(len(target), dtype=float)


def test_an_attack_that_reads_the_order_is_named_though_another_has_more_versions(monkeypatch):
    monkeypatch.setattr(classifiers, "Linear", ByPlace)
    members_first = lambda self, family, members: np.argsort(~members, kind="stable")  # noqa: E731
    monkeypatch.setattr(ObservationFolder, "_order", members_first)
    target, shadow = planted.family(0, 0.0, n=100), planted.family(1, 0.0, n=100)
    report = tf_compleak.run_attacks(target, [shadow], ["nasr-lr", "sr1-lr"])
    (warning,) = report.sanity.warnings()
    assert "the AUC of nasr-lr on int8-ptq is 1.000" in warning
