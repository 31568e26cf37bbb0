"""Rows in batches: what every reader of files does alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Run = Callable[[list[np.ndarray]], np.ndarray]


def padded(rows: np.ndarray, batch: int) -> np.ndarray:
    """Rows [n, ...] with rows of zeros behind them, `batch` in all; more rows stay as they are."""
    if len(rows) >= batch:
        return rows
    filler = np.zeros((batch - len(rows), *rows.shape[1:]), rows.dtype)
    return np.concatenate([rows, filler])


def answers_by_row(
    run: Run, shapes: Sequence[Sequence[int]], step: float, errors: tuple[type[Exception], ...]
) -> bool:
    """Whether a batch is answered row by row, whatever stands beside a row.

    Args:
      run: outputs [batch, ...] of f32 rows of every input; shapes: of these inputs, batch first.
      step: of a quantized output, by which answers may differ.
      errors: what `run` raises where it refuses such a batch.
    """
    rng = np.random.default_rng(0)
    probe = [rng.random(shape, dtype=np.float32) for shape in shapes]
    try:
        together = run(probe)
        turned = run([rows[::-1] for rows in probe])
    except errors:
        return False
    if any(len(answers) != len(probe[0]) for answers in (together, turned)):
        return False
    return bool(np.allclose(together, turned[::-1], atol=1e-4 + step, equal_nan=True))
