"""What is done first in a process: where nothing is cached yet, and in a later process.

Each measurement is a process of its own (`fresh`). The first has to make all machine code, later
ones find it. Imports are not counted: of NumPy, Numba, llvmlite, and what is loaded of the compiler
when it is asked for; nor is the start of JAX's backend, which has nothing cached in either case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchmarks import fresh
from benchmarks.harness import OURS, Asked, Contender, Row, Scale

JAX = "JAX jit"
_BEGIN = """
import random, sys, time
import engine
assert "numba" not in sys.modules, "import engine loads Numba"
import numpy, numba, numba.extending, llvmlite.binding, nn
engine.compile, nn.fit
"""
ROSENBROCK = f"""{_BEGIN}
def f(p):
    return (1.0 - p[0]) ** 2 + 100.0 * (p[1] - p[0] ** 2) ** 2
began = time.perf_counter()
value, gradient = engine.compile(f).value_and_grad([-1.2, 1.0])
done(time.perf_counter() - began, [value, *gradient])
"""
ROSENBROCK_JAX = """
import time, jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
x = jnp.array([-1.2, 1.0]).block_until_ready()
def f(p):
    return (1.0 - p[0]) ** 2 + 100.0 * (p[1] - p[0] ** 2) ** 2
began = time.perf_counter()
value, gradient = jax.block_until_ready(jax.jit(jax.value_and_grad(f))(x))
done(time.perf_counter() - began, [value, *gradient])
"""
_CIRCLE = f"""{_BEGIN}
from nn.data import unit_circle
from nn.programs.unit_circle import LEARNING_RATE, make_model
X, y = unit_circle(1000, 0)
model, loss = make_model(random.Random(0)), nn.MSELoss()
"""
CIRCLE = f"""{_CIRCLE}
began = time.perf_counter()
program = engine.compile(
    lambda x, t: loss(model(x.tolist()), t.tolist()), in_axes=0, reduce="mean", wrt=model
)
value, gradient = program.value_and_grad(X, y)
done(time.perf_counter() - began, [value])
"""
_UPDATE = """
began = time.perf_counter()
history = nn.fit(model, X, y, epochs=1, path="vectorised", progress=False, **options)
seconds = time.perf_counter() - began
done(seconds, [*history.step_loss, *(p.data for p in model.parameters())])
"""
CIRCLE_UPDATE = f"""{_CIRCLE}
options = dict(loss=loss, optimizer=nn.SGD(model.parameters(), lr=LEARNING_RATE))
{_UPDATE}"""
DIGITS_UPDATE = f"""{_BEGIN}
source, data = random.Random(0), numpy.random.default_rng(0)
model = nn.Sequential(nn.Linear(784, 50, rng=source), nn.ReLU(), nn.Linear(50, 10, rng=source))
X, y = data.random((64, 784), numpy.float32), data.integers(0, 10, 64).astype(float)
options = dict(loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(model.parameters()))
options |= dict(batch_size=64, dtype="float32")
{_UPDATE}"""


def rows(scale: Scale) -> Iterator[Row]:
    """Two rows a piece of work; a quick run has none, since they take too long."""
    if scale.name == "quick":
        return

    def one(
        name: str, work: str, program: str, asked: Sequence[Asked] = (), tolerance: float = 1e-9
    ) -> Iterator[Row]:
        for warm, state in ((False, "nothing cached"), (True, "in a later process")):
            contenders: dict[str, Callable[[], Contender]] = {
                OURS: lambda: fresh.contender(program, warm=warm)  # noqa: B023, before the next
            }
            if program is ROSENBROCK:
                contenders[JAX] = lambda: fresh.contender(ROSENBROCK_JAX, note="nothing cached")
            yield Row(
                f"{'later' if warm else 'first'}-{name}",
                f"{work}, {state}",
                contenders,
                asked=[asked[warm]] if asked else [],
                tolerance=tolerance,
            )

    gradient = "the first value and gradient of"
    least = (Asked(1.0, JAX), Asked(1.0, JAX))
    yield from one("rosenbrock", f"{gradient} Rosenbrock", ROSENBROCK, least)
    if scale.name == "full":
        most = (Asked(seconds=10.0), Asked(seconds=0.6))
        yield from one("circle", f"{gradient} the unit circle's loss", CIRCLE, most)
        yield from one("circle-update", "the first update of the unit circle", CIRCLE_UPDATE)
        work = "the first update of 784-50-10, float32"
        yield from one("digits-update", work, DIGITS_UPDATE, tolerance=1e-5)
