"""Examples of the same content: one rule for runs and audits."""

import tracemalloc

import numpy as np
import pytest
from test_sides import arrays, texts_of

from tf_compleak.data import duplicates, sides
from tf_compleak.types import Examples, Texts


def doubled(x, y, ids=None):
    """Every row twice, shuffled."""
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(len(y)), 2))
    ids = np.arange(len(order)) + 1000 if ids is None else ids
    return Examples(x[order], y[order], ids, int(y.max()) + 1), order


def test_of_copies_the_first_is_kept_with_its_id_and_label():
    x, y = arrays(30)
    examples, order = doubled(x, y)
    distinct, dropped = duplicates.without_duplicates(examples)
    assert (len(distinct), dropped.count, dropped.relabelled) == (30, 30, 0)
    firsts = [int(np.flatnonzero(order == row)[0]) for row in range(30)]
    np.testing.assert_array_equal(distinct.ids, np.sort(firsts) + 1000)
    np.testing.assert_array_equal(distinct.x, examples.x[np.sort(firsts)])
    assert distinct.classes == examples.classes


def test_copies_under_another_label_are_copies_and_are_counted():
    x, y = arrays(30)
    copied = np.concatenate([x, x[:7]])
    labels = np.concatenate([y, (y[:5] + 1) % 3, y[5:7]])
    examples = Examples(copied, labels, np.arange(37), 3)
    distinct, dropped = duplicates.without_duplicates(examples)
    assert (dropped.count, dropped.relabelled) == (7, 5)
    np.testing.assert_array_equal(distinct.y, y)
    assert dropped.sentence() == (
        "7 of 37 examples were left out before the split, since an earlier one has the same "
        "content; 5 of them had another label than the one that was kept."
    )


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float64, np.float32, bool])
def test_copies_of_every_kind_of_number(kind):
    values = np.random.default_rng(0).integers(0, 2, (64, 9)) if kind is bool else None
    x = (values if kind is bool else 50 * arrays(64)[0].reshape(64, 16)).astype(kind)
    expected = len(np.unique(x, axis=0))
    examples, _ = doubled(x, np.arange(64) % 3)
    distinct, dropped = duplicates.without_duplicates(examples)
    assert len(distinct) == expected and dropped.count == 128 - expected
    assert distinct.x.dtype == kind


def test_where_there_are_no_copies_the_examples_are_the_same_object():
    x, y = arrays(30)
    examples = Examples(x, y, np.arange(30), 3)
    distinct, dropped = duplicates.without_duplicates(examples)
    assert distinct is examples and not dropped.count and dropped.sentence() == ""


def test_texts_are_copies_where_their_letters_are():
    words = ["größe", "grosse", "größe", "größe ", "grosse", "Größe"]
    examples = Examples(Texts.of(words), np.array([0, 1, 0, 1, 0, 1]), np.arange(6), 2)
    distinct, dropped = duplicates.without_duplicates(examples)
    assert list(distinct.x) == ["größe", "grosse", "größe ", "Größe"]
    assert (dropped.count, dropped.relabelled) == (2, 1)


def test_overlap_is_found_by_content_and_dropped_on_both_sides():
    x, y = arrays(60)
    members = sides.of_arrays(x[:40], y[:40], "--members")
    others = sides.of_arrays(np.float64(x[35:]), y[35:], "--non_members")
    with pytest.raises(ValueError, match=r"--non_members: 5 example\(s\) .* \(first: member 35\)"):
        duplicates.distinct_sides(members, others, drop=False)
    with pytest.raises(ValueError, match="different content"):  # 35 are left, and 15 are not
        duplicates.distinct_sides(members.take(np.arange(20, 40)), others, drop=True)
    distinct = duplicates.distinct_sides(members, others, drop=True)
    assert distinct.overlap == 5 and list(map(len, distinct.sides)) == [35, 20]
    assert not np.isin(*distinct.digests).any() and len(distinct.digests[0]) == 35
    assert distinct.repeated == (0, 0)
    assert distinct.sentences() == ["5 examples are on both sides, and left out of either."]
    apart = duplicates.distinct_sides(*distinct.sides, drop=False)
    assert apart.overlap == 0 and apart.sides[0] is distinct.sides[0] and not apart.sentences()


def test_within_a_side_the_first_of_a_content_is_kept():
    x, y = arrays(60)
    rows = np.array([*range(30), 4, 2, 2])
    members = sides.of_arrays(x[rows], y[rows], "--members")
    others = sides.of_arrays(x[29:], y[29:], "--non_members")
    distinct = duplicates.distinct_sides(members, others, drop=True)
    np.testing.assert_array_equal(distinct.rows[0], np.arange(29))
    np.testing.assert_array_equal(distinct.sides[1].labels, y[30:])
    assert (distinct.repeated, distinct.overlap) == ((3, 0), 1)
    assert distinct.sentences() == [
        "--members: 3 of 33 examples were left out, since an earlier one has the same content.",
        "1 example is on both sides, and left out of either.",
    ]


def test_texts_on_both_sides_are_found_by_content(tmp_path):
    words = [f"größe {index}" for index in range(60)]
    mine = texts_of(tmp_path / "members.tsv", words[:40], ["a", "c"] * 20)
    others = texts_of(tmp_path / "non_members.tsv", words[35:], ["b", "c", "b", "c", "b"] * 5)
    pair = sides.paired(mine, others)
    with pytest.raises(ValueError, match=r"--non_members=text:.*: 5 example\(s\) are among"):
        duplicates.distinct_sides(*pair, drop=False)
    distinct = duplicates.distinct_sides(*pair, drop=True)
    assert distinct.overlap == 5 and distinct.sides[0].texts[np.arange(35)] == words[:35]
    assert distinct.sides[1].texts[np.arange(20)] == words[40:]


def test_digests_of_bytes_hold_few_of_them_as_floats(monkeypatch):
    """Whatever their pieces, they are the same."""
    x = np.random.default_rng(0).integers(0, 256, (2000, 64, 64), np.uint8)
    side = sides.of_arrays(x, np.zeros(2000, int), "data")
    monkeypatch.setattr(duplicates, "AT_ONCE", 2**18)
    tracemalloc.start()
    pieces = duplicates.digests(side)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * x.nbytes  # as floats they are four times as large
    monkeypatch.setattr(duplicates, "AT_ONCE", 2**30)
    np.testing.assert_array_equal(pieces, duplicates.digests(side))
