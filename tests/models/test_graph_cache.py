"""Traced graphs stay within a bound of memory."""

import gc
import weakref

import numpy as np
import pytest

from tf_compleak.models import graph_cache
from tf_compleak.models.keras2 import keras
from tf_compleak.models.trainer import Optimization, Trainer

MIB = 2**20


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(graph_cache, "_entries", type(graph_cache._entries)())
    monkeypatch.setattr(graph_cache, "GRAPH", 0)
    monkeypatch.setattr(graph_cache, "BOUND", 10 * MIB)


def maker():
    made = []

    @graph_cache.reuse_graph
    def make(size):
        made.append(size)
        return [np.zeros(size * MIB, np.uint8)]

    return make, made


def test_the_same_arguments_are_made_once_while_they_fit():
    make, made = maker()
    assert make(3) is make(3) and make(4) is make(4) and make(3) is make(3)
    assert made == [3, 4]


def test_the_least_recently_used_goes_and_the_largest_stays_alone():
    make, made = maker()
    for size in (3, 2, 3, 4):  # 2 is the oldest, 4 needs room for one as large as the largest
        make(size)
    make(3)
    assert made == [3, 2, 4]
    make(5)
    make(4)
    assert made == [3, 2, 4, 5, 4]
    assert make(50) is make(50)
    assert len(graph_cache._entries) == 1
    make(3)
    assert list(size for _, size in graph_cache._entries.values()) == [3 * MIB]


def test_no_more_than_the_bound_is_held_with_any_number_of_settings():
    make, _ = maker()
    for size in np.random.default_rng(0).integers(1, 6, 15):
        make(int(size))
        assert sum(size for _, size in graph_cache._entries.values()) <= graph_cache.BOUND


def test_the_latest_of_every_kind_stays():
    makers = [maker() for _ in range(4)]
    for make, _ in makers:
        make(1), make(2), make(7)
    for make, made in makers:
        make(7)
        assert made == [1, 2, 7]
    assert len(graph_cache._entries) == 4  # 28 MiB: one of each, and nothing else


def test_functions_with_equal_arguments_do_not_mix_and_are_cleared_apart():
    (one, made), (other, also) = maker(), maker()
    assert one(1) is not other(1)
    one.cache_clear()
    one(1), other(1)
    assert made == [1, 1] and also == [1]


def trainer(width):
    model = keras.Sequential([keras.layers.Input([width]), keras.layers.Dense(2)])
    return Trainer(model, Optimization(1, 4, 0.1, optimizer="adamw"))


def test_a_trainer_counts_its_variables_and_its_optimizers():
    assert (
        graph_cache._size((trainer(5), np.zeros(3, np.float32), "text")) == 3 * 4 * (5 * 2 + 2) + 12
    )


def test_what_is_dropped_is_freed(monkeypatch):
    monkeypatch.setattr(graph_cache, "BOUND", 1)
    make = graph_cache.reuse_graph(trainer)
    first = make(3)
    list(first.epochs(np.zeros([8, 3], np.float32), np.zeros(8, int), np.random.default_rng(0)))
    first = weakref.ref(first)
    make(4)
    gc.collect()
    assert first() is None
