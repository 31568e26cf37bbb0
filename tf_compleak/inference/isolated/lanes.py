"""Batches shared out to lanes: one interpreter each, in threads, which the runtimes let run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np

Answer = Callable[[int], np.ndarray]  # the first row of a batch -> its outputs


def answers(lanes: Sequence[Answer], starts: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """(start, outputs) of every batch, as they come; a lane that is free takes the next batch.

    A single lane works in the calling thread. What a lane raises is raised here, when the others
    have ended their batches.
    """
    if len(lanes) == 1 or len(starts) < 2:
        yield from ((start, lanes[0](start)) for start in starts)
        return
    following, taking, done = iter(starts), threading.Lock(), queue.SimpleQueue()
    is_over = threading.Event()

    def work(lane: Answer) -> None:
        try:
            while not is_over.is_set():
                with taking:
                    start = next(following, None)
                if start is None:
                    return
                done.put((start, lane(start)))
        except BaseException as error:
            is_over.set()
            done.put(error)

    threads = [threading.Thread(target=work, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    try:
        for _ in starts:
            answer = done.get()
            if isinstance(answer, BaseException):
                raise answer
            yield answer
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def in_order(answered: Iterator[tuple[int, np.ndarray]], starts: Sequence[int]) -> Iterator:
    """The outputs of `answers` in the order of `starts`, each as soon as those before are there."""
    early: dict[int, np.ndarray] = {}
    expected = iter(starts)
    start = next(expected, None)
    for key, outputs in answered:
        early[key] = outputs
        while start in early:
            yield early.pop(start)
            start = next(expected, None)
