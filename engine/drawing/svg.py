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


def inline(svg: str, theme: str) -> str:
    """An SVG as it may stand in a page, which may be dark; `theme` "auto" follows it."""
    body = svg[svg.index("<svg") :]
    style = f"<style>{_follow(body)}</style>" if theme == "auto" else ""
    return f'<div class="{_CLASS}-box" style="overflow:auto">{style}{body}</div>'


def page(svg: str, theme: str, title: str) -> str:
    """A whole HTML file with the picture in it, and nothing from elsewhere."""
    fixed = DARK if theme == "dark" else LIGHT
    dark = (
        f"@media (prefers-color-scheme: dark){{body{{background:{DARK.background}}}}}"
        if theme == "auto"
        else ""
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{markup(title)}</title>\n"
        f"<style>body{{margin:1em;background:{fixed.background}}}{dark}</style>\n"
        f"</head>\n<body>\n{inline(svg, theme)}\n</body>\n</html>\n"
    )


def _follow(svg: str) -> str:
    """Style rules that put dark colours in place of the light ones of a picture on a dark page."""
    pairs = dark_of_light()
    used = sorted(set(re.findall(r'(fill|stroke)="(#[0-9a-f]{6})"', svg)))
    # Jupyter and VS Code have themes of their own, whatever the system's is.
    reader = f"body:not([data-jp-theme-light]):not([data-vscode-theme-kind]) .{_CLASS}"
    others = (
        f'[data-jp-theme-light="false"] .{_CLASS}',
        f'[data-vscode-theme-kind="vscode-dark"] .{_CLASS}',
    )

    def rules(*pages: str) -> str:
        return "".join(
            ",".join(f'{page} [{what}="{light}"]' for page in pages) + f"{{{what}:{pairs[light]}}}"
            for what, light in used
            if light in pairs
        )

    return f"@media (prefers-color-scheme:dark){{{rules(reader)}}}{rules(*others)}"
