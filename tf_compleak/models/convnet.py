"""A small convolutional net: `depth - 1` convolutions, a pool after every second, a dense layer."""

from tf_compleak.types import validators

DEPTH, WIDTH = 5, 16


def check(spec) -> None:
    """ValueError unless the depth fits the image."""
    validators.between("--depth (convnet)", spec.depth, 2, 21)
    pools = (spec.depth - 1) // 2
    if min(spec.input_shape[:2]) < 2**pools:
        raise ValueError(
            f"--depth={spec.depth}: halves the image {pools} times, which {spec.input_shape} is "
            "too small for; lower it."
        )


def build(spec, seed: int):
    """Logits of [N, H, W, channels]; the width doubles after every halving."""
    from tf_compleak.models import _blocks as b

    seeds = b.Seeds(seed)
    x = inputs = b.layers.Input(spec.input_shape, name="image")
    width = spec.width
    for index in range(spec.depth - 1):
        name = f"conv{index + 1}"
        x = b.relu(b.conv_norm(x, seeds, name, width), name)
        if index % 2 == 1:
            x = b.layers.MaxPooling2D(name=f"{name}_pool")(x)
            width *= 2
    x = b.layers.Flatten(name="flatten")(x)
    return b.keras.Model(inputs, b.logits(x, seeds, spec.classes), name="convnet")
