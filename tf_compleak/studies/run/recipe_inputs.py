"""What a version's recipe adds to what its stage depends on."""

from __future__ import annotations

from typing import Any

from tf_compleak.compression import recipes


def learning_rate(step: recipes.Step | recipes.Original) -> str:
    """The flag of the learning rate that a step is fine-tuned by; "" for one that is not."""
    match step:
        case recipes.Pruning() | recipes.PatternPruning():
            return "pruning_learning_rate"
        case recipes.Clustering():
            return "clustering_learning_rate"
        case recipes.QuantizationAware():
            return "quantization_learning_rate"
    return ""


def made_otherwise(recipe: recipes.Recipe | None) -> dict[str, Any]:
    """What marks versions that were made by other means before, so that only these are redone.

    Dynamic ones by the converter, with the same kernels; static ones of litert-quantizer with a
    signature in the file, some 100 bytes.
    """
    match recipe and recipes.step(recipe, recipes.Quantization):
        case recipes.PostTraining("dynamic") | recipes.LiteRT(scheme="static"):
            return {"maker": "litert-quantizer/2"}
    return {}
