"""Plots: what is drawn, on the Axes that are given or new ones."""

import base64
import io
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

import engine
import nn
from nn import plots
from sanitised import Sanitised

X = np.array([[0.0, 0.0], [1.0, 0.5], [0.25, 1.0]])
NETWORK = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
NETWORK([1.0, 2.0])[0].backward()
MSE = nn.MSELoss()
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
    "gradient_flow": lambda ax: plots.gradient_flow(NETWORK, X[:, :2], X[:, :1], MSE, ax=ax),
    "draw_network": lambda ax: nn.draw_network(NETWORK, [1.0, 2.0], ax=ax),
    "unit_responses": lambda ax: plots.unit_responses(NETWORK[:2], X, steps=5, ax=ax),
    "descents": lambda ax: plots.descents(lambda w: w * w, [1.0], ax=ax),
}


RNG = random.Random(0)
DEEP = nn.Sequential(*(m for n in (2, 12, 12, 12) for m in (nn.Linear(n, 12, rng=RNG), nn.Tanh())))
POINTS = np.random.default_rng(0).normal(size=(30, 2))
LARGE = {
    "confusion_matrix": lambda: plots.confusion_matrix(np.full((10, 10), 1234)),
    "overfitting_curves": lambda: plots.overfitting_curves(
        dict.fromkeys(("plain", "more data", "dropout"), ([0, 1], [0.5, 0.9], [0.5, 0.6]))
    ),
    "weight_images": lambda: plots.weight_images(np.eye(64), (8, 8)),
    "draw_network": lambda: nn.draw_network(DEEP, [-0.5, 1.0]),
    "draw_network of a digit": lambda: nn.draw_network(DEEP, [-0.5, 1.0], shape=(1, 2)),
    "unit_responses": lambda: plots.unit_responses(DEEP[:2], POINTS, steps=5),
    "descents": lambda: plots.descents(lambda a, b: a * a + 9.0 * b * b, [1.0, 1.0], [0.01, 0.12]),
    "gradient_flow": lambda: plots.gradient_flow(
        DEEP, POINTS, POINTS[:, 0] > 0.0, nn.CrossEntropyLoss()
    ),
}


@pytest.mark.parametrize("name", [*PLOTS, *(f"large {name}" for name in LARGE)])
def test_every_text_is_of_9_points_or_more_on_a_page_and_on_a_web_page(name: str) -> None:
    ax = LARGE[name[6:]]() if name.startswith("large ") else PLOTS[name](None)
    figure = ax.figure
    figure.canvas.draw()  # which writes the ticks' labels
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    width = figure.get_figwidth()
    on_paper = min(1.0, 6.5 / width)  # between margins of an inch
    on_screen = min(figure.dpi / 96, 880 / 96 / width)  # of 880 pixels, at 96 an inch
    least = min(texts, key=Text.get_fontsize)
    assert least.get_fontsize() * min(on_paper, on_screen) >= 9.0, least.get_text()
    axes = [part for axes in figure.findobj(Axes) for part in (axes.xaxis, axes.yaxis)]
    ticks = {label for axis in axes for label in axis.get_ticklabels(which="both")}  # some unseen
    for text in set(texts) - ticks:
        assert _is_within(text.get_window_extent(), figure.bbox), text.get_text()


def _is_within(box: Any, whole: Any) -> bool:
    """Whether a box is in another, but for a pixel."""
    return bool((box.min >= whole.min - 1.0).all() and (box.max <= whole.max + 1.0).all())


@pytest.mark.parametrize("name", PLOTS)
def test_axes_are_taken_and_returned(name: str) -> None:
    ax = plots.new_axes()
    assert PLOTS[name](ax) is ax and PLOTS[name](None) is not ax
    assert ax.has_data() or ax.collections or ax.child_axes


