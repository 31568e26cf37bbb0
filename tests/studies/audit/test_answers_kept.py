"""Answers that are kept: what they depend on, what a dry run tells of them, how an audit is run."""

import os

import numpy as np
import plain_tflite
import pytest

import tf_compleak
from tf_compleak.data.sides import of_arrays
from tf_compleak.studies.audit import audit, query, sensitivities
from tf_compleak.studies.audit.audit_settings import Audit, Where
from tf_compleak.studies.audit.given_versions import outputs_of
from tf_compleak.studies.audit.open_model import Asking, Opened

N = 60
RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 256, (2 * N, 6), dtype=np.uint8), np.arange(2 * N) % 4
WEIGHTS = RNG.standard_normal((6, 4)).astype(np.float32)
SIDES = (X[:N], Y[:N]), (X[N:], Y[N:])
MORE = {"force": True, "attacks": ("loss",), "marginal": "none", "executor": "inline"}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "m.tflite"
    path.write_bytes(plain_tflite.classifier(WEIGHTS))
    return path


def floats(x):
    return x.astype(np.float32) / 255


@pytest.mark.parametrize("floating", [(0,), (1,)])
def test_auto_means_the_same_whichever_side_is_bytes(file, floating):
    sides = tuple(
        of_arrays(floats(x) if index in floating else x, y, f"side {index}")
        for index, (x, y) in enumerate(SIDES)
    )
    both = tuple(of_arrays(x, y, "bytes") for x, y in SIDES)
    answers = []
    for given in (sides, both):
        model = Opened(str(file), Asking(), given)
        try:
            answers.append(model.ask_rows(given, np.arange(2 * N)))
            assert model.facts()["preprocess"] == "0-1"
        finally:
            model.close()
    np.testing.assert_array_equal(*answers)


def test_a_resumed_audit_of_mixed_sides_is_a_fresh_one(file, tmp_path, monkeypatch):
    """The first audit stops after one part of the answers; the second goes on with the others."""
    monkeypatch.setattr("tf_compleak.studies.audit.order.PART", 30)
    mixed = (floats(X[:N]), Y[:N]), SIDES[1]
    fresh = tf_compleak.audit({"original": file}, *mixed, workdir=tmp_path / "a", **MORE)

    def stop(task, done, total, text):
        if task == "asking original" and total > 1 and done > 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tf_compleak.audit({"original": file}, *mixed, workdir=tmp_path / "b", tell=stop, **MORE)
    kept = list((tmp_path / "b" / "answers").rglob("stage.json"))
    assert kept and len(kept) < len(list((tmp_path / "a" / "answers").rglob("stage.json")))
    resumed = tf_compleak.audit({"original": file}, *mixed, workdir=tmp_path / "b", **MORE)
    assert resumed.results == fresh.results and resumed.versions == fresh.versions


def test_answers_to_bytes_are_not_answers_to_floats_of_the_same_content(file, tmp_path):
    """The same numbers of another type are prepared in another way: they are asked anew."""
    reports = []
    for kind in (np.uint8, np.float32):
        sides = [(x.astype(kind), y) for x, y in SIDES]
        more = MORE | {"workdir": tmp_path / "a", "overwrite": True}
        reports.append(tf_compleak.audit({"original": file}, *sides, **more))
    fresh = tf_compleak.audit({"original": file}, *sides, workdir=tmp_path / "b", **MORE)
    assert reports[1].results == fresh.results != reports[0].results


def test_noise_depends_on_no_path_and_on_no_block(file, tmp_path, monkeypatch):
    other = tmp_path / "other name.tflite"
    other.write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    sides = tuple(of_arrays(floats(x), y, "x") for x, y in SIDES)
    moved = []
    for path, block in ((str(file), 64), (str(other), 64), (other.name, 16)):
        family = query.Family("target", {"a": path}, sides, ("1", "2"))
        settings = Audit(versions=(("a", path),), members="", non_members="")
        monkeypatch.setattr(Opened, "block", lambda self, side, block=block: block)
        how = (settings, Asking(batch=block), tmp_path / f"w{len(moved)}", lambda *news: None)
        moved.append(sensitivities.sensitivities(family, {"a": "logits"}, *how))
    np.testing.assert_array_equal(moved[0], moved[1])
    np.testing.assert_allclose(moved[0], moved[2], rtol=1e-3, atol=1e-4)
    assert moved[0].max() > 0


