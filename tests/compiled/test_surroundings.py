"""How far the watching reaches: numbers in places of every sort, and models of any depth."""

from __future__ import annotations

import enum
import functools
import operator
import random
import types
from array import array
from collections import ChainMap
from collections.abc import Callable
from typing import Any

import pytest

import engine
import nn
from engine import TraceError
from engine.compiled.surroundings import Surroundings, _Walk

put = functools.partial


class Meta(type):
    scale = 1.0


class OfMeta(metaclass=Meta):
    pass


class Slotted:
    __slots__ = ("_Slotted__own", "rng", "scale")

    def __init__(self) -> None:
        self.scale, self.rng, self.__own = 1.0, random.Random(0), 1.0

    def by_own(self, x: Any) -> Any:
        return x * self.__own

    def put_own(self, k: float) -> None:
        self.__own = k


class SlottedAndMore(Slotted):
    pass


class Frozen(Slotted):
    """Its attributes are set by `object.__setattr__` alone."""

    __slots__ = ()

    def __init__(self) -> None:
        object.__setattr__(self, "scale", 1.0)
        object.__setattr__(self, "rng", random.Random(0))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("frozen")


class Asking:
    """Looks up in a dict whatever it is asked for."""

    def __init__(self) -> None:
        self.of = {"scale": 1.0}

    def __getattr__(self, name: str) -> Any:
        return vars(self)["of"][name]


class Length(float):
    """A float of one's own."""


def cases() -> dict[str, tuple[Callable[[Any], Any], Callable[[float], object]]]:
    """A function of x that computes k * x, and how to set k."""
    slotted, more, frozen, asking = Slotted(), SlottedAndMore(), Frozen(), Asking()
    doubles, octets, entries = array("d", [1.0]), bytearray([1]), {"k": 1.0}
    chain, view = ChainMap({}, entries), types.MappingProxyType(entries)
    space = types.SimpleNamespace(scale=1.0)
    get, box = operator.attrgetter("scale"), [Length(1.0)]

    def keyword(x: Any, *, k: float = 1.0) -> Any:
        return x * k

    return {
        "an attribute of a metaclass": (
            lambda x: x * OfMeta.scale,
            lambda k: setattr(Meta, "scale", k),
        ),
        "a default by keyword": (keyword, lambda k: setattr(keyword, "__kwdefaults__", {"k": k})),
        "a slot beside a dict": (lambda x: x * more.scale, put(setattr, more, "scale")),
        "a slot of a private name": (slotted.by_own, slotted.put_own),
        "a slot that is frozen": (
            lambda x: x * frozen.scale,
            put(object.__setattr__, frozen, "scale"),
        ),
        "__getattr__": (lambda x: x * asking.scale, put(asking.of.__setitem__, "scale")),
        "an array.array": (lambda x: x * doubles[0], put(doubles.__setitem__, 0)),
        "a bytearray": (lambda x: x * octets[0], lambda k: octets.__setitem__(0, int(k))),
        "a ChainMap": (lambda x: x * chain["k"], put(entries.__setitem__, "k")),
        "a view of a dict": (lambda x: x * view["k"], put(entries.__setitem__, "k")),
        "an attrgetter": (lambda x: x * get(space), put(setattr, space, "scale")),
        "a float of one's own": (lambda x: x * box[0], lambda k: box.__setitem__(0, Length(k))),
    }


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_a_number_is_read_as_it_is_now(name: str) -> None:
    f, set_k = CASES[name]
    program = engine.compile(f)
    for k in (1.0, 4.0, 1.0, 7.0):
        set_k(k)
        assert program(3.0) == 3.0 * k


@pytest.mark.parametrize("kind", [Slotted, SlottedAndMore, Frozen])
def test_a_generator_in_a_slot_is_refused_and_left_as_it_was(kind: type[Slotted]) -> None:
    item = kind()
    with pytest.raises(TraceError, match=r"draws from item\.rng"):
        engine.compile(lambda x: x * item.rng.random())(1.0)
    assert item.rng.random() == random.Random(0).random()


def deep(depth: int) -> nn.Module:
    model: nn.Module = nn.Linear(1, 1)
    for _ in range(depth):
        model = nn.Sequential(model)
    return model


def test_a_walk_looks_at_each_of_nested_modules_as_often_at_any_depth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    def look(self: _Walk, owner: Any, label: str, _look: Any = _Walk._look) -> None:
        nonlocal looks
        looks += 1
        _look(self, owner, label)

    monkeypatch.setattr(_Walk, "_look", look)
    counts = []
    for depth in (100, 200, 300):
        looks = 0
        Surroundings([deep(depth)])
        counts.append(looks)
    assert counts[2] - counts[1] == counts[1] - counts[0]


def test_labels_are_short_at_any_depth() -> None:
    assert max(len(place.label) for place in Surroundings([deep(1_000)]).places) < 100


class Kind(enum.Enum):
    """A key that is neither a number nor a text."""

    FIRST = "first"


@pytest.mark.parametrize("key", [Kind.FIRST, (1, "a"), (Kind.FIRST, 1)], ids=str)
def test_numbers_by_keys_of_any_kind_are_read_as_they_are_now(key: Any) -> None:
    weights = {key: 2.0}
    program = engine.compile(lambda x: x * weights[key])
    assert program(3.0) == 6.0
    weights[key] = 5.0
    assert program(3.0) == 15.0


def test_a_function_with_attributes_is_no_way_to_all_globals() -> None:
    def scale(x: Any) -> Any:
        return 2.0 * x

    scale.note = "of a user"  # type: ignore[attr-defined]
    around = Surroundings([lambda x: engine.tanh(scale(x))])
    assert not [place.label for place in around.places if "__" in place.label]
