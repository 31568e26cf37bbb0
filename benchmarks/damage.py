"""Bytes damaged in one of the ways that a disk, a network or an enemy has."""

import io
import zipfile

import numpy as np

WORDS = (b"Dense", b"relu", b"softmax", b"null", b"float32", b"true", b"6", b"3", b'"config"')
OTHERS = (b"Lambda", b"eval", b"-1", b"[]", b"{}", b"1e999", b"99999999999", b'"', b"os", b"NaN")


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """These bytes, damaged in one way."""
    data, size = bytearray(content), max(1, len(content))
    way = rng.choice(["bits", "bytes", "head", "cut", "moved", "words"])
    if way == "bits":
        for place in rng.integers(size, size=rng.integers(1, 20)):
            data[place] ^= 1 << int(rng.integers(8))
    elif way in ("bytes", "head"):
        reach = min(size, 400) if way == "head" else size
        for place in rng.integers(reach, size=rng.integers(1, 20)):
            data[place] = int(rng.integers(256))
    elif way == "cut":
        data = data[: rng.integers(size)]
    elif way == "moved":
        length = int(rng.integers(1, min(400, size) + 1))
        start, place = rng.integers(size - length + 1, size=2)
        data[place : place + length] = data[start : start + length]
    else:
        return _reworded(bytes(data), rng)
    return bytes(data)


def _reworded(data: bytes, rng: np.random.Generator) -> bytes:
    """A word of the text exchanged; within a zip, whose sums then fit again."""
    if data[:2] == b"PK":
        given, packed = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
        names = given.namelist()
        chosen = names[rng.integers(len(names))]
        with zipfile.ZipFile(packed, "w") as archive:
            for name in names:
                content = given.read(name)
                archive.writestr(name, damage(content, rng) if name == chosen else content)
        return packed.getvalue()
    for word in rng.permutation(WORDS):
        if word in data:
            return data.replace(bytes(word), bytes(rng.choice(OTHERS)), int(rng.integers(1, 4)))
    return data