# A dry run ----------------------------------------------------------------------------------------


def given_outputs(shift=0.0):
    logits = np.float32(floats(X) @ WEIGHTS + 3 * np.eye(4)[Y])
    logits[:, 0] += shift
    return {"original": (logits[:N], logits[N:])}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"shift": 1.0}, "probabilities"),
        ({"labels": (Y + 1) % 4}, "labels"),
        ({"label_offset": 1, "labels": Y % 3}, "labels"),
        ({"outputs": "probabilities"}, "probabilities"),
    ],
)
def test_a_dry_run_tells_what_given_outputs_and_flags_change(tmp_path, change, expected):
    more = MORE | {"workdir": str(tmp_path / "a")}
    if "outputs" in change:  # positive rows that sum to one: read as probabilities or as logits
        values = np.random.default_rng(1).dirichlet(np.ones(4), 2 * N)
        versions, start = {"original": (values[:N], values[N:])}, {"outputs": "logits"}
    else:
        versions, start = given_outputs(), {}
    tf_compleak.audit(versions, (None, Y[:N]), (None, Y[N:]), **more, **start)
    same = audit.would_run(versions, (None, Y[:N]), (None, Y[N:]), **more, **start)
    assert same == []
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}
    change = dict(change)
    versions = given_outputs(change.pop("shift")) if "shift" in change else versions
    labels = change.pop("labels", Y)
    more |= {"overwrite": True, **change}
    tasks = audit.would_run(versions, (None, labels[:N]), (None, labels[N:]), **more)
    assert tasks[0][0] == "observations of target" and expected in tasks[0][1]
    assert ("loss original", "waits for the answers") in tasks
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}


# How an audit is called ---------------------------------------------------------------------------


def test_where_it_runs_may_be_given_by_plain_names(tmp_path):
    where = Where(workdir=str(tmp_path / "a"), executor="processes", workers=2)
    sides = (None, Y[:N]), (None, Y[N:])
    report = tf_compleak.audit(given_outputs(), *sides, where=where, **MORE)
    plain = tf_compleak.audit(given_outputs(), *sides, workdir=tmp_path / "b", **MORE)
    assert report.results == plain.results and os.path.exists(tmp_path / "b" / "report.json")
    with pytest.raises(ValueError, match=r"audit: unknown .workdirs.\. Did you mean .workdir."):
        tf_compleak.audit(given_outputs(), *sides, workdirs="a", **MORE)


def test_outputs_are_a_tuple_or_a_list_of_arrays_or_of_paths(tmp_path):
    sides = (None, Y[:N]), (None, Y[N:])
    members, non_members = given_outputs()["original"]
    paths = [tmp_path / "m.npy", tmp_path / "n.npy"]
    for path, array in zip(paths, (members, non_members), strict=True):
        np.save(path, array)
    expected = tf_compleak.audit(given_outputs(), *sides, **MORE).results
    for pair in ([members, non_members], paths, f"{paths[0]}+{paths[1]}"):
        assert tf_compleak.audit({"original": pair}, *sides, **MORE).results == expected
    for wrong in (members, [members], {"a": members}, 7):
        with pytest.raises(ValueError, match=r"version original: got a .* as a pair") as caught:
            tf_compleak.audit({"original": wrong}, *sides, **MORE)
        assert "\n" not in str(caught.value)


def test_outputs_of_rows_of_several_lengths_name_the_version():
    with pytest.raises(ValueError, match=r"version int8: outputs .* rows of several lengths"):
        outputs_of("int8", ([[0.5, 0.5], [1.0]], [[0.5, 0.5]]))
