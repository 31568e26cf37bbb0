"""Querying versions: model files in worker processes, callables here, outputs read from disk.

What a version answers is kept part by part: an audit that is stopped goes on at the next part.
"""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak import _checks
from tf_compleak.auditing.opened import Asking, Opened
from tf_compleak.auditing.sides import Side, read_npy
from tf_compleak.inference import prepare
from tf_compleak.workdir import Stage, fingerprint

PART = 8192  # examples whose answers are kept together
Tell = Callable[[str, int, int, str], None]
Given = str | Path | Callable | tuple  # file, function, or outputs of members and of non-members


@dataclass(frozen=True, eq=False)
class Answers:
    """What one version of one family said.

    Attributes:
      outputs: f32[N, C] of members and of non-members, as the version emits them.
      step: of a quantized output, 0 for others.
      facts: "kind", "bytes", "gzip_bytes", "preprocess".
    """

    outputs: tuple[np.ndarray, np.ndarray]
    step: float
    facts: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Family:
    """The versions of the target or of a shadow, and its two sides with their digests."""

    name: str
    versions: dict[str, Given]
    sides: tuple[Side, Side]
    digests: tuple[str, str]


class Stopped(Exception):
    """Raised in a thread when another one failed or the user interrupted."""


def ask(
    families: Sequence[Family], asking: Asking, root: Path, tell: Tell
) -> dict[tuple[str, str], Answers]:
    """Answers of every version of every family, by (family, version).

    Raises:
      ValueError, OSError: in one line, for a version that cannot be opened or asked.
    """
    jobs = [(family, name) for family in families for name in family.versions]
    stop = threading.Event()

    def one(job):
        family, name = job
        try:
            return _answers(family, name, asking, root, tell, stop)
        except BaseException:
            stop.set()
            raise

    pool = ThreadPoolExecutor(max(1, asking.workers))
    try:
        futures = [pool.submit(one, job) for job in jobs]
        found, errors = {}, []
        for (family, name), future in zip(jobs, futures, strict=True):
            try:
                found[family.name, name] = future.result()
            except (Stopped, ValueError, OSError) as error:
                errors.append(error)
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    real = [error for error in errors if not isinstance(error, Stopped)]
    if real:
        raise real[0]
    return found


def _answers(family: Family, name: str, asking, root: Path, tell: Tell, stop) -> Answers:
    given = family.versions[name]
    if isinstance(given, tuple):
        return _given_outputs(given, family, name)
    if callable(given):
        return _called(given, family, name, asking, tell, stop)
    return _queried(str(given), family, name, asking, root, tell, stop)


def outputs_of(given: Given) -> Given:
    """A text that names two `.npy` files of outputs, as these arrays; anything else as it is."""
    if not isinstance(given, str) or not given.endswith(".npy"):
        return given
    paths = given.split("+")
    if len(paths) != 2:
        raise ValueError(
            f"--versions: {given}: outputs are given as MEMBERS.npy+NON_MEMBERS.npy, two files."
        )
    return tuple(read_npy(path, "--versions") for path in paths)


def _given_outputs(given: tuple, family: Family, name: str) -> Answers:
    outputs = []
    for array, side in zip(given, family.sides, strict=True):
        array = np.asarray(array)
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2 or array.dtype.kind not in "fiu" or len(array) != len(side):
            raise ValueError(
                f"version {name}: outputs must be numbers [{len(side)}, classes] for {side.where}, "
                f"got {array.dtype} of shape {list(array.shape)}."
            )
        outputs.append(_checked(np.asarray(array, np.float32), name))
    return Answers(tuple(outputs), 0.0, {"kind": "outputs", "bytes": 0, "gzip_bytes": 0})


def _checked(outputs: np.ndarray, name: str) -> np.ndarray:
    _checks.finite(f"outputs of {name}", outputs)
    return outputs


def _called(function: Callable, family, name: str, asking, tell: Tell, stop) -> Answers:
    total, done, outputs = sum(map(len, family.sides)), 0, []
    how = "none" if asking.preprocess == prepare.AUTO else asking.preprocess
    change = prepare.function(how)
    for side in family.sides:
        parts = []
        for block in side.blocks():
            _go_on(stop)
            rows = {key: change(value) for key, value in block.items()}
            answer = np.asarray(function(rows if len(rows) > 1 else next(iter(rows.values()))))
            count = len(next(iter(rows.values())))
            if answer.ndim != 2 or len(answer) != count:
                raise ValueError(
                    f"version {name}: the function returned shape {list(answer.shape)} for "
                    f"{count} examples; [examples, classes] is expected."
                )
            parts.append(_checked(np.asarray(answer, np.float32), name))
            done += count
            tell(_title(family, name), done, total, "")
        outputs.append(np.concatenate(parts))
    tell(_title(family, name), 1, 1, "")
    return Answers(tuple(outputs), 0.0, {"kind": "function", "preprocess": how})


