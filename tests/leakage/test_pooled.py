"""Studies whose families all play the target: what is said of every one's examples."""

import csv
import io

import numpy as np
import planted
import pytest
from rich.console import Console

from tf_compleak.engine import executors
from tf_compleak.leakage.investigation import investigate
from tf_compleak.leakage.observation_folder import ObservationFolder
from tf_compleak.leakage.plan import Plan
from tf_compleak.leakage.question import Question
from tf_compleak.report import html, terminal_report
from tf_compleak.report.report import Report
from tf_compleak.studies.arrays import _record
from tf_compleak.types.progress import silent

FAMILIES = ("target", "shadow-0", "shadow-1")


@pytest.fixture(scope="module")
def families():
    return dict(zip(FAMILIES, planted.halves(0, 2.0, 3, n=160), strict=True))


@pytest.fixture(scope="module")
def report(families, tmp_path_factory):
    root = str(tmp_path_factory.mktemp("w"))
    releases = (("original",), ("original", "int8-ptq"))
    question = Question(attacks=("loss", "tabular"), releases=releases, marginal="none")
    provider = ObservationFolder(question, root)
    for name, family in families.items():
        provider.save_family(name, family)
    versions = families["target"].versions
    provider.save_versions([_record(families["target"], name) for name in versions])
    plan = Plan(question, FAMILIES, versions, versions, targets=3, has_inputs=False)
    with executors.executor("inline", 1, 1, root) as executor:
        return Report.of(investigate(plan, provider, executor, (), silent))


def test_scores_are_kept_of_every_target(report, families):
    scored = report.scored
    assert scored.values.shape == (len(report.results), 3 * 160)
    np.testing.assert_array_equal(np.bincount(scored.targets), [160, 160, 160])
    for index, family in enumerate(families.values()):
        rows = scored.targets == index
        order = np.argsort(scored.ids[rows])
        np.testing.assert_array_equal(scored.ids[rows][order], family.ids)
        np.testing.assert_array_equal(scored.members[rows][order], family.members)
        np.testing.assert_array_equal(scored.labels[rows][order], family.labels)
    row = report.results[0]
    own = [scored.values[0][(scored.members == kind)] for kind in (True, False)]
    assert np.mean(own[0][:, None] > own[1]) == pytest.approx(row.auc.value, abs=2e-3)


def test_files_name_the_target_of_every_example(report, tmp_path):
    report.save(tmp_path)
    saved = np.load(tmp_path / "examples" / "targets.npy", allow_pickle=False)
    np.testing.assert_array_equal(saved, report.scored.targets)
    for name in ("examples.csv", "exposed.csv"):
        with (tmp_path / "examples" / name).open() as file:
            assert {row["target"] for row in csv.DictReader(file)} == {"0", "1", "2"}
    np.testing.assert_array_equal(Report.load(tmp_path).scored.targets, report.scored.targets)


def test_an_example_is_caught_among_the_non_members_of_its_target(report, tmp_path):
    report.save(tmp_path)
    rates = np.load(tmp_path / "examples" / "fpr.npy", allow_pickle=False)
    scored = report.scored
    for target in range(3):
        others = scored.values[0][(scored.targets == target) & ~scored.members]
        first = int(np.flatnonzero((scored.targets == target) & scored.members)[0])
        above = (others >= scored.values[0][first]).sum()
        assert rates[0][first] == pytest.approx((above + 1) / (len(others) + 1))


def test_the_table_of_versions_says_whose_it_is(report):
    console = Console(width=100, file=io.StringIO())
    terminal_report.print_report(report, console)
    assert "Versions of the first of 3 targets" in console.file.getvalue()
    assert "Of the first of the 3 targets whose scores are pooled." in html.render(report)
