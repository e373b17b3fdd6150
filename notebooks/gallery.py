"""Draws the pictures of the guide's section "Seeing graphs" and the README's film: `make gallery`.

Each function makes a graph and draws it; the file is called as the function is. The film is taken
of the player in Chromium, where there is one.
"""

from __future__ import annotations

import importlib.util
import io
import random
import shutil
import tempfile
from pathlib import Path

import engine
import nn
from engine import Value
from engine.drawing import Drawing
from nn.programs.names_gpt import GPT, encoded

FOLDER = Path(__file__).parent / "pictures"


def derivatives() -> Drawing:
    """A neuron, with the derivative of each operation, and the path of most of the gradient."""
    x1, x2 = Value(2.0, label="x1"), Value(-1.0, label="x2")
    w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
    with engine.scope("neuron"):
        total = w1 * x1 + w2 * x2 + Value(6.88, label="b")
        out = engine.tanh(total)
    total.label, out.label = "n", "o"
    out.backward()
    return engine.draw(out, color="derivative", path=True, rankdir="TB")


def softmax() -> Drawing:
    """The cross-entropy of three scores, coloured by gradients, for a dark page."""
    scores = [Value(x, label=f"z{i}") for i, x in enumerate((2.0, -1.0, 0.5), 1)]
    with engine.scope("softmax"):
        shares = engine.softmax(scores)
    loss = -engine.log(shares[0])
    loss.label = "loss"
    loss.backward()
    return engine.draw(loss, color="gradient", theme="dark")


def network() -> Drawing:
    """A network of 2, 6 and 1 neurons on one example: each sum of products is one box."""
    rng = random.Random(4)
    model = nn.Sequential(
        nn.Linear(2, 6, rng=rng), nn.Tanh(), nn.Linear(6, 1, rng=rng), nn.Sigmoid()
    )
    output = model([Value(0.3, label="x1"), Value(-0.8, label="x2")])
    loss = nn.BCELoss()(output, [1.0])
    loss.label = "loss"
    loss.backward()
    return engine.draw(loss, color="gradient", limit=60)


def perceptron() -> Drawing:
    """The loss of a perceptron of 18,351 parameters, with L2: 91,528 nodes."""
    rng = random.Random(0)
    model = nn.MLP(20, [150, 100, 1], rng=rng)
    x = [Value(rng.random(), label=f"x{i}") for i in range(1, 21)]
    loss = (model(x) - 1.0) ** 2 + 1e-4 * engine.sum(p * p for p in model.parameters())
    loss.label = "loss"
    loss.backward()
    return engine.draw(loss, rankdir="TB")


def gpt() -> Drawing:
    """The loss of a GPT on one name: 130,337 nodes, a box for each kind of module."""
    model = GPT(random.Random(0))
    X, y = encoded(["emma"])
    loss = nn.CrossEntropyLoss()(model([int(token) for token in X[0]]), y[0])
    loss.label = "loss"
    return engine.draw(loss, limit=40, rankdir="TB")


def film(path: Path) -> None:
    """The player on the README's example, step by step, as a GIF."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    x, w, b = (Value(v, label=name) for v, name in ((2.0, "x"), (-1.5, "w"), (2.6, "b")))
    y = engine.tanh(w * x + b)
    y.label = "y"
    player = engine.step_through(y, theme="light")
    frames = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        page_file = player.save(Path(folder) / "player.html")
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 800, "height": 470}, reduced_motion="reduce")
        page.goto(page_file.as_uri())
        for _ in player.steps:
            picture = Image.open(io.BytesIO(page.screenshot()))
            frames.append(picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=64))
            page.keyboard.press("ArrowRight")
        browser.close()
    durations = [1400] * (len(frames) - 1) + [4000]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def main() -> None:
    """Write all of them."""
    if importlib.util.find_spec("playwright") is not None and shutil.which("chromium"):
        film(FOLDER / "player.gif")
    for draw in (derivatives, softmax, network, perceptron, gpt):
        path = draw().save(FOLDER / f"graph-{draw.__name__}.svg")
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
