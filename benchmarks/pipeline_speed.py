"""What do shared graphs, shared trainings and workers save, and does memory grow with the study?

    python benchmarks/pipeline_speed.py [--parts=speed,memory] [--write]

Speed, in one run: (b) the quickstart as shipped, with two workers and with one; (a) the same study
with everything done separately in one process: the original trained anew for every version, and
every graph traced anew for every version, family and attack. Then the share of each kind of task,
and a simulated schedule of the same tasks with the measured seconds, beside the measured wall time.

Memory: the peak resident set of studies with more versions and more shadows, each in a process.
"""

import collections
import dataclasses
import gc
import json
import os
import shutil
import sys
import tempfile
import time

import schedule
from absl import app, flags
from results import write_section
from studies import ends, kind, quickstart, shipped, usable

FLAGS = flags.FLAGS
flags.DEFINE_list("parts", ["speed", "memory"], "which of speed, memory")
flags.DEFINE_boolean("write", False, "write the tables into benchmarks/README.md")

KINDS = ("original", "pruning-0.60", "clustering-8", "int8-qat", "int8-ptq")
MANY = (
    *(f"pruning-0.{i}" for i in range(50, 68)),
    *("original", "clustering-8", "clustering-16", "int8-qat", "int8-ptq", "float16-ptq"),
)
CLUSTERED = (*KINDS, *(f"clustering-{clusters}" for clusters in (2, 3, 4, 5, 6, 7, 9, 10, 12)))
NR = {"attacks": ("modified-entropy", "nasr-lr")}
MEMORY = [
    ("5 versions, one shadow", {"versions": KINDS}),
    ("5 versions, NR attacks alone", {"versions": KINDS, **NR}),
    ("24 versions (18 sparsities), NR attacks alone", {"versions": MANY, **NR}),
    ("14 versions (10 clusterings), NR attacks alone", {"versions": CLUSTERED, **NR}),
    ("24 versions, one shadow", {"versions": MANY}),
    ("5 versions, 8 shadows", {"versions": KINDS, "num_shadows": 8, "num_members": 80}),
    ("5 versions, one shadow, as many examples", {"versions": KINDS, "num_members": 80}),
]
NOTE = """
A process keeps the latest graph of every kind, and more up to a bound (192 MiB, `graph_cache.py`),
whatever the number of versions. What grows with the versions is an attack on all of them: `tabular`
on 24 holds Hessians 900 wide.
"""
ONE = """
import json, sys
from tf_compleak.studies.run import pipeline
from tf_compleak.studies.options import Options
from tf_compleak.studies.study import Study
study = Study.from_json(json.loads(sys.argv[1]))
pipeline.run(study, Options(workdir=sys.argv[2], executor="inline"))
"""


def forget() -> None:
    """Drop every traced graph and every model that the library keeps."""
    parts = tuple(f"tf_compleak.{part}" for part in ("models", "compression", "attacks"))
    for name, module in list(sys.modules.items()):
        if name.startswith(parts):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
    from tf_compleak.models.keras2 import keras

    keras.backend.clear_session()
    gc.collect()


def separately(study, made: str, root: str) -> dict[str, float]:
    """Seconds by part of the study done piece by piece; `made` holds a finished one."""
    from tf_compleak.engine.processes import Inline
    from tf_compleak.leakage.question_stages import scored
    from tf_compleak.studies.options import Options
    from tf_compleak.studies.run import pipeline, run_stages
    from tf_compleak.studies.run.source import Source

    Inline(study.threads)  # the settings of a worker
    seconds = collections.Counter()
    for name in study.versions:
        for family in study.families:
            where = f"{root}/{family}-{name}"
            shutil.copytree(f"{made}/data", f"{where}/data")
            source = Source(dataclasses.replace(study, versions=(name,)), where)
            seconds["train"] += timed(run_stages.Training(family), source)
            for declared in (run_stages.VersionFile, run_stages.Observation):
                seconds["versions"] += timed(declared(family, name), source)
    whole = f"{root}/whole"
    shutil.copytree(made, whole)
    shutil.rmtree(f"{whole}/attacks")
    source = Source(study, whole)
    for declared in scored(study.plan(usable(made))):
        seconds["attacks"] += timed(declared, source)
    started = time.perf_counter()
    pipeline.run(study, Options(workdir=whole, executor="inline"))
    seconds["figures"] = time.perf_counter() - started
    return dict(seconds)


