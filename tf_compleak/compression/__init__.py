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
    pruned = recipes.step(recipe, recipes.Pruned)
    if not (pruned or recipes.step(recipe, recipes.Clustering)):
        return LeftAlone()
    from tf_compleak.compression import _wrapping, pruning, tflite

    def changed(layer) -> bool:
        return (
            pruning.wrapped(pruned, layer) if pruned else isinstance(layer, _wrapping.KERNEL_LAYERS)
        )

    sizes, names = {}, []
    for layer in tflite.plain(spec)[0].layers:
        for variable in layer.trainable_variables:
            if len(variable.shape) > 1:
                name = variable.name.removesuffix(":0")
                sizes[name] = int(np.prod(variable.shape))
                names += [] if changed(layer) else [name]
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
    from tf_compleak.compression import clustering, pruning

    pruned = clusters = None
    for step in recipes.steps(recipe):
        match step:
            case recipes.Pruning() | recipes.PatternPruning():
                pruned, tuned = step, tuning.pruning
                weights = pruning.prune(step, weights, spec, tuned, examples, rng, on_epoch)
            case recipes.Clustering():
                clusters, tuned = step.clusters, tuning.clustering
                cluster = clustering.cluster_beside_zeros if pruned else clustering.cluster
                weights = cluster(step, weights, spec, tuned, examples, rng, on_epoch)
            case recipes.QuantizationAware():
                from tf_compleak.compression import quantization

                keep = clusters or (0 if pruned else None)
                return quantization.quantize_aware(
                    weights, spec, tuning.quantization, examples, rng, on_epoch, keep
                )
    return _exported(recipe, weights, spec, calibration, clusters is not None)


def _exported(recipe, weights, spec: ModelSpec, calibration, clustered: bool) -> bytes:
    """The file of trained weights, quantized after training if the recipe says so.

    Integers have a scale for every channel, so that batch normalization in kernels leaves a channel
    its shared values. Where a kernel may stay in float it is kept out of them.
    """
    from tf_compleak.compression import litert, tflite

    quantization = recipes.step(recipe, recipes.Quantization)
    unfolded = clustered and spec.kind == "image"  # only these have normalization
    if isinstance(quantization, recipes.PostTraining):
        if quantization.scheme == "dynamic" and not unfolded and tflite.plain_kernels(spec):
            return litert.quantize_dynamic(tflite.float_file(spec, weights))
        if unfolded and not recipes.calibrated(recipe):
            return tflite.export_unfolded(spec, weights, quantization)
        return tflite.export(spec, weights, quantization, calibration)
    content = tflite.float_file(spec, weights, unfolded and not recipes.calibrated(recipe))
    if isinstance(quantization, recipes.LiteRT):
        return litert.quantize(quantization, content, calibration)
    return content
