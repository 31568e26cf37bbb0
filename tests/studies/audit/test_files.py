"""Audits of model files through the command line."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tf_compleak.cli import main as cli
from tf_compleak.studies.audit import query, shadows
from tf_compleak.types import STRONGEST

RNG = np.random.default_rng(0)
W = RNG.standard_normal((4 * 4 * 3, 5)).astype(np.float32)
X = RNG.integers(0, 256, (400, 4, 4, 3), dtype=np.uint8)
Y = ((X.reshape(400, -1) / 127.5 - 1) @ W).argmax(axis=1)


def export(path, shift=0.0):
    """A linear classifier that takes images scaled to -1..1."""

    def forward(x):
        return tf.nn.softmax(tf.reshape(x, [-1, 48]) @ W + shift)

    spec = tf.TensorSpec([None, 4, 4, 3], tf.float32, name="x")
    concrete = tf.function(forward, input_signature=[spec]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.experimental_lower_to_saved_model = False
    path.write_bytes(converter.convert())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("files")
    export(root / "m.tflite")
    export(root / "other.tflite", np.float32([0.4, 0, 0, 0, 0]))
    np.savez(root / "mine.npz", x=X[:200], y=Y[:200])
    np.savez(root / "theirs.npz", x=X[200:], y=Y[200:])
    return root


def flags(files, workdir, **changes):
    chosen = {
        "versions": f"original={files}/m.tflite,other={files}/other.tflite",
        "members": f"npz:{files}/mine.npz",
        "non_members": f"npz:{files}/theirs.npz",
        "preprocess": "-1-1",
        "attacks": "loss,tabular",
        "executor": "inline",
        "workdir": str(workdir),
    } | changes
    return ["audit", *(f"--{name}={value}" for name, value in chosen.items())]


def test_files_are_audited_and_a_second_time_none_is_opened(files, tmp_path, capsys, monkeypatch):
    assert cli.main(flags(files, tmp_path / "a")) == 0
    out = capsys.readouterr().out
    assert "What each version adds" in out and "cross-fitted in 5 folds" in " ".join(out.split())
    saved = json.loads((tmp_path / "a" / "report.json").read_text())
    first, other = saved["versions"]
    assert first["recipe"] == "tflite" and first["bytes"] > 0
    assert first["member_accuracy"]["value"] == 1.0 and other["agreement"]["value"] > 0.8
    assert "inputs prepared as -1-1" in first["notes"]
    assert saved["sanity"]["blind_auc"]["measurable"]
    assert "upper view" in (tmp_path / "a" / "report.html").read_text()

    with monkeypatch.context() as patch:
        patch.setattr(query, "Opened", None)
        assert cli.main(flags(files, tmp_path / "a")) == 0
    again = tmp_path / "b"
    flagfile = f"--flagfile={tmp_path / 'a' / 'flags.cfg'}"
    assert cli.main(["audit", flagfile, f"--workdir={again}"]) == 0
    assert json.loads((again / "report.json").read_text())["results"] == saved["results"]


def test_the_gate_ends_with_three(files, tmp_path, capsys):
    assert cli.main(flags(files, tmp_path, fail_if="auc>0.1,tpr@0.1>0.999")) == 3
    assert "tf-compleak: FAILED: auc = " in capsys.readouterr().err
    assert json.loads((tmp_path / "verdict.json").read_text())["passed"] is False
    assert cli.main(flags(files, tmp_path, fail_if="auc>0.99")) == 0
    assert "passed: " in capsys.readouterr().err


def test_wrong_preprocessing_is_named(files, tmp_path, capsys):
    assert cli.main(flags(files, tmp_path / "a", preprocess="none")) == 0  # still beats guessing
    shifted = tmp_path / "shifted.npz"
    np.savez(shifted, x=X[:200], y=(Y[:200] + 1) % 5)
    np.savez(tmp_path / "theirs.npz", x=X[200:], y=(Y[200:] + 1) % 5)
    changes = {"members": shifted, "non_members": tmp_path / "theirs.npz"}
    assert cli.main(flags(files, tmp_path / "b", **changes)) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "no better than guessing" in line and "--label_offset" in line
    # a mended command may use the folder of an audit that came to nothing
    assert cli.main(flags(files, tmp_path / "b", **changes, force="true")) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"versions": "original"}, "write NAME=PATH"),
        ({"versions": "a=x.tflite,a=y.tflite"}, "a is named twice"),
        ({"versions": "original=/nowhere/m.tflite"}, "/nowhere/m.tflite: no such file"),
        ({"members": ""}, "--members: missing"),
        ({"non_members": "npz:{files}/mine.npz"}, "200 example(s) are among the members, too"),
        ({"fail_if": "auc=1"}, "--fail_if: 'auc=1' is no condition"),
        ({"subset_budget": "auc>1"}, "--subset_budget: 'auc>1' is no condition"),
        ({"marginal": "size"}, "--marginal: unknown 'size'"),
        ({"time_limit": "0"}, "--time_limit"),
        ({"output": "7"}, "has no output '7'"),
        ({"preprocess": "no_module:f"}, "cannot be imported"),
        ({"shadows": "/nowhere"}, "--shadows=/nowhere: no such folder"),
        ({"workdir": "/proc/audit"}, "/proc"),
    ],
)
def test_bad_input_gets_one_line(files, tmp_path, capsys, changes, message):
    changes = {key: value.format(files=files) for key, value in changes.items()}
    assert cli.main(flags(files, changes.pop("workdir", tmp_path / "a"), **changes)) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("tf-compleak: ") and len(err.splitlines()) == 1
    assert not (tmp_path / "a" / "report.json").exists()


def test_a_corrupt_file_is_named(files, tmp_path, capsys):
    (tmp_path / "bad.tflite").write_bytes((files / "m.tflite").read_bytes()[:700])
    line = flags(files, tmp_path / "a", versions=f"original={tmp_path}/bad.tflite")
    assert cli.main(line) == 2
    err = capsys.readouterr().err
    assert str(tmp_path / "bad.tflite") in err and len(err.splitlines()) == 1


def test_files_of_shadows(files, tmp_path):
    folder = tmp_path / "shadow"
    folder.mkdir()
    for name in ("original", "other"):
        source = "m" if name == "original" else "other"
        (folder / f"{name}.tflite").write_bytes((files / f"{source}.tflite").read_bytes())
    x = RNG.integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
    y = ((x.reshape(300, -1) / 127.5 - 1) @ W).argmax(axis=1)
    np.savez(folder / "members.npz", x=x[:150], y=y[:150])
    np.save(folder / "non_members_x.npy", x[150:])
    np.save(folder / "non_members_y.npy", y[150:])
    assert cli.main(flags(files, tmp_path / "a", shadows=folder)) == 0
    saved = json.loads((tmp_path / "a" / "report.json").read_text())
    assert saved["results"][0]["num_shadows"] == 1 and "1 shadow" in saved["provenance"]["fitted"]


def test_several_inputs_by_name_and_a_background_class(tmp_path, capsys):
    """Words and a mask in, three outputs of which the first is background: labels are shifted."""
    table = RNG.standard_normal((30, 2)).astype(np.float32)

    def forward(words, mask):
        seen = tf.reduce_sum(tf.gather(table, words) * mask[..., None], axis=1)
        return {"classes": tf.concat([tf.fill([tf.shape(words)[0], 1], -9.0), seen], 1)}

    specs = [tf.TensorSpec([None, 6], tf.int32, "words"), tf.TensorSpec([None, 6], name="mask")]
    concrete = tf.function(forward, input_signature=specs).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.experimental_lower_to_saved_model = False
    (tmp_path / "m.tflite").write_bytes(converter.convert())
    words, mask = RNG.integers(30, size=(300, 6)), np.float32(RNG.random((300, 6)) < 0.8)
    y = (table[words] * mask[..., None]).sum(axis=1).argmax(axis=1)
    for name, part in (("mine", slice(150)), ("theirs", slice(150, 300))):
        np.savez(tmp_path / f"{name}.npz", words=words[part], mask=mask[part], y=y[part])
    changes = {"versions": f"original={tmp_path}/m.tflite", "preprocess": "auto"}
    assert cli.main(flags(tmp_path, tmp_path / "a", **changes)) == 2
    assert "With --label_offset=1 it is 1.000" in capsys.readouterr().err
    assert cli.main(flags(tmp_path, tmp_path / "a", **changes, label_offset=1)) == 0
    saved = json.loads((tmp_path / "a" / "report.json").read_text())
    assert saved["versions"][0]["output"] == "logits"
    assert saved["versions"][0]["non_member_accuracy"]["value"] == 1.0
    np.savez(tmp_path / "mine.npz", words=words[:150], y=y[:150])
    np.savez(tmp_path / "theirs.npz", words=words[150:], y=y[150:])
    assert cli.main(flags(tmp_path, tmp_path / "b", **changes)) == 2
    assert "has the inputs" in capsys.readouterr().err


@pytest.mark.slow
def test_samia_asks_for_sensitivities(files, tmp_path):
    line = flags(files, tmp_path, attacks="samia,loss", sensitivity_queries=2, marginal="none")
    assert cli.main(line) == 0
    saved = json.loads((tmp_path / "report.json").read_text())
    assert {row["attack"] for row in saved["results"]} == {"samia", "loss", STRONGEST}


def test_ctrl_c_ends_with_one_line_and_loses_no_answers(files, tmp_path):
    large = tmp_path / "large.npz"
    np.savez(
        large, x=RNG.integers(0, 256, (60_000, 4, 4, 3), dtype=np.uint8), y=np.arange(60_000) % 5
    )
    line = flags(files, tmp_path / "a", members=large, force="true", batch=1)
    command = [sys.executable, "-m", "tf_compleak", *line]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    answers, started = tmp_path / "a" / "answers", time.monotonic()
    while not list(answers.rglob("stage.json")) and time.monotonic() - started < 60:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1].startswith("tf-compleak: interrupted")
    assert list(answers.rglob("stage.json"))
    assert not [line for line in os.popen("ps -eo args") if str(tmp_path) in line]


def test_an_audit_of_files_loads_no_tensorflow(files, tmp_path):
    code = (
        "import sys; from tf_compleak.cli import main as cli\n"
        "assert cli.main(sys.argv[1:]) == 0\n"
        "print([m for m in ('tensorflow', 'tf_keras', 'keras') if m in sys.modules])\n"
    )
    command = [sys.executable, "-c", code, *flags(files, tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_report_says_that_examples_were_asked_twice(files, tmp_path):
    assert cli.main(flags(files, tmp_path, marginal="none", attacks="loss")) == 0
    saved = json.loads((tmp_path / "report.json").read_text())
    for version in saved["versions"]:
        assert any("64 examples asked twice" in note for note in version["notes"])
    assert "cautions" not in saved["provenance"]


def test_a_shadow_is_found_whatever_kind_of_file_a_run_has_made(tmp_path):
    for name, file in (("a", "model.keras"), ("b", "model.tflite"), ("c", "saved_model.pb")):
        path = tmp_path / "versions" / name / ("model" if name == "c" else "") / file
        path.parent.mkdir(parents=True)
        path.touch()
        found = shadows._version(tmp_path, name)
        assert found == str(path.parent if name == "c" else path)
