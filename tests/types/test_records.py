"""What is read back is of the types that its record declares, or one line says what is not."""

import copy
import dataclasses
import json
import math
import subprocess
import sys

import pydantic
import pytest
from sample_report import full, sample

from tf_compleak.types import Estimate, Roc, Version
from tf_compleak.types.findings import Findings, OtherSchema
from tf_compleak.types.marginal_leakage import Subset

ESTIMATE = Estimate(0.5, 0.4, 0.6, 0.95, "m", 10)


@pytest.fixture(scope="module")
def saved() -> dict:
    return json.loads(json.dumps(sample().to_json(), allow_nan=False))


def places(value, path=()):
    """The path of every value below this one."""
    if not isinstance(value, (dict, list)):
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value[:3]):
        yield (*path, key)
        yield from places(item, (*path, key))


def shown(path: tuple) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)


def edited(values: dict, path: tuple, change) -> dict:
    changed = copy.deepcopy(values)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    last = path[-1]
    old = parent[last] if isinstance(parent, list) or last in parent else None
    parent[last] = change(old)
    return changed


def refused(values: dict) -> str:
    with pytest.raises(ValueError) as caught:
        Findings.from_json(values)
    return str(caught.value)


EDITS = {
    "text for a figure": (
        ("results", 0, "auc", "value"),
        "0.5",
        "be a valid number, got '0.5'",
    ),
    "a figure without bounds": (("results", 0, "auc", "value"), math.inf, "must be finite"),
    "a figure too large": (("results", 0, "auc", "value"), 10**400, "be a valid number, got 1000"),
    "a level above 1": (("sanity", "null_auc", "level"), 1.5, "less than or equal to 1, got 1.5"),
    "truth for a count": (("results", 3, "n_members"), True, "should be a valid integer"),
    "part of a count": (("results", 3, "n_members"), 3.0, "should be a valid integer"),
    "a negative count": (("results", 3, "n_members"), -1, "greater than or equal to 0"),
    "a huge count": (("results", 3, "n_members"), 10**30, "less than or equal to 9007199254740992"),
    "a number for truth": (("results", 0, "auc", "measurable"), 1, "should be a valid boolean"),
    "an object for text": (("failures", 0, "reason"), {"x": 1}, "should be a valid string"),
    "a key that is unknown": (("results", 2, "auc", "more"), 1, "unexpected keyword argument"),
    "a section that is unknown": (("more",), 1, "unexpected keyword argument"),
    "scores": (("scored",), None, "is no part of the JSON"),
    "an unknown tier": (("results", 5, "tier"), "XX", "should be 'NR', 'SR' or 'MR', got 'XX'"),
    "nothing for rows": (("results",), None, "should be a valid"),
    "lists for objects": (("results", 2, "auc"), [[]], "should be a dictionary"),
    "a name that leads out": (("results", 2, "attack"), "../x", "'../x' cannot be a name; use 1"),
    "a release that leads out": (("results", 2, "release", 0), "a/b", "'a/b' cannot be a name"),
    "a long name": (("versions", 1, "name"), "a" * 10_000, "cannot be a name"),
    "a rate of text": (("results", 0, "tpr_at_fpr", "x"), {}, "should be a valid number"),
    "a rate above 1": (("results", 0, "tpr_at_fpr", "2"), {}, "less than or equal to 1"),
    "rates of a curve": (("results", 0, "roc", "fpr"), [0.0, 1.0], "2 false and"),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_is_named_with_its_path(case, saved):
    path, value, message = EDITS[case]
    line = refused(edited(saved, path, lambda _: value))
    owner = path[:-1] if case == "rates of a curve" else path
    assert line.startswith(f"findings{shown(owner)}") and message in line
    assert line.isascii() and line.isprintable() and len(line) < 300
    assert Findings.from_json(saved) is not None


def test_nothing_is_unchecked_anywhere():
    values = json.loads(json.dumps(full().to_json()))
    checked = [path for path in places(values) if path[0] not in ("schema", "study", "provenance")]
    assert len(checked) > 500
    for path in checked:
        line = refused(edited(values, path, lambda _: {"x": {}}))
        assert line.startswith(f"findings{shown(path)}"), line


def test_every_figure_and_every_object_is_checked():
    values = json.loads(json.dumps(full().to_json()))
    figures = [path[:-1] for path in places(values) if path[-1] == "measurable"]
    objects = {path[:-1] for path in places(values) if path[-1] in ("n", "release", "fpr", "name")}
    assert len(figures) > 30 and len(objects) > 30
    for path in figures:
        line = refused(edited(values, path, lambda old: old | {"measurable": old["value"] is None}))
        assert line.startswith(f"findings{shown(path)}: a ") and "measurable" in line
    for path in objects:
        line = refused(edited(values, path, lambda old: old | {"more": 1}))
        assert line.endswith(".more: unexpected keyword argument, got 1")


@pytest.mark.parametrize("section", ["results", "versions"])
def test_a_row_or_a_version_that_occurs_twice_is_refused(section, saved):
    twice = {**saved, section: [*saved[section], saved[section][0]]}
    with pytest.raises(ValueError, match=r"(row|version) .*original occurs more than once"):
        Findings.from_json(twice)
    with pytest.raises(ValueError, match="exposure full occurs more than once"):
        Findings.from_json({**saved, "exposed": [{"exposure": "full", "results": []}] * 2})


@pytest.mark.parametrize("schema", [None, 0, 2, True, "1", [1], "x" * 1000])
def test_another_schema_is_one_line_that_says_what_to_do(schema, saved):
    with pytest.raises(OtherSchema, match="cannot be read, 1 is expected; make the report anew"):
        Findings.from_json({**saved, "schema": schema})


@pytest.mark.parametrize("values", [None, 5, "text", [], [{}], {}])
def test_what_is_no_record_is_one_line(values):
    for kind in (Findings, Estimate, Version):
        with pytest.raises(ValueError) as caught:
            kind.from_json(values)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("section", ["study", "provenance"])
def test_facts_that_could_not_be_saved_again_are_refused(section, saved):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert "depth exceeded" in refused({**saved, section: {"x": deep}})
    assert "surrogates not allowed" in refused({**saved, section: json.loads(r'{"x": "\ud800"}')})
    kept = {"x": [None, True, 1.5, 10**40, {"y": "\x00ü"}]}
    assert Findings.from_json({**saved, section: kept}).to_json()[section] == kept


@pytest.mark.parametrize("section", ["results", "sanity"])
def test_rows_that_are_nested_deep_are_refused(section, saved):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert "should be a" in refused({**saved, section: [deep]})


@pytest.mark.parametrize("key", ["results", "failures", "left_alone", "fpr"])
def test_of_many_wrong_items_the_first_is_reported(key, saved, monkeypatch):
    wrong = {
        "results": {"results": [1] * 1000},
        "failures": {"failures": [1] * 1000},
        "left_alone": {"versions": [{**saved["versions"][0], "left_alone": [1] * 1000}]},
        "fpr": {"results": [{**saved["results"][0], "roc": {"fpr": [""] * 1000, "tpr": []}}]},
    }[key]
    with pytest.raises(pydantic.ValidationError) as caught:
        pydantic.TypeAdapter(Findings).validate_python({**saved, **wrong})
    assert caught.value.error_count() == 1
    with pytest.raises(ValueError, match=rf"{key}\[0\]"):
        Findings.from_json({**saved, **wrong})


@pytest.mark.parametrize("section", ["study", "sanity"])
def test_an_object_of_very_many_keys_is_refused(section, saved):
    wide = {**saved, section: {str(i): i for i in range(20_000)}}
    with pytest.raises(ValueError, match="holds an object of 20,000 keys"):
        Findings.from_json(wide)


def test_figures_that_are_not_measurable_are_null():
    none = Estimate.unmeasurable("has 5", 5)
    assert none.to_json()["value"] is none.to_json()["high"] is None
    assert Estimate.from_json(none.to_json()) == none
    for values in ({"value": None}, {"value": math.nan}):
        with pytest.raises(ValueError, match="a measurable figure needs a value"):
            Estimate.from_json(ESTIMATE.to_json() | values)
    with pytest.raises(ValueError, match="that is not measurable has no value"):
        Estimate.from_json(ESTIMATE.to_json() | {"measurable": False})
    bound = dataclasses.replace(ESTIMATE, high=math.nan)
    assert str(Estimate.from_json(bound.to_json())) == str(bound)


def test_nan_of_earlier_files_is_read_and_written_as_null():
    subset = Subset(("a",), ESTIMATE, math.nan, 2, 1)
    earlier = json.loads(json.dumps({**subset.to_json(), "least_accuracy": math.nan}))
    assert math.isnan(Subset.from_json(earlier).least_accuracy)
    assert json.loads(json.dumps(subset.to_json(), allow_nan=False))["least_accuracy"] is None
    facts = {"loss": math.nan, "ratio": math.inf}
    assert set(dataclasses.replace(sample(), study=facts).to_json()["study"].values()) == {None}


def test_files_without_what_was_added_later_are_read(saved):
    earlier = copy.deepcopy(saved)
    for name in ("curve", "slices", "exposed", "marginal"):
        del earlier[name]
    for row in earlier["results"]:
        for name in ("advantage", "epsilon", "num_shadows", "num_targets"):
            del row[name]
    for version in earlier["versions"]:
        for name in ("agreement", "notes", "left_alone", "left_alone_share"):
            del version[name]
    assert Findings.from_json(earlier).to_json().keys() == saved.keys()


def test_a_record_of_wrong_types_is_not_written():
    with pytest.raises(ValueError, match="Expected `float`"):
        Estimate("high", 0.0, 1.0, 0.95, "m", 3).to_json()
    assert Version.from_json(Version("a", "b", "c").to_json()) == Version("a", "b", "c")
    assert Roc.from_json(Roc((0.0, 1.0), (0.0, 1.0)).to_json()) == Roc((0.0, 1.0), (0.0, 1.0))


LIGHT = """
import sys
import tf_compleak, tf_compleak.types.findings
from tf_compleak import Report, run_attacks
assert "pydantic" not in sys.modules and "pydantic_core" not in sys.modules
tf_compleak.Estimate(0.5, 0.4, 0.6, 0.95, "m", 10).to_json()
assert "pydantic" in sys.modules
"""


def test_the_library_is_imported_when_something_is_saved():
    subprocess.run([sys.executable, "-c", LIGHT], check=True)
