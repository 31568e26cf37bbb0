"""What attacks compute from observations: scores of one version and tables over several.

Logarithms are floored: at half a step of a quantized output, else at `FLOOR`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_compleak.observations import Observations

FLOOR = 1e-12
CEILING = 2.0**-25  # half a float32 step below one: the smallest 1 - p that a float32 p can mean


def join(shadows: Sequence[Observations]) -> Observations:
    """All shadows as one family of examples: [V, N1 + N2 + ..., C]; ids become unique pairs."""
    if not shadows:
        raise ValueError("shadows: none given; an attack is fitted on at least one.")
    first = shadows[0]
    for shadow in shadows:
        if shadow.versions != first.versions or shadow.classes != first.classes:
            raise ValueError(
                f"shadows: versions and classes differ ({first.versions}, {first.classes} against "
                f"{shadow.versions}, {shadow.classes})."
            )
        if shadow.members is None or shadow.members.all() or not shadow.members.any():
            raise ValueError("shadows: each needs known members and non-members.")
    ids = [f"{index}/{name}" for index, shadow in enumerate(shadows) for name in shadow.ids]
    return Observations(
        versions=first.versions,
        probabilities=np.concatenate([shadow.probabilities for shadow in shadows], axis=1),
        labels=np.concatenate([shadow.labels for shadow in shadows]),
        members=np.concatenate([shadow.members for shadow in shadows]),
        ids=np.array(ids),
        resolutions=tuple(np.max([shadow.resolutions for shadow in shadows], axis=0).tolist()),
    )


def log(observations: Observations) -> np.ndarray:
    """log p, f64[V, N, C]."""
    return np.log(np.maximum(np.float64(observations.probabilities), _floors(observations, FLOOR)))


def log_complement(observations: Observations) -> np.ndarray:
    """log(1 - p), f64[V, N, C]."""
    complement = 1 - np.float64(observations.probabilities)
    return np.log(np.maximum(complement, _floors(observations, CEILING)))


def _floors(observations: Observations, least: float) -> np.ndarray:
    floors = [max(resolution / 2, least) for resolution in observations.resolutions]
    return np.array(floors)[:, None, None]


def loss(observations: Observations) -> np.ndarray:
    """Cross-entropy -log p_y of every version, f64[V, N]."""
    return -log(observations)[:, np.arange(len(observations)), observations.labels]


def right(observations: Observations) -> np.ndarray:
    """p_y of every version, floored, f64[V, N]."""
    rows = np.arange(len(observations))
    values = np.float64(observations.probabilities[:, rows, observations.labels])
    return np.maximum(values, _floors(observations, FLOOR)[:, :, 0])


def logit(observations: Observations) -> np.ndarray:
    """phi of every version, f64[V, N]: see `logits`."""
    return np.stack(
        [
            logits(confidences, observations.labels, resolution)
            for confidences, resolution in zip(
                observations.probabilities, observations.resolutions, strict=True
            )
        ]
    )


def logits(confidences: np.ndarray, labels: np.ndarray, resolution: float = 0.0) -> np.ndarray:
    """phi = log p_y - log(1 - p_y) of one version, f64[N] (Carlini et al., S&P 2022, 4.2).

    1 - p_y is the sum of the other classes: a float32 p_y near one says little of it.
    """
    rows, floor = np.arange(len(labels)), max(resolution / 2, FLOOR)
    others = confidences.copy()
    others[rows, labels] = 0
    rest = others.sum(axis=1, dtype=np.float64)
    label = np.float64(confidences[rows, labels])
    return np.log(np.maximum(label, floor)) - np.log(np.maximum(rest, floor))


def margin(observations: Observations) -> np.ndarray:
    """log p_y minus the largest other log-confidence of every version, f64[V, N]."""
    others = log(observations)
    rows = np.arange(len(observations))
    label = others[:, rows, observations.labels]
    others[:, rows, observations.labels] = -np.inf
    return label - others.max(axis=2)


def entropy(observations: Observations) -> np.ndarray:
    """Negative entropy sum p log p of every version, f64[V, N]; higher = more likely member."""
    return (np.float64(observations.probabilities) * log(observations)).sum(axis=2)


def modified_entropy(observations: Observations) -> np.ndarray:
    """Negative modified entropy, f64[V, N] (Song & Mittal, USENIX Security 2021, section 4.2).

    (1 - p_y) log p_y + sum over i != y of p_i log(1 - p_i); higher = more likely member.
    """
    rows = np.arange(len(observations))
    p = np.float64(observations.probabilities)
    others = p * log_complement(observations)
    others[:, rows, observations.labels] = 0
    right = p[:, rows, observations.labels]
    return (1 - right) * -loss(observations) + others.sum(axis=2)


def table(observations: Observations) -> np.ndarray:
    """Inputs of the attack classifiers, f32[N, V * C + C] (CompLeak, sections 4.1 and 4.2).

    The confidence vectors of all versions, in the ascending order of the first one's, and the
    one-hot label in that order. Confidences enter as logarithms: the same facts, on the scale on
    which members and non-members differ.
    """
    order = np.argsort(observations.probabilities[0], axis=1, kind="stable")  # [N, C]
    confidences = np.take_along_axis(log(observations), order[None], axis=2)  # [V, N, C]
    label = order == observations.labels[:, None]  # [N, C]
    return np.float32(np.concatenate([*confidences, label], axis=1))
