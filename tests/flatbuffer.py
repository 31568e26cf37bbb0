"""Reading an exported `.tflite` file itself, without an interpreter."""

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

DTYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.INT32: np.int32,
}
KERNEL_OPERATORS = {schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED}


def _read(content: bytes):
    return flatbuffer_utils.convert_bytearray_to_object(bytearray(content))


def operators(content: bytes) -> list[int]:
    """Codes of the operators, in order."""
    model = _read(content)
    return [
        model.operatorCodes[operator.opcodeIndex].builtinCode
        for operator in model.subgraphs[0].operators
    ]


def kernels(content: bytes) -> dict[str, np.ndarray]:
    """The constant weights of every convolution and dense layer, by tensor name, as stored."""
    model = _read(content)
    graph = model.subgraphs[0]
    sources = {}  # output of a DEQUANTIZE -> its input, for float16 weights
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code == schema.BuiltinOperator.DEQUANTIZE:
            sources[operator.outputs[0]] = operator.inputs[0]
    found = {}
    for operator in graph.operators:
        if model.operatorCodes[operator.opcodeIndex].builtinCode in KERNEL_OPERATORS:
            index = sources.get(operator.inputs[1], operator.inputs[1])
            tensor = graph.tensors[index]
            data = np.asarray(model.buffers[tensor.buffer].data, np.uint8).tobytes()
            values = np.frombuffer(data, DTYPES[tensor.type])
            found[tensor.name.decode()] = values.reshape(tensor.shape)
    return found


def tables(content: bytes) -> dict[str, np.ndarray]:
    """The constant embedding tables, by tensor name, as stored."""
    model = _read(content)
    found = {}
    for tensor in model.subgraphs[0].tensors:
        name, data = tensor.name.decode(), model.buffers[tensor.buffer].data
        if "embedding_lookup" in name and data is not None and len(tensor.shape) > 1:
            values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), DTYPES[tensor.type])
            found[name] = values.reshape(tensor.shape)
    return found


def activation_types(content: bytes) -> set[str]:
    """Types of the tensors that operators write."""
    model = _read(content)
    graph = model.subgraphs[0]
    written = {index for operator in graph.operators for index in operator.outputs}
    names = {value: name for name, value in vars(schema.TensorType).items() if name.isupper()}
    return {names[graph.tensors[index].type] for index in written}
