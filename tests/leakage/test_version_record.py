"""What a version lost, and which shadows are unlike their target."""

import numpy as np
import planted
import pytest

from tf_compleak.leakage import version_record
from tf_compleak.metrics import intervals


def test_the_loss_is_a_share_of_what_is_above_guessing():
    before, after = intervals.proportion(180, 200), intervals.proportion(140, 200)
    loss = version_record.relative_loss(before, after, 0.1)
    assert loss.value == pytest.approx(0.2 / 0.8) and 0.1 < loss.low < 0.25 < loss.high < 0.4
    better = version_record.relative_loss(before, intervals.proportion(190, 200), 0.1)
    assert better.value == better.low == 0 < better.high < 0.05
    nothing = version_record.relative_loss(before, intervals.proportion(2, 200), 0.1)
    assert nothing.value == nothing.high == 1
    chance = intervals.proportion(15, 200)
    assert not version_record.relative_loss(chance, after, 0.1).measurable


def test_the_interval_of_the_loss_covers():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        right = rng.random((2, 300)) < np.array([[0.5], [0.4]])
        before, after = (intervals.proportion(int(of.sum()), 300) for of in right)
        loss = version_record.relative_loss(before, after, 0.1)
        covered += loss.low <= 0.25 <= loss.high
    assert covered / 1000 >= 0.94


def test_without_validation_examples_the_loss_is_on_non_members():
    family = planted.family(0, 1.0, n=400)
    version = version_record.record("int8-ptq", family, recipe="x", path="")
    original = version_record.record("original", family, recipe="x", path="")
    assert original.relative_loss is None
    guess = version_record.guessing(family.labels[family.members])
    before, after = original.non_member_accuracy, version.non_member_accuracy
    expected = (before.value - after.value) / (before.value - guess)
    assert version.relative_loss.value == pytest.approx(max(expected, 0))
    assert version.relative_loss.n == 200
