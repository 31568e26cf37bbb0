"""What a job of GitHub Actions is told: a summary, errors at files, and no commands of others.

Source: GitHub's reference of workflow commands (`GITHUB_STEP_SUMMARY`, `::error`,
`::stop-commands`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator

from tf_compleak.cli import terminal
from tf_compleak.report import markdown, sarif
from tf_compleak.report.gate import Verdict
from tf_compleak.types.findings import Findings

SUMMARY = "GITHUB_STEP_SUMMARY"


def in_a_job() -> bool:
    """Whether this is a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def tell(report: Findings, verdict: Verdict | None, folder: str | os.PathLike) -> None:
    """Append the summary where the job wants one, and say each reason to fail at its file.

    A summary that cannot be written is a line on stderr: it changes no exit code.
    """
    if file := os.environ.get(SUMMARY):
        try:
            with open(file, "a", encoding="utf-8") as stream:
                stream.write(markdown.summary(report, verdict) + "\n")
        except OSError as error:
            line = terminal.printable(f"{SUMMARY}={file}: {error.strerror}; no summary.")
            print(f"tf-compleak: {line}", file=sys.stderr)
    if verdict is not None and in_a_job():
        for line in sarif.lines(verdict, report, folder):
            terminal.say(line)


@contextlib.contextmanager
def no_commands() -> Iterator[None]:
    """Lines that are printed meanwhile, which hold names of users, are no workflow commands."""
    if not in_a_job():
        yield
        return
    token = secrets.token_hex(16)
    terminal.say(f"::stop-commands::{token}")
    try:
        yield
    finally:
        terminal.say(f"::{token}::")
