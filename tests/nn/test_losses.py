"""Losses: reductions, edges, and what they say of shapes."""

import math
import random
from typing import Any

import numpy as np
import pytest

import engine
import nn
from engine import Value


def test_reductions() -> None:
    y, t = [[Value(1.0), Value(2.0)], [Value(3.0), Value(5.0)]], [[0.0, 0.0], [0.0, 0.0]]
    assert nn.MSELoss()(y, t).data == 39.0 / 4
    assert nn.MSELoss("sum")(y, t).data == 39.0
    each = nn.MSELoss("none")(y, np.array(t))
    assert [[term.data for term in row] for row in each] == [[1.0, 4.0], [9.0, 25.0]]


def test_a_bare_value_is_an_output_too() -> None:
    loss = nn.MSELoss()(Value(3.0), 1.0)
    assert loss.data == 4.0
    assert nn.MSELoss("none")(Value(3.0), 1.0).data == 4.0


@pytest.mark.parametrize(
    ("p", "t", "expected"),
    [(1.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 1.0, 100.0), (1.0, 0.0, 100.0), (0.5, 0.3, 0.6931)],
)
def test_binary_cross_entropy_at_its_edges(p: float, t: float, expected: float) -> None:
    assert nn.BCELoss()([p], [t]) == pytest.approx(expected, abs=1e-4)


def test_the_gradient_of_binary_cross_entropy_is_finite_at_the_edges() -> None:
    smallest = float(np.float32(1e-12))
    assert engine.grad(lambda p: nn.BCELoss()(p, 1.0))(0.0) == -1.0 / smallest
    assert engine.grad(lambda p: nn.BCELoss()(p, 1.0))(1.0) == 0.0
    assert engine.grad(lambda p: nn.BCELoss()(p, 1.0))(0.25) == pytest.approx(-4.0, rel=1e-15)


def test_a_loss_of_logits_is_told_that_a_sigmoid_is_missing() -> None:
    with pytest.raises(ValueError, match=r"the input is .*is a Sigmoid missing"):
        nn.BCELoss()([Value(1.5)], [1.0])
    with pytest.raises(ValueError, match=r"target is 2\.0"):
        nn.BCELoss()([Value(0.5)], [2.0])
    for y, t, name in ((math.nan, 1.0, "input"), (0.5, math.nan, "target")):
        with pytest.raises(ValueError, match=f"takes probabilities, and the {name} is nan$"):
            nn.BCELoss()([Value(y)], [t])


@pytest.mark.parametrize(
    ("y", "t", "message"),
    [
        ([1.0, 2.0], [1.0], "the output has 2 numbers here, the target 1"),
        ([1.0], 1.0, "1 number here, the target one number, 1.0, and not a list"),
        (1.0, [1.0], "the output is one number, the target a list of 1"),
        ([[1.0], [2.0]], [[1.0], [2.0, 3.0]], "1 number here, the target 2"),
    ],
)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_shapes_that_differ_are_named(y, t, message: str, reduction) -> None:
    with pytest.raises(ValueError, match=message):
        nn.MSELoss(reduction)(y, t)


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="'average'"):
        nn.MSELoss(reduction="average")


def test_a_distance_of_delta_is_on_the_straight_part_of_the_huber_loss() -> None:
    second = engine.grad(engine.grad(lambda y: nn.HuberLoss(delta=2.0)(y, 0.0)))
    assert [second(y) for y in (1.9, 2.0, -2.0)] == [1.0, 0.0, 0.0]


# --- of classes -----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [nn.NLLLoss, nn.CrossEntropyLoss])
def test_where_all_is_ignored_the_mean_is_nan_and_the_sum_0(loss) -> None:
    scores = [[Value(1.0), Value(math.nan)], [Value(2.0), Value(3.0)]]
    assert math.isnan(loss()(scores, [-100, -100]).data)
    total = loss(reduction="sum")(scores, [-100, -100])
    total.backward()
    assert total.data == 0.0 and all(x.grad == 0.0 for row in scores for x in row)


