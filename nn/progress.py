"""Progress over examples: tqdm's bar where it is installed, else a line now and then."""

from __future__ import annotations

import contextlib
import importlib
import time
import warnings
from collections.abc import Iterator
from typing import Any

_A_WHILE = 60.0  # seconds; a run expected to take longer says so at its beginning
_ENOUGH = 1.0  # seconds after which it can tell
_LINES_EVERY = 5.0  # seconds, where there is no progress bar


class Bar:
    """Progress over `total` examples, or other units. With `estimate`, a long run is announced
    early on."""

    def __init__(self, total: int, shown: bool, *, estimate: bool, unit: str = "examples") -> None:
        self._total, self._done, self._text = total, 0, ""
        self._still = False
        self._began = time.perf_counter()
        self._next = self._began + _LINES_EVERY
        self._bar: Any = None
        self._widget: Any = None  # where a notebook shows it
        if shown:
            try:
                with warnings.catch_warnings():  # in a notebook without ipywidgets: text will do
                    warnings.simplefilter("ignore")
                    from tqdm.auto import tqdm

                look = {"unit": f" {unit}", "unit_scale": True, "mininterval": 0.2}
                self._bar, self._widget = _made(tqdm, total=total, **look)
            except ImportError:
                self._bar = None
        self._lines = shown and self._bar is None
        self._estimated = not (shown and estimate)

    def advance(self, count: int = 1) -> None:
        """Count examples as done."""
        if self._still:
            return
        if self._bar is not None:
            if not self._done:
                self._bar.unpause()  # until now it compiled, which says nothing of what is left
            self._bar.update(count)
        self._done += count
        if not self._estimated:
            self._estimate()
        looks = self._lines and (count > 1 or self._done % 100 == 0)
        if looks and time.perf_counter() >= self._next:
            self._line()

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """For a while, count nothing."""
        self._still = True
        try:
            yield
        finally:
            self._still = False

    def _line(self) -> None:
        self._next = time.perf_counter() + _LINES_EVERY
        print(f"{100 * self._done / max(1, self._total):3.0f} %  {self._text}".rstrip(), flush=True)

    def _estimate(self) -> None:
        elapsed = time.perf_counter() - self._began
        if elapsed < _ENOUGH:
            return
        self._estimated = True
        seconds = elapsed / self._done * self._total
        if seconds > _A_WHILE:
            self.say(
                f"the scalar path will take about {seconds / 60:.1f} minutes for this; "
                "fewer examples or epochs take less"
            )

    def say(self, text: str) -> None:
        """Print a line beside the progress."""
        if self._bar is not None:
            self._bar.write(text)
        else:
            print(text, flush=True)

    def describe(self, text: str) -> None:
        """Set what stands beside the progress."""
        self._text = text
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def close(self) -> None:
        """End it."""
        if self._bar is not None:
            self._bar.close()
            if self._widget is not None:  # or the notebook is saved with the text of its begin
                self._widget.update(self._bar.container)
        elif self._lines:
            self._line()


def _made(tqdm: Any, **look: Any) -> tuple[Any, Any]:
    """A bar, and the handle of what a notebook shows of it, or None elsewhere."""
    if "notebook" not in {base.__module__.rpartition(".")[2] for base in tqdm.__mro__}:
        return tqdm(**look), None
    display: Any = importlib.import_module("IPython.display").display
    bar = tqdm(display=False, **look)
    bar.displayed = True
    return bar, display(bar.container, display_id=True)
