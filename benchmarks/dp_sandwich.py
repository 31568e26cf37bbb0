"""Do attacks ever find more epsilon than the accountant of DP-SGD says was spent?

    python benchmarks/dp_sandwich.py [--write]
    python benchmarks/dp_sandwich.py --fault=half-noise --epsilons=4 --seeds=3

For every epsilon as many models as there are seeds, dense nets on scikit-learn's digits, each
trained by DP-SGD on what fair coins of its own put into its training set. Two attackers:

- LiRA knows the answers on digits, with all other models as its shadows;
- the one of gradients sees every noisy step. He has canaries of his own among the examples, each
  with a coordinate of the first kernel, whose gradient is ten norms along it in every step: what
  has piled up there tells whether it is a member (Nasr et al., S&P 2021; Steinke et al., 2023).

What either shows of epsilon, from one training and its coins, and from the coins of all trainings
together (Steinke et al.; and, of Gaussian mechanisms, Mahloujifar et al.), must lie below what the
accountant says. The level holds for all bounds of the table together (Bonferroni). Exit code 1
where one bound lies above.

`--fault` breaks the mechanism and leaves the accountant as it is: then bounds should cross, which
shows that the check can fail.
"""

import dataclasses
import sys
import time

import numpy as np
import tensorflow as tf
from absl import app, flags
from results import write_section

from tf_compleak import attacks
from tf_compleak.metrics import accountant, one_run, roc
from tf_compleak.models import ModelSpec, build, private
from tf_compleak.models.trainer import Optimization, Privacy
from tf_compleak.types import seeds
from tf_compleak.types.observations import Observations

FLAGS = flags.FLAGS
FAULTS = ("none", "no-noise", "no-clipping", "half-noise")
flags.DEFINE_list("epsilons", ["1", "4", "16"], "what the accountant is asked for")
flags.DEFINE_integer("seeds", 20, "trainings at each epsilon")
flags.DEFINE_integer("digits", 500, "of which coins draw the members")
flags.DEFINE_integer("canaries", 1000, "the same of canaries")
flags.DEFINE_float("delta", 1e-5, "of the guarantee")
flags.DEFINE_integer("epochs", 30, "of every training")
flags.DEFINE_integer("batch_size", 50, "expected in a step")
flags.DEFINE_float("learning_rate", 0.5, "of SGD with momentum 0.9")
flags.DEFINE_float("level", 0.95, "that holds for all bounds together")
flags.DEFINE_enum("fault", "none", FAULTS, "what is broken")
flags.DEFINE_boolean("write", False, "write the table into benchmarks/README.md")
BOUNDS = {"epsilon": one_run.steinke, "Gaussian": one_run.gaussian}
NO_NORM = 1e5  # no gradient is as long
CLASSES = 10
SPEC = ModelSpec("dense", 2, 64, (64,), CLASSES)
COORDINATES = SPEC.width * SPEC.input_shape[0]  # of the first kernel
LENGTH = 10.0  # of a canary's gradient, in norms
HEAD = (
    "| asked | spent | noise | trainings | accuracy | attack | AUC | shown: median, largest, all "
    "| of Gaussian mechanisms |\n|---|---|---|---|---|---|---|---|---|"
)


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """Digits, then canaries: x f32[N, 64], y int64[N], those of canaries from 10 up; held out."""

    x: np.ndarray
    y: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of_digits(cls, count: int, canaries: int) -> "Pool":
        """The same pool whatever is trained on it."""
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        order = seeds.generator(0, "pool").permutation(len(x))
        x, y = np.float32(x / 16)[order], y[order]
        inside = np.concatenate([x[:count], np.zeros((canaries, 64), np.float32)])
        labels = np.concatenate([y[:count], CLASSES + np.arange(canaries)])
        return cls(inside, labels, (x[count:], y[count:]))


class Watched(private.PrivateTrainer):
    """DP-SGD with canaries, by somebody who adds up its noisy gradients.

    `seen`: f32[4096], their sum over steps, of the first kernel's coordinates.
    """

    def __init__(self, how: Optimization):
        self.seen = tf.Variable(tf.zeros(COORDINATES), trainable=False)
        super().__init__(build(SPEC), how)

    def _of_examples(self, inputs, labels):
        classes = tf.minimum(labels, CLASSES - 1)
        (kernel, *others), losses, logits = super()._of_examples(inputs, classes)
        ours = tf.cast(labels < CLASSES, tf.float32)
        along = LENGTH * tf.one_hot(labels - CLASSES, COORDINATES)  # 0 for digits
        gradients = [
            tf.einsum("b,b...->b...", ours, kernel) + tf.reshape(along, tf.shape(kernel)),
            *(tf.einsum("b,b...->b...", ours, other) for other in others),
        ]
        return gradients, losses * ours, logits

    def _gradients(self, x, y, rows, seed):
        loss, correct, noisy = super()._gradients(x, y, rows, seed)
        self.seen.assign_add(tf.reshape(noisy[0], [-1]))
        return loss, correct, noisy


def expected_members(pool: Pool) -> int:
    """How many of a pool coins choose on average."""
    return len(pool.x) // 2


def optimization(pool: Pool, noise: float, norm: float = 1.0) -> Optimization:
    """DP-SGD for a training set of half the pool, which coins make larger or smaller."""
    privacy, rate = Privacy(noise, norm, expected_members(pool)), FLAGS.learning_rate
    return Optimization(FLAGS.epochs, FLAGS.batch_size, rate, weight_decay=0.0, privacy=privacy)


