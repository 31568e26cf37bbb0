"""An ONNX file, held against bounds and the list of `onnx_allowed` before onnxruntime sees it.

What is checked is what is loaded: onnxruntime is given the message as it was read here, without
whatever this reader does not know, never the path. In the isolated process only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tf_compleak.inference.isolated import onnx_facts
from tf_compleak.inference.isolated.onnx_allowed import OPERATIONS
from tf_compleak.inference.isolated.onnx_facts import Facts

LARGEST = 2**31 - 1  # bytes of a file, as many as protobuf takes
ELEMENTS = 2**31  # numbers that one stored tensor may say that it has
NODES = 200_000  # with the nodes of functions, as often as they are called
EXPORT = "export the model without it"
OTHERS = ("ai.onnx", "com.microsoft", "com.ms.", "org.pytorch")  # domains of runtimes

Key = tuple[str, str, str]  # of a function: domain, name, overload


@dataclass(frozen=True)
class Checked:
    """A file and the message, serialized, that is loaded from it; b"" loads the file itself."""

    path: Path
    message: bytes = b""
    facts: Facts = field(default_factory=Facts)


def check(path: Path, *, lists: bool = True) -> Checked:
    """The file, once it is sure that it holds no operation but allowed ones, and all of its data.

    Raises:
      ValueError: naming the operation, tensor or domain, and the remedy.
    """
    if not lists:
        return Checked(path)
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    if path.stat().st_size > LARGEST:
        raise ValueError("has 2 GiB or more; export a smaller model, or one to .tflite")
    try:
        return _checked(path, ModelProto.FromString(path.read_bytes()))
    except DecodeError as error:
        raise ValueError(f"is damaged, or no ONNX file ({error}); export it again") from error


def _checked(path: Path, model) -> Checked:
    if not model.graph.node:
        raise ValueError("is damaged, or no ONNX file (it has no graph); export it again")
    model.DiscardUnknownFields()
    del model.training_info[:]
    functions = _functions(model)
    nodes = {key: _checked_nodes(part, functions) for key, part in functions.items()}
    main = _checked_nodes(model.graph, functions)
    if _size(main, nodes, _sizes(nodes)) > NODES:
        raise ValueError(f"holds more than {NODES} operations; export a smaller model")
    return Checked(path, model.SerializeToString(), onnx_facts.of(model))


def _functions(model) -> dict[Key, object]:
    """The file's own functions; ValueError for one that stands in for an operation."""
    functions = {}
    for function in model.functions:
        key = (_domain(function), function.name, function.overload)
        if key in functions or not key[0] or key[0].startswith(OTHERS):
            raise ValueError(
                f"holds the function {_dotted(*key[:2])}, which stands in for another; {EXPORT}"
            )
        functions[key] = function
    return functions


def _domain(part) -> str:
    """Of an operation or function; protobuf gives bytes where a name is no text."""
    return "" if part.domain == "ai.onnx" else str(part.domain)


def _dotted(domain: str, name: str) -> str:
    return f"{domain}.{name}" if domain else name


def _checked_nodes(root, functions: dict[Key, object]) -> Counter[Key]:
    """How often a graph or function holds each operation, graphs within its nodes counted."""
    counts: Counter[Key] = Counter()
    for part in _messages(root):
        kind = part.DESCRIPTOR.name
        if kind == "NodeProto":
            key = (_domain(part), part.op_type, part.overload)
            if key not in functions:
                _refuse_other(*key[:2])
            counts[key] += 1
        elif kind == "TensorProto":
            _refuse_outside(part)
        if kind in ("TensorProto", "SparseTensorProto"):
            _refuse_huge(part)
    return counts


def _messages(root) -> Iterator:
    """A message and all within it, whatever field they are in; what tensors hold is not touched."""
    waiting = [root]
    while waiting:
        message = waiting.pop()
        yield message
        if message.DESCRIPTOR.name == "TensorProto":
            continue
        for descriptor, value in message.ListFields():
            if descriptor.message_type is not None:
                waiting += value if descriptor.is_repeated else [value]


def _refuse_other(domain: str, name: str) -> None:
    """ValueError for an operation that is not listed."""
    if domain not in OPERATIONS:
        raise ValueError(
            f"holds the custom operation {_dotted(domain, name)}, whose code is not in the file; "
            "export the model with operations of ONNX only"
        )
    if name not in OPERATIONS[domain]:
        raise ValueError(
            f"holds the operation {_dotted(domain, name)}, which is not among those that are "
            f"opened (they compute, and touch no files); {EXPORT}"
        )


def _refuse_outside(tensor) -> None:
    """ValueError for a tensor whose data lies in another file, or in memory."""
    if tensor.external_data or tensor.data_location:
        places = [part.value for part in tensor.external_data if part.key == "location"]
        where = f" ({places[0][:100]})" if places else ""
        raise ValueError(
            f"keeps the tensor {tensor.name[:100]} in another file{where}; save the model as one "
            "file (onnx.save_model, save_as_external_data=False)"
        )


def _refuse_huge(tensor) -> None:
    if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > ELEMENTS:
        sizes = list(tensor.dims)[:8]
        raise ValueError(f"holds a tensor of shape {sizes}, which cannot be; export it again")


def _sizes(nodes: dict[Key, Counter[Key]]) -> dict[Key, int]:
    """Nodes of each function with those of the functions that it calls: two calls count twice.

    Raises:
      ValueError: for a function that calls itself, through others or not.
    """
    sizes: dict[Key, int] = {}
    waiting, above = [(key, False) for key in nodes], set()
    while waiting:
        key, is_done = waiting.pop()
        if is_done:
            above.discard(key)
            sizes[key] = _size(nodes[key], nodes, sizes)
        elif key in above:
            raise ValueError(f"holds the function {_dotted(*key[:2])}, which calls itself")
        elif key not in sizes:
            above.add(key)
            waiting += [(key, True), *((called, False) for called in nodes[key] if called in nodes)]
    return sizes


def _size(counts: Counter[Key], nodes: dict, sizes: dict[Key, int]) -> int:
    return sum(times * (sizes[key] if key in nodes else 1) for key, times in counts.items())
