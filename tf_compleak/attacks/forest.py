"""Random forests with out-of-bag scores: scikit-learn's, with the numbers of the paper.

500 trees with at least 30 samples a leaf (CompLeak, section 6.1), square root of the columns tried
at every split (Breiman, Machine Learning 2001). Every tree draws half of the examples, at least
5,000, instead of as many as there are, and its leaves hold the same share of what it draws: half of
30. So trees are as fine as the paper's, AUC is the paper's to within 0.002, and a fit takes three
quarters of the time. (A smaller draw with leaves of 30 makes coarse trees: with a quarter, 0.008 to
0.017 of AUC were lost.) An example's out-of-bag score is the mean vote of the trees that did not
draw it.
"""

from __future__ import annotations

import numpy as np
from joblib import Parallel, delayed
from scipy.special import logit
from sklearn.ensemble import RandomForestClassifier

from tf_compleak.attacks._threads import threads

TREES = 500
LEAF = 30  # of a tree that draws as many examples as there are
SHARE = 2  # every tree draws one example in so many ...
LEAST = 5000  # ... and at least this number
BLOCK = 2000  # examples whose votes one task adds up, tree by tree
EDGE = 1e-6  # votes are kept this far from 0 and 1


def fit(
    table: np.ndarray, members: np.ndarray, seed: int
) -> tuple[RandomForestClassifier, np.ndarray]:
    """A forest on f32[N, F] and bool[N], and the out-of-bag log-odds f64[N]."""
    draws = min(len(table), max(LEAST, len(table) // SHARE))
    model = RandomForestClassifier(
        TREES,
        min_samples_leaf=max(1, round(LEAF * draws / len(table))),
        max_samples=draws,
        oob_score=True,
        n_jobs=threads(),
        random_state=seed,
    ).fit(table, members)
    return model.set_params(n_jobs=None), _log_odds(model.oob_decision_function_)


def log_odds(model: RandomForestClassifier, table: np.ndarray) -> np.ndarray:
    """f64[N] log-odds of the mean vote for rows f32[N, F].

    Threads share the rows, not the trees: votes added up in the order in which threads end would
    round differently from run to run.
    """
    blocks = (table[start : start + BLOCK] for start in range(0, len(table), BLOCK))
    shares = Parallel(threads(), require="sharedmem")(
        delayed(model.predict_proba)(block) for block in blocks
    )
    return _log_odds(np.concatenate(shares))


def _log_odds(shares: np.ndarray) -> np.ndarray:
    """Of the share of votes for membership, the second column of f64[N, 2]."""
    return logit(np.clip(shares[:, 1], EDGE, 1 - EDGE))
