"""Randomness: every stage derives its own generator from the study's seed and the stage's name."""

import zlib

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator for the stage called `names`: independent of the others, same in any process."""
    words = [zlib.crc32(name.encode()) for name in names]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


def integer(seed: int, *names: str) -> int:
    """An integer in [0, 2**31) for libraries that want a plain seed, derived as `generator` is."""
    return int(generator(seed, *names).integers(2**31))