def written(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_accuracies_are_percentages_and_the_best_is_marked() -> None:
    ax = plots.accuracy_curve([0, 10, 20], [0.5, 0.9, 0.8], [0.4, 0.7, 0.6], best=1)
    train, test, best = ax.lines
    assert train.get_ydata().tolist() == [50.0, 90.0, 80.0]
    assert test.get_ydata().tolist() == pytest.approx([40.0, 70.0, 60.0])
    assert (best.get_xdata(), best.get_ydata()) == ([10], [90.0])


@pytest.mark.parametrize("score", [0.5, 2.0])
def test_scores_beyond_0_and_1_have_the_colours_of_the_ends(score: float) -> None:
    points = np.array([[0.0, 0.0], [4.0, 0.1]])
    ax = plots.decision_boundary(lambda grid: score * (grid[:, 0] > 2.0), points, [0, 1])
    ax.figure.canvas.draw()
    label, legend = (x.get_window_extent() for x in (ax.xaxis.label, ax.get_legend()))
    assert label.y0 >= legend.y1  # however flat the plane
    beyond = ax.collections[0].get_array().max() > 1.0
    assert beyond == (score > 1.0)


def test_overfitting_is_told_in_points() -> None:
    ax = plots.overfitting_curves({"plain": ([0, 10], [0.5, 0.96], [0.5, 0.77])})
    assert "plain: 19 points apart" in [text.get_text() for text in ax.get_legend().get_texts()]
    ax = plots.overfitting_curves({"more data": ([0, 10], [0.5, 0.9], [0.5, 0.93])})
    assert "more data: 3 points apart" in [text.get_text() for text in ax.get_legend().get_texts()]
    ax = plots.overfitting_curves({"L2": ([0, 10], [0.5, 0.96], [0.5, 0.95])})
    assert ax.get_legend().get_texts()[0].get_text() == "L2: 1 point apart"


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0.09, 0.024], {"0.03", "0.04", "0.06"}),
        ([1e3, 1.0], {"1", "10", "100", "1000"}),
        ([1e9, 1.0], {"$\\mathdefault{10^{6}}$", "$\\mathdefault{10^{0}}$"}),  # all alike
    ],
)
def test_a_logarithmic_axis_has_plain_numbers(losses: list[float], expected: set[str]) -> None:
    ax = plots.loss_curve(losses)
    ax.figure.canvas.draw()
    written = {t.get_text() for t in ax.yaxis.get_ticklabels(which="both")}
    assert expected <= written
    ax.semilogy([1.0, 2.0], [1.0, 2.0])  # which makes the axis anew
    ax.figure.canvas.draw()
    written = {t.get_text() for t in ax.yaxis.get_ticklabels(which="both")}
    assert written & {"0.1", *expected}


def test_lines_take_colours_that_the_colour_blind_can_tell_apart() -> None:
    ax = plots.new_axes()
    lines = [ax.plot([0, 1], [k, k])[0].get_color() for k in range(8)]
    assert tuple(lines) == (*plots.COLOURS, *plots.COLOURS[:2])


def test_a_confusion_matrix_has_its_counts_written_in() -> None:
    assert written(plots.confusion_matrix([[3, 0], [1, 2]])) == ["3", "1", "2"]


def test_weight_images_are_side_by_side_with_a_gap() -> None:
    ax = plots.weight_images([[1.0, 2.0], [3.0, 4.0]], (1, 2))
    sheet = ax.images[0].get_array()
    assert sheet.shape == (1, 5) and sheet.filled(0.0).tolist() == [[1.0, 2.0, 0.0, 3.0, 4.0]]
    with pytest.raises(ValueError, match=r"weights of shape \(2, 2\) are no images of 2 x 2"):
        plots.weight_images([[1.0, 2.0], [3.0, 4.0]], (2, 2))


