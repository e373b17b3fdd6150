"""Colours of pictures, light and dark, role by role; and how texts and numbers are written."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, fields

from engine.drawing.picture import Box, Cluster, Row

STEPS = 5  # of shade on either side of 0


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as #rrggbb. Pairs are fill and border; `families` are those of the table."""

    background: str
    ink: str
    muted: str
    gradient: str
    arrow: str
    mark: str
    frame: tuple[str, str]
    leaf: tuple[str, str]
    number: tuple[str, str]
    root: tuple[str, str]
    scope: tuple[str, str]
    families: dict[str, tuple[str, str]]
    shades: tuple[str, ...]  # from -1 to 1, 2 * STEPS + 1 fills
    strokes: tuple[str, ...]  # the same for arrows

    def shade(self, shade: float, *, stroke: bool = False) -> str:
        """The colour of a number from -1 to 1."""
        place = round(max(-1.0, min(1.0, shade)) * STEPS) + STEPS
        return (self.strokes if stroke else self.shades)[place]


def _mixed(a: str, b: str, share: float) -> str:
    parts = [
        round(int(a[i : i + 2], 16) * (1.0 - share) + int(b[i : i + 2], 16) * share)
        for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{part:02x}" for part in parts)


def _ramp(negative: str, zero: str, positive: str) -> tuple[str, ...]:
    left = [_mixed(zero, negative, k / STEPS) for k in range(STEPS, 0, -1)]
    return (*left, zero, *(_mixed(zero, positive, k / STEPS) for k in range(1, STEPS + 1)))


# The dark colours stand in place of the light ones in a page that follows its reader's theme,
# so a light colour has one role, or one dark colour in all of its roles.
LIGHT = Theme(
    background="#ffffff",
    ink="#1f2933",
    muted="#6b7280",
    gradient="#b4530a",
    arrow="#7b8794",
    mark="#c2185b",
    frame=("#f5f7fa", "#cbd2d9"),
    leaf=("#e3f0fb", "#4a90c2"),
    number=("#fdfdfe", "#9aa5b1"),
    root=("#e2f5ec", "#2a9d6f"),
    scope=("#e6e9f5", "#7886c0"),
    families={
        "arithmetic": ("#fdf1d7", "#d9a441"),
        "exponential": ("#fbe0d8", "#d2694a"),
        "trigonometric": ("#ece2f8", "#8f66c4"),
        "activation": ("#d9f2f0", "#2f9c95"),
        "special": ("#dfe6f3", "#56749f"),
        "choice": ("#fbdfea", "#cc5c8b"),
        "reduction": ("#e4eecb", "#86a03a"),
        "custom": ("#e8e6e1", "#8a8378"),
    },
    shades=_ramp("#f08a4b", "#fafafa", "#5b9fe0"),
    strokes=_ramp("#c8500f", "#c5ccd4", "#1c6fc0"),
)
DARK = Theme(
    background="#15181d",
    ink="#e6e9ed",
    muted="#97a1ad",
    gradient="#f0a35e",
    arrow="#8491a0",
    mark="#ff6fa5",
    frame=("#1d2229", "#414b57"),
    leaf=("#17324a", "#4f9bd3"),
    number=("#22272e", "#66717e"),
    root=("#143c2e", "#3bb884"),
    scope=("#2a3050", "#7f8fd6"),
    families={
        "arithmetic": ("#463613", "#c99a3f"),
        "exponential": ("#4d2418", "#d9795c"),
        "trigonometric": ("#382853", "#a583d8"),
        "activation": ("#12403d", "#3fb0a8"),
        "special": ("#1f2f4a", "#7d9fd6"),
        "choice": ("#4c1e33", "#db77a1"),
        "reduction": ("#333f13", "#9cb84e"),
        "custom": ("#35322d", "#a39b8e"),
    },
    shades=_ramp("#c0561c", "#23282f", "#2f78c4"),
    strokes=_ramp("#ef8a4d", "#4a545f", "#58a6f0"),
)
THEMES = {"light": LIGHT, "dark": DARK}


def dark_of_light() -> dict[str, str]:
    """The dark colour for each light one."""
    light, dark = colours_of(LIGHT), colours_of(DARK)
    return {light[role]: dark[role] for role in light}


def colours_of(theme: Theme) -> dict[str, str]:
    """All colours of a theme by their roles: "leaf" and "leaf-line" are fill and border."""
    found: dict[str, str] = {}
    for entry in fields(theme):
        colours = getattr(theme, entry.name)
        named = colours if isinstance(colours, dict) else {entry.name: colours}
        for name, several in named.items():
            several = [several] if isinstance(several, str) else several
            ends = ["", "-line"] if len(several) < 3 else map(str, range(len(several)))
            found |= {name + end: colour for end, colour in zip(ends, several, strict=False)}
    return found


def number_text(x: float) -> str:
    """Four digits, with a real minus sign, and without one for zero; whole numbers wholly."""
    if isinstance(x, int):
        return f"{x:,}"
    text = f"{x + 0.0:.4g}" if math.isfinite(x) else str(x)
    return text.replace("-", "\N{MINUS SIGN}")


def row_text(row: Row) -> str:
    """The number of a row, or the range of its numbers."""
    if row.high is None:
        return number_text(row.number)
    return f"{number_text(row.number)} … {number_text(row.high)}"


def title_text(part: Box | Cluster) -> str:
    """What a box or a frame is, and how many of it there are."""
    title = part.title if isinstance(part, Box) else part.name
    return f"{title} × {part.repeats:,}" if part.repeats > 1 else title


def plain(text: str) -> str:
    """A text without controls, which are shown as such; line ends stay."""
    return "".join(
        c if c.isprintable() or c in "\n\N{ZERO WIDTH JOINER}" else "\N{REPLACEMENT CHARACTER}"
        for c in text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    )


def markup(text: str) -> str:
    """A text as it may stand in markup: as what it says, never as a tag."""
    return html.escape(plain(text))
