"""What is loaded when it is used, and not before: names of a package, and NumPy's kinds.

`import engine` is short because nobody pays for the compiler, or for NumPy, before using them.
This module imports nothing of the engine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def attributes(
    package: str, modules: Mapping[str, Sequence[str] | None]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__`, for names that wait in other modules, and its `__dir__`:
    those of its `__all__`, and its own modules among these.

    `modules` says which module has which names. It is imported when one of them is first asked
    for, or the module itself, if it is the package's own; from then on the package has that name
    like any other. A module with None in place of names needs what may not be installed, and is
    not shown: who looks at all that a package shows is not to fail.

    >>> __getattr__, __dir__ = attributes(__name__, {"math": ("fsum", "pi")})
    >>> __getattr__("fsum")([0.5, 0.25])
    0.75
    """
    names = vars(sys.modules[package])
    homes = {name: module for module, found in modules.items() for name in found or ()}

    def __getattr__(name: str) -> Any:  # noqa: N807, the name that Python looks for
        if name in homes:
            names[name] = getattr(import_module(homes[name]), name)
        elif (module := f"{package}.{name}") in modules:
            import_module(module)  # which gives the package its name
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return names[name]

    def __dir__() -> list[str]:  # noqa: N807
        own = {name.removeprefix(f"{package}.") for name, found in modules.items() if found == ()}
        kept = {name for name in names if name.startswith("__")}
        return sorted({*names["__all__"], *own, *kept})

    return __getattr__, __dir__


def needed(module: str, what: str, extra: str) -> Any:
    """Return a module that may not be installed. Raises ImportError with what to install: `what`
    needs it, and our `extra` brings it."""
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise ImportError(f"{what} needs {package}: pip install 'gradloom[{extra}]'") from None


def numpy_class(name: str) -> Any:
    """Return one of NumPy's classes for `isinstance`, or where NumPy is not loaded ().

    Then nothing is an instance of it, and there is no need to load NumPy to find that out.

    >>> isinstance([1.0, 2.0], numpy_class("ndarray"))
    False
    """
    return loaded_class("numpy", name)


def loaded_class(module: str, name: str) -> Any:
    """Return a class for `isinstance`, or where its module is not loaded ()."""
    return getattr(sys.modules.get(module), name, ())
