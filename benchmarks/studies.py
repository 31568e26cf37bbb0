"""What several benchmarks share: studies of the digits, and what its journal says of its tasks."""

import json
import time
from pathlib import Path

FLAGS = Path(__file__).parents[1] / "flags"


def quickstart():
    """The shipped study."""
    return _study("quickstart")


def digits():
    """Every kind of version and the paper's attacks, on one shadow with data of its own."""
    return _study("digits")


def data_name(dataset: str) -> str:
    """What a --dataset is called in tables: the file's or data set's name, without its kind."""
    kind, _, rest = dataset.partition(":")
    return rest if kind == "tfds" else Path(rest or kind).name.removesuffix(".npz")


def _study(name: str):
    from tf_compleak.cli import main as cli
    from tf_compleak.studies.study import Study

    return Study(**cli._settings(Study, cli._parse("run", [f"--flagfile={FLAGS / name}.cfg"])))


def shipped(study, root: str, workers: int) -> float:
    """Seconds of the study as it is run, figures included."""
    from tf_compleak.studies.options import Options
    from tf_compleak.studies.run import pipeline

    started = time.perf_counter()
    pipeline.run(study, Options(workdir=root, workers=workers))
    return time.perf_counter() - started


def ends(root: str) -> dict[str, float]:
    """Seconds of every task of a finished run, by name, as its journal says."""
    lines = (Path(root) / "logs" / "stages.jsonl").read_text().splitlines()
    return {event["task"]: event["seconds"] for event in map(json.loads, lines)}


def kind(task: str) -> str:
    """The part of the pipeline that a task belongs to."""
    first = task.split()[0]
    if first in ("data", "train"):
        return first
    for name in ("pruning", "clustering", "int8-qat"):
        if first.startswith(name):
            return f"versions: {name}"
    if first in ("original", "int8-ptq", "dynamic-ptq", "float16-ptq"):
        return "versions: original and post-training"
    return f"attack: {first}" if first not in ("null", "blind") else "sanity runs"


def usable(root: str) -> tuple[str, ...]:
    """The versions of a finished run that did not fail."""
    report = json.loads((Path(root) / "report.json").read_text())
    return tuple(each["name"] for each in report["versions"] if each["status"] == "ok")
