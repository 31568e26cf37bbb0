"""`.npy` and `.npz` files of others: headers are held against the file before anything is made.

Nothing is ever unpickled. A header that promises what the file does not have costs nothing.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np

from tf_compleak.engine import bounded_reads

HEADER_MOST = 8192  # bytes; NumPy's own headers of plain arrays have 118
DIRECTORY_MOST = 2**20  # bytes of an archive's list of members
MEMBERS_MOST = 1000
RATIO_MOST = 1100  # deflate reaches 1,032
CHUNK = 2**20
KINDS = "biufSU"  # booleans, numbers, text (for ids)
HEADER_DAMAGE = (  # whatever NumPy's reader makes of a text that is no header
    *(SyntaxError, TypeError, KeyError, MemoryError, RecursionError, struct.error),
    *(tokenize.TokenError, AttributeError, IndexError, OverflowError),
)
DAMAGE = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


class Header(NamedTuple):
    """What an array is: shape, dtype, order of its axes in the file, and where its data begins."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    offset: int


def mapped(path: str | os.PathLike, prefix: str = "") -> np.ndarray:
    """The array of a `.npy`, memory-mapped and read-only; `prefix` is put before errors.

    Raises:
      ValueError, FileNotFoundError: in one line that names the file, for anything else than a
        plain array that is there in full.
    """
    with _file(path, "save a plain number array", prefix) as file:
        header = header_of(file, os.fstat(file.fileno()).st_size)
        if not math.prod(header.shape):
            return np.empty(header.shape, header.dtype)
        order = "F" if header.fortran else "C"
        return np.memmap(file, header.dtype, "r", header.offset, header.shape, order)


@contextlib.contextmanager
def _file(path: str | os.PathLike, remedy: str, prefix: str = "") -> Iterator[BinaryIO]:
    """A regular file; what fails with it as one line that names it and the remedy."""
    try:
        with bounded_reads.opened(os.path.expanduser(path)) as file:
            yield file
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{prefix}{path}: no such file; {remedy}.") from error
    except (ValueError, struct.error, *DAMAGE) as error:
        reason = str(error).removeprefix(f"{os.path.expanduser(path)}: ").rstrip(".")
        raise ValueError(f"{prefix}{path}: {reason or 'is damaged'}; {remedy}.") from error


def memory() -> int:
    """Bytes of memory of this machine: no file may become more than that."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def array(content: bytes) -> np.ndarray:
    """The array of a `.npy` file's bytes; ValueError as in `mapped`."""
    file = io.BytesIO(content)
    return _read(file, header_of(file, len(content)))


