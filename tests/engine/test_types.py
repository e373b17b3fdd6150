"""What editors and type checkers are told: the stub of the rows, completion, public names."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import engine
import make_stub
import nn
from engine.ops import TABLE


def test_the_stub_is_that_of_the_table() -> None:
    """`make stub` writes it."""
    found, made = (
        inspect.cleandoc(x).split() for x in (make_stub.STUB.read_text(), make_stub.stub())
    )
    assert "".join(found) == "".join(made)


def test_the_stub_has_what_there_is() -> None:
    for name in make_stub.WRITTEN:
        assert name in engine.__all__
    for op in TABLE.values():
        for name in (op.name, *op.aliases):
            assert hasattr(engine, name)
            assert hasattr(engine.Value, name) or op.arity > 2


@pytest.mark.parametrize("package", [engine, nn], ids=lambda x: x.__name__)
def test_a_package_shows_what_is_public(package) -> None:
    shown = {name for name in dir(package) if not name.startswith("__")}
    modules = {"testing"} if package is engine else {"distributed", "lessons", "plots"}
    assert shown == {*package.__all__, *modules}
    assert all(hasattr(package, name) for name in shown)


CODE = """
import engine
import nn
from engine import Value

x = Value(2.0)

class Line(nn.Module):
    def forward(self, x: float) -> Value:
        return engine.exp(x * Value(1.0))

"""


COMPLETED = {
    "engine.tan": {"tan", "tanh"},
    "x.tan": {"tan", "tanh"},
    "(x * 2).log": {"log", "log1p", "log_sigmoid"},
    "(x - 2.0).tanh().back": {"backward"},
    "engine.softm": {"softmax"},
    "engine.sum([x, x]).sigm": {"sigmoid"},
    "nn.Lin": {"Linear"},
    "Line().forward(1.0).back": {"backward"},
}
# jedi starts threads and a process, which end with this one
COMPLETE = """
import json, sys
import jedi
code, typed = json.load(sys.stdin)
line = code.count(chr(10)) + 1
found = [[c.name for c in jedi.Script(code + t).complete(line, len(t))] for t in typed]
print(json.dumps(found))
"""


def test_an_editor_completes() -> None:
    given = json.dumps([CODE, [*COMPLETED]])
    run = subprocess.run(
        [sys.executable, "-c", COMPLETE], input=given, capture_output=True, text=True, check=True
    )
    for (typed, expected), found in zip(COMPLETED.items(), json.loads(run.stdout), strict=True):
        assert expected <= {*found}, typed
