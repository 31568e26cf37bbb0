"""An ONNX file, run by onnxruntime on the processor; in the isolated process only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_compleak.inference.isolated.batching import answers_by_row, padded
from tf_compleak.inference.isolated.onnx_check import Checked
from tf_compleak.inference.ports import Port, chosen, rows_of
from tf_compleak.inference.quantized import dequantized, quantized

TYPES = {
    "bool": "bool",
    "float": "float32",
    "float16": "float16",
    "double": "float64",
    **{name: name for name in ("int8", "int16", "int32", "int64")},
    **{name: name for name in ("uint8", "uint16", "uint32", "uint64")},
}
FREE = (8, 32, 224)  # tried for axes of inputs that may have any size
QUIET = 4  # only what ends the process is logged


class OnnxFile:
    """An ONNX file on onnxruntime; any batch that it takes, its own otherwise.

    Its session has one thread, and takes several batches at a time.
    """

    kind = "onnx"

    def __init__(self, checked: Checked, batch: int, output: str):
        self._facts, self.metadata = checked.facts, checked.facts.metadata
        self._session, self._answered = session(checked), ()
        given = self._session.get_inputs()
        if not given or not self._session.get_outputs():
            raise ValueError("has no inputs or no outputs")
        fixed = {_first(port) for port in given} - {-1}
        if len(fixed) > 1:
            raise ValueError(f"takes inputs with {sorted(fixed)} rows at a time, one size expected")
        self.inputs = [self._input(port) for port in given]
        self.outputs = [self._port(port) for port in self._session.get_outputs()]
        number = chosen(self.outputs, output)
        self.output = self.outputs[number]
        if self.output.dtype not in TYPES.values():
            raise ValueError(
                f"output {self.output.name} holds no numbers but {self.output.dtype}s; choose "
                "another by --output=NAME, or export the model with probabilities as a tensor"
            )
        self.batch = fixed.pop() if fixed else self._largest(batch)
        if -1 in self.output.shape and self._answered:
            self.output = dataclasses.replace(self.output, shape=self._answered)
            self.outputs[number] = self.output

    def _input(self, part) -> Port:
        port = self._port(part)
        if port.dtype not in TYPES.values() or not part.shape:
            raise ValueError(f"input {part.name} takes {part.type}, rows of numbers are expected")
        channels = self._facts.channels.get(part.name)
        if channels and len(port.shape) == 3 and port.shape[0] == -1:
            return Port(port.name, (channels, *port.shape[1:]), port.dtype, port.scale, port.zero)
        return port

    def _port(self, part) -> Port:
        """Its shape without the first axis; -1 where any size goes."""
        kind = part.type.removeprefix("tensor(").removesuffix(")")
        name = TYPES.get(kind, "string" if kind == "string" else "object")
        sizes = tuple(size if isinstance(size, int) else -1 for size in part.shape or ())
        return Port(part.name, sizes[1:], name, *self._facts.steps.get(part.name, (0.0, 0)))

    def _largest(self, batch: int) -> int:
        """The wanted batch, or 1 where rows of a batch are not answered one by one."""
        for size in FREE:
            shapes = [
                [batch, *(size if axis == -1 else axis for axis in port.shape)]
                for port in self.inputs
            ]
            if answers_by_row(self._run, shapes, self.output.scale, (ValueError,)):
                return batch
            if not any(-1 in port.shape for port in self.inputs):
                break
        return 1

    def lanes(self, count: int) -> Sequence[OnnxFile]:
        """This file `count` times, each of which can be asked while the others are."""
        return [self] * count

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        count = len(next(iter(rows.values())))
        answers = self._run([padded(rows[port.name], self.batch) for port in self.inputs])
        return rows_of(answers, self.batch)[:count]

    def _run(self, rows: list[np.ndarray]) -> np.ndarray:
        """f32 outputs of a batch, as shaped by the file."""
        given = self._ready(rows)
        answer = guarded(lambda: self._session.run([self.output.name], given)[0])
        self._answered = answer.shape[1:]
        return dequantized(answer, _detail(self.output))

    def _ready(self, rows: list[np.ndarray]) -> dict[str, np.ndarray]:
        """Rows of every input as the session takes them."""
        given = {}
        for port, part in zip(self.inputs, rows, strict=True):
            ready = quantized(part, _detail(port)) if part.dtype == np.float32 else part
            given[port.name] = np.ascontiguousarray(ready)
        return given


def _detail(port: Port) -> dict:
    """As `quantized` takes a tensor."""
    quantization = (port.scale, port.zero)
    return {"name": port.name, "dtype": np.dtype(port.dtype).type, "quantization": quantization}


def _first(port) -> int:
    return port.shape[0] if port.shape and isinstance(port.shape[0], int) else -1


def session(checked: Checked):
    """onnxruntime's session of a file, of one provider, of one thread, quiet."""
    import onnxruntime

    onnxruntime.set_seed(0)
    onnxruntime.set_default_logger_severity(QUIET)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = QUIET
    options.add_session_config_entry("session.load_model_format", "ONNX")  # never ORT's own
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source, providers = checked.message or str(checked.path), ["CPUExecutionProvider"]
    return guarded(lambda: onnxruntime.InferenceSession(source, options, providers=providers))


def guarded(make):
    """What a function of the runtime gives; ValueError with what it says where it fails."""
    try:
        return make()
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"cannot be run by onnxruntime ({reason})") from error
