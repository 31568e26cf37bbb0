"""What every attack is: fitted on shadows, scored on a target that does not tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tf_compleak.types.observations import Observations


class FittedAttack(Protocol):
    """A fitted attack: a score for every target example, and the threshold chosen on the shadow.

    It may have `held_out`, too: f64[N] scores of the shadows' examples, one shadow after the other,
    each by a fit without the example. Where it has none, or None, fits on halves of the shadows'
    examples stand in (`leakage.crossfit.held_out`).
    """

    @property
    def threshold(self) -> float:
        """Scores above it are called members; it may be chosen when it is first read."""
        ...

    def score(self, target: Observations) -> np.ndarray:
        """f64[N], higher = more likely a member; `target.members` is None."""
        ...


class Attack(Protocol):
    """Something that can be fitted on shadow families."""

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> FittedAttack:
        """Fit on shadow observations of the same release as the target's, with members known."""
        ...
