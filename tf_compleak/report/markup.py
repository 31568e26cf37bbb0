"""Pieces of HTML that the pages of a report are made of; every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from tf_compleak.report import wording
from tf_compleak.types import Estimate


def table(caption: str, head: Iterable[str], rows: Iterable[str]) -> str:
    """A table; `head` is text, `rows` are finished HTML."""
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "\n".join(rows)
    return (
        f"<table><caption><span>{escape(caption)}</span></caption>"
        f"<thead><tr>{cells}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
    )


def row(name: str, *cells: str) -> str:
    """A row with `name` (text) as its header; `cells` are finished HTML."""
    return f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>'


def cell(text: object, kind: str = "") -> str:
    return f'<td class="{escape(kind)}">{escape(str(text))}</td>'


def estimate(estimate: Estimate | None, sign: bool = False) -> str:
    """A cell with a figure; the method, or the reason of n/a, as its tooltip."""
    if estimate is None:
        return "<td></td>"
    text = wording.signed(estimate) if sign else str(estimate)
    return f'<td title="{escape(estimate.method)}">{escape(text)}</td>'


def section(name: str, title: str, body: str) -> str:
    return (
        f'<h2 id="{name}">{escape(title)}</h2>\n<div class="scroll" tabindex="0" role="region" '
        f'aria-labelledby="{name}">{body}</div>\n'
    )
