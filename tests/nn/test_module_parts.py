"""What a module takes for its parameters, whatever it keeps, however it is defined."""

import copy
import inspect
import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest

import engine
import nn
from engine import Value


class Keeping(nn.Module):
    """Keeps what its forward meets, in attributes of every kind."""

    def __init__(self) -> None:
        self.w = Value(0.7)

    def forward(self, x):
        hidden = engine.tanh(self.w * x[0])
        self.hidden = hidden
        self.rows = [[hidden, hidden * 2.0], [hidden.detach()]]
        self.named = {"a": hidden, "b": [hidden]}
        self.array = np.array([hidden, hidden], dtype=object)
        self.mixed = [hidden, 3.0]
        self.x, self.mask, self.copied = x, engine.random(), copy.copy(hidden)
        self.mean = engine.mean(v.detach() for v in self.rows[0])
        return hidden


CALLS = {
    "called": lambda model: model([0.5]),
    "under no_grad": lambda model: engine.no_grad()(model)([0.5]),
    "predicting": lambda model: nn.predict(model, [[0.5], [1.0]]),
    "differentiated": lambda model: engine.grad(model)([0.5]),
    "differentiated twice": lambda model: engine.hessian(model)([0.5]),
    "checkpointed": lambda model: engine.checkpoint(model)([0.5]),
    "explained": lambda model: engine.explain(model, [0.5]),
    "compiled": lambda model: engine.compile(lambda x: model([x]), in_axes=0)([0.5, 1.0]),
    "copied": lambda model: vars(model).update(vars(copy.deepcopy(called(model)))),
    "pickled": lambda model: vars(model).update(vars(pickle.loads(pickle.dumps(called(model))))),
}


def called(model: nn.Module) -> nn.Module:
    with engine.no_grad():
        model([0.5])
    return model


@pytest.mark.parametrize("name", CALLS)
def test_what_a_forward_keeps_is_no_parameter(name: str) -> None:
    model = Keeping()
    try:
        CALLS[name](model)
    except engine.TraceError:  # a compiled forward may keep less
        assert name == "compiled"
    assert len(model.parameters()) == 1 and list(model.state_dict()) == ["w"]


def test_leaves_that_the_user_makes_are_parameters() -> None:
    class Made(nn.Module):
        def __init__(self) -> None:
            self.one = Value(1.0)
            self.rows = [[Value(2.0)], [Value(3.0), Value(4.0)]]
            self.twin = self.one.detach()  # a parameter's copy
            self.loaded = pickle.loads(pickle.dumps(self.one))
            self.late = None

        def forward(self, x):
            if self.late is None:
                self.late = Value(5.0)
            return self.one * x[0] + self.late

    model = Made()
    assert len(model.parameters()) == 6
    model([1.0])
    assert len(model.parameters()) == 7


def test_parameters_are_found_beside_results_in_one_list() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            w = Value(2.0)
            self.list = [w, w * w, "name", {"inner": [Value(3.0)]}]

        def forward(self, x):
            return self.list[0] * x[0]

    assert list(Mixed().state_dict()) == ["list.0", "list.3.inner"]


KINDS = [
    {},
    {"eq": False},
    {"order": True},
    {"frozen": True},
    {"slots": True},
    {"frozen": True, "slots": True},
    {"kw_only": True},
]


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_module_may_be_a_dataclass(options) -> None:
    @dataclass(**options)
    class Line(nn.Module):
        slope: Value
        offsets: list
        name: str = "line"
        inner: nn.Module = field(default_factory=nn.Identity)

        def forward(self, x):
            return self.inner(self.slope * x[0] + self.offsets[0])

    def line() -> Line:
        return Line(slope=Value(2.0), offsets=[Value(1.0)])

    model = line()
    twin = copy.deepcopy(model)
    assert len({model, twin, Line(slope=model.slope, offsets=model.offsets)}) == 3
    assert list(model.state_dict()) == ["slope", "offsets"]
    assert not model.eval().inner.training and model.train().inner.training
    assert model.requires_grad_(False).parameters() == []
    optimizer = nn.SGD(model.requires_grad_().parameters(), lr=0.1)
    X, y = [[0.5], [1.0]], [3.0, 5.0]
    for path in ("scalar", "vectorised"):
        options = {"loss": nn.MSELoss(), "optimizer": optimizer, "path": path}
        history = nn.fit(model, X, y, epochs=3, progress=False, **options)
        assert history.loss[-1] < history.loss[0]
    assert nn.predict(model, X) == pytest.approx([model(x).data for x in X])
    assert twin.slope.data == 2.0 and len(twin.parameters()) == 2


