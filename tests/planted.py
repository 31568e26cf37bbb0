"""Synthetic families whose leak is known: what attacks are tested on."""

import dataclasses

import numpy as np

from tf_compleak.inference.observe import softmax
from tf_compleak.leakage import pooled_scores, scoring
from tf_compleak.types.observations import Observations

VERSIONS = ("original", "pruning-0.60", "int8-ptq")


def halves(seed: int, leak: float, models: int, n: int = 800, classes: int = 5) -> list:
    """Families over one pool: every one has a random half of it as members, and 200 aside."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n + 200)
    common = rng.normal(size=(n + 200, classes))
    return [_one(rng, leak, n, labels, common) for _ in range(models)]


def _one(rng, leak, n, labels, common) -> Observations:
    members = np.append(rng.permutation(n) < n // 2, np.zeros(200, dtype=bool))
    probabilities = []
    for name in VERSIONS:
        logits = common + 0.5 * rng.normal(size=common.shape)
        logits[np.arange(n + 200), labels] += 1.5 + leak * members
        rows = softmax(logits)
        probabilities.append(np.float32(np.rint(rows * 256) / 256) if "int8" in name else rows)
    probabilities = np.stack(probabilities)
    main, aside = (
        Observations(
            versions=VERSIONS,
            probabilities=probabilities[:, part],
            labels=labels[part],
            members=members[part],
            ids=np.arange(n + 200)[part],
            resolutions=(0.0, 0.0, 1 / 256),
        )
        for part in (slice(n), slice(n, None))
    )
    return dataclasses.replace(main, aside=aside)


def together(first: Observations, second: Observations) -> Observations:
    """Two sets of examples that the same versions were asked aside about, as one."""
    arrays = {
        name: np.concatenate([getattr(part, name) for part in (first, second)], axis=axis)
        for name, axis in (("probabilities", 1), ("labels", 0), ("ids", 0))
    }
    members = np.zeros(len(arrays["labels"]), dtype=bool)
    return dataclasses.replace(first, members=members, sensitivities=None, **arrays)


def family(seed: int, leak: float, n: int = 800, classes: int = 5, versions=VERSIONS):
    """Half members, half not; `leak` is added to the members' logit of the right class.

    Every version sees the example through noise of its own; "int8-ptq" answers in steps of 1/256.
    Sensitivities are p (1 - p): what noise on its own logit does to a confidence. No two seeds
    have an example, or an id, in common.
    """
    rng = np.random.default_rng(seed)
    members = rng.permutation(n) < n // 2
    labels = rng.integers(classes, size=n)
    common = rng.normal(size=(n, classes))
    probabilities = []
    for name in versions:
        logits = common + 0.5 * rng.normal(size=(n, classes))
        logits[np.arange(n), labels] += 1.5 + leak * members
        rows = softmax(logits)
        probabilities.append(np.float32(np.rint(rows * 256) / 256) if "int8" in name else rows)
    probabilities = np.stack(probabilities)
    return Observations(
        versions=tuple(versions),
        probabilities=probabilities,
        labels=labels,
        members=members,
        ids=seed * 1_000_000 + np.arange(n),
        sensitivities=np.float32(probabilities * (1 - probabilities)),
        resolutions=tuple(1 / 256 if "int8" in name else 0.0 for name in versions),
    )


def pooled(values, observations):
    """Scores of one attack on one target, as rows of a report are made of."""
    scores = scoring.RunScores(values, values, observations.members)
    return pooled_scores.pool([scores], [observations.ids], 1)
