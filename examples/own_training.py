"""A tf_keras model and a training of your own; the versions are the tool's recipes.

    tf-compleak run --family=examples/own_training.py:Own --versions=original,clustering-8,int8-ptq

`train` sees the family's members and a validation slice, never its non-members. It trains the model
that `build` gave; the tool takes its weights from there.
"""

import tf_keras
from tf_keras import layers


class Own:
    epochs = 8

    def build(self, input_shape, classes):
        x = inputs = layers.Input(input_shape)
        x = layers.Flatten()(x)
        x = layers.Dense(32, activation="relu")(x)
        return tf_keras.Model(inputs, layers.Dense(classes)(x))

    def train(self, model, members, validation, seed):
        loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(tf_keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
        stop = tf_keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
        model.fit(
            *members, 16, self.epochs, validation_data=validation, callbacks=[stop], verbose=2
        )
