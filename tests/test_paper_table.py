"""benchmarks/paper_table.py: what stands in every cell, on reports built by hand and on runs."""

import csv
import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import pytest

from tf_compleak.report.report import Report
from tf_compleak.types import Failure

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(Path(__file__).parent / "report")]

import paper_table  # noqa: E402
import sample_report  # noqa: E402


def cells(report, version, attacks=()):
    (line,) = [each for each in paper_table.lines(report, attacks) if each.version == version]
    return {cell.column: cell for cell in line.cells}


def test_every_cell_is_the_row_of_the_report_that_it_says():
    report = sample_report.sample()
    rows = {(row.attack, row.release): row for row in report.results}
    for version in ("pruning-0.60", "int8-ptq"):
        found = cells(report, version)
        assert found["entropy"].result is rows["entropy", (version,)]
        nasr = [rows[f"nasr-{kind}", (version,)] for kind in ("lr", "mlp")]
        assert found["Nasr"].result is max(nasr, key=lambda row: row.auc.value)
        assert found["SR"].result.release == ("original", version)
        assert found["MR with"].result.release[0] == "original"
        assert "original" not in found["MR without"].result.release
        assert len(found["MR with"].result.release) == 11
        assert found["Shokri"].text("auc") == "not run"
        assert found["entropy"].text("auc") == str(rows["entropy", (version,)].auc)
        assert found["entropy"].text("tpr") == "not measurable"
    assert cells(report, "original")["SR"].text("auc") == "-"
    assert cells(report, "int8-ptq", ("nasr-lr",))["Nasr"].result.attack == "nasr-lr"
    assert cells(report, "int8-ptq", ("nasr-lr",))["entropy"].text("auc") == "not run"


def test_failures_are_said():
    report = sample_report.sample()
    failure = Failure("samia", "not applicable: token ids")
    report = dataclasses.replace(report, failures=(*report.failures, failure))
    assert {cell.text("auc") for cell in cells(report, sample_report.FAILED).values()} == {
        "version failed"
    }
    assert cells(report, "int8-ptq")["SAMIA"].text("auc") == "attack failed"
    text = paper_table.markdown(paper_table.lines(report), paper_table.notes([report]))
    assert "not applicable: token ids" in text and sample_report.REASON in text
    assert "not measurable" in text and "needs" in text


@pytest.mark.slow
def test_the_three_forms_hold_the_same_figures():
    report = sample_report.sample(n=12_000)
    rows = paper_table.lines(report)
    table = list(csv.DictReader(io.StringIO(paper_table.table_csv(rows))))
    assert len(table) == len(report.versions) * len(paper_table.COLUMNS) * 3
    text, tex = paper_table.markdown(rows, []), paper_table.latex(rows)
    shown = [each for each in table if each["status"] == "ok"]
    assert {each["metric"] for each in shown} == {"accuracy", "auc", "tpr"}
    for each in shown:
        figure = f"{float(each['value']):.3f} [{float(each['low']):.3f}, {float(each['high']):.3f}]"
        assert figure in text
        value, low, high = (f"{float(each[key]):.3f}" for key in ("value", "low", "high"))
        assert f"${value}_{{[{low},{high}]}}$" in tex
    assert tex.count(r"\begin{tabular}") == 3 == tex.count(r"\end{tabular}")


FLAGS = """--num_members=40
--num_non_members=40
--num_validation=60
--num_population=20
--model=dense
--depth=2
--width=8
--epochs=2
--finetune_epochs=1
--max_accuracy_drop=1
--executor=inline
--versions=original,int8-ptq,dynamic-ptq
--attacks=entropy,shokri-lr,sr1-lr,mr
"""


@pytest.mark.slow
def test_flagfiles_are_run_and_workdirs_read(tmp_path):
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    np.savez(tmp_path / "digits.npz", x=np.float32(digits.data / 16), y=digits.target)
    studies = []
    for seed in (0, 1):
        path = tmp_path / f"study{seed}.cfg"
        more = f"--dataset=npz:{tmp_path}/digits.npz\n--seed={seed}\n--workdir={tmp_path}/w{seed}\n"
        path.write_text(FLAGS + more)
        studies.append(str(path))
    script = [sys.executable, str(ROOT / "benchmarks" / "paper_table.py")]
    done = subprocess.run(
        [*script, *studies, f"--write={tmp_path}/out"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out" / "table.md").read_text()
    assert text.count("| digits | dense | int8-ptq |") == 6
    again = subprocess.run(
        [*script, f"{tmp_path}/w0", f"{tmp_path}/w1"], capture_output=True, text=True
    )
    assert again.returncode == 0 and again.stdout.strip() == text.strip()
    report = Report.load(tmp_path / "w0")
    assert str(report.results[0].auc) in text
