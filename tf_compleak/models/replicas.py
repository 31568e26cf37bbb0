"""Accelerators: replicas of a model on several of them, half precision, loss scaling."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import tensorflow as tf

from tf_compleak.models.keras2 import keras

GROWTH = 2000  # finite steps after which a loss scale is doubled


@functools.lru_cache(maxsize=4)
def strategy(devices: tuple[str, ...] | None = None) -> tf.distribute.Strategy:
    """One replica on each of the `devices`, by default on all accelerators; none for only one."""
    if devices is None:
        devices = tuple(device.name for device in tf.config.list_logical_devices("GPU"))
    if len(devices) < 2:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(devices)


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Layers made inside compute in `name` ("bfloat16", "float16"); "none": in float32.

    Their variables are float32 in any case.
    """
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("float32" if name == "none" else f"mixed_{name}")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


class LossScale:
    """A factor that keeps float16 gradients from vanishing, halved when one overflows.

    Dynamic loss scaling: Micikevicius et al., "Mixed Precision Training", ICLR 2018, section 3.2.
    """

    def __init__(self, start: float = 2.0**15):
        self._start = start
        self.factor = tf.Variable(start, trainable=False)
        self._finite = tf.Variable(0, trainable=False)

    def reset(self) -> None:
        """Back to the state of a new one."""
        self.factor.assign(self._start)
        self._finite.assign(0)

    def unscaled(self, gradients: list[tf.Tensor]) -> tuple[list[tf.Tensor], tf.Tensor]:
        """The gradients divided by the factor, and bool [] whether all are finite.

        The factor is halved when they are not, and doubled after `GROWTH` steps when they are.
        """
        finite = tf.reduce_all(
            [tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients]
        )
        unscaled = [gradient / self.factor for gradient in gradients]
        grown = self._finite + 1 >= GROWTH
        up = tf.where(grown, 2.0 * self.factor, self.factor)
        self.factor.assign(tf.where(finite, up, tf.maximum(1.0, self.factor / 2)))
        self._finite.assign(tf.where(finite & ~grown, self._finite + 1, 0))
        return unscaled, finite
