"""BERT (Devlin et al., NAACL 2019) as a classifier: keras-nlp's `BertBackbone` and a dense layer.

The depth is the number of encoder layers, the width the hidden size; the default is BERT-tiny
(Turc et al., 2019). One text, hence one segment, whose embedding is in the position table.
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

    ids, x = ids_and_first_state(spec)
    x = transformer.layers.Dense(spec.width, name="pooled_dense")(x)
    x = transformer.layers.Activation("tanh", name="pooled_tanh")(x)
    x = transformer.layers.Dense(spec.classes, name="logits")(
        transformer.dropout(x, spec, "pooled")
    )
    model = transformer.keras.Model(ids, x, name="bert")
    return transformer.with_first_weights(model, spec, seed, "self_attention_layer")


def ids_and_first_state(spec):
    """Ids and the first token's last hidden state f32[N, W]."""
    from tf_compleak.models import _transformer as transformer
    from tf_compleak.models.layers import FirstToken, Mask

    def norm(x, name):
        return transformer.layers.LayerNormalization(epsilon=1e-12, name=name)(x)

    ids = transformer.layers.Input(spec.input_shape, dtype="int32", name="ids")
    mask = Mask(name="mask")(ids)
    x = transformer.dropout(
        norm(transformer.token_and_position_embeddings(ids, spec), "embeddings_layer_norm"),
        spec,
        "embeddings",
    )
    for index in range(spec.depth):
        name = f"layer{index}"
        y = transformer.self_attention(x, mask, spec, name)
        x = norm(
            transformer.layers.Add(name=f"{name}_attention_add")([x, y]), f"{name}_attention_norm"
        )
        y = transformer.feed_forward(x, spec, name)
        x = norm(transformer.layers.Add(name=f"{name}_add")([x, y]), f"{name}_norm")
    return ids, FirstToken(name="first")(x)
