"""How long does each attack take, how much memory, and how does it grow with the examples?

    python benchmarks/attack_speed.py [--attacks=NAME,...] [--write]

Synthetic observations of the target and a shadow (two for LiRA), with a planted leak, through nine
versions. An attack gets the largest release of its tier: one version (NR), two (SR), all nine (MR).
Each fit and score is the second of its kind in the process: the first builds and traces the
networks. Memory is what Python objects and arrays add at their peak (tracemalloc, in a run of its
own; what TensorFlow holds is not seen by it). The growth table goes from 10^4 to 10^6 examples.
`--beside` sets our forest, regression, splines and scaler beside scikit-learn's.
"""

import dataclasses
import functools
import itertools
import os
import time
import tracemalloc

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl import app, flags
from results import write_section
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from tf_compleak import attacks
from tf_compleak.attacks import features, forest, logistic, splines, tabular
from tf_compleak.inference.observe import softmax
from tf_compleak.metrics import roc
from tf_compleak.types.observations import Observations

FLAGS = flags.FLAGS
flags.DEFINE_integer("examples", 20_000, "shadow examples, and as many of the target")
flags.DEFINE_multi_integer("classes", [10, 100], "numbers of classes")
flags.DEFINE_list("attacks", [], "attacks to time; none: all of ATTACKS")
flags.DEFINE_list("skip", ["samia"], "attacks to leave out (samia: see samia_pytorch.py)")
flags.DEFINE_integer("largest", 1_000_000, "examples of the last growth step; 0: no growth table")
flags.DEFINE_boolean("table", True, "time every attack; --notable: only the growth")
flags.DEFINE_boolean("beside", False, "our forest, regression, splines, scaler and scikit-learn's")
flags.DEFINE_boolean("write", False, "write the tables into benchmarks/README.md")

VERSIONS = (
    *("original", "pruning-0.60", "pruning-0.70", "pruning-0.80", "pruning-0.90"),
    *("clustering-4", "clustering-8", "clustering-16", "int8-qat"),
)
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
        for name in names:
            lines.append(row(name, families))
            print(lines[-1], flush=True)
    return "\n".join(lines)


def folds(count: int) -> np.ndarray:
    """int[N], one of three folds for every example."""
    return np.random.default_rng(0).permutation(count) % 3


