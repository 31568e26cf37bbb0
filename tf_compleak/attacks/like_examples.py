"""What training on an example would change, from examples like it.

Where no reference model was trained on an example, how its answer would have moved (the gap from
out-mean to in-mean) is that of the examples of its class whose out-mean is nearest: what is hard
gains more by training than what every model knows. After the proxies of PMIA (Du et al., "Imitative
membership inference attack", 2025, section 4), which takes class means or neighbours in a feature
space; here the neighbours are those in the out-mean itself, and no inputs are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 100  # whose gaps are averaged; classes that know fewer take all classes'


@dataclass(frozen=True, eq=False)
class Gaps:
    """The gaps of K examples that some model saw and some did not, by their out-means.

    Attributes:
      labels: int64[K]; centers, gaps: f64[F, K], of F numbers.
    """

    labels: np.ndarray
    centers: np.ndarray
    gaps: np.ndarray

    def like(self, labels: np.ndarray, centers: np.ndarray) -> np.ndarray:
        """f64[F, N] gaps of other examples, with these labels int64[N] and out-means f64[F, N]."""
        found = np.empty(centers.shape)
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            known = np.flatnonzero(self.labels == label)
            if len(known) < NEIGHBOURS:
                known = np.arange(len(self.labels))
            for number, places in enumerate(self.centers[:, known]):
                order = np.argsort(places, kind="stable")
                gaps = self.gaps[number, known[order]]
                found[number, rows] = _mean_of_nearest(places[order], gaps, centers[number, rows])
        return found


def _mean_of_nearest(places: np.ndarray, gaps: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """f64[N] means of the gaps f64[K] at the places, ascending, that are nearest to each center."""
    count = min(NEIGHBOURS, len(places))
    low, high = np.zeros(len(centers), np.int64), np.full(len(centers), len(places) - count)
    while (low < high).any():  # where the nearest begin
        middle = (low + high) // 2
        after = np.minimum(middle + count, len(places) - 1)
        right = (low < high) & (centers - places[middle] > places[after] - centers)
        low, high = np.where(right, middle + 1, low), np.where(right | (low >= high), high, middle)
    total = np.append(0.0, np.cumsum(gaps))
    return (total[low + count] - total[low]) / count


def gaps(labels: np.ndarray, mean_out: np.ndarray, gap: np.ndarray) -> Gaps | None:
    """Of the examples whose gap f64[F, N] is known; None where they are fewer than neighbours."""
    known = np.flatnonzero(~np.isnan(gap).any(axis=0))
    if len(known) < NEIGHBOURS or not len(labels):
        return None
    return Gaps(labels[known], mean_out[:, known], gap[:, known])
