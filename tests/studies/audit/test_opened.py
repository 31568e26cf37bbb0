"""Model files as an audit asks them: block by block, made ready ahead, bytes looked up."""

import numpy as np
import pytest
import tensorflow as tf

from tf_compleak.data import array_files, sides
from tf_compleak.inference import prepare, quantized
from tf_compleak.studies.audit import open_model
from tf_compleak.studies.audit.open_model import Asking, Cores, Opened

RNG = np.random.default_rng(0)
W = RNG.standard_normal((4 * 4 * 3, 5)).astype(np.float32)
X = RNG.integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A full-integer linear classifier of images scaled to 0..1."""

    def forward(x):
        return tf.nn.softmax(tf.reshape(x, [-1, 48]) @ W)

    spec = tf.TensorSpec([None, 4, 4, 3], tf.float32, name="x")
    concrete = tf.function(forward, input_signature=[spec]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.experimental_lower_to_saved_model = False
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([row[None]] for row in np.float32(X[:50]) / 255)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    path = tmp_path_factory.mktemp("opened") / "int8.tflite"
    path.write_bytes(converter.convert())
    return str(path)


def side(x):
    return sides.of_arrays(x, np.arange(len(x)) % 5, "--members")


def asked(file, given, preprocess="auto", first=None):
    sides_of = (first or given, given)
    model = Opened(file, Asking(preprocess=preprocess, batch=7), sides_of)
    try:
        return model.ask(given, 3, len(given))
    finally:
        model.close()


@pytest.mark.parametrize("preprocess", ["auto", *prepare.PREPROCESSES[1:]])
def test_bytes_looked_up_are_bytes_prepared(file, preprocess, monkeypatch):
    quick = asked(file, side(X), preprocess)
    monkeypatch.setattr(prepare, "POINTWISE", ())
    assert np.array_equal(quick, asked(file, side(X), preprocess))


def test_sides_of_other_number_types_are_asked_alike(file):
    as_bytes, as_floats = side(X), side(np.float32(X) / 255)
    mixed = asked(file, as_floats, first=as_bytes)
    assert np.array_equal(mixed, asked(file, as_bytes))


def test_blocks_come_in_order(file, monkeypatch):
    whole = asked(file, side(X))
    monkeypatch.setattr(open_model, "HELD", 4 * 48 * 20)  # blocks of 14
    assert np.array_equal(asked(file, side(X)), whole)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
def test_a_table_gives_what_quantizing_gives(dtype):
    detail = {"dtype": dtype, "quantization": (1 / 200, 3)}
    table = quantized.table(prepare.function("-1-1"), detail)
    found = quantized.looked_up(table, X)
    assert found.dtype == dtype
    assert np.array_equal(found, quantized.quantized(prepare.function("-1-1")(X), detail))


def test_pages_of_a_mapped_file_do_not_stay_in_memory(tmp_path):
    """Anonymous memory aside: what was read of a mapped file counts as resident until let go."""

    def mapped():
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("RssFile"))

    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (40_000, 32, 32, 3))
    x[:] = 7  # 117 MiB
    x.flush()
    del x
    given = side(array_files.mapped(tmp_path / "x.npy"))
    before = mapped()
    total = sum(int(block["x"].sum(dtype=np.int64)) for block in given.blocks())
    assert total == 7 * 40_000 * 32 * 32 * 3
    assert mapped() - before < 40_000  # KiB


def test_a_file_that_is_asked_alone_has_the_cores_of_all():
    cores = Cores(Asking(threads=2, workers=3))
    with cores.in_use():
        assert cores.share() == 6
        with cores.in_use(), cores.in_use():
            assert cores.share() == 2
            with cores.in_use():
                assert cores.share() == 2  # no less than its threads
        assert cores.share() == 6
