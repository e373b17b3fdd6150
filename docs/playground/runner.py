"""What the playground does with a text: run it, and say in plain data what there is to show.

It runs in the browser, beside the engine, and is called by `worker.js`.
"""

import ast
import contextlib
import html
import io
import json
import linecache
import math
import sys
import traceback
from typing import Any

import engine
from engine import Value
from engine.drawing.svg import page_of

FILE = "playground.py"
_LONGEST = 20_000  # characters that are printed
_NODES = 3_000  # of a graph whose player is made


def run(code: str, settings: str, view: str, theme: str, rankdir: str) -> str:
    """Run a program; `settings`, in JSON, gives leaves other data by their labels.

    `view` is "picture" or "player", `theme` "light" or "dark", `rankdir` "LR" or "TB", the way of
    the picture. Returns JSON: the `picture` or the `player` of the last Value, its `leaves`, what
    was printed, what the last line shows, and an `error` with its line, as far as there are these.
    """
    printed = io.StringIO()
    linecache.cache[FILE] = (len(code), None, code.splitlines(keepends=True), FILE)
    names: dict[str, Any] = {"__name__": "__main__", "engine": engine, "Value": Value}
    found: dict[str, Any] = {}
    with contextlib.redirect_stdout(printed), _set(json.loads(settings)) as leaves:
        try:
            last = _executed(code, names)
            root = _root(last, names)
            found = {
                "shown": _shown(last),
                **(_looked_at(root, view, theme, rankdir) if root is not None else {}),
            }
            name = next((k for k, v in names.items() if v is root), root.label if root else "")
            found["name"] = f"{name} = " if name else ""
        except BaseException as error:
            found = {"error": _told(error)}
    text = printed.getvalue()
    found["printed"] = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\n… and more"
    found["leaves"] = [
        {
            "label": label,
            **{k: _number(x) for k, x in (("data", leaf.data), ("grad", leaf.grad), ("was", was))},
        }
        for label, (leaf, was) in leaves.items()
    ]
    return json.dumps(found)


def _number(x: float) -> float | str:
    """A number as JSON has it; inf and nan, which it has not, as text."""
    return x if math.isfinite(x) else str(x)


@contextlib.contextmanager
def _set(settings: dict[str, float]) -> Any:
    """Have leaves that are made with a label take the data of a slider, and note them."""
    leaves: dict[str, tuple[Value, float]] = {}
    plain: Any = Value.__init__

    def init(self: Value, data: Any, *args: Any, **named: Any) -> None:
        plain(self, data, *args, **named)
        if self.label and self.op is None and self.label not in leaves:
            leaves[self.label] = (self, self.data)
            self.data = settings.get(self.label, self.data)

    Value.__init__ = init  # type: ignore[method-assign]
    try:
        yield leaves
    finally:
        Value.__init__ = plain  # type: ignore[method-assign]


def _executed(code: str, names: dict[str, Any]) -> Any:
    """Run a program, and return the value of its last line, if that is an expression."""

    tree = ast.parse(code, FILE)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, FILE, "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), FILE, "eval"), names)  # type: ignore[attr-defined]


def _root(last: Any, names: dict[str, Any]) -> Value | None:
    """The Value that is drawn: the last line's, or the last that has a name."""
    if isinstance(last, Value):
        return last
    values = [value for value in names.values() if isinstance(value, Value) and value.op]
    return values[-1] if values and not hasattr(last, "_repr_html_") else None


def _shown(last: Any) -> str:
    """What the last line shows of itself."""
    if last is None or isinstance(last, Value):
        return ""
    page = last._repr_html_() if hasattr(last, "_repr_html_") else None
    return page or f"<pre>{html.escape(repr(last))}</pre>"


def _looked_at(root: Value, view: str, theme: str, rankdir: str) -> dict[str, str]:
    """The last Value with its gradients, and its graph as it is looked at."""
    graph = engine.Graph(root)
    if not any(node.grad for node in graph.nodes):
        root.backward()
    found = {"result": f"{root.data:.6g}"}
    if view == "player":
        if len(graph.nodes) > _NODES:
            return {**found, "note": f"no player: there are over {_NODES:,} numbers"}
        player: Any = engine.step_through(root, theme=theme)  # type: ignore[arg-type]
        return {**found, "player": page_of("Player", theme, player._repr_html_())}
    drawing: Any = engine.draw(root, theme=theme, rankdir=rankdir)  # type: ignore[arg-type]
    return {**found, "picture": drawing.render("svg").decode()}


def _told(error: BaseException) -> dict[str, Any]:
    """What went wrong, and in which line."""
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename == FILE:
        return {"kind": kind, "text": error.msg, "line": error.lineno}
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == FILE]
    text = str(error)
    if isinstance(error, ModuleNotFoundError):
        text += (
            ". This page has no packages, and what compiles is not in it: see below what it can do"
        )
    return {"kind": kind, "text": text, "line": lines[-1] if lines else None}


sys.setrecursionlimit(700)  # of the browser's stack
