"""Export to TF-Lite: trace a graph once, swap weights, convert.

The converter is run on a traced concrete function with `experimental_lower_to_saved_model=False`:
writing a SavedModel first takes most of the time (3.9 s against 0.2 s for a ResNet-8) and gives the
same operators.

The converter folds a batch normalization into the convolution before it, by multiplying each output
channel of the kernel. Zeros survive that; shared values do not: k values become k times the
channels, and the file loses what clustering was for. `unfolded` therefore writes the normalization
as a 1x1 depthwise convolution, which the converter leaves alone.
"""

import contextlib
import hashlib
import io
import os
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_compleak.compression.recipes import PostTraining
from tf_compleak.models import ModelSpec, build
from tf_compleak.models.graph_cache import reuse_graph
from tf_compleak.models.keras2 import keras
from tf_compleak.models.layers import GentleSoftmax
from tf_compleak.models.trainer import Weights

KEPT = 32 * 2**20  # bytes of float files
FULL_INTEGER = {  # scheme: type of activations, operators
    "int8": (tf.int8, tf.lite.OpsSet.TFLITE_BUILTINS_INT8),
    "int16x8": (
        tf.int16,
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
    ),
}


def probabilities(model: keras.Model) -> Callable:
    """A traced function from x [N, ...] to the softmax of the model's logits, f32[N, C]."""

    def forward(x):
        return {"probabilities": tf.nn.softmax(model(x, training=False))}

    spec = tf.TensorSpec([None, *model.input_shape[1:]], model.inputs[0].dtype, name="x")
    return tf.function(forward, input_signature=[spec]).get_concrete_function()


@reuse_graph
def plain(spec: ModelSpec) -> tuple[keras.Model, Callable]:
    """The architecture and a traced function of its probabilities, made once."""
    model = build(spec)
    return model, probabilities(model)


@reuse_graph
def _gentle(spec: ModelSpec):
    """The model with attention masks whose range leaves INT8 scores some steps."""
    model = build(spec)
    for layer in model.layers:
        if isinstance(layer, keras.layers.MultiHeadAttention):
            layer._softmax = GentleSoftmax(name=f"{layer.name}_softmax")
    return model, probabilities(model)


@reuse_graph
def _unfolded(spec: ModelSpec):
    model = keras.models.clone_model(build(spec), clone_function=_depthwise)
    return model, probabilities(model)


def _folded(layer) -> bool:
    """Whether the converter would fold a layer into kernels: normalization of images' channels."""
    normalizes = isinstance(layer, keras.layers.BatchNormalization)
    return normalizes and len(layer.input_shape) == 4 and list(layer.axis) == [3]


def _depthwise(layer):
    if _folded(layer):
        return keras.layers.DepthwiseConv2D(1, name=layer.name)
    return layer.__class__.from_config(layer.get_config())


def export(spec: ModelSpec, weights: Weights, recipe: PostTraining | None = None, calibration=None):
    """The `.tflite` bytes of the model with `weights`, post-training quantized if asked.

    Args:
      weights: in the order of `build(spec).get_weights()`.
      calibration: f32[N, ...], needed by the "int8" and "int16x8" schemes only.
    """
    gentle = spec.kind == "tokens" and recipe is not None and recipe.scheme in FULL_INTEGER
    model, function = (_gentle if gentle else plain)(spec)
    model.set_weights(weights)
    return convert(function, model, recipe, calibration)


def export_unfolded(spec: ModelSpec, weights: Weights, recipe: PostTraining | None = None) -> bytes:
    """As `export`, uncalibrated, with batch normalization kept out of the kernels."""
    base, _ = plain(spec)
    base.set_weights(weights)
    model, function = _unfolded(spec)
    for layer in model.layers:
        source = base.get_layer(layer.name)
        if _folded(source):
            mean, variance = source.moving_mean.numpy(), source.moving_variance.numpy()
            gamma = 1.0 if source.gamma is None else source.gamma.numpy()
            beta = 0.0 if source.beta is None else source.beta.numpy()
            scale = gamma / np.sqrt(variance + source.epsilon)
            layer.set_weights([scale[None, None, :, None], beta - mean * scale])
        else:
            layer.set_weights(source.get_weights())
    return convert(function, model, recipe)


_float_files: OrderedDict[tuple, bytes] = OrderedDict()  # the least recently used first


def float_file(spec: ModelSpec, weights: Weights, unfolded: bool = False) -> bytes:
    """The float `.tflite` bytes of a model, converted once while `KEPT` bytes hold it.

    All versions that litert-quantizer makes of one family are made from it.

    Args:
      unfolded: with batch normalization kept out of the kernels, as `export_unfolded`.
    """
    sums = hashlib.sha256()
    for array in weights:
        sums.update(np.ascontiguousarray(array))
    key = spec, unfolded, sums.digest()
    if key not in _float_files:
        content = (export_unfolded if unfolded else export)(spec, weights)
        _float_files[key] = content
        while sum(map(len, _float_files.values())) > KEPT:
            _float_files.popitem(last=False)
        return content
    _float_files.move_to_end(key)
    return _float_files[key]


def plain_kernels(spec: ModelSpec) -> bool:
    """Whether litert-quantizer's dynamic kernels are the converter's.

    They are for convolutions and dense layers on numbers; it refuses some depthwise kernels.
    """
    layers = plain(spec)[0].layers
    return spec.kind != "tokens" and not any(
        isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D)
        for layer in layers
    )


def takes_tokens(model: keras.Model) -> bool:
    """Whether the inputs are token ids."""
    return model.inputs[0].dtype.is_integer


def convert(
    function, model: keras.Model, recipe: PostTraining | None = None, calibration=None
) -> bytes:
    """Run the TF-Lite converter on a traced function with the model's present weights."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    converter.experimental_lower_to_saved_model = False
    if recipe is not None:
        _quantize(converter, recipe.scheme, calibration, takes_tokens(model))
    with quiet():
        return converter.convert()


def convert_quantized(function, model: keras.Model) -> bytes:
    """Convert a model that carries its quantization ranges (quantization-aware training).

    Inputs and outputs are INT8: the converter computes the softmax in INT8 in any case, and an
    output that says so has a scale, which says how coarse its probabilities are.
    """
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    converter.experimental_lower_to_saved_model = False
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    _outputs_in(tf.int8, converter, takes_tokens(model))
    with quiet():
        return converter.convert()


def _outputs_in(kind: tf.DType, converter, tokens: bool) -> None:
    """Inputs, too, but token ids, which stay int32."""
    converter.inference_output_type = kind
    if not tokens:
        converter.inference_input_type = kind


def _quantize(converter, scheme: str, calibration, tokens: bool) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    elif scheme in FULL_INTEGER:
        if calibration is None or not len(calibration):
            raise ValueError(f"calibration: {scheme}-ptq needs examples to find activation ranges.")
        activations, operators = FULL_INTEGER[scheme]
        converter.representative_dataset = lambda: ([x[None]] for x in calibration)
        converter.target_spec.supported_ops = [operators]
        if tokens:
            converter.target_spec.supported_ops.append(tf.lite.OpsSet.TFLITE_BUILTINS)
        _outputs_in(activations, converter, tokens)


@contextlib.contextmanager
def quiet():
    """Drop what the converter's native code prints on stderr; its errors are raised anyway."""
    with open(os.devnull, "w") as sink, contextlib.redirect_stderr(io.StringIO()):
        saved = os.dup(2)
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
