"""Write `engine/rows.pyi`: what editors and type checkers are told of the rows of the table.

The functions of `engine` and the methods of `Value` are made from the table when it is imported, so
that nothing but a stub can say them. In: the table. Out: a function for each row and alias, a Value
where any operand is one, and the methods and operators. `make stub` writes it; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from inspect import Parameter, signature
from pathlib import Path

import engine
from engine.ops import TABLE, Op
from engine.value import Value

STUB = Path(__file__).parents[1] / "engine" / "rows.pyi"
HEAD = '''\
"""The functions and methods that are made from the table. Written by `make stub`: not by hand."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, TypeVar, overload

from engine.value import Value

Number: TypeAlias = Value | float
N = TypeVar("N", Value, float, Value | float)
T = TypeVar("T")
'''


def _mixed(given: str, result: str) -> tuple[tuple[str, str], ...]:
    """For Values, floats, and both at once, which mypy, given a `TypeVar`, takes for objects."""
    kinds = ("Value", "float", "Number")
    return tuple((re.sub(r"\bN\b", x, given), result.replace("N", x)) for x in kinds)


# What `engine.functions` makes of the rows, and its helpers: their parameters, and what they give.
WRITTEN = {
    "maximum": (
        ("x: Value, y: Number, *more: Number", "Value"),
        ("x: Number, y: Value, *more: Number", "Value"),
        ("x: N, y: N, *more: N", "N"),
        *_mixed("items: Iterable[N], /", "N"),
    ),
    "clamp": (
        ("x: Value, low: Number | None = None, high: Number | None = None", "Value"),
        ("x: N, low: N | None = None, high: N | None = None", "N"),
    ),
    "sum": _mixed("terms: Iterable[N], start: N | None = None", "N"),
    "mean": _mixed("terms: Iterable[N]", "N"),
    "prod": _mixed("factors: Iterable[N]", "N"),
    "norm": _mixed("xs: Iterable[N]", "N"),
    "logsumexp": _mixed("xs: Iterable[N]", "N"),
    "softmax": _mixed("xs: Iterable[N]", "list[N]"),
    "log_softmax": _mixed("xs: Iterable[N]", "list[N]"),
    "dot": (
        ("xs: Iterable[Value], ys: Iterable[Number], start: Number | None = None", "Value"),
        ("xs: Iterable[Number], ys: Iterable[Value], start: Number | None = None", "Value"),
        *_mixed("xs: Iterable[N], ys: Iterable[N], start: N | None = None", "N")[1:],
    ),
    "take": (("sequence: Sequence[T], index: Number", "T"),),
    "random": (("", "Value"),),
}
WRITTEN["minimum"] = WRITTEN["maximum"]
MADE = ("_operator", "_reflected", "_unary")  # what makes an operator of Value in `engine.value`


def stub() -> str:
    """The text of the stub."""
    rows = TABLE.values()
    written = "".join(_written(name, of) for name, of in WRITTEN.items())
    functions = "".join(_function(op) for op in rows if op.name not in WRITTEN)
    methods = "".join(_method(op) for op in rows if _is_made(op))
    return f"{HEAD}{functions}{written}\nclass RowMethods:\n{methods}{''.join(_operators())}"


def _aliases(op: Op, indent: str = "") -> str:
    return "".join(f"{indent}{alias} = {op.name}\n" for alias in op.aliases)


def _function(op: Op) -> str:
    kinds = [["N"] * op.arity]
    if op.arity > 1:
        kinds = [["Value", "Number"], ["Number", "Value"], ["N", "N"]]
    assert op.forward is not None
    if op.forward.__defaults__:  # whose last operand hardly anybody gives, least of all a Value
        kinds = [["Value", "Number"], ["N", "Number"]]
    if op.name == "where":
        kinds = [["Any", *kind] for kind in kinds]
    of = [(_parameters(op, kind), "Value" if "Value" in kind else "N") for kind in kinds]
    return _written(op.name, of) + _aliases(op)


def _written(name: str, of: Sequence[tuple[str, str]]) -> str:
    doc = (getattr(engine, name).__doc__ or "").partition("\n")[0]
    text = ""
    for parameters, result in of:
        head = "@overload\n" if len(of) > 1 else ""
        body = " ..." if text else f'\n    """{doc}"""'
        text += f"\n{head}def {name}({parameters}) -> {result}:{body}"
    return text + "\n"


def _method(op: Op) -> str:
    given = "".join(f", {x}" for x in _parameters(op, ["Number"] * op.arity).split(", ")[1:])
    text = f'    def {op.name}(self{given}) -> Value:\n        """{op.doc}"""\n'
    return text + _aliases(op, "    ")


def _parameters(op: Op, kinds: list[str]) -> str:
    assert op.forward is not None
    parts = []
    for parameter, kind in zip(signature(op.forward).parameters.values(), kinds, strict=True):
        usual = parameter.default is not Parameter.empty
        given = f"{'Number' if usual else kind}{' = ...' if usual else ''}"
        parts.append(f"{parameter.name}: {given}")
    return ", ".join(parts)


def _is_made(op: Op) -> bool:
    return op.arity <= 2 and vars(Value)[op.name].__code__.co_name == "method"


def _operators() -> Iterator[str]:
    for name, method in vars(Value).items():
        maker = getattr(method, "__qualname__", "").partition(".")[0]
        if name.startswith("__") and maker in MADE:
            other = "" if maker == "_unary" else ", other: Number"
            yield f"    def {name}(self{other}) -> Value: ...\n"


if __name__ == "__main__":
    STUB.write_text(stub())
