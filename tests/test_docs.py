"""README and the pages of `docs`: their flags exist, their links resolve, the tutorial runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tf_compleak.cli import main as cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
MADE = {"reference/flags.md"}  # by docs/hooks, when the site is built
OTHERS = {"--head", "--strict", "--data", "--validation", "--out"}  # of other programs
PLAIN = {  # of commands without absl flags
    "show": {"--verify"},
    "compare": {"--fail_if", "--json"},
    "tensorboard": {"--logdir"},
    "serve": {"--port"},
}


def known(command):
    """The flags of a command."""
    if command in PLAIN:
        return PLAIN[command]
    return {f"--{name}" for name in cli.define_flags(command)} | {"--flagfile", "--help"}


def commands(text):
    """Every `tf-compleak COMMAND ...` of a text as its words; lines that go on are one."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in re.findall(
        r"tf-compleak ((?:run|audit|show|compare|tensorboard|serve)\b[^\n`]*)", joined
    ):
        yield shlex.split(line.split("    ")[0])  # what stands behind four spaces explains


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_flag_is_shown_that_the_tool_does_not_know(page):
    text = page.read_text(encoding="utf-8")
    for command, *words in commands(text):
        flags = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert flags <= known(command), (command, flags - known(command))
    everything = set.union(*(known(command) for command in cli.COMMANDS), OTHERS)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z_]*", text)) <= everything


@pytest.mark.parametrize("command", ["tf-compleak run --epoch=3", "tf-compleak show w --verfy"])
def test_a_wrong_flag_would_be_found(command):
    ((name, *words),) = commands(f"so: `{command}`")
    assert not {word.partition("=")[0] for word in words if word.startswith("--")} <= known(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        target = page.parent / link if link else page
        if target.is_relative_to(DOCS) and target.relative_to(DOCS).as_posix() in MADE:
            continue
        assert target.resolve().is_file(), link
        titles = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
        assert not anchor or anchor in anchors


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {page.relative_to(DOCS).as_posix() for page in PAGES[1:]} | MADE
    assert set(re.findall(r": (\S+\.md)$", text, re.MULTILINE)) == pages


def test_the_page_of_flags_has_each_with_its_default(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "hooks"))
    import repository_pages

    page = repository_pages.flags_page()
    for command in ("run", "audit"):
        values = cli.define_flags(command)
        for name in values:
            default = (values[name].default_as_str or "").strip("'")
            cell = re.escape(f"`{default}`" if default else "none")
            assert re.search(rf"^\| `--{name}` \| .+ \| {cell} \|$", page, re.MULTILINE)
    assert repository_pages.linked(
        "how-to/gate.md", "[a](../../action.yml) [b](../own_models.md)"
    ) == {"../../action.yml": "action.yml"}


@pytest.mark.slow
def test_the_tutorial_runs_as_it_is_written(tmp_path):
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    (flagfile,) = re.findall(r'```text title="audit.cfg"\n(.*?)```', text, re.DOTALL)
    (tmp_path / "audit.cfg").write_text(flagfile)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    outputs = []
    for _, *words in map(shlex.split, re.findall(r"```console\n(.*?)\n```", text)):
        line = [sys.executable, "-m", "tf_compleak", *words]
        done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True)
        gate = any(word.startswith("--fail_if") for word in words)
        assert done.returncode == (3 if gate else 0), done.stderr
        outputs.append(done.stdout + done.stderr)
    assert len(outputs) == 7 and "FAILED: upper end of auc" in outputs[2]
    for output, words in {
        1: "n = 350 members and",
        4: "What the app shows",
        5: "independent samples",
        6: "48 done",
    }.items():
        assert words in " ".join(outputs[output].split())
