"""LiRA with variances that examples have of their own, against loops, closed forms and draws."""

import math

import numpy as np
import planted
import pytest
from scipy import stats

from tf_compleak.attacks import example_variance, features, lira
from tf_compleak.attacks.example_variance import Prior
from tf_compleak.attacks.references import References
from tf_compleak.inference import observe
from tf_compleak.metrics import roc
from tf_compleak.types.observations import Observations

ORIGINAL = ("original",)


def uneven(seed, leak, models, spread=1.0, n=800, classes=5):
    """As `planted.halves`, one version; the noise of an example has a scale of its own."""
    rng = np.random.default_rng(seed)
    labels, common = rng.integers(classes, size=n), rng.normal(size=(n, classes))
    scale = 0.5 * np.exp(spread * rng.normal(size=(n, 1)))
    found = []
    for _ in range(models):
        members = rng.permutation(n) < n // 2
        logits = common + scale * rng.normal(size=common.shape)
        logits[np.arange(n), labels] += 1.5 + leak * members
        answers = observe.softmax(logits)[None]
        found.append(Observations(ORIGINAL, answers, labels, members, np.arange(n)))
    return found


def drawn(freedom=5.0, scale=0.3, examples=4000, models=4):
    """Answers of models whose variance is inverse gamma over examples; some were not asked."""
    rng = np.random.default_rng(0)
    deviation = np.sqrt(freedom * scale / rng.chisquare(freedom, size=examples))
    values = 2 + deviation * rng.normal(size=(models, 1, examples))
    asked = rng.random((models, examples)) < 0.8
    return References(np.float32(values), np.zeros_like(asked), asked)


def test_the_prior_is_the_likeliest_one_and_that_which_was_drawn():
    references = drawn()
    found = example_variance.prior(references, references.outside)
    assert found.freedom[0] in (3.0, 5.0, 8.0)
    assert found.scale[0] == pytest.approx(0.3, rel=0.15)
    squares, counts = example_variance.squares_of(references, references.outside)
    squares, degrees = squares[0, counts > 1], counts[counts > 1] - 1

    def likelihood(nu, scale):
        return (stats.f.logpdf(squares / degrees / scale, degrees, nu) - np.log(scale)).sum()

    best = likelihood(found.freedom[0], found.scale[0])
    for nu in example_variance.FREEDOMS:
        for scale in (0.1, 0.2, 0.3, 0.45, 0.9, found.scale[0] * 1.02, found.scale[0] / 1.02):
            assert likelihood(nu, scale) <= best + 1e-6


def test_no_example_of_two_models_has_no_prior():
    references = drawn(models=1)
    assert example_variance.prior(references, references.outside) is None


def test_prediction_equals_the_loop():
    references, prior = drawn(examples=30), Prior(np.array([3.0]), np.array([0.5]))
    freedom, scale = prior.predict(references, references.outside)
    for column in range(30):
        values = np.float64(references.values[references.outside[:, column], 0, column])
        n = len(values)
        squares = sum((value - values.mean()) ** 2 for value in values)
        degrees = 3 + max(n - 1, 0)
        assert freedom[0, column] == degrees
        expected = math.sqrt((3 * 0.5 + squares) / degrees * (1 + 1 / max(n, 1)))
        assert scale[0, column] == pytest.approx(expected, rel=1e-5)


def test_tails_in_closed_form_and_finite_however_deep():
    t = np.array([-3.0, 0.0, 2.0, 50.0])
    cauchy = np.log(0.5 - np.arctan(t) / np.pi)
    np.testing.assert_allclose(example_variance.log_tail(t, np.ones(4)), cauchy, rtol=1e-9)
    deep = np.array([1e126, 1e150])
    found = example_variance.log_tail(deep, np.full(2, 2.0))
    np.testing.assert_allclose(found, -2 * np.log(deep) - np.log(2), rtol=1e-12)
    grid = np.geomspace(1, 1e9, 2000)
    tails = example_variance.log_tail(grid, np.full(2000, 120.0))
    assert np.isfinite(tails).all() and (np.diff(tails) < 0).all()


@pytest.mark.parametrize("attack", [lira.online(), lira.offline()])
def test_scores_equal_the_loop_with_student_densities(attack):
    *shadows, target = uneven(1, 1.0, 7)
    fitted = attack.fit(shadows, seed=0)
    assert fitted.priors is not None
    scores, phi = fitted.score(target.hidden()), features.logit(target)[0]
    answers = np.stack([features.logit(shadow)[0] for shadow in shadows])
    members = np.stack([shadow.members for shadow in shadows])
    tested = 0
    for column in range(0, len(target), 7):
        inside = answers[members[:, column], column]
        outside = answers[~members[:, column], column]
        if not len(inside) or not len(outside):
            continue
        tested += 1
        out = predictive(outside, fitted.priors.outside)
        expected = -out.logsf(phi[column])
        if attack.online:
            into = predictive(inside, fitted.priors.inside)
            expected = into.logpdf(phi[column]) - out.logpdf(phi[column])
        assert scores[column] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert tested > 80


def predictive(values, prior):
    """Student-t of what the next model says, of one version."""
    freedom = prior.freedom[0] + len(values) - 1
    squares = prior.freedom[0] * prior.scale[0] + ((values - values.mean()) ** 2).sum()
    scale = math.sqrt(squares / freedom * (1 + 1 / len(values)))
    return stats.t(freedom, values.mean(), scale)


@pytest.mark.parametrize("attack", [lira.online(), lira.offline()])
def test_examples_of_unlike_variance_are_better_told_by_their_own(attack, monkeypatch):
    aucs = {"chosen": [], "shared": []}
    for kind, found in aucs.items():
        if kind == "shared":
            monkeypatch.setattr(lira.Lira, "_priors", lambda self, everything: None)
        for seed in range(3):
            *shadows, target = uneven(seed, 1.0, 7)
            fitted = attack.fit(shadows, seed=0)
            found.append(roc.auc(fitted.score(target.hidden()), target.members))
    assert np.mean(aucs["chosen"]) > np.mean(aucs["shared"]) + 0.02


def test_where_examples_are_alike_nothing_is_lost(monkeypatch):
    *shadows, target = (model.select(ORIGINAL) for model in planted.halves(3, 1.0, 6))
    chosen = lira.offline().fit(shadows, seed=0).score(target.hidden())
    monkeypatch.setattr(lira.Lira, "_priors", lambda self, everything: None)
    shared = lira.offline().fit(shadows, seed=0).score(target.hidden())
    assert roc.auc(chosen, target.members) > roc.auc(shared, target.members) - 0.003


@pytest.mark.parametrize("attack", [lira.online(), lira.offline()])
def test_without_a_leak_the_choice_finds_none(attack):
    aucs = []
    for seed in range(12):
        *shadows, target = uneven(seed, 0.0, 4, n=300)
        scores = attack.fit(shadows, seed=0).score(target.hidden())
        aucs.append(roc.auc(scores, target.members))
    assert abs(np.mean(aucs) - 0.5) < 4 * math.sqrt(1 / (3 * 300) / 12)
