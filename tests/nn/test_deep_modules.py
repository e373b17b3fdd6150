"""Modules within modules, hundreds and thousands deep: under Python's usual recursion limit."""

import copy
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
import nn

X = np.linspace(-1.0, 1.0, 120)[:, None]


def nested(depth: int) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(1, 1, rng=random.Random(0)), nn.Tanh())
    for _ in range(depth):
        model = nn.Sequential(model)
    return model


def long(length: int) -> nn.Sequential:
    last = [nn.Linear(1, 1, rng=random.Random(0)), nn.Tanh()]
    return nn.Sequential(*(nn.Identity() for _ in range(length)), *last)


def saved(model: nn.Module, folder: Path) -> nn.Module:
    nn.save(model, folder / "file")
    return nn.load(folder / "file")


def trained(path: Any) -> Callable[[nn.Module, Path], nn.Module]:
    def train(model: nn.Module, folder: Path) -> nn.Module:
        optimizer = nn.SGD(model.parameters(), lr=0.1)
        options: dict[str, Any] = {"loss": nn.MSELoss(), "optimizer": optimizer, "progress": False}
        nn.fit(model, X[:4], X[:4], epochs=2, path=path, checkpoint=folder, **options)
        return model

    return train


def frozen(model: nn.Module, folder: Path) -> nn.Module:
    model.requires_grad_(False).eval()
    assert model.parameters() == []
    model.requires_grad_(True).train().zero_grad()
    model.label_parameters()
    return model


def shown(model: nn.Module, folder: Path) -> nn.Module:
    assert len(repr(model)) < 1_000_000
    return model


def loaded(model: nn.Module, folder: Path) -> nn.Module:
    twin = copy.deepcopy(model)
    next(iter(twin.parameters())).data = 0.0
    twin.load_state_dict(model.state_dict())
    return twin


# What is done, and whether the parameters stay as they were.
DOINGS: dict[str, tuple[Callable[[nn.Module, Path], nn.Module], bool]] = {
    "repr": (shown, True),
    "deepcopy": (lambda model, folder: copy.deepcopy(model), True),
    "state_dict": (loaded, True),
    "save": (saved, True),
    "modes": (frozen, True),
    "fit scalar": (trained("scalar"), False),
    "fit vectorised": (trained("vectorised"), False),
}
MODELS: dict[str, Callable[[], nn.Sequential]] = {
    "900 deep": lambda: nested(900),
    "3,000 deep": lambda: nested(3_000),
    "3,000 long": lambda: long(3_000),
}
TRACED = "fit vectorised"


@pytest.mark.parametrize(
    ("name", "doing"),
    [(name, doing) for name in MODELS for doing in DOINGS if doing != TRACED or "900" in name],
)
def test_models_are_as_deep_as_one_likes(name: str, doing: str, tmp_path: Path) -> None:
    before = sys.getrecursionlimit()
    make, same = DOINGS[doing]
    model = make(MODELS[name](), tmp_path)
    plain = nn.Sequential(nn.Linear(1, 1, rng=random.Random(0)), nn.Tanh())
    if not same:
        plain = trained("scalar")(plain, tmp_path / "plain")  # type: ignore[assignment]
    expected = nn.predict(plain, X[:3])
    assert nn.predict(model, X[:3]) == pytest.approx(expected, rel=1e-13)
    if doing == TRACED:
        assert nn.predict(model, X)[:3] == pytest.approx(expected, rel=1e-13)
    assert len(model.parameters()) == 2 and sys.getrecursionlimit() == before


def test_a_row_in_a_row_is_drawn_in_its_own_frame() -> None:
    model = nn.Sequential(nn.Sequential(nn.Sequential(nn.Tanh()), nn.Tanh()), nn.Tanh())
    x = engine.Value(0.5)
    scopes = []
    node = model(x)
    while node.op is not None:
        scopes.append(node.scope.path)
        (node,) = node.args
    row = "Sequential"
    assert scopes == [(row, "Tanh"), (row, row, "Tanh"), (row, row, row, "Tanh")]
    assert (x * 2.0).scope is None  # and all of them are left


def test_an_error_in_an_inner_row_leaves_its_frame() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 1)))
    with pytest.raises(ValueError, match="takes 2 inputs"):
        model([1.0])
    assert (engine.Value(1.0) * 2.0).scope is None


class Own(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        self.inner = inner

    def forward(self, x: Any) -> Any:
        return self.inner(x)


def own(depth: int) -> nn.Module:
    model: nn.Module = nn.Linear(1, 1, rng=random.Random(0))
    for _ in range(depth):
        model = Own(model)
    return model


@pytest.mark.parametrize("rows", [3, 120])
def test_own_modules_that_call_each_other_too_deep_are_told_so(rows: int) -> None:
    message = r"modules call each other \d{3} deep and deeper, and Python ends at 1000 functions"
    with pytest.raises(RecursionError, match=message):
        nn.predict(own(900), X[:rows])
    assert copy.deepcopy(own(900)).state_dict().keys() == own(900).state_dict().keys()
    assert "Own(…)" in repr(own(900)) and "…" not in repr(own(20))


def test_other_recursion_is_told_as_it_is() -> None:
    class Endless(nn.Module):
        def forward(self, x: Any) -> Any:
            return self.again(x)

        def again(self, x: Any) -> Any:
            return self.again(x)

    with pytest.raises(RecursionError, match="maximum recursion depth exceeded"):
        Endless()(1.0)


# --- copies ---


def test_a_copy_shares_nothing_and_keeps_ties() -> None:
    shared = nn.Linear(1, 1)
    model = nn.Sequential(shared, nn.Sequential(shared), nn.Linear(1, 1))
    model[2].weight = shared.weight  # type: ignore[attr-defined]
    twin = copy.deepcopy(model.eval())
    assert twin[0] is twin[1][0] is not shared  # type: ignore[index]
    assert twin[2].weight is twin[0].weight and not twin[0].training  # type: ignore[attr-defined]
    assert not set(map(id, twin.parameters())) & set(map(id, model.parameters()))
    assert [p.data for p in twin.parameters()] == [p.data for p in model.parameters()]


def test_a_copy_follows_what_a_class_says_of_copying() -> None:
    class Own2(nn.Module):
        def __init__(self) -> None:
            self.w, self.copies = engine.Value(1.0), 0

        def __deepcopy__(self, memo: dict[int, Any]) -> "Own2":
            twin = Own2()
            twin.copies = self.copies + 1
            return twin

    model = nn.Sequential(Own2(), Own2())
    twin = copy.deepcopy(model)
    assert [part.copies for part in twin] == [1, 1]  # type: ignore[attr-defined]


def test_modules_that_know_each_other_are_copied_so() -> None:
    a, b = Own(nn.Tanh()), Own(nn.Tanh())
    a.other, b.other = b, a  # type: ignore[attr-defined]
    twin = copy.deepcopy(a)
    assert twin.other.other is twin and twin.other is not b  # type: ignore[attr-defined]