def test_the_cross_entropy_is_exact_beside_large_numbers() -> None:
    near = nn.CrossEntropyLoss()([0.0, 30.0], 1)
    assert nn.CrossEntropyLoss()([2.0**50, 2.0**50 + 30.0], 1) == near
    assert near == pytest.approx(math.log1p(math.exp(-30.0)), rel=1e-2, abs=0)


@pytest.mark.parametrize(
    ("output", "target", "error", "message"),
    [
        (np.zeros((4, 3)), [0, 1], ValueError, r"shape \(4, 3\) .* \(4,\) or \(4, 3\), not \(2,\)"),
        ([0.0, 0.0], [1], ValueError, r"output of shape \(2,\) .* \(\) or \(2,\), not \(1,\)"),
        ([[0.0, 0.0]], [[1]], ValueError, r"shape \(1, 2\) .* \(1,\) or \(1, 2\), not \(1, 1\)"),
        ([[0.0, 0.0], [0.0]], [1, 0], ValueError, "the output has 1 classes, weight 2"),
        (0.0, 1, ValueError, r"the output has the shape \(\)"),
        ([], 1, ValueError, r"the output has the shape \(0,\)"),
        ([0.0, 0.0], 2, IndexError, "index 2 is out of range for 2 entries"),
        ([0.0, 0.0], -1, IndexError, "there is no class -1: the 2 classes begin with 0"),
        ([0.0, 0.0], Value(-1.0), IndexError, "out of range for 2 entries"),
        ([0.0, 0.0], 0.5, ValueError, "take needs a whole number as index, not 0.5"),
    ],
)
def test_a_target_that_is_no_class_is_named(output, target, error, message: str) -> None:
    with pytest.raises(error, match=message):
        nn.CrossEntropyLoss(weight=[1.0, 2.0] if len(np.shape(target)) < 2 else None)(
            output, target
        )


