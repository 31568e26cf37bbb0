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
TYPES = {value: name for name, value in vars(schema.TensorType).items() if name.isupper()}
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
            tensor = graph.tensors[sources.get(operator.inputs[1], operator.inputs[1])]
            found[tensor.name.decode()] = _values(model, tensor)
    return found


def kernel_types(content: bytes) -> set[str]:
    """Types of the constant weights of convolutions and dense layers, as the file names them."""
    model = _read(content)
    names = kernels(content)
    return {
        TYPES[tensor.type]
        for tensor in model.subgraphs[0].tensors
        if tensor.name.decode() in names and model.buffers[tensor.buffer].data is not None
    }


def scales(content: bytes) -> np.ndarray:
    """Every scale of every tensor, one after the other."""
    tensors = _read(content).subgraphs[0].tensors
    of_tensors = [t.quantization.scale for t in tensors if t.quantization is not None]
    return np.concatenate([scale for scale in of_tensors if scale is not None])


def _values(model, tensor) -> np.ndarray:
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    if tensor.type == schema.TensorType.INT4:  # two a byte, the lower half first
        halves = np.stack([data & 15, data >> 4], axis=1).reshape(-1)[: np.prod(tensor.shape)]
        return (np.int8(halves) - 16 * np.int8(halves > 7)).astype(np.int8).reshape(tensor.shape)
    return np.frombuffer(data.tobytes(), DTYPES[tensor.type]).reshape(tensor.shape)


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
    return {TYPES[graph.tensors[index].type] for index in written}
