"""Who is exposed: for every example of every target, what every attack says of it.

Saved with a report, under `examples/`: `scores.npy` f64[R, N] (raw scores in the order of the rows;
a failed attack has none), `fpr.npy` f64[R, N], `ids.npy`, `labels.npy`, `members.npy`,
`targets.npy` (which of the pooled targets, from 0), `rows.csv` (the R rows with all their figures),
`examples.csv` and `exposed.csv`, the members most at risk with the rate of false discoveries at
which an attacker names them, and `SHA256SUMS` of all these and of `report.json`.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tf_compleak.data import array_files
from tf_compleak.engine import bounded_reads, file_store
from tf_compleak.engine.file_store import write_text
from tf_compleak.metrics.false_discovery import false_discovery_rates
from tf_compleak.report import frame
from tf_compleak.types.findings import Findings, OtherSchema, Scored
from tf_compleak.types.versions import release_text

MOST = 1000
ARRAYS = ("ids", "labels", "members", "targets")
SUMS = "SHA256SUMS"  # of the report and of all that is beside these; for sha256sum -c
REPORT = "report.json"
ARRAY_MOST = 2**34  # bytes
OURS = (SUMS, *(f"{name}.npy" for name in (*ARRAYS, "scores", "fpr")))
OURS += ("rows.csv", "examples.csv", "exposed.csv")


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


def _by_target(figure: Callable[..., np.ndarray], scored: Scored, *arrays: np.ndarray):
    """f64[..., N]: a figure of examples, made of the columns of one target at a time."""
    columns = [np.flatnonzero(scored.targets == target) for target in np.unique(scored.targets)]
    figures = [figure(*(array[..., part] for array in arrays)) for part in columns]
    together = np.empty((*figures[0].shape[:-1], len(scored.ids)))
    for part, of in zip(columns, figures, strict=True):
        together[..., part] = of
    return together


def _rates(values: np.ndarray, members: np.ndarray) -> np.ndarray:
    """f64[R, N]: `caught_at` of every row."""
    return np.stack([caught_at(row, members) for row in values])


def agreement(scores: np.ndarray) -> np.ndarray:
    """f64[N] in (0, 1]: the mean over the attacks of an example's rank; 1 = highest in all."""
    return np.mean([_mean_ranks(row) / len(row) for row in scores], axis=0)


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    """f64[N] from 1 on, equals sharing theirs: scipy's `rankdata`, half a second to import."""
    order = np.sort(values)
    ends = (np.searchsorted(order, values, side=side) for side in ("left", "right"))
    return (sum(ends) + 1) / 2


@dataclass(frozen=True)
class MostExposed:
    """A member whom the attacks agree on, see `agreement`; `target` is the model it was in.

    `false_discovery_rate`: of those whom an attacker names by this order down to it, the share that
    are no members, at most on average.
    """

    id: str
    label: int
    target: int
    agreement: float
    false_discovery_rate: float


def most_exposed(scored: Scored, count: int) -> list[MostExposed]:
    """The `count` members of all targets whom the attacks agree on most."""
    if not len(scored.ids) or not len(scored.values):
        return []
    ranks = _by_target(agreement, scored, scored.values)
    rates = _by_target(false_discovery_rates, scored, ranks, scored.members)
    return [
        MostExposed(
            str(scored.ids[index]),
            int(scored.labels[index]),
            int(scored.targets[index]),
            float(ranks[index]),
            float(rates[index]),
        )
        for index in _members_in_order(scored, ranks)[:count]
    ]


def _members_in_order(scored: Scored, ranks: np.ndarray) -> np.ndarray:
    """Indices of all members, the one highest in agreement first."""
    members = np.flatnonzero(scored.members)
    return members[np.argsort(-ranks[members], kind="stable")]


def save(report: Findings, folder: str | os.PathLike) -> None:
    """Write `report.json` and, where there are scores, `examples/`; each aside and renamed."""
    folder = file_store.path(folder)
    file_store.refuse_link(folder / REPORT)
    text = json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n"
    if report.scored is not None:
        _write_examples(folder / "examples", report, text)
    write_text(folder / REPORT, text)


def load(folder: str | os.PathLike, kind: type[Findings] = Findings) -> Findings:
    """The report that `save` wrote, as a `kind` of findings; see `report.Report.load`."""
    file = file_store.path(folder) / REPORT
    try:
        report = kind.from_json(bounded_reads.json_object(file, follow=False))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{file}: no such file; name the folder of a report.") from error
    except OtherSchema as error:
        raise ValueError(f"{file}: {error}") from error
    except ValueError as error:
        reason = str(error).removeprefix(f"{file}: ").rstrip(".")
        raise ValueError(f"{file}: is damaged or no report ({reason}).") from error
    if changed := differing(file.parent):
        raise ValueError(
            f"{file.parent / changed}: is not what was written (SHA-256 differs); make the report "
            "anew."
        )
    return dataclasses.replace(report, scored=_read_examples(file.parent / "examples", report))


