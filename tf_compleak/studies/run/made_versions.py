"""Asking versions that the user's own code made: files by the isolated reader, answers kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tf_compleak.inference import prepare
from tf_compleak.inference.sandbox import SandboxedModel
from tf_compleak.studies.audit import checks, repeat
from tf_compleak.studies.audit.query import Answers
from tf_compleak.studies.run.run_stages import Extra, Observation, VersionFile
from tf_compleak.types import Output
from tf_compleak.types.progress import Progress

GONE = (
    "is a function, which is gone when its family is trained, and cannot be asked about changed "
    "inputs; write files, or leave out the attacks that ask so"
)
SECONDS = 600.0  # for opening a file, and for a batch
BATCH = 64  # rows of one call, where a file leaves that open
BLOCK = 4096  # examples that are held as floats at a time


class Read(NamedTuple):
    """Outputs as probabilities f32[N, C], their step, and what they were."""

    probabilities: np.ndarray
    step: float
    kind: Output


def read_as(outputs: np.ndarray, step: float, classes: int, kind: str = "auto") -> Read:
    """Outputs f32[N, C] as confidences of the data's classes.

    Raises:
      ValueError: for NaN, infinity, and another number of classes.
    """
    wrong = int((~np.isfinite(outputs)).any(axis=1).sum())
    if wrong:
        raise ValueError(
            f"answers with NaN or infinity to {wrong} of {len(outputs)} examples; mend its "
            "training or its export."
        )
    nothing = outputs[:0]
    probabilities, step, read = checks.confidences(Answers((outputs, nothing), step, {}), kind)
    if probabilities.shape[1] != classes:
        raise ValueError(
            f"answers with {probabilities.shape[1]} classes, the data has {classes}; mend it."
        )
    return Read(probabilities, step, read)


def asked_again(
    name: str,
    first: np.ndarray,
    ask: Callable[[np.ndarray], np.ndarray],
    seed: int,
    family: str,
    step: float,
) -> dict[str, str]:
    """What asking some of the rows again finds, in words; ValueError where answers differ."""
    rows = repeat.drawn(len(first), seed, family)
    result = repeat.repeated(name, first[rows], rows, ask, step)
    if result.cause:
        why = repeat.difference(result).replace(" (try --batch=1)", "")
        raise ValueError(f"{why}; make it answer an example alike each time.")
    return {"repeated": repeat.note(result)}


class MadeFile:
    """A file in its isolated process, with what `inference.observe` takes of a model.

    Attributes:
      batch: rows of one call; resolution: step of a quantized output, else 0.
      output: what outputs are read as; None: they are given as they are.
      classes: of the data: columns of outputs that are read.
    """

    def __init__(self, path: Path, threads: int, classes: int, output: Output | None = None):
        """Open a file; the user's own code has just made it, so it may be of any kind."""
        self._model = SandboxedModel(
            str(path), batch=BATCH, threads=threads, seconds=SECONDS, trust=True
        )
        self.output, self.classes, self.batch = output, classes, self._model.batch
        self.resolution = float(self._model.output.scale)
        self.isolation = self._model.isolation
        if len(self._model.inputs) != 1:
            self.close()
            raise ValueError(f"has {len(self._model.inputs)} inputs, one is expected.")

    @property
    def input_shape(self) -> list[int]:
        """Of one example; -1 where any size goes."""
        return list(self._model.inputs[0].shape)

    def stream(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """f32[n, C] for inputs f32[N, ...], some batches at a time."""
        (port,), step = self._model.inputs, max(self.batch, 512)
        for start in range(0, len(x), step):
            rows = prepare.fitted(x[start : start + step], port.shape)
            outputs = self._model.predict({port.name: np.ascontiguousarray(rows, np.float32)})
            yield outputs if self.output is None else prepare.probabilities(outputs, self.output)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """f32[N, C] for inputs f32[N, ...]."""
        return np.concatenate(list(self.stream(x)))

    def close(self) -> None:
        """End the process."""
        self._model.close()


class MadeFunction:
    """What a function answered to every example of the study, before it was gone."""

    def __init__(self, path: Path, everyone: np.ndarray):
        self._answers, self._everyone = np.load(path, mmap_mode="r"), everyone

    def probabilities(self, indices: np.ndarray) -> np.ndarray:
        """f32[N, C] of these examples."""
        return np.asarray(self._answers[np.searchsorted(self._everyone, indices)])


@contextlib.contextmanager
def opened(source: Any, stage: Observation | Extra) -> Iterator[MadeFile | MadeFunction]:
    """A version of a `Source` that the user's own code made; errors name it in one line."""
    version = VersionFile(stage.family, stage.version).stage(source)
    facts, folder = version.facts(), version.folder()
    if "function" in facts:
        yield MadeFunction(folder / "answers.npy", source.in_splits)
        return
    observed = {} if isinstance(stage, Observation) else _observed(source, stage)
    path = folder / facts["file"]
    try:
        classes = source.examples.classes
        model = MadeFile(path, source.study.threads, classes, observed.get("output"))
        try:
            yield model
        finally:
            model.close()
    except ValueError as error:
        raise ValueError(str(error).replace(f"{folder}/", "")) from error


def _observed(source: Any, stage: Extra) -> dict[str, Any]:
    return Observation(stage.family, stage.version).stage(source).facts()


def observe(
    progress: Progress, source: Any, stage: Observation, indices: np.ndarray, facts: dict
) -> np.ndarray:
    """Probabilities f32[N, C] of a version on examples; what else it tells goes to `facts`.

    Raises:
      ValueError: in one line: a file that cannot be opened or asked, NaN, other classes, answers
        that change.
    """
    with opened(source, stage) as version:
        if isinstance(version, MadeFunction):
            facts |= VersionFile(stage.family, stage.version).stage(source).facts()["function"]
            return version.probabilities(indices)

        def ask(rows: np.ndarray) -> np.ndarray:
            return version.predict(source.model_inputs(stage.family, indices[rows]))

        parts = []
        for start in range(0, len(indices), BLOCK):
            parts.append(ask(np.arange(start, min(start + BLOCK, len(indices)))))
            progress(start + len(parts[-1]), len(indices), "querying")
        outputs = np.concatenate(parts)
        read = read_as(outputs, version.resolution, source.examples.classes)
        again = asked_again(stage.version, outputs, ask, source.study.seed, stage.family, read.step)
        facts |= {"output": read.kind, "resolution": read.step, **again}
        facts |= {"input_shape": version.input_shape, "isolation": version.isolation}
        return read.probabilities
