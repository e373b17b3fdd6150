"""Plots of a run: all ratios beside what is asked, and each figure, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import OURS
from benchmarks.results import MeasuredFigure, Results
from benchmarks.tables import crossing, lines_of, number_text, short, times_of
from nn.plots import new_axes, save

# Okabe and Ito's colours, which people with colour-blindness tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_MARKERS = "osD^vPX"
_KINDS = (".svg", ".png")


def draw(results: Results, folder: Path) -> list[Path]:
    """Write the plots of a run to a folder, and return their paths.

    Raises ImportError where matplotlib is missing.
    """
    axes: dict[str, Any] = {}
    if any(line.ratio is not None for row in results["rows"] for line in lines_of(row)):
        axes["ratios"] = ratios(results)
    for figure in results["figures"]:
        if figure["points"]:
            axes[figure["name"]] = curves(figure)
    return [save(ax, folder / f"{name}{kind}") for name, ax in axes.items() for kind in _KINDS]


def ratios(results: Results) -> Any:
    """Draw how many times as fast ours is, line by line, with what is asked beside it."""
    lines = [line for row in results["rows"] for line in lines_of(row) if line.ratio is not None]
    ax = new_axes(9.0, 1.2 + 0.3 * len(lines))
    colours = {True: _COLOURS[2], False: _COLOURS[1], None: _COLOURS[0]}
    names = {True: "ours, as asked", False: "ours, short of it", None: "ours, nothing asked"}
    told: set[object] = set()
    for place, line in enumerate(lines):
        assert line.ratio is not None
        median, low, high = (line.ratio[key] for key in ("median", "low", "high"))
        label = None if line.met in told else names[line.met]
        told.add(line.met)
        ax.errorbar(
            median,
            place,
            xerr=[[max(0.0, median - low)], [max(0.0, high - median)]],
            fmt="o",
            color=colours[line.met],
            label=label,
        )
        if line.asked is not None and line.asked["ratio"] is not None:
            label = None if "asked" in told else "asked"
            told.add("asked")
            ax.plot(line.asked["ratio"], place, "|", ms=14, mew=2, color=_COLOURS[6], label=label)
        ax.annotate(
            f"{number_text(median)}x",
            (1.0, place),
            (5, -3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=8,
        )
    parts = [line.of.removeprefix(OURS).strip(", ") for line in lines]
    ax.set_yticks(
        range(len(lines)),
        [
            f"{line.row['name']}{' ' + part if part else ''}: {line.peer}"
            for line, part in zip(lines, parts, strict=True)
        ],
        fontsize=8,
    )
    ax.set_ylim(len(lines) - 0.4, -0.6)
    ax.set_xscale("log")
    ax.margins(x=0.1)
    ax.axvline(1.0, color="grey", linewidth=1.0, linestyle=":")
    ax.grid(alpha=0.3, axis="x")
    ax.set_xlabel("times as fast as the peer (median of the rounds, and quartiles)")
    ax.figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return ax


def curves(figure: MeasuredFigure) -> Any:
    """Draw the seconds of each contender along the axis, and where two of them cross."""
    ax = new_axes(8.5, 4.6)
    names: dict[str, None] = {}
    for point in figure["points"]:
        names |= dict.fromkeys(times_of(point["row"]))
    for i, name in enumerate(names):
        found = [
            (point["x"], times)
            for point in figure["points"]
            for times in point["row"]["times"]
            if times["name"] == name
        ]
        xs = [x for x, _ in found]
        median, low, high = (
            [times[key] / (x if figure["per_x"] else 1.0) for x, times in found]
            for key in ("seconds", "low", "high")
        )
        colour = _COLOURS[i % len(_COLOURS)]
        ax.plot(
            xs,
            median,
            marker=_MARKERS[i % len(_MARKERS)],
            markersize=4,
            color=colour,
            label=short(name),
        )
        ax.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0.0)
    _mark_crossings(ax, figure)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_title(figure["title"], fontsize=10)
    ax.set_xlabel(figure["x"])
    ax.set_ylabel(f"seconds over {figure['x']}" if figure["per_x"] else "seconds")
    ax.grid(alpha=0.3)
    ax.figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return ax


def _mark_crossings(ax: Any, figure: MeasuredFigure) -> None:
    pairs: Sequence[Sequence[str]] = figure["crossings"]
    for slow, fast in pairs:
        place = crossing(figure, slow, fast)
        if place is not None:
            ax.axvline(place, color="grey", linewidth=1.0, linestyle="--")
            ax.annotate(
                f"{short(fast)}\nis faster from {place:.0f} on",
                (place, 0.02),
                (4, 0),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                fontsize=7,
                bbox={"color": "white", "alpha": 0.8, "pad": 1.0},
            )
