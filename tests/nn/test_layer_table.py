"""`nn.summary`: layers, shapes, parameters and operations, by hand and beside torchinfo."""

from __future__ import annotations

import html
import math
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine import Value
from notes import Notes


class Two(nn.Module):
    def __init__(self) -> None:
        self.left, self.right = nn.Linear(2, 3), nn.Linear(1, 3, bias=False)
        self.scale = Value(1.0)

    def forward(self, a: Any, b: Any) -> Any:
        pairs = zip(self.left(a), self.right(b), strict=True)
        return {"sum": [self.scale * (x + y) for x, y in pairs], "first": engine.exp(a[0])}


def told(model: Any, example: Any = None) -> dict[str, Any]:
    rows = nn.summary(model, example).rows
    return {row.name: (row.output, row.parameters, row.operations) for row in rows}


def test_a_network_by_hand() -> None:
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1, bias=False))
    assert told(model) == {
        "": ("(1,)", 0, (0, 0, 0)),
        "0": ("(8,)", 24, (16, 16, 0)),
        "1": ("(8,)", 0, (0, 0, 8)),
        "2": ("(1,)", 8, (7, 8, 0)),
    }
    table = nn.summary(model)
    assert (table.parameters, table.trainable, table.frozen) == (32, 32, 0)
    assert table.operations == (23, 24, 8)
    assert table.bytes > 55 * 100


@pytest.mark.parametrize("example", [([1.0, 2.0], [3.0]), {"b": [3.0], "a": np.array([1.0, 2.0])}])
def test_a_model_of_ones_own_with_several_inputs_and_outputs(example: Any) -> None:
    assert told(Two(), example) == {
        "": ("{'sum': (3,), 'first': ()}", 1, (3, 3, 1)),
        "left": ("(3,)", 9, (6, 6, 0)),
        "right": ("(3,)", 3, (0, 3, 0)),
    }


def test_what_is_counted_is_what_the_output_depends_on_in_evaluation_mode() -> None:
    class Wasteful(nn.Module):
        def __init__(self) -> None:
            self.drop, self.line = nn.Dropout(0.5), nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            y = self.line(self.drop(x))
            engine.exp(y[1])
            return y[0]

    model = Wasteful()
    assert nn.summary(model).operations == (2, 2, 0)
    assert model.training and model.drop.training


def test_tied_parameters_are_counted_once_and_frozen_ones_told() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    model[1].weight = model[0].weight  # type: ignore[attr-defined]
    model[2].requires_grad_(False)
    table = nn.summary(model)
    assert (table.parameters, table.trainable, table.frozen) == (12 + 3 + 8, 15, 8)
    assert table.parameters == len(
        {p for _, x in model.named_parameters() for p in nn.module.values_of(x)}
    )
    assert [row.note for row in table.rows] == ["", "", "tied", "frozen"]
    assert "tied 3" in str(table) and "frozen 8" in str(table)


def test_a_module_that_is_called_several_times_has_one_row() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            self.line = nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            return self.line(self.line(x))

    assert told(Twice())["line"] == ("2 x (2,)", 6, (8, 8, 0))


def test_parts_of_a_list_that_are_alike_are_one_row() -> None:
    table = nn.summary(nn.MLP(3, [16, 16, 2]))
    assert [(row.name, row.layer, row.parameters) for row in table.rows] == [
        ("", "MLP", 0),
        ("layers.0", "Layer", 0),
        ("neurons.0-15", "16 x Neuron", 64),
        ("layers.1", "Layer", 0),
        ("neurons.0-15", "16 x Neuron", 272),
        ("layers.2", "Layer", 0),
        ("neurons.0-1", "2 x Neuron", 34),
    ]
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3)]
    deep = nn.summary(nn.Sequential(*blocks, nn.Linear(4, 4)))
    assert [(row.name, row.layer) for row in deep.rows[1:]] == [
        *[("0-2", "3 x Sequential"), ("0", "3 x Linear"), ("1", "3 x ReLU"), ("3", "Linear")]
    ]
    assert deep.parameters == 80 and deep.operations == (64, 64, 12)


def test_what_is_alike_but_for_its_name_keeps_it() -> None:
    names = [row.name for row in nn.summary(nn.CausalSelfAttention(4, 2)).rows]
    assert names == ["", "query", "key", "value", "output"]


