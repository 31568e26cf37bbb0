"""Pages of reports: whatever stands in a name, a note or a label is text, and shown as it is."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import jinja2
import numpy as np
import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from sample_report import large, sample, without_script

from tf_compleak.report import html, svg, version_figures, wording
from tf_compleak.report.report import Report
from tf_compleak.types import Failure
from tf_compleak.types.comparisons import FamilyAccuracy, Gain
from tf_compleak.types.findings import Exposed, Sanity, Scored, Slice
from tf_compleak.types.marginal_leakage import Addition, Marginal, Subset

REPORT = Path(html.__file__).parent
BIDI = "\u202e\u2066\u200f"  # right-to-left override, isolate, mark
UNSEEN = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": "\"onerror=alert(1) x='",
    "end": "</style></svg></title><img src=x onerror=alert(1)>",
    "formula": "=cmd|' /C calc'!A0",
    "template": "{{ 7 * 191 }}{% raise %}${title}",
    "entity": "&lt;b&gt;&#60;b&#62;",
    "direction": f"int8{BIDI}gnp.",
    "terminal": "\x1b[31m\x07\x00",
}


class Page(HTMLParser):
    """Tags, names of attributes, values of attributes and texts of a page."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.values, self.texts = set(), set(), set(), [""]
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {(tag, name) for name, _ in attrs}
        self.values |= {value or "" for _, value in attrs}
        self.texts.append("")

    def handle_endtag(self, tag):
        self.texts.append("")

    def handle_data(self, data):
        self.texts[-1] += data


def complete(report: Report, text: str) -> Report:
    """The report with every section, and a text wherever one can be."""

    def planted(row):
        named = dataclasses.replace(row.auc, method=text)
        release = tuple(text if name == "int8-qat" else name for name in row.release)
        gain = Gain((text,), text, 1, named, {0.1: named})
        more = {"attack": text, "release": release, "auc": named, "num_shadows": 2}
        more |= {"gain_same": gain} if row.tier != "NR" else {"to_original": gain}
        return dataclasses.replace(row, **more)

    rows = tuple(map(planted, report.results))
    row = rows[0]
    subset = Subset((text,), row.auc, 0.9, 2000, 1000)
    steps = (Addition(text, subset, None), Addition(text, subset, row.auc))
    versions = (
        dataclasses.replace(report.versions[0], notes=(text,)),
        *(
            dataclasses.replace(version, name=text, recipe=text, path=text, notes=(text,))
            if version.name == "int8-qat"
            else version
            for version in report.versions[1:]
        ),
    )
    facts = "created command flags seed workdir python platform isolation representative_data"
    return dataclasses.replace(
        report,
        study={"dataset": text, "model": text},
        provenance={
            **dict.fromkeys([*facts.split(), "seconds", "num_shadows", "fitted"], text),
            "libraries": {text: text},
            "cautions": [text],
        },
        versions=versions,
        results=rows,
        failures=(Failure(text, text),),
        sanity=Sanity(dataclasses.replace(row.auc, method=text), row.auc),
        curve=tuple(dataclasses.replace(row, num_shadows=count) for count in (1, 2)),
        families=tuple(
            FamilyAccuracy(family, text, row.auc, row.accuracy) for family in ("target", text)
        ),
        slices=(Slice(text, "NR", (text,), text, 10, 10, row.auc, 1),),
        exposed=(Exposed(text, rows),),
        marginal=Marginal(text, text, (subset,), (), steps, text, (subset,), 3, True),
        scored=Scored(
            ids=np.array([text] * 4, object),
            labels=np.arange(4),
            members=np.arange(4) < 2,
            values=np.tile(np.arange(4.0), (len(rows), 1)),
            targets=np.zeros(4, np.int64),
        ),
    )


@pytest.fixture
def undrawn(monkeypatch):
    """Pages without their drawings, which have tests of their own."""
    monkeypatch.setattr(svg, "inline", lambda figure, label: Markup("<svg></svg>"))


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("show", [html.render, html.fragment])
def test_a_hostile_text_is_text_wherever_it_stands(undrawn, show, kind):
    page, harmless = (show(complete(sample(), text)) for text in (HOSTILE[kind], "harmless"))
    if show is html.render:
        page, harmless = map(without_script, (page, harmless))
    before, after = Page(harmless), Page(page)
    assert after.tags == before.tags and after.attributes == before.attributes
    assert "script" not in after.tags and not {n for _, n in after.attributes if n[:2] == "on"}
    text = wording.plain(HOSTILE[kind])
    assert [each.replace("harmless", text) for each in before.texts] == after.texts
    assert {each.replace("harmless", text) for each in before.values} == after.values
    assert "1337" not in page and not re.search(UNSEEN, page)


