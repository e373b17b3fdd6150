"""What users write, as type checkers see it: `make lint` has mypy and pyright look at it.

A line with a comment that ignores an error is wrong, and must be said to be: both checkers refuse
comments that ignore nothing.
"""

from typing import assert_type

import engine
import nn
from engine import Value

# --- operations ---

x, y = Value(2.0, label="x"), Value(3.0)
assert_type(x * 2, Value)
assert_type(2.0 - x, Value)
assert_type(-x / y**2 % 3, Value)
assert_type(abs(x), Value)
assert_type(round(x, 2), Value)
assert_type(x.tanh(), Value)
assert_type(x.hypot(2.0), Value)
assert_type(x.arctan2(y), Value)
assert_type(x.leaky_relu(), Value)
assert_type(x.detach(), Value)
assert_type((x + 1.0).data, float)
assert_type(engine.tanh(x), Value)
assert_type(engine.tanh(0.5), float)
assert_type(engine.tanh(1), float)
assert_type(engine.hypot(x, 2.0), Value)
assert_type(engine.hypot(2, y), Value)
assert_type(engine.hypot(3.0, 4.0), float)
assert_type(engine.leaky_relu(x, 0.2), Value)
assert_type(engine.power(x, 2), Value)
assert_type(engine.where(x > 0, x, 0.0), Value)
assert_type(engine.clamp(x, 0.0, 1.0), Value)
assert_type(engine.maximum(x, 0.0, y), Value)
assert_type(engine.maximum([x, y]), Value)
assert_type(engine.sum([x, y]), Value)
assert_type(engine.mean(v * v for v in (x, y)), Value)
assert_type(engine.sum([1.0, 2.0]), float)
assert_type(engine.sum([x, 1.0]), Value | float)
assert_type(engine.maximum([x, 1.0]), Value | float)
assert_type(engine.dot([x, 1.0], [1.0, y]), Value | float)
assert_type(engine.dot([x, y], [1.0, 2.0]), Value)
assert_type(engine.softmax([x, y]), list[Value])
assert_type(engine.take([[x], [y]], 1), list[Value])
assert_type(engine.random(), Value)
engine.tanh(x * y).backward()


def either(v: Value | float) -> Value | float:
    return engine.exp(v) + 1.0


x.tahn()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
engine.tahn(x)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
engine.tanh("x")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
_ = x + "1"  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
x.tanh(2.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
x.hypot()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
engine.sum(x)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]

# --- models ---


class Line(nn.Module):
    def __init__(self) -> None:
        self.slope, self.offset = Value(2.0), Value(1.0)

    def forward(self, x: float) -> Value:
        return self.slope * x + self.offset


class Pair(nn.Module):
    def __init__(self) -> None:
        self.lines = [Line(), Line()]

    def forward(self, x: float, scale: float = 1.0) -> list[Value]:
        return [scale * line(x) for line in self.lines]


assert_type(Line()(3.0), Value)
assert_type(Pair()(3.0, 2.0), list[Value])
assert_type(nn.Neuron(2)([1.0, x]), Value)
assert_type(len(nn.Linear(2, 1)([1.0, x])), int)
model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
nn.MSELoss()(model([1.0, 2.0]), [0.5]).backward()
nn.Adam(model.parameters(), lr=0.01).step()
history = nn.fit(
    model, [[0.0, 1.0]], [[1.0]], loss=nn.MSELoss(), optimizer=nn.SGD(model.parameters()), epochs=1
)
assert_type(history.loss, list[float])

Line()("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Line()(3.0).tahn()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
Pair()()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# --- functions of functions ---


def loss(p: list[Value]) -> Value:
    return (p[0] - 1.0) ** 2 + p[1] ** 2


program = engine.compile(loss)
assert_type(program, engine.Program)
value, gradient = engine.value_and_grad(loss)([1.0, 2.0])
engine.gradcheck(loss, [[1.0, 2.0]])
engine.draw(loss([x, y])).save("loss.svg")
