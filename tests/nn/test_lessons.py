"""The exercises of the notebooks: right answers pass, wrong ones are told what is off."""

import itertools
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from nn import lessons

RIGHT: dict[str, Any] = {
    "1.1": 12,
    "1.2": lambda x: 7 * x,
    "1.3": lambda a: a * a * a - 3 * a,
    "2.1": 0.2,
    "2.2": 41,
    "2.3": lambda x: engine.leaky_relu(x, 0.1),
    "5.1": 1 - math.pi / 100,
    "5.2": lambda x, y: engine.sigmoid(50 * (1 - x * x - y * y)),
    "8.1": 0.25,
    "8.2": 0.25**10,
    "6.1": 129,
    "6.2": lambda x, y: engine.relu(x + y) - 2 * engine.relu(x + y - 1),
    "10.1": 0.75,
    "10.2": 1 / 3,
    "3.1": 3.0,
    "3.2": lambda x, out: 3 * x * x,
    "4.1": 160_000,
    "4.2": lambda s: engine.maximum(s, 0.01 * s),
    "7.1": 784 * 100 + 100 + 100 * 10 + 10,
    "7.2": math.log(10),
    "9.1": (1 - 5e-4 * 0.5) ** 20_000,
    "9.2": 100 * math.sqrt(0.77 * 0.23 / 100),
    "11.1": 16 * 17 / 2,
    "11.2": 0.8,
    "12.1": 0.5,
    "12.2": lambda x: engine.maximum(x, 0.0) + engine.log1p(engine.exp(-engine.absolute(x))),
    "13.1": 0.9**50,
    "13.2": lambda x, a: x - (x**3 - a) / (3 * x * x),
    "14.1": 0.5 / math.sqrt(1e-12),
    "14.2": lambda x: -engine.softplus(-x),
    "15.1": 18,
    "15.2": lambda x: 0.25 / math.cosh(0.5 * x) ** 2,
    "16.1": 2000 + 2 * 1999,
    "16.2": lambda u: engine.sum([u[0] * v * v for v in u]),
    "17.1": -0.016763822,
    "17.2": lambda h: 4 * h + h + h * 3 + 3,
    "18.1": 10 / math.hypot(3, 4),
    "18.2": 0.9 * 0.9 * 0.1,
    "18.3": lambda x1, x2: engine.sigmoid(10 * x1 + 10 * x2 - 15),
    "19.1": lambda y, t: engine.where(t > y, 0.9 * (t - y), 0.1 * (y - t)),
    "19.2": lambda w, g, settings: w - settings[0] * np.clip(g, -1.0, 1.0),
    "20.1": math.log(4),
    "20.2": 27**3 * 27,
    "20.3": lambda scores, k: [s - (j == k) for j, s in enumerate(engine.softmax(scores))],
    "21.1": 8 * (3 * 5 * 5 + 1),
    "21.2": 1 / math.sqrt(50),
    "21.3": lambda w, xs: [engine.dot(w, xs[k : k + len(w)]) for k in range(len(xs) - len(w) + 1)],
    "22.1": 1_600_000,
    "22.2": lambda price: math.exp(-0.02) * engine.maximum(100.0 - price, 0.0),
    "23.1": 12 * 3 * 2 * 4,
    "23.2": lambda losses: float(np.nanmedian(losses)),
}
WRONG: list[tuple[str, Any, str]] = [
    ("1.1", 6.0, "it is half what it should be"),
    ("1.1", "12", "a number is asked for, not a str"),
    ("1.1", 12.1, "close, but rounded"),
    ("1.2", lambda x: x * x, "its slope at 2 is 4, not 7"),
    ("1.2", 7.0, "a function of one number is asked for, not a float"),
    ("1.2", lambda x: None, "does it lack a return statement?\n"),
    ("1.3", lambda a: 7.0, "a is used never"),
    ("1.3", lambda a: (a - 1) ** 2, "a is used once, and three times"),
    ("2.1", -0.2, "right but for its sign"),
    ("2.2", 31, "count the weights"),
    ("2.3", engine.relu, "its slope is 0: it would be dead"),
    ("2.3", lambda x: x, "more than half of that"),
    ("5.1", 96.858, "in per cent"),
    ("5.2", lambda x, y: engine.sigmoid(1 - x - y), "on the wrong side of a half"),
    ("8.1", 0.5, "twice what it should be; with a = σ(z)"),
    ("8.2", lambda: 1 / 0, "a number is asked for, not a function"),
    ("5.2", lambda x, y: 1 / 0, "it raised ZeroDivisionError"),
    ("6.1", 128.0, "close, but rounded or not exact; each of the 64 hidden units"),
    ("6.1", 65, "and there is a bias"),
    ("6.2", lambda x, y: x + y, "at (1, 1) it is 2, not 0"),
    ("6.2", lambda x, y: float(x.data != y.data), "it leaves the graph"),
    ("6.2", 1.0, "a function of two numbers"),
    ("10.1", 0.25, "shares of 4"),
    ("10.2", 1 / 6, "half what it should be; a step takes w to"),
    ("3.1", 6.0, "twice what it should be"),
    ("3.2", lambda x, out: x * x, "its slope at -1.3 is 1.69, not 5.07"),
    ("3.2", 3.0, "a function of x and out is asked for"),
    ("3.2", lambda x, out: 3 * float(x) ** 2 if isinstance(x, float) else 3 * x.data**2, "raised"),
    ("4.1", 5_000, "for each of 32 examples"),
    ("4.2", lambda s: s if s > 0 else 0.01 * s, "it still has a branch"),
    ("4.2", engine.relu, "at -3 it is 0, not -0.03"),
    ("4.2", 1.0, "a function of one number is asked for"),
    ("7.1", 79_400, "close, but rounded"),
    ("7.2", 0.1, "−log of it"),
    ("7.2", 2.3, "close, but rounded"),
    ("9.1", 1 - 5e-4 * 0.5, "each step multiplies"),
    ("9.1", 0.0067, "close, but rounded"),
    ("9.2", 0.042, "the share varies by"),
    ("11.1", 256, "the first of 16 letters"),
    ("11.2", 2 / 3, "become 4 to 1"),
    ("12.1", 1.0, "twice what it should be"),
    ("12.2", lambda x: engine.log(1 + engine.exp(x)), "at -50 its value is 0, not 1.92"),
    ("12.2", 1.0, "a function of one number"),
    ("13.1", 0.9, "each step multiplies"),
    (
        "13.2",
        lambda x, a: (x + a / x) / 2,
        "after 30 steps from 1.5 it is at 0.707107, not 0.793701",
    ),
    ("13.2", 1.0, "a function of two numbers"),
    ("14.1", 1e6, "twice what it should be; the slope of a root"),
    ("14.2", lambda x: engine.log(engine.sigmoid(x)), "at -1000 its value is -inf, not -1000"),
    ("14.2", lambda x: engine.minimum(x, 0.0), "at 0.3 its value is 0, not -0.554355"),
    ("15.1", 6.0, "leaves add up"),
    ("15.2", lambda x: 1 / (1 + math.exp(-x)) * (1 - 1 / (1 + math.exp(-x))), "at 40 it is 0"),
    ("16.1", 6000, "close, but rounded"),
    ("16.1", 9994, "two neighbours"),
    ("16.2", lambda u: engine.sum([v * v for v in u]), "row 0 has no entry in column 1"),
    ("16.2", lambda u: engine.sum(u) ** 2, "row 1 has an entry in column 2"),
    ("16.2", 1.0, "a function of a list is asked for"),
    ("17.1", 0.016763822, "right but for its sign"),
    ("17.2", lambda h: 8 * h, "at 1 it is 8, not 11"),
    ("18.1", 10, "is 5 long"),
    ("18.2", 0.9, "times the slope"),
    ("18.3", lambda x1, x2: engine.sigmoid(10 * x1 + 10 * x2 - 5), "of (0, 1) it says 0.993"),
    ("18.3", lambda x1, x2: engine.sigmoid(20 * x1 * x2 - 10), "it is no neuron: its slope"),
    ("19.1", lambda y, t: (y - t) ** 2, "at (1, 3) its value is 4, not 1.8"),
    ("19.1", lambda y, t: engine.maximum(0.9 * (y - t), 0.1 * (t - y)), "0.2, not 1.8"),
    ("19.2", lambda w, g, settings: w - settings[0] * g, "moves 1 by the gradient -4 to 1.4"),
    ("19.2", lambda w, g: w, "it raised TypeError"),
    ("20.1", 2.0, "log to base e"),
    ("20.2", 27**3, "each of the 27³ rows"),
    ("20.3", lambda scores, k: engine.softmax(scores), "number 2 is 0.17529, not -0.82471"),
    ("20.3", lambda scores, k: [0.0], "it gives a list of 1, not of 3"),
    ("20.3", 1.0, "a function of scores and k"),
    ("21.1", 600, "close, but rounded"),
    ("21.1", 200, "and a bias"),
    ("21.2", 1 / 50, "the variance of a sum of 50 products"),
    (
        "21.3",
        lambda w, xs: [w[1] * a + w[0] * b for a, b in itertools.pairwise(xs)],
        "the kernel is turned round",
    ),
    ("21.3", lambda w, xs: xs, "it gives a list of 4, not of 3"),
    ("21.3", 1.0, "a function of a kernel and a signal"),
    ("22.1", 800_000, "half what it should be; the error shrinks"),
    ("22.2", lambda price: engine.maximum(100.0 - price, 0.0), "at 80 it is 20, not 19.604"),
    ("22.2", lambda price: math.exp(-0.02) * max(100.0 - price.data, 0.0), "its slope at 80"),
    ("23.1", 24, "with each of all others"),
    ("23.2", np.median, "it is nan, not 0.25"),
]


