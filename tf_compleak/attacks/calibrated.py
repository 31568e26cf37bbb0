"""The calibrated attack: how much surer is a model than others that did not see the example?

Every family is asked about the other families' examples. With data of their own none of the others
was trained on them: each is an out-reference. So the shadow plays the target with the target as its
reference (`Observations.target_probabilities`), and one shadow is enough; further shadows are
references of each other, those that did not see the example (`references`).

An example is told by what its family's versions say of it, by what the out-references say of it on
average, and by the differences: logit, margin and entropy of every version, the loss, the squared
distance of the log-confidence vectors, that to the references' mean over versions, and the largest
log-confidences in the first version's order. Where the families differ, the numbers are on the
scale of what each says of examples outside of its training set (`outside_scale`), so that what is
learned from a shadow holds for a target that is surer, or less sure, of everything. Boosting, and
splines of the same numbers into a logistic regression, learn membership from these; how much each
counts is chosen by the shadows' examples, held out.

The method is ours; its parts: difficulty calibration (Watson et al., ICLR 2022, section 4), learned
from several numbers as in Shi et al. (2024); `tabular` for what one family says alone.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from tf_compleak.attacks import features, logistic, splines, tabular
from tf_compleak.attacks.outside_scale import OutsideScale, measures
from tf_compleak.attacks.references import Panel, References
from tf_compleak.metrics import roc
from tf_compleak.types.observations import Observations

FOLDS = 3
SHOWN = 3  # measures of the references: logit, margin, entropy
ITERATIONS = 300
LARGEST = 10  # log-confidences of every version
MOST_CLASSES = 256  # with more, the references' whole vectors take too much memory: no distances
SHARES = np.linspace(0, 1, 5)  # of boosting in the sum of both log-odds
NEEDS = (
    "calibrated: no model was asked about the shadows' examples that was not trained on them; give "
    "the target's answers on the shadows' examples (the target's Observations.aside, or model "
    "files in an audit), or two shadows that were asked about each other's."
)


@dataclass(frozen=True, eq=False)
class Fitted:
    """The reference models, what they say on average, both learners and how much boosting counts.

    Attributes:
      panels: one of every shadow.
      target_scale: of what it answers on the shadows' examples.
      average: f64[F], stands in for the out-references of an example that has none.
      share: of boosting's log-odds in the sum.
      held_out: f64[N] log-odds of the shadows' examples, each by a fit without it.
    """

    panels: tuple[Panel, ...]
    target_scale: OutsideScale
    average: np.ndarray
    boosting: HistGradientBoostingClassifier
    basis: splines.Basis
    regression: LogisticRegression
    share: float
    held_out: np.ndarray
    threshold: float

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] log-odds of membership."""
        scale = self.target_scale
        mean_out = _filled(_mean_out(_at(self.panels, target.ids), None), self.average)
        columns = self.basis.table(numbers(target, scale, mean_out).T)
        odds = logistic.log_odds(
            self.regression, np.column_stack([columns, tabular.one_hot(target)])
        )
        boosted = self.boosting.decision_function(table(target, scale, mean_out))
        return self.share * boosted + (1 - self.share) * odds


@dataclass(frozen=True)
class Calibrated:
    """The attack on a release of any number of versions, from one shadow on."""

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on the shadows as targets; share and threshold come from examples held out.

        Raises:
          ValueError: where no example of the shadows has an out-reference.
        """
        if not shadows:
            raise ValueError("shadows: none given; an attack is fitted on at least one.")
        scales, target_scale = _scales(shadows)
        panels = tuple(
            Panel([shadow], functools.partial(statistic, scale=scale), with_target=False)
            for shadow, scale in zip(shadows, scales, strict=True)
        )
        references = [
            _of_shadow(panels, shadow, index, target_scale) for index, shadow in enumerate(shadows)
        ]
        if all(np.isnan(mean_out).all() for mean_out in references):
            raise ValueError(NEEDS)
        average = np.nanmean(np.concatenate(references, axis=1), axis=1)
        references = [_filled(mean_out, average) for mean_out in references]
        triples = list(zip(shadows, scales, references, strict=True))
        members = np.concatenate([shadow.members for shadow in shadows])
        columns = np.concatenate([table(*triple) for triple in triples])
        basis, curved = splines.fit(
            np.concatenate([numbers(*triple) for triple in triples], axis=1).T
        )
        labels = np.concatenate([tabular.one_hot(shadow) for shadow in shadows])
        curved = np.column_stack([curved, labels])
        ids = np.concatenate([shadow.ids for shadow in shadows])
        folds = _folds(ids, seed)
        odds = np.stack(
            [
                cross_val_predict(
                    _boosting(seed), columns, members, cv=folds, method="decision_function"
                ),
                logistic.held_out(curved, members, folds),
            ]
        )
        share = _best_share(odds, members)
        held_out = share * odds[0] + (1 - share) * odds[1]
        threshold = roc.best_threshold(held_out, members)
        boosting = _boosting(seed).fit(columns, members)
        regression = logistic.fit(curved, members)
        return Fitted(
            *(panels, target_scale, average, boosting, basis, regression, share),
            *(held_out, threshold),
        )


def _boosting(seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=ITERATIONS,
        learning_rate=0.03,
        max_leaf_nodes=8,
        min_samples_leaf=60,
        max_features=0.3,
        early_stopping=False,
        random_state=seed,
    )


def _folds(ids: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit on and rows held out, all rows of an example together."""
    groups = np.unique(ids, return_inverse=True)[1]
    splitter = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    return list(splitter.split(groups, groups=groups))


