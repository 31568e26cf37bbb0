"""Hostile ONNX files, made on the spot, row by row."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import plain_onnx as plain
from onnx import ModelProto, TensorProto, helper
from plain_onnx import node, port
from row import Row
from watch import Watch

W = np.ones((6, 3), np.float32)
Change = Callable[[ModelProto, Watch], object]


def changed(change: Change, **parts) -> Callable[[Watch], Path]:
    """A plain classifier that something was done to."""

    def make(watch: Watch) -> Path:
        made = plain.classifier(W, **parts)
        change(made, watch)
        return plain.saved(made, watch.folder / "m.onnx")

    return make


def content(change: Callable[[bytes], bytes]) -> Callable[[Watch], Path]:
    """A plain classifier whose bytes were changed."""

    def make(watch: Watch) -> Path:
        path = watch.folder / "m.onnx"
        path.write_bytes(change(plain.classifier(W).SerializeToString()))
        return path

    return make


# Data in other files ------------------------------------------------------------------------------


def elsewhere(tensor: TensorProto, place: str) -> TensorProto:
    """The tensor of f32 numbers, kept at a place instead."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    length = str(4 * int(np.prod(tensor.dims)))
    for key, value in (("location", place), ("offset", "0"), ("length", length)):
        tensor.external_data.add(key=key, value=value)
    return tensor


def outside(place: Callable[[Watch], str]) -> Callable[[Watch], Path]:
    def change(made: ModelProto, watch: Watch) -> None:
        watch.secret.write_text("canary " * 100)
        elsewhere(made.graph.initializer[0], place(watch))

    return changed(change)


def spare(watch: Watch) -> TensorProto:
    """Two numbers that are kept in another file."""
    tensor = helper.make_tensor("spare", TensorProto.FLOAT, [2], [0.0, 0.0])
    return elsewhere(tensor, str(watch.secret))


def in_a_branch(made: ModelProto, watch: Watch) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=spare(watch))
    branch = helper.make_graph([constant], "b", [], [port("c", [2])])
    parts = {"then_branch": branch, "else_branch": branch}
    made.graph.node.insert(0, helper.make_node("If", ["yes"], ["unused"], **parts))
    made.graph.initializer.add(name="yes", data_type=TensorProto.BOOL, int32_data=[1])


def in_a_function(made: ModelProto, watch: Watch) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=spare(watch))
    opsets = [helper.make_opsetid("", plain.OPSET)]
    made.functions.append(helper.make_function("own", "Kept", [], ["c"], [constant], opsets))


def sparse(made: ModelProto, watch: Watch) -> None:
    part = made.graph.sparse_initializer.add(dims=[2])
    part.values.CopyFrom(spare(watch))
    part.indices.CopyFrom(helper.make_tensor("i", TensorProto.INT64, [2], [0, 1]))


def unmarked(made: ModelProto, watch: Watch) -> None:
    """The place is named, the mark is not set."""
    made.graph.initializer[0].external_data.add(key="location", value=str(watch.secret))


# Operations ---------------------------------------------------------------------------------------


def operation(domain: str, name: str, **attributes) -> Callable[[Watch], Path]:
    def change(made: ModelProto, watch: Watch) -> None:
        made.opset_import.append(helper.make_opsetid(domain, 1))
        given = {k: v(watch) if callable(v) else v for k, v in attributes.items()}
        made.graph.node.insert(0, node(name, ["x"], "flat", domain=domain, **given))
        made.graph.node[1].input[0] = "flat"

    return changed(change)


def calling(*calls: Sequence[str], domain: str = "own") -> Callable[[Watch], Path]:
    """Functions f0, f1, ... of these names, each of which is what it calls one after the other."""

    def change(made: ModelProto, watch: Watch) -> None:
        opsets = [helper.make_opsetid("", plain.OPSET), helper.make_opsetid(domain, 1)]
        for number, names in enumerate(calls):
            nodes = [
                node(name, [f"v{i}"], f"v{i + 1}", domain=domain if name != "Relu" else "")
                for i, name in enumerate(names)
            ]
            made.functions.append(
                helper.make_function(
                    domain, f"f{number}", ["v0"], [f"v{len(names)}"], nodes, opsets
                )
            )
        made.opset_import.append(helper.make_opsetid(domain, 1))
        made.graph.node.insert(0, node("f0", ["x"], "flat", domain=domain))
        made.graph.node[1].input[0] = "flat"

    return changed(change)


DOUBLING = [[f"f{number + 1}"] * 2 for number in range(40)] + [["Relu"]]


def endless(made: ModelProto, watch: Watch) -> None:
    """A loop of 2^62 turns."""
    body = helper.make_graph(
        [
            node("Identity", ["on"], "still"),
            node("Identity", ["v"], "w2"),
        ],
        "body",
        [
            port("turn", [], TensorProto.INT64),
            port("on", [], TensorProto.BOOL),
            port("v", ["n", 3]),
        ],
        [port("still", [], TensorProto.BOOL), port("w2", ["n", 3])],
    )
    made.graph.initializer.add(name="turns", data_type=TensorProto.INT64, int64_data=[2**62])
    made.graph.initializer.add(name="yes", data_type=TensorProto.BOOL, int32_data=[1])
    made.graph.node[-1].output[0] = "q"
    made.graph.node.append(node("Loop", ["turns", "yes", "q"], "p", body=body))


def nested(made: ModelProto, watch: Watch) -> None:
    """Branches within branches, 150 deep."""
    inner = helper.make_graph([node("Identity", ["l"], "b")], "b", [], [port("b", ["n", 3])])
    for _ in range(150):
        parts = {"then_branch": inner, "else_branch": inner}
        inner = helper.make_graph([node("If", ["yes"], "b")], "b", [], [port("b", ["n", 3])])
        attribute = inner.node[0].attribute.add(name="then_branch", type=5)
        attribute.g.CopyFrom(parts["then_branch"])
    made.graph.node.append(node("If", ["yes"], "m"))
    made.graph.node[-1].attribute.add(name="then_branch", type=5).g.CopyFrom(inner)


