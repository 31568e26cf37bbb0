"""Observing: versions x examples -> probabilities, batch by batch in constant memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tf_compleak.inference.interpreter import TFLiteModel
from tf_compleak.types import Output, validators


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
    validators.finite("outputs", outputs)
    return softmax(outputs) if output == "logits" else outputs


def sensitivities(
    model: TFLiteModel,
    x: np.ndarray,
    output: Output,
    *,
    rng: np.random.Generator,
    queries: int = 10,
    epsilon: float = 1e-3,
    first: int = 0,
    on_batch: Callable[[int], None] = lambda rows: None,
) -> np.ndarray:
    """How much the confidences move with the input, f32[N, C] (Yuan & Zhang, USENIX Security 2022).

    The mean over `queries` standard normal u of |p(x + epsilon u) - p(x)| / epsilon. The noise of a
    row comes from one number drawn from `rng` and the row's position: generators of equal state
    give every version the same noise, whatever the batches. Costs queries + 1 runs of the model.
    An input that the file rounds to steps wider than epsilon (INT8) hardly moves: expect zeros.

    Args:
      x: inputs f32[N, ...].
      output: what the file emits, as for `observe`.
      first: position of the first row, where `x` is a part of the inputs.
      on_batch: told the number of rows after every batch.

    Raises:
      ValueError: queries below 1, epsilon not positive, or an output that is NaN or infinite.
    """
    validators.at_least("queries", queries, 1)
    validators.between("epsilon", epsilon, 1e-12, 1e3)
    seed = int(rng.integers(2**62))
    result = np.empty((len(x), model.classes), np.float32)
    for start in range(0, len(x), model.batch):
        rows = np.asarray(x[start : start + model.batch], np.float32)
        positions = range(first + start, first + start + len(rows))
        noise = np.stack([_noise(seed, position, queries, x.shape[1:]) for position in positions])
        still = observe(model, rows, output)
        moved = np.zeros(still.shape)
        for query in range(queries):
            shifted = rows + np.float32(epsilon) * noise[:, query]
            moved += np.abs(np.float64(observe(model, shifted, output)) - still)
        result[start : start + len(rows)] = moved / (queries * epsilon)
        on_batch(len(rows))
    return result


def _noise(seed: int, position: int, queries: int, shape: tuple[int, ...]) -> np.ndarray:
    """f32[queries, ...] of one row: it depends on the seed and the position alone."""
    return np.random.default_rng([seed, position]).standard_normal((queries, *shape), np.float32)
