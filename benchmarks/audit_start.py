"""How long does an audit take from its start to the first answers of a small model?

    python benchmarks/audit_start.py [--runs=7] [--write]

The command `tf-compleak audit` on a `.tflite` file of 2 kB and 400 images in `.npz` files: seconds
until the worker process is started with the file, until its first answers are kept, and until the
report is written; and which heavy libraries the command had loaded.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import app, flags
from results import write_section

FLAGS = flags.FLAGS
flags.DEFINE_integer("runs", 7, "how often the audit is run")
flags.DEFINE_boolean("write", False, "write the table into benchmarks/README.md")

RUN = (
    "import sys; from tf_compleak.cli import main as cli; code = cli.main(sys.argv[1:]);"
    "print([m for m in ('tensorflow', 'tf_keras', 'keras') if m in sys.modules]); sys.exit(code)"
)


def make(folder: Path) -> list[str]:
    """A linear model and its examples; the audit's arguments."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    weights = rng.standard_normal((48, 5)).astype(np.float32)
    x = rng.integers(0, 256, (400, 4, 4, 3), dtype=np.uint8)
    y = (x.reshape(400, -1) / np.float32(255) @ weights).argmax(axis=1)
    for name, rows in (("members", slice(200)), ("non_members", slice(200, 400))):
        np.savez(folder / f"{name}.npz", x=x[rows], y=y[rows])
    spec = tf.TensorSpec([None, 4, 4, 3], tf.float32, name="x")

    @tf.function(input_signature=[spec])
    def forward(x):
        return tf.nn.softmax(tf.reshape(x, [-1, 48]) @ weights)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([forward.get_concrete_function()])
    (folder / "model.tflite").write_bytes(converter.convert())
    sides = [f"--{name}=npz:{folder}/{name}.npz" for name in ("members", "non_members")]
    return ["audit", f"--versions=original={folder}/model.tflite", *sides, "--executor=inline"]


def once(arguments: list[str], workdir: Path) -> tuple[float, float, str]:
    """Seconds to the first answers and to the end, and what was loaded."""
    began = time.perf_counter()
    command = [sys.executable, "-c", RUN, *arguments, f"--workdir={workdir}"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    while process.poll() is None and not list(workdir.glob("answers/*/*/*/stage.json")):
        time.sleep(0.005)
    first = time.perf_counter() - began
    out = process.communicate()[0]
    return first, time.perf_counter() - began, out.strip().splitlines()[-1]


def main(_):
    """Measure, print, and write the table if asked."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        arguments = make(folder)
        runs = [once(arguments, folder / f"audit-{number}") for number in range(FLAGS.runs + 1)][1:]
    names = ("first answers kept", "report written")
    rows = [
        f"| {name} | {statistics.median(of):.2f} ({min(of):.2f} to {max(of):.2f}) |"
        for name, of in zip(names, list(zip(*runs, strict=True))[:2], strict=True)
    ]
    text = "\n".join(["| from the start until | s, median (range) |", "|---|---|", *rows])
    text += f"\n\n{FLAGS.runs} runs; of TensorFlow and Keras loaded: {runs[-1][2]}."
    print(text)
    if FLAGS.write:
        write_section("audit_start.py", text)


if __name__ == "__main__":
    app.run(main)
