"""What kind of model a file is, by its first bytes: outside its process no more is parsed."""

from __future__ import annotations

import importlib.util
import os

from tf_compleak.engine import bounded_reads

HEAD = 264  # bytes that tell a kind
MAGIC = {b"PK\x03\x04": "keras", b"\x89HDF": "h5"}
ONNX_TAGS = frozenset(b"\x12\x1a\x22\x28\x32\x3a\x42")  # fields behind an ONNX file's version
EXTRAS = {"onnx": ("onnx", "onnxruntime")}  # packages of extras that read a kind, by its name


def kind_of(path: str) -> str:
    """ "tflite", "onnx", "keras", "h5" or "savedmodel", by the first bytes; no more is read here.

    Raises:
      ValueError: for other kinds, and for what is no regular file or may not be read;
        FileNotFoundError.
    """
    file = os.path.expanduser(path)
    try:
        head = _head(file)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such file.") from error
    except OSError as error:
        reason = error.strerror
        raise ValueError(f"{path}: cannot be read ({reason}); name a model file.") from error
    except ValueError as error:
        raise ValueError(f"{path}: {str(error).removeprefix(f'{file}: ')}") from error
    if head is None:
        return "savedmodel"
    if not head:
        raise ValueError(f"{path}: is empty; export the model again.")
    if head[4:8] == b"TFL3":
        return "tflite"
    if head[:4] in MAGIC and not _is_torch(path, head):
        return MAGIC[head[:4]]
    if _is_onnx(path, head):
        return "onnx"
    raise ValueError(f"{path}: {_foreign(path, head)}")


def check_installed(path: str, kind: str) -> None:
    """ValueError that names the extra, where a package is missing that reads this kind."""
    for package in EXTRAS.get(kind, ()):
        if importlib.util.find_spec(package) is None:
            raise ValueError(
                f"{path}: is read by {package}, which is not installed; "
                f"pip install 'tf-compleak[{kind}]'."
            )


def _head(file: str) -> bytes | None:
    """The first bytes of a regular file; None for a folder."""
    if os.path.isdir(file):
        if not os.access(file, os.R_OK | os.X_OK):
            raise bounded_reads.unreadable(file)
        return None
    with bounded_reads.opened(file) as opened:
        return opened.read(HEAD)


def _is_torch(path: str, head: bytes) -> bool:
    """PyTorch's files are zips as Keras' are: the first member's name, as it stands there."""
    zipped = head[:2] == b"PK" and (b"/data.pkl" in head or b"/.format_version" in head)
    return zipped or path.endswith((".pt", ".pth"))


def _is_onnx(path: str, head: bytes) -> bool:
    """ONNX files have no mark: by their name, or by their first two fields."""
    if _is_torch(path, head) or head[4:8] == b"ORTM" or head[0] == 0x80:
        return False
    versioned = len(head) > 2 and head[0] == 8 and head[1] < 128 and head[2] in ONNX_TAGS
    return path.lower().endswith(".onnx") or versioned


def _foreign(path: str, head: bytes) -> str:
    outputs = "or give the model's outputs as MEMBERS.npy+NON_MEMBERS.npy."
    if _is_torch(path, head):
        return (
            "is a PyTorch file, which is a pickle and never opened; convert it to .tflite "
            f"(litert-torch), {outputs}"
        )
    if head[4:8] == b"ORTM":
        return "is in onnxruntime's own format; give the .onnx file that it was made from."
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return (
            f"is a pickle, which is code and never opened; convert the model to .tflite, {outputs}"
        )
    return (
        "is no model file: neither .tflite (no TFL3 mark), nor .keras (zip), .h5 (HDF5), .onnx or "
        "a SavedModel folder; export the model again."
    )
