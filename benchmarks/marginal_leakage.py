"""How long does it take to say what each version adds?

    python benchmarks/marginal_leakage.py [--versions=8] [--examples=10000] [--write]

Synthetic observations, ten classes, every version with some noise of its own. Singles, pairs with
the original and the greedy order, with a shadow and cross-fitted; beside it the same subsets by the
public `tabular` attack, each fitted from nothing, in the same run.
"""

import time

import numpy as np
from absl import app, flags
from results import write_section

from tf_compleak import attacks
from tf_compleak.inference.observe import softmax
from tf_compleak.leakage import crossfit, marginal
from tf_compleak.metrics import grammar
from tf_compleak.types import Version
from tf_compleak.types.observations import Observations

FLAGS = flags.FLAGS
flags.DEFINE_integer("versions", 8, "versions, the original among them")
flags.DEFINE_integer("examples", 10_000, "examples, half of them members")
flags.DEFINE_boolean("write", False, "write the table into benchmarks/README.md")


def family(seed: int, names: list[str], examples: int, classes: int = 10) -> Observations:
    """A family whose members' logit of the right class is higher by one."""
    rng = np.random.default_rng(seed)
    labels, members = rng.integers(classes, size=examples), rng.permutation(examples) * 2 < examples
    common = rng.standard_normal((examples, classes))
    common[np.arange(examples), labels] += 2 + members
    rows = [softmax(common + 0.5 * rng.standard_normal(common.shape)) for _ in names]
    return Observations.from_arrays(np.stack(rows), labels, members, versions=names)


def naive(target: Observations, shadows: list[Observations], releases: list) -> float:
    """Seconds of the public attack on some of the subsets, scaled up to all of them."""
    folds = crossfit.folds_of(target.members, 5, np.random.default_rng(0))
    started = time.perf_counter()
    for release in releases:
        chosen = target.select(release)
        if shadows:
            fitted = attacks.attacks.load("tabular").fit(
                [s.select(release) for s in shadows], seed=0
            )
            fitted.score(chosen.hidden())
        else:
            crossfit.cross_fitted(lambda *_: None, chosen, folds, attacks.load("tabular"), 0)
    return time.perf_counter() - started


def main(_) -> None:
    names = ["original", *(f"version-{i}" for i in range(1, FLAGS.versions))]
    target, shadow = (family(seed, names, FLAGS.examples) for seed in (0, 1))
    facts = [Version(name, name, "") for name in names]
    order = [names[:size] for size in range(1, len(names) + 1)]  # sizes as in the greedy order
    releases = [release for release in order for _ in range(len(names) - len(release) + 1)]
    lines = ["| fitted | subsets | seconds | naive / ours |", "|---|---|---|---|"]
    for title, shadows in (("on a shadow", [shadow]), ("cross-fitted, 5 folds", [])):
        started = time.perf_counter()
        marginal.marginal(target, shadows, metric=grammar.metric("auc", "metric"), versions=facts)
        seconds = time.perf_counter() - started
        ratio = naive(target, shadows, releases) / seconds
        lines.append(f"| {title} | {len(releases)} | {seconds:.1f} | {ratio:.1f} |")
    note = f"{FLAGS.versions} versions, {FLAGS.examples:,} examples, ten classes."
    print("\n".join([*lines, "", note]))
    if FLAGS.write:
        write_section("marginal_leakage", "\n".join([*lines, "", note]))


if __name__ == "__main__":
    app.run(main)
