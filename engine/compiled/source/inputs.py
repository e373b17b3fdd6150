"""What the inputs of a lifted function are called, and which rows they are.

Arguments have the names of the function's parameters. Values that it reads have the names that a
module's `named_parameters` or their labels ("0.weight[2][1]") give them; those without one are
named for what they are in matrix products: W1, b1, W2, …, and theta where they are in none.
"""

from __future__ import annotations

import inspect
import itertools
import keyword
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from engine.compiled.blocks import S
from engine.compiled.instructions import ROWS
from engine.compiled.lift import Blocks
from engine.compiled.paths import Path, Paths, Wanted
from engine.value import Value

_LABEL = re.compile(r"(.*?)((?:\[\d+\])*)")


def arguments_of(
    f: Callable[..., Any], signature: Sequence[Any], positional: int
) -> Iterator[tuple[str, int, bool, tuple[int, ...]]]:
    """The arrays that the arguments of a call are: name, argument, whether batched, shape.

    `signature` is that of `Arguments`; arrays come in the order of their numbers.
    """
    try:
        known = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        known = []
    names = [p.name for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for k, key in enumerate(signature):
        if k < positional:
            name = names[k] if k < len(names) else f"x{k + 1}"
        else:
            name, key = key
        for suffix, lane, shape in _arrays(key):
            yield identifier(name + suffix), k, lane, shape


def _arrays(key: Any) -> Iterator[tuple[str, bool, tuple[int, ...]]]:
    """The arrays of an argument by its signature: what to add to its name, batched, shape."""
    if key == "number":
        yield "", False, ()
        return
    kind, rest = key[0], key[1]
    if kind == "static":
        return
    if kind in ("array", "batch", "batch array"):
        yield "", kind != "array", tuple(rest)
        return
    parts = rest if kind == "dict" else list(enumerate(rest))
    below = [(name, list(_arrays(part))) for name, part in parts]
    first = below[0][1] if below else []
    alike = (kind is list or parts[0][1] == "number") if below and kind != "dict" else False
    alike = alike and len(first) == 1 and not first[0][1] and first[0][0] == ""
    if alike and all(arrays == first for _, arrays in below):
        yield "", False, (len(below), *first[0][2])
        return
    for name, arrays in below:
        for suffix, lane, shape in arrays:
            yield f"_{name}{suffix}", lane, shape


def numbers_wanted(paths: Paths, path: Path, wanted: Wanted) -> list[int]:
    """The numbers of the inputs whose gradient is wanted; leaves come after the arguments."""
    first = len(paths.shared) + len(paths.lanes)
    places = enumerate(path.leaf_places.tolist())
    leaves = [first + k for k, x in places if wanted.leaves is None or x in wanted.leaves]
    return [*wanted.inputs, *leaves]


def identifier(name: str) -> str:
    """A name that Python can have."""
    name = unicodedata.normalize("NFKC", name)  # as Python reads it
    name = "".join(c if f"x{c}".isidentifier() else " " for c in name)
    name = re.sub(" +", "_", name).strip("_") or "x"
    return f"p{name}" if not name.isidentifier() or keyword.iskeyword(name) else name


def parameters_of(
    leaves: Sequence[Value],
    first_row: int,
    blocks: Blocks,
    by_module: Mapping[str, Any] | None,
) -> list[tuple[str, tuple[int, ...], list[int]]]:
    """The Values from outside as arrays: name, shape, and which rows of S they are.

    `leaves` have the rows from `first_row` on, in their order.
    """
    row = {leaf: first_row + k for k, leaf in enumerate(leaves)}
    found: list[tuple[str, tuple[int, ...], list[int]]] = []
    free = set(row.values())

    def add(name: str, shape: tuple[int, ...], rows: list[int]) -> None:
        if rows and free.issuperset(rows) and len(set(rows)) == len(rows):
            free.difference_update(rows)
            found.append((name, shape, rows))

    candidates = list(_by_module(by_module or {}, row)) + list(_by_label(leaves, row))
    for role in _by_role(blocks, free):
        _, shape, rows = role
        inside = [c for c in candidates if set(c[2]) <= set(rows)]
        fits = any(len(c[2]) == len(rows) for c in inside)
        cut = any(set(c[2]) & set(rows) and c not in inside for c in candidates)
        if not fits and not cut:
            candidates = [c for c in candidates if c not in inside]
            candidates.append(("", shape, rows))
    for name, shape, rows in candidates:
        add(name, shape, rows)
    if free:
        rest = sorted(free)
        add("theta", (len(rest),) if len(rest) > 1 else (), rest)
    found.sort(key=lambda each: min(each[2]))
    return list(_short_names(found))


def _by_module(named: Mapping[str, Any], row: dict[Value, int]) -> Iterator[Any]:
    for name, item in named.items():
        yield from _rectangular(name, item, row)


def _rectangular(name: str, item: Any, row: dict[Value, int]) -> Iterator[Any]:
    """A nested list as one array, or its entries each as one."""
    shape, part = [], item
    while isinstance(part, list | tuple) and part:
        shape.append(len(part))
        part = part[0]
    flat = [item]
    for length in shape:
        if not all(isinstance(p, list | tuple) and len(p) == length for p in flat):
            for k, entry in enumerate(item):
                yield from _rectangular(f"{name}.{k}", entry, row)
            return
        flat = [x for p in flat for x in p]
    if flat and all(isinstance(x, Value) and x in row for x in flat):
        yield name, tuple(shape), [row[x] for x in flat]


def _by_label(leaves: Sequence[Value], row: dict[Value, int]) -> Iterator[Any]:
    groups: dict[str, dict[tuple[int, ...], int]] = {}
    for leaf in leaves:
        match = _LABEL.fullmatch(leaf.label) if leaf.label else None
        if match is not None and match[1]:
            place = tuple(int(k) for k in re.findall(r"\d+", match[2]))
            groups.setdefault(match[1], {})[place] = row[leaf]
    for name, places in groups.items():
        shape = tuple(1 + max(ks) for ks in zip(*places, strict=False))
        ranks = {len(place) for place in places}
        if len(ranks) == 1 and math.prod(shape) == len(places):
            yield name, shape, [places[place] for place in sorted(places)]


def _by_role(blocks: Blocks, free: set[int]) -> Iterator[Any]:
    """Parameters that are the matrix or the bias of a product."""
    instructions, lists = blocks.instructions, blocks.lists
    copies: dict[int, int] = {}
    claimed: set[int] = set()
    for i in itertools.chain(*instructions):
        row = ROWS[i.kind]
        if row.is_copy and i.out.space == S:
            views = [view for view in (i.out, *i.operands) if view is not None]
            copies.update(zip(*(lists.rows(view).tolist() for view in views), strict=True))
        elif row.is_product:
            for view, shape in ((i.operands[0], i.shape[:2]), (i.operands[2], i.shape[:1])):
                rows = [copies.get(r, r) for r in lists.rows(view).tolist()] if view else []
                if rows and free.issuperset(rows) and not claimed & {*rows}:
                    claimed.update(rows)
                    yield "", shape, rows


def _short_names(found: list[Any]) -> Iterator[tuple[str, tuple[int, ...], list[int]]]:
    """W1, b1, … for "0.weight", "0.bias" and what has no name; else the name as it is."""
    number: dict[str, int] = {}
    roles = {"W": 0, "b": 0}
    for name, shape, rows in found:
        parent, _, last = name.rpartition(".")
        letter = {"weight": "W", "bias": "b", "": "W" if len(shape) == 2 else "b"}.get(last)
        if letter is None or (parent and not parent.replace(".", "").isdigit()):
            yield identifier(name.removesuffix(".weight")), shape, rows
        elif parent:
            number.setdefault(parent, len(number) + 1)
            yield f"{letter}{number[parent]}", shape, rows
        else:
            roles[letter] += 1
            yield f"{letter}{roles[letter]}", shape, rows
