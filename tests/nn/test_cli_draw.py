"""`gradloom draw FILE.py:NAME`."""

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from nn.cli import main

SOURCE = """
import random
from dataclasses import dataclass

import engine, nn
import beside

print("imported")
a = engine.Value(2.0, label="a")
y = a * 3.0
model = nn.Sequential(nn.Linear(2, 2, rng=random.Random(0)), nn.Tanh())
plain = 3.0


@dataclass
class Settings:
    scale: "float" = beside.SCALE


def f(x, p, kind="sum"):
    assert kind == "sum"
    return Settings().scale * x * p[0] + p[1]


def several(x):
    return [x * 2.0, x * 5.0]


def raises(x):
    return x.data + [1]


def nothing(x):
    x * x


def number(x):
    return x.data * 2


if __name__ == "__main__":
    raise SystemExit("run as a script")
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "beside.py").write_text("SCALE = 10.0\n")
    path = tmp_path / "drawn.py"
    path.write_text(SOURCE)
    yield str(path)
    sys.modules.pop("beside", None)


def texts(svg: str) -> list[str]:
    return [text.text or "" for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def draw(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["draw", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == "imported\n"
    return out


def test_a_functions_arguments_are_labelled_and_have_gradients(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = draw(capsys, f"{file}:f", "--args", "-1e-3", "[2, 3]", "'sum'", "--format", "svg")
    found = texts(out)
    for text in ("x", "p[0]", "p[1]", "\N{MINUS SIGN}0.001", "20"):  # df/dx = 10 * 2
        assert text in found


def test_a_picture_is_written_whole_and_its_path_printed(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "graph.svg"
    assert draw(capsys, f"{file}:y", "--out", str(target)) == f"{target}\n"
    found = texts(target.read_text())
    assert "a" in found and "6" in found and found.count("3") == 2  # the literal, and dy/da
    assert {path.name for path in tmp_path.iterdir()} >= {"graph.svg", "drawn.py"}
    other = tmp_path / "other"
    assert draw(capsys, f"{file}:y", "--out", str(other), "--format", "dot") == f"{other}.dot\n"
    assert (tmp_path / "other.dot").read_text().startswith("digraph")


def test_without_a_gradient_wanted_none_is_shown(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = texts(draw(capsys, f"{file}:y", "--no-grad", "--format", "svg"))
    assert found.count("3") == 1


def test_a_model_takes_one_example_and_its_parameters_are_named(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for example in (["0.5", "-2"], ["[0.5, -2]"]):
        out = draw(capsys, f"{file}:model", "--args", *example, "--format", "dot")
        assert "0.weight[1][0]" in out and "x[1]" in out


def test_of_several_results_the_gradient_is_that_of_their_sum(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = texts(draw(capsys, f"{file}:several", "--args", "1", "--format", "svg"))
    assert "7" in found


def test_without_a_file_it_is_text(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = draw(capsys, f"{file}:y")
    assert "a" in out and "6" in out and "<svg" not in out


def test_the_file_leaves_no_trace(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = list(sys.path)
    draw(capsys, f"{file}:y")
    assert sys.path == before and "_drawn_drawn" not in sys.modules


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["raises", "--args", "1"], "raises raised TypeError, at "),
        (["raises", "--args", "1"], "drawn.py:30: unsupported operand"),
        (["nothing", "--args", "1"], "nothing returned None; does it lack a return statement?"),
        (["number", "--args", "1"], "number returned 2.0, which is no Value"),
        (["plain"], "plain is a float; what can be drawn is"),
        (["g"], "has no 'g'; it has a, y, model, f, several, raises, nothing, number"),
        (["f", "--args", "1"], "does not fit 1 argument: missing a required argument: 'p'"),
        (["f"], "does not fit 0 arguments: missing a required argument: 'x'"),
        (["f", "--args", "one", "2"], "the argument 'one' is no number, and no list"),
        (["y", "--args", "1"], "y is a Value, which takes no --args"),
        (["model"], "model is a model and needs an example: --args"),
        (["y", "--format", "png"], "a picture in png needs a file: --out graph.png"),
        (["y", "--format", "jpeg"], "not 'jpeg'"),
        (["y", "--out", "/nowhere/graph.svg"], "there is no folder /nowhere"),
    ],
)
def test_what_can_not_be_drawn_is_told_in_one_line(
    arguments: list[str], message: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = arguments
    assert main(["draw", f"{file}:{name}", *options]) == 1
    out, err = capsys.readouterr()
    [line] = [line for line in err.splitlines() if line != "imported"]
    assert line.startswith("gradloom: ") and message in line and out == ""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = = 1", "broken.py:1: invalid syntax"),
        ("import nothing_of_this_name", "importing it raised ModuleNotFoundError, at "),
        ("import sys\nsys.exit('stop')", "importing it raised SystemExit, at "),
    ],
)
def test_a_file_that_can_not_be_imported_is_told_in_one_line(
    source: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.py"
    path.write_text(source)
    assert main(["draw", f"{path}:f"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("gradloom: ") and message in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("what", "message"),
    [("model.py", "write FILE.py:NAME, such as"), ("gone.py:f", "there is no file gone.py")],
)
def test_a_file_that_is_not_there_is_told(
    what: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["draw", what]) == 1
    assert message in capsys.readouterr().err
