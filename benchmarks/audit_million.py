"""What does it take to audit a million examples from a memory-mapped file?

    python benchmarks/audit_million.py [--examples=1000000] [--folder=DIR] [--write]

One INT8 ResNet-8 of width 16, images of 32x32x3 bytes in two `.npy` files (3 GB), default attacks,
cross-fitted. First the asking alone: parts of 8,192, members and non-members mixed as an audit asks
them, are put to the file by a bare loop of set_tensor, invoke, get_tensor on bytes that are ready,
and by the audit (from the mapped files, prepared, in a worker process), in turn. Then the whole
command: it is interrupted (Ctrl-C) when a third of the answers are there and started again; the
memory of its processes is sampled.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from absl import app, flags
from ai_edge_litert.interpreter import Interpreter
from results import write_section

from tf_compleak.data import sources
from tf_compleak.studies.audit import order
from tf_compleak.studies.audit.open_model import Asking, Opened
from tf_compleak.studies.audit.order import PART

FLAGS = flags.FLAGS
flags.DEFINE_integer("examples", 1_000_000, "examples, half of them members")
flags.DEFINE_integer("blocks", 15, "parts that both loops are asked in turn")
flags.DEFINE_integer("workers", 1, "processes of the audit")
flags.DEFINE_string("folder", "", "where the arrays are made; a temporary folder by default")
flags.DEFINE_boolean("write", False, "write the table into benchmarks/README.md")

KINDS = ("members", "non_members")


def export(path: Path) -> None:
    """An INT8 file with random weights: its speed does not depend on them."""
    from tf_compleak.compression import recipes, tflite
    from tf_compleak.models import ModelSpec, build

    spec = ModelSpec("resnet", 8, 16, (32, 32, 3), 10)
    some = np.random.default_rng(0).random((50, 32, 32, 3), dtype=np.float32)
    int8 = recipes.PostTraining("int8")
    path.write_bytes(tflite.export(spec, build(spec).get_weights(), int8, some))


def make(folder: Path, examples: int) -> None:
    """Random images and labels, written block by block."""
    for number, kind in enumerate(KINDS):
        rng, count = np.random.default_rng(number), examples // 2
        np.save(folder / f"{kind}_y.npy", rng.integers(10, size=count))
        shape = (count, 32, 32, 3)
        x = np.lib.format.open_memmap(folder / f"{kind}_x.npy", "w+", np.uint8, shape)
        for start in range(0, count, PART):
            end = min(count, start + PART)
            x[start:end] = rng.integers(256, size=(end - start, 32, 32, 3), dtype=np.uint8)
        x.flush()


def bare(interpreter: Interpreter, rows: np.ndarray, batch: int) -> float:
    """Seconds of the bare loop over bytes that are ready."""
    source = interpreter.get_input_details()[0]["index"]
    sink, found = interpreter.get_output_details()[0]["index"], []
    began = time.perf_counter()
    for start in range(0, len(rows), batch):
        interpreter.set_tensor(source, rows[start : start + batch])
        interpreter.invoke()
        found.append(interpreter.get_tensor(sink))
    return time.perf_counter() - began


def ratios(folder: Path, batch: int = 64) -> tuple[list[float], float, float]:
    """Time of the audit's asking over the bare loop's, block by block; images/s of both."""
    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=1)
    detail = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(detail["index"], [batch, 32, 32, 3])
    interpreter.allocate_tensors()
    scale, zero = detail["quantization"]
    both = [
        sources.load_side(f"npy:{folder}/{kind}_x.npy,{folder}/{kind}_y.npy", kind)
        for kind in KINDS
    ]
    mixed = order.mixed(tuple(map(len, both)), 0, "target")
    whole = [part for part in mixed.parts if len(part) == PART]
    opened, times = Opened(str(folder / "model.tflite"), Asking(batch=batch), both), []
    for number in range(FLAGS.blocks + 1):
        part, following = (whole[n % len(whole)] for n in (number, number + 1))
        pixels = np.float32(order.gathered(both, part, dict)["x"]) / 255
        ready = np.clip(np.rint(pixels / scale) + zero, -128, 127).astype(np.int8)
        own = bare(interpreter, ready, batch)
        began = time.perf_counter()
        opened.ask_rows(both, part, following)
        times.append((own, time.perf_counter() - began))
    opened.close()
    times = times[1:]  # the first warms up
    speeds = [PART / statistics.median(each) for each in zip(*times, strict=True)]
    return sorted(ours / own for own, ours in times), *speeds


class Memory(threading.Thread):
    """Samples the memory of a process and of all below it: anonymous and shared, in bytes.

    `asking`: all processes together, until all answers are there; `together`: from then on.
    """

    def __init__(self, process: subprocess.Popen, asked: Path):
        super().__init__(daemon=True)
        self._root, self._asked = process, asked
        self.asking, self.together, self.largest = 0, 0, 0
        self.start()

    def run(self) -> None:
        while self._root.poll() is None:
            sizes = [resident(each) for each in below(self._root.pid)]
            total = sum(own for own, _ in sizes)
            if self._asked.exists():
                self.together = max(self.together, total)
            else:
                self.asking = max(self.asking, total)
            self.largest = max(self.largest, *(whole for _, whole in sizes), 0)
            time.sleep(0.3)


def below(pid: int) -> list[int]:
    """A process and its descendants."""
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        try:
            tasks = list(Path(f"/proc/{found[-1]}/task").iterdir())
            waiting += [int(c) for task in tasks for c in (task / "children").read_text().split()]
        except OSError:
            continue  # it has ended
    return found


def resident(pid: int) -> tuple[int, int]:
    """Bytes of a process without mapped files, and with them."""
    try:
        lines = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        kib = {key: int(lines[key].split()[0]) for key in ("RssAnon", "RssShmem", "VmRSS")}
    except (OSError, KeyError):
        return 0, 0
    return 1024 * (kib["RssAnon"] + kib["RssShmem"]), 1024 * kib["VmRSS"]


def command(folder: Path) -> list[str]:
    """The audit's command line; the labels are random, so that it must be forced."""
    data = [f"--{kind}=npy:{folder}/{kind}_x.npy,{folder}/{kind}_y.npy" for kind in KINDS]
    where = [f"--workdir={folder}/audit", f"--workers={FLAGS.workers}", "--force"]
    versions = f"--versions=int8={folder}/model.tflite"
    return [sys.executable, "-m", "tf_compleak", "audit", versions, *data, *where]