def test_each_unit_has_a_panel_that_says_what_is_wrong_with_it() -> None:
    layer = nn.Sequential(nn.Linear(2, 4), nn.ReLU())
    rows, bias = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [-1.0, 0.0, -0.9, 0.5]
    layer.load_state_dict({"0.weight": rows, "0.bias": bias})
    points = np.linspace([0.1, 0.0], [1.0, 1.0], 20)
    ax = plots.unit_responses(layer, points, np.arange(20) % 2)
    titles = [panel.get_title().partition(": ")[2] for panel in ax.child_axes]
    assert titles == ["dead, 0 for all", "", "off for 90%", "0.5 for all"]
    assert ax.figure.axes[-1].get_ylim()[0] == 0.0  # the colours that there are, and no others
    layer = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    layer.load_state_dict({"0.weight": [[99.0, 0.0], [1.0, 0.0]], "0.bias": [-9.0, 0.0]})
    first, second = plots.unit_responses(layer, points).child_axes
    assert "saturated for 9" in first.get_title() and ":" not in second.get_title()
    with pytest.raises(ValueError, match=r"examples of two numbers, not \(1, 3\)"):
        plots.unit_responses(layer, [[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match="y has 40 labels for 20 examples"):
        plots.unit_responses(layer, points, np.eye(2)[np.arange(20) % 2])


def test_descents_go_down_or_leave_the_picture() -> None:
    window = [(-2.0, 2.0), (-3.0, 3.0)]
    valley = lambda a, b: a * a + 4.0 * b * b  # noqa: E731
    ax = plots.descents(valley, [1.0, 1.0], [0.1, 0.3], steps=3, window=window)
    slow, fast = (np.array(line.get_xydata()) for line in ax.lines)
    assert slow == pytest.approx(np.array([[0.8**k, 0.2**k] for k in range(4)]))
    assert len(fast) == 4 and fast[1] == pytest.approx([0.4, -1.4])
    ax = plots.descents(lambda w: engine.exp(w * w), [1.0], [0.1, 99.0], window=[(-2.0, 2.0)])
    curve, _, lost = ax.lines
    assert (
        curve.get_xydata()[0] == pytest.approx([-2.0, np.exp(4.0)]) and len(lost.get_xdata()) == 1
    )
    with pytest.raises(ValueError, match="one or two weights, not 3"):
        plots.descents(lambda a, b, c: a, [1.0, 2.0, 3.0])
    for rates, ends in (([], []), ([0.1], [(-1.0, 1.0)]), ([0.1], [1.0, 2.0])):
        with pytest.raises(ValueError, match="a pair of ends for each of 2 weights, not"):
            plots.descents(valley, [1.0, 1.0], rates, window=ends)  # type: ignore[arg-type]


def test_more_than_there_are_colours_is_drawn_all_the_same() -> None:
    ax = plots.descents(lambda w: w * w, [1.0], [0.01 * k for k in range(1, 9)])
    assert len(ax.lines) == 1 + 8
    points = np.random.default_rng(0).normal(size=(8, 2))
    [panel] = plots.unit_responses(lambda x: [x[0]], points, np.arange(8), steps=3).child_axes
    drawn = np.concatenate([part.get_offsets() for part in panel.collections[1:]])  # on contours
    np.testing.assert_allclose(drawn, points)


# --- networks -------------------------------------------------------------------------------


def test_gradient_norms_are_bars_and_what_is_none_is_said() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1, bias=False))
    model.load_state_dict({"0.weight": [[1], [2]], "0.bias": [-9, -9], "2.weight": [[1, 1]]})
    (model([1.0])[0] + 3.0 * model[2].weight[0][0] + 4.0 * model[2].weight[0][1]).backward()
    ax = plots.gradient_norms(model)
    assert [label.get_text() for label in ax.get_yticklabels()] == [*model.state_dict()]
    assert [text.get_text() for text in ax.texts] == ["0", "0"]  # the dead layer's
    assert [bar.get_x() + bar.get_width() for bar in ax.patches] == [5.0]


