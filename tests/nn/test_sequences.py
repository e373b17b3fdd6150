"""Layers for sequences: look-ups, norms and attention, alone and in training."""

import math
import random

import numpy as np
import pytest

import engine
import nn
from engine import Value
from engine.randomness import draw
from nn.compiled_model import loss_program


def numbers_of(x):
    return [numbers_of(part) for part in x] if isinstance(x, list) else x.data


def drawn(rng: random.Random, *shape: int):
    return [drawn(rng, *shape[1:]) for _ in range(shape[0])] if shape else rng.gauss(0.0, 1.0)


# --- embeddings -----------------------------------------------------------------------------


def test_an_embedding_is_a_table_of_parameters() -> None:
    layer = nn.Embedding(4, 3, rng=random.Random(0))
    assert layer([2, 0]) == [layer.weight[2], layer.weight[0]]
    assert layer(1.0) is layer.weight[1]
    assert repr(layer) == "Embedding(4, 3)"
    assert {name: x.shape for name, x in layer.state_dict().items()} == {"weight": (4, 3)}
    with pytest.raises(IndexError, match="index 4 is out of range for 4 entries"):
        layer(4)
    with pytest.raises(IndexError, match="there is no token -1: the 4 tokens begin with 0"):
        layer([0, -1])  # as in PyTorch: no place from the end, as of a list
    with pytest.raises(ValueError, match="num_embeddings is a whole number of at least 1, not 0"):
        nn.Embedding(0, 3)


def test_one_trace_serves_all_tokens() -> None:
    layer = nn.Embedding(5, 2, rng=random.Random(0))
    program = engine.compile(layer, in_axes=0)
    tokens = [[4, 1, 4], [0, 0, 3], [2, 3, 1]]
    expected = [numbers_of(layer(row)) for row in tokens]
    np.testing.assert_array_equal(program(np.array(tokens, float)), expected)
    assert repr(program).endswith("1 path)")


# --- norms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [nn.LayerNorm, nn.RMSNorm])
def test_a_norm_is_of_each_position_alone(make) -> None:
    rows = drawn(random.Random(1), 3, 4)
    norm = make(4)
    norm.weight = [Value(w) for w in (1.0, 2.0, -1.0, 0.5)]
    assert numbers_of(norm(rows)) == [numbers_of(norm(row)) for row in rows]


@pytest.mark.parametrize("make", [nn.LayerNorm, nn.RMSNorm])
def test_a_norm_is_told_how_many_numbers(make) -> None:
    with pytest.raises(ValueError, match="takes 4 inputs, but was given 3"):
        make(4)([1.0, 2.0, 3.0])
    for shape in (0, (2, 3)):
        with pytest.raises(ValueError, match="normalises lists of so many numbers"):
            make(shape)


def test_a_norm_of_squares_that_overflow_is_0() -> None:
    # its root is inf; PyTorch's LayerNorm computes a variance of nan
    assert nn.LayerNorm(3)([1e200, 1.0, 0.0]) == [0.0, 0.0, 0.0]


# --- attention ------------------------------------------------------------------------------


