"""The adjoint of instructions: who sets, who adds, and what is filled with nothing before that."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from engine.compiled import objects, sequential
from engine.compiled.adjoint import Backward, adjoint
from engine.compiled.blocks import ADJOINT, Instruction, L, Lists, S, Segments, View
from engine.ops import TABLE


def made(
    *instructions: Instruction,
    outputs: Sequence[int],
    wanted: Sequence[int],
    pool: Sequence[int] = (),
    exact: bool = False,
) -> Backward:
    """The adjoint of instructions on rows of S."""
    lists = Lists(np.array(pool, np.int64), Segments(), ({}, {}), exact)
    rows = [[(S, row) for row in some] for some in (outputs, wanted)]
    return adjoint((instructions, ()), lists, (20, 0), *rows)


def listed(section: Sequence[Instruction]) -> list[tuple[str, int, int, bool]]:
    """Each instruction's kind, the rows it writes, from and how many, and whether it adds."""
    assert all(i.out.space & ADJOINT for i in section)
    return [(i.kind, i.out.first, i.out.count, i.adds) for i in section]


def sines(out: int, first: int, count: int) -> Instruction:
    return Instruction("map", View(S, out, count), (View(S, first, count),), name="sin")


def test_what_is_not_wanted_and_what_nothing_arrives_at_have_no_adjoint() -> None:
    to_wanted, to_others, unused = sines(10, 0, 2), sines(12, 4, 2), sines(14, 0, 2)
    found = made(to_wanted, to_others, unused, outputs=[10, 11, 12, 13], wanted=[0, 1])
    assert listed(found.shared) == [("edge", 0, 2, False)]
    assert found.begin == found.lanes == []


def test_what_depends_on_a_wanted_row_through_others_is_passed_through() -> None:
    found = made(sines(4, 0, 2), sines(8, 4, 2), outputs=[8, 9], wanted=[1])
    assert listed(found.shared) == [("edge", 4, 2, False), ("edge", 0, 2, False)]


def test_the_first_that_writes_sets_and_the_second_adds() -> None:
    found = made(sines(4, 0, 2), sines(8, 0, 2), outputs=[4, 5, 8, 9], wanted=[0, 1])
    assert listed(found.shared) == [("edge", 0, 2, False), ("edge", 0, 2, True)]


def test_rows_between_those_that_were_written_to_are_filled_before_something_is_added() -> None:
    narrow = [sines(14, 1, 1), sines(15, 3, 1)]
    found = made(sines(8, 0, 6), *narrow, outputs=range(8, 16), wanted=range(6))
    fills = [("fill", 0, 1, False), ("fill", 2, 1, False), ("fill", 4, 2, False)]
    narrow_edges = [("edge", 3, 1, False), ("edge", 1, 1, False)]
    assert listed(found.shared) == [*narrow_edges, *fills, ("edge", 0, 6, True)]


def test_wanted_rows_that_nothing_arrives_at_are_filled_run_by_run() -> None:
    found = made(sines(10, 2, 1), outputs=[10], wanted=[5, 0, 1, 2, 7, 8])
    runs = [("fill", 0, 2, False), ("fill", 5, 1, False), ("fill", 7, 2, False)]
    assert listed(found.shared) == [("edge", 2, 1, False), *runs]


def test_fillings_that_follow_each_other_are_one() -> None:
    gather = Instruction("gather", View(S, 10, 4), (View(S, 0, 4, listed=True),))
    found = made(gather, outputs=[10, 11, 12, 13], wanted=[4, 5], pool=[4, ~5, 4, ~5])
    assert listed(found.shared) == [("fill", 4, 2, False), ("scatter", 0, 4, True)]


def test_a_row_that_a_list_names_twice_is_added_to() -> None:
    for pool, adds in (([3, ~4, 5], False), ([3, ~3, 5], True)):
        gather = Instruction("gather", View(S, 10, 3), (View(S, 0, 3, listed=True),))
        found = made(gather, outputs=[10, 11, 12], wanted=[3], pool=pool)
        *fills, scatter = listed(found.shared)
        assert scatter == ("scatter", 0, 3, adds)
        assert fills == ([("fill", 3, 1, False), ("fill", 5, 1, False)] if adds else [])


def test_a_list_of_rows_is_wanted_where_one_of_them_is() -> None:
    for size in (3, 40):  # few are looked at one by one
        pool = [*range(size - 1), ~60]
        lists = Lists(np.array(pool, np.int64), Segments(), ({}, {}), False)
        names = View(S, 0, size, listed=True)
        gather = Instruction("gather", View(S, 70, size), (names,))
        for wanted, count in ((60, 1), (61, 0)):
            found = adjoint(((gather,), ()), lists, (120, 0), [(S, 70)], [(S, wanted)])
            assert [i.kind for i in found.shared].count("scatter") == count


def test_shared_adjoints_that_lanes_add_to_are_filled_before_the_first_chunk() -> None:
    lists = Lists(np.zeros(0, np.int64), Segments(), ({}, {}), False)
    spread = Instruction("broadcast", View(L, 0, 2), (View(S, 3, 2),))
    found = adjoint(((), (spread,)), lists, (8, 8), [(L, 0), (L, 1)], [(S, 3), (S, 4), (S, 6)])
    assert listed(found.begin) == [("fill", 3, 2, False)]
    assert [(i.kind, i.adds) for i in found.lanes] == [("total", True)]
    assert listed(found.shared) == [("fill", 6, 1, False)]


def test_nothing_is_minus_zero_in_the_exact_rule() -> None:
    for exact, sign in ((False, 1.0), (True, -1.0)):
        (fill,) = made(outputs=[], wanted=[3], exact=exact).shared
        assert (fill.number, math.copysign(1.0, fill.number)) == (0.0, sign)


@pytest.mark.skipif(objects.DISABLED, reason="nothing becomes machine code")
def test_the_edges_of_single_operations_are_found_alike_on_lists_and_arrays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng, count, names = np.random.default_rng(0), 3_000, ("sin", "mul", "where", "sub", "floor")
    code = rng.choice([[*TABLE].index(name) for name in names], count).astype(np.int32)
    rows = np.arange(20, 20 + count)
    operands = [rng.integers(np.maximum(0, rows - 300), rows).astype(np.int32) for _ in range(3)]
    lists = Lists(
        np.zeros(0, np.int64), Segments(code, rows.astype(np.int32), *operands), ({}, {}), False
    )
    segment = Instruction("segment", View(S, 20, count), shape=(0, count))
    ends = [(S, 20 + count - 1), (S, 20 + count - 2)]
    steps = []
    for many in (0, 10**9):
        monkeypatch.setattr(sequential, "MANY", many)
        found = adjoint(((segment,), ()), lists, (20 + count, 0), ends, [(S, k) for k in range(20)])
        assert found.shared[0].kind == "segment_back"
        steps.append(found.steps.tolist())
    assert steps[0] == steps[1] and 0 < sum(flags > 0 for flags in steps[0]) < count
