"""Architectures and training: sizes, seeds, the checkpoint, augmentation, the update."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from tf_compleak.models import ModelSpec, build, curve, training
from tf_compleak.models.trainer import Optimization, Trainer
from tf_compleak.types import seeds

SPEC = ModelSpec("convnet", 3, 4, (8, 8, 1), 3)


def blobs(count=120, seed=0):
    """Images whose class is where they are bright."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=count)
    x = 0.3 * rng.random((count, 8, 8, 1))
    for row, label in zip(x, y, strict=True):
        row[2 * label : 2 * label + 2] += 0.7
    return np.float32(x), y


def fit(seed=0, epochs=6, augmentation=(), learning_rate=0.1, validation=None, **more):
    return training.train(
        SPEC,
        Optimization(epochs, 16, learning_rate),
        blobs(),
        validation or blobs(seed=1),
        seeds.generator(seed, "train"),
        augmentation,
        **more,
    )


def test_resnet_20_has_the_published_size():
    """He et al. (CVPR 2016), table 6: 0.27 M, exactly 269,722; our 1x1 shortcuts add 2,752."""
    model = build(ModelSpec("resnet", 20, 16, (32, 32, 3), 10))
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == 269_722 + 2_752
    convolutions = [layer for layer in model.layers if "Conv" in type(layer).__name__]
    assert len(convolutions) == 19 + 2 and model.output_shape == (None, 10)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (("resnet", 9, 16, (32, 32, 3), 10), "6n"),
        (("convnet", 1, 16, (32, 32, 3), 10), "depth"),
        (("convnet", 9, 16, (8, 8, 1), 10), "too small"),
        (("convnet", 3, -1, (8, 8, 1), 10), "width"),
        (("convnet", 3, 8, (446,), 10), "images"),
        (("covnet", 3, 8, (8, 8, 1), 10), "Did you mean 'convnet'"),
    ],
)
def test_bad_architectures_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        ModelSpec(*spec)


