"""What does the full paper grid cost, on 1, 8 and 64 workers?

    python benchmarks/paper_grid.py --workdir=runs/digits [--write]

On paper: the multiply-accumulates of each architecture, times examples and epochs, over the rate
that training reaches on one thread here; fine-tuning costs what it costs beside plain training in
the run of `flags/digits.cfg` whose journal is read; attacks cost what they cost there, by example.
Each study's own task graph is then scheduled by the real rule on simulated workers.
"""

import dataclasses
import statistics
import time

import numpy as np
import schedule
from absl import app, flags
from results import write_section
from studies import digits, ends, shipped, usable

FLAGS = flags.FLAGS
flags.DEFINE_string("workdir", "", "a finished run of flags/digits.cfg; empty: it is run first")
flags.DEFINE_boolean("write", False, "write the table into benchmarks/README.md")

EPOCHS, FINETUNE = 100, 30
EXAMPLES, TOKENS = 10_000, 128  # members, and as many non-members
VERSIONS = (
    *("original", "pruning-0.60", "pruning-0.70", "pruning-0.80", "pruning-0.90"),
    *("clustering-4", "clustering-8", "clustering-16", "int8-qat", "int8-ptq"),
)
SIDES = {"cifar10": 32, "cifar100": 32, "tiny-imagenet": 64}
TEXTS = ("text 1", "text 2")
TRAINING = 3  # a step is one pass forward and two of the same size backward


def _conv(kernel: int, inputs: int, outputs: int, side: float) -> float:
    return kernel * kernel * inputs * outputs * side * side


def resnet(side: int, blocks: tuple[int, ...], bottleneck: bool) -> float:
    """Multiply-accumulates of a ResNet for small images (He et al., 2016), one image."""
    total, inputs = _conv(3, 3, 64, side), 64
    for stage, count in enumerate(blocks):
        width, out = 64 * 2**stage, 64 * 2**stage * (4 if bottleneck else 1)
        for block in range(count):
            before, side = side, side / 2 if stage and not block else side
            if bottleneck:
                total += _conv(1, inputs, width, before) + _conv(3, width, width, side)
                total += _conv(1, width, out, side)
            else:
                total += _conv(3, inputs, width, side) + _conv(3, width, out, side)
            total += _conv(1, inputs, out, side) if inputs != out else 0
            inputs = out
    return total


def vgg16(side: int) -> float:
    """The same of VGG16 (Simonyan & Zisserman, 2015), 13 convolutions."""
    total, inputs = 0.0, 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            total, inputs = total + _conv(3, inputs, width, side), width
        side /= 2
    return total


