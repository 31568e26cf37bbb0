"""`--train_command`: any program that trains a family and leaves its versions in a folder.

What stands in braces is filled in: {members}, {validation} (files that it is given), {folder}
(where it leaves the versions), {seed}, {family} ("target", "shadow-0", ...), and {gpu}, a number:
families take turns. The command is no line of a shell: for pipes and the like write `sh -c '...'`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak.engine import bounded_reads, commands, file_store, stage_log
from tf_compleak.engine.workdir import Workdir
from tf_compleak.studies import own_family
from tf_compleak.studies.study import Study
from tf_compleak.types import seeds
from tf_compleak.types.progress import Progress

HASHED = 2**24  # bytes of a file that the command names, up to which its content counts


def given(root: str, family: str) -> Path:
    """The folder, on this machine, of what a family's command is given, and where it writes."""
    workdir = Workdir(root)
    local = file_store.is_local(workdir.root)
    base = Path(workdir.root) / "families" if local else Path(workdir.logs()) / "families"
    return (base / family / "command").absolute()


def filled(study: Study, root: str, family: str) -> list[str]:
    """The command of a family, word by word."""
    folder, ending = given(root, family), "txt" if study.examples == "ids" else "npz"
    values = {
        "members": str(folder / f"members.{ending}"),
        "validation": str(folder / f"validation.{ending}"),
        "folder": str(folder / "versions"),
        "seed": str(seed(study, family)),
        "family": family,
    }
    split = own_family.words(study.train_command)
    if any("{gpu}" in word for word in split):
        numbers = gpus()
        values["gpu"] = numbers[study.families.index(family) % len(numbers)]
    return [own_family.PLACE.sub(lambda match: values[match[1]], word) for word in split]


def seed(study: Study, family: str) -> int:
    """Of a family's training."""
    return int(seeds.generator(study.seed, "train", family).integers(2**31))


def gpus() -> list[str]:
    """The numbers of the GPUs that this process may use; ValueError where there are none."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        numbers = [name for name in visible.split(",") if name not in ("", "-1")]
    else:
        devices = [re.fullmatch(r"nvidia(\d+)", entry.name) for entry in Path("/dev").iterdir()]
        numbers = sorted((match[1] for match in devices if match), key=int)
    if not numbers:
        raise ValueError("--train_command: {gpu} is in it, but no GPU was found; leave it out.")
    return numbers


def own_code(study: Study) -> str:
    """The user's own code as it is now, as JSON; "" where there is none.

    That is a class and the digest of its file; or a command, the form of the examples that it is
    given, and the digests of the files that it names.
    """
    if study.train_command:
        return json.dumps({"command": identity(study)}, sort_keys=True)
    if code := study.code:
        return json.dumps({"code": {"name": code.name, "sha256": code.sha256}})
    return ""


def check_unchanged(source: Any) -> None:
    """ValueError where the own code of a `Source` is not what it was when its study began."""
    if own_code(source.study) != source.own_code:
        what = source.study.family or source.study.train_command
        raise ValueError(
            f"{what}: a file of it has changed since this run began; give the same command again."
        )


def identity(study: Study) -> dict[str, Any]:
    """What a training by command depends on."""
    named = [Path(word).expanduser() for word in own_family.words(study.train_command)]
    files = {str(path): _digest(path) for path in named if path.is_file()}
    return {"command": study.train_command, "examples": study.examples, "files": files}


def _digest(path: Path) -> str:
    state = os.stat(path)
    if state.st_size > HASHED:
        return f"{state.st_size} bytes of {state.st_mtime_ns}"
    return _digest_as_it_is(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=256)
def _digest_as_it_is(path: Path, modified: int, size: int) -> str:
    return hashlib.sha256(bounded_reads.content(path, HASHED)).hexdigest()


def run(progress: Progress, source: Any, family: str) -> Path:
    """Run the command of a family of a `Source`; the folder in which it has left its versions.

    Raises:
      ValueError: in one line, when it fails; what it was given stays, so that it can be repeated.
    """
    study, folder = source.study, given(source.root, family)
    shutil.rmtree(folder, ignore_errors=True)
    versions = folder / "versions"
    versions.mkdir(parents=True)
    split = source.splits[family]
    for name, indices in (("members", split.members), ("validation", split.validation)):
        if study.examples == "ids":
            ids = source.examples.ids[indices].tolist()
            (folder / f"{name}.txt").write_text("".join(f"{id_}\n" for id_ in ids), "utf-8")
        else:
            x, y = source.take(family, indices)
            np.savez(folder / f"{name}.npz", x=x, y=y)
    log = stage_log.path(source.workdir.logs(), f"train {family}")
    try:
        commands.run(filled(study, source.root, family), log, study.time_limit, progress)
    except BaseException:
        shutil.rmtree(versions, ignore_errors=True)
        raise
    return versions