def test_training_learns_and_the_seed_decides():
    weights, history = fit()
    assert history[-1][0].accuracy > 0.9 and len(history) == 6
    again, _ = fit()
    other, _ = fit(seed=1)
    for one, same, different in zip(weights, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert one.ndim < 2 or not np.array_equal(one, different)


def test_the_checkpoint_is_the_best_on_validation_and_not_the_last():
    """Validation labels at random: the accuracy on them wanders."""
    x, _ = blobs(seed=1)
    y = np.random.default_rng(2).integers(3, size=len(x))
    weights, history = fit(epochs=8, validation=(x, y), learning_rate=1e-2)
    accuracies = [accuracy for _, accuracy in history]
    assert max(accuracies) > accuracies[-1]
    model = build(SPEC)
    model.set_weights(weights)
    kept = (model(x).numpy().argmax(axis=1) == y).mean()
    assert kept == pytest.approx(max(accuracies))
    last, same = fit(epochs=8, validation=(x, y), learning_rate=1e-2, checkpoint="last")
    assert [accuracy for _, accuracy in same] == accuracies
    model.set_weights(last)
    assert (model(x).numpy().argmax(axis=1) == y).mean() == pytest.approx(accuracies[-1])


def test_early_stopping_waits_for_a_better_validation_accuracy():
    """On labels at random, against the rule written out on the whole history."""
    x, _ = blobs(seed=1)
    y = np.random.default_rng(2).integers(3, size=len(x))

    def run(patience, checkpoint="best"):
        return training.train(
            SPEC,
            Optimization(12, 16, 1e-2),
            blobs(),
            (x, y),
            seeds.generator(0, "train"),
            patience=patience,
            checkpoint=checkpoint,
        )[1]

    whole = [accuracy for _, accuracy in run(0)]
    assert len(whole) == 12
    for patience in (1, 2, 3):
        best, since, expected = -1.0, 0, len(whole)
        for index, accuracy in enumerate(whole):
            since = 0 if accuracy > best else since + 1
            best = max(best, accuracy)
            if since == patience:
                expected = index + 1
                break
        stopped = [accuracy for _, accuracy in run(patience)]
        assert stopped == whole[:expected]
        assert [accuracy for _, accuracy in run(patience, "last")] == stopped
        assert patience > 1 or expected < 12


def test_the_curve_is_written_as_a_table_and_for_tensorboard(tmp_path):
    _, history = fit(epochs=4)
    curve.write(tmp_path, history)
    with open(tmp_path / "curve.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    for row, (epoch, validated) in zip(rows, history, strict=True):
        assert float(row["loss"]) == epoch.loss and float(row["accuracy"]) == epoch.accuracy
        assert float(row["validation_accuracy"]) == validated and float(row["seconds"]) > 0
    rates = [0.1 * 0.5 * (1 + np.cos(np.pi * index / 4)) for index in range(4)]
    np.testing.assert_allclose([float(row["learning_rate"]) for row in rows], rates, rtol=1e-5)
    (path,) = tmp_path.glob("events.out.tfevents.*")
    read = {}
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        for value in event.summary.value:
            read[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    assert len(read) == 4 * 5
    for row in rows:
        for name in curve.COLUMNS[1:]:
            assert read[name, int(row["epoch"])] == pytest.approx(float(row[name]), rel=1e-6)


def test_divergence_is_an_error_not_a_model():
    with pytest.raises(ValueError, match=r"diverged.*learning_rate"):
        fit(learning_rate=900.0, epochs=10)


def test_augmentation_moves_and_flips_whole_images_only():
    x = tf.constant(np.random.default_rng(0).random((64, 8, 8, 1)), tf.float32)
    seed = tf.constant([3, 4])
    same = training.augment(x, seed, ())
    np.testing.assert_array_equal(same, x)
    flipped = training.augment(x, seed, ("flip",)).numpy()
    kinds = [
        np.array_equal(f, o) + 2 * np.array_equal(f, o[:, ::-1])
        for f, o in zip(flipped, x.numpy(), strict=True)
    ]
    assert set(kinds) == {1, 2}
    moved = training.augment(x, seed, ("crop",)).numpy()
    padded = np.pad(x.numpy(), [(0, 0), (1, 1), (1, 1), (0, 0)])
    for after, wide in zip(moved, padded, strict=True):
        windows = [wide[r : r + 8, c : c + 8] for r in range(3) for c in range(3)]
        assert any(np.array_equal(after, window) for window in windows)
    with pytest.raises(ValueError, match="Did you mean 'flip'"):
        fit(augmentation=("flp",))


def test_inference_is_never_augmented():
    x, _ = blobs()
    model = build(SPEC)
    trainer = Trainer(model, Optimization(1, 16, 0.1), lambda inputs, seed: inputs * 0 + 99)
    np.testing.assert_allclose(trainer.logits(x), model(x).numpy(), atol=1e-5)


def test_an_update_is_sgd_with_momentum_coupled_decay_and_a_cosine():
    """Two steps on a linear model against the formulas, written out."""
    from tf_compleak.models.keras2 import keras

    inputs = keras.layers.Input([2])
    model = keras.Model(inputs, keras.layers.Dense(2, use_bias=False)(inputs))
    w = np.float32([[0.5, -0.2], [0.1, 0.3]])
    model.set_weights([w])
    x, y = np.float32([[1.0, 2.0]] * 2), np.array([0, 0])
    settings = Optimization(2, 2, 0.1, momentum=0.9, weight_decay=0.01)
    list(Trainer(model, settings).epochs(x, y, np.random.default_rng(0)))
    velocity = np.zeros_like(w)
    for step in range(2):
        logits = x[0] @ w
        p = np.exp(logits) / np.exp(logits).sum()
        gradient = np.outer(x[0], p - [1, 0]) + 0.01 * w
        velocity = 0.9 * velocity + gradient
        w = w - 0.1 * 0.5 * (1 + np.cos(np.pi * step / 2)) * velocity
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=1e-5)
