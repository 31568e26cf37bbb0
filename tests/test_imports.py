"""Who may import whom, and what stays out of a process that does not need it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tf_compleak

ROOT = Path(tf_compleak.__file__).parent

# package or module -> what of the project it may import, beside itself
MAY = {
    "_checks": set(),
    "_bounded": set(),
    "_array_files": {"_bounded"},
    "_seeds": set(),
    "_typed": {"_checks"},
    "_words": {"_bounded"},
    "_terminal": set(),
    "_keras": set(),
    "_keras_nlp": set(),
    "_layers": {"_keras"},
    "types": {"_checks", "observations"},
    "results": {
        "types",
        "_checks",
        "_typed",
        "exposure",
        "report",
    },  # the last two: methods of Report
    "observations": {"_checks", "types"},
    "_accelerators": {"_keras"},
    "_trainer": {"_accelerators", "_checks", "_keras"},
    "_kept": {"_keras", "_trainer"},
    "storage": {"_bounded"},
    "stage": {"_bounded", "storage"},
    "lock": {"_bounded", "storage"},
    "workdir": {"_bounded", "_checks", "lock", "stage", "storage"},
    "journal": {"_bounded"},
    "signals": set(),
    "executors": set(),
    "cluster": {"executors"},
    "_progress": set(),
    "data": {"types", "_bounded", "_checks", "_array_files", "_seeds", "_keras_nlp"},
    "models": {
        *("types", "_accelerators", "_checks", "_seeds", "_keras", "_kept", "_layers", "_trainer"),
    },
    "compression": {"types", "_checks", "_keras", "_kept", "_layers", "_trainer", "models"},
    "inference": {"types", "_checks"},
    "metrics": {"types", "_checks"},
    "attacks": {
        *("observations", "types", "_checks", "_keras", "_kept", "_layers", "_trainer", "metrics")
    },
    "report": {"results", "types"},
    "study": {"types", "_checks", "attacks", "compression", "data", "models"},
    "source": {
        *("architecture", "observations", "types", "study", "workdir"),
        *("data", "models", "compression", "attacks"),
    },
    "architecture": {"models", "source", "study", "types"},
    "stages": {
        *("architecture", "types", "_seeds", "_keras_nlp", "_trainer", "source", "study"),
        "workdir",
        *("data", "models", "compression", "inference", "attacks"),
    },
    "measure": {"results", "observations", "types", "metrics"},
    "arrays": {
        "results",
        *("_checks", "_progress", "_seeds", "attacks", "executors", "exposure", "measure"),
        *("metrics", "observations", "types"),
    },
    "exposure": {"_bounded", "_array_files", "results", "observations", "measure", "storage"},
    "evaluate": {"results", "types", "_seeds", "measure", "metrics", "source", "study", "workdir"},
    "provenance": set(),
    "crossfit": {"_seeds", "attacks", "observations"},
    "subsets": {"results", "_seeds", "attacks", "crossfit", "metrics", "observations", "types"},
    "marginal": {"results", "_seeds", "crossfit", "metrics", "observations", "subsets", "types"},
    "gate": {"results", "metrics", "types", "workdir"},
    "auditing": {
        "results",
        *("_checks", "_seeds", "executors", "exposure", "measure", "observations", "provenance"),
        *("_bounded", "_array_files", "stage", "storage"),
        *("study", "types", "workdir", "attacks", "data", "inference", "metrics"),
        *("crossfit", "marginal"),
    },
    "commands": set(),
    "planning": {
        "attacks",
        "models",
        "compression",
        "executors",
        "source",
        "stage",
        "study",
        "types",
    },
    "showing": {
        "results",
        *("_bounded", "exposure", "journal", "lock", "pipeline", "planning", "stage", "storage"),
        *("evaluate", "source", "study", "workdir"),
    },
    "pipeline": {
        "results",
        "provenance",
        *(
            "types",
            "study",
            "source",
            "stages",
            "evaluate",
            "exposure",
            "measure",
            "architecture",
            "cluster",
            "executors",
            "journal",
            "observations",
            "planning",
            "stage",
            "workdir",
        ),
        *("attacks", "compression", "data"),
    },
    "cli": {
        "results",
        *(
            "",
            "_checks",
            "_progress",
            "_terminal",
            "_words",
            "auditing",
            "cluster",
            "commands",
            "gate",
            "study",
            "pipeline",
        ),
        *("report", "showing", "signals", "storage", "types"),
    },
    "__main__": {"cli"},
    "__init__": set(),
}


def imports(path: Path) -> set[str]:
    """Parts of tf_compleak that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tf_compleak"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("tf_compleak.")
            }
    return found


def test_imports_follow_the_table():
    for path in ROOT.rglob("*.py"):
        part = path.relative_to(ROOT).parts[0].removesuffix(".py")
        allowed = MAY[part] | {part, "__version__"}
        assert imports(path) <= allowed, f"{path}: {imports(path) - allowed}"


def test_flags_are_read_in_the_command_line_only():
    for path in ROOT.rglob("*.py"):
        if path.name != "cli.py":
            assert "absl" not in path.read_text(encoding="utf-8"), path


def test_keras_nlp_is_reached_by_one_bridge_only():
    for path in ROOT.rglob("*.py"):
        if path.name != "_keras_nlp.py":
            tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            names = [a.name for node in tree if isinstance(node, ast.Import) for a in node.names]
            tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            names += [node.module or "" for node in tree if isinstance(node, ast.ImportFrom)]
            apart = {"keras_nlp", "keras_hub", "tokenizers"}
            assert not apart & {name.split(".")[0] for name in names}, path


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import tf_compleak", "tensorflow tf_keras keras sklearn scipy numpy"),
        ("import tf_compleak.cli; tf_compleak.cli.main(['run', '--help'])", "tensorflow sklearn"),
        ("import tf_compleak.cli; tf_compleak.cli.main(['audit', '--help'])", "tensorflow scipy"),
        ("import tf_compleak.showing", "tensorflow tf_keras keras sklearn"),
        ("import tf_compleak.auditing.run", "tensorflow tf_keras keras sklearn"),
        ("from tf_compleak.attacks import thresholds", "tensorflow tf_keras keras"),
        ("from tf_compleak.attacks import classifiers", "tensorflow tf_keras keras"),
        ("from tf_compleak.metrics import roc, intervals", "tensorflow tf_keras keras sklearn"),
        (
            "from tf_compleak.metrics import advantage, bootstrap, clustered, privacy, slices",
            "tensorflow tf_keras keras sklearn",
        ),
        ("from tf_compleak.inference import interpreter, observe", "tensorflow tf_keras keras"),
        ("from tf_compleak.data import sources, splits", "tensorflow tf_keras keras sklearn"),
        ("from tf_compleak.report import text", "tensorflow matplotlib sklearn"),
    ],
)
def test_what_is_not_needed_is_not_loaded(statement, absent):
    code = f"import sys; {statement}; print(*(m for m in '{absent}'.split() if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == ""


def test_public_names_exist():
    for name in tf_compleak.__all__:
        assert getattr(tf_compleak, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = tf_compleak.nonsense
