"""Write the site's reference: the table of operations, that of instructions, and the API.

Everything is read from what it is about: rows, their partials and samples, docstrings, `__all__`.
A name that is public can't be forgotten here.
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

import engine
import nn
from engine.compiled.instructions import ROWS
from engine.compiled.instructions.row import Row
from engine.drawing.formula import Term, partial
from engine.ops import TABLE, Op

# What is imported by a name of its own, beside `engine` and `nn`.
MODULES = (
    *(
        "engine.testing",
        "nn.data",
        "nn.distributed",
        "nn.init",
        "nn.lessons",
        "nn.metrics",
        "nn.plots",
    ),
    *("nn.optim.rules", "nn.sklearn"),
)
# Members that only those who read the code ask for, and scikit-learn's.
LEFT_OUT = ("extra_repr", "function", "rule", "settings", "set_fit_request")
LEFT_OUT += ("set_partial_fit_request", "set_score_request")
SAMPLES = 401


def write(source: Path) -> None:
    """Write all pages of the reference below `source`."""
    folder = source / "reference"
    (folder / "plots").mkdir(parents=True)
    (folder / "operations.md").write_text(operations(folder))
    (folder / "instructions.md").write_text(instructions())
    (folder / "engine.md").write_text(api(engine))
    (folder / "nn.md").write_text(api(nn))
    for name in MODULES:
        (folder / f"{name.replace('.', '-')}.md").write_text(module_page(name))


# --- operations ---------------------------------------------------------------------------------


def operations(folder: Path) -> str:
    """The page of the table of operations; plots go to a folder beside it."""
    families = list(dict.fromkeys(op.family for op in TABLE.values()))
    text = [
        "# Operations",
        f"All {len(TABLE)} rows of the table in `engine/ops.py`, of which this page is made. Each",
        "is a function of `engine` and a method of `Value`, in float64 by IEEE 754: none raises.",
        "Solid is the function, dashed its derivative; dotted lines are corners and jumps. Of two",
        "operands the other one is held where the title says. How other libraries answer at these",
        "places: [How the libraries differ](../differences.md).",
    ]
    for family in families:
        text += ["", f"## {family.capitalize()}"]
        for op in TABLE.values():
            if op.family == family:
                text += ["", *operation(op, folder)]
    return "\n".join(text) + "\n"


def operation(op: Op, folder: Path) -> Iterable[str]:
    """A row: how it is called and written, its derivatives, its kinks, its plot."""
    names = [*inspect.signature(op.forward).parameters]
    yield f"### {op.name}"
    yield ""
    also = f", also {', '.join(f'`{name}`' for name in op.aliases)}" if op.aliases else ""
    yield f"`engine.{op.name}({', '.join(names)})`{also}; drawn as `{op.label}`."
    yield ""
    yield f"{plain(op.doc)}"
    yield ""
    where = {x: middle(s) for x, s in zip(names, op.samples, strict=True)}
    terms = [Term(name, where[name]) for name in names]
    result = Term("out", op.forward(*where.values()))
    for k, name in enumerate(names):
        found = (
            op.partials[k] if isinstance(op.partials[k], float) else partial(op, k, terms, result)
        )
        shown = f"{found:g}" if isinstance(found, float) else found and found.side
        if shown and op.cuts[k] is not True:
            yield f"- ∂/∂{name} = `{shown}`" + (
                "" if op.cuts[k] is False else ", where it is chosen"
            )
    if op.is_flat:
        yield "- The derivative is 0 everywhere."
    places = ", ".join(f"{x:g}" for x in kinks(op, *view(op, 0), op.samples))
    if places:
        yield f"- Corners or jumps in the plot: at {names[0]} = {places}."
    yield ""
    for k in range(op.arity):
        if op.samples[k][0] != op.samples[k][1]:  # it may be any number
            path = f"plots/{op.name}-{names[k]}.svg"
            yield f"![{op.name} and its derivative by {names[k]}]({path})"
            plot(op, names, k, folder / path)


def plain(doc: str) -> str:
    """A row's line as Markdown, in which nothing is emphasised."""
    return doc.replace("*", r"\*").replace("|", r"\|").replace("<", r"\<")


