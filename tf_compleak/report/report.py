"""The report that users hold: findings that can show, save and load themselves."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tf_compleak.types.findings import Findings


@dataclass(frozen=True, repr=False)
class Report(Findings):
    """What one study found; `report.json` is its saved form. See `Findings` for the fields."""

    @classmethod
    def of(cls, findings: Findings, **changes: Any) -> Report:
        """The report of findings, some of its fields given anew."""
        fields = {f.name: getattr(findings, f.name) for f in dataclasses.fields(Findings)}
        return cls(**fields | changes)

    def summary(self) -> str:
        """Plain text: the verdict, the leading rows of every tier, failures and warnings."""
        from tf_compleak.report import terminal_report

        return terminal_report.summary(self)

    def _repr_html_(self) -> str:
        """What notebooks show: verdict, figures and tables; the whole page is `report.html`."""
        from tf_compleak.report import html

        return html.fragment(self)

    def show(self, height: int = 800, fail_if: str | None = None):
        """The whole page in a frame, for a notebook to display.

        Args:
          height: of the frame, in pixels.
          fail_if: conditions that the page's traffic light goes by; None: those of the report's
            own flags.
        """
        from tf_compleak.report import page_frame
        from tf_compleak.types import validators

        validators.between("height", height, 100, 10_000)
        return page_frame.PageFrame(self, fail_if, height)

    def to_pandas(self):
        """A pandas DataFrame, one row a result; see `report.frame`. ValueError without pandas."""
        from tf_compleak.report import frame

        return frame.frame(self)

    def plot_roc_curve(self, path: str | os.PathLike | None = None, rows: Sequence[int] = ()):
        """A matplotlib Figure of ROC curves on log-log axes, saved to `path` if one is given.

        Args:
          rows: indices into `results`; by default the leading rows of every tier.
        """
        from tf_compleak.report import figures

        figure = figures.roc_figure(self, [self.results[row] for row in rows])
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure

    def save(self, folder: str | os.PathLike) -> None:
        """Write `report.json` and, under `examples/`, the scores of every example."""
        from tf_compleak.report import report_folder

        report_folder.save(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Report:
        """The report of a folder that `save`, a run or an audit wrote.

        Raises:
          FileNotFoundError, ValueError: in one line, when there is none or it cannot be read.
        """
        from tf_compleak.report import report_folder

        return report_folder.load(folder, cls)
