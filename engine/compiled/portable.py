"""Programs that travel: into other processes, files and copies.

A program is made again from its function. What it differentiates by (`wrt`) are objects that the
function reads, so they are told as that: by their places on the walk over what it reads.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from engine.compiled.surroundings import Surroundings


class _Place(NamedTuple):
    """An object that the function reads, by its place among all of them, and how many these are."""

    place: int
    among: int


def places_of(wrt: Any, f: Callable[..., Any]) -> Any:
    """The structure with places instead of what f reads."""
    places = {id(item): k for k, item in enumerate(Surroundings([f]).objects)}

    def told(item: Any) -> Any:
        if id(item) in places:
            return _Place(places[id(item)], len(places))
        if isinstance(item, list | tuple):
            return type(item)(map(told, item))
        return {key: told(part) for key, part in item.items()} if isinstance(item, dict) else item

    return told(wrt)


def found_at(told: Any, f: Callable[..., Any]) -> Any:
    """The structure with the objects that f reads, for `places_of` another one of its kind."""
    objects = Surroundings([f]).objects

    def found(item: Any) -> Any:
        if isinstance(item, _Place):
            if item.among != len(objects):
                raise pickle.UnpicklingError(
                    "the function of this program reads other objects here than where it was "
                    "pickled, so what it is differentiated by (wrt) is not found; compile it here"
                )
            return objects[item.place]
        if isinstance(item, list | tuple):
            return type(item)(map(found, item))
        return {key: found(part) for key, part in item.items()} if isinstance(item, dict) else item

    return found(told)


def is_global(item: Any) -> bool:
    """Whether an object is found by its module and name, as a decorated function is.

    The main module is another one in other processes: what is of it is told by its content.
    """
    if getattr(item, "__module__", "") == "__main__":
        return False
    found = sys.modules.get(getattr(item, "__module__", ""))
    for name in getattr(item, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found is item


class Portable:
    """A function in a form that can be pickled: as it is, or by cloudpickle.

    Raises PicklingError where neither can be.
    """

    def __init__(self, f: Callable[..., Any]) -> None:
        self.f = f

    def __reduce__(self) -> Any:
        try:
            content = pickle.dumps(self.f)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            return pickle.loads, (_by_cloudpickle(self.f, error),)
        if b"__main__" in content:  # a name that means something else in another process
            with contextlib.suppress(pickle.PicklingError):
                content = _by_cloudpickle(self.f, None)
        return pickle.loads, (content,)


def _by_cloudpickle(f: Callable[..., Any], error: Exception | None) -> bytes:
    advice = "install cloudpickle"
    try:
        import cloudpickle

        advice = "have it read nothing that can't"
        return bytes(cloudpickle.dumps(f))
    except (ImportError, pickle.PicklingError, AttributeError, TypeError) as other:
        name = getattr(f, "__qualname__", type(f).__name__)
        reason = error if isinstance(other, ImportError) else other
        raise pickle.PicklingError(
            f"the program of {name} can't be pickled, since its function can't: {reason}; define "
            f"the function at the top level of a module, or {advice}"
        ) from other
