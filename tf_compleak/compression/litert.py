"""Post-training quantization of a float `.tflite` file by litert-quantizer."""

import numpy as np

from tf_compleak.compression.recipes import LiteRT
from tf_compleak.compression.tflite import quiet

LEAST_DYNAMIC = 1024  # weights


def quantize(recipe: LiteRT, content: bytes, calibration: np.ndarray | None = None) -> bytes:
    """The quantized file; token ids and what has no integer form stay as they are.

    Args:
      content: a float file of one input and one output, as `tflite.export` makes it.
      calibration: [N, ...], inputs for the activation ranges of "static".

    Raises:
      ValueError: without examples where there must be some, and for a file in which nothing can be
        quantized so.
    """
    from litert_quantizer import Quantizer

    static = recipe.scheme == "static"
    if static and (calibration is None or not len(calibration)):
        raise ValueError(f"calibration: {recipe} needs examples to find activation ranges.")
    quantizer = Quantizer(bytearray(content), _rules(recipe))
    with quiet(), np.errstate(invalid="ignore"):  # channels of zeros alone are divided by 0
        ranges = activation_ranges(content, calibration) if static else None
        made = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    if not _has_scales(made.quantized_model):
        raise ValueError(f"{recipe}: the model holds nothing that can be quantized so.")
    return bytes(made.quantized_model)


def quantize_dynamic(content: bytes) -> bytes:
    """What the converter's "dynamic" scheme makes of the same model, in a tenth of the time.

    Its kernels, but for rare single weights: bit for bit on five architectures, while one kernel of
    14 of a VGG16 differed (by 0.0041 at most, of randomized weights).
    Kernels of fewer than `LEAST_DYNAMIC` weights stay in float, as the converter leaves them.

    Args:
      content: a float file without depthwise convolutions.
    """
    from litert_quantizer import Quantizer

    with quiet(), np.errstate(invalid="ignore"):
        result = Quantizer(bytearray(content), _dynamic_rules()).quantize(
            enable_progress_bar=False, enable_progress_report=False
        )
    return bytes(result.quantized_model)


def _dynamic_rules() -> list[dict]:
    from litert_quantizer import qtyping
    from litert_quantizer.recipe_manager import RecipeManager

    rules = RecipeManager()
    rules.add_quantization_config(
        ".*",
        qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=8, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
            ),
            compute_precision=qtyping.ComputePrecision.INTEGER,
            min_weight_elements=LEAST_DYNAMIC,
        ),
    )
    return rules.get_quantization_recipe()


def _has_scales(content: bytearray) -> bool:
    from ai_edge_litert.interpreter import Interpreter

    tensors = Interpreter(model_content=bytes(content)).get_tensor_details()
    return any(len(tensor["quantization_parameters"]["scales"]) for tensor in tensors)


def _rules(recipe: LiteRT) -> list[dict]:
    from litert_quantizer.qtyping import QuantGranularity, TFLOperationName
    from litert_quantizer.recipe_manager import RecipeManager

    rules, everything = RecipeManager(), (".*", TFLOperationName.ALL_SUPPORTED)
    if recipe.scheme == "weights":
        rules.add_weight_only_config(*everything, num_bits=recipe.bits)
    elif recipe.scheme == "static":
        rules.add_static_config(
            *everything, activation_num_bits=recipe.activations, weight_num_bits=recipe.bits
        )
    else:
        rules.add_dynamic_config(*everything, num_bits=recipe.bits)
    if recipe.block:  # only dense kernels and tables can have blocks
        granularity = QuantGranularity(f"BLOCKWISE_{recipe.block}")
        for operation in (TFLOperationName.FULLY_CONNECTED, TFLOperationName.EMBEDDING_LOOKUP):
            rules.add_dynamic_config(".*", operation, num_bits=recipe.bits, granularity=granularity)
    return rules.get_quantization_recipe()


def activation_ranges(content: bytes, calibration: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Least and greatest number of every computed float tensor, by its name: "min" and "max".

    The same numbers as litert-quantizer's calibrator with `min_max_update`, which asks its recipe
    about every operator at every example: nine tenths of its time.

    Args:
      content: a float file of one input.
      calibration: [N, ...].
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(
        model_content=content, num_threads=1, experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    computed = _computed(content, interpreter)
    low = {name: np.inf for name in computed}
    high = {name: -np.inf for name in computed}
    for row in calibration:
        interpreter.set_tensor(source, row[None])
        interpreter.invoke()
        for name, index in computed.items():
            values = interpreter.get_tensor(index)
            low[name] = min(low[name], values.min(initial=np.inf))
            high[name] = max(high[name], values.max(initial=-np.inf))
    return {
        name: {"min": np.float32(low[name]).reshape(1), "max": np.float32(high[name]).reshape(1)}
        for name in computed
    }


def _computed(content: bytes, interpreter) -> dict[str, int]:
    """Index of every float tensor that is no constant, by name."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(index) for index in range(graph.TensorsLength())]
    constant = [model.Buffers(tensor.Buffer()).DataLength() > 0 for tensor in tensors]
    return {
        detail["name"]: detail["index"]
        for detail in interpreter.get_tensor_details()
        if detail["dtype"] == np.float32
        and detail["index"] < len(tensors)
        and not constant[detail["index"]]
    }
