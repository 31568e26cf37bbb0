"""A model's card: written, renewed, and nothing else of it changed."""

import dataclasses
import os

import pytest
import yaml
from sample_report import renamed, sample

from tf_compleak.report import gate, model_card

CARD = """---
license: mit   # as agreed
tags: [a,  b]
---
# Model

Text  with trailing blanks  
no newline at the end"""


@pytest.fixture(scope="module")
def report():
    return dataclasses.replace(sample(), failures=())


def written(path, report, text=None, fail_if="auc>0.5"):
    if text is not None:
        path.write_bytes(text.encode())
    model_card.check(str(path), "--card")
    model_card.write(str(path), report, gate.judge(report, gate.parse(fail_if)), "--card")
    return path.read_bytes().decode()


def front(text):
    return yaml.safe_load(text.split("---")[1])


def without(text):
    """The lines outside of the markers."""
    kept, inside = [], False
    for line in text.splitlines(keepends=True):
        inside = inside or "begin tf-compleak" in line
        if not inside:
            kept.append(line)
        inside = inside and "end tf-compleak" not in line
    return "".join(kept)


@pytest.mark.parametrize("text", [CARD, CARD.replace("\n", "\r\n"), "\ufeff" + CARD, "# Only\n"])
def test_all_else_stays_and_a_second_time_changes_nothing(report, tmp_path, text):
    made = written(tmp_path / "README.md", report, text)
    end = made.count("\r\n") == made.count("\n") if "\r" in text else "\r" not in made
    assert end and "**FAILED**" in made and "Privacy: membership inference" in made
    kept = without(made).rstrip("\r\n")
    assert kept.removeprefix("---\n---\n") == text.rstrip("\r\n")
    before = os.stat(tmp_path / "README.md").st_mtime_ns
    assert written(tmp_path / "README.md", report) == made
    assert os.stat(tmp_path / "README.md").st_mtime_ns == before
    passed = written(tmp_path / "README.md", report, fail_if="auc>0.999")
    assert "**FAILED**" not in passed and without(passed) == without(made)


def test_a_new_card_and_its_metadata(report, tmp_path):
    made = written(tmp_path / "README.md", report)
    (entry,) = front(made)["model-index"]
    metrics = entry["results"][0]["metrics"]
    assert metrics[0]["type"] == "roc_auc"
    assert metrics[0]["value"] == round(report.leading("NR").auc.value, 4)
    repocard = pytest.importorskip("huggingface_hub.repocard_data")
    _, results = repocard.model_index_to_eval_results([entry])
    assert {of.task_type for of in results} == {"membership-inference"}


def test_a_model_index_of_its_own_keeps_its_entries(report, tmp_path):
    own = "---\nmodel-index:\n  - name: mine\n    results: []\n{}---\n# A\n"
    with pytest.raises(ValueError, match=r"--card=.*a model-index of its own; put the lines"):
        written(tmp_path / "README.md", report, own.format(""))
    markers = "".join(f"  {line}\n" for line in model_card.FRONT)
    made = written(tmp_path / "README.md", report, own.format(markers))
    assert [of["name"] for of in front(made)["model-index"]] == ["mine", "tf-compleak"]
    assert written(tmp_path / "README.md", report) == made


BROKEN = {
    "one marker": "# A\n<!-- begin tf-compleak -->\n",
    "the wrong order": "<!-- end tf-compleak -->\n<!-- begin tf-compleak -->\n",
    "a marker twice": "<!-- begin tf-compleak -->\n" * 2 + "<!-- end tf-compleak -->\n",
    "one marker in front": "---\n# begin tf-compleak\n---\n",
    "no end": "---\nlicense: mit\n# A\n",
    "no YAML": "---\na: [\n---\n",
    "no keys": "---\n- a\n---\n",
    "a tag": "---\na: !!python/object/apply:os.system ['true']\n---\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_card_is_refused_in_one_line_and_left_alone(report, tmp_path, case):
    path = tmp_path / "README.md"
    path.write_text(BROKEN[case])
    for act in (
        lambda: model_card.check(str(path), "--card"),
        lambda: model_card.write(str(path), report, None, "--card"),
    ):
        with pytest.raises(ValueError, match=r"^--card=") as caught:
            act()
        assert "\n" not in str(caught.value)
    assert path.read_text() == BROKEN[case] and len(list(tmp_path.iterdir())) == 1


def test_links_folders_and_what_may_not_be_written(tmp_path, monkeypatch):
    (tmp_path / "real.md").write_text("# A\n")
    (tmp_path / "link.md").symlink_to(tmp_path / "real.md")
    for path, message in {
        "link.md": "symbolic link",
        ".": "is a folder",
        "no/README.md": "is no folder; make it first",
    }.items():
        with pytest.raises(ValueError, match=message):
            model_card.check(f"{tmp_path}/{path}", "--card")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="may not be written"):
        model_card.check(f"{tmp_path}/real.md", "--card")


def test_names_are_neither_markup_nor_markers_nor_yaml(report, tmp_path):
    odd = renamed(report, "int8-ptq", "a: [<!-- end tf-compleak -->\n---\n# end tf-compleak\n")
    made = written(tmp_path / "README.md", odd)
    assert made.count(model_card.BODY[1]) == 1 and "tf-compleak" in made
    assert len(front(made)["model-index"]) == 1 and written(tmp_path / "README.md", odd) == made
