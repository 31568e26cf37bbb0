"""Model files in a worker process: every kind and dtype, every way in which a file goes wrong."""

import json
import os
import zipfile
from pathlib import Path
from signal import SIGABRT, SIGALRM, SIGKILL, SIGSEGV

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from test_interpreter import RNG, W, X, convert, expected

from tf_compleak.inference import sandbox
from tf_compleak.inference.isolated import keras_file
from tf_compleak.inference.observe import softmax
from tf_compleak.inference.sandbox import SandboxedModel


def asked(path, x=X, **settings):
    with SandboxedModel(str(path), **settings) as model:
        return model.predict({port.name: x for port in model.inputs})


def refused(path, **settings) -> str:
    """The one line that a file is refused with."""
    with pytest.raises(ValueError) as caught:
        asked(path, **settings)
    line = str(caught.value)
    assert "\n" not in line and line.startswith(str(path)), line
    return line


@pytest.fixture
def save(tmp_path):
    def write(content, name="m.tflite"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


@pytest.fixture(scope="module")
def plain():
    return convert(lambda x: tf.nn.softmax(x @ W))


def concrete(function, *specs):
    return tf.function(function, input_signature=specs).get_concrete_function()


def from_functions(*functions, **settings):
    converter = tf.lite.TFLiteConverter.from_concrete_functions(list(functions))
    converter.experimental_lower_to_saved_model = False
    for name, value in settings.items():
        setattr(converter, name, value)
    return converter.convert()


# What works ---------------------------------------------------------------------------------------


def test_a_file_is_asked_in_batches(save, plain):
    path, told = save(plain), []
    with SandboxedModel(str(path), batch=8) as model:
        assert (model.kind, model.batch, model.output.shape) == ("tflite", 8, (3,))
        (port,) = model.inputs
        assert port.shape == (6,) and port.dtype == "float32"
        found = model.predict({port.name: X}, told.append)
        np.testing.assert_allclose(found, expected(), atol=1e-6)
        assert sum(told) == 37 and min(told) > 0
        assert model.predict({port.name: X[:0]}).shape == (0, 3)
        np.testing.assert_allclose(model.predict({port.name: X[:3]}), expected()[:3], atol=1e-6)


def test_blocks_and_lanes_change_no_answer(save, plain, monkeypatch):
    monkeypatch.setattr(sandbox, "MESSAGE", 4096)  # 170 of these rows: 168 in batches of 8
    path, rows, told = save(plain), np.random.default_rng(3).random((1000, 6), np.float32), []
    with SandboxedModel(str(path), batch=8) as model:
        alone = model.predict({"x": rows})
        together = model.predict({"x": rows}, told.append, lanes=3)
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(alone, softmax(rows @ W), atol=1e-6)
    assert sum(told) == 1000


@pytest.mark.parametrize("dtype", [tf.int8, tf.uint8])
def test_quantized_ends(save, dtype):
    path = save(convert(lambda x: tf.nn.softmax(x @ W), shape=(6,), batch=1, quantize=dtype))
    with SandboxedModel(str(path)) as model:
        assert model.inputs[0].dtype == dtype.name and model.output.scale == 1 / 256
        np.testing.assert_allclose(model.predict({model.inputs[0].name: X}), expected(), atol=0.02)


def test_sixteen_bit_ends(save):
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [concrete(lambda x: tf.nn.softmax(x @ W), tf.TensorSpec([1, 6]))]
    )
    converter.experimental_lower_to_saved_model = False
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([x[None]] for x in X)
    ops = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    converter.target_spec.supported_ops = [ops]
    converter.inference_input_type = converter.inference_output_type = tf.int16
    path = save(converter.convert())
    np.testing.assert_allclose(asked(path), expected(), atol=0.01)

    half = from_functions(
        concrete(
            lambda x: tf.cast(tf.nn.softmax(tf.cast(x, tf.float32) @ W), tf.float16),
            tf.TensorSpec([None, 6], tf.float16),
        )
    )
    np.testing.assert_allclose(asked(save(half)), expected(), atol=2e-3)


def test_raw_bytes_and_numbers_of_words(save):
    table = RNG.normal(size=(50, 3)).astype(np.float32)

    def words(ids):
        return tf.nn.softmax(tf.reduce_mean(tf.gather(table, ids), axis=1))

    ids = RNG.integers(50, size=(20, 7))
    path = save(from_functions(concrete(words, tf.TensorSpec([None, 7], tf.int32))))
    np.testing.assert_allclose(
        asked(path, ids.astype(np.float32)), softmax(table[ids].mean(axis=1)), atol=1e-6
    )
    raw = concrete(lambda x: tf.cast(x, tf.float32) / 255.0, tf.TensorSpec([None, 6], tf.uint8))
    found = asked(save(from_functions(raw)), np.float32([[0, 1, 254, 255, 300, -3]]))
    np.testing.assert_allclose(found * 255, [[0, 1, 254, 255, 255, 0]], atol=1e-3)