def test_the_compared_texts_are_in_every_section(undrawn):
    page = Page(html.render(complete(sample(), "harmless")))
    assert sum("harmless" in text for text in page.texts) > 100
    assert "harmless" in page.values
    ids = {"adds", "alone", "budget", "exposures", "strength", "slices", "versions", "failures"}
    assert ids | {"gains", "families"} <= page.values


@pytest.mark.parametrize("kind", ["script", "attribute", "formula", "direction"])
def test_a_hostile_text_is_not_in_a_page_with_its_drawings(kind):
    harmless = Page(html.render(complete(sample(), "harmless")))
    page = html.render(complete(sample(), HOSTILE[kind]))
    assert Page(page).attributes == harmless.attributes and Page(page).tags == harmless.tags
    assert not re.search(UNSEEN, page) and "<script>alert" not in page


def test_a_browser_is_told_to_run_the_one_script_and_to_fetch_nothing():
    page = html.render(sample())
    script = page.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = without_script(page)
    policy = dict(part.split(" ", 1) for part in policy_of(page).split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == f"'sha256-{digest}'"
    assert "unsafe-eval" not in policy_of(page) and "http" not in policy_of(page)
    assert page.index("Content-Security-Policy") < page.index("<style")
    assert not re.search(r"""(src|href)=(?!["']#)|url\((?!#)|@import""", page)


def test_the_script_makes_no_markup_and_no_code_of_texts():
    script = (REPORT / "templates" / "page.js").read_text(encoding="utf-8")
    unsafe = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(|fetch\("
    assert not re.search(unsafe, script) and "{{" not in script and "{%" not in script
    assert "\r" not in script  # a browser hashes what it has read, with plain ends of lines


def policy_of(page: str) -> str:
    """The content of the page's Content-Security-Policy."""
    return re.search(r'"Content-Security-Policy" content="([^"]+)"', page)[1].replace("&#39;", "'")


@pytest.mark.parametrize("kind", HOSTILE)
def test_matplotlib_and_the_label_escape_what_is_drawn(kind):
    text = HOSTILE[kind]
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], label=wording.plain(text))
    axes.set_xlabel(wording.plain(text), parse_math=False)
    axes.legend()
    drawing = svg.inline(figure, text)
    root = ElementTree.fromstring(drawing.replace("\x1b", "").replace("\x07", "").replace("\0", ""))
    assert not {each.tag for each in root.iter() if re.search("script|img|foreign", each.tag)}
    texts = ["".join(each.itertext()) for each in root.iter() if each.tag.endswith("}text")]
    assert texts.count(wording.plain(text)) == 2
    assert root.get("aria-label") == re.sub(r"[\x1b\x07\0]", "", text)
    assert not [name for each in root.iter() for name in each.attrib if name.startswith("on")]


def test_ids_are_renamed_in_tags_and_not_in_texts():
    figure = Figure()
    figure.suptitle('id="a" url(#a) href="#a"')
    drawing = svg.inline(figure, "")
    assert '>id="a" url(#a) href="#a"<' in drawing
    assert re.search(r'<g id="f[0-9a-f]{8}-figure_1"', drawing)


def test_a_name_that_a_template_misses_is_an_error():
    environment = html._environment()
    for text in ("{{ missing }}", "{{ report.missing }}", "{% if missing %}{% endif %}"):
        with pytest.raises(jinja2.UndefinedError):
            environment.from_string(text).render(report=sample())


def test_only_drawings_are_not_escaped():
    assert html._environment().autoescape is True
    for path in (REPORT / "templates").iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*(safe|tojson|xmlattr|urlize)\b|autoescape\s+false", text), path
    modules = {path.name: path.read_text(encoding="utf-8") for path in REPORT.glob("*.py")}
    assert [name for name, text in modules.items() if "Markup(" in text] == ["svg.py"]
    assert not re.search(r"</?(td|tr|th|p|div|span|section|h\d)\b", modules["html.py"])


def test_the_template_engine_is_loaded_when_a_page_is_made():
    code = (
        "import sys; from tf_compleak.cli import main, states; "
        "from tf_compleak.report import figures, gate, report, report_folder, terminal_report; "
        "assert 'jinja2' not in sys.modules; from tf_compleak.report import html; "
        "assert 'jinja2' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_page_of_12_versions_and_20_attacks_is_below_1_5_mb():
    report = large(versions=12, attacks=20, classes=100)
    assert len(report.versions) == 12 and len(report.results) == 500 and len(report.slices) == 300
    assert len(html.render(report).encode()) < 1.5e6


def test_figures_take_texts_without_control_characters():
    figure = version_figures.subsets_figure(complete(sample(), "\x1b[31m\u202e"))
    assert "\x1b" not in figure.axes[0].get_ylabel()
