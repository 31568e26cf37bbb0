"""Batches that are shared out: all are answered once, in order, and errors end the others."""

import threading

import numpy as np
import pytest

from tf_compleak.inference.isolated import lanes

STARTS = range(0, 40, 4)


def test_lanes_work_at_the_same_time_and_outputs_come_in_order():
    together = threading.Barrier(2, timeout=30)  # passed by two lanes at work only

    def lane(start: int) -> np.ndarray:
        together.wait()
        return np.full(4, start)

    outputs = list(lanes.in_order(lanes.answers([lane, lane], STARTS), STARTS))
    np.testing.assert_array_equal(outputs, [[start] * 4 for start in STARTS])


def test_outputs_that_come_early_wait_for_those_before():
    shuffled = iter([(8, "c"), (0, "a"), (4, "b")])
    assert list(lanes.in_order(shuffled, [0, 4, 8])) == ["a", "b", "c"]


def test_an_error_of_a_lane_is_raised_and_no_batch_is_begun_after_it():
    begun, failed = [], threading.Event()

    def good(start: int) -> np.ndarray:
        begun.append(start)
        failed.wait(30)
        return np.zeros(4)

    def bad(start: int) -> np.ndarray:
        failed.set()
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        list(lanes.answers([good, bad], range(0, 4000, 4)))
    assert len(begun) < 999


def test_one_lane_works_in_the_calling_thread():
    asked = lanes.answers([lambda start: threading.get_ident()], STARTS)
    assert {thread for _, thread in asked} == {threading.get_ident()}