def mobilenet(side: int) -> float:
    """The same of MobileNetV2 (Sandler et al., 2018) with the strides used for small images."""
    total, inputs = _conv(3, 3, 32, side), 32
    blocks = [(1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
    for expand, width, count, stride in [*blocks, (6, 160, 3, 2), (6, 320, 1, 1)]:
        for block in range(count):
            inner = inputs * expand
            total += _conv(1, inputs, inner, side) if expand > 1 else 0
            side = side / stride if block == 0 else side
            total += 9 * inner * side * side + _conv(1, inner, width, side)
            inputs = width
    return total + _conv(1, 320, 1280, side)


def transformer(tokens: int, layers: int = 12, width: int = 768) -> float:
    """The same of BERT-base and of GPT-2 small, one text: 12 d^2 a token and layer, attention."""
    return layers * tokens * (12 * width * width + 2 * tokens * width)


IMAGES = {
    "ResNet18": lambda side: resnet(side, (2, 2, 2, 2), False),
    "ResNet50": lambda side: resnet(side, (3, 4, 6, 3), True),
    "VGG16": vgg16,
    "MobileNetV2": mobilenet,
}


def cells() -> dict[tuple[str, str], float]:
    """Multiply-accumulates an example of every pair of architecture and data set that exists."""
    found = {(name, data): of(s) for name, of in IMAGES.items() for data, s in SIDES.items()}
    texts = {(name, data): transformer(TOKENS) for name in ("BERT", "GPT-2") for data in TEXTS}
    return found | texts


def rate() -> float:
    """Multiply-accumulates a second of training on one thread: a ResNet-8 of width 64."""
    from tf_compleak.engine.processes import Inline

    Inline(1)
    from tf_compleak.models import ModelSpec, build
    from tf_compleak.models.trainer import Optimization, Trainer

    trainer = Trainer(build(ModelSpec("resnet", 8, 64, (32, 32, 3), 10)), Optimization(3, 128, 0.1))
    rng = np.random.default_rng(0)
    x, y = rng.random((512, 32, 32, 3), np.float32), rng.integers(10, size=512)
    marks = [time.perf_counter() for _ in trainer.epochs(x, y, rng)]
    # three stages of one block: 64, 128 and 256 channels
    return TRAINING * len(x) * resnet(32, (1, 1, 1), False) / (marks[-1] - marks[-2])


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a run of `flags/digits.cfg` says.

    Attributes:
      finetune: seconds an epoch of fine-tuning over those of plain training, by kind.
      trace: seconds that a first task of a kind takes longer, by affinity.
      attack: seconds an example of an attack, by its name.
    """

    finetune: dict[str, float]
    trace: dict[str, float]
    attack: dict[str, float]


def measured(study, root: str) -> Measured:
    """From the journal of a finished run: warm tasks are the medians, cold ones the longest."""
    took, building = ends(root), schedule.phases(study)[0]
    by = {}
    for task in building:
        by.setdefault(task.affinity, []).append(took[task.name])
    warm = {affinity: min(seconds) for affinity, seconds in by.items()}
    epoch = warm["train"] / study.epochs
    tuned = {a: s for a, s in warm.items() if a not in ("train", "4 export")}
    examples = study.num_members + study.num_non_members
    attacks = {}
    for task in schedule.phases(study, usable(root))[1]:
        attacks.setdefault(task.affinity, []).append(took[task.name] / examples)
    return Measured(
        {a: max(1.0, s / study.finetune_epochs / epoch) for a, s in tuned.items()},
        {a: max(seconds) - min(seconds) for a, seconds in by.items()},
        {name: statistics.median(seconds) for name, seconds in attacks.items()},
    )


def cost(found: Measured, macs: float, speed: float):
    """What a task of a study takes, in seconds; see `schedule.Cost`."""
    epoch = TRAINING * macs * EXAMPLES / speed
    asked = 2 * EXAMPLES * macs / speed

    def seconds(task, warm: bool) -> float:
        kind = task.resources
        if kind == "attack":
            return found.attack[task.affinity] * 2 * EXAMPLES
        first = 0.0 if warm else found.trace.get(task.affinity, 0.0)
        if kind == "train":
            return EPOCHS * epoch + first
        if kind == "extra":
            return asked
        return FINETUNE * epoch * found.finetune.get(task.affinity, 0.0) + first

    return seconds


def main(_) -> None:
    """Measure, derive, simulate."""
    study, root = digits(), FLAGS.workdir
    if not root:
        root = "runs/paper_grid"
        shipped(study, root, 2)
    found, speed = measured(study, root), rate()
    grid = dataclasses.replace(study, versions=VERSIONS, num_shadows=5)
    phases = schedule.phases(grid)
    lines = ["| study (10 versions, 6 models) | GMAC an example | work, hours | 1 | 8 | 64 |"]
    lines.append("|---|---|---|---|---|---|")
    hours = {}
    for (name, data), macs in cells().items():
        took = {}
        for workers in (1, 8, 64):
            took[workers], work = schedule.simulate(phases, workers, cost(found, macs, speed))
        hours[name, data] = took
        numbers = " | ".join(f"{seconds / 3600:,.1f}" for seconds in took.values())
        lines.append(f"| {name}, {data} | {macs / 1e9:.2f} | {work / 3600:,.1f} | {numbers} |")
    text = "\n".join([*lines, "", whole(hours), "", notes(found, speed)])
    print(text)
    if FLAGS.write:
        write_section("paper_grid.py", text)


def whole(hours: dict) -> str:
    """The sums over the grid: one study after the other, and eight at a time on 64 workers."""
    per = {}
    for (name, _), took in hours.items():
        per.setdefault(name, []).append(took)
    full = [took for name in per for took in (per[name] * 5)[:5]]  # five data sets each
    rows = ["| grid, days | 1 worker | 8 workers | 64 workers | 64: eight studies at a time |"]
    rows.append("|---|---|---|---|---|")
    sets = {"the 16 pairs that exist": list(hours.values()), "6 x 5 = 30": full}
    for title, studies in sets.items():
        sums = [sum(took[workers] for took in studies) for workers in (1, 8, 64)]
        longest = sorted((took[8] for took in studies), reverse=True)
        numbers = [*sums, schedule.spread(longest, 8)]
        cells_ = " | ".join(f"{seconds / 86400:,.1f}" for seconds in numbers)
        rows.append(f"| {title} | {cells_} |")
    return "\n".join(rows)


def notes(found: Measured, speed: float) -> str:
    """The figures that the tables come from."""
    tuned = ", ".join(f"{name[2:]} {factor:.1f}" for name, factor in found.finetune.items())
    return (
        f"From: training at {speed / 1e9:.1f} GMAC/s on one thread (ResNet-8 of width 64), "
        f"{EPOCHS} epochs of {EXAMPLES:,} members, {FINETUNE} of fine-tuning; an epoch of "
        f"fine-tuning over one of training: {tuned}; texts of {TOKENS} tokens. Attacks of the "
        "digits, by example in proportion. In the 30, a pair that does not exist (an image "
        "network on text) costs what the architecture costs on its own data sets."
    )


if __name__ == "__main__":
    app.run(main)
