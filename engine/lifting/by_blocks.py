"""A graph of Values folded by the blocks that are in it, without scopes.

In goes the graph of any computation in scalars; it is lifted as `engine.compile` would lift it,
without examples, and each instruction becomes one box.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from engine.compiled.describe import headline
from engine.compiled.instructions import ROWS
from engine.compiled.origins import lift_with_origins
from engine.compiled.paths import Lifted
from engine.compiled.tape import tape_of
from engine.compiled.trace import Made, Recording
from engine.drawing import LARGE, Box, Picture, fold
from engine.drawing.flow import index_of
from engine.graph import Graph, topological_order
from engine.lines import Recorder
from engine.value import Value

LISTED = 4  # source lines that a tooltip names


def by_blocks(recorder: Recorder | None = None) -> Callable[..., Picture]:
    """Return a folding for `draw_graph`: by blocks, with the source lines that `recorder` has.

    >>> from engine import Value, draw, tanh
    >>> w, x = [[Value(0.5), Value(-1.0)], [Value(2.0), Value(0.0)]], [Value(1.0), Value(3.0)]
    >>> h = [tanh(sum(a * b for a, b in zip(row, x))) for row in w]
    >>> picture = draw(h, fold="blocks").picture
    >>> [(box.title, box.operations) for box in picture.boxes if box.operations]
    [('matrix product (2 × 2) @ (2 × 1)', 8), ('tanh of 2', 2)]
    """

    def folded(graph: Graph, roots: Sequence[Value], limit: int | None) -> Picture:
        return _folded(graph, roots, limit or LARGE, recorder)

    return folded


def lifted_values(roots: Sequence[Value]) -> tuple[Lifted, dict[Value, int]]:
    """Lift the graph of some Values; return also the place of each on the tape.

    Raises TraceError for operations that are not in the table.
    """
    nodes = [node for node in topological_order(roots) if node.op is not None]
    made = Made()  # in none of its scopes: all leaves are numbers that may change
    recording = Recording([*dict.fromkeys(roots)], lambda leaves: leaves, [], [], [], nodes, made)
    places: dict[Value, int] = {}
    tape = tape_of(recording, _matrices_first(roots), places)
    return Lifted(tape, *lift_with_origins(tape)), places


def _matrices_first(roots: Sequence[Value]) -> list[Value]:
    """The leaves in an order that makes matrices of those that are factors and are used least.

    Lifting takes the first of two leaves for the matrix, and likes its rows to follow each other.
    Weights are used once an example, inputs once a neuron; those of a layer are equally far from
    the inputs; biases, which are added, come last.
    """
    uses: Counter[Value] = Counter()
    last: dict[Value, int] = {}  # the height at which a leaf is used last
    added: set[Value] = set()
    height: dict[Value, int] = {}
    nodes = topological_order(roots)
    for node in nodes:
        operands = [operand for operand, _ in node._operands() if operand is not None]
        height[node] = 1 + max((height[operand] for operand in operands), default=-1)
        for operand in operands:
            if operand.op is None:
                uses[operand] += 1
                last[operand] = max(height[node], last.get(operand, 0))
                if node.op is not None and node.op.label in ("+", "-"):
                    added.add(operand)
    leaves = [node for node in nodes if node.op is None]
    return sorted(leaves, key=lambda leaf: (leaf in added, uses[leaf], last.get(leaf, 0)))


def _folded(graph: Graph, roots: Sequence[Value], limit: int, recorder: Recorder | None) -> Picture:
    lifted, places = lifted_values(roots)
    both, lists = lifted.blocks.instructions, lifted.blocks.lists
    instructions = [*itertools.chain(*both)]
    texts = [ROWS[i.kind].title(lists, i) for i in instructions]
    groups: dict[int, str] = {}
    values: dict[int, Value] = {}
    for value, index in index_of(graph, roots).items():
        values[index] = value
        k = lifted.origins.instruction[places[value]]
        if value.op is not None and k >= 0:
            groups[index] = str(k)  # a name of its own, which is replaced below
    picture = fold(graph, groups=groups, limit=limit)

    def told(box: Box) -> Box:
        names = {groups[i] for i in box.members if i in groups}
        if len(names) != 1 or box.kind == "literal" or not box.operations:
            return box
        k = int(names.pop())
        lines = _lines([values[i] for i in box.members if i in groups], recorder)
        detail = "\n".join([texts[k], box.detail, *lines])
        title = texts[k] if box.operations > 1 else box.title
        i = instructions[k]
        family = ROWS[i.kind].colour(i) if box.operations > 1 else box.family
        return replace(box, title=title, family=family, detail=detail)

    caption = f"{headline(lifted.blocks)}; {len(graph.nodes):,} nodes in {len(picture.boxes)} boxes"
    return replace(picture, boxes=tuple(map(told, picture.boxes)), caption=caption)


def _lines(values: Sequence[Value], recorder: Recorder | None) -> list[str]:
    """The source lines where these were made, those of most nodes first."""
    if recorder is None:
        return []
    found = Counter(recorder.line(recorder.spots.get(value)) for value in values)
    found.pop(None, None)
    lines = [f"{count:,} from {line}" for line, count in found.most_common(LISTED)]
    return [*lines, f"… and {len(found) - LISTED} more lines"][: LISTED + (len(found) > LISTED)]
