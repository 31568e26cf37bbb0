"""Architectures: each is one file with a `build(spec, seed)` that returns logits."""

import importlib
from dataclasses import dataclass
from typing import Any

from tf_compleak import _checks

AUGMENTATIONS = ("flip", "crop")  # of training batches, see `training.augment`

MODELS = {
    "convnet": "tf_compleak.models.convnet",
    "resnet": "tf_compleak.models.resnet",
}


@dataclass(frozen=True)
class ModelSpec:
    """Everything that determines an architecture.

    Attributes:
      name: a key of `MODELS`.
      depth: number of layers with weights on the main path (what it may be: see the file).
      width: channels of the first layer.
      input_shape: (height, width, channels).
      classes: number of outputs.
    """

    name: str
    depth: int
    width: int
    input_shape: tuple[int, ...]
    classes: int

    def __post_init__(self):
        _checks.choice("--model", self.name, MODELS)
        _checks.at_least("--width", self.width, 1)
        if len(self.input_shape) != 3:
            raise ValueError(
                f"--model={self.name} takes images [height, width, channels], "
                f"the data has inputs of shape {self.input_shape}."
            )
        importlib.import_module(MODELS[self.name]).check(self)


def build(spec: ModelSpec, seed: int = 0) -> Any:
    """A `tf_keras.Model` from float32 inputs to logits [N, classes], initialized from `seed`."""
    return importlib.import_module(MODELS[spec.name]).build(spec, seed)
