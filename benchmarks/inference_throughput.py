"""How much does the inference layer cost over a bare interpreter loop on the same file?

    python benchmarks/inference_throughput.py [--cores=2] [--write]

A ResNet-8 of width 16 on 32x32x3 images, float32 and full-integer INT8, one thread. The bare loop
calls set_tensor, invoke, get_tensor on batches that are ready in the file's own type; ours starts
from float32 inputs and ends with float32 probabilities, so that for INT8 it quantizes and
dequantizes too. The two take turns; the figure is the median of the ratios of each turn.

With --cores: how much faster are several than one? Bare loops of one interpreter with so many
threads, and of so many interpreters with a thread each (which take the next batch in turn), and
ours, each beside its own on one core.
"""

import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import app, flags
from ai_edge_litert.interpreter import Interpreter
from results import write_section

FLAGS = flags.FLAGS
flags.DEFINE_integer("images", 4096, "images a turn")
flags.DEFINE_integer("batch", 64, "rows of a batch")
flags.DEFINE_integer("turns", 9, "turns of each")
flags.DEFINE_integer("cores", 1, "cores that a file is asked on")
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


class Bare:
    """A loop of set_tensor, invoke, get_tensor over batches that are ready."""

    def __init__(self, path: Path, x: np.ndarray, batch: int, interpreters: int = 1, threads=1):
        self._loaded, self._batch = [], batch
        for _ in range(interpreters):
            interpreter = Interpreter(str(path), num_threads=threads)
            detail = interpreter.get_input_details()[0]
            interpreter.resize_tensor_input(detail["index"], [batch, *x.shape[1:]])
            interpreter.allocate_tensors()
            self._loaded.append(interpreter)
        self._source = detail["index"]
        self._sink = interpreter.get_output_details()[0]["index"]
        self.ready = x
        if detail["dtype"] != np.float32:
            scale, zero = detail["quantization"]
            self.ready = np.clip(np.rint(x / scale) + zero, -128, 127).astype(np.int8)

    def seconds(self) -> float:
        """Of the loop; several interpreters take the next batch in turn."""
        rows, outputs = iter(range(0, len(self.ready), self._batch)), []

        def loop(interpreter: Interpreter) -> None:
            for row in rows:  # next() of a range's iterator is one step under the interpreter lock
                interpreter.set_tensor(self._source, self.ready[row : row + self._batch])
                interpreter.invoke()
                outputs.append(interpreter.get_tensor(self._sink))

        start = time.perf_counter()
        others = [threading.Thread(target=loop, args=(each,)) for each in self._loaded[1:]]
        for thread in others:
            thread.start()
        loop(self._loaded[0])
        for thread in others:
            thread.join()
        return time.perf_counter() - start


class Ours:
    """`observe` over the same images."""

    def __init__(self, path: Path, x: np.ndarray, batch: int, threads: int = 1):
        from tf_compleak.inference.interpreter import TFLiteModel

        self._model, self._x = TFLiteModel(str(path), batch=batch, threads=threads), x

    def seconds(self) -> float:
        """Of asking all images."""
        from tf_compleak.inference.observe import observe

        start = time.perf_counter()
        observe(self._model, self._x, "probabilities")
        return time.perf_counter() - start


def turns(loops: Sequence[Bare | Ours]) -> np.ndarray:
    """f64[turns, loops]: seconds of loops that take turns; the first turn warms up."""
    return np.array([[loop.seconds() for loop in loops] for _ in range(FLAGS.turns + 1)])[1:]


def text_of(ratios: np.ndarray) -> str:
    """The median of ratios, and their range."""
    return f"{np.median(ratios):.3f} ({ratios.min():.3f} to {ratios.max():.3f})"


def one_core(files: dict[str, Path], x: np.ndarray, batch: int) -> list[str]:
    """The table for one core."""
    lines = [
        "| file | bare loop, images/s | ours, images/s | ours / bare, time |",
        "|---|---|---|---|",
    ]
    for name, path in files.items():
        seconds = turns([Bare(path, x, batch), Ours(path, x, batch)])
        bare, ours = len(x) / np.median(seconds, axis=0)
        ratio = text_of(seconds[:, 1] / seconds[:, 0])
        lines.append(f"| {name} | {bare:,.0f} | {ours:,.0f} | {ratio} |")
    return lines


def many_cores(files: dict[str, Path], x: np.ndarray, batch: int, cores: int) -> list[str]:
    """The table for several cores: speeds over one core's, and ours over the faster bare loop's."""
    lines = [
        "| file | bare: one interpreter, its threads | bare: interpreters in threads | "
        "ours | ours / bare interpreters, speed | the same, from numbers that are ready |",
        "|---|---|---|---|---|---|",
    ]
    for name, path in files.items():
        loops = [
            Bare(path, x, batch),
            Bare(path, x, batch, threads=cores),
            Bare(path, x, batch, interpreters=cores),
            Ours(path, x, batch),
            Ours(path, x, batch, threads=cores),
        ]
        loops.append(Ours(path, loops[0].ready, batch, threads=cores))
        alone, threads, interpreters, ours_alone, ours, ready = turns(loops).T
        columns = [alone / threads, alone / interpreters, ours_alone / ours]
        columns += [interpreters / ours, interpreters / ready]
        lines.append(f"| {name} | {' | '.join(map(text_of, columns))} |")
    return lines


def main(_):
    """Measure, print, and write the table if asked."""
    batch, cores, count = FLAGS.batch, FLAGS.cores, FLAGS.images // FLAGS.batch * FLAGS.batch
    x = np.random.default_rng(1).random((count, 32, 32, 3), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        files = export(Path(folder))
        lines = one_core(files, x, batch) if cores == 1 else many_cores(files, x, batch, cores)
    text = "\n".join(lines)
    print(text)
    if FLAGS.write:
        on = "one thread" if cores == 1 else f"{cores} cores; times as fast as on one"
        note = f"{FLAGS.turns} turns of {count:,} images, batch {batch}, {on}; median (range)."
        section = "inference_throughput.py" + ("" if cores == 1 else " --cores")
        write_section(section, f"{text}\n\n{note}")


if __name__ == "__main__":
    app.run(main)
