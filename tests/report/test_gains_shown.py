"""Gains and differences to the original in every form of a report; reports of earlier versions."""

import csv
import dataclasses
import io
import json

import pytest
from rich.console import Console
from sample_report import full, sample, two_rows

from tf_compleak.report import html, tensorboard, terminal_report, wording
from tf_compleak.report.report import Report
from tf_compleak.types import ORIGINAL, Estimate

NEW = {
    "results": ("gain_same", "gain_any", "to_original"),
    "versions": ("relative_loss",),
}


@pytest.fixture(scope="module")
def report():
    """The best MR row has a gain over the same attack, as if that attacked single versions too."""
    whole = sample()
    best = whole.best("MR")
    auc = Estimate(0.0321, 0.0211, 0.0432, 0.95, "planted", 4000)
    gain = dataclasses.replace(best.gain_any, attack=best.attack, release=(ORIGINAL,), auc=auc)
    rows = [
        dataclasses.replace(row, gain_same=gain) if row is best else row for row in whole.results
    ]
    return dataclasses.replace(whole, results=tuple(rows))


def test_the_verdict_speaks_of_the_same_attack(report):
    words = wording.verdict(report)
    assert "a gain of +0.032 [+0.021, +0.043] over the same attack on original alone" in words
    best = report.best("SR")
    assert f"over {best.gain_any.attack} on {best.gain_any.release[0]} alone" in words


def printed(report, width):
    console = Console(width=width, file=io.StringIO())
    terminal_report.print_report(report, console)
    return console.file.getvalue()


def test_the_terminal_and_the_page_show_auc_and_tpr(report):
    best, page, shown = report.best("MR"), html.render(report), printed(report, 160)
    single = next(row for row in wording.best_per_release(report) if row.to_original)
    for gain in (best.gain_same, best.gain_any, single.to_original):
        for figure in (gain.auc, gain.tpr_at_fpr[0.1]):
            assert wording.signed(figure) in page and wording.signed(figure) in shown
    assert "over the same attack on original alone" in " ".join(shown.split())
    text = report.summary()
    assert "gain in AUC over the same attack on original alone: +0.032 [+0.021, +0.043]" in text
    assert "gain in TPR@10% over the same attack on original alone" in text


def test_versions_say_what_they_lost(report):
    failed = next(version for version in report.versions if version.status == "failed")
    assert failed.relative_loss.value > 0.3
    for text in (html.render(report), printed(report, 160)):
        assert str(failed.relative_loss) in text and "lost" in text


def test_the_page_shows_the_families():
    accuracies = full().families
    page = html.render(full())
    assert 'id="families"' in page and page.count(">shadow-0<") == len(accuracies) / 2
    assert 'id="families"' not in html.render(sample())


def test_tables_and_tags_hold_the_same(report, tmp_path):
    pytest.importorskip("pandas")
    best = report.best("MR")
    row = report.to_pandas().iloc[report.results.index(best)]
    assert row["gain_same_auc"] == 0.0321 and row["gain_same_auc_low"] == 0.0211
    assert row["gain_same_over"] == f"{best.attack} on original"
    assert row["gain_any_tpr@0.1"] == best.gain_any.tpr_at_fpr[0.1].value
    assert row["to_original_over"] == "" and row["auc_gain"] == best.gain_any.auc.value
    tags = tensorboard.scalars(report)
    assert tags["MI/MR/gain_same_auc"] == 0.0321
    assert tags["MI/MR/gain_any_tpr_at_fpr_0.1"] == best.gain_any.tpr_at_fpr[0.1].value
    assert "MI/int8-ptq/nasr-lr/to_original_auc" in tags
    saved = two_rows()
    saved.save(tmp_path)
    with (tmp_path / "examples" / "rows.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["attack"] for line in lines] == ["loss", "mr"]
    assert float(lines[0]["auc"]) == pytest.approx(saved.results[0].auc.value, rel=1e-5)
    assert {"gain_any_auc", "gain_same_tpr@0.1_low", "to_original_over"} <= set(lines[0])


def earlier(report):
    """The JSON of the report as an earlier version wrote it."""
    values = json.loads(json.dumps(report.to_json()))
    for part, names in NEW.items():
        for record in values[part]:
            for name in names:
                del record[name]
    del values["families"]
    return values


def test_a_report_of_an_earlier_version_loads_and_shows_its_gain(report):
    loaded = Report.from_json(earlier(report))
    best = loaded.best("MR")
    assert best.gain_any is None and best.auc_gain == report.best("MR").auc_gain
    assert wording.signed(best.auc_gain) in wording.verdict(loaded)
    assert f"over {best.gain_over[1]} on {best.gain_over[0][0]} alone" in wording.verdict(loaded)
    assert html.render(loaded) and printed(loaded, 80) and loaded.summary()
    assert not [row for row in loaded.results if wording.comparisons([row])]
