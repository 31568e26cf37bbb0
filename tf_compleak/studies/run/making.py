"""Families whose versions the user's own code makes: trained, kept as files or by their answers.

Files are asked later, by the isolated reader. Functions are gone with the process that trained
them: they are asked here, about every example of the study, and their answers are kept.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak.engine import stage_log, user_code
from tf_compleak.studies.audit import model_files
from tf_compleak.studies.run import train_command
from tf_compleak.studies.run.made_versions import asked_again, read_as
from tf_compleak.studies.run.run_stages import Training, VersionFile
from tf_compleak.types import validators
from tf_compleak.types.progress import Progress

FILES, ANSWERS = "versions", "answers"  # folders of a training
ENDINGS = (".tflite", ".onnx", ".keras", ".h5", ".hdf5")
BLOCK = 4096  # examples that a function is asked about at a time


def make(progress: Progress, source: Any, stage: Training, folder: Path, facts: dict) -> None:
    """Train a family by `--train_command` or the user's own `make`; what came of it is kept."""
    train_command.check_unchanged(source)
    (folder / FILES).mkdir()
    if source.study.train_command:
        left = train_command.run(progress, source, stage.family)
        facts["files"] = _kept(left, folder / FILES, "the command")
        shutil.rmtree(left.parent, ignore_errors=True)
        return
    with stage_log.kept(stage_log.path(source.workdir.logs(), stage.title)):
        functions = _made(source, stage.family, folder / FILES)
        if functions is None:
            facts["files"] = _kept(folder / FILES, folder / FILES, source.study.code.name)
        else:
            shutil.rmtree(folder / FILES)
            facts["functions"] = _answers(progress, source, stage, functions, folder / ANSWERS)


def _made(source: Any, family: str, folder: Path) -> dict[str, Callable] | None:
    """What the user's `make` returns: functions by name, or None for files."""
    code, split = source.study.code, source.splits[family]
    seed = train_command.seed(source.study, family)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - users' code and scikit-learn draw from it
    maker = user_code.instance(code)
    with user_code.running(code):
        functions = maker.make(
            source.take(family, split.members),
            source.take(family, split.validation),
            folder,
            seed,
        )
    if functions is None:
        return None
    named = isinstance(functions, dict) and functions
    if not named or not all(isinstance(n, str) and callable(f) for n, f in functions.items()):
        raise ValueError(
            f"{code.path}:{code.name}: make returned {str(functions)[:80]}; return functions by "
            "name, such as {'original': f}, or nothing where it has written files."
        )
    return functions


def _kept(left: Path, folder: Path, who: str) -> dict[str, list[str]]:
    """Move the versions that are in `left` to `folder` and remove all else; files by version.

    Raises:
      ValueError: where there is none.
    """
    files: dict[str, list[str]] = {}
    entries = sorted(left.iterdir())
    for entry in entries:
        is_version = entry.is_file() and entry.suffix in ENDINGS and not entry.is_symlink()
        is_folder = (entry / "saved_model.pb").is_file() and not entry.is_symlink()
        if is_folder and any(path.is_symlink() for path in entry.rglob("*")):
            raise ValueError(f"{who} left links in {entry.name}; write the files themselves.")
        if is_version or is_folder:
            files.setdefault(entry.name if is_folder else entry.stem, []).append(entry.name)
            if entry.parent != folder:
                shutil.move(entry, folder / entry.name)
        elif left == folder:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    if not files:
        there = ", ".join(entry.name for entry in entries[:10])
        raise ValueError(
            f"{who} left no version in its folder ({there or 'nothing is there'}); write "
            "NAME.tflite, NAME.onnx, NAME.keras or a SavedModel folder NAME for every version."
        )
    return files


def _answers(
    progress: Progress, source: Any, stage: Training, functions: dict[str, Callable], folder: Path
) -> dict[str, dict[str, Any]]:
    """Ask every function about every example; what is known of each, "error" where it failed."""
    folder.mkdir()
    known = {}
    for number, (name, function) in enumerate(functions.items()):
        validators.version(f"{stage.title}: make returned a function called", name)

        def tell(done, total, number=number, name=name):
            progress(number * total + done, len(functions) * total, f"asking {name}")

        try:
            known[name] = _asked(source, stage.family, name, function, folder, tell)
        except ValueError as error:
            known[name] = {"error": str(error)}
    return known


def _asked(source: Any, family: str, name: str, function: Callable, folder: Path, tell) -> dict:
    code, everyone = source.study.code, source.in_splits

    def ask(rows: np.ndarray) -> np.ndarray:
        x = source.model_inputs(family, everyone[rows])
        with user_code.running(code):
            said = np.asarray(function(x))
        if said.ndim != 2 or len(said) != len(rows) or said.dtype.kind not in "fiu":
            raise ValueError(
                f"{code.path}:{code.name}: the function {name} returned {said.dtype} of shape "
                f"{list(said.shape)} for {len(rows)} examples; [examples, classes] is expected."
            )
        return np.float32(said)

    parts = []
    for start in range(0, len(everyone), BLOCK):
        parts.append(ask(np.arange(start, min(start + BLOCK, len(everyone)))))
        tell(start + len(parts[-1]), len(everyone))
    outputs = np.concatenate(parts)
    reading = read_as(outputs, 0.0, source.examples.classes)
    facts = asked_again(name, outputs, ask, source.study.seed, family, reading.step)
    np.save(folder / f"{name}.npy", reading.probabilities, allow_pickle=False)
    return {"output": reading.kind, "resolution": reading.step, **facts}


# One version --------------------------------------------------------------------------------------


def take(source: Any, stage: VersionFile, folder: Path, facts: dict) -> None:
    """Put one version of a family in the folder of its stage.

    Raises:
      ValueError: in one line, where the family has none of that name, or it failed there.
    """
    made = Training(stage.family).stage(source)
    known, root = made.facts(), made.folder()
    if "functions" in known:
        _take_answers(known["functions"], root / ANSWERS, stage.version, folder, facts)
        return
    names = known["files"].get(stage.version, [])
    if len(names) != 1:
        raise ValueError(_which(stage.version, names, known["files"], "left"))
    path = root / FILES / names[0]
    content = model_files.content(str(path))
    file = "model" if path.is_dir() else f"model{path.suffix}"
    (shutil.copytree if path.is_dir() else shutil.copyfile)(path, folder / file)
    facts |= {"file": file, "bytes": content["bytes"], "gzip_bytes": content["gzip_bytes"]}


def _take_answers(functions: dict, root: Path, name: str, folder: Path, facts: dict) -> None:
    if name not in functions:
        raise ValueError(_which(name, [], functions, "returned"))
    if "error" in functions[name]:
        raise ValueError(functions[name]["error"])
    shutil.copyfile(root / f"{name}.npy", folder / "answers.npy")
    facts |= {"bytes": 0, "gzip_bytes": 0, "function": functions[name]}


def _which(name: str, several: Sequence[str], there: dict, done: str) -> str:
    """Why there is not one version of that name."""
    if several:
        return f"several files of version {name}: {', '.join(several)}; write one of them."
    try:
        validators.choice(f"it is missing in what the family's code {done}", name, there)
    except ValueError as error:
        return str(error)
    return ""
