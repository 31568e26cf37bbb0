"""Pictures of the versions: who is on the front, and what the points stand for."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from sample_report import full, sample

from tf_compleak.report import figures, svg, version_figures
from tf_compleak.report.marks import PREFIX, Mark
from tf_compleak.report.version_figures import Point
from tf_compleak.types import ORIGINAL, Estimate


def point(leakage: float, cost: float) -> Point:
    estimate = Estimate(leakage, leakage - 0.01, leakage + 0.01, 0.95, "planted", 100)
    return Point(estimate, cost, "", Mark())


def beaten(one: Point, by: Point, sign: int) -> bool:
    no_worse = by.leakage.value <= one.leakage.value and sign * by.cost <= sign * one.cost
    return no_worse and (by.leakage.value, by.cost) != (one.leakage.value, one.cost)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_front_is_what_none_beats(sign):
    values = np.random.default_rng(0).integers(0, 12, (60, 2)) / 10
    pairs = dict.fromkeys(map(tuple, values[values.sum(axis=1) >= 1]))  # no one is best in both
    points = [point(leakage, sign * cost) for leakage, cost in pairs]
    expected = [p for p in points if not any(beaten(p, other, sign) for other in points)]
    front = version_figures.front([*points, point(-1.0, math.nan)], sign)
    assert {id(p) for p in front} == {id(p) for p in expected} and 1 < len(front) < len(points)
    assert [sign * p.cost for p in front] == sorted(sign * p.cost for p in front)


def marked(axes):
    """The lines of axes that stand for something, by what they say."""
    lines = [line for line in axes.lines if (line.get_gid() or "").startswith(PREFIX)]
    return {Mark.from_gid(line.get_gid()).text: line for line in lines}


def test_every_version_is_shown_with_what_it_costs_and_its_difference():
    report = sample()
    differences, accuracy, size, unused = version_figures.versions_figure(report).axes
    rows = {row.release[0]: row for row in version_figures.singles(report)}
    versions = {version.name: version for version in report.versions if version.name in rows}
    assert len(marked(accuracy)) == len(marked(size)) == len(rows) == 11 and not unused.axison
    for name, row in rows.items():
        (line,) = [of for text, of in marked(size).items() if f" on {name}: " in text]
        assert line.get_xdata()[0] == versions[name].gzip_bytes / 1e3
        assert list(line.get_ydata()) == [row.auc.low, row.auc.value, row.auc.high]
        assert line.get_marker() == ("X" if name == ORIGINAL else "o")
        if name != ORIGINAL:
            auc = row.to_original.auc
            (line,) = [
                of for text, of in marked(differences).items() if text.startswith(f"{name} ")
            ]
            assert list(line.get_xdata()) == [auc.low, auc.value, auc.high]


def test_without_an_original_versions_are_shown_by_themselves():
    report = sample()
    alone = tuple(
        dataclasses.replace(row, to_original=None)
        for row in report.results
        if row.release == ("int8-qat",)
    )
    axes = version_figures.versions_figure(dataclasses.replace(report, results=alone)).axes[0]
    assert axes.get_xlabel().startswith("AUC") and len(marked(axes)) == 1
    assert version_figures.versions_figure(dataclasses.replace(report, results=())) is None


def test_what_each_version_adds_is_shown_in_greedy_order():
    report = full()
    (axes,) = version_figures.additions_figure(report).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "+ b"]
    assert any("; adds " in text for text in marked(axes))
    assert len(marked(version_figures.subsets_figure(report).axes[0])) == 2


def test_a_mark_is_attributes_and_a_title_of_a_drawing():
    drawing = svg.inline(figures.leakage_figure(sample()), "AUC")
    assert PREFIX not in drawing
    assert '<g data-v="0" data-a="' in drawing and "<title>" in drawing
    assert "var(--NR, #0072b2)" in drawing and "DejaVu" not in drawing


@pytest.mark.parametrize("text", ["plain", "'\"<>&\u202e%", "é\n{}"])
def test_a_gid_holds_any_text(text):
    mark = Mark(text, "0 3", "2", "SR", text)
    assert Mark.from_gid(mark.gid) == mark and not set(mark.gid) & set("'\"<>& \n")
