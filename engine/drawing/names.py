"""What modules call the numbers that they compute with: w₁, b, h₂, y, in frames such as Neuron 2.

In go Values with their scopes; out come short names for those that the user gave none. The owner
of a scope is asked for its `named_parameters` and `named_children`: the engine knows no modules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from engine.modes import Scope
from engine.value import Value

_SHORT = {"weight": "w", "bias": "b"}
_SUBSCRIPTS = str.maketrans("0123456789()", "₀₁₂₃₄₅₆₇₈₉₍₎")


def short_names(values: Sequence[Value], *, unique: bool = False) -> dict[Value, str]:
    """Names for nodes without labels, which are given in topological order.

    Parameters are called as their module calls them, w₁, w₂ and b. A number that leaves a unit,
    one of several modules in a list such as the neurons of a layer, is h with the unit's number,
    and one that leaves the outermost module is y. With `unique`, those of the second module of the
    same names are numbered ₍₂₎, in the order of computation, for texts that have no frames.
    """
    labels = {value.label for value in values}
    nameless = {value for value in values if not value.label}
    names: dict[Value, str] = {}
    used: Counter[str] = Counter()
    groups = [*map(_parameters, _owners(values)), *({v: n} for v, n in _outputs(values))]
    for own in groups:
        own = {v: name for v, name in own.items() if v in nameless and v not in names}
        count = 1 + max((used[name] for name in own.values()), default=0)
        several = unique and (count > 1 or not labels.isdisjoint(own.values()))
        used.update(own.values())
        again = numbering(count) if several else ""
        names |= {value: name + again for value, name in own.items()}
    return names


def numbering(count: int) -> str:
    """What tells the second of a name from the first: ₍₂₎."""
    return f"({count})".translate(_SUBSCRIPTS)


def numbered(scope: Scope) -> str:
    """The name of a scope, with its module's place among the parts of that class: "Neuron 2"."""
    alike = [part for _, part in _parts(scope.parent) if type(part).__name__ == scope.name]
    owner = _owner(scope)
    place = next((k for k, part in enumerate(alike, 1) if part is owner), 0)
    return f"{scope.name} {place}" if len(alike) > 1 and place else scope.name


def chain(scope: Scope | None) -> tuple[Scope, ...]:
    """The scopes from the outermost one to this one."""
    found: list[Scope] = []
    while scope is not None:
        found.append(scope)
        scope = scope.parent
    return tuple(reversed(found))


def _owner(scope: Scope | None) -> Any:
    return None if scope is None or scope.owner is None else scope.owner()


def _parts(scope: Scope | None) -> list[tuple[str, Any]]:
    return list(getattr(_owner(scope), "named_children", tuple)())


def _owners(values: Sequence[Value]) -> Iterator[Any]:
    """The modules that compute, each once, where it is done."""
    found = [_owner(value.scope) for value in reversed(values) if value.op is not None]
    return reversed({id(owner): owner for owner in found if owner is not None}.values())


def _parameters(owner: Any) -> dict[Value, str]:
    """The parameters of a module; those of its parts are theirs."""
    found: dict[Value, str] = {}
    for name, item in getattr(owner, "named_parameters", dict)():
        if "." not in name:
            found |= _places(_SHORT.get(name, name), item, ())
    return found


def _places(name: str, item: Any, at: tuple[int, ...]) -> dict[Value, str]:
    """The Values of a nested list by name, counted from 1."""
    if isinstance(item, Value):
        joint = "" if max(at, default=0) < 10 else ","
        return {item: name + joint.join(map(str, at)).translate(_SUBSCRIPTS)}
    found: dict[Value, str] = {}
    for i, part in enumerate(item, 1):
        found |= _places(name, part, (*at, i))
    return found


def _outputs(values: Sequence[Value]) -> Iterator[tuple[Value, str]]:
    """What leaves a unit, or the outermost module, if it is one number; in their order."""
    leaving: dict[tuple[bool, Scope], dict[Value, None]] = {}
    modules = cache(lambda scope: [own for own in chain(scope) if own.owner is not None])
    uses = [(a, v.scope) for v in values if v.op is not None for a, _ in v._operands()]
    used = {a for a, _ in uses}
    uses += [(v, None) for v in values if v not in used]
    for value, user in uses:
        if value is not None and value.op is not None:
            of, around = modules(value.scope), modules(user)
            for scope in of[:1] + of[-1:]:
                if scope not in around:
                    leaving.setdefault((scope is not of[0], scope), {})[value] = None
    for (within, scope), found in sorted(leaving.items(), key=lambda item: item[0][0]):
        unit = _unit(scope) if within else ""
        if len(found) == 1 and unit is not None:
            yield next(iter(found)), f"h{unit}".translate(_SUBSCRIPTS) if within else "y"


def _unit(scope: Scope) -> str | None:
    """The place, from 1, of a scope's module in a list that its parent has, such as neurons.1."""
    owner = _owner(scope)
    for name, part in _parts(scope.parent):
        if part is owner and "." in name:
            number = name.rpartition(".")[2]
            return str(int(number) + 1) if number.isdecimal() else None
    return None
