"""What code reads: the names of globals and attributes in it, found without running it.

In: a code object, or where something was defined. Out: names, and whether they are all there may
be. This looks at bytecode alone, by the standard library's `dis`.
"""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Iterator
from types import CodeType
from typing import NamedTuple

_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
# By these, code reads attributes whose names don't stand in it.
_BY_ANY_NAME = {"getattr", "hasattr", "vars", "dir", "attrgetter", "methodcaller", "__dict__"}
HOUSE = ("engine", "nn")


class Reads(NamedTuple):
    """The names that a code object and those within it read."""

    globals: frozenset[str]
    attributes: frozenset[str]
    imports: frozenset[str]  # modules that are imported on the way
    any_name: bool  # whether attributes are also read by names that don't stand there


@functools.lru_cache(maxsize=4096)
def reads_of(code: CodeType) -> Reads:
    """Return what a code object reads.

    >>> found = reads_of((lambda x: config.scale * x).__code__)
    >>> sorted(found.globals), sorted(found.attributes)
    (['config'], ['scale'])
    """
    globals_, attributes, imports = set[str](), set[str](), set[str]()
    any_name = False
    for part in _with_inner(code):
        for i in dis.get_instructions(part):
            if i.opname in _GLOBALS:
                globals_.add(i.argval)
            elif i.opname == "IMPORT_NAME":
                imports.add(i.argval)
            elif i.opcode in dis.hasname and i.opname.startswith(("LOAD_", "IMPORT_FROM")):
                attributes.add(i.argval)
            any_name = any_name or i.opname == "MATCH_CLASS"
    any_name = any_name or bool(_BY_ANY_NAME & (globals_ | attributes))
    return Reads(frozenset(globals_), frozenset(attributes), frozenset(imports), any_name)


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


@functools.lru_cache(maxsize=4096)
def origin(module: str | None) -> str:
    """Where code of a module comes from: "house" for this project, "standard" for the standard
    library and NumPy, "installed" for other packages that are installed, and else "own"."""
    if module is not None and not isinstance(module, str):  # of a class of another language
        return "standard"
    top = (module or "").partition(".")[0]
    if top in HOUSE:
        return "house"
    if top in sys.stdlib_module_names or top in ("numpy", "builtins"):
        return "standard"
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return "installed" if "site-packages" in file or "dist-packages" in file else "own"
