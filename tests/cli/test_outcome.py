"""What a study ends with in CI: summary, errors at files, no commands of others, exit codes."""

import dataclasses
import json
import re

import pytest
from sample_report import renamed, sample

from tf_compleak.cli import main as cli
from tf_compleak.cli import outcome


@pytest.fixture(scope="module")
def report():
    return dataclasses.replace(sample(), failures=())


@pytest.fixture
def job(monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("of a step before\n")
    return tmp_path


def test_a_failed_gate_is_told_to_a_job(report, job, capsys):
    assert outcome.show(report, str(job / "w"), "auc>0.5") == 3
    out, err = capsys.readouterr()
    errors = [line for line in out.splitlines() if line.startswith("::error file=")]
    assert len(errors) == 1 and "FAILED: auc" in err
    summary = (job / "summary.md").read_text()
    assert summary.startswith("of a step before\n## Privacy") and "**FAILED**: auc" in summary
    results = json.loads((job / "w" / "verdict.sarif").read_text())["runs"][0]["results"]
    assert len(results) == 1
    assert {p.name for p in (job / "w").iterdir()} == {
        "report.html",
        "verdict.json",
        "verdict.sarif",
        "verdict.xml",
    }


def test_names_cannot_be_workflow_commands(report, job, capsys):
    outcome.show(renamed(report, "int8-ptq", "::set-env name=A::b"), str(job / "w"), "auc>0.5")
    out = capsys.readouterr().out
    (token,) = re.findall(r"^::stop-commands::(\w{32})$", out, re.MULTILINE)
    shown, told = re.split(rf"^::{token}::$", out, flags=re.MULTILINE)
    assert "set-env" in shown
    told = [line for line in told.splitlines() if line.lstrip().startswith("::")]
    assert told and all(line.startswith("::error file=") for line in told)


def test_outside_of_a_job_nothing_is_told(report, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert outcome.show(report, str(tmp_path), "auc>0.999") == 0
    assert not re.search(r"^\s*::", capsys.readouterr().out, re.MULTILINE)
    assert outcome.show(report, str(tmp_path), "") == (4 if report.sanity.warnings() else 0)


def test_a_summary_that_cannot_be_written_changes_no_exit_code(report, job, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(job))
    assert outcome.show(report, str(job / "w"), "auc>0.999") == 0
    assert "Is a directory; no summary." in capsys.readouterr().err


def test_a_card_is_renewed_and_a_broken_one_is_refused_before_a_study(report, tmp_path, capsys):
    card = tmp_path / "README.md"
    outcome.show(report, str(tmp_path / "w"), "", str(card))
    assert "Privacy: membership inference" in card.read_text()
    card.write_text("<!-- begin tf-compleak -->\n")
    capsys.readouterr()
    assert cli.main(["run", f"--workdir={tmp_path}/new", f"--card={card}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tf-compleak: --card={card}: needs ")
    assert not (tmp_path / "new").exists()
