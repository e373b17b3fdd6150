"""Where was nan born? The first number of a computation that is not finite, forwards or backwards.

In: Values, a function and its arguments, or a compiled program and its arguments. Out: a
`Nonfinite`, which prints the operation with its operands, the user's line, and what to write
instead. The books are those that `explain` keeps (`flow`), and so are the words (`causes`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine import modes
from engine.deferred import loaded_class
from engine.explaining.causes import Inquiry
from engine.explaining.flow import trace_back
from engine.explaining.report import Cause, indented, lines_of
from engine.lines import Line, Recorder, name_of, named_inputs, recorder_for, refuse_in_trace
from engine.showing import Told
from engine.trees import flatten
from engine.value import Value, is_from_before


@dataclass(frozen=True, repr=False)
class Nonfinite(Told):
    """What `find_nonfinite` found. It is true where a result or a gradient is not finite.

    `kind` is "forward" where an operation made inf or nan of finite operands, and a result is not
    finite for that; "given" where a number was inf or nan to begin with; "backward" where the
    results are finite and a gradient is not; "lost" where numbers are not finite and a run on
    Values doesn't show it; and "" where all are finite. `operation`, `operands` and `line` are
    those of the operation at fault. Backwards it passed on `adjoint` times `partial`, its
    derivative by operand `k`, which is `passed`. `example` is the row of a batch.
    """

    name: str
    kind: str
    causes: tuple[Cause, ...] = ()
    advice: tuple[str, ...] = ()
    example: int | None = None
    k: int | None = None
    adjoint: float = math.nan
    partial: float = math.nan
    passed: float = math.nan

    def __bool__(self) -> bool:
        return self.kind != ""

    @property
    def operation(self) -> str:
        """The name of the operation at fault, "" for none."""
        return self.causes[0].operation if self.causes else ""

    @property
    def operands(self) -> tuple[float, ...]:
        """Its operands."""
        return self.causes[0].operands if self.causes else ()

    @property
    def line(self) -> Line | None:
        """The user's source line that made it; None where that was not recorded."""
        return self.causes[0].line if self.causes else None

    @property
    def text(self) -> str:
        """What happened there, in one sentence without the line."""
        return self.causes[0].text if self.causes else self._head()

    def _head(self) -> str:
        where = "" if self.example is None else f", example {self.example} of the batch"
        said = {
            "forward": "a result is not finite; the first operation that made inf or nan:",
            "given": "a result is not finite, since a number that came in is not:",
            "backward": "the results are finite, and a gradient is not:",
            "lost": "a number is not finite:",
        }
        fine = "the results and the gradients are finite"
        fine += "; on the way a number was not:" if self.causes else ""
        return f"{self.name}{where}: {said.get(self.kind, fine)}"

    def __str__(self) -> str:
        parts = [(0, self._head()), *lines_of(self.causes, self.advice)]
        return "\n".join(line for part in parts for line in indented(*part))


_NO_LINES = (
    "A graph keeps no source lines: find_nonfinite(f, *args) names the line, if f is the function "
    "that made it."
)


def find_nonfinite(
    subject: Any,
    *args: Any,
    wrt: Any = None,
    lines: Recorder | None = None,
    dtype: Any = None,
    **keywords: Any,
) -> Nonfinite:
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
    refuse_in_trace("find_nonfinite")
    recorder_for(dtype)  # what is no dtype of these is said first
    if isinstance(subject, Value) or not callable(subject):
        if args or keywords or wrt is not None or dtype is not None:
            raise TypeError(
                "find_nonfinite takes a Value or several in a list, or a function and its "
                "arguments: find_nonfinite(y), find_nonfinite([y, z]), find_nonfinite(f, *args)"
            )
        roots, call = flatten(subject)[0], modes.calls + 1
        told = _look("the computation", roots, lines or Recorder(), {}, call)
        if told.operation and told.line is None:
            told = replace(told, advice=(*told.advice, _NO_LINES))
        return told
    if lines is not None:
        raise TypeError("lines= is for Values; of a function find_nonfinite notes the lines itself")
    if isinstance(subject, loaded_class("engine.compiled.program", "Program")):
        if wrt is not None or dtype is not None:
            raise TypeError("wrt and dtype are those of the program; give them to engine.compile")
        return _in_program(subject, args, keywords)
    return _run(subject, args, keywords, wrt, dtype)


