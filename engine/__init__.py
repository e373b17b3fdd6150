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

from collections.abc import Callable
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
)
from engine.graph import Graph
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
    from engine.drawing import Drawing, Player
    from engine.explaining import Explanation, Kink, Nonfinite
    from engine.graph_json import from_json, to_json
    from engine.lifting import LiftingPlayer
    from engine.lines import Recorder
    from engine.profiling import Profile
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
            "engine.replaying": ("accuracy", "exact"),
            "engine.graph_json": ("from_json", "to_json"),
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

    if fold not in ("scopes", "blocks"):
        raise ValueError(f'fold is "scopes" or "blocks", not {fold!r}')
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


def step_through(root: Value, **options: Any) -> Player:
    """Return a player that goes through the forward and backward pass behind `root`.

    See `engine.drawing.step_through` for the options. In Jupyter the result shows itself; it also
    has `.save("player.html")`, one file that needs no network, and `.steps` as plain data.
    """
    from engine.drawing import step_through

    return step_through(root, **options)


def show_lifting(program: Program, **options: Any) -> LiftingPlayer:
    """Return a player of compilation: from recorded scalars, pass by pass, to instructions.

    See `engine.lifting.show_lifting`. In Jupyter the result shows itself; `.save("lifting.html")`
    writes one file that needs no network, in which each instruction opens to its scalars.
    """
    from engine.lifting import show_lifting

    return show_lifting(program, **options)


def explain(f: Callable[..., Any], *args: Any, **options: Any) -> Explanation:
    """Return why each gradient of `f(*args)` is what it is: zero, nan, inf, huge, tiny or fine.

    See `engine.explaining.explain_gradients` for the options, among them `wrt=model`. It runs f
    once, with source lines recorded. Print the result; in Jupyter it shows itself.

    >>> print(explain(lambda x: (x - 1.0).relu(), 0.5))
    the result = 0, from 2 operations and 1 input
    <BLANKLINE>
    ZERO  x: gradient 0
      relu(-0.5) has the derivative 0: the operand is not above 0, where relu is flat
    ...
    """
    from engine.explaining import explain_gradients

    return explain_gradients(f, *args, **options)


def kinks(f: Callable[..., Any], *args: Any, **options: Any) -> list[Kink]:
    """Return where `f(*args)` is not smooth, or within `eps` of it, with the slopes of both sides.

    See `engine.explaining.kinks_near` for the options, `eps` and `wrt`. Print an entry: it names
    the operation, the distance, and the source line.

    >>> print(kinks(lambda x: (x - 1.0).relu(), 1.0)[0])
    relu(0) is at its tie, where the derivative is 0 below it and 1 above
    ...
    """
    from engine.explaining import kinks_near

    return kinks_near(f, *args, **options)


def find_nonfinite(subject: Any, *args: Any, **options: Any) -> Nonfinite:
    """Return where the first number that is not finite was born, forwards or backwards.

    `subject` is a Value, or several in a list: then their graph is looked at as it was recorded,
    and the source line is known where a recorder was on meanwhile (`lines=`, as in `draw`). Or it
    is a function, run once with `args` on Values, as `explain` does, with `wrt=` for the Values
    whose gradients count if not all do; with `dtype=` float32 its numbers are rounded to that. Or
    it is a compiled `Program`, batched or not, with the arguments of a call: it is run, and of the
    first example at fault the function itself. Other keywords go to the function.

    Forwards that is the first operation, in order of evaluation, whose result is inf or nan and
    whose operands are finite, of those that made a result inf or nan. Where all results are finite,
    their gradients are looked at (those of their sum): named is the operation that first passed on
    inf or nan out of a finite gradient. What was not chosen, as the arm that `where` did not take,
    counts for nothing. The report is true where something was found; print it for the operation,
    its operands by their labels, the line, and what to write instead.

    Raises TypeError for what holds no numbers, and for an option that is not for the subject;
    ValueError for another `dtype`; and what the function raises.

    >>> def distance(x, y):
    ...     return (x * x + y * y).sqrt()
    >>> found = find_nonfinite(distance, 0.0, 0.0)
    >>> found.kind, found.operation, found.adjoint, found.partial
    ('backward', 'sqrt', 1.0, inf)
    >>> bool(find_nonfinite(distance, 3.0, 4.0))
    False
    """
    from engine.explaining import find

    return find(subject, *args, **options)


def profile(f: Callable[..., Any], *args: Any, **options: Any) -> Profile:
    """Return the nodes, bytes and time of `f(*args)` and its gradient, by source line.

    See `engine.profiling.profile_lines` for the options, and for how time is measured.

    >>> profile(lambda x: (x * x).exp(), 2.0).nodes
    2
    """
    from engine.profiling import profile_lines

    return profile_lines(f, *args, **options)


def trace(root: Value) -> tuple[set[Value], set[tuple[Value, Value]]]:
    """Return the nodes below `root`, and the edges (operand, node), as micrograd's function."""
    from engine.graph import topological_order

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
