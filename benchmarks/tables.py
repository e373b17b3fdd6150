"""Tables in Markdown of what was measured.

A line is ours against one peer, or one time that is asked for. It says so where ours is slower,
and where it falls short of what is asked.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import ALONE, OLDER, OURS, AskedFigure, Measured, Ratio, twin
from benchmarks.results import MeasuredFigure, Results

_BUSY = 0.25  # cores in use by other processes, from which on figures are in doubt
_HEADINGS = ("work", "gradloom", "the machine alone", "beside", "its time", "ratio", "asked")


@dataclass(frozen=True)
class Line:
    """One line of the table. `met` is None where nothing is asked."""

    row: Measured
    of: str
    seconds: float
    peer: str = ""
    peer_seconds: float | None = None
    ratio: Ratio | None = None
    elsewhere: bool = False  # the peer's time is from another machine
    asked: AskedFigure | None = None

    @property
    def met(self) -> bool | None:
        """Whether what is asked is reached."""
        if self.asked is None:
            return None
        if self.asked["seconds"] is not None:
            return self.seconds <= self.asked["seconds"]
        assert self.asked["ratio"] is not None and self.ratio is not None
        return self.ratio["median"] >= self.asked["ratio"]

    @property
    def slower(self) -> bool:
        """Whether ours loses, and more was to be expected."""
        return self.ratio is not None and self.ratio["median"] < 1.0 and not self.met

    def cells(self) -> list[str]:
        """Return the line's text, cell by cell."""
        alone = times_of(self.row).get(ALONE) if self.of == OURS else None
        part = self.of.removeprefix(OURS).strip(", ")
        busy = (self.row["others"] or 0.0) > _BUSY
        return [
            self.row["work"] + (f"; {part}" if part else "") + (", MACHINE BUSY" if busy else ""),
            self._text(self.seconds),
            "" if alone is None else self._text(alone),
            OLDER if self.peer == twin(self.of) else self.peer + " (elsewhere)" * self.elsewhere,
            "" if self.peer_seconds is None else self._text(self.peer_seconds),
            self._ratio_text(),
            self._asked_text(),
        ]

    def _text(self, amount: float) -> str:
        return amount_text(amount, self.row.get("unit", "s"))

    def _ratio_text(self) -> str:
        if self.elsewhere:
            return f"{number_text((self.peer_seconds or 0.0) / self.seconds)}x, another machine"
        if self.ratio is None:
            return ""
        low, high = number_text(self.ratio["low"]), number_text(self.ratio["high"])
        text = f"{number_text(self.ratio['median'])}x ({low} to {high})"
        return f"**{text}, slower**" if self.slower else text

    def _asked_text(self) -> str:
        if self.asked is None:
            return ""
        if self.asked["seconds"] is not None:
            text = f"at most {self._text(self.asked['seconds'])}"
        else:
            ratio = self.asked["ratio"] or 0.0
            at_most = f"at most {number_text(1.0 / ratio)}x its time" if ratio < 1.0 else ""
            text = at_most or f"{number_text(ratio)}x"
        return f"{text}: met" if self.met else f"**{text}: falls short**"


def times_of(row: Measured) -> dict[str, float]:
    """Return the median seconds of each contender or stage."""
    return {times["name"]: times["seconds"] for times in row["times"]}


def lines_of(row: Measured) -> Iterator[Line]:
    """Yield the lines of a row: every peer beside ours, and what else is asked or known."""
    times = times_of(row)
    asked_of_peers = {(a["of"], a["peer"]): a for a in row["asked"] if a["peer"] is not None}
    known = {peer for _, peer in asked_of_peers}
    for ratio in row["ratios"]:
        of, peer = ratio["of"], ratio["peer"]
        asked = asked_of_peers.get((of, peer))
        # another way of ours is a line where something is asked of it, or beside the older build
        if of == OURS or peer == twin(of) or (of != ALONE and peer in known):
            yield Line(row, of, times[of], peer, times[peer], ratio, asked=asked)
    for asked in row["asked"]:
        if asked["seconds"] is not None and asked["of"] in times:
            yield Line(row, asked["of"], times[asked["of"]], asked=asked)
    if OURS in times:
        for peer, seconds in row["known"].items():
            yield Line(row, OURS, times[OURS], peer, seconds, elsewhere=True)
    if not row["ratios"] and OURS not in times:
        told = {asked["of"] for asked in row["asked"]}
        for name, seconds in times.items():
            if name not in told:
                yield Line(row, name, seconds)


def rows_table(
    results: Results,
    wanted: Callable[[Line], bool] = lambda line: True,
    without: Sequence[str] = (),
) -> str:
    """Return the table of all rows, as far as lines are wanted, without some columns."""
    lines = [line for row in results["rows"] for line in lines_of(row) if wanted(line)]
    kept = [k for k, heading in enumerate(_HEADINGS) if heading not in without]
    table = [[line.cells()[k] for k in kept] for line in lines]
    return markdown(tuple(_HEADINGS[k] for k in kept), table)


