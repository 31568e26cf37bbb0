"""Weights of versions: learned from members, none negative, a version that harms left out."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tf_compleak.attacks import version_weights
from tf_compleak.metrics import roc


def draw(gaps, n=2000, noise=1.0, seed=0):
    """Terms whose means differ by `gaps` between members and non-members."""
    rng = np.random.default_rng(seed)
    members = rng.permutation(n) < n // 2
    terms = noise * rng.normal(size=(len(gaps), n)) + np.array(gaps)[:, None] * members
    return terms, members, np.arange(n)


def test_weights_are_those_of_logistic_regression_where_these_are_positive():
    terms, members, _ = draw([0.5, 1.0, 2.0])
    slow = LogisticRegression(C=1e6, tol=1e-10).fit(terms.T, members).coef_[0]
    np.testing.assert_allclose(
        version_weights.regression(terms, members), slow / slow.sum(), atol=2e-3
    )


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_version_that_tells_nothing_gets_next_to_nothing_at_any_scale(scale):
    terms, members, ids = draw([1.0, 0.0])
    terms[1] *= scale
    weights = version_weights.fit(terms, members, ids, seed=0)
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1)
    assert weights[1] * scale < 0.1 * weights[0]


@pytest.mark.parametrize("gaps", [[1.0, -1.0], [0.8, 0.0, 0.0, 0.4], [1.0, 1.0], [0.3, 0.0]])
def test_the_weighted_sum_is_as_good_as_the_best_version_and_as_the_plain_sum(gaps):
    terms, members, ids = draw(gaps, n=4000)
    other, of_other, _ = draw(gaps, n=4000, seed=1)
    scores = version_weights.fit(terms, members, ids, seed=0) @ other
    rivals = [*other, other.sum(axis=0)]
    assert roc.auc(scores, of_other) > max(roc.auc(rival, of_other) for rival in rivals) - 0.01


def test_equal_seeds_give_equal_weights_and_one_version_needs_none():
    terms, members, ids = draw([1.0, 0.5])
    first, again = (version_weights.fit(terms, members, ids, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(version_weights.fit(terms[:1], members, ids, seed=0), [1.0])


def test_versions_that_all_point_away_or_never_change_are_alike():
    terms, members, _ = draw([-1.0, -2.0])
    np.testing.assert_array_equal(version_weights.regression(terms, members), [0.5, 0.5])
    assert np.isfinite(version_weights.regression(np.ones((2, 40)), np.arange(40) < 20)).all()


def test_versions_that_tell_about_as_much_count_alike():
    """A difference that the examples do not show is no reason to lean on one version."""
    terms, members, ids = draw([1.0, 1.02, 0.98], n=600)
    np.testing.assert_allclose(version_weights.fit(terms, members, ids, seed=0), 1 / 3)


def test_telling_leaves_out_what_tells_less_than_half_as_much():
    terms, members, _ = draw([1.0, 0.9, 0.2, -1.0])
    np.testing.assert_array_equal(version_weights.telling(terms, members), [0.5, 0.5, 0, 0])
    np.testing.assert_array_equal(version_weights.telling(-terms[:1], members), [1.0])


def test_an_example_of_several_shadows_is_held_out_as_a_whole():
    """What is learned of an example must not be tested on the same example's other answers."""
    _, members, _ = draw([0.0], n=600)
    ids = np.tile(np.arange(300), 2)
    seen = []

    def spy(terms, labels):
        seen.append(set(terms[0]))
        return np.ones(1)

    folds = version_weights.folds_of(ids, seed=0)
    version_weights.held_out_sums(spy, ids[None].astype(float), members, folds)
    assert len(seen) == version_weights.FOLDS
    assert all(len(kept) == 240 for kept in seen)  # a fifth of the examples is missing entirely


@pytest.mark.parametrize("others", [1, 19])
def test_one_example_of_a_kind_takes_no_version_out(others):
    """No difference of AUCs is measurable then: the first rule of all alike stands."""
    terms = np.random.default_rng(0).standard_normal((3, 20))
    weights = version_weights.fit(terms, np.arange(20) >= others, np.arange(20), seed=0)
    np.testing.assert_allclose(weights, 1 / 3)
