"""What kind of model a file is, by its first bytes: outside its process no more is parsed."""

from __future__ import annotations

import os

from tf_compleak.engine import bounded_reads

HEAD = 264  # bytes that tell a kind
MAGIC = {b"PK\x03\x04": "keras", b"\x89HDF": "h5"}


def kind_of(path: str) -> str:
    """ "tflite", "keras", "h5" or "savedmodel", by the first bytes; no more is read here.

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
    raise ValueError(f"{path}: {_foreign(path, head)}")


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


def _foreign(path: str, head: bytes) -> str:
    outputs = "or give the model's outputs as MEMBERS.npy+NON_MEMBERS.npy."
    if _is_torch(path, head):
        return (
            "is a PyTorch file, which is a pickle and never opened; convert it to .tflite "
            f"(litert-torch), {outputs}"
        )
    if path.endswith(".onnx") or (head[0] == 8 and b"onnx" in head.lower()):
        return f"is an ONNX file, which is not read yet; convert it to .tflite, {outputs}"
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return (
            f"is a pickle, which is code and never opened; convert the model to .tflite, {outputs}"
        )
    return (
        "is no model file: neither .tflite (no TFL3 mark), nor .keras (zip), .h5 (HDF5) or a "
        "SavedModel folder; export the model again."
    )
