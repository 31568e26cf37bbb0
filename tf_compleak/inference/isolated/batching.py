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
    """Whether a batch is answered row by row, wherever a row stands and whatever beside it.

    It is not where activations are quantized by the range of a whole batch, as onnxruntime's
    dynamic quantization does: the rows beside are given twice the range.

    Args:
      run: outputs [batch, ...] of f32 rows of every input; shapes: of these inputs, batch first.
      step: of a quantized output, by which answers may differ.
      errors: what `run` raises where it refuses such a batch.
    """
    rng = np.random.default_rng(0)
    probe, others = ([rng.random(shape, dtype=np.float32) for shape in shapes] for _ in range(2))
    batch = len(probe[0])
    kept = (batch + 1) // 2
    for rows, beside in zip(probe, others, strict=True):
        beside *= 2
        beside[:kept] = rows[:kept]
    try:
        first = run(probe)
        turned = run([rows[::-1] for rows in others])
    except errors:
        return False
    if any(len(answers) != batch for answers in (first, turned)):
        return False
    again = turned[::-1][:kept]
    return bool(np.allclose(first[:kept], again, atol=1e-4 + step, equal_nan=True))
