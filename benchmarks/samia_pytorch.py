"""SAMIA: is an epoch of ours slower than of the same network in PyTorch, does stopping early cost?

    pip install torch==2.13.0  # not a dependency of the project
    python benchmarks/samia_pytorch.py [--workdir=STUDY] [--write]

The network of `attacks.samia` twice, in Keras as the attack trains it and in PyTorch's own layers,
on the same 16,000 rows of synthetic observations, batch 128, SGD 1e-3 with momentum 0.9. The two
take turns, an epoch each, on all cores; the figure is the median of the ratios of each turn. The
PyTorch loop is the fast kind: rows in memory, one permutation an epoch, no data loader. Ours also
asks its held-out slice after every epoch, which is counted. Then SAMIA is fitted as the attack does
it, once for all 100 epochs and once with its early stop, and the two AUCs are compared, paired: on
synthetic observations, or on every version of a finished study that has samia among its attacks.
"""

import importlib.metadata
import os
import statistics
import time
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import attack_speed
import numpy as np
from absl import app, flags
from results import write_section

from tf_compleak.attacks import networks, samia
from tf_compleak.engine.workdir import Workdir
from tf_compleak.metrics import intervals
from tf_compleak.studies.run import source
from tf_compleak.studies.study import Study

FLAGS = flags.FLAGS
flags.DEFINE_integer("turns", 9, "epochs of each that are timed; 0: none")
flags.DEFINE_boolean("early_stop", True, "compare the early stop with all 100 epochs (minutes)")
flags.DEFINE_string("workdir", None, "compare it on this study's observations, not synthetic ones")
CLASSES, BATCH = 10, 128


def pytorch_network():
    """The network of `networks.attention` in PyTorch's layers: f32[N, 3C] to logits [N, 2]."""
    import torch

    class Samia(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(3 * CLASSES)
            self.embed = torch.nn.Linear(3, 64)
            layer = torch.nn.TransformerEncoderLayer(64, 4, 128, 0.2, "gelu", batch_first=True)
            self.encoder = torch.nn.TransformerEncoder(layer, 3)
            self.head = torch.nn.Sequential(
                torch.nn.Flatten(),
                torch.nn.Linear(64 * CLASSES, 64),
                torch.nn.ReLU(),
                torch.nn.Linear(64, 2),
            )

        def forward(self, x):
            tokens = self.norm(x).reshape(-1, 3, CLASSES).transpose(1, 2)  # [N, C, 3]
            return self.head(self.encoder(torch.nn.functional.gelu(self.embed(tokens))))

    return Samia()


def theirs(table: np.ndarray, members: np.ndarray):
    """Yields after every epoch of PyTorch."""
    import torch

    torch.manual_seed(0)
    model, x, y = pytorch_network(), torch.from_numpy(table), torch.from_numpy(members).long()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    while True:
        for rows in torch.randperm(len(x)).split(BATCH)[: len(x) // BATCH]:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        yield


def ours(table: np.ndarray, members: np.ndarray, held: np.ndarray):
    """Yields after every epoch of ours and its look at the held-out slice."""
    trainer = networks._trainer(networks.attention, table.shape[1], networks.SAMIA_SETTINGS)
    rng = np.random.default_rng(0)
    networks._initialize(trainer.model, rng)
    for _ in trainer.epochs(table, members.astype(np.int64), rng):
        trainer.logits(held, batch=512)
        yield


def epochs(table: np.ndarray, members: np.ndarray, fitted: int) -> list[tuple[float, float]]:
    """Seconds of an epoch of ours and of theirs, turn by turn; the first turn warms up."""
    loops = (
        ours(table[:fitted], members[:fitted], table[fitted:]),
        theirs(table[:fitted], members[:fitted]),
    )
    found = []
    for _ in range(FLAGS.turns + 1):
        times = []
        for loop in loops:
            start = time.perf_counter()
            next(loop)
            times.append(time.perf_counter() - start)
        found.append(tuple(times))
    return found[1:]


def early_stop(name: str, shadow, target) -> list[str]:
    """Lines of the second table: seconds, epochs and AUC with and without the early stop."""
    lines, scores = [], []
    for stop, patience in (("all 100", None), ("early stop (default)", samia.PATIENCE)):
        start, looks = time.perf_counter(), []
        with mock.patch.object(networks, "_cross_entropy", _counted(looks)):
            fitted = samia.Samia(patience).fit([shadow], seed=0)
        seconds = time.perf_counter() - start
        scores.append(fitted.score(target.hidden()))
        auc = intervals.auc_estimate(scores[-1], target.members)
        lines.append(f"| {name}, {stop} | {len(looks)} | {seconds:.0f} | {_figure(auc, '.4f')} |")
    gain = intervals.auc_difference(scores[1], scores[0], target.members)
    return [*lines, f"| {name}, early stop less all, paired | | | {_figure(gain, '+.5f')} |"]


def _counted(looks: list):
    found = networks._cross_entropy

    def count(*args):
        looks.append(found(*args))
        return looks[-1]

    return count


def _figure(estimate, form: str) -> str:
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def pairs():
    """Names, and observations of the shadow and of the target, one version each."""
    if FLAGS.workdir is None:
        names = attack_speed.VERSIONS[:1]
        yield (
            "synthetic",
            *(attack_speed.family(seed, FLAGS.examples, CLASSES, names) for seed in (1, 2)),
        )
        return
    study = Study.from_json(Workdir(FLAGS.workdir).study())
    opened = source.opened(study, FLAGS.workdir)
    for name in study.versions:
        yield (
            name,
            *(
                opened.observations(family, (name,), ("sensitivities",))
                for family in ("shadow-0", "target")
            ),
        )


def epoch_table() -> str:
    """The first table: an epoch of ours beside one of PyTorch."""
    shadow = attack_speed.family(1, FLAGS.examples, CLASSES, attack_speed.VERSIONS[:1])
    times = epochs(samia.inputs(shadow), shadow.members, FLAGS.examples * 4 // 5)
    ratios = sorted(mine / other for mine, other in times)
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    return (
        "| ours, s an epoch | PyTorch, s an epoch | ours / PyTorch |\n|---|---|---|\n"
        f"| {medians[0]:.2f} | {medians[1]:.2f} | {statistics.median(ratios):.3f} "
        f"({ratios[0]:.3f} to {ratios[-1]:.3f}) |\n\n"
        f"{FLAGS.examples:,} examples, ten classes; {FLAGS.turns} turns, median (range); "
        f"PyTorch {importlib.metadata.version('torch')}."
    )


def main(_):
    """Measure, print, and write the tables if asked."""
    sections = {}
    if FLAGS.turns:
        sections["samia_pytorch.py"] = epoch_table()
        print(sections["samia_pytorch.py"], flush=True)
    if FLAGS.early_stop:
        lines = ["| SAMIA on | epochs | fit, s | AUC |", "|---|---|---|---|"]
        for name, shadow, target in pairs():
            lines += early_stop(name, shadow, target)
            print("\n".join(lines[-3:]), flush=True)
        lines.append(f"\n{len(shadow):,} examples of the shadow, {len(target):,} of the target.")
        sections["samia_pytorch.py: early stop"] = "\n".join(lines)
    for name, text in sections.items():
        if FLAGS.write:
            write_section(name, text)


if __name__ == "__main__":
    app.run(main)
