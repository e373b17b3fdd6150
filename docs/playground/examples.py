"""The programs that the playground offers, by title."""

EXAMPLES = {
    "A neuron": """\
from engine import Value

x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
b = Value(6.88, label="b")

out = (x1 * w1 + x2 * w2 + b).tanh()
out.label = "out"
out
""",
    "A diamond: one number used twice": """\
from engine import Value

# x reaches y along two arrows, and its gradient is the sum of both.
x = Value(3.0, label="x")
a = x * 2
b = x ** 2
y = a + b
y
""",
    "tanh saturates": """\
from engine import Value

# Drag w to the right: the gradient dies where tanh is flat.
x, w = Value(1.0, label="x"), Value(2.5, label="w")
y = (w * x).tanh()
y
""",
    "A dead ReLU, explained": """\
import engine

def loss(w, x):
    return (engine.relu(w * x) - 1.0) ** 2

# Why is the gradient of w zero?
engine.explain(loss, -1.5, 2.0)
""",
    "Softmax and cross-entropy": """\
import engine
from engine import Value

scores = [Value(s, label=f"s{i}") for i, s in enumerate([2.0, 1.0, -1.0])]
shares = engine.softmax(scores)
print("shares", [round(p.data, 3) for p in shares])
loss = -engine.log(shares[0])
loss
""",
    "A two-layer network on XOR": """\
import random
import engine
from engine import Value

rng = random.Random(3)
weights = [Value(rng.uniform(-1, 1)) for _ in range(17)]
examples = {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 0}

def neuron(w, x):
    return engine.dot(w[1:], x) + w[0]

def network(x):
    units = (weights[0:3], weights[3:6], weights[6:9], weights[9:12])
    hidden = [neuron(w, x).tanh() for w in units]
    return neuron(weights[12:], hidden).sigmoid()

for step in range(400):
    loss = sum((network(x) - y) ** 2 for x, y in examples.items())
    for w in weights:
        w.grad = 0.0
    loss.backward()
    for w in weights:
        w.data -= 0.8 * w.grad

print(f"loss {loss.data:.4f}")
for x, y in examples.items():
    print(x, "is", y, "and the network says", f"{network(x).data:.2f}")
loss
""",
    "Gradient descent": """\
from engine import Value

w = Value(4.0, label="w")
rate = 0.1  # try 0.9, and 1.1

for step in range(12):
    loss = (w - 1) ** 2
    w.grad = 0.0
    loss.backward()
    print(f"step {step:2}  w {w.data:7.4f}  loss {loss.data:8.4f}")
    w.data -= rate * w.grad

loss
""",
    "A network of layers": """\
import random
import nn

rng = random.Random(1)
model = nn.Sequential(nn.Linear(2, 3, rng=rng), nn.Tanh(), nn.Linear(3, 1, rng=rng))
optimizer = nn.Adam(model.parameters(), lr=0.1)  # try nn.SGD
square = nn.MSELoss()
xor = {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 0}

for step in range(101):
    loss = sum(square(model(x), [y]) for x, y in xor.items()) / 4
    optimizer.zero_grad()
    loss.backward()
    if step % 20 == 0:
        print(f"step {step:3}  loss {loss.data:.4f}")
    optimizer.step()

for x, y in xor.items():
    print(x, "is", y, "and the network says", f"{model(x)[0].data:.2f}")
square(model((1, 0)), [1])
""",
    "Derivatives of derivatives": """\
import engine

def f(x):
    return engine.sin(x) * x ** 2

for order in range(4):
    print("derivative", order, "at 1:", round(f(1.0), 6))
    f = engine.grad(f)
""",
    "Where was nan born?": """\
import engine

def f(x):
    y = engine.sqrt(x - 2.0)   # x is 1
    return y * 3.0 + x

engine.find_nonfinite(f, 1.0)
""",
    "Check a gradient": """\
import engine
from engine import Value

def f(x, y):
    return engine.exp(x * y) / (1 + y ** 2)

print("right:", engine.gradcheck(f, (0.5, -1.2)))
x, y = Value(0.5, label="x"), Value(-1.2, label="y")
f(x, y)
""",
}
