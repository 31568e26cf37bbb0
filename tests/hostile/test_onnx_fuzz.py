"""Damaged ONNX files: each is opened, or ends in one line; this process and its files stay."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from damaged_onnx import damaged, models
from test_models import line_of
from watch import Watch

SECONDS = 20.0


@pytest.fixture
def watch(tmp_path, monkeypatch):
    watch = Watch(tmp_path, monkeypatch)
    yield watch
    watch.close()


def made(seed: int, watch: Watch) -> Path:
    path = watch.folder / f"{seed}.onnx"
    path.write_bytes(damaged(np.random.default_rng(seed)) or b"\0")
    return path


@pytest.mark.parametrize("number", range(3))
def test_the_undamaged_are_opened(number, watch):
    path = watch.folder / "m.onnx"
    path.write_bytes(models()[number].SerializeToString())
    assert line_of(path, SECONDS) == ""


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_file(seed, watch):
    path = made(seed, watch)
    watch.start()
    line_of(path, SECONDS)
    watch.check()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_300_damaged_files(watch):
    paths = [made(seed, watch) for seed in range(1000, 1300)]
    watch.start()
    with ThreadPoolExecutor(2) as pool:
        lines = list(pool.map(lambda path: line_of(path, SECONDS), paths))
    watch.check()
    met = [sum(words in line for line in lines) for words in ("is damaged", "cannot be run")]
    assert lines.count("") >= 20 and min(met) >= 20, (lines.count(""), met)
