"""SAMIA: a self-attention classifier on confidences, sensitivities and label of one version.

Yuan & Zhang (USENIX Security 2022), the network as CompLeak runs it. Inputs: p, the sensitivity
s = mean over m Gaussian u of |p(x + eps u) - p(x)| / eps (`inference.observe.sensitivities`) and
the one-hot label, each C wide. Batch norm over the 3C inputs; C tokens of 3 features; linear to 64,
GELU; 3 encoder layers (4 heads, feed-forward 128, dropout 0.2, GELU, norm after); flatten; dense 64
ReLU; 2 outputs. SGD 1e-3, momentum 0.9, batch 128, at most 100 epochs: training stops when
`patience` epochs bring no lower cross-entropy on a held-out slice of the shadow, and the epoch of
the lowest is kept: no AUC is lost (benchmarks/samia_pytorch.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from tf_compleak.attacks import classifiers, features
from tf_compleak.metrics import roc
from tf_compleak.types.observations import Observations

PATIENCE = 30


@dataclass(frozen=True, eq=False)
class Fitted:
    """The fitted network and its threshold."""

    network: object
    threshold: float

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] log-odds of membership."""
        return self.network.log_odds(inputs(target), batch=512)


def inputs(observations: Observations) -> np.ndarray:
    """f32[N, 3C]: confidences, sensitivities and one-hot label of the (first) version."""
    if observations.sensitivities is None:
        raise ValueError(
            "samia: needs sensitivities, the observations have none; query the versions with "
            "inference.observe.sensitivities (image inputs), or leave samia out of the attacks."
        )
    label = np.eye(observations.classes, dtype=np.float32)[observations.labels]
    return np.concatenate(
        [observations.probabilities[0], observations.sensitivities[0], label], axis=1
    ).astype(np.float32)


@dataclass(frozen=True)
class Samia:
    """The SAMIA attack; `patience=None` runs all 100 epochs of the paper."""

    patience: int | None = PATIENCE

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on 80 % of the shadow examples, choose epoch and threshold on the rest."""
        shadow = features.join(shadows)
        table = inputs(shadow)
        from tf_compleak.attacks import networks

        fit_rows, held_out_rows = train_test_split(
            np.arange(len(shadow)),
            test_size=classifiers.HELD_OUT,
            stratify=shadow.members,
            random_state=seed,
        )
        network = networks.fit(
            networks.attention,
            table,
            shadow.members,
            fit_rows,
            held_out_rows,
            networks.SAMIA_SETTINGS,
            seed,
            self.patience,
        )
        odds = network.log_odds(table[held_out_rows], batch=512)
        return Fitted(network, roc.best_threshold(odds, shadow.members[held_out_rows]))
