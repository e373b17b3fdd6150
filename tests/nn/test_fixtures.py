"""`gradloom fixtures`: what another engine is tested with, and one that is."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import engine
import plain_port
from engine.ops import TABLE
from nn.cli import main
from nn.fixtures import edge_points, kind_of

SOURCE = Path(plain_port.__file__).read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("fixtures") / "new" / "folder"
    assert main(["fixtures", str(path)]) == 0
    return path


def cases(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.glob("*.json")):
        yield from ((path.stem, case) for case in json.loads(path.read_text())["cases"])


def test_an_independent_port_passes(folder: Path) -> None:
    assert "engine" not in SOURCE.split('"""')[2] and "import nn" not in SOURCE
    ran = {file: 0 for file, _ in cases(folder)}
    for file, name, wrong in plain_port.run(folder):
        assert not wrong, f"{file}: {name}: {wrong}"
        ran[file] += wrong is not None
    assert min(ran.values()) >= 7 and sum(ran.values()) > 1500
    assert ran["4-training"] == 9


@pytest.mark.parametrize(
    ("right", "broken", "first"),
    [
        ("x - y, lambda x, y: (1.0, -1.0)", "x - y, lambda x, y: (1.0, 1.0)", "1-rows: sub("),
        ("operand.adjoint += ", "operand.adjoint = ", "2-graphs: x + x"),
        ('node.grad + node.adjoint if node.op == "leaf" else', "", "3-passes: a second backward"),
        ('if node.op == "leaf" else node.adjoint', "", "3-passes: a second backward"),
        ("root.adjoint, root.arrived = seed", "root.adjoint, root.arrived = 1.0", "3-passes: a se"),
        ("*node.numbers", "*[n.data for n in node.operands]", "3-passes: a leaf assigned in betwe"),
        ("seed != 0.0", "True", "3-passes: a seed of 0"),
        ("data - update", "data + update", "4-training: micrograd's MLP(2, [4, 1]), max-margin lo"),
        ("(None if x <= 0.0", "(None if x < 0.0", "5-kinks: relu(-0.0)"),
        ("return 0.5, 0.5", "return 1.0, None", "5-kinks: maximum(-1e+200, -1e+200)"),
        ("(steep(x),)", "(1.0 - math.tanh(x) ** 2,)", "6-tails: tanh(-100.0)"),
        ("(None, 1.0, None)", "(0.0, 1.0, 0.0)", "7-not-chosen: an arm within an arm"),
        ("x >= 0.0 else math.nan", "x >= 0.0 else 0.0", "8-edges: sqrt(-1e+308)"),
        ("if x != x or y != y else max", "if x != x and y != y else max", "9-infinities: maximum("),
    ],
)
def test_a_broken_port_fails_at_the_right_fixture(
    folder: Path, right: str, broken: str, first: str
) -> None:
    assert right in SOURCE
    names: dict[str, Any] = {"__name__": "broken"}
    exec(SOURCE.replace(right, broken), names)
    found = next(f"{file}: {name}" for file, name, wrong in names["run"](folder) if wrong)
    assert found.startswith(first)


def test_each_row_is_there_and_each_kink(folder: Path) -> None:
    ops: dict[str, set[str]] = {}
    for file, case in cases(folder):
        ops.setdefault(file, set()).update(node["op"] for node in case["graph"]["nodes"])
    assert ops["1-rows"] - {"leaf"} == set(TABLE)
    assert ops["5-kinks"] - {"leaf"} == {op.name for op in TABLE.values() if op.kink is not None}
    for op in TABLE.values():
        assert {"infinities"} < {kind_of(op, numbers) for numbers in edge_points(op)}


def test_graphs_are_read_back_and_differentiated_to_the_same_numbers(folder: Path) -> None:
    for file, case in cases(folder):
        roots = engine.from_json(json.dumps(case["graph"]))
        if case["assign"]:
            continue
        for leaf in {v for root in roots for v in engine.trace(root)[0] if v.op is None}:
            leaf.grad = 0.0
        for root, seed in case["passes"]:
            roots[root].backward(seed)
        again = json.loads(engine.to_json(roots))
        assert again == case["graph"], (file, case["name"])


def test_steps_of_training_go_on_from_one_another_and_learn(folder: Path) -> None:
    steps = [case for file, case in cases(folder) if file == "4-training"]
    for i in range(0, 9, 3):
        for before, after in zip(steps[i : i + 2], steps[i + 1 : i + 3], strict=True):
            leaves = {n["label"]: n["data"] for n in after["graph"]["nodes"] if n.get("label")}
            assert leaves == before["update"]["data"]
            losses = [case["graph"]["nodes"][-1]["data"] for case in (before, after)]
            assert losses[1] < losses[0]


def test_the_files_are_always_the_same_and_plain_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fixtures", str(tmp_path)]) == 0
    assert f"cases  {tmp_path / '1-rows.json'}" in capsys.readouterr().out
    for path in folder.iterdir():
        text = path.read_text()
        assert text == (tmp_path / path.name).read_text()
        assert "NaN" not in text and "Infinity" not in text


def test_the_readme_names_what_is_there(folder: Path) -> None:
    readme = (folder / "README.md").read_text()
    assert re.findall(r"^\| `(\d-[\w-]+)`", readme, re.MULTILINE) == [
        path.stem for path in sorted(folder.glob("*.json"))
    ]
    for file, case in cases(folder):
        members = {*case, *(key for node in case["graph"]["nodes"] for key in node)}
        assert all(f"`{member}`" in readme for member in members), file
        assert case["rtol"] == 1e-12 and math.isfinite(case["atol"])


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("")
    assert main(["fixtures", str(tmp_path / "taken")]) == 1
    assert capsys.readouterr().err.startswith(f"gradloom: can't write to {tmp_path / 'taken'}: ")
