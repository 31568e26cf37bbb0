"""The gate: exit or not, in words, JSON and JUnit."""

import dataclasses
import json
import xml.etree.ElementTree as ET

import planted
import pytest

import tf_compleak
from tf_compleak.report import gate
from tf_compleak.types import Estimate


@pytest.fixture(scope="module")
def report():
    target, shadow = planted.family(0, 2.0, n=400), planted.family(1, 2.0, n=400)
    return tf_compleak.run_attacks(target, [shadow], ["loss", "sr2-lr"])


def judged(report, text):
    return gate.judge(report, gate.parse(text))


def test_any_row_that_meets_a_condition_fails(report):
    best = max(row.auc.value for row in report.results)
    assert judged(report, f"auc>{best - 1e-6}").failed
    passed = judged(report, f"auc>{best + 1e-6}")
    assert not passed.failed and passed.line().startswith("passed: auc = ")
    high = max(row.auc.high for row in report.results)
    assert judged(report, f"upper:auc>={high}").failed
    assert not judged(report, f"upper:auc>{high}").failed
    assert judged(report, "auc>0.99,accuracy>0.5").failed
    assert judged(report, f"epsilon>={max(row.epsilon.low for row in report.results)}").failed
    verdict = judged(report, "advantage>0.01")
    assert "on " in verdict.line() and "\n" not in verdict.line()


def test_what_is_not_measurable_fails_with_the_reason(report):
    verdict = judged(report, "tpr@0.001>0.5")
    assert verdict.failed and "needs 10,000 non-members, has 200" in verdict.line()
    with pytest.raises(ValueError, match=r"no tpr@0.05; it has tpr@0.1, tpr@0.01"):
        judged(report, "tpr@0.05>0.5")
    with pytest.raises(ValueError, match="holds no condition"):
        gate.parse(" , ")


def test_a_void_report_fails_whatever_its_figures(report):
    bad = Estimate(0.7, 0.65, 0.75, 0.99, "x", 400)
    void = dataclasses.replace(report, sanity=dataclasses.replace(report.sanity, null_auc=bad))
    verdict = judged(void, "auc>0.999")
    assert verdict.failed and "Null run failed" in verdict.line()
    cases = ET.fromstring(gate.junit(verdict)).findall("testcase")
    assert [case.find("failure") is not None for case in cases] == [True, False]


def test_files_for_machines(report, tmp_path):
    odd = report.results[0].release[0]
    name = 'a<b>&"c\x1b'
    rows = tuple(
        dataclasses.replace(row, release=tuple(name if v == odd else v for v in row.release))
        for row in report.results
    )
    verdict = judged(dataclasses.replace(report, results=rows), "auc>0.1,tpr@0.1>1")
    gate.write(verdict, tmp_path)
    suite = ET.parse(tmp_path / "verdict.xml").getroot()
    assert suite.get("tests") == "3" and suite.get("failures") == "1"
    assert [case.get("name") for case in suite] == ["the report is sound", "auc>0.1", "tpr@0.1>1"]
    saved = json.loads((tmp_path / "verdict.json").read_text())
    assert saved["passed"] is False and [c["passed"] for c in saved["conditions"]] == [False, True]
    assert saved["conditions"][0]["figure"]["n"] == 400
