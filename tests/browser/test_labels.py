"""Labels of every script, in drawings and players: at their natural width, within their boxes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import engine
from engine import Value

LABELS = (
    "x\u0302",
    "y\u0303\u0304",
    "w₁₁",
    "权重",
    "한국어",
    "σ² + ∂y/∂x",
    "Größe",
    "имя",
    "שלום",
    "WWmm",
)
SHOW = {"drawing": engine.draw, "player": engine.step_through}
# By text: its width as drawn against its own, and how far it stays inside of its box.
WIDTHS = r"""svg => [...svg.querySelectorAll("text")].filter(text => text.textContent).map(text => {
    const style = getComputedStyle(text);
    const ruler = document.createElement("canvas").getContext("2d");
    ruler.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const box = [...text.parentNode.querySelectorAll("rect.gl-body, path")][0] ?? text.parentNode;
    const [own, around] = [text, box].map(each => each.getBoundingClientRect());
    const natural = ruler.measureText(text.textContent).width;
    return [text.textContent.replace(/[\u2068\u2069]/g, ""), // marks around what runs leftwards
        text.getComputedTextLength() / natural,
        own.left - around.left, around.right - own.right, own.width / around.width];
})"""


@pytest.mark.parametrize("kind", SHOW)
def test_labels_have_their_natural_width_and_stay_inside(
    kind: str, tmp_path: Path, open_page: Callable[..., Any], keep_picture: Any
) -> None:
    total = sum((Value(1.0, label=label) for label in LABELS), Value(0.0, label="0"))
    page = open_page(SHOW[kind](total).save(tmp_path / f"{kind}.html"))
    widths = {text: rest for text, *rest in page.locator("svg:has(g)").first.evaluate(WIDTHS)}
    assert set(LABELS) <= set(widths)
    for label in LABELS:
        ratio, left, right, _ = widths[label]
        assert 0.8 < ratio < 1.25 and left >= 0 and right >= 0, label
    assert widths["σ² + ∂y/∂x"][3] > 0.5, "the box of a long label is made for it"
    keep_picture(page, f"labels-{kind}")
