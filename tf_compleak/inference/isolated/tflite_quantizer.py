"""Quantized versions of a `.tflite` file, by LiteRT's quantizer; in the isolated process only."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tf_compleak.inference.isolated.tflite_file import TFLite

RECIPES = {  # names of the quantizer's own
    "int8-dynamic": "dynamic_wi8_afp32",
    "int4-dynamic": "dynamic_wi4_afp32",
    "int8-static": "static_wi8_ai8",
}
SIGNATURE = "serving_default"  # of files that have none


class TFLiteQuantizer(TFLite):
    """A `.tflite` file whose inputs are noted, to calibrate by, and which is then quantized."""

    def __init__(
        self, file: Path, batch: int, threads: int, output: str, signature: str, making: str
    ):
        super().__init__(file, batch, threads, output, signature)
        if _steps(self._interpreter):
            raise ValueError("is quantized already (a tensor has a scale); name a float model")
        self._content, self._threads = file.read_bytes(), threads
        self._making, self._seen = making, []
        if not self._signature:
            self._signature = SIGNATURE
            self._content = self._named(self._content)

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        self._seen.append({name: np.array(part) for name, part in rows.items()})
        return super().run(rows)

    def made(self) -> bytes:
        """The quantized file; ValueError where nothing in it can be."""
        from ai_edge_litert.interpreter import Interpreter
        from litert_quantizer import Quantizer, recipe

        rules = getattr(recipe, RECIPES[self._making])()
        try:
            quantizer = Quantizer(bytearray(self._content), rules)
            ranges = self._ranges(rules) if quantizer.need_calibration else None
            made = quantizer.quantize(
                ranges, enable_progress_bar=False, enable_progress_report=False
            )
            content = bytes(made.quantized_model)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise ValueError(f"cannot be quantized by litert-quantizer ({reason})") from error
        if not _steps(Interpreter(model_content=content)):
            raise ValueError("holds no operation that can be quantized")
        return content

    def _ranges(self, rules: list[dict]) -> dict:
        """Least and greatest numbers of every tensor: the default is a mean over rows of these."""
        from litert_quantizer import calibrator, recipe_manager
        from litert_quantizer.utils import qsv_utils

        manager = recipe_manager.RecipeManager()
        manager.load_quantization_recipe(rules)
        asked = calibrator.Calibrator(
            bytearray(self._content), self._threads, qsv_update_func=qsv_utils.min_max_update
        )
        asked.calibrate(self._given(), manager)
        return asked.get_model_qsvs()

    def _named(self, content: bytes) -> bytes:
        """The file with what the quantizer asks for: a signature, and no tensor's name twice."""
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT.InitFromPackedBuf(content)
        for graph in model.subgraphs:
            for number, tensor in enumerate(graph.tensors):
                tensor.name = f"{number}:".encode() + (tensor.name or b"")
        ends = (
            zip(self.inputs, self._inputs, strict=True),
            zip(self.outputs, self._outputs, strict=True),
        )
        inputs, outputs = (
            [schema.TensorMapT(name=p.name, tensorIndex=int(d["index"])) for p, d in ports]
            for ports in ends
        )
        model.signatureDefs = [
            schema.SignatureDefT(
                inputs=inputs, outputs=outputs, signatureKey=SIGNATURE, subgraphIndex=0
            )
        ]
        builder = flatbuffers.Builder(len(content))
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _given(self) -> dict[str, list[dict[str, np.ndarray]]]:
        """What was asked, row by row, by the names and types of the signature."""
        kinds = {port.name: port.dtype for port in self.inputs}
        rows = [
            {name: part[row : row + 1].astype(kinds[name]) for name, part in block.items()}
            for block in self._seen
            for row in range(len(next(iter(block.values()))))
        ]
        return {self._signature: rows}


def _steps(interpreter) -> bool:
    """Whether a tensor of a file is quantized."""
    details = interpreter.get_tensor_details()
    return any(len(detail["quantization_parameters"]["scales"]) for detail in details)
