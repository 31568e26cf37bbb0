r"""A training script that knows nothing of tf-compleak: it reads .npz files and writes models.

    tf-compleak run --versions=original,pruned --train_command='python examples/train.py \
        --data {members} --validation {validation} --out {folder} --seed {seed}'
"""

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

parser = argparse.ArgumentParser()
for name in ("data", "validation", "out"):
    parser.add_argument(f"--{name}", type=Path, required=True)
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()

members, validation = np.load(arguments.data), np.load(arguments.validation)
tf_keras.utils.set_random_seed(arguments.seed)
model = tf_keras.Sequential(
    [
        tf_keras.layers.Input(members["x"].shape[1:]),
        tf_keras.layers.Flatten(),
        tf_keras.layers.Dense(32, activation="relu"),
        tf_keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(tf_keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", ["accuracy"])
model.fit(members["x"], members["y"], 16, 20, verbose=0)
print("validation:", model.evaluate(validation["x"], validation["y"], verbose=0))


def write(name):
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    (arguments.out / f"{name}.tflite").write_bytes(content)


write("original")
for layer in model.layers[1:]:
    kernel, bias = layer.get_weights()
    kernel[np.abs(kernel) < np.quantile(np.abs(kernel), 0.5)] = 0
    layer.set_weights([kernel, bias])
write("pruned")
