"""The scores of one attack on one release over all its targets, as one sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tf_compleak.leakage import crossfit
from tf_compleak.leakage.scoring import RunScores
from tf_compleak.types import Estimate


@dataclass(frozen=True, eq=False, kw_only=True)
class Pooled(RunScores):
    """Scores of one attack on one release over all its targets, one after the other.

    Margins are over the threshold that belongs to their target.

    Attributes:
      matched_margins: f64[N], over the threshold of the share rule (`scoring.matched`); or None.
      examples: int64[N], which example each score is of, where targets share examples; or None.
      num_targets, num_shadows: counts.
    """

    examples: np.ndarray | None
    matched_margins: np.ndarray | None = None
    num_targets: int
    num_shadows: int

    def widened(self, estimate: Estimate, auc: float, bounds: tuple[float, float]) -> Estimate:
        """An estimate of these scores, whose AUC is given, with the interval that they take."""
        return crossfit.widened(estimate, auc, self.members, self.noise, bounds)

    def widened_beside(self, other: Pooled, estimate: Estimate, auc: float) -> Estimate:
        """The same of a difference to other scores of these examples."""
        noise = None if self.noise is None else max(self.noise, other.noise)
        return crossfit.widened(estimate, auc, self.members, noise, (-1, 1))


def pool(parts: Sequence[RunScores], ids: Sequence[np.ndarray], num_shadows: int) -> Pooled:
    """The scores of several targets as one sample; `ids` are those of every target's examples."""
    examples = None
    if len(parts) > 1:
        examples = np.unique(np.concatenate(ids), return_inverse=True)[1]
    return Pooled(
        values=np.concatenate([part.values for part in parts]),
        members=np.concatenate([part.members for part in parts]),
        margins=np.concatenate([part.margins for part in parts]),
        examples=examples,
        num_targets=len(parts),
        num_shadows=num_shadows,
        noise=parts[0].noise,
        shadow_auc=_mean([part.shadow_auc for part in parts]),
        matched_margins=_matched_margins(parts),
    )


def _mean(aucs: Sequence[float | None]) -> float | None:
    return None if None in aucs else float(np.mean(aucs))


def _matched_margins(parts: Sequence[RunScores]) -> np.ndarray | None:
    if any(part.matched is None for part in parts):
        return None
    return np.concatenate([part.values - part.matched for part in parts])
