"""gradloom's engine: scalar reverse-mode automatic differentiation.

Write a computation with `Value`; draw it, differentiate it to any order, check it.

>>> import engine
>>> x = engine.Value(2.0, label="x")
>>> y = engine.tanh(x) * x
>>> y.backward()
>>> f"{y.data:.4f} {x.grad:.4f}"
'1.9281 1.1053'

To read the code, begin with `value` and `ops`, then `graph` and `calculus`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine import deferred, functions, showing
from engine.calculus import (
    checkpoint,
    custom_op,
    grad,
    gradients,
    hessian,
    hvp,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)
from engine.checking import gradcheck, gradgradcheck
from engine.errors import (
    DomainError,
    DrawingError,
    GradcheckError,
    GraphError,
    ReplayError,
    TraceError,
    one_of,
)
from engine.graph import Graph, topological_order
from engine.integration import integrate
from engine.iteration import scan, while_loop
from engine.modes import enable_grad, errstate, no_grad, scope
from engine.randomness import manual_seed
from engine.solutions import fixed_point, solve
from engine.value import Value

if TYPE_CHECKING:  # what is made from the table, or loaded on first use
    from collections.abc import Sequence
    from typing import Literal

    from engine.compiled.pattern import Sparsity
    from engine.compiled.program import Program, compile
    from engine.compiled.sparse import sparse_hessian, sparse_jacobian, sparsity
    from engine.compiled.threads import get_num_threads, set_num_threads
    from engine.drawing import Drawing, step_through
    from engine.explaining import explain, find_nonfinite, kinks
    from engine.graph_json import from_json, to_json
    from engine.lifting import show_lifting
    from engine.lines import Recorder
    from engine.profiling import profile
    from engine.replaying import accuracy, exact
    from engine.rows import *  # noqa: F403


__version__ = "0.1.0"
if not TYPE_CHECKING:
    __getattr__, __dir__ = deferred.attributes(
        __name__,
        {
            "engine.compiled.pattern": ("Sparsity",),
            "engine.compiled.program": ("Program", "compile"),
            "engine.compiled.sparse": ("sparse_hessian", "sparse_jacobian", "sparsity"),
            "engine.compiled.threads": ("get_num_threads", "set_num_threads"),
            "engine.drawing": ("step_through",),
            "engine.explaining": ("explain", "find_nonfinite", "kinks"),
            "engine.graph_json": ("from_json", "to_json"),
            "engine.lifting": ("show_lifting",),
            "engine.profiling": ("profile",),
            "engine.replaying": ("accuracy", "exact"),
            "engine.testing": (),
        },
    )
globals().update({name: getattr(functions, name) for name in functions.__all__})


def draw(
    root: Value | Sequence[Value] | Program,
    *,
    fold: Literal["scopes", "blocks"] = "scopes",
    lines: Recorder | None = None,
    **options: Any,
) -> Drawing:
    """Return a picture of everything that `root`, a Value or several, was computed from.

    A large graph is folded until it can be read. The options are `depth`, `around`, `radius`,
    `path`, `color`, `rankdir`, `theme`, `limit` and `format`: see `engine.drawing.draw_graph`. In
    Jupyter the result shows itself, printed it is a tree; it has `.save("graph.svg")` and
    `.picture`, its boxes and arrows.

    With `fold="blocks"` it is folded by what `engine.compile` would find in it: a box for each
    matrix product, each sum, each operation on many numbers, whatever made them. `lines`, an
    `engine.lines.Recorder` that was on meanwhile, has tooltips name the source lines.

    A compiled `Program` that was called is drawn as its instructions: see
    `engine.lifting.draw_program`; the options are then `backward` (those of the gradient as well),
    `limit`, `rankdir`, `theme` and `format`.
    """
    from engine.drawing import draw_graph  # drawing is loaded on first use

    one_of("fold", fold, "scopes", "blocks")
    if callable(root):  # as a Value is not
        from engine.compiled.program import Program

        if isinstance(root, Program):
            from engine.lifting import draw_program

            return draw_program(root, **options)
    if fold == "blocks":
        from engine.lifting import by_blocks

        options["folding"] = by_blocks(lines)
    return draw_graph(root, **options)


showing.pictures["Program"] = draw


def draw_dot(root: Value, format: str = "svg", rankdir: str = "LR") -> Drawing:
    """Return `draw(root)`, as micrograd's function of this name. `rankdir` is "LR" or "TB"."""
    return draw(root, format=format, rankdir=rankdir)


def trace(root: Value) -> tuple[set[Value], set[tuple[Value, Value]]]:
    """Return the nodes below `root`, and the edges (operand, node), as micrograd's function."""
    nodes = topological_order((root,))
    return set(nodes), {(operand, node) for node in nodes for operand in node._prev}


__all__ = [
    "DomainError",
    "DrawingError",
    "GradcheckError",
    "Graph",
    "GraphError",
    "Program",
    "ReplayError",
    "Sparsity",
    "TraceError",
    "Value",
    "accuracy",
    "checkpoint",
    "compile",
    "custom_op",
    "draw",
    "draw_dot",
    "enable_grad",
    "errstate",
    "exact",
    "explain",
    "find_nonfinite",
    "fixed_point",
    "from_json",
    "get_num_threads",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "gradients",
    "hessian",
    "hvp",
    "integrate",
    "jacobian",
    "jvp",
    "kinks",
    "manual_seed",
    "no_grad",
    "profile",
    "scan",
    "scope",
    "set_num_threads",
    "show_lifting",
    "solve",
    "sparse_hessian",
    "sparse_jacobian",
    "sparsity",
    "step_through",
    "to_json",
    "trace",
    "value_and_grad",
    "vjp",
    "while_loop",
    *functions.__all__,
]
