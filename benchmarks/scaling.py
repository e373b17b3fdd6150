"""The cost model of a step over many ranks: `python -m benchmarks.scaling RUN.json`.

RUN.json is what `gradloom bench --only distributed` wrote. Latency and bandwidth are fitted to what
two ranks took there, and adding to what one did; all else is drawn. It prints what was measured and
the table of docs/distributed.md, and draws the picture there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.results import MeasuredFigure, load
from benchmarks.tables import figure_table, short, times_of
from nn.plots import new_axes, save

Array = np.ndarray[Any, np.dtype[Any]]
PICTURE = Path(__file__).parents[1] / "docs" / "distributed.svg"
RANKS = 2 ** np.arange(11)
SHOWN = (2, 4, 16, 64, 1_024)
STEPS = {"5 ms, 1,000": (5e-3, 1e3), "50 ms, 40,000": (50e-3, 4e4), "5 s, 1,000,000": (5.0, 1e6)}


class Costs(NamedTuple):
    """What a message costs: seconds, and bytes a second between ranks and when they are added."""

    latency: float
    bandwidth: float
    adding: float

    def gathering(self, size: Any, ranks: Any) -> Any:
        """Seconds of an allgather of log2(ranks) rounds of so many bytes from each."""
        return np.log2(ranks) * self.latency + (ranks - 1) * size / self.bandwidth

    def step(self, seconds: float, parameters: float, ranks: Any) -> Any:
        """Seconds of a step, of one rank's seconds, over ranks that have as many shards each."""
        size = 8 * parameters
        return seconds / ranks + self.gathering(size, ranks) + (ranks - 1) * size / self.adding


def fitted(figure: MeasuredFigure) -> Costs:
    """The costs that are nearest to what was measured, in proportion."""
    sizes = np.array([point["x"] for point in figure["points"]])
    took = {name: np.array(list(each)) for name, each in _columns(figure).items()}
    pair = took["2 ranks"]
    (latency, per_byte), *_ = np.linalg.lstsq(
        np.stack([1.0 / pair, sizes / pair], axis=1), np.ones(len(sizes)), rcond=None
    )
    return Costs(float(latency), 1.0 / float(per_byte), float(sizes[-1] / took["adding two"][-1]))


def _columns(figure: MeasuredFigure) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for point in figure["points"]:
        for name, seconds in times_of(point["row"]).items():
            found.setdefault(short(name), []).append(seconds)
    return found


def table(costs: Costs) -> str:
    """How many times as fast as one rank so many are, in Markdown."""
    lines = [f"| a step, parameters | {' | '.join(f'{k:,} ranks' for k in SHOWN)} | it pays |"]
    lines.append("|---" * (len(SHOWN) + 2) + "|")
    for name, (seconds, parameters) in STEPS.items():
        gain = seconds / costs.step(seconds, parameters, RANKS)
        best = int(np.argmax(gain))
        shown = " | ".join(f"{gain[np.searchsorted(RANKS, k)]:.1f}" for k in SHOWN)
        lines.append(f"| {name} | {shown} | up to {RANKS[best]:,}, {gain[best]:.1f} times |")
    return "\n".join(lines)


def draw(figure: MeasuredFigure, costs: Costs) -> Any:
    """Two plots: an allgather, measured and modelled; and what ranks gain, with where it ends."""
    left = new_axes(10.0, 4.0)
    places = left.figure.add_gridspec(1, 2)
    left.set_subplotspec(places[0])
    right = left.figure.add_subplot(places[1])
    sizes = np.array([point["x"] for point in figure["points"]])
    for count, colour in (2, "#0072b2"), (4, "#d55e00"):
        left.loglog(sizes, _columns(figure)[f"{count} ranks"], "o", color=colour)
        left.loglog(sizes, costs.gathering(sizes, count), color=colour, label=f"{count} ranks")
    left.set(xlabel="bytes from each rank", ylabel="seconds", title="An allgather: dots measured")
    right.loglog(RANKS, RANKS, color="0.8", label="as many times as ranks")
    for name, (seconds, parameters) in STEPS.items():
        gain = seconds / costs.step(seconds, parameters, RANKS)
        best = int(np.argmax(gain))
        (line,) = right.loglog(RANKS, gain, marker=".", label=f"a step of {name} parameters")
        right.plot(RANKS[best], gain[best], "o", ms=9, mfc="none", color=line.get_color())
    right.axhline(1.0, color="grey", linewidth=1.0, linestyle=":")
    right.set(xlabel="ranks", ylabel="times as fast as one", ylim=(0.1, 1500))
    right.set_title("The model: circles where more stop paying")
    for ax in (left, right):
        ax.legend(fontsize=8)
    return left


def main(run: str) -> None:
    """Print and draw it."""
    (figure,) = (each for each in load(Path(run))["figures"] if each["name"] == "collective")
    costs = fitted(figure)
    print(figure_table(figure))
    print(
        f"latency {1e6 * costs.latency:.0f} us, {costs.bandwidth / 1e9:.1f} GB/s between ranks, "
        f"{costs.adding / 1e9:.1f} GB/s for adding\n"
    )
    print(table(costs))
    save(draw(figure, costs), PICTURE)


if __name__ == "__main__":
    main(*sys.argv[1:])
