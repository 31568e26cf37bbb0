"""A SavedModel folder, held against the list of `allowed_ops` before TensorFlow sees it.

What is checked is what is loaded: the functions that no caller needs (those that save and restore)
and the graph around them are left out. In the isolated process only.
"""

from __future__ import annotations

import importlib
import os
import stat
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tf_compleak.inference.isolated.allowed_ops import OPERATIONS
from tf_compleak.inference.isolated.batching import padded
from tf_compleak.inference.ports import cast, chosen, rows_of, tensor_port

LARGEST = 2**31  # bytes of saved_model.pb, as many as protobuf takes
FILES = 10_000  # files that a folder may hold
MESSAGES = "tensorflow.core.protobuf.saved_model_pb2"
EXPORT = "export the model to .tflite, or without it"


@dataclass(frozen=True)
class Checked:
    """A folder and the `SavedModel` message, serialized, that is loaded from it."""

    folder: Path
    message: bytes


class SavedModel:
    """A SavedModel folder, asked by one of its signatures."""

    kind = "savedmodel"

    def __init__(self, checked: Checked, batch: int, output: str, signature: str):
        import tensorflow as tf

        self._tf = tf
        try:
            loaded = _load(checked)
            self._keep, signatures = loaded, dict(loaded.signatures)
        except MemoryError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"cannot be loaded as a SavedModel ({reason})") from error
        name = signature or ("serving_default" if "serving_default" in signatures else "")
        if not name and len(signatures) == 1:
            name = next(iter(signatures))
        if name not in signatures:
            has = ", ".join(signatures) or "none"
            raise ValueError(f"pass --signature=NAME, one of its signatures: {has}")
        self._call = signatures[name]
        specs = self._call.structured_input_signature[1]
        self.inputs = [tensor_port(spec, key) for key, spec in sorted(specs.items())]
        outputs = sorted(self._call.structured_outputs.items())
        self.outputs = [tensor_port(spec, key) for key, spec in outputs]
        fixed = [spec.shape[0] for spec in specs.values() if spec.shape.rank]
        self.batch = next((int(size) for size in fixed if size), batch)
        self.output = self.outputs[chosen(self.outputs, output)]

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        count = len(next(iter(rows.values())))
        given = {}
        for port in self.inputs:
            part = padded(cast(rows[port.name], port.dtype), self.batch)
            given[port.name] = self._tf.constant(part)
        outputs = self._call(**given)[self.output.name].numpy()
        return rows_of(outputs, max(count, self.batch))[:count]


def check(folder: Path, *, lists: bool = True) -> Checked:
    """The folder, once it is sure that it holds no operation but allowed ones.

    Raises:
      ValueError: naming the operation, asset or file, and the remedy.
    """
    file = folder / "saved_model.pb"
    if not file.is_file():
        raise ValueError("is a folder without saved_model.pb; name a SavedModel folder")
    if file.stat().st_size >= LARGEST:
        raise ValueError("its saved_model.pb has 2 GiB or more; export the model to .tflite")
    content = file.read_bytes()
    if not lists:
        return Checked(folder, content)
    _refuse_links(folder)
    from google.protobuf.message import DecodeError

    try:
        model = _messages().SavedModel.FromString(content)
    except DecodeError as error:
        raise ValueError(f"its saved_model.pb is damaged ({error}); export it again") from error
    if len(model.meta_graphs) != 1 or not model.meta_graphs[0].HasField("object_graph_def"):
        raise ValueError(
            "was exported by TensorFlow 1, whose loader runs what the file says; export the model "
            "with TensorFlow 2, or to .tflite"
        )
    graph = model.meta_graphs[0]
    if graph.asset_file_def:
        raise ValueError(f"holds an asset ({graph.asset_file_def[0].filename}); {EXPORT}")
    _leave_out_unused(graph)
    _refuse_operations(node for f in graph.graph_def.library.function for node in f.node_def)
    return Checked(folder, model.SerializeToString())


def _messages() -> types.ModuleType:
    """TensorFlow's message classes, without TensorFlow: that takes seconds to import."""
    if "tensorflow" in sys.modules:
        return importlib.import_module(MESSAGES)
    root = next(Path(p) / "tensorflow" for p in sys.path if (Path(p) / "tensorflow").is_dir())
    stub = types.ModuleType("tensorflow")
    stub.__path__ = [str(root)]
    sys.modules["tensorflow"] = stub
    try:
        return importlib.import_module(MESSAGES)
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "tensorflow"]:
            del sys.modules[name]


def _load(checked: Checked):
    """The loaded model, from the message that was checked instead of the file."""
    from tensorflow.core.framework import graph_debug_info_pb2
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.saved_model import load, loader_impl

    message = saved_model_pb2.SavedModel.FromString(checked.message)
    loader_impl.parse_saved_model_with_debug_info = lambda folder: (
        message,
        graph_debug_info_pb2.GraphDebugInfo(),
    )
    return load.load(str(checked.folder))


def _refuse_links(folder: Path) -> None:
    """ValueError for links and for what is no plain file: a checkpoint reader follows them."""
    count = 0
    for root, names, files in os.walk(folder):
        for name in (*names, *files):
            mode, count = os.lstat(os.path.join(root, name)).st_mode, count + 1
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or count > FILES:
                what = "holds too many files" if count > FILES else f"{name} is no plain file"
                raise ValueError(f"{what}; copy the model's own files into the folder")


def _leave_out_unused(graph) -> None:
    """Take out functions that no object or signature can call, and nodes but captured constants."""
    captured = {part.constant.operation for part in graph.object_graph_def.nodes}
    constants = [n for n in graph.graph_def.node if n.op == "Const" and n.name in captured]
    del graph.graph_def.node[:]
    graph.graph_def.node.extend(constants)
    library = graph.graph_def.library
    calls = {f.signature.name: {*_named(f)} for f in library.function}
    for gradient in library.gradient:
        calls.setdefault(gradient.function_name, set()).add(gradient.gradient_func)
    waiting, needed = list(graph.object_graph_def.concrete_functions), set()
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += calls.get(name, ())
    used = [f for f in library.function if f.signature.name in needed]
    del library.function[:]
    library.function.extend(used)


def _named(function) -> Iterator[str]:
    """The functions that a function's nodes name."""
    for node in function.node_def:
        for value in node.attr.values():
            yield value.func.name
            yield from (func.name for func in value.list.func)


def _refuse_operations(nodes: Iterable) -> None:
    for node in nodes:
        if node.op not in OPERATIONS:
            raise ValueError(
                f"holds the operation {node.op}, which is not among those that are opened (they "
                f"compute, and touch no files); {EXPORT}"
            )
