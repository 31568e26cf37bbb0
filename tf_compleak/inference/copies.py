"""Flipped and shifted copies of images: further queries about one and the same example."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

Change = Callable[[np.ndarray], np.ndarray]


def changes(count: int) -> list[Change]:
    """The first `count` of: flip, shifts by one step in four directions, flipped and shifted, ...

    A step is a sixteenth of the image. Copy number i is the same change in every run.
    """
    steps = [(0, 0)]
    radius = 1
    while 2 * len(steps) <= count:
        ring = [(radius, 0), (-radius, 0), (0, radius), (0, -radius)]
        ring += [(a * radius, b * radius) for a in (1, -1) for b in (1, -1)]
        steps += ring
        radius += 1
    both = [(flip, *step) for step in steps for flip in (False, True)][1:]
    return [functools.partial(changed, flip=f, down=d, right=r) for f, d, r in both[:count]]


def changed(images: np.ndarray, *, flip: bool, down: int, right: int) -> np.ndarray:
    """Images [N, H, W, C] flipped left to right, then shifted by steps of a sixteenth, edges grown.

    ValueError when the inputs are no images.
    """
    if images.ndim != 4:
        raise ValueError(
            f"--queries: flips and shifts need images [N, H, W, C], got shape {images.shape}; "
            "pass --queries=0."
        )
    if flip:
        images = images[:, :, ::-1]
    for axis, steps in ((1, down), (2, right)):
        size = images.shape[axis]
        pixels = np.arange(size) - steps * max(1, size // 16)
        images = np.take(images, np.clip(pixels, 0, size - 1), axis=axis)
    return np.ascontiguousarray(images)