# Sizes --------------------------------------------------------------------------------------------


def dims(*sizes: int) -> Callable[[Watch], Path]:
    def change(made: ModelProto, watch: Watch) -> None:
        del made.graph.initializer[0].dims[:]
        made.graph.initializer[0].dims.extend(sizes)

    return changed(change)


def filled(size: int) -> Callable[[Watch], Path]:
    """So many zeros are made and added up."""

    def change(made: ModelProto, watch: Watch) -> None:
        made.graph.initializer.add(
            name="size", dims=[1], data_type=TensorProto.INT64, int64_data=[size]
        )
        made.graph.node[-1].output[0] = "q"
        made.graph.node.append(node("ConstantOfShape", ["size"], "zeros"))
        made.graph.node.append(node("ReduceSum", ["zeros"], "sum", keepdims=0))
        made.graph.node.append(node("Add", ["q", "sum"], "p"))

    return changed(change)


def wide_input(watch: Watch) -> Path:
    nodes = [node("ReduceSum", ["x", "axis"], "p")]
    inputs, outputs = [port("x", [1, 2**30])], [port("p", [1, 1])]
    made = plain.model(nodes, inputs, outputs, {"axis": np.int64([1])})
    return plain.saved(made, watch.folder / "m.onnx")


# Graphs -------------------------------------------------------------------------------------------


def cyclic(made: ModelProto, watch: Watch) -> None:
    made.graph.node[0].input[0] = "p"


def unnamed(data: bytes) -> bytes:
    """A name that is no UTF-8."""
    return data.replace(b"MatMul", b"Mat\xff\xfel")


def unknown(data: bytes) -> bytes:
    """A field 999 that nobody knows, of five bytes."""
    return data + bytes([0xBA, 0x3E, 5]) + b"hello"


def orts(data: bytes) -> bytes:
    """What onnxruntime would take for its own format, and protobuf for a producer's name."""
    return data[:2] + b"\x12\x04ORTM" + data[2:]


FILE, OPEN = "in another file (", "which is not among those that are opened"
RUN = "cannot be run by onnxruntime"
OF_RUNTIME = (RUN, "needs more memory", "no answer within 3 s of opening", "bytes, at most")
BROKEN = "is damaged, or no ONNX file ("
ONNX = [
    Row("ONNX data beside it", outside(lambda watch: "outside/secret.txt"), FILE,
        "SystemError : 13"),
    Row("ONNX data above it", outside(lambda watch: "../../etc/passwd"), FILE, RUN),
    Row("ONNX data at an absolute path", outside(lambda watch: str(watch.secret)), FILE, RUN),
    Row("ONNX data in memory", outside(lambda watch: "*/_ORT_MEM_ADDR_/*"), FILE, RUN),
    Row("ONNX data outside, in a branch", changed(in_a_branch), FILE, RUN),
    Row("ONNX data outside, in a function", changed(in_a_function), FILE, ""),
    Row("ONNX data outside, sparse", changed(sparse), FILE, RUN),
    Row("ONNX data outside, not marked so", changed(unmarked), FILE, ""),
    Row("an ONNX operation of another domain", operation("evil.ops", "Run"),
        "holds the custom operation evil.ops.Run, whose code is not in the file", RUN),
    Row("Python as an ONNX operation", operation("ai.onnx.contrib", "PyOp", module="os"),
        "holds the custom operation ai.onnx.contrib.PyOp", RUN),
    Row("an ONNX graph for another device", operation(
        "com.microsoft", "EPContext", embed_mode=0, ep_cache_context=lambda w: str(w.secret)),
        f"holds the operation com.microsoft.EPContext, {OPEN}", RUN),
    Row("an ONNX operation that decodes images", operation("", "ImageDecoder"),
        f"holds the operation ImageDecoder, {OPEN}", RUN),
    Row("an ONNX function that calls itself", calling(["f0"]), "f0, which calls itself"),
    Row("ONNX functions that call each other", calling(["f1"], ["f2"], ["f0"]), "calls itself"),
    Row("ONNX functions that double", calling(*DOUBLING), "holds more than 200000 operations"),
    Row("an ONNX function of a runtime's name", calling(["Relu"], domain="com.microsoft"),
        "holds the function com.microsoft.f0, which stands in for another"),
    Row("an endless ONNX loop", changed(endless), "no answer within 3 s of opening", None, 3.0),
    Row("ONNX branches, 150 deep", changed(nested), BROKEN, RUN),
    Row("ONNX weights of 2^62 numbers", dims(2**31, 2**31), "which cannot be", RUN),
    Row("ONNX weights of less than no numbers", dims(-6, -3), "which cannot be", RUN),
    Row("ONNX weights with fewer numbers than they say", dims(6, 30), RUN, RUN),
    Row("ONNX zeros that fill the memory", filled(2**40), "needs more memory", None),
    Row("an ONNX input of 2^30 numbers", wide_input, "bytes, at most", None),
    Row("an ONNX graph with a cycle", changed(cyclic), RUN, RUN),
    Row("half an ONNX file", content(lambda data: data[: len(data) // 2]), BROKEN, RUN),
    Row("an ONNX name that is no text", content(unnamed), OPEN, RUN),
    Row("ONNX with a field that nobody knows", content(unknown), "", ""),
    Row("ONNX that looks like ORT's format", content(orts), "is in onnxruntime's own format",
        "is in onnxruntime's own format"),
]  # fmt: skip
