"""Small `.tflite` files written operator by operator, without TensorFlow: that takes seconds."""

from collections.abc import Callable, Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

OPERATORS = schema.BuiltinOperator
TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
}


class Graph:
    """A model's graph of operators on f32 tensors; tensors are named by their numbers."""

    def __init__(self, rows: int | None, columns: int):
        """Args: rows of its input x [rows, columns], None for any number."""
        self._model = schema.ModelT(version=3, operatorCodes=[], subgraphs=[])
        self._model.buffers = [schema.BufferT()]
        self._new_subgraph()
        self.x = self.tensor((rows or 1, columns), name="x")
        if rows is None:
            self._graph.tensors[self.x].shapeSignature = [-1, columns]
        self._graph.inputs = [self.x]

    def _new_subgraph(self) -> None:
        self._graph = schema.SubGraphT(tensors=[], operators=[], inputs=[], outputs=[])
        self._model.subgraphs.append(self._graph)

    def tensor(self, shape: Sequence[int], kind: int = 0, buffer: int = 0, name: str = "") -> int:
        part = schema.TensorT(shape=list(shape), type=kind, buffer=buffer, name=name or "t")
        self._graph.tensors.append(part)
        return len(self._graph.tensors) - 1

    def constant(self, values) -> int:
        """A tensor of f32 or int32 values."""
        values = np.asarray(values)
        self._model.buffers.append(schema.BufferT(data=list(values.tobytes())))
        return self.tensor(values.shape, TYPES[values.dtype], len(self._model.buffers) - 1)

    def run(self, name: str, *inputs: int, gives: Sequence[int] | None = (1, 3), **options) -> int:
        """An operator; the number of its f32 output of this shape, -1 where it has none.

        Args:
          options: `kind`, the name of its options, and their values.
        """
        output = -1 if gives is None else self.tensor(gives)
        return self._operator(name, inputs, [] if gives is None else [output], **options)

    def _operator(self, name: str, inputs, outputs, kind: str = "", **options) -> int:
        code = getattr(OPERATORS, name)
        self._model.operatorCodes.append(
            schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=min(code, 127), version=1)
        )
        operator = schema.OperatorT(inputs=list(inputs), outputs=outputs)
        operator.opcodeIndex = len(self._model.operatorCodes) - 1
        if kind:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = getattr(schema, f"{kind}T")(**options)
        self._graph.operators.append(operator)
        return outputs[0] if outputs else -1

    def variable(self, start: float) -> int:
        """The handle of a variable, which a second graph has set once."""
        self._operator("CALL_ONCE", [], [], kind="CallOnceOptions", initSubgraphIndex=1)
        main, handle = self._graph, self._handle()
        self._new_subgraph()
        value = self.constant(np.float32(start))
        self._operator("ASSIGN_VARIABLE", [self._handle(), value], [])
        self._graph = main
        return handle

    def _handle(self) -> int:
        handle = self.tensor((), schema.TensorType.RESOURCE)
        options = {"kind": "VarHandleOptions", "container": "", "sharedName": "heat"}
        return self._operator("VAR_HANDLE", [], [handle], **options)

    def content(self, output: int) -> bytes:
        """The bytes of the file."""
        self._graph.outputs = [output]
        builder = flatbuffers.Builder()
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


Change = Callable[[Graph, int], int]


def classifier(
    weights: np.ndarray,
    rows: int | None = None,
    before: Change = lambda graph, x: x,
    after: Change = lambda graph, logits: logits,
) -> bytes:
    """softmax(after(before(x) @ weights)), weights f32[columns, classes]."""
    graph, classes = Graph(rows, len(weights)), weights.shape[1]
    kernel = graph.constant(np.ascontiguousarray(weights.T))
    logits = graph.run(
        *("FULLY_CONNECTED", before(graph, graph.x), kernel, -1),
        gives=(rows or 1, classes),
        kind="FullyConnectedOptions",
    )
    logits = after(graph, logits)
    shape, options = (rows or 1, classes), {"kind": "SoftmaxOptions", "beta": 1.0}
    return graph.content(graph.run("SOFTMAX", logits, gives=shape, **options))


def cooled(graph: Graph, logits: int) -> int:
    """The logits times a variable, which falls by a tenth with every call."""
    handle = graph.variable(1.0)
    heat = graph.run("READ_VARIABLE", handle, gives=(), kind="ReadVariableOptions")
    less = graph.run("MUL", heat, graph.constant(np.float32(0.9)), gives=(), kind="MulOptions")
    graph.run("ASSIGN_VARIABLE", handle, less, gives=None)
    return graph.run("MUL", logits, less, kind="MulOptions")


def shaken(graph: Graph, logits: int) -> int:
    """The logits and a random number for each class."""
    shape = graph.constant(np.int32([1, 3]))
    noise = graph.run("RANDOM_UNIFORM", shape, kind="RandomOptions", seed=3, seed2=1)
    return graph.run("ADD", logits, noise, kind="AddOptions")


def centred(graph: Graph, x: int) -> int:
    """Inputs without the mean over the rows of the batch; `graph` has 4 rows of 12."""
    axis = graph.constant(np.int32([0]))
    mean = graph.run("MEAN", x, axis, gives=(1, 12), kind="ReducerOptions", keepDims=True)
    return graph.run("SUB", x, mean, gives=(4, 12), kind="SubOptions")
