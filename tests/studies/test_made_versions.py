"""Versions that the user's own code makes: kept, asked, and what of them fails alone."""

import re

import numpy as np
import pytest
import tiny

from tf_compleak.cli import main as cli
from tf_compleak.report.report import Report
from tf_compleak.studies.run import run_versions, train_command
from tf_compleak.studies.study import Study

FLAGS = ("--depth=0", "--width=0", "--attacks=loss,nasr-lr")
SHADOW = train_command.seed(Study(), "shadow-0")  # what tells a family's make that it is one
CENTERS = f"""
import re

import numpy as np

def fitted(members):
    x, y = members
    x = x.reshape(len(x), -1)
    means = np.stack([x[y == label].mean(axis=0) for label in range(10)])
    return lambda x: -((x.reshape(len(x), 1, -1) - means) ** 2).sum(axis=-1)

def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)

def is_shadow(seed):
    return seed == {SHADOW}
"""
FUNCTIONS = """
class Own:
    def make(self, members, validation, folder, seed):
        assert len(members[0]) == 60 and len(validation[0]) == 40 and not list(folder.iterdir())
        print("made", seed)
        rng, logits = np.random.default_rng(0), fitted(members)
        functions = {
            "original": lambda x: softmax(logits(x)),
            "logits": logits,
            "nan": lambda x: logits(x) * (np.nan if is_shadow(seed) else 1),
            "noisy": lambda x: softmax(logits(x) + rng.standard_normal((len(x), 10))),
            "company": lambda x: softmax(logits(x) - logits(x).mean(axis=0)),
            "nine": lambda x: softmax(logits(x))[:, : 9 if is_shadow(seed) else 10],
            "flat": lambda x: logits(x).argmax(axis=1),
            "raises": lambda x: 1 / 0,
            "int8": lambda x: np.round(softmax(logits(x)), 2),
        }
        if is_shadow(seed):
            del functions["int8"]
            functions["int8_"] = functions["original"]
        return functions
"""
NAMES = ("original", "logits", "nan", "noisy", "company", "nine", "flat", "raises", "int8")


def run(workdir, names, *flags, executor="inline"):
    line = tiny.command(workdir, *FLAGS, f"--versions={','.join(names)}", *flags, executor=executor)
    return cli.main(line[3:])


def write(folder, text):
    (folder / "mine.py").write_text(CENTERS + text)
    return f"--family={folder}/mine.py:Own"


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    root = tmp_path_factory.mktemp("functions")
    assert run(root / "w", NAMES, write(root, FUNCTIONS)) in (0, 4)
    return root / "w"


def test_functions_are_asked_where_they_were_trained_and_fail_one_by_one(functions):
    report = Report.load(functions)
    failures = {of.name: of.reason for of in report.failures}
    assert {of.name for of in report.versions if of.status == "ok"} == {"original", "logits"}
    for name, message in {
        "nan": "shadow-0: answers with NaN or infinity to",
        "noisy": "target: the same question got another answer: .*a state that it keeps",
        "company": "target: the same question got another answer: .*other examples of its batch",
        "nine": "shadow-0: answers with 9 classes, the data has 10",
        "flat": "target: .*the function flat returned int64 of shape",
        "raises": r"target: .*mine.py:\d+: ZeroDivisionError: division by zero",
        "int8": "shadow-0: it is missing in what .* returned: unknown 'int8'. Did you mean 'int8_'",
    }.items():
        assert re.search(message, failures[name]), failures[name]
        assert "\n" not in failures[name]
    log = functions / "logs" / "train-target.log"
    assert log.read_text().startswith("made ") and "ZeroDivisionError" in log.read_text()


def test_probabilities_and_logits_of_one_model_are_the_same_version(functions):
    report = Report.load(functions)
    by_name = {version.name: version for version in report.versions}
    assert [by_name[name].output for name in ("original", "logits")] == ["probabilities", "logits"]
    assert by_name["logits"].agreement.value == 1 and by_name["logits"].path == ""
    said = [
        np.load(functions / "families" / "target" / "observations" / name / "probabilities.npy")
        for name in ("original", "logits")
    ]
    np.testing.assert_allclose(*said, atol=1e-6)
    assert by_name["original"].member_accuracy.value > 0.8
    assert any("made by the user's own code" in note for note in by_name["original"].notes)


