"""Files that nobody thought of: bytes by hypothesis for a header, damaged files of all kinds."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_compleak.data import array_files

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
MAGIC = b"\x93NUMPY"
quick = settings(max_examples=300, deadline=None, database=None, derandomize=True)


def one_line(read) -> object:
    """What `read` gives, or None where it ends in one line."""
    try:
        return read()
    except ValueError as error:
        assert str(error) and "\n" not in str(error) and len(str(error)) < 400
        return None


def with_header(text: bytes, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """A .npy with this text as its header."""
    width = 2 if version[0] == 1 else 4
    return MAGIC + bytes(version) + len(text).to_bytes(width, "little") + text + data


VALUES = st.one_of(
    *(st.integers(), st.booleans(), st.none(), st.text(max_size=8), st.floats(allow_nan=False)),
    st.tuples(st.integers(), st.integers()),
    st.lists(st.integers(), max_size=4),
)
DTYPES = st.sampled_from(
    ["<f4", "|O", "<U3", "|S0", "<M8[s]", "|V8", "<f16", [("a", "<f4")], "<i8", "f", ">u2", "O,O"]
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "descr": DTYPES | VALUES,
        "fortran_order": st.booleans() | VALUES,
        "shape": st.lists(st.integers(-2, 2**62), max_size=40).map(tuple) | VALUES,
        "extra": VALUES,
    },
)


@quick
@given(st.binary(max_size=300))
def test_any_bytes_after_the_mark(content):
    one_line(lambda: array_files.array(MAGIC + content))


@quick
@given(HEADERS, st.binary(max_size=64), st.sampled_from([(1, 0), (2, 0), (3, 0), (9, 9)]))
def test_any_header(header, data, version):
    content = with_header(repr(header).encode("latin-1", "replace") + b"\n", data, version)
    array = one_line(lambda: array_files.array(content))
    if array is not None:
        assert array.nbytes == len(data) and array.dtype.kind in array_files.KINDS


@quick
@given(st.text(max_size=200), st.sampled_from([(1, 0), (2, 0)]))
def test_any_text_as_header(text, version):
    one_line(lambda: array_files.array(with_header(text.encode(), version=version)))


@quick
@given(
    st.sampled_from(["<f4", ">f8", "|u1", "<i2", "|b1", "<U2", "|S3"]),
    st.lists(st.integers(0, 4), max_size=4).map(tuple),
    st.sampled_from("CF"),
    st.data(),
)
def test_what_is_written_is_read_and_what_is_damaged_is_not_worse(dtype, shape, order, data):
    file, given_array = io.BytesIO(), np.zeros(shape, dtype, order)
    np.save(file, given_array)
    content = file.getvalue()
    read = array_files.array(content)
    assert read.dtype == given_array.dtype and read.shape == given_array.shape
    place = data.draw(st.integers(0, len(content) - 1))
    damaged = bytearray(content)
    damaged[place] ^= data.draw(st.integers(1, 255))
    one_line(lambda: array_files.array(bytes(damaged)))
    one_line(lambda: array_files.array(content[:place]))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_damaged_files_of_every_kind():
    command = [
        sys.executable,
        FUZZ,
        "--files=30",
        "--model_files=4",
        "--tflite_files=20",
        "--seed=1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| 0 |") >= 7
