"""Recurrent layers and cells against their equations in arrays; they and attention against PyTorch.

A network of a case is written once, as PyTorch's users do, for both frameworks.
"""

import random
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine import Value
from oracle_cases import mapped, state_of

WIDTH, LENGTH, HIDDEN = 4, 5, 3
AFTER = np.triu(np.ones((LENGTH, LENGTH), bool), 1)
LAYERS: dict[str, tuple[str, dict[str, Any]]] = {  # a kind, and its settings
    **{
        f"{kind} {settings}": (kind, settings)
        for kind in ("RNN", "LSTM", "GRU")
        for settings in (
            {},
            {"bias": False, "bidirectional": True},
            {"num_layers": 2, "bidirectional": True},
            {"num_layers": 3},
        )
    },
    "RNN of ReLU": ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
}
ATTENTION: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # settings, and what a call is told
    "attention": ({"num_heads": 2}, {}),
    "attention without bias": ({"num_heads": 1, "bias": False}, {}),
    "causal attention": ({"num_heads": 4}, {"attn_mask": AFTER, "is_causal": True}),
    "attention with scores": ({"num_heads": 2}, {"attn_mask": np.where(AFTER, 0.5, -1.5)}),
    "attention to all but one": (
        {"num_heads": 2},
        {"attn_mask": np.tile(np.arange(LENGTH) == 1, (LENGTH, 1))},
    ),
}


def network(name: str, framework: Any = nn) -> Any:
    """A layer, and one output at each position."""
    attends = name in ATTENTION
    kind, settings = ("MultiheadAttention", {}) if attends else LAYERS[name]
    own, told = ATTENTION[name] if attends else ({}, {})
    to_mask = np.ndarray.tolist if framework is nn else __import__("torch").tensor

    class Network(framework.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            sizes = (WIDTH,) if attends else (WIDTH, HIDDEN)
            self.layer = getattr(framework, kind)(*sizes, **own, **settings, batch_first=True)
            both = settings.get("bidirectional", False)
            self.head = framework.Linear(WIDTH if attends else HIDDEN * (1 + both), 1)

        def forward(self, x: Any) -> Any:
            if attends:
                return self.head(self.layer(x, x, x, **masks)[0])
            output, _ = self.layer(x)
            return self.head(output)

    masks = {key: to_mask(x) if isinstance(x, np.ndarray) else x for key, x in told.items()}
    made = Network()
    state = state_of(made)
    if framework is not nn:
        made = made.double()
        state = {key: to_mask(x, dtype=made.head.weight.dtype) for key, x in state.items()}
    made.load_state_dict(state)
    return made


def sequences(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, LENGTH, WIDTH))


def data() -> tuple[np.ndarray, np.ndarray]:
    """Sequences, and a target at each position."""
    X = sequences(7)
    return X, np.tanh(X[:, :, :1] - X[:, ::-1, 1:2])


def trained(model: nn.Module, epochs: int, path: str) -> Any:
    return nn.fit(
        *(model, *data()),
        loss=nn.MSELoss(),
        optimizer=nn.SGD(model.parameters(), lr=0.005, momentum=0.9),
        epochs=epochs,
        batch_size=4,
        path=path,
        progress=False,
    )


def plain(x: Any) -> Any:
    """Numbers in place of Values, in nested lists."""
    return [plain(part) for part in x] if isinstance(x, list | tuple) else getattr(x, "data", x)


def flat(x: Any) -> list[float]:
    """The numbers of nested lists, tuples and tensors."""
    if isinstance(x, float):
        return [x]
    return [
        number
        for part in x
        for number in flat(part if isinstance(part, list | tuple | float) else part.tolist())
    ]


def near(expected: Any, tolerance: float = 1e-12) -> Any:
    return pytest.approx(np.asarray(expected), rel=tolerance, abs=tolerance)