def as_cell(doc: str) -> str:
    """The first sentence of a docstring, in a table of Markdown."""
    return "`".join(
        part.replace("|", r"\|") if k % 2 else plain(part)
        for k, part in enumerate(doc.replace("``", "`").split(": see ")[0].split("`"))
    )


def middle(interval: Sequence[float]) -> float:
    """Where an operand is held; not at 0, where products and powers show nothing."""
    return sum(interval) / 2.0 or interval[1] / 2.0


def view(op: Op, k: int) -> tuple[float, float]:
    """Where operand k is shown: well beyond the interval in which it is sampled."""
    low, high = op.samples[k]
    around = max(high - low, 1.0)
    return math.floor(low - around), math.ceil(high + around)


def kinks(op: Op, low: float, high: float, samples: Sequence[Any], k: int = 0) -> list[float]:
    """Halves between these bounds at which the row has a kink by operand k."""
    at = [middle(s) for s in samples]
    found = []
    for half in range(math.ceil(2 * low), math.floor(2 * high) + 1):
        at[k] = half / 2.0
        if op.has_kink(at):
            found.append(at[k])
    return found


def curve(f: Callable[..., float], xs: Sequence[float], at: list[float], k: int) -> list[float]:
    """What f gives along operand k; gaps where it is not finite."""
    ys = []
    for x in xs:
        at[k] = float(x)
        y = f(*at)
        ys.append(float(y) if math.isfinite(y) else math.nan)
    return ys


def derivative(op: Op, k: int) -> Callable[..., float]:
    """The partial of a row by operand k, 0 where the edge is cut."""
    slope = op.partials[k]

    def at(*numbers: float) -> float:
        if op.cuts_at(k, numbers):
            return 0.0
        return slope if isinstance(slope, float) else slope(*numbers, op.forward(*numbers))

    return at


def plot(op: Op, names: Sequence[str], k: int, path: Path) -> None:
    """Draw a row along operand k."""
    style = {"svg.fonttype": "none", "svg.hashsalt": path.stem, "font.size": 9}
    grey = dict.fromkeys(("text.color", "axes.edgecolor", "xtick.color", "ytick.color"), "#888")
    with matplotlib.rc_context(style | grey):
        figure = Figure(figsize=(3.4, 2.2), layout="constrained")
        axes = figure.subplots()
        low, high = view(op, k)
        xs = np.linspace(low, high, SAMPLES)
        at = [middle(interval) for interval in op.samples]
        held = ", ".join(f"{n} = {x:g}" for n, x in zip(names, at, strict=True) if n != names[k])
        values = curve(op.forward, xs, list(at), k)
        slopes = curve(derivative(op, k), xs, list(at), k)
        steps = np.abs(np.diff(values)) > 0.4 * max(1.0, np.nanmax(np.abs(values)) / 4)
        broken = np.insert(np.array(values, float), 1 + np.flatnonzero(steps), math.nan)
        axes.plot(np.insert(xs, 1 + np.flatnonzero(steps), math.nan), broken, color="#3d86e8")
        axes.plot(xs, slopes, color="#e8833a", linestyle="--")
        for place in kinks(op, low, high, op.samples, k):
            axes.axvline(place, color="#888", linewidth=0.8, linestyle=":")
        axes.axhline(0.0, color="#888", linewidth=0.5)
        axes.set_ylim(*np.clip(axes.get_ylim(), -6.0, 6.0))
        axes.set_title(f"by {names[k]}" + f", {held}" * bool(held), fontsize=9)
        axes.patch.set_alpha(0.0)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, transparent=True, metadata={"Date": None})


# --- instructions -------------------------------------------------------------------------------


