"""Ways round one defense that were found once, and what a process could do to the one that asks."""

import json

import h5py
import numpy as np
import pytest

from tf_compleak.data import array_files
from tf_compleak.inference import sandbox
from tf_compleak.inference.isolated import keras_allowed, keras_file
from tf_compleak.inference.ports import Port
from tf_compleak.studies.audit import query, repeat

SAMPLER = {
    "class_name": "TFOpLambda",
    "config": {"name": "f", "function": "nn.fixed_unigram_candidate_sampler"},
}
LOOKUP = {
    "module": "tf_keras.src.layers.preprocessing.string_lookup",
    "class_name": "Dense",
    "registered_name": "StringLookup",
    "config": {"name": "x", "vocabulary": "/etc/passwd"},
}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (SAMPLER, "the function tf.nn.fixed_unigram_candidate_sampler"),
        (LOOKUP, "the custom object StringLookup"),
        (LOOKUP | {"registered_name": "keras>StringLookup"}, "keras>StringLookup"),
        (LOOKUP | {"registered_name": ["Dense"]}, "custom object"),
    ],
)
def test_names_that_load_something_else(part, words):
    with pytest.raises(ValueError, match=words):
        keras_file.refuse_others({"config": {"layers": [part]}})


def test_a_sampler_cannot_open_a_file(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        config = {"class_name": "Functional", "config": {"name": "m", "layers": [SAMPLER]}}
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"
    with pytest.raises(ValueError, match="not among the layers and functions"):
        sandbox.SandboxedModel(str(tmp_path / "m.h5"))


def test_no_function_of_tf_nn_takes_a_file_or_a_function():
    named = {name for name in keras_allowed.FUNCTIONS if name.startswith("nn.")}
    assert named and not {n for n in named if "sampler" in n or "with_space" in n}
    assert not keras_allowed.function("nn.anything") and keras_allowed.function("math.add")


def taken(**facts):
    """A model of which the process says `facts`."""
    model = object.__new__(sandbox.SandboxedModel)
    model.path, port = "m.tflite", {"name": "x", "dtype": "float32", "scale": 0, "zero": 0}
    said = {"batch": 1, "output": 0, "inputs": [port | {"shape": [4]}]}
    model._take(said | {"outputs": [port | {"shape": [3]}]} | facts)
    return model


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"inputs": [{"shape": [20000, 20000, 3]}]}, "takes examples of"),
        ({"batch": 65537}, "takes 65537 examples"),
        ({"batch": 65536, "inputs": [{"shape": [1000, 1000]}]}, "at a time"),
        ({"outputs": [{"shape": [2**20]}]}, "numbers an example"),
        ({"outputs": [{"shape": []}]}, "numbers an example"),
        ({"inputs": [{"shape": [4], "name": "\x1b[2J"}]}, "nonsense"),
    ],
)
def test_what_would_fill_the_memory_of_the_one_that_asks(facts, words):
    port = {"name": "x", "dtype": "float32", "scale": 0, "zero": 0}
    filled = {
        key: [port | each for each in value] if isinstance(value, list) else value
        for key, value in facts.items()
    }
    with pytest.raises(ValueError, match=words):
        taken(**filled)
    assert taken().output == Port("x", (3,), "float32")


def test_answers_that_become_nan_are_other_answers():
    first = np.full((8, 3), 0.5, np.float32)
    result = repeat.repeated("m", first, np.arange(8), lambda rows: first[rows] * np.nan, 0.0)
    assert result.differing == 8 and result.cause


@pytest.mark.parametrize("dtype", ["|S0", "<U0"])
def test_an_array_of_nothing_promises_everything(tmp_path, dtype):
    with open(tmp_path / "x.npy", "wb") as file:
        header = {"descr": dtype, "fortran_order": False, "shape": (2**46,)}
        np.lib.format.write_array_header_1_0(file, header)
    for read in (array_files.mapped, lambda path: array_files.array(path.read_bytes())):
        with pytest.raises(ValueError, match="of no size"):
            read(tmp_path / "x.npy")


def test_the_weakest_isolation_of_all_parts_is_told():
    facts = [{"isolation": text, "step": 0.0} for text in ("full", "partial: x", "none: y", "full")]
    assert query._weakest(facts) == {"isolation": "none: y", "step": 0.0}
    assert query._weakest(facts[:2])["isolation"] == "partial: x"
    assert query._weakest(facts[:1])["isolation"] == "full"


SHAPES = {  # of an answer to 4 examples of 3 classes: what the process says, what is shown of it
    "an escape": ("\x1b[2J\x07", r"'\x1b[2J\x07'"),
    "escapes in a list": (["\x1b]0;title\x07", "\u202e3"], r"['\x1b]0;title\x07', '\u202e3']"),
    "lines": (["4\n3"], r"['4\n3']"),
    "a long text": ("x" * 10_000, "'" + "x" * 99),
    "truths": ([True, True], "[True, True]"),
    "fewer": ([3, 3], "[3, 3]"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes_that_are_shown_are_harmless(case, monkeypatch):
    shape, shown = SHAPES[case]
    model = taken()
    model._seconds, model._memory_map = 1.0, bytearray(1024)
    words = iter([{"rows": 4}, {"shape": shape}])
    monkeypatch.setattr(model, "_send", lambda message: None)
    monkeypatch.setattr(model, "_receive", lambda doing, seconds: next(words))
    with pytest.raises(ValueError) as caught:
        model.predict({"x": np.ones((4, 4), np.float32)})
    line = str(caught.value)
    assert line == f"m.tflite: answered 4 examples with shape {shown}." and line.isprintable()
