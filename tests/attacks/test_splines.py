"""Restricted cubic splines against the formula, in blocks and whole."""

import numpy as np
import pytest

from tf_compleak.attacks import splines


def naive(x, knots):
    """The columns of one number by the formula of the module's docstring, term by term."""

    def piece(j):
        rise = np.maximum(x - knots[j], 0) ** 3 - np.maximum(x - knots[-1], 0) ** 3
        return rise / (knots[-1] - knots[j])

    last = len(knots) - 2
    scale = (knots[-1] - knots[0]) ** 2
    return np.stack([x, *((piece(j) - piece(last)) / scale for j in range(last))], axis=1)


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    return np.stack([rng.normal(1e3, 1, 500), rng.exponential(size=500)], axis=1)


def test_columns_equal_the_formula_and_are_standardized(numbers, monkeypatch):
    monkeypatch.setattr(splines, "BLOCK", 70)  # the last block is a part
    basis, table = splines.fit(numbers)
    parts = zip(numbers.T, basis.knots, strict=True)
    expected = np.concatenate([naive(column, knots) for column, knots in parts], axis=1)
    np.testing.assert_allclose(basis.mean, expected.mean(axis=0))
    np.testing.assert_allclose(basis.deviation, expected.std(axis=0))
    standard = (expected - expected.mean(axis=0)) / expected.std(axis=0)
    np.testing.assert_allclose(table, standard, atol=1e-5)
    np.testing.assert_array_equal(basis.table(numbers[::-1]), table[::-1])


def test_beyond_the_outer_knots_the_columns_are_straight(numbers):
    basis, _ = splines.fit(numbers)
    far = np.array([1e3, 1.0]) + np.arange(100, 105)[:, None]
    np.testing.assert_allclose(np.diff(basis.table(far), n=2, axis=0), 0, atol=1e-2)


def test_constant_numbers_become_zeros(numbers):
    numbers[:, 1] = 0.1
    basis, table = splines.fit(numbers)
    assert len(basis.knots[1]) == 1
    np.testing.assert_allclose(table[:, -1], 0, atol=1e-6)
