"""How much does the inference layer cost over a bare interpreter loop on the same file?

    python benchmarks/inference_throughput.py [--write]

A ResNet-8 of width 16 on 32x32x3 images, float32 and full-integer INT8, one thread. The bare loop
calls set_tensor, invoke, get_tensor on batches that are ready in the file's own type; ours starts
from float32 inputs and ends with float32 probabilities, so that for INT8 it quantizes and
dequantizes too. The two take turns; the figure is the median of the ratios of each turn.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import app, flags
from ai_edge_litert.interpreter import Interpreter
from results import write_section

FLAGS = flags.FLAGS
flags.DEFINE_integer("images", 4096, "images a turn")
flags.DEFINE_integer("batch", 64, "rows of a batch")
flags.DEFINE_integer("turns", 9, "turns of each")
flags.DEFINE_boolean("write", False, "write the table into benchmarks/README.md")


def export(folder: Path) -> dict[str, Path]:
    """The two files, with random weights: their speed does not depend on them."""
    from tf_compleak.compression import recipes, tflite
    from tf_compleak.models import ModelSpec, build

    spec = ModelSpec("resnet", 8, 16, (32, 32, 3), 10)
    weights = build(spec).get_weights()
    calibration = np.random.default_rng(0).random((50, 32, 32, 3), dtype=np.float32)
    contents = {
        "float32": tflite.export(spec, weights),
        "INT8": tflite.export(spec, weights, recipes.PostTraining("int8"), calibration),
    }
    for name, content in contents.items():
        (folder / f"{name}.tflite").write_bytes(content)
    return {name: folder / f"{name}.tflite" for name in contents}


def bare(path: Path, x: np.ndarray, batch: int) -> float:
    """Seconds of the bare loop over batches that are ready."""
    interpreter = Interpreter(str(path), num_threads=1)
    detail = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(detail["index"], [batch, *x.shape[1:]])
    interpreter.allocate_tensors()
    ready = x
    if detail["dtype"] != np.float32:
        scale, zero = detail["quantization"]
        ready = np.clip(np.rint(x / scale) + zero, -128, 127).astype(np.int8)
    source, sink = detail["index"], interpreter.get_output_details()[0]["index"]
    outputs = []
    start = time.perf_counter()
    for row in range(0, len(ready), batch):
        interpreter.set_tensor(source, ready[row : row + batch])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(sink))
    return time.perf_counter() - start


def ours(path: Path, x: np.ndarray, batch: int) -> float:
    """Seconds of `observe` over the same images."""
    from tf_compleak.inference.interpreter import TFLiteModel
    from tf_compleak.inference.observe import observe

    model = TFLiteModel(str(path), batch=batch)
    start = time.perf_counter()
    observe(model, x, "probabilities")
    return time.perf_counter() - start


def main(_):
    """Measure, print, and write the table if asked."""
    batch, count = FLAGS.batch, FLAGS.images // FLAGS.batch * FLAGS.batch
    x = np.random.default_rng(1).random((count, 32, 32, 3), dtype=np.float32)
    lines = [
        "| file | bare loop, images/s | ours, images/s | ours / bare, time |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, path in export(Path(folder)).items():
            pairs = [(bare(path, x, batch), ours(path, x, batch)) for _ in range(FLAGS.turns + 1)]
            pairs = pairs[1:]  # the first turn warms up
            ratios = sorted(b / a for a, b in pairs)
            speeds = [count / statistics.median(times) for times in zip(*pairs, strict=True)]
            lines.append(
                f"| {name} | {speeds[0]:,.0f} | {speeds[1]:,.0f} | "
                f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}) |"
            )
    text = "\n".join(lines)
    print(text)
    if FLAGS.write:
        note = (
            f"{FLAGS.turns} turns of {count:,} images, batch {batch}, one thread; median (range)."
        )
        write_section("inference_throughput.py", f"{text}\n\n{note}")


if __name__ == "__main__":
    app.run(main)
