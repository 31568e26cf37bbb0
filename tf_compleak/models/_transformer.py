"""What BERT and GPT-2 share: parts of layers that tfmot prunes and clusters, and their weights.

Names of layers differ from keras-nlp's as `PARTS` says; shapes are the same. There is no dropout
on attention weights (keras-nlp has it): a wrapped `MultiHeadAttention` could not keep its state.
"""

from __future__ import annotations

import functools
import re

import numpy as np

from tf_compleak.models.keras2 import keras
from tf_compleak.models.layers import Gelu, Positions, Reshaped, SeededDropout
from tf_compleak.types import validators

layers = keras.layers
PARTS = {
    "attention_norm": "self_attention_layer_norm",
    "inner": "feedforward_intermediate_dense",
    "outer": "feedforward_output_dense",
    "norm": "feedforward_layer_norm",
}
SPREAD = 0.02  # standard deviation of first weights (Devlin et al., 2019; Radford et al., 2019)


def token_and_position_embeddings(ids, spec):
    """Token plus position embeddings of ids [N, T]: f32[N, T, W]."""
    text = spec.text
    tokens = layers.Embedding(text.vocabulary, spec.width, name="token_embedding")(ids)
    positions = Positions(name="positions")(ids)
    positions = layers.Embedding(text.positions, spec.width, name="position_embedding")(positions)
    return layers.Add(name="embeddings_add")([tokens, positions])


def self_attention(x, mask, spec, name: str):
    """Self-attention with dropout after it: [N, T, W] -> [N, T, W]."""
    heads = spec.text.heads
    attention = layers.MultiHeadAttention(heads, spec.width // heads, name=f"{name}_attention")
    return dropout(attention(x, value=x, attention_mask=mask), spec, f"{name}_attention")


def feed_forward(x, spec, name: str):
    """Two dense layers with GELU between and dropout after: [N, T, W] -> [N, T, W]."""
    tokens = x.shape[1:]
    x = Reshaped(tokens[-1:], name=f"{name}_rows")(x)
    x = layers.Dense(spec.text.feed_forward, name=f"{name}_inner")(x)
    x = layers.Dense(spec.width, name=f"{name}_outer")(Gelu(name=f"{name}_gelu")(x))
    return dropout(Reshaped(tokens, name=f"{name}_tokens")(x), spec, name)


def dropout(x, spec, name: str):
    """Dropout with a seed of its own."""
    return SeededDropout(spec.text.dropout, name=f"{name}_dropout")(x)


def with_first_weights(model: keras.Model, spec, seed: int, attention: str) -> keras.Model:
    """The model with its first weights: drawn from `seed`, the backbone's from `text.start`.

    Args:
      attention: what keras-nlp calls the attention of this backbone.
    """
    rng = np.random.default_rng(seed)
    backbone = _backbone(spec.text.start) if spec.text.start else {}
    for variable in model.weights:
        path = _path(variable.name, attention)
        if path in backbone:
            variable.assign(backbone[path])
        elif variable.dtype.is_integer:
            variable.assign([int(rng.integers(2**30)), 0])
        elif "kernel" in path or "embeddings" in path:
            kernel = rng.standard_normal(variable.shape, np.float32)
            variable.assign(SPREAD * np.clip(kernel, -2, 2))
    return model


def _path(name: str, attention: str) -> str:
    """The path in keras-nlp's backbone of our variable."""
    match = re.fullmatch(r"layer(\d+)_(attention|\w+?)/(.+)", name.removesuffix(":0"))
    if not match:
        return name.removesuffix(":0")
    part = PARTS.get(match[2], attention)
    return f"transformer_layer_{match[1]}/{part}/{match[3]}"


@functools.lru_cache(maxsize=1)
def _backbone(path: str) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as saved:
        return for_our_layers({key.replace("|", "/"): saved[key] for key in saved.files})


def for_our_layers(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """keras-nlp's weights for our layers.

    BERT's first segment, the only one that a single text has, is added to the positions. GPT-2's
    tokens move up by one, to leave id 0 to padding.
    """
    weights, table = dict(weights), "position_embedding/embeddings"
    segments = weights.pop("segment_embedding/embeddings", None)
    if segments is not None:
        weights[table] = weights[table] + segments[0]
    else:
        tokens = weights["token_embedding/embeddings"]
        weights["token_embedding/embeddings"] = np.pad(tokens, [(1, 0), (0, 0)])
    return weights


def check(spec) -> None:
    """ValueError unless the sizes fit each other and the sequence the position table."""
    text, length = spec.text, spec.input_shape[0]
    validators.at_least("--depth (layers)", spec.depth, 1)
    validators.at_least("--heads", text.heads, 1)
    if spec.width % text.heads:
        raise ValueError(
            f"--width={spec.width}: cannot be split among --heads={text.heads}; make it a multiple."
        )
    validators.between("--dropout", text.dropout, 0, 0.9)
    if length > text.positions:
        raise ValueError(
            f"--sequence_length={length}: longer than the position table ({text.positions} "
            "positions); lower it."
        )
