"""What a study ends with: its page, tables, verdict and files for CI; the exit code."""

from __future__ import annotations

import contextlib
import os
import sys

from tf_compleak.cli import terminal
from tf_compleak.types.findings import Findings

CARD = "--card"
FAILED = 3  # exit code of a gate
VOID = 4  # exit code


def show(report: Findings, workdir: str, fail_if: str, card: str = "") -> int:
    """Write the page, print the tables, judge, tell CI and renew the card; the exit code."""
    from rich.console import Console

    from tf_compleak.cli import github
    from tf_compleak.engine import file_store
    from tf_compleak.report import gate, html, model_card, sarif, terminal_report

    folder = file_store.path(workdir)
    file_store.write_text(folder / "report.html", html.render(report, fail_if))
    # rich ends by SystemExit where nobody reads
    with github.no_commands(), terminal.unheard(), contextlib.suppress(SystemExit):
        terminal_report.print_report(report, Console())
        sys.stdout.flush()
    verdict = gate.judge(report, gate.parse(fail_if)) if fail_if else None
    if verdict is not None:
        gate.write(verdict, folder)
        sarif.write(verdict, report, folder)
    github.tell(report, verdict, folder)
    if card:
        model_card.write(os.path.expanduser(card), report, verdict, CARD)
    if verdict is None:
        return _void(report)
    for line in verdict.lines():
        print(f"tf-compleak: {line}", file=sys.stderr)
    return FAILED if verdict.failed else 0


def _void(report: Findings) -> int:
    """Say why a report is not to be relied on, if it is not; the exit code."""
    warnings = report.sanity.warnings()
    if not warnings:
        return 0
    print(f"tf-compleak: void: {' '.join(warnings)}", file=sys.stderr)
    return VOID
