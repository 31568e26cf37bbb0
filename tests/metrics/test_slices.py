import numpy as np
import pytest

from tf_compleak.metrics import intervals, slices


def test_classes_cut_the_whole_into_parts():
    labels = np.array([2, 0, 2, 5, 0, 2])
    found = slices.by_class(labels)
    assert list(found) == ["class=0", "class=2", "class=5"]
    np.testing.assert_array_equal(found["class=2"], [True, False, True, False, False, True])
    assert (sum(mask.astype(int) for mask in found.values()) == 1).all()


def test_correctness_is_of_the_most_likely_class():
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7], [0.5, 0.5], [0.5, 0.5]], dtype=np.float32)
    found = slices.by_correctness(np.array([0, 0, 0, 1]), probabilities)
    np.testing.assert_array_equal(found["correct"], [True, False, True, False])
    np.testing.assert_array_equal(found["wrong"], ~found["correct"])


def test_small_slices_are_left_out_with_the_reason():
    labels, members = np.repeat([0, 1, 2], [50, 50, 30]), np.tile([True, False], 65)
    members[50:60] = True  # class 1: 30 members, 20 non-members
    kept, left_out = slices.measurable(slices.by_class(labels), members, least=20)
    assert list(kept) == ["class=0", "class=1"]
    assert [(f.name, f.reason) for f in left_out] == [
        ("class=2", "needs 20 members and 20 non-members, has 15 and 15")
    ]
    assert slices.measurable({}, members) == ({}, ())


@pytest.mark.parametrize("count", [1, 2, 10, 1000])
def test_adjusted_levels_hold_together(count):
    level = slices.adjusted_level(0.95, count)
    assert count * (1 - level) == pytest.approx(0.05)
    assert level**count >= 0.95 - 1e-12  # independent intervals: more than promised


def test_all_adjusted_intervals_hold_together_on_noise():
    wide, narrow = (
        intervals.normal_quantile(slices.adjusted_level(0.95, count)) for count in (10, 1)
    )
    largest = np.abs(np.random.default_rng(0).normal(size=(1000, 10))).max(axis=1)
    assert (largest > wide).sum() <= 75 < (largest > narrow).sum()


def test_bad_input_is_refused():
    labels, members = np.array([0, 1, 1]), np.array([True, False, True])
    with pytest.raises(ValueError, match="labels"):
        slices.by_class(labels * 0.5)
    with pytest.raises(ValueError, match="probabilities"):
        slices.by_correctness(labels, np.ones((2, 2)))
    with pytest.raises(ValueError, match="labels"):
        slices.by_correctness(labels + 1, np.ones((3, 2)))
    with pytest.raises(ValueError, match="least"):
        slices.measurable({}, members, least=1)
    with pytest.raises(ValueError, match="odd"):
        slices.measurable({"odd": labels}, members)
    for level, count in ((1.0, 2), (0.95, 0)):
        with pytest.raises(ValueError, match=r"level|count"):
            slices.adjusted_level(level, count)
