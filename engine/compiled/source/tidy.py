"""Tidy: from one statement an instruction to the lines that one would write, with their names.

What is used once stands where it is used, what nobody uses is dropped; a product is z1, a function
of it a1, an adjoint of z1 is delta1, and of any other x, dx.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from engine.compiled.source.derive import Derived
from engine.compiled.writing.algebra import Expr, named, names_in, rebuilt
from engine.compiled.writing.arrays import Statement
from engine.compiled.writing.formulas import free_name
from engine.ops import TABLE

_MOST = 12  # operations in a line into which another one is put
_VIEWS = ("index", "reshape", "move", "number", "name")


def tidy(derived: Derived) -> None:
    """Shorten the statements of a derived function in place, and name their targets."""
    _drop_unused(derived)
    _inline(derived)
    _drop_unused(derived)
    _name(derived)


def _results(derived: Derived) -> list[Expr]:
    values = [derived.value] if len(derived.outputs) == 1 else derived.outputs
    guards = [guard.expr for guard in derived.guards]
    return [*values, *derived.gradients.values(), *guards]


def _inner(statement: Statement) -> list[Expr]:
    """The expressions that a statement reads."""
    selection = statement.selection or ()
    return [statement.expr, *[item for item in selection if isinstance(item, Expr)]]


def _drop_unused(derived: Derived) -> None:
    looped = [s for s in derived.statements if s.steps is not None]  # may be read a step later
    read = [*_results(derived), *[e for s in looped for e in _inner(s)]]
    used = {name for e in read for name in names_in(e)}
    kept = []
    for statement in reversed(derived.statements):
        if statement.target.parts[0] in used:
            kept.append(statement)
            used.update(name for e in _inner(statement) for name in names_in(e))
    derived.statements[:] = reversed(kept)


def _substituted(e: Expr, known: dict[int | str, Expr]) -> Expr:
    if e.kind == "name":
        return known.get(e.parts[0], e)
    if not e.operands:
        return e
    operands = [_substituted(part, known) for part in e.operands]
    return (
        e
        if all(a is b for a, b in zip(operands, e.operands, strict=True))
        else rebuilt(e, operands)
    )


def _inline(derived: Derived) -> None:
    uses = Counter(name for e in _results(derived) for name in names_in(e))
    for s in derived.statements:  # in a loop only views are computed again and again
        for name in (name for e in _inner(s) for name in names_in(e)):
            uses[name] += 1 if s.steps is None else 4
    changed = {s.target.parts[0] for s in derived.statements if s.selection is not None}
    products = {s.target.parts[0] for s in derived.statements if s.role == "product"}
    known: dict[int | str, Expr] = {}
    kept = []
    for statement in derived.statements:
        statement.expr = _substituted(statement.expr, known)
        statement.selection = _items(statement.selection, lambda e: _substituted(e, known))
        name = statement.target.parts[0]
        if name not in changed and _stands_in_line(statement, uses[name], products):
            known[name] = statement.expr
        else:
            kept.append(statement)
    derived.statements[:] = kept
    _change_results(derived, lambda e: _substituted(e, known))


def _items(
    selection: tuple[Any, ...] | None, change: Callable[[Expr], Expr]
) -> tuple[Any, ...] | None:
    """A selection, with its expressions changed."""
    if selection is None:
        return None
    return tuple(change(item) if isinstance(item, Expr) else item for item in selection)


def _change_results(derived: Derived, change: Callable[[Expr], Expr]) -> None:
    derived.value = change(derived.value)
    derived.outputs[:] = map(change, derived.outputs)
    derived.gradients.update({name: change(e) for name, e in derived.gradients.items()})
    for guard in derived.guards:
        guard.expr = change(guard.expr)


def _stands_in_line(statement: Statement, uses: int, products: set[int | str]) -> bool:
    e = statement.expr
    if statement.role in ("product", "cost", "gradient") or _is_activation(e, products):
        return False
    if _is_view(e):
        return True
    if e.kind in ("zeros", "copy", "lookup", "whole"):
        return False
    short = e.kind == "call" and e.parts[0] in ("add", "sub", "neg") and e.size <= 3
    if short and all(_is_view(part) for part in e.operands):
        return uses <= 3
    return uses == 1 and e.size <= _MOST


def _is_activation(e: Expr, products: set[int | str]) -> bool:
    """Whether this is a row of a product alone: z1 and a1 are two lines."""
    return (
        e.kind == "call"
        and len(e.operands) == 1
        and e.parts[0] in TABLE
        and e.operands[0].kind == "name"
        and e.operands[0].parts[0] in products
        and e.parts[0] not in ("neg", "square")
    )


def _is_view(e: Expr) -> bool:
    """Whether an expression is only another way to look at an array."""
    if e.kind == "index" and any(not isinstance(x, int | slice | None) for x in e.parts[1]):
        return False
    return e.kind in _VIEWS and all(_is_view(part) for part in e.operands)


# --- names -----------------------------------------------------------------------------------


def _name(derived: Derived) -> None:
    taken = {each.name for each in derived.inputs}
    count: Counter[str] = Counter()
    names: dict[int | str, str] = {}

    def unique(name: str) -> str:
        name = free_name(name, taken)
        taken.add(name)
        return name

    def numbered(letter: str) -> str:
        count[letter] += 1
        return unique(f"{letter}{count[letter]}")

    for statement in derived.statements:  # the names of results are theirs first
        key = statement.target.parts[0]
        if statement.role == "gradient" and statement.about is not None and key not in names:
            names[key] = unique(f"d{_base(statement.about)}")
    for statement in derived.statements:
        key = statement.target.parts[0]
        if key in names or not isinstance(key, int):
            continue
        if statement.role == "cost":
            names[key] = unique("C")
        elif statement.role == "product":
            names[key] = numbered("z")
        elif statement.role in ("adjoint", "gradient") and statement.about is not None:
            about = _renamed(statement.about, names)
            of = _base(about)
            if of.startswith("z") and of[1:].isdigit():
                names[key] = unique(f"delta{of[1:]}")
            else:
                names[key] = unique(f"d{of}") if of else numbered("g")
        elif statement.role == "adjoint":
            names[key] = numbered("g")
        elif statement.role == "index":
            names[key] = numbered("k")
        else:
            e = statement.expr
            of = ""
            if e.kind == "call" and len(e.operands) == 1 and TABLE.get(e.parts[0]):
                of = _base(_renamed(e.operands[0], names))
            is_z = of.startswith("z") and of[1:].isdigit() and f"a{of[1:]}" not in taken
            names[key] = unique(f"a{of[1:]}") if is_z else numbered("h")

    def change(e: Expr) -> Expr:
        return _renamed(e, names)

    for statement in derived.statements:
        statement.target, statement.expr = change(statement.target), change(statement.expr)
        statement.about = None if statement.about is None else change(statement.about)
        statement.selection = _items(statement.selection, change)
    _change_results(derived, change)


def _base(e: Expr) -> str:
    """The name of an array, also of one seen as another shape; "" for anything else."""
    if e.kind == "name":
        return e.parts[0] if isinstance(e.parts[0], str) else ""
    return ""


def _renamed(e: Expr, names: dict[int | str, str]) -> Expr:
    if e.kind == "name":
        return named(names.get(e.parts[0], e.parts[0]), e.shape)
    if not e.operands:
        return e
    parts = tuple(_renamed(part, names) if isinstance(part, Expr) else part for part in e.parts)
    return Expr(e.kind, parts, e.shape)