def test_without_an_example_that_can_be_thought_of_parameters_are_left() -> None:
    table = nn.summary(Two())
    assert (table.parameters, table.bytes, table.operations) == (13, 0, (0, 0, 0))
    assert "give an example: nn.summary(model, x)" in str(table)
    tokens = nn.Sequential(nn.Embedding(5, 4), nn.CausalSelfAttention(4, 2))
    assert nn.summary(tokens).operations == nn.summary(tokens, [3]).operations


def test_an_example_that_does_not_fit_is_the_models_error() -> None:
    with pytest.raises(ValueError, match="takes 2 inputs, but was given 3"):
        nn.summary(nn.Linear(2, 1), [1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match=r"model is an nn\.Module"):
        nn.summary(nn.Linear)


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 1)))
    model[0].forward = own = model[0].forward  # type: ignore[method-assign]
    nn.summary(model)
    with pytest.raises(ValueError):
        nn.summary(model, [1.0])
    assert all(module.training for module in model.modules())
    assert ["forward" in vars(module) for module in model.modules()] == [False, True, False, False]
    assert model[0].forward is own


def test_it_shows_itself_in_notebooks_with_what_is_written_escaped() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            self.parts = {"<b>": nn.Linear(2, 1)}

        def forward(self, x: Any) -> Any:
            return self.parts["<b>"](x)

    table = nn.summary(Odd())
    page = table._repr_html_()
    assert page is not None and "<table>" in page and "parts.&lt;b&gt;" in page
    assert html.escape("parts.<b>") in page and "<b>" not in page
    assert table._repr_mimebundle_()["text/plain"] == str(table) == repr(table)


def test_any_callable_with_parameters_will_do() -> None:
    class Plain:
        def __init__(self) -> None:
            self.w, self.calls = Value(2.0), Notes()

        def parameters(self) -> list[Value]:
            return [self.w]

        def __call__(self, x: Any) -> Any:
            return self.w * x

    table = nn.summary(Plain(), 3.0)
    assert (table.parameters, table.operations) == (1, (0, 1, 0))


# --- beside torchinfo -----------------------------------------------------------------------


def perceptron(nn: Any) -> Any:
    return nn.Sequential(
        nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)
    )


def nested(nn: Any) -> Any:
    inner = [nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Tanh()) for _ in range(3)]
    return nn.Sequential(nn.Sequential(*inner), nn.Sequential(nn.Sequential(nn.Linear(4, 2))))


def tied(nn: Any) -> Any:
    shared = nn.Linear(4, 4)
    return nn.Sequential(shared, nn.Sigmoid(), shared, nn.Tanh(), nn.Linear(4, 1, bias=False))


def frozen(nn: Any) -> Any:
    model = perceptron(nn)
    model[0].requires_grad_(False)
    return model


def tokens(nn: Any) -> Any:
    return nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 11))


def pictures(nn: Any) -> Any:
    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(16, 3))


EXAMPLES: dict[Any, Any] = {
    **dict.fromkeys([perceptron, nested, tied, frozen], [0.5] * 4),
    tokens: 3,
    pictures: [[[0.5] * 6] * 6],
}


@pytest.mark.oracle
@pytest.mark.parametrize("build", EXAMPLES)
def test_torchinfo_has_the_same_parameters_and_counts_biases_as_products(build: Any) -> None:
    torch, torchinfo = pytest.importorskip("torch"), pytest.importorskip("torchinfo")
    network, example = build(torch.nn), EXAMPLES[build]
    theirs = torchinfo.summary(network, input_data=torch.tensor([example]), verbose=0)
    ours = nn.summary(build(nn), example)
    assert ours.parameters == theirs.total_params
    assert ours.trainable == theirs.trainable_params
    kinds, found = ("Linear", "Conv2d"), theirs.summary_list
    products = sum(row.operations[1] for row in ours.rows if row.layer.endswith(kinds))
    biases = 0  # there a bias is a product, and so are a table's rows and a norm's scales
    for info in found:
        if info.class_name in kinds and info.module.bias is not None:
            biases += info.module.bias.numel() * math.prod(info.output_size[2:])
    others = sum(info.macs for info in found if info.class_name in ("LayerNorm", "Embedding"))
    assert theirs.total_mult_adds == products + biases + others
