"""Training in shards, in one process: the tree, and what is refused before anything is trained."""

import random
import sys
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine import Value
from engine.compiled import threads
from nn.distributed.shards import Step, nodes, sizes, summed
from nn.inputs import Inputs
from nn.scalar_path import BatchLoss
from nn.vectorised_path import VectorisedPath


def fitted(on: Any = None, rows: int = 50, dropout: float = 0.2, **settings: Any) -> Any:
    """The History and the weights of a short training with a bit of everything."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 3))
    y = (X[:, :1] * X[:, 1:2] > 0).astype(float)
    model = nn.Sequential(
        nn.Linear(3, 6, rng=random.Random(0)),
        nn.Tanh(),
        nn.Dropout(dropout),
        nn.Linear(6, 1, rng=random.Random(1)),
        nn.Sigmoid(),
    )
    optimizer = nn.Adam(model.parameters(), lr=0.05)
    given: dict[str, Any] = {"epochs": 3, "batch_size": 21, "shuffle": True, "l2": 1e-3}
    history = nn.fit(
        *(model, X, y),
        loss=nn.BCELoss(),
        optimizer=optimizer,
        scheduler=nn.StepLR(optimizer, step_size=4, interval="step"),
        clip_norm=1.0,
        progress=False,
        on=on,
        **given | settings,
    )
    return history, np.array([p.data for p in model.parameters()])


def test_the_tree_is_the_same_however_it_is_divided() -> None:
    rng = np.random.default_rng(0)
    numbers = [BatchLoss(*rng.normal(size=2), rng.normal(size=5)) for _ in range(37)]

    class Path:
        def parts(self, theta: Any, rows: Any, bounds: Any, share: range, draws: Any) -> Any:
            assert [rows[bounds[k] : bounds[k + 1]].tolist() for k in share] == [[k] for k in share]
            return [numbers[k]._replace(gradient=numbers[k].gradient.copy()) for k in share]

    step = Step(np.zeros(5), np.arange(37), (0, 0), 64)
    results = set()
    for count in (1, 2, 3, 5, 16, 37, 50):
        shares = step.shares(count)
        sums = [total for share in shares for total in step.sums(Path(), share)]  # type: ignore[arg-type]
        total = step.total(shares, sums)
        results.add((total.total, total.weight, total.gradient.tobytes()))
    assert len(results) == 1


def test_neighbours_are_added_first() -> None:
    def letters(node: tuple[int, int]) -> Any:
        return BatchLoss(0.0, 0.0, Text("abcde"[node[0]])) if node[1] - node[0] == 1 else None

    class Text(str):
        def __add__(self, other: str) -> "Text":
            return Text(f"({self}{other})")

    assert summed((0, 5), letters).gradient == "(((ab)(cd))e)"  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 20])
def test_shares_are_whole_nodes_of_all_shards_in_order(count: int) -> None:
    step = Step(np.zeros(0), np.arange(100), (0, 0), 16)
    found = [node for share in step.shares(count) for node in nodes(step.whole, share)]
    assert [k for node in found for k in range(*node)] == [*range(16)]


def test_sizes_of_shards_are_those_of_all_batches() -> None:
    assert sizes([3, 100, 40, 100], 16) == (7, 6, 3, 2, 1)


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
@pytest.mark.parametrize("rows", [50, 3])
def test_it_is_the_usual_training_but_for_rounding(path: Any, rows: int) -> None:
    usual, weights = fitted(path=path, rows=rows)
    history, others = fitted(nn.distributed.local(), path=path, rows=rows)
    np.testing.assert_allclose(others, weights, rtol=1e-9)
    np.testing.assert_allclose(history.step_loss, usual.step_loss, rtol=1e-9)


def test_what_ran_before_in_a_process_changes_no_bit() -> None:
    _, first = fitted(nn.distributed.local())
    fitted(nn.distributed.local(), batch_size=7)
    fitted()
    _, again = fitted(nn.distributed.local())
    assert first.tobytes() == again.tobytes()


def test_single_precision_stays_so() -> None:
    _, weights = fitted(nn.distributed.local(), dtype="float32")
    assert (weights == weights.astype("float32")).all()


def test_a_checkpoint_goes_on_to_the_same_bits(tmp_path: Any) -> None:
    pytest.importorskip("safetensors")
    _, whole = fitted(nn.distributed.local())
    fitted(nn.distributed.local(), epochs=1, checkpoint=tmp_path)
    _, resumed = fitted(nn.distributed.local(), checkpoint=tmp_path)
    assert whole.tobytes() == resumed.tobytes()
    with pytest.raises(nn.CheckpointError, match="shards"):
        fitted(nn.distributed.local(shards=4), checkpoint=tmp_path)


def test_callbacks_see_and_move_the_weights() -> None:
    seen = []

    def callback(epoch: int, history: nn.History) -> None:
        seen.append((epoch, history.metrics["accuracy"][-1]))
        history.stopped = "enough" if epoch == 1 else ""

    options = {"callbacks": [callback], "metrics": [nn.metrics.accuracy], "epochs": 9}
    history, _ = fitted(nn.distributed.local(), **options)
    assert [epoch for epoch, _ in seen] == [0, 1]
    assert history.stopped == "enough"


def test_a_run_that_diverges_says_so() -> None:
    with pytest.warns(RuntimeWarning, match="the run stopped: the loss is nan at update 1"):
        history, _ = fitted(nn.distributed.local(), sample_weight=[1e308] * 50)
    assert history.stopped


@pytest.mark.parametrize("wrong", [nn.distributed.local, "mpi", 2])
def test_what_is_no_group_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"on is what nn\.distributed\.local\(\), mpi\(\)"):
        fitted(wrong)


@pytest.mark.parametrize("shards", [0, -1, 2.5, "16"])
def test_shards_are_a_whole_number(shards: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="shards"):
        nn.distributed.local(shards=shards)


def test_a_loader_of_another_library_is_refused() -> None:
    loader = ((np.ones((4, 1)), np.ones((4, 1))) for _ in range(2))
    model = nn.Linear(1, 1)
    options: dict[str, Any] = {"loss": nn.MSELoss(), "optimizer": nn.SGD(model.parameters(), lr=1)}
    with pytest.raises(ValueError, match=r"give X and y, or an nn\.DataLoader"):
        nn.fit(model, loader, epochs=1, on=nn.distributed.local(), **options)


@pytest.mark.parametrize(("name", "module"), [("mpi", "mpi4py"), ("dask", "distributed")])
def test_what_is_not_installed_is_named(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'gradloom\[distributed\]'"):
        getattr(nn.distributed, name)(*[None] * (name == "dask"))


class Bent(nn.Module):
    """A line with a kink in every input, written with `if`: eight paths of three inputs."""

    def __init__(self) -> None:
        self.w = [Value(0.3 - 0.2 * k) for k in range(3)]
        self.b = Value(0.1)

    def forward(self, x: Any) -> Any:
        total = self.b
        for w, number in zip(self.w, x, strict=True):
            total = total + (w * number if number > 0 else w * w * number)
        return engine.tanh(total)


@pytest.mark.parametrize("native", [True, False])
def test_what_was_computed_before_makes_no_difference(native: bool) -> None:
    rng = np.random.default_rng(0)
    signs = np.repeat([[1, 1, 1], [1, -1, 1], [-1, 1, -1], [1, -1, -1]], 6, axis=0)
    X = np.abs(rng.normal(size=(48, 3))) * np.concatenate([signs, rng.choice([-1, 1], (24, 3))])
    y, theta = rng.normal(size=48), np.array([0.3, 0.1, -0.1, 0.1])
    bounds = [0, 6, 12, 18, 24, 31, 40, 48]  # parts that take one path, and others
    found = set()
    for before in ([], [0], [6, 1], [47, 30, 13, 5, 7, 25]):
        model = Bent()
        parameters = [*model.w, model.b]
        given = model, nn.MSELoss(), parameters, Inputs((X,)), y, lambda n: None
        path = VectorisedPath(*given, native=native, sizes=(6,))
        with threads.alone():
            for row in before:
                path(theta, np.array([row]), (0, 0))
            own = [range(7)] if len(before) < 2 else [range(3), range(3, 5), range(5, 7)]
            parts = [
                p for some in own for p in path.parts(theta, np.arange(48), bounds, some, (0, 0))
            ]
        found.add(tuple((p.total, p.weight, p.gradient.tobytes()) for p in parts))
    assert len(found) == 1
