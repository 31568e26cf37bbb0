"""The strongest attacker: all attacks of a study on a release as one score.

A super learner (van der Laan, Polley & Hubbard 2007): every attack's scores of the shadows'
examples, each by a fit without that example, are brought to one scale, and a logistic regression of
membership with no negative weight says how much each counts. Nothing of the target's membership is
used: the row that it gives was not chosen among others on the target, as the best of a table is.

The attacks on some of the release's versions take part, too: who knows more versions knows what
they say, and cannot come out weaker but for the chance of the weights.

The scale is the log-odds of an example's rank among the shadows' examples, so that neither long
tails nor units count. Above and below all of the shadows' scores it goes on in the score's own
standard deviations.

Where the same sum of those that come close to the best single attack is better by more than one
standard error, both told on examples whose weights were found without them, that is taken (of one
attack where no other comes close: the discrete super learner). Else the sum of all: a target is not
quite like its shadows, and the more attacks count, the less does one that does not hold there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from tf_compleak.attacks import version_weights
from tf_compleak.metrics import intervals, roc

CLOSE = 0.01  # AUC below the best single attack's up to which another comes close to it
MOST = 40  # attacks that are combined: those with the highest AUC on the shadows' examples


@dataclass(frozen=True, eq=False)
class Scale:
    """The log-odds of ranks among the shadows' examples.

    Attributes:
      scores: f64[K] distinct scores, increasing; odds: f64[K] log-odds of their mean ranks.
      deviation: of the scores, the unit beyond their ends; infinite where all are one.
    """

    scores: np.ndarray
    odds: np.ndarray
    deviation: float

    @classmethod
    def of(cls, held_out: np.ndarray) -> Scale:
        """From the scores f64[N] of the shadows' examples."""
        scores, counts = np.unique(held_out, return_counts=True)
        ranks = np.cumsum(counts) - counts / 2  # in the middle of a tie
        deviation = max(float(held_out.std()), 1e-12) if len(scores) > 1 else np.inf
        return cls(scores, logit(ranks / len(held_out)), deviation)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """f64[N] of any scores of the attack."""
        beyond = values - np.clip(values, self.scores[0], self.scores[-1])
        return np.interp(values, self.scores, self.odds) + beyond / self.deviation


@dataclass(frozen=True, eq=False)
class Combination:
    """The attacks that count, their scales and weights.

    Attributes:
      parts: int[K], which of the attacks; weights: f64[K], none negative, of sum 1.
      held_out: f64[N] scores of the shadows' examples, each by weights found without it.
      threshold: the best one on these.
    """

    parts: np.ndarray
    scales: tuple[Scale, ...]
    weights: np.ndarray
    held_out: np.ndarray
    threshold: float

    def score(self, values: np.ndarray) -> np.ndarray:
        """f64[N] of the scores f64[A, N] of all attacks, higher = member."""
        columns = (scale(values[part]) for part, scale in zip(self.parts, self.scales, strict=True))
        return np.sum([w * column for w, column in zip(self.weights, columns, strict=True)], axis=0)

    def all_weights(self, count: int) -> np.ndarray:
        """f64[A] of all attacks, 0 for those that do not count."""
        weights = np.zeros(count)
        weights[self.parts] = self.weights
        return weights


def combine(held_out: np.ndarray, members: np.ndarray, ids: np.ndarray, seed: int) -> Combination:
    """The combination whose weights the shadows' examples show.

    Args:
      held_out: f64[A, N] scores of the shadows' examples by every attack, fitted without them.
      members: bool[N].
      ids: [N], which example each column is; one example is held out as a whole.
      seed: of the folds.
    """
    aucs = np.array([roc.auc(scores, members) for scores in held_out])
    parts = np.sort(np.argsort(-aucs, kind="stable")[:MOST])
    scales = [Scale.of(held_out[part]) for part in parts]
    terms = np.stack([scale(held_out[part]) for part, scale in zip(parts, scales, strict=True)])
    rules = [version_weights.regression, _close_to_best]
    folds = version_weights.folds_of(ids, seed)
    sums = [version_weights.held_out_sums(rule, terms, members, folds) for rule in rules]
    few = intervals.auc_difference(sums[1], sums[0], members, version_weights.ONE_ERROR).low > 0
    weights = rules[few](terms, members)
    counts = weights > 0
    return Combination(
        parts=parts[counts],
        scales=tuple(scale for scale, some in zip(scales, counts, strict=True) if some),
        weights=weights[counts],
        held_out=sums[few],
        threshold=roc.best_threshold(sums[few], members),
    )


def alike(scores: np.ndarray, members: np.ndarray) -> Combination:
    """All attacks with equal weights: membership has a say in the threshold alone.

    For cross-fitted scores f64[A, N]: each is by a fit that saw the other folds' membership, so
    weights found on it know what they are later judged by.
    """
    scales = tuple(map(Scale.of, scores))
    weights = version_weights.alike(scores, members)
    terms = np.stack([scale(values) for scale, values in zip(scales, scores, strict=True)])
    return Combination(
        parts=np.arange(len(scores)),
        scales=scales,
        weights=weights,
        held_out=weights @ terms,
        threshold=roc.best_threshold(weights @ terms, members),
    )


def _close_to_best(terms: np.ndarray, members: np.ndarray) -> np.ndarray:
    """f64[A]: weights of those that come close to the best one, 0 of the others."""
    aucs = np.array([roc.auc(term, members) for term in terms])
    close = aucs >= aucs.max() - CLOSE
    weights = np.zeros(len(terms))
    weights[close] = version_weights.regression(terms[close], members)
    return weights
