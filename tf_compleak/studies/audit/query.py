"""Querying versions: model files in worker processes, callables here, outputs read from disk.

Members and non-members are asked mixed (`order`), some of them again at the end (`repeat`). What a
version answers is kept part by part: an audit that is stopped goes on at the next part.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tf_compleak.data.sides import BLOCK, Side
from tf_compleak.engine.workdir import Stage, fingerprint
from tf_compleak.inference import prepare
from tf_compleak.studies.audit import order, repeat
from tf_compleak.studies.audit.given_versions import Given
from tf_compleak.studies.audit.model_files import content
from tf_compleak.studies.audit.open_model import Asking, Cores, Opened
from tf_compleak.studies.audit.order import Order
from tf_compleak.studies.audit.repeat import Repeated
from tf_compleak.types import validators
from tf_compleak.types.outputs import resolution
from tf_compleak.types.progress import Tell

OUTPUTS = "outputs.npy"
NOT_ASKED = "given as outputs: nothing was asked, and so nothing asked twice"


@dataclass(frozen=True, eq=False)
class Answers:
    """What one version of one family said.

    Attributes:
      outputs: f32[N, C] of members and of non-members, as the version emits them.
      step: of a quantized output, 0 for others.
      facts: "kind", "bytes", "gzip_bytes", "preprocess"; "isolation" of a model file's process;
        "repeated": what asking again found, in words; "caution": the same where answers differ.
    """

    outputs: tuple[np.ndarray, np.ndarray]
    step: float
    facts: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Family:
    """The versions of the target or of a shadow, and its two sides with their digests.

    Attributes:
      vocabulary: a file or folder of its own, "" where texts go by `--vocabulary`.
      contents: S16[N] digests of the examples of either side; None where these have no inputs.
      byte_inputs: names of the inputs that are bytes on any side of any family of the audit.
    """

    name: str
    versions: dict[str, Given]
    sides: tuple[Side, Side]
    digests: tuple[str, str]
    vocabulary: str = ""
    contents: tuple[np.ndarray, np.ndarray] | None = None
    byte_inputs: frozenset[str] = frozenset()


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
    stop, cores = threading.Event(), Cores(asking)

    def one(job):
        family, name = job
        try:
            return _answers(family, name, asking, root, tell, stop, cores)
        except BaseException:
            stop.set()
            raise

    pool = ThreadPoolExecutor(max(1, asking.workers))
    try:
        futures = [pool.submit(one, job) for job in jobs]
        answers, errors = {}, []
        for (family, name), future in zip(jobs, futures, strict=True):
            try:
                answers[family.name, name] = future.result()
            except (Stopped, ValueError, OSError) as error:
                errors.append(error)
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    real = [error for error in errors if not isinstance(error, Stopped)]
    if real:
        raise real[0]
    return answers


def _answers(family: Family, name: str, asking, root: Path, tell: Tell, stop, cores) -> Answers:
    version = family.versions[name]
    if isinstance(version, tuple):
        return _given_outputs(version, family, name)
    if callable(version):
        return _called(version, family, name, asking, tell, stop)
    return _queried(str(version), family, name, asking, root, tell, stop, cores)


def _given_outputs(arrays: tuple, family: Family, name: str) -> Answers:
    outputs = []
    for array, side in zip(arrays, family.sides, strict=True):
        array = np.asarray(array)
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2 or array.dtype.kind not in "fiu" or len(array) != len(side):
            raise ValueError(
                f"version {name}: outputs must be numbers [{len(side)}, classes] for {side.where}, "
                f"got {array.dtype} of shape {list(array.shape)}."
            )
        outputs.append(_checked(np.asarray(array, np.float32), name))
    facts = {"kind": "outputs", "bytes": 0, "gzip_bytes": 0, "repeated": NOT_ASKED}
    return Answers(tuple(outputs), 0.0, facts)


def _checked(outputs: np.ndarray, name: str) -> np.ndarray:
    validators.finite(f"outputs of {name}", outputs)
    return outputs


def _called(function: Callable, family, name: str, asking, tell: Tell, stop) -> Answers:
    _refuse_no_inputs(family, name, "a function")
    mixed = order.mixed(tuple(map(len, family.sides)), asking.seed, family.name)
    rows = repeat.drawn(len(mixed), asking.seed, family.name)
    how = "none" if asking.preprocess == prepare.AUTO else asking.preprocess
    change, done = prepare.function(how), 0

    def ask(which: np.ndarray) -> np.ndarray:
        nonlocal done
        answers = []
        for start in range(0, len(which), BLOCK):
            _go_on(stop)
            answers.append(_call(function, family, which[start : start + BLOCK], change, name))
            done += len(answers[-1])
            tell(title(family, name), min(done, len(mixed)), len(mixed), "")
        return np.concatenate(answers)

    together = _joined(mixed, [ask(part) for part in mixed.parts], name)
    result = repeat.repeated(name, together[rows], rows, ask, resolution(together))
    tell(title(family, name), 1, 1, "")
    facts = {"kind": "function", "preprocess": how} | _judged(name, result, asking)
    return Answers(_split(mixed, together), 0.0, facts)


def _call(function: Callable, family, which: np.ndarray, change, name: str) -> np.ndarray:
    """f32[P, C], what a function returns for these rows."""
    inputs = order.gathered(
        family.sides, which, lambda block: {key: change(rows) for key, rows in block.items()}
    )
    answer = np.asarray(function(inputs if len(inputs) > 1 else next(iter(inputs.values()))))
    if answer.ndim != 2 or len(answer) != len(which):
        raise ValueError(
            f"version {name}: the function returned shape {list(answer.shape)} for "
            f"{len(which)} examples; [examples, classes] is expected."
        )
    return _checked(np.array(answer, np.float32), name)


def _joined(mixed: Order, answers: Sequence[np.ndarray], name: str) -> np.ndarray:
    """f32[N, C] of the answers to all parts, members first."""
    try:
        return _checked(mixed.in_place(answers), name)
    except ValueError as error:
        raise ValueError(f"version {name}: {error}") from error


def _split(mixed: Order, together: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return together[: mixed.sizes[0]], together[mixed.sizes[0] :]


def _judged(name: str, result: Repeated, asking: Asking) -> dict[str, str]:
    """What a report says of asking again; ValueError where answers differ and none may."""
    if not result.cause:
        return {"repeated": repeat.note(result)}
    if asking.stateful == repeat.REFUSE:
        raise ValueError(repeat.refusal(name, result))
    return {"repeated": repeat.note(result), "caution": f"version {name}: {repeat.note(result)}"}


def _refuse_no_inputs(family: Family, name: str, what: str) -> None:
    for side in family.sides:
        if side.texts is not None and not side.inputs:
            raise ValueError(
                f"{side.where}: holds texts; name the vocabulary of the versions by --vocabulary, "
                "or tokenize them as the model does and give npz:PATH with arrays x (token ids) "
                "and y."
            )
    if not all(side.inputs for side in family.sides):
        raise ValueError(
            f"version {name}: {what} must be asked, but the examples have no inputs; give x beside "
            "y, or give outputs as MEMBERS.npy+NON_MEMBERS.npy."
        )


def _go_on(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped


# Model files --------------------------------------------------------------------------------------


class _Parts(NamedTuple):
    """What is known of a model file before it is asked, and the stages of its answers."""

    identity: dict[str, Any]
    mixed: Order
    stages: list[Stage]
    again: Stage


def _parts(path: str, family: Family, name: str, asking: Asking, root: Path) -> _Parts:
    identity = content(path)
    mixed = order.mixed(tuple(map(len, family.sides)), asking.seed, family.name)
    examples = fingerprint(of=examples_of(family), seed=asking.seed, family=family.name)
    print_ = fingerprint(
        stage="answers/3",
        file=identity.pop("sha256"),
        asking=[asking.preprocess, asking.output, asking.signature, asking.batch, asking.threads],
        examples=examples,
    )

    def stage(what: str) -> Stage:
        folder = root / "answers" / family.name / name / f"{examples[:12]}-{what}"
        return Stage(folder, fingerprint(of=print_, what=what))

    numbered = [stage(f"{number:05}") for number in range(len(mixed.parts))]
    return _Parts(identity, mixed, numbered, stage("again"))


def examples_of(family: Family) -> dict[str, Any]:
    """What a family's examples are: content, and the types by which they are prepared."""
    kinds = [
        [
            [name, str(array.dtype), list(array.shape[1:])]
            for name, array in sorted(side.inputs.items())
        ]
        for side in family.sides
    ]
    return {"data": family.digests, "kinds": kinds, "bytes": sorted(family.byte_inputs)}


