"""benchmarks/evidence.py: what is pooled, what counts as shown, and what the page says first."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import planted
import pytest

from tf_compleak.leakage import gains
from tf_compleak.metrics import intervals
from tf_compleak.types import ORIGINAL, Estimate, Version

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(Path(__file__).parent / "report")]

pytest.importorskip("statsmodels")
import evidence  # noqa: E402
import evidence_figures as figures  # noqa: E402
import evidence_page  # noqa: E402
import sample_report  # noqa: E402

PRUNED, INT8 = "pruning-0.60", "int8-ptq"
SINGLES = [(ORIGINAL,), (PRUNED,), (INT8,)]
PAIRS = [(ORIGINAL, PRUNED), (ORIGINAL, INT8)]
ALL = [(ORIGINAL, PRUNED, INT8), (PRUNED, INT8)]


def estimate(value, error, n=100):
    reach = 1.959964 * error
    return Estimate(value, value - reach, value + reach, 0.95, "by hand", n)


def study(data, gain, seed=0, compressed=0.0):
    """Rows whose releases of k versions tell k - 1 times `gain` more than one; a version on its
    own tells `compressed` more than the original."""
    rng = np.random.default_rng([seed, len(data)])
    family = planted.family(0, 1.0, n=2000)
    noise = rng.normal(size=2000)
    scores = {}
    for release in (*SINGLES, *PAIRS, *ALL):
        strength = 1.0 + gain * (len(release) - 1) + compressed * (ORIGINAL not in release)
        own = 0.1 * rng.normal(size=2000)
        values = strength * family.members + noise + own
        scores["strongest", release] = planted.pooled(values, family)
    report = sample_report.scored_report(scores, family)
    rows = [dataclasses.replace(row, shadow_auc=row.auc.value) for row in report.results]
    rows = gains.with_gains(rows, scores, 0)
    return dataclasses.replace(
        report,
        study={"dataset": f"npz:/data/{data}.npz", "model": "dense", "seed": seed},
        results=rows,
    )


def _by_release(report):
    return {row.release: row for row in report.results}


def test_the_pooled_effect_is_the_one_computed_by_hand():
    # Two pairs of variance v and distance d: Q is 1 at tau² = d²/2 - v, the mean's variance d²/4.
    effect = figures.pooled({"a": estimate(0.01, 0.01), "b": estimate(0.05, 0.01)})
    assert effect.estimate.value == pytest.approx(0.03)
    assert effect.tau == pytest.approx(math.sqrt(0.0016 / 2 - 0.0001), rel=1e-4)
    t975 = 12.7062047  # of one degree of freedom
    assert effect.estimate.high - 0.03 == pytest.approx(t975 * 0.02, rel=1e-4)
    assert effect.i2 == pytest.approx(1 - 1 / 8, rel=1e-4)
    assert effect.p == pytest.approx(math.erfc(math.sqrt(8 / 2)), rel=1e-3)  # chi², Q = 8
    assert effect.estimate.n == 200 and effect.pairs == ("a", "b")


def test_alike_effects_have_no_heterogeneity_and_no_narrower_interval():
    effect = figures.pooled({"a": estimate(0.02, 0.01), "b": estimate(0.02, 0.02)})
    assert effect.tau == 0 == effect.i2 and effect.p == pytest.approx(1)
    error = 1 / math.sqrt(1 / 0.01**2 + 1 / 0.02**2)
    assert effect.estimate.high - 0.02 == pytest.approx(12.7062047 * error, rel=1e-4)
    unknown = Estimate.unmeasurable("too few", 5)
    assert figures.pooled({"a": estimate(0.02, 0.01), "b": unknown}) is None


def test_a_statement_counts_what_is_shown_at_the_level_of_all_pairs():
    clear, contrary, near = estimate(0.05, 0.01), estimate(-0.05, 0.01), estimate(0.0205, 0.01)
    unknown = Estimate.unmeasurable("too few", 5)
    alone = figures.statement("x", {"near": near})
    assert list(alone.shown) == ["near"] and alone.holds
    among = figures.statement("x", {"a": clear, "b": contrary, "near": near, "none": unknown})
    assert list(among.shown) == ["a"] and list(among.contrary) == ["b"]
    assert list(among.undecided) == ["near", "none"] and among.undecided["none"] == "n/a"
    assert among.count == 4 and not among.holds
    assert not figures.statement("x", {}).holds


def test_planted_studies_are_shown_and_excepted():
    reports = [study("more", 0.5, compressed=0.3), study("nothing", 0.0)]
    lines = [figures.line(report, "strongest") for report in reports]
    found = figures.evidence(lines)
    differs, sr, mr_sr, low = found.statements
    for statement in (differs, sr, mr_sr):
        assert list(statement.shown) == ["more, dense"]
        assert list(statement.undecided) == ["nothing, dense"]
        assert not statement.contrary and not statement.holds
    assert sr.strict == 1
    assert "nothing, dense" not in low.shown
    text = evidence_page.markdown(found, ["digits_resnet"], "strongest")
    fails, holds = text.index("## What does not hold"), text.index("## What holds")
    assert fails < text.index("SR leaks more than NR") < holds
    assert "Neither is shown: nothing, dense" in text
    assert "flags/small/digits_resnet.cfg" in text[text.index("## Still to be run") :]
    assert len(evidence_page.forest(found)) < 150_000


def test_gains_are_those_of_the_report_where_both_have_one_reference():
    report = study("more", 0.3)
    line = figures.line(report, "strongest")
    sr = line.rows["sr"]
    assert line.gains["sr"].auc.value == pytest.approx(
        sr.auc.value - _by_release(report)[line.gains["sr"].release].auc.value
    )
    to_original = line.rows["compressed"].to_original.auc
    assert line.gains["compressed"].auc == to_original


def test_versions_are_chosen_by_the_shadows_alone():
    report = study("more", 0.3)
    for other, pair in ((PRUNED, INT8), (INT8, PRUNED)):
        aucs = {(other,): 0.99, (ORIGINAL, pair): 0.99}
        told = [dataclasses.replace(r, shadow_auc=aucs.get(r.release, 0.5)) for r in report.results]
        line = figures.line(dataclasses.replace(report, results=tuple(told)), "strongest")
        assert line.rows["compressed"].release == (other,)
        assert line.rows["sr"].release == (ORIGINAL, pair)


def test_seeds_of_a_pair_count_once_and_do_not_narrow_it():
    lines = [figures.line(study("more", 0.3, seed), "strongest") for seed in (0, 1)]
    (pair,) = figures.evidence(lines).pairs
    both = [line.gains["sr"].auc for line in lines]
    gain = pair.gain("sr")
    assert gain.value == pytest.approx(np.mean([each.value for each in both]))
    widths = [each.high - each.low for each in both]
    assert gain.high - gain.low == pytest.approx(np.mean(widths))
    with pytest.raises(ValueError, match="more, dense, seed 0: given twice"):
        figures.evidence([lines[0], lines[0]])


def test_what_cannot_be_compared_is_refused():
    report = study("more", 0.3)
    with pytest.raises(ValueError, match="no row of tabular on the original"):
        figures.line(report, "tabular")
    rows = tuple(dataclasses.replace(row, shadow_auc=None) for row in report.results)
    with pytest.raises(ValueError, match="no shadows"):
        figures.line(dataclasses.replace(report, results=rows), "strongest")


def test_a_study_is_of_the_flagfile_that_it_agrees_with(tmp_path):
    text = "# A study.\n--num_members=40\n--model=dense\n--workdir=runs/x\n--seed=0\n"
    (tmp_path / "more_dense.cfg").write_text(text)
    plans = evidence.planned(tmp_path)
    assert plans == {"more_dense": {"num_members": 40, "model": "dense"}}
    report = study("more_20k", 0.0, seed=3)
    for members, name in ((40, "more_dense"), (50, "")):
        settings = report.study | {"num_members": members}
        assert evidence.flagfile_of(dataclasses.replace(report, study=settings), plans) == name
    other = report.study | {"num_members": 40, "dataset": "npz:less.npz"}
    assert evidence.flagfile_of(dataclasses.replace(report, study=other), plans) == ""


def test_an_original_that_only_guesses_is_named():
    report = study("more", 0.3)  # of five classes
    for correct, count in ((20, 1), (35, 0)):
        accuracy = intervals.proportion(correct, 100)
        version = Version(ORIGINAL, "", "", validation_accuracy=accuracy)
        line = figures.line(dataclasses.replace(report, versions=(version,)), "strongest")
        assert sum("better than guessing" in remark for remark in line.remarks) == count


@pytest.mark.slow
def test_workdirs_become_a_page(tmp_path):
    for name, gain in (("more", 0.5), ("nothing", 0.0)):
        study(name, gain).save(tmp_path / name)
    script = [sys.executable, str(ROOT / "benchmarks" / "evidence.py"), f"--to={tmp_path}/docs"]
    workdirs = [str(tmp_path / "more"), str(tmp_path / "nothing")]
    done = subprocess.run([*script, *workdirs], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "docs" / "evidence.md").read_text()
    assert text.startswith("# Evidence") and (tmp_path / "docs" / "evidence.svg").exists()
    missing = subprocess.run([*script, str(tmp_path)], capture_output=True, text=True)
    assert missing.returncode == 2 and "no such file" in missing.stdout + missing.stderr
