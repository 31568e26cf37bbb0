"""The columns of splines: standardized, equal in blocks and whole; curved, tied, constant ones."""

import numpy as np
import pytest

from tf_compleak.attacks import splines


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    return np.stack([rng.normal(1e3, 1, 500), rng.exponential(size=500)], axis=1)


def test_columns_are_standardized_and_those_of_blocks_are_those_of_all(numbers, monkeypatch):
    _, whole = splines.fit(numbers)
    monkeypatch.setattr(splines, "BLOCK", 70)  # the last block is a part
    basis, table = splines.fit(numbers)
    np.testing.assert_array_equal(table, whole)
    np.testing.assert_allclose(table.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(table.std(axis=0), 1, atol=1e-5)
    assert table.dtype == np.float32
    np.testing.assert_array_equal(basis.table(numbers[::-1]), table[::-1])


@pytest.mark.parametrize("curve", [np.square, np.abs, np.tanh])
def test_curves_are_nearly_linear_in_the_columns(curve):
    x = np.random.default_rng(0).normal(size=(2000, 1))
    _, table = splines.fit(x)
    design = np.column_stack([table, np.ones(len(x))])
    target = curve(x[:, 0])
    left = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    assert left.var() < 0.05 * target.var()  # a straight line leaves all of a square


def test_beyond_the_outer_knots_the_columns_are_straight(numbers):
    basis, _ = splines.fit(numbers)
    far = np.array([1e3, 1.0]) + np.arange(100, 105)[:, None]
    np.testing.assert_allclose(np.diff(basis.table(far), n=2, axis=0), 0, atol=1e-2)


def test_constant_numbers_become_zeros_and_ties_stay_finite(numbers):
    """INT8 outputs tie: most examples at one value, or all of a shadow at one the target leaves."""
    numbers[:, 1] = 0.1
    basis, table = splines.fit(numbers)
    np.testing.assert_allclose(table[:, splines.KNOTS + 1 :], 0, atol=1e-6)
    assert np.isfinite(basis.table(numbers + np.array([0, 3.0]))).all()
    for tied in (np.zeros(400), np.full(400, 9.0)):
        numbers[:400, 1], numbers[400:, 1] = tied, np.linspace(0, 9, 100)
        basis, table = splines.fit(numbers)
        assert np.isfinite(table).all() and np.isfinite(basis.table(numbers * 2)).all()
        assert np.abs(table[:, splines.KNOTS + 1 :]).max() > 0.5
