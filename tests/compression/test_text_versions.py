"""Versions of text models, read back from the exported flatbuffer; run through LiteRT."""

import flatbuffer
import numpy as np
import pytest

from tf_compleak.compression import Tuning, compress, recipes
from tf_compleak.inference.interpreter import TFLiteModel
from tf_compleak.inference.observe import observe, softmax
from tf_compleak.models import ModelSpec, TextSpec, build
from tf_compleak.models.trainer import Optimization
from tf_compleak.models.training import train
from tf_compleak.types import seeds

LENGTH, TOKENS, CLASSES = 10, 60, 2
TUNING = Tuning(*(Optimization(2, 25, 1e-3, 0.9, 0.01, optimizer="adamw") for _ in range(3)))
NAMES = (
    *("original", "pruning-0.60", "clustering-8"),
    *("int8-ptq", "dynamic-ptq", "int8-qat", "float16-ptq"),
)
QUICK = ("original", "pruning-0.60", "int8-ptq")  # the others of text models are slow
DENSE = {"bert": 4, "gpt2": 3}  # inner, outer, (pooled,) logits
ATTENTION = 4  # query, key, value, output


def spec(kind):
    return ModelSpec(kind, 1, 32, (LENGTH,), CLASSES, TextSpec(TOKENS, LENGTH, 2, 64))


def data():
    """Texts whose class one of two words gives away."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, LENGTH + 1, size=300)
    x = rng.integers(3, TOKENS, size=(300, LENGTH)) * (np.arange(LENGTH) < lengths[:, None])
    y = rng.integers(2, size=300)
    x[:, 1] = 1 + y
    return np.int32(x), y


@pytest.fixture(
    scope="module",
    params=[
        ("bert", QUICK),
        *(pytest.param((kind, NAMES), marks=pytest.mark.slow) for kind in DENSE),
    ],
    ids=lambda param: f"{param[0]}-{len(param[1])}",
)
def made(request):
    """(kind, weights, versions) of a trained small model."""
    kind, names = request.param
    x, y = data()
    settings = Optimization(12, 20, 1e-2, 0.9, 0.01, optimizer="adamw")
    parts = (x[:150], y[:150]), (x[150:200], y[150:200])
    weights, _ = train(spec(kind), settings, *parts, seeds.generator(0, "train"))
    return kind, weights, {name: version(name, kind, weights) for name in names}


def version(name, kind, weights):
    """The file of a version."""
    x, y = data()
    rng = seeds.generator(0, "version", name)
    examples = (x[:150], y[:150])
    return compress(recipes.parse(name), weights, spec(kind), TUNING, examples, x[150:200], rng)


def outputs(content, x, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    model = TFLiteModel(str(path))
    assert model.batch == 64  # the batch is free
    return observe(model, x, "probabilities"), model.resolution


def test_every_version_runs_and_knows_its_step(made, tmp_path):
    kind, weights, versions = made
    x, y = data()
    model = build(spec(kind))
    model.set_weights(weights)
    expected = softmax(model(x[200:]).numpy())
    for name, content in versions.items():
        found, step = outputs(content, x[200:], tmp_path)
        assert (found.argmax(axis=1) == y[200:]).mean() > 0.8, name
        assert step == (pytest.approx(1 / 256) if name.startswith("int8") else 0), name
        if name == "original":
            np.testing.assert_allclose(found, expected, atol=1e-4)
        if name in ("int8-ptq", "dynamic-ptq"):
            assert np.abs(found - expected).mean() < 0.02, name


def test_attention_dense_layers_and_embeddings_are_pruned_and_clustered(made):
    """Every kernel that tfmot knows, the embedding tables among them; biases and norms are not."""
    kind, _, versions = made
    for name in versions.keys() & {"original", "pruning-0.60", "clustering-8"}:
        kernels, tables = flatbuffer.kernels(versions[name]), flatbuffer.tables(versions[name])
        assert len(kernels) == ATTENTION + DENSE[kind] and len(tables) == 2, name
        for tensor, values in {**kernels, **tables}.items():
            if name == "pruning-0.60":
                assert abs((values == 0).mean() - 0.6) <= 0.02, tensor
            elif name == "clustering-8":
                assert len(np.unique(values)) <= 8, tensor
            else:
                assert (values == 0).mean() < 0.1 and len(np.unique(values)) > 16, tensor


def test_what_is_int8(made):
    _, _, versions = made
    dense = ("inner", "outer", "pooled", "logits")
    for name, content in flatbuffer.kernels(versions["int8-ptq"]).items():
        assert content.dtype == np.int8, name
    assert "INT8" in flatbuffer.activation_types(versions["int8-ptq"])
    if "int8-qat" not in versions:
        return
    for name, content in flatbuffer.kernels(versions["int8-qat"]).items():
        quantized = any(part in name for part in dense)
        assert (content.dtype == np.int8) == quantized, name
    big = [k for k in flatbuffer.kernels(versions["dynamic-ptq"]).values() if k.size >= 1024]
    assert big and {kernel.dtype for kernel in big} == {np.dtype(np.int8)}


def test_a_warm_graph_gives_what_a_cold_one_gives(made):
    kind, weights, versions = made
    for name in versions.keys() & {"pruning-0.60", "clustering-8", "int8-qat"}:
        assert version(name, kind, weights) == versions[name], name
