r"""A Keras 3 model of your own and its own export, by the tools that you ship with.

    tf-compleak run --family=examples/keras3_export.py:Own --versions=original,float16,int8

What is written into the folder is what is attacked: NAME.keras, NAME.tflite, NAME.onnx, NAME.h5, or
a SavedModel folder NAME. Files are opened by the same isolated reader as those of an audit.
"""

import keras
import tensorflow as tf
from keras import layers


class Own:
    def make(self, members, validation, folder, seed):
        keras.utils.set_random_seed(seed)
        x, y = members
        model = keras.Sequential(
            [
                layers.Input(x.shape[1:]),
                layers.Flatten(),
                layers.Dense(32, activation="relu"),
                layers.Dense(10, activation="softmax"),
            ]
        )
        model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
        model.fit(x, y, 16, 20, validation_data=validation, verbose=2)

        model.save(folder / "original.keras")
        model.export(folder / "saved", verbose=False)
        for name in ("float16", "int8"):
            converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if name == "float16":
                converter.target_spec.supported_types = [tf.float16]
            else:
                converter.representative_dataset = lambda: ([row[None]] for row in validation[0])
            (folder / f"{name}.tflite").write_bytes(converter.convert())
