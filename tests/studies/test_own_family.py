"""Families by the user's own code: what is refused, what is made again, what is said of errors."""

import shutil
import subprocess

import numpy as np
import pytest
import tiny

from tf_compleak.cli import main as cli
from tf_compleak.studies.run import source
from tf_compleak.studies.run.run_stages import Data, DataFolder, Observation, Training
from tf_compleak.studies.study import Study

MODEL = """
import tf_keras

class Own:
    def build(self, input_shape, classes):
        print("building for", input_shape)
        return tf_keras.Sequential([
            tf_keras.layers.Input(input_shape),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(classes, activation="softmax"),
        ])
"""
TRAINS = """
    def train(self, model, members, validation, seed):
        assert len(members[0]) == 60 and len(validation[0]) == 40
        print("trained with seed", seed)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(*members, epochs=2, verbose=0)
        TRAINED_HERE
"""


@pytest.fixture
def own(tmp_path):
    """Writes the user's file; its --family."""

    def write(text):
        (tmp_path / "mine.py").write_text(text)
        return f"{tmp_path}/mine.py:Own"

    return write


def run(workdir, family, *flags, executor="inline"):
    flags = [f"--family={family}", "--depth=0", "--width=0", "--versions=original", *flags]
    return cli.main(tiny.command(workdir, *flags, executor=executor)[3:])


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("class Own: pass", {}, "Own has none of build, train, make"),
        ("class Own:\n def train(self): pass", {}, "Own has train; give it build, or build and"),
        ("class Owl:\n def build(self): pass", {}, "unknown 'Own'. Did you mean 'Owl'"),
        (MODEL, {"model": "resnet"}, "--model=resnet: the model is that of --family"),
        (MODEL, {"width": 3}, "--width=3: the model is that of --family"),
    ],
)
def test_a_study_says_at_once_what_its_family_lacks(own, text, changes, message):
    with pytest.raises(ValueError, match=message):
        Study(family=own(text), **changes)
    with pytest.raises(ValueError, match="--family: got a type"):
        Study(family=Study)


def test_the_content_of_the_file_is_what_a_training_depends_on(own, tmp_path):
    def fingerprints(**changes):
        study = Study(**changes)
        opened = source.Source(study, root)
        return [
            kind.stage(opened).fingerprint
            for kind in (Training("target"), Observation("target", "original"))
        ]

    root = str(tmp_path / "w")
    tiny.made(Data(), DataFolder(Study(), root, None))
    family = own(MODEL)
    before = fingerprints(family=family)
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.copy(tmp_path / "mine.py", tmp_path / "elsewhere" / "moved.py")
    assert fingerprints(family=f"{moved}:Own") == before
    assert fingerprints(family=family, epochs=3) != before
    own(MODEL + "# a change\n")
    after = fingerprints(family=family)
    assert not set(after) & set(before) and not set(fingerprints()) & set(before)
    own(MODEL + TRAINS)
    trained = fingerprints(family=family)
    assert fingerprints(family=family, epochs=3) == trained  # the training has its own
    assert fingerprints(family=family, seed=3) != trained


def test_a_file_that_changes_while_the_study_runs_is_no_longer_what_it_began_with(own, tmp_path):
    root = str(tmp_path / "w")
    family = own(MODEL + TRAINS.replace("TRAINED_HERE", ""))
    study = Study(family=family)
    tiny.made(Data(), DataFolder(study, root, None))
    began = source.Source(study, root)
    own(MODEL + "# another\n")
    with pytest.raises(ValueError, match="has changed since this run began; give the same command"):
        tiny.made(Training("target"), began)
    assert source.opened(study, root).own_code != began.own_code  # another run in this process
    now = source.Source(study, root)
    assert now.fingerprint(Training("target")) != began.fingerprint(Training("target"))


def test_what_is_printed_is_in_the_stages_log_and_errors_are_one_line(own, tmp_path, capsys):
    family = own((MODEL + TRAINS).replace("TRAINED_HERE", "if seed % 1 == 0: model.gone"))
    assert run(tmp_path / "w", family) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    line = 1 + (MODEL + TRAINS).splitlines().index("        TRAINED_HERE")
    assert f"train target: {tmp_path}/mine.py:{line}: AttributeError: " in error
    log = (tmp_path / "w" / "logs" / "train-target.log").read_text()
    assert "trained with seed" in log and "building for (8, 8, 1)" in log and "Traceback" in log


@pytest.mark.slow
def test_workers_load_the_file_and_nothing_is_done_twice(own, tmp_path, capsys):
    family = own((MODEL + TRAINS).replace("TRAINED_HERE", ""))
    assert run(tmp_path / "w", family, executor="processes") in (0, 4)
    assert "trained with seed" in (tmp_path / "w" / "logs" / "train-shadow-0.log").read_text()
    weights = np.load(tmp_path / "w" / "families" / "target" / "training" / "weights.npz")
    assert [weights[name].shape for name in weights.files] == [(64, 10), (10,)]
    assert "building for" not in capsys.readouterr().out
    assert run(tmp_path / "w", family) in (0, 4)
    assert tiny.events(tmp_path / "w").count(("train target", "done")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_figures_are_the_same_in_one_process_and_in_two(own, tmp_path, compiled):
    """Graphs that are warm and cold, dropout and all."""
    layers = "tf_keras.layers.Dropout(0.4),\n            tf_keras.layers.Dense(classes"
    text = MODEL.replace("tf_keras.layers.Dense(classes", layers)
    if compiled:
        text = text.replace("return tf", "model = tf")
        text += "        model.compile('adam', 'sparse_categorical_crossentropy')\n"
        text += "        return model\n"
    family, figures = own(text), []
    for name, executor in (("one", "inline"), ("two", "processes")):
        flags = ("--versions=original,pruning-0.60,int8-ptq", "--workers=2", "--num_shadows=2")
        assert run(tmp_path / name, family, *flags, executor=executor) in (0, 4)
        figures.append(tiny.figures(tmp_path / name))
    assert figures[0] == figures[1]
    assert {of["status"] for of in figures[0]["versions"]} == {"ok"}


def test_a_family_of_texts_is_refused(own, tmp_path):
    (tmp_path / "films.tsv").write_text("".join(f"a film {i}\t{i % 2}\n" for i in range(400)))
    line = ["--dataset=text:films.tsv", "--model=convnet", f"--family={own(MODEL)}"]
    done = subprocess.run(
        tiny.command(tmp_path / "w", *line, "--depth=0", "--width=0"),
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2 and "--family takes numbers" in done.stderr
