"""What attacks compute from observations: scores of one version and tables over several.

Logarithms are floored: at half a step of a quantized output, else at `FLOOR`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_compleak.types.observations import Observations

FLOOR = 1e-12
ROUNDING = 2.0**-20  # how far the float32 classes of a softmax may be from adding up to one
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
    if len(shadows) == 1:
        return first
    ids = None
    if all(shadow.ids is not None for shadow in shadows):
        pairs = [f"{index}/{name}" for index, shadow in enumerate(shadows) for name in shadow.ids]
        ids = np.array(pairs)
    return Observations(
        versions=first.versions,
        probabilities=np.concatenate([shadow.probabilities for shadow in shadows], axis=1),
        labels=np.concatenate([shadow.labels for shadow in shadows]),
        members=np.concatenate([shadow.members for shadow in shadows]),
        ids=ids,
        sensitivities=_joined_sensitivities(shadows),
        resolutions=tuple(np.max([shadow.resolutions for shadow in shadows], axis=0).tolist()),
    )


def _joined_sensitivities(shadows: Sequence[Observations]) -> np.ndarray | None:
    parts = [shadow.sensitivities for shadow in shadows]
    return None if any(part is None for part in parts) else np.concatenate(parts, axis=1)


def log(observations: Observations) -> np.ndarray:
    """log p, f32[V, N, C]."""
    return np.log(np.maximum(observations.probabilities, np.float32(_floors(observations, FLOOR))))


def _floors(observations: Observations, least: float) -> np.ndarray:
    floors = [max(resolution / 2, least) for resolution in observations.resolutions]
    return np.array(floors)[:, None, None]


def confidence(observations: Observations) -> np.ndarray:
    """Probability of the label p_y of every version, f64[V, N]; higher = more likely member.

    From the other classes (`complement`), so that answers of which float32 rounds p_y to one keep
    their order.
    """
    return 1 - complement(observations)


def floored_confidence(observations: Observations) -> np.ndarray:
    """p_y of every version, floored, f64[V, N]."""
    return np.maximum(confidence(observations), _floors(observations, FLOOR)[:, :, 0])


def complement(observations: Observations) -> np.ndarray:
    """1 - p_y of every version, f64[V, N].

    The sum of the other classes, wherever 1 - p_y equals it up to the rounding of float32 and p_y
    is above one half: close to one a float32 p_y says little of it, and close to zero the sum says
    little of p_y. Where the two differ by more (outputs in steps, confidences of few decimals,
    which are rounded class by class), p_y is taken at its word.
    """
    rows = np.arange(len(observations))
    others = np.stack(
        [
            _sum_of_others(confidences, observations.labels)
            for confidences in observations.probabilities
        ]
    )
    direct = 1 - np.float64(observations.probabilities[:, rows, observations.labels])
    same = (np.abs(direct - others) <= ROUNDING) & (direct < 0.5)
    return np.where(same, others, direct)


def _sum_of_others(confidences: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """f64[N]: the sum of the classes beside the label of f32[N, C]."""
    others = confidences.copy()
    others[np.arange(len(labels)), labels] = 0
    return others.sum(axis=1, dtype=np.float64)


def loss(observations: Observations) -> np.ndarray:
    """Cross-entropy -log p_y of every version, f64[V, N]; exact for p_y near one and zero."""
    others = complement(observations)
    rare = -np.log(np.maximum(1 - others, _floors(observations, FLOOR)[:, :, 0]))
    return np.where(others < 0.5, -np.log1p(-np.minimum(others, 0.5)), rare)


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
    floor, others = max(resolution / 2, FLOOR), _sum_of_others(confidences, labels)
    p_y = np.float64(confidences[np.arange(len(labels)), labels])
    return np.log(np.maximum(p_y, floor)) - np.log(np.maximum(others, floor))


def margin(observations: Observations) -> np.ndarray:
    """log p_y minus the largest other log-confidence of every version, f64[V, N]."""
    others = log(observations)
    rows = np.arange(len(observations))
    log_p_y = others[:, rows, observations.labels]
    others[:, rows, observations.labels] = -np.inf
    return log_p_y - others.max(axis=2)


def entropy(observations: Observations) -> np.ndarray:
    """Negative entropy sum p log p of every version, f64[V, N]; higher = more likely member."""
    p = observations.probabilities
    return np.einsum("vnc,vnc->vn", p, log(observations), dtype=np.float64)


def modified_entropy(observations: Observations) -> np.ndarray:
    """Negative modified entropy, f64[V, N] (Song & Mittal, USENIX Security 2021, section 4.2).

    (1 - p_y) log p_y + sum over i != y of p_i log(1 - p_i); higher = more likely member.
    """
    p = observations.probabilities
    floors = np.float32(np.log(_floors(observations, CEILING)))
    with np.errstate(divide="ignore"):
        others = np.maximum(np.log1p(-np.minimum(p, np.float32(1))), floors)
    others[:, np.arange(len(observations)), observations.labels] = 0
    total = np.einsum("vnc,vnc->vn", p, others, dtype=np.float64)
    return complement(observations) * -loss(observations) + total


def table(observations: Observations, label: bool = True) -> np.ndarray:
    """Inputs of the attack classifiers, f32[N, V * C + C] (CompLeak, sections 4.1 and 4.2).

    The confidence vectors of all versions, in the ascending order of the first one's, and, if
    `label`, the one-hot label in that order. Confidences enter as logarithms: the same facts, on
    the scale on which members and non-members differ.
    """
    order = _ascending(observations.probabilities[0])  # [N, C]
    n, classes = order.shape
    columns = np.empty((n, len(observations.versions) + label, classes), np.float32)
    for version, values in enumerate(log(observations)):
        columns[:, version] = np.take_along_axis(values, order, axis=1)
    if label:
        columns[:, -1] = order == observations.labels[:, None]
    return columns.reshape(n, -1)


def _ascending(rows: np.ndarray) -> np.ndarray:
    """Stable argsort of every row: the fast unstable one, and the stable one where values tie."""
    order = np.argsort(rows, axis=1)
    ordered = np.take_along_axis(rows, order, axis=1)
    tied = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    order[tied] = np.argsort(rows[tied], axis=1, kind="stable")
    return order
