"""How does the cost grow with examples, versions, shadows and classes?

    python benchmarks/growth.py [--axes=examples,versions,shadows,classes] [--write]

CPU seconds of fit and score of attacks, and of a report's row (every figure with its interval), on
synthetic observations with a planted leak, while one of the four grows and the others stay. The
exponent is the slope of log seconds over log size by least squares over all sizes, with its
standard error: 1 is linear. Constants flatten it, so the exponent of the last step stands beside
it; there, caches that no longer hold the numbers steepen. Where the first is above 1.15 the table
says why.
"""

import collections
import dataclasses
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl import app, flags
from attack_speed import family
from results import write_section

from tf_compleak import attacks
from tf_compleak.leakage import report_rows
from tf_compleak.leakage.pooled_scores import Pooled

FLAGS = flags.FLAGS
flags.DEFINE_list("axes", ["examples", "versions", "shadows", "classes"], "what grows")
flags.DEFINE_integer("most", 1_000_000, "examples of the largest step")
flags.DEFINE_float("enough", 0.1, "seconds that a measurement goes on for, by repeating it")

ROW = "a report's row"
ALONE = ("modified-entropy", "nasr-lr", "tabular", "rmia", "base", "lira-offline")
LEAST = collections.Counter({"base": 2, "lira-offline": 2})  # shadows that were asked of no other
PAIRS = "every shadow plays the target against all others: K (K - 1) pairs"
EXPLAINED = {  # what is not linear, and why
    ("tabular", "versions"): "versions are fitted together: the Hessian has their square",
    **{(name, "shadows"): PAIRS for name in ("rmia", "base", "lira-offline", "lira-online")},
}


@dataclasses.dataclass(frozen=True)
class Axis:
    """What grows, over which sizes, beside what stays, and what is timed."""

    sizes: tuple[int, ...]
    names: tuple[str, ...]
    examples: int = 20_000
    versions: int = 1
    shadows: int = 2
    classes: int = 10

    def at(self, name: str, size: int) -> "Axis":
        """The same, with one of the four at this size."""
        return dataclasses.replace(self, **{name: size})


def axes() -> dict[str, Axis]:
    """The four."""
    sizes = tuple(10**power for power in range(3, 7) if 10**power <= FLAGS.most)
    all_versions = ("tabular", "calibrated", "base", "lira-offline")
    return {
        "examples": Axis(sizes, (*ALONE, ROW)),
        "versions": Axis((2, 4, 8, 16, 24), all_versions, examples=5_000),
        "shadows": Axis(
            (1, 2, 4, 8, 16), ("rmia", "base", "lira-offline", "lira-online", "tabular")
        ),
        "classes": Axis((2, 10, 100, 1000), ALONE, examples=5_000),
    }


def seconds(name: str, shadows: list, target) -> float:
    """CPU seconds of one fit and score, or of one row; the mean of as many as take `--enough`."""
    if name == ROW:
        scores = np.log(target.probabilities[0].max(axis=1))
        none = {"examples": None, "num_targets": 1, "num_shadows": 1}
        pooled = Pooled(scores, scores, target.members, **none)
        key = ("loss", ("original",))

        def work() -> None:
            report_rows.row(key, pooled, np.random.default_rng(0))
    else:

        def work() -> None:
            attacks.load(name).fit(shadows, seed=0).score(target.hidden())

    count, started = 0, time.process_time()
    while not count or time.process_time() - started < FLAGS.enough:
        work()
        count += 1
    return (time.process_time() - started) / count


def slope(sizes: np.ndarray, costs: np.ndarray) -> tuple[float, float]:
    """The exponent and its standard error."""
    x, y = np.log(sizes), np.log(costs)
    x = x - x.mean()
    exponent = x @ y / (x @ x)
    rest = y - y.mean() - exponent * x
    return exponent, np.sqrt(rest @ rest / (len(x) - 2) / (x @ x))


def grown(what: str, axis: Axis) -> list[str]:
    """Lines of the table: how every attack grows along one axis."""
    costs: dict[str, list[tuple[int, float]]] = {name: [] for name in axis.names}
    warm = [family(seed, 500, 10, ("original",), aside=500) for seed in range(3)]
    for name in costs:  # libraries are loaded
        seconds(name, warm[1:], warm[0])
    for size in axis.sizes:
        now = axis.at(what, size)
        names = ("original", *(f"pruning-0.{number:02}" for number in range(1, now.versions)))
        aside = min(now.examples, 1000)
        target, *shadows = (
            family(seed, now.examples, now.classes, names, aside=aside)
            for seed in range(now.shadows + 1)
        )
        for name in costs:
            if name == ROW or now.shadows >= max(attacks.ATTACKS[name].least_shadows, LEAST[name]):
                costs[name].append((size, seconds(name, shadows, target)))
                print(f"{what} {size:,}: {name} {costs[name][-1][1]:.4f} s", flush=True)
    return [line(what, name, *np.array(pairs).T) for name, pairs in costs.items()]


def line(what: str, name: str, sizes: np.ndarray, costs: np.ndarray) -> str:
    """Of the table: one attack along one axis."""
    exponent, error = slope(sizes, costs)
    last = np.log(costs[-1] / costs[-2]) / np.log(sizes[-1] / sizes[-2])
    why = EXPLAINED.get((name, what), "") if exponent > 1.15 else ""
    ends, taken = f"{sizes[0]:,.0f} to {sizes[-1]:,.0f}", f"{costs[0]:.4f} to {costs[-1]:.2f}"
    slopes = f"{exponent:.2f} ± {error:.2f} | {last:.2f}"
    return f"| {what}, {ends} | {name} | {taken} | {slopes} | {why} |"


def main(_):
    """Measure, print, and write the table if asked."""
    started, lines = time.process_time(), []
    for name, axis in axes().items():
        if name in FLAGS.axes:
            lines += grown(name, axis)
    head = [
        "| what grows | attack | CPU s | exponent | last step | not linear because |",
        "|---|---|---|---|---|",
    ]
    text = "\n".join([*head, *lines])
    print(text)
    note = (
        "The others stay at 20,000 examples (5,000 for versions and classes), one version, two "
        f"shadows, ten classes. {time.process_time() - started:.0f} CPU seconds."
    )
    print(note)
    if FLAGS.write:
        write_section("growth.py", f"{text}\n\n{note}")


if __name__ == "__main__":
    app.run(main)
