"""Small `.onnx` files, made node by node."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before any test imports onnxruntime

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
OPSET = 17


def node(kind: str, inputs: Sequence[str], output: str, domain: str = "", **attributes):
    return helper.make_node(kind, list(inputs), [output], domain=domain, **attributes)


def port(name: str, shape: Sequence[int | str] | None, kind: int = FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    constants: dict[str, np.ndarray] | None = None,
    functions: Sequence[Any] = (),
    domains: Sequence[str] = (),
    metadata: dict[str, str] | None = None,
) -> ModelProto:
    """A model of these nodes; constants by name."""
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), stored)
    opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(d, 1) for d in domains)]
    made = helper.make_model(graph, opset_imports=opsets, functions=list(functions))
    made.ir_version = 9
    helper.set_model_props(made, metadata or {})
    return made


def classifier(
    weights: np.ndarray,
    rows: int | str = "n",
    before: Sequence[Any] = (),
    logits: bool = False,
    shape: Sequence[int | str] | None = None,
    constants: dict[str, np.ndarray] | None = None,
    **others,
) -> ModelProto:
    """softmax(x @ weights), weights f32[columns, classes]; `before` makes "flat" of "x"."""
    columns, classes = weights.shape
    flat = "flat" if before else "x"
    last = "p" if logits else "l"
    nodes = [*before, node("MatMul", [flat, "w"], last)]
    nodes += [] if logits else [node("Softmax", ["l"], "p", axis=-1)]
    inputs = [port("x", [rows, *(shape or [columns])])]
    outputs = [port("p", [rows, classes])]
    return model(nodes, inputs, outputs, {"w": weights, **(constants or {})}, **others)


def convolution(kernel: np.ndarray, dense: np.ndarray, shape: Sequence[int | str]) -> ModelProto:
    """Softmax of a convolution's means: f32[out, in, 3, 3], f32[out, classes]; "x" of `shape`."""
    nodes = [
        node("Conv", ["x", "k"], "c", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], "r"),
        node("GlobalAveragePool", ["r"], "g"),
        node("Flatten", ["g"], "f"),
        node("Gemm", ["f", "d"], "l"),
        node("Softmax", ["l"], "p", axis=-1),
    ]
    outputs = [port("p", [shape[0], dense.shape[1]])]
    return model(nodes, [port("x", shape)], outputs, {"k": kernel, "d": dense})


def quantized_ends(weights: np.ndarray) -> ModelProto:
    """Softmax of int8 that stand for numbers (step 0.02, zero 3); uint8 of step 1/256."""
    constants = {
        "w": weights,
        "s": np.float32(0.02),
        "z": np.int8(3),
        "t": np.float32(1 / 256),
        "u": np.uint8(0),
    }
    nodes = [
        node("DequantizeLinear", ["x", "s", "z"], "f"),
        node("MatMul", ["f", "w"], "l"),
        node("Softmax", ["l"], "q", axis=-1),
        node("QuantizeLinear", ["q", "t", "u"], "p"),
    ]
    inputs = [port("x", ["n", len(weights)], TensorProto.INT8)]
    outputs = [port("p", ["n", weights.shape[1]], TensorProto.UINT8)]
    return model(nodes, inputs, outputs, constants)


def saved(made: ModelProto, path: Path) -> Path:
    """The model as a file."""
    path.write_bytes(made.SerializeToString())
    return path
