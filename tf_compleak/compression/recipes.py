"""Recipes: how a version is made. Frozen dataclasses; `str(recipe)` is the version's name."""

import re
from dataclasses import dataclass

from tf_compleak.types import validators


@dataclass(frozen=True)
class Original:
    """The trained model itself, exported in float32."""

    def __str__(self) -> str:
        return "original"


@dataclass(frozen=True)
class Pruning:
    """Magnitude pruning of every kernel to `sparsity`, ramped, fine-tuned (Zhu & Gupta, 2017)."""

    sparsity: float

    def __post_init__(self):
        validators.between("pruning sparsity", self.sparsity, 0.01, 0.99)

    def __str__(self) -> str:
        return f"pruning-{self.sparsity:.2f}"


@dataclass(frozen=True)
class Clustering:
    """Every kernel shares `clusters` values, fine-tuned (Han et al., ICLR 2016)."""

    clusters: int

    def __post_init__(self):
        validators.between("clustering clusters", self.clusters, 2, 256)

    def __str__(self) -> str:
        return f"clustering-{self.clusters}"


@dataclass(frozen=True)
class QuantizationAware:
    """INT8 by quantization-aware training (Jacob et al., CVPR 2018): `tfmot` `quantize_model`."""

    def __str__(self) -> str:
        return "int8-qat"


@dataclass(frozen=True)
class PostTraining:
    """Post-training quantization by the TF-Lite converter.

    Schemes: "int8" (full integer, inputs and outputs included; calibrated on data), "dynamic"
    (INT8 weights, float activations), "float16" (float16 weights).
    """

    scheme: str

    def __post_init__(self):
        validators.choice("post-training scheme", self.scheme, ("int8", "dynamic", "float16"))

    def __str__(self) -> str:
        return f"{self.scheme}-ptq"


Recipe = Original | Pruning | Clustering | QuantizationAware | PostTraining

ALL = (
    "original",
    *("pruning-0.60", "pruning-0.70", "pruning-0.80", "pruning-0.90"),
    *("clustering-4", "clustering-8", "clustering-16"),
    *("int8-qat", "int8-ptq", "dynamic-ptq", "float16-ptq"),
)


def parse(name: str) -> Recipe:
    """The recipe called `name`; ValueError with the nearest known name otherwise."""
    if match := re.fullmatch(r"pruning-(\d?\.\d+)", name):
        return Pruning(float(match[1]))
    if match := re.fullmatch(r"clustering-(\d+)", name):
        return Clustering(int(match[1]))
    fixed = (Original(), QuantizationAware(), *(PostTraining(s) for s in ("int8", "dynamic")))
    by_name = {str(recipe): recipe for recipe in (*fixed, PostTraining("float16"))}
    if name not in by_name:
        validators.choice("--versions", name, ALL)
    return by_name[name]