# --- by the equations -------------------------------------------------------------------------


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def step_by_arrays(layer: nn.Module, suffix: str, x: Any, h: Any, c: Any) -> Any:
    """The next h and c, as PyTorch's documentation has them."""
    W = {name: np.array(array) for name, array in layer.state_dict().items()}
    a = W[f"weight_ih{suffix}"] @ x + W.get(f"bias_ih{suffix}", 0.0)
    b = W[f"weight_hh{suffix}"] @ h + W.get(f"bias_hh{suffix}", 0.0)
    if isinstance(layer, nn.LSTM | nn.LSTMCell):
        i, f, g, o = np.split(a + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    if isinstance(layer, nn.GRU | nn.GRUCell):
        (r, z, n), (r_h, z_h, n_h) = np.split(a, 3), np.split(b, 3)
        n, z = np.tanh(n + sigmoid(r + r_h) * n_h), sigmoid(z + z_h)
        return (1.0 - z) * n + z * h, c
    return np.tanh(a + b) if layer.nonlinearity == "tanh" else np.maximum(a + b, 0.0), c


def by_arrays(layer: Any, x: Any, h: Any, c: Any) -> Any:
    """The outputs, and the last h and c of each layer and direction, the slow obvious way."""
    last, ways = [], ["", "_reverse"] if layer.bidirectional else [""]
    for k in range(layer.num_layers):
        outputs = []
        for way in ways:
            state, ys = (h[len(last)], c[len(last)]), []
            for position in x[::-1] if way else x:
                state = step_by_arrays(layer, f"_l{k}{way}", position, *state)
                ys.append(state[0])
            outputs.append(ys[::-1] if way else ys)
            last.append(state)
        x = np.concatenate(outputs, axis=1)
    return x, *map(np.array, zip(*last, strict=True))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_equations(name: str) -> None:
    layer, [x] = network(name).layer, sequences(1)
    size = layer.num_layers * (1 + layer.bidirectional), HIDDEN
    h, c = np.random.default_rng(1).normal(size=(2, *size)).tolist()
    zeros = np.zeros(size).tolist()
    pair = isinstance(layer, nn.LSTM)
    for hx, states in ((None, (zeros, zeros)), ((h, c) if pair else h, (h, c))):
        expected, h_n, c_n = by_arrays(layer, x, *states)
        output, last = layer(x.tolist(), hx)
        assert plain(output) == near(expected)
        assert plain(last) == near([h_n, c_n] if pair else h_n)
        compiled, compiled_last = engine.compile(lambda x, hx=hx: layer(x, hx))(x)
        assert compiled == near(expected) and compiled_last[0] == near(h_n if pair else h_n[0])


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_cell_is_a_step_of_its_layer(kind: str) -> None:
    layer, cell = getattr(nn, kind)(2, 3), getattr(nn, f"{kind}Cell")(2, 3)
    cell.load_state_dict({name.removesuffix("_l0"): x for name, x in layer.state_dict().items()})
    x, state = [[0.5, -1.0], [2.0, 0.1], [0.0, -0.3]], None
    for position in x:
        state = cell(position, state)
    last = layer(x)[1]
    assert plain(state) == (plain([part[0] for part in last]) if kind == "LSTM" else plain(last[0]))


def test_one_sequence_may_be_as_long_as_it_likes() -> None:
    layer = nn.GRU(1, 2, bidirectional=True, rng=random.Random(0))
    x = np.random.default_rng(0).normal(size=(4, 1))
    program = engine.compile(lambda x: layer(x.tolist())[0])
    for length in (1, 2, 4):
        assert program(x[:length]) == near(plain(layer(x[:length].tolist())[0]))


def test_an_array_of_one_sequence_will_do() -> None:
    for name in ("LSTM {'num_layers': 3}", "causal attention"):
        model, [x] = network(name), sequences(1)
        assert plain(model(x)) == plain(model(x.tolist()))
        with pytest.raises(TypeError, match="looks like a batch"):
            model(sequences(2))


def test_padded_sequences_are_read_as_far_as_they_go() -> None:
    class AtTheEnd(nn.Module):
        """The output at the last position that is marked by a 1."""

        def __init__(self) -> None:
            self.lstm = nn.LSTM(2, 3, rng=random.Random(0))

        def forward(self, x: Any) -> Any:
            output, _ = self.lstm(x)
            return engine.take(output, engine.sum([mark for _, mark in x]) - 1.0)

    model, numbers = AtTheEnd(), np.random.default_rng(0).normal(size=(3, 4))
    X = np.stack([numbers, np.arange(4) < np.array([[1], [4], [2]])], axis=2)
    expected = [plain(model.lstm(x[:n].tolist())[0][-1]) for x, n in zip(X, (1, 4, 2), strict=True)]
    for path in ("scalar", "vectorised"):
        assert nn.predict(model, X, path=path) == near(expected)


def test_dropout_is_between_layers_while_training() -> None:
    layer = nn.RNN(2, 3, num_layers=2, dropout=1.0, rng=random.Random(0))
    x = sequences(1)[0, :, :2].tolist()
    top = nn.RNN(3, 3)
    top.load_state_dict({k: layer.state_dict()[k.replace("l0", "l1")] for k in top.state_dict()})
    assert plain(layer(x)[0]) == near(plain(top([[0.0] * 3] * LENGTH)[0]))
    below = nn.RNN(2, 3)
    below.load_state_dict({k: layer.state_dict()[k] for k in below.state_dict()})
    assert plain(layer.eval()(x)[0]) == near(plain(top(below(x)[0])[0]))
    with pytest.warns(UserWarning, match="between layers, and here is only one"):
        nn.LSTM(2, 3, dropout=0.5)


@pytest.mark.parametrize("name", ["LSTM {'num_layers': 2, 'bidirectional': True}", "attention"])
def test_what_is_drawn_in_training_is_the_same_on_both_paths(name: str) -> None:
    runs = []
    for path in ("scalar", "vectorised"):
        model = network(name)
        model.layer.dropout = 0.4
        runs.append(trained(model, 3, path).step_loss)
    assert runs[1] == near(runs[0], 1e-10) and len({*runs[0]}) == 6


@pytest.mark.parametrize("name", ["LSTM {'num_layers': 3}", "causal attention"])
def test_l2_leaves_biases_alone(name: str) -> None:
    moved = []
    for l2 in (0.0, 0.1):
        model = network(name)
        nn.fit(
            *(model, *data()),
            loss=nn.MSELoss(),
            optimizer=nn.SGD(model.parameters(), lr=0.1),
            epochs=1,
            path="scalar",
            l2=l2,
            progress=False,
        )
        moved.append(model.state_dict())
    for key, array in moved[0].items():
        assert np.array_equal(array, moved[1][key]) == ("bias" in key)


class Classifier(nn.Module):
    """Scores of two classes by the last position's output, as one writes it with PyTorch."""

    def __init__(self) -> None:
        rng = random.Random(0)
        self.lstm = nn.LSTM(1, 6, batch_first=True, rng=rng)
        self.head = nn.Linear(6, 2, rng=rng)

    def forward(self, x: Any) -> Any:
        _, (h_n, _) = self.lstm(x)
        return self.head(h_n[-1])


def test_a_classifier_learns_what_comes_first_in_a_sequence() -> None:
    X = np.random.default_rng(0).normal(size=(64, 8, 1))
    y = (X[:, 0, 0] > 0.0).astype(float)
    model = Classifier()
    nn.fit(
        *(model, X, y),
        loss=nn.CrossEntropyLoss(),
        optimizer=nn.Adam(model.parameters(), lr=0.03),
        epochs=40,
        batch_size=16,
        progress=False,
    )
    assert np.mean(nn.predict(model, X).argmax(axis=1) == y) > 0.95


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.LSTM(0, 3), ValueError, "input_size is a whole number of at least 1, not 0"),
        (lambda: nn.GRU(2, 3, 0), ValueError, "num_layers is a whole number of at least 1, not 0"),
        (lambda: nn.RNN(2.0, 3), ValueError, "input_size is a whole number of at least 1, not 2.0"),
        (lambda: nn.RNN(2, 3, 1, "sin"), ValueError, 'is "tanh" or "relu", not .sin'),
        (lambda: nn.RNNCell(2, 3, True, "sin"), ValueError, 'is "tanh" or "relu", not .sin'),
        (lambda: nn.GRU(2, 3, dropout=1.5), ValueError, "takes a probability, not 1.5"),
        (lambda: nn.RNN(2, 3)([0.1, 0.2]), TypeError, "takes a sequence, lists of 2 numbers"),
        (lambda: nn.RNN(2, 3)([]), TypeError, r"takes a sequence, lists of 2 .* not \[\]"),
        (lambda: nn.RNN(2, 3)([[0.1]]), ValueError, r"RNN\(2, 3\) takes 2 inputs, but was given 1"),
        (lambda: nn.RNN(1, 3)([[[0.1]]]), TypeError, "takes one example"),
        (lambda: nn.GRU(1, 2)([[0.1]], [0.0, 0.0]), ValueError, "h, a list of 1 x 2 numbers, not"),
        (lambda: nn.LSTM(1, 2)([[0.1]], [[0.0] * 2]), ValueError, "begins with a pair, h and c"),
        (lambda: nn.GRUCell(1, 2)([0.1], [[0.0] * 2]), ValueError, "h, a list of 2 numbers, not"),
        (
            lambda: nn.Sequential(nn.LSTM(1, 2), nn.Linear(2, 1))([[0.1]]),
            TypeError,
            r"Linear\(.*was given a tuple, such as the \(output, state\) of a recurrent layer",
        ),
        (
            lambda: nn.Sequential(nn.LSTM(1, 2), nn.Dropout(), nn.Linear(2, 1))([[0.1]]),
            TypeError,
            r"Dropout\(.*was given a tuple",
        ),
        (
            lambda: nn.Sequential(nn.GRU(1, 2), nn.Flatten())([[0.1]]),
            TypeError,
            r"Flatten\(.*was given a tuple",
        ),
        (
            lambda: nn.Sequential(nn.LSTM(1, 2), nn.LSTM(2, 1))([[0.1]]),
            TypeError,
            r"LSTM\(2, 1\) was given a tuple",
        ),
    ],
)
def test_what_does_not_fit_is_said(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_outputs_and_states_are_predicted_side_by_side(path: Any) -> None:
    layer = nn.LSTM(WIDTH, HIDDEN)
    X = sequences(2)
    outputs, (h, c) = nn.predict(layer, X, path=path)
    assert outputs.shape == (2, len(X[0]), HIDDEN) and h.shape == c.shape == (2, 1, HIDDEN)
    first, (h0, _) = layer(X[1].tolist())
    assert outputs[1] == pytest.approx(np.array([[y.data for y in row] for row in first]))
    assert h[1] == pytest.approx(np.array([[y.data for y in row] for row in h0]))


# --- by PyTorch -------------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize("name", [*LAYERS, *ATTENTION])
def test_outputs_and_all_gradients_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs, [X] = network(name), network(name, torch.nn), sequences(1)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    if name in LAYERS:
        assert repr(ours) == repr(theirs)
    tensor = torch.tensor(X, requires_grad=True)
    expected = theirs(tensor)
    weights = torch.arange(1.0, LENGTH + 1, dtype=torch.float64)
    (expected[:, 0] * weights).sum().backward()
    gradients = [tensor.grad.numpy(), *(p.grad.numpy() for p in theirs.parameters())]

    def weighted(x: Any) -> Any:
        return engine.dot(weights.tolist(), [y for [y] in ours(x)])

    x = mapped(Value, X.tolist())
    weighted(x).backward()
    found = [
        mapped(lambda v: v.grad, part) for part in (x, *dict(ours.named_parameters()).values())
    ]
    of_x = engine.compile(lambda x: weighted(x.tolist()))
    of_parameters = engine.compile(
        lambda x: weighted(x.tolist()), wrt=[p for _, p in ours.named_parameters()]
    )
    compiled = [of_x.grad(X), *of_parameters.grad(X)]
    assert plain(ours(X.tolist())) == near(expected.detach().numpy())
    for one, other, wanted in zip(found, compiled, gradients, strict=True):
        assert np.array(one) == near(wanted) and np.array(other) == near(wanted)


@pytest.mark.oracle
@pytest.mark.parametrize("path", ["scalar", "vectorised"])
@pytest.mark.parametrize("name", [*LAYERS, *ATTENTION])
def test_30_steps_of_training_are_pytorchs(name: str, path: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = network(name), network(name, torch.nn)
    X, y = (torch.tensor(part) for part in data())
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.005, momentum=0.9)
    losses = []
    for _ in range(15):
        for batch in (slice(0, 4), slice(4, None)):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(theirs(X[batch]), y[batch])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert trained(ours, 15, path).step_loss == near(losses, 1e-10)
    for name, array in theirs.state_dict().items():
        assert ours.state_dict()[name] == near(array.numpy(), 1e-10)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_states_and_cells_are_pytorchs(kind: str) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor
    for name, count in ((kind, 4), (f"{kind}Cell", 1)):
        settings = {"num_layers": 2, "bidirectional": True} if count > 1 else {}
        ours = getattr(nn, name)(2, 3, **settings)
        theirs = getattr(torch.nn, name)(2, 3, **settings).double()
        assert repr(ours) == repr(theirs)
        theirs.load_state_dict({key: tensor(x) for key, x in ours.state_dict().items()})
        h, c = np.random.default_rng(0).normal(size=(2, count, 3)).squeeze(1 if count == 1 else ())
        x = [[0.1, 0.2], [0.3, -0.4]] if count > 1 else [0.1, 0.2]
        given = (h, c) if kind == "LSTM" else (h,)
        hx = tuple(part.tolist() for part in given) if len(given) > 1 else h.tolist()
        theirs_hx = tuple(map(tensor, given)) if len(given) > 1 else tensor(h)
        found, expected = ours(x, hx), theirs(tensor(x, dtype=torch.float64), theirs_hx)
        for one, other in zip(flat(plain(found)), flat(expected), strict=True):
            assert one == near(other)


@pytest.mark.oracle
@pytest.mark.parametrize("average", [True, False])
def test_shares_of_attention_to_other_positions_are_pytorchs(average: bool) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = nn.MultiheadAttention(4, 2), torch.nn.MultiheadAttention(4, 2).double()
    ours.load_state_dict(theirs.state_dict())
    query, key = np.random.default_rng(0).normal(size=(2, LENGTH, 4))
    value, padding = key[::-1].copy(), np.arange(LENGTH) == 3
    given = [torch.tensor(x) for x in (query, key[:4], value[:4], padding[:4])]
    output, shares = theirs(*given, average_attn_weights=average)
    told = [x.tolist() for x in (query, key[:4], value[:4], padding[:4])]
    found, found_shares = ours(*told, average_attn_weights=average)
    assert plain(found) == near(output.detach().numpy())
    assert plain(found_shares) == near(shares.detach().numpy())
    assert ours(*told, need_weights=False)[1] is None
