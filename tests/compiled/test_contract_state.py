"""What a function reads besides its arguments: a call does what Python would do now."""

from __future__ import annotations

import array
import dataclasses
import functools
import itertools
import operator
import random
import re
import sys
import threading
import types
from collections import ChainMap, deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import pytest

import engine
import nn
from engine import TraceError, Value
from engine.compiled.training import Loop
from notes import Notes

TEMPERATURE = 1.0
TABLE = [1.0, 2.0]
COUNT = 0
CONFIG = types.ModuleType("some_config")
CONFIG.T = 1.0  # type: ignore[attr-defined]
VARIABLE = ContextVar("VARIABLE", default=1.0)


class Settings:
    """Numbers as attributes of an object, and of its class."""

    shared = 1.0

    def __init__(self) -> None:
        self.scale, self.nested = 1.0, {"weights": [1.0, 1.0], "array": np.ones(2)}

    def scaled(self, x: Any) -> Any:
        return x * self.scale


class Slotted:
    __slots__ = ("scale",)

    def __init__(self) -> None:
        self.scale = 1.0


def by_helper(x: Any) -> Any:
    return x * TEMPERATURE


# --- numbers that change between calls --------------------------------------------------------


def cases() -> dict[str, tuple[Callable[[Any], Any], Callable[[float], object]]]:
    """A function of x that computes k * x, and how to set k."""
    settings, slotted, numbers, box = Settings(), Slotted(), [1.0], Value(1.0)
    array, objects, kept = np.ones(3), np.array([Value(1.0)]), [box]
    d: dict[str, Any] = {"k": 1.0}
    space, queue, ring = types.SimpleNamespace(k=1.0), deque([1.0]), {1.0}
    linear = nn.Linear(1, 1, bias=False)
    local = 1.0

    def set_local(k: float) -> None:
        nonlocal local
        local = k

    def with_default(x: Any, scale: list[float] = numbers) -> Any:
        return x * scale[0]

    def of_function(x: Any) -> Any:
        return x * of_function.k  # type: ignore[attr-defined]

    of_function.k = 1.0  # type: ignore[attr-defined]

    def refill(k: float) -> None:
        ring.clear()
        ring.add(k)

    def set_global(k: float) -> None:
        global TEMPERATURE
        TEMPERATURE = k

    put = functools.partial
    set_number, set_scale = put(numbers.__setitem__, 0), put(setattr, settings, "scale")
    weights: Any = settings.nested["weights"]
    inner: Any = settings.nested["array"]

    def partly(s: list[float], x: Any) -> Any:
        return x * s[0]

    def set_kept(k: float) -> None:
        kept[0] = Value(k)

    def derived(x: Any) -> Any:
        return engine.grad(lambda y: y * numbers[0])(2.0) * x

    return {
        "a global": (lambda x: x * TEMPERATURE, set_global),
        "a global of a helper": (lambda x: by_helper(x), set_global),
        "a list": (lambda x: x * numbers[0], set_number),
        "a default": (with_default, set_number),
        "a variable of the function around": (lambda x: x * local, set_local),
        "an attribute": (lambda x: x * settings.scale, set_scale),
        "an attribute of a class": (
            lambda x: x * settings.shared,
            put(setattr, Settings, "shared"),
        ),
        "a method": (settings.scaled, set_scale),
        "a slot": (lambda x: x * slotted.scale, put(setattr, slotted, "scale")),
        "getattr": (lambda x: x * getattr(settings, "sc" + "ale"), set_scale),
        "a nested list": (lambda x: x * weights[1], put(weights.__setitem__, 1)),
        "a nested array": (
            lambda x: x * settings.nested["array"][1],  # type: ignore[index]
            put(inner.__setitem__, 1),
        ),
        "a dict": (lambda x: x * d["k"], put(d.__setitem__, "k")),
        "an array": (lambda x: x * float(array[2]), put(array.__setitem__, 2)),
        "a module": (lambda x: x * CONFIG.T, put(setattr, CONFIG, "T")),
        "a namespace": (lambda x: x * space.k, put(setattr, space, "k")),
        "a function's attribute": (of_function, put(setattr, of_function, "k")),
        "a deque": (lambda x: x * queue[0], put(queue.__setitem__, 0)),
        "a set": (lambda x: x * next(iter(ring)), refill),
        "a context variable": (lambda x: x * VARIABLE.get(), VARIABLE.set),
        "a partial": (functools.partial(partly, numbers), set_number),
        "a derivative": (derived, set_number),
        "another program": (engine.compile(lambda x: x * numbers[0]), set_number),
        "a Value in its place": (
            lambda x: x * kept[0],
            lambda k: put(kept.__setitem__, 0)(Value(k)),
        ),
        "a Value in an array": (
            lambda x: x * objects[0],
            lambda k: put(objects.__setitem__, 0)(Value(k)),
        ),
        "a parameter": (
            lambda x: linear([x])[0],
            lambda k: setattr(linear, "weight", [[Value(k)]]),
        ),
    }


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_a_call_reads_the_number_as_it_is_now(name: str) -> None:
    f, put = CASES[name]
    single, batch = engine.compile(f), engine.compile(f, in_axes=0)
    for k in (1.0, 4.0, 1.0, -0.5, 4.0, float("inf"), 1.0):
        put(k)
        assert single(3.0) == k * 3.0
        assert batch([3.0, 2.0]).tolist() == [k * 3.0, k * 2.0]
        assert single.grad(3.0) == k


