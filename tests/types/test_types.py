"""The nouns refuse what they must not hold."""

import dataclasses

import numpy as np
import planted
import pytest

from tf_compleak.types import Estimate, Examples, Scores, Split, tier, versions
from tf_compleak.types.findings import Sanity

INDICES = {
    name: np.arange(i * 10, i * 10 + 10)
    for i, name in enumerate(("members", "non_members", "validation", "population"))
}


def test_tier_is_the_size_of_the_release():
    assert tier(("original",)) == tier(("int8-ptq",)) == "NR"
    assert tier(("original", "int8-ptq")) == tier(("int8-ptq", "original")) == "SR"
    assert tier(("a", "b")) == tier(("original", "a", "b")) == "MR"
    with pytest.raises(ValueError, match="empty"):
        tier(())


def test_splits_must_be_disjoint_and_hold_something():
    split = Split(**INDICES)
    assert split.is_member.sum() == 10 and len(split.scored) == 20
    np.testing.assert_array_equal(split.scored[split.is_member], np.sort(split.members))
    drawn = split.shuffled(np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.scored, split.scored)
    assert drawn.is_member.sum() == 10 and (drawn.is_member != split.is_member).any()
    for name in ("members", "non_members", "validation"):
        with pytest.raises(ValueError, match=f"{name}: empty"):
            Split(**{**INDICES, name: np.arange(0)})
        overlap = np.append(INDICES[name], INDICES["population"][0])
        with pytest.raises(ValueError, match="disjoint"):
            Split(**{**INDICES, name: overlap})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.array([0, 1, 5])}, r"labels must lie in \[0, 2\)"),
        ({"y": np.array([0.0, 1.0, 1.0])}, "integers"),
        ({"ids": np.array([1, 1, 2])}, "more than once"),
        ({"ids": np.array([1, 2])}, "lengths differ"),
    ],
)
def test_examples(change, message):
    values = {"x": np.zeros((3, 2)), "y": np.array([0, 1, 1]), "ids": np.arange(3), "classes": 2}
    Examples(**values)
    with pytest.raises(ValueError, match=message):
        Examples(**{**values, **change})


def test_uint8_inputs_are_scaled_and_floats_are_not():
    y, ids = np.array([0, 1]), np.arange(2)
    raw = Examples(np.array([[[0]], [[255]]], np.uint8), y, ids, 2)
    np.testing.assert_array_equal(raw.inputs(np.arange(2)), [[[0.0]], [[1.0]]])
    table = Examples(np.array([[0], [255]], np.uint8), y, ids, 2)
    np.testing.assert_array_equal(table.inputs(np.arange(2)), [[0.0], [255.0]])
    ready = Examples(np.array([[3.0], [-1.0]]), y, ids, 2)
    np.testing.assert_array_equal(ready.inputs(np.array([1])), [[-1.0]])
    assert ready.inputs(np.array([1])).dtype == np.float32


def change(family, **values):
    return dataclasses.replace(family, **values)


def test_observations_refuse_what_is_no_probability():
    family = planted.family(0, 1.0, n=20)
    p = family.probabilities
    for bad, message in [
        (p - 0.5, "negative"),
        (p * 2, "sums to 1 only within"),
        (np.where(p == p.max(), np.nan, p), "NaN or infinite"),
        (p[:2], "shape must be"),
        (p[0], "shape must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            change(family, probabilities=bad)
    with pytest.raises(ValueError, match="more than once"):
        change(family, ids=np.zeros(20, int))
    with pytest.raises(ValueError, match="labels must lie"):
        change(family, labels=family.labels + 5)
    with pytest.raises(ValueError, match="members"):
        change(family, members=family.members.astype(int))
    with pytest.raises(ValueError, match="Did you mean 'int8-ptq'"):
        family.select(["int8-pqt"])


def test_select_and_take_keep_things_together():
    family = planted.family(0, 1.0, n=20)
    some = family.select(["int8-ptq", "original"]).take(np.array([3, 1]))
    assert some.versions == ("int8-ptq", "original") and some.resolutions == (1 / 256, 0.0)
    np.testing.assert_array_equal(some.probabilities[1, 0], family.probabilities[0, 3])
    np.testing.assert_array_equal(some.labels, family.labels[[3, 1]])
    np.testing.assert_array_equal(some.ids, [3, 1])


def test_scores_need_both_sides_and_numbers():
    with pytest.raises(ValueError, match="members and non-members"):
        Scores(np.zeros(3), np.ones(3, bool), 0.0)
    with pytest.raises(ValueError, match="NaN"):
        Scores(np.array([np.nan, 1.0]), np.array([True, False]), 0.0)


def test_estimates_survive_json_and_unmeasurable_ones_hold_no_number():
    estimate = Estimate(0.5, 0.4, 0.6, 0.95, "m", 10)
    assert Estimate.from_json(estimate.to_json()) == estimate
    none = Estimate.unmeasurable("needs 10,000 non-members, has 5", 10)
    assert none.to_json()["value"] is None and not Estimate.from_json(none.to_json()).measurable
    assert str(none) == "n/a"


def test_sanity_warns_when_either_fails():
    fine = Estimate(0.51, 0.45, 0.57, 0.99, "m", 100)
    off = Estimate(0.7, 0.65, 0.75, 0.99, "m", 100)
    assert Sanity(fine, fine).warnings() == ()
    assert "Null run failed" in Sanity(off, fine).warnings()[0]
    assert "void" in Sanity(fine, off).warnings()[0]
    unmade = Estimate.unmeasurable("the worker died", 0)
    (warning,) = Sanity(unmade, fine).warnings()
    assert "could not be made (the worker died)" in warning


@pytest.mark.parametrize(
    ("release", "text"),
    [
        (("int8-ptq",), "int8-ptq"),
        (("original", "int8-ptq"), "original+int8-ptq"),
        (("pruning-0.80+int8-ptq",), "(pruning-0.80+int8-ptq)"),
        (("original", "a+b", "c", "d+e+f"), "original+(a+b)+c+(d+e+f)"),
    ],
)
def test_a_release_is_one_text_and_back(release, text):
    assert versions.release_text(release) == text
    assert versions.release_from(text) == release


def test_broken_parentheses_are_part_of_a_name_that_no_version_has():
    for text in ("(a+b", "a+b)", "()", "((a+b))", "", "+"):
        assert not set(versions.release_from(text)) & {"a+b"}