def said(capsys: pytest.CaptureFixture[str], exercise: str, answer: Any) -> str:
    lessons.check(exercise, answer)
    return capsys.readouterr().out


@pytest.mark.parametrize("exercise", lessons._EXERCISES)
def test_a_right_answer_is_right(exercise: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, exercise, RIGHT[exercise]) == f"{exercise} is right.\n"
    assert "no answer yet" in said(capsys, exercise, ...)
    assert "no answer yet" in said(capsys, exercise, lambda x: ...)


def test_numpys_numbers_are_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    for exercise, answer in (("2.2", np.int64(41)), ("5.1", np.float32(1.0 - math.pi / 100.0))):
        assert said(capsys, exercise, answer) == f"{exercise} is right.\n"


@pytest.mark.parametrize(("exercise", "answer", "what"), WRONG)
def test_a_wrong_answer_is_told_what_is_off(
    exercise: str, answer: Any, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, exercise, answer)
    assert text.startswith(f"{exercise} is not right yet: ") and what in text


def test_another_exercise_is_named() -> None:
    in_order = r"no exercise '9.9': they are 1.1, 1.2, .* 5.2, 6.1, .* 9.2, 10.1, "
    with pytest.raises(KeyError, match=in_order):
        lessons.check("9.9", 1.0)


def test_an_exercise_may_be_named_without_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, 1.1, 12.0) == "1.1 is right.\n"


def test_every_exercise_is_in_its_notebook_and_the_other_way_round() -> None:
    folder = Path(__file__).parents[2] / "notebooks"
    found: dict[str, Callable[..., Any] | None] = {}
    for path in folder.glob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            for name in re.findall(r'lessons\.check\("([\d.]+)"', "".join(cell["source"])):
                assert int(path.stem[:2]) == int(name.split(".")[0])
                found[name] = None
    assert set(found) == set(lessons._EXERCISES) == set(RIGHT)