def parts(folder: Path) -> dict[str, int]:
    """The answers that are there, and when each was finished."""
    found = (folder / "audit" / "answers" / "target" / "int8").glob("*/stage.json")
    return {str(path): path.stat().st_mtime_ns for path in found}


def interrupted(folder: Path, wanted: int) -> tuple[int, dict[str, int]]:
    """Start the audit and press Ctrl-C when so many answers are there; exit code and answers."""
    process = subprocess.Popen(command(folder), stderr=subprocess.PIPE)
    while process.poll() is None and len(parts(folder)) < wanted:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    told = process.communicate()[1].decode().strip().splitlines()
    print(f"after Ctrl-C: {told[-1] if told else ''}", flush=True)
    return process.returncode, parts(folder)


def main(_):
    """Measure, print, and write the table if asked."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(FLAGS.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        export(folder / "model.tflite")
        make(folder, FLAGS.examples)
        found, own, ours = ratios(folder)
        total = len(order.mixed((FLAGS.examples // 2,) * 2, 0, "target").parts) + 1
        code, before = interrupted(folder, total // 3)
        began = time.perf_counter()
        process = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL)
        memory = Memory(process, folder / "audit" / "observations")
        second = process.wait()
        seconds = time.perf_counter() - began
        after = parts(folder)
        again = sum(after[name] != stamp for name, stamp in before.items())
        size = sum(os.path.getsize(folder / f"{kind}_x.npy") for kind in KINDS)
    rows = [
        ("asking, bare loop, images/s", f"{own:,.0f}"),
        ("asking, audit, images/s", f"{ours:,.0f}"),
        (
            "audit / bare, time; median (range)",
            f"{statistics.median(found):.3f} ({found[0]:.3f} to {found[-1]:.3f})",
        ),
        ("inputs on disk, GiB", f"{size / 2**30:.2f}"),
        ("peak memory of all processes while asking, GiB", f"{memory.asking / 2**30:.2f}"),
        (
            f"the same while attacking, {FLAGS.workers} process(es), GiB",
            f"{memory.together / 2**30:.2f}",
        ),
        ("largest process, mapped files included, GiB", f"{memory.largest / 2**30:.2f}"),
        (f"exit code after Ctrl-C, answers there of {total}", f"{code}, {len(before)}"),
        ("exit code of the second start, answers asked again", f"{second}, {again}"),
        ("second start, s", f"{seconds:,.0f}"),
    ]
    text = "\n".join(["| what | |", "|---|---|", *(f"| {name} | {of} |" for name, of in rows)])
    print(text)
    if FLAGS.write:
        write_section("audit_million.py", f"{text}\n\n{FLAGS.examples:,} examples.")


if __name__ == "__main__":
    app.run(main)
