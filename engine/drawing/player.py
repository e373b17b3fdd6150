"""A player: the two passes over a graph, step by step, as one self-contained piece of HTML.

In goes a node; out comes a `Player`, which shows itself in notebooks and saves itself as a file:
the picture of the graph (`fold`, `placing`), drawn once, and the text of every step (`steps`), with
a little JavaScript that brings one after the other to life. Nothing is fetched from anywhere.
Without JavaScript the picture, as an image, and the list of all steps are there.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from engine.drawing.fold import fold
from engine.drawing.picture import Picture
from engine.drawing.stage import Scenes, draw_stage
from engine.drawing.steps import Walk
from engine.drawing.svg import page_of
from engine.drawing.theme import DARK, LIGHT, THEMES, colours_of
from engine.errors import one_of
from engine.files import with_ending, write_whole
from engine.graph import Graph
from engine.showing import Shown, Still, bundle
from engine.value import Value

_VIEW = 56  # hundredths of the window's height, as in player.css
_PLAIN = 24  # numbers: so many are seen at once, one by one
LARGEST = 1000  # boxes: with two steps a box, what a browser still shows at once

_PHASES = {"start": "Start", "seed": "Backward", "leaves": "Result"}
_BUTTONS = (  # class, label, path of the icon
    ("gl-first", "First step", "M5 4h3v16H5zM20 4v16L9 12z"),
    ("gl-back", "One step back", "M17 4v16L6 12z"),
    ("gl-play", "Play", "M7 4v16l13-8z"),
    ("gl-forth", "One step forth", "M7 4v16l11-8z"),
    ("gl-last", "Last step", "M16 4h3v16h-3zM4 4v16l11-8z"),
)
_RAMPS = ("shades", "strokes")  # of the theme, for pictures coloured by numbers


class Stepped(Shown):
    """What is stepped through in a browser, and saves itself as a page with `_title`."""

    theme: str
    _title: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one HTML file that needs nothing else, not even a network; return its path.

        The file is complete or not there. Raises OSError where it can't be written, and
        ValueError for a name with another ending than .html.
        """
        path = with_ending(path, "html")
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"a player is saved as .html, not as {path.suffix!r}")
        write_whole(path, page_of(self._title, self.theme, self._bundle()["text/html"]).encode())
        return path


class Player(Stepped):
    """The forward and backward pass over a graph, to be stepped through in a browser.

    In Jupyter it shows itself; `save` writes a file of its own. `steps` has every step as plain
    data: a dict with phase, nodes, node, title, text, notes and numbers. `graph` and `picture` are
    what is drawn.
    """

    def __init__(self, root: Value, limit: int | None, theme: str) -> None:
        self.graph = Graph(root)
        self.picture = fold(self.graph, limit=limit, plain=_PLAIN if limit is None else limit)
        self.theme = theme
        walk = Walk(root)
        self._title = f"Step by step: {walk.names[-1]}"
        self._scenes = Scenes(walk, self.graph, self.picture)
        self.steps = self._scenes.steps
        self._drawn = draw_stage(self._scenes)

    def __repr__(self) -> str:
        return f"Player({len(self.steps)} steps; see .steps, .save(path))"

    def _bundle(self) -> dict[str, str]:
        scenes, still = self._scenes, self._still()
        body, scripts = body_of(
            self.steps,
            {"arrows": scenes.arrow_ends, "steps": scenes.changes},
            still.html(),
            theme=self.theme,
            phase="leaves",
            description=(
                f"Computation of {scenes.walk.names[-1]} and its gradients, "
                f"{len(self.picture.boxes)} boxes, {len(self.steps)} steps."
            ),
            caption=_caption(self.picture),
        )
        return bundle(repr(self), still, body, scripts)

    def _still(self) -> Still:
        """The picture at the end of both passes."""
        width, height, inside = self._drawn
        label = f"Graph of the computation of {self._scenes.walk.names[-1]}"
        colour = 2 if self.theme == "dark" else 1  # an image does not know the page's colours
        style = re.sub(r"light-dark\(([^,]+), ([^)]+)\)", lambda m: str(m[colour]), _style())
        style = style.split("/* --- what a step does")[0].replace(".gradloom-player", ".gl-image")
        # It grows with the page; smaller one could not read it, and scrolls. (JupyterLab narrows
        # what is wider than the page, but for what has a min-width.)
        fits = f"min(100%, {_VIEW * width / height:.0f}vh, {1.25 * width:.0f}px)"
        size = f"min-width: {width:.0f}px; width: {fits}"
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" role="img" '
            f'aria-label="{html.escape(label)}" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}" '
            f'data-live-class="gl-stage" data-live-style="{size}">\n'
            f'<style class="gl-image-only">{style}</style>\n'
            '<g class="gl-image">'
            '<rect class="gl-paper gl-image-only" width="100%" height="100%"/>\n'
            f'<g class="gl-graph">{inside}</g></g></svg>'
        )
        return Still.of_svg(svg, label)


