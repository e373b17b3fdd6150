"""Plots: what is drawn, on the Axes that are given or new ones."""

import random
from typing import Any

import numpy as np
import pytest

import nn
from nn import plots

X = np.array([[0.0, 0.0], [1.0, 0.5], [0.25, 1.0]])
NETWORK = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
NETWORK([1.0, 2.0])[0].backward()
PLOTS = {
    "loss_curve": lambda ax: plots.loss_curve([2.0, 1.0], [3.0, 2.0], ax=ax),
    "decision_boundary": lambda ax: plots.decision_boundary(
        lambda grid: grid[:, 0], X, [0, 1, 0], wrong=[True, False, False], steps=5, ax=ax
    ),
    "accuracy_curve": lambda ax: plots.accuracy_curve([0, 10], [0.5, 0.9], [0.4, 0.8], ax=ax),
    "overfitting_curves": lambda ax: plots.overfitting_curves(
        {"plain": ([0, 10], [0.5, 0.9], [0.5, 0.6])}, ax=ax
    ),
    "confusion_matrix": lambda ax: plots.confusion_matrix([[3, 0], [1, 2]], ax=ax),
    "prediction_scatter": lambda ax: plots.prediction_scatter(X, [0.0, 0.5, 1.0], ax=ax),
    "weight_images": lambda ax: plots.weight_images(np.eye(4), (2, 2), ax=ax),
    "gradient_norms": lambda ax: plots.gradient_norms(NETWORK, ax=ax),
    "draw_network": lambda ax: nn.draw_network(NETWORK, [1.0, 2.0], ax=ax),
}


@pytest.mark.parametrize("name", PLOTS)
def test_axes_are_taken_and_returned(name: str) -> None:
    ax = plots.new_axes()
    assert PLOTS[name](ax) is ax and PLOTS[name](None) is not ax
    assert ax.has_data() or ax.collections


def written(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_accuracies_are_percentages_and_the_best_is_marked() -> None:
    ax = plots.accuracy_curve([0, 10, 20], [0.5, 0.9, 0.8], [0.4, 0.7, 0.6], best=1)
    train, test, best = ax.lines
    assert train.get_ydata().tolist() == [50.0, 90.0, 80.0]
    assert test.get_ydata().tolist() == pytest.approx([40.0, 70.0, 60.0])
    assert (best.get_xdata(), best.get_ydata()) == ([10], [90.0])


def test_overfitting_is_told_in_points() -> None:
    ax = plots.overfitting_curves({"plain": ([0, 10], [0.5, 0.96], [0.5, 0.77])})
    assert "plain: 19 points apart" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_confusion_matrix_has_its_counts_written_in() -> None:
    assert written(plots.confusion_matrix([[3, 0], [1, 2]])) == ["3", "1", "2"]


def test_weight_images_are_side_by_side_with_a_gap() -> None:
    ax = plots.weight_images([[1.0, 2.0], [3.0, 4.0]], (1, 2))
    sheet = ax.images[0].get_array()
    assert sheet.shape == (1, 5) and sheet.filled(0.0).tolist() == [[1.0, 2.0, 0.0, 3.0, 4.0]]
    with pytest.raises(ValueError, match=r"weights of shape \(2, 2\) are no images of 2 x 2"):
        plots.weight_images([[1.0, 2.0], [3.0, 4.0]], (2, 2))


# --- networks -------------------------------------------------------------------------------


def test_gradient_norms_are_bars_and_what_is_none_is_said() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1, bias=False))
    model.load_state_dict({"0.weight": [[1], [2]], "0.bias": [-9, -9], "2.weight": [[1, 1]]})
    (model([1.0])[0] + 3.0 * model[2].weight[0][0] + 4.0 * model[2].weight[0][1]).backward()
    ax = plots.gradient_norms(model)
    assert [label.get_text() for label in ax.get_yticklabels()] == [*model.state_dict()]
    assert [text.get_text() for text in ax.texts] == ["0", "0"]  # the dead layer's
    assert [bar.get_x() + bar.get_width() for bar in ax.patches] == [5.0]


def test_every_weight_is_an_edge_and_every_activation_a_number() -> None:
    x = [1.0, -2.0]
    ax = nn.draw_network(NETWORK, x)
    edges = ax.collections[0]
    W1, _, W2, _ = NETWORK.state_dict().values()
    assert sorted(edges.get_array()) == sorted([*W1.ravel(), *W2.ravel()])
    hidden = [tanh.data for tanh in NETWORK[1](NETWORK[0](x))]
    numbers = [1.0, -2.0, *hidden, NETWORK(x)[0].data]
    assert [f"{number:.2f}" for number in numbers] == [
        text for text in written(ax) if text[-1].isdigit() and "\n" not in text
    ]


def test_of_a_wide_layer_the_middle_is_left_out() -> None:
    model = nn.Sequential(nn.Linear(100, 20), nn.ReLU(), nn.Linear(20, 2))
    ax = nn.draw_network(model)
    edges, *columns = ax.collections
    assert [len(column.get_offsets()) for column in columns] == [16, 16, 2]
    assert len(edges.get_array()) == 16 * 16 + 2 * 16
    assert written(ax).count("⋮") == 2 and "input\n100" in written(ax)


@pytest.mark.parametrize(
    "model",
    [
        nn.MLP(2, [3, 1], rng=random.Random(0)),
        nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), nn.Layer(3, 1)),
        nn.Sequential(nn.Layer(2, 3), nn.Dropout(0.5), nn.Neuron(3)),
    ],
    ids=["MLP", "nested", "neuron"],
)
def test_micrograds_and_nested_layers_are_columns_too(model: nn.Module) -> None:
    ax = nn.draw_network(model, [0.5, 0.5])
    assert [len(column.get_offsets()) for column in ax.collections[1:]] == [2, 3, 1]


def test_what_is_not_dense_is_named() -> None:
    with pytest.raises(TypeError, match=r"not a LayerNorm; engine.draw"):
        nn.draw_network(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    with pytest.raises(TypeError, match="Sequential has no dense layers to draw"):
        nn.draw_network(nn.Sequential(nn.ReLU()))
