"""Architectures: each is one file with a `build(spec, seed)` that returns logits."""

import importlib
from dataclasses import dataclass
from typing import Any

from tf_compleak import _checks

AUGMENTATIONS = ("flip", "crop")  # of training batches, see `training.augment`
PRECISIONS = ("none", "bfloat16", "float16")  # see `_accelerators.precision`

MODELS = {
    "convnet": "tf_compleak.models.convnet",
    "resnet": "tf_compleak.models.resnet",
    "resnet18": "tf_compleak.models.resnet18",
    "resnet50": "tf_compleak.models.resnet50",
    "vgg16": "tf_compleak.models.vgg16",
    "mobilenetv2": "tf_compleak.models.mobilenetv2",
}
LARGE = 128  # sides from which images get the stems that were made for 224x224


@dataclass(frozen=True)
class ModelSpec:
    """Everything that determines an architecture.

    Attributes:
      name: a key of `MODELS`.
      depth: number of layers with weights on the main path (what it may be: see the file); 0
        becomes the architecture's own.
      width: channels of the first layer; 0 becomes the architecture's own.
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
        module = importlib.import_module(MODELS[self.name])
        for name, own in (("depth", module.DEPTH), ("width", module.WIDTH)):
            _checks.at_least(f"--{name}", getattr(self, name), 0)
            object.__setattr__(self, name, getattr(self, name) or own)
        if len(self.input_shape) != 3:
            raise ValueError(
                f"--model={self.name} takes images [height, width, channels], "
                f"the data has inputs of shape {self.input_shape}."
            )
        module.check(self)


def build(spec: ModelSpec, seed: int = 0) -> Any:
    """A `tf_keras.Model` from float32 inputs to logits [N, classes], initialized from `seed`."""
    return importlib.import_module(MODELS[spec.name]).build(spec, seed)


def large(input_shape: tuple[int, ...]) -> bool:
    """Whether images [height, width, channels] get the stem that was made for 224x224."""
    return min(input_shape[:2]) >= LARGE


def fixed_depth(spec: ModelSpec, depth: int) -> None:
    """ValueError unless the spec has the one depth that its architecture comes in."""
    if spec.depth != depth:
        raise ValueError(
            f"--depth={spec.depth}: {spec.name} has {depth} layers; leave --depth out, or at 0."
        )