def test_gradient_flow_is_the_chain_rule_from_the_last_module_to_the_first() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1, bias=False))
    model.load_state_dict({"0.weight": [[1], [-1]], "0.bias": [0, 0], "2.weight": [[3, 4]]})
    # at x = 1 and 2 the slope by the output is 3 x; by the hidden units, of which one is off, 9 x
    # and 12 x; and by the first sums 9 x and 0
    half = lambda output, target: 0.5 * (output[0] - target[0]) ** 2  # noqa: E731
    left, right = plots.gradient_flow(model, [[1.0], [2.0]], [[0.0], [0.0]], half).child_axes
    sizes = [bar.get_x() + bar.get_width() for bar in right.patches]
    assert sizes == pytest.approx(
        [np.sqrt((81 + 324) / 4), np.sqrt((81 + 324 + 144 + 576) / 4), np.sqrt((9 + 36) / 2)]
    )
    assert [text.get_text() for text in left.texts] == ["", "1 of 2 dead", ""]
    model[0].weight[0][0].data = 1e308
    left, right = plots.gradient_flow(model, [[100.0]], [[0.0]], half).child_axes
    assert [text.get_text() for text in left.texts] == ["nan or inf"] * 3
    assert {text.get_text() for text in right.texts} <= {"nan", "inf"} and len(right.texts) == 3


def test_gradient_flow_names_saturation_and_takes_pictures_and_tokens() -> None:
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Dropout(0.5), nn.Linear(9, 3))
    model.load_state_dict({**model.state_dict(), "0.weight": 9.0 * rng.normal(size=(9, 4))})
    classes = nn.CrossEntropyLoss()
    left, _ = plots.gradient_flow(
        model, rng.normal(size=(20, 4)), np.arange(20) % 3, classes
    ).child_axes
    assert [text.get_text()[2:] for text in left.texts] == ["", "% saturated", "% saturated", ""]
    assert model.training
    conv = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(8, 3))
    plots.gradient_flow(conv, rng.normal(size=(5, 1, 3, 3)), [0, 1, 2, 0, 1], classes)
    plots.gradient_flow(nn.Sequential(nn.Embedding(5, 3)), np.arange(5), [0, 1, 2, 0, 1], classes)
    with pytest.raises(ValueError, match="X has 5 rows and y has 2"):
        plots.gradient_flow(conv, rng.normal(size=(5, 1, 3, 3)), [0, 1], classes)
    for none in (nn.Linear(2, 2), nn.Sequential()):
        with pytest.raises(TypeError, match="modules of a Sequential, and finds none in"):
            plots.gradient_flow(none, X, X, MSE)


def test_every_weight_is_an_edge_and_every_activation_a_number() -> None:
    x = [1.0, -2.0]
    ax = nn.draw_network(NETWORK, x)
    edges = ax.collections[0]
    W1, _, W2, _ = NETWORK.state_dict().values()
    assert sorted(edges.get_array()) == sorted([*W1.ravel(), *W2.ravel()])
    hidden = [tanh.data for tanh in NETWORK[1](NETWORK[0](x))]
    numbers = [1.0, -2.0, *hidden, NETWORK(x)[0].data]
    assert [f"{number:.2f}".replace("-", "\N{MINUS SIGN}") for number in numbers] == [
        text for text in written(ax) if text[-1].isdigit() and "\n" not in text
    ]


def test_a_number_in_a_circle_is_never_minus_zero() -> None:
    x = [-0.001, -2.0]
    assert written(nn.draw_network(nn.Linear(2, 1), x))[:2] == ["0.00", "\N{MINUS SIGN}2.00"]


def test_a_colour_of_a_circle_is_one_activation_in_all_columns() -> None:
    columns = nn.draw_network(NETWORK, [1.0, -2.0]).collections[1:]
    shown = [a for column in columns for a in column.get_array()]
    assert shown[:2] == [1.0, -2.0]
    assert {column.get_clim() for column in columns} == {(-2.0, 2.0)}
    assert len({column.get_cmap().name for column in columns}) == 1


def test_an_example_that_is_a_picture_is_shown_as_one() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    ax = nn.draw_network(model, range(6), shape=(2, 3))
    [image] = ax.images
    assert np.array_equal(image.get_array(), [[0, 1, 2], [3, 4, 5]])
    edges, *columns = ax.collections
    assert len(edges.get_array()) == 8 and [len(c.get_offsets()) for c in columns] == [4, 2]
    assert len(nn.draw_network(nn.Linear(4, 2), range(4), shape=(2, 2)).images) == 1
    with pytest.raises(
        ValueError, match=r"shape=\(2, 4\) is of the example x, and x has 6 numbers"
    ):
        nn.draw_network(model, range(6), shape=(2, 4))
    with pytest.raises(ValueError, match="there is no x"):
        nn.draw_network(model, shape=(2, 3))


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


