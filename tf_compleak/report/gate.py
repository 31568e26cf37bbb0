"""A gate for CI: does a report meet a condition on which a build must fail?"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tf_compleak.engine.workdir import write_text
from tf_compleak.metrics.grammar import Condition, condition
from tf_compleak.types import Estimate
from tf_compleak.types.findings import Findings, Result

FLAG = "--fail_if"
OPERATORS = (">=", ">")
SCHEMA = 1


@dataclass(frozen=True)
class Judged:
    """A condition, whether the build fails on it, why, and the worst row with its figure."""

    condition: Condition
    failed: bool
    reason: str
    row: Result | None = None
    figure: Estimate | None = None


@dataclass(frozen=True)
class Verdict:
    """What became of all conditions; `void` says why the figures cannot be relied on, or is ""."""

    judged: tuple[Judged, ...]
    void: str

    @property
    def failed(self) -> bool:
        """Whether the build fails."""
        return bool(self.void) or any(each.failed for each in self.judged)

    def line(self) -> str:
        """One line for a log."""
        if not self.failed:
            return f"passed: {'; '.join(each.reason for each in self.judged)}"
        reasons = [each.reason for each in self.judged if each.failed]
        return f"FAILED: {'; '.join([self.void] * bool(self.void) + reasons)}"


def parse(text: str) -> tuple[Condition, ...]:
    """The conditions of `--fail_if`, joined by commas; ValueError when one is none."""
    parts = [part for part in text.split(",") if part.strip()]
    if not parts:
        raise ValueError(f"{FLAG}: {text!r} holds no condition; write tpr@0.001>0.01.")
    return tuple(condition(part, FLAG, OPERATORS) for part in parts)


def judge(report: Findings, conditions: Sequence[Condition]) -> Verdict:
    """Fails when any row meets a condition, when none can show it, or when the report is void.

    Raises:
      ValueError: for a false positive rate that the report has no figures at.
    """
    void = " ".join(report.sanity.warnings())
    return Verdict(tuple(_judge(report, each) for each in conditions), void)


def _judge(report: Findings, each: Condition) -> Judged:
    rows = [(row, _figure(row, each)) for row in report.results]
    known = [(row, figure) for row, figure in rows if figure is not None and figure.measurable]
    if not known:
        why = next((figure.method for _, figure in rows if figure is not None), "no such figure")
        return Judged(each, True, f"{each.metric} is not measurable: {why}")
    row, figure = max(known, key=lambda pair: _value(pair[1], each))
    value = _value(figure, each)
    failed = each.holds(value)
    end = "upper end of " if each.upper else ""
    where = f"{row.attack} on {'+'.join(row.release)}"
    sign = each.operator if failed else {">": "<=", ">=": "<"}[each.operator]
    reason = f"{end}{each.metric} = {value:.4g} {sign} {each.bound:g} ({where}, {figure})"
    return Judged(each, failed, reason, row, figure)


def _figure(row: Result, each: Condition) -> Estimate | None:
    metric = each.metric
    if metric.name != "tpr":
        return getattr(row, metric.name)
    if metric.fpr not in row.tpr_at_fpr:
        has = ", ".join(f"tpr@{rate:g}" for rate in row.tpr_at_fpr)
        raise ValueError(f"{FLAG}: the report has no {metric}; it has {has}.")
    return row.tpr_at_fpr[metric.fpr]


def _value(figure: Estimate, each: Condition) -> float:
    if each.metric.name == "epsilon":
        return figure.low
    return figure.high if each.upper else figure.value


def write(verdict: Verdict, folder: Path) -> None:
    """Write `verdict.json` and `verdict.xml` (JUnit), each aside and renamed."""
    write_text(
        folder / "verdict.json", json.dumps(to_json(verdict), indent=1, allow_nan=False) + "\n"
    )
    write_text(folder / "verdict.xml", junit(verdict))


def to_json(verdict: Verdict) -> dict:
    """JSON values: passed, the line, and one entry for each condition."""
    return {
        "schema": SCHEMA,
        "passed": not verdict.failed,
        "verdict": verdict.line(),
        "void": verdict.void,
        "conditions": [
            {
                "condition": str(each.condition),
                "passed": not each.failed,
                "reason": each.reason,
                "release": "+".join(each.row.release) if each.row else None,
                "attack": each.row.attack if each.row else None,
                "figure": each.figure.to_json() if each.figure else None,
            }
            for each in verdict.judged
        ],
    }


def junit(verdict: Verdict) -> str:
    """JUnit XML: a test case for each condition, and one for the report's soundness."""
    cases = [("the report is sound", verdict.void)]
    cases += [(str(each.condition), each.reason * each.failed) for each in verdict.judged]
    failures = sum(bool(message) for _, message in cases)
    suite = ET.Element(
        "testsuite", name="tf-compleak", tests=str(len(cases)), failures=str(failures), errors="0"
    )
    for name, message in cases:
        case = ET.SubElement(suite, "testcase", classname="tf-compleak", name=_printable(name))
        if message:
            ET.SubElement(case, "failure", message=_printable(message)).text = _printable(message)
    ET.indent(suite)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"
    )


def _printable(text: str) -> str:
    """XML takes no control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
