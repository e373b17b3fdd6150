"""The faults that are put into modules: every kind is found, and each is told from the others."""

import ast
import functools
import itertools
from pathlib import Path

import pytest
from faults import Fault, by_hand, chosen, faults_of

SOURCE = '''
"""Text."""
import math

def f(x: int | None, scale=0.5):
    """More text."""
    if x > 0 and scale:
        table["key"] = g(x, scale, key=True)
    elif x is None:
        raise ValueError("no" + "number")
    total = 0
    for i in range(x):
        total += items[first:last][i] * -x
    return [y for y in total if y] or f"{x + 1}"
'''
EXPECTED = [
    ("constant", "scale=0.5", "scale=1.5"),
    ("constant", "scale=0.5", "scale=0.505"),
    ("comparison", "if x > 0", "if x >= 0"),
    ("constant", "x > 0 and", "x > 1 and"),
    ("condition", "> 0 and scale", "> 0 or scale"),
    ("condition", "if x > 0 and scale:", "if (not (x > 0 and scale)):"),
    ("key", '"key"', '"key_"'),
    ("statement", 'table["key"] = g(x, scale, key=True)', "pass"),
    ("order", "g(x, scale,", "g(scale, x,"),
    ("keyword", "(x, scale, key=True)", "(x, scale, )"),
    ("constant", "True", "False"),
    ("comparison", "x is None", "x is not None"),
    ("statement", 'raise ValueError("no" + "number")', "pass"),
    ("constant", "total = 0", "total = 1"),
    ("bound", "range(x)", "range((x) - 1)"),
    ("statement", "total += items[first:last][i] * -x", "pass"),
    ("operator", "total += ", "total -= "),
    ("bound", "[first:", "[(first) + 1:"),
    ("bound", ":last]", ":(last) - 1]"),
    ("operator", "[i] * -x", "[i] / -x"),
    ("operator", "* -x", "* x"),
    ("condition", "total if y]", "total if (not (y))]"),
    ("condition", '] or f"', '] and f"'),
]


def _changes(source: str) -> list[tuple[str, str, str]]:
    """Each fault's kind, and its lines before and after."""
    return [(fault.kind, fault.before, fault.after) for fault in faults_of("m.py", source)]


def test_every_kind_of_fault_is_found_once_and_nothing_else() -> None:
    found = _changes(SOURCE)
    for kind, old, new in EXPECTED:
        here = [(k, b, a) for k, b, a in found if k == kind and b.replace(old, new) == a]
        assert len(here) == 1, (kind, old, new)
        found.remove(here[0])
    assert found == []


@pytest.mark.parametrize("path", ["engine/ops.py", "engine/calculus.py", "nn/train.py"])
def test_a_fault_is_another_program(path: str) -> None:
    source = (Path(__file__).parents[2] / path).read_text()
    lines = source.splitlines(keepends=True)
    ends = [0, *(statement.end_lineno for statement in ast.parse(source).body)]
    for fault in faults_of(path, source)[::10]:
        faulty = fault.applied(source).splitlines(keepends=True)
        first, last = next(span for span in itertools.pairwise(ends) if fault.line <= span[1])
        rest = len(lines) - last
        assert faulty[:first] == lines[:first] and faulty[len(faulty) - rest :] == lines[last:]
        said = _said("".join(faulty[first : len(faulty) - rest]))
        assert said != _said("".join(lines[first:last])), fault


@functools.cache
def _said(statement: str) -> str:
    return ast.dump(ast.parse(statement))


def test_a_fault_keeps_its_digest_when_lines_move() -> None:
    def digests(source: str) -> list[str]:
        return [fault.digest for fault in faults_of("m.py", source)]

    assert digests(SOURCE) == digests(SOURCE.replace("import math", "import math\nimport cmath\n"))
    assert len({*digests(SOURCE + SOURCE)}) == 2 * len({*digests(SOURCE)})


def test_the_choice_is_the_seed_s_and_stays_when_other_lines_change() -> None:
    def choice(source: str, seed: int) -> list[str]:
        return [fault.digest for fault in chosen(faults_of("m.py", source), 6, seed)]

    assert choice(SOURCE, 1) == choice(SOURCE, 1) != choice(SOURCE, 2)
    changed = {*choice(SOURCE.replace("total = 0", "total = 7"), 1)}
    assert len(changed & {*choice(SOURCE, 1)}) >= 5


def test_one_line_is_chosen_once() -> None:
    lines = [fault.line for fault in chosen(faults_of("m.py", SOURCE), 100, 0)]
    assert len(lines) == len({*lines})
    assert all(isinstance(fault, Fault) for fault in chosen(faults_of("m.py", SOURCE), 2, 0))


def test_faults_written_by_hand_fit_what_they_are_for() -> None:
    assert [fault.what for fault in by_hand() if not fault.fits] == []
