"""Who is exposed: for every example of the target, what every attack says of it.

Saved with a report, under `examples/`: `scores.npy` f64[R, N] (raw scores in the order of the rows;
a failed attack has none), `fpr.npy` f64[R, N], `ids.npy`, `labels.npy`, `members.npy`, `rows.csv`
(attack and release of each of the R rows), `examples.csv` and `exposed.csv`, the members most at
risk.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tf_compleak import storage
from tf_compleak.measure import Key, Pooled
from tf_compleak.observations import Observations
from tf_compleak.results import Report, Scored
from tf_compleak.storage import write_text

MOST = 1000
ARRAYS = ("ids", "labels", "members")


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
    from scipy.stats import rankdata  # half a second to import

    return np.mean([rankdata(row, method="average") / len(row) for row in scores], axis=0)


def scored(scores: Mapping[Key, Pooled], target: Observations) -> Scored:
    """What the rows of `scores` say of the (first) target's examples.

    Args:
      scores: rows whose first len(target) scores are the target's, in its order.
      target: with members known.
    """
    values = np.stack([each.values[: len(target)] for each in scores.values()])
    return Scored(np.asarray(target.ids), target.labels, target.members, values)


def save(report: Report, folder: str | os.PathLike) -> None:
    """Write `report.json` and, where there are scores, `examples/`; each aside and renamed."""
    folder = storage.path(folder)
    if report.scored is not None:
        _write_examples(folder / "examples", report)
    write_text(folder / "report.json", json.dumps(report.to_json(), indent=1) + "\n")


def load(folder: str | os.PathLike) -> Report:
    """The report that `save` wrote; see `Report.load`."""
    file = storage.path(folder) / "report.json"
    try:
        report = Report.from_json(json.loads(file.read_text()))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{file}: no such file; name the folder of a report.") from error
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file}: is damaged or no report ({error}).") from error
    return dataclasses.replace(report, scored=_read_examples(file.parent / "examples", report))


def _read_examples(folder: Path, report: Report) -> Scored | None:
    """None where there are no files, or those of another report."""
    try:
        found = Scored(
            *(_array(folder / f"{name}.npy") for name in ARRAYS), _array(folder / "scores.npy")
        )
    except FileNotFoundError:
        return None
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{folder}: is damaged ({error}); make the report anew.") from error
    return found if len(found.values) == len(report.results) else None


def _array(path) -> np.ndarray:
    """Of a file in a folder or a bucket."""
    return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)


def _write_examples(folder: Path, report: Report) -> None:
    seen = report.scored
    rates = np.stack([caught_at(row, seen.members) for row in seen.values])
    ranks = agreement(seen.values)
    names = [(row.attack, "+".join(row.release)) for row in report.results]
    aside = storage.scratch(folder)
    try:
        for name in ARRAYS:
            np.save(aside / f"{name}.npy", getattr(seen, name), allow_pickle=False)
        np.save(aside / "scores.npy", seen.values, allow_pickle=False)
        np.save(aside / "fpr.npy", rates, allow_pickle=False)
        numbered = [(index, *name) for index, name in enumerate(names)]
        _csv(aside / "rows.csv", ["row", "attack", "release"], numbered)
        people = zip(seen.ids, seen.labels, seen.members.astype(int), ranks, strict=True)
        _csv(aside / "examples.csv", ["id", "class", "member", "agreement"], people)
        _csv(aside / "exposed.csv", *_exposed(seen, names, rates, ranks))
        storage.put(aside, folder, "examples.csv")
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _exposed(seen: Scored, names, rates, ranks):
    """Header and rows: members, the one highest in agreement first."""
    members = np.flatnonzero(seen.members)
    order = members[np.argsort(-ranks[members], kind="stable")][:MOST]
    head = ["id", "class", "agreement", "smallest_fpr", "smallest_fpr_row"]
    head += [f"score {attack} {release}" for attack, release in names]
    best = rates.argmin(axis=0)
    rows = (
        [seen.ids[i], seen.labels[i], ranks[i], rates[best[i], i], best[i], *seen.values[:, i]]
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
