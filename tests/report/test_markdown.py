"""A report in Markdown: what it shows, and that no name is markup."""

import dataclasses

import pytest
from markdown_it import MarkdownIt
from sample_report import renamed, sample

from tf_compleak.report import gate, markdown
from tf_compleak.types import Failure

ODD = "<script>x</script>|[a](http://b)`**_#@me www.x.y\u202e"


@pytest.fixture(scope="module")
def report():
    return sample()


def rendered(text):
    """Tokens of GitHub's Markdown."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    return [token for block in tokens for token in (block, *(block.children or ()))]


def test_leading_rows_are_shown_with_interval_and_n_and_others_folded(report):
    text = markdown.summary(report, gate.judge(report, gate.parse("auc>0.5")))
    kinds = [token.type for token in rendered(text)]
    assert kinds.count("table_open") == 2 and "h2" in {t.tag for t in rendered(text)}
    open_part, folded = text.split("<details>", 1)
    for tier in ("NR", "SR", "MR"):
        row = report.leading(tier)
        assert markdown.escaped(str(row.auc)) in open_part
    assert f"{row.n_members:,} + {row.n_non_members:,}" in open_part
    assert "- **FAILED**: auc" in open_part and folded.count("</details>") >= 1
    assert "FAILED" not in markdown.summary(report)


def test_names_are_text_and_nothing_else(report):
    report = dataclasses.replace(report, failures=(Failure("loss", "failed"),))
    odd = renamed(report, "int8-ptq", ODD)
    odd = dataclasses.replace(odd, failures=(Failure(ODD, f"\n# {ODD}"),))
    before, after = (rendered(markdown.summary(of)) for of in (report, odd))
    for tokens in (before, after):
        allowed = {"<details>", "</details>", "<summary>", "</summary>"}
        html = [t.content for t in tokens if t.type in ("html_block", "html_inline")]
        assert all("script" not in part and any(a in part for a in allowed) for part in html)
    kinds = ("link_open", "code_inline", "em_open", "image", "heading_open", "td_open")
    for kind in kinds:
        count = [sum(token.type == kind for token in tokens) for tokens in (before, after)]
        assert count[0] == count[1], kind
    text = "".join(t.content for t in after if t.type in ("text", "text_special"))
    assert "<script>x</script>|[a](http://b)`**_#@me www.x.y " in text
    plain = markdown.summary(odd)
    assert "\u202e" not in plain and "@me" not in plain and "www.x" not in plain


@pytest.mark.parametrize(
    ("text", "safe"),
    [("0.612 [0.5, 0.7]", "0.612 &#91;0.5, 0.7&#93;"), ("a.b", "a&#46;b"), ("Done. a", "Done. a")],
)
def test_figures_stay_readable(text, safe):
    assert markdown.escaped(text) == safe