def test_a_run_goes_on_and_a_version_more_is_taken_without_a_training(functions):
    before = tiny.events(functions)
    more = ("original", "logits")
    assert run(functions, more, f"--family={functions.parent}/mine.py:Own", "--overwrite") in (0, 4)
    assert ("train target", "done") not in tiny.events(functions)[len(before) :]


def test_attacks_that_ask_about_changed_inputs_need_files(tmp_path):
    family = write(tmp_path, FUNCTIONS)
    assert run(tmp_path / "w", ("original",), family, "--attacks=loss,samia") in (0, 4)
    failures = {of.name: of.reason for of in Report.load(tmp_path / "w").failures}
    assert any("is a function, which is gone" in reason for reason in failures.values())


FILES = """
import plain_tflite

class Own:
    def make(self, members, validation, folder, seed):
        x, y = members
        weights, *_ = np.linalg.lstsq(x.reshape(len(x), -1), 4 * np.eye(10)[y], rcond=None)
        for name in ("original", "half", "short", "twice"):
            content = plain_tflite.classifier(np.float32(weights))
            if name == "short" and is_shadow(seed):
                content = content[:200]
            (folder / f"{name}.tflite").write_bytes(content)
        (folder / "twice.onnx").write_bytes(b"")
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "last").symlink_to("/etc")
"""


@pytest.mark.slow
def test_files_are_asked_by_the_isolated_reader(tmp_path):
    family, names = write(tmp_path, FILES), ("original", "half", "short", "twice", "hulf")
    assert run(tmp_path / "w", names, family, "--attacks=loss,samia,rmia") in (0, 4)
    report = Report.load(tmp_path / "w")
    failures = {of.name: of.reason for of in report.failures}
    assert failures["short"].startswith("shadow-0: model.tflite: ")
    assert "several files of version twice: twice.onnx, twice.tflite" in failures["twice"]
    assert "unknown 'hulf'. Did you mean 'half'" in failures["hulf"]
    usable = {row.release for row in report.results}
    assert usable >= {("original",), ("half",), ("original", "half")}
    assert {row.attack for row in report.results} >= {"samia", "rmia", "loss"}
    original = report.versions[0]
    assert original.path == "families/target/versions/original/model.tflite"
    assert any(note.startswith("isolation: ") for note in original.notes)
    assert not list((tmp_path / "w").rglob("checkpoints"))
    assert run(tmp_path / "w", names, family, "--attacks=loss,samia,rmia") in (0, 4)


ONNX = """
import onnx
from onnx import TensorProto, helper, numpy_helper

class Own:
    def make(self, members, validation, folder, seed):
        x, y = members
        weights, *_ = np.linalg.lstsq(x.reshape(len(x), -1), 4 * np.eye(10)[y], rcond=None)
        shapes = ("x", ["n", 1, 8, 8]), ("z", ["n", 10])
        ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, of) for n, of in shapes]
        nodes = [helper.make_node("Flatten", ["x"], ["f"]),
                 helper.make_node("MatMul", ["f", "w"], ["z"])]
        constants = [numpy_helper.from_array(np.float32(weights), "w")]
        graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], constants)
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9),
                  str(folder / "original.onnx"))
"""


@pytest.mark.slow
def test_a_single_output_is_two_classes_whatever_is_asked(tmp_path):
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=500)
    np.savez(
        tmp_path / "two.npz",
        x=np.float32(rng.random((500, 8, 8, 1)) + 0.1 * y[:, None, None, None]),
        y=y,
    )
    text = ONNX.replace("4 * np.eye(10)[y]", "4 * y[:, None] - 2").replace('["n", 10]', '["n", 1]')
    text = text.replace('["z"])]', '["a"]), helper.make_node("Sigmoid", ["a"], ["z"])]')
    flags = (f"--dataset=npz:{tmp_path}/two.npz", "--attacks=loss,samia,rmia")
    assert run(tmp_path / "w", ("original",), write(tmp_path, text), *flags) in (0, 4)
    report = Report.load(tmp_path / "w")
    assert not report.failures and report.versions[0].output == "probabilities"
    assert {row.attack for row in report.results} >= {"loss", "samia", "rmia"}
    said = np.load(tmp_path / "w/families/target/observations/original/probabilities.npy")
    assert said.shape == (120, 2) and report.versions[0].member_accuracy.value > 0.9


