"""The JSON Schema that is shipped with the package, and reports held against it."""

import copy
import json
from importlib import resources

import jsonschema
import planted
import pytest
from sample_report import full

import tf_compleak
from tf_compleak.types.findings import SCHEMA, Findings

SHIPPED = "report/report.schema.json"
RENEW = (
    "python -c 'import json; from tf_compleak.types.findings import Findings; "
    f"print(json.dumps(Findings.json_schema(), indent=1))' > tf_compleak/{SHIPPED}"
)


@pytest.fixture(scope="module")
def schema() -> dict:
    return json.loads((resources.files("tf_compleak") / SHIPPED).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict:
    """The report.json of a small run_attacks; some of its figures are not measurable."""
    folder = tmp_path_factory.mktemp("report")
    report = tf_compleak.run_attacks(
        planted.family(0, 1.0, n=60), [planted.family(1, 1.0, n=60)], attacks=("loss", "entropy")
    )
    report.save(folder)
    return json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)


def test_the_shipped_schema_is_what_the_types_give(schema):
    assert schema == Findings.json_schema(), f"the types have changed; renew it by\n  {RENEW}"
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["const"] == SCHEMA


def test_a_report_is_valid(schema, saved):
    jsonschema.validate(saved, schema)
    rates = [estimate for row in saved["results"] for estimate in row["tpr_at_fpr"].values()]
    assert any(not rate["measurable"] and rate["value"] is None for rate in rates)


def test_a_report_with_every_section_is_valid_and_comes_back(schema):
    report = full()
    values = json.loads(json.dumps(report.to_json(), allow_nan=False))
    jsonschema.validate(values, schema)
    assert values["marginal"]["singles"][0]["least_accuracy"] is None
    assert set(values) == set(schema["required"]) and "scored" not in values
    assert tf_compleak.Report.from_json(values) == report


BROKEN = {
    "a figure of text": lambda report: report["results"][0]["auc"].update(value="0.5"),
    "a key that is unknown": lambda report: report["results"][0].update(more=1),
    "no sanity": lambda report: report.pop("sanity"),
    "a negative count": lambda report: report["results"][0].update(n_members=-1),
    "a tier that is none": lambda report: report["results"][0].update(tier="XX"),
    "a name that leads out": lambda report: report["results"][0].update(attack="../x"),
    "another schema": lambda report: report.update(schema=2),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_report_is_not_valid_and_not_loaded(case, schema, saved):
    broken = copy.deepcopy(saved)
    BROKEN[case](broken)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)
    with pytest.raises(ValueError) as caught:
        tf_compleak.Report.from_json(broken)
    assert "\n" not in str(caught.value)