def differing(folder: os.PathLike) -> str:
    """The first file of a report that is not what was written, "" where all are.

    Reports without scores of examples have no sums, and nothing to be held against.
    """
    examples = file_store.path(folder) / "examples"
    file_store.refuse_link(examples)
    if not (examples / SUMS).exists():
        return ""
    for line in bounded_reads.text(examples / SUMS, 2**16, follow=False).splitlines():
        wanted, _, name = line.partition("  ")
        if name not in (f"../{REPORT}", *OURS):
            return f"examples/{SUMS}"
        path = examples.parent / REPORT if name == f"../{REPORT}" else examples / name
        try:
            data = bounded_reads.content(path, ARRAY_MOST, follow=False)
        except (OSError, ValueError):
            data = b""
        if hashlib.sha256(data).hexdigest() != wanted:
            return os.path.normpath(f"examples/{name}")
    return ""


def _read_examples(folder: Path, report: Findings) -> Scored | None:
    """None where there are no files, or those of another report."""
    try:
        arrays = {name: _array(folder / f"{name}.npy") for name in ARRAYS if name != "targets"}
        values, file = _array(folder / "scores.npy"), folder / "targets.npy"
        # Reports of earlier versions have the scores of the first target alone, and no such file.
        targets = _array(file) if file.exists() else np.zeros(len(arrays["ids"]), np.int64)
        scored = Scored(**arrays, values=values, targets=targets)
        _check_scored(scored)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise ValueError(f"{folder}: is damaged ({error}); make the report anew.") from error
    return scored if len(scored.values) == len(report.results) else None


def _array(path: os.PathLike) -> np.ndarray:
    """Of a file in a folder or a bucket."""
    return array_files.array(bounded_reads.content(path, ARRAY_MOST, follow=False))


def _check_scored(scored: Scored) -> None:
    """Refuse what `_write_examples` would not have written."""
    count = len(scored.ids) if scored.ids.ndim == 1 else -1
    rows = len(scored.values) if scored.values.ndim == 2 else -1
    shapes = dict.fromkeys(("labels", "members", "targets"), (count,)) | {"values": (rows, count)}
    for name, shape in shapes.items():
        array = getattr(scored, name)
        if array.shape != shape:
            raise ValueError(f"{name} of shape {array.shape}, ids of {scored.ids.shape}")
    if scored.values.dtype.kind != "f" or not np.isfinite(scored.values).all():
        raise ValueError("scores that are no numbers")
    whole = all(of.dtype.kind in "iu" for of in (scored.labels, scored.targets))
    if scored.members.dtype != bool or not whole:
        raise ValueError("labels, members or targets of another kind")


def _write_examples(folder: Path, report: Findings, text: str) -> None:
    scored = report.scored
    rates = _by_target(_rates, scored, scored.values, scored.members)
    ranks = _by_target(agreement, scored, scored.values)
    names = [(row.attack, release_text(row.release)) for row in report.results]
    figures = [frame.cells(row) for row in report.results]
    aside = file_store.scratch(folder)
    try:
        for name in ARRAYS:
            np.save(aside / f"{name}.npy", getattr(scored, name), allow_pickle=False)
        np.save(aside / "scores.npy", scored.values, allow_pickle=False)
        np.save(aside / "fpr.npy", rates, allow_pickle=False)
        columns = list(dict.fromkeys(name for cells in figures for name in cells))
        rows = ([index, *map(cells.get, columns)] for index, cells in enumerate(figures))
        _csv(aside / "rows.csv", ["row", *columns], rows)
        columns = (scored.ids, scored.labels, scored.members.astype(int), ranks, scored.targets)
        head = ["id", "class", "member", "agreement", "target"]
        _csv(aside / "examples.csv", head, zip(*columns, strict=True))
        _csv(aside / "exposed.csv", *_exposed(scored, names, ranks))
        _write_sums(aside, text)
        file_store.put(aside, folder, SUMS, OURS)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _write_sums(folder: Path, report: str) -> None:
    """What tells an edited report, or edited scores, from those that were written."""
    data = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    data[f"../{REPORT}"] = report.encode("utf-8")
    lines = [f"{hashlib.sha256(of).hexdigest()}  {name}\n" for name, of in data.items()]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def _exposed(scored: Scored, names, ranks):
    """Header and rows: members of all targets, the one highest in agreement first.

    A rate of false discoveries is that of naming all who score as high by one order: by agreement,
    then by each row of the report. The least of several would be right for none.
    """
    order = _members_in_order(scored, ranks)[:MOST]
    titles = [f"{attack} {release}" for attack, release in names]
    head = ["id", "class", "target", "agreement", "false_discovery_rate"]
    head += [f"score {title}" for title in titles]
    head += [f"false_discovery_rate {title}" for title in titles]
    agreed, *by_row = (
        _by_target(false_discovery_rates, scored, values, scored.members)[order]
        for values in (ranks, *scored.values)
    )
    columns = (scored.ids, scored.labels, scored.targets, ranks)
    facts = (*(column[order] for column in columns), agreed)
    return head, zip(*facts, *scored.values[:, order], *by_row, strict=True)


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
