"""Axes and figures that show themselves in a notebook, and are pyplot's as well.

So a plot is seen as the last line of a cell, and after `plt.show()` in a cell or a script, under
whatever backend there is; and nothing is drawn twice. Imports matplotlib: import it where a plot is
made, not before.
"""

from __future__ import annotations

import io
import threading
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.figure import Figure

from engine.showing import Shown, Still, bundle


class ShownFigure(Shown, Figure):
    """A figure that is a picture where a notebook shows it."""

    def _bundle(self) -> dict[str, str]:
        manager = self.canvas.manager
        if manager is not None and type(manager) is not FigureManagerBase:
            return bundle(repr(self), None)  # it is seen in a window of its own
        shown = bundle(repr(self), still_of(self))
        close(self)  # or it would be drawn once more at the end of the cell
        return shown


class ShownAxes(Shown, Axes):
    """Axes that are their figure where a notebook shows them."""

    def _bundle(self) -> dict[str, str]:
        figure = self.get_figure(root=True)
        shown = figure._bundle() if isinstance(figure, ShownFigure) else {}
        return {**shown, "text/plain": repr(self)}


def still_of(figure: Figure, alt: str = "") -> Still:
    """A picture of a figure, for a page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)  # which somebody may have set
    width = figure.get_figwidth() * figure.dpi
    return Still(buffer.getvalue(), alt or repr(figure), width)


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
