"""A finished study: what is kept, what is done again and why, and what `show` says of it."""

import contextlib
import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tiny

from tf_compleak.cli import main as cli
from tf_compleak.cli import states
from tf_compleak.engine import stage
from tf_compleak.engine.live_view import Tally
from tf_compleak.engine.stage import SCHEMA
from tf_compleak.leakage.report_rows import INTERVALS
from tf_compleak.studies.options import Options
from tf_compleak.studies.run import pipeline, stage_work
from tf_compleak.studies.study import Study

TASKS = 26  # of the tiny study
NULL = "null run of strongest original+int8-ptq"


def study(**changes):
    fields = {**tiny.FLAGS, "releases": (), **changes}
    for name in ("versions", "attacks"):
        fields[name] = tuple(fields[name].split(","))
    return Study(**fields)


def run(workdir, told=None, overwrite=False, **changes):
    """Run in this process; the tasks that were executed, by the journal."""
    before = len(tiny.events(workdir))
    tell = (lambda *news: told.append(news)) if told is not None else (lambda *_: None)
    options = Options(workdir=str(workdir), executor="inline", overwrite=overwrite)
    pipeline.run(study(**changes), options, tell)
    return [task for task, _ in tiny.events(workdir)[before:]]


@pytest.fixture(scope="module")
def first_and_told(tmp_path_factory):
    workdir, told = tmp_path_factory.mktemp("resume") / "w", []
    assert len(run(workdir, told)) == TASKS
    return workdir, told


@pytest.fixture(scope="module")
def first(first_and_told):
    return first_and_told[0]


@pytest.fixture
def finished(first, tmp_path):
    return shutil.copytree(first, tmp_path / "w")