@pytest.mark.parametrize("name", CASES)
def test_without_the_watching_the_old_number_would_be_used(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.compiled.surroundings import Surroundings

    f, put = CASES[name]
    put(1.0)
    program = engine.compile(f)
    program(3.0)
    monkeypatch.setattr(Surroundings, "hold", lambda self: True)
    put(4.0)
    assert program(3.0) == 3.0
    put(1.0)


def test_what_was_there_before_is_not_traced_anew() -> None:
    calls, numbers = Notes(), [1.0]

    def f(x: Any) -> Any:
        calls.add()
        return x * numbers[0]

    program = engine.compile(f)
    for k in (1.0, 2.0, 3.0) * 3:
        numbers[0] = k
        assert program(5.0) == 5.0 * k
    numbers = [float("2.0")]  # another list with an equal number
    assert program(5.0) == 10.0
    assert len(calls) == 3


def test_traces_of_old_numbers_are_bounded() -> None:
    numbers = [0.0]
    program = engine.compile(lambda x: x * numbers[0])
    for k in range(40):
        numbers[0] = float(k)
        assert program(2.0) == 2.0 * k
    assert "16 paths" in repr(program)


def test_what_is_not_read_does_not_matter() -> None:
    calls = Notes()

    class Model(nn.Module):
        def __init__(self) -> None:
            self.w, self.losses = Value(2.0), [0.0]

        def forward(self, x: Any) -> Any:
            calls.add()
            return self.w * x

        def plot(self) -> Any:
            return self.losses

    model = Model()
    program = engine.compile(model)
    for k in range(5):
        model.losses.append(float(k))
        model.note = k  # type: ignore[attr-defined]
        assert program(3.0) == 6.0
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("first", "second"), [(0.0, -0.0), (1, True), (1, 1.0), (0, False), (np.float64(1), 1.0)]
)
def test_numbers_that_are_equal_are_told_apart(first: Any, second: Any) -> None:
    box = [first]
    program = engine.compile(lambda x: x + 10.0 * (str(type(box[0])) + repr(box[0]) == told))
    for number in (first, second, first):
        box[0] = number
        told = str(type(number)) + repr(number)
        assert program(1.0) == 11.0


def test_nan_is_one_number() -> None:
    calls, box = Notes(), [float("nan")]

    def f(x: Any) -> Any:
        calls.add()
        return x * box[0]

    program = engine.compile(f)
    for _ in range(3):
        box[0] = float("nan")
        assert np.isnan(program(1.0))
    assert len(calls) == 1


