"""Remedies: their grammar, what they change in trainings, and the study under them."""

import dataclasses
import json
import subprocess

import numpy as np
import pytest
import tiny

from tf_compleak.cli import states
from tf_compleak.engine.declaration import perform
from tf_compleak.leakage.plan import TARGET
from tf_compleak.metrics import accountant
from tf_compleak.report import advice, html, terminal_report
from tf_compleak.report.report import Report
from tf_compleak.studies import remedies
from tf_compleak.studies.options import Options
from tf_compleak.studies.run import pipeline, remedied_training
from tf_compleak.studies.run.run_stages import Training
from tf_compleak.studies.run.source import Source
from tf_compleak.studies.study import Study, remedied

TINY = {name: value for name, value in tiny.FLAGS.items() if name not in ("versions", "attacks")}
FAST = {"epochs": 6, "versions": ("original", "int8-ptq"), "attacks": ("loss", "entropy")}
COMMAND = {
    "train_command": "train {members} {validation} {folder} {seed}",
    "versions": ("original",),
    "depth": 0,
    "width": 0,
}
TRIED = ("dp-sgd:eps=8", "early-stopping:1", "distillation", "top1")


def study(**flags) -> Study:
    return Study(**TINY | FAST | flags)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("dp-sgd:eps=8", remedies.DpSgd(8.0)),
        ("dp-sgd:norm=0.5:eps=1e1:delta=1e-6", remedies.DpSgd(10.0, 1e-6, 0.5)),
        ("label-smoothing:0.1", remedies.LabelSmoothing(0.1)),
        ("early-stopping:5", remedies.EarlyStopping(5)),
        ("distillation", remedies.Distillation(2.0)),
        ("distillation:4", remedies.Distillation(4.0)),
        ("temperature:2", remedies.Shown("temperature:2")),
        ("label", remedies.Shown("label")),
    ],
)
def test_names_are_read(text, remedy):
    assert remedies.parse(text) == remedy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dp-sgd", "names no epsilon; write dp-sgd:eps=8"),
        ("dp-sgd:esp=8", "Did you mean 'eps'"),
        ("dp-sgd:eps=8:eps=9", "named twice"),
        ("dp-sgd:eps=0", "eps: must lie between"),
        ("dp-sgd:eps=8:delta=0", "delta: must lie between"),
        ("dp-sdg:eps=8", "Did you mean 'dp-sgd:eps=8'"),
        ("label-smoothing:one", "'one' is no number"),
        ("label-smoothing:1", "must lie between"),
        ("early-stopping:2.5", "whole number"),
        ("early-stoping:5", "Did you mean 'early-stopping:5'"),
        ("temperature:0", "--remedies=temperature:0: must lie"),
        ("full", "hides nothing"),
        ("", "unknown ''"),
    ],
)
def test_what_is_no_remedy_is_said_where_the_flag_is_read(text, said):
    with pytest.raises(ValueError, match=r"^--remedies") as error:
        study(remedies=(text,))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"early_stopping": 5, "remedies": ("early-stopping:5",)}, "has --early_stopping=5 itself"),
        ({"versions": ("pruning-0.60",), "remedies": ("dp-sgd:eps=8",)}, "add original"),
        ({"mixed_precision": "bfloat16", "remedies": ("dp-sgd:eps=8",)}, "float32"),
        ({"model": "bert", "depth": 1, "remedies": ("dp-sgd:eps=8",)}, "images and tables"),
        ({**COMMAND, "remedies": ("distillation",)}, "that of --train_command"),
        ({"exposure": ("top1",), "remedies": ("top1",)}, "shows already"),
        ({"remedies": ("top1", "top1")}, "--remedies"),
    ],
)
def test_what_does_not_go_with_the_study_is_said_at_once(flags, said):
    with pytest.raises(ValueError, match=r"^--remedies") as error:
        study(**flags)
    assert said in str(error.value)


