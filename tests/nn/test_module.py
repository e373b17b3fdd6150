"""Module, micrograd's layers and PyTorch's: parameters, names, state, and complaints."""

import copy
import random

import numpy as np
import pytest

import engine
import nn
from engine import Value


def model() -> nn.Sequential:
    rng = random.Random(0)
    return nn.Sequential(nn.Linear(2, 3, rng=rng), nn.Tanh(), nn.Linear(3, 1, rng=rng))


def test_parameters_are_distinct_and_in_order() -> None:
    layer = nn.Linear(2, 2)
    tied = nn.Sequential(layer, layer)
    assert len(tied.parameters()) == 6
    assert tied.parameters() == [*layer.weight[0], *layer.weight[1], *layer.bias]


def test_names_are_pytorchs_and_the_things_named_are_nested_lists() -> None:
    named = dict(model().named_parameters())
    assert list(named) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(named["0.weight"]) == 3 and isinstance(named["0.weight"][0][0], Value)
    assert list(dict(nn.MLP(1, [1]).named_parameters())) == [
        "layers.0.neurons.0.w",
        "layers.0.neurons.0.b",
    ]


def test_micrograds_model_has_its_reprs_and_shapes() -> None:
    mlp = nn.MLP(3, [2, 1], rng=random.Random(0))
    assert repr(mlp) == (
        "MLP of [Layer of [ReLUNeuron(3), ReLUNeuron(3)], Layer of [LinearNeuron(2)]]"
    )
    assert isinstance(mlp([1.0, 2.0, 3.0]), Value) and len(mlp.parameters()) == 2 * 4 + 3
    assert len(nn.MLP(3, [2, 2])([1.0, 2.0, 3.0])) == 2
    assert isinstance(nn.MLP(1, [1, 1])([2.0]), Value)


def test_micrograds_initial_weights() -> None:
    neuron = nn.Neuron(50, rng=random.Random(1))
    assert all(-1.0 <= w.data <= 1.0 for w in neuron.w) and neuron.b.data == 0.0
    assert neuron.w[0].data == random.Random(1).uniform(-1.0, 1.0)


def test_linear_starts_uniform_within_one_over_the_root_of_its_inputs() -> None:
    layer = nn.Linear(100, 20, rng=random.Random(0))
    numbers = [p.data for p in layer.parameters()]
    assert max(map(abs, numbers)) <= 0.1 and max(numbers) > 0.09 and min(numbers) < -0.09


def test_linear_is_a_matrix_product() -> None:
    layer = nn.Linear(3, 2, rng=random.Random(0))
    x = [0.5, -1.0, 2.0]
    state = layer.state_dict()
    expected = state["weight"] @ x + state["bias"]
    assert [y.data for y in layer(x)] == pytest.approx(expected.tolist(), rel=1e-14)
    assert [[y.data for y in row] for row in layer([x, x])] == [[y.data for y in layer(x)]] * 2
    unbiased = nn.Linear(3, 2, bias=False)
    assert list(unbiased.state_dict()) == ["weight"] and unbiased.bias is None


def test_reprs_are_pytorchs() -> None:
    assert repr(nn.Sequential(nn.Linear(2, 1, bias=False), nn.LeakyReLU())) == (
        "Sequential(\n"
        "  (0): Linear(in_features=2, out_features=1, bias=False)\n"
        "  (1): LeakyReLU(negative_slope=0.01)\n"
        ")"
    )
    assert repr(nn.Softplus()) == "Softplus(beta=1.0, threshold=20.0)"


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        (nn.ReLU(), [0.0, 0.5]),
        (nn.LeakyReLU(0.1), [-0.1, 0.5]),
        (nn.ELU(), [-0.6321205588285577, 0.5]),
        (nn.SELU(), [-1.1113307378125625, 0.5253504936777402]),
        (nn.GELU(), [-0.15865525393145707, 0.34573123063700656]),
        (nn.SiLU(), [-0.2689414213699951, 0.3112296656009273]),
        (nn.Tanh(), [-0.7615941559557649, 0.46211715726000973]),
        (nn.Sigmoid(), [0.2689414213699951, 0.6224593312018546]),
        (nn.Softplus(), [0.31326168751822286, 0.9740769841801067]),
        (nn.Softplus(threshold=0.4), [0.31326168751822286, 0.5]),
        (nn.Softmax(), [0.18242552380635632, 0.8175744761936437]),
        (nn.LogSoftmax(), [-1.7014132779827524, -0.20141327798275246]),
        (nn.Identity(), [-1.0, 0.5]),
    ],
    ids=repr,
)
def test_activations(activation: nn.Module, expected: list[float]) -> None:
    out = activation([Value(-1.0), Value(0.5)])
    assert [y.data for y in out] == pytest.approx(expected, rel=1e-14)
    assert [[y.data for y in row] for row in activation([[Value(-1.0), Value(0.5)]])] == [
        [y.data for y in out]
    ]


