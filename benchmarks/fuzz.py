"""Does any damaged file of a kind that is read from others do more than end in one line?

    python benchmarks/fuzz.py [--files=300] [--tflite_files=1000] [--write]

Makes small valid files of every kind, damages them in a seeded way (flipped bits, random bytes, a
cut, a stretch moved, a word of the text exchanged) and reads each as an audit does: model files in
the isolated process, arrays and records here. Each must be read, or end in one line of a ValueError
or OSError. Exits with 1 when anything else is met. `fuzz_tflite.py` knows more about `.tflite`.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl import app, flags
from damage import damage
from results import write_section

FLAGS = flags.FLAGS
flags.DEFINE_integer("files", 300, "damaged files of every kind but .tflite")
flags.DEFINE_integer("model_files", 0, "of these, of .h5, .keras and SavedModels; 0: as many")
flags.DEFINE_integer("tflite_files", 1000, "damaged .tflite files")
flags.DEFINE_integer("workers", 2, "isolated processes at a time")
flags.DEFINE_float("seconds", 20.0, "limit for opening a file, and for a batch")
flags.DEFINE_integer("seed", 0, "seed of the damage")
flags.DEFINE_boolean("write", False, "write the table into benchmarks/README.md")

START = 150.0  # seconds over the limits after which a file counts as one that hangs


@dataclass(frozen=True)
class Kind:
    """Valid folders of one kind and how they are read.

    Attributes:
      folders: each holds the files of one valid thing; name: what is read in it ("" for all).
      damaged: names of the files that may be damaged.
      read: reads what lies at a path.
    """

    folders: list[Path]
    name: str
    damaged: tuple[str, ...]
    read: Callable[[Path], object]


# Valid files --------------------------------------------------------------------------------------


def ask(path: Path) -> None:
    """Open a model file and ask it once."""
    from tf_compleak.inference.sandbox import SandboxedModel

    with SandboxedModel(str(path), batch=4, seconds=FLAGS.seconds, memory=2**33) as model:
        shapes = {port.name: (4, *map(abs, port.shape)) for port in model.inputs}
        model.predict({name: np.ones(shape, np.float32) for name, shape in shapes.items()})


def model_kinds(root: Path) -> dict[str, Kind]:
    """.h5, .keras, SavedModels and .tflite of one small network."""
    import keras
    import tensorflow as tf
    import tf_keras

    folders: dict[str, list[Path]] = {"h5": [], "keras": [], "savedmodel": [], "tflite": []}

    def fresh(kind: str) -> Path:
        folder = root / f"{kind}{len(folders[kind])}"
        folder.mkdir(parents=True)
        folders[kind].append(folder)
        return folder

    for library in (tf_keras, keras):
        layers = [library.layers.Dense(5, "relu"), library.layers.Dense(3, "softmax")]
        model = library.Sequential([library.Input((6,)), *layers])
        model.save(fresh("h5") / "m.h5")
        model.save(fresh("keras") / "m.keras")
        getattr(model, "export", model.save)(str(fresh("savedmodel") / "m"))
    function = tf.function(lambda x: model(x), input_signature=[tf.TensorSpec([None, 6])])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    (fresh("tflite") / "m.tflite").write_bytes(converter.convert())
    weights = ("m/variables/variables.index", "m/variables/variables.data-00000-of-00001")
    parts = {kind: (f"m.{kind}",) for kind in ("h5", "keras", "tflite")}
    parts["savedmodel"] = ("m/saved_model.pb", "m/saved_model.pb", *weights)
    names = {kind: f"m.{kind}" for kind in parts} | {"savedmodel": "m"}
    return {kind: Kind(folders[kind], names[kind], parts[kind], ask) for kind in parts}


def record_kinds(root: Path) -> dict[str, Kind]:
    """Arrays, a stage's record, a report."""
    import tf_compleak
    from tf_compleak.data import array_files
    from tf_compleak.engine import stage
    from tf_compleak.types.observations import Observations

    rng = np.random.default_rng(0)
    for name in ("npz", "stage", "report"):
        (root / name).mkdir(parents=True)
    np.savez(root / "npz" / "d.npz", x=rng.random((20, 3, 3, 1)), y=np.arange(20) % 2)

    def observed() -> Observations:
        return Observations(
            versions=("original",),
            probabilities=rng.dirichlet(np.ones(3), (1, 60)).astype(np.float32),
            labels=np.arange(60) % 3,
            members=np.arange(60) < 30,
            ids=None,
        )

    tf_compleak.run_attacks(observed(), [observed()], ["loss"]).save(root / "report")
    with stage.Stage.of(root / "stage" / "s", name="fuzz", number=1).writing() as (folder, facts):
        (folder / "a.txt").write_text("text")
        facts |= {"accuracy": 0.5, "classes": [1, 2]}

    def record(path: Path) -> None:
        read = stage.read(Path(path))
        if read is None or stage.damage(Path(path), read):
            raise ValueError(f"{path}: is no finished stage.")

    def arrays(path: Path) -> None:
        array_files.archive(path, ("x", "y"))

    return {
        "npz": Kind([root / "npz"], "d.npz", ("d.npz",), arrays),
        "stage.json": Kind([root / "stage"], "s", ("s/stage.json",), record),
        "report.json": Kind(
            [root / "report"], "", ("report.json",), lambda path: tf_compleak.Report.load(path)
        ),
    }


