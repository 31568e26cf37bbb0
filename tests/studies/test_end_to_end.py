"""Whole runs whose answer is known: a target that must leak, one that cannot, and their audits."""

import contextlib
import io

import numpy as np
import pytest

import tf_compleak
from tf_compleak.cli import main as cli
from tf_compleak.report import wording
from tf_compleak.studies.audit.audit_settings import Where

CLASSES, COPIES = 20, 25
VERSIONS = ("original", "float16-ptq")
FLAGS = (
    *("--model=dense", "--depth=2", "--width=64", "--batch_size=20", "--weight_decay=0"),
    *("--num_members=100", "--num_non_members=100", "--num_validation=50", "--num_population=30"),
    *("--checkpoint=last", "--max_accuracy_drop=1", "--executor=inline", "--save_examples"),
    *("--attacks=loss-global,nasr-lr", "--marginal=none", f"--versions={','.join(VERSIONS)}"),
)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Inputs that say nothing of their labels, with some copies among them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 40)).astype(np.float32)
    y = rng.permutation(np.arange(600) % CLASSES)
    rows = np.concatenate([np.arange(600), rng.permutation(600)[:COPIES]])
    path = tmp_path_factory.mktemp("noise") / "noise.npz"
    np.savez(path, x=x[rows], y=y[rows])
    return f"--dataset=npz:{path}"


def run(workdir, *flags):
    """Exit code and terminal of a run."""
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        code = cli.main(["run", f"--workdir={workdir}", *FLAGS, *flags])
    return code, shown.getvalue()


@pytest.fixture(scope="module")
def memorized(noise, tmp_path_factory):
    """The workdir of a target that knows the noise of its members by heart, and its terminal."""
    workdir = tmp_path_factory.mktemp("memorized") / "w"
    code, shown = run(workdir, noise, "--epochs=60", "--learning_rate=0.1", "--exposure=full,label")
    assert code == 0, shown
    return workdir, shown


def test_a_model_that_knows_its_members_by_heart_leaks_them(memorized):
    """It is right on members alone: what a label shows is known to the last digit."""
    report = tf_compleak.Report.load(memorized[0])
    assert report.sanity.warnings() == () and not report.failures
    for version in report.versions:
        assert version.member_accuracy.value == 1.0
        assert version.non_member_accuracy.low < 1 / CLASSES < version.non_member_accuracy.high
    (of_labels,) = [shown for shown in report.exposed if shown.exposure == "label"]
    rows = {row.release: row for row in of_labels.results if row.attack == "loss-global"}
    for version in report.versions:
        right = version.member_accuracy.value - version.non_member_accuracy.value
        assert rows[version.name,].auc.value == pytest.approx((1 + right) / 2, abs=1e-12)
    for row in report.results:
        assert row.auc.low > 0.9, row
    assert "leak who was in the training data" in wording.verdict(report)


def test_a_model_that_learned_nothing_leaks_nothing(noise, tmp_path):
    """By a seed whose draw lies near the middle: sums rounded otherwise change nothing."""
    flags = ("--epochs=1", "--learning_rate=1e-12", "--seed=2")
    code, shown = run(tmp_path / "w", noise, *flags)
    report = tf_compleak.Report.load(tmp_path / "w")
    assert code == 0 and not report.failures, shown
    for row in report.results:
        assert row.auc.low < 0.5 < row.auc.high and row.auc.n == 200
        assert wording.standing(row.auc, 0.5, len(report.results)) != "above"


def test_copies_are_left_out_and_the_terminal_and_the_report_say_so(memorized):
    workdir, shown = memorized
    said = f"{COPIES} of {600 + COPIES} examples were left out before the split"
    assert f"Caution: {said}" in " ".join(shown.split())
    report = tf_compleak.Report.load(workdir)
    assert report.provenance["duplicates"] == {
        "examples": 600 + COPIES,
        "count": COPIES,
        "relabelled": 0,
    }
    assert said in (workdir / "report.html").read_text()


def audited(workdir, **more):
    family = workdir / "families" / "target"
    return tf_compleak.audit(
        {name: str(family / "versions" / name / "model.tflite") for name in VERSIONS},
        f"npz:{family / 'membership' / 'members.npz'}",
        f"npz:{family / 'membership' / 'non_members.npz'}",
        where=Where(executor="inline"),
        marginal="none",
        **more,
    )


def test_an_audit_of_the_files_that_a_run_leaves_gives_its_figures(memorized):
    """With its shadows: the same scores and rows. Without: those of attacks that fit nothing.

    Null runs and blind baselines see the examples in another order: they need not be equal.
    """
    workdir = memorized[0]
    of_run = tf_compleak.Report.load(workdir)
    shadows = [str(workdir / "families" / "shadow-0")]
    fitted = audited(workdir, attacks=("loss-global", "nasr-lr"), shadows=shadows)
    expected, alike = aucs(of_run), {"abs": 1e-4}  # the batches that files are asked in round sums
    assert aucs(fitted).keys() == expected.keys()
    for row, figures in aucs(fitted).items():
        assert figures == pytest.approx(expected[row], **alike), row
    alone = audited(workdir, attacks=("loss-global",))
    for row, (value, *_) in aucs(alone).items():
        assert value == pytest.approx(expected[row][0], **alike), row
    for version, of_version in zip(fitted.versions, of_run.versions, strict=True):
        assert version.member_accuracy == of_version.member_accuracy
        assert version.non_member_accuracy == of_version.non_member_accuracy


def aucs(report):
    """AUC with its interval and n of every row."""
    return {
        (row.attack, row.release): [row.auc.value, row.auc.low, row.auc.high, row.auc.n]
        for row in report.results
    }