def _run(
    f: Callable[..., Any],
    args: Sequence[Any],
    keywords: Mapping[str, Any],
    wrt: Any,
    dtype: Any,
) -> Nonfinite:
    """Run a function on Values, and look at what it made."""
    given, names = named_inputs(f, args, wrt)
    call = modes.begin_call() if wrt is None else 0  # with `wrt` no others count
    recorder = recorder_for(dtype)
    with modes.recorded_by(recorder), modes.enable_grad(), modes.errstate("ignore"):
        result = f(*given, **keywords)
    if result is None:
        raise TypeError(f"{name_of(f)} returned None; does it lack a return statement?")
    return _look(name_of(f), flatten(result)[0], recorder, names, call)


def _in_program(program: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Nonfinite:
    """Look for the first example at fault, and run it on Values."""
    from engine.compiled.faults import first_fault

    fault = first_fault(program, args, keywords)
    if fault is None:
        return Nonfinite(name_of(program), "")
    with modes.inlining(), fault.drawn:
        given = (fault.args, fault.keywords, program._wrt, program._dtype)
        told = _run(program._f, *given)
    if not told:
        text = (
            "the program's numbers are not finite here, and those of the function itself are: has "
            "a sum over the examples overflowed, or a rounding made the difference?"
        )
        told = Nonfinite(told.name, "lost", (Cause("lost", text),))
    return replace(told, example=fault.example)


def _look(
    name: str, results: Sequence[Any], recorder: Recorder, names: dict[Value, str], call: int
) -> Nonfinite:
    """The first number that is not finite behind some results, or in their gradients by `names`
    and by leaves that are older than the `call`."""
    found = _behind(name, [y for y in results if isinstance(y, Value)], recorder, names, call)
    plain = [y for y in results if not isinstance(y, Value) and not math.isfinite(y)]
    if found or not plain:
        return found
    text = f"there is a plain number {plain[0]} among them, of which nothing was recorded"
    return Nonfinite(name, "lost", (Cause("lost", text, operands=(float(plain[0]),)),))


def _behind(
    name: str, roots: Sequence[Value], recorder: Recorder, names: dict[Value, str], call: int
) -> Nonfinite:
    """The same of results that are Values."""
    flow = trace_back(roots, list(names), recorder.cuts, recorder.rounded)
    inquiry = Inquiry(flow, recorder, names, math.inf, 0.0)
    order = {node: k for k, node in enumerate(recorder.spots)}
    born = sorted(flow.not_finite(), key=lambda i: (order.get(flow.nodes[i], -1), i))
    chosen, spoiling = flow.chosen(), flow.chosen(spoiled=True)
    # what came in as inf is at fault only if it did harm, as the inf of a mask does not
    first = [i for i in born if i in spoiling or (i in chosen and flow.nodes[i].op is not None)][:1]
    last = [i for i in born if i in spoiling][:1]  # the two differ where 1 / inf was 0 in between
    told = [inquiry.born_at(i) for i in dict.fromkeys(first + last)]
    if last:
        return Nonfinite(name, "given" if told[0][0].kind == "given" else "forward", *_both(told))
    members = [
        k
        for k, node in enumerate(flow.nodes)
        if not math.isfinite(flow.adjoints[k])
        and node not in flow.cuts
        and (node in names or (node.op is None and is_from_before(node, call)))
    ]
    births = [*flow.births(members)]
    if not births:
        return Nonfinite(name, "", *_both(told))
    birth = max(births, key=lambda birth: birth if isinstance(birth, int) else birth.user)
    found = Nonfinite(name, "backward", *_both([inquiry.spoiled_at(birth), *told]))
    if isinstance(birth, int):
        return replace(found, passed=flow.adjoints[birth])
    found = replace(found, k=birth.k, adjoint=flow.adjoints[birth.user])
    return replace(found, partial=birth.partial, passed=birth.passed)


def _both(told: Sequence[tuple[Cause, str]]) -> tuple[tuple[Cause, ...], tuple[str, ...]]:
    """Causes, and the advice on them, each once."""
    advice = dict.fromkeys(text for _, text in told if text)
    return tuple(cause for cause, _ in told), tuple(advice)
