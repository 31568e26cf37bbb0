"""Post-training quantization of a float `.tflite` file by litert-quantizer."""

import numpy as np

from tf_compleak.compression.recipes import LiteRT
from tf_compleak.compression.tflite import quiet

SIGNATURE = "serving_default"


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
    content, rules = _signed(content) if static else content, _rules(recipe)
    quantizer = Quantizer(bytearray(content), rules)
    with quiet(), np.errstate(invalid="ignore"):  # channels of zeros alone are divided by 0
        ranges = _ranges(content, rules, calibration) if static else None
        made = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    if not _has_scales(made.quantized_model):
        raise ValueError(f"{recipe}: the model holds nothing that can be quantized so.")
    return bytes(made.quantized_model)


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


def _ranges(content: bytes, rules: list[dict], calibration: np.ndarray) -> dict:
    """Least and greatest numbers of every tensor: the default is a mean over rows of these."""
    from litert_quantizer.calibrator import Calibrator
    from litert_quantizer.recipe_manager import RecipeManager
    from litert_quantizer.utils.qsv_utils import min_max_update

    manager = RecipeManager()
    manager.load_quantization_recipe(rules)
    calibrator = Calibrator(bytearray(content), 1, qsv_update_func=min_max_update)
    calibrator.calibrate({SIGNATURE: [{"x": row[None]} for row in calibration]}, manager)
    return calibrator.get_model_qsvs()


def _signed(content: bytes) -> bytes:
    """The file with a signature, by whose names the calibrator gives it inputs."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content)
    graph = model.subgraphs[0]
    ends = (
        [schema.TensorMapT(name=name, tensorIndex=int(tensors[0]))]
        for name, tensors in (("x", graph.inputs), ("probabilities", graph.outputs))
    )
    inputs, outputs = ends
    model.signatureDefs = [
        schema.SignatureDefT(
            inputs=inputs, outputs=outputs, signatureKey=SIGNATURE, subgraphIndex=0
        )
    ]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