def body_of(
    steps: Sequence[dict[str, Any]],
    data: dict[str, Any],
    view: str,
    *,
    theme: str,
    phase: str,
    description: str,
    caption: str = "",
) -> tuple[str, list[str]]:
    """A player as a piece of HTML: `view` to look at, the text of each step, and its scripts.

    Of a step the phase, title, text and notes are shown; `data` is what its script goes by, the
    ends of the arrows and what changes at each step. In `view`, elements of the class "gl-panel"
    are shown one a step.
    """
    # The controls are made by the script: what runs none has no use for them.
    given = json.dumps({**data, "controls": _controls(len(steps))}, separators=(",", ":"))
    for character in "<>&":
        given = given.replace(character, f"\\u{ord(character):04x}")
    body = (
        f'<div class="gradloom-player" data-theme="{theme}" data-phase="{phase}" '
        'role="group" aria-roledescription="player" tabindex="0" '
        'data-lm-suppress-shortcuts="true" '  # JupyterLab leaves the keys to it
        f'aria-label="{html.escape(description)} Arrow keys go from step to step, space plays.">\n'
        f"<style>{_style()}</style>\n"
        f'<div class="gl-view">{view}</div>\n{caption}'
        '<details class="gl-all" open="open"><summary>All steps, to read or to jump to</summary>\n'
        f"<ol>\n{''.join(_item(step) for step in steps)}</ol></details>\n"
        f'<script type="application/json">{given}</script>\n</div>'
    )
    return body, [_file("player.js")]


def step_through(
    root: Value,
    *,
    limit: int | None = None,
    theme: Literal["auto", "light", "dark"] = "auto",
) -> Player:
    """Return a player of the forward and backward pass over everything behind `root`.

    At each step it shows the node, its rule with the numbers in it, and which gradients add up
    where; backwards it starts with the gradient 1 at `root`. Nobody's `grad` is changed or read.
    It is run by its buttons, or by the keys ← → Home End and space. In Jupyter it shows itself;
    `.save("player.html")` writes one file that needs no network, and `.steps` is plain data.

    A graph of more than 24 numbers is folded, to at most 60 boxes: a box then stands for several
    operations, such as a neuron's sum, and so does its step. With `limit`, at most 1,000, it is
    folded beyond so many boxes only. There are at most two steps a box, and three more. `theme` is
    "light", "dark", or as the reader's system has it.

    Raises TypeError where `root` is no Value, ValueError for another `limit` or `theme`, and
    GraphError where a node was made by hand.

    >>> x = Value(3.0, label="x")
    >>> for step in step_through(x * x).steps:
    ...     print(step["phase"], "|", step["text"].replace(chr(10), "; "))
    start | x = 3
    forward | v1 = x × x = 3 × 3 = 9
    seed | v1.grad = ∂v1/∂v1 = 1
    backward | ∂v1/∂x = x = 3; x.grad += v1.grad × ∂v1/∂x = 1 × 3 = 3; ∂v1/∂x = x = 3; ...
    leaves | x.grad = ∂v1/∂x = 6
    """
    if not isinstance(root, Value):
        advice = "; take one of it, [0]" if isinstance(root, list | tuple) else ""
        raise TypeError(f"step_through takes a Value, not a {type(root).__name__}{advice}")
    one_of("theme", theme, "auto", *THEMES)
    if limit is not None and (not isinstance(limit, int) or not 1 <= limit <= LARGEST):
        raise ValueError(f"limit is a whole number of boxes from 1 to {LARGEST:,}, not {limit!r}")
    return Player(root, limit, theme)


@cache
def _style() -> str:
    """The rules, and before them the colours of all drawings by their roles, light and dark."""
    light, dark = colours_of(LIGHT), colours_of(DARK)
    rules = [
        f"--{role}: light-dark({light[role]}, {dark[role]});"
        for role in light
        if not role.startswith(_RAMPS)
    ]
    return f".gradloom-player {{ {' '.join(rules)} }}\n{_file('player.css')}"


@cache
def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _controls(count: int) -> str:
    buttons = "".join(
        f'<button type="button" class="{name}" aria-label="{label}" title="{label}">'
        f'<svg viewBox="0 0 24 24" aria-hidden="true"><path d="{path}"/></svg></button>'
        for name, label, path in _BUTTONS
    )
    return (
        f'<div class="gl-controls" role="toolbar" aria-label="Player">{buttons}'
        f'<input class="gl-place" type="range" min="0" max="{count - 1}" value="0" '
        'aria-label="Step"><span class="gl-count" aria-hidden="true"></span>'
        '<label class="gl-speed">Speed <input type="range" min="0" max="4" step="0.5" value="1">'
        "</label></div>\n"
        '<div class="gl-now" aria-live="polite" aria-atomic="true"></div>\n'
    )


def _item(step: dict[str, Any]) -> str:
    phase = _PHASES.get(step["phase"], step["phase"].capitalize())
    lines = "".join(
        f'<p class="gl-line">{html.escape(line)}</p>' for line in step["text"].split("\n") if line
    )
    notes = "".join(f'<p class="gl-said">{html.escape(note)}</p>' for note in step["notes"])
    return (
        f'<li><span class="gl-head"><span class="gl-phase">{phase}:</span> <span class="gl-title">'
        f"{html.escape(step['title'])}</span></span>{lines}{notes}</li>\n"
    )


def _caption(picture: Picture) -> str:
    if not picture.is_folded:
        return ""
    return (
        f'<p class="gl-caption">{sum(box.count for box in picture.boxes):,} nodes, folded to '
        f"{len(picture.boxes)} boxes: step_through(…, limit=) shows more or less.</p>\n"
    )
