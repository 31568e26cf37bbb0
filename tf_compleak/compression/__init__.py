"""Versions: the bytes of a `.tflite` file, made from trained weights by a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tf_compleak.compression import recipes

if TYPE_CHECKING:
    from tf_compleak.models import ModelSpec
    from tf_compleak.models.trainer import Optimization, Weights


@dataclass(frozen=True)
class Tuning:
    """How each kind of recipe is fine-tuned (CompLeak, section 6.1, has its own learning rates)."""

    pruning: Optimization
    clustering: Optimization
    quantization: Optimization


@dataclass(frozen=True)
class LeftAlone:
    """Kernels that a recipe does not change: weights of two dimensions or more, by name.

    `share` is their part of the weights of all kernels.
    """

    kernels: tuple[str, ...] = ()
    share: float = 0.0


def left_alone(recipe: recipes.Recipe, spec: ModelSpec) -> LeftAlone:
    """What pruning and clustering leave as it is, such as depthwise kernels: tfmot cannot."""
    if not isinstance(recipe, (recipes.Pruning, recipes.Clustering)):
        return LeftAlone()
    from tf_compleak.compression import _wrapping, tflite

    sizes, names = {}, []
    for layer in tflite.plain(spec)[0].layers:
        for variable in layer.trainable_variables:
            if len(variable.shape) > 1:
                name = variable.name.removesuffix(":0")
                sizes[name] = int(np.prod(variable.shape))
                names += [] if isinstance(layer, _wrapping.KERNEL_LAYERS) else [name]
    return LeftAlone(tuple(names), sum(map(sizes.get, names)) / sum(sizes.values()))


def compress(
    recipe: recipes.Recipe,
    weights: Weights,
    spec: ModelSpec,
    tuning: Tuning,
    examples: tuple[np.ndarray, np.ndarray],
    calibration: np.ndarray,
    rng: np.random.Generator,
    on_epoch=lambda epoch: None,
) -> bytes:
    """The `.tflite` bytes of one version; its output is probabilities, its batch size free.

    Args:
      weights: the trained original's, in the order of `build(spec).get_weights()`.
      examples: x f32[N, ...], y int[N] of the members, for fine-tuning.
      calibration: f32[M, ...] for the activation ranges of full-integer quantization.
      on_epoch: told every epoch of fine-tuning.
    """
    from tf_compleak.compression import clustering, pruning, quantization, tflite

    match recipe:
        case recipes.Original():
            return tflite.export(spec, weights)
        case recipes.Pruning():
            pruned = pruning.prune(recipe, weights, spec, tuning.pruning, examples, rng, on_epoch)
            return tflite.export(spec, pruned)
        case recipes.Clustering():
            clustered = clustering.cluster(
                recipe, weights, spec, tuning.clustering, examples, rng, on_epoch
            )
            unfolded = spec.kind == "image"  # only these have batch normalization
            return (tflite.export_unfolded if unfolded else tflite.export)(spec, clustered)
        case recipes.QuantizationAware():
            return quantization.quantize_aware(
                weights, spec, tuning.quantization, examples, rng, on_epoch
            )
        case recipes.PostTraining():
            return tflite.export(spec, weights, recipe, calibration)