def test_several_inputs_and_outputs_by_name(save):
    both = concrete(
        lambda left, right: {"small": left[:, :2], "sum": left + right},
        tf.TensorSpec([None, 6], name="left"),
        tf.TensorSpec([None, 6], name="right"),
    )
    path = save(from_functions(both))
    line = refused(path)
    assert "2 outputs; choose by --output=NAME or its number" in line
    with SandboxedModel(str(path), output="1") as model:
        assert {port.name for port in model.inputs} == {"left", "right"}
        names = [port.name for port in model.outputs]
        rows = {"left": X, "right": 2 * X}
        first = model.predict(rows)
    with SandboxedModel(str(path), output=names[0]) as model:
        second = model.predict(rows)
    widths = {first.shape[1]: first, second.shape[1]: second}
    np.testing.assert_allclose(widths[6], 3 * X, rtol=1e-6)
    np.testing.assert_allclose(widths[2], X[:, :2])
    assert "has no output 'third'" in refused(path, output="third")


@pytest.mark.slow  # loads TensorFlow in several processes
def test_signatures_are_chosen(tmp_path, save):
    class Two(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 6], name="x")])
        def right(self, x):
            return {"p": tf.nn.softmax(x @ W)}

        @tf.function(input_signature=[tf.TensorSpec([None, 6], name="x")])
        def wrong(self, x):
            return {"p": tf.nn.softmax(-x @ W)}

    module = Two()
    tf.saved_model.save(module, str(tmp_path / "two"), {"a": module.wrong, "b": module.right})
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(tmp_path / "two"), signature_keys=["a", "b"]
    )
    path = save(converter.convert())
    assert "2 signatures; choose by --signature=NAME: a, b" in refused(path)
    np.testing.assert_allclose(asked(path, signature="b"), expected(), atol=1e-6)
    np.testing.assert_allclose(asked(tmp_path / "two", signature="b"), expected(), atol=1e-6)
    assert "one of its signatures: a, b" in refused(tmp_path / "two", signature="c")


def test_an_output_with_axes_of_one_is_flattened(save):
    path = save(convert(lambda x: tf.nn.softmax(x @ W)[:, None, None, :]))
    assert asked(path).shape == (37, 3)
    path = save(convert(lambda x: tf.stack([x, x], axis=1)))
    assert "[classes] is expected; is this a classifier?" in refused(path)


@pytest.mark.parametrize(
    ("library", "name"),
    [  # each loads TensorFlow in a process of its own
        (tf_keras, "m.h5"),
        pytest.param(tf_keras, "m.keras", marks=pytest.mark.slow),
        pytest.param(keras, "m.keras", marks=pytest.mark.slow),
    ],
)
def test_keras_files(tmp_path, library, name):
    model = library.Sequential(
        [library.Input((6,)), library.layers.Dense(3, activation="softmax", use_bias=False)]
    )
    model.layers[-1].set_weights([W])
    model.save(tmp_path / name)
    np.testing.assert_allclose(asked(tmp_path / name, batch=8), expected(), atol=1e-6)


# What does not ------------------------------------------------------------------------------------


