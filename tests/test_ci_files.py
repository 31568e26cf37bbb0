"""The GitHub Action and the GitLab example, run as far as a shell can with a stub of the tool."""

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
GITLAB = yaml.safe_load((ROOT / "docs" / "gitlab-ci.yml").read_text())
STUB = """#!/bin/bash
printf '%s\\0' "$@" >> "$CALLS"
printf '\\0' >> "$CALLS"
[[ "$1" == compare ]] && exit "${COMPARED:-0}"
exit "${STATUS:-0}"
"""


@pytest.fixture
def shell(tmp_path):
    """Runs a script where `tf-compleak` only writes down what it was called with."""
    (tmp_path / "bin").mkdir()
    stub = tmp_path / "bin" / "tf-compleak"
    stub.write_text(STUB)
    stub.chmod(stub.stat().st_mode | stat.S_IXUSR)

    def run(script, **variables):
        calls = tmp_path / "calls"
        calls.write_bytes(b"")
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        (tmp_path / "output").write_text("")
        env = {"PATH": path, "CALLS": str(calls), "GITHUB_OUTPUT": str(tmp_path / "output")}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        done = subprocess.run(command, env=env | variables, cwd=tmp_path, capture_output=True)
        called = calls.read_text().removesuffix("\0\0").split("\0\0")
        return done.returncode, [call.split("\0") for call in called if call]

    return run


def study(shell, given=None, **variables):
    """The action's main step with these inputs."""
    step = next(of for of in ACTION["runs"]["steps"] if of.get("id") == "study")
    inputs = {name: of["default"] for name, of in ACTION["inputs"].items()} | (given or {})
    env = {
        name: inputs[re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", value)[1]]
        for name, value in step["env"].items()
    }
    return shell(step["run"], **env, **variables)


def test_no_input_is_part_of_a_script():
    steps = ACTION["runs"]["steps"]
    assert ACTION["runs"]["using"] == "composite" and len(steps) == 2
    assert all(step["shell"] == "bash" and "${{" not in step["run"] for step in steps)
    used = re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text())
    assert set(used) == set(ACTION["inputs"])
    assert all(of["description"] and "default" in of for of in ACTION["inputs"].values())


def test_inputs_become_one_word_each(shell, tmp_path):
    given = {
        "flagfile": "a b.cfg",
        "flags": "--members=npz:x y.npz\n\n--seed=1; touch pwned\n$(touch pwned)",
        "fail-if": "auc>0.6",
        "card": "`touch pwned`",
        "workdir": "w",
    }
    assert study(shell, given) == (
        0,
        [
            [
                "audit",
                "--flagfile=a b.cfg",
                "--members=npz:x y.npz",
                "--seed=1; touch pwned",
                "$(touch pwned)",
                "--workdir=w",
                "--fail_if=auc>0.6",
                "--card=`touch pwned`",
            ]
        ],
    )
    assert not (tmp_path / "pwned").exists()
    assert (tmp_path / "output").read_text() == "exit-code=0\n"
    assert study(shell, {"command": "run; touch pwned"}) == (2, [])


def test_exit_codes_pass_on_and_a_baseline_is_compared(shell):
    compare = ["compare", "last", "audits/ci", "--fail_if=worse:auc"]
    for status, compared, code in [(0, 0, 0), (0, 3, 3), (3, 0, 3), (0, 2, 2)]:
        variables = {"STATUS": str(status), "COMPARED": str(compared)}
        done, calls = study(shell, {"baseline": "last"}, **variables)
        assert done == code and calls == [["audit", "--workdir=audits/ci"], compare]
    done, calls = study(shell, {"baseline": "last"}, STATUS="2")
    assert done == 2 and len(calls) == 1
    assert study(shell, STATUS="4")[0] == 4


def test_the_gitlab_example_runs_and_keeps_what_is_written(shell):
    (job,) = GITLAB.values()
    done, calls = shell("\n".join(job["script"]), **job["variables"], STATUS="3")
    assert done == 3 and calls == [
        [
            "audit",
            "--flagfile=audit.cfg",
            "--workdir=audits/ci",
            "--fail_if=upper:tpr@0.01>0.05",
        ]
    ]
    files = [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]
    assert job["artifacts"]["when"] == "always"
    assert {os.path.dirname(file) for file in files} == {job["variables"]["COMPLEAK_WORKDIR"]}
