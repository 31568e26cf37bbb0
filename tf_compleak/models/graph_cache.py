"""Traced graphs kept for the next task with the same settings, within a bound of memory.

A process traces a graph once and swaps its weights. Of every kind (training, pruning, clustering
...) the latest stays, however large, so that another version of the kind needs no tracing; what
more fits into the bound stays too. So memory does not grow with the number of versions.
"""

import functools
import gc
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from tf_compleak.models.keras2 import keras
from tf_compleak.models.trainer import Trainer

BOUND = 192 * 2**20  # bytes
GRAPH = 16 * 2**20  # bytes that a traced graph takes beside its variables, as measured

_entries: OrderedDict[tuple, tuple[object, int]] = OrderedDict()  # the least recently used first


def reuse_graph(make: Callable) -> Callable:
    """`make`, called once for the same (hashable) arguments while its value is kept.

    A value is a `Trainer`, a Keras model, a list of arrays, or a tuple with some of these; what
    else is in it counts as nothing.
    """

    @functools.wraps(make)
    def cached(*args):
        key = (make, *args)
        if key not in _entries:
            sizes = [size for (kind, *_), (_, size) in _entries.items() if kind is make]
            _make_room(max(sizes, default=0), make)
            value = make(*args)
            _entries[key] = value, GRAPH + _size(value)
            _make_room(0)
        _entries.move_to_end(key)
        return _entries[key][0]

    def cache_clear():
        for key in [key for key in _entries if key[0] is make]:
            del _entries[key]

    cached.cache_clear = cache_clear
    return cached


def _make_room(size: int, of: Callable | None = None) -> None:
    """Drop the least recently used until `size` more fit; the latest of all kinds but `of` stay."""
    latest = {key[0]: key for key in _entries}
    latest.pop(of, None)
    before = len(_entries)
    for key in list(_entries):
        if size + sum(entry_size for _, entry_size in _entries.values()) <= BOUND:
            break
        if latest.get(key[0]) != key:
            del _entries[key]
    if len(_entries) < before:
        gc.collect()  # models and their functions refer to each other


def _size(value) -> int:
    """Bytes of variables and arrays."""
    match value:
        case tuple() | list():
            return sum(_size(part) for part in value)
        case Trainer():
            return value.nbytes
        case keras.Model():
            return sum(v.shape.num_elements() * v.dtype.size for v in value.weights)
        case np.ndarray():
            return value.nbytes
    return 0
