"""The boosted likelihood ratio: reference models learn how to weigh what LiRA multiplies.

Every shadow plays the target in turn, with the other shadows as its references, and tells for each
of its examples, through every released version: the likelihood ratio (see `lira`), phi, the in- and
out-means of phi, and phi minus each. Gradient boosting learns membership from these, which needs no
Gaussian and no independence of the versions, and scores the target with all shadows as references.
With `Observations.augmented` (answers on flipped and shifted copies) the same numbers are given for
the mean phi over the copies.

The method is ours; its parts: LiRA (Carlini et al., S&P 2022); a learned ratio over references as
in Bertran et al. (NeurIPS 2023) and Zarifzadeh et al. (ICML 2024) compare.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GroupKFold, cross_val_predict

from tf_compleak.attacks import features, lira
from tf_compleak.attacks.lira import Shape
from tf_compleak.attacks.references import Panel, References
from tf_compleak.metrics import roc
from tf_compleak.types.observations import Observations

FOLDS = 3
ITERATIONS = 200


@dataclass(frozen=True, eq=False)
class Fitted:
    """The reference models, the fitted boosting, and how its held-out log-odds are made."""

    copies: bool
    inside: bool
    panel: Panel
    shared: Shape
    model: HistGradientBoostingClassifier
    tell_held_out: Callable[[], np.ndarray]
    members: np.ndarray

    @functools.cached_property
    def held_out(self) -> np.ndarray:
        """f64[N] log-odds of the shadows' examples, each by a boosting without it."""
        return self.tell_held_out()

    @functools.cached_property
    def threshold(self) -> float:
        """From examples held out; null runs do without."""
        return roc.best_threshold(self.held_out, self.members)

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] log-odds of membership."""
        return self.model.decision_function(
            table(
                statistic(target, self.copies),
                self.panel.at(target.ids),
                self.shared,
                self.inside,
            )
        )


@dataclass(frozen=True)
class Boosted:
    """The attack on a release of any number of versions."""

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on the shadows as targets; the threshold comes from examples held out."""
        copies = all(shadow.augmented is not None for shadow in shadows)
        panel = Panel(shadows, functools.partial(statistic, copies=copies), with_target=not copies)
        panel.check_references("lira-boosted")
        shared = lira.shape(panel.at(_example_ids(shadows)))
        references = [panel.at(shadow.ids, without=index) for index, shadow in enumerate(shadows)]
        inside = any(reference.inside.any() for reference in references)
        tables = [
            table(
                statistic(shadow, copies),
                reference,
                lira.without(shared, panel.at(panel.ids, without=index)),
                inside,
            )
            for index, (shadow, reference) in enumerate(zip(shadows, references, strict=True))
        ]
        columns = np.concatenate(tables)
        members = np.concatenate([shadow.members for shadow in shadows])
        ids = np.concatenate([shadow.ids for shadow in shadows])
        model = _boosting(seed).fit(columns, members)
        tell_held_out = functools.partial(_held_out, columns, members, ids, seed)
        return Fitted(copies, inside, panel, shared, model, tell_held_out, members)


def _held_out(columns: np.ndarray, members: np.ndarray, ids: np.ndarray, seed: int) -> np.ndarray:
    return cross_val_predict(
        _boosting(seed),
        columns,
        members,
        groups=np.unique(ids, return_inverse=True)[1],
        cv=GroupKFold(FOLDS),
        method="decision_function",
    )


def _boosting(seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=ITERATIONS,
        learning_rate=0.05,
        max_leaf_nodes=15,
        min_samples_leaf=40,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )


def statistic(observations: Observations, copies: bool) -> np.ndarray:
    """f64[F, N]: phi of every version, then, with `copies`, its mean over these; NaN if unknown."""
    phi = features.logit(observations)
    if not copies:
        return phi
    if observations.augmented is None:
        return np.concatenate([phi, np.full_like(phi, np.nan)])
    return np.concatenate([phi, observations.augmented.mean(axis=1, dtype=np.float64)])


def _example_ids(shadows: Sequence[Observations]) -> np.ndarray:
    return np.unique(np.concatenate([shadow.ids for shadow in shadows]))


def table(
    phi: np.ndarray, references: References, shared: Shape, inside: bool = True
) -> np.ndarray:
    """What boosting sees of phi f64[F, N], f32[N, 7 F], or 4 F where no reference is inside.

    `inside`: whether any reference of the shadows was; with data of their own none is.
    """
    if np.isnan(phi).any() or np.isnan(references.values).any():
        raise ValueError(
            "lira-boosted: the shadows were asked about flipped and shifted copies, the target or "
            "the shadows' answers aside were not; ask all or none."
        )
    center, gap = lira.centers(references, shared)
    out_z = (phi - center) / shared.outside[:, None]
    columns = [phi, center, phi - center, out_z]
    if inside and not np.isnan(shared.gap).any():
        example_gap = np.where(references.inside.any(axis=0), gap, np.nan)
        ratio = out_z**2 - ((phi - center - gap) / shared.inside[:, None]) ** 2
        columns += [example_gap, phi - center - example_gap, ratio]
    return np.float32(np.concatenate(columns)).T
