"""What does each version of each model leak, by each attack: the table of the paper.

    python benchmarks/paper_table.py STUDY... [--data_dir=DIR] [--attacks=...] [--write=FOLDER]

A STUDY is a workdir of `tf-compleak run`, or a flagfile, which is run (or continued) first. Prints
one table for each of balanced accuracy, AUC and TPR at 0.1 % FPR, as Markdown; `--write` also
leaves table.md, table.csv and table.tex in a folder.

Rows: data set x architecture x version. Columns: the six NR attacks on the version alone; SR, the
original and the version; MR, all usable versions together, without and with the original. Where
several attacks stand for one column, the one with the highest AUC is shown, in all three tables;
`--attacks` names those to choose from. An interval stands under every figure.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import studies
from absl import app, flags

from tf_compleak.report.report import Report
from tf_compleak.types import ORIGINAL, Estimate, Version
from tf_compleak.types.findings import Result

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "folder of prepared TFDS data sets, for flagfiles")
flags.DEFINE_list("attacks", [], "attacks to choose from; empty: all of the paper's")
flags.DEFINE_string("write", None, "folder for table.md, table.csv and table.tex")

KINDS = ("lr", "rf", "mlp")
COLUMNS = {
    "entropy": ("entropy",),
    "modified entropy": ("modified-entropy",),
    "Shokri": tuple(f"shokri-{kind}" for kind in KINDS),
    "Nasr": tuple(f"nasr-{kind}" for kind in KINDS),
    "SAMIA": ("samia",),
    "RMIA": ("rmia",),
    "SR": tuple(f"{name}-{kind}" for name in ("sr1", "sr2") for kind in KINDS),
    "MR without": ("mr",),
    "MR with": ("mr",),
}
METRICS = {"balanced accuracy": "accuracy", "AUC": "auc", "TPR at 0.1 % FPR": "tpr"}
RATE = 0.001
FIELDS = (
    *("data", "model", "version", "column", "attack", "release", "metric"),
    *("value", "low", "high", "level", "n_members", "n_non_members", "status"),
)


@dataclass(frozen=True)
class Cell:
    """One column of one row: the row of the report that fills it, or why there is none."""

    column: str
    result: Result | None
    why: str = ""

    def figure(self, metric: str) -> Estimate | None:
        """Its "accuracy", "auc" or "tpr"; None where there is no result or no such rate."""
        if self.result is None:
            return None
        return self.result.tpr_at_fpr.get(RATE) if metric == "tpr" else getattr(self.result, metric)

    def text(self, metric: str) -> str:
        """The figure with its interval, or what stands in its place."""
        figure = self.figure(metric)
        if figure is None:
            return self.why or "not asked"
        return str(figure) if figure.measurable else "not measurable"


@dataclass(frozen=True)
class Line:
    """One row of the table: a version of a model of a data set."""

    data: str
    model: str
    version: str
    cells: tuple[Cell, ...]


def lines(report: Report, attacks: tuple[str, ...] = ()) -> list[Line]:
    """The rows of one study, in the order of its versions."""
    study = report.study
    data = studies.data_name(study["dataset"])
    model = study.get("model", "model")
    return [
        Line(data, model, version.name, tuple(_cells(report, version, attacks)))
        for version in report.versions
    ]


def _cells(report: Report, version: Version, attacks: tuple[str, ...]) -> Iterator[Cell]:
    for column, names in COLUMNS.items():
        names = tuple(name for name in names if not attacks or name in attacks)
        if version.status == "failed":
            yield Cell(column, None, "version failed")
        elif column.startswith("SR") and version.name == ORIGINAL:
            yield Cell(column, None, "-")
        else:
            yield _cell(report, version.name, column, names)


def _cell(report: Report, version: str, column: str, names: tuple[str, ...]) -> Cell:
    """The result with the highest AUC among attacks `names` on the releases of the column."""
    fits = [r for r in report.results if r.attack in names and _belongs(r.release, version, column)]
    if column.startswith("MR") and fits:
        size = max(len(each.release) for each in fits)
        fits = [each for each in fits if len(each.release) == size]
    if fits:
        return Cell(column, max(fits, key=lambda each: each.auc.value))
    if column == "MR without" and version == ORIGINAL:
        return Cell(column, None, "-")
    failed = [each for each in report.failures if each.name.split()[0] in names]
    return Cell(column, None, "attack failed" if failed else "not run")


def _belongs(release: tuple[str, ...], version: str, column: str) -> bool:
    if column == "SR":
        return len(release) == 2 and set(release) == {ORIGINAL, version}
    if column.startswith("MR"):
        return (
            len(release) > 1
            and version in release
            and (ORIGINAL in release) == (column == "MR with")
        )
    return release == (version,)


def notes(reports: list[Report]) -> list[str]:
    """Why cells are empty: failures of the studies, and figures that n cannot show."""
    found = []
    for report in reports:
        study = f"{report.study['dataset']}, {report.study.get('model', 'model')}"
        found += [f"{study}: {each.name}: {each.reason}" for each in report.failures]
        rates = [row.tpr_at_fpr.get(RATE) for row in report.results]
        short = {each.method for each in rates if each is not None and not each.measurable}
        found += [f"{study}: TPR at 0.1 % FPR: {reason}" for reason in sorted(short)]
        found += [f"{study}: {warning}" for warning in report.sanity.warnings()]
    return found


def markdown(rows: list[Line], remarks: list[str]) -> str:
    """A table for each metric, then the notes."""
    parts = []
    for title, metric in METRICS.items():
        head = ["data", "model", "version", *COLUMNS]
        parts.append(f"### {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for row in rows:
            cells = [cell.text(metric) for cell in row.cells]
            parts[-1] += f"\n| {' | '.join([row.data, row.model, row.version, *cells])} |"
    return "\n\n".join([*parts, "\n".join(f"- {remark}" for remark in remarks)]).strip() + "\n"


def table_csv(rows: list[Line]) -> str:
    """One line a figure, with the attack and the release that it is of."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(FIELDS)
    for row in rows:
        for cell in row.cells:
            for metric in METRICS.values():
                out.writerow(
                    [row.data, row.model, row.version, cell.column, *_fields(cell, metric)]
                )
    return text.getvalue()


