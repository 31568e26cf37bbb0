"""What would the quickstart take if only arithmetic were paid for, and where does the rest go?

    python benchmarks/pipeline_limit.py [--workers=2] [--write]

Runs the shipped quickstart in a temporary folder, then does the same arithmetic here, in one warm
process with one thread, and adds it up: every family's steps of SGD on the plain model (also for
the versions that are fine-tuned, whose graphs hold more), the converter's runs, set_tensor, invoke,
get_tensor on batches that are ready, every attack, baseline and null run on observations in
memory, and the rows of the report. Not in it: starting processes, importing TensorFlow, tracing,
validation, files, and the page. Both sides are CPU seconds, which other work on the machine does
not lengthen much; wall times are given beside them.
"""

import collections
import functools
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import app, flags
from results import write_section
from studies import FLAGS as FLAGFILES
from studies import ends, kind, quickstart, usable

FLAGS = flags.FLAGS
flags.DEFINE_integer("workers", 2, "processes of the study")
flags.DEFINE_boolean("write", False, "write the table into benchmarks/README.md")

PARTS = ("train", "versions", "ask", "attacks and checks", "report")


def part(task: str) -> str:
    """The row of the table that a task belongs to."""
    name = kind(task)
    if name in ("train", "data"):
        return name
    if name.startswith("versions"):
        return "versions"
    if task.split()[0] in ("ask", "aside", "augmented", "sensitivities"):
        return "ask"
    return "membership" if task.startswith("membership") else "attacks and checks"


