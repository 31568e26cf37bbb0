"""A `.tflite` file, run by LiteRT; in the isolated process only."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tf_compleak.inference.isolated.batching import answers_by_row, padded
from tf_compleak.inference.ports import Port, chosen, clean, rows_of
from tf_compleak.inference.quantized import dequantized, quantized

KEEPING = {  # operations whose answers may depend on calls before, in this graph or one inside
    *("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE", "IF", "WHILE", "CALL"),
    *("HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_SIZE", "SVDF", "RNN", "LSTM"),
    *("UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_LSTM"),
    *("UNIDIRECTIONAL_SEQUENCE_LSTM", "RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL"),
    "CUSTOM",
}


class TFLite:
    """A `.tflite` file on LiteRT; any batch that it takes, its own otherwise.

    Several threads are lanes: an interpreter each, of one thread. That is faster than one
    interpreter of several threads, and a row's answer stays the same to the bit. A file that keeps
    a state must see one row after the other: it has one lane, of several threads.
    """

    kind = "tflite"

    def __init__(self, file: Path, batch: int, threads: int, output: str, signature: str):
        from ai_edge_litert.interpreter import Interpreter

        content = file.read_bytes()
        self._load = lambda count: _guarded(
            lambda: _loaded(Interpreter(model_content=content, num_threads=count))
        )
        self._interpreter, self._twins = self._load(1), []
        self._threads = threads if threads > 1 and self._keeps_state else 1
        if self._threads > 1:
            self._interpreter = self._load(self._threads)
        self._signature, self._wanted = _signature(self._interpreter, signature), output
        self._describe(output)
        first = self._inputs[0]["shape"]
        self.batch = int(first[0]) if len(first) else 1
        if batch != self.batch and not self._takes(batch):
            self._interpreter = self._load(self._threads)
            self._describe(output)

    @functools.cached_property
    def _keeps_state(self) -> bool:
        """Whether answers may depend on calls before; True where that cannot be told."""
        details = getattr(self._interpreter, "_get_ops_details", None)
        names = {"CUSTOM"} if details is None else {detail["op_name"] for detail in details()}
        return bool(names & KEEPING)

    def _describe(self, output: str) -> None:
        self._runner, self._names = None, {}
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()
        self._shapes = [tuple(detail["shape"]) for detail in self._inputs]  # as allocated
        if self._signature:
            runner = self._interpreter.get_signature_runner(self._signature)
            inputs, outputs = runner.get_input_details(), runner.get_output_details()
            self._names = {d["index"]: name for name, d in {**inputs, **outputs}.items()}
            if len(self._interpreter.get_signature_list()) > 1:
                self._runner = runner
                self._inputs, self._outputs = list(inputs.values()), list(outputs.values())
        if not self._inputs or not self._outputs:
            raise ValueError("has no inputs or no outputs")
        self.inputs = [self._port(detail) for detail in self._inputs]
        self.outputs = [self._port(detail) for detail in self._outputs]
        self._place = chosen(self.outputs, output)
        self.output = self.outputs[self._place]

    def _port(self, detail: dict) -> Port:
        shape = detail.get("shape_signature", detail["shape"])
        shape = shape if len(shape) else detail["shape"]
        scale, zero = detail["quantization"]
        name = self._names.get(detail["index"], clean(detail["name"]))
        sizes = tuple(int(size) for size in shape[1:])
        return Port(name, sizes, np.dtype(detail["dtype"]).name, float(scale), int(zero))

    def _takes(self, batch: int) -> bool:
        """Try a batch size; a refused one leaves the interpreter unusable."""
        if any(not len(detail["shape"]) for detail in self._inputs):
            return False
        shapes = [[batch, *map(abs, map(int, detail["shape"][1:]))] for detail in self._inputs]
        refusals = (ValueError, RuntimeError)
        if answers_by_row(self._invoke, shapes, self.output.scale, refusals):
            self.batch = batch
        return self.batch == batch

    def lanes(self, count: int) -> Sequence[TFLite]:
        """This file `count` times, each of which can be asked while the others are."""
        if count == 1 or self._keeps_state:
            return [self]
        while len(self._twins) < count - 1:
            twin = copy.copy(self)
            twin._interpreter = self._load(1)
            twin._describe(self._wanted)
            self._twins.append(twin)
        return [self, *self._twins][:count]

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        count = len(next(iter(rows.values())))
        given = [padded(rows[port.name], self.batch) for port in self.inputs]
        return rows_of(self._invoke(given), self.batch)[:count]

    def _invoke(self, rows: list[np.ndarray]) -> np.ndarray:
        wanted = self._outputs[self._place]
        if self._runner:
            given = zip(self.inputs, rows, self._inputs, strict=True)
            answer = self._runner(**{port.name: _ready(part, d) for port, part, d in given})
            return dequantized(answer[self.output.name], wanted)
        shapes = [part.shape for part in rows]
        if shapes != self._shapes:
            for detail, shape in zip(self._inputs, shapes, strict=True):
                self._interpreter.resize_tensor_input(detail["index"], list(shape))
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for detail, part in zip(self._inputs, rows, strict=True):
            self._interpreter.set_tensor(detail["index"], _ready(part, detail))
        self._interpreter.invoke()
        return dequantized(self._interpreter.get_tensor(wanted["index"]), wanted)


def _ready(rows: np.ndarray, detail: dict) -> np.ndarray:
    """Rows as a tensor takes them: f32 rows are quantized, others are so already."""
    return quantized(rows, detail) if rows.dtype == np.float32 else rows


def _loaded(interpreter):
    interpreter.allocate_tensors()
    return interpreter


def _guarded(make):
    try:
        return make()
    except (ValueError, RuntimeError) as error:
        raise ValueError(_said(str(error))) from error


def _said(text: str) -> str:
    """What the runtime says, with the operation named that it does not have."""
    custom = re.search(r"unresolved custom op: (\S+)", text)
    if custom and custom[1].rstrip(".").startswith("Flex"):
        return (
            f"needs the TensorFlow operation {custom[1].rstrip('.')} (Select TF ops), which LiteRT "
            "does not have; export with TFLITE_BUILTINS only, or audit the SavedModel"
        )
    if custom:
        name = custom[1].rstrip(".")
        return f"needs the custom operation {name}, which LiteRT does not have; export without it"
    if "Select TensorFlow op" in text:
        named = re.search(r"Node number \d+ \((\S+)\)", text)
        name = named[1] if named else "of Select TF ops"
        return (
            f"needs the TensorFlow operation {name} (Select TF ops), which LiteRT does not have; "
            "export with TFLITE_BUILTINS only, or audit the SavedModel"
        )
    return f"cannot be run as a .tflite file ({' '.join(text.split())[:300]})"


def _signature(interpreter, wanted: str) -> str:
    """The signature to use: the wanted one, or the only one, or "" where there is none."""
    signatures = list(interpreter.get_signature_list())
    if (wanted and wanted not in signatures) or (len(signatures) > 1 and not wanted):
        has = ", ".join(signatures) or "none"
        said = f"has no signature {wanted!r}" if wanted else f"has {len(signatures)} signatures"
        raise ValueError(f"{said}; choose by --signature=NAME: {has}")
    return wanted or (signatures[0] if signatures else "")
