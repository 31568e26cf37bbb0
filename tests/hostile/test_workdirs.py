"""Workdirs of a stranger: what each tries, and what must be seen, with nothing lost outside."""

import json
import os
import subprocess

import numpy as np
import pytest
from refusals import refused
from sample_report import two_rows

from tf_compleak.cli import main as cli
from tf_compleak.cli import outcome, states
from tf_compleak.engine import stage
from tf_compleak.engine.stage import Stage
from tf_compleak.engine.workdir import Workdir, slug, write_text
from tf_compleak.report.report import Report
from tf_compleak.studies.study import Study
from tf_compleak.types import validators


@pytest.fixture
def report():
    return two_rows()


@pytest.fixture
def finished(tmp_path):
    """A finished stage with a file in a folder of its own."""
    made = Stage(tmp_path / "data", "print")
    with made.writing() as (folder, facts):
        (folder / "deep").mkdir()
        (folder / "deep" / "x.npy").write_text("numbers")
        facts["value"] = 1
    return made


# Names --------------------------------------------------------------------------------------------

NAMES = [
    "",
    ".",
    "..",
    ".hidden",
    "-flag",
    "a/b",
    "../x",
    "a\\b",
    "a b",
    "a\n",
    "a\0",
    "ä",
    "a" * 81,
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_no_file_names_are_refused(name):
    line = refused(
        lambda: validators.name("--versions", name), "--versions: .* cannot be a name; use"
    )
    assert line.isascii() and line.isprintable()
    with pytest.raises((ValueError, TypeError)):
        slug((name,))


@pytest.mark.parametrize("name", ["original", "int8-ptq", "pruning-0.60", "A_1+b", "a" * 80])
def test_other_names_are_as_they_are(name):
    assert validators.name("--versions", name) == name


def test_releases_of_names_with_a_plus_have_folders_of_their_own():
    assert slug(("a", "b")) == "a+b"
    assert len({slug(("a", "b")), slug(("a+b",)), slug(("a+b", "c")), slug(("a", "b+c"))}) == 4


# Records of stages --------------------------------------------------------------------------------

RECORDS = {
    "no facts": {"facts": None},
    "no files": {"files": None},
    "a list of files": {"files": ["x"]},
    "no sums": {"files": {"x": None}},
    "negative bytes": {"files": {"x": {"bytes": -1, "sha256": ""}}},
    "NaN bytes": {"files": {"x": {"bytes": float("nan"), "sha256": ""}}},
    "true bytes": {"files": {"x": {"bytes": True, "sha256": ""}}},
    "nothing made": {"made": None},
    "made by a list": {"made": []},
    "an id that leads out": {"made": {"id": "../../x", "at": ""}},
    "no time": {"made": {"id": "abc", "at": None}},
    "components of a list": {"components": []},
    "a schema of text": {"schema": "2"},
    "a fingerprint of a list": {"fingerprint": ["print"]},
    "up": {"files": {"../secret": {"bytes": 6, "sha256": ""}}},
    "further up": {"files": {"deep/../../secret": {"bytes": 6, "sha256": ""}}},
    "absolute": {"files": {"/etc/passwd": {"bytes": 6, "sha256": ""}}},
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_record_of_another_form_is_damaged_and_done_again(case, finished, tmp_path):
    (tmp_path / "secret").write_text("secret")
    record = json.loads((finished.path / "stage.json").read_text())
    (finished.path / "stage.json").write_text(json.dumps(record | RECORDS[case]))
    assert finished.facts() is None and finished.why().startswith("damaged: stage.json cannot")
    refused(finished.folder, "does it again", stage.Damaged)
    with finished.writing() as (_, facts):
        facts["value"] = 2
    assert finished.facts() == {"value": 2} and (tmp_path / "secret").read_text() == "secret"


TEXTS = ["[" * 200_000, '{"a":' * 200_000, "[]", "null", "NaN", '{"facts": {}', "\0", "1" * 5000]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_json_that_is_no_record_is_damaged(text, finished, tmp_path):
    (finished.path / "stage.json").write_text(text)
    assert finished.facts() is None and finished.why() == "damaged: stage.json cannot be read"
    (tmp_path / "study.json").write_text(text)
    assert Workdir(tmp_path).study() is None
    refused(lambda: list(states.states(str(tmp_path))), "study.json cannot be read")
    refused(lambda: Workdir(tmp_path).check(Study()), "study.json cannot be read")
    (tmp_path / "report.json").write_text(text)
    refused(lambda: Report.load(tmp_path), "report.json: is damaged or no report")


def test_large_json_is_not_read(tmp_path):
    with open(tmp_path / "report.json", "wb") as file:
        file.truncate(2**40)
    refused(lambda: Report.load(tmp_path), "has more than 64 MiB")


@pytest.mark.parametrize("field", ["versions", "attacks", "kind", "seed", "releases"])
@pytest.mark.parametrize("value", [None, 3, [[]], {"a": 1}, "../x", ["../x"]])
def test_a_study_of_other_types_is_one_line(field, value, tmp_path):
    saved = {"schema": stage.SCHEMA, **Study().to_json(), field: value}
    (tmp_path / "study.json").write_text(json.dumps(saved))
    try:
        list(states.states(str(tmp_path)))
    except (ValueError, OSError) as error:
        assert "\n" not in str(error)
    with pytest.raises(ValueError):
        Workdir(tmp_path).check(Study(seed=99))


# Links and other kinds ----------------------------------------------------------------------------

PLANTED = ["attacks", "answers", "data", "study.json", "report.json", "report.html", "logs", "x/y"]


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("target", ["folder", "file", "nothing"])
def test_links_in_a_workdir_are_named_and_not_followed(name, target, tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "root"
    (outside / "folder").mkdir(parents=True)
    (outside / "folder" / ".aside-precious").write_text("precious")
    (outside / "file").write_text("precious")
    (root / name).parent.mkdir(parents=True)
    (root / name).symlink_to(outside / target)
    before = sorted(outside.rglob("*"))
    message = f"holds {name}, which is a symbolic link"
    for overwrite in (False, True):
        refused(lambda o=overwrite: Workdir(root).claim(Study(), overwrite=o).__enter__(), message)
        refused(lambda: Workdir(root).locked().__enter__(), message)
    refused(lambda: list(states.states(str(root))), message)
    assert sorted(outside.rglob("*")) == before and (outside / "file").read_text() == "precious"


@pytest.mark.parametrize("name", ["lock.json", "study.json", "logs/stages.jsonl"])
def test_pipes_in_a_workdir_are_not_waited_for(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    refused(lambda: Workdir(tmp_path).locked().__enter__(), f"holds {name}, which is a pipe")
    refused(lambda: list(states.states(str(tmp_path))), f"holds {name}, which is a pipe")


def test_the_workdir_itself_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with Workdir(tmp_path / "link").claim(Study()):
        pass
    assert (tmp_path / "real" / "study.json").is_file()


def test_a_stage_that_is_or_holds_a_link_is_damaged(finished, tmp_path):
    (tmp_path / "same").write_text("numbers")
    (finished.path / "deep" / "x.npy").unlink()
    os.symlink(tmp_path / "same", finished.path / "deep" / "x.npy")
    assert finished.facts() is None and "x.npy is no regular file" in finished.why()
    (finished.path / "deep" / "x.npy").unlink()
    (finished.path / "deep").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.npy").write_text("numbers")
    os.symlink(tmp_path / "elsewhere", finished.path / "deep")
    assert "lies behind a symbolic link" in finished.why()
    linked = Stage(tmp_path / "linked", "print")
    os.symlink(finished.path, linked.path)
    assert linked.facts() is None and "is a symbolic link" in linked.why()
    with pytest.raises(ValueError, match="symbolic link"), linked.writing():
        pass
    assert (tmp_path / "elsewhere" / "x.npy").read_text() == "numbers"


def test_a_text_is_not_written_through_a_link(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "report.html").symlink_to("precious")
    refused(lambda: write_text(tmp_path / "report.html", "page"), "report.html: is a symbolic link")
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_report_is_not_written_or_read_through_links(report, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "examples").symlink_to(tmp_path / "elsewhere")
    refused(lambda: report.save(tmp_path / "w"), "examples: is a symbolic link")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    report.save(tmp_path / "elsewhere")
    (tmp_path / "w" / "report.json").symlink_to(tmp_path / "elsewhere" / "report.json")
    refused(lambda: Report.load(tmp_path / "w"), "is a symbolic link")


# Foreign files ------------------------------------------------------------------------------------


def test_overwriting_deletes_nothing_of_others(finished, report, tmp_path):
    mine = [
        "thesis.tex",
        "mine/.aside-mine",
        "data/notes.txt",
        "data/deep/notes",
        "examples/my.csv",
    ]
    report.save(tmp_path)
    for name in mine:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("precious")
    with Workdir(tmp_path).claim(Study(), overwrite=True):
        other = Stage(finished.path, "another print")
        with other.writing() as (_, facts):
            facts["value"] = 2
        report.save(tmp_path)
    assert other.facts() == {"value": 2} and not (tmp_path / "data/deep/x.npy").exists()
    assert [(tmp_path / name).read_text() for name in mine] == ["precious"] * len(mine)


# Reports ------------------------------------------------------------------------------------------

EDITS = {
    "another figure": lambda saved: saved["results"][0]["auc"].update(value=0.5),
    "an attack that leads out": lambda saved: saved["results"][0].update(attack="../../x"),
    "a version that leads out": lambda saved: saved["results"][0].update(release=["../x"]),
    "a figure of text": lambda saved: saved["results"][0]["auc"].update(value="0.5"),
    "a figure of NaN": lambda saved: saved["results"][0]["auc"].update(value=float("nan")),
    "infinite figures": lambda saved: saved["results"][0]["auc"].update(value=float("inf")),
    "an unknown tier": lambda saved: saved["results"][0].update(tier="XX"),
    "rows that are none": lambda saved: saved.update(results=[1, 2]),
    "no rows": lambda saved: saved.update(results=None),
    "no sanity": lambda saved: saved["sanity"].clear(),
    "a study of a list": lambda saved: saved.update(study=[]),
    "counts of text": lambda saved: saved["results"][0].update(n_members="many"),
    "rates of text": lambda saved: saved["results"][0].update(tpr_at_fpr={"x": None}),
    "failures of numbers": lambda saved: saved.update(failures=[{"name": 1, "reason": 2}]),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edited_report_is_seen(case, report, tmp_path):
    report.save(tmp_path)
    saved = json.loads((tmp_path / "report.json").read_text())
    EDITS[case](saved)
    (tmp_path / "report.json").write_text(json.dumps(saved))
    (tmp_path / "study.json").write_text(json.dumps({"schema": stage.SCHEMA, "kind": "audit"}))
    refused(lambda: Report.load(tmp_path), "report.json: is (damaged or no report|not what was)")
    assert not list(states.states(str(tmp_path)))
    shown = list(states.states(str(tmp_path), thorough=True))
    assert [(state.name, state.state) for state in shown] == [("report", states.OPEN)]
    report.save(tmp_path)
    assert not list(states.states(str(tmp_path), thorough=True))


SCORES = {
    "one row": lambda values: values[0],
    "fewer examples": lambda values: values[:, :-1],
    "NaN": lambda values: np.where(values > 0, np.nan, values),
    "texts": lambda values: values.astype(str),
    "objects": lambda values: np.array([[{}]]),
}


@pytest.mark.parametrize("summed", [True, False])
@pytest.mark.parametrize("case", SCORES)
def test_damaged_scores_are_seen(case, summed, report, tmp_path):
    report.save(tmp_path)
    path = tmp_path / "examples" / "scores.npy"
    np.save(path, SCORES[case](np.load(path)))
    if not summed:
        (tmp_path / "examples" / "SHA256SUMS").unlink()
    line = refused(lambda: Report.load(tmp_path), "is damaged|is not what was written")
    assert "examples" in line


def test_the_sums_are_those_that_sha256sum_checks(report, tmp_path):
    report.save(tmp_path)
    command = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(command, cwd=tmp_path / "examples", check=False).returncode == 0


def test_a_log_folder_that_cannot_be_made_is_one_line(report, tmp_path, capsys):
    report.save(tmp_path)
    (tmp_path / "file").write_text("")
    assert cli.main(["tensorboard", str(tmp_path), f"--logdir={tmp_path}/file/below"]) == 2
    line = capsys.readouterr().err
    assert "--logdir=" in line and "cannot be made or written" in line and line.count("\n") == 1


def test_a_void_report_ends_with_four(report, capsys, tmp_path):
    assert outcome.show(report, str(tmp_path), "") == outcome.VOID == 4
    assert "tf-compleak: void: Null run could not be made" in capsys.readouterr().err
    assert outcome.show(report, str(tmp_path), "auc>0.99") == 3
