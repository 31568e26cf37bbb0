"""ONNX messages that still are some, with one or a few fields that hold something else."""

import sys
from pathlib import Path

import numpy as np
import plain_onnx as plain
from google.protobuf.descriptor import FieldDescriptor as Field
from onnx import ModelProto

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from damage import damage

INTEGERS = (-(2**62), -1, 0, 1, 2, 3, 7, 8, 255, 2**31 - 1, 2**31, 2**62)
NUMBERS = (0.0, -1.0, 1e30, float("nan"), float("inf"))
WORDS = ("", "x", "p", "l", "w", "Relu", "Loop", "Softmax", "MatMul", "Reshape", "axis", "then")


def models() -> list[ModelProto]:
    """Valid ones."""
    rng = np.random.default_rng(0)
    weights, kernel = np.ones((6, 3), np.float32), rng.random((4, 3, 3, 3), np.float32)
    convolution = plain.convolution(kernel, kernel[:, :, 0, 0], ("n", 3, 8, 8))
    return [plain.classifier(weights, 2), plain.quantized_ends(weights), convolution]


def damaged(rng: np.random.Generator) -> bytes:
    """One of the valid ones, damaged by bytes or by fields."""
    choices = models()
    made = choices[rng.integers(len(choices))]
    if rng.random() < 0.3:
        return damage(made.SerializeToString(), rng)
    for _ in range(rng.integers(1, 4)):
        _changed(made, rng)
    return made.SerializeToString()


def _changed(made: ModelProto, rng: np.random.Generator) -> None:
    messages, waiting = [], [made]
    while waiting:
        message = waiting.pop()
        if message.ListFields():
            messages.append(message)
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting += value if field.is_repeated else [value]
    message = messages[rng.integers(len(messages))]
    fields = message.ListFields()
    field, value = fields[rng.integers(len(fields))]
    if field.is_repeated:
        _reordered(value, rng)
        if len(value) and field.message_type is None:
            value[rng.integers(len(value))] = _other(field, value[0], rng)
    elif field.message_type is None:
        setattr(message, field.name, _other(field, value, rng))
    else:
        message.ClearField(field.name)


def _reordered(values, rng: np.random.Generator) -> None:
    """One of the parts gone, twice, or none of this."""
    way, place = rng.integers(3), int(rng.integers(len(values)))
    if way == 0:
        del values[place]
    elif way == 1:
        values.extend([values[place]])


def _other(field, value, rng: np.random.Generator):
    if field.type == Field.TYPE_STRING:
        return str(rng.choice(WORDS))
    if field.type == Field.TYPE_BYTES:
        return damage(value or b"x", rng)
    if field.type in (Field.TYPE_FLOAT, Field.TYPE_DOUBLE):
        return float(rng.choice(NUMBERS))
    if field.type == Field.TYPE_ENUM:
        return int(rng.choice([part.number for part in field.enum_type.values]))
    number = INTEGERS[rng.integers(len(INTEGERS))]
    return max(-(2**31), min(number, 2**31 - 1)) if field.type == Field.TYPE_INT32 else number
