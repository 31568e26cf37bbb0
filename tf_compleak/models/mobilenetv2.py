"""MobileNetV2 (Sandler et al., CVPR 2018, table 2): inverted residuals on depthwise convolutions.

The width multiplier is `--width` / 32: width 32 is 1.0, and 11, 16, 24 give the layers of the
published 0.35, 0.5, 0.75. Channels are rounded to multiples of 8 as in the paper's code; the last
convolution keeps its 1280 below 1.0.

Images with sides below 128 (32x32, 64x64) are halved three times instead of five: the stem and the
stage of 24 channels have stride 1 (as in kuangliu/ and chenyaofo/pytorch-cifar-models). Parameters
are the same for both stems, and equal the published ones at width 32: 2,236,682 trainable with 10
classes (2.24 M, chenyaofo/pytorch-cifar-models), 3,504,872 with 1000 (torchvision and
tf_keras.applications). Moving averages of the normalization come on top: 34,112.

The Model Optimization Toolkit neither prunes nor clusters depthwise kernels: a version's record
names them.
"""

from tf_compleak.models import fixed_depth, large

DEPTH, WIDTH = 53, 32
STAGES = (  # expansion, channels, blocks, stride
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


def check(spec) -> None:
    """ValueError for another depth than 53."""
    fixed_depth(spec, DEPTH)


def build(spec, seed: int):
    """Logits of [N, H, W, channels]."""
    from tf_compleak.models import _blocks as b

    seeds, multiplier = b.Seeds(seed), spec.width / WIDTH
    x = inputs = b.layers.Input(spec.input_shape, name="image")
    first = 2 if large(spec.input_shape) else 1
    x = b.relu(b.conv_norm(x, seeds, "stem", _rounded(32 * multiplier), stride=first), "stem", 6)
    for stage, (expansion, channels, blocks, stride) in enumerate(STAGES):
        stride = first if channels == 24 else stride
        for index in range(blocks):
            name = f"stage{stage + 1}_block{index + 1}"
            width = _rounded(channels * multiplier)
            x = _block(b, x, seeds, name, expansion, width, stride if index == 0 else 1)
    last = _rounded(1280 * max(1.0, multiplier))
    x = b.relu(b.conv_norm(x, seeds, "last", last, size=1), "last", 6)
    x = b.layers.GlobalAveragePooling2D(name="pool")(x)
    return b.keras.Model(inputs, b.logits(x, seeds, spec.classes), name=spec.name)


def _block(b, x, seeds, name, expansion, width, stride):
    """Expand by 1x1, convolve depthwise, project by 1x1 without activation; add where it fits."""
    y, before = x, x.shape[-1]
    if expansion > 1:
        y = b.conv_norm(y, seeds, f"{name}_expand", expansion * before, size=1)
        y = b.relu(y, f"{name}_expand", 6)
    y = b.depthwise_norm(y, seeds, f"{name}_depthwise", stride)
    y = b.relu(y, f"{name}_depthwise", 6)
    y = b.conv_norm(y, seeds, f"{name}_project", width, size=1)
    if stride == 1 and before == width:
        return b.layers.Add(name=f"{name}_add")([x, y])
    return y


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, at least 8 and no more than a tenth below."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