# --- state ----------------------------------------------------------------------------------


def test_a_call_takes_what_forward_takes() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            self.w = Value(2.0)

        def forward(self, x: list[float], scale: float = 1.0) -> Value:
            return self.w * sum(x) * scale

    assert Scaled()([1.0, 2.0], scale=3.0).data == 18.0
    assert Scaled()(x=np.array([1.0, 2.0])).data == 6.0
    with pytest.raises(TypeError, match="looks like a batch"):
        Scaled()(x=np.ones((2, 2)))


def test_a_state_goes_out_and_in() -> None:
    first, second = (
        model(),
        model().apply(lambda m: nn.init.normal_(m.weight) if isinstance(m, nn.Linear) else None),
    )
    state = first.state_dict()
    assert state["0.weight"].shape == (3, 2) and state["0.weight"].dtype == np.float64
    second.load_state_dict(state)
    assert second([0.3, 0.4])[0].data == first([0.3, 0.4])[0].data
    second.load_state_dict({key: np.zeros_like(array) for key, array in state.items()})
    assert [p.data for p in second.parameters()] == [0.0] * 13


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    net = model()
    before = net.state_dict()
    state = {**before, "extra": np.zeros(1), "0.weight": np.zeros((2, 3))}
    del state["2.bias"]
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict({**state, "0.bias": np.ones(3)})
    message = str(caught.value)
    assert "Missing key(s): '2.bias'" in message and "Unexpected key(s): 'extra'" in message
    assert "'0.weight' has shape (3, 2) here, (2, 3) in the state" in message
    assert all((before[key] == array).all() for key, array in net.state_dict().items())


def test_without_strict_only_what_is_there_is_loaded() -> None:
    net = model()
    net.load_state_dict({"0.bias": [1.0, 2.0, 3.0], "other": 1.0}, strict=False)
    assert net.state_dict()["0.bias"].tolist() == [1.0, 2.0, 3.0]


def test_modes_children_and_zero_grad() -> None:
    net = nn.Sequential(model(), nn.ReLU())
    assert not any(module.training for module in net.eval().modules())
    assert all(module.training for module in net.train().modules())
    assert len(list(net.modules())) == 6 and len(list(net.children())) == 2
    net([1.0, 2.0])[0].backward()
    net.zero_grad()
    assert all(p.grad == 0.0 for p in net.parameters())


def test_a_deep_copy_has_parameters_of_its_own() -> None:
    net = nn.MLP(2, [2, 1])
    twin = copy.deepcopy(net)
    assert twin([1.0, 2.0]).data == net([1.0, 2.0]).data
    assert not set(twin.parameters()) & set(net.parameters())


def test_modules_of_ones_own_find_parameters_wherever_they_are() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            self.scale = Value(2.0)
            self.parts = [nn.Linear(1, 1), [nn.ReLU(), nn.Linear(1, 1)]]
            self.table = [[Value(0.0)], [Value(1.0)]]
            self.name, self.sizes, self.cached = "x", [1, 2], Value(1.0) * 2.0

    assert [name for name, _ in Mixed().named_parameters()] == [
        *("scale", "parts.0.weight", "parts.0.bias"),
        *("parts.1.1.weight", "parts.1.1.bias", "table"),
    ]


