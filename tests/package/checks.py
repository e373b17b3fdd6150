"""What an installed gradloom is asked to do, by itself: `python -I checks.py NAME`.

Each check prints one object of JSON as its last line. It is run with the environment that is
tested, which has no pytest, and knows nothing of the checkout.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import json
import math
import pkgutil
import sys
import tempfile
import warnings
from pathlib import Path

OPTIONAL = ("scipy", "matplotlib", "tqdm", "safetensors", "pygraphviz", "IPython", "cloudpickle")
OPTIONAL += ("mpmath", "flint", "h5py", "onnx", "sklearn", "distributed", "mpi4py")
OPTIONAL += ("PIL", "google", "dask")  # which matplotlib, onnx and distributed bring


def core() -> dict:
    """Import every module, compute, compile, draw as text, and train on both paths."""
    found = everything()
    assert "numba" not in sys.modules, "an import loads Numba"
    import engine
    import nn

    found |= eager()
    drawing = engine.draw(engine.Value(2.0) ** 2)
    assert drawing.to_graphviz().source == drawing.source
    X = nn.data.xor(4, 0)[0]
    layer = lambda w, x: engine.sum(map(engine.cbrt, w @ x))  # noqa: E731
    value, gradient = engine.compile(layer, in_axes=(None, 0), reduce="sum").value_and_grad(X, X)
    assert math.isfinite(value) and gradient.shape == (4, 2)
    f = lambda x: engine.exp(x[0]) / (1 + x[1] ** 2)  # noqa: E731
    y, by_x = engine.compile(f).value_and_grad([0.5, 2.0])
    expected, by_both = engine.value_and_grad(f)([0.5, 2.0])
    assert math.isclose(y, expected) and all(map(math.isclose, by_x, by_both))
    losses = [trained(path)[0] for path in ("scalar", "vectorised")]
    assert math.isclose(*losses, rel_tol=1e-9), losses
    assert trained("auto")[1:] == ("vectorised", "the model and the loss compile")
    assert trained("vectorised", "float32")[1] == "vectorised"
    return found | command_line()


def eager() -> dict:
    """What needs no compiler: values, gradients, drawings, explanations, players."""
    import engine

    x = engine.Value(2.0, label="x")
    y = engine.tanh(x) * x
    y.backward()
    assert math.isclose(x.grad, math.tanh(2.0) + 2.0 / math.cosh(2.0) ** 2)
    assert engine.hessian(lambda p: p[0] ** 2 * p[1])([1.0, 3.0]) == [[6.0, 2.0], [2.0, 0.0]]
    assert engine.gradcheck(engine.sin, 0.5)
    assert "x = 2" in str(engine.draw(y))
    assert engine.draw(y).source.startswith("digraph")
    assert "ZERO" in str(engine.explain(lambda x: engine.relu(x - 1.0), 0.5))
    with tempfile.TemporaryDirectory() as folder:
        page = engine.step_through(y).save(Path(folder, "player.html")).read_text()
        assert "<html" in page and "script" in page
        assert "x = 2" in engine.draw(y).save(Path(folder, "y.txt")).read_text()
        assert engine.draw(y).save(Path(folder, "y.html")).stat().st_size > 0
    return {"engine": engine.__file__}


def everything() -> dict:
    """The modules and data files that are there; all modules can be imported, but for extras."""
    import engine
    import nn

    modules = []
    for package in (engine, nn):
        assert Path(package.__file__).is_relative_to(sys.prefix), package.__file__
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            modules.append(found.name)
            try:
                importlib.import_module(found.name)
            except ModuleNotFoundError as error:  # of a module that is for an extra
                if error.name not in OPTIONAL:
                    raise
    rows = [len(nn.data.digits()[0]), len(nn.data.iris()[0]), len(nn.data.first_names())]
    return {"modules": modules, "rows": rows, "version": importlib.metadata.version("gradloom")}


def trained(path: str, dtype: str = "float64") -> tuple:
    """Train a little; return the last loss, the path, and why it was that."""
    import random

    import nn

    X, y = nn.data.xor(40, 0)
    model = nn.MLP(2, [4, 1], rng=random.Random(0))
    options = {"loss": nn.MSELoss(), "optimizer": nn.Adam(model.parameters(), lr=0.01)}
    options |= {"epochs": 3, "batch_size": 5, "progress": False, "path": path, "dtype": dtype}
    history = nn.fit(model, X, y.ravel(), **options)
    assert len(nn.predict(model, X)) == 40
    return history.loss[-1], history.path, history.reason


def command_line() -> dict:
    """The command `gradloom`, as it is installed."""
    (script,) = (
        entry.load()
        for entry in importlib.metadata.entry_points(group="console_scripts", name="gradloom")
    )
    assert any(Path(sys.prefix).glob("*/gradloom*"))
    assert importlib.metadata.entry_points(group="pytest11", name="pytest_gradloom")
    assert importlib.util.find_spec("pytest_gradloom")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert script(["list"]) == 0
        assert script(["cache"]) == 0
        arguments = ["xor", "--points", "10", "--epochs", "1", "--json"]
        assert script(["run", *arguments]) == 0
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "model.py")
            file.write_text("def square(x):\n    return x * x\n")
            assert script(["draw", f"{file}:square", "--args", "3"]) == 0
    text = printed.getvalue()
    assert "unit-circle" in text and "* = 9" in text, text
    (last,) = (json.loads(line) for line in text.splitlines() if line.startswith("{"))
    return {"run": last["path"]}


def without_numba() -> dict:
    """What is left without a compiler, and what the rest says."""
    assert all(importlib.util.find_spec(name) is None for name in ("numba", "llvmlite"))
    found = everything() | eager()
    import engine
    import nn

    needed = "compiling needs Numba: pip install numba"
    assert trained("scalar")[1] == "scalar"
    assert trained("auto")[1:] == ("scalar", needed), trained("auto")
    X = nn.data.xor(200, 0)[0]
    model = nn.Sequential(nn.Linear(2, 1))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert len(nn.predict(model, X)) == 200
    assert [str(one.message) for one in told] == [f"on the scalar path: {needed}"]
    attempts = {
        "compile": lambda: engine.compile(engine.sin),
        "fit": lambda: trained("vectorised"),
        "predict": lambda: nn.predict(model, X, path="vectorised"),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
        except ImportError as error:
            assert str(error) == needed, (name, error)
        else:
            raise AssertionError(f"{name} went on without Numba")
    return found | command_line()


def blas() -> dict:
    """Large products are BLAS's."""
    import numpy as np

    import engine
    from engine.compiled import blas

    assert blas.is_there() and blas.gemm("float64") and blas.gemm("float32")
    W, X = np.ones((300, 500)), np.arange(64.0 * 500).reshape(64, 500)
    program = engine.compile(lambda W, x: (W @ x).sum(), in_axes=(None, 0), reduce="sum")
    value, gradient = program.value_and_grad(W, X)
    assert value == 300.0 * X.sum() and (gradient == X.sum(axis=0)).all()
    return {}


