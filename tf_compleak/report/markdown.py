"""A report in Markdown, for the summary of a CI job and the card of a model.

Whatever users named is escaped: every sign that could be markup is written as a character
reference, which Markdown and HTML both read as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tf_compleak.report import wording
from tf_compleak.report.gate import Verdict
from tf_compleak.types import Estimate
from tf_compleak.types.findings import Findings, Result

HEADING = "Privacy: membership inference"
PLAIN = re.compile(r"[^\w\s,.%()=-]|_|\.(?=\w)")  # a dot before a word could begin a link


def escaped(text: str) -> str:
    """A text of one line in which nothing is markup, a link, a mention or an HTML tag."""

    def reference(sign: re.Match) -> str:
        before = text[sign.start() - 1 : sign.start()]
        after = text[sign.end() : sign.end() + 1]
        decimal = sign[0] == "." and before.isdigit() and after.isdigit()
        return "." if decimal else f"&#{ord(sign[0])};"

    text = wording.plain(text)
    return PLAIN.sub(reference, text)


def summary(report: Findings, verdict: Verdict | None = None) -> str:
    """A report in short: what it says, the gate's verdict, leading rows; the rest is folded."""
    leading = [row for tier in wording.TIERS if (row := report.leading(tier))]
    parts = [f"## {HEADING}", f"**{escaped(wording.verdict(report))}**"]
    if verdict is not None:
        parts.append(gate_lines(verdict))
    parts.append(table(report, leading))
    others = wording.best_per_release(report)
    if len(others) > len(leading):
        parts.append(folded(f"All {len(others)} releases", table(report, others)))
    if lines := wording.cautions(report):
        parts.append(folded(f"{len(lines)} cautions", bullets(lines)))
    if report.failures:
        failures = [f"{failure.name}: {failure.reason}" for failure in report.failures]
        parts.append(folded(f"{len(failures)} failed", bullets(failures)))
    return "\n\n".join(filter(None, parts)) + "\n"


def gate_lines(verdict: Verdict) -> str:
    """The gate's verdict, a bullet for every reason."""
    word = "FAILED" if verdict.failed else "passed"
    return "\n".join(f"- **{word}**: {escaped(reason)}" for reason in verdict.reasons())


def table(report: Findings, rows: Sequence[Result]) -> str:
    """Rows with AUC and the measurable true positive rates, their intervals and n; "" of none."""
    if not rows:
        return ""
    rates = [
        rate
        for rate in wording.rates(report)
        if any(rate in row.tpr_at_fpr and row.tpr_at_fpr[rate].measurable for row in rows)
    ]
    heads = [
        "versions",
        "attack",
        "AUC",
        *(f"TPR at {wording.percent(rate)} FPR" for rate in rates),
    ]
    lines = [[*heads, "n"], ["---"] * (len(heads) + 1)]
    for row in rows:
        figures = [row.auc, *(row.tpr_at_fpr.get(rate) for rate in rates)]
        names = [wording.release_name(row.release, report), row.attack]
        count = f"{row.n_members:,} + {row.n_non_members:,}"
        lines.append([*map(escaped, names), *map(_figure, figures), count])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _figure(estimate: Estimate | None) -> str:
    return escaped("n/a" if estimate is None else str(estimate))


def bullets(lines: Iterable[str]) -> str:
    """A list of texts, escaped."""
    return "\n".join(f"- {escaped(line)}" for line in lines)


def folded(title: str, content: str) -> str:
    """What is shown after a click only."""
    return f"<details><summary>{escaped(title)}</summary>\n\n{content}\n\n</details>"