def test_results_that_a_forward_keeps_are_no_parameters() -> None:
    class Keeping(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 2)

        def forward(self, x):
            self.hidden = self.layer(x)
            return self.hidden

    net = Keeping()
    net([1.0])
    assert len(net.parameters()) == 4


def test_dicts_and_object_arrays_are_looked_into() -> None:
    class Holding(nn.Module):
        def __init__(self) -> None:
            self.parts = {"a": nn.Linear(1, 1), "w": Value(1.0)}
            self.table = np.array([Value(1.0), Value(2.0)])

    assert [name for name, _ in Holding().named_parameters()] == [
        *("parts.a.weight", "parts.a.bias", "parts.w", "table"),
    ]


def test_a_child_may_know_its_parent() -> None:
    parent, child = nn.Sequential(nn.Linear(1, 1)), nn.ReLU()
    child.parent, parent.child = parent, child
    assert len(parent.parameters()) == 2 and "..." in repr(parent)
    assert len(list(parent.modules())) == 3


def test_modules_and_children_have_pytorchs_names_and_come_once() -> None:
    act = nn.Tanh()
    net = nn.Sequential(nn.Sequential(nn.Linear(1, 1), act), act)
    assert [name for name, _ in net.named_modules()] == ["", "0", "0.0", "0.1"]
    assert [name for name, _ in net.named_modules("net")] == ["net", "net.0", "net.0.0", "net.0.1"]
    assert list(net.named_children()) == [("0", net[0]), ("1", act)]
    assert list(nn.Sequential(act, act).children()) == [act]


def test_apply_goes_from_the_leaves_up() -> None:
    net, seen = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh()), []
    assert net.apply(seen.append) is net
    assert set(seen) == set(net.modules()) and seen[-1] is net
    assert seen.index(net[0][0]) < seen.index(net[0])


class Tied(nn.Module):
    """An embedding whose weight is that of the last layer as well."""

    def __init__(self) -> None:
        rng = random.Random(3)
        self.embedding = nn.Embedding(3, 2, rng=rng)
        self.head = nn.Linear(2, 3, bias=False, rng=rng)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(self.embedding(x))


def test_tied_parameters_come_once_and_have_both_names() -> None:
    net = Tied()
    assert len(net.parameters()) == 6
    assert list(net.state_dict()) == ["embedding.weight", "head.weight"]
    net.load_state_dict(net.state_dict())
    net(1)[1].backward()
    row = net.embedding.weight[1]
    assert [p.grad for p in row] == pytest.approx([2 * p.data for p in row])


def test_tied_parameters_stay_tied_in_a_deep_copy() -> None:
    net = Tied()
    twin = copy.deepcopy(net.eval())
    assert twin.head.weight is twin.embedding.weight and len(twin.parameters()) == 6
    assert not twin.head.training and not set(twin.parameters()) & set(net.parameters())


def test_a_deep_copy_takes_nothing_of_graphs_that_parameters_are_in() -> None:
    net = nn.Linear(1, 1)
    loss = net([2.0])[0] ** 2
    memo: dict[int, object] = {}
    twin = copy.deepcopy(net, memo)
    assert id(loss) not in memo
    loss.backward()
    assert net.bias[0].grad != 0.0 and twin.bias[0].grad == 0.0


def test_a_result_that_a_module_kept_belongs_to_the_copy() -> None:
    net = nn.Linear(1, 1)
    net.kept = net([2.0])[0]
    twin = copy.deepcopy(net)
    twin.kept.backward()
    assert twin.weight[0][0].grad == 2.0 and net.weight[0][0].grad == 0.0


# --- freezing -------------------------------------------------------------------------------


