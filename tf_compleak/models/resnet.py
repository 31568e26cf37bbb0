"""ResNet for small images (He et al., CVPR 2016, section 4.2): depth 6n + 2, three stages.

Shortcuts that change shape are 1x1 convolutions with batch normalization (option B). The paper's
CIFAR nets have width 16: ResNet-20 then has 0.27 M parameters.
"""

DEPTH, WIDTH = 8, 16


def check(spec) -> None:
    """ValueError unless the depth is 8, 14, 20, ..."""
    if spec.depth < 8 or (spec.depth - 2) % 6:
        raise ValueError(
            f"--depth: a ResNet for small images has depth 6n + 2 (8, 14, 20, 32, ...), "
            f"got {spec.depth}."
        )


def build(spec, seed: int):
    """Logits of [N, H, W, channels]; widths w, 2w, 4w, halved at the start of stages 2 and 3."""
    from tf_compleak.models import _blocks as b

    seeds = b.Seeds(seed)
    inputs = b.layers.Input(spec.input_shape, name="image")
    x = b.relu(b.conv_norm(inputs, seeds, "stem", spec.width), "stem")
    for stage in range(3):
        for block in range((spec.depth - 2) // 6):
            stride = 2 if stage > 0 and block == 0 else 1
            name = f"stage{stage + 1}_block{block + 1}"
            x = _block(b, x, seeds, name, spec.width * 2**stage, stride)
    x = b.layers.GlobalAveragePooling2D(name="pool")(x)
    return b.keras.Model(inputs, b.logits(x, seeds, spec.classes), name="resnet")


def _block(b, x, seeds, name, width, stride):
    y = b.relu(b.conv_norm(x, seeds, f"{name}_conv1", width, stride=stride), f"{name}_conv1")
    y = b.conv_norm(y, seeds, f"{name}_conv2", width)
    if stride != 1 or x.shape[-1] != width:
        x = b.conv_norm(x, seeds, f"{name}_shortcut", width, size=1, stride=stride)
    return b.relu(b.layers.Add(name=f"{name}_add")([x, y]), name)
