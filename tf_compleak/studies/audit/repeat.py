"""The same question, the same answer: some examples are asked again, in other company.

A version that keeps a state, answers at random, or lets an example's answer depend on the others
of its batch has no one answer that an attack could use. A sample of the examples, drawn over the
whole pass, is therefore asked once more at its end, in another order and so in other batches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tf_compleak.types import seeds

LEAST, MOST = 64, 512  # examples that are asked again
SHARE = 100  # one in so many of all, within these bounds
REFUSE, ALLOW = "refuse", "allow"
CHOICES = (REFUSE, ALLOW)
CAUSES = {
    "state": "its answers change from call to call (a state that it keeps, or randomness such as "
    "dropout left on)",
    "batch": "an example's answer depends on the other examples of its batch (try --batch=1)",
}


class Repeated(NamedTuple):
    """What asking again found.

    Attributes:
      examples: how many were asked again; differing: of these, with another answer.
      largest: the largest difference of two outputs.
      cause: a key of `CAUSES`, or "" where no answer differs.
    """

    examples: int
    differing: int
    largest: float
    cause: str


def drawn(total: int, seed: int, family: str) -> np.ndarray:
    """int64[m]: rows that are asked again, in the order in which they are.

    A hundredth of all, at least 64 and at most 512; but no more than half, for other company.
    """
    count = min(max(total // SHARE, LEAST), MOST, max(1, total // 2))
    return seeds.generator(seed, "again", family).permutation(total)[:count]


def tolerance(outputs: np.ndarray, step: float) -> np.ndarray:
    """f32[N, C]: how far a second answer may be from `outputs` before it counts as another one.

    1e-4 + 1.01 step + |output| / 1000. Kernels that a runtime chooses by a batch's size, or threads
    that share it, sum in another order: in float32 that moves outputs by some 1e-6 of their size,
    in half precision by some 1e-4 to 1e-3. Where outputs are quantized (`step`), the least such
    difference may fall on either side of a rounding and then moves them by one step.
    """
    return np.float32(1e-4 + 1.01 * step) + np.float32(1e-3) * np.abs(outputs)


def repeated(
    name: str,
    first: np.ndarray,
    rows: np.ndarray,
    ask: Callable[[np.ndarray], np.ndarray],
    step: float,
) -> Repeated:
    """Ask a version for rows (int64[m]) again, whose first answers are f32[m, C], and compare.

    Where answers differ, the very same question, in the same order and batches, is put a third
    time. A runtime answers that bit for bit, all but a hundredth of the tolerance: a difference
    then comes from a state or from randomness. If there is none, half of the rows are asked in
    other company: another answer comes from the company, and none from a state that has settled.

    Raises:
      ValueError: when the number of columns changes.
    """
    second = ask(rows)
    if second.shape != first.shape:
        raise ValueError(
            f"version {name}: answers with now {first.shape[1]}, now {second.shape[1]} columns."
        )
    away, allowed = np.abs(second - first), tolerance(first, step)
    differing = int((~(away <= allowed)).any(axis=1).sum())
    cause = _cause(second, allowed / 100, rows, ask) if differing else ""
    return Repeated(len(rows), differing, float(away.max()), cause)


def _cause(second: np.ndarray, allowed: np.ndarray, rows: np.ndarray, ask) -> str:
    """Why answers to rows differ that were `second` the last time: a key of `CAUSES`."""
    if _differ(ask(rows), second, allowed):
        return "state"
    half = slice(None, None, -2)
    return "batch" if _differ(ask(rows[half]), second[half], 100 * allowed[half]) else "state"


def _differ(outputs: np.ndarray, expected: np.ndarray, allowed: np.ndarray) -> bool:
    return outputs.shape != expected.shape or not (np.abs(outputs - expected) <= allowed).all()


def refusal(name: str, result: Repeated) -> str:
    """One line: what differs, by how much, what it can be, what to do."""
    return (
        f"version {name}: {difference(result)}. Export it for inference, or pass --stateful=allow."
    )


def difference(result: Repeated) -> str:
    """What differs, by how much, and what it can be."""
    return (
        f"the same question got another answer: {result.differing} of {result.examples} examples "
        f"asked twice differ, by up to {result.largest:.2g}; {CAUSES[result.cause]}"
    )


def note(result: Repeated) -> str:
    """What a report says of the version."""
    line = f"{result.examples} examples asked twice: largest difference {result.largest:.1g}"
    if not result.cause:
        return line
    return (
        f"{line}, {result.differing} with another answer: {CAUSES[result.cause]}; audited all the "
        "same (--stateful=allow)"
    )
