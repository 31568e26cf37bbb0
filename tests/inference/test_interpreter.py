"""The interpreter layer on files made here: batches, quantized ends, refusals, bad files."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tf_compleak.inference.interpreter import TFLiteModel
from tf_compleak.inference.isolated.tflite_file import TFLite
from tf_compleak.inference.observe import observe, sensitivities, softmax

RNG = np.random.default_rng(0)
X = RNG.random((37, 6), dtype=np.float32)
W = np.float32(RNG.normal(size=(6, 3)))


def convert(function, batch=None, shape=(6,), quantize=None):
    spec = tf.TensorSpec([batch, *shape], tf.float32)
    concrete = tf.function(function, input_signature=[spec]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.experimental_lower_to_saved_model = False
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([x[None]] for x in X)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = quantize
    return converter.convert()


@pytest.fixture
def save(tmp_path):
    def write(content, name="m.tflite"):
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


def expected():
    return softmax(X @ W)


@pytest.mark.parametrize("batch", [1, 8, 37, 64])
def test_any_batch_size_and_a_last_partial_batch(save, batch):
    model = TFLiteModel(save(convert(lambda x: tf.nn.softmax(x @ W))), batch=batch)
    assert model.batch == batch
    got = model.predict(X)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected(), atol=1e-6)
    assert model.predict(X[:0]).shape == (0, 3)


def test_threads_change_no_value(save):
    path = save(convert(lambda x: tf.nn.softmax(x @ W)))
    alone, together = (TFLiteModel(path, threads=count).predict(X) for count in (1, 2))
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_a_file_with_a_baked_in_batch_falls_back_to_one(save):
    """A reshape to a fixed size refuses the resize and leaves its interpreter unusable."""

    turned = W.reshape(2, 3, 3).transpose(1, 0, 2).reshape(6, 3)

    def fixed(x):
        return tf.nn.softmax(tf.reshape(tf.transpose(tf.reshape(x, [2, 3])), [1, 6]) @ turned)

    model = TFLiteModel(save(convert(fixed, batch=1)), batch=16)
    assert model.batch == 1
    np.testing.assert_allclose(model.predict(X), expected(), atol=1e-6)


def test_a_file_that_mixes_the_rows_of_a_batch_falls_back_to_one(save):
    """Accepts a resize, but a row's output depends on its neighbours."""

    def mixed(x):
        return tf.nn.softmax(x @ W + tf.cumsum(x, axis=0)[:, :3] - x[:, :3])

    model = TFLiteModel(save(convert(mixed)), batch=8)
    assert model.batch == 1
    np.testing.assert_allclose(model.predict(X), expected(), atol=1e-6)


@pytest.mark.parametrize("dtype", [tf.int8, tf.uint8])
def test_quantized_inputs_and_outputs_go_by_scale_and_zero_point(save, dtype):
    model = TFLiteModel(save(convert(lambda x: tf.nn.softmax(x @ W), quantize=dtype)))
    got = model.predict(X)
    assert model.resolution == pytest.approx(1 / 256)
    np.testing.assert_allclose(got, expected(), atol=0.03)
    steps = got / model.resolution
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    extreme = model.predict(np.float32([[1e9] * 6, [-1e9] * 6]))  # saturates, does not wrap
    np.testing.assert_allclose(extreme[0], model.predict(np.float32([[1.0] * 6]))[0], atol=0.05)


def test_logits_get_a_softmax_and_probabilities_do_not(save):
    logits = TFLiteModel(save(convert(lambda x: x @ W), "logits.tflite"))
    np.testing.assert_allclose(observe(logits, X, "logits"), expected(), atol=1e-6)
    ready = TFLiteModel(save(convert(lambda x: tf.nn.softmax(x @ W)), "ready.tflite"))
    np.testing.assert_allclose(observe(ready, X, "probabilities"), expected(), atol=1e-6)


def test_rows_stay_in_order_and_the_callback_counts_them(save):
    model = TFLiteModel(save(convert(lambda x: tf.nn.softmax(x @ W))), batch=8)
    rows = []
    together = observe(model, X, "probabilities", rows.append)
    assert sum(rows) == len(X)
    np.testing.assert_array_equal(observe(model, X[::-1], "probabilities"), together[::-1])


