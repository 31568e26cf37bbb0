"""Keras networks of the attacks: built and traced once per input width, fitted many times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tf_compleak.models.graph_cache import reuse_graph
from tf_compleak.models.keras2 import keras
from tf_compleak.models.layers import SeededDropout
from tf_compleak.models.trainer import Optimization, Trainer, Weights

MLP_SETTINGS = Optimization(epochs=30, batch_size=128, learning_rate=1e-2)
LARGE_MLP_SETTINGS = Optimization(epochs=12, batch_size=512, learning_rate=8e-2)
LARGE = 5000  # from this number of fitted examples on, larger steps reach the same AUC sooner
STACK_SETTINGS = Optimization(epochs=100, batch_size=128, learning_rate=1e-2)
LARGE_STACK_SETTINGS = Optimization(epochs=60, batch_size=512, learning_rate=8e-2)

SAMIA_SETTINGS = Optimization(
    epochs=100, batch_size=128, learning_rate=1e-3, weight_decay=0.0, cosine=False
)


def mlp_settings(examples: int) -> Optimization:
    """How the perceptron is fitted on that many examples: at least ~120 steps in both cases."""
    return LARGE_MLP_SETTINGS if examples >= LARGE else MLP_SETTINGS


def stack_settings(examples: int) -> Optimization:
    """How the MR network is fitted on that many examples.

    On 8,000 of CIFAR-10 in half of the time with the same AUC (paired, +0.0000 [-0.0005, +0.0005]
    of three seeds); half of the epochs in small steps lose 0.0015.
    """
    return LARGE_STACK_SETTINGS if examples >= LARGE else STACK_SETTINGS


def mlp(width: int) -> keras.Model:
    """Dense 64, 64 with ReLU and two outputs: f32[N, width] -> logits [N, 2]."""
    x = inputs = keras.layers.Input([width])
    for size in (64, 64):
        x = keras.layers.Dense(size, activation="relu")(x)
    return keras.Model(inputs, keras.layers.Dense(2)(x))


def two_branches(width: int) -> keras.Model:
    """The MR network (CompLeak, section 4.3): [probabilities | losses], each width / 2, to [N, 2].

    Each half: dense 128 ReLU, dropout, dense 64. Together: dropout, dense 256, 128, 64 with ReLU
    and dropout, 2 outputs. Every dropout is 0.5.
    """
    inputs = keras.layers.Input([width])
    half = width // 2
    branches = []
    for part in (inputs[:, :half], inputs[:, half:]):
        x = SeededDropout(0.5)(keras.layers.Dense(128, activation="relu")(part))
        branches.append(keras.layers.Dense(64)(x))
    x = SeededDropout(0.5)(keras.layers.Concatenate()(branches))
    for size in (256, 128, 64):
        x = SeededDropout(0.5)(keras.layers.Dense(size, activation="relu")(x))
    return keras.Model(inputs, keras.layers.Dense(2)(x))


def attention(width: int) -> keras.Model:
    """The SAMIA network (`attacks.samia`): [p | s | one-hot label], width / 3 each, to [N, 2]."""
    x = inputs = keras.layers.Input([width])
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    x = keras.layers.Permute([2, 1])(keras.layers.Reshape([3, width // 3])(x))  # [N, C, 3]
    x = keras.layers.Dense(64, activation="gelu")(x)
    for _ in range(3):
        x = _encoder(x)
    x = keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Dense(2)(x))


def _encoder(x, heads: int = 4, hidden: int = 128, rate: float = 0.2):
    """One encoder layer, normalized after each half (Vaswani et al., NeurIPS 2017, section 3.1)."""
    classes, size = x.shape[1:]
    split = keras.layers.Reshape([classes, 3, heads, size // heads])(
        keras.layers.Dense(3 * size)(x)
    )
    query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]), num=3)  # [N, heads, C, .]
    weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) * (size // heads) ** -0.5)
    mixed = tf.transpose(tf.matmul(SeededDropout(rate)(weights), value), [0, 2, 1, 3])
    mixed = keras.layers.Dense(size)(keras.layers.Reshape([classes, size])(mixed))
    x = keras.layers.LayerNormalization(epsilon=1e-5)(x + SeededDropout(rate)(mixed))
    inner = SeededDropout(rate)(keras.layers.Dense(hidden, activation="gelu")(x))
    inner = SeededDropout(rate)(keras.layers.Dense(size)(inner))
    return keras.layers.LayerNormalization(epsilon=1e-5)(x + inner)


@dataclass(frozen=True, eq=False)
class Network:
    """A fitted network: the shared traced graph and this fit's weights."""

    trainer: Trainer
    weights: Weights

    def log_odds(self, table: np.ndarray, batch: int = 8192) -> np.ndarray:
        """f64[N] log-odds of membership for f32[N, width]."""
        self.trainer.model.set_weights(self.weights)
        logits = np.float64(self.trainer.logits(table, batch))
        return logits[:, 1] - logits[:, 0]


@reuse_graph
def _trainer(build: Callable[[int], keras.Model], width: int, settings: Optimization) -> Trainer:
    return Trainer(build(width), settings)


def fit(
    build: Callable[[int], keras.Model],
    table: np.ndarray,
    members: np.ndarray,
    fit_rows: np.ndarray,
    held_out_rows: np.ndarray,
    settings: Optimization,
    seed: int,
    patience: int | None = None,
) -> Network:
    """Fit on `fit_rows`; keep the epoch with the least cross-entropy on `held_out_rows`.

    Args:
      table: f32[N, width], standardized.
      members: bool[N].
      fit_rows, held_out_rows: disjoint indices of shadow examples.
      patience: stop after that many epochs without a new least; None: run all epochs.
    """
    trainer = _trainer(build, table.shape[1], settings)
    rng = np.random.default_rng(seed)
    _initialize(trainer.model, rng)
    best, least, since = None, np.inf, 0
    for _ in trainer.epochs(table[fit_rows], members[fit_rows].astype(np.int64), rng):
        loss = _cross_entropy(
            trainer.logits(table[held_out_rows], batch=512), members[held_out_rows]
        )
        since += 1
        if loss < least:
            best, least, since = trainer.model.get_weights(), loss, 0
        if since == patience:
            break
    if best is None:
        raise ValueError("attack network: its loss was never finite; check the observations.")
    return Network(trainer, best)


def _cross_entropy(logits: np.ndarray, members: np.ndarray) -> float:
    margin = np.float64(logits[:, 1]) - logits[:, 0]
    return float(np.logaddexp(0, np.where(members, -margin, margin)).mean())


def _initialize(model: keras.Model, rng: np.random.Generator) -> None:
    """Glorot-uniform kernels, zero biases, unit scales, fresh dropout states: all from `rng`."""
    for variable in model.weights:
        if variable.dtype == tf.int32:
            variable.assign([int(rng.integers(2**30)), 0])
        elif "gamma" in variable.name or "moving_variance" in variable.name:
            variable.assign(tf.ones_like(variable))
        elif len(variable.shape) == 2:
            limit = np.sqrt(6 / sum(variable.shape))
            variable.assign(np.float32(rng.uniform(-limit, limit, variable.shape)))
        else:
            variable.assign(tf.zeros_like(variable))
