"""The verdict as SARIF and as workflow commands.

The standard's own schema is in no package, so the shape of what is written is held here, strictly:
every key, by the standard's sections.
"""

import dataclasses
import json
import re

import jsonschema
import pytest
from sample_report import renamed, sample

from tf_compleak.report import gate, sarif, version_files
from tf_compleak.types import Failure

TEXT = {"type": "string", "minLength": 1}


def shape(required, **properties):
    """The schema of an object with these keys and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


MESSAGE = shape("text", text=TEXT)
LOCATION = {
    "artifactLocation": shape("uri", uri={**TEXT, "format": "uri-reference"}),
    "region": shape("startLine", startLine={"const": 1}),
}
PHYSICAL = shape("artifactLocation region", **LOCATION)
RESULT = shape(
    "ruleId ruleIndex level message locations partialFingerprints",
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": 0, "maximum": len(sarif.RULES) - 1},
    level={"enum": ["error"]},
    message=MESSAGE,
    locations={
        "type": "array",
        "minItems": 1,
        "maxItems": 1,
        "items": shape("physicalLocation", physicalLocation=PHYSICAL),
    },
    relatedLocations={
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": shape(
            "id physicalLocation", id={"type": "integer", "minimum": 1}, physicalLocation=PHYSICAL
        ),
    },
    partialFingerprints={
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
)
RULE = shape(
    "id name shortDescription defaultConfiguration properties",
    id=TEXT,
    name={"type": "string", "pattern": "^[A-Z][A-Za-z]+$"},
    shortDescription=MESSAGE,
    defaultConfiguration=shape("level", level={"enum": ["none", "note", "warning", "error"]}),
    properties=shape("tags", tags={"type": "array", "uniqueItems": True, "items": TEXT}),
)
DRIVER = shape("name rules", name=TEXT, rules={"type": "array", "items": RULE})
RUN = shape(
    "tool automationDetails results",
    tool=shape("driver", driver=DRIVER),
    automationDetails=shape("id", id=TEXT),
    results={"type": "array", "items": RESULT},
)
LOG = shape(
    "$schema version runs",
    **{
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "minItems": 1, "maxItems": 1, "items": RUN},
    },
)
FAILURES = (Failure("pruning-0.90", "lost 0.31\nof it"), Failure("samia original", "50% off"))


@pytest.fixture(scope="module")
def report():
    return dataclasses.replace(sample(), failures=FAILURES)


def verdict(report, text="auc>0.5,tpr@0.001>0.9"):
    return gate.judge(report, gate.parse(text))


def log(report, folder, text="auc>0.5,tpr@0.001>0.9"):
    values = sarif.to_json(verdict(report, text), report, folder)
    jsonschema.validate(values, LOG, format_checker=jsonschema.FormatChecker())
    return values["runs"][0]


def test_every_reason_is_a_result_of_a_stable_rule(report, tmp_path):
    sarif.write(verdict(report), report, tmp_path)
    saved = json.loads((tmp_path / "verdict.sarif").read_text())
    run = log(report, tmp_path)
    assert saved["runs"][0] == run and len(run["results"]) == len(verdict(report).reasons()) == 4
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    kinds = ["auc", "accuracy", "advantage", "epsilon", "tpr", "void", "unjudged"]
    assert rules == [f"membership-inference/{kind}" for kind in kinds]
    assert all(rules[of["ruleIndex"]] == of["ruleId"] for of in run["results"])
    passed = dataclasses.replace(report, failures=())
    assert log(passed, tmp_path, "auc>0.999")["results"] == []


def test_a_finding_is_known_again_whatever_its_figure_and_bound(report, tmp_path):
    def prints(text):
        results = log(report, tmp_path, text)["results"]
        return [of["partialFingerprints"][sarif.FINGERPRINT] for of in results]

    first, again, other = prints("auc>0.5"), prints("auc>0.51"), prints("accuracy>0.5")
    assert first == again and len(set(first)) == len(first) and first[0] not in other


def test_a_result_is_at_its_versions_files(report, tmp_path, monkeypatch):
    (tmp_path / "w" / "target" / "original").mkdir(parents=True)
    (tmp_path / "w" / "target" / "original" / "model.tflite").touch()
    monkeypatch.chdir(tmp_path)
    path = version_files.path(report, "original", tmp_path / "w")
    assert path == version_files.path(report, "original", "w") == "w/target/original/model.tflite"
    assert version_files.path(report, "no such", "w") == "w/report.json"
    results = log(report, "w")["results"]
    last = results[-1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert last == "w/target/original/model.tflite"
    files = len(results[0]["locations"]) + len(results[0].get("relatedLocations", ()))
    assert files == len(verdict(report).judged[0].row.release)


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("a b/m%41.tflite", "a%20b/m%2541.tflite"),
        ("/x/a:b", "file:///x/a%3Ab"),
        ("gs://bucket/a b", "gs://bucket/a%20b"),
        ("a:b/ü", "a%3Ab/%C3%BC"),
    ],
)
def test_uris(file, uri):
    assert version_files.uri(file) == uri


def test_outputs_in_two_files_are_at_the_first(report, tmp_path):
    version = dataclasses.replace(report.versions[0], path="/a+b/m.npy+/n.npy")
    odd = dataclasses.replace(report, versions=(version,))
    assert version_files.path(odd, version.name, tmp_path) == "/a+b/m.npy"


def test_a_message_has_no_link_and_no_placeholder(report, tmp_path):
    odd = renamed(report, "int8-ptq", "[x](http://x){0}")
    for result in log(odd, tmp_path, "auc>0.5")["results"]:
        text = result["message"]["text"]
        assert "](" not in text and not re.search(r"(?<!\{)\{0\}(?!\})", text)


def test_workflow_commands_are_one_line_each_whatever_the_names(report, tmp_path):
    odd = renamed(report, "pruning-0.90", "a,b:c::error%0A")
    commands = sarif.lines(verdict(odd), odd, tmp_path)
    assert len(commands) == 4
    for command in commands:
        head, properties, text = re.fullmatch(r"(::error) (.*?)::(.*)", command).groups()
        assert head == "::error" and text and "\n" not in command
        file, title = properties.split(",")
        assert file.startswith("file=") and title.startswith("title=membership inference%3A")
    assert commands[2].endswith("a,b:c::error%250A could not be judged: lost 0.31 of it")
    assert commands[3].endswith("50%25 off")
