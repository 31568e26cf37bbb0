"""Pruning with tfmot: wrapped and traced once per architecture, reused over sparsities.

`PolynomialDecay` ramps the sparsity (Zhu & Gupta, 2017). Its final sparsity is a variable here, so
that one traced graph serves every level. The ramp ends on a step at which tfmot updates its masks:
it does so every `frequency` steps only, and otherwise the asked sparsity is never reached.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot

from tf_compleak.compression import _wrapping
from tf_compleak.compression.recipes import PatternPruning, Pruned, Pruning
from tf_compleak.models import ModelSpec, build
from tf_compleak.models.graph_cache import reuse_graph
from tf_compleak.models.keras2 import keras
from tf_compleak.models.trainer import Epoch, Optimization, Trainer, Weights

RAMP = 0.6
PATTERN_LAYERS = (keras.layers.Conv2D, keras.layers.Dense)  # tfmot has patterns for these only


@reuse_graph
def _pruner(spec: ModelSpec, tuning: Optimization, steps: int):
    frequency = max(1, steps // 50)
    end = max(1, round(RAMP * steps / frequency)) * frequency
    schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, 0.5, 0, end, frequency=frequency)
    schedule.final_sparsity = tf.Variable(0.5, trainable=False)

    def wrap(layer):
        if not isinstance(layer, _wrapping.KERNEL_LAYERS):
            return layer
        return tfmot.sparsity.keras.prune_low_magnitude(layer, schedule)

    model = keras.models.clone_model(build(spec), clone_function=wrap)
    return Trainer(model, tuning), schedule, _wrapping.snapshot(model)


@reuse_graph
def _pattern_pruner(spec: ModelSpec, tuning: Optimization, zeros: int, block: int):
    """Masks are found at the first step; the schedule only says that there is to be a mask."""
    schedule = tfmot.sparsity.keras.ConstantSparsity(0.5, 0)

    def wrap(layer):
        if not wrapped(PatternPruning(zeros, block), layer):
            return layer
        return tfmot.sparsity.keras.prune_low_magnitude(
            layer, schedule, sparsity_m_by_n=(zeros, block)
        )

    model = keras.models.clone_model(build(spec), clone_function=wrap)
    return Trainer(model, tuning), _wrapping.snapshot(model)


def wrapped(recipe: Pruned, layer: keras.layers.Layer) -> bool:
    """Whether a layer's kernel is pruned."""
    pattern = isinstance(recipe, PatternPruning)
    return isinstance(layer, PATTERN_LAYERS if pattern else _wrapping.KERNEL_LAYERS)


def prune(
    recipe: Pruned,
    weights: Weights,
    spec: ModelSpec,
    tuning: Optimization,
    examples: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Weights:
    """The weights with `recipe`'s zeros in every kernel, fine-tuned on the members."""
    if isinstance(recipe, Pruning):
        trainer, schedule, pristine = _pruner(spec, tuning, tuning.steps(len(examples[0])))
        _wrapping.restore(trainer.model, pristine, spec, weights)
        schedule.final_sparsity.assign(recipe.sparsity)
    else:
        trainer, pristine = _pattern_pruner(spec, tuning, recipe.zeros, recipe.block)
        _wrapping.restore(trainer.model, pristine, spec, weights)
    wrappers = [layer for layer in trainer.model.layers if hasattr(layer, "pruning_obj")]
    for wrapper in wrappers:
        wrapper.pruning_step.assign(0)
    for epoch in trainer.epochs(*examples, rng):
        on_epoch(epoch)
    for wrapper in wrappers:
        wrapper.pruning_obj.weight_mask_op()
    return _wrapping.base_weights(trainer.model, spec)
