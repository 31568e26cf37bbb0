"""Files of a stranger, given as data: what each tries, and the one line that answers it."""

import contextlib
import io
import os
import pickle
import socket
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from refusals import refused

from tf_compleak.data import array_files, sides, sources, tfds_folder
from tf_compleak.engine import bounded_reads
from tf_compleak.studies.audit import checks
from tf_compleak.studies.audit.query import Family

X = np.random.default_rng(0).random((40, 3, 3, 1)).astype(np.float32)
Y = np.arange(40) % 2


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text: str, data: bytes = b"", version=b"\1\0") -> bytes:
    """A `.npy` with any text as its header."""
    width = "<H" if version == b"\1\0" else "<I"
    return b"\x93NUMPY" + version + struct.pack(width, len(text)) + text.encode() + data


def promising(shape, dtype="<f4", fortran=False) -> str:
    return f"{{'descr': {dtype!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def packed(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)


# What is no file ----------------------------------------------------------------------------------


@contextlib.contextmanager
def listening(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        yield


@pytest.fixture(params=["pipe", "socket", "device", "folder", "link to a device"])
def no_file(request, tmp_path, monkeypatch):
    """The name, without ending, of something that is no regular file, and what it is called."""
    monkeypatch.chdir(tmp_path)  # names of sockets are short

    def make(name):
        with contextlib.ExitStack() as stack:
            if request.param == "pipe":
                os.mkfifo(name)
            elif request.param == "socket":
                stack.enter_context(listening(name))
            elif request.param == "folder":
                os.mkdir(name)
            else:
                os.symlink("/dev/zero", name)
        return "device" if "device" in request.param else request.param

    return make


@pytest.mark.parametrize(
    "reader",
    [
        lambda: sources.load_side("npz:a.npz", "--members"),
        lambda: sources.load_side("npy:a.npy", "--members"),
        lambda: sources.load("npz:a.npz"),
        lambda: sources.load("text:a.csv"),
        lambda: sources.load("text:a.jsonl"),
        lambda: sources.load("image_folder:a"),
        lambda: bounded_reads.content("a.json"),
    ],
    ids=["side npz", "side npy", "npz", "csv", "jsonl", "image", "json"],
)
def test_what_is_no_file_is_never_waited_for(no_file, reader):
    for name in ("a.npz", "a.npy", "a.csv", "a.jsonl", "a.json"):
        kind = no_file(name)
    os.makedirs("a/one")
    no_file("a/one/1.png")
    line = refused(reader, f"is a {kind}; a regular file is needed")
    assert "a." in line or "1.png" in line


def test_links_that_the_user_names_are_fine(tmp_path):
    np.savez(tmp_path / "whole.npz", x=X, y=Y)
    (tmp_path / "link.npz").symlink_to("whole.npz")
    assert len(sources.load_side(f"npz:{tmp_path}/link.npz", "--members")) == 40
    with pytest.raises(ValueError, match="is a symbolic link"):
        bounded_reads.content(tmp_path / "link.npz", follow=False)


# Arrays -------------------------------------------------------------------------------------------

ARRAYS = {
    "terabytes": (header(promising((2**40,)), b"1234"), "promises 4,398,046,511,104 bytes"),
    "more than there is": (npy(X)[:-4], "promises 1,440 bytes .* has 1,436"),
    "less than there is": (npy(X) + b"more", "promises 1,440 bytes .* has 1,444"),
    "negative": (header(promising((-1, -1)), b"1234"), "impossible shape"),
    "huge": (header(promising((0, 2**62)), b""), "impossible shape"),
    "a truth as length": (header(promising((True,)), b"1234"), "impossible shape"),
    "many axes": (header(promising((1,) * 60), b"1234"), "promises|impossible"),
    "a long header": (header(promising((1,)) + " " * 60000, b"1234"), "header of 60,0"),
    "a longer header": (b"\x93NUMPY\2\0" + struct.pack("<I", 2**31), "header of 2,147,483,648"),
    "no header": (header("(" * 5000), "header"),
    "a call": (header("{'descr': exit(), 'fortran_order': False, 'shape': (1,)}"), "header"),
    "objects": (pickle.dumps({}), "magic string"),
    "python objects": (npy(np.array([{}] * 3)), "Python objects, which are never loaded"),
    "records": (npy(np.zeros(3, [("a", "f4"), ("b", "i4")])), "save plain numbers"),
    "complex": (npy(np.zeros(3, complex)), "save plain numbers"),
    "times": (npy(np.zeros(3, "M8[s]")), "save plain numbers"),
    "bytes": (npy(np.zeros(3, "V8")), "save plain numbers"),
    "version 3": (header(promising((1,)), b"1234", b"\3\0"), "version"),
    "empty": (b"", "EOF|magic"),
    "text": (b"not an array", "magic string"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_a_header_is_held_against_its_file(case, tmp_path):
    content, message = ARRAYS[case]
    (tmp_path / "y.npy").write_bytes(content)
    line = refused(lambda: sources.load_side(f"npy:{tmp_path}/y.npy", "--members"), message)
    assert line.startswith(f"--members=npy:{tmp_path}/y.npy")
    packed(tmp_path / "a.npz", [("x.npy", npy(X)), ("y.npy", content)])
    line = refused(lambda: sources.load_side(f"npz:{tmp_path}/a.npz", "--members"), message)
    assert line.startswith(f"--members=npz:{tmp_path}/a.npz") and "an .npz with arrays" in line


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["uint8", ">f4", "float64", "float16"])
def test_plain_arrays_of_any_order_are_read_as_they_are(order, dtype, tmp_path):
    table = np.asarray(X[..., 0] * 9, dtype, order=order)
    np.save(tmp_path / "x.npy", table)
    np.save(tmp_path / "y.npy", Y)
    np.savez_compressed(tmp_path / "a.npz", x=table, y=Y, ids=Y.astype(str) + np.array(["é"]))
    mapped = array_files.mapped(f"{tmp_path}/x.npy")
    unpacked = array_files.archive(f"{tmp_path}/a.npz", ("x", "y"))
    assert isinstance(mapped, np.memmap) and not mapped.flags.writeable
    np.testing.assert_array_equal(mapped, table)
    np.testing.assert_array_equal(unpacked["x"], table)
    assert mapped.dtype == unpacked["x"].dtype == table.dtype and unpacked["ids"][1] == "1é"


def bomb(size: int) -> list:
    return [("x.npy", header(promising((size,), "|u1"), bytes(size))), ("y.npy", npy(Y))]


def edited(path, offset_of: bytes, skip: int, value: bytes) -> None:
    """Overwrite bytes of the last record that begins with a signature."""
    data = bytearray(path.read_bytes())
    start = data.rfind(offset_of) + skip
    data[start : start + len(value)] = value
    path.write_bytes(bytes(data))


def twice(path):
    with pytest.warns(UserWarning, match="Duplicate"):
        packed(path, [("x.npy", npy(X)), ("y.npy", npy(Y)), ("x.npy", npy(X * 0))])


def encrypted(path):
    packed(path, [("x.npy", npy(X)), ("y.npy", npy(Y))])
    edited(path, b"PK\1\2", 8, b"\1\0")


def larger_than_said(path):
    packed(path, [("x.npy", npy(X)), ("y.npy", npy(Y))], zipfile.ZIP_DEFLATED)
    edited(path, b"PK\1\2", 24, struct.pack("<I", 200))


def smaller_than_said(path):
    packed(path, [("x.npy", npy(X)), ("y.npy", npy(Y))], zipfile.ZIP_DEFLATED)
    edited(path, b"PK\1\2", 24, struct.pack("<I", 2**31))


def of_another_sum(path):
    packed(path, [("x.npy", npy(X)), ("y.npy", npy(Y))])
    edited(path, b"PK\1\2", 16, b"\0\0\0\0")


def many(path):
    packed(path, [(f"{index}.npy", b"") for index in range(2000)])


def very_many(path):
    packed(path, [(f"{index}-{'n' * 200}.npy", b"") for index in range(6000)])


ARCHIVES = {
    "two of a name": (twice, "has two members x.npy"),
    "encrypted": (encrypted, "y.npy is encrypted"),
    "larger than said": (larger_than_said, "promises|Bad CRC-32"),
    "smaller than said": (smaller_than_said, "promises more bytes than can be packed"),
    "of another sum": (of_another_sum, "Bad CRC-32"),
    "2,000 members": (many, "has 2,000 members"),
    "6,000 members": (very_many, "has more members than any"),
    "no arrays": (lambda path: packed(path, [("run.sh", b"true")]), "run.sh is no .npy"),
    "a name": (lambda path: packed(path, [("\x1b[2J\n.npy", npy(Y))]), r"lacks y \(has .x1b"),
    "another method": (
        lambda path: packed(path, [("y.npy", npy(Y))], zipfile.ZIP_LZMA),
        "packed by another method",
    ),
    "cut": (lambda path: path.write_bytes(b"PK\3\4" + bytes(100)), "is no zip file"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives_are_unpacked_within_bounds(case, tmp_path):
    make, message = ARCHIVES[case]
    make(tmp_path / "a.npz")
    line = refused(lambda: sources.load_side(f"npz:{tmp_path}/a.npz", "--members"), message)
    assert line.startswith("--members=npz:")


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    packed(tmp_path / "a.npz", bomb(2**26), zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(array_files, "memory", lambda: 2**25)
    refused(
        lambda: sources.load_side(f"npz:{tmp_path}/a.npz", "--members"), "more than there is memory"
    )


def test_no_pickle_is_ever_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (f"{tmp_path}/trapped",)

    np.savez(tmp_path / "a.npz", x=X, y=np.array([Trap()], dtype=object))
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Trap()))
    np.save(tmp_path / "c.npy", np.array([Trap()], dtype=object))
    for source in ("npz:a.npz", "npz:b.npz", "npy:c.npy"):
        scheme, name = source.split(":")
        refused(lambda s=f"{scheme}:{tmp_path}/{name}": sources.load_side(s, "--members"), "array")
    assert not (tmp_path / "trapped").exists()


LABELS = {
    "over int64": (Y.astype(np.uint64) + np.uint64(2**63), "label 9223372036854775809 is too"),
    "over int32": (Y + 2**40, "label 1099511627777 is too large"),
    "floats": (Y.astype(float), "labels must be integers"),
    "NaN": (np.full(40, np.nan), "labels must be integers"),
    "truths": (Y.astype(bool), "labels must be integers"),
    "negative": (Y - 5, "label -5 is negative"),
    "texts": (Y.astype(str), "labels must be integers"),
    "a table": (np.eye(40, dtype=int), "labels must be integers"),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_that_are_none_name_their_side(case, tmp_path):
    labels, message = LABELS[case]
    np.savez(tmp_path / "a.npz", x=X, y=labels)
    line = refused(lambda: sources.load_side(f"npz:{tmp_path}/a.npz", "--non_members"), message)
    assert line.startswith("--non_members=npz:")


@pytest.mark.parametrize("wrong", [0, 1])
def test_the_side_with_wrong_labels_is_the_one_that_is_blamed(wrong):
    flags = ("--members", "--non_members")
    both = [sides.of_arrays(X, Y + 7 * (wrong == i), flag) for i, flag in enumerate(flags)]
    family = Family("target", {}, tuple(both), ("", ""))
    line = refused(lambda: checks.labels_of(family, 0, 2, "int8"), "labels lie in 7..8, version")
    assert line.startswith(f"{flags[wrong]}:")


def test_one_label_on_one_side_is_a_side_like_any_other():
    both = sides.of_arrays(X, Y, "--members"), sides.of_arrays(X, 0 * Y, "--non_members")
    family = Family("target", {}, both, ("", ""))
    assert checks.labels_of(family, 0, 2, "int8").sum() == 20


@pytest.mark.parametrize("value", [1e300, np.inf, np.nan])
def test_numbers_too_large_name_the_flag_and_the_remedy(value, tmp_path):
    wide = X.astype(np.float64)
    wide[3, 1, 1, 0] = value
    np.savez(tmp_path / "a.npz", x=wide, y=Y)
    side = sources.load_side(f"npz:{tmp_path}/a.npz", "--members")
    remedy = "scale the inputs" if value == 1e300 else "clean or drop"
    line = refused(lambda: list(side.blocks()), remedy)
    assert line.startswith("--members=npz:") and ": x: 1 value(s) are NaN or infinite" in line
    refused(lambda: sources.load(f"npz:{tmp_path}/a.npz"), remedy)


# Images and texts ---------------------------------------------------------------------------------

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(touched) print\n"


def png(path, size=(5, 5), mode="L"):
    Image.new(mode, size).save(path, "PNG")


def of_size(path, width, height):
    """A PNG whose header promises another size."""
    png(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(bytes(data))


def half(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 50), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:800])


IMAGES = {
    "postscript": (lambda path: path.write_bytes(POSTSCRIPT), "not an image of 8 bits"),
    "another format": (lambda path: Image.new("L", (5, 5)).save(path, "GIF"), "not an image"),
    "a bomb": (lambda path: of_size(path, 60000, 60000), "more than 67,108,864 pixels"),
    "a small bomb": (lambda path: of_size(path, 9000, 9000), "more than 67,108,864 pixels"),
    "a half": (half, "not an image of 8 bits"),
    "16 bits": (lambda path: Image.new("I;16", (5, 5)).save(path, "PNG"), "more than 8 bits"),
    "nothing": (lambda path: path.write_bytes(b""), "not an image"),
}


@pytest.mark.parametrize("case", IMAGES)
@pytest.mark.filterwarnings("error")
def test_images_are_read_by_three_readers_only(case, tmp_path, monkeypatch):
    make, message = IMAGES[case]
    (tmp_path / "class").mkdir()
    make(tmp_path / "class" / "1.png")
    monkeypatch.setattr("subprocess.Popen", None)  # no other program is started
    line = refused(lambda: sources.load_side(f"image_folder:{tmp_path}", "--members"), message)
    assert "class/1.png" in line and "remove it" in line


def test_images_that_do_not_fit_in_memory_are_refused_at_once(tmp_path, monkeypatch):
    (tmp_path / "class").mkdir()
    for index in range(30):
        png(tmp_path / "class" / f"{index}.png", (50, 50))
    monkeypatch.setattr(array_files, "memory", lambda: 20 * 2500)
    refused(lambda: sources.load(f"image_folder:{tmp_path}"), "more images than there is memory")


TEXTS = {
    "deep.jsonl": ('{"text": ' + "[" * 100_000, "line 1: must be an object"),
    "list.jsonl": ("[1, 2]\n", "line 1: must be an object"),
    "number.jsonl": ('{"text": "a", "label": ' + "1" * 5000 + "}", "line 1: must be an object"),
    "half.jsonl": ('{"text": "\\ud800", "label": 0}', "line 1: text holds half of a letter"),
    "nul.csv": ("good,1\nbad\0,0\n", "line 2: holds a NUL character"),
    "nul.tsv": ("\0" * 100, "line 1: holds a NUL character"),
    "long.tsv": ("a" * (2**24 + 5), "line 1: has more than 16,777,216 letters"),
    "field.csv": ('"' + ("a" * 2**16 + "\n") * 2**8, "field larger than field limit"),
    "open.csv": ('"never closed,1\nnext,2\n', "line 2: unexpected end of data"),
    "wide.csv": ("a,1\nb,2,3\n", "line 2: 3 columns"),
    "binary.csv": (bytes(range(128, 256)), "is not UTF-8 text"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_read_line_by_line_within_bounds(name, tmp_path):
    content, message = TEXTS[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused(lambda: sources.load(f"text:{tmp_path / name}"), message)
    assert line.count(str(tmp_path)) == 1


def test_a_users_folder_that_nobody_has_is_one_line():
    for source in (
        "npz:~nobody-has-this/a.npz",
        "npy:~nobody-has-this/a.npy",
        "image_folder:~no/x",
    ):
        refused(lambda s=source: sources.load_side(s, "--members"), "no such", FileNotFoundError)


def test_data_sets_cannot_name_modules_to_import(tmp_path):
    folder = tmp_path / "mine" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    for text, message in (
        ('{"type": "mine.evil.Feature", "content": {}}', "none of TFDS's own features"),
        ('{"pythonClassName": "os.x"}', "none of TFDS's own features"),
        ("[" * 100_000, "too deep"),
    ):
        (folder / "features.json").write_text(text)
        refused(lambda: tfds_folder.read("mine", str(tmp_path), "train"), message)
