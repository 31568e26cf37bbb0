"""What an ONNX graph tells of its inputs and outputs beside their shapes; in the isolated process.

ONNX keeps scales of quantized numbers in the operations beside them, and no mark of which axis
holds channels: both are looked for next to the ports.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass, field

STEPS = 32  # operations that are followed from a port
SHAPING = frozenset(("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"))  # no number changes
POINTWISE = frozenset("Add Cast DequantizeLinear Div Identity Mul QuantizeLinear Sub".split())
RANGE = "image.nominalpixelrange"  # of ONNX's own list of metadata (MetadataProps.md)
RANGES = frozenset("nominalrange_0_255 nominalrange_16_235 normalized_0_1 normalized_1_1".split())
NUMBERS = re.compile(r"(^|[^a-z])(mean|std|stddev|standard_deviation)s?$")
PROPERTIES = 100  # that are looked at


@dataclass(frozen=True)
class Facts:
    """What is known of ports by their names.

    Attributes:
      steps: scale and zero point of quantized ones; a float output's are those it was made by.
      channels: of image inputs, whose second axis holds them.
      metadata: what the file says of how inputs are prepared, a short text; "" for nothing.
    """

    steps: dict[str, tuple[float, int]] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)
    metadata: str = ""


def of(model) -> Facts:
    """The facts of a checked model message."""
    graph = _Graph(model.graph)
    inputs = [port.name for port in model.graph.input if port.name not in graph.constants]
    steps = {name: step for name in inputs if (step := graph.step_of_input(name))}
    for port in model.graph.output:
        if step := graph.step_of_output(port.name):
            steps[port.name] = step
    channels = {name: size for name in inputs if (size := graph.channels(name))}
    return Facts(steps, channels, said(model.metadata_props))


class _Graph:
    """The nodes of a graph by what they make and take."""

    def __init__(self, graph):
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self._makers, self._users = {}, defaultdict(list)
        for node in graph.node:
            self._makers.update(dict.fromkeys(node.output, node))
            for name in node.input:
                self._users[name].append(node)
            if node.op_type == "Constant" and node.output:
                stored = [part.t for part in node.attribute if part.HasField("t")]
                self.constants.update(zip(node.output, stored, strict=False))

    def step_of_input(self, name: str) -> tuple[float, int] | None:
        """Of an integer input: it is dequantized first."""
        users = self._users[name]
        first = users[0] if users else None
        if any(node.op_type != "DequantizeLinear" or node.input[0] != name for node in users):
            return None
        return None if first is None else self._step(first)

    def step_of_output(self, name: str) -> tuple[float, int] | None:
        """Of an output that is quantized, or made from what was."""
        for _ in range(STEPS):
            node = self._makers.get(name)
            if node is None:
                return None
            if node.op_type in ("DequantizeLinear", "QuantizeLinear"):
                return self._step(node)
            if node.op_type not in SHAPING or not node.input:
                return None
            name = node.input[0]
        return None

    def _step(self, node) -> tuple[float, int] | None:
        """Scale and zero point of a (de)quantizing node, where they are one number each."""
        scale = self._number(node.input[1]) if len(node.input) > 1 else None
        zero = self._number(node.input[2]) if len(node.input) > 2 and node.input[2] else 0.0
        if scale is None or zero is None or not 0 < scale < 1e30 or abs(zero) >= 2**31:
            return None
        return scale, int(zero)

    def _number(self, name: str) -> float | None:
        """The only number of a stored tensor."""
        from onnx import numpy_helper

        tensor = self.constants.get(name)
        if tensor is None or math.prod(tensor.dims) != 1:
            return None
        try:
            return float(numpy_helper.to_array(tensor).reshape(()))
        except Exception:  # whatever a damaged tensor raises: onnxruntime says it better
            return None

    def channels(self, name: str) -> int:
        """Channels of the first convolution behind an input; 0 where there is none."""
        for _ in range(STEPS):
            users = self._users[name]
            if len(users) != 1:
                return 0
            node = users[0]
            if node.op_type == "Conv" and node.input[0] == name and len(node.input) > 1:
                return self._of_kernel(node)
            if node.op_type not in POINTWISE or not node.output:
                return 0
            name = node.output[0]
        return 0

    def _of_kernel(self, conv) -> int:
        kernel = conv.input[1]
        maker = self._makers.get(kernel)
        if maker is not None and maker.op_type == "DequantizeLinear":
            kernel = maker.input[0]
        tensor = self.constants.get(kernel)
        groups = [attribute.i for attribute in conv.attribute if attribute.name == "group"]
        return int(tensor.dims[1]) * (groups or [1])[0] if tensor and len(tensor.dims) > 2 else 0


def said(properties) -> str:
    """What metadata says of means, deviations and ranges of inputs: numbers and known words."""
    parts = []
    for part in properties[:PROPERTIES]:
        key, value = part.key.strip().lower(), part.value.strip()
        if key == RANGE and value.lower() in RANGES:
            parts.append(f"pixel range {value}")
        elif (which := NUMBERS.search(key)) and (numbers := _numbers(value)):
            parts.append(f"{which[2]} {numbers}")
    return ", ".join(parts[:4])


def _numbers(text: str) -> str:
    """Numbers of a JSON list, or apart by commas or blanks, as a text; "" for anything else."""
    try:
        values = json.loads(text) if text[:1] == "[" else re.split(r"[,;\s]+", text[:200])
        numbers = [float(value) for value in values][:5] if len(text) <= 200 else []
    except (TypeError, ValueError, RecursionError):
        return ""
    return " ".join(f"{number:g}" for number in numbers) if all(map(math.isfinite, numbers)) else ""
