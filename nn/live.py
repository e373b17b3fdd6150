"""A plot that grows while a training runs in a notebook, and the film of it."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.files import write_whole
from engine.showing import Shown, Still, bundle, words
from nn import plots
from nn.updates import History

Draw = Callable[[Any, int, History], object]
_MILLISECONDS = 120  # a frame of a film stays


class LivePlot(Shown):
    """A callback of `nn.fit` that draws in the notebook while it trains.

    What is drawn is `history.plot()`, or what `draw(ax, epoch, history)` draws on empty Axes after
    so many epochs, such as the decision boundary of the model so far. The picture is drawn anew at
    most every `seconds`, and at the end; it stays in the notebook as an image. Outside of notebooks
    nothing is shown.

    With `keep`, as many frames at most are kept, evenly spread over the epochs: then the plot shows
    itself in a cell as a film, and `save` writes one. With `seconds=math.inf` nothing
    else is shown. Another training begins another film.

    Raises ImportError with what to install where matplotlib is missing, ValueError for a `keep`
    that is no whole number, or 1.

    >>> import nn
    >>> model = nn.Sequential(nn.Linear(1, 1))
    >>> optimizer = nn.SGD(model.parameters(), lr=0.1)
    >>> options = {"loss": nn.MSELoss(), "optimizer": optimizer, "progress": False}
    >>> film = LivePlot(keep=2)
    >>> history = nn.fit(model, [[1.0]], [[2.0]], epochs=3, callbacks=[film], **options)
    >>> film
    LivePlot(of 2 frames, epochs 1 to 3)
    """

    def __init__(self, seconds: float = 0.5, draw: Draw | None = None, *, keep: int = 0) -> None:
        if not isinstance(keep, int) or keep < 0 or keep == 1:
            raise ValueError(
                f"keep is how many frames, a whole number from 2 on, or 0, not {keep!r}"
            )
        self.seconds, self.draw, self.keep = seconds, draw, keep
        self.frames: dict[int, bytes] = {}  # by epoch, PNG
        self._every = 1
        self._next, self._shown = self._first, None
        plots.new_axes()  # what is missing is said before a long training

    @property
    def _first(self) -> float:
        """From when on a picture may be shown."""
        return 0.0 if self.seconds < math.inf else math.inf

    def __call__(self, epoch: int, history: History) -> None:
        if len(history.loss) <= max(self.frames, default=0):  # of a training before
            self.frames, self._every = {}, 1
        kept = bool(self.keep) and (len(history.loss) - 1) % self._every == 0
        if kept or (_display() is not None and time.monotonic() >= self._next):
            self._step(history, kept)

    def at_end(self, history: History) -> None:
        """Draw what there is."""
        if history.loss and (self.keep or _display() is not None):
            self._next = self._first
            self._step(history, bool(self.keep))
        self._next, self._shown = self._first, None

    def _step(self, history: History, kept: bool) -> None:
        ax, epoch = plots.new_axes(), len(history.loss)
        if self.draw is None:
            history.plot(ax=ax)
        else:
            self.draw(ax, epoch, history)
            ax.set_title(ax.get_title() or f"epoch {epoch}")
        still = plots.still_of(ax)
        if kept:
            self.frames[epoch] = base64.b64decode(still.data)
            self._thin_out(epoch)
        display = _display()
        if display is None or time.monotonic() < self._next:
            return
        picture = {still.kind: still.content, "text/plain": f"{len(history.loss)} epochs"}
        if self._shown is None:
            self._shown = display(picture, raw=True, display_id=True)
        else:
            self._shown.update(picture, raw=True)
        self._next = time.monotonic() + self.seconds

    def _thin_out(self, last: int) -> None:
        """Keep the last frame, and some at equal distances: twice those if there are too many."""
        while True:
            kept = [k for k in self.frames if (k - 1) % self._every == 0 or k == last]
            if len(kept) <= self.keep:
                break
            self._every *= 2
        self.frames = {k: self.frames[k] for k in kept}

    def __repr__(self) -> str:
        epochs = [*self.frames]
        told = f", epochs {epochs[0]} to {epochs[-1]}" if epochs else ""
        return f"LivePlot(of {len(epochs)} frames{told})"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the film, wholly or not at all, and return its path: .gif, or .html with a slider.

        Raises ValueError for another ending, and where no frame was kept.
        """
        path = Path(path)
        if path.suffix.lower() not in (".gif", ".html"):
            raise ValueError(f"a film is saved as .gif or .html, not as {path.suffix!r}")
        if not self.frames:
            raise ValueError(
                "no frame was kept: give LivePlot(keep=60) to nn.fit's callbacks first"
            )
        write_whole(path, self._gif() if path.suffix.lower() == ".gif" else self._page().encode())
        return path

    def _gif(self) -> bytes:
        from PIL import Image  # which matplotlib brings

        first, *others = [Image.open(io.BytesIO(frame)) for frame in self.frames.values()]
        buffer = io.BytesIO()
        look = {"duration": [_MILLISECONDS] * len(others) + [1500], "loop": 0}
        first.save(buffer, "GIF", save_all=True, append_images=others, **look)
        return buffer.getvalue()

    def _page(self) -> str:
        from engine.drawing.svg import page_of

        return page_of("Training", "light", self._bundle()["text/html"])

    def _bundle(self) -> dict[str, str]:
        """The last frame as a picture; where scripts run, all of them with a slider."""
        if not self.frames:
            return bundle(repr(self), None, words(repr(self)))
        epochs, contents = list(self.frames), list(self.frames.values())
        still = Still(contents[-1], f"Training up to epoch {epochs[-1]}", 0.0)
        body = f'<div class="gradloom-film">{still.html()}</div>'
        others = json.dumps([base64.b64encode(content).decode() for content in contents[:-1]])
        return bundle(repr(self), still, body, [_FILM % (others, _MILLISECONDS)])


_FILM = """
for (const film of document.querySelectorAll(".gradloom-film:not([data-live])")) {
  film.dataset.live = "";
  const image = film.querySelector("img"), bar = document.createElement("input");
  const frames = [...%s.map((frame) => "data:image/png;base64," + frame), image.src];
  const show = () => { image.src = frames[bar.value]; };
  Object.assign(bar, {type: "range", min: 0, max: frames.length - 1, value: 0, oninput: show});
  bar.setAttribute("aria-label", "Frame");
  bar.style = "display:block;width:100%%;max-width:40em;height:44px;margin:0";
  film.append(bar);
  show();
  const timer = setInterval(() => {
    if (bar.matches(":active, :focus") || +bar.value === frames.length - 1) clearInterval(timer);
    else { bar.value = +bar.value + 1; show(); }
  }, %d);
}"""


def _display() -> Any:
    """IPython's function of this name in a notebook, else None."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    shell = get_ipython()
    return display if shell is not None and hasattr(shell, "kernel") else None