def test_a_helper_that_is_defined_anew_counts() -> None:
    space = {"engine": engine}
    exec("def helper(x): return 2.0 * x\ndef f(x): return helper(x)", space)
    program = engine.compile(space["f"])  # type: ignore[arg-type]
    assert program(1.0) == 2.0
    exec("def helper(x): return 3.0 * x", space)
    assert program(1.0) == 3.0


def test_a_method_that_is_replaced_counts() -> None:
    class Model(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2.0

    model = Model()
    program = engine.compile(model)
    assert program(1.0) == 2.0
    model.forward = lambda x: x * 5.0  # type: ignore[method-assign]
    assert program(1.0) == 5.0
    del model.forward
    Model.forward = lambda self, x: x * 7.0  # type: ignore[method-assign,assignment]
    assert program(1.0) == 7.0


def test_an_attribute_that_was_not_there_counts() -> None:
    settings = types.SimpleNamespace()
    program = engine.compile(lambda x: x * getattr(settings, "k", 1.0))
    assert program(3.0) == 3.0
    settings.k = 2.0
    assert program(3.0) == 6.0
    del settings.k
    assert program(3.0) == 3.0


def test_an_attribute_of_a_class_that_hides_one_of_its_base_counts() -> None:
    own = type("Own", (Settings,), {})
    program = engine.compile(lambda x: x * own.shared)  # type: ignore[attr-defined]
    assert program(3.0) == 3.0
    own.shared = 2.0  # type: ignore[attr-defined]
    assert program(3.0) == 6.0
    del own.shared  # type: ignore[attr-defined]
    assert program(3.0) == 3.0


def test_a_modules_mode_counts() -> None:
    model = nn.Sequential(nn.Linear(2, 2, rng=random.Random(0)), nn.Dropout(0.5))
    program = engine.compile(model, in_axes=0)
    rows = np.ones((20, 2))
    dropped = [bool((program(rows) == 0.0).any())]
    for training in (False, True, False):
        model.train(training)
        dropped.append(bool((program(rows) == 0.0).any()))
    assert dropped == [True, False, True, False]


def test_a_part_that_is_replaced_counts() -> None:
    model = nn.Sequential(nn.Linear(1, 1, rng=random.Random(0)), nn.Tanh())
    program = engine.compile(model)
    first = program([0.5])
    model[1] = nn.ReLU()
    assert program([0.5]) == [y.data for y in model([0.5])] != first
    model[1] = nn.Tanh()  # another one that is the same
    assert program([0.5]) == first


def test_a_static_argument_is_watched_too() -> None:
    settings = Settings()
    program = engine.compile(lambda x, scaled: scaled(x))
    for k in (1.0, 2.0, 1.0):
        settings.scale = k
        assert program(3.0, settings.scaled) == 3.0 * k


def test_loops_and_buffers_go_by_the_numbers_of_now() -> None:
    numbers = [1.0]
    buffered = engine.compile(lambda x: x * numbers[0]).buffered(3.0)
    program = engine.compile(lambda x: x * numbers[0], in_axes=0, wrt=[])
    loop = Loop(program, np.array([3.0]))
    for k in (1.0, 2.0, 1.0):
        numbers[0] = k
        assert (buffered(), buffered.gradient.tolist()) == (3.0 * k, [k])
        outputs, _ = loop.gradient(np.zeros(0), np.arange(1), (0, 0))
        assert outputs.tolist() == [[3.0 * k]]


# --- further ways to reach a number -----------------------------------------------------------


class Reached:
    """One number, reached in many ways."""

    kind = 1.0

    def __init__(self) -> None:
        self._k = 1.0

    @property
    def k(self) -> float:
        return self._k

    @classmethod
    def of_class(cls, x: Any) -> Any:
        return x * cls.kind

    def __call__(self, x: Any) -> Any:
        return x * self._k

    def __getattr__(self, name: str) -> Any:
        if name == "dynamic":
            return self._k
        raise AttributeError(name)


class Descriptor:
    def __get__(self, owner: Any, kind: Any) -> Any:
        return owner.number


class Described:
    k = Descriptor()

    def __init__(self) -> None:
        self.number = 1.0


class Meta(type):
    @property
    def k(cls) -> float:
        return cls.number  # type: ignore[attr-defined,no-any-return]


class WithMeta(metaclass=Meta):
    number = 1.0


class AttributeDict(dict[str, float]):
    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__  # type: ignore[assignment]


class Row(NamedTuple):
    k: float


class Series:
    """Numbers that NumPy can read."""

    def __init__(self) -> None:
        self.numbers = array.array("d", [1.0])

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(self.numbers, dtype)

    def first(self) -> float:
        return self.numbers[0]


@dataclasses.dataclass(slots=True)
class Data:
    k: float = 1.0


class Base(nn.Module):
    scale = 1.0

    def forward(self, x: Any) -> Any:
        return x * self.scale


class Derived(Base):
    def forward(self, x: Any) -> Any:
        return super().forward(x) * 1.0


sys.modules["module_of_numbers"] = NUMBERS_MODULE = types.ModuleType("module_of_numbers")
NUMBERS_MODULE.T = 1.0  # type: ignore[attr-defined]


def imports(x: Any) -> Any:
    from module_of_numbers import T  # type: ignore[import-not-found]

    return x * T


def matches(x: Any) -> Any:
    match DATA:
        case Data(k=number):
            return x * number


@functools.singledispatch
def dispatched(x: Any) -> Any:
    return x * TABLE[0]


DATA = Data()


def further_cases() -> dict[str, tuple[Callable[[Any], Any], Callable[[float], object]]]:
    reached, described, attributes = Reached(), Described(), AttributeDict(k=1.0)
    numbers, series, inner = array.array("d", [1.0]), Series(), {"k": 1.0}
    proxy, chain = types.MappingProxyType(inner), ChainMap({"a": 1.0}, inner)
    rows, mixed, by_name = [Row(1.0)], [1.0, Value(1.0), [1.0]], operator.attrgetter("k")
    derived, functions = Derived(), [lambda x: x * TABLE[0]]
    put = functools.partial
    set_k, set_data = put(setattr, reached, "_k"), put(setattr, DATA, "k")
    set_first = put(TABLE.__setitem__, 0)

    def made_within(x: Any) -> Any:
        return type("C", (), {"f": lambda self: x * TABLE[0]})().f()

    return {
        "a property": (lambda x: x * reached.k, set_k),
        "a class method": (lambda x: Reached.of_class(x), put(setattr, Reached, "kind")),
        "an object that is called": (reached, set_k),
        "__getattr__": (lambda x: x * reached.dynamic, set_k),
        "a descriptor": (lambda x: x * described.k, put(setattr, described, "number")),
        "a metaclass": (lambda x: x * WithMeta.k, put(setattr, WithMeta, "number")),
        "a dict with attributes": (lambda x: x * attributes.k, put(setattr, attributes, "k")),
        "an array of Python's": (lambda x: x * numbers[0], put(numbers.__setitem__, 0)),
        "a Series": (lambda x: x * series.first(), put(series.numbers.__setitem__, 0)),
        "a view of a dict": (lambda x: x * proxy["k"], put(inner.__setitem__, "k")),
        "a chain of dicts": (lambda x: x * chain["k"], put(inner.__setitem__, "k")),
        "a named tuple": (lambda x: x * rows[0].k, lambda k: put(rows.__setitem__, 0)(Row(k))),
        "numbers beside Values": (lambda x: x * mixed[0] * mixed[1], put(mixed.__setitem__, 0)),
        "an attrgetter": (lambda x: x * by_name(DATA), set_data),
        "match": (matches, set_data),
        "a class above": (derived, put(setattr, Base, "scale")),
        "super": (derived, put(setattr, derived, "scale")),
        "an import within": (imports, put(setattr, NUMBERS_MODULE, "T")),
        "single dispatch": (lambda x: dispatched(x), set_first),
        "a comprehension": (lambda x: sum([x * TABLE[0] for _ in range(1)]), set_first),
        "a function in a list": (lambda x: functions[0](x), set_first),
        "a class made within": (made_within, set_first),
    }


@pytest.mark.parametrize("name", further_cases())
def test_a_number_is_found_in_whatever_way_it_is_reached(name: str) -> None:
    f, put = further_cases()[name]  # made anew: some cases would see what others have set
    program = engine.compile(f)
    for k in (1.0, 4.0, 1.0, -0.5):
        put(k)
        assert program(3.0) == k * 3.0
    put(1.0)


# --- what costs nothing -----------------------------------------------------------------------


def test_a_function_that_reads_nothing_watches_nothing() -> None:
    from engine.compiled.surroundings import Surroundings

    around = Surroundings([engine.exp])
    assert around.places == [] and around.hold()


def test_modules_of_others_are_not_gone_into() -> None:
    from engine.compiled.surroundings import Surroundings

    class Model(nn.Module):
        def __init__(self) -> None:
            self.xp, self.engine, self.random = np, engine, random

        def forward(self, x: Any) -> Any:
            return self.engine.exp(x) * self.xp.pi

    assert len(Surroundings([Model()]).objects) < 50  # NumPy alone has thousands


def test_objects_that_know_each_other_are_visited_once() -> None:
    from engine.compiled.surroundings import Surroundings

    class Part:
        def __init__(self) -> None:
            self.others: list[Part] = []
            self.k = 1.0

    parts = [Part() for _ in range(9)]
    for part in parts:
        part.others = parts
    program = engine.compile(lambda x: x * parts[3].others[8].k)
    assert program(2.0) == 2.0
    parts[8].k = 3.0
    assert program(2.0) == 6.0
    assert len(Surroundings([lambda: parts[0].others]).objects) < 60


def test_large_arrays_are_told_by_identity() -> None:
    large = np.ones(100_000)
    program = engine.compile(lambda x: x * float(large[0]))
    assert program(2.0) == 2.0
    large = 3.0 * large
    assert program(2.0) == 6.0


# --- what a function reads and changes --------------------------------------------------------

R, S, NUMBERS, LOG = np.random.default_rng(0), random.Random(0), iter([1.0, 2.0, 3.0]), []
GENERATOR = (float(k) for k in range(9))
NORMAL, TICK, BOTH = R.normal, itertools.count().__next__, (S, 1.0)
OLD = np.random.RandomState(0)


class Congruential:
    """A generator of one's own."""

    def __init__(self) -> None:
        self.seed = 1

    def draw(self) -> float:
        self.seed = self.seed * 16807 % 2147483647
        return self.seed / 2147483647


OWN, MEANS = Congruential(), {"mean": 0.0}


class Telling:
    """A generator that tells its state, as PyTorch's do."""

    def __init__(self) -> None:
        self.state = 0

    def get_state(self) -> int:
        return self.state

    def set_state(self, state: int) -> None:
        self.state = state

    def draw(self) -> float:
        self.state += 1
        return float(self.state)


TELLING = Telling()


def catches(x: Any) -> Any:
    try:
        return x * S.random()
    except Exception:
        return x


def counts(x: Any) -> Any:
    global COUNT
    COUNT += 1
    return x * COUNT


def keeps(x: Any) -> Any:
    MEANS["mean"] = 0.9 * MEANS["mean"] + 0.1 * x
    return x - MEANS["mean"]


STATEFUL: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a NumPy generator": (lambda x: x * R.normal(), r"draws from R"),
    "its method": (lambda x: x * NORMAL(), r"draws from NORMAL"),
    "an old NumPy generator": (lambda x: x * OLD.rand(), r"draws from OLD"),
    "a random.Random": (lambda x: x * S.random(), r"draws from S"),
    "one in a tuple": (lambda x: x * BOTH[0].random(), r"draws from BOTH"),
    "one in a partial": (lambda x: x * functools.partial(S.gauss, 0.0, 1.0)(), r"draws from S"),
    "one as a default": (lambda x, rng=R: x * rng.normal(), r"draws from <lambda>"),
    "one that tells its state": (lambda x: x * TELLING.draw(), r"draws from TELLING, a Telling"),
    "one whose refusal is caught": (catches, r"draws from S"),
    "one of one's own": (lambda x: x * OWN.draw(), r"reads OWN.seed and changes it"),
    "an iterator": (lambda x: x * next(NUMBERS), r"goes on with NUMBERS"),
    "a generator function": (lambda x: x * sum(GENERATOR), r"goes on with GENERATOR"),
    "a counter": (lambda x: x * TICK(), r"goes on with TICK"),
    "a global": (counts, r"reads COUNT and changes it"),
    "a list": (lambda x: x * (LOG.append(x), len(LOG))[1], r"reads LOG and changes it"),
    "a dict": (keeps, r"reads MEANS and changes it"),
}