# --- where a plot is seen -----------------------------------------------------------------------


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """No figure stays with pyplot."""
    yield
    pyplot.close("all")


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_a_picture_as_the_last_line_of_a_cell(name: str) -> None:
    ax = PLOTS[name](None)
    for shown in (ax, ax.figure):
        bundle = shown._repr_mimebundle_()
        assert set(bundle) == {"image/png", "text/plain"} and shown._repr_html_() is None
        assert size_of(bundle["image/png"]) == pytest.approx(
            120 * ax.figure.get_size_inches(), abs=1
        )


def pixels_of(png: bytes) -> Any:
    """Rows of pixels, each of red, green, blue and how opaque it is, from 0 to 1."""
    return pyplot.imread(io.BytesIO(png))


def test_a_plot_stands_on_a_card_in_a_page_and_on_white_in_a_file(tmp_path: Path) -> None:
    ax = plots.loss_curve([1.0, 0.5])
    card = pixels_of(base64.b64decode(ax._repr_mimebundle_()["image/png"]))
    corners, inside = card[[0, 0, -1, -1], [0, -1, 0, -1]], card[10, 10]
    assert (corners[:, 3] < 0.5).all()  # through which one sees the page
    assert inside[3] == 1.0 and 0.9 < inside[:3].min() < 1.0
    assert (pixels_of(plots.save(ax, tmp_path / "plot.png").read_bytes())[[0, 10], 0] == 1.0).all()
    with pyplot.style.context("dark_background"):  # whose ink is light
        dark = plots.loss_curve([1.0, 0.5])._repr_mimebundle_()["image/png"]
    assert (pixels_of(base64.b64decode(dark))[0, 0] == [0.0, 0.0, 0.0, 1.0]).all()


def test_a_figure_shows_itself_where_pyplot_would_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    formatter = pytest.importorskip("IPython.core.formatters").DisplayFormatter()
    formatter.formatters["image/png"].for_type(Figure, lambda figure: "pyplot's")  # as it is told
    shell = SimpleNamespace(display_formatter=formatter)
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    for shown in ((ax := plots.loss_curve([1.0, 0.5])), ax.figure):
        data, _ = formatter.format(shown)
        assert size_of(data["image/png"]) == (720, 480)


def test_lines_have_colours_that_all_can_tell_apart_in_every_panel() -> None:
    figure = plots.new_axes().figure
    figure.clear()
    colours = [[ax.plot([0, 1])[0].get_color() for _ in range(4)] for ax in figure.subplots(1, 2)]
    assert colours[0] == colours[1] == ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]


def test_a_flat_plane_is_a_flat_picture() -> None:
    flat, square = (np.array([[0.0, 0.0], [4.0, up]]) for up in (1.0, 4.0))
    for plot in (
        lambda X: plots.decision_boundary(lambda grid: grid[:, 0], X, [0, 1]),
        lambda X: plots.prediction_scatter(X, [0, 1]),
    ):
        low, high = (plot(X).figure.get_figheight() for X in (flat, square))
        assert high - low == pytest.approx(0.9 * 3.9 * (1 - 1 / 4), rel=0.2)


def test_a_plot_is_as_fine_as_somebody_has_set_it() -> None:
    ax = plots.loss_curve([1.0, 0.5])
    ax.figure.set_dpi(60)
    assert size_of(ax._repr_mimebundle_()["image/png"]) == (360, 240)


