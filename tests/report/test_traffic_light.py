"""A traffic light stands where a budget was set, and goes by that alone."""

import dataclasses

import pytest
from sample_report import full, sample

from tf_compleak.report import html, traffic_light
from tf_compleak.types import Estimate
from tf_compleak.types.findings import Exposed


@pytest.fixture(scope="module")
def report():
    return dataclasses.replace(sample(), failures=())


def lit(report, fail_if):
    return traffic_light.light(report, traffic_light.conditions(report, fail_if))


def test_no_budget_no_light(report):
    assert lit(report, "") is None and lit(report, None) is None
    page = html.render(report)
    assert 'class="light' not in page and "No budget was set" in page


def test_the_condition_decides_and_its_figure_stands_beside(report):
    red, green = lit(report, "auc>0.6"), lit(report, "auc>0.99")
    assert (red.colour, green.colour) == ("red", "green")
    assert "auc = " in red.reasons[0] and "> 0.6" in red.reasons[0]
    assert 'class="light red"' in html.render(report, "auc>0.6")
    assert "No budget was set" not in html.render(report, "auc>0.6")


def test_what_failed_or_is_not_measured_is_never_green(report):
    assert lit(sample(), "auc>0.99").colour == "red"  # a version failed
    assert lit(report, "tpr@0.05>0.5").colour == "red"  # no such figure
    assert lit(report, "tpr@0.001>0.5").colour == "red"  # not measurable
    noise = Estimate(0.7, 0.6, 0.8, 0.95, "planted", 10)
    void = dataclasses.replace(report, sanity=dataclasses.replace(report.sanity, blind_auc=noise))
    assert "void" in lit(void, "auc>0.99").words and lit(void, "auc>0.99").colour == "red"


@pytest.mark.parametrize(("flag", "colour"), [("auc>0.6", "red"), ("auc>0.99", "green")])
def test_flags_of_the_report_hold_the_budget(report, flag, colour):
    flags = {"flags": f"--seed=1\n--fail_if={flag}\n--workdir=x\n"}
    planted = dataclasses.replace(report, provenance=flags)
    assert lit(planted, None).colour == colour
    assert lit(planted, "") is None


def test_a_flag_that_cannot_be_read_is_no_budget(report):
    planted = dataclasses.replace(report, provenance={"flags": "--fail_if=<script>"})
    assert lit(planted, None) is None


@pytest.mark.parametrize(
    ("names", "colour"), [(("original", "pruning-0.60"), "green"), (("original",), "amber")]
)
def test_subset_budget(names, colour):
    report = full()
    within = (dataclasses.replace(report.marginal.within[0], release=names),)
    planted = dataclasses.replace(
        report, marginal=dataclasses.replace(report.marginal, within=within)
    )
    assert lit(planted, "").colour == colour
    none = dataclasses.replace(report, marginal=dataclasses.replace(report.marginal, within=()))
    assert lit(none, "").colour == "red" and "auc<=1" in lit(none, "").reasons[0]


def test_exposures_are_judged_one_by_one(report):
    def low(row):
        return dataclasses.replace(row, auc=Estimate(0.51, 0.49, 0.53, 0.95, "planted", 10))

    exposed = (
        Exposed("full", report.results),
        Exposed("label", tuple(map(low, report.results))),
    )
    several = dataclasses.replace(report, exposed=exposed)
    budget = traffic_light.conditions(report, "auc>0.6")
    assert [part.exposure for part in traffic_light.meeting(several, budget)] == ["label"]
    assert traffic_light.meeting(several, ()) == []
    adds = dataclasses.replace(full().marginal, budget="auc<=0.52")
    strict = dataclasses.replace(several, marginal=adds)
    assert traffic_light.meeting(strict, ()) == []  # the upper end, 0.53, is not within
    wide = dataclasses.replace(several, marginal=dataclasses.replace(adds, budget="auc<=0.54"))
    assert [part.exposure for part in traffic_light.meeting(wide, ())] == ["label"]
