"""What a row or a drawn point of a page stands for, so that a script finds all of one version.

Versions and attacks go by their numbers: no name of a user is part of a selector.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from tf_compleak.report import wording
from tf_compleak.types import Estimate, Release
from tf_compleak.types.findings import Findings, Result, Slice

PREFIX = "mark:"  # of a drawn thing's gid, which is JSON after it, with nothing to escape


@dataclass(frozen=True)
class Mark:
    """What something stands for.

    Attributes:
      text: what hovering over it shows; "" where it shows that itself.
      versions: places in the report's versions, "0 3"; attack: place in `Index.attacks`, or "".
      tier: of its release, or ""; find: what a search looks in, or "".
    """

    text: str = ""
    versions: str = ""
    attack: str = ""
    tier: str = ""
    find: str = ""

    @property
    def gid(self) -> str:
        """As the gid of a matplotlib artist, which becomes an id of its SVG; see `from_gid`."""
        return PREFIX + quote(json.dumps(dataclasses.astuple(self)), safe="")

    @classmethod
    def from_gid(cls, gid: str) -> Mark:
        """The inverse of `gid`."""
        return cls(*json.loads(unquote(gid.removeprefix(PREFIX))))

    def attributes(self) -> dict[str, str]:
        """The data attributes of an element that stands for it."""
        named = {"v": self.versions, "a": self.attack, "tier": self.tier, "find": self.find}
        return {f"data-{name}": text for name, text in named.items() if text}


class Index:
    """The numbers of a report's versions, attacks and rows."""

    def __init__(self, report: Findings):
        self._report = report
        self.versions = tuple(version.name for version in report.versions)
        rows = [*report.results, *report.curve, *report.slices]
        self.attacks = tuple(dict.fromkeys(row.attack for row in rows))
        self._version = {name: place for place, name in enumerate(self.versions)}
        self._attack = {name: place for place, name in enumerate(self.attacks)}
        self._row = {(row.attack, row.release): i for i, row in enumerate(report.results)}

    def of(self, row: Result | Slice, text: str = "", find: str = "") -> Mark:
        """The mark of a row, or of a part of one."""
        return Mark(text, self._numbers(row.release), self._number(row.attack), row.tier, find)

    def drawn(self, row: Result) -> Mark:
        """The mark of a drawn row: its AUC with interval and n is said when hovered over."""
        return self.of(row, f"{wording.row_name(row, self._report)}: AUC {wording.told(row.auc)}")

    def of_versions(self, release: Release, figure: str = "", of: Estimate | None = None) -> Mark:
        """The mark of one version or several, whatever attacks them; `figure` names `of`."""
        name = wording.release_name(release, self._report)
        text = f"{name}: {figure} {wording.told(of)}" if of is not None else ""
        return Mark(text, self._numbers(release))

    def version(self, name: str) -> int:
        """The place of a version in the report, -1 of one that it does not describe."""
        return self._version.get(name, -1)

    def attack(self, name: str) -> int:
        """The place of an attack in `attacks`."""
        return self._attack[name]

    def row(self, row: Result) -> int:
        """The place of a row in the report's results."""
        return self._row[row.attack, row.release]

    def _numbers(self, release: Sequence[str]) -> str:
        return " ".join(str(self._version[name]) for name in release if name in self._version)

    def _number(self, attack: str) -> str:
        return str(self._attack.get(attack, ""))
