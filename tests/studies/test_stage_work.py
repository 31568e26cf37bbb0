"""Stages: what is kept and what is done again."""

import contextlib
import dataclasses
import types

import numpy as np
import pytest
from tiny import made

from tf_compleak.leakage.plan import Run
from tf_compleak.leakage.question_stages import BlindBaseline, NullRun, Scoring
from tf_compleak.studies.run import asking, run_versions, source
from tf_compleak.studies.run.run_stages import Data, DataFolder, Extra, Training, VersionFile
from tf_compleak.studies.study import Study


def save(path, seed):
    rng = np.random.default_rng(seed)
    np.savez(path, x=rng.random((120, 4, 4)), y=np.arange(120) % 3)


def test_data_is_loaded_again_only_when_its_files_have_changed(tmp_path):
    path, root = tmp_path / "data.npz", str(tmp_path / "w")
    sizes = dict.fromkeys(("num_members", "num_non_members", "num_validation"), 20)
    study = Study(dataset=f"npz:{path}", num_population=10, **sizes)
    save(path, 0)
    data = DataFolder(study, root, None)
    assert Data().why(data) == "missing"
    first = made(Data(), data)
    assert not Data().why(data)
    before = source.Source(study, root)
    training = Training("target").stage(before).fingerprint
    blind = BlindBaseline().stage(before).fingerprint
    save(path, 1)
    assert "the files of --dataset=npz:" in Data().why(data)
    assert made(Data(), data)["sha256"] != first["sha256"]
    after = source.Source(study, root)
    assert Training("target").stage(after).fingerprint != training
    assert BlindBaseline().stage(after).fingerprint != blind
    assert source.opened(study, root).sha256 == after.sha256
    nulls = {
        NullRun(Run(name, ("original",), "target", ("shadow-0",))).stage(after).fingerprint
        for name in ("entropy", "nasr-lr")
    }
    assert len(nulls) == 2
    crossed = Run("entropy", ("original",))
    folds = source.Source(dataclasses.replace(study, folds=3), root)
    assert Scoring(crossed).stage(folds).fingerprint != Scoring(crossed).stage(after).fingerprint
    assert NullRun(crossed).stage(folds).fingerprint == NullRun(crossed).stage(after).fingerprint
    path.unlink()  # the workdir holds all that a finished study needs
    assert not Data().why(data)


@pytest.mark.parametrize("changes", [{"split": "halves"}, {"seed": 1}])
def test_the_blind_baseline_is_made_anew_when_others_are_members_of_the_same_data(
    tmp_path, changes
):
    path, root = tmp_path / "data.npz", str(tmp_path / "w")
    save(path, 0)
    sizes = dict.fromkeys(("num_members", "num_non_members", "num_validation"), 20)
    study = Study(dataset=f"npz:{path}", num_population=10, **sizes)
    made(Data(), DataFolder(study, root, None))
    before = source.Source(study, root)
    assert made(BlindBaseline(), before) is not None and not BlindBaseline().why(before)
    after = source.Source(dataclasses.replace(study, **changes), root)
    assert BlindBaseline().why(after)
    made(BlindBaseline(), after)
    members = np.load(BlindBaseline().stage(after).folder() / "members.npy")
    np.testing.assert_array_equal(members, after.inputs().members)


def test_the_report_names_the_kernels_that_were_left_alone(tmp_path):
    path, root = tmp_path / "data.npz", str(tmp_path / "w")
    save(path, 0)
    sizes = dict.fromkeys(("num_members", "num_non_members", "num_validation"), 20)
    study = Study(dataset=f"npz:{path}", num_population=10, **sizes)
    made(Data(), DataFolder(study, root, None))
    src = source.Source(study, root)
    kept = {"kernels": ["a/depthwise_kernel", "b/depthwise_kernel"], "share": 0.125}
    facts = {"pruning-0.60": kept, "clustering-8": kept, "original": {"kernels": [], "share": 0.0}}
    for name, left_alone in facts.items():
        with VersionFile("target", name).stage(src).writing() as (_, record):
            record["left_alone"] = left_alone
    records = {name: run_versions.record(src, name) for name in facts}
    for name, done in (("pruning-0.60", "pruned"), ("clustering-8", "clustered")):
        assert records[name].left_alone == tuple(kept["kernels"])
        assert records[name].left_alone_share == 0.125
        note = f"2 kernels (depthwise_kernel), 12.5% of all kernels' weights, are not {done}"
        assert note in records[name].notes
    assert records["original"].left_alone == records["original"].notes == ()