def linear(save, scale, batch=8):
    content = convert(lambda x: x @ np.float32(scale * W))
    return TFLiteModel(save(content, f"linear-{scale}.tflite"), batch=batch)


def test_sensitivity_of_a_linear_model_is_the_mean_of_a_folded_normal(save):
    """|(x + eps u) W - x W| / eps = |u W|, whose mean is the column's norm times sqrt(2 / pi)."""
    rng = np.random.default_rng(0)
    got = sensitivities(linear(save, 1.0), X, "probabilities", rng=rng, queries=200)
    assert got.shape == (37, 3) and got.dtype == np.float32
    expected_mean = np.linalg.norm(W, axis=0) * np.sqrt(2 / np.pi)
    np.testing.assert_allclose(got.mean(axis=0), expected_mean, rtol=0.05)


def test_the_noise_is_the_same_for_every_version_and_batch_and_moves_with_the_seed(save):
    def ask(scale, batch=8, seed=1, epsilon=1e-2):
        rng, rows = np.random.default_rng(seed), []
        model = linear(save, scale, batch)
        found = sensitivities(
            model, X, "probabilities", rng=rng, epsilon=epsilon, on_batch=rows.append
        )
        assert sum(rows) == len(X)
        return found

    np.testing.assert_allclose(ask(2.0), 2 * ask(1.0), rtol=1e-3)
    np.testing.assert_allclose(ask(1.0, batch=37), ask(1.0, batch=1), rtol=1e-3)
    np.testing.assert_allclose(ask(1.0, epsilon=0.1), ask(1.0), rtol=1e-3, atol=1e-3)
    assert np.abs(ask(1.0, seed=2) - ask(1.0)).max() > 0.1
    with pytest.raises(ValueError, match="queries"):
        sensitivities(
            linear(save, 1.0), X, "probabilities", rng=np.random.default_rng(0), queries=0
        )


def test_nan_outputs_are_refused(save):
    model = TFLiteModel(save(convert(lambda x: tf.math.log(x - 2) @ W)))
    with pytest.raises(ValueError, match="NaN"):
        observe(model, X, "probabilities")


def test_bad_files_get_one_line_naming_them(save, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nope\.tflite"):
        TFLiteModel(str(tmp_path / "nope.tflite"))
    for content in (b"", b"hello, this is no model", b"\0" * 400):
        with pytest.raises(ValueError, match=r"m\.tflite: is not a \.tflite file"):
            TFLiteModel(save(content))
    with pytest.raises(ValueError, match=r"shape \(6,\).*\(5,\)"):
        TFLiteModel(save(convert(lambda x: tf.nn.softmax(x @ W)))).predict(X[:, :5])
    with pytest.raises(ValueError, match="classifier"):
        TFLiteModel(save(convert(lambda x: tf.reduce_sum(x, axis=1))))


@pytest.mark.parametrize("quantize", [None, tf.int8])
def test_lanes_answer_as_one_does_in_order_whatever_the_last_batch(save, quantize):
    path = save(convert(lambda x: tf.nn.softmax(x @ W), quantize=quantize))
    alone, together = (TFLiteModel(path, batch=4, threads=count) for count in (1, 3))
    np.testing.assert_array_equal(together.predict(X), alone.predict(X))
    told = []
    observe(together, X, "probabilities", told.append)
    assert sum(told) == len(X)
    assert together.predict(X[:0]).shape == (0, 3)


def test_a_file_that_may_keep_a_state_is_asked_row_after_row(save):
    def looping(x):
        return tf.while_loop(lambda x: tf.reduce_sum(x) > 1e9, lambda x: [x / 2], [x])[0] @ W

    kinds = {"looping": looping, "plain": lambda x: x @ W}
    found = {
        name: TFLite(Path(save(convert(function), f"{name}.tflite")), 4, 3, "", "").lanes(3)
        for name, function in kinds.items()
    }
    assert {name: len(lanes) for name, lanes in found.items()} == {"looping": 1, "plain": 3}
