"""What a page advises is computed from its rows, and where nothing was, names the flag."""

import dataclasses

import pytest
from sample_report import full, sample, two_rows

from tf_compleak.report import advice, glossary, html, traffic_light, wording
from tf_compleak.types import Estimate
from tf_compleak.types.findings import Exposed


@pytest.fixture(scope="module")
def report():
    return sample()


def difference(value, half):
    return Estimate(value, value - half, value + half, 0.95, "planted", 4000)


def with_differences(report, figures):
    def change(row):
        if row.to_original is None:
            return row
        auc = figures.get(row.release[0], difference(0.0, 0.01))
        return dataclasses.replace(row, to_original=dataclasses.replace(row.to_original, auc=auc))

    return dataclasses.replace(report, results=tuple(map(change, report.results)))


def test_versions_that_leak_more_than_the_original(report):
    figures = {"int8-ptq": difference(0.05, 0.01), "pruning-0.60": difference(-0.04, 0.01)}
    figures["int8-qat"] = difference(0.011, 0.01)  # not after the choice among all versions
    step = advice.steps(with_differences(report, figures), ())[0]
    assert step.lines == (
        "int8-ptq leaks more than the original: +0.050 [+0.040, +0.060] AUC.",
        "pruning-0.60 leaks less than the original: -0.040 [-0.050, -0.030] AUC.",
    )


def test_none_leaks_more(report):
    step = advice.steps(with_differences(report, {}), ())[0]
    assert step.lines[0].startswith("None clearly does (10 versions compared")


def test_what_was_not_computed_names_its_flag(report):
    _, release, exposure = advice.steps(report, ())
    assert not release.computed and "--subset_budget" in release.lines[0]
    assert not exposure.computed and "--exposure=full,label" in exposure.lines[0]


def test_the_largest_release_within_the_budget():
    report = full()
    step = advice.steps(report, ())[1]
    assert step.computed and step.title.endswith("auc<=1")
    assert str(report.marginal.within[0].figure) in step.lines[0]


def test_exposures_that_meet_the_budget_come_first(report):
    low = tuple(dataclasses.replace(row, auc=difference(0.51, 0.02)) for row in report.results[:4])
    exposed = (Exposed("full", report.results), Exposed("round:2", low))
    several = dataclasses.replace(report, exposed=exposed)
    budget = traffic_light.conditions(report, "auc>0.6")
    lines = advice.steps(several, budget)[2].lines
    assert lines[0].startswith("round:2 (") and "meets the budget: NR AUC 0.510" in lines[0]
    assert lines[1].startswith("full: NR AUC")
    strict = traffic_light.conditions(report, "auc>0.5")
    assert advice.steps(several, strict)[2].lines[0].startswith("None of the 2 exposures")
    assert not any("budget" in line for line in advice.steps(several, ())[2].lines)


def test_plain_words_are_the_rows_own_figures(report):
    row = report.leading("NR")
    tpr = row.tpr_at_fpr[0.01]
    words = advice.in_plain_words(row)
    assert f"names {1000 * tpr.value:,.0f} ({1000 * tpr.low:,.0f} to" in words
    assert "with 10 false alarms among 1,000 others" in words
    few = Estimate.unmeasurable("needs more", 5)
    bare = dataclasses.replace(row, tpr_at_fpr={0.01: few})
    assert advice.in_plain_words(bare) == ""
    coarse = dataclasses.replace(row, tpr_at_fpr={0.01: few, 0.1: row.tpr_at_fpr[0.1]})
    assert "with 100 false alarms" in advice.in_plain_words(coarse)


def test_no_tile_says_that_something_is_not_available(report):
    assert any(not tpr.measurable for row in report.results for tpr in row.tpr_at_fpr.values())
    for tile in html.best_tiles(report):
        assert not any("n/a" in text for text in (tile.figure, tile.words, *tile.lines))
    assert "2,000 non-members: rates below 0.5% cannot be measured." in html.render(report)


def test_what_was_not_tested(report):
    lines = " ".join(advice.not_tested(report))
    assert "pruning-0.90" in lines and "--exposure" in lines and "--shadow_counts" in lines
    whole = dataclasses.replace(full(), failures=())
    assert "--exposure" not in " ".join(advice.not_tested(whole))
    empty = dataclasses.replace(report, results=(), failures=())
    assert advice.not_tested(empty) == []


def test_the_most_exposed_are_the_members_first_in_agreement():
    report = two_rows()
    page = html.render(report)
    assert "The 10 most exposed examples" in page
    block = page.split('id="most-exposed"')[1].split("</details>")[0]
    assert block.count('<th scope="row">') == 10
    assert "most exposed examples" not in html.render(sample())


def test_every_attack_is_explained():
    from tf_compleak.attacks import ATTACKS

    assert set(ATTACKS) <= set(glossary.ATTACKS)
    assert all(
        text.endswith((".", "?")) for text in {**glossary.TERMS, **glossary.ATTACKS}.values()
    )
    page = html.render(sample())
    for attack in {row.attack for row in sample().results}:
        assert f'id="attack-{attack}"' in page
    assert wording.TIER_NAMES["NR"] in page and 'href="#word-auc"' in page
