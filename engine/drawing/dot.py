"""From a `Picture` to Graphviz source.

A picture that is not folded has micrograd's look: each number a box with its data and gradient,
each operation a circle before its result. In a folded one each box has a head that says what it
stands for. Labels are data, never markup: every text goes through `Texts`, which makes it safe
inside of Graphviz's HTML-like labels.
"""

from __future__ import annotations

import html

from engine.drawing.picture import Arrow, Box, Cluster, Key, Picture
from engine.drawing.theme import LIGHT, Theme, number_text, plain, row_text, title_text

FONT, SIZE = "Helvetica", 10  # points: 9 are left of them where a page makes it smaller
_THICK = 3.0  # the width of what is marked
_DASH = "\N{EM DASH}"
_CIRCLES = 300  # boxes, up to which operations stand before their results


class Texts:
    """How texts are written into labels: as what they say, never as markup.

    `anchor` is what stays in its place where a reader's font has another width: "start", "middle"
    or "end" of the text.
    """

    def __call__(self, text: str, anchor: str = "middle") -> str:
        lines = plain(text).split("\n")
        return "<BR/>".join(self.line(line, anchor) for line in lines) if text else " "

    def line(self, line: str, anchor: str) -> str:
        """One line of a text."""
        return html.escape(line).replace("\\", "\\\\")  # Graphviz has escapes of its own


def to_dot(
    picture: Picture, rankdir: str = "LR", theme: Theme = LIGHT, texts: Texts | None = None
) -> str:
    """Return the DOT source of a picture. Its nodes are called as the boxes are."""
    return _Source(picture, theme, texts or Texts(), rankdir).whole()


