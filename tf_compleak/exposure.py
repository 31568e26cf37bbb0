"""Who is exposed: for every example of the target, what every attack says of it.

Written beside a report: `scores.npy` f64[R, N] (raw scores, NaN where an attack failed never
occurs: failed attacks have no row), `fpr.npy` f64[R, N], `rows.csv` (attack and release of each of
the R rows), `examples.csv` (ids, labels, members) and `exposed.csv`, the members most at risk.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from tf_compleak.measure import Key, Pooled
from tf_compleak.observations import Observations

MOST = 1000


def caught_at(values: np.ndarray, members: np.ndarray) -> np.ndarray:
    """f64[N]: the smallest FPR at which each example is called a member.

    The share of non-members, other than the example itself, that score as high or higher; at least
    1 / (non-members + 1), since none higher among n does not mean never.
    """
    others = np.sort(values[~members])
    above = len(others) - np.searchsorted(others, values, side="left")
    above = above - (~members)  # not counting itself
    count = len(others) - (~members)
    return (above + 1) / (count + 1)


def agreement(scores: np.ndarray) -> np.ndarray:
    """f64[N] in (0, 1]: the mean over the attacks of an example's rank; 1 = highest in all."""
    return np.mean([rankdata(row, method="average") / len(row) for row in scores], axis=0)


def write(folder: Path, scores: Mapping[Key, Pooled], target: Observations) -> None:
    """Write the files named above for the rows of `scores` on the (first) target, aside and whole.

    Args:
      scores: rows whose first len(target) scores are the target's, in its order.
      target: with members known.
    """
    n, keys = len(target), list(scores)
    values = np.stack([scores[key].values[:n] for key in keys])
    rates = np.stack([caught_at(row, target.members) for row in values])
    ranks = agreement(values)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".aside-", dir=folder.parent))
    try:
        np.save(aside / "scores.npy", values, allow_pickle=False)
        np.save(aside / "fpr.npy", rates, allow_pickle=False)
        names = [(attack, "+".join(release)) for attack, release in keys]
        _csv(
            aside / "rows.csv", ["row", "attack", "release"], [(i, *k) for i, k in enumerate(names)]
        )
        people = zip(target.ids, target.labels, target.members.astype(int), ranks, strict=True)
        _csv(aside / "examples.csv", ["id", "class", "member", "agreement"], people)
        _csv(aside / "exposed.csv", *_exposed(target, names, values, rates, ranks))
        aside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _exposed(target: Observations, names, values, rates, ranks):
    """Header and rows: members, the one highest in agreement first."""
    members = np.flatnonzero(target.members)
    order = members[np.argsort(-ranks[members], kind="stable")][:MOST]
    head = ["id", "class", "agreement", "smallest_fpr", "smallest_fpr_row"]
    head += [f"score {attack} {release}" for attack, release in names]
    best = rates.argmin(axis=0)
    rows = (
        [target.ids[i], target.labels[i], ranks[i], rates[best[i], i], best[i], *values[:, i]]
        for i in order
    )
    return head, rows


def _csv(path: Path, head, rows) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(head)
    table.writerows([_plain(cell) for cell in row] for row in rows)
    path.write_text(text.getvalue(), encoding="utf-8")


def _plain(cell):
    """Numbers short; text that a spreadsheet would run as a formula is quoted."""
    if isinstance(cell, (float, np.floating)):
        return f"{cell:.6g}"
    text = str(cell)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") and not _number(text) else text


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
