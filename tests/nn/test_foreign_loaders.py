"""Loaders that are not ours where ours may stand: lists of batches, generators, and PyTorch's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
import nn
from notes import Notes

_rng = np.random.default_rng(0)
X, B = _rng.normal(size=(20, 2)), _rng.normal(size=(20, 1))
Y = X[:, :1] - 2.0 * X[:, 1:]
PARTS = [slice(first, first + 8) for first in range(0, 20, 8)]


class Batches:
    """What can be gone through again and again, and says so."""

    def __init__(self, *fields: Any, make: Callable[..., Any] = lambda *parts: parts) -> None:
        self.fields, self.make, self.passes = fields, make, Notes()

    def __iter__(self) -> Iterator[Any]:
        self.passes.add()
        for part in PARTS:
            yield self.make(*(field[part] for field in self.fields))


class Shuffled(Batches):
    """In another order in every pass."""

    def __iter__(self) -> Iterator[Any]:
        order = np.random.default_rng(len(self.passes)).permutation(20)
        self.passes.add()
        for part in PARTS:
            yield tuple(field[order[part]] for field in self.fields)


class Tensor:
    """As much of PyTorch's as is asked for, with a gradient."""

    def __init__(self, array: Any) -> None:
        self.array, self.ndim = array, array.ndim

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Any:
        return self.array

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


class NoLength:
    """As SciPy's sparse matrices have it."""

    def __len__(self) -> int:
        raise TypeError("sparse array length is ambiguous")

    def __array__(self, *args: Any, **options: Any) -> Any:
        return np.array(object())


def line(seed: int = 0) -> nn.Module:
    return nn.Linear(2, 1, rng=random.Random(seed))


class Two(nn.Module):
    def __init__(self) -> None:
        self.line, self.b = line(), engine.Value(0.5)

    def forward(self, a: Any, b: Any) -> Any:
        return [self.line(a)[0] + self.b * b[0]]


def fitted(model: nn.Module, data: Any, *more: Any, **options: Any) -> list[float]:
    optimizer = nn.Adam(model.parameters(), lr=0.05)
    told: dict[str, Any] = {"epochs": 3, "progress": False, "loss": nn.MSELoss()}
    history = nn.fit(model, data, *more, optimizer=optimizer, **{**told, **options})
    return [*history.loss, *history.val_loss, *[p.data for p in model.parameters()]]


FORMS: dict[str, Callable[[], Any]] = {
    "batches": lambda: Batches(X, Y),
    "a generator": lambda: iter(Batches(X, Y)),
    "a list": lambda: list(Batches(X, Y)),
    "lists of lists": lambda: Batches(X, Y, make=lambda x, y: [x.tolist(), y.tolist()]),
    "tensors": lambda: Batches(X, Y, make=lambda x, y: [Tensor(x), Tensor(y)]),
    "dicts": lambda: Batches(X, Y, make=lambda x, y: {"image": x, "label": y}),
}


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
@pytest.mark.parametrize("form", FORMS)
def test_any_iterable_of_batches_will_do(form: str, path: Any) -> None:
    expected = fitted(line(), X, Y, batch_size=8, validation_data=(X, Y), path=path)
    found = fitted(line(), FORMS[form](), validation_data=FORMS[form](), path=path)
    assert found == expected
    loss = nn.evaluate(line(), FORMS[form](), loss=nn.MSELoss(), path=path)
    assert loss == nn.evaluate(line(), X, Y, loss=nn.MSELoss(), path=path)


TWO: dict[str, Callable[[], Any]] = {
    "in a row": lambda: Batches(X, B, Y),
    "a tuple in a tuple": lambda: Batches(X, B, Y, make=lambda a, b, y: ((a, b), y)),
    "as PyTorch collates it": lambda: Batches(X, B, Y, make=lambda a, b, y: [[a, b], y]),
    "by name": lambda: Batches(X, B, Y, make=lambda a, b, y: ({"b": b, "a": a}, y)),
    "in a dict": lambda: Batches(X, B, Y, make=lambda a, b, y: {"y": y, "a": a, "b": b}),
}
TWO |= {f"{form}, listed": lambda make=make: list(make()) for form, make in TWO.items()}  # type: ignore[misc]


@pytest.mark.parametrize("form", TWO)
def test_several_inputs(form: str) -> None:
    assert fitted(Two(), TWO[form]()) == fitted(Two(), (X, B), Y, batch_size=8)


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
@pytest.mark.parametrize("weights", [{}, {"class_weight": {0.0: 1.0, 1.0: 3.0}}])
def test_every_epoch_is_a_pass_of_its_own(path: Any, weights: dict[str, Any]) -> None:
    labels = (Y > 0.0) * 1.0
    loader, model = Shuffled(X, labels), line()
    optimizer, losses = nn.Adam(model.parameters(), lr=0.05), []
    for k in range(4):  # the same by hand, an epoch at a time
        order = np.random.default_rng(k).permutation(20)
        options: dict[str, Any] = {"loss": nn.BCEWithLogitsLoss(), "path": path, **weights}
        options |= {"epochs": 1, "batch_size": 8, "progress": False, "optimizer": optimizer}
        losses += nn.fit(model, X[order], labels[order], **options).loss
    expected = [*losses, *[p.data for p in model.parameters()]]
    options = {"loss": nn.BCEWithLogitsLoss(), "epochs": 4, "path": path, **weights}
    assert fitted(line(), loader, **options) == expected
    assert len(loader.passes) == 4