def tree(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def would_run(workdir, **changes):
    return dict(states.would_run(study(**changes), Options(workdir=str(workdir), overwrite=True)))


def test_the_whole_plan_is_told_before_anything_is_done(first_and_told):
    _, told = first_and_told
    begun = next(index for index, (_, _, total, _) in enumerate(told) if total)
    titles = {task for task, *_ in told[:begun]}
    assert titles == {task for task, *_ in told} - {INTERVALS}
    assert titles >= {"train target", "loss original", "ask int8-ptq shadow-0"}


def test_nothing_is_done_twice(finished):
    told, tally = [], Tally()
    assert run(finished, told) == []
    for news in told:
        tally.hear(*news)
    assert not tally.titles and tally.seconds_to_go() is None  # all of the plan is called off


def computed(told):
    """Whether figures were computed."""
    return any(name == INTERVALS and total for name, _, total, _ in told)


def test_the_figures_are_a_stage_of_their_own(finished):
    before, told = (finished / "report.json").read_bytes(), []
    assert run(finished, told) == [] and not computed(told)
    assert (finished / "report.json").read_bytes() == before  # with who made it and when
    figures = tiny.figures(finished)
    for lost in ("report.json", "examples/scores.npy"):
        (finished / lost).unlink()
        run(finished, told)
        assert not computed(told) and tiny.figures(finished) == figures
        assert (finished / lost).exists()
    (finished / "measured" / "report.json").write_text("{}")
    (finished / "report.json").unlink()
    run(finished, told)
    assert computed(told) and tiny.figures(finished) == figures
    told.clear()
    run(finished, told, overwrite=True, delta=0.001)
    assert computed(told)
    assert json.loads((finished / "report.json").read_text())["study"]["delta"] == 0.001
    told.clear()
    run(finished, told, overwrite=True, delta=0.001, sensitivity_queries=7)  # a flag of no effect
    saved = json.loads((finished / "report.json").read_text())
    assert not computed(told) and saved["study"]["sensitivity_queries"] == 7


def test_a_report_that_says_something_else_is_made_again(finished):
    """Scores of another run beside it, or a figure that someone has changed."""
    before = (finished / "report.json").read_text()
    path = finished / "examples" / "scores.npy"
    values = np.load(path)
    np.save(path, values + 1)
    run(finished)
    np.testing.assert_array_equal(np.load(path), values)
    saved = json.loads(before)
    saved["results"][0]["auc"]["value"] = 0.99
    for content in (saved, {**saved, "provenance": None}, []):
        (finished / "report.json").write_text(json.dumps(content))
        run(finished)
        assert tiny.figures(finished)["results"] == json.loads(before)["results"]


def test_scores_that_came_out_otherwise_are_measured_again(finished):
    """The same inputs on another machine may give other last digits."""
    told, folder = [], finished / "attacks" / "loss" / "original"
    record = json.loads((folder / "stage.json").read_text())
    scores = np.load(folder / "values.npy")
    np.save(folder / "values.npy", scores[::-1])
    record["files"]["values.npy"] = stage.sums(folder / "values.npy")
    record["made"]["id"] = "another"
    (folder / "stage.json").write_text(json.dumps(record))
    before = tiny.figures(finished)
    assert states.FIGURES in would_run(finished)
    assert set(run(finished, told)) == {"strongest original", "strongest original+int8-ptq"}
    assert computed(told) and tiny.figures(finished) != before


def test_a_flag_that_an_older_study_did_not_know_is_at_its_default(finished):
    saved = json.loads((finished / "study.json").read_text())
    del saved["checkpoint"]
    (finished / "study.json").write_text(json.dumps(saved))
    assert would_run(finished) == {} and run(finished) == []
    with pytest.raises(ValueError, match="checkpoint: 'best' there, 'last' here"):
        run(finished, checkpoint="last")


def test_a_dry_run_names_what_would_run_and_why_and_writes_nothing(finished, tmp_path):
    before = tree(finished)
    assert would_run(finished) == {}
    found = would_run(finished, epochs=3)
    assert found["train target"] == "--epochs: 2 there, 3 here"
    assert found["original target"] == "training changed"
    assert "int8-ptq target changed" in found["loss int8-ptq"]
    assert "blind baseline" not in found and "data" not in found
    assert set(would_run(finished, seed=1)) >= {"train target", "blind baseline"}
    assert would_run(finished, sensitivity_queries=3) == {}
    assert would_run(finished, finetune_epochs=2) == {}  # nothing here is fine-tuned
    assert set(would_run(finished, calibration_size=9)) == {
        *("int8-ptq target", "int8-ptq shadow-0", "loss int8-ptq", "nasr-lr int8-ptq"),
        *("ask int8-ptq target", "ask int8-ptq shadow-0", "what each version adds"),
        *("sr2-lr original+int8-ptq", "null run of sr2-lr original+int8-ptq"),
        *("null run of loss int8-ptq", "strongest int8-ptq", "strongest original+int8-ptq"),
        *(NULL, states.FIGURES),
    }
    assert would_run(finished, delta=0.001) == {states.FIGURES: "--delta: 0.0 there, 0.001 here"}
    assert tree(finished) == before
    empty = would_run(tmp_path / "none")
    assert empty["data"] == "missing" and empty["train target"] == "waits for the data"
    assert not (tmp_path / "none").exists()


def test_another_split_is_another_study_but_for_the_data(finished):
    """Other numbers of members and non-members, or one pool for all, over the same data."""
    everything = set(would_run(finished / "none")) - {"data", states.FIGURES}
    swapped = would_run(finished, num_members=50, num_non_members=70)
    halves = would_run(finished, split="halves")
    assert len(everything) == TASKS - 1
    assert set(swapped) == everything | {states.FIGURES} == set(halves)
    for tasks in (swapped, halves):
        assert tasks["membership target"] == "split changed"
        assert tasks["train shadow-0"] == "split changed"
        assert tasks["blind baseline"] == "inputs split changed"


def test_adding_a_version_or_an_attack_computes_only_that(finished):
    more = {"versions": "original,int8-ptq,float16-ptq"}
    added = {
        *("float16-ptq target", "float16-ptq shadow-0", "sr2-lr original+float16-ptq"),
        *("ask float16-ptq target", "ask float16-ptq shadow-0"),
        *("loss float16-ptq", "nasr-lr float16-ptq", "what each version adds"),
        *("null run of loss float16-ptq", "null run of sr2-lr original+float16-ptq"),
        *("strongest float16-ptq", "strongest original+float16-ptq"),
        NULL.replace("int8", "float16"),
    }
    assert would_run(finished, **more).keys() == {*added, states.FIGURES}
    assert set(run(finished, **more)) == added
    more["attacks"] = "entropy,loss,nasr-lr,sr2-lr"
    attacks = {f"entropy {name}" for name in more["versions"].split(",")}
    single = more["versions"].split(",")
    strongest = {f"strongest {name}" for name in (*single, *map("original+{}".format, single[1:]))}
    strongest |= {NULL.replace("int8", "float16")}
    nulls = {"null run of entropy float16-ptq"}
    assert set(run(finished, **more)) == {*attacks, *nulls, *strongest}
    with pytest.raises(ValueError, match=r"another study \(attacks: .*versions: .*--overwrite"):
        run(finished)
    fewer = run(finished, overwrite=True)  # nothing was lost on the way
    assert {*fewer} == {title for title in strongest if "float16" not in title}


def test_a_damaged_file_is_named_and_made_again(finished):
    figures, path = tiny.figures(finished), "families/shadow-0/versions/int8-ptq/model.tflite"
    content = bytearray((finished / path).read_bytes())
    content[len(content) // 2] ^= 1
    (finished / path).write_bytes(content)
    (finished / "families/target/training/weights.npz").write_bytes(b"short")
    told = []
    assert run(finished, told) == ["train target", "int8-ptq shadow-0"]
    reasons = {task: text for task, _, total, text in told if total == 0}
    assert reasons["train target"].startswith("damaged: weights.npz has 5 bytes, not ")
    assert "damaged: model.tflite is not what was written" in reasons["int8-ptq shadow-0"]
    assert tiny.figures(finished) == figures


def shown(capsys, *arguments):
    assert cli.main(["show", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_show_says_what_is_done_and_what_is_not(finished, capsys):
    text = shown(capsys, finished)
    assert text.count("\ndone ") == TASKS and f"{TASKS + 1} done" in text and "report.json" in text
    path = finished / "attacks" / "loss" / "original" / "values.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert f"{TASKS + 1} done" in shown(capsys, finished)  # sizes alone do not tell
    text = shown(capsys, finished, "--verify")
    assert "to do   loss original" in text and "SHA-256" in text
    shutil.rmtree(finished / "families" / "target" / "observations" / "int8-ptq")
    assert "to do   ask int8-ptq target" in shown(capsys, finished)
    path.write_bytes(content[:-1])
    assert "values.npy has" in shown(capsys, finished)


def test_show_of_a_study_with_a_version_that_failed(tmp_path, capsys, monkeypatch):
    made = stage_work.version

    def version(progress, source, stage, folder, facts):
        if stage.version == "int8-ptq":
            raise RuntimeError("no converter today")
        made(progress, source, stage, folder, facts)

    monkeypatch.setattr(stage_work, "version", version)
    root = tmp_path / "w"
    run(root)
    text = shown(capsys, root)
    assert "failed  int8-ptq target" in text and "no converter today" in text
    assert f"done    {states.FIGURES}" in text and "sr2-lr" not in text
    monkeypatch.undo()
    assert "sr2-lr original+int8-ptq" in run(root)  # it is tried again
    assert "failed" not in shown(capsys, root)


def test_show_needs_a_study_and_no_tensorflow(finished, tmp_path, capsys):
    assert cli.main(["show", str(tmp_path / "none")]) == 2
    assert "holds no study" in capsys.readouterr().err
    assert cli.main(["show"]) == 2 and cli.main(["show", "a", "--fast"]) == 2
    code = "import sys; from tf_compleak.cli import main as cli; cli.main(['show', sys.argv[1]])"
    code += "; print('tensorflow' in sys.modules or 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, finished], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_a_workdir_of_another_schema_is_never_mixed(finished):
    saved = json.loads((finished / "study.json").read_text())
    for schema, remedy in ((None, "--overwrite"), (SCHEMA + 1, "upgrade")):
        changed = {k: v for k, v in saved.items() if k != "schema"}
        changed |= {} if schema is None else {"schema": schema}
        (finished / "study.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=f"has schema {schema or 1}, .*{remedy}"):
            run(finished)
        with pytest.raises(ValueError, match="schema"):
            list(states.states(str(finished)))
    record = finished / "attacks" / "loss" / "original" / "stage.json"
    old = json.loads(record.read_text())
    record.write_text(json.dumps({key: old[key] for key in ("fingerprint", "facts")}))
    assert run(finished, overwrite=True) == ["loss original"]  # with the same scores


def test_the_dry_run_of_the_command_line(finished, capsys):
    arguments = tiny.command(finished, "--dry_run", "--versions=original,int8-ptq,dynamic-ptq")[3:]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "dynamic-ptq target: missing" in lines and lines[-1].startswith("14 tasks to do")
    with contextlib.redirect_stderr(io.StringIO()) as error:
        assert cli.main([*arguments, "--epochs=3"]) == 2
    assert "epochs: 2 there, 3 here" in error.getvalue()


def test_every_stage_has_a_log(finished):
    log = (finished / "logs" / "train target.log").read_text()
    assert "to do: missing" in log and "2/2 accuracy" in log and "done after" in log


def test_tensorboard_has_the_figures_and_the_training_curves(finished, tmp_path, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = tmp_path / "log"
    assert cli.main(["tensorboard", str(finished), f"--logdir={log}"]) == 0
    assert "1 run(s) written" in capsys.readouterr().out
    found = EventAccumulator(str(log / "w"))
    found.Reload()
    tags = found.Tags()["tensors"]
    for family in ("target", "shadow-0"):
        assert len(found.Tensors(f"training/{family}/validation_accuracy")) == 2, tags
    assert any(tag.split("/")[1] == "NR" for tag in tags)