def test_frozen_parameters_are_named_but_not_for_optimisers() -> None:
    net = model()
    assert net[0].requires_grad_(False) is net[0]
    assert net.parameters() == net[2].parameters() and len(net[2].parameters()) == 4
    assert list(net.state_dict()) == [name for name, _ in net.named_parameters()]
    assert len(net.state_dict()) == 4
    assert len(net.requires_grad_().parameters()) == 13
    net.requires_grad_(False)[2].requires_grad_()
    assert net.parameters() == net[2].parameters()


def test_a_tied_parameter_is_frozen_where_one_of_its_modules_is() -> None:
    net = Tied()
    net.embedding.requires_grad_(False)
    assert net.parameters() == []


def test_freezing_is_copied() -> None:
    net = model()
    net[0].requires_grad_(False)
    assert len(copy.deepcopy(net).parameters()) == 4


def test_frozen_parameters_do_not_move_by_hand() -> None:
    net = model()
    net[0].requires_grad_(False)
    before = net.state_dict()
    optimizer = nn.SGD(net.parameters(), lr=0.1, weight_decay=0.1)
    net([1.0, 2.0])[0].backward()
    optimizer.step()
    assert_moved(net, before)
    assert net[0].bias[0].grad != 0.0  # a leaf like any other
    net.zero_grad()
    assert net[0].bias[0].grad == 0.0


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_frozen_parameters_do_not_move_in_fit(path: str) -> None:
    net = model()
    settings = {"loss": nn.MSELoss(), "epochs": 2, "path": path, "progress": False}
    late = nn.Adam(net.parameters())
    net[0].requires_grad_(False)
    before = net.state_dict()
    X, y = [[1.0, 2.0], [0.0, -1.0]], [[1.0], [2.0]]
    with pytest.raises(
        ValueError, match=r"'0\.weight' is frozen, .* after requires_grad_\(False\)"
    ):
        nn.fit(net, X, y, optimizer=late, **settings)
    nn.fit(net, X, y, optimizer=nn.Adam(net.parameters(), weight_decay=0.1), **settings)
    assert_moved(net, before)
    net.load_state_dict(before)
    assert all((before[key] == array).all() for key, array in net.state_dict().items())


def assert_moved(net: nn.Module, before: dict[str, np.ndarray]) -> None:
    moved = {key for key, array in net.state_dict().items() if (array != before[key]).any()}
    assert moved == {"2.weight", "2.bias"}


# --- lists of modules -----------------------------------------------------------------------


def layers(count: int) -> list[nn.Module]:
    return [nn.Linear(1, i + 1) for i in range(count)]


@pytest.mark.parametrize("kind", [lambda modules: nn.Sequential(*modules), nn.ModuleList])
def test_rows_of_modules_are_lists(kind) -> None:
    a, b, c, d = layers(4)
    row = kind([a, b, c])
    assert (len(row), list(row), row[0], row[-1]) == (3, [a, b, c], a, c)
    assert type(row[1:]) is type(row) and list(row[1:]) == [b, c]
    assert row.append(d) is row and list(row) == [a, b, c, d]
    assert row.pop() is d and row.pop(0) is a and list(row) == [b, c]
    assert list(row.extend([a]).insert(1, d)) == [b, d, c, a]
    assert [name for name, _ in row.named_children()] == ["0", "1", "2", "3"]
    row[-1] = b
    del row[1]
    assert list(row) == [b, c, b]
    del row[:2]
    assert list(row.state_dict()) == ["0.weight", "0.bias"] and b in row and c not in row


@pytest.mark.parametrize("kind", [lambda modules: nn.Sequential(*modules), nn.ModuleList])
def test_rows_of_modules_refuse_the_rest_and_stay_as_they_were(kind) -> None:
    row = kind(layers(2))
    before = list(row)
    for change in (row.append, lambda x: row.insert(0, x), lambda x: row.extend([nn.ReLU(), x])):
        with pytest.raises(TypeError, match="takes modules, not a float"):
            change(1.0)
    with pytest.raises(TypeError, match="takes modules, not a float"):
        row[0] = 1.0
    for wrong in (2, -3):
        with pytest.raises(IndexError, match=f"index {wrong} is out of range for 2 modules"):
            row[wrong]
    assert list(row) == before
    with pytest.raises(TypeError, match="takes several modules here, as a list"):
        row.extend(nn.ReLU())


