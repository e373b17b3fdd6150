"""What Graphviz writes as SVG, made ready for a page: tooltips, a title, and the reader's theme.

Graphviz calls the groups of its SVG by the names of nodes and edges. Here these become what one
reads on hovering, and the ids go, because a page may hold several pictures.
"""

from __future__ import annotations

import html
import re

from engine.drawing.picture import Picture
from engine.drawing.theme import DARK, LIGHT, dark_of_light, markup, title_text
from engine.drawing.widths import width
from engine.showing import Still

_CLASS = "gradloom-graph"
# Like Helvetica, by which Graphviz measures.
_FONTS = "Helvetica,Arial,Arimo,Liberation Sans,Nimbus Sans,DejaVu Sans Condensed,sans-serif"


def finished(svg: str, picture: Picture) -> str:
    """Return an SVG with tooltips in place of names, and a title and description of the whole."""
    details = {name: text for name, text in _details(picture).items() if text}

    def tooltip(match: re.Match[str]) -> str:
        text = details.get(html.unescape(match[1]))
        return f"<title>{markup(text)}</title>" if text else ""

    start = svg.find("<svg")
    if start < 0:
        return svg
    body = re.sub(r'<g id="[^"]*" ', "<g ", svg[start:])
    body = re.sub(r"<!--.*?-->\n?", "", body, flags=re.DOTALL)
    body = re.sub(r"<title>(.*?)</title>\n?", tooltip, body, flags=re.DOTALL)
    body = re.sub(r' font-family="[^"]*"', "", body)
    body = re.sub(r"<text ([^>]*)>([^<]+)</text>", _fitted, body)
    end = body.index(">") + 1
    head = f'{body[: end - 1]} class="{_CLASS}" role="img" font-family="{_FONTS}">'
    title = f"<title>Computation graph</title>\n<desc>{markup(described(picture))}</desc>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{title}{body[end:]}'


def _fitted(match: re.Match[str]) -> str:
    """A text that is as wide as Graphviz took it to be, whatever font there is."""
    look, text = match.groups()
    size = re.search(r'font-size="([0-9.]+)"', look)
    if size is None:
        return match[0]
    length = width(html.unescape(text), float(size[1]))
    return f'<text {look} textLength="{length}" lengthAdjust="spacingAndGlyphs">{text}</text>'


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
        times = f" × {cluster.repeats:,}" if cluster.repeats > 1 else ""
        found[f"cluster_{cluster.id}"] = f"{cluster.name}{times}: {cluster.count:,} nodes"
    return found


def still_of(svg: str, picture: Picture, theme: str) -> Still:
    """The picture of a page; with `theme` "auto" it has dark colours as well."""
    pairs = dark_of_light() if theme == "auto" else {}
    used = sorted(set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', svg)))
    dark = {light: pairs[light] for light in used if light in pairs}
    return Still.of_svg(svg, f"Computation graph: {described(picture)}", dark)


def page(body: str, theme: str, title: str) -> str:
    """A whole HTML file with the picture in it, and nothing from elsewhere."""
    scheme = "light dark" if theme == "auto" else theme
    paper = f"light-dark({LIGHT.background}, {DARK.background})"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{markup(title)}</title>\n"
        f"<style>:root{{color-scheme:{scheme}}}body{{margin:1em;background:{paper}}}</style>\n"
        f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