def _fields(cell: Cell, metric: str) -> list:
    figure, result = cell.figure(metric), cell.result
    named = ["", ""] if result is None else [result.attack, "+".join(result.release)]
    counts = ["", ""] if result is None else [result.n_members, result.n_non_members]
    if figure is None:
        return [*named, metric, "", "", "", "", *counts, cell.text(metric)]
    if not figure.measurable:
        return [*named, metric, "", "", "", figure.level, *counts, figure.method]
    values = [repr(float(value)) for value in (figure.value, figure.low, figure.high)]
    return [*named, metric, *values, figure.level, *counts, "ok"]


def latex(rows: list[Line]) -> str:
    """A `tabular` for each metric, intervals as subscripts."""
    parts = []
    for title, metric in METRICS.items():
        body = []
        for row in rows:
            cells = [_latex_cell(cell, metric) for cell in row.cells]
            names = [_escaped(name) for name in (row.data, row.model, row.version)]
            body.append(" & ".join([*names, *cells]) + r" \\")
        head = " & ".join(["data", "model", "version", *map(_escaped, COLUMNS)]) + r" \\"
        begin = rf"\begin{{tabular}}{{lll{'r' * len(COLUMNS)}}}"
        inner = "\n".join([r"\hline", head, r"\hline", *body, r"\hline"])
        parts.append(f"% {title}\n{begin}\n{inner}\n\\end{{tabular}}")
    return "\n\n".join(parts) + "\n"


def _latex_cell(cell: Cell, metric: str) -> str:
    figure = cell.figure(metric)
    if figure is None or not figure.measurable:
        return _escaped(cell.text(metric))
    return f"${figure.value:.3f}_{{[{figure.low:.3f},{figure.high:.3f}]}}$"


def _escaped(text: str) -> str:
    for character in "_%&#":
        text = text.replace(character, f"\\{character}")
    return text


def load(study: str, data_dir: str | None = None) -> Report:
    """The report of a workdir; of a flagfile, after running what of it is not done yet."""
    if Path(study).is_dir():
        return Report.load(study)
    from tf_compleak.cli import main as cli

    values = cli._parse("run", [f"--flagfile={study}"])
    more = [f"--data_dir={data_dir}"] if data_dir else []
    if code := cli.main(["run", f"--flagfile={study}", *more]):
        raise SystemExit(code)
    return Report.load(values.workdir)


def main(arguments):
    """Load or run the studies, print the tables, write them where asked."""
    if len(arguments) < 2:
        raise app.UsageError("name at least one workdir or flagfile.")
    reports = [load(study, FLAGS.data_dir) for study in arguments[1:]]
    rows = [line for report in reports for line in lines(report, tuple(FLAGS.attacks))]
    text = markdown(rows, notes(reports))
    print(text)
    if FLAGS.write:
        folder = Path(FLAGS.write)
        folder.mkdir(parents=True, exist_ok=True)
        files = {"table.md": text, "table.csv": table_csv(rows), "table.tex": latex(rows)}
        for name, content in files.items():
            (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
