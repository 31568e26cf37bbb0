"""Quantization-aware training with tfmot's `quantize_model`, traced once per architecture."""

from collections.abc import Callable

import numpy as np
import tensorflow_model_optimization as tfmot

from tf_compleak.compression import _wrapping, tflite
from tf_compleak.compression.kept_structure import KeptStructure
from tf_compleak.models import ModelSpec, build
from tf_compleak.models.graph_cache import reuse_graph
from tf_compleak.models.keras2 import keras
from tf_compleak.models.trainer import Epoch, Optimization, Trainer, Weights


@reuse_graph
def _quantizer(spec: ModelSpec, tuning: Optimization):
    model = _model(spec)
    return Trainer(model, tuning), _wrapping.snapshot(model), tflite.probabilities(model)


@reuse_graph
def _keeping_quantizer(spec: ModelSpec, tuning: Optimization, clusters: int):
    model = _model(spec)
    structure = KeptStructure(_wrapping.kernel_variables(model, spec), clusters)
    trainer = Trainer(model, tuning, constrain=structure.put_back)
    return trainer, _wrapping.snapshot(model), tflite.probabilities(model), structure


def _model(spec: ModelSpec) -> keras.Model:
    quantize = _quantize_dense if spec.kind == "tokens" else tfmot.quantization.keras.quantize_model
    return quantize(build(spec))


class _Outputs(tfmot.quantization.keras.QuantizeConfig):
    """Simulates INT8 in what a layer puts out, and leaves the layer itself as it is."""

    def get_weights_and_quantizers(self, layer):
        """None."""
        return []

    def get_activations_and_quantizers(self, layer):
        """None."""
        return []

    def set_quantize_weights(self, layer, quantize_weights):
        """Nothing to set."""

    def set_quantize_activations(self, layer, quantize_activations):
        """Nothing to set."""

    def get_output_quantizers(self, layer):
        """As tfmot's own layers have them."""
        return [
            tfmot.quantization.keras.quantizers.MovingAverageQuantizer(
                num_bits=8, per_axis=False, symmetric=False, narrow_range=False
            )
        ]

    def get_config(self):
        """No settings."""
        return {}


def _quantize_dense(model: keras.Model) -> keras.Model:
    """Only dense layers: `quantize_model` refuses embeddings, attention and normalization.

    The layers before them have their outputs quantized: a dense layer whose inputs have no range
    stays in float, whatever its weights are.
    """
    dense = {layer for layer in model.layers if isinstance(layer, keras.layers.Dense)}
    before = {layer.input._keras_history.layer for layer in dense} - dense
    annotate = tfmot.quantization.keras.quantize_annotate_layer

    def annotated(layer):
        if layer in dense:
            return annotate(layer)
        return annotate(layer, _Outputs()) if layer in before else layer

    with tfmot.quantization.keras.quantize_scope({"_Outputs": _Outputs}):
        copy = keras.models.clone_model(model, clone_function=annotated)
        return tfmot.quantization.keras.quantize_apply(copy)


def quantize_aware(
    weights: Weights,
    spec: ModelSpec,
    tuning: Optimization,
    examples: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    keep: int | None = None,
) -> bytes:
    """The `.tflite` bytes of the model fine-tuned with simulated INT8 arithmetic.

    Args:
      keep: None: kernels move freely. 0: their zeros are kept. A number: so are the values that
        their weights share, at most that many in every kernel.
    """
    if keep is None:
        trainer, pristine, function = _quantizer(spec, tuning)
        _wrapping.restore(trainer.model, pristine, spec, weights)
    else:
        trainer, pristine, function, structure = _keeping_quantizer(spec, tuning, keep)
        _wrapping.restore(trainer.model, pristine, spec, weights)
        structure.hold()
    for epoch in trainer.epochs(*examples, rng):
        on_epoch(epoch)
    return tflite.convert_quantized(function, trainer.model)