def test_the_same_module_may_be_used_twice_in_a_row() -> None:
    double = nn.Linear(1, 1)
    double.load_state_dict({"weight": [[2.0]], "bias": [0.0]})
    net = nn.Sequential(double, double)
    assert net([3.0])[0].data == 12.0 and len(net.parameters()) == 2


def test_a_slice_and_its_whole_share_their_modules() -> None:
    net = model()
    assert net[:2]([1.0, 2.0])[0].data == net[1](net[0]([1.0, 2.0]))[0].data
    assert set(net[2:].parameters()) < set(net.parameters())


def test_a_list_of_modules_is_called_by_a_forward_of_ones_own() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            rng = random.Random(0)
            self.blocks = nn.ModuleList(nn.Linear(2, 2, rng=rng) for _ in range(2))

        def forward(self, x):
            for block in self.blocks:
                x = [old + new for old, new in zip(x, block(x), strict=True)]
            return x

    net = Residual()
    names = ["blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias"]
    assert list(net.state_dict()) == names
    X = [[1.0, -1.0], [0.5, 2.0]]
    expected = [[y.data for y in net(x)] for x in X]
    assert nn.predict(net, X, path="vectorised").tolist() == [
        pytest.approx(row, rel=1e-14) for row in expected
    ]
    with pytest.raises(TypeError, match="ModuleList defines no forward"):
        net.blocks([1.0, 2.0])


def test_a_picture_is_flattened_on_both_paths() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, rng=random.Random(0)))
    X = np.random.default_rng(0).random((3, 8, 8))
    expected = X.reshape(3, 64) @ net[1].state_dict()["weight"].T + net[1].state_dict()["bias"]
    for path in ("scalar", "vectorised"):
        assert nn.predict(net, X, path=path) == pytest.approx(expected, rel=1e-13)
    assert nn.Flatten()([[1.0, [2.0]], 3.0]) == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="1 to -1, not 0 to -1"):
        nn.Flatten(0)


# --- complaints -----------------------------------------------------------------------------


def test_a_wrong_number_of_inputs_names_both_sizes() -> None:
    with pytest.raises(ValueError, match=r"Linear\(in_features=2.*takes 2 inputs.*given 3"):
        model()([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"ReLUNeuron\(2\) takes 2 inputs, but was given 1"):
        nn.MLP(2, [3, 1])([1.0])
    with pytest.raises(ValueError, match="takes 3 inputs, but was given 2"):
        nn.Sequential(nn.Linear(2, 2), nn.Linear(3, 1))([1.0, 2.0])


def test_a_batch_is_sent_to_predict() -> None:
    with pytest.raises(TypeError, match=r"shape \(4, 2\).*nn.predict\(model, X\)"):
        model()(np.zeros((4, 2)))
    with pytest.raises(TypeError, match=r"list of 2 lists; use nn\.predict"):
        nn.MLP(2, [1])([[1.0, 2.0], [3.0, 4.0]])


def test_an_array_of_one_example_is_taken() -> None:
    assert model()(np.array([1.0, 2.0]))[0].data == model()([1.0, 2.0])[0].data


@pytest.mark.parametrize("wrong", [1.0, "ab", None])
def test_what_is_no_list_is_named(wrong: object) -> None:
    with pytest.raises(TypeError, match="takes a list of 2 numbers"):
        model()(wrong)


def test_parameters_are_labelled_by_their_names() -> None:
    net = nn.Sequential(nn.Linear(2, 1))
    net.parameters()[0].label = "mine"
    net.label_parameters()
    assert [p.label for p in net.parameters()] == ["mine", "0.weight[0][1]", "0.bias[0]"]


def test_layers_are_drawn_as_frames() -> None:
    source = engine.draw(model()([1.0, 2.0])[0]).source
    assert source.count("label=<Linear>") == 2 and "label=<Sequential>" in source