def states() -> list[Any]:
    return [R.bit_generator.state, S.getstate(), OWN.seed, COUNT, list(LOG), dict(MEANS),
            OLD.get_state()[1].tolist(), TELLING.state]  # fmt: skip


@pytest.mark.parametrize("in_axes", [None, 0])
@pytest.mark.parametrize("name", STATEFUL)
def test_what_is_read_and_changed_is_refused_with_the_line(name: str, in_axes: Any) -> None:
    f, words = STATEFUL[name]
    before = states()
    code = f.__code__
    for _ in range(2):
        with pytest.raises(TraceError, match=words) as refused:
            engine.compile(f, in_axes=in_axes)(1.0 if in_axes is None else [1.0, 2.0])
        found = re.search(r"test_contract_state\.py:(\d+) in (\w+|<lambda>)", str(refused.value))
        assert found is not None
        own = [line for _, _, line in code.co_lines() if line]
        assert int(found[1]) in own or found[2] == "draw"  # the line within the generator
    assert states() == before  # nothing was drawn, and nothing is left


def test_a_generator_that_tells_its_state_is_not_drawn_from_where_there_are_threads() -> None:
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    before = TELLING.state
    try:
        with pytest.raises(TraceError, match="draws from TELLING"):
            engine.compile(lambda x: x * TELLING.draw())(1.0)
    finally:
        over.set()
        other.join()
    assert TELLING.state == before


