"""Versions made by tfmot and the converter, read back from the exported flatbuffer."""

import flatbuffer
import numpy as np
import pytest
from sklearn.datasets import load_digits

from tf_compleak.compression import Tuning, _wrapping, clustering, compress, pruning, recipes
from tf_compleak.inference.interpreter import TFLiteModel
from tf_compleak.inference.observe import observe, softmax
from tf_compleak.models import ModelSpec, build
from tf_compleak.models.trainer import Optimization
from tf_compleak.models.training import train
from tf_compleak.types import seeds

SPEC = ModelSpec("resnet", 8, 8, (8, 8, 1), 10)
TUNING = Tuning(*(Optimization(8, 32, rate) for rate in (1e-2, 1e-3, 1e-3)))
ALL = recipes.ALL
SPARSITIES = {name: float(name[-4:]) for name in ALL if name.startswith("pruning")}
BETWEEN = ("pruning-0.70", "pruning-0.80", "clustering-8")
CLUSTERS = {name: int(name.split("-")[1]) for name in ALL if name.startswith("clustering")}


@pytest.fixture(scope="module")
def data():
    digits = load_digits()
    x = np.float32(digits.images[..., None] / 16)
    order = seeds.generator(0, "test").permutation(len(x))
    return x[order], digits.target[order]


@pytest.fixture(scope="module")
def weights(data):
    x, y = data
    part = slice(0, 600), slice(600, 800)
    return train(
        SPEC,
        Optimization(15, 32, 0.1),
        *((x[p], y[p]) for p in part),
        seeds.generator(0, "train"),
    )[0]


def make(name, weights, data, seed=0):
    x, y = data
    return compress(
        recipes.parse(name),
        weights,
        SPEC,
        TUNING,
        (x[:600], y[:600]),
        x[600:700],
        seeds.generator(seed, "version", name),
    )


class Versions(dict):
    """Every version is made when it is first asked for."""

    def __init__(self, weights, data):
        super().__init__()
        self.weights, self.data = weights, data

    def __missing__(self, name):
        self[name] = make(name, self.weights, self.data)
        return self[name]


@pytest.fixture(scope="module")
def versions(weights, data):
    return Versions(weights, data)


WARM = ("pruning-0.60", "clustering-16", "int8-qat", "int8-ptq")


def by_level(names):
    """Levels between the least and the greatest are slow: the same graph with another number."""
    return pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=pytest.mark.slow) if name in BETWEEN else name
            for name in sorted(names)
        ],
    )


