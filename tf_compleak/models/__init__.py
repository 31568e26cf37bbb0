"""Architectures: each is one file with a `build(spec, seed)` that returns logits."""

import dataclasses
import importlib
from dataclasses import dataclass
from typing import Any

from tf_compleak.engine.user_code import UserCode
from tf_compleak.types import validators

AUGMENTATIONS = ("flip", "crop")  # of training batches, see `training.augment`
PRECISIONS = ("none", "bfloat16", "float16")  # see `_accelerators.precision`

MODELS = {
    "convnet": "tf_compleak.models.convnet",
    "resnet": "tf_compleak.models.resnet",
    "resnet18": "tf_compleak.models.resnet18",
    "resnet50": "tf_compleak.models.resnet50",
    "vgg16": "tf_compleak.models.vgg16",
    "mobilenetv2": "tf_compleak.models.mobilenetv2",
    "dense": "tf_compleak.models.dense",
    "bert": "tf_compleak.models.bert",
    "gpt2": "tf_compleak.models.gpt2",
}
OWN = "tf_compleak.models.own_model"  # of a model that the user's code builds
LARGE = 128  # sides from which images get the stems that were made for 224x224
TEXT = {"bert", "gpt2"}  # models of token ids; what their module calls INPUTS = "tokens"
KINDS = {
    "image": "images [height, width, channels]",
    "table": "tables of numbers [features]",
    "tokens": "texts (token ids)",
}


@dataclass(frozen=True)
class TextSpec:
    """What a model of token ids has beside depth and width.

    Attributes:
      vocabulary: number of token ids; 0 is padding.
      positions: rows of the position table.
      heads: attention heads; 0 becomes one for every 64 of the width.
      feed_forward: width inside the feed-forward layers; 0 becomes 4 times the width.
      dropout: share of hidden units dropped in training.
      start: an `.npz` of the backbone's weights to start from ("" for none: drawn from the seed).
    """

    vocabulary: int
    positions: int
    heads: int = 0
    feed_forward: int = 0
    dropout: float = 0.1
    start: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """Everything that determines an architecture.

    Attributes:
      name: a key of `MODELS`.
      depth: number of layers with weights on the main path (what it may be: see the file); 0
        becomes the architecture's own.
      width: channels of the first layer; 0 becomes the architecture's own.
      input_shape: (height, width, channels), (features,) or (tokens,).
      classes: number of outputs.
      text: of a model of token ids.
      code: of a model that the user builds, whose depth and width are 0.
    """

    name: str
    depth: int
    width: int
    input_shape: tuple[int, ...]
    classes: int
    text: TextSpec | None = None
    code: UserCode | None = None

    def __post_init__(self):
        if self.code is not None:
            return
        validators.choice("--model", self.name, MODELS)
        module = importlib.import_module(MODELS[self.name])
        for name, default in (("depth", module.DEPTH), ("width", module.WIDTH)):
            validators.at_least(f"--{name}", getattr(self, name), 0)
            object.__setattr__(self, name, getattr(self, name) or default)
        if self.text is not None:
            heads = self.text.heads or max(1, self.width // 64)
            inner = self.text.feed_forward or 4 * self.width
            text = dataclasses.replace(self.text, heads=heads, feed_forward=inner)
            object.__setattr__(self, "text", text)
        inputs = getattr(module, "INPUTS", "image")
        if self.kind != inputs:
            raise ValueError(
                f"--model={self.name} takes {KINDS[inputs]}, the data has inputs of shape "
                f"{self.input_shape}; choose a model for {KINDS.get(self.kind, 'such inputs')}."
            )
        module.check(self)

    @property
    def kind(self) -> str:
        """What the inputs are: "image", "table", "tokens" or "other"."""
        if self.text is not None:
            return "tokens"
        return {1: "table", 3: "image"}.get(len(self.input_shape), "other")


def build(spec: ModelSpec, seed: int = 0) -> Any:
    """A `tf_keras.Model` from its inputs to logits [N, classes], initialized from `seed`."""
    module = OWN if spec.code is not None else MODELS[spec.name]
    return importlib.import_module(module).build(spec, seed)


def large(input_shape: tuple[int, ...]) -> bool:
    """Whether images [height, width, channels] get the stem that was made for 224x224."""
    return min(input_shape[:2]) >= LARGE


def fixed_depth(spec: ModelSpec, depth: int) -> None:
    """ValueError unless the spec has the one depth that its architecture comes in."""
    if spec.depth != depth:
        raise ValueError(
            f"--depth={spec.depth}: {spec.name} has {depth} layers; leave --depth out, or at 0."
        )
