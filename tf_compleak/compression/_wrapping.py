"""Moving weights between an architecture and its tfmot-wrapped twin, by the variables' names."""

import functools

import numpy as np

from tf_compleak.models import ModelSpec, build
from tf_compleak.models.keras2 import keras
from tf_compleak.models.trainer import Weights

KERNEL_LAYERS = (
    *(keras.layers.Conv2D, keras.layers.Dense),
    *(keras.layers.MultiHeadAttention, keras.layers.Embedding),
)


@functools.lru_cache(maxsize=4)
def names(spec: ModelSpec) -> tuple[str, ...]:
    """Names of the architecture's variables, in the order of `get_weights()`."""
    return tuple(variable.name for variable in build(spec).weights)


@functools.lru_cache(maxsize=4)
def kernels(spec: ModelSpec) -> tuple[str, ...]:
    """Names of the variables that pruning and clustering change."""
    return tuple(
        variable.name
        for layer in build(spec).layers
        if isinstance(layer, KERNEL_LAYERS)
        for variable in layer.trainable_variables
        if len(variable.shape) > 1 and not variable.name.endswith("bias:0")
    )


def kernel_variables(model: keras.Model, spec: ModelSpec) -> list:
    """The variables of `kernels` inside a wrapped model."""
    variables = _by_name(model)
    return [variables[name] for name in kernels(spec)]


def snapshot(model: keras.Model) -> list[np.ndarray]:
    """The values of all variables of a wrapped model, masks and ranges included."""
    return [variable.numpy() for variable in model.weights]


def restore(model: keras.Model, pristine: list, spec: ModelSpec, weights: Weights) -> None:
    """Put a wrapped model back to its snapshot, then give it the weights of an architecture."""
    for variable, value in zip(model.weights, pristine, strict=True):
        variable.assign(value)
    variables = _by_name(model)
    for name, value in zip(names(spec), weights, strict=True):
        if name not in variables:
            raise ValueError(
                f"tfmot replaces the layer of {name.removesuffix(':0')} by others; build the model "
                "from these, such as DepthwiseConv2D and Conv2D for SeparableConv2D."
            )
        variables[name].assign(value)


def base_weights(model: keras.Model, spec: ModelSpec) -> Weights:
    """The architecture's weights inside a wrapped model, in the order of `get_weights()`."""
    variables = _by_name(model)
    return [variables[name].numpy() for name in names(spec)]


def _by_name(model: keras.Model) -> dict:
    return {variable.name: variable for variable in model.weights}
