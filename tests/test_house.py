"""The house: its floors, its sizes, and what stays out of a process that does not need it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tf_compleak

ROOT = Path(tf_compleak.__file__).parent
CHECKOUT = Path(__file__).parents[1]
MODULES = sorted(ROOT.rglob("*.py"))
BRIDGE = "keras_nlp_bridge.py"


def imports(path: Path) -> set[str]:
    """Top-level packages that a module imports, anywhere in it."""
    tree = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in tree if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


def test_rooms_import_what_stands_below_them_and_there_are_no_circles():
    """The contracts of pyproject.toml; lazy and TYPE_CHECKING imports count."""
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    assert done.returncode == 0 and "0 broken" in done.stdout, done.stdout[-3000:]


def test_the_root_has_two_modules_and_none_is_long():
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py"}
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert not [path for path, length in lengths.items() if length > 400]


def test_flags_are_read_in_the_command_line_only():
    assert {path.parent.name for path in MODULES if "absl" in imports(path)} == {"cli"}


def test_keras_nlp_is_reached_by_one_bridge_only():
    apart = {"keras_nlp", "keras_hub", "tokenizers"}
    assert {path.name for path in MODULES if apart & imports(path)} == {BRIDGE}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import tf_compleak", "tensorflow tf_keras keras sklearn scipy numpy"),
        ("from tf_compleak.cli.main import main; main(['run', '--help'])", "tensorflow sklearn"),
        ("from tf_compleak.cli.main import main; main(['audit', '--help'])", "tensorflow scipy"),
        ("import tf_compleak.cli.states", "tensorflow tf_keras keras sklearn"),
        ("import tf_compleak.studies.audit.audit", "tensorflow tf_keras keras sklearn"),
        ("from tf_compleak.attacks import thresholds", "tensorflow tf_keras keras"),
        ("from tf_compleak.attacks import classifiers", "tensorflow tf_keras keras"),
        ("from tf_compleak.metrics import roc, intervals", "tensorflow tf_keras keras sklearn"),
        (
            "from tf_compleak.metrics import advantage, clustered, privacy, slices",
            "tensorflow tf_keras keras sklearn",
        ),
        ("from tf_compleak.inference import interpreter, observe", "tensorflow tf_keras keras"),
        ("from tf_compleak.data import sources, splits", "tensorflow tf_keras keras sklearn"),
        ("from tf_compleak.report import terminal_report", "tensorflow matplotlib sklearn"),
    ],
)
def test_what_is_not_needed_is_not_loaded(statement, absent):
    code = f"import sys; {statement}; print(*(m for m in '{absent}'.split() if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == ""


def concepts():
    """(names of the concept, file) of every file of the map's table."""
    text = (CHECKOUT / "WORKSPACE.md").read_text(encoding="utf-8")
    table = text.split("## Eleven concepts")[1].split("## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return [(row[0], file) for row in rows for file in re.findall(r"`(\S+\.py)`", row[1])]


@pytest.mark.parametrize(("concept", "file"), concepts())
def test_a_concept_of_the_paper_is_where_the_map_says(concept, file):
    docstring = ast.get_docstring(ast.parse((ROOT / file).read_text(encoding="utf-8")))
    assert any(name.lower() in docstring.lower() for name in concept.split(", "))


def test_public_names_exist():
    for name in tf_compleak.__all__:
        assert getattr(tf_compleak, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = tf_compleak.nonsense
