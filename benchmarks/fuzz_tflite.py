"""Does any damaged `.tflite` file kill or hang the process that audits it?

    python benchmarks/fuzz_tflite.py [--count=1000] [--write]

Makes small valid files (float32, float16, pruned, INT8), damages them in a seeded way (flipped
bits, random bytes, a cut, a stretch of another file, damaged headers and tables) and asks each
through the sandbox with eight examples. Each must answer, or end in one line that names the file.
Exits with 1 when the parent meets anything else, or waits longer than the limit.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl import app, flags
from results import write_section

from tf_compleak.inference.sandbox import SandboxedModel

FLAGS = flags.FLAGS
flags.DEFINE_integer("count", 1000, "damaged files")
flags.DEFINE_integer("workers", 2, "files at a time")
flags.DEFINE_float("seconds", 5.0, "limit for opening a file, and for a batch")
flags.DEFINE_integer("seed", 0, "seed of the damage")
flags.DEFINE_boolean("write", False, "write the table into benchmarks/README.md")

SHAPE = (16, 16, 3)
LATE = 40.0  # seconds over the limit after which the parent counts as hanging


def valid_files() -> list[bytes]:
    """A small convolutional net in several versions."""
    from tf_compleak.compression import recipes, tflite
    from tf_compleak.models import ModelSpec, build

    spec = ModelSpec("convnet", 3, 8, SHAPE, 5)
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(w.shape).astype(np.float32) for w in build(spec).get_weights()]
    pruned = [w * (rng.random(w.shape) > 0.6) for w in weights]
    x = rng.random((20, *SHAPE), dtype=np.float32)
    files = [tflite.export(spec, weights), tflite.export(spec, [np.abs(w) for w in pruned])]
    for name in ("int8-ptq", "dynamic-ptq", "float16-ptq"):
        files.append(tflite.export(spec, [np.abs(w) for w in weights], recipes.parse(name), x))
    return files


def damage(files: list[bytes], rng: np.random.Generator) -> tuple[str, bytes]:
    """One file, damaged in one way."""
    content = bytearray(files[rng.integers(len(files))])
    size = len(content)
    kind = str(rng.choice(["bits", "bytes", "header", "cut", "splice", "tables"]))
    if kind == "bits":
        for place in rng.integers(size, size=rng.integers(1, 30)):
            content[place] ^= 1 << int(rng.integers(8))
    elif kind == "bytes":
        for place in rng.integers(size, size=rng.integers(1, 60)):
            content[place] = int(rng.integers(256))
    elif kind == "header":
        for place in rng.integers(8, min(size, 400), size=rng.integers(1, 8)):
            content[place] = int(rng.integers(256))
    elif kind == "cut":
        content = content[: rng.integers(size)]
    elif kind == "splice":
        other = files[rng.integers(len(files))]
        length = int(rng.integers(1, 500))
        start, place = rng.integers(max(1, len(other) - length)), rng.integers(8, size)
        content[place : place + length] = other[start : start + length]
    else:  # the tables at the end of a file: offsets of tensors, operators, shapes
        for place in rng.integers(size * 3 // 4, size, size=rng.integers(1, 6)):
            content[place : place + 4] = int(rng.integers(2**32)).to_bytes(4, "little")
    return kind, bytes(content)


def outcome(path: Path, x: np.ndarray) -> str:
    """What asking the file ended in; what is in capitals must not be."""
    started = time.monotonic()
    try:
        with SandboxedModel(str(path), batch=8, seconds=FLAGS.seconds, memory=2**31) as model:
            shapes = {port.name: (8, *(abs(s) for s in port.shape)) for port in model.inputs}
            model.predict({n: np.resize(x, shape) for n, shape in shapes.items()})
        found = "answered"
    except ValueError as error:
        line = str(error)
        found = next(
            (kind for sign, kind in SIGNS.items() if sign in line), "refused by the runtime"
        )
        if "\n" in line or not line.startswith(str(path)):
            found = "NO LINE THAT NAMES THE FILE"
    except BaseException as error:
        found = f"DEATH ({type(error).__name__})"
    if time.monotonic() - started > 2 * FLAGS.seconds + LATE:
        found = "HANG"
    return found


SIGNS = {
    "crashed": "crashed in the worker",
    "no answer within": "stopped at the limit of time",
    "--memory_limit": "stopped at the limit of memory",
    "is no model file": "not a model file",
    "is empty": "not a model file",
}


def main(_) -> None:
    files = valid_files()
    started = time.monotonic()
    x = np.random.default_rng(1).random((8, *SHAPE), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:

        def one(index: int) -> tuple[str, str]:
            kind, content = damage(files, np.random.default_rng([FLAGS.seed, index]))
            path = Path(folder) / f"{index}.tflite"
            path.write_bytes(content)
            found = outcome(path, x)
            path.unlink()
            return kind, found

        with ThreadPoolExecutor(FLAGS.workers) as pool:
            pairs = list(pool.map(one, range(FLAGS.count)))
    seconds = time.monotonic() - started
    counts = Counter(found for _, found in pairs)
    lines = ["| outcome | files |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in counts.most_common()]
    lines += ["", f"{FLAGS.count} damaged files, seed {FLAGS.seed}, {seconds:.0f} s."]
    print("\n".join(lines))
    if FLAGS.write:
        write_section("fuzz_tflite", "\n".join(lines))
    bad = {name for name in counts if name.split()[0].isupper() and len(name.split()[0]) > 1}
    if bad:
        print(f"NOT GOOD: {', '.join(sorted(bad))}")
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
