"""What a user's own class may be: `--family=PATH.py:NAME`, by the methods that it has.

The least is a function of the architecture; training and every recipe are then the tool's:

    import tf_keras

    class Own:
        def build(self, input_shape, classes):
            return tf_keras.Sequential([
                tf_keras.layers.Input(input_shape),
                tf_keras.layers.Conv2D(16, 3, activation="relu"),
                tf_keras.layers.Flatten(),
                tf_keras.layers.Dense(classes, activation="softmax"),
            ])

    tf-compleak run --family=own.py:Own

`train` beside `build` trains that model by code of one's own. `make` alone trains a model of any
kind, and writes its versions as files or returns them as functions. See `docs/own_models.md`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from tf_compleak.engine.user_code import UserCode
from tf_compleak.types import validators

Arrays = tuple[np.ndarray, np.ndarray]  # x f32[N, ...], y int64[N]
Level = Literal["build", "train", "make"]
METHODS = ("build", "make", "train")
PLACES = ("members", "validation", "folder", "seed", "family", "gpu")
NEEDED = ("members", "folder")
PLACE = re.compile(r"\{(\w+)\}")


class BuildsModel(Protocol):
    """Only the architecture is the user's."""

    def build(self, input_shape: tuple[int, ...], classes: int) -> Any:
        """A functional or sequential tf_keras model [N, *input_shape] -> [N, classes].

        It ends in a softmax or in logits. Where it is compiled, it is trained by its own loss and
        optimizer, for `--epochs` of `--batch_size`; versions are fine-tuned by that loss. A loss of
        the user's own is given integers [N]; of Keras' own those called sparse are, others one-hot
        rows.
        """
        ...


class TrainsModel(BuildsModel, Protocol):
    """Architecture and training are the user's, the recipes are the tool's."""

    def train(self, model: Any, members: Arrays, validation: Arrays, seed: int) -> Any:
        """Train what `build` gave on members alone; returns None, or a model of the same layers."""
        ...


class MakesVersions(Protocol):
    """All is the user's: any library, any way to compress."""

    def make(
        self, members: Arrays, validation: Arrays, folder: Path, seed: int
    ) -> dict[str, Callable[[np.ndarray], np.ndarray]] | None:
        """Train on members alone, and give every version that `--versions` names.

        Either as files in `folder`: NAME.tflite, NAME.onnx, NAME.keras, NAME.h5, or a SavedModel
        folder NAME, from f32[N, ...] to probabilities or logits [N, classes]. Or returned, as
        functions by name, from f32[N, ...] to f32[N, classes].
        """
        ...


def level(argument: str, code: UserCode) -> Level:
    """How much of a family the user's code does; ValueError for what fits no Protocol here."""
    has = {"build"} if code.methods is None else set(code.methods) & set(METHODS)
    if has == {"build"}:  # as which a function is taken
        return "build"
    if has == {"build", "train"}:
        return "train"
    if has == {"make"}:
        return "make"
    told = f"has {', '.join(sorted(has))}" if has else "has none of build, train, make"
    raise ValueError(
        f"{argument}: {code.name} {told}; give it build, or build and train, or make alone."
    )


def words(template: str) -> list[str]:
    """The words of `--train_command`, in which {members} and so on stand as they are.

    Raises:
      ValueError: for quotes that do not close, an unknown word in braces, or one that is missing.
    """
    argument = "--train_command"
    try:
        split = shlex.split(template)
    except ValueError as error:
        raise ValueError(f"{argument}={template}: {error}; mend the quotes.") from error
    used = {name for word in split for name in PLACE.findall(word)}
    for name in sorted(used):
        validators.choice(f"{argument}: in braces", name, PLACES)
    for name in NEEDED:
        if name not in used:
            raise ValueError(
                f"{argument}={template}: lacks {{{name}}}; write it where the command takes "
                f"{'the training data' if name == 'members' else 'the folder of its versions'}."
            )
    return split
