"""What compiling costs as graphs grow: from recorded nodes to a machine that is ready to run.

Tracing, which is running the function once on Values, is told beside it. Machine code of kernels
is not counted: it is made once on a computer (`compiling`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks import ours
from benchmarks.harness import Asked, Row, Scale
from benchmarks.rows.moons import loss_of, make_model, moons


def rows(scale: Scale) -> Iterator[Row]:
    """The moons loss, over few points and over many."""
    sizes = scale.of(((230, 0.5), (2000, 5.0)), ((230, 0.5),), ((4, 0.5),))
    for points, seconds in sizes:
        X, y = moons(points)
        model = make_model()
        loss: Callable[[], object] = lambda: loss_of(model, X, y, lambda x: x)  # noqa: B023, E731
        _, nodes = ours.passes(loss, model.parameters())  # and the kernels are loaded
        yield Row(
            f"lowering-{points}",
            f"compiling {nodes:,} scalar operations, lowering alone",
            stages=lambda: ours.passes(loss, model.parameters())[0],  # noqa: B023
            asked=[Asked(seconds=seconds, of="lowering")],
        )
