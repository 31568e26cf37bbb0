"""How fast is training beside a bare `tf.function` loop on the same model?

    python benchmarks/training_throughput.py [--models=resnet18,vgg16] [--batches=32,128] [--write]

The bare loop is what a user would write: one traced step with a Keras SGD optimizer, fed batches
that are ready in memory, in order. Ours draws a new order every epoch and gathers the batches
inside the graph, one call for an epoch. The two take turns; the figure is the median of the ratios
of each turn. Images are 32x32x3, 10 classes; no augmentation.
"""

import os
import statistics
import time

import numpy as np
from absl import app, flags
from results import write_section

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "models",
    ["convnet", "resnet", "resnet18:16", "resnet50:8", "vgg16:16", "mobilenetv2:16"],
    "architectures, each with its width after a colon (none: the architecture's own)",
)
flags.DEFINE_list("batches", ["32", "64", "128"], "batch sizes")
flags.DEFINE_integer("images", 512, "images a turn")
flags.DEFINE_integer("turns", 5, "turns of each")
flags.DEFINE_integer("threads", 1, "threads of TensorFlow")
flags.DEFINE_string("mixed_precision", "none", "none | bfloat16 | float16, of both")
flags.DEFINE_boolean("write", False, "write the table into benchmarks/README.md")


def spec(text: str):
    """The architecture that NAME[:WIDTH] names."""
    from tf_compleak.models import ModelSpec

    name, _, width = text.partition(":")
    return ModelSpec(name, 0, int(width or 0), (32, 32, 3), 10)


def bare(model, x: np.ndarray, y: np.ndarray, batch: int):
    """A function that trains on every batch once and returns its seconds."""
    import tensorflow as tf

    from tf_compleak.models.keras2 import keras

    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, weight_decay=5e-4)
    if FLAGS.mixed_precision == "float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    starts = range(0, len(x), batch)
    batches = [(tf.constant(x[i : i + batch]), tf.constant(y[i : i + batch])) for i in starts]

    @tf.function
    def step(inputs, labels):
        with tf.GradientTape() as tape:
            value = loss(labels, model(inputs, training=True))
            scaled = optimizer.get_scaled_loss(value) if hasattr(optimizer, "loss_scale") else value
        gradients = tape.gradient(scaled, model.trainable_variables)
        if hasattr(optimizer, "loss_scale"):
            gradients = optimizer.get_unscaled_gradients(gradients)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return value

    def turn() -> float:
        start = time.perf_counter()
        for inputs, labels in batches:
            value = step(inputs, labels)
        float(value)
        return time.perf_counter() - start

    return turn


def ours(model, x: np.ndarray, y: np.ndarray, batch: int):
    """A function that trains for one epoch as a study does and returns its seconds."""
    from tf_compleak.models.trainer import Optimization, Trainer

    scaled = FLAGS.mixed_precision == "float16"
    trainer = Trainer(model, Optimization(FLAGS.turns + 1, batch, 0.01), scaled=scaled)
    epochs = trainer.epochs(x, y, np.random.default_rng(0))
    return lambda: next(epochs).seconds


def measured(text: str, batch: int) -> str:
    """The row of one architecture and batch size."""
    from tf_compleak.models import build
    from tf_compleak.models.replicas import precision

    rng, count = np.random.default_rng(0), FLAGS.images // batch * batch
    x, y = rng.random((count, 32, 32, 3), dtype=np.float32), rng.integers(10, size=count)
    with precision(FLAGS.mixed_precision):
        turns = [make(build(spec(text)), x, y, batch) for make in (bare, ours)]
    pairs = [[turn() for turn in turns] for _ in range(FLAGS.turns + 1)]
    pairs = pairs[1:]  # the first turn traces
    ratios = sorted(theirs / own for theirs, own in pairs)
    speeds = [count / statistics.median(times) for times in zip(*pairs, strict=True)]
    return (
        f"| {text} | {batch} | {speeds[0]:,.0f} | {speeds[1]:,.0f} | "
        f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}) |"
    )


def main(_):
    """Measure, print, and write the table if asked."""
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(FLAGS.threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    lines = [
        "| model | batch | bare loop, images/s | ours, images/s | ours / bare, speed |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    for text in FLAGS.models:
        for batch in FLAGS.batches:
            lines.append(measured(text, int(batch)))
            print(lines[-1], flush=True)
    if FLAGS.write:
        note = (
            f"{FLAGS.turns} turns of {FLAGS.images:,} images of 32x32x3 each, {FLAGS.threads} "
            f"thread(s), mixed precision: {FLAGS.mixed_precision}; median (range). NAME:WIDTH."
        )
        write_section("training_throughput.py", "\n".join(lines) + f"\n\n{note}")


if __name__ == "__main__":
    app.run(main)