def test_onnx_with_channels_first_takes_the_same_examples(tmp_path):
    pytest.importorskip("onnxruntime")
    assert run(tmp_path / "w", ("original",), write(tmp_path, ONNX), "--attacks=loss") in (0, 4)
    (version,) = Report.load(tmp_path / "w").versions
    assert version.path.endswith("/model.onnx") and version.output == "logits"
    assert version.member_accuracy.value == 1 and version.bytes > 2000
    assert not any(run_versions.GUESSES in note for note in version.notes)


def test_a_version_that_guesses_is_noted(tmp_path):
    text = """
class Own:
    def make(self, members, validation, folder, seed):
        logits = fitted(members)
        return {"original": lambda x: softmax(logits(x)), "shifted": lambda x: softmax(-logits(x))}
"""
    names = ("original", "shifted")
    assert run(tmp_path / "w", names, write(tmp_path, text), "--attacks=loss") in (0, 4)
    noted = [run_versions.GUESSES in of.notes for of in Report.load(tmp_path / "w").versions]
    assert noted == [False, True]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("pass", "train target: Own left no version in its folder (nothing is there); write NAME"),
        ("(folder / 'model.pt').touch()", "left no version in its folder (model.pt)"),
        ("return 3", "make returned 3; return functions by name"),
        ("return {'a b': print}", "make returned a function called: 'a b' cannot be a name"),
    ],
)
def test_a_family_that_makes_nothing_is_one_line(tmp_path, capsys, body, message):
    text = f"class Own:\n    def make(self, members, validation, folder, seed):\n        {body}\n"
    assert run(tmp_path / "w", ("original",), write(tmp_path, text)) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_where_no_version_can_be_used_the_reasons_are_told(tmp_path, capsys):
    assert run(tmp_path / "w", ("flat", "raises"), write(tmp_path, FUNCTIONS)) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "no version can be used: flat: target: " in line and "; raises: target: " in line


def test_versions_of_other_shapes_or_kinds_in_the_families_fail(monkeypatch):
    facts = {
        "target": {"input_shape": [8, 8, 1], "output": "logits"},
        "shadow-0": {"input_shape": [9, 9, 1], "output": "logits"},
    }

    class Answered:
        def __init__(self, family, version):
            self._family = family

        def stage(self, source):
            return self

        def facts(self):
            return facts[self._family]

    class Families:
        splits = facts

    monkeypatch.setattr(run_versions, "Observation", Answered)
    failure = run_versions.mismatch(Families, "int8")
    assert failure.name == "int8"
    assert failure.reason == "shadow-0: takes inputs of shape [9, 9, 1], the target's [8, 8, 1]"
    facts["shadow-0"] = {"input_shape": [8, 8, 1], "output": "probabilities"}
    assert "answers with probabilities, the target's logits" in str(
        run_versions.mismatch(Families, "int8")
    )
    facts["shadow-0"] = facts["target"]
    assert run_versions.mismatch(Families, "int8") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "--versions: name those that --family or --train_command makes"),
        ({"versions": ("a+b",)}, "cannot be a version's name"),
        ({"versions": ("a",), "examples": "ids"}, "--examples=ids: it goes with --train_command"),
        ({"versions": ("a",), "time_limit": 3.0}, "--time_limit=3.0: it goes with --train_command"),
        ({"versions": ("a",), "early_stopping": 3}, "--early_stopping=3: the training is that of"),
        ({"versions": ("a",), "train_command": "x {members} {folder}"}, "both train a family"),
    ],
)
def test_flags_that_do_not_go_together(tmp_path, changes, message):
    family = write(tmp_path, FUNCTIONS).removeprefix("--family=")
    with pytest.raises(ValueError, match=message):
        Study(family=family, **changes)
