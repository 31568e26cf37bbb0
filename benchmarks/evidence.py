"""Do further versions add leakage, over many data sets and architectures?

    python benchmarks/evidence.py WORKDIR... [--to=docs] [--flagfiles=flags/small]

Reads finished studies (workdirs of `tf-compleak run`) and writes evidence.md and evidence.svg:
what each tier leaks, what further versions add with a pooled effect, and which statements of
CompLeak (Li et al., USENIX Security 2026) are seen, those that are not first. `--flagfiles` names
the folder of studies that should be there; those without a workdir are listed as still to be run.

All figures are of one attack (`--attack`), by default of all attacks as one. Nothing is chosen by
the target's figures: the compressed version and the pair (SR) are those with the highest AUC on the
shadows' own examples, MR is all versions together.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import evidence_figures as figures
import evidence_page as page
import studies
from absl import app, flags

from tf_compleak.report.report import Report

FLAGS = flags.FLAGS


def declare_flags() -> None:
    """The flags of this script, which nobody who imports it has."""
    flags.DEFINE_string("to", "docs", "folder for evidence.md and evidence.svg")
    flags.DEFINE_string("attack", "strongest", "the attack whose figures are shown")
    flags.DEFINE_string("flagfiles", str(studies.FLAGS / "small"), "folder of the studies expected")


def planned(folder: Path) -> dict[str, dict]:
    """The settings that every flagfile of a folder gives, by its name, as reports hold them."""
    from tf_compleak.cli import main as cli
    from tf_compleak.studies.study import Study

    found = {}
    for file in sorted(folder.glob("*.cfg")):
        lines = file.read_text(encoding="utf-8").splitlines()
        given = {line[2:].partition("=")[0] for line in lines if line.startswith("--")}
        values = cli._parse("run", [f"--flagfile={file}"])
        settings = Study(**cli._settings(Study, values)).to_json()
        given -= {"workdir", "seed"}  # seeds are lines of one study
        found[file.stem] = {name: settings[name] for name in given if name in settings}
    return found


def flagfile_of(report: Report, plans: dict[str, dict]) -> str:
    """The name of the flagfile that a study was made by, "" where none is as it stands."""
    data, model = studies.data_name(report.study["dataset"]), report.study.get("model", "")
    for name, settings in plans.items():
        named = "dataset" in settings or data.startswith(name.removesuffix(f"_{model}"))
        if named and all(report.study.get(key) == value for key, value in settings.items()):
            return name
    return ""


def main(arguments: Sequence[str]) -> None:
    """Read the studies, write the page and its figure."""
    if len(arguments) < 2:
        raise app.UsageError("name at least one workdir of a finished study.")
    try:
        plans = planned(Path(FLAGS.flagfiles))
        lines = []
        for workdir in arguments[1:]:
            report = Report.load(workdir)
            line = figures.line(report, FLAGS.attack)
            lines.append(dataclasses.replace(line, flagfile=flagfile_of(report, plans)))
        evidence = figures.evidence(lines)
    except (ValueError, OSError) as error:
        app.usage(shorthelp=True, detailed_error=str(error), exitcode=2)
    missing = sorted(set(plans) - {line.flagfile for line in lines})
    folder = Path(FLAGS.to)
    folder.mkdir(parents=True, exist_ok=True)
    text = page.markdown(evidence, missing, FLAGS.attack)
    (folder / "evidence.md").write_text(text, encoding="utf-8")
    (folder / "evidence.svg").write_text(page.forest(evidence), encoding="utf-8")
    print(f"{folder / 'evidence.md'}: {len(evidence.pairs)} pairs of data and architecture")


if __name__ == "__main__":
    declare_flags()
    app.run(main)
