"""A study that takes seconds: few examples, few versions, attacks without networks."""

import json
import sys
from pathlib import Path

from tf_compleak.engine.workdir import Workdir

FLAGS = {
    "num_members": 60,
    "num_non_members": 60,
    "num_validation": 40,
    "num_population": 20,
    "depth": 3,
    "width": 4,
    "epochs": 2,
    "finetune_epochs": 1,
    "max_accuracy_drop": 1,
    "versions": "original,int8-ptq",
    "attacks": "loss,nasr-lr,sr2-lr",
}


def command(workdir, *flags, executor="inline"):
    """The command line of `tf-compleak run` on the tiny study; later flags win."""
    own = [f"--{name}={value}" for name, value in FLAGS.items()]
    where = [f"--workdir={workdir}", f"--executor={executor}"]
    return [sys.executable, "-m", "tf_compleak", "run", *own, *where, *flags]


def figures(workdir):
    """What a report says, without where and when it was made."""
    report = json.loads((workdir / "report.json").read_text())
    return {key: report[key] for key in ("versions", "results", "failures", "sanity")}


def events(workdir):
    """Every end of a task that the workdir's journal has, as (task, state)."""
    path = Path(Workdir(workdir).logs()) / "stages.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(event["task"], event["state"]) for event in map(json.loads, lines)]


def made(declared, source):
    """Make one stage here, as a worker would; its facts."""
    from tf_compleak.engine.declaration import perform

    perform(print, source.opener(), declared)
    return declared.stage(source).facts()
