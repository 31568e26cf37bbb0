"""GPT-2 (Radford et al., 2019) as a classifier: keras-nlp's `GPT2Backbone` and a dense layer.

The depth is the number of layers, the width the hidden size. Every token sees those before it; the
dense layer is on the last one, `<|endoftext|>`.
"""

INPUTS = "tokens"
DEPTH, WIDTH = 2, 128


def check(spec) -> None:
    """ValueError unless the sizes fit each other."""
    from tf_compleak.models import _transformer

    _transformer.check(spec)


def build(spec, seed: int):
    """Logits of token ids int32[N, T], 0 for padding."""
    from tf_compleak.models import _transformer as transformer
    from tf_compleak.models.layers import LastToken, Mask

    def norm(x, name):
        return transformer.layers.LayerNormalization(epsilon=1e-5, name=name)(x)

    ids = transformer.layers.Input(spec.input_shape, dtype="int32", name="ids")
    mask = Mask(causal=True, name="mask")(ids)
    x = transformer.dropout(
        transformer.token_and_position_embeddings(ids, spec), spec, "embeddings"
    )
    for index in range(spec.depth):
        name = f"layer{index}"
        y = transformer.self_attention(norm(x, f"{name}_attention_norm"), mask, spec, name)
        x = transformer.layers.Add(name=f"{name}_attention_add")([x, y])
        y = transformer.feed_forward(norm(x, f"{name}_norm"), spec, name)
        x = transformer.layers.Add(name=f"{name}_add")([x, y])
    x = LastToken(name="last")(norm(x, "layer_norm"), ids=ids)
    x = transformer.layers.Activation("linear", name="last_value")(
        x
    )  # tfmot can give it an INT8 range
    model = transformer.keras.Model(
        ids, transformer.layers.Dense(spec.classes, name="logits")(x), name="gpt2"
    )
    return transformer.with_first_weights(model, spec, seed, "self_attention")
