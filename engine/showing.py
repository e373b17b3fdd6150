"""How objects show themselves: the one rule for notebooks, pages and terminals.

A notebook that somebody else ran is not trusted: scripts are cut out of it, inline SVG loses its
tags and keeps its words, attributes go. What is left everywhere is an image whose content stands in
its address. So what shows itself gives words and a `Still` that need nothing else, and scripts,
which bring these to life where they may run; and a text for terminals. This module depends on
nothing, so that every layer can show itself.
"""

from __future__ import annotations

import base64
import html
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

# What draws objects of a class, by its name, where that lies above the class: told by `engine`.
pictures: dict[str, Callable[[Any], Shown]] = {}
_PX = {"pt": 4 / 3, "px": 1.0, "": 1.0}  # a unit of SVG in pixels of a page
_LETTERS = re.compile(r'font(?:-size="|: )([0-9.]+)')  # their sizes, as attributes or rules
_SMALLEST = 12.0  # pixels, which are 9 points


@dataclass(frozen=True)
class Still:
    """A static picture: SVG as a text or PNG as bytes, and what it shows, for those who can't see.

    `width` is in pixels, and `least` that to which a page may narrow it, 0 for any. In a page that
    runs scripts an SVG takes the place of its image, so that one can hover and select; there it
    takes the colours of `dark`, by the light ones, if the page is dark.
    """

    content: str | bytes
    alt: str
    width: float
    dark: Mapping[str, str] = field(default_factory=dict)
    least: float = 0.0

    @classmethod
    def of_svg(cls, svg: str, alt: str, dark: Mapping[str, str] | None = None) -> Still:
        """A picture as wide as its SVG says, narrowed as far as its letters can be read."""
        size = re.search(r'<svg\b[^>]*?\bwidth="([0-9.]+)(pt|px|)"', svg)
        unit = _PX[size[2]] if size else 0.0
        width = float(size[1]) * unit if size else 0.0
        letters = min(map(float, _LETTERS.findall(svg)), default=math.inf) * unit
        least = width * min(1.0, _SMALLEST / letters) if size else 0.0
        return cls(svg, alt, width, dark or {}, least)

    @property
    def kind(self) -> str:
        """Its MIME type."""
        return "image/png" if isinstance(self.content, bytes) else "image/svg+xml"

    @property
    def data(self) -> str:
        """Its content as notebooks keep it: SVG as it is, PNG in base64."""
        return self.content if isinstance(self.content, str) else _base64(self.content)

    def html(self) -> str:
        """An image that every page and every sanitiser lets through."""
        content = self.content
        data = _base64(content.encode() if isinstance(content, str) else content)
        live = f" data-dark='{json.dumps(dict(self.dark))}'"
        if self.kind == "image/png":
            live = ' style="max-width:100%;height:auto"'
        elif self.least:
            live += f' style="max-width:100%;height:auto;min-width:{self.least:.0f}px"'
        width = f' width="{self.width:.0f}"' if self.width else ""
        return (
            f'<img class="gradloom-still"{width} alt="{html.escape(self.alt)}"{live} '
            f'src="data:{self.kind};base64,{data}">'
        )

    def scrolled(self) -> str:
        """The image, smaller where the page is narrower; where it could not be read, to scroll."""
        return f'<div style="overflow:auto">{self.html()}</div>'


class Shown(ABC):
    """What shows itself: `_bundle` says how, and every front end gets the same.

    IPython asks `_repr_mimebundle_` first, and others, such as marimo, `_repr_html_`.
    """

    @abstractmethod
    def _bundle(self) -> dict[str, str]:
        """By MIME type, as `bundle` makes it."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return self._bundle()

    def _repr_html_(self) -> str | None:
        return self._bundle().get("text/html")


class Told(Shown):
    """What is a text of several lines, printed and shown as such; `_page` may say it better."""

    def __repr__(self) -> str:
        return str(self)

    def _bundle(self) -> dict[str, str]:
        return bundle(str(self), None, self._page())

    def _page(self) -> str:
        return words(str(self))


def bundle(
    text: str, still: Still | None, body: str = "", scripts: Sequence[str] = ()
) -> dict[str, str]:
    """What a front end may choose from: `text`, a page's `body` with its scripts, and a picture.

    `body` is HTML that says what there is without any script; stills in it come to life first. It
    is left out where the picture is all there is to see, as in plots.

    >>> sorted(bundle("2 boxes", Still("<svg/>", "two boxes", 40.0), "<p>two boxes</p>"))
    ['image/svg+xml', 'text/html', 'text/plain']
    """
    picture = {} if still is None else {still.kind: still.data}
    page = {"text/html": page_part(body, scripts)} if body else {}
    return {**picture, **page, "text/plain": text}


def page_part(body: str, scripts: Sequence[str] = ()) -> str:
    """A piece of a page, with the scripts that bring it to life."""
    needed = [_script()] if "data-dark=" in body else []  # a picture that comes to life
    return "".join([body, *(f"<script>{script}</script>" for script in [*needed, *scripts])])


def words(text: str) -> str:
    """A text of several lines as it stands in a page."""
    style = "margin:0;white-space:pre-wrap;font-family:monospace"  # a ^^^ is below what it marks
    style += ";font-size:inherit"  # also on slides
    return f'<pre style="{style}">{html.escape(text)}</pre>'


def table(rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    """Cells as they stand in a page, the first row as titles; `left` are the columns of words."""
    lines = []
    for row, tag in zip(rows, ["th", *["td"] * len(rows)], strict=False):
        aligns = ["left" if i in left else "right" for i in range(len(row))]
        cells = "".join(
            f'<{tag} style="text-align:{align};white-space:pre;padding:0 0.5em">'
            f"{html.escape(cell)}</{tag}>"
            for cell, align in zip(row, aligns, strict=True)
        )
        lines.append(f"<tr>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    """The same as lines of a text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


@cache
def _script() -> str:
    return Path(__file__).with_name("showing.js").read_text(encoding="utf-8")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