def forests(shadow: Observations, target: Observations) -> dict:
    """Fit, out-of-bag scores and scores of the target, on the table of nasr-rf."""
    fitted, asked = features.table(shadow), features.table(target)

    def ours():
        return forest.fit(fitted, shadow.members, 0)[0].log_odds(asked)

    def theirs(drawn):
        model = RandomForestClassifier(
            500, min_samples_leaf=30, max_samples=drawn, oob_score=True, random_state=0
        )
        return model.fit(fitted, shadow.members).predict_proba(asked)[:, 1]

    def boosting():
        model = HistGradientBoostingClassifier(max_leaf_nodes=15, early_stopping=False)
        cross_val_predict(model, fitted, shadow.members, cv=3, method="decision_function")
        return model.fit(fitted, shadow.members).decision_function(asked)

    return {
        "ours": ours,
        "RandomForestClassifier, max_samples a quarter": lambda: theirs(len(fitted) // 4),
        "RandomForestClassifier, all samples": lambda: theirs(None),
        "HistGradientBoostingClassifier and 3 folds": boosting,
    }


def regressions(fitted: np.ndarray, members: np.ndarray, asked: np.ndarray) -> dict:
    """Fit, held-out scores of three folds and scores of the target."""
    groups = folds(len(fitted))

    def ours():
        weights, _ = logistic.fit(fitted, members, groups)
        return logistic.margins(asked, weights[:-1]) + weights[-1]

    def theirs(solver):
        model = LogisticRegression(solver=solver, max_iter=1000)
        cv = PredefinedSplit(groups)
        cross_val_predict(model, fitted, members, cv=cv, method="decision_function")
        return model.fit(fitted, members).decision_function(asked)

    return {
        "ours": ours,
        "LogisticRegression, lbfgs": lambda: theirs("lbfgs"),
        "LogisticRegression, newton-cholesky": lambda: theirs("newton-cholesky"),
    }


def scalers(shadow: Observations, target: Observations) -> dict:
    """Means, deviations and standardized tables of nasr-lr; the AUC is that of the last column."""
    fitted, asked = features.table(shadow), features.table(target)

    def ours():
        scaler = features.Scaler.of(fitted)
        return scaler(fitted), scaler(asked)

    def theirs():
        scaler = StandardScaler()
        return scaler.fit_transform(fitted), scaler.transform(asked)

    return {"ours": ours, "StandardScaler": theirs}


def bases(numbers: np.ndarray, asked: np.ndarray) -> dict:
    """Splines of the numbers of the tabular attack, standardized, of the shadow and the target."""

    def ours():
        basis, spread = splines.fit(numbers)
        return spread, basis.table(asked)

    def theirs(knots):
        basis = make_pipeline(
            SplineTransformer(knots, knots="quantile", extrapolation="linear", include_bias=False),
            StandardScaler(),
        )
        return np.float32(basis.fit_transform(numbers)), np.float32(basis.transform(asked))

    return {
        "ours": ours,
        **{f"SplineTransformer, {k} knots": functools.partial(theirs, k) for k in (3, 4, 6)},
    }


def area(result, shadow: Observations, target: Observations) -> float:
    """AUC of scores, or of our regression on tables of the shadow and the target."""
    if isinstance(result, tuple):
        first, second = (
            np.column_stack([table, tabular.one_hot(part)])
            for table, part in zip(result, (shadow, target), strict=True)
        )
        weights, _ = logistic.fit(first, shadow.members, folds(len(first)))
        result = logistic.margins(second, weights[:-1]) + weights[-1]
    return roc.auc(result, target.members)


def beside() -> str:
    """Seconds of CPU, one thread, the least of three turns (one above 3 s), of ours and scikit-learn's."""
    lines = [
        "| what | n, columns | whose | seconds | theirs / ours | AUC |",
        "|---|---|---|---|---|---|",
    ]
    for classes, versions in itertools.product(FLAGS.classes, (VERSIONS[:1], VERSIONS)):
        shadow, target = (family(seed, FLAGS.examples, classes, versions) for seed in (1, 2))
        numbers = [
            np.concatenate([tabular.own(part), tabular.joint(part)]).T for part in (shadow, target)
        ]
        basis, spread = splines.fit(numbers[0])
        spreads = [
            np.column_stack([table, tabular.one_hot(part)])
            for table, part in ((spread, shadow), (basis.table(numbers[1]), target))
        ]
        tables = {
            "splines": (numbers[0].shape[1], bases(*numbers)),
            "regression, tabular": (
                spreads[0].shape[1],
                regressions(spreads[0], shadow.members, spreads[1]),
            ),
        }
        if len(versions) == 1:
            width = 2 * classes
            pair = scalers(shadow, target)
            rows = pair["ours"]()
            tables["scaler"] = (width, pair)
            tables["regression, nasr-lr"] = (width, regressions(rows[0], shadow.members, rows[1]))
            tables["forest"] = (width, forests(shadow, target))
        for name, (width, methods) in tables.items():
            least = dict.fromkeys(methods, np.inf)
            results = {}
            for _, (whose, method) in itertools.product(range(3), methods.items()):
                if np.isfinite(least[whose]) and least[whose] > 3:
                    continue  # once is enough
                start = time.process_time()
                results[whose] = method()
                least[whose] = min(least[whose], time.process_time() - start)
            for whose, seconds in least.items():
                ratio = seconds / least["ours"]
                auc = area(results[whose], shadow, target)
                size = f"{FLAGS.examples:,} x {width}, C = {classes}"
                lines.append(
                    f"| {name} | {size} | {whose} | {seconds:.3f} | {ratio:.1f} | {auc:.4f} |"
                )
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
    if FLAGS.beside:
        with threadpool_limits(1):
            sections["attack_speed.py, beside scikit-learn"] = beside()
    for name, text in sections.items():
        if FLAGS.write:
            write_section(name, text)


if __name__ == "__main__":
    app.run(main)
