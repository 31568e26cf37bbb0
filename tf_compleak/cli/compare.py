"""`tf-compleak compare A B`: does this release leak more than the last one? Loads no TensorFlow."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from tf_compleak.cli import outcome, terminal
from tf_compleak.metrics import grammar
from tf_compleak.report import report_folder, wording
from tf_compleak.report.comparison import Comparison, compare
from tf_compleak.report.report import Report

USAGE = "tf-compleak compare A B [--fail_if=worse:tpr@0.01] [--json]"


def work(arguments: list[str]) -> int:
    """Compare two reports, print what differs, and judge; the exit code.

    Raises:
      ValueError, OSError: in one line, for words that are none of its own, or no reports.
    """
    folders = [word for word in arguments if not word.startswith("-")]
    fail_if, as_json = "", False
    for word in arguments:
        name, _, value = word.lstrip("-").partition("=")
        if not word.startswith("-"):
            continue
        if name == "fail_if" and value:
            fail_if = value
        elif name == "json" and word.endswith("json"):
            as_json = True
        else:
            raise ValueError(f"unexpected {word}; write {USAGE}.")
    if len(folders) != 2:
        raise ValueError(f"{USAGE}: name two reports, the last release's first.")
    metrics = grammar.regressions(fail_if, "--fail_if") if fail_if else ()
    last, this = map(_report, folders)
    comparison = compare(last, this, metrics)
    values = comparison.to_json()
    terminal.say(json.dumps(values, indent=1, allow_nan=False) if as_json else _text(comparison))
    if fail_if:
        return _judge(comparison)
    return outcome.VOID if last.sanity.warnings() or this.sanity.warnings() else 0


def _report(word: str) -> Report:
    """Of a folder, or of the `report.json` in it."""
    folder = os.path.expanduser(word)
    if os.path.basename(folder) == report_folder.REPORT:
        folder = os.path.dirname(folder) or os.curdir
    return Report.load(folder)


def _text(comparison: Comparison) -> str:
    heads = ("release", "attack", "metric", "A", "B", "B - A", "n", "how")
    rows = [
        (
            "+".join(of.release),
            of.attack,
            str(of.metric),
            f"{of.last.value:.3f}",
            f"{of.this.value:.3f}",
            wording.signed(of.difference) + (" worse" if of.worse else ""),
            f"{of.difference.n:,}",
            of.how,
        )
        for of in comparison.differences
    ]
    lines = _columns([heads, *rows]) if rows else []
    if rows:
        lines.append("Intervals hold for all rows of a metric together.")
    lines += [f"only in A: {row}" for row in comparison.dropped]
    lines += [f"not compared: {reason}" for reason in comparison.incomparable]
    return wording.plain_lines(lines)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _judge(comparison: Comparison) -> int:
    """What could not be compared has failed."""
    reasons = [
        f"{of.metric} of {of.attack} on {'+'.join(of.release)} is worse by "
        f"{wording.signed(of.difference)} ({of.how})"
        for of in comparison.differences
        if of.worse
    ]
    reasons += comparison.incomparable
    for reason in reasons:
        print(f"tf-compleak: FAILED: {terminal.printable(reason)}", file=sys.stderr)
    if not reasons:
        count = len(comparison.differences)
        print(f"tf-compleak: passed: none of {count} differences is above 0", file=sys.stderr)
    return outcome.FAILED if reasons else 0
