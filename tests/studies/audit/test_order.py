"""The order of asking: every row once, both sides in proportion, positions that tell nothing."""

import numpy as np
import pytest
from scipy import stats

from tf_compleak.data import sides
from tf_compleak.studies.audit import order

SIZES = [(20, 20), (300, 500), (5000, 3192), (5000, 3193), (40_000, 3_000), (20, 30_000)]


@pytest.mark.parametrize("sizes", SIZES)
def test_every_row_is_asked_once_and_parts_are_whole(sizes):
    mixed = order.mixed(sizes, 3, "target")
    assert np.array_equal(np.sort(np.concatenate(mixed.parts)), np.arange(sum(sizes)))
    assert {len(part) for part in mixed.parts[:-1]} <= {order.PART}
    assert 0 < len(mixed.parts[-1]) <= order.PART


@pytest.mark.parametrize("sizes", SIZES)
def test_every_part_has_both_sides_in_proportion(sizes):
    for part in order.mixed(sizes, 3, "target").parts:
        assert abs((part < sizes[0]).sum() - len(part) * sizes[0] / sum(sizes)) <= 1


def test_positions_do_not_depend_on_the_side():
    """Mann-Whitney's z of members' positions over many seeds is standard normal."""
    members, others, small = 70, 50, np.zeros(120)
    z, last = [], 0
    for seed in range(400):
        small[:] = np.concatenate(order.mixed((members, others), seed, "target").parts)
        places = np.flatnonzero(small < members) + 1
        mean, var = members * 121 / 2, members * others * 121 / 12
        z.append((places.sum() - mean) / np.sqrt(var))
        last += small[-1] < members
    assert abs(np.mean(z)) < 0.2 and 0.85 < np.std(z) < 1.15
    assert stats.binomtest(int(last), 400, members / 120).pvalue > 1e-3


def test_the_last_row_of_many_parts_is_no_ones_for_sure(monkeypatch):
    monkeypatch.setattr(order, "PART", 20)
    last = [order.mixed((30, 11), seed, "t").parts[-1] for seed in range(400)]
    assert {len(part) for part in last} == {1}
    of_members = sum(int(part[0] < 30) for part in last)
    assert stats.binomtest(of_members, 400, 30 / 41).pvalue > 1e-3


def test_neighbours_stay_within_a_part():
    """Chunks of neighbours are cut at most at either end of a part: few pages are read twice."""
    mixed = order.mixed((50_000, 30_000), 0, "target")
    for part in mixed.parts:
        for rows in (part[part < 50_000], part[part >= 50_000] - 50_000):
            assert len(np.unique(rows // order.CHUNK)) <= len(rows) / order.CHUNK + 3


def test_the_seed_and_the_family_alone_decide():
    first, again, seed, family = (
        np.concatenate(order.mixed((400, 300), *settings).parts)
        for settings in ((0, "target"), (0, "target"), (1, "target"), (0, "shadow-0"))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, seed) and not np.array_equal(first, family)


def side(x, where="--members"):
    return sides.of_arrays(x, np.zeros(len(x), int), where)


def test_rows_of_both_sides_are_gathered_in_order():
    x = np.random.default_rng(0).integers(0, 256, (90, 2, 3), dtype=np.uint8)
    which = np.random.default_rng(1).permutation(90)[:55]
    together = order.gathered((side(x[:40]), side(x[40:])), which, dict)
    assert np.array_equal(together["x"], x[which]) and together["x"].dtype == np.uint8


def test_a_change_sees_both_sides_at_once_unless_their_numbers_differ():
    seen = []

    def change(block):
        seen.append(len(block["x"]))
        rows = block["x"]
        return {"x": rows.astype(np.float32) / (255 if rows.dtype == np.uint8 else 1)}

    x = np.random.default_rng(0).integers(0, 256, (60, 2), dtype=np.uint8)
    alike, apart = side(x[40:]), side(np.float32(x[40:]) / 255)
    which = np.random.default_rng(1).permutation(60)
    first = order.gathered((side(x[:40]), alike), which, change)
    assert seen == [60]
    other = order.gathered((side(x[:40]), apart), which, change)
    assert seen == [60, 40, 20] and np.array_equal(first["x"], other["x"])


def test_answers_are_put_back():
    mixed = order.mixed((9000, 4000), 5, "target")
    table = np.random.default_rng(0).random((13_000, 3), np.float32)
    assert np.array_equal(mixed.in_place([table[part] for part in mixed.parts]), table)
    with pytest.raises(ValueError, match="now 2, now 3 columns"):
        mixed.in_place([table[mixed.parts[0]], table[mixed.parts[1], :2]])
