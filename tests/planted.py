"""Synthetic families whose leak is known: what attacks are tested on."""

import numpy as np

from tf_compleak.inference.observe import softmax
from tf_compleak.observations import Observations

VERSIONS = ("original", "pruning-0.60", "int8-ptq")


def family(seed: int, leak: float, n: int = 800, classes: int = 5, versions=VERSIONS):
    """Half members, half not; `leak` is added to the members' logit of the right class.

    Every version sees the example through noise of its own; "int8-ptq" answers in steps of 1/256.
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
    return Observations(
        versions=tuple(versions),
        probabilities=np.stack(probabilities),
        labels=labels,
        members=members,
        ids=np.arange(n),
        resolutions=tuple(1 / 256 if "int8" in name else 0.0 for name in versions),
    )