def viz() -> dict:
    """Graphs are laid out, whatever this machine has on its PATH."""
    import os

    import engine

    os.environ["PATH"] = ""
    drawing = engine.draw(engine.Value(2.0, label="x") * 3.0)
    assert b"</svg>" in drawing.render("svg") and drawing.render("png").startswith(b"\x89PNG")
    return {}


def plot() -> dict:
    """Pictures of training are drawn."""
    import nn

    with tempfile.TemporaryDirectory() as folder:
        axes = nn.plots.loss_curve([3.0, 2.0, 1.0])
        assert nn.plots.save(axes, Path(folder, "loss.png")).stat().st_size > 1000
    nn.LivePlot()
    return {}


def progress() -> dict:
    """A bar is tqdm's."""
    from nn.progress import Bar

    bar = Bar(2, True, estimate=False)
    assert type(bar._bar).__module__.startswith("tqdm")
    bar.close()
    return {}


def io_() -> dict:
    """Models and checkpoints are saved, and loaded."""
    import nn

    model = nn.Sequential(nn.Linear(2, 1))
    X = [[1.0, 2.0], [3.0, 4.0]]
    with tempfile.TemporaryDirectory() as folder:
        nn.save(model, Path(folder, "model.safetensors"))
        twin = nn.load(Path(folder, "model.safetensors"))
        assert (nn.predict(twin, X) == nn.predict(model, X)).all()
        optimizer = nn.SGD(model.parameters(), lr=0.1)
        options = {"loss": nn.MSELoss(), "optimizer": optimizer, "progress": False}
        for epochs in (1, 2):
            history = nn.fit(model, X, [[1.0], [2.0]], epochs=epochs, checkpoint=folder, **options)
        assert len(history.loss) == 2
    return {}


def exact() -> dict:
    """Graphs run on many digits, and on intervals."""
    import engine

    for numbers in ("mpmath", "interval"):
        found = engine.exact(engine.exp, 1, numbers=numbers, digits=20)
        assert found.figures[0].text.strip("[").startswith("2.71828182845904523")
        assert engine.accuracy(engine.exp, 1, numbers=numbers).value.digits > 14
    return {}


def exchange() -> dict:
    """A network is written for Keras and as ONNX, and read again."""
    import nn

    net = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    for path in ("net.keras", "net.onnx"):
        nn.write(net, path)
        assert nn.read(path)([1.0, 2.0])[0].data == net([1.0, 2.0])[0].data
    return {}


def sklearn() -> dict:
    """Estimators learn, and stop early."""
    import nn.sklearn

    X, y = nn.data.iris()
    options = {"learning_rate_init": 0.02, "random_state": 0, "n_iter_no_change": float("inf")}
    assert nn.sklearn.MLPClassifier([8], **options).fit(X, y).score(X, y) > 0.9
    assert (
        nn.sklearn.MLPRegressor([8], **options).fit(X[:, 1:], X[:, 0]).score(X[:, 1:], X[:, 0])
        > 0.5
    )
    return {}


def imports(*names: str) -> dict:
    """Packages can be imported beside ours."""
    for name in ("engine", "nn", *names):
        importlib.import_module(name)
    return {}


CHECKS = {"viz-native": viz, "io": io_}
_ABLE = (core, without_numba, blas, viz, plot, progress, exact, exchange, sklearn)
CHECKS |= {check.__name__: check for check in _ABLE}
CHECKS["imports"] = imports

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    print(json.dumps(CHECKS[name](*arguments)))
