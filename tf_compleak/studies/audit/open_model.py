"""A model file of an audit, opened in its worker process: inputs prepared, ahead of its asking."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_compleak.data.sides import BLOCK, Side
from tf_compleak.inference import prepare, quantized
from tf_compleak.studies.audit.order import Inputs, gathered

HELD = 64 * 2**20  # bytes of inputs that are prepared at a time


@dataclass(frozen=True)
class Asking:
    """How versions are asked.

    Attributes:
      preprocess: see `inference.prepare.function`; "auto" decides by input and data.
      output, signature: names (or the output's number) where a file has several; "" for the only.
      batch: rows at a time where a file leaves that open.
      threads: of each file; workers: versions asked side by side. Where fewer are, these have
        the cores of the others, too.
      time_limit: seconds for opening a file, and for a batch.
      memory_limit: GiB of one file's process.
      trust_files: open files that can run code where their process cannot be isolated, too.
      seed: of the order of asking; stateful: "refuse" or "allow", see `repeat`.
    """

    preprocess: str = prepare.AUTO
    output: str = ""
    signature: str = ""
    batch: int = 64
    threads: int = 1
    workers: int = 2
    time_limit: float = 60.0
    memory_limit: float = 8.0
    trust_files: bool = False
    seed: int = 0
    stateful: str = "refuse"


class Cores:
    """Shares an audit's cores out among the files that are asked at the moment."""

    def __init__(self, asking: Asking):
        self._least, self._all = asking.threads, max(1, asking.workers) * asking.threads
        self._files, self._changing = 0, threading.Lock()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While a file is open."""
        self._add(1)
        try:
            yield
        finally:
            self._add(-1)

    def _add(self, files: int) -> None:
        with self._changing:
            self._files += files

    def share(self) -> int:
        """How many batches of one file are asked side by side now: all, if it is alone."""
        return max(self._least, self._all // max(1, self._files))


class Opened:
    """A model file in its worker process, taking rows of sides as they are."""

    def __init__(
        self,
        path: str,
        asking: Asking,
        sides: Sequence[Side],
        byte_inputs: frozenset[str] = frozenset(),
        on_batch=lambda rows: None,
        making: str = "",
        cores: Cores | None = None,
    ):
        """Open a file for examples of these sides.

        Args:
          byte_inputs: see `query.Family`; with them, "auto" means the same for every side.
          cores: among which files; by default it is alone.
          making: a version that is made of it, see `inference.making.Maker`; "" for none.
        """
        from tf_compleak.inference import making as makers
        from tf_compleak.inference.sandbox import SandboxedModel

        self._cores = cores or Cores(asking)
        self._using = contextlib.ExitStack()
        opened = functools.partial(makers.Maker, making=making) if making else SandboxedModel
        self._model = opened(
            path,
            batch=asking.batch,
            threads=asking.threads,
            seconds=asking.time_limit,
            memory=int(asking.memory_limit * 2**30),
            output=asking.output,
            signature=asking.signature,
            trust=asking.trust_files,
        )
        self._using.enter_context(self._cores.in_use())
        self._path, self._on_batch = path, on_batch
        self._ahead = ThreadPoolExecutor(1)  # makes blocks ready
        self._prefetched: tuple[np.ndarray, Future] | None = None
        try:
            self._ports = _matched(self._model.inputs, sides[0], path)
            self._scales = {
                key: asking.preprocess
                if asking.preprocess != prepare.AUTO
                else self._scale(key, sides, byte_inputs)
                for key in self._ports
            }
            self._changes = {key: prepare.function(how) for key, how in self._scales.items()}
            self._tables = self._looked_up(sides[0])
        except BaseException:
            self.close()
            raise

    def _scale(self, key: str, sides: Sequence[Side], byte_inputs: frozenset[str]) -> str:
        """What "auto" means for an input, whichever of the sides are bytes and which floats."""
        port, types = self._ports[key], [side.inputs[key].dtype for side in sides]
        is_bytes = key in byte_inputs or np.uint8 in types
        how = prepare.scale_for(port.scale, port.zero, port.dtype, is_bytes)
        mixed = next((side for side, of in zip(sides, types, strict=True) if of != np.uint8), None)
        if is_bytes and how == "none" and mixed is not None:
            raise ValueError(
                f"{self._path}: takes bytes as they are, but {mixed.where} holds floats beside "
                "other examples that are bytes; give all as uint8, or name --preprocess."
            )
        return how

    def _looked_up(self, side: Side) -> dict[str, np.ndarray]:
        """For each byte what a quantized input takes, if all inputs are so; empty otherwise.

        To prepare and quantize every number anew took a seventh of the interpreter's own time.
        """
        tables = {
            key: quantized.table(
                self._changes[key],
                {"dtype": np.dtype(port.dtype).type, "quantization": (port.scale, port.zero)},
            )
            for key, port in self._ports.items()
            if port.scale
            and side.inputs[key].dtype == np.uint8
            and self._scales[key] in prepare.POINTWISE
        }
        return tables if len(tables) == len(self._ports) else {}

    def block(self, side: Side) -> int:
        """Examples that are prepared at a time: those of about 64 MB, whole batches."""
        sizes = [side.inputs[key][:1].size for key in self._ports]
        sizes += [abs(math.prod(port.shape)) for port in self._ports.values()]
        count = HELD // (4 * max(1, *sizes))
        return max(1, min(BLOCK, count) // self._model.batch) * self._model.batch

    def prepared(self, sides: Sequence[Side], which: np.ndarray) -> Inputs:
        """Rows of sides (see `order.gathered`) as the model takes them, by its inputs' names."""
        return gathered(sides, which, self._changed)

    def _changed(self, block: Inputs) -> Inputs:
        """f32 rows of the model's inputs."""
        prepared = {}
        for key, rows in block.items():
            port = self._ports[key]
            try:
                fit = prepare.fitted(rows, port.shape) if ":" not in self._scales[key] else rows
                prepared[port.name] = np.ascontiguousarray(self._changes[key](fit), np.float32)
            except ValueError as error:
                raise ValueError(f"{self._path}: {error}") from error
        return prepared

    def _translated(self, block: Inputs) -> Inputs:
        """Rows of the model's quantized inputs: bytes are looked up."""
        translated = {}
        for key, rows in block.items():
            port = self._ports[key]
            try:
                fit = prepare.fitted(rows, port.shape)
            except ValueError as error:
                raise ValueError(f"{self._path}: {error}") from error
            translated[port.name] = quantized.looked_up(self._tables[key], fit)
        return translated

    def predict(self, prepared: Inputs) -> np.ndarray:
        """f32[N, C] outputs on prepared rows."""
        return self._model.predict(prepared, self._on_batch, lanes=self._cores.share())

    def ask(self, side: Side, start: int, end: int) -> np.ndarray:
        """f32[N, C] outputs on rows start .. end of a side."""
        return self.ask_rows((side,), np.arange(start, end))

    def ask_rows(
        self, sides: Sequence[Side], which: np.ndarray, following: np.ndarray | None = None
    ) -> np.ndarray:
        """f32[P, C] outputs on rows `which` (int64[P]) of sides, in that order.

        Rows are numbered through the sides. The next block is made ready while the process is at
        one; at the last, the first of the rows that will be asked next (`following`), if any.
        """
        step, outputs = self.block(sides[0]), []
        blocks = [which[at : at + step] for at in range(0, len(which), step)]
        after = None if following is None else following[:step]
        ready = self._begun(sides, blocks[0])
        for upcoming in (*blocks[1:], after):
            rows, is_quantized = ready.result()
            if upcoming is not None:
                ready = self._ahead.submit(self._ready, sides, upcoming)
            lanes = self._cores.share()
            outputs.append(self._model.predict(rows, self._on_batch, is_quantized, lanes))
        self._prefetched = None if after is None else (after, ready)
        return np.concatenate(outputs)

    def _begun(self, sides: Sequence[Side], block: np.ndarray) -> Future:
        """A block that is being made ready: since the call before, where that foresaw it."""
        prefetched, self._prefetched = self._prefetched, None
        if prefetched and np.array_equal(prefetched[0], block):
            return prefetched[1]
        return self._ahead.submit(self._ready, sides, block)

    def _ready(self, sides: Sequence[Side], which: np.ndarray) -> tuple[Inputs, bool]:
        """Rows as the worker takes them, and whether they are quantized: bytes are looked up."""
        arrays = [array for side in sides for array in side.inputs.values()]
        if not self._tables or any(array.dtype != np.uint8 for array in arrays):
            return self.prepared(sides, which), False
        return gathered(sides, which, self._translated), True

    def made(self, most: int) -> bytes:
        """The version that is made of it; see `inference.making.Maker.made`."""
        return self._model.made(most)

    @property
    def batch(self) -> int:
        """Rows that it is asked at a time."""
        return self._model.batch

    @property
    def isolation(self) -> str:
        """How far its process is kept from the machine: "full", "partial: ..." or "none: ..."."""
        return self._model.isolation

    @property
    def classes(self) -> int:
        """C, the size of the output's last axis."""
        return int(self._model.output.shape[-1])

    def facts(self) -> dict[str, Any]:
        """What a report should know of the file and how it was asked."""
        return {
            "kind": self._model.kind,
            "step": float(self._model.output.scale),
            "batch": int(self._model.batch),
            "preprocess": ", ".join(dict.fromkeys(self._scales.values())),
            "output": self._model.output.name,
            "isolation": self.isolation,
            "metadata": self._model.metadata,
        }

    def close(self) -> None:
        """End the process; may be called twice."""
        self._ahead.shutdown(wait=True, cancel_futures=True)
        self._model.close()
        self._using.close()


def _matched(ports: Sequence, side: Side, path: str) -> dict[str, Any]:
    """The model's inputs by the names of the side's."""
    if len(ports) == len(side.inputs) == 1:
        return {next(iter(side.inputs)): ports[0]}
    names = [port.name for port in ports]
    if set(names) != set(side.inputs):
        raise ValueError(
            f"{path}: has the inputs {', '.join(names)}; {side.where} has the arrays "
            f"{', '.join(side.inputs)}. Give an .npz with one array for each input, so named."
        )
    return {port.name: port for port in ports}
