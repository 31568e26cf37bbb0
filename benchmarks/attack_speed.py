"""How long does each attack take, how much memory, and how does it grow with the examples?

    python benchmarks/attack_speed.py [--attacks=NAME,...] [--write]

Synthetic observations of the target and a shadow (two for LiRA), with a planted leak, through nine
versions. An attack gets the largest release of its tier: one version (NR), two (SR), all nine (MR).
Each fit and score is the second of its kind in the process: the first builds and traces the
networks. `strongest` is what combining many attacks adds to these, not their own time. Memory is
what Python objects and arrays add at their peak (tracemalloc, in a run of its own; what TensorFlow
holds is not seen by it). The last table grows some from 10^4 to 10^6 examples.
"""

import dataclasses
import os
import time
import tracemalloc

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl import app, flags
from results import write_section

from tf_compleak import attacks
from tf_compleak.attacks import super_learner
from tf_compleak.inference.observe import softmax
from tf_compleak.leakage import crossfit
from tf_compleak.types.observations import Observations

FLAGS = flags.FLAGS
flags.DEFINE_integer("examples", 20_000, "shadow examples, and as many of the target")
flags.DEFINE_multi_integer("classes", [10, 100], "numbers of classes")
flags.DEFINE_list("attacks", [], "attacks to time; none: all of ATTACKS")
flags.DEFINE_list("skip", ["samia"], "attacks to leave out (samia: see samia_pytorch.py)")
flags.DEFINE_integer("largest", 1_000_000, "examples of the last growth step; 0: no growth table")
flags.DEFINE_boolean("table", True, "time every attack; --notable: only the growth")
flags.DEFINE_boolean("write", False, "write the tables into benchmarks/README.md")

VERSIONS = (
    *("original", "pruning-0.60", "pruning-0.70", "pruning-0.80", "pruning-0.90"),
    *("clustering-4", "clustering-8", "clustering-16", "int8-qat"),
)
PARTS = ("confidence", "loss", "modified-entropy", "nasr-lr")  # of strongest, on every version
RELEASES = {"NR": VERSIONS[:1], "SR": VERSIONS[:2], "MR": VERSIONS}
GROWING = (
    *("confidence", "loss", "entropy", "modified-entropy", "modified-entropy-global"),
    *("nasr-lr", "tabular"),
)


def family(seed: int, examples: int, classes: int, versions=VERSIONS, aside: int = 0):
    """A family whose members' logit of the right class is higher by one.

    All families are of one pool, each with a random half of it, and `aside` examples beside it.
    """
    part = _part(seed, 0, examples, classes, versions)
    if not aside:
        return part
    beside = _part(seed, examples, examples + aside, classes, versions)
    outside = dataclasses.replace(beside, members=np.zeros(aside, bool), sensitivities=None)
    return dataclasses.replace(part, aside=outside)


def apart(examples: int, classes: int) -> list[Observations]:
    """A target and a shadow with data of their own, each asked about the other's, as in a run."""
    parts = [
        [_part(seed, start, start + examples, classes, VERSIONS) for start in (0, examples)]
        for seed in (1, 2)
    ]
    (target, beside_target), (beside_shadow, shadow) = parts
    none = np.zeros(examples, bool)
    target, shadow = (
        dataclasses.replace(own, aside=dataclasses.replace(other, members=none, sensitivities=None))
        for own, other in ((target, beside_target), (shadow, beside_shadow))
    )
    return [target, shadow.with_answers_of(target)]


def _part(seed: int, start: int, end: int, classes: int, versions) -> Observations:
    rng, examples = np.random.default_rng([seed, start]), end - start
    members = rng.permutation(examples) < examples // 2
    labels = np.random.default_rng([classes, start]).integers(classes, size=examples)
    common = 1.5 * rng.standard_normal((examples, classes), np.float32)
    common[np.arange(examples), labels] += 3 + members
    noise = (0.5 * rng.standard_normal(common.shape, np.float32) for _ in versions)
    probabilities = np.stack([softmax(common + part) for part in noise])
    return Observations(
        tuple(versions),
        probabilities,
        labels,
        members,
        np.arange(start, end),
        sensitivities=probabilities * (1 - probabilities),
    )


def timed(name: str, shadows: list[Observations], target: Observations) -> tuple[float, float]:
    """Seconds of fit and score."""
    start = time.perf_counter()
    fitted = attacks.load(name).fit(shadows, seed=0)
    middle = time.perf_counter()
    fitted.score(target)
    return middle - start, time.perf_counter() - middle