def _best_share(held_out: np.ndarray, members: np.ndarray) -> float:
    """How much boosting counts beside the regression: least cross-entropy of log-odds f64[2, N]."""
    signs = np.where(members, 1.0, -1.0)
    losses = [
        np.logaddexp(0, -signs * (share * held_out[0] + (1 - share) * held_out[1])).mean()
        for share in SHARES
    ]
    return float(SHARES[np.argmin(losses)])


# What one family and its references say -----------------------------------------------------------


def _with_vectors(classes: int) -> bool:
    return classes <= MOST_CLASSES


def statistic(observations: Observations, scale: OutsideScale) -> np.ndarray:
    """f32[F, N]: logit, margin and entropy of every version, then its log-confidences by class."""
    own = np.float32(scale(measures(observations, SHOWN))).reshape(-1, len(observations))
    if not _with_vectors(observations.classes):
        return own
    vectors = features.log(observations).transpose(0, 2, 1)  # [V, C, N]
    return np.concatenate([own, vectors.reshape(-1, len(observations))])


def _scales(shadows: Sequence[Observations]) -> tuple[list[OutsideScale], OutsideScale]:
    """Every shadow's, and the target's; numbers stay as they are where all families are alike.

    A scale costs a little where it is not needed, for it is an estimate: so the target's answers
    outside of its training set must differ from some shadow's, beyond chance. Where the target
    answered on none of the shadows' examples, nothing can be said, and numbers stay, too.
    """
    scales = [OutsideScale.of([shadow.aside]) for shadow in shadows]
    answered = [shadow for shadow in shadows if shadow.target_probabilities is not None]
    target_scale = OutsideScale.of([shadow.by_the_target() for shadow in answered])
    if len(answered) == len(shadows) and any(scale.differs(target_scale) for scale in scales):
        return scales, target_scale
    return [OutsideScale(None)] * len(shadows), OutsideScale(None)


def _at(panels: Sequence[Panel], ids: np.ndarray | None) -> References:
    """All of these models on the examples called `ids`."""
    parts = [panel.at(ids) for panel in panels]
    names = ("values", "inside", "outside")
    return References(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _of_shadow(
    panels: Sequence[Panel], shadow: Observations, index: int, target_scale: OutsideScale
) -> np.ndarray:
    """f64[F, N] mean of the out-references of a shadow's examples; NaN where there is none."""
    others = [panel for number, panel in enumerate(panels) if number != index]
    target = None
    if shadow.target_probabilities is not None:
        target = statistic(shadow.by_the_target(), target_scale)
    if not others and target is None:
        raise ValueError(NEEDS)
    return _mean_out(_at(others, shadow.ids) if others else None, target)


def _mean_out(references: References | None, target: np.ndarray | None) -> np.ndarray:
    """f64[F, N] mean over the models that did not see the example, the target's f32[F, N] too."""
    if references is None:
        return np.float64(target)
    counts = references.outside.sum(axis=0)
    total = np.einsum("kfn,kn->fn", references.values, references.outside, dtype=np.float64)
    if target is not None:
        counts, total = counts + 1, total + target
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def _filled(mean_out: np.ndarray, average: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(mean_out), average[:, None], mean_out)


def numbers(observations: Observations, scale: OutsideScale, mean_out: np.ndarray) -> np.ndarray:
    """f64[F, N]: what the regression sees, before splines: `tabular`'s numbers and calibrations."""
    own = scale(measures(observations))
    return np.concatenate(
        [*own, tabular.across_versions(own[0]), *_calibrations(own[:SHOWN], mean_out)]
    )


def table(observations: Observations, scale: OutsideScale, mean_out: np.ndarray) -> np.ndarray:
    """f32[N, F]: what boosting sees."""
    log_confidences = features.log(observations)
    own = scale(measures(observations))
    logit, margin, entropy, _, loss = own
    calibrations = _calibrations(own[:SHOWN], mean_out)
    columns = [logit, margin, entropy, loss, *calibrations, *_largest(log_confidences)]
    if _with_vectors(observations.classes):
        columns += _distances(log_confidences, mean_out)
    return np.float32(np.concatenate(columns)).T


def _calibrations(own: np.ndarray, mean_out: np.ndarray) -> list[np.ndarray]:
    """f64[V, N] each: measures of the references, and how much higher the family's f64[3, V, N]."""
    outside = mean_out[: own.shape[0] * own.shape[1]].reshape(own.shape)
    return [*outside, *(own - outside)]


def _largest(log_confidences: np.ndarray) -> list[np.ndarray]:
    """[K, N] of every version: its log-confidences [N, C] of the first version's K likeliest."""
    order = np.argsort(-log_confidences[0], axis=1, kind="stable")[:, :LARGEST]
    return [np.take_along_axis(version, order, axis=1).T for version in log_confidences]


def _distances(log_confidences: np.ndarray, mean_out: np.ndarray) -> list[np.ndarray]:
    """f64[V, N] each: squared distances to the references' vector, and to their mean vector."""
    versions, count, classes = log_confidences.shape
    vectors = mean_out[SHOWN * versions :].reshape(versions, classes, count).transpose(0, 2, 1)
    return [
        ((log_confidences - reference) ** 2).sum(axis=2)
        for reference in (vectors, vectors.mean(axis=0))
    ]
