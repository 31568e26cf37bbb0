"""A net of dense layers for tables [N, F]: `depth` layers, each half as wide as the one before.

The default, 1024, 512, 256, 128 and the classes, is what membership inference is usually tried with
on Purchase-100 and Location-30 (Nasr et al., S&P 2019, section V-A). Shokri et al. (S&P 2017) had
one hidden layer of 128: depth 2, width 128.
"""

from tf_compleak.types import validators

INPUTS = "table"
DEPTH, WIDTH = 5, 1024


def check(spec) -> None:
    """ValueError unless every hidden layer has two units or more."""
    validators.between("--depth (dense)", spec.depth, 2, 12)
    validators.at_least("--width (dense), halved in every layer", spec.width, 2 ** (spec.depth - 1))


def build(spec, seed: int):
    """Logits of [N, F]."""
    from tf_compleak.models import _blocks as b

    seeds = b.Seeds(seed)
    x = inputs = b.layers.Input(spec.input_shape, name="row")
    for index in range(spec.depth - 1):
        name = f"dense{index + 1}"
        size = spec.width // 2**index
        x = b.layers.Dense(size, kernel_initializer=seeds.he(), name=name)(x)
        x = b.relu(x, name)
    return b.keras.Model(inputs, b.logits(x, seeds, spec.classes), name="dense")
