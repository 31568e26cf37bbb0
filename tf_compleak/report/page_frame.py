"""The page of a report inside a notebook: `report.html` in a frame that holds it whole."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from tf_compleak.types.findings import Findings

FRAME = (
    '<iframe title="{title}" srcdoc="{page}" sandbox="allow-scripts" '
    'style="width: 100%; height: {height}px; border: 1px solid #8888"></iframe>'
)


@dataclass(frozen=True)
class PageFrame:
    """Shows the page of a report where a notebook displays it.

    The frame is of no origin (`sandbox`): what the page runs reaches neither the notebook nor its
    server.
    """

    report: Findings
    fail_if: str | None
    height: int

    def _repr_html_(self) -> str:
        from tf_compleak.report import html

        page = escape(html.render(self.report, self.fail_if))
        return FRAME.format(title=escape(html.TITLE), page=page, height=self.height)

    def __repr__(self) -> str:
        return f"<the page of {self.report!r}>"
