"""Quantization-aware training with tfmot's `quantize_model`, traced once per architecture."""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow_model_optimization as tfmot

from tf_compleak._keras import keras
from tf_compleak._trainer import Epoch, Optimization, Trainer, Weights
from tf_compleak.compression import _wrapping, tflite
from tf_compleak.models import ModelSpec, build


@functools.lru_cache(maxsize=2)
def _quantizer(spec: ModelSpec, tuning: Optimization):
    quantize = _quantize_dense if spec.kind == "tokens" else tfmot.quantization.keras.quantize_model
    model = quantize(build(spec))
    return Trainer(model, tuning), _wrapping.snapshot(model), tflite.probabilities(model)


def _quantize_dense(model: keras.Model) -> keras.Model:
    """Only dense layers: `quantize_model` refuses embeddings, attention and normalization."""

    def annotate(layer):
        if isinstance(layer, keras.layers.Dense):
            return tfmot.quantization.keras.quantize_annotate_layer(layer)
        return layer

    annotated = keras.models.clone_model(model, clone_function=annotate)
    return tfmot.quantization.keras.quantize_apply(annotated)


def quantize_aware(
    weights: Weights,
    spec: ModelSpec,
    tuning: Optimization,
    examples: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> bytes:
    """The `.tflite` bytes of the model fine-tuned with simulated INT8 arithmetic."""
    trainer, pristine, function = _quantizer(spec, tuning)
    _wrapping.restore(trainer.model, pristine, spec, weights)
    for epoch in trainer.epochs(*examples, rng):
        on_epoch(epoch)
    return tflite.convert_quantized(function, trainer.model)
