"""Damaged files are given to the quantizers: a version, or one line; nothing else is touched."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import damaged_onnx
import numpy as np
import plain_tflite
import pytest
from watch import Watch

from tf_compleak.inference.making import QUANTIZERS, Maker

SECONDS = 20.0


@pytest.fixture
def watch(tmp_path, monkeypatch):
    watch = Watch(tmp_path, monkeypatch)
    yield watch
    watch.close()


def made(kind: str, seed: int, watch: Watch) -> Path:
    """A damaged file; a .tflite file keeps the mark by which it is known."""
    rng, path = np.random.default_rng(seed), watch.folder / f"{seed}.{kind}"
    if kind == "onnx":
        path.write_bytes(damaged_onnx.damaged(rng) or b"\0")
    else:
        weights = rng.standard_normal((200, 10)).astype(np.float32)
        content = plain_tflite.classifier(weights)
        path.write_bytes(content[:8] + damaged_onnx.damage(content, rng)[8:])
    return path


def quantized(path: Path, way: str) -> str:
    """The line that making a version ends with; "" where one is made."""
    try:
        with Maker(str(path), making=way, batch=4, seconds=SECONDS, memory=2**33) as maker:
            shapes = {port.name: (4, *map(abs, port.shape)) for port in maker.inputs}
            maker.predict({name: np.ones(shape, np.float32) for name, shape in shapes.items()})
            assert maker.made(path.stat().st_size)
    except ValueError as error:
        line = str(error)
        assert line and "\n" not in line and len(line) < 1200, line
        return line
    return ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "what", [f"{kind} {way}" for kind, of in QUANTIZERS.items() for way in of.ways]
)
def test_damaged_files_are_quantized(what, watch):
    kind, way = what.split()
    paths = [made(kind, seed, watch) for seed in range(2000, 2050)]
    watch.start()
    with ThreadPoolExecutor(2) as pool:
        lines = list(pool.map(lambda path: quantized(path, way), paths))
    watch.check()
    assert "" in lines  # some are still good
