"""Axes and figures that show themselves in a notebook, and are pyplot's as well.

So a plot is seen as the last line of a cell, and after `plt.show()` in a cell or a script, under
whatever backend there is; and nothing is drawn twice. Imports matplotlib: import it where a plot is
made, not before.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import LogFormatterSciNotation

from engine.drawing.theme import LIGHT
from engine.showing import Shown, Still, bundle

_PAD = 0.12  # inches


class ShownFigure(Shown, Figure):
    """A figure that is a picture where a notebook shows it; its lines have `colours` in turn."""

    def __init__(self, *args: Any, colours: Sequence[str], **look: Any) -> None:
        tidy = ConstrainedLayoutEngine(compress=True, w_pad=_PAD, h_pad=_PAD)
        super().__init__(*args, layout=tidy, **look)
        self.colours = colours
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if shell is not None:  # pyplot has it show PNGs of its own, without our card
            shell.display_formatter.formatters["image/png"].for_type(ShownFigure, lambda _: None)

    def add_subplot(self, *args: Any, **look: Any) -> Axes:
        ax: Axes = super().add_subplot(*args, **look)
        ax.set_prop_cycle(color=self.colours)
        return ax

    def _bundle(self) -> dict[str, str]:
        manager = self.canvas.manager
        if manager is not None and type(manager) is not FigureManagerBase:
            return bundle(repr(self), None)  # it is seen in a window of its own
        shown = bundle(repr(self), still_of(self))
        close(self)  # or it would be drawn once more at the end of the cell
        return shown


class ShownAxes(Shown, Axes):
    """Axes that are their figure where a notebook shows them; logarithmic ones with 0.03."""

    def set_xscale(self, value: Any, **look: Any) -> None:
        super().set_xscale(value, **look)
        _write_plainly(self.xaxis)

    def set_yscale(self, value: Any, **look: Any) -> None:
        super().set_yscale(value, **look)
        _write_plainly(self.yaxis)

    def _bundle(self) -> dict[str, str]:
        figure = self.get_figure(root=True)
        shown = figure._bundle() if isinstance(figure, ShownFigure) else {}
        return {**shown, "text/plain": repr(self)}


class _PlainNumbers(LogFormatterSciNotation):
    """Writes 0.03 on a logarithmic axis, not 3 × 10⁻², where no number of it gets long."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = super().__call__(x, pos)
        low, high = sorted(self.axis.get_view_interval())  # type: ignore[union-attr]
        return f"{x:g}" if text and low >= 1e-4 and high <= 1e5 else text


def _write_plainly(axis: Axis) -> None:
    if axis.get_scale() == "log":
        axis.set_major_formatter(_PlainNumbers())
        axis.set_minor_formatter(_PlainNumbers())


def still_of(figure: Figure, alt: str = "") -> Still:
    """A picture of a figure, for a page: on a card of its own, as that may be dark."""
    buffer, paper = io.BytesIO(), figure.patch  # which may be any patch, whatever its type says
    if figure.get_facecolor() == (1.0, 1.0, 1.0, 1.0):  # a style may have another one
        figure.patch = _card(figure)  # type: ignore[assignment]
    try:
        figure.savefig(buffer, format="png", dpi=figure.dpi)  # which somebody may have set
    finally:
        figure.patch = paper
    width = figure.get_figwidth() * figure.dpi
    return Still(buffer.getvalue(), alt or repr(figure), width)


def _card(figure: Figure) -> FancyBboxPatch:
    """What is behind a figure: light, with a frame, and round corners that let the page through."""
    width, height = figure.get_size_inches()
    x, y = 0.5 / figure.dpi / width, 0.5 / figure.dpi / height  # half of the frame
    fill, border = LIGHT.frame
    return FancyBboxPatch(
        (x, y),
        1.0 - 2.0 * x,
        1.0 - 2.0 * y,
        boxstyle=f"round,pad=0,rounding_size={0.1 / width}",
        mutation_aspect=width / height,
        transform=figure.transSubfigure,
        facecolor=fill,
        edgecolor=border,
        linewidth=72.0 / figure.dpi,
    )


def of_its_own(**look: Any) -> Axes:
    """Axes of a figure that is drawn without a screen, and nobody's but the caller's."""
    return ShownFigure(**look).add_subplot(axes_class=ShownAxes)


def of_pyplot(**look: Any) -> Axes:
    """Axes of a figure that pyplot shows as well, where it can."""
    if threading.current_thread() is not threading.main_thread():
        return of_its_own(**look)  # windows are for the main thread
    from matplotlib import pyplot

    # Not by rc_context, which would undo what a backend sets that is loaded here.
    most = pyplot.rcParams["figure.max_open_warning"]
    pyplot.rcParams["figure.max_open_warning"] = 0
    try:
        figure = pyplot.figure(FigureClass=ShownFigure, **look)
    except Exception:  # whatever a backend says that wants a screen where there is none
        return of_its_own(**look)
    finally:
        pyplot.rcParams["figure.max_open_warning"] = most
    return figure.add_subplot(axes_class=ShownAxes)


def close(figure: Figure) -> None:
    """Take a figure from pyplot: it is done, and not to be shown by and by."""
    if figure.canvas.manager is not None:
        from matplotlib import pyplot

        pyplot.close(figure)
