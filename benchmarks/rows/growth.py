"""Scalar, tape, vectorised: our three ways for networks and graphs that grow.

Eagerly a graph is built on Values and gone back through, example by example; the plain tape is the
same operations one after the other, compiled but not lifted; lifted they are blocks. All three
compute the same gradient. Of the compiled ones it is the machine alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import engine
import nn
from benchmarks import facts, ours
from benchmarks.harness import EAGER, Contender, Figure, Row, Scale
from benchmarks.rows.lowering import prepared
from benchmarks.rows.moons import loss_of, make_model, moons, operations

TAPE, LIFTED = "gradloom, plain tape", "gradloom, lifted"
PREPARING = "gradloom, compiling it, once"
_INPUTS, _WIDTH, _BATCH = 8, 16, 16
_EAGER_BYTES, _COMPILED_BYTES = 400, 800  # a node, about, at the worst moment


def figures(scale: Scale) -> Iterator[Figure]:
    """Growing width, depth, batch and graph."""
    widths = scale.of((1, 2, 4, 8, 16, 32, 64, 128), (2, 16), (1, 2))
    depths = scale.of((1, 2, 4, 8, 16, 32, 64), (1, 8), (1, 2))
    batches = scale.of((1, 4, 16, 64, 256, 1024), (1, 64), (1, 2))
    yield Figure(
        "growth-width",
        f"A gradient of {_INPUTS}-w-w-1, batch {_BATCH}",
        "width w",
        ((w, _network(f"growth-width-{w}", [w, w], _BATCH)) for w in widths),
    )
    yield Figure(
        "growth-depth",
        f"A gradient of a network {_WIDTH} wide, batch {_BATCH}",
        "hidden layers",
        ((d, _network(f"growth-depth-{d}", [_WIDTH] * d, _BATCH)) for d in depths),
    )
    yield Figure(
        "growth-batch",
        f"A gradient of {_INPUTS}-{_WIDTH}-{_WIDTH}-1",
        "batch",
        ((b, _network(f"growth-batch-{b}", [_WIDTH, _WIDTH], b)) for b in batches),
    )
    yield Figure(
        "growth-graph",
        "A gradient of one graph: micrograd's moons, with more and more points",
        "nodes",
        _graphs(scale),
        per_x=True,
    )


def _network(name: str, hidden: list[int], batch: int) -> Row:
    """A gradient of a dense network with tanh, of a whole batch."""
    rng = random.Random(0)
    layers: list[nn.Module] = []
    for n_in, n_out in zip([_INPUTS, *hidden], [*hidden, 1], strict=True):
        layers += [nn.Linear(n_in, n_out, rng=rng), nn.Tanh()]
    model, loss = nn.Sequential(*layers[:-1]), nn.MSELoss()
    data = np.random.default_rng(0)
    X, y = data.normal(size=(batch, _INPUTS)), data.normal(size=(batch, 1))
    program = ours.batch_program(model, loss)
    return Row(
        name,
        f"a gradient of {'-'.join(map(str, [_INPUTS, *hidden, 1]))}, batch {batch}",
        {
            EAGER: lambda: ours.eager_gradient(model, loss, X, y),
            TAPE: lambda: ours.gradient_alone(program, X, y, lifted=False),
            LIFTED: lambda: ours.gradient_alone(program, X, y),
        },
    )


def _graphs(scale: Scale) -> Iterator[tuple[float, Row]]:
    """One graph, of up to 10,000,000 nodes; compiled as long as that takes no more than a while,
    as the point before tells."""
    limit, compiled, before, last = 120.0, True, 1, 0.0
    for points in scale.of((2, 15, 155, 1550, 4650, 15_500), (2, 50), (2,)):
        X, y = moons(points)
        nodes = operations(points)
        compiled = compiled and last * points / before < limit
        compiled = compiled and facts.fits(nodes * _COMPILED_BYTES)
        if not facts.fits(nodes * _EAGER_BYTES):
            break
        before, began = points, time.perf_counter()
        yield nodes, _graph(X, y, nodes, compiled)
        last = time.perf_counter() - began


def _graph(X: Any, y: Any, nodes: int, compiled: bool) -> Row:
    model = make_model()
    parameters = model.parameters()

    def loss() -> Any:
        return loss_of(model, X, y, lambda x: x)

    def eagerly() -> Contender:
        def work() -> Any:
            model.zero_grad()
            total = loss()
            total.backward()
            return total

        return Contender(work=work, numbers=lambda: [work().data, *(p.grad for p in parameters)])

    contenders = {EAGER: eagerly}
    if compiled:
        program = engine.compile(loss, wrt=model)
        contenders |= {
            TAPE: lambda: ours.gradient_alone(program, lifted=False),
            LIFTED: lambda: ours.gradient_alone(program),
            PREPARING: lambda: Contender(lambda: prepared(len(X)), numbers=None),
        }
    return Row(f"growth-graph-{nodes}", f"a gradient of {nodes:,} nodes", contenders)
