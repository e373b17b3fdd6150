"""How wide a text is in Helvetica, by which Graphviz measures where it finds no fonts.

A browser may have another font in its place, a wider one; told the width, it fits the text in.
Widths are thousandths of the font's size, from Adobe's font metrics (AFM) of Helvetica, for the
characters of ASCII from the space on; any other counts as a digit does. For bold text Graphviz
counts the same.
"""

from __future__ import annotations

_WIDTHS = (
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278),  # to /
    *(556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556),  # to ?
    *(1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778),  # to O
    *(667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556),  # to _
    *(333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556),  # to o
    *(556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584),  # to ~
)
_OTHER = 556


def width(text: str, size: float) -> float:
    """Return the width of a text in the unit of its size.

    >>> width("Value", 10.0)
    25.57
    """
    places = [ord(character) - 32 for character in text]
    total = sum(_WIDTHS[k] if 0 <= k < len(_WIDTHS) else _OTHER for k in places)
    return round(total * size / 1000.0, 2)
