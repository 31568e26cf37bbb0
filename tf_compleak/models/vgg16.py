"""VGG-16 with batch normalization (Simonyan & Zisserman, ICLR 2015, column D; torchvision's _bn).

13 convolutions of 3x3 in five groups of widths w, 2w, 4w, 8w, 8w, a pool after each. Images with
sides below 128 (32x32, 64x64) get one dense layer after the average over what is left of the
image; larger ones (224x224) the paper's two dense layers of 64w before it. There is no dropout: the
normalization does its work, and its masks would make reused graphs depend on what ran before.

Trainable parameters at width 64, equal to the published ones: 14,728,266 for small images and 10
classes (14.73 M, kuangliu/pytorch-cifar), 138,365,992 at 224x224 and 1000 classes (torchvision
`vgg16_bn`). Convolutions have biases there, so they have them here. Moving averages of the
normalization come on top: 8,448 in both.
"""

from tf_compleak.models import fixed_depth, large

DEPTH, WIDTH = 16, 64
GROUPS = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))  # convolutions, multiple of the width


def check(spec) -> None:
    """ValueError for another depth than 16."""
    fixed_depth(spec, DEPTH)


def build(spec, seed: int):
    """Logits of [N, H, W, channels]."""
    from tf_compleak.models import _blocks as b

    seeds = b.Seeds(seed)
    x = inputs = b.layers.Input(spec.input_shape, name="image")
    for group, (count, multiple) in enumerate(GROUPS):
        for index in range(count):
            name = f"group{group + 1}_conv{index + 1}"
            x = b.relu(b.conv_norm(x, seeds, name, multiple * spec.width, bias=True), name)
        x = b.layers.MaxPooling2D(padding="same", name=f"group{group + 1}_pool")(x)
    if large(spec.input_shape):
        x = b.layers.Flatten(name="flatten")(x)
        for name in ("dense1", "dense2"):
            dense = b.layers.Dense(64 * spec.width, kernel_initializer=seeds.he(), name=name)
            x = b.relu(dense(x), name)
    else:
        x = b.layers.GlobalAveragePooling2D(name="pool")(x)
    return b.keras.Model(inputs, b.logits(x, seeds, spec.classes), name=spec.name)
