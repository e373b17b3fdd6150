"""A program that was called travels: pickled, copied, into another process."""

from __future__ import annotations

import builtins
import copy
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import engine
import nn
from engine import Value

W = Value(2.0)


def square(x: Any) -> Any:
    return W * x * x


@engine.compile
def decorated(x: Any) -> Any:
    return W * x


def travelled(item: Any) -> Any:
    return pickle.loads(pickle.dumps(item))


def test_a_called_program_is_pickled() -> None:
    program = engine.compile(square, in_axes=0, reduce="mean", wrt=W)
    expected = program.value_and_grad([1.0, 3.0])
    again = travelled(program)
    assert again.value_and_grad([1.0, 3.0]) == expected == (10.0, 5.0)
    W.data = 3.0  # the very Value that the function reads
    assert again.value_and_grad([1.0, 3.0]) == (15.0, 5.0)
    again.backward([1.0, 3.0])
    assert W.grad == 5.0
    W.data, W.grad = 2.0, 0.0


def test_a_decorated_function_is_pickled_by_its_name() -> None:
    assert decorated(3.0) == 6.0
    assert travelled(decorated) is decorated


def test_a_program_of_a_model_takes_the_model_along() -> None:
    model = nn.Linear(2, 1, rng=random.Random(0))
    rows = [[1.0, 1.0], [1.0, 1.0]]
    for function in (model, model.forward):
        program = engine.compile(function, in_axes=0, wrt=model)
        before = program(rows).tolist()
        for again in (travelled(program), copy.deepcopy(program)):
            assert again(rows).tolist() == before
            own = again._wrt
            assert own is not model and own is getattr(again._f, "__self__", again._f)
            own.weight[0][0].data += 1.0
            assert again(rows)[0, 0] == pytest.approx(before[0][0] + 1.0)
        assert program(rows).tolist() == before


def test_a_copy_reads_what_the_function_reads() -> None:
    v = Value(5.0)
    program = engine.compile(lambda x: v * x, wrt={"v": (v, [v])})
    assert program.grad(2.0) == {"v": (2.0, [2.0])}
    for again in (copy.copy(program), copy.deepcopy(program), copy.deepcopy([program])[0]):
        v.data += 1.0
        assert again.value_and_grad(2.0) == (2.0 * v.data, {"v": (2.0, [2.0])})


def test_a_closure_travels_by_cloudpickle() -> None:
    pytest.importorskip("cloudpickle")
    v = Value(5.0)
    program = engine.compile(lambda x: v * x, wrt=[v])
    program(1.0)
    again = travelled(program)
    assert again.value_and_grad(3.0) == (15.0, [3.0])
    [own] = again._leaves
    own.data = 7.0
    assert (again(3.0), program(3.0)) == (21.0, 15.0)


def test_without_cloudpickle_a_closure_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def lacking(name: str, *args: Any, **keywords: Any) -> Any:
        if name == "cloudpickle":
            raise ImportError(name)
        return real(name, *args, **keywords)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(pickle.PicklingError, match="top level of a module, or install cloudpickle"):
        pickle.dumps(engine.compile(lambda x: x))


def test_joblib_writes_and_reads_a_program(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    program = engine.compile(square, wrt=W)
    assert program(3.0) == 18.0
    joblib.dump(program, tmp_path / "program.joblib")
    assert joblib.load(tmp_path / "program.joblib").value_and_grad(3.0) == (18.0, 9.0)


def test_another_process_reads_its_own_leaf(tmp_path: Path) -> None:
    module = "import engine\nw = engine.Value(2.0)\ndef f(x):\n    return w * x\n"
    (tmp_path / "travels.py").write_text(module)
    head = f"import pickle, sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
    file = str(tmp_path / "program.pickle")
    write = (
        "import engine, travels\n"
        "program = engine.compile(travels.f, wrt=travels.w)\n"
        f"program(1.0); pickle.dump(program, open({file!r}, 'wb'))\n"
    )
    read = (
        f"program = pickle.load(open({file!r}, 'rb'))\nimport travels\ntravels.w.data = 5.0\n"
        "print(program.value_and_grad(3.0), program._leaves[0] is travels.w)\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", head + text], capture_output=True, text=True, check=True
        ).stdout
        for text in (write, read)
    ]
    assert outputs[1].strip() == "(15.0, 3.0) True"