# Reading ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """How reading a damaged file ended: "opened", "refused", "crashed", "late" or "BAD ..."."""

    said: str
    seconds: float


def outcome(kind: Kind, seed: list[int], root: Path) -> Outcome:
    """What reading a copy, damaged by this seed, ends in."""
    rng = np.random.default_rng(seed)
    folder = root / "-".join(map(str, seed))
    shutil.copytree(kind.folders[rng.integers(len(kind.folders))], folder)
    file = folder / kind.damaged[rng.integers(len(kind.damaged))]
    file.write_bytes(damage(file.read_bytes(), rng))
    started = time.monotonic()
    try:
        kind.read(folder / kind.name if kind.name else folder)
        said = "opened"
    except (ValueError, OSError) as error:
        line = str(error)
        said = "crashed" if "crashed while" in line else "refused"
        said = "late" if "no answer within" in line else said
        said = f"BAD: {line[:300]!r}" if "\n" in line or not line.strip() else said
    except BaseException as error:
        said = f"BAD: {type(error).__name__}: {str(error)[:300]!r}"
    seconds = time.monotonic() - started
    shutil.rmtree(folder)
    return Outcome(said if seconds < 3 * FLAGS.seconds + START else "BAD: hangs", seconds)


def row(name: str, outcomes: list[Outcome]) -> str:
    """A line of the table."""
    counts = Counter(part.said for part in outcomes)
    numbers = [len(outcomes), *(counts[said] for said in ("opened", "refused", "crashed", "late"))]
    numbers.append(sum(part.said.startswith("BAD") for part in outcomes))
    longest = max((part.seconds for part in outcomes), default=0.0)
    return f"| {name} | {' | '.join(map(str, numbers))} | {longest:.1f} |"


def main(_) -> None:
    started, bad = time.monotonic(), []
    lines = [
        "| kind | files | opened | refused | crashed process | stopped at the time limit | "
        "anything else | longest, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(FLAGS.workers) as pool:
        root = Path(folder)
        kinds = record_kinds(root / "records") | model_kinds(root / "models")
        for number, (name, kind) in enumerate(kinds.items()):
            for valid in kind.folders:
                kind.read(valid / kind.name if kind.name else valid)
            isolated = FLAGS.model_files or FLAGS.files
            count = {"tflite": FLAGS.tflite_files, "h5": isolated, "keras": isolated}
            count = count.get(name, isolated if name == "savedmodel" else FLAGS.files)
            seeds = [[FLAGS.seed, number, file] for file in range(count)]
            outcomes = list(pool.map(lambda seed, k=kind: outcome(k, seed, root), seeds))
            bad += [f"{name}: {part.said}" for part in outcomes if part.said.startswith("BAD")]
            lines.append(row(name, outcomes))
            print(lines[-1], flush=True)
    seconds = time.monotonic() - started
    lines += ["", f"Seed {FLAGS.seed}, {FLAGS.workers} at a time, {seconds:.0f} s."]
    print("\n".join(lines))
    if FLAGS.write:
        write_section("fuzz", "\n".join(lines))
    if bad:
        print(json.dumps(bad[:20], indent=1))
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