def why(family: Family, name: str, asking: Asking, root: Path) -> str:
    """Why a version is to be asked (again); empty where all that it answered is kept."""
    version = family.versions[name]
    if isinstance(version, tuple):
        return ""
    if callable(version):
        return "a function, whose answers are not kept"
    _refuse_no_inputs(family, name, str(version))
    parts = _parts(str(version), family, name, asking, root)
    reasons = [reason for stage in (*parts.stages, parts.again) if (reason := stage.why())]
    total = len(parts.stages) + 1
    return f"{reasons[0]} ({len(reasons)} of {total} parts)" if reasons else ""


def title(family: Family, name: str) -> str:
    """What asking a version is called on the terminal and in logs."""
    return f"asking {name}" if family.name == "target" else f"asking {name} of {family.name}"


def _queried(path: str, family: Family, name: str, asking, root, tell, stop, cores) -> Answers:
    _refuse_no_inputs(family, name, path)
    identity, mixed, stages, again = _parts(path, family, name, asking, root)
    reason = next((reason for stage in (*stages, again) if (reason := stage.why())), "")
    if reason:
        tell(title(family, name), 0, 0, reason)
        tell(title(family, name), 0, 1, "")
    file = _ModelFile(path, asking, family, name, tell, stop, cores)
    try:
        following = [*mixed.parts[1:], None]
        for part, of_part, rows in zip(mixed.parts, stages, following, strict=True):
            file.part(of_part, part, rows)
        answers = [
            np.load(stage.folder() / OUTPUTS, mmap_mode="r", allow_pickle=False) for stage in stages
        ]
        facts, together = _weakest([s.facts() for s in stages]), _joined(mixed, answers, name)
        result = file.again(again, together, facts["step"])
    except (ValueError, OSError) as error:
        tell(title(family, name), 1, 1, str(error))
        raise
    finally:
        file.close()
    tell(title(family, name), 1, 1, "")
    facts = {**identity, **facts, **_judged(name, result, asking)}
    return Answers(_split(mixed, together), facts["step"], facts)