def peak(name: str, shadows: list[Observations], target: Observations) -> float:
    """MiB that fit and score add at their peak."""
    tracemalloc.start()
    timed(name, shadows, target)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 2**20


def row(name: str, families: list[Observations]) -> str:
    """One line of the table: shadows, fit, score, memory, or why there are none."""
    entry = attacks.ATTACKS[name]
    release, count = RELEASES[entry.tiers[-1]], entry.least_shadows
    target, *shadows = (each.select(release) for each in families[: count + 1])
    target = target.hidden()
    head = f"| {name} | {target.classes} | {count} |"
    few = np.arange(len(target)) < 2000
    try:
        timed(name, [shadow.take(few) for shadow in shadows], target.take(few))  # builds, traces
        memory = peak(name, shadows, target)
        fit, score = timed(name, shadows, target)
    except (ValueError, ImportError) as error:
        return f"{head} left out: {error} | | |"
    return f"{head} {fit:.3f} | {score:.3f} | {memory:,.0f} |"


def strongest_row(families: list[Observations]) -> str:
    """The line of the strongest attacker: what its weights and sums take, given its parts."""
    target, shadow = families[:2]
    keys = [(name, (version,)) for name in PARTS for version in VERSIONS]
    held_out, values = [], []
    for name, release in [*keys, ("tabular", VERSIONS)]:
        attack, own = attacks.load(name), shadow.select(release)
        fitted = attack.fit([own], seed=0)
        held_out.append(crossfit.held_out(fitted, attack, [own], 0))
        values.append(fitted.score(target.select(release).hidden()))
    held_out, values = np.stack(held_out), np.stack(values)
    start = time.perf_counter()
    combination = super_learner.combine(held_out, shadow.members, shadow.ids, 0)
    middle = time.perf_counter()
    combination.score(values)
    fit, score = middle - start, time.perf_counter() - middle
    return f"| strongest, of {len(values)} | {target.classes} | 1 | {fit:.3f} | {score:.3f} | |"


def growth() -> list[str]:
    """Lines of the growth table: seconds of fit and score together, every step ten times larger."""
    sizes = [10**power for power in range(4, 9) if 10**power <= FLAGS.largest]
    lines = ["| attack, 10 classes | " + " | ".join(f"{size:,}" for size in sizes) + " |"]
    lines.append("|---|" + "---|" * len(sizes))
    seconds = {name: [] for name in GROWING}
    shadow, target = (family(seed, 2000, 10, VERSIONS[:1]) for seed in (1, 2))
    for name in GROWING:
        timed(name, [shadow], target.hidden())  # loads the libraries
    for size in sizes:
        shadow, target = (family(seed, size, 10, VERSIONS[:1]) for seed in (1, 2))
        for name, cells in seconds.items():
            cells.append(f"{sum(timed(name, [shadow], target.hidden())):.3f}")
    return [*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in seconds.items())]


def table() -> str:
    """The table of all attacks, printed as it grows."""
    lines = ["| attack | classes | shadows | fit, s | score, s | peak, MiB |"]
    lines.append("|---|---|---|---|---|---|")
    names = [name for name in FLAGS.attacks or attacks.ATTACKS if name not in FLAGS.skip]
    for classes in FLAGS.classes:
        count = FLAGS.examples
        families = [family(seed, count, classes, aside=count) for seed in (1, 2, 3)]
        disjoint = apart(count, classes)
        for name in names:
            entry = attacks.ATTACKS[name]
            alone = "aside" in entry.needs and entry.least_shadows == 1
            lines.append(row(name, disjoint if alone else families))
            print(lines[-1], flush=True)
        lines.append(strongest_row(families))
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main(_):
    """Measure, print as it goes, and write the tables if asked."""
    note = (
        f"{FLAGS.examples:,} examples of the target and of each shadow, and as many aside "
        "(population); nine versions. SAMIA takes minutes: see `samia_pytorch.py`."
    )
    sections = {}
    if FLAGS.table:
        sections["attack_speed.py"] = f"{table()}\n\n{note}"
    if FLAGS.largest:
        sections["attack_speed.py, growth"] = "\n".join(growth())
        print(sections["attack_speed.py, growth"])
    for name, text in sections.items():
        if FLAGS.write:
            write_section(name, text)


if __name__ == "__main__":
    app.run(main)
