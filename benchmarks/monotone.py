"""Does an attacker who knows more versions ever come out weaker?

    python benchmarks/monotone.py WORKDIR... [--write]

For every finished study and each of the attacks that are to be monotone: how many rows on several
versions lie below the same attack on one of their own versions (the gain of a row, paired, on the
same examples). The joint level holds for all rows of the table together (Bonferroni): at it none
should lie wholly below 0. Exit code 1 where one does.
"""

import dataclasses
import sys
from pathlib import Path

from absl import app, flags
from results import write_section

from tf_compleak import Report
from tf_compleak.leakage.gains import stretch
from tf_compleak.types import STRONGEST, Estimate
from tf_compleak.types.findings import Result

FLAGS = flags.FLAGS
flags.DEFINE_list("attacks", ["tabular", "calibrated", "lira-boosted", STRONGEST], "attacks held")
flags.DEFINE_boolean("write", False, "write the table into benchmarks/README.md")


@dataclasses.dataclass(frozen=True)
class Row:
    """A row on several versions of one study, and its gain."""

    study: str
    attack: str
    release: str
    gain: Estimate

    def high(self, count: int) -> float:
        """The high end of the gain at the level that holds for so many rows together."""
        reach = self.gain.high - self.gain.value
        return self.gain.value + stretch(self.gain.level, count) * reach


def rows(workdir: str) -> list[Row]:
    """Of one study: its rows that are to be monotone, where the gain is measurable."""
    report = Report.load(workdir)
    study = Path(workdir).name
    return [
        Row(study, row.attack, name_of(row), row.gain_same.auc)
        for row in report.results
        if row.attack in FLAGS.attacks and row.gain_same and row.gain_same.auc.measurable
    ]


def name_of(row: Result) -> str:
    """Its release in short."""
    few = "+".join(row.release)
    return few if len(row.release) < 4 else f"{len(row.release)} versions from {row.release[0]}"


def table(found: list[Row]) -> str:
    """Study by study and attack by attack."""
    lines = [
        "| study | attack | rows | mean gain | lowest gain | below 0 at 95 % | jointly |",
        "|---|---|---|---|---|---|---|",
    ]
    for study, attack in dict.fromkeys((row.study, row.attack) for row in found):
        part = [row for row in found if (row.study, row.attack) == (study, attack)]
        lowest = min(part, key=lambda row: row.gain.value)
        mean = sum(row.gain.value for row in part) / len(part)
        alone = sum(row.gain.high < 0 for row in part)
        jointly = sum(row.high(len(found)) < 0 for row in part)
        lines.append(
            f"| {study} | {attack} | {len(part)} | {mean:+.4f} | {lowest.gain.value:+.4f} "
            f"[{lowest.gain.low:+.4f}, {lowest.gain.high:+.4f}] ({lowest.release}) "
            f"| {alone} | {jointly} |"
        )
    return "\n".join(lines)


def main(arguments) -> None:
    """Print the table, write it if asked, and end with 1 where a row lies below 0."""
    if len(arguments) < 2:
        raise app.UsageError("name at least one workdir of a finished study.")
    found = [row for workdir in arguments[1:] for row in rows(workdir)]
    if not found:
        raise app.UsageError(f"none of them has rows of {', '.join(FLAGS.attacks)} with gains.")
    below = [row for row in found if row.high(len(found)) < 0]
    text = f"{table(found)}\n\n{len(found)} rows; jointly below 0: {len(below)}."
    print(text)
    if FLAGS.write:
        write_section("monotone.py", text)
    sys.exit(1 if below else 0)


if __name__ == "__main__":
    app.run(main)
