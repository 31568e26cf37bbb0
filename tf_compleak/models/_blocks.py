"""What the convolutional architectures share: a seeded convolution with batch normalization."""

from tf_compleak._keras import keras

layers = keras.layers


class Seeds:
    """Consecutive initializer seeds, so that equal model seeds give equal initial weights."""

    def __init__(self, seed: int):
        self._next = seed

    def he(self) -> keras.initializers.Initializer:
        """He et al. (ICCV 2015) normal initializer with a seed of its own."""
        self._next += 1
        return keras.initializers.HeNormal(seed=self._next)


def conv_norm(x, seeds: Seeds, name: str, width: int, size: int = 3, stride: int = 1):
    """Convolution without bias, then batch normalization: [N, H, W, C] -> [N, H', W', width]."""
    x = layers.Conv2D(
        width,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=seeds.he(),
        name=name,
    )(x)
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)


def relu(x, name: str):
    """Rectified linear unit as a layer of its own, which `quantize_model` recognizes."""
    return layers.ReLU(name=f"{name}_relu")(x)


def logits(x, seeds: Seeds, classes: int):
    """The last dense layer: [N, C] -> [N, classes]."""
    return layers.Dense(classes, kernel_initializer=seeds.he(), name="logits")(x)
