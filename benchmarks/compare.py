"""Two runs side by side: what became faster or slower, beyond the noise.

Ratios to a peer are compared where there are some, since a busy machine slows both; else seconds,
which mean something on one machine only. A change counts as a regression where it is larger than
what the quartiles of both runs spread over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.facts import same_machine
from benchmarks.harness import ALONE, OURS, Measured
from benchmarks.results import Results
from benchmarks.tables import amount_text, markdown, number_text

_LEAST = 0.03  # a smaller change is noise, whatever the quartiles say


@dataclass(frozen=True)
class Change:
    """One figure in both runs. `factor` is above 1 where it became better; `noise` is what a
    factor may differ from 1 by without meaning anything, as a logarithm."""

    row: str
    what: str
    old: str
    new: str
    factor: float
    noise: float
    comparable: bool = True

    @property
    def regression(self) -> bool:
        """Whether it became worse, beyond the noise."""
        return self.comparable and math.log(self.factor) < -max(self.noise, _LEAST)

    @property
    def verdict(self) -> str:
        """The change in words."""
        if not self.comparable:
            return "not comparable"
        if self.regression:
            return "**regression**"
        better = math.log(self.factor) > max(self.noise, _LEAST)
        return "better" if better else "the same within the noise"


def changes(old: Results, new: Results) -> Iterator[Change]:
    """Yield every figure that both runs have."""
    here = same_machine(old["machine"], new["machine"])
    before = {row["name"]: row for row in old["rows"]}
    for row in new["rows"]:
        if row["name"] in before and before[row["name"]]["work"] == row["work"]:
            yield from _of_row(before[row["name"]], row, here)


def _of_row(old: Measured, new: Measured, here: bool) -> Iterator[Change]:
    ratios = {(r["of"], r["peer"]): r for r in old["ratios"] if r["of"] != ALONE}
    seen = set()
    for now in new["ratios"]:
        was = ratios.get((now["of"], now["peer"]))
        if was is not None:
            seen.add(now["of"])
            part = now["of"].removeprefix(OURS).strip(", ")
            yield Change(
                new["name"],
                f"{part + ' ' if part else ''}beside {now['peer']}",
                f"{number_text(was['median'])}x",
                f"{number_text(now['median'])}x",
                now["median"] / was["median"],
                _spread(was["low"], was["high"]) + _spread(now["low"], now["high"]),
            )
    times, unit = {t["name"]: t for t in old["times"]}, new.get("unit", "s")
    for time in new["times"]:
        known = times.get(time["name"])
        ours = time["name"].startswith(OURS) or not new["ratios"]
        if known is not None and ours and time["name"] not in seen:
            yield Change(
                new["name"],
                time["name"],
                amount_text(known["seconds"], unit),
                amount_text(time["seconds"], unit),
                known["seconds"] / time["seconds"],
                _spread(known["low"], known["high"]) + _spread(time["low"], time["high"]),
                comparable=here,
            )


def _spread(low: float, high: float) -> float:
    return math.log(high / low)


def comparison(old: Results, new: Results) -> tuple[str, list[Change]]:
    """Return the comparison as a table with what there is to say about it, and the regressions."""
    found = list(changes(old, new))
    lines = [
        [c.row, c.what, c.old, c.new, f"{100.0 * (c.factor - 1.0):+.1f} %", c.verdict]
        for c in found
    ]
    parts = [markdown(("row", "what", "old", "new", "change", ""), lines)]
    if not same_machine(old["machine"], new["machine"]):
        parts.insert(
            0,
            f"These are two machines, and seconds are not compared: {_machine(old)}; "
            f"{_machine(new)}.\n",
        )
    if old["scale"] != new["scale"]:
        parts.insert(0, f"The old run was {old['scale']}, the new one {new['scale']}.\n")
    compared = {c.row for c in found}
    for name, run in (("old", old), ("new", new)):
        only = [row["name"] for row in run["rows"] if row["name"] not in compared]
        if only:
            parts.append(f"Only in the {name} run, or other work there: {', '.join(only)}.\n")
    regressions = [change for change in found if change.regression]
    worse = ", ".join(f"{c.row} {c.what}" for c in regressions)
    parts.append(f"Regressions: {worse or 'none'}.\n")
    return "\n".join(parts), regressions


def _machine(results: Results) -> str:
    machine = results["machine"]
    return f"{machine.get('processor')}, {machine.get('cores')} cores"
