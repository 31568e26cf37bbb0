"""SAMIA: is an epoch of ours slower than of the same network in PyTorch, does stopping early cost?

    pip install torch==2.13.0  # not a dependency of the project
    python benchmarks/samia_pytorch.py [--write]

The network of `attacks.samia` twice, in Keras as the attack trains it and in PyTorch's own layers,
on the same 16,000 rows of synthetic observations, batch 128, SGD 1e-3 with momentum 0.9. The two
take turns, an epoch each, on all cores; the figure is the median of the ratios of each turn. The
PyTorch loop is the fast kind: rows in memory, one permutation an epoch, no data loader. Ours also
asks its held-out slice after every epoch, which is counted. Then SAMIA is fitted as the attack does
it, once for all 100 epochs and once with its early stop, and the two AUCs are compared, paired.
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import attack_speed
import numpy as np
import torch
from absl import app, flags
from results import write_section

from tf_compleak.attacks import networks, samia
from tf_compleak.metrics import intervals

FLAGS = flags.FLAGS
flags.DEFINE_integer("turns", 9, "epochs of each that are timed")
flags.DEFINE_boolean("early_stop", True, "compare the early stop with all 100 epochs (minutes)")
CLASSES, BATCH = 10, 128


class PyTorchSamia(torch.nn.Module):
    """The network of `networks.attention` in PyTorch's layers."""

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
        """f32[N, 3C] to logits [N, 2]."""
        tokens = self.norm(x).reshape(-1, 3, CLASSES).transpose(1, 2)  # [N, C, 3]
        return self.head(self.encoder(torch.nn.functional.gelu(self.embed(tokens))))


def theirs(table: np.ndarray, members: np.ndarray):
    """Yields after every epoch of PyTorch."""
    torch.manual_seed(0)
    model, x, y = PyTorchSamia(), torch.from_numpy(table), torch.from_numpy(members).long()
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


def early_stop(shadow, target) -> list[str]:
    """Lines of the second table: seconds and AUC with and without the early stop."""
    lines = ["| SAMIA | fit, s | AUC |", "|---|---|---|"]
    scores = []
    for name, patience in (("all 100 epochs", None), ("early stop (default)", samia.PATIENCE)):
        start = time.perf_counter()
        fitted = samia.Samia(patience).fit([shadow], seed=0)
        seconds = time.perf_counter() - start
        scores.append(fitted.score(target.hidden()))
        auc = intervals.auc_estimate(scores[-1], target.members)
        lines.append(
            f"| {name} | {seconds:.0f} | {auc.value:.4f} [{auc.low:.4f}, {auc.high:.4f}] |"
        )
    gain = intervals.auc_difference(scores[1], scores[0], target.members)
    lines.append(
        f"| early stop less all epochs, paired | | {gain.value:+.5f} "
        f"[{gain.low:+.5f}, {gain.high:+.5f}] |"
    )
    return lines


def main(_):
    """Measure, print, and write the tables if asked."""
    shadow, target = (
        attack_speed.family(seed, FLAGS.examples, CLASSES, attack_speed.VERSIONS[:1])
        for seed in (1, 2)
    )
    times = epochs(samia.inputs(shadow), shadow.members, FLAGS.examples * 4 // 5)
    ratios = sorted(mine / other for mine, other in times)
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    parts = [
        "| ours, s an epoch | PyTorch, s an epoch | ours / PyTorch |\n|---|---|---|\n"
        f"| {medians[0]:.2f} | {medians[1]:.2f} | {statistics.median(ratios):.3f} "
        f"({ratios[0]:.3f} to {ratios[-1]:.3f}) |"
    ]
    print(parts[0], flush=True)
    if FLAGS.early_stop:
        parts.append("\n".join(early_stop(shadow, target)))
        print(parts[1])
    parts.append(
        f"{FLAGS.examples:,} examples of the shadow and of the target, ten classes; "
        f"{FLAGS.turns} turns, median (range); PyTorch {torch.__version__}."
    )
    if FLAGS.write:
        write_section("samia_pytorch.py", "\n\n".join(parts))


if __name__ == "__main__":
    app.run(main)