def by_arrays(layer: nn.CausalSelfAttention, x: np.ndarray) -> np.ndarray:
    """Causal attention as matrices, the slow obvious way."""
    state = layer.state_dict()

    def linear(name: str, rows: np.ndarray) -> np.ndarray:
        return rows @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0.0)

    q, k, v = (linear(name, x) for name in ("query", "key", "value"))
    width = layer.embed_dim // layer.num_heads
    heads = []
    for h in range(layer.num_heads):
        part = slice(h * width, (h + 1) * width)
        scores = q[:, part] @ k[:, part].T / math.sqrt(width)
        scores[np.triu_indices(len(x), 1)] = -np.inf
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        heads.append(shares / shares.sum(axis=1, keepdims=True) @ v[:, part])
    return linear("output", np.hstack(heads))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_attention_is_that_of_matrices(heads: int, bias: bool) -> None:
    rng = random.Random(heads)
    layer = nn.CausalSelfAttention(6, heads, bias, rng=rng)
    x = drawn(rng, 5, 6)
    expected = by_arrays(layer, np.array(x))
    np.testing.assert_allclose(numbers_of(layer(x)), expected, rtol=1e-12, atol=1e-13)
    compiled = engine.compile(lambda x: layer(x.tolist()), in_axes=0)(np.array([x, x[::-1]]))
    np.testing.assert_allclose(compiled[0], expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(
        compiled[1], by_arrays(layer, np.array(x[::-1])), rtol=1e-12, atol=1e-13
    )


def test_a_position_sees_none_after_it() -> None:
    rng = random.Random(0)
    layer = nn.CausalSelfAttention(4, 2, rng=rng)
    x = drawn(rng, 4, 4)
    assert numbers_of(layer(x))[:2] == numbers_of(layer(x[:2]))


def test_a_sequence_can_be_extended_position_by_position() -> None:
    rng = random.Random(0)
    layer, cache = nn.CausalSelfAttention(4, 2, rng=rng), []
    x = drawn(rng, 3, 4)
    assert [numbers_of(layer.extend(row, cache)) for row in x] == numbers_of(layer(x))
    assert len(cache) == 3


def test_heads_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="3 heads can't share 4 numbers evenly"):
        nn.CausalSelfAttention(4, 3)


def test_attention_of_many_heads_is_that_of_matrices() -> None:
    rng = random.Random(0)
    one, layer = nn.CausalSelfAttention(6, 3, rng=rng), nn.MultiheadAttention(6, 3)
    state, parts = one.state_dict(), ("query", "key", "value")
    layer.load_state_dict(
        {
            f"in_proj_{kind}": np.concatenate([state[f"{part}.{kind}"] for part in parts])
            for kind in ("weight", "bias")
        }
        | {f"out_proj.{kind}": state[f"output.{kind}"] for kind in ("weight", "bias")}
    )
    x = drawn(rng, 5, 6)
    expected = by_arrays(one, np.array(x))
    after = [[s > t for s in range(5)] for t in range(5)]
    scores = [[-math.inf if hidden else 0.0 for hidden in row] for row in after]
    for told in ({"is_causal": True}, {"attn_mask": after}, {"attn_mask": scores}):
        output, shares = layer(x, x, x, **told)
        np.testing.assert_allclose(numbers_of(output), expected, rtol=1e-12, atol=1e-13)
        assert [engine.sum(row).data for row in shares] == pytest.approx([1.0] * 5)
        assert shares[1][2:] == [0.0, 0.0, 0.0]


def test_what_is_padded_may_depend_on_the_example() -> None:
    layer = nn.MultiheadAttention(2, 1, rng=random.Random(0))

    def attend(x):
        return layer(x, x, x, key_padding_mask=[marked == 0.0 for _, marked in x])[0]

    X = np.array([[[0.3, 1.0], [0.2, 0.0]], [[0.1, 1.0], [0.7, 1.0]]])
    expected = [numbers_of(attend(x)) for x in X.tolist()]
    np.testing.assert_allclose(
        engine.compile(lambda x: attend(x.tolist()), in_axes=0)(X), expected, rtol=1e-12
    )
    x = X[0].tolist()
    np.testing.assert_allclose(numbers_of(layer(x, x[:1], x[:1])[0]), expected[0], rtol=1e-12)


def test_masks_that_do_not_fit_are_refused() -> None:
    layer, x = nn.MultiheadAttention(2, 1), [[1.0, 0.0], [0.0, 1.0]]
    for told in (
        {"attn_mask": [[0.0] * 2]},
        {"attn_mask": [False, True]},
        {"attn_mask": [[[False] * 2] * 2]},  # one for each head
        {"key_padding_mask": [True] * 3},
    ):
        with pytest.raises(ValueError, match="2 queries and 2 keys need as many values as keys"):
            layer(x, x, x, **told)
    with pytest.raises(ValueError, match="2 queries and 2 keys need as many values as keys"):
        layer(x, x, x[:1])
    with pytest.raises(ValueError, match="query 0 is to see no key, and needs one at least"):
        layer(x, x, x, key_padding_mask=[True, True])
    with pytest.raises(TypeError, match=r"^MultiheadAttention takes a sequence, lists of 2 .*$"):
        layer(x[0], x, x)
    with pytest.raises(ValueError, match="3 heads can't share 4 numbers evenly"):
        nn.MultiheadAttention(4, 3)


