"""Models inside models, laid open: tfmot wraps layers, and refuses or overlooks those of a model
that is a layer itself, as backbones of transfer learning are.
"""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from tf_compleak.models.keras2 import keras


def leaves(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model and of the models inside it, which are not among them themselves."""
    for layer in model.layers:
        if _is_graph(layer):
            yield from leaves(layer)
        else:
            yield layer


def flat(model: keras.Model) -> keras.Model:
    """The same layers in one functional model; the model itself where there is none inside it.

    Raises:
      ValueError: when two layers have one name.
    """
    if not any(map(_is_graph, model.layers)):
        return model
    inputs = keras.layers.Input(model.input_shape[1:], dtype=model.inputs[0].dtype)
    return keras.Model(inputs, _applied(model, [inputs], {})[0])


def _is_graph(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.Model) and getattr(layer, "_is_graph_network", False)


def _applied(model: keras.Model, inputs: list, how: dict) -> list:
    """The outputs of a model's layers on these inputs; `how` is {} or {"training": bool}.

    As `Functional._run_internal_graph`, but that goes into a model only to call it as a layer.
    """
    tensors = {str(id(x)): _Ever(y) for x, y in zip(model.inputs, inputs, strict=True)}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                continue
            arguments, named = node.map_arguments(tensors)
            training = {name: v for name, v in named.items() if name == "training"}
            training = {name: v for name, v in training.items() if v is not None} or how
            if _is_graph(node.layer):
                outputs = _applied(node.layer, tf.nest.flatten(arguments), training)
            else:
                takes = training if node.layer._expects_training_arg else {}
                outputs = tf.nest.flatten(node.layer(*arguments, **{**named, **takes}))
            pairs = zip(node.flat_output_ids, outputs, strict=True)
            tensors.update({name: _Ever(tensor) for name, tensor in pairs})
    return [tensors[str(id(x))].pop() for x in model.outputs]


class _Ever:
    """A tensor that can be taken out any number of times."""

    def __init__(self, tensor):
        self._tensor = tensor

    def pop(self):
        """The tensor."""
        return self._tensor