def test_versions_whose_making_is_not_accounted_for_are_left_out():
    names = ("original", "pruning-0.60", "int8-qat", "clustering-16", "int8-ptq", "float16-ptq")
    plain = study(versions=names, releases=(("original", "int8-qat"), ("original", "int8-ptq")))
    private = remedied(plain, "dp-sgd:eps=8")
    assert private.versions == ("original", "int8-ptq", "float16-ptq")
    assert private.releases == (("original", "int8-ptq"),)
    assert [name for name, _ in private.left_out] == ["pruning-0.60", "int8-qat", "clustering-16"]
    private = remedied(dataclasses.replace(plain, calibration="members"), "dp-sgd:eps=8")
    assert private.versions == ("original", "float16-ptq")
    assert remedied(plain, "label-smoothing:0.1").versions == plain.versions


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A study under remedies, after the plain one in the same folder."""
    folder = tmp_path_factory.mktemp("remedies") / "study"
    options = Options(workdir=str(folder), executor="inline")
    plain = pipeline.run(study(), options)
    foretold = states.would_run(study(remedies=TRIED), options)
    return plain, pipeline.run(study(remedies=TRIED), options), folder, dict(foretold)


def test_the_plain_study_stays_as_it_was(ran):
    plain, report, folder, foretold = ran
    assert report.results == plain.results
    assert report.versions == plain.versions
    assert "train target" not in foretold
    assert "train target under distillation" in foretold
    assert "loss original (top1)" in foretold
    assert "compare dp-sgd:eps=8" in foretold
    done = {task for task, _ in tiny.events(folder)}
    assert set(foretold) - done <= {"figures of the report"} | {
        f"figures of the report under {name}" for name in TRIED
    }


def test_what_is_done_is_not_done_again(ran):
    _, report, folder, _ = ran
    again, options = study(remedies=TRIED), Options(workdir=str(folder), executor="inline")
    assert states.would_run(again, options) == []
    before = len(tiny.events(folder))
    assert pipeline.run(again, options).to_json() == report.to_json()
    assert len(tiny.events(folder)) == before
    shown = list(states.states(str(folder), thorough=True))
    assert {state.state for state in shown} == {"done"}
    assert "train target under distillation" in {state.name for state in shown}


def test_rows_and_changes_stand_in_the_report(ran):
    _, report, _, _ = ran
    assert [remedy.name for remedy in report.remedies] == list(TRIED)
    assert [remedy.kind for remedy in report.remedies] == ["training"] * 3 + ["exposure"]
    assert Report.from_json(report.to_json()).remedies == report.remedies
    rows = {(row.attack, row.release): row for row in report.results}
    for remedy in report.remedies:
        assert not remedy.failures
        assert [change.of for change in remedy.changes].count("version") == 2
        under = {(row.attack, row.release): row for row in remedy.results}
        assert under.keys() == rows.keys()
        for change in remedy.changes:
            before, after = rows[change.plain[::-1]], under[change.remedied[::-1]]
            assert change.auc.value == pytest.approx(after.auc.value - before.auc.value)
            assert change.auc.n == 120
    top1 = report.remedies[-1]
    assert all(change.accuracy.value == 0 for change in top1.changes if change.accuracy)


def test_the_report_tells_of_remedies(ran):
    _, report, _, _ = ran
    page, text = html.render(report), terminal_report.summary(report)
    assert 'id="remedies"' in page
    for remedy in report.remedies:
        assert remedy.note in text
        assert remedy.name in page
    assert "change in accuracy" in text
    step = advice.steps(report, ())[-1]
    assert step.title == "Train otherwise"
    assert [line.split(": ")[0] for line in step.lines] == list(TRIED[:3])
    untried = advice.steps(dataclasses.replace(report, remedies=()), ())[-1]
    assert not untried.computed
    assert 'id="remedies"' not in html.render(dataclasses.replace(report, remedies=()))


def test_dp_sgd_spends_what_was_asked(ran):
    source = Source(study(remedies=TRIED), str(ran[2])).under("dp-sgd:eps=8")
    spent = Training(TARGET).stage(source).facts()["privacy"]
    assert spent["steps"] == 6
    assert spent["rate"] == pytest.approx(32 / 60)
    assert spent["delta"] == pytest.approx(accountant.default_delta(60))
    again = accountant.epsilon(spent["noise_multiplier"], 32 / 60, 6, spent["delta"])
    assert spent["epsilon"] == again <= 8


def test_early_stopping_stops(ran):
    source = Source(study(remedies=TRIED), str(ran[2]))
    epochs = [
        Training(family).stage(of).facts()["epochs"]
        for of in (source, source.under("early-stopping:1"))
        for family in source.study.families
    ]
    assert epochs[:2] == [6, 6]
    assert min(epochs[2:]) < 6


def test_a_student_learns_its_teachers_answers_on_members_alone(ran):
    source = Source(study(remedies=TRIED), str(ran[2])).under("distillation")
    family, teacher = "shadow-0", Source(study(), str(ran[2]))
    x, answers = remedied_training.taught(source, family)
    members = source.splits[family].members
    np.testing.assert_array_equal(x, source.model_inputs(family, members))
    said = teacher.observations(family, ("original",))
    position = np.searchsorted(source.splits[family].scored, members)
    heated = np.sqrt(said.probabilities[0, position])
    np.testing.assert_allclose(answers, heated / heated.sum(axis=1, keepdims=True), atol=1e-4)
    assert Training(family).inputs(source)["teacher"] == teacher.fingerprint(Training(family))


def test_a_remedy_that_cannot_be_tried_leaves_the_study_as_it_is(ran, monkeypatch):
    plain, _, folder, _ = ran

    def broken(study):
        raise ValueError("no such noise")

    options = Options(workdir=str(folder), executor="inline", overwrite=True)
    monkeypatch.setattr(remedied_training, "privacy_of", broken)
    report = pipeline.run(study(remedies=("dp-sgd:eps=3",)), options)
    assert report.results == plain.results
    (remedy,) = report.remedies
    assert (remedy.results, remedy.changes) == ((), ())
    assert "no such noise" in remedy.failures[0].reason
    assert "no such noise" in html.render(report)
    assert "could not be tried" in terminal_report.summary(report)


def test_label_smoothing_reaches_training_and_fine_tuning(ran, tmp_path):
    from tf_compleak.models.losses import LabelSmoothing
    from tf_compleak.studies.run import stage_work

    plain = Source(study(), str(ran[2]))
    smooth = plain.under("label-smoothing:0.4")
    assert stage_work._optimization(smooth, 2, 0.1).loss == LabelSmoothing(0.4)
    perform(print, smooth.opener(), Training(TARGET))
    weights = [
        np.load(Training(TARGET).stage(of).folder() / "weights.npz")["w0000"]
        for of in (plain, smooth)
    ]
    assert not np.allclose(*weights)


@pytest.mark.slow
def test_every_remedy_from_the_command_line(tmp_path):
    names = ("dp-sgd:eps=8", "label-smoothing:0.1", "early-stopping:1", "distillation:3")
    shown = ("temperature:2", "round:2", "label")
    versions = "--versions=original,pruning-0.60,int8-qat"
    command = tiny.command(tmp_path / "w", f"--remedies={','.join(names + shown)}", versions)
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    report = json.loads((tmp_path / "w" / "report.json").read_text())
    assert [remedy["name"] for remedy in report["remedies"]] == [*names, *shown]
    left_out = report["remedies"][0]["failures"]
    assert [failure["name"] for failure in left_out] == ["pruning-0.60", "int8-qat"]
    assert all(not remedy["failures"] for remedy in report["remedies"][1:])
