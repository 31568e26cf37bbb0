"""Keras layers of our own, for models and attacks."""

from __future__ import annotations

import tensorflow as tf

from tf_compleak.models.keras2 import keras


@keras.utils.register_keras_serializable("tf_compleak")
class SeededDropout(keras.layers.Layer):
    """Dropout whose masks depend on a resettable state, so that equal seeds give equal fits."""

    def __init__(self, rate: float, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, input_shape):
        """Create the state: int32 [2], the seed and a counter."""
        self.state = self.add_weight(
            "state", shape=[2], dtype=tf.int32, initializer="zeros", trainable=False
        )
        super().build(input_shape)

    def call(self, inputs, training=None):
        """Inputs with a share `rate` set to zero and the rest scaled up, when training."""
        if not training:
            return inputs
        self.state.assign_add([0, 1])
        keep = tf.random.stateless_uniform(tf.shape(inputs), self.state) >= self.rate
        return inputs * (tf.cast(keep, inputs.dtype) / (1 - self.rate))  # faster than tf.where

    def get_config(self):
        """The rate and the base configuration."""
        return {**super().get_config(), "rate": self.rate}


@keras.utils.register_keras_serializable("tf_compleak")
class Positions(keras.layers.Layer):
    """Token ids int32[N, T] -> the positions 0 to T - 1, int32[1, T]."""

    def call(self, ids):
        """The positions."""
        return tf.range(ids.shape[1])[None]


@keras.utils.register_keras_serializable("tf_compleak")
class Mask(keras.layers.Layer):
    """Token ids [N, T] -> who may look at whom: bool[N, 1, T], not at padding (id 0).

    With `causal` bool[N, T, T]: nor at what comes later.
    """

    def __init__(self, causal: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.causal = causal

    def call(self, ids):
        """The mask."""
        real = tf.not_equal(ids, 0)[:, None, :]
        if not self.causal:
            return real
        steps = tf.range(ids.shape[1])
        return tf.logical_and(real, (steps[None, :] <= steps[:, None])[None])

    def get_config(self):
        """The kind and the base configuration."""
        return {**super().get_config(), "causal": self.causal}


@keras.utils.register_keras_serializable("tf_compleak")
class Gelu(keras.layers.Layer):
    """The Gaussian error linear unit in its tanh form, as keras-nlp's BERT and GPT-2 have it."""

    def call(self, inputs):
        """Activated inputs, of the same shape."""
        return tf.nn.gelu(inputs, approximate=True)


@keras.utils.register_keras_serializable("tf_compleak")
class Reshaped(keras.layers.Layer):
    """Inputs of any shape -> [-1, *shape]: tokens [N, T, W] in a row [N T, W], and back.

    The converter fuses a dense layer and its bias on matrices only, and what is not fused stays in
    float where training simulated INT8.
    """

    def __init__(self, shape, **kwargs):
        super().__init__(**kwargs)
        self.shape = tuple(shape)

    def call(self, inputs):
        """The same numbers."""
        return tf.reshape(inputs, [-1, *self.shape])

    def get_config(self):
        """The shape and the base configuration."""
        return {**super().get_config(), "shape": self.shape}


@keras.utils.register_keras_serializable("tf_compleak")
class FirstToken(keras.layers.Layer):
    """f32[N, T, W] -> f32[N, W] of the first token."""

    def call(self, inputs):
        """The first token."""
        return inputs[:, 0, :]


@keras.utils.register_keras_serializable("tf_compleak")
class LastToken(keras.layers.Layer):
    """f32[N, T, W] and ids int32[N, T] -> f32[N, W] of the last token that is no padding."""

    def call(self, inputs, ids):
        """The last token; tokens come first, padding after them."""
        real = tf.cast(tf.not_equal(ids, 0), tf.float32)
        last = real - tf.pad(real[:, 1:], [[0, 0], [0, 1]])
        return tf.reduce_sum(inputs * last[..., None], axis=1)


@keras.utils.register_keras_serializable("tf_compleak")
class GentleSoftmax(keras.layers.Layer):
    """Attention weights whose mask subtracts `BAR`: 1e-7 of the weight, and a range for INT8.

    The usual 1e9 leaves an 8-bit score no step but 0 and -1e9.
    """

    BAR = 16.0

    def call(self, scores, mask):
        """Softmax over the last axis of scores [N, heads, T, T], mask bool [N, 1, 1 or T, T]."""
        return tf.nn.softmax(scores - self.BAR * (1.0 - tf.cast(mask, scores.dtype)))
