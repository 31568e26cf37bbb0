"""Labelled texts in files: `.tsv`, `.csv` or `.jsonl`."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from tf_compleak.engine import bounded_reads
from tf_compleak.types import validators

COLUMNS = ("text", "label")
LETTERS_MOST = 2**24  # of a line, and of a field


def read(path: str) -> tuple[list[str], np.ndarray, tuple[str, ...]]:
    """Texts and labels int64[N] of a file, and the names of classes, where labels are names.

    A first line that names `text` and `label` says which column is which; without it the first
    column is the text, the second the label. In `.jsonl` each line is an object with both. Labels
    that are all whole numbers are classes as they are; other labels are numbered by sorted name.

    Raises:
      ValueError, FileNotFoundError: in one line that names the file and the line.
    """
    file = Path(os.path.expanduser(path))
    validators.choice(f"text:{path}: ending", file.suffix.lower(), (".tsv", ".csv", ".jsonl"))
    rows = _json_rows if file.suffix.lower() == ".jsonl" else _table_rows
    try:
        with (
            bounded_reads.opened(file) as data,
            io.TextIOWrapper(data, encoding="utf-8-sig", newline="") as letters,
        ):
            lines = _lines(path, letters)
            pairs = list(rows(path, lines, "\t" if file.suffix.lower() == ".tsv" else ","))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: no such file; text:PATH names a .tsv, .csv or .jsonl."
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text ({error.reason}); convert it.") from error
    texts, labels = [text for text, _ in pairs], [label for _, label in pairs]
    if all(label.isdecimal() and len(label) < 10 for label in labels):
        return texts, np.array(labels, dtype=np.int64), ()
    names, numbers = np.unique(labels, return_inverse=True)
    return texts, numbers.astype(np.int64), tuple(names.tolist())


def _lines(path: str, letters: TextIO) -> Iterator[str]:
    """The lines of a file; ValueError for one that is no line of a text."""
    number = 0
    while line := letters.readline(LETTERS_MOST + 1):
        number += 1
        if len(line) > LETTERS_MOST:
            raise ValueError(f"{path}, line {number}: has more than {LETTERS_MOST:,} letters.")
        if "\0" in line:
            raise ValueError(f"{path}, line {number}: holds a NUL character; it is no text.")
        yield line


def _table_rows(path: str, lines, delimiter: str) -> Iterator[tuple[str, str]]:
    """Pairs of text and label; a `.tsv` has no quotes."""
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    csv.field_size_limit(LETTERS_MOST)
    rows = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    columns, width = None, 2
    try:
        for row in rows:
            if columns is None:
                names = [name.strip().lower() for name in row]
                has_header = set(COLUMNS) <= set(names)
                columns = [names.index(column) for column in COLUMNS] if has_header else [0, 1]
                width = len(row)
                if width < 2:
                    raise ValueError(
                        f"one column only; give it a text and a label{_hint(delimiter)}"
                    )
                if has_header:
                    continue
            if not row:
                continue
            if len(row) != width:
                raise ValueError(
                    f"{len(row)} columns, the first line has {width}{_hint(delimiter)}"
                )
            yield row[columns[0]], row[columns[1]].strip()
    except UnicodeDecodeError:
        raise
    except (csv.Error, ValueError) as error:
        if str(error).startswith(f"{path}, line "):
            raise
        raise ValueError(f"{path}, line {rows.line_num}: {error}.") from error


def _hint(delimiter: str) -> str:
    return ", separated by tabs" if delimiter == "\t" else ", separated by commas, texts in quotes"


def _json_rows(path: str, lines, _) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text, label = row["text"], row["label"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f'{path}, line {number}: must be an object such as {{"text": "...", "label": 0}}.'
            ) from error
        if not isinstance(text, str) or not isinstance(label, (int, str)):
            raise ValueError(
                f"{path}, line {number}: text must be a string, label a number or a string."
            )
        if not text.isprintable() and any("\ud800" <= letter < "\ue000" for letter in text):
            raise ValueError(f"{path}, line {number}: text holds half of a letter (\\ud800).")
        yield text, str(label).strip()
