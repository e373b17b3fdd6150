"""Calls of all public functions, and wrong ones beside them, found by the lines that they reach.

`CALLS` has a right call for each public name. `explore` puts odd things (`ODD`) in the place of
arguments and of what they hold; a call that reaches a line after another, as none did before, is
kept and changed further. Of each call `fault_of` says what is wrong: an error that the code did not
raise on purpose, one without words, or an argument that is not as it was.
"""

from __future__ import annotations

import dis
import fractions  # noqa: F401, in texts of ODD
import math  # noqa: F401
import random
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import engine
import nn
from engine import Value
from engine.errors import is_ours
from engine.ops import TABLE

Call = tuple[Callable[..., Any], Callable[[], tuple[list[Any], dict[str, Any]]]]
CALLS: dict[str, Call] = {}


def given(*args: Any, **keywords: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Note a function of what a user gives. Arguments that are called `make` make others."""

    def note(f: Callable[..., Any]) -> Callable[..., Any]:
        CALLS[f.__name__] = (
            f,
            lambda: ([fresh(x) for x in args], {k: fresh(x) for k, x in keywords.items()}),
        )
        return f

    return note


def fresh(x: Any) -> Any:
    """An argument to give: a new one of what may be changed."""
    if isinstance(x, Make):
        return x.make()
    return type(x)(map(fresh, x)) if isinstance(x, list | tuple) else x


@dataclass(frozen=True)
class Make:
    """What makes an argument."""

    make: Callable[[], Any]


# --- right calls --------------------------------------------------------------------------------


def energy(x: Any) -> Any:
    return engine.sum(engine.tanh(v) * v for v in x) + x[0] * x[-1]


def residual(x: Any, a: Any) -> Any:
    return x * x - a


def line(x: Any) -> Any:
    return x * 2.0 if x > 0 else -x


def pair(x: Any, y: Any) -> Any:
    return {"sum": x + y, "product": (x * y, [x - y])}


X = [0.5, -1.5]
BATCH = [[0.5, -1.5], [1.0, 2.0], [-0.3, 0.7]]

for _name, _op in TABLE.items():
    if _name in engine.__all__:
        _at = [(low + high) / 2.0 + 0.1 for low, high in _op.samples]
        CALLS[_name] = (getattr(engine, _name), lambda at=_at: ([*at], {}))  # type: ignore[misc]
for _name in ("sum", "mean", "prod", "norm", "logsumexp", "softmax", "log_softmax", "maximum"):
    CALLS[_name] = (getattr(engine, _name), lambda: ([[1.0, 2.0, Value(3.0)]], {}))
CALLS |= {
    "dot": (engine.dot, lambda: ([[1.0, Value(2.0)], [3.0, 4.0], 1.0], {})),
    "take": (engine.take, lambda: ([[Value(1.0), 2.0, 3.0], 1], {})),
    "clamp": (engine.clamp, lambda: ([Value(1.0), 0.0, 2.0], {})),
    "where": (engine.where, lambda: ([True, Value(1.0), 2.0], {})),
    "Value": (Value, lambda: ([1.5], {"label": "x"})),
    "solve": (engine.solve, lambda: ([residual, 1.0, 2.0], {"tolerance": 1e-9, "max_steps": 20})),
    "jvp": (engine.jvp, lambda: ([energy, ([*X],), ([1.0, 0.0],)], {})),
    "hvp": (engine.hvp, lambda: ([energy, ([*X],), ([1.0, 0.0],)], {})),
    "explain": (engine.explain, lambda: ([energy, [*X]], {})),
    "kinks": (engine.kinks, lambda: ([energy, [*X]], {"eps": 1e-6})),
    "profile": (engine.profile, lambda: ([energy, [*X]], {})),
    "accuracy": (engine.accuracy, lambda: ([energy, [*X]], {})),
    "exact": (engine.exact, lambda: ([lambda x: x[0] * x[1] / 3, [*X]], {})),
    "find_nonfinite": (engine.find_nonfinite, lambda: ([energy, [*X]], {})),
    "gradcheck": (engine.gradcheck, lambda: ([energy, ([*X],)], {"eps": 1e-6, "order": 1})),
    "sparsity": (engine.sparsity, lambda: ([lambda x: [x[0], x[0] * x[1]], [*X]], {})),
    "manual_seed": (engine.manual_seed, lambda: ([3], {})),
    "softplus_": (lambda x: nn.Softplus(x)(1.0), lambda: ([1.0], {})),
}


@given(Make(lambda: Value(2.0)), 1.0)
def backward(x: Any, seed: Any) -> Any:
    (x * x).backward(seed)
    return x.grad


@given(Make(lambda: Value(2.0)), 3.0, 2)
def operators(x: Any, y: Any, n: Any) -> Any:
    return [x + y, y - x, x * y, y / x, x**n, x // y, y % x, abs(x), x < y, x == y, -x, f"{x:.2f}"]


@given(Make(lambda: Value(2.0)), 3.0)
def assigned(x: Any, y: Any) -> Any:
    x.data, x.grad, x.label = y, y, "x"
    return x * 2.0


@given(energy, 0, X)
def grad(f: Any, argnums: Any, *args: Any) -> Any:
    return engine.grad(f, argnums)(*args)


@given(pair, (0, 1), 2.0, 3.0)
def jacobian(f: Any, argnums: Any, *args: Any) -> Any:
    return engine.jacobian(f, argnums)(*args)


@given(energy, 0, X)
def hessian(f: Any, argnums: Any, *args: Any) -> Any:
    return engine.hessian(f, argnums)(*args)


@given(pair, 2.0, 3.0, cotangent=Make(lambda: {"sum": 1.0, "product": (0.5, [0.0])}))
def vjp(f: Any, *args: Any, cotangent: Any) -> Any:
    return engine.vjp(f, *args)[1](cotangent)


@given(Make(lambda: Value(2.0)), create_graph=True)
def gradients(x: Any, create_graph: Any) -> Any:
    return engine.gradients([x * x, x], [x], create_graph=create_graph)


@given(energy, X)
def checkpoint(f: Any, *args: Any) -> Any:
    return engine.grad(engine.checkpoint(f))(*args)


@given("cube", lambda x: x**3, [lambda x, y: 3 * x * x], 2.0)
def custom_op(name: Any, forward: Any, partials: Any, x: Any) -> Any:
    return engine.grad(engine.custom_op(name, forward, partials))(x)


@given(lambda h, x: (h * 0.5 + x, h), 1.0, [1.0, 2.0, 3.0], None)
def scan(step: Any, carry: Any, xs: Any, length: Any) -> Any:
    return engine.scan(step, carry, xs, length)


@given(lambda c: c < 10.0, lambda c: c * 2.0, 1.0, limit=100)
def while_loop(*args: Any, **options: Any) -> Any:
    return engine.while_loop(*args, **options)


@given(lambda t, y, a: -a * y, 1.0, [0.0, 0.5, 1.0], 0.7, steps=4, derivative="steps")
def integrate(*args: Any, **options: Any) -> Any:
    return engine.integrate(*args, **options)


@given(lambda x: [x[0], x[0] * x[1]], X)
def sparse_jacobian(f: Any, *args: Any) -> Any:
    return engine.sparse_jacobian(f)(*args)


@given(energy, X)
def graph_as_text(f: Any, x: Any) -> Any:
    root = f([Value(v) for v in x])
    return engine.from_json(engine.to_json(root)), engine.trace(root), str(engine.draw(root))


@given(line, None, None, 0, None, "float64", True, 1.5)
def compiled(
    f: Any, in_axes: Any, reduce: Any, argnums: Any, wrt: Any, dtype: Any, native: Any, *args: Any
) -> Any:
    options = {"argnums": argnums, "wrt": wrt, "dtype": dtype, "native": native}
    program = engine.compile(f, in_axes=in_axes, reduce=reduce, **options)
    value = program(*args)
    return value, program.value_and_grad(*args)


@given(energy, 0, "sum", 0, None, "float64", True, BATCH)
def compiled_over_a_batch(*args: Any) -> Any:
    return compiled(*args)


@given(pair, (0, None), None, [1.0, 2.0], 3.0)
def compiled_of_structures(f: Any, in_axes: Any, reduce: Any, *args: Any) -> Any:
    return engine.compile(f, in_axes=in_axes, reduce=reduce)(*args)


@given(energy, X)
def buffered(f: Any, *args: Any) -> Any:
    call = engine.compile(f).buffered(*args)
    return call(), call.gradient


@given(energy, "numpy", X)
def source(f: Any, language: Any, *args: Any) -> Any:
    program = engine.compile(f)
    program.grad(*args)
    return program.source(language)


def _model() -> nn.Module:
    return nn.Sequential(
        nn.Linear(2, 3, rng=random.Random(0)), nn.Tanh(), nn.Linear(3, 1, rng=random.Random(1))
    )


@given(
    Make(_model),
    BATCH,
    [[0.5], [1.0], [0.0]],
    lr=0.1,
    epochs=2,
    batch_size=2,
    shuffle=True,
    path="auto",
)
def fit(model: Any, X: Any, y: Any, lr: Any, **options: Any) -> Any:
    optimizer = nn.SGD(model.parameters(), lr=lr)
    return nn.fit(model, X, y, loss=nn.MSELoss(), optimizer=optimizer, progress=False, **options)


@given(Make(_model), BATCH, path="auto")
def predict(*args: Any, **options: Any) -> Any:
    return nn.predict(*args, **options)


@given(Make(_model), BATCH, [[0.5], [1.0], [0.0]], loss=Make(nn.MSELoss))
def evaluate(*args: Any, **options: Any) -> Any:
    return nn.evaluate(*args, **options)


@given(Make(_model), X)
def called(model: Any, x: Any) -> Any:
    return model(x)


@given(Make(_model), Make(lambda: _model().state_dict()), True)
def load_state_dict(model: Any, state: Any, strict: Any) -> Any:
    return model.load_state_dict(state, strict)


@given(nn.Linear, 2, 3, True)
def linear(*args: Any) -> Any:
    return args[0](*args[1:])


@given("mean", [0.5, 0.2], [1.0, 0.0])
def loss(reduction: Any, *args: Any) -> Any:
    return nn.MSELoss(reduction)(*args), nn.HuberLoss(reduction, 0.5)(*args)


@given([0.5, 0.2, -1.0], 1, reduction="mean", weight=None, label_smoothing=0.1)
def cross_entropy(logits: Any, target: Any, **options: Any) -> Any:
    return nn.CrossEntropyLoss(**options)(logits, target)


@given(
    Make(lambda: [Value(1.0), Value(2.0)]), lr=0.1, momentum=0.9, weight_decay=0.0, nesterov=True
)
def sgd(parameters: Any, **options: Any) -> Any:
    optimizer = nn.SGD(parameters, **options)
    optimizer.step()
    return optimizer.state_dict()


@given(Make(lambda: [Value(1.0)]), lr=0.1, betas=(0.9, 0.99), eps=1e-8)
def adam(parameters: Any, **options: Any) -> Any:
    optimizer = nn.Adam(parameters, **options)
    optimizer.step()
    return optimizer.state_dict()


@given(Make(lambda: [Value(1.0)]), 1.0)
def clipped(parameters: Any, norm: Any) -> Any:
    return nn.clip_grad_norm_(parameters, norm), nn.clip_grad_value_(parameters, norm)


@given(BATCH, [0, 1, 0], batch_size=2, shuffle=False, drop_last=False)
def loader(X: Any, y: Any, **options: Any) -> Any:
    return list(nn.DataLoader(nn.TensorDataset(X, y), **options))


@given([1, 0, 0], [0.9, 0.2, 0.7])
def accuracy_of_classes(y: Any, predicted: Any) -> Any:
    return nn.metrics.accuracy(y, predicted), nn.metrics.confusion_matrix(y, predicted)


@given(5, 2, 3, 0.5, 4)
def layers(a: Any, b: Any, c: Any, p: Any, heads: Any) -> Any:
    return [nn.MLP(a, [b, c]), nn.Embedding(a, b), nn.LayerNorm(a), nn.RMSNorm(b), nn.Dropout(p),
            nn.CausalSelfAttention(8, heads)]  # fmt: skip


@given(Make(lambda: [Value(1.0)]), steps=3, path="auto")
def minimize(parameters: Any, **options: Any) -> Any:
    optimizer = nn.SGD(parameters, lr=0.1)
    return nn.minimize(lambda: parameters[0] ** 2, optimizer, progress=False, **options)


# --- odd things ---------------------------------------------------------------------------------


def _endless() -> list[Any]:
    some: list[Any] = [1.0]
    some.append(some)
    return some


_TEXTS = """
None; True; 'a'; ''; b'a'; 0; -1; 3; 10**400; 0.0; -0.5; 1e308; math.nan; math.inf; 1j; ...
[]; (); {}; [1.0]; [None]; ['a']; (1.0, 2.0); (0, 1); (0, 0); [0, None]; [[1.0], [2.0, 3.0]]
{'a': 1.0}; {1: [2.0]}; {1.0, 2.0}; iter([1.0]); range(3); _endless(); object()
np.array(1.0); np.array([]); np.array([1.0, 2.0]); np.ones((2, 3)); np.array(['a']); np.array([1j])
np.array([True, False]); np.array([1.0, None]); np.float32(0.5); np.int64(2)
'float32'; 'sum'; 'mean'; fractions.Fraction(1, 3)
Value(2.0); [Value(1.0)]; Value(1.0) * 2.0; Value(math.nan); nn.ReLU(); _model()
energy; line; lambda: 1.0; lambda *a: None; lambda *a: 'a'; lambda *a: a; lambda *a: [1.0]
lambda *a: Value(1.0)
"""
ODD: dict[str, Callable[[], Any]] = {
    text: lambda text=text: eval(text, globals())  # type: ignore[misc]
    for text in _TEXTS.strip().replace("\n", "; ").split("; ")
}
Place = tuple[Any, ...]  # of an argument, or of what it holds: keys one after another
Edits = tuple[tuple[Place, str], ...]


def places(arguments: Any, depth: int = 3) -> Iterator[Place]:
    """Where something else can be put."""
    if depth and isinstance(arguments, dict | list | tuple) and len(arguments) < 10:
        pairs = arguments.items() if isinstance(arguments, dict) else enumerate(arguments)
        for key, part in pairs:
            yield (key,)
            yield from ((key, *rest) for rest in places(part, depth - 1))


def edited(part: Any, place: Place, odd: Any) -> Any:
    """The arguments with something else in a place."""
    if not place:
        return odd
    pairs = dict(part.items() if isinstance(part, dict) else enumerate(part))
    pairs[place[0]] = edited(pairs[place[0]], place[1:], odd)
    return pairs if isinstance(part, dict) else type(part)(pairs.values())


# --- what is wrong with a call ------------------------------------------------------------------

HERE = str(Path(__file__))
_EXPECTED = (TypeError, ValueError, IndexError, ArithmeticError, ImportError, OSError)
_EXPECTED += (engine.TraceError, engine.GraphError, engine.DrawingError, RuntimeError)
_EXPECTED += (engine.GradcheckError, engine.ReplayError)
# What Python and NumPy say of operands, such as an array where a flag is asked for, is as clear as
# what would be said instead.
_PYTHONS = (
    "The truth value of an",
    "int too large to",
    "Python int too large to",
    "operands could not be broadcast",
)
_LONGEST = 700  # letters of a message
SECONDS = 20.0  # of a call at most: what takes longer does not end


def fault_of(name: str, edits: Edits) -> str:
    """Make a call, and say what is wrong with what it does; the empty string if nothing is."""
    f, make = CALLS[name]
    arguments: Any = dict(zip(("args", "keywords"), make(), strict=True))
    for place, odd in edits:
        arguments = edited(arguments, place, ODD[odd]())
    before = told(arguments)
    signal.signal(signal.SIGALRM, _over_time)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            f(*arguments["args"], **arguments["keywords"])
    except Exception as error:
        complaint = _complaint(error)
    except OverTime:
        huge = any(odd == "10**400" for _, odd in edits)  # so many there can be
        return "" if huge else f"it took more than {SECONDS} s"
    else:
        complaint = ""
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    if not complaint and told(arguments) != before:
        return "an argument was changed"
    return complaint


class OverTime(BaseException):
    """A call does not end."""


def _over_time(*_: Any) -> None:
    raise OverTime


def _complaint(error: Exception) -> str:
    steps = list(traceback.walk_tb(error.__traceback__))
    frame, _ = steps[-1]
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    assert last is not None
    where = (
        f"{type(error).__name__} at {Path(frame.f_code.co_filename).name}:{last.tb_lineno}: {error}"
    )
    if frame.f_code.co_filename in (
        HERE,
        "<string>",
    ):  # the call itself does not fit, or f is wrong
        return ""
    raised = frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    if not raised and (isinstance(error, TypeError) or str(error).startswith(_PYTHONS)):
        return ""
    if not (is_ours(frame) and raised and isinstance(error, _EXPECTED)):
        return f"not raised on purpose: {where}"
    if not 10 < len(str(error)) < _LONGEST:
        return f"no sentence: {where}"
    return ""


def told(tree: Any, depth: int = 6) -> Any:
    """What arguments hold, but for numbers of Values and models, which are there to be changed."""
    if not depth:
        return None
    if isinstance(tree, dict):
        return [(key, told(part, depth - 1)) for key, part in tree.items()]
    if isinstance(tree, list | tuple):
        return type(tree), [told(part, depth - 1) for part in tree]
    if isinstance(tree, np.ndarray):
        return tree.dtype, tree.shape, repr(tree.tolist())
    return repr(tree) if isinstance(tree, int | float | complex | str) else type(tree)


# --- exploring ----------------------------------------------------------------------------------


class Reached:
    """Steps from line to line within engine and nn, as they are taken for the first time."""

    def __init__(self) -> None:
        self.steps: set[tuple[Any, int, int]] = set()
        self._before = 0

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.steps.add((frame.f_code, self._before, frame.f_lineno))
        self._before = frame.f_lineno
        return self._line

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._line if is_ours(frame) else None

    def of(self, call: Callable[[], str]) -> tuple[str, bool]:
        """Return what a call returns, and whether it took a step that none had taken."""
        known, outer = len(self.steps), sys.gettrace()
        sys.settrace(self._enter)
        try:
            return call(), len(self.steps) > known
        finally:
            sys.settrace(outer)


def explore(
    seed: int, count: int, names: tuple[str, ...] = (), *, guided: bool = True
) -> Iterator[tuple[str, Edits, str]]:
    """Make `count` calls, and give those that something is wrong with.

    If they are `guided`, those that reach something new are gone on from, which is another one in
    another process, where other lines ran before; else all are, and a seed is always the same.
    """
    rng, reached = random.Random(seed), Reached()
    kept: list[tuple[str, Edits]] = [(name, ()) for name in names or CALLS]
    waiting = list(kept)
    for _ in range(count):
        if waiting:
            name, edits = waiting.pop()
        else:
            name, edits = rng.choice(kept[-60:] if rng.random() < 0.4 else kept)
            arguments: Any = dict(zip(("args", "keywords"), CALLS[name][1](), strict=True))
            for place, odd in edits:
                arguments = edited(arguments, place, ODD[odd]())
            some = [place for place in places(arguments, 5) if len(place) > 1]
            if some:
                edits = (*edits, (rng.choice(some), rng.choice([*ODD])))
        complaint, new = reached.of(lambda: fault_of(name, edits))  # noqa: B023
        if complaint:
            yield name, edits, complaint
        elif (new or not guided) and len(edits) < 4 and (name, edits) not in kept:
            kept.append((name, edits))