def test_iterators_are_not_gone_on_with() -> None:
    numbers = iter([1.0, 2.0])
    with pytest.raises(TraceError, match="numbers"):
        engine.compile(lambda x: x * next(numbers))(1.0)
    assert list(numbers) == [1.0, 2.0]


def test_one_that_is_not_used_does_no_harm() -> None:
    settings = types.SimpleNamespace(rng=random.Random(0), noisy=False)
    program = engine.compile(lambda x: x * settings.rng.random() if settings.noisy else x)
    assert program(2.0) == 2.0
    settings.noisy = True
    with pytest.raises(TraceError, match="rng"):
        program(2.0)
    settings.noisy = False
    assert program(2.0) == 2.0


class Norm(nn.Module):
    """Keeps a running mean."""

    def __init__(self) -> None:
        self.w, self.mean = Value(2.0), 0.0

    def forward(self, x: Any) -> Any:
        self.mean = 0.9 * self.mean + 0.1 * x
        return self.w * (x - self.mean)


class Counter(nn.Module):
    """Counts its calls in an attribute that its class has at first."""

    calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return x * self.calls


class Recurrent(nn.Module):
    """Keeps a hidden state, under a condition of Python's."""

    def __init__(self) -> None:
        self.h: Any = None

    def forward(self, x: Any) -> Any:
        self.h = x if self.h is None else engine.tanh(self.h + x)
        return self.h