def test_a_checkpoint_reads_on_to_the_pass_that_it_is_in(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    whole = fitted(line(), Shuffled(X, Y), epochs=5)
    fitted(line(), Shuffled(X, Y), epochs=2, checkpoint=tmp_path)
    assert fitted(line(), Shuffled(X, Y), epochs=5, checkpoint=tmp_path) == whole
    other = Shuffled(X, Y)
    other.passes.add()
    with pytest.raises(nn.CheckpointError, match="examples"):
        fitted(line(), other, epochs=5, checkpoint=tmp_path)


class Growing(Batches):
    def __iter__(self) -> Iterator[Any]:
        yield from super().__iter__()
        if len(self.passes) > 1:
            yield self.fields[0][:3], self.fields[1][:3]


def uneven(x: Any, y: Any) -> Any:
    return (x, y) if len(x) == 8 else (x[:, :1], y)


@pytest.mark.parametrize(
    ("loader", "options", "message"),
    [
        (Batches(X, Y), {"batch_size": 4}, "has its own batch_size and shuffle"),
        (Batches(X, Y), {"shuffle": True}, "has its own batch_size and shuffle"),
        (Batches(X, Y), {"sample_weight": np.ones(20)}, "a Batches has rows of its own"),
        (Batches(X), {}, r"a batch is a tuple or list of inputs with y as the last"),
        (Batches(X, make=lambda x: x), {}, "a batch is a tuple or list"),
        (Batches(X, make=lambda x: {"x": x}), {}, r"called one of \['label'.*, not \{'x'"),
        (iter(()), {}, "tuple_iterator gives no batch"),
        (Batches(X, Y, make=uneven), {}, "batch 2 has examples of another shape than batch 0"),
        (Batches(X, Y, make=lambda x, y: (x, y[1:])), {}, "X of batch 0 has 8 rows and y of batch"),
        (Batches(X * np.nan, Y), {}, "X of batch 0 has nan in row 0, column 0"),
        (Growing(X, Y), {}, r"pass 1 of the Growing has batches of \[8, 8, 4, 3\] examples"),
    ],
)
def test_what_is_no_loader_of_batches_is_said(
    loader: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        fitted(line(), loader, **options)


def test_a_loader_comes_without_y_and_rows_are_no_loader() -> None:
    with pytest.raises(TypeError, match="give it alone, without y"):
        fitted(line(), Batches(X, Y), Y)
    with pytest.raises(TypeError, match="y is missing"):
        fitted(line(), X.tolist())
    with pytest.raises(TypeError, match="y is missing"):
        nn.evaluate(line(), X, loss=nn.MSELoss())
    for what in ([Tensor(x) for x in X], NoLength()):
        with pytest.raises(TypeError, match="X must be numbers, one row an example: "):
            nn.predict(line(), what)
    with pytest.raises(TypeError, match="a pair of X and y"):
        fitted(line(), X, Y, validation_data=X)
    scale = engine.Value(0.5)

    def model(x: Any) -> Any:
        return scale * x

    model.parameters = lambda: [scale]  # type: ignore[attr-defined]
    optimizer = nn.SGD([scale], lr=0.1)
    told: dict[str, Any] = {"loss": nn.MSELoss(), "epochs": 1, "progress": False}
    assert nn.fit(model, range(4), range(4), optimizer=optimizer, **told).loss == [0.875]


@pytest.mark.oracle
@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_pytorchs_loader_gives_pytorchs_training(path: Any) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils import data

    def loader(**options: Any) -> Any:
        generator = torch.Generator().manual_seed(3)
        tensors = [torch.tensor(x, requires_grad=x is B) for x in (X, B, Y)]
        return data.DataLoader(data.TensorDataset(*tensors), 8, generator=generator, **options)

    class Theirs(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.line = torch.nn.Linear(2, 1).double()
            self.b = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

        def forward(self, a: Any, b: Any) -> Any:
            return self.line(a) + self.b * b

    ours, theirs, losses = Two(), Theirs(), []
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.05)
    given = loader(shuffle=True, drop_last=True)
    for _ in range(5):
        for a, b, y in given:
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(theirs(a, b), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    history = nn.fit(
        ours,
        loader(shuffle=True, drop_last=True),
        loss=nn.MSELoss(),
        optimizer=nn.Adam(ours.parameters(), lr=0.05),
        epochs=5,
        path=path,
        progress=False,
        validation_data=loader(),
    )
    assert history.step_loss == pytest.approx(losses, rel=1e-10)
    for name, array in ours.state_dict().items():
        assert array == pytest.approx(theirs.state_dict()[name].numpy(), rel=1e-10)


@pytest.mark.oracle
def test_pytorchs_collated_dicts_and_pairs() -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    pairs = [((a, b), y) for a, b, y in zip(X, B, Y, strict=True)]
    named = [{"a": a, "b": b, "target": y} for (a, b), y in pairs]
    expected = fitted(Two(), (X, B), Y, batch_size=8)
    assert fitted(Two(), DataLoader(pairs, batch_size=8)) == expected
    assert fitted(Two(), DataLoader(named, batch_size=8, num_workers=0)) == expected
    single = [torch.tensor(x, dtype=torch.bfloat16) for x in (X, Y)]
    with pytest.raises(TypeError, match=r"X of batch 0 must be numbers.*BFloat16"):
        fitted(line(), [tuple(single)])