def test_a_hash_of_the_users_own_stays() -> None:
    class Named(nn.Module):
        def __eq__(self, other):
            return True

        def __hash__(self):
            return 7

    @dataclass
    class Below(Named):
        w: Value

    class Compared(nn.Module):
        def __eq__(self, other):
            return True

    assert hash(Named()) == hash(Below(Value(1.0))) == 7
    assert len({Compared(), Compared()}) == 2
    assert str(inspect.signature(Below)) == "(w: engine.value.Value) -> None"


def test_parameters_in_a_dataclass_that_is_no_module_are_found() -> None:
    @dataclass
    class Weights:
        w: list
        b: Value
        name: str = "weights"

    class Model(nn.Module):
        def __init__(self) -> None:
            self.own = Weights([Value(1.0), Value(2.0)], Value(3.0))

        def forward(self, x):
            return engine.dot(self.own.w, x) + self.own.b

    assert list(Model().state_dict()) == ["own.w", "own.b"]


class Part(nn.Module):
    def __init__(self) -> None:
        self.w = Value(1.0)
        self.others: list = []

    def forward(self, x):
        return self.w * x[0]


def test_modules_that_know_each_other_are_visited_once() -> None:
    parts = [Part() for _ in range(40)]
    for part in parts:
        part.others = [other for other in parts if other is not part]
    model = parts[0]
    assert len(model.parameters()) == len(model.state_dict()) == len(list(model.modules())) == 40
    assert nn.predict(model, [[2.0]]) == [2.0]


def test_a_link_to_the_parent_is_no_part() -> None:
    class Parent(nn.Module):
        def __init__(self) -> None:
            self.first, self.second = Part(), Part()
            self.first.parent = self.second.parent = self

    assert list(Parent().state_dict()) == ["first.w", "second.w"]


def test_a_part_that_is_used_twice_has_both_names() -> None:
    part = Part()
    assert list(nn.Sequential(part, nn.Tanh(), part).state_dict()) == ["0.w", "2.w"]


def test_lists_and_dicts_may_hold_themselves_and_be_deep() -> None:
    deep: list = [Value(1.0)]
    for _ in range(5000):
        deep = [deep]
    model = Part()
    model.deep, model.log, model.table = deep, [model.w], {}
    model.log.append(model.log)
    model.table["itself"] = [model.table, "text"]
    assert len(model.parameters()) == 2
    assert nn.predict(model, [[2.0]]) == [2.0]


class Helper:
    """A class of the user's own, which knows others of its kind."""

    def __init__(self) -> None:
        self.scale, self.others = 2.0, []


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_attributes_that_are_no_parts_are_left_alone(path: str) -> None:
    class Model(Part):
        def __init__(self) -> None:
            super().__init__()
            self.xp, self.kind, self.exp = np, Value, engine.exp
            self.helpers = [Helper() for _ in range(9)]
            for helper in self.helpers:
                helper.others = self.helpers

        def forward(self, x):
            return self.exp(self.w * x[0]) * self.helpers[0].scale

    model = copy.deepcopy(Model())
    assert len(model.parameters()) == 1 and model.xp is np
    assert nn.predict(model, [[0.0], [1.0]], path=path) == pytest.approx([2.0, 2.0 * np.e])