class ByDict(nn.Module):
    """Counts in its dict."""

    def __init__(self) -> None:
        self.k = 0

    def forward(self, x: Any) -> Any:
        vars(self)["k"] = vars(self)["k"] + 1
        return x * self.k


@pytest.mark.parametrize("kind", [Norm, Counter, Recurrent, ByDict])
def test_a_module_that_reads_and_changes_itself_is_left_as_it_was(kind: type[nn.Module]) -> None:
    model = kind()
    before = dict(vars(model))
    name = {Norm: "mean", Counter: "calls", Recurrent: "h", ByDict: "k"}[kind]
    for _ in range(2):
        with pytest.raises(TraceError, match=rf"{kind.__name__}\.{name} and changes it"):
            engine.compile(model)(1.0)
        assert vars(model) == before and type(model) is kind


class Keeping(nn.Module):
    """Keeps an activation, and reads it where it has been written."""

    def __init__(self) -> None:
        self.w = Value(2.0)

    def forward(self, x: Any) -> Any:
        self.hidden = self.w * x
        return engine.sum([self.hidden * k for k in range(3)])


def test_an_attribute_that_is_written_first_is_kept() -> None:
    calls, model = Notes(), Keeping()

    def f(x: Any) -> Any:
        calls.add()
        return model(x) + model.hidden

    program = engine.compile(f, in_axes=0)
    for _ in range(3):
        assert program([1.0, 2.0]).tolist() == [8.0, 16.0]
    assert len(calls) == 2 and type(model) is Keeping
    model.w = Value(3.0)
    assert program([1.0]).tolist() == [12.0]


