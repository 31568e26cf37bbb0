"""Quantized versions of an ONNX file, by onnxruntime's quantizer; in the isolated process only.

The quantizer's own front wants a folder for files in between, which nothing can write here: its
parts are called one after the other, on messages in memory.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tf_compleak.inference.isolated.onnx_check import Checked
from tf_compleak.inference.isolated.onnx_file import OnnxFile, guarded, session

QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "Integer", "QLinear", "DynamicQuantize", "NBits")
STATIC = "int8-static"


class OnnxQuantizer(OnnxFile):
    """An ONNX file that is asked, for the ranges of its tensors, and then quantized."""

    def __init__(self, checked: Checked, batch: int, output: str, making: str):
        from onnx import ModelProto

        super().__init__(checked, batch, output)
        model = ModelProto.FromString(checked.message)
        held = {node.op_type for node in model.graph.node}
        if already := sorted(name for name in held if any(part in name for part in QUANTIZED)):
            raise ValueError(f"is quantized already ({already[0]}); name a float model")
        self._model, self._making = _inferred(model), making
        self._ranges: dict[str, tuple[float, float]] = {}
        self._names, self._wide = [], None
        if making == STATIC:
            self._names = _floats(self._model)
            self._wide = session(_telling(self._model, self._names))

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        if self._wide is not None:
            given = self._ready([rows[port.name] for port in self.inputs])
            held = guarded(lambda: self._wide.run(self._names, given))
            for name, values in zip(self._names, held, strict=True):
                self._widen(name, values)
        return super().run(rows)

    def _widen(self, name: str, values: np.ndarray) -> None:
        if values.size:
            low, high = self._ranges.get(name, (np.inf, -np.inf))
            self._ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))

    def made(self) -> bytes:
        """The quantized file; ValueError where nothing in it can be."""
        from onnxruntime.quantization import base_quantizer, onnx_quantizer

        for module in (base_quantizer, onnx_quantizer):
            module.save_and_reload_model_with_shape_infer = _inferred  # through files, otherwise
        before = _kinds(self._model.graph.node)
        try:
            made = self._static() if self._making == STATIC else self._dynamic()
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise ValueError(f"cannot be quantized by onnxruntime ({reason})") from error
        if _kinds(made.graph.node) == before:
            names = ", ".join(before)[:200]
            raise ValueError(f"holds no operation that can be quantized ({names})")
        return made.SerializeToString()

    def _dynamic(self):
        """As `onnxruntime.quantization.quantize_dynamic` by its defaults."""
        from onnxruntime.quantization import QuantType, onnx_quantizer, registry
        from onnxruntime.quantization.quant_utils import QuantizationMode
        from onnxruntime.quantization.quantize import update_opset_version

        quantizer = onnx_quantizer.ONNXQuantizer(
            update_opset_version(self._model, QuantType.QInt8),
            False,  # scales per channel
            False,  # seven bits
            QuantizationMode.IntegerOps,
            False,  # static
            QuantType.QInt8,
            QuantType.QUInt8,
            None,
            [],
            [],
            list(registry.IntegerOpsRegistry),
            {"MatMulConstBOnly": True},
        )
        quantizer.quantize_model()
        return quantizer.model.model

    def _static(self):
        """As `onnxruntime.quantization.quantize_static` by its defaults: QDQ, int8, min and max."""
        from onnxruntime.quantization import CalibrationMethod, QuantType, qdq_quantizer, registry
        from onnxruntime.quantization.calibrate import TensorsData
        from onnxruntime.quantization.quantize import update_opset_version

        ranges = {
            name: (np.float32(low), np.float32(high)) for name, (low, high) in self._ranges.items()
        }
        quantizer = qdq_quantizer.QDQQuantizer(
            update_opset_version(self._model, QuantType.QInt8, QuantType.QInt8),
            False,  # scales per channel
            False,  # seven bits
            QuantType.QInt8,
            QuantType.QInt8,
            TensorsData(CalibrationMethod.MinMax, ranges),
            [],
            [],
            sorted({*registry.QLinearOpsRegistry, *registry.QDQRegistry}),
            {},
        )
        quantizer.quantize_model()
        return quantizer.model.model


def _inferred(model):
    """The model with the shapes of its tensors."""
    from onnx import shape_inference

    return guarded(lambda: shape_inference.infer_shapes(model))


def _kinds(nodes: Iterable) -> list[str]:
    return sorted({node.op_type for node in nodes})


def _floats(model) -> list[str]:
    """Names of the f32 tensors that depend on the inputs."""
    from onnx import TensorProto

    stored = {tensor.name for tensor in model.graph.initializer}
    ports = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    kinds = {port.name: port.type.tensor_type.elem_type for port in ports}
    used = {name for node in model.graph.node for name in (*node.input, *node.output)}
    return sorted(name for name in used - stored if name and kinds.get(name) == TensorProto.FLOAT)


def _telling(model, names: Iterable[str]) -> Checked:
    """The model with these tensors as its outputs."""
    from pathlib import Path

    from onnx import ModelProto, TensorProto, helper

    told = ModelProto()
    told.CopyFrom(model)
    del told.graph.output[:]
    told.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    return Checked(Path(), told.SerializeToString())