def report(results: Results) -> str:
    """Return all there is to say about a run, in Markdown."""
    parts = ["# Benchmarks\n", rows_table(results), footnote(results)]
    skipped: dict[str, list[str]] = {}
    for row in results["rows"]:
        for name, why in row["skipped"].items():
            skipped.setdefault(f"{name}: {why}", []).append(row["name"])
    notes: dict[str, list[str]] = {}
    for row in results["rows"]:
        for times in row["times"]:
            if times["note"]:
                notes.setdefault(f"{times['name']}: {times['note']}", []).append(row["name"])
    if skipped:
        texts = [f"{text} ({', '.join(rows)})" for text, rows in sorted(skipped.items())]
        parts.append("Skipped: " + "; ".join(texts) + ".\n")
    if notes:
        told = [f"- {note} ({', '.join(rows)})\n" for note, rows in notes.items()]
        parts.append("".join(told))
    for name, why in results["failures"].items():
        parts.append(f"**{name} failed**: {why}\n")
    parts += [f"## {figure['title']}\n\n{figure_table(figure)}" for figure in results["figures"]]
    return "\n".join(parts)


def footnote(results: Results) -> str:
    """Return where and how it was measured."""
    machine = results["machine"]
    packages = ", ".join(f"{name} {v}" for name, v in machine["packages"].items() if v)
    rounds = [row["rounds"] for row in results["rows"]]
    others = max([row["others"] or 0.0 for row in results["rows"]], default=0.0)
    load = f"; load at the beginning {machine['load'][0]}" if machine["load"] else ""
    build = machine.get("against")
    older = f"; older build: {build['gradloom']}, commit {build['commit']}" if build else ""
    limits = "".join(f", {name}={value}" for name, value in machine["threads"].items())
    threads = {
        f", {times['name'].split()[0]} with {times['note']}"
        for row in results["rows"]
        for times in row["times"]
        if times["note"].endswith(" threads")
    }
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['system']}; {machine['python']}; {packages}{limits}"
        f"{''.join(sorted(threads))}. "
        f"gradloom {results['gradloom']}, commit {machine['commit']}, {results['taken'][:10]}"
        f"{older}{load}, other processes used up to {others:.2f} cores. Medians of {_span(rounds)} "
        "rounds in turn, quartiles in brackets; float64 and the garbage collector on unless told "
        "otherwise; compiling is not counted unless told.\n"
    )


def _span(numbers: list[int]) -> str:
    if not numbers:
        return "no"
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def figure_table(figure: MeasuredFigure) -> str:
    """Return a figure as a table: a line for each place on its axis, a column a contender."""
    names: dict[str, None] = {}
    for point in figure["points"]:
        names |= dict.fromkeys(times_of(point["row"]))
    lines = []
    for point in figure["points"]:
        times = times_of(point["row"])
        size = point["x"] if figure["per_x"] else 1.0
        cells = [time_text(times[name] / size) if name in times else "" for name in names]
        lines.append([f"{point['x']:,.0f}", *cells])
    table = markdown((figure["x"], *(short(name) for name in names)), lines)
    if figure["per_x"]:
        table = f"Time over {figure['x']}:\n\n{table}"
    told = [crossing_text(figure, slow, fast) for slow, fast in figure["crossings"]]
    return table + "".join(f"\n{text}\n" for text in told)


def short(name: str) -> str:
    """Return a contender's name in a figure that is all ours."""
    return name.removeprefix(f"{OURS}, ")


def crossing(figure: MeasuredFigure, slow: str, fast: str) -> float | None:
    """Return the place from which on `fast` takes less time than `slow`, or None.

    It lies between two places that were measured, on a straight line of the logarithms.
    """
    points = [(p["x"], times_of(p["row"])) for p in figure["points"]]
    both = [
        (x, times[slow] / times[fast]) for x, times in points if slow in times and fast in times
    ]
    if not both or both[-1][1] <= 1.0:
        return None
    for (x0, r0), (x1, r1) in reversed(list(itertools.pairwise(both))):
        if r0 <= 1.0:
            share = math.log(1.0 / r0) / math.log(r1 / r0)
            return float(x0 * (x1 / x0) ** share)
    return both[0][0]


def crossing_text(figure: MeasuredFigure, slow: str, fast: str) -> str:
    """Return where one contender becomes faster than another, in words."""
    place = crossing(figure, slow, fast)
    if place is None:
        return f"Of what was measured, {short(slow)} is faster than {short(fast)} up to the end."
    begins = place == figure["points"][0]["x"]
    return (
        f"{short(fast)} is faster than {short(slow)} from {figure['x']} "
        f"{place:.0f} on{', the smallest' if begins else ''}."
    )


def markdown(headings: tuple[str, ...], lines: list[list[str]]) -> str:
    """Return a table."""
    rows: list[list[Any]] = [list(headings), ["---"] * len(headings), *lines]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in rows)


def amount_text(amount: float, unit: str) -> str:
    """Return seconds, or bytes, with three digits."""
    return time_text(amount) if unit == "s" else f"{number_text(amount / 1e6)} MB"


def time_text(seconds: float) -> str:
    """Return a time with three digits and the unit that fits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= 0.9995 * size:
            return f"{number_text(seconds / size)} {unit}"
    return f"{number_text(seconds / 1e-9)} ns"


def number_text(x: float) -> str:
    """Return a number with three digits, none of them an exponent."""
    rounded = float(f"{x:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100.0 else f"{rounded:.3g}"