def test_an_attribute_that_one_path_reads_and_another_writes_is_refused() -> None:
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            self.h: Any = 0.0

        def forward(self, x: Any) -> Any:
            if x > 0:
                self.h = x
            return self.h + x

    for first, second in ((1.0, -1.0), (-1.0, 1.0)):
        program = engine.compile(Sometimes())
        with pytest.raises(TraceError, match=r"Sometimes\.h"):
            [program(first), program(second)]


def test_a_function_that_raises_leaves_no_traced_value() -> None:
    settings = Settings()

    def f(x: Any) -> Any:
        settings.scale = x
        raise KeyError("not today")

    with pytest.raises(KeyError):
        engine.compile(f)(1.0)
    assert settings.scale == 1.0


class Spectrum:
    """An object that computes what it needs when it is first asked for it."""

    def __init__(self, weights: list[float]) -> None:
        self.weights: list[Any] = weights

    @functools.cached_property
    def total(self) -> Any:
        return sum(self.weights) + self.largest

    @functools.cached_property
    def largest(self) -> Any:
        return max(self.weights)


def test_a_cached_property_is_computed_outside_of_the_trace_and_then_watched() -> None:
    spectrum = Spectrum([1.0, 2.0])
    program = engine.compile(lambda x: spectrum.total * x if x > 0 else spectrum.largest * x)
    assert [program(x) for x in (-1.0, 2.0, 3.0)] == [-2.0, 10.0, 15.0]
    assert (spectrum.total, spectrum.largest) == (5.0, 2.0)
    spectrum.weights = [7.0]  # what is kept stays
    assert program(1.0) == 5.0
    del spectrum.total
    assert program(1.0) == 9.0


def test_a_cached_property_of_what_a_trace_writes_is_refused() -> None:
    spectrum = Spectrum([1.0, 2.0])

    def f(x: Any) -> Any:
        spectrum.weights = [x, 1.0]
        return spectrum.total

    with pytest.raises(TraceError, match=r"reads spectrum\.\w+ and changes it"):
        engine.compile(f)(2.0)
    assert vars(spectrum) == {"weights": [1.0, 2.0]}