@pytest.mark.oracle
@pytest.mark.parametrize("size", [1.0, 100.0])  # the latter: scores that leave all but one at 0
@pytest.mark.parametrize("heads", [1, 4])
def test_attention_and_its_gradient_are_pytorchs(heads: int, size: float) -> None:
    torch = pytest.importorskip("torch")
    rng = random.Random(heads)
    layer = nn.CausalSelfAttention(8, heads, rng=rng)
    x, weights = [[size * number for number in row] for row in drawn(rng, 6, 8)], drawn(rng, 6, 8)
    theirs = torch.nn.MultiheadAttention(8, heads, batch_first=True).double()
    state = {name: torch.from_numpy(array) for name, array in layer.state_dict().items()}
    parts = ("query", "key", "value")
    theirs.load_state_dict(
        {
            "in_proj_weight": torch.cat([state[f"{part}.weight"] for part in parts]),
            "in_proj_bias": torch.cat([state[f"{part}.bias"] for part in parts]),
            "out_proj.weight": state["output.weight"],
            "out_proj.bias": state["output.bias"],
        }
    )
    inputs = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(6, dtype=torch.float64)
    expected, _ = theirs(inputs[None], inputs[None], inputs[None], attn_mask=mask)
    (expected[0] * torch.tensor(weights, dtype=torch.float64)).sum().backward()
    values = [[Value(number) for number in row] for row in x]
    outputs = layer(values)
    engine.sum(map(engine.dot, outputs, weights)).backward()
    assert_near(numbers_of(outputs), expected[0].tolist())
    assert_near([[number.grad for number in row] for row in values], inputs.grad.tolist())
    query = np.array([[p.grad for p in row] for row in layer.query.weight])
    assert_near(query, theirs.in_proj_weight.grad[:8].numpy())


def assert_near(actual, expected) -> None:
    """To 1e-12 of the largest number."""
    allowed = 1e-12 * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=allowed)


# --- in training ----------------------------------------------------------------------------


def reader(rng: random.Random) -> nn.Sequential:
    """Scores of five tokens for the one after each position."""
    return nn.Sequential(
        nn.Embedding(5, 4, rng=rng),
        nn.RMSNorm(4),
        nn.CausalSelfAttention(4, 2, rng=rng),
        nn.LayerNorm(4),
        nn.Linear(4, 5, rng=rng),
    )