class _Source:
    """Writes the source of one picture."""

    def __init__(self, picture: Picture, theme: Theme, texts: Texts, rankdir: str) -> None:
        self.picture, self.theme, self.text, self.rankdir = picture, theme, texts, rankdir
        few = not picture.is_folded and len(picture.boxes) <= _CIRCLES
        self.circles = {box.id for box in picture.boxes if few and box.kind == "operation"}
        # Within frames Graphviz places from below what it turns: what comes first is to be above.
        turned = rankdir in ("LR", "RL") and picture.clusters and not picture.is_folded
        self.step = -1 if turned else 1

    def whole(self) -> str:
        picture, theme, step = self.picture, self.theme, self.step
        graph = {
            "rankdir": self.rankdir,
            "bgcolor": theme.background,
            "fontname": FONT,
            "fontsize": str(SIZE),
            "nodesep": "0.15",
            "ranksep": "0.4" if picture.is_folded else "0.22",
        }
        if len(picture.boxes) > _CIRCLES:  # Graphviz would take minutes over a prettier layout
            graph |= {"nslimit": "1", "nslimit1": "1", "mclimit": "0.3", "splines": "line"}
        foot = self._foot()
        if foot:
            graph |= {"label": foot, "labelloc": "b", "labeljust": "l"}
        fonts = {"fontname": FONT, "fontsize": str(SIZE), "fontcolor": theme.ink}
        arrows = {"color": theme.arrow, "arrowsize": "0.6"} | fonts
        lines = ["graph" + _written(graph), "node" + _written(fonts), "edge" + _written(arrows)]
        lines += self._boxes()
        for arrow in picture.arrows[::step]:
            target = f"op_{arrow.target}" if arrow.target in self.circles else arrow.target
            lines.append(f"{arrow.source} -> {target}{_written(self._look(arrow))}")
        for box in picture.boxes[::step]:
            if box.id in self.circles:
                look = {"color": theme.mark, "penwidth": str(_THICK)} if box.is_marked else {}
                lines.append(f"op_{box.id} -> {box.id}{_written({'arrowhead': 'none', **look})}")
        lines += [f"{a} -> {b} [style=invis]" for a, b in picture.waits()]
        return "\n".join(["digraph {", *(f"\t{line}" for line in lines), "}", ""])

    def _look(self, arrow: Arrow) -> dict[str, str]:
        """How an arrow differs from the others."""
        look = {}
        if arrow.label:
            text = self._coloured(self.text(arrow.label), self.theme.ink)
            look["label"] = f'<TABLE BORDER="0" CELLPADDING="3"><TR><TD>{text}</TD></TR></TABLE>'
        if arrow.shade is not None:
            look["color"] = self.theme.shade(arrow.shade, stroke=True)
        if arrow.weight is not None:
            look["penwidth"] = f"{0.5 + 3.5 * arrow.weight:.2f}"
        if arrow.is_marked:
            look |= {"color": self.theme.mark, "penwidth": str(_THICK)}
        return look

    def _boxes(self) -> list[str]:
        """All boxes, each in its frame, and frames inside of their parents."""
        lines = []
        for item in self.picture.nested(self.step):
            if isinstance(item, Box):
                lines += self._box(item)
            elif item is None:
                lines.append("}")
            else:
                lines += [f"subgraph cluster_{item.id} {{", f"graph{self._frame(item)}"]
        return lines

    def _frame(self, cluster: Cluster) -> str:
        fill, border = self.theme.frame
        look = {"color": border, "fillcolor": fill, "style": "rounded,filled"}
        look |= {"fontsize": str(SIZE), "fontcolor": self.theme.muted}
        look |= {"labelloc": "t", "labeljust": "l"}
        return _written({"label": self.text(title_text(cluster), "start"), **look})

    def _box(self, box: Box) -> list[str]:
        if box.is_bare:
            label = self.text(box.title or number_text(box.rows[0].number))
            look = {"shape": "plain", "fontcolor": self.theme.muted, "margin": "0.05"}
            return [box.id + _written({"label": label, **look})]
        table = self._table(box, headed=box.id not in self.circles)
        lines = [box.id + _written({"label": table, "shape": "plain"})]
        return [*lines, self._circle(box)] if box.id in self.circles else lines

    def _circle(self, box: Box) -> str:
        """The operation before a number."""
        fill, border = self.theme.families.get(box.family, self.theme.families["custom"])
        if box.shade is not None:
            fill, border = self.theme.number  # colours mean numbers here, not families
        is_short = len(box.title) <= 3
        look = {
            "label": self.text(box.title),
            "shape": "circle" if is_short else "box",
            "style": "filled" if is_short else "filled,rounded",
            "fillcolor": fill,
            "color": self.theme.mark if box.is_marked else border,
            "margin": "0.03",
            "width": "0.3",
            "height": "0.3",
            "ordering": "in",  # of the operands: a - b does not look like b - a
        }
        return f"op_{box.id}{_written(look)}"

    def _table(self, box: Box, *, headed: bool) -> str:
        """A box as a table: what it stands for (if `headed`), its label, its numbers."""
        theme, ink = self.theme, self.theme.ink
        if headed and box.operations:
            fill, border = theme.families.get(box.family, theme.scope)
        else:
            fill, border = theme.number if box.operations else theme.leaf
        if box.is_root:
            fill, border = (fill if headed else theme.root[0]), theme.root[1]
        if box.shade is not None:
            fill = theme.shade(box.shade)
        rows = "".join(
            f'<TR><TD COLSPAN="2">{self._coloured(f"<B>{self.text(line)}</B>", ink)}</TD></TR>'
            for line in (title_text(box) if headed else "", box.label)
            if line
        )
        for row in box.rows:
            colour = theme.gradient if row.name == "grad" and box.shade is None else ink
            name_colour = theme.muted if box.shade is None else ink
            name = self._coloured(self.text(row.name, "start"), name_colour)
            number = self._coloured(self.text(row_text(row), "end"), colour)
            rows += f'<TR><TD ALIGN="LEFT">{name}</TD><TD ALIGN="RIGHT">{number}</TD></TR>'
        width = "1"
        if box.is_marked:
            border, width = theme.mark, "3"
        elif box.is_root and headed:
            width = "2"
        return (
            f'<TABLE BORDER="{width}" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3" '
            f'STYLE="ROUNDED" COLOR="{border}" BGCOLOR="{fill}">'
            f"{rows or '<TR><TD> </TD></TR>'}</TABLE>"
        )

    def _foot(self) -> str:
        """Legend and caption, in a table below the picture; "" without either."""
        lines = []
        if self.picture.legend:
            cells = "".join(map(self._key, self.picture.legend))
            lines.append(
                '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="3" CELLPADDING="2"><TR>'
                f"{cells}</TR></TABLE>"
            )
        if self.picture.caption:
            lines.append(self._muted(self.picture.caption, "start"))
        if not lines:
            return ""
        rows = "".join(f'<TR><TD ALIGN="LEFT">{line}</TD></TR>' for line in lines)
        return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{rows}</TABLE>'

    def _key(self, key: Key) -> str:
        theme = self.theme
        if key.sample == "note":
            return f"<TD>{self._muted(key.text)}</TD>"
        if key.sample == "shade":
            text = self._coloured(self.text(key.text), theme.ink)
            return f'<TD BGCOLOR="{theme.shade(float(key.value))}">{text}</TD>'
        if key.sample == "family":
            fill = theme.families.get(str(key.value), theme.scope)[0]
            return f'<TD BGCOLOR="{fill}">{self._muted(key.text)}</TD>'
        dash = self._coloured(f"<B>{self.text(_DASH)}</B>", theme.mark)
        return f"<TD>{dash} {self._muted(key.text, 'start')}</TD>"

    def _muted(self, text: str, anchor: str = "middle") -> str:
        return self._coloured(self.text(text, anchor), self.theme.muted)

    def _coloured(self, text: str, colour: str) -> str:
        return f'<FONT COLOR="{colour}">{text}</FONT>'


def _written(attributes: dict[str, str]) -> str:
    """Attributes in Graphviz's language: labels are HTML-like, nothing else has a quote in it."""
    if not attributes:
        return ""
    pairs = []
    for name, value in attributes.items():
        quoted = value if value.isalnum() else f'"{value}"'
        pairs.append(f"{name}={f'<{value}>' if name == 'label' else quoted}")
    return f" [{' '.join(pairs)}]"