def header_of(file: BinaryIO, size: int) -> Header:
    """The header at the start of a `.npy` of `size` bytes, all of which the array must take.

    Raises:
      ValueError: in one line, where it is damaged, promises more or less than there is, or is of
        Python objects or records.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"is a .npy of version {version}")
        width = 2 if version == (1, 0) else 4
        length = file.read(width)
        count = int.from_bytes(length, "little")
        if len(length) < width or count > HEADER_MOST:
            raise ValueError(f"has a header of {count:,} bytes")
        text = io.BytesIO(length + file.read(count))
        read = np.lib.format.read_array_header_1_0
        read = read if width == 2 else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(text, max_header_size=HEADER_MOST)
    except ValueError as error:
        raise ValueError(" ".join(f"{error}".split())[:200].rstrip(".")) from error
    except HEADER_DAMAGE as error:
        raise ValueError("has a damaged header") from error
    _check_header(shape, dtype, size - width - 8 - count)
    return Header(tuple(shape), dtype, bool(fortran), width + 8 + count)


def _check_header(shape: Sequence[int], dtype: np.dtype, size: int) -> None:
    if dtype.hasobject:
        raise ValueError("holds Python objects, which are never loaded; save plain number arrays")
    if dtype.kind not in KINDS or dtype.names or dtype.subdtype:
        raise ValueError(f"holds values of type {str(dtype)[:60]}; save plain numbers")
    if any(type(length) is not int or not 0 <= length < 2**48 for length in shape):
        raise ValueError(f"has the impossible shape {str(tuple(shape))[:60]}")
    if not dtype.itemsize:
        raise ValueError(f"holds values of no size ({dtype}); save plain numbers or texts")
    promised = math.prod(shape) * dtype.itemsize
    if len(shape) > 32 or promised != size:
        raise ValueError(
            f"promises {promised:,} bytes ({str(tuple(shape))[:60]} of {dtype}), has {size:,}; "
            "it is damaged or was not written in full"
        )


def _read(file: BinaryIO, header: Header) -> np.ndarray:
    """The array after a header, filled piece by piece."""
    flat = np.empty(math.prod(header.shape), header.dtype)
    if flat.nbytes:
        unread = memoryview(flat.view(np.uint8))
        while unread:
            data = file.read(min(CHUNK, len(unread)))
            if not data:
                raise ValueError("ends in the middle")
            unread[: len(data)] = data
            unread = unread[len(data) :]
    if header.dtype.kind == "U":
        _check_letters(flat)
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


def _check_letters(flat: np.ndarray) -> None:
    codes = flat.astype(flat.dtype.newbyteorder("=")).view(np.uint32)
    if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
        raise ValueError("holds letters that are none")


# Archives -----------------------------------------------------------------------------------------


def archive(path: str | os.PathLike, needed: Sequence[str]) -> dict[str, np.ndarray]:
    """All arrays of an `.npz` that unpacks to no more than there is memory.

    Args:
      needed: names that it must have.

    Raises:
      ValueError, FileNotFoundError: in one line that names the file, for anything else than plain
        arrays of different names.
    """
    remedy = f"an .npz with arrays {' and '.join(needed)} is expected"
    with _file(path, remedy) as file:
        return _unpacked(file, needed)


def _unpacked(file: BinaryIO, needed: Sequence[str]) -> dict[str, np.ndarray]:
    end = zipfile._EndRecData(file)  # what ZipFile itself goes by, before it reads the list
    if not end:
        raise ValueError("is no zip file")
    if end[5] > DIRECTORY_MOST:
        raise ValueError("has more members than any .npz")
    with zipfile.ZipFile(file) as packed:
        members = packed.infolist()
        _check_members(members, needed)
        arrays = {}
        for member in members:
            with packed.open(member) as data:
                values = _read(data, header_of(data, member.file_size))
                if data.read(1):  # which checks the sum, too
                    raise ValueError(f"{member.filename} is longer than its header says")
            arrays[member.filename.removesuffix(".npy")] = values
        return arrays


def _check_members(members: list[zipfile.ZipInfo], needed: Sequence[str]) -> None:
    if len(members) > MEMBERS_MOST:
        raise ValueError(f"has {len(members):,} members, more than any .npz")
    names = [member.filename for member in members]
    for member in members:
        name = ascii(member.filename)[1:-1][:60]
        if names.count(member.filename) > 1:
            raise ValueError(f"has two members {name}")
        if member.flag_bits & 1:
            raise ValueError(f"{name} is encrypted")
        if not member.filename.endswith(".npy"):
            raise ValueError(f"{name} is no .npy")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is packed by another method than np.savez_compressed's")
        if member.file_size > RATIO_MOST * member.compress_size + CHUNK:
            raise ValueError(f"{name} promises more bytes than can be packed in it")
    size = sum(member.file_size for member in members)
    if size > memory():
        raise ValueError(f"unpacks to {size / 2**30:.0f} GiB, more than there is memory")
    names = [name.removesuffix(".npy") for name in names]
    if missing := [name for name in needed if name not in names]:
        has = ", ".join(ascii(name)[1:-1] for name in names)[:200]
        raise ValueError(f"lacks {' and '.join(missing)} (has {has})")
