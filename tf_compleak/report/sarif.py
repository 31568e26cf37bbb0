"""The gate's verdict as SARIF 2.1.0, as code scanning shows it: `verdict.sarif`.

One result for every reason why the build fails, at the file of the version that the reason is
about. Rules are stable, one for each kind of condition. What a result is known again by
(`partialFingerprints`) holds neither the figure nor the bound, so that it stays the same finding
from run to run.

Source: OASIS Standard SARIF 2.1.0, sections 3.11 (messages), 3.27 (results), 3.49 (rules).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tf_compleak.engine.file_store import path as store_path
from tf_compleak.engine.file_store import write_text
from tf_compleak.report import version_files, wording
from tf_compleak.report.gate import Judged, Verdict, not_judged
from tf_compleak.types.findings import Findings

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
FINGERPRINT = "whatLeaks/v1"
VOID, UNJUDGED = "void", "unjudged"
RULES = {
    "auc": "An attack tells members from non-members with a higher AUC than is allowed.",
    "accuracy": "An attack tells members with a higher balanced accuracy than is allowed.",
    "advantage": "An attack has a larger membership advantage (TPR minus FPR) than is allowed.",
    "epsilon": "The lower bound of epsilon of differential privacy is higher than is allowed.",
    "tpr": "An attack names more members at a false positive rate than is allowed.",
    VOID: "The figures cannot be relied on: a null run or the blind baseline failed.",
    UNJUDGED: "A version or an attack failed, so that it could not be judged.",
}


@dataclass(frozen=True)
class _Reason:
    """Why a build fails: the rule, in words, of which versions, and what it is known again by."""

    rule: str
    text: str
    versions: tuple[str, ...]
    identity: tuple[str, ...]


def write(verdict: Verdict, report: Findings, folder: str | os.PathLike) -> None:
    """Write `verdict.sarif` into a workdir, aside and renamed."""
    text = json.dumps(to_json(verdict, report, folder), indent=1, allow_nan=False) + "\n"
    write_text(store_path(folder) / "verdict.sarif", text)


def to_json(verdict: Verdict, report: Findings, folder: str | os.PathLike) -> dict[str, Any]:
    """JSON values: a SARIF log of one run, without results where the build passes."""
    results = [_result(reason, report, folder) for reason in _reasons(verdict, report)]
    rules = [
        {
            "id": rule_id(kind),
            "name": f"MembershipInference{kind.capitalize()}",
            "shortDescription": {"text": text},
            "defaultConfiguration": {"level": "error"},
            "properties": {"tags": ["privacy", "membership-inference"]},
        }
        for kind, text in RULES.items()
    ]
    run = {
        "tool": {"driver": {"name": "tf-compleak", "rules": rules}},
        "automationDetails": {"id": "tf-compleak/"},
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def rule_id(kind: str) -> str:
    """The stable name of a rule."""
    return f"membership-inference/{kind}"


def _reasons(verdict: Verdict, report: Findings) -> Iterator[_Reason]:
    if verdict.void:
        yield _Reason(VOID, verdict.void, (), (VOID,))
    for part in verdict.judged:
        if part.failed:
            yield _condition(part)
    names = {version.name for version in report.versions}
    for failure in verdict.unjudged:
        # Of an attack: "loss original+int8-ptq".
        version = failure.name.rpartition(" ")[2].split("+")[0]
        versions = (failure.name,) if failure.name in names else (version,)
        yield _Reason(UNJUDGED, not_judged(failure), versions, (UNJUDGED, failure.name))


def _condition(part: Judged) -> _Reason:
    metric, row = part.condition.metric, part.row
    identity = (str(metric), *((row.attack, *row.release) if row else ()), part.exposure)
    return _Reason(metric.name, part.reason, row.release if row else (), identity)


def _result(reason: _Reason, report: Findings, folder: str | os.PathLike) -> dict[str, Any]:
    files = [version_files.path(report, name, folder) for name in reason.versions or ("",)]
    first, *others = (_location(file) for file in dict.fromkeys(files))
    identity = json.dumps([reason.rule, *reason.identity]).encode()
    result = {
        "ruleId": rule_id(reason.rule),
        "ruleIndex": list(RULES).index(reason.rule),
        "level": "error",
        "message": {"text": message(reason.text)},
        "locations": [first],
        "partialFingerprints": {FINGERPRINT: hashlib.sha256(identity).hexdigest()},
    }
    if others:
        result["relatedLocations"] = [{"id": i, **of} for i, of in enumerate(others, 1)]
    return result


def _location(file: str) -> dict[str, Any]:
    """A file, and a first line, without which code scanning shows no result of a binary file."""
    place = {"artifactLocation": {"uri": version_files.uri(file)}, "region": {"startLine": 1}}
    return {"physicalLocation": place}


def message(text: str) -> str:
    """A text in which nothing is a link or a placeholder."""
    text = wording.plain(text).replace("](", "] (")
    return text.replace("{", "{{").replace("}", "}}")


def lines(verdict: Verdict, report: Findings, folder: str | os.PathLike) -> Sequence[str]:
    """Workflow commands of GitHub Actions, an `::error file=` for each reason to fail."""
    commands = []
    for reason in _reasons(verdict, report):
        file = version_files.path(report, next(iter(reason.versions), ""), folder)
        title = f"membership inference: {reason.rule}"
        commands.append(
            f"::error file={_property(file)},title={_property(title)}::{_data(reason.text)}"
        )
    return commands


def _data(text: str) -> str:
    """As the toolkit of GitHub Actions escapes the message of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """As it escapes a property of one."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