def test_the_report_says_what_activation_ranges_are_found_on(tmp_path):
    """--calibration: examples of that part of the split, at most all; none without INT8."""
    path, root = tmp_path / "data.npz", str(tmp_path / "w")
    save(path, 0)
    sizes = dict.fromkeys(("num_members", "num_non_members", "num_validation"), 20)

    def opened(**changes):
        study = Study(dataset=f"npz:{path}", num_population=10, **sizes, **changes)
        made(Data(), DataFolder(study, root, None))
        return source.Source(study, root)

    for name in ("validation", "members"):
        src = opened(calibration=name, calibration_size=15)
        assert set(src.calibration("target")) < set(getattr(src.splits["target"], name))
        with VersionFile("target", "int8-ptq").stage(src).writing() as (_, record):
            record["left_alone"] = {"kernels": [], "share": 0.0}
        text = run_versions.representative_data(src)
        assert text.split(":")[0].split()[0] == name
        assert run_versions.record(src, "int8-ptq").notes == (
            f"activation ranges found on 15 {text}",
        )
    assert len(opened(calibration_size=100).calibration("target")) == 20
    prints = set()
    for name in ("validation", "members"):
        src = opened(calibration=name, versions=("original", "float16-ptq"))
        assert run_versions.representative_data(src) == "none: no version takes any"
        prints.add(str(src.versions_from()))
    assert len(prints) == 1


def test_what_changes_a_training_changes_its_fingerprint_and_nothing_else_does(tmp_path):
    path, root = tmp_path / "data.npz", str(tmp_path / "w")
    save(path, 0)
    sizes = dict.fromkeys(("num_members", "num_non_members", "num_validation"), 20)

    def training(**changes):
        study = Study(dataset=f"npz:{path}", num_population=10, **sizes, **changes)
        made(Data(), DataFolder(study, root, None))
        return Training("target").stage(source.Source(study, root)).fingerprint

    plain = training()
    for changes in (
        {"early_stopping": 3},
        {"checkpoint": "last"},
        {"mixed_precision": "bfloat16"},
        {"width": 8},
    ):
        assert training(**changes) != plain, changes
    assert training(depth=5, width=16) == plain  # the architecture's own, spelled out


def with_copies(path, copied):
    """120 examples and the first `copied` of them once more, as `.npz`."""
    rng = np.random.default_rng(0)
    x, y = rng.random((120, 4, 4)), np.arange(120) % 3
    np.savez(path, x=np.concatenate([x, x[:copied]]), y=np.concatenate([y, y[:copied]]))


@pytest.mark.parametrize("split", ["disjoint", "halves"])
def test_no_two_examples_of_any_split_have_the_same_content(tmp_path, split):
    path, root = tmp_path / "data.npz", str(tmp_path / "w")
    with_copies(path, copied=100)
    sizes = dict.fromkeys(("num_members", "num_non_members", "num_validation"), 20)
    study = Study(dataset=f"npz:{path}", num_population=10, split=split, **sizes)
    facts = made(Data(), DataFolder(study, root, None))
    src = source.Source(study, root)
    everyone = [src.splits[name].scored for name in study.families]
    everyone += [src.splits["target"].validation, src.splits["target"].population]
    rows = np.unique(np.concatenate(everyone))
    assert len(np.unique(src.examples.x[rows].reshape(len(rows), -1), axis=0)) == len(rows)
    assert len(src.examples) == 120 and facts["duplicates"] == {
        "examples": 220,
        "count": 100,
        "relabelled": 0,
    }
    assert src.dropped.sentence().startswith("100 of 220 examples were left out before the split")


def test_copies_of_texts_are_left_out_before_any_vocabulary_is_learned(tmp_path):
    path, root = tmp_path / "films.tsv", str(tmp_path / "w")
    lines = [f"a film of number {index}\t{index % 2}" for index in range(110)]
    path.write_text("\n".join([*lines, *lines[:40], "a film of number 7\t0"]) + "\n")
    sizes = dict.fromkeys(("num_members", "num_non_members", "num_validation"), 20)
    study = Study(dataset=f"text:{path}", model="bert", num_population=5, **sizes)
    facts = made(Data(), DataFolder(study, root, None))
    assert facts["duplicates"] == {"examples": 151, "count": 41, "relabelled": 1}
    examples = source.Source(study, root).examples
    assert len(set(examples.x)) == len(examples) == 110
    np.testing.assert_array_equal(examples.ids, np.arange(110))


def test_too_few_examples_of_different_content_are_refused_in_one_line(tmp_path):
    path, root = tmp_path / "data.npz", str(tmp_path / "w")
    with_copies(path, copied=100)
    sizes = dict.fromkeys(("num_members", "num_non_members", "num_validation"), 30)
    study = Study(dataset=f"npz:{path}", num_population=10, **sizes)
    with pytest.raises(ValueError) as error:
        made(Data(), DataFolder(study, root, None))
    line = str(error.value)
    assert "120 examples, 160 needed" in line and "\n" not in line
    assert "100 of 220 examples were left out before the split" in line


def test_no_examples_aside_are_answered_by_no_rows(monkeypatch):
    """As in halves without a population, whose shadows lira-online can do without."""
    monkeypatch.setattr(asking, "_model", lambda source, stage: contextlib.nullcontext())
    nobody = types.SimpleNamespace(
        aside=lambda family: np.arange(0), examples=types.SimpleNamespace(classes=7)
    )
    answers = asking._aside(print, nobody, Extra("aside", "target", "original"))
    assert answers["probabilities"].shape == (0, 7)
