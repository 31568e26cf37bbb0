"""A matplotlib figure as inline SVG: the one text of a page that is not escaped by its templates.

matplotlib escapes what it draws, ids and references are rewritten here; `label` and what marks say
are escaped. Colours that stand for something follow the page, light or dark.
"""

from __future__ import annotations

import io
import re
import zlib

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from tf_compleak.report import figures, wording
from tf_compleak.report.marks import PREFIX, Mark

IDS = re.compile(r'(\bid="|url\(#|href="#)')
MARKED = re.compile(rf'<g id="({PREFIX}[^"]*)">')
THEMED = {  # by the page's variables, which notebooks do not have
    "#000000": "ink",
    "#ffffff": "card",
    "#dddddd": "line",
    "#eeeeee": "shade",
    "#777777": "soft",
    "#444444": "soft",
    "#222222": "ink",
    **{colour: tier for tier, colour in figures.COLOURS.items()},
}
FONTS = re.compile(r'font-family: [^;"]+')  # the whole list of matplotlib's, at every text
COLOUR = re.compile(r"\b(fill|stroke): (#[0-9a-f]{6})")


def inline(figure: Figure, label: str) -> Markup:
    """The figure as deterministic inline SVG: no prolog, ids of its own.

    Text stays text, in the reader's sans-serif font; `label` is for screen readers.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({**figures.STYLE, "svg.hashsalt": "tf_compleak"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    prefix = f"f{zlib.crc32(text.encode()):08x}-"
    text = MARKED.sub(_marked, text)
    text = re.sub(r"<[^<>]+>", lambda tag: _rewritten(tag[0], prefix), text)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1))


def _rewritten(tag: str, prefix: str) -> str:
    """A tag with ids of its own, in the colours and the font of the page."""
    tag = FONTS.sub("font-family: sans-serif", COLOUR.sub(_themed, tag))
    return IDS.sub(rf"\g<1>{prefix}", tag)


def _marked(group: re.Match) -> str:
    """A group with what it stands for as attributes and, to be hovered over, as a title."""
    mark = Mark.from_gid(group[1])
    texts = {name: escape(wording.plain(text)) for name, text in mark.attributes().items()}
    attributes = "".join(f' {name}="{text}"' for name, text in texts.items())
    title = f"<title>{escape(wording.plain(mark.text))}</title>" if mark.text else ""
    return f"<g{attributes}>{title}"


def _themed(colour: re.Match) -> str:
    name = THEMED.get(colour[2])
    return f"{colour[1]}: var(--{name}, {colour[2]})" if name else colour[0]
