"""Tests of what `import engine` and `import nn` load, and of names that are loaded when used."""

import subprocess
import sys

import pytest

HEAVY = "{'numba', 'llvmlite', 'graphviz', 'scipy', 'matplotlib', 'concurrent', 'tqdm'}"


def run(code: str) -> None:
    """Run code in a fresh process, with `loaded()` for what of some packages is imported there."""
    head = (
        "import sys\n"
        "def loaded(*packages):\n"
        "    return {m for m in sys.modules for p in packages if (m + '.').startswith(p + '.')}\n"
    )
    done = subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


EAGER = """
import engine
x = engine.Value(2.0, label="x")
y = engine.tanh(x) * x + engine.dot([x, 1.0], [2.0, x]) + engine.where(x > 1, x, 0.0)
y.backward()
assert x.grad != 0.0
assert engine.value_and_grad(lambda p: p["a"] ** 2 + p["b"][0])({"a": 3.0, "b": [1]})[0] == 10.0
assert engine.hessian(lambda p: p[0] ** 2 * p[1])([1.0, 3.0]) == [[6.0, 2.0], [2.0, 0.0]]
assert engine.jacobian(lambda p: (p[0], p[1] * p[0]))((1.0, 3.0)) == ((1.0, 0.0), (3.0, 1.0))
assert engine.jvp(engine.sin, 0.0, 1.0) == (0.0, 1.0)
assert engine.gradcheck(engine.sin, 0.5)
"""


def test_an_eager_gradient_loads_neither_numpy_nor_the_compiler_nor_pictures() -> None:
    found = f"loaded('numpy', *{HEAVY}, 'engine.compiled', 'engine.drawing', 'nn')"
    run(f"{EAGER}sys.exit(str({found} or '') or 0)")


def test_nn_loads_no_compiler_before_it_trains() -> None:
    run(
        "import nn\n"
        "loss = (nn.MLP(2, [4, 1])([1.0, -2.0]) - 1.0) ** 2\n"
        "loss.backward()\n"
        f"sys.exit(str(loaded(*{HEAVY}, 'engine.compiled', 'nn.train') or '') or 0)"
    )


def test_arrays_are_known_where_numpy_is_loaded_after_the_engine() -> None:
    run(
        f"{EAGER}"
        "import numpy as np\n"
        "f = lambda x: engine.sum(engine.square(a) for a in x)\n"
        "assert engine.grad(f)(np.array([1.0, 2.0])).tolist() == [2.0, 4.0]\n"
        "assert engine.jacobian(lambda x: x * 2.0)(np.ones(2)).shape == (2, 2)\n"
        "assert engine.where(np.float64(2.0) > 1.0, 1.0, 0.0) == 1.0\n"
    )


@pytest.mark.parametrize("package", ["engine", "nn", "nn.data"])
def test_every_public_name_can_be_had_in_any_way(package: str) -> None:
    run(
        f"import {package} as package\n"
        "missing = set(package.__all__) - set(dir(package))\n"
        "assert not missing, missing\n"
        f"exec('from {package} import *', found := {{}})\n"
        "missing = set(package.__all__) - found.keys()\n"
        "assert not missing, missing\n"
        "assert all(found[name] is getattr(package, name) for name in package.__all__)\n"
    )


def test_a_deferred_class_is_a_class() -> None:
    run(
        "import engine\n"
        "program = engine.compile(lambda x: x * x)\n"
        "assert isinstance(program, engine.Program) and type(program) is engine.Program\n"
        "assert vars(engine)['Program'] is engine.Program\n"
    )


def test_an_unknown_name_is_refused_as_python_does() -> None:
    run(
        "import engine, nn\n"
        "for package in (engine, nn):\n"
        "    try:\n"
        "        package.no_such_name\n"
        "    except AttributeError as error:\n"
        "        assert package.__name__ in str(error) and 'no_such_name' in str(error)\n"
        "    else:\n"
        "        sys.exit(1)\n"
        "assert nn.plots.__name__ == 'nn.plots' and not hasattr(nn, 'pictures')\n"
    )