def test_probabilities_are_no_targets_of_the_likelihood() -> None:
    with pytest.raises(ValueError, match=r"takes a target of shape \(2,\), not \(2, 2\)"):
        nn.NLLLoss()([[0.0, -1.0], [0.0, -1.0]], [[0.5, 0.5], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.CrossEntropyLoss("sum"), TypeError, "write reduction='sum'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=1.5), ValueError, "between 0 and 1, not 1.5"),
        (lambda: nn.HuberLoss(delta=0.0), ValueError, "a delta above 0, not 0.0"),
        (lambda: nn.Dropout(1.5), ValueError, "a probability, not 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(make, error, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# --- margins --------------------------------------------------------------------------------


def test_the_hinge_loss_is_micrograds() -> None:
    scores, labels = [Value(0.5), Value(0.5), Value(1.0), Value(-3.0)], [1, -1, 1, -1]
    loss = nn.HingeLoss()(scores, labels)
    loss.backward()
    assert loss.data == (0.5 + 1.5 + 0.0 + 0.0) / 4
    assert [x.grad for x in scores] == [-0.25, 0.25, 0.0, 0.0]


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_the_hinge_loss_refuses_labels_0_and_1(path: Any) -> None:
    """Those of other losses for yes and no: with 0 there would be nothing to learn."""
    with pytest.raises(ValueError, match=r"labels -1 and 1, not 0: of 0 and 1 make 2 \* y - 1$"):
        nn.HingeLoss()([Value(0.5), Value(0.5)], [1, 0])
    with pytest.raises(ValueError, match="labels -1 and 1, not nan"):
        nn.HingeLoss()(0.5, math.nan)
    model = nn.Linear(1, 1)
    before, optimizer = [p.data for p in model.parameters()], nn.SGD(model.parameters())
    options = {"loss": nn.HingeLoss(), "optimizer": optimizer, "path": path, "progress": False}
    with pytest.raises(ValueError, match="labels -1 and 1, not 0"):
        nn.fit(model, [[1.0], [2.0], [3.0]], [[1.0], [1.0], [0.0]], epochs=1, **options)
    assert path == "scalar" or [p.data for p in model.parameters()] == before


def test_weights_of_positive_labels_are_one_number_or_one_a_column() -> None:
    y, t = [[0.5, -1.0], [2.0, 0.3]], [[1.0, 1.0], [0.0, 1.0]]
    alike = nn.BCEWithLogitsLoss(pos_weight=[3.0, 3.0])(y, t)
    assert nn.BCEWithLogitsLoss(pos_weight=3.0)(y, t) == alike
    assert nn.BCEWithLogitsLoss(pos_weight=[3.0])(y, t) == alike  # PyTorch spreads it too
    assert nn.BCEWithLogitsLoss(pos_weight=np.array([3.0]))(y[0][0], 1.0) == 3.0 * math.log1p(
        math.exp(-0.5)
    )
    with pytest.raises(ValueError, match="the output is one number, pos_weight a list of 2"):
        nn.BCEWithLogitsLoss(pos_weight=[3.0, 3.0])(y[0][0], 1.0)
    with pytest.raises(ValueError, match="the output has 2 numbers here, pos_weight 3"):
        nn.BCEWithLogitsLoss(pos_weight=[1.0, 2.0, 3.0])(y, t)
    with pytest.raises(ValueError, match="the output has 2 numbers here, the target 1"):
        nn.BCEWithLogitsLoss(pos_weight=[1.0, 2.0])(y[0], [1.0])


def test_pairs_of_other_lengths_are_named() -> None:
    x = [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(ValueError, match="the output has 2 numbers here, the target 1"):
        nn.CosineEmbeddingLoss()(x, x, [1])
    for pair in ((x[:1], x), (x, x[:1])):
        with pytest.raises(ValueError, match="the output has 1 number here, the target 2"):
            nn.CosineEmbeddingLoss()(*pair, [1, -1])
    with pytest.raises(ValueError, match="2 and 1"):
        nn.CosineEmbeddingLoss()([1.0, 2.0], [1.0], 1)


def test_lists_that_are_all_but_zero_have_pytorchs_cosine() -> None:
    loss = nn.CosineEmbeddingLoss()([3e-7, -1e-7], [2e-7, 5e-7], 1)
    assert loss == pytest.approx(0.9916052299632627, rel=1e-15, abs=0.0)  # PyTorch 2.13's


# --- where PyTorch is otherwise --------------------------------------------------------------


def test_where_pytorch_says_nan_of_scores_that_are_infinite() -> None:
    # the most likely class is certain and the others have no chance; PyTorch: nan for all
    infinite = [math.inf, 0.0]
    assert repr(nn.Softmax()(infinite)) == "[nan, 0.0]"
    assert repr(nn.LogSoftmax()(infinite)) == "[nan, -inf]"
    assert nn.CrossEntropyLoss()(infinite, 1) == math.inf
    assert math.isnan(nn.CrossEntropyLoss()(infinite, 0))


def test_a_mean_over_no_weight_is_nan_and_so_is_its_gradient() -> None:
    # as in PyTorch: 0 / 0
    x = [Value(1.0), Value(2.0)]
    loss = nn.CrossEntropyLoss([0.0, 1.0])(x, 0)
    loss.backward()
    assert math.isnan(loss.data) and all(math.isnan(p.grad) for p in x)


def test_a_smoothed_mean_over_no_weight_is_infinite() -> None:
    # a positive loss over 0; PyTorch adds the nan of the part that is not smoothed
    assert nn.CrossEntropyLoss([0.0, 1.0], label_smoothing=0.5)([1.0, 2.0], 0) == math.inf


@pytest.mark.oracle
def test_these_differences_are_still_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    of_class = torch.tensor(0)
    infinite = torch.tensor([math.inf, 0.0])
    weight = torch.tensor([0.0, 1.0])
    assert torch.softmax(infinite, 0).isnan().all()
    assert torch.nn.CrossEntropyLoss()(infinite, torch.tensor(1)).isnan()
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    torch.nn.CrossEntropyLoss(weight)(x, of_class).backward()
    assert x.grad.isnan().all()
    assert torch.nn.CrossEntropyLoss(weight, label_smoothing=0.5)(x, of_class).isnan()
    large = torch.tensor([1e200, 1.0, 0.0], dtype=torch.float64)
    assert torch.nn.LayerNorm(3).double()(large).isnan().all()
    assert torch.nn.Dropout(1.0)(infinite)[0].isnan()


# --- of more than an input and a target ------------------------------------------------------


def test_a_variance_is_a_list_a_number_a_row_or_one_number() -> None:
    y, t, loss = [[1.0, 2.0], [3.0, 5.0]], [[0.0, 0.0], [0.0, 1.0]], nn.GaussianNLLLoss()
    rows = loss(y, t, [[2.0, 2.0], [0.5, 0.5]])
    assert loss(y, t, [2.0, 0.5]) == loss(y, t, [[2.0], [0.5]]) == rows
    assert loss(y, t, 2.0) == loss(y, t, [[2.0, 2.0], [2.0, 2.0]]) == loss(y, t, np.full((2, 2), 2))
    assert loss(y[0][0], t[0][0], 2.0) == 0.5 * (math.log(2.0) + 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.GaussianNLLLoss()([1.0, 2.0], [1.0, 2.0], [1.0, 1.0, 1.0]), "2 numbers .* 3"),
        (lambda: nn.GaussianNLLLoss()([1.0, 2.0], [1.0], 1.0), "output has 2 .*, the target 1"),
        (lambda: nn.GaussianNLLLoss()(1.0, [1.0], 1.0), "the target or var is a list"),
        (lambda: nn.GaussianNLLLoss()([1.0], [1.0], [Value(-0.5)]), "at least 0, not .*-0.5.* exp"),
        (lambda: nn.GaussianNLLLoss().terms([1.0, 2.0, 3.0], 1.0), r"\[mean, var\], not one of 3"),
        (lambda: nn.CosineEmbeddingLoss().terms(Value(1.0), 1), r"\[x1, x2\], not one number"),
        (lambda: nn.TripletMarginLoss().terms([[1.0]] * 2, 0.0), r"negative\], not one of 2"),
        (lambda: nn.TripletMarginLoss()([1.0], [1.0], [1.0, 2.0]), r"not \(1,\), \(1,\), \(2,\)"),
        (lambda: nn.TripletMarginLoss()(1.0, 1.0, 1.0), r"of one shape, not \(\), \(\)"),
        (lambda: nn.TripletMarginLoss()([], [], []), r"lists of numbers of one shape, not \(0,\)"),
        (lambda: nn.CosineEmbeddingLoss()([[1.0]], [[1.0]], 1), r"each for a label, not \(1, 1\)"),
        (lambda: nn.CosineEmbeddingLoss()([1.0], [1.0], [1]), r"each for a label, not \(\) and"),
        (lambda: nn.MultiMarginLoss()([1.0, 2.0], [1]), r"a target of shape \(\), not \(1,\)"),
        (lambda: nn.MultiLabelMarginLoss()([1.0, 2.0], 1), r"target of shape \(2,\), not \(\)"),
        (lambda: nn.MultiMarginLoss(weight=[1.0])([1.0, 2.0], 1), "has 2 classes, weight 1"),
        (lambda: nn.MultiMarginLoss(p=3), "p of 1 or 2, not 3"),
        (lambda: nn.TripletMarginLoss(margin=0.0), "needs a margin above 0"),
        (lambda: nn.GaussianNLLLoss(eps=0.0), "needs an eps above 0"),
        (lambda: nn.SmoothL1Loss(beta=-1.0), "needs a beta of at least 0, not -1.0"),
        (lambda: nn.KLDivLoss("batch"), "not 'batch'"),
    ],
)
def test_what_does_not_fit_a_loss_of_several_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("loss", [nn.MultiMarginLoss(), nn.MultiLabelMarginLoss()])
def test_a_class_that_there_is_not_has_no_margin(loss) -> None:
    for label in (2, -2):
        target = label if isinstance(loss, nn.MultiMarginLoss) else [label, -1]
        with pytest.raises(IndexError, match=r"out of range for 2 entries|there is no class -2"):
            loss([1.0, 2.0], target)


def test_the_divergence_of_a_batch_is_a_mean_over_its_examples() -> None:
    rng = np.random.default_rng(0)
    scores, shares = rng.normal(size=(6, 3)), rng.dirichlet(np.ones(3), size=6)
    log_probs = [nn.LogSoftmax()(row) for row in scores.tolist()]
    expected = float(np.sum(shares * (np.log(shares) - np.array(log_probs)))) / 6
    loss = nn.KLDivLoss("batchmean")
    assert loss(log_probs, shares) == pytest.approx(expected, rel=1e-14)
    assert loss(-1.0, 0.5) == nn.KLDivLoss()(-1.0, 0.5)
    model = nn.LogSoftmax()
    found = [
        nn.evaluate(model, scores, shares, loss=loss, path=p) for p in ("scalar", "vectorised")
    ]
    assert found == pytest.approx([expected] * 2, rel=1e-14)


def test_counts_may_be_whole_numbers_by_type() -> None:
    # PyTorch 2.13 has Stirling's approximation of these in single precision
    loss = nn.PoissonNLLLoss(full=True)
    expected = 1.0 + 3.0 * math.log(3.0) - 3.0 + 0.5 * math.log(6.0 * math.pi)
    for counts in ([3.0], [3], np.array([3])):
        assert loss([0.0], counts) == pytest.approx(expected, rel=1e-15)


class MeanAndVariance(nn.Module):
    """A line with noise around it that grows along it."""

    def __init__(self) -> None:
        self.layers = nn.Linear(1, 2, rng=random.Random(0))

    def forward(self, x):
        mean, spread = self.layers(x)
        return [mean, engine.exp(spread)]


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_a_variance_is_learnt_with_the_mean(path: str) -> None:
    x = np.linspace(-1.0, 1.0, 16)[:, None]
    noise = np.exp(x[:, 0]) * np.where(np.arange(16) % 2, 1.0, -1.0)  # of variance exp(2 x)
    model, y = MeanAndVariance(), 3.0 * x[:, 0] + 1.0 + noise
    optimizer = nn.Adam(model.parameters(), lr=0.1)
    options = {"epochs": 120, "path": path, "progress": False}
    nn.fit(model, x, y, loss=nn.GaussianNLLLoss(), optimizer=optimizer, **options)
    (slope,), (growth,) = [[w.data for w in row] for row in model.layers.weight]
    assert [slope, growth] == pytest.approx([3.0, 2.0], abs=0.3)


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_triples_are_told_apart(path: str) -> None:
    class Apart(nn.Module):
        def __init__(self) -> None:
            self.layers = nn.Linear(3, 2, rng=random.Random(1))

        def forward(self, x):
            return [self.layers(example) for example in x]

    rng = np.random.default_rng(1)  # what tells the classes apart is the first number alone
    X = rng.normal(size=(15, 3, 3))
    X[:, :, 0] = [0.0, 0.0, 1.0]
    model, loss = Apart(), nn.TripletMarginLoss()
    options = {"optimizer": nn.Adam(model.parameters(), lr=0.1), "path": path, "progress": False}
    history = nn.fit(model, X, np.zeros(15), loss=loss, epochs=40, **options)
    assert history.loss[-1] < 0.2 * history.loss[0]
    along, *across = [math.hypot(*(row[k].data for row in model.layers.weight)) for k in range(3)]
    assert along > 3.0 * max(across)


def test_below_eps_a_variance_keeps_its_slope() -> None:
    # as PyTorch, which takes the loss at eps and lets the gradient pass
    slope = engine.grad(lambda v: nn.GaussianNLLLoss(eps=0.5)(1.0, 0.0, v))
    assert slope(0.25) == slope(0.5) == 0.5 * (1.0 / 0.5 - 1.0 / 0.25)
