"""Training of targets and shadows: the best epoch on the validation slice is kept, or the last.

Several accelerators hold a replica of the model each, and share every batch.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_compleak.models import AUGMENTATIONS, ModelSpec, build, own_model, private, replicas
from tf_compleak.models.graph_cache import reuse_graph
from tf_compleak.models.trainer import Epoch, Optimization, Trainer, Weights
from tf_compleak.types import validators


def augment(images: tf.Tensor, seed: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
    """Random flip and / or shift, one draw for each of the images [N, H, W, C]; int32 seed [2]."""
    count = tf.shape(images)[0]
    if "flip" in names:
        flip = tf.random.stateless_uniform([count, 1, 1, 1], seed) < 0.5
        images = tf.where(flip, images[:, :, ::-1], images)
    if "crop" in names:
        height, width = images.shape[1], images.shape[2]
        pad_h, pad_w = max(1, height // 8), max(1, width // 8)
        top = tf.random.stateless_uniform(
            [count, 1], tf.stack([seed[0] + 1, seed[1]]), 0, 2 * pad_h + 1, tf.int32
        )
        left = tf.random.stateless_uniform(
            [count, 1], tf.stack([seed[0] + 2, seed[1]]), 0, 2 * pad_w + 1, tf.int32
        )
        images = tf.pad(images, [[0, 0], [pad_h, pad_h], [pad_w, pad_w], [0, 0]])
        images = tf.gather(images, top + tf.range(height)[None], axis=1, batch_dims=1)
        images = tf.gather(images, left + tf.range(width)[None], axis=2, batch_dims=1)
    return images


@reuse_graph
def _trainer(
    spec: ModelSpec, optimization: Optimization, augmentation: tuple[str, ...], precision: str
) -> Trainer:
    for name in augmentation:
        validators.choice("--augmentation", name, AUGMENTATIONS)
    prepare = functools.partial(augment, names=augmentation)
    if optimization.privacy is not None:
        return private.PrivateTrainer(build(spec), optimization, prepare)
    strategy = replicas.strategy()
    with strategy.scope(), replicas.precision(precision):
        model = build(spec)
    return Trainer(model, optimization, prepare, strategy, scaled=precision == "float16")


def _refuse_ours(augmentation: tuple[str, ...], precision: str) -> None:
    """ValueError where flags ask a compiled model's own training for what is ours."""
    for flag, value in (
        ("augmentation", ",".join(augmentation)),
        ("mixed_precision", precision.replace("none", "")),
    ):
        if value:
            raise ValueError(
                f"--{flag}={value}: the model of --family is compiled, its training is its own; "
                "leave the flag out, or write a method train."
            )


def train(
    spec: ModelSpec,
    optimization: Optimization,
    examples: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
    augmentation: tuple[str, ...] = (),
    precision: str = "none",
    patience: int = 0,
    checkpoint: str = "best",
    on_epoch: Callable[[Epoch, float], None] = lambda epoch, accuracy: None,
) -> tuple[Weights, list[tuple[Epoch, float]]]:
    """Train from scratch; the weights of the best epoch on validation, or of the last one.

    Args:
      examples: x f32[N, ...], y int[N] of the members; shares of classes f32[N, C] where the loss
        takes these.
      validation: the same of a slice that is neither members nor scored non-members.
      augmentation: any of "flip" (left-right) and "crop" (shift by up to an eighth), on training
        batches only.
      precision: "bfloat16" or "float16" for computing in half precision; weights are float32.
      patience: stop after that many epochs without a better validation accuracy; 0: run them all.
      checkpoint: "best" keeps the epoch with the best validation accuracy (the last of equals),
        "last" the last.
      on_epoch: told every epoch and its validation accuracy.

    Returns:
      The weights, in the order of `build(spec).get_weights()`, and every epoch with its validation
      accuracy.
    """
    if spec.code is not None and own_model.is_compiled(spec):
        _refuse_ours(augmentation, precision)
        trainer = own_model.CompiledTrainer(spec, optimization)
    else:
        trainer = _trainer(spec, optimization, augmentation, precision)
    trainer.model.set_weights(build(spec, seed=int(rng.integers(2**30))).get_weights())
    chosen, best, since, history = None, -1.0, 0, []
    for epoch in trainer.epochs(*examples, rng):
        if not np.isfinite(epoch.loss):
            raise ValueError(
                f"training diverged in epoch {epoch.index} (loss {epoch.loss}); "
                "lower --learning_rate."
            )
        accuracy = float((trainer.logits(validation[0]).argmax(axis=1) == validation[1]).mean())
        history.append((epoch, accuracy))
        on_epoch(epoch, accuracy)
        since = 0 if accuracy > best else since + 1
        if accuracy >= best or checkpoint == "last":
            chosen = trainer.model.get_weights()
        best = max(best, accuracy)
        if since == patience > 0:
            break
    return chosen, history
