"""DP-SGD: gradients of single examples, clipping, noise, sampling; each against a naive twin."""

import numpy as np
import pytest
import tensorflow as tf

from tf_compleak.models import ModelSpec, build, private
from tf_compleak.models.trainer import Optimization, Privacy, Trainer, cross_entropy

DENSE = ModelSpec("dense", 2, 8, (6,), 3)
CONVNET = ModelSpec("convnet", 3, 2, (4, 4, 1), 3)


def examples(spec, count=5):
    rng = np.random.default_rng(0)
    x = rng.random((count, *spec.input_shape), np.float32)
    return tf.constant(x), tf.constant(rng.integers(3, size=count), tf.int64)


def trainer(noise=0.0, norm=1e6, members=20, batch=20, spec=DENSE, **settings):
    how = Optimization(1, batch, 0.1, 0.0, 0.0, privacy=Privacy(noise, norm, members), **settings)
    return private.PrivateTrainer(build(spec, 1), how)


def naive(model, x, y):
    """The gradient of every example, one after the other, as one vector each."""
    rows = []
    for index in range(len(x)):
        with tf.GradientTape() as tape:
            logits = model(x[index : index + 1], training=False)
            loss = cross_entropy(y[index : index + 1], logits)
        parts = tape.gradient(loss, model.trainable_variables)
        rows.append(np.concatenate([np.ravel(part) for part in parts]))
    return np.stack(rows)


def flat(parts, count):
    return np.concatenate([np.reshape(part, (count, -1)) for part in parts], axis=1)


@pytest.mark.parametrize("spec", [DENSE, CONVNET], ids=["dense", "with normalization"])
def test_gradients_of_examples_are_those_of_a_loop(spec):
    model, (x, y) = build(spec, 3), examples(spec)
    gradients, losses, logits = private.per_example(model, cross_entropy, x, y)
    np.testing.assert_allclose(flat(gradients, 5), naive(model, x, y), atol=2e-6)
    np.testing.assert_allclose(tf.reduce_mean(losses), cross_entropy(y, logits), rtol=1e-5)


@pytest.mark.parametrize("norm", [0.01, 0.5, 100.0])
def test_no_example_counts_more_than_the_norm(norm):
    model, (x, y) = build(DENSE, 3), examples(DENSE)
    gradients, _, _ = private.per_example(model, cross_entropy, x, y)
    alone = naive(model, x, y)
    lengths = np.linalg.norm(alone, axis=1, keepdims=True)
    expected = alone * np.minimum(1, norm / lengths)
    for index in range(5):
        weights = tf.one_hot(index, 5)
        one = flat([part[None] for part in private.clipped_sum(gradients, norm, weights)], 1)
        np.testing.assert_allclose(one[0], expected[index], atol=1e-6)
        assert np.linalg.norm(one) <= norm * (1 + 1e-5)
    total = flat([part[None] for part in private.clipped_sum(gradients, norm, tf.ones(5))], 1)
    np.testing.assert_allclose(total[0], expected.sum(axis=0), atol=1e-5)


def test_noise_has_the_deviation_that_is_accounted_for():
    noisy, norm, noise = trainer(noise=1.7, norm=0.3), 0.3, 1.7
    zeros = [tf.zeros([200, 100]), tf.zeros([200, 100])]
    first, second = (tf.stack(noisy._with_noise(zeros, tf.constant([7, step]))) for step in (0, 1))
    for drawn in (first[0], first[1], second[0]):
        assert np.std(drawn) == pytest.approx(noise * norm / 20, rel=0.03)  # 4 deviations
    for other in (first[1], second[0]):
        assert abs(np.corrcoef(np.ravel(first[0]), np.ravel(other))[0, 1]) < 0.03


def test_every_example_is_drawn_by_a_coin_of_its_own():
    sampled = trainer(members=400, batch=20)
    orders = [sampled._order(380, np.random.default_rng(seed)) for seed in range(40)]
    sizes = np.concatenate([(order >= 0).sum(axis=1) for order in orders])
    assert len(orders[0]) == 20  # steps go by the number that is public
    assert sizes.mean() == pytest.approx(380 / 20, abs=4 * np.sqrt(19 * 0.95 / len(sizes)))
    assert sizes.var() == pytest.approx(19 * 0.95, rel=0.25)
    drawn = np.concatenate([np.bincount(order[order >= 0], minlength=380) for order in orders])
    assert drawn.var() == pytest.approx(20 * 0.05 * 0.95, rel=0.1)  # not once in every epoch


def test_without_noise_and_clipping_it_is_a_step_of_sgd():
    x, y = (part.numpy() for part in examples(DENSE, 20))
    own, plain = trainer(), Trainer(build(DENSE, 1), Optimization(1, 20, 0.1, 0.0, 0.0))
    for each in (own, plain):
        (epoch,) = each.epochs(x, y, np.random.default_rng(0))
    for ours, theirs in zip(own.model.get_weights(), plain.model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert epoch.accuracy <= 1


def test_what_is_not_by_dp_sgd_refuses_to_pass_for_it():
    how = Optimization(1, 20, 0.1, privacy=Privacy(1.0, 1.0, 20))
    with pytest.raises(ValueError, match="would not be counted"):
        Trainer(build(DENSE, 1), how)


def test_a_step_without_examples_is_noise_alone():
    x, y = examples(DENSE)
    loss, correct, gradients = trainer()._gradients(
        x, y, tf.constant([-1, -1]), tf.constant([1, 2])
    )
    assert float(loss) == float(correct) == 0
    assert all(np.all(part == 0) for part in gradients)


def test_statistics_of_batches_are_left_alone():
    spec = ModelSpec("convnet", 3, 2, (4, 4, 1), 3)
    x, y = (part.numpy() for part in examples(spec, 20))
    private_ = trainer(noise=1.0, norm=1.0, spec=spec)
    list(private_.epochs(x, y, np.random.default_rng(0)))
    moving = [v for v in private_.model.weights if "moving" in v.name]
    assert moving
    assert all(np.all(v.numpy() == ("variance" in v.name)) for v in moving)
