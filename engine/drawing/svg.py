"""What Graphviz writes as SVG, made ready for a page: tooltips, a title, and the reader's theme.

Graphviz calls the groups of its SVG by the names of nodes and edges. Here these become what one
reads on hovering, and the ids go, because a page may hold several pictures. It lays out stand-ins
for the texts, as wide as those will be: it can't know the reader's fonts, nor every script.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable

from engine.drawing.dot import FONT, SIZE, Texts, to_dot
from engine.drawing.picture import Picture
from engine.drawing.theme import DARK, LIGHT, Theme, markup, title_text
from engine.drawing.widths import room

_CLASS = "gradloom-graph"
_FONTS = "Helvetica,Arial,Arimo,Liberation Sans,Nimbus Sans,DejaVu Sans Condensed,sans-serif"
_FACE = "gradloom"
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_TEXT = re.compile(rf'<text ([^>]*?) x="([^"]*)"([^>]*) font-family="{FONT},{_FACE}(\d+)"([^>]*)>')
# w and the comma are as wide in Helvetica as in Times, by which some builds measure, and in bold.
_WIDE, _NARROW = 0.722, 0.264


class StandIns(Texts):
    """Texts of w and commas that take the room of the real ones, whatever fonts Graphviz has.

    Some builds of it count characters by their bytes. The number of a text is in its font's name,
    which Graphviz hands on.
    """

    def __init__(self) -> None:
        self._lines: list[tuple[str, str, float]] = []  # with its anchor, and its place there

    def line(self, line: str, anchor: str) -> str:
        """What stands for a line of text in a label, until `replaced`."""
        wide, narrow = _letters(max(room(line, 1.0), _NARROW))  # no text is empty for Graphviz
        share = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
        self._lines.append((line, anchor, share * SIZE * (wide * _WIDE + narrow * _NARROW)))
        face = f"{FONT},{_FACE}{len(self._lines) - 1}"
        return f'<FONT FACE="{face}">{"w" * wide}{"," * narrow}</FONT>'

    def replaced(self, svg: str) -> str:
        """An SVG of Graphviz with the real texts, each at its natural width."""

        def text(match: re.Match[str]) -> str:
            before, x, between, k, after = match.groups()
            line, anchor, beside = self._lines[int(k)]
            before = before.replace('text-anchor="start"', f'text-anchor="{anchor}"')
            return f'<text {before} x="{float(x) + beside:.2f}"{between}{after}>{html.escape(line)}'

        return re.sub(_TEXT.pattern + "[w,]*", text, svg)


def _letters(length: float) -> tuple[int, int]:
    """How many w and commas are at least as long together, and as little longer as can be."""
    pairs = [(max(0, math.ceil((length - k * _NARROW) / _WIDE)), k) for k in range(3)]
    return min(pairs, key=lambda pair: pair[0] * _WIDE + pair[1] * _NARROW)


def drawn(picture: Picture, rankdir: str, theme: Theme, render: Callable[[str, str], bytes]) -> str:
    """Return a picture as SVG, with tooltips, a title and a description; `render` is Graphviz."""
    texts = StandIns()
    svg = render(to_dot(picture, rankdir, theme, texts), "svg").decode()
    details = _details(picture)

    def tooltip(match: re.Match[str]) -> str:
        text = details.get(html.unescape(match[1]))
        return f"<title>{markup(text)}</title>" if text else ""

    start = svg.find("<svg")
    if start < 0:
        return svg
    body = re.sub(r'<g id="[^"]*" ', "<g ", svg[start:])
    body = re.sub(r"<!--.*?-->\n?", "", body, flags=re.DOTALL)
    body = re.sub(r"<title>(.*?)</title>\n?", tooltip, body, flags=re.DOTALL)
    body = texts.replaced(body)
    end = body.index(">") + 1
    head = f'{body[: end - 1]} class="{_CLASS}" role="img" font-family="{_FONTS}">'
    title = f"<title>Computation graph</title>\n<desc>{markup(described(picture))}</desc>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{title}{body[end:]}'


def described(picture: Picture) -> str:
    """A sentence on the picture, for those who do not see it."""
    roots = [box.label or title_text(box) for box in picture.boxes if box.is_root]
    parts = [f"{len(picture.boxes):,} boxes and {len(picture.arrows):,} arrows"]
    if roots:
        parts.append(f"results: {', '.join(roots[:5])}")
    if picture.caption:
        parts.append(picture.caption)
    return "; ".join(parts) + "."


def _details(picture: Picture) -> dict[str, str]:
    """By the name in Graphviz what to read on hovering."""
    found = {}
    for box in picture.boxes:
        found[box.id] = box.detail
        found[f"op_{box.id}"] = box.detail
    for arrow in picture.arrows:
        found[f"{arrow.source}->{arrow.target}"] = arrow.detail
        found[f"{arrow.source}->op_{arrow.target}"] = arrow.detail
    for cluster in picture.clusters:
        found[f"cluster_{cluster.id}"] = f"{title_text(cluster)}: {cluster.count:,} nodes"
    return found


def page_of(title: str, theme: str, body: str) -> str:
    """A whole HTML file with a picture or a player in it, and nothing from elsewhere."""
    scheme = "light dark" if theme == "auto" else theme
    paper = f"light-dark({LIGHT.background}, {DARK.background})"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{markup(title)}</title>\n"
        f"<style>:root{{color-scheme:{scheme}}}body{{margin:1em;background:{paper}}}"
        ".gradloom-page>.gradloom-player{max-width:1400px;margin:0 auto}</style>\n"
        f'</head>\n<body class="gradloom-page">\n{body}\n</body>\n</html>\n'
    )
