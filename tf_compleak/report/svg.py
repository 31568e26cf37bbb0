"""A matplotlib figure as inline SVG: the one text of a page that is not escaped by its templates.

matplotlib escapes what it draws, ids and references are rewritten here, and `label` is escaped.
"""

from __future__ import annotations

import io
import re
import zlib

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from tf_compleak.report import figures

IDS = re.compile(r'(\bid="|url\(#|href="#)')


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
    text = re.sub(r"<[^<>]+>", lambda tag: IDS.sub(rf"\g<1>{prefix}", tag[0]), text)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1))
