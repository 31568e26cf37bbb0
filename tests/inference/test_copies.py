"""Flipped and shifted copies."""

import numpy as np
import pytest

from tf_compleak.inference import copies

X = np.random.default_rng(0).random((3, 32, 32, 2), dtype=np.float32)


def test_the_first_copies_are_the_flip_and_the_shifts_by_one_step():
    flipped, down = [change(X) for change in copies.changes(2)]
    np.testing.assert_array_equal(flipped, X[:, :, ::-1])
    np.testing.assert_array_equal(down[:, 2:], X[:, :-2])
    np.testing.assert_array_equal(down[:, 0], X[:, 0])


@pytest.mark.parametrize("count", [0, 1, 5, 17, 64])
def test_any_number_of_copies_all_different_and_more_change_none_before(count):
    made = [change(X) for change in copies.changes(count)]
    assert len(made) == count
    assert len({each.tobytes() for each in made} | {X.tobytes()}) == count + 1
    for one, other in zip(made, copies.changes(count + 3), strict=False):
        np.testing.assert_array_equal(one, other(X))


def test_inputs_that_are_no_images_are_refused():
    with pytest.raises(ValueError, match="--queries=0"):
        copies.changes(1)[0](X[:, 0, 0])