def broken(noise: float) -> tuple[float, float]:
    """The noise multiplier and the norm that are trained with."""
    return {
        "none": (noise, 1.0),
        "half-noise": (noise / 2, 1.0),
        "no-noise": (0.0, 1.0),
        "no-clipping": (noise / NO_NORM, NO_NORM),  # as much noise as there was
    }[FLAGS.fault]


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """What a model says of the digits, and what its steps had of every canary.

    `coins`: bool[N] of digits, then canaries.
    """

    answers: np.ndarray
    seen: np.ndarray
    coins: np.ndarray
    accuracy: float


def trained(pool: Pool, trainer: Watched, seed: int) -> Model:
    """A model of the examples that its coins chose; accuracy is that on digits held out."""
    coins = seeds.generator(seed, "coins").random(len(pool.x)) < 0.5
    trainer.model.set_weights(build(SPEC, seed=seed).get_weights())
    trainer.seen.assign(tf.zeros(COORDINATES))
    for _ in trainer.epochs(pool.x[coins], pool.y[coins], seeds.generator(seed, "train")):
        pass
    answers = tf.nn.softmax(trainer.logits(pool.x[: FLAGS.digits])).numpy()
    x, y = pool.held_out
    right = trainer.logits(x).argmax(axis=1) == y
    seen = np.float64(trainer.seen.numpy()[: FLAGS.canaries])
    return Model(answers, seen, coins, float(right.mean()))


def lira(pool: Pool, models: list[Model], index: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores f64[digits] of LiRA on a model, with all others as its shadows; members."""
    count = FLAGS.digits
    families = [
        Observations(
            ("original",),
            model.answers[None],
            pool.y[:count],
            model.coins[:count],
            np.arange(count),
        )
        for model in models
    ]
    target, members = families.pop(index), models[index].coins[:count]
    fitted = attacks.load("lira-online").fit(families, seed=index)
    return fitted.score(dataclasses.replace(target, members=None)), members


def gradients(pool: Pool, models: list[Model], index: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores f64[canaries]: what the steps of a model had of every canary; members."""
    return models[index].seen, models[index].coins[FLAGS.digits :]


ATTACKS = {"LiRA": lira, "gradients": gradients}


Scored = tuple[np.ndarray, np.ndarray]


def shown(scored: Scored, level: float, *names: str) -> dict[str, float]:
    """What scores show of a model whose members are known: AUC and lower bounds of epsilon."""
    bounds = {
        name: one_run.epsilon_lower_bound(
            *scored,
            delta=FLAGS.delta,
            level=level,
            rng=seeds.generator(0, name, *names),
            bound=bound,
        ).low
        for name, bound in BOUNDS.items()
    }
    return {"AUC": roc.auc(*scored), **bounds}


def together(scored: list[Scored]) -> Scored:
    """Of all trainings as one: every coin is in one of them only."""
    return tuple(map(np.concatenate, zip(*scored, strict=True)))


def main(_) -> None:
    """Print the table; exit code 1 where a bound lies above what was spent."""
    pool, start = Pool.of_digits(FLAGS.digits, FLAGS.canaries), time.process_time()
    count = len(FLAGS.epsilons) * (FLAGS.seeds + 1) * len(BOUNDS) * len(ATTACKS)
    level, above, lines = 1 - (1 - FLAGS.level) / count, 0, []
    for asked in map(float, FLAGS.epsilons):
        rate, steps = private.sampled(FLAGS.batch_size, expected_members(pool))
        steps *= FLAGS.epochs
        noise = accountant.noise_multiplier(asked, rate, steps, FLAGS.delta)
        spent = accountant.epsilon(noise, rate, steps, FLAGS.delta)
        trainer = Watched(optimization(pool, *broken(noise)))
        models = [trained(pool, trainer, seed) for seed in range(FLAGS.seeds)]
        accuracy = np.mean([model.accuracy for model in models])
        for attack, score in ATTACKS.items():
            scored = [score(pool, models, index) for index in range(len(models))]
            rows = [shown(of, level, attack, str(index)) for index, of in enumerate(scored)]
            rows.append(shown(together(scored), level, attack))
            above += sum(row[name] > spent for row in rows for name in BOUNDS)
            figures = [
                f"{np.median(of[:-1]):.3f}, {max(of[:-1]):.3f}, {of[-1]:.3f}"
                for of in ([row[name] for row in rows] for name in BOUNDS)
            ]
            lines.append(
                f"| {asked:g} | {spent:.3f} | {noise:.3f} | {len(models)} | {accuracy:.3f} "
                f"| {attack} | {rows[-1]['AUC']:.3f} | {' | '.join(figures)} |"
            )
            print(lines[-1], flush=True)
    seconds = time.process_time() - start
    notes = (
        f"Fault: {FLAGS.fault}. {above} of {count} lower bounds lie above what was spent; delta "
        f"{FLAGS.delta:g}, {steps} steps, each example in a step with probability {rate:.3g}; "
        f"joint level {FLAGS.level:.0%}, each bound's {level:.5f}; n = {FLAGS.digits} digits, "
        f"{FLAGS.canaries} canaries. Accuracy is the mean on digits held "
        f"out, AUC that of all trainings together. {seconds:.0f} CPU-seconds."
    )
    text = "\n".join([HEAD, *lines, "", notes])
    print(text)
    if FLAGS.write and FLAGS.fault == "none":
        write_section("dp_sandwich.py", text)
    sys.exit(1 if above else 0)


if __name__ == "__main__":
    app.run(main)
