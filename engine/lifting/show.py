"""A page that goes through the passes of lifting, one after the other, with the engine's player.

In goes a `Program` that was called; out comes a `LiftingPlayer`. Its last step lists the
instructions, each of which opens to its scalars, with labels and source lines; that works without
JavaScript too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from engine.compiled.program import Program
from engine.drawing import Drawing, Picture, fold
from engine.drawing.player import Stepped, body_of
from engine.drawing.theme import THEMES, markup
from engine.drawing.tree import to_tree
from engine.errors import DrawingError, one_of
from engine.graph import Graph
from engine.lifting.by_instructions import picture_of
from engine.lifting.passes import Opened, Passes, Scalar, Table
from engine.showing import Still, bundle, words

_BOXES = 24  # of the picture of what was recorded
_LINES = 3  # source lines named beside an instruction


class LiftingPlayer(Stepped):
    """The passes from recorded scalars to instructions, to be stepped through in a browser.

    In Jupyter it shows itself; `save` writes a file of its own. `steps` has every step as plain
    data: a dict with phase, title, text, notes and count. `passes` has all that is shown.
    """

    def __init__(self, program: Program, theme: str) -> None:
        self.theme = theme
        self.passes = Passes(program)
        self._name = program._name()
        self._title = f"Lifting: {self._name}"
        self._last = picture_of(program)
        self.steps: list[dict[str, Any]] = []
        for step in self.passes.steps:
            things = step.things if step.number != 1 else step.things.removesuffix("s")
            self.steps.append(
                {
                    "phase": step.name,
                    "title": f"{step.number:,} {things}",
                    "text": step.said,
                    "notes": [],
                    "count": step.number,
                }
            )

    def __repr__(self) -> str:
        first, last = self.steps[0], self.steps[-1]
        return f"LiftingPlayer({first['title']}, {last['title']}; see .steps, .save(path))"

    def _bundle(self) -> dict[str, str]:
        steps = [
            {"phase": step["phase"], "boxes": [], "arrows": [], "grads": []} for step in self.steps
        ]
        counts = " to ".join(self.steps[k]["title"] for k in (0, -1))
        body, scripts = body_of(
            self.steps,
            {"arrows": [], "steps": steps},
            "\n".join(self._panel(k) for k in range(len(steps))),
            theme=self.theme,
            phase="instructions",
            description=f"How {self._name} was compiled: from {counts}, in {len(steps)} steps.",
        )
        return bundle(repr(self), _still(self._last, self.theme), body, scripts)

    def _panel(self, k: int) -> str:
        step = self.passes.steps[k]
        parts = [f'<section class="gl-panel"><h3>{markup(self.steps[k]["title"])}</h3>']
        if k == 0:
            graph = Graph(*self.passes.root_values)
            picture = fold(graph, limit=_BOXES)
            boxes = f"{len(picture.boxes)} box{'es' * (len(picture.boxes) != 1)}"
            caption = f"{len(graph.nodes):,} nodes, in {boxes}"
            parts.append(self._drawn(replace(picture, caption=caption)))
        if step.table is not None:
            parts.append(_table(step.table))
        if step is self.passes.steps[-1]:
            parts.append(self._drawn(self._last))
            parts += [_opened(each) for each in self.passes.opened]
        return "".join([*parts, "</section>"])

    def _drawn(self, picture: Picture) -> str:
        still = _still(picture, self.theme)
        return words(to_tree(picture)) if still is None else still.scrolled()


def show_lifting(
    program: Program, *, theme: Literal["auto", "light", "dark"] = "auto"
) -> LiftingPlayer:
    """Return a player of what compilation did to a program that was called.

    Its steps are the scalars that the function recorded; what is left of them without constants,
    repetitions and what nothing uses; the sums of products found; the levels; the groups on them;
    and the instructions, each with the scalars that it stands for and their source lines. It shows
    the path used last, and for that runs the function once more, on one example. In Jupyter it
    shows itself; `.save("lifting.html")` writes one file that needs no network.

    Raises TypeError for anything but a Program, ValueError for another `theme`, and TraceError
    where it was not called yet, or the function by now does something else than when it was traced.

    >>> import engine
    >>> layer = lambda w, x: [engine.tanh(sum(a * b for a, b in zip(row, x))) for row in w]
    >>> program = engine.compile(layer, in_axes=(None, 0))
    >>> h = program([[0.5, -1.0], [2.0, 0.0], [1.0, 1.0]], [[1.0, 2.0]])
    >>> for step in engine.show_lifting(program).steps:
    ...     print(step["title"])
    15 scalar operations
    15 operations left
    6 sums and single operations
    2 levels
    2 groups
    2 instructions
    """
    if not isinstance(program, Program):
        raise TypeError(
            f"show_lifting takes a Program, which engine.compile returns, not a "
            f"{type(program).__name__}"
        )
    one_of("theme", theme, "auto", *THEMES)
    return LiftingPlayer(program, theme)


def _still(picture: Picture, theme: str) -> Still | None:
    """A picture of a page, or None where there is no renderer."""
    try:
        return Drawing(picture, theme=theme).still
    except DrawingError:
        return None


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{markup(text)}</th>' for text in table.heads)
    rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    more = f"<p>… and {table.more:,} more</p>" if table.more else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _cell(content: str | int) -> str:
    if isinstance(content, int):
        return f'<td class="gl-number">{content:,}</td>'
    return f"<td>{markup(content)}</td>"


def _opened(instruction: Opened) -> str:
    """An instruction that opens to its scalars."""
    count = instruction.size
    what = f"{count:,} scalar{'' if count == 1 else 's'}" if count else "moves numbers only"
    head = f"<b>{markup(instruction.title)}</b> · {instruction.space} · {what}"
    if not count:
        return f"<details><summary>{head}</summary><p>It stands for no scalar.</p></details>"
    lines = "".join(
        f"<li>{number:,} from <code>{markup(line)}</code></li>"
        for line, number in instruction.lines[:_LINES]
    )
    scalars = "".join(map(_scalar, instruction.scalars))
    left = count - len(instruction.scalars)
    more = f"<p>… and {left:,} more</p>" if left else ""
    return (
        f"<details><summary>{head}</summary><ul>{lines}</ul>"
        f"<table><thead><tr><th>operation</th><th>label</th><th>source</th></tr></thead>"
        f"<tbody>{scalars}</tbody></table>{more}</details>"
    )


def _scalar(scalar: Scalar) -> str:
    line = scalar.line
    source = f"{line.place}: {line.part or line.text}" if line is not None else ""
    return (
        f"<tr><td>{markup(scalar.op)}</td><td>{markup(scalar.label)}</td>"
        f"<td><code>{markup(source)}</code></td></tr>"
    )
