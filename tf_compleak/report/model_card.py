"""A section and the metadata of a model's card, renewed between markers; all else stays as it is.

`README.md` of a Hugging Face repository: front matter in YAML, whose `model-index` lists figures,
then Markdown. Only lines between `begin` and `end` markers are written, so that what people wrote,
with its comments and order, stays byte for byte.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from tf_compleak.engine import bounded_reads
from tf_compleak.engine.file_store import write_text
from tf_compleak.report import markdown, wording
from tf_compleak.report.gate import Verdict
from tf_compleak.types.findings import Findings, Result

MOST = 4 * 2**20  # bytes
BODY = ("<!-- begin tf-compleak -->", "<!-- end tf-compleak -->")
FRONT = ("# begin tf-compleak", "# end tf-compleak")
FENCE = "---"
INDEX = "model-index"


def check(path: str, flag: str) -> None:
    """Refuse a card that `write` would refuse, before a study begins.

    Raises:
      ValueError: in one line, for a link, a folder, no UTF-8, broken front matter, one marker
        without the other, or a file that may not be written.
    """
    with _named(path, flag):
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise ValueError(f"{folder} is no folder; make it first.")
        if not all(os.access(of, os.W_OK) for of in (path, folder) if os.path.exists(of)):
            raise ValueError("may not be written by this user; give the right to.")
        renewed(_read(path), "", {})


def write(path: str, report: Findings, verdict: Verdict | None, flag: str) -> None:
    """Write or renew a report's part of a card: aside and renamed; the file keeps its rights.

    Raises:
      ValueError: as `check`.
    """
    with _named(path, flag):
        old = _read(path)
        new = renewed(old, section(report, verdict), metadata(report))
        if new == old:
            return
        mode = os.stat(path).st_mode & 0o7777 if os.path.exists(path) else None
        write_text(path, new)
        if mode is not None:
            os.chmod(path, mode)


@contextlib.contextmanager
def _named(path: str, flag: str):
    try:
        yield
    except (ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{flag}={path}: {reason}") from error


def _read(path: str) -> str:
    """The card's text, "" where there is none."""
    if not os.path.lexists(path):
        return ""
    return bounded_reads.text(path, MOST, follow=False)


def section(report: Findings, verdict: Verdict | None) -> str:
    """The card's part for readers."""
    leading = [row for tier in wording.TIERS if (row := report.leading(tier))]
    parts = [
        f"## {markdown.HEADING}",
        markdown.escaped(wording.verdict(report)),
        markdown.gate_lines(verdict) if verdict else "",
        markdown.table(report, leading),
        markdown.bullets(wording.cautions(report)),
        "Measured with tf-compleak: what an attacker who may query these versions can tell about "
        "who was in the training data. AUC 0.5 is guessing.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def metadata(report: Findings) -> dict[str, Any]:
    """The entry of `model-index`: the leading row of each tier, its AUC and measurable TPRs."""
    leading = [row for tier in wording.TIERS if (row := report.leading(tier))]
    data = str(report.study.get("dataset", "members and non-members"))
    results = [
        {
            "task": {"type": "membership-inference", "name": markdown.HEADING},
            "dataset": {"type": data.partition(":")[0].replace(" ", "-"), "name": data},
            "metrics": _metrics(row, report),
        }
        for row in leading
        if row.auc.measurable
    ]
    return {"name": "tf-compleak", "results": results} if results else {}


def _metrics(row: Result, report: Findings) -> list[dict[str, Any]]:
    name = wording.row_name(row, report)
    figures = {"roc_auc": ("AUC", row.auc)}
    for rate, estimate in sorted(row.tpr_at_fpr.items(), reverse=True):
        figures[f"tpr_at_fpr_{rate:g}"] = (f"TPR at {wording.percent(rate)} FPR", estimate)
    return [
        {"type": kind, "name": f"{title}, {row.tier}: {name}", "value": round(of.value, 4)}
        for kind, (title, of) in figures.items()
        if of.measurable
    ]


def renewed(text: str, body: str, entry: dict[str, Any]) -> str:
    """A card with its two parts made anew, or added where it has none.

    Args:
      body: Markdown of the section, lines ended by a newline.
      entry: of `model-index`; none is written where it is empty.

    Raises:
      ValueError: for front matter that is broken, and for one marker without the other.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    front, rest = _parts(text.removeprefix(mark).split(newline))
    lines = _between(rest, BODY, body.splitlines())
    if lines is None:
        gap = [] if not any(rest) else [""] if rest[-1] else []
        end = rest if any(rest) else []
        lines = [*end, *gap, BODY[0], *body.splitlines(), BODY[1], ""]
    front = _with_entry(front, entry)
    head = [FENCE, *front, FENCE] if front else []
    if head and not any(rest):
        head.append("")
    return mark + newline.join([*head, *lines])


def _parts(lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines of the front matter, and all others."""
    if lines[0].rstrip() != FENCE:
        return [], lines
    ends = [i for i, line in enumerate(lines) if i and line.rstrip() == FENCE]
    if not ends:
        raise ValueError("its front matter has no end; close it by a line of ---.")
    return lines[1 : ends[0]], lines[ends[0] + 1 :]


def _between(
    lines: Sequence[str], markers: tuple[str, str], new: Sequence[str]
) -> list[str] | None:
    """The lines with what stands between the markers exchanged; None without markers."""
    at = [[i for i, line in enumerate(lines) if line.strip() == marker] for marker in markers]
    if at == [[], []]:
        return None
    if list(map(len, at)) != [1, 1] or at[0][0] > at[1][0]:
        raise ValueError(f"needs {markers[0]!r} and {markers[1]!r} once each, in this order.")
    return [*lines[: at[0][0] + 1], *new, *lines[at[1][0] :]]


def _with_entry(front: list[str], entry: dict[str, Any]) -> list[str]:
    """Front matter with the entry of `model-index` between markers, and nothing else changed."""
    bare = _between(front, FRONT, [])
    kept = _yaml(front if bare is None else bare)
    if not entry:
        return front
    own = INDEX in kept
    if own and bare is None:
        raise ValueError(
            f"its front matter has a {INDEX} of its own; put the lines {FRONT[0]!r} and "
            f"{FRONT[1]!r} at the end of that list, indented as its items."
        )
    start = next((line for line in front if line.strip() == FRONT[0]), "")
    indent = " " * (len(start) - len(start.lstrip())) if own else ""
    new = [f"{indent}{line}" for line in _dumped([entry] if own else {INDEX: [entry]})]
    made = _between(front, FRONT, new) or [*front, FRONT[0], *new, FRONT[1]]
    if _yaml(made) != {**kept, INDEX: [*(kept.get(INDEX) or []), entry]}:
        raise ValueError(f"its markers do not stand where a {INDEX} can; remove both.")
    return made


def _yaml(lines: Sequence[str]) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load("\n".join(lines))
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"its front matter is no YAML ({reason}).") from error
    if values is not None and not isinstance(values, dict):
        raise ValueError("its front matter holds no keys with values.")
    return values or {}


def _dumped(value: Any) -> list[str]:
    import yaml

    text = yaml.safe_dump(value, sort_keys=False, width=10_000, default_flow_style=False)
    return text.splitlines()
