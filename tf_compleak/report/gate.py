"""A gate for CI: does a report meet a condition on which a build must fail?

What could not be judged has failed: a version or an attack that failed, a figure that some row does
not show, a report that is void. All exposures are judged, not only the first.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tf_compleak.engine.workdir import write_text
from tf_compleak.leakage.plan import NULL_RUN
from tf_compleak.leakage.question_stages import ADDED
from tf_compleak.leakage.sanity import BLIND
from tf_compleak.metrics.grammar import Condition, condition
from tf_compleak.types import Estimate, Failure
from tf_compleak.types.estimates import decimals_beside
from tf_compleak.types.findings import Findings, Result, strongest_rows
from tf_compleak.types.versions import release_text

FLAG = "--fail_if"
OPERATORS = (">=", ">")
SCHEMA = 1
NAMED = 3  # rows without a figure that a line names


@dataclass(frozen=True)
class Judged:
    """A condition, whether the build fails on it, why, and the worst row with its figure.

    `exposure` is what the worst row's attacker was shown, "" where the report has one exposure.
    """

    condition: Condition
    failed: bool
    reason: str
    row: Result | None = None
    figure: Estimate | None = None
    exposure: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of all conditions.

    Attributes:
      void: why the figures cannot be relied on, or "".
      unjudged: versions and attacks that failed, so that they have no rows.
    """

    judged: tuple[Judged, ...]
    void: str
    unjudged: tuple[Failure, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the build fails."""
        return bool(self.void or self.unjudged) or any(part.failed for part in self.judged)

    def reasons(self) -> list[str]:
        """Why the build fails, one line each; where it does not, what was judged."""
        if not self.failed:
            return [part.reason for part in self.judged]
        conditions = [part.reason for part in self.judged if part.failed]
        return [*filter(None, [self.void]), *conditions, *map(not_judged, self.unjudged)]

    def lines(self) -> list[str]:
        """The verdict for a log: one line for every reason."""
        return [f"{self._word()}: {reason}" for reason in self.reasons()]

    def line(self) -> str:
        """The verdict in one line."""
        return f"{self._word()}: {'; '.join(self.reasons())}"

    def _word(self) -> str:
        return "FAILED" if self.failed else "passed"


def parse(text: str) -> tuple[Condition, ...]:
    """The conditions of `--fail_if`, joined by commas; ValueError when one is none."""
    parts = [part for part in text.split(",") if part.strip()]
    if not parts:
        raise ValueError(f"{FLAG}: {text!r} holds no condition; write tpr@0.001>0.01.")
    return tuple(condition(part, FLAG, OPERATORS) for part in parts)


def judge(report: Findings, conditions: Sequence[Condition]) -> Verdict:
    """Fails when any row meets a condition, when one cannot show it, and when the report is void.

    Rows of all exposures are judged. A version or an attack that failed fails the build, too: it
    has no rows.

    Raises:
      ValueError: for a false positive rate that the report has no figures at.
    """
    void = " ".join(report.sanity.warnings())
    rows = list(_rows(report))
    judged = tuple(_judge(rows, condition) for condition in conditions)
    return Verdict(judged, void, tuple(filter(_leaves_no_rows, report.failures)))


def _leaves_no_rows(failure: Failure) -> bool:
    """Not so of checks, by which a report is void, and of what each version adds, in no row."""
    return not failure.name.startswith(NULL_RUN) and failure.name not in (BLIND, ADDED)


def not_judged(failure: Failure) -> str:
    """Why a build fails for what failed before it could be judged."""
    reason = " ".join(failure.reason.split())
    return f"{failure.name} could not be judged: {reason}"


def _rows(report: Findings) -> Iterator[tuple[str, Result]]:
    """The strongest attacker's rows, or all where it has none, with their exposures.

    An exposure is "" where there is one only.
    """
    first, *others = report.exposed or (None,)
    yield from ((first.exposure if first else "", row) for row in _strongest(report.results))
    for exposed in others:
        yield from ((exposed.exposure, row) for row in _strongest(exposed.results))


def _strongest(results: Sequence[Result]) -> list[Result]:
    return [row for tier in ("NR", "SR", "MR") for row in strongest_rows(results, tier)]


def _judge(rows: Sequence[tuple[str, Result]], condition: Condition) -> Judged:
    figures = [(exposure, row, _figure(row, condition)) for exposure, row in rows]
    unmeasured = _unmeasured(figures, condition)
    measured = [part for part in figures if part[2] is not None and part[2].measurable]
    if not measured:
        reason = unmeasured or f"{condition.metric} is not measurable: there are no rows"
        return Judged(condition, True, reason)
    exposure, row, figure = max(measured, key=lambda part: _value(part[2], condition))
    is_met = condition.holds(_value(figure, condition))
    reason = _compared(condition, is_met, _where(exposure, row), figure)
    if unmeasured:
        reason = f"{reason}; {unmeasured}" if is_met else f"{unmeasured}; of the others {reason}"
    return Judged(condition, is_met or bool(unmeasured), reason, row, figure, exposure)


def _where(exposure: str, row: Result) -> str:
    shown = f", shown {exposure}" if exposure else ""
    return f"{row.attack} on {release_text(row.release)}{shown}"


def _compared(condition: Condition, is_met: bool, where: str, figure: Estimate) -> str:
    """The worst row's figure beside the bound."""
    end = "upper end of " if condition.upper else ""
    sign = condition.operator if is_met else {">": "<=", ">=": "<"}[condition.operator]
    value = _value(figure, condition)
    decimals = decimals_beside(condition.bound, value)
    shown = f"{where}, {figure.beside(condition.bound)}"
    return f"{end}{condition.metric} = {value:.{decimals}f} {sign} {condition.bound:g} ({shown})"


def _unmeasured(
    figures: Sequence[tuple[str, Result, Estimate | None]], condition: Condition
) -> str:
    """Which rows do not show the figure and why, reason by reason; "" where all do."""
    by_reason: dict[str, list[str]] = {}
    for exposure, row, figure in figures:
        if figure is None or not figure.measurable:
            reason = "no such figure" if figure is None else figure.method
            by_reason.setdefault(reason, []).append(_where(exposure, row))
    parts = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        count = f"{len(names)} of {len(figures)} rows"
        parts.append(f"on {count} ({'; '.join(names[:NAMED])}{more}): {reason}")
    return f"{condition.metric} is not measurable {'; '.join(parts)}" if parts else ""


def _figure(row: Result, condition: Condition) -> Estimate | None:
    metric = condition.metric
    if metric.name != "tpr":
        return getattr(row, metric.name)
    if metric.fpr not in row.tpr_at_fpr:
        has = ", ".join(f"tpr@{rate:g}" for rate in row.tpr_at_fpr)
        raise ValueError(f"{FLAG}: the report has no {metric}; it has {has}.")
    return row.tpr_at_fpr[metric.fpr]


def _value(figure: Estimate, condition: Condition) -> float:
    if condition.metric.name == "epsilon":
        return figure.low
    return figure.high if condition.upper else figure.value


def write(verdict: Verdict, folder: Path) -> None:
    """Write `verdict.json` and `verdict.xml` (JUnit), each aside and renamed."""
    write_text(
        folder / "verdict.json", json.dumps(to_json(verdict), indent=1, allow_nan=False) + "\n"
    )
    write_text(folder / "verdict.xml", junit(verdict))


def to_json(verdict: Verdict) -> dict:
    """JSON values: passed, the line, an entry for each condition, and what was not judged."""
    return {
        "schema": SCHEMA,
        "passed": not verdict.failed,
        "verdict": verdict.line(),
        "void": verdict.void,
        "unjudged": [
            {"name": failure.name, "reason": failure.reason} for failure in verdict.unjudged
        ],
        "conditions": [
            {
                "condition": str(part.condition),
                "passed": not part.failed,
                "reason": part.reason,
                "release": release_text(part.row.release) if part.row else None,
                "attack": part.row.attack if part.row else None,
                "exposure": part.exposure or None,
                "figure": part.figure.to_json() if part.figure else None,
            }
            for part in verdict.judged
        ],
    }


def junit(verdict: Verdict) -> str:
    """JUnit XML: a case for the report's soundness, each condition, and each that failed before."""
    cases = [("the report is sound", verdict.void)]
    cases += [(str(part.condition), part.reason * part.failed) for part in verdict.judged]
    cases += [(failure.name, not_judged(failure)) for failure in verdict.unjudged]
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