def timed(declared, source) -> float:
    """Seconds of one stage, done here with nothing traced before."""
    from tf_compleak.engine.tasks import call

    forget()
    started = time.perf_counter()
    outcome = call(declared.task(source, ()), lambda *_: None)
    if outcome.error:
        raise RuntimeError(f"{declared.title}: {outcome.error}")
    return time.perf_counter() - started


def shares(root: str) -> str:
    """A table of the seconds that tasks took, by kind."""
    seconds, count = collections.Counter(), collections.Counter()
    for task, took in ends(root).items():
        seconds[kind(task)] += took
        count[kind(task)] += 1
    rows = [
        f"| {name} | {count[name]} | {took:.1f} | {took / seconds.total():.0%} |"
        for name, took in seconds.most_common()
    ]
    return "\n".join(["| part | tasks | worker seconds | share |", "|---|---|---|---|", *rows])


def simulated(study, root: str, workers: int) -> float:
    """The makespan of the run's own tasks, each as long as it was, on simulated workers."""
    took = ends(root)
    phases = schedule.phases(study, usable(root))
    return schedule.simulate(phases, workers, lambda task, _: took[task.name])[0]


def speed() -> None:
    """Part (a) and part (b)."""
    study = quickstart()
    with tempfile.TemporaryDirectory() as root:
        two = shipped(study, f"{root}/two", 2)
        one = shipped(study, f"{root}/one", 1)
        apart = separately(study, f"{root}/two", f"{root}/apart")
        again = shipped(study, f"{root}/again", 2)
        table, planned = shares(f"{root}/two"), simulated(study, f"{root}/two", 2)
        tasks_end = sum(ends(f"{root}/two").values())
    both = (two + again) / 2
    whole = sum(apart.values())
    parts = ", ".join(f"{name} {seconds:.0f}" for name, seconds in apart.items())
    text = f"""\
| the quickstart | seconds | share of (a) |
|---|---|---|
| (a) separately, traced anew each time, one process | {whole:.1f} | 100% |
| (b) as shipped, two workers | {both:.1f} ({two:.1f}, {again:.1f}) | {both / whole:.0%} |
| (b) as shipped, one worker | {one:.1f} | {one / whole:.0%} |

(a) in seconds: {parts}. Efficiency of two workers over one: {one / (2 * both):.0%}. The simulated
schedule of (b)'s own tasks on two workers: {planned:.1f} s for {tasks_end:.1f} s of work; the wall
time has start-up, data and figures besides.

{table}"""
    print(text)
    if FLAGS.write:
        write_section("pipeline_speed.py", text)


def peak(study, root: str) -> float:
    """Peak resident MiB of a process that runs a study inline."""
    arguments = [sys.executable, "-c", ONE, json.dumps(study.to_json()), root]
    silent = os.open(os.devnull, os.O_WRONLY)
    actions = [(os.POSIX_SPAWN_DUP2, silent, 1), (os.POSIX_SPAWN_DUP2, silent, 2)]
    child = os.posix_spawn(sys.executable, arguments, os.environ, file_actions=actions)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"{root}: the study ended with status {status}")
    return usage.ru_maxrss / 1024


def memory() -> None:
    """The peak of each study of `MEMORY`."""
    small = dataclasses.replace(
        quickstart(),
        **{"epochs": 2, "finetune_epochs": 1, "max_accuracy_drop": 1.0, "num_population": 0},
        **{"num_members": 350, "attacks": ("modified-entropy", "nasr-lr", "tabular")},
        **{"num_non_members": 80, "num_validation": 80, "releases": ()},
    )
    lines = ["| study, in one process | peak, MiB |", "|---|---|"]
    with tempfile.TemporaryDirectory() as root:
        for index, (name, changes) in enumerate(MEMORY):
            used = peak(dataclasses.replace(small, **changes), f"{root}/{index}")
            lines.append(f"| {name} | {used:.0f} |")
            print(lines[-1], flush=True)
    if FLAGS.write:
        write_section("pipeline_speed.py: memory", "\n".join([*lines, NOTE]))


def main(_) -> None:
    """Measure the parts that are asked for."""
    for part in FLAGS.parts:
        {"speed": speed, "memory": memory}[part]()


if __name__ == "__main__":
    app.run(main)