def instructions() -> str:
    """The page of the table of instructions."""
    text = [
        "# Instructions",
        "A compiled function is a list of these, forwards and backwards: `print(program)` shows",
        "them. Each is a row of the table in `engine/compiled/instructions`, from whose words this",
        "page is made. S has what is shared by all examples, L what each of them (a lane) has.",
        "[How it works](../explained/how-it-works.md) tells how a function becomes such a list.",
        "",
        "| instruction | what it does | goes backwards |",
        "|---|---|---|",
    ]
    for kind, row in ROWS.items():
        said = " ".join((inspect.getdoc(type(row)) or "").split())
        turned = "yes" if type(row).adjoint is not Row.adjoint else ""
        text.append(f"| `{kind}` | {plain(said)} | {turned} |")
    return "\n".join(text) + "\n"


# --- the API ------------------------------------------------------------------------------------


def api(package: ModuleType) -> str:
    """The page of all that a package has in `__all__`, by the module in which it is written."""
    homes: dict[str, list[str]] = {}
    for name in sorted(package.__all__, key=str.lower):
        thing = getattr(package, name)
        if inspect.ismodule(thing) or (package is engine and name in operation_names()):
            continue  # which have pages of their own
        homes.setdefault(thing.__module__, []).append(name)
    text = [f"# {package.__name__}", summary(package), ""]
    if package is engine:
        text += ["The functions of one to three numbers are in [](operations.md).", ""]
    text += contents(f"{package.__name__}.{name}" for names in homes.values() for name in names)
    for home in sorted(homes, key=lambda home: homes[home][0].lower()):
        text += [f"## {title(importlib.import_module(home))}", "", f"In `{home}`.", ""]
        text += documented(f"{package.__name__}.{name}" for name in homes[home])
    return "\n".join(text) + "\n"


def operation_names() -> set[str]:
    return {name for op in TABLE.values() for name in (op.name, *op.aliases)}


def module_page(name: str) -> str:
    """The page of a module that is imported by its own name."""
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None) or [
        key
        for key, thing in vars(module).items()
        if not key.startswith("_") and getattr(thing, "__module__", None) == name
    ]
    elsewhere = {*nn.__all__, *engine.__all__}  # and documented there
    names = [key for key in names if callable(getattr(module, key)) and key not in elsewhere]
    text = [f"# {name}", summary(module), ""]
    names = [f"{name}.{key}" for key in names]
    return "\n".join([*text, *contents(names), *documented(names)]) + "\n"


def contents(names: Iterable[str]) -> Iterable[str]:
    """A table of what a page has: names that lead there, and what each is."""
    yield from ("| | |", "|---|---|")
    for name in sorted(names, key=str.lower):
        home, _, key = name.rpartition(".")
        doc = inspect.getdoc(getattr(importlib.import_module(home), key)) or ""
        said = " ".join(doc.split("\n\n")[0].split())
        yield f"| {{py:obj}}`{key} <{name}>` | {as_cell(said)} |"
    yield ""


def documented(names: Iterable[str]) -> Iterable[str]:
    """Directives for autodoc."""
    yield "```{eval-rst}"
    for name in names:
        home, _, key = name.rpartition(".")
        thing = getattr(importlib.import_module(home), key)
        kind = "class" if inspect.isclass(thing) else "function"
        yield f".. auto{kind}:: {name}"
        if kind == "class":
            yield "   :members:"
            rows = operation_names() if thing is engine.Value else ()  # which have their page
            yield f"   :exclude-members: {', '.join((*LEFT_OUT, *rows))}"
        yield ""
    yield "```"
    yield ""


def summary(module: ModuleType) -> str:
    """The first paragraph of a module's docstring."""
    return (inspect.getdoc(module) or "").split("\n\n")[0].replace("\n", " ")


def title(module: ModuleType) -> str:
    """The first sentence of a module's docstring, without what is put in brackets or behind."""
    return summary(module).split(". ")[0].rstrip(".").split(": ")[0]
