"""The house: which module needs which."""

from __future__ import annotations

from typing import Any

import pytest


def test_no_module_needs_itself() -> None:
    """Imports within functions count; those for types alone do not."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("engine", "nn", exclude_type_checking_imports=True)
    needs = {x: {*graph.find_modules_directly_imported_by(x)} for x in graph.modules}
    while True:  # what needs nothing that is left is no part of a cycle
        free = [module for module, others in needs.items() if not others & needs.keys()]
        if not free:
            break
        for module in free:
            del needs[module]
    assert needs == {}, _a_cycle(needs)


def _a_cycle(needs: dict[str, set[str]]) -> Any:
    path = [next(iter(needs))]
    while path.count(path[-1]) == 1:
        path.append(next(iter(needs[path[-1]] & needs.keys())))
    return " -> ".join(path[path.index(path[-1]) :])
