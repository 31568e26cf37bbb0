"""Observing: versions x examples -> probabilities, batch by batch in constant memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tf_compleak import _checks
from tf_compleak.inference.interpreter import TFLiteModel
from tf_compleak.types import Output


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax of [N, C], computed in float64, returned as float32."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    return np.float32(shifted / shifted.sum(axis=1, keepdims=True))


def observe(
    model: TFLiteModel,
    x: np.ndarray,
    output: Output,
    on_batch: Callable[[int], None] = lambda rows: None,
) -> np.ndarray:
    """Probabilities f32[N, C] of a version on inputs f32[N, ...].

    Args:
      output: what the file emits; "logits" go through a softmax, "probabilities" stay as they are.
      on_batch: told the number of rows after every batch.

    Raises:
      ValueError: when an output is NaN or infinite.
    """
    outputs = np.empty((len(x), model.classes), np.float32)
    done = 0
    for rows in model.stream(x):
        outputs[done : done + len(rows)] = rows
        done += len(rows)
        on_batch(len(rows))
    _checks.finite("outputs", outputs)
    return softmax(outputs) if output == "logits" else outputs
