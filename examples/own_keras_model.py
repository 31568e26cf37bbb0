r"""A tf_keras model of your own; training and every recipe are the tool's.

    tf-compleak run --family=examples/own_keras_model.py:Own \
        --versions=original,pruning-0.60,int8-ptq

The model is compiled here, so it is trained by this loss and this optimizer, for --epochs; without
`compile` it is trained as the tool's own models are, by --optimizer and --learning_rate.
"""

import tf_keras
from tf_keras import layers


class Own:
    def build(self, input_shape, classes):
        model = tf_keras.Sequential(
            [
                layers.Input(input_shape),
                layers.Conv2D(8, 3, padding="same", activation="relu"),
                layers.BatchNormalization(),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dropout(0.2),
                layers.Dense(classes, activation="softmax"),
            ]
        )
        model.compile(tf_keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
        return model