def test_what_is_no_model(tmp_path, save, plain):
    with pytest.raises(FileNotFoundError, match="no such file"):
        SandboxedModel(str(tmp_path / "absent.tflite"))
    assert "is empty" in refused(save(b""))
    assert "is no model file" in refused(save(b"something else"))
    assert "saved_model.pb" in refused(tmp_path)
    assert "damaged" in refused(save(b"PK\x03\x04 and nothing", "m.keras"))
    assert "damaged" in refused(save(b"\x89HDF\r\n\x1a\nand nothing", "m.h5"))
    refused(save(plain[: len(plain) // 2]))


def test_damaged_files_end_in_one_line(save, plain):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        damaged = bytearray(plain)
        for place in rng.integers(8, 600, size=6):
            damaged[place] = int(rng.integers(256))
        path = save(bytes(damaged))
        try:
            asked(path, seconds=10)
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (SIGSEGV, r"crashed while answering \(Segmentation fault\); the file is damaged"),
        (SIGABRT, r"crashed while answering \(Aborted\)"),
        (SIGKILL, r"needs more than 8 GiB of memory for answering; raise --memory_limit"),
        (SIGALRM, r"no answer within 60 s of answering"),
    ],
)
def test_a_crash_ends_the_worker_only(save, plain, signal, message):
    with SandboxedModel(str(save(plain))) as model:
        os.kill(model._process.pid, signal)
        with pytest.raises(ValueError, match=message):
            model.predict({model.inputs[0].name: X})


def test_an_endless_loop_is_ended(save):
    def endless(x):
        return tf.while_loop(lambda i, y: i > -1.0, lambda i, y: (i + 0.0, y * 1.0), [1.0, x])[1]

    path = save(convert(endless))
    line = refused(path, seconds=1)
    assert "no answer within 1 s" in line and "--time_limit" in line


def test_a_file_that_needs_too_much_memory(save):
    def large(x):
        return tf.reduce_sum(tf.tile(x, [1, 200_000_000]), axis=1, keepdims=True)

    line = refused(save(convert(large)), memory=2**30, batch=1)
    assert "memory" in line or "crashed" in line or "cannot be run" in line


def test_operations_that_the_runtime_lacks_are_named(save):
    function = concrete(tf.linalg.inv, tf.TensorSpec([4, 4]))
    flex = from_functions(
        function,
        target_spec=tf.lite.TargetSpec(
            [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        ),
    )
    line = refused(save(flex))
    assert "FlexMatrixInverse" in line and "Select TF ops" in line
    custom = from_functions(function, allow_custom_ops=True)
    assert "custom operation MatrixInverse" in refused(save(custom))


@pytest.mark.parametrize(("library", "name"), [(keras, "m.keras"), (tf_keras, "m.h5")])
def test_lambda_layers_are_never_run(tmp_path, library, name):
    trap = tmp_path / "ran"
    code = f"lambda x: (open({str(trap)!r}, 'w').close(), x)[1]"
    model = library.Sequential([library.Input((6,)), library.layers.Lambda(eval(code))])
    model.save(tmp_path / name)
    trap.unlink(missing_ok=True)
    assert "Lambda layer, which is code; it is never run" in refused(tmp_path / name)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"module": "os", "class_name": "system", "config": "true"}, "os.system"),
        (
            {"module": "keras.utils", "class_name": "function", "config": "get_file"},
            "the function keras.utils.get_file",
        ),
        (
            {"module": "keras.src.utils.file_utils", "class_name": "x"},
            "names keras.src.utils.file_utils.x",
        ),
        ({"module": "builtins", "class_name": "function", "config": "eval"}, "builtins.eval"),
        ({"class_name": "Dense", "registered_name": "mine>Dense"}, "custom object mine>Dense"),
        ({"class_name": "__lambda__", "config": {"value": "x"}}, "Lambda"),
        (
            {"module": "tensorflow_model_optimization.x", "class_name": "PruneLowMagnitude"},
            "strip_pruning",
        ),
    ],
)
def test_code_in_a_config_is_found_wherever_it_is(part, message):
    with pytest.raises(ValueError, match=message):
        keras_file.refuse_others({"config": {"layers": [{"config": {"activation": part}}]}})


def test_plain_configs_pass():
    for library in (keras, tf_keras):
        inputs = library.Input((8, 8, 1))
        x = library.layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2")(inputs)
        x = library.layers.ReLU(max_value=6)(library.layers.BatchNormalization()(x))
        model = library.Model(inputs, library.layers.Dense(2)(library.layers.Flatten()(x)))
        keras_file.refuse_others(json.loads(model.to_json()))


def test_a_zip_that_unpacks_to_too_much(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("big", b"\0" * 2**21)
    monkeypatch.setattr(keras_file, "LARGEST", 2**20)
    with pytest.raises(ValueError, match="unpacks to more than"):
        keras_file.check(tmp_path / "m.keras", "keras")


def test_links_out_of_an_h5_file_are_refused(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = "{}"
        file["layers"] = h5py.ExternalLink("/etc/passwd", "/")
    assert "link to another file" in refused(tmp_path / "m.h5")


def test_saved_models_that_run_code_are_refused(tmp_path):
    class Trap(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 6], name="x")])
        def call(self, x):
            tf.io.write_file(str(tmp_path / "ran"), "x")
            return {"p": x @ W}

    tf.saved_model.save(Trap(), str(tmp_path / "trap"))
    assert "the operation WriteFile" in refused(tmp_path / "trap")
    assert not (tmp_path / "ran").exists()


def test_nothing_is_left_behind(save, plain):
    path = save(plain)
    before = set(os.listdir("/proc/self/fd"))
    for content in (plain, b"something", plain[:500]):
        save(content)
        try:
            asked(path)
        except ValueError as error:
            assert str(error).startswith(str(path))
    assert set(os.listdir("/proc/self/fd")) == before
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    assert not children.exists() or "sandbox" not in children.read_text()


def test_a_worker_that_answers_nonsense_is_not_believed(save, plain, monkeypatch):
    path = save(plain)
    for answer in (b"[]", b"{", b'{"rows": 0}', b"\xff", b'{"rows": 37, "shape": [1, 2]}'):
        with SandboxedModel(str(path)) as model:
            monkeypatch.setattr(model, "_receive_bytes", lambda *_, a=answer: a)
            with pytest.raises(ValueError, match="answered"):
                model.predict({model.inputs[0].name: X})