def sequences(count: int, length: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Tokens, and the next ones; the targets after a random length are not to count."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 5, (count, length + 1))
    lengths = rng.integers(1, length + 1, (count, 1))
    return tokens[:, :-1], np.where(np.arange(length) < lengths, tokens[:, 1:], -100)


LOSSES = {
    "plain": {},
    "weighted": {"weight": [0.5, 2.0, 1.0, 0.0, 3.0], "label_smoothing": 0.2},
    "sum": {"reduction": "sum"},
}


@pytest.mark.parametrize("options", LOSSES.values(), ids=LOSSES)
def test_both_paths_take_the_same_steps(options) -> None:
    tokens, targets = sequences(11)
    runs = []
    for path in ("scalar", "vectorised"):
        model = reader(random.Random(0))
        history = nn.fit(
            model,
            tokens,
            targets,
            loss=nn.CrossEntropyLoss(**options),
            optimizer=nn.SGD(model.parameters(), lr=0.05),
            epochs=3,
            batch_size=4,
            path=path,
            progress=False,
        )
        runs.append([*history.step_loss, *[p.data for p in model.parameters()]])
    assert runs[1] == pytest.approx(runs[0], rel=1e-9)


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_the_loss_of_a_batch_is_over_the_positions_used(path: str) -> None:
    tokens, targets = sequences(6)
    model = reader(random.Random(0))
    rows = [row for x in tokens.tolist() for row in model(x)]
    expected = nn.CrossEntropyLoss()(rows, targets.ravel()).data
    options = {"loss": nn.CrossEntropyLoss(), "path": path}
    assert nn.evaluate(model, tokens, targets, **options) == pytest.approx(expected, rel=1e-13)
    optimizer = nn.SGD(model.parameters(), lr=0.0)
    options |= {"optimizer": optimizer, "progress": False}
    history = nn.fit(model, tokens, targets, epochs=1, **options)
    assert history.step_loss == [pytest.approx(expected, rel=1e-13)]


def test_one_trace_serves_sequences_of_all_lengths() -> None:
    tokens, targets = sequences(30)
    model, loss = reader(random.Random(0)), nn.CrossEntropyLoss()
    nn.evaluate(model, tokens, targets, loss=loss, path="vectorised")
    program = loss_program(model.eval(), loss, model.parameters(), np.float64)
    assert repr(program).endswith("1 path)")


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_a_batch_that_is_ignored_is_nan_as_in_pytorch(path: str) -> None:
    tokens, targets = sequences(3)
    model = reader(random.Random(0))
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    options = {"loss": nn.CrossEntropyLoss(), "optimizer": optimizer, "progress": False}
    history = nn.fit(model, tokens, np.full_like(targets, -100), epochs=1, path=path, **options)
    assert math.isnan(history.step_loss[0])


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
@pytest.mark.parametrize(
    ("token", "target", "message"),
    [
        (5.0, 0.0, "5 is out of range for 5"),
        (-1.0, 0.0, "-1: the 5 tokens|-6 is out of range for 5"),
        (0.0, 5.0, "5 is out of range for 5"),
        (0.0, -1.0, "-1: the 5 classes|-6 is out of range for 5"),
    ],
)
def test_tokens_and_classes_out_of_range_are_errors(path, token, target, message: str) -> None:
    tokens, targets = sequences(6)
    tokens[3, 0], targets[3, 0] = token, target
    model = reader(random.Random(0))
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    options = {"loss": nn.CrossEntropyLoss(), "optimizer": optimizer, "progress": False}
    with pytest.raises(IndexError, match=message):
        nn.fit(model, tokens, targets, epochs=1, path=path, **options)


def test_targets_of_another_shape_are_named_with_the_outputs() -> None:
    tokens, targets = sequences(6)
    model = reader(random.Random(0))
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    options = {"loss": nn.CrossEntropyLoss(), "optimizer": optimizer, "epochs": 1}
    with pytest.raises(
        ValueError, match=r"output of shape \(4, 5\) .* \(4,\) or \(4, 5\), not \(3,\)"
    ):
        nn.fit(model, tokens, targets[:, :3], **options)
    with pytest.raises(ValueError, match=r"output of shape \(4, 5\) .* not \(\)$"):
        nn.fit(model, tokens, targets[:, 0], **options)


# --- dropout --------------------------------------------------------------------------------


def test_dropout_is_a_choice_of_0_or_more_than_before() -> None:
    engine.manual_seed(0)
    dropout = nn.Dropout(0.25)
    found = dropout([2.0] * 4000)
    assert {float(x) for x in found} == {0.0, 2.0 / 0.75}
    assert found.count(0.0) == pytest.approx(1000, abs=100)
    assert nn.Dropout(1.0)([3.0, 4.0]) == [0.0, 0.0] and nn.Dropout(0.0)([3.0]) == [3.0]
    assert repr(dropout) == "Dropout(p=0.25, inplace=False)"


def test_dropout_lets_the_gradient_through_where_it_lets_the_number() -> None:
    x = [Value(1.0) for _ in range(20)]
    found = nn.Dropout(0.5)(x)
    engine.sum(found).backward()
    assert [v.grad for v in x] == [y.data for y in found] and {v.grad for v in x} == {0.0, 2.0}


def test_a_dropout_of_all_leaves_no_inf_and_no_nan() -> None:
    # PyTorch multiplies by 0, and has nan there
    x = [Value(math.inf), Value(1.0), Value(math.nan)]
    outputs = nn.Dropout(1.0)(x)
    engine.sum(outputs).backward()
    assert numbers_of(outputs) == [0.0, 0.0, 0.0] and [p.grad for p in x] == [0.0, 0.0, 0.0]


def test_dropout_is_nothing_when_predicting() -> None:
    model = nn.Sequential(nn.Linear(2, 3, rng=random.Random(0)), nn.Dropout(0.9))
    X = np.ones((3, 2))
    expected = [numbers_of(model[0](row)) for row in X.tolist()]
    for path in ("scalar", "vectorised"):
        np.testing.assert_allclose(nn.predict(model, X, path=path), expected, rtol=1e-15)
    assert model.training


def test_dropout_draws_the_same_on_both_paths() -> None:
    X = np.random.default_rng(0).normal(size=(10, 3))
    runs = []
    for path in ("scalar", "vectorised"):
        rng = random.Random(0)
        model = nn.Sequential(nn.Linear(3, 8, rng=rng), nn.Dropout(0.4), nn.Linear(8, 1, rng=rng))
        optimizer = nn.SGD(model.parameters(), lr=0.1)
        options = {"loss": nn.MSELoss(), "optimizer": optimizer, "progress": False, "path": path}
        runs.append(nn.fit(model, X, X[:, :1], epochs=5, batch_size=4, **options).step_loss)
    assert runs[1] == pytest.approx(runs[0], rel=1e-9)
    assert len({*runs[0]}) == 15


@pytest.mark.parametrize(
    ("affine", "bias", "parameters"), [(True, True, 6), (True, False, 3), (False, True, 0)]
)
def test_a_norm_is_what_it_says_with_and_without_weights(
    affine: bool, bias: bool, parameters: int
) -> None:
    norm = nn.LayerNorm(3, eps=0.25, elementwise_affine=affine, bias=bias)
    assert len(norm.parameters()) == parameters
    x = [engine.Value(number) for number in (1.0, 2.0, 6.0)]
    expected = np.array([-2.0, -1.0, 3.0]) / np.sqrt(14.0 / 3.0 + 0.25)
    assert [y.data for y in norm(x)] == pytest.approx(expected, rel=1e-14)
    # of 1 y1 + 2 y2 + 4 y3: (v - mean(v) - n mean(v n)) / root, where n are the outputs
    v = np.array([1.0, 2.0, 4.0])
    gradient = (v - v.mean() - expected * np.mean(v * expected)) / np.sqrt(14.0 / 3.0 + 0.25)
    engine.dot(v.tolist(), norm(x)).backward()
    assert [number.grad for number in x] == pytest.approx(gradient, rel=1e-12)
    assert norm([[1.0, 2.0, 6.0]] * 2)[1] == pytest.approx(expected, rel=1e-14)
    if affine:
        norm.weight[2].data = 10.0  # type: ignore[index]
        if bias:
            norm.bias[2].data = 0.5  # type: ignore[index]
        assert norm([1.0, 2.0, 6.0])[2].data == pytest.approx(10.0 * expected[2] + 0.5 * bias)


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_each_row_of_a_prediction_has_draws_of_its_own(path: str) -> None:
    class Drawing(nn.Module):
        def forward(self, x):
            return [engine.random() + 0.0 * x[0], engine.random()]

    predicted = nn.predict(Drawing(), np.zeros((5, 1)), path=path)
    expected = [[draw(0, 0, row, call) for call in (0, 1)] for row in range(5)]
    assert predicted == pytest.approx(np.array(expected), rel=1e-15)
    assert len(np.unique(predicted)) == 10
