"""Losses of remedies against their formulas, and that trainers take them."""

import numpy as np
import tensorflow as tf

from tf_compleak.models import ModelSpec, build
from tf_compleak.models.losses import LabelSmoothing, TeacherAnswers
from tf_compleak.models.trainer import Optimization, Trainer

LOGITS = np.float32([[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]])
LABELS = np.int64([0, 1])


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def test_a_smoothed_label_is_spread_evenly():
    targets = 0.7 * np.eye(3)[LABELS] + 0.1
    expected = -(targets * log_softmax(LOGITS)).sum(axis=1).mean()
    smoothed = LabelSmoothing(0.3).function()(tf.constant(LABELS), tf.constant(LOGITS))
    np.testing.assert_allclose(smoothed, expected, rtol=1e-6)


def test_a_teacher_is_followed_at_the_temperature():
    answers = np.float32([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    expected = 9 * -(answers * log_softmax(LOGITS / 3)).sum(axis=1).mean()
    loss = TeacherAnswers(3.0).function()(tf.constant(answers), tf.constant(LOGITS))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def trained(loss, y):
    x = np.float32(np.random.default_rng(0).random((40, 4)))
    trainer = Trainer(
        build(ModelSpec("dense", 2, 8, (4,), 3)), Optimization(60, 20, 0.3, loss=loss)
    )
    epochs = list(trainer.epochs(x, y, np.random.default_rng(1)))
    return tf.nn.softmax(trainer.logits(x)).numpy(), epochs[-1]


def test_a_model_becomes_as_sure_as_its_loss_lets_it():
    y = np.random.default_rng(2).integers(1, size=40)  # all of one class
    plain, _ = trained(None, y)
    smooth, _ = trained(LabelSmoothing(0.3), y)
    taught, epoch = trained(TeacherAnswers(2.0), np.float32(np.tile([0.5, 0.4, 0.1], (40, 1))))
    assert plain[:, 0].min() > 0.95
    np.testing.assert_allclose(smooth[:, 0], 0.8, atol=0.03)
    at_two = np.sqrt(taught) / np.sqrt(taught).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(at_two.mean(axis=0), [0.5, 0.4, 0.1], atol=0.03)
    assert epoch.accuracy == 1  # answers as its teacher does
