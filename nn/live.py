"""A plot of the losses that grows while a training runs in a notebook."""

from __future__ import annotations

import time
from typing import Any

from nn import plots
from nn.updates import History


class LivePlot:
    """A callback of `nn.fit` that draws `history.plot()` in the notebook while it trains.

    The picture is drawn anew at most every `seconds`, and at the end; it stays in the notebook as
    an image. Outside of notebooks nothing is drawn.

    Raises ImportError with what to install where matplotlib is missing.

    >>> import nn
    >>> model = nn.Sequential(nn.Linear(1, 1))
    >>> optimizer = nn.SGD(model.parameters(), lr=0.1)
    >>> options = {"loss": nn.MSELoss(), "optimizer": optimizer, "progress": False}
    >>> history = nn.fit(model, [[1.0]], [[2.0]], epochs=3, callbacks=[LivePlot()], **options)
    """

    def __init__(self, seconds: float = 0.5) -> None:
        self.seconds = seconds
        self._next, self._shown = 0.0, None
        plots.new_axes()  # what is missing is said before a long training

    def __call__(self, epoch: int, history: History) -> None:
        if time.monotonic() >= self._next:
            self.at_end(history)
            self._next = time.monotonic() + self.seconds

    def at_end(self, history: History) -> None:
        """Draw what there is."""
        display = _display()
        if display is None or not history.loss:
            return
        still = plots.still_of(history.plot(ax=plots.new_axes()))
        picture = {still.kind: still.content, "text/plain": f"{len(history.loss)} epochs"}
        if self._shown is None:
            self._shown = display(picture, raw=True, display_id=True)
        else:
            self._shown.update(picture, raw=True)


def _display() -> Any:
    """IPython's function of this name in a notebook, else None."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    shell = get_ipython()
    return display if shell is not None and hasattr(shell, "kernel") else None
