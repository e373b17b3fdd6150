"""How wide a text will be in a reader's sans-serif font, whatever script it is written in.

Widths are thousandths of the font's size: for the characters of ASCII those of Helvetica, from
Adobe's font metrics (AFM), which Arial and Liberation Sans share; in other scripts a letter counts
as a Latin one does on average, and as a whole square where Unicode calls it wide (UAX 11). Accents
and other marks that are set above, below or within a letter take no room.
"""

from __future__ import annotations

import unicodedata

_WIDTHS = (
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278),  # to /
    *(556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556),  # to ?
    *(1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778),  # to O
    *(667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556),  # to _
    *(333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556),  # to o
    *(556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584),  # to ~
)
_LETTER, _CAPITAL, _SMALL, _SQUARE = 556, 667, 360, 1000
_SLACK = 1.15  # a reader may have a wider font, or a bold one


def width(text: str, size: float) -> float:
    """Return the width of a text in the unit of its size.

    >>> width("Value", 10.0)
    25.57
    >>> width("x\N{COMBINING CIRCUMFLEX ACCENT}", 10.0) == width("x", 10.0), width("权重", 10.0)
    (True, 20.0)
    """
    return round(sum(map(_thousandths, text)) * size / 1000.0, 2)


def room(text: str, size: float) -> float:
    """Return the room to leave for a text, so that a wider font does not overflow."""
    return round(width(text, size) * _SLACK, 2)


def _thousandths(character: str) -> int:
    place = ord(character) - 32
    if 0 <= place < len(_WIDTHS):
        return _WIDTHS[place]
    category = unicodedata.category(character)
    if category in ("Mn", "Me", "Cf", "Cc"):
        return 0
    if unicodedata.east_asian_width(character) in ("W", "F"):
        return _SQUARE
    base = unicodedata.normalize("NFKD", character)
    if base[0] != character:  # é, ₁, ²
        small = unicodedata.decomposition(character).startswith(("<sub>", "<super>"))
        return _SMALL if small and len(base) == 1 else sum(map(_thousandths, base))
    return _CAPITAL if category in ("Lu", "Lo", "Sm", "So") else _LETTER
