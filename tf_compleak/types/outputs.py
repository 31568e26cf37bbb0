"""What outputs are: their step where they are quantized, and whether rows are distributions."""

from __future__ import annotations

import numpy as np

from tf_compleak.types import validators

ROUNDING = 0.01  # how far the sum of a distribution may be from one, beside its quantization
SOFTMAX_STEP = 1 / 256  # of every INT8 or UINT8 softmax
FEWEST = 5000  # outputs from which a step is found that is not the softmax's
DISTINCT = 10  # values from which multiples of the softmax's step are no coincidence


def resolution(outputs: np.ndarray, most: int = 1026) -> float:
    """The step that all outputs are multiples of, found in the values themselves; 0 if none.

    A quantized output, also behind a DEQUANTIZE, takes few values at one distance: of at least
    `FEWEST` outputs at most `most` different ones, all within a twentieth of a multiple of the
    least difference. An INT8 softmax's step is found among fewer outputs: it is the same always.
    """
    values, counts = np.unique(np.float64(outputs.ravel()[:200_000]), return_counts=True)
    if not 2 < len(values) <= most:
        return 0.0
    if DISTINCT <= len(values) <= 257 and _are_multiples(values, SOFTMAX_STEP, 0.01):
        return SOFTMAX_STEP
    if counts.sum() < FEWEST:
        return 0.0
    step = np.diff(values).min()
    step = values[-1] / max(1, np.rint(values[-1] / step))  # free of the difference's rounding
    return float(step) if step > 1e-6 and _are_multiples(values, step, 0.05) else 0.0


def _are_multiples(values: np.ndarray, step: float, within: float) -> bool:
    """Whether all are multiples of a step, but for a share of it."""
    return bool(np.abs(values / step - np.rint(values / step)).max() < within)


def excess(rows: np.ndarray, step: float) -> tuple[np.ndarray, float]:
    """How far the sums of rows [N, C] are from one (f64[N]), and how far they may be.

    `ROUNDING`, and one step for each class where the output is quantized.
    """
    return np.abs(rows.sum(axis=1, dtype=np.float64) - 1), ROUNDING + rows.shape[1] * step


def refuse_no_distribution(argument: str, rows: np.ndarray, step: float) -> None:
    """ValueError unless rows [N, C] are distributions, as far as a quantization step allows."""
    validators.finite(argument, rows)
    if rows.size and rows.min() < 0:
        raise ValueError(f"{argument}: negative values; are these logits?")
    off, allowed = excess(rows, step)
    if (off > allowed).any():
        raise ValueError(
            f"{argument}: row {int(off.argmax())} sums to 1 only within {off.max():.3g} (allowed: "
            f"{allowed:.3g}); are these logits? Quantized outputs: give their step as resolutions."
        )
