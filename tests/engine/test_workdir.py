"""Workdirs: claimed by one study, stages whole or not there."""

import json

import pytest

from tf_compleak.engine.workdir import ASIDE, Stage, Workdir, fingerprint, slug, write_text
from tf_compleak.studies.study import Study


def test_a_stage_is_there_in_full_or_not_at_all(tmp_path):
    stage = Stage(tmp_path / "a" / "b", "f1")
    assert stage.facts() is None
    with pytest.raises(RuntimeError), stage.writing() as (folder, facts):
        (folder / "file").write_text("half")
        facts["x"] = 1
        raise RuntimeError
    assert not stage.path.exists() and list((tmp_path / "a").iterdir()) == []
    with stage.writing() as (folder, facts):
        (folder / "file").write_text("whole")
        facts["x"] = 1
    assert stage.facts() == {"x": 1}
    assert Stage(stage.path, "f2").facts() is None
    with Stage(stage.path, "f2").writing() as (folder, facts):
        facts["x"] = 2
    assert not (stage.path / "file").exists()
    assert stage.facts() is None and Stage(stage.path, "f2").facts() == {"x": 2}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"fingerprint": "other", "facts": {}}'])
def test_a_damaged_record_means_do_it_again(tmp_path, text):
    (tmp_path / "stage.json").write_text(text)
    assert Stage(tmp_path, "f").facts() is None


def test_another_studys_workdir_is_refused_and_left_alone(tmp_path):
    first, second = Study(seed=1), Study(seed=2, width=8)
    with Workdir(tmp_path).claim(first):
        pass
    before = (tmp_path / "study.json").read_text()
    with (
        pytest.raises(ValueError, match=r"another study .*width: 0 there, 8 here.*--overwrite"),
        Workdir(tmp_path).claim(second),
    ):
        pass
    assert (tmp_path / "study.json").read_text() == before
    with Workdir(tmp_path).claim(first):
        pass
    with Workdir(tmp_path).claim(second, overwrite=True):
        pass
    assert json.loads((tmp_path / "study.json").read_text())["seed"] == 2


def test_a_claim_is_given_up_when_the_data_cannot_be_used(tmp_path):
    with pytest.raises(ValueError, match="no data"), Workdir(tmp_path / "w").claim(Study()):
        raise ValueError("no data")
    with Workdir(tmp_path / "w").claim(Study(seed=5)):
        pass


def test_foreign_files_and_files_in_place_of_folders_are_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="holds files but no study"):
        Workdir(tmp_path).claim(Study()).__enter__()
    with pytest.raises(ValueError, match="is a file"):
        Workdir(tmp_path / "thesis.tex").claim(Study()).__enter__()


def test_a_users_folder_called_data_is_never_replaced(tmp_path):
    mine = tmp_path / "data" / "mine.npz"
    mine.parent.mkdir()
    mine.write_text("precious")
    with pytest.raises(ValueError, match="holds files but no study"):
        Workdir(tmp_path).claim(Study()).__enter__()
    with (
        Workdir(tmp_path).claim(Study(), overwrite=True),
        pytest.raises(ValueError, match="not this tool's"),
        Stage(tmp_path / "data", "f").writing(),
    ):
        pass
    assert mine.read_text() == "precious"


def test_a_full_disk_that_numpy_tells_without_a_number_is_named(tmp_path):
    with (
        pytest.raises(OSError, match=r"No space left on device.*a stage"),
        Stage(tmp_path / "a stage", "f").writing(),
    ):
        raise OSError("115008 requested and 15328 written")


def test_leftovers_of_a_killed_run_are_removed(tmp_path):
    with Workdir(tmp_path).claim(Study()):
        pass
    (tmp_path / "families" / f"{ASIDE}x").mkdir(parents=True)
    (tmp_path / f"{ASIDE}y").write_text("half")
    with Workdir(tmp_path).claim(Study()):
        pass
    assert not list(tmp_path.rglob(f"{ASIDE}*"))


def test_write_text_replaces_whole_files(tmp_path):
    write_text(tmp_path / "deep" / "f", "one")
    write_text(tmp_path / "deep" / "f", "two")
    assert (tmp_path / "deep" / "f").read_text() == "two"
    assert len(list((tmp_path / "deep").iterdir())) == 1


def test_fingerprints_and_slugs():
    assert fingerprint(a=1, b=[2]) == fingerprint(b=[2], a=1) != fingerprint(a=1, b=[3])
    assert slug(("original", "int8-ptq")) == "original+int8-ptq"
    many = tuple(f"pruning-0.{i}" for i in range(10, 60))
    assert len(slug(many)) < 100 and slug(many) != slug(many[:-1])