def _weakest(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Facts of the first part, with the weakest isolation of any: parts may be asked elsewhere."""
    isolations = [str(of_part["isolation"]) for of_part in facts]
    return facts[0] | {"isolation": min(isolations, key=strength)}


def strength(isolation: str) -> int:
    """2 of a process that is fully isolated, 0 of one that is not at all."""
    return {"none": 0, "full": 2}.get(isolation.partition(":")[0], 1)


class _ModelFile:
    """A model file that is opened when the first part that is not there yet has to be asked."""

    def __init__(self, path, asking: Asking, family: Family, name: str, tell, stop, cores: Cores):
        self._path, self._asking, self._family, self._name = path, asking, family, name
        self._cores = cores
        self._tell, self._stop = tell, stop
        self._model, self._done = None, 0

    def part(self, stage: Stage, which: np.ndarray, following: np.ndarray | None) -> None:
        """Make sure that the answers to rows `which` are there; `following` come next."""
        if stage.facts() is None:
            outputs = self._ask(which, following)
            with stage.writing() as (folder, facts):
                np.save(folder / OUTPUTS, outputs, allow_pickle=False)
                facts.update(self._opened().facts())
        else:
            self._done += len(which)

    def again(self, stage: Stage, together: np.ndarray, step: float) -> Repeated:
        """What asking some rows again finds, whose first answers are in `together`."""
        if stage.facts() is None:
            rows = repeat.drawn(len(together), self._asking.seed, self._family.name)
            step = step or resolution(together)
            result = repeat.repeated(self._name, together[rows], rows, self._ask, step)
            with stage.writing() as (_, facts):
                facts.update(result._asdict())
        return Repeated(**stage.facts())

    def _ask(self, which: np.ndarray, following: np.ndarray | None = None) -> np.ndarray:
        _go_on(self._stop)
        outputs = self._opened().ask_rows(self._family.sides, which, following)
        return _checked(outputs, self._name)

    def _opened(self) -> Opened:
        if self._model is None:
            self._say("opening")
            self._model = Opened(
                self._path,
                self._asking,
                self._family.sides,
                self._family.byte_inputs,
                self._count,
                cores=self._cores,
            )
        return self._model

    def _count(self, rows: int) -> None:
        _go_on(self._stop)
        self._done += rows
        self._say("")

    def _say(self, text: str) -> None:
        total = sum(map(len, self._family.sides))
        self._tell(title(self._family, self._name), min(self._done, total), total, text)

    def close(self) -> None:
        if self._model is not None:
            self._model.close()
