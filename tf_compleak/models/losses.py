"""Losses of remedies: label smoothing, and the answers of a teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import tensorflow as tf

from tf_compleak.models.trainer import Loss


@dataclass(frozen=True)
class LabelSmoothing:
    """The cross-entropy to labels of which `share` is spread evenly over all classes.

    Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, section 7.
    """

    share: float
    soft: ClassVar[bool] = False

    def function(self) -> Loss:
        """The mean loss of labels int64[B] and logits f32[B, C]."""

        def loss(labels, logits):
            classes = tf.shape(logits)[1]
            even = self.share / tf.cast(classes, tf.float32)
            targets = (1 - self.share) * tf.one_hot(labels, classes) + even
            return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))

        return loss


@dataclass(frozen=True)
class TeacherAnswers:
    """The cross-entropy to a teacher's answers, both at a temperature, times its square.

    Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2.
    """

    temperature: float
    soft: ClassVar[bool] = True

    def function(self) -> Loss:
        """The mean loss of answers f32[B, C] at the temperature and logits f32[B, C]."""

        def loss(answers, logits):
            losses = tf.nn.softmax_cross_entropy_with_logits(answers, logits / self.temperature)
            return self.temperature**2 * tf.reduce_mean(losses)

        return loss
