"""What the convolutional architectures share: seeded convolutions with batch normalization."""

from collections.abc import Callable, Sequence

from tf_compleak.models import large
from tf_compleak.models.keras2 import keras

layers = keras.layers


class Seeds:
    """Consecutive initializer seeds, so that equal model seeds give equal initial weights."""

    def __init__(self, seed: int):
        self._next = seed

    def he(self) -> keras.initializers.Initializer:
        """He et al. (ICCV 2015) normal initializer with a seed of its own."""
        self._next += 1
        return keras.initializers.HeNormal(seed=self._next)


def conv_norm(
    x, seeds: Seeds, name: str, width: int, size: int = 3, stride: int = 1, bias: bool = False
):
    """Convolution, then batch normalization: [N, H, W, C] -> [N, H', W', width]."""
    x = layers.Conv2D(
        width,
        size,
        strides=stride,
        padding="same",
        use_bias=bias,
        kernel_initializer=seeds.he(),
        name=name,
    )(x)
    return norm(x, name)


def depthwise_norm(x, seeds: Seeds, name: str, stride: int = 1):
    """3x3 convolution of every channel by itself, then batch normalization."""
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=seeds.he(),
        name=name,
    )(x)
    return norm(x, name)


def norm(x, name: str):
    """Batch normalization with the momentum of short trainings."""
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)


def relu(x, name: str, top: float | None = None):
    """Rectified linear unit (cut off at `top`) as a layer, which `quantize_model` recognizes."""
    return layers.ReLU(top, name=f"{name}_relu")(x)


def logits(x, seeds: Seeds, classes: int):
    """The last dense layer: [N, C] -> [N, classes]."""
    return layers.Dense(classes, kernel_initializer=seeds.he(), name="logits")(x)


def basic_block(x, seeds: Seeds, name: str, width: int, stride: int):
    """Two 3x3 convolutions and a shortcut (He et al., CVPR 2016, figure 5, left)."""
    y = relu(conv_norm(x, seeds, f"{name}_conv1", width, stride=stride), f"{name}_conv1")
    y = conv_norm(y, seeds, f"{name}_conv2", width)
    return _joined(x, y, seeds, name, stride)


def bottleneck_block(x, seeds: Seeds, name: str, width: int, stride: int):
    """1x1, 3x3 and 1x1 convolutions to 4 `width`, and a shortcut (figure 5, right).

    The 3x3 convolution has the stride, as in torchvision and most published figures ("v1.5").
    """
    y = relu(conv_norm(x, seeds, f"{name}_conv1", width, size=1), f"{name}_conv1")
    y = relu(conv_norm(y, seeds, f"{name}_conv2", width, stride=stride), f"{name}_conv2")
    y = conv_norm(y, seeds, f"{name}_conv3", 4 * width, size=1)
    return _joined(x, y, seeds, name, stride)


def _joined(x, y, seeds, name, stride):
    """Shortcuts that change shape are 1x1 convolutions (option B)."""
    width = y.shape[-1]
    if stride != 1 or x.shape[-1] != width:
        x = conv_norm(x, seeds, f"{name}_shortcut", width, size=1, stride=stride)
    return relu(layers.Add(name=f"{name}_add")([x, y]), name)


def residual_net(spec, seed: int, blocks: Sequence[int], block: Callable) -> keras.Model:
    """A residual net: a stem, `blocks[i]` blocks of width w 2^i in stage i, pool, dense layer.

    The first block of every stage but the first halves the image. The stem is a 3x3 convolution;
    for large images (`models.large`) of four-stage nets a 7x7 one and a pool, stride 2 each.
    """
    seeds = Seeds(seed)
    x = inputs = layers.Input(spec.input_shape, name="image")
    if len(blocks) == 4 and large(spec.input_shape):
        x = relu(conv_norm(x, seeds, "stem", spec.width, size=7, stride=2), "stem")
        x = layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    else:
        x = relu(conv_norm(x, seeds, "stem", spec.width), "stem")
    for stage, count in enumerate(blocks):
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            name = f"stage{stage + 1}_block{index + 1}"
            x = block(x, seeds, name, spec.width * 2**stage, stride)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, logits(x, seeds, spec.classes), name=spec.name)