def outputs(content, x, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    return observe(TFLiteModel(str(path)), x, "probabilities")


@by_level(ALL)
def test_every_kernel_is_exported(versions, name):
    assert len(flatbuffer.kernels(versions[name])) == 10  # 9 convolutions and the dense layer


@by_level(SPARSITIES)
def test_pruned_kernels_have_the_asked_share_of_zeros(versions, name):
    for tensor, kernel in flatbuffer.kernels(versions[name]).items():
        assert abs((kernel == 0).mean() - SPARSITIES[name]) <= 0.01, tensor


@by_level(CLUSTERS)
def test_clustered_kernels_have_at_most_k_values(versions, name):
    for tensor, kernel in flatbuffer.kernels(versions[name]).items():
        assert len(np.unique(kernel)) <= CLUSTERS[name], tensor


def test_plain_kernels_are_neither_sparse_nor_shared(versions):
    """The two tests above can fail: the original would."""
    for kernel in flatbuffer.kernels(versions["original"]).values():
        assert (kernel == 0).mean() < 0.01
        assert len(np.unique(kernel)) > 16


@pytest.mark.parametrize("name", ["int8-qat", "int8-ptq", "dynamic-ptq"])
def test_int8_is_int8(versions, name):
    least = 1024 if name == "dynamic-ptq" else 0  # the converter leaves smaller kernels alone
    kernels = [k for k in flatbuffer.kernels(versions[name]).values() if k.size >= least]
    assert {kernel.dtype for kernel in kernels} == {np.dtype(np.int8)}
    types = flatbuffer.activation_types(versions[name])
    assert ("INT8" in types) == (name != "dynamic-ptq")
    assert ("FLOAT32" in types) == (name == "dynamic-ptq")


def test_the_step_of_int8_outputs_is_known(versions, data, tmp_path):
    """Probabilities of a fully quantized file come in steps; its resolution says so."""
    for name in ("int8-qat", "int8-ptq", "dynamic-ptq", "original"):
        steps = 256 * outputs(versions[name], data[0][:200], tmp_path)
        stepped = np.allclose(steps, np.rint(steps), atol=1e-3)
        resolution = TFLiteModel(str(tmp_path / "model.tflite")).resolution
        assert stepped == name.startswith("int8"), name
        assert resolution == (pytest.approx(1 / 256) if stepped else 0), name


def test_float16_is_float16(versions):
    kernels = flatbuffer.kernels(versions["float16-ptq"]).values()
    assert {kernel.dtype for kernel in kernels} == {np.dtype(np.float16)}


def test_original_agrees_with_keras(versions, weights, data, tmp_path):
    model = build(SPEC)
    model.set_weights(weights)
    expected = softmax(model.predict(data[0][:300], verbose=0))
    got = outputs(versions["original"], data[0][:300], tmp_path)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_clustered_file_agrees_with_keras(weights, data, tmp_path):
    """Writing batch normalization as a depthwise convolution changes nothing."""
    from tf_compleak.compression import tflite

    model = build(SPEC)
    model.set_weights(weights)
    expected = softmax(model.predict(data[0][:300], verbose=0))
    got = outputs(tflite.export_unfolded(SPEC, weights), data[0][:300], tmp_path)
    np.testing.assert_allclose(got, expected, atol=1e-4)


@by_level(ALL)
def test_every_version_keeps_most_of_the_accuracy(versions, data, name, tmp_path):
    x, y = data
    accuracy = (outputs(versions[name], x[800:], tmp_path).argmax(axis=1) == y[800:]).mean()
    assert accuracy > (0.5 if name in ("pruning-0.90", "clustering-4") else 0.8)


@pytest.mark.slow
def test_a_warm_graph_gives_what_a_cold_one_gives(versions, weights, data):
    """Reusing a traced graph for another family and level leaves nothing behind."""
    for name in WARM:
        versions[name]
    other = [w[..., ::-1].copy() for w in weights]
    for name in ("pruning-0.90", "clustering-16", "int8-qat"):
        make(name, other, data, seed=7)
    for name in WARM:
        assert make(name, weights, data) == versions[name], name


@pytest.mark.slow
def test_stripping_equals_tfmots(weights, data):
    """The weights taken out of the wrappers are those of tfmot's own strip functions."""
    import tensorflow_model_optimization as tfmot

    x, y = data
    examples = x[:600], y[:600]
    rng = seeds.generator(0, "strip")
    recipe = recipes.Pruning(0.7)
    pruned = pruning.prune(recipe, weights, SPEC, TUNING.pruning, examples, rng)
    trainer, _, _ = pruning._pruner(SPEC, TUNING.pruning, TUNING.pruning.steps(600))
    expected = tfmot.sparsity.keras.strip_pruning(trainer.model).get_weights()
    for ours, theirs in zip(pruned, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    recipe = recipes.Clustering(5)
    ours = clustering.cluster(recipe, weights, SPEC, TUNING.clustering, examples, rng)
    trainer, _ = clustering._clusterer(SPEC, TUNING.clustering, 5)
    stripped = tfmot.clustering.keras.strip_clustering(trainer.model)
    model = build(SPEC)
    model.set_weights(ours)
    for layer in model.layers:
        theirs = stripped.get_layer(layer.name).get_weights()
        for value, other in zip(
            sorted(layer.get_weights(), key=np.size), sorted(theirs, key=np.size), strict=True
        ):
            np.testing.assert_allclose(value, other, atol=1e-6)


@pytest.mark.parametrize(
    ("epochs", "count"),
    [
        (2, 333),
        # Other numbers of steps: traced anew for each, 5 s a row.
        pytest.param(1, 70, marks=pytest.mark.slow),
        pytest.param(3, 190, marks=pytest.mark.slow),
    ],
)
def test_pruning_reaches_its_sparsity_whatever_the_number_of_steps(weights, data, epochs, count):
    x, y = data
    tuning = Optimization(epochs, 32, 1e-3)
    rng = seeds.generator(0, "steps")
    recipe, examples = recipes.Pruning(0.8), (x[:count], y[:count])
    pruned = pruning.prune(recipe, weights, SPEC, tuning, examples, rng)
    for name, value in zip(_wrapping.names(SPEC), pruned, strict=True):
        if "kernel" in name:
            assert abs((value == 0).mean() - 0.8) <= 0.01, name


def test_recipe_names():
    for name in ALL:
        assert str(recipes.parse(name)) == name
    assert str(recipes.parse("pruning-.5")) == "pruning-0.50"
    with pytest.raises(ValueError, match="Did you mean 'int8-qat'"):
        recipes.parse("int8-qta")
    with pytest.raises(ValueError, match="sparsity"):
        recipes.parse("pruning-1.50")
    with pytest.raises(ValueError, match="clusters"):
        recipes.parse("clustering-1")
