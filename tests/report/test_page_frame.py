"""The page of a report in a notebook's frame."""

from html.parser import HTMLParser

import pytest
import sample_report

from tf_compleak.report import html


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_a_frame_holds_the_whole_page_and_nothing_of_it_is_outside():
    report = sample_report.sample()
    shown = report.show(height=500, fail_if="auc>0.6")
    parser = Tags()
    parser.feed(shown._repr_html_())
    ((tag, attributes),) = parser.tags
    assert tag == "iframe" and attributes["srcdoc"] == html.render(report, "auc>0.6")
    assert attributes["sandbox"] == "allow-scripts" and "height: 500px" in attributes["style"]
    assert repr(shown).startswith("<the page of ") and len(repr(shown)) < 500


def test_a_height_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"^height: must lie between 100 and 10000, got 5"):
        sample_report.sample().show(height=5)