def size_of(png: str) -> tuple[int, int]:
    """Width and height of a PNG in base64, from its first chunk."""
    head = base64.b64decode(png)
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_pyplots_until_it_is_shown_or_saved(name: str, tmp_path: Path) -> None:
    shown, saved = PLOTS[name](None), PLOTS[name](None)
    assert {ax.figure for ax in (shown, saved)} <= {pyplot.figure(n) for n in pyplot.get_fignums()}
    shown._repr_mimebundle_()  # or the end of a cell would draw it a second time
    plots.save(saved, tmp_path / "plot.png")
    assert pyplot.get_fignums() == []


def test_many_plots_of_a_script_are_no_warning() -> None:
    for _ in range(25):
        plots.loss_curve([2.0, 1.0])


SCRIPT = """\
import sys
import nn
ax = nn.History(loss=[2.0, 1.0, 0.5]).plot()
ax.figure.savefig(sys.argv[1])
if sys.argv[2] == "shows":
    import matplotlib.pyplot as plt
    assert plt.gcf() is ax.figure
    plt.show()
"""
BACKENDS = {"agg": "shows", "svg": "shows", "tkagg": "no screen", "module://no.such": "nothing"}


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_script_makes_its_picture_under_any_backend(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(path), BACKENDS[backend]],
        env=environment | {"MPLBACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert size_of(base64.b64encode(path.read_bytes()).decode()) == (720, 480)


def test_a_backend_without_its_screen_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object, **options: object) -> None:
        raise ImportError("Cannot load backend 'TkAgg' as 'headless' is currently running")

    monkeypatch.setattr(pyplot, "figure", fails)
    assert "image/png" in plots.loss_curve([1.0, 0.5])._repr_mimebundle_()


def test_a_thread_makes_a_plot_of_its_own() -> None:
    with ThreadPoolExecutor() as pool:
        ax = pool.submit(plots.loss_curve, [1.0, 0.5]).result()
    assert pyplot.get_fignums() == [] and "image/png" in ax._repr_mimebundle_()


# --- a history ----------------------------------------------------------------------------------


def test_a_history_is_a_short_text_and_a_curve() -> None:
    losses = [1.0 / k for k in range(1, 2001)]
    history = nn.History(loss=losses, step_loss=losses * 10, val_loss=losses, seconds=2.0)
    assert repr(history) == (
        "History(2,000 epochs, 20,000 updates; loss 1 to 0.0005; val_loss 1 to 0.0005; "
        "scalar path, 2 s)"
    )
    bundle = history._repr_mimebundle_()
    assert bundle["text/plain"] == repr(history) and bundle["text/html"] == history._repr_html_()
    assert size_of(bundle["image/png"]) == (720, 480)
    left = Sanitised(bundle["text/html"])
    assert left.words.strip() == repr(history) and left.images[0]["width"] == "720"
    assert "<script" not in bundle["text/html"]  # or marimo puts it into a frame, and cuts it off
    assert left.images[0]["src"] == f"data:image/png;base64,{bundle['image/png']}"
    assert pyplot.get_fignums() == []
    assert set(nn.History()._repr_mimebundle_()) == {"text/plain", "text/html"}


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 1, 4])
def test_a_run_that_diverged_is_drawn_up_to_there(bad: float, place: int) -> None:
    losses = [4.0, 2.0, 1.0, 3.0, 1e200]
    losses[place:] = [bad] * (5 - place)
    ax = plots.loss_curve(losses)
    curve = ax.lines[0]
    assert list(curve.get_ydata()) == losses[:place]
    [told] = [text.get_text() for text in ax.get_legend().get_texts() if "from" in text.get_text()]
    assert told == f"{bad:g} from here on"
    ax.figure.savefig(io.BytesIO())


@pytest.mark.parametrize("losses", [[1.0, 0.0], [0.5, -1.0], [0.0], [-3.0, -2.0], [2.5, 2.3], []])
def test_losses_that_are_not_above_0_or_much_alike_are_all_seen(losses: list[float]) -> None:
    ax = plots.loss_curve(losses)
    assert ax.get_yscale() == "linear" and list(ax.lines[0].get_ydata()) == losses
    assert plots.loss_curve([1.0, 0.5]).get_yscale() == "log"
