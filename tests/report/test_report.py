"""What a report says: in one sentence, on the terminal, as figures, as a page."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sample_report import COMMAND, FAILED, REASON, full, sample, without_script

from tf_compleak.report import figures, html, terminal_report, wording
from tf_compleak.report.report import Report
from tf_compleak.types import Estimate, Failure, Version
from tf_compleak.types.findings import Sanity

ROOT = Path(__file__).parents[2]
HOSTILE = "<script>alert('$x_1$')</script>&\x1b[31m[red]"


@pytest.fixture(scope="module")
def report() -> Report:
    return sample()


@pytest.fixture(scope="module")
def page(report) -> str:
    return html.render(report)


def printed(report: Report, width: int = 160) -> str:
    console = Console(width=width, file=io.StringIO())
    terminal_report.print_report(report, console)
    return console.file.getvalue()


def estimate(value, low, high, level=0.95):
    return Estimate(value, low, high, level, "planted", 4000)


def with_rows(report, change):
    rows = [change(row) for row in report.results]
    return dataclasses.replace(report, results=tuple(row for row in rows if row))


def as_numbers(value):
    """JSON with the tuples and keys that a round trip changes made alike; NaN is None already."""
    return json.loads(json.dumps(value, sort_keys=True))


def test_sample_is_realistic(report):
    assert len(report.versions) == 12 and len(report.results) == 66
    assert any(not tpr.measurable for row in report.results for tpr in row.tpr_at_fpr.values())


def test_json_round_trip(report):
    back = Report.from_json(json.loads(json.dumps(report.to_json())))
    assert as_numbers(back.to_json()) == as_numbers(report.to_json())
    np.testing.assert_equal(
        [dataclasses.astuple(row.auc) for row in back.results],
        [dataclasses.astuple(row.auc) for row in report.results],
    )
    kept = [[version.left_alone for version in each.versions] for each in (back, report)]
    assert kept[0] == kept[1] and any(kept[0])
    assert html.render(back) == html.render(report)
    assert terminal_report.verdict(back) == terminal_report.verdict(report)


def test_what_is_not_known_is_no_number_anywhere():
    assert any(np.isnan(subset.least_accuracy) for subset in full().marginal.within)
    for shown in (without_script(html.render(full())), printed(full())):
        assert "n/a" in shown and not re.search(r"\bnan\b", shown, re.IGNORECASE)


class TestVerdict:
    def test_gain(self, report):
        words = terminal_report.verdict(report)
        assert words.startswith("The released versions leak") and "further versions add to" in words
        for tier in ("NR", "SR", "MR"):
            best = report.best(tier)
            assert str(best.auc) in words and best.attack in words
        assert wording.signed(report.best("MR").gain_any.auc) in words
        assert "2,000 members and 2,000 non-members" in words and "95%" in words
        assert words.count(". ") == 0 and words.endswith(".")

    def test_no_gain(self):
        words = terminal_report.verdict(sample(gain=0.0))
        assert "leak who was" in words and "no measurable gain from further versions" in words
        assert "no measurable gain over nasr-mlp on pruning-0.60 alone (+" in words

    def test_no_leak(self):
        assert terminal_report.verdict(sample(leak=0.0)).startswith(
            "No leakage that could be told from gues"
        )

    def test_only_one_version(self, report):
        single = with_rows(report, lambda row: row if row.tier == "NR" else None)
        words = terminal_report.verdict(single)
        assert "one version" in words and "gain" not in words and "further" not in words
        assert "MR" not in printed(single)
        assert "What further versions add" not in html.render(single)

    def test_only_several_versions(self, report):
        several = with_rows(
            report,
            lambda row: (
                dataclasses.replace(row, auc_gain=None, gain_over=None, gain_any=None)
                if row.tier == "MR"
                else None
            ),
        )
        assert "with several versions (mr on all 11 versions)" in terminal_report.verdict(several)
        assert html.render(several)

    def test_no_rows(self, report):
        empty = with_rows(report, lambda row: None)
        assert terminal_report.verdict(empty).startswith("No attack was measured")
        assert printed(empty) and html.render(empty)

    def test_failed_sanity_comes_first(self, report):
        bad = Sanity(estimate(0.5, 0.4, 0.6), estimate(0.7, 0.65, 0.75))
        void = dataclasses.replace(report, sanity=bad)
        assert terminal_report.verdict(void).startswith("VOID. Blind baseline failed")
        assert "not to be relied on" in terminal_report.verdict(void)
        assert printed(void).startswith("VOID. Blind baseline failed")
        assert 'role="alert"' in html.render(void) and 'role="alert"' not in html.render(report)

    def test_the_best_of_many_rows_must_hold_after_the_choice(self, report):
        near = with_rows(
            report, lambda row: dataclasses.replace(row, auc=estimate(0.51, 0.505, 0.515))
        )
        clear = with_rows(
            report, lambda row: dataclasses.replace(row, auc=estimate(0.52, 0.515, 0.525))
        )
        unclear = with_rows(
            report, lambda row: dataclasses.replace(row, auc=estimate(0.51, 0.501, 0.519))
        )
        assert terminal_report.verdict(near).startswith("The released versions leak")
        assert terminal_report.verdict(clear).startswith("The released versions leak")
        assert terminal_report.verdict(unclear).startswith("There are signs")

    @pytest.mark.parametrize(
        ("low", "high", "choices", "expected"),
        [
            (-0.01, 0.03, 1, "none"),
            (0.001, 0.019, 1, "above"),
            (0.001, 0.019, 20, "unclear"),
            (0.009, 0.011, 20, "above"),
            (-0.02, -0.01, 1, "below"),
        ],
    )
    def test_standing(self, low, high, choices, expected):
        assert wording.standing(estimate((low + high) / 2, low, high), 0, choices) == expected


class TestText:
    @pytest.mark.parametrize("width", [80, 100, 160])
    def test_fits(self, report, width):
        # The command is one line to copy, whatever its length.
        lines = [line for line in printed(report, width).splitlines() if COMMAND not in line]
        assert max(map(len, lines)) <= width
        assert "…" not in "".join(lines)

    def test_long_reports_are_cut_and_say_so(self, report):
        assert "all 66 rows are in report.json" in printed(report)
        short = dataclasses.replace(report, results=report.results[:8])
        assert "rows are in" not in printed(short)
        assert sum("modified-entropy" in line for line in printed(short).splitlines()) == 2

    def test_says_what_failed_and_how_to_repeat(self, report):
        shown = printed(report, width=220)
        for expected in (FAILED, REASON, COMMAND, "/tmp/digits/report.html", "seed 7"):
            assert expected in shown

    def test_hostile_text_is_only_text(self, report):
        assert "\x1b" not in printed(hostile(report)) and "[red]" in printed(hostile(report))

    def test_loads_no_plotting_library(self):
        import_it = "import sys, tf_compleak.report.terminal_report as t"
        code = f"{import_it}; assert 'matplotlib' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("show", [html.render, printed, terminal_report.verdict])
def test_figures_come_from_the_report(report, show):
    def change(row):
        changed = {"auc": estimate(0.8765, 0.8654, 0.8876)}
        if row.gain_any:
            gain = estimate(0.1234, 0.1123, 0.1345)
            changed["gain_any"] = dataclasses.replace(row.gain_any, auc=gain)
        return dataclasses.replace(row, **changed)

    before, after = show(report), show(with_rows(report, change))
    for figure in ("0.876 [0.865, 0.888]", "+0.123 [+0.112, +0.135]"):
        assert figure not in before and figure in after
    assert str(report.best("MR").auc) not in after


def test_every_row_is_in_the_page(report, page):
    for row in report.results:
        for each in (row.auc, row.accuracy, *row.tpr_at_fpr.values()):
            assert f">{each}<" in page
        for _, _, gain in wording.comparisons([row]):
            for figure in (gain.auc, *gain.tpr_at_fpr.values()):
                assert f">{wording.signed(figure)}<" in page
    assert len(
        re.findall(r'<tr id="row-[0-9]+"( class="best")? data-v="[0-9 ]+" data-a=', page)
    ) == len(report.results)


def test_page_shows_versions_failures_and_repeat(report, page):
    for version in report.versions:
        assert version.name in page and str(version.member_accuracy) in page
    for expected in (REASON, COMMAND, "--num_shadows=4", "scikit-learn 1.8.0", "steps of 1/256"):
        assert expected in page


def test_unmeasurable_is_not_a_number(report, page):
    for shown in (page, printed(report)):
        assert "n/a" in shown and "needs 10,000 non-members, has 2,000" in shown
        assert not re.search(r"\bnan\b", shown)


def hostile(report: Report) -> Report:
    """The report with a hostile text wherever a text can be."""
    rename = {"original": HOSTILE, "int8-qat": HOSTILE + "2"}
    versions = tuple(
        Version(rename.get(v.name, v.name), HOSTILE, HOSTILE, notes=(HOSTILE,))
        for v in report.versions
    )
    changed = with_rows(
        report,
        lambda row: dataclasses.replace(
            row,
            attack=HOSTILE,
            release=tuple(rename.get(name, name) for name in row.release),
            accuracy=dataclasses.replace(row.accuracy, method=HOSTILE),
        ),
    )
    facts = ("created", "command", "flags", "seed", "workdir", "python", "platform", "num_shadows")
    return dataclasses.replace(
        changed,
        versions=versions,
        failures=(Failure(HOSTILE, HOSTILE),),
        study={"dataset": HOSTILE, "model": HOSTILE},
        provenance={**dict.fromkeys(facts, HOSTILE), "libraries": {HOSTILE: HOSTILE}},
    )


def test_page_escapes_every_text(report):
    page = without_script(html.render(hostile(report)))
    assert "<script" not in page and "&lt;script&gt;" in page


@pytest.mark.parametrize("make", [sample, lambda: sample(gain=0.0), lambda: hostile(sample())])
def test_page_fetches_nothing(make):
    page = without_script(html.render(make()))
    names = r' xmlns(:xlink)?="http://www\.w3\.org/[0-9a-z/]+"'
    assert "://" not in re.sub(names, "", page)
    assert not re.search(r"\bsrc=|@import|<link|<script", page)
    assert "$" not in re.sub(r"\$x_1\$", "", page)


def test_page_has_no_id_twice_and_is_deterministic(report, page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#|labelledby=")([^")]+)', page)) <= set(ids)
    assert html.render(report) == page


def test_provenance_may_be_empty(report):
    bare = dataclasses.replace(report, provenance={}, study={}, failures=())
    assert "not recorded" in html.render(bare) and printed(bare)


def test_roc_is_steps_on_log_axes(report):
    axes = figures.roc_figure(report).axes[0]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_xlim()[0] == pytest.approx(1 / 2000)
    *curves, diagonal = axes.lines
    assert len(curves) == 5 and {line.get_drawstyle() for line in curves} == {"steps-post"}
    assert diagonal.get_linestyle() == "--"
    assert str(report.best("MR").auc) in [line.get_label() for line in curves][3]


def test_leakage_figure_shows_each_release_once(report):
    axes = figures.leakage_figure(report).axes[0]
    best = wording.best_per_release(report)
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(ends, [row.auc.value for row in best])
    intervals = [line.get_xdata() for line in axes.lines if line.get_marker() == "|"]
    np.testing.assert_allclose(intervals, [(row.auc.low, row.auc.high) for row in best])
    assert len(axes.get_yticklabels()) == len({row.release for row in report.results}) == 23


class TestInNotebooks:
    def test_shows_verdict_and_each_releases_best_row(self, report):
        shown = report._repr_html_()
        assert wording.finding(report).split(":")[0] in shown
        for row in wording.best_per_release(report):
            assert f">{row.auc}<" in shown
        assert "<html" not in shown and shown.count("<svg") == 2

    def test_styles_nothing_beside_it(self, report):
        style = re.search(r"<style>(.*?)</style>", report._repr_html_(), re.DOTALL)[1]
        for rule in re.findall(r"([^{}]+)\{", style):
            assert all(each.strip().startswith(".tf-compleak") for each in rule.split(","))

    def test_says_that_a_report_is_void_and_escapes_every_text(self, report):
        broken = dataclasses.replace(report.sanity, null_auc=estimate(0.7, 0.6, 0.8))
        assert "VOID" in dataclasses.replace(report, sanity=broken)._repr_html_()
        assert "<script" not in hostile(report)._repr_html_()
