"""Give a plain function other meanings for the names it uses.

A row of the operation table says its derivative once, in the names of other rows::

    def log_dx(x, out):
        return reciprocal(x)

As written, ``reciprocal`` is the function on floats. ``rebind(log_dx, {"reciprocal": recording})``
is the same code object, in which ``reciprocal`` records a node; with a jitted function instead
it becomes a kernel. This file imports nothing of the engine, and eager Values and the reverse
sweep on floats can be read without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any


def rebind(function: Callable[..., Any], names: Mapping[str, Any]) -> Callable[..., Any]:
    """Return `function` with `names` in place of the globals of the same name.

    >>> def twice(x):
    ...     return double(x)
    >>> rebind(twice, {"double": lambda x: f"double({x})"})("a")
    'double(a)'
    """
    assert isinstance(function, FunctionType)  # rows are plain functions: nothing else has __code__
    renamed = {**function.__globals__, **names}
    name, defaults, closure = function.__name__, function.__defaults__, function.__closure__
    return FunctionType(function.__code__, renamed, name, defaults, closure)