def _title(family: Family, name: str) -> str:
    return f"asking {name}" if family.name == "target" else f"asking {name} of {family.name}"


def _go_on(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped


# Model files --------------------------------------------------------------------------------------


def _queried(path: str, family: Family, name: str, asking, root: Path, tell, stop) -> Answers:
    if not all(side.inputs for side in family.sides):
        raise ValueError(
            f"version {name}: {path} must be asked, but the examples have no inputs; give x beside "
            "y, or give outputs as MEMBERS.npy+NON_MEMBERS.npy."
        )
    identity = content(path)
    print_ = fingerprint(
        stage="answers/1",
        file=identity["sha256"],
        asking=[asking.preprocess, asking.output, asking.signature, asking.batch, asking.threads],
    )
    folder = root / "answers" / family.name / name
    asked = _Asked(path, asking, family, name, tell, stop)
    try:
        outputs = []
        for side, digest in zip(family.sides, family.digests, strict=True):
            parts = []
            for start in range(0, len(side), PART):
                place = folder / f"{digest[:12]}-{start // PART:05}"
                stage = Stage(place, fingerprint(of=print_, data=digest, start=start))
                asked.part(stage, side, start, min(start + PART, len(side)))
                parts.append(stage)
            outputs.append(_joined(parts, name))
    finally:
        asked.close()
    tell(_title(family, name), 1, 1, "")
    facts = parts[0].facts()
    identity.pop("sha256")
    return Answers(tuple(outputs), facts["step"], {**identity, **facts})


def _joined(parts: list[Stage], name: str) -> np.ndarray:
    loaded = [np.load(part.path / "outputs.npy", allow_pickle=False) for part in parts]
    return _checked(np.concatenate(loaded), name)


class _Asked:
    """A model file that is opened when the first part that is not there yet has to be asked."""

    def __init__(self, path, asking, family: Family, name: str, tell, stop):
        self._path, self._asking, self._family, self._name = path, asking, family, name
        self._tell, self._stop = tell, stop
        self._model, self._done = None, 0

    def part(self, stage: Stage, side: Side, start: int, end: int) -> None:
        """Make sure that the answers to examples start .. end are there."""
        if stage.facts() is None:
            _go_on(self._stop)
            model = self._opened(side)
            outputs = model.ask(side, start, end)
            with stage.writing() as (folder, facts):
                np.save(folder / "outputs.npy", outputs, allow_pickle=False)
                facts.update(model.facts())
        else:
            self._done += end - start

    def _opened(self, side: Side) -> Opened:
        if self._model is None:
            self._say("opening")
            self._model = Opened(self._path, self._asking, side, self._told)
        return self._model

    def _told(self, rows: int) -> None:
        _go_on(self._stop)
        self._done += rows
        self._say("")

    def _say(self, text: str) -> None:
        total = sum(map(len, self._family.sides))
        self._tell(_title(self._family, self._name), self._done, total, text)

    def close(self) -> None:
        if self._model is not None:
            self._model.close()


def content(path: str) -> dict[str, Any]:
    """sha256, bytes and gzipped bytes of a model file, or of all files of a folder together."""
    root = Path(path).expanduser()
    if not root.exists():
        raise FileNotFoundError(f"{path}: no such file; --versions names model files.")
    files = sorted(file for file in root.rglob("*") if file.is_file()) if root.is_dir() else [root]
    digest, size, gzipped = hashlib.sha256(), 0, 0
    try:
        for file in files:
            data = file.read_bytes()
            digest.update(f"{file.relative_to(root) if root.is_dir() else ''}\0".encode())
            digest.update(hashlib.sha256(data).digest())
            size += len(data)
            gzipped += len(gzip.compress(data, compresslevel=9, mtime=0))
    except OSError as error:
        raise OSError(f"{path}: cannot be read ({error.strerror}).") from error
    return {"sha256": digest.hexdigest(), "bytes": size, "gzip_bytes": gzipped}
