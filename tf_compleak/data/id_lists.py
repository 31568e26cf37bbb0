"""Lists of ids, `.csv`, `.tsv`, `.jsonl` or `.txt`: which examples of a source are meant."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np

from tf_compleak.data.sides import Side
from tf_compleak.engine import bounded_reads
from tf_compleak.types import validators

MOST = 2**30  # bytes
ENDINGS = (".csv", ".tsv", ".jsonl", ".txt")
COLUMN = "id"


def read(path: str) -> list[str]:
    """The ids that a file lists, in its order.

    `.csv` and `.tsv`: the column `id` where the first line names one, else the first column;
    `.jsonl`: a text, a number or an object with `id` on each line; `.txt`: an id on each line.
    Empty lines are left out.

    Raises:
      ValueError, FileNotFoundError: in one line that names the file and, where it can, the line.
    """
    file = Path(os.path.expanduser(path))
    ending = file.suffix.lower()
    validators.choice(f"ids:{path}: ending", ending, ENDINGS)
    try:
        lines = bounded_reads.text(file, MOST).lstrip("\ufeff").splitlines()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such file; ids:PATH@SOURCE names a list.") from error
    if ending == ".jsonl":
        ids = [_of_json(line, f"{path}, line {n}") for n, line in enumerate(lines, 1) if line]
    elif ending == ".txt":
        ids = [line.strip() for line in lines if line.strip()]
    else:
        ids = _of_table(lines, "\t" if ending == ".tsv" else ",", path)
    if not ids:
        raise ValueError(f"{path}: lists no ids; give one on each line.")
    validators.distinct(f"{path}: ids", ids)
    return ids


def _of_json(line: str, where: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: is no JSON; write a text or a number.") from error
    value = value.get(COLUMN) if isinstance(value, dict) else value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f'{where}: names no id; write a text, a whole number, or {{"id": ...}}.')
    return str(value)


def _of_table(lines: list[str], delimiter: str, path: str) -> list[str]:
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter, strict=True) if row]
    except csv.Error as error:
        raise ValueError(f"{path}: {error}; write ids in a column of their own.") from error
    names = [name.strip().lower() for name in rows[0]] if rows else []
    column = names.index(COLUMN) if COLUMN in names else 0
    rows = rows[1:] if COLUMN in names else rows
    if any(len(row) <= column for row in rows):
        raise ValueError(f"{path}: some rows have no column {COLUMN}; give every row an id.")
    return [row[column].strip() for row in rows]


def chosen(side: Side, ids: list[str], path: str, source: str) -> Side:
    """The examples of a side that have these ids; ValueError for ids that it does not have."""
    names, wanted = side.ids.astype(str), np.array(ids)
    order = np.argsort(names, kind="stable")
    rows = order[np.minimum(np.searchsorted(names, wanted, sorter=order), len(names) - 1)]
    unknown = np.flatnonzero(names[rows] != wanted)
    if len(unknown):
        raise ValueError(
            f"{path}: {len(unknown)} of its {len(ids)} ids are not in {source} (first: "
            f"{ids[unknown[0]]!r}); its ids are {_sample(names)}."
        )
    return side.take(rows)


def _sample(names: np.ndarray) -> str:
    few = ", ".join(map(repr, names[:2].tolist()))
    return f"{few}, ..., {names[-1]!r}" if len(names) > 3 else few