def used(who: int) -> float:
    """CPU seconds of this process, or of the children that have ended."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def command(root: str) -> tuple[float, float]:
    """Wall and CPU seconds of the quickstart as a command, page and tables included."""
    words = ["-m", "tf_compleak", "run", f"--flagfile={FLAGFILES / 'quickstart.cfg'}"]
    words += [f"--workdir={root}", f"--workers={FLAGS.workers}"]
    before, started = used(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return time.monotonic() - started, used(resource.RUSAGE_CHILDREN) - before


class Spent(collections.Counter):
    """CPU seconds by part, of work that this process does once more when it is warm."""

    def add(self, name: str, work, *arguments, times: int = 1):
        """Do a piece of work twice and count the second, `times` over; what it gives."""
        work(*arguments)
        return self.once(name, work, *arguments, times=times)

    def once(self, name: str, work, *arguments, times: int = 1):
        """Do a piece of work and count it, `times` over; what it gives."""
        started = time.process_time()
        result = work(*arguments)
        self[name] += times * (time.process_time() - started)
        return result


def train(spent: Spent, source) -> None:
    """Steps of SGD on the plain model: of all families, and of what is fine-tuned from them."""
    from tf_compleak.models import training
    from tf_compleak.studies.run.architecture import spec
    from tf_compleak.studies.run.run_stages import VersionFile
    from tf_compleak.studies.run.stage_work import _optimization

    study, members = source.study, source.take("target", source.splits["target"].members)
    tuned = sum(len(VersionFile("target", name)._tuned()) for name in study.versions)
    for name, epochs, count in (
        ("train", study.epochs, 1),
        ("versions", study.finetune_epochs, tuned),
    ):
        optimization = _optimization(source, epochs, study.learning_rate)
        trainer = training._trainer(spec(source), optimization, study.augmentation, "none")

        def steps(trainer=trainer) -> None:
            for _ in trainer.epochs(*members, np.random.default_rng(0)):
                pass

        spent.add(name, steps, times=count * len(study.families))


def convert(spent: Spent, source) -> None:
    """The converter, once for every version of every family."""
    from tf_compleak.compression import recipes, tflite
    from tf_compleak.models import build
    from tf_compleak.studies.run.architecture import spec

    weights = build(spec(source)).get_weights()
    calibration = source.model_inputs("target", source.calibration("target"))
    for name in source.study.versions:
        recipe = recipes.parse(name)
        after = recipe if isinstance(recipe, recipes.PostTraining) else None
        export = functools.partial(tflite.export, spec(source), weights, after, calibration)
        spent.add("versions", export, times=len(source.study.families))


def ask(spent: Spent, source) -> None:
    """A bare loop over the examples that every file is asked."""
    from ai_edge_litert.interpreter import Interpreter

    from tf_compleak.studies.run.run_stages import VersionFile

    for family in source.study.families:
        split = source.splits[family]
        count = len(split.scored) + len(split.validation) + len(source.aside(family))
        for name in source.study.versions:
            file = VersionFile(family, name).stage(source).folder() / "model.tflite"
            interpreter = Interpreter(str(file), num_threads=1)
            detail = interpreter.get_input_details()[0]
            interpreter.resize_tensor_input(detail["index"], [64, *detail["shape"][1:]])
            interpreter.allocate_tensors()
            rows = np.zeros([64, *detail["shape"][1:]], detail["dtype"])

            def loop(interpreter=interpreter, index=detail["index"], rows=rows, count=count):
                for _ in range(0, count, 64):
                    interpreter.set_tensor(index, rows)
                    interpreter.invoke()
                    interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

            spent.add("ask", loop)


def attack(spent: Spent, source, root: str) -> None:
    """Every attack, baseline and null run, on observations that are in memory; then the rows."""
    from tf_compleak.leakage import investigation, report_rows, scoring
    from tf_compleak.leakage.question_stages import scored

    plan = source.study.plan(usable(root))
    stages, warm = scored(plan), set()
    source.observations = functools.cache(source.observations)
    scoring.read = functools.cache(scoring.read)
    with tempfile.TemporaryDirectory() as folder:
        for stage in stages:
            module, name = stage.work.split(":")
            work = getattr(importlib.import_module(module), name)
            do = functools.partial(work, lambda *_: None, source, stage, Path(folder), {})
            do() if stage.affinity else None  # observations, imports, graphs
            if type(stage) not in warm:
                do()
            warm.add(type(stage))
            spent.once("attacks and checks", do)
    pooled = investigation._pooled(plan, source)
    spent.once("report", report_rows.rows, pooled, source.study.seed)


def main(_):
    """Run, do the arithmetic again, print the table."""
    from tf_compleak.engine.processes import Inline
    from tf_compleak.studies.run.source import Source

    with tempfile.TemporaryDirectory() as root:
        wall, cpu = command(root)
        tasks, counts = collections.Counter(), collections.Counter()
        for task, seconds in ends(root).items():
            tasks[part(task)] += seconds
            counts[part(task)] += 1
        Inline(1)  # the settings of a worker
        spent, source = Spent(), Source(quickstart(), root)
        for work in (train, convert, ask):
            work(spent, source)
        attack(spent, source, root)
        measured = json.loads((Path(root) / "report.json").read_text())["provenance"]["seconds"]
    lines = ["| part | tasks | its tasks, s | arithmetic, CPU s |", "|---|---|---|---|"]
    for name in dict.fromkeys((*PARTS, *tasks)):
        took = f"{tasks[name]:.1f}" if name in tasks else ""
        lines.append(f"| {name} | {counts[name] or ''} | {took} | {spent[name]:.1f} |")
    limit = spent.total() / FLAGS.workers
    lines += [
        f"| all, CPU | | {cpu:.1f} | {spent.total():.1f} |",
        f"| on {FLAGS.workers} workers, wall | | {wall:.1f} | {limit:.1f} |",
    ]
    text = "\n".join(lines)
    print(text)
    note = (
        f"CPU over its limit: {cpu / spent.total():.2f}; wall over limit: {wall / limit:.2f} (the "
        f"study itself {measured / limit:.2f}; load of the machine {os.getloadavg()[0]:.1f}). "
        "Seconds of tasks are wall time on a worker. What lies between them and their arithmetic: "
        "TensorFlow's import in every worker, and tracing, in the first task of each kind; what "
        "tasks leave of the whole: starts, reading and writing files, figures, tables, page."
    )
    print(note)
    if FLAGS.write:
        write_section("pipeline_limit.py", f"{text}\n\n{note}")


if __name__ == "__main__":
    app.run(main)
