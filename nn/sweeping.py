"""Many fits of a program, spread over workers: `gradloom sweep`.

In: a program and a `Grid`, which says for each setting what to try. Out: the runs that there are,
as rows, and a table of them. What each run found is a line of a file as soon as it is known, so
that a sweep that was killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import math
import multiprocessing
import os
import signal
import statistics
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

from engine import spreading
from engine.compiled import threads
from engine.deferred import needed
from engine.files import make_writable, write_whole
from engine.showing import aligned
from nn.programs import Options, load
from nn.progress import Bar

Row: TypeAlias = dict[str, Any]
Grid: TypeAlias = Mapping[str, Sequence[Any]]  # by setting, "seed" among them, what to try
SHOWN = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
RUNS, TABLE = "runs.jsonl", "runs.csv"
_PATIENCE = 10.0  # seconds in which a scheduler is to answer


def sweep(
    program: str, path: str, grid: Grid, folder: Path, on: Any, *, progress: bool = True
) -> list[Row]:
    """Do those runs of a grid that the folder does not have yet; return the rows of all, which the
    folder has as a table, too.

    `on` runs them: a client of Dask, an executor (`processes` makes one), or None for this process.

    Raises OSError where nothing can be written there, and RuntimeError where the workers are gone;
    the runs that were finished are kept.
    """
    make_writable(folder)
    wanted = [dict(zip(grid, chosen, strict=True)) for chosen in itertools.product(*grid.values())]
    keys = [_key(program, path, settings) for settings in wanted]
    known = _known(folder / RUNS)
    missing = [k for k, key in enumerate(keys) if key not in known]
    tasks = ((spreading.version(), program, path, wanted[k]) for k in missing)
    bar = Bar(len(wanted), shown=progress, estimate=False, unit="runs")
    bar.advance(len(wanted) - len(missing))
    try:
        with (folder / RUNS).open("a") as file:
            for place, found in spreading.finished(one, tasks, on):
                key = keys[missing[place]]
                known[key] = found
                file.write(json.dumps({"key": key, **found}) + "\n")
                file.flush()
                bar.advance()
    finally:
        bar.close()
    rows = [_row(settings, known[key]) for settings, key in zip(wanted, keys, strict=True)]
    write_whole(folder / TABLE, _as_csv(rows).encode())
    return rows


def one(sender: str, program: str, path: str, settings: Mapping[str, Any]) -> Row:
    """Run a program once, in a worker; return its figures, or what went wrong."""
    spreading.check_sender(sender, "sweep")
    named = {
        name: settings[name] for name in ("seed", "epochs", "points", "lr") if name in settings
    }
    others = {name: x for name, x in settings.items() if name not in named}
    try:
        with threads.alone(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is not finite shows in the table
            options = Options(path=path, quiet=True, own=others, **named)
            return {"figures": load(program).run(options).figures}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


@contextlib.contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of so many fresh processes, which end with this one, whatever ends it."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin)
    try:
        yield pool
    except BaseException:
        for process in [*(pool._processes or {}).values()]:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def client(address: str) -> Iterator[Any]:
    """A client of the Dask scheduler at an address. Raises OSError where none answers."""
    distributed = needed("distributed", "--scheduler", "distributed")
    with distributed.Client(address, timeout=_PATIENCE) as made:
        yield made


def _begin() -> None:
    """In a worker: leave Ctrl-C to the process that started it, and do not outlive that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _key(program: str, path: str, settings: Mapping[str, Any]) -> str:
    """What a run is known by: another version of us may find something else."""
    return json.dumps([spreading.version(), program, path, settings], sort_keys=True)


def _known(path: Path) -> dict[str, Row]:
    """The runs in a file, whose last line may have been cut short."""
    if not path.exists():
        return {}
    text = path.read_text()
    if text and not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        write_whole(path, text.encode())
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = json.loads(line)
            found[row.pop("key")] = row
        except (ValueError, KeyError, AttributeError, TypeError):
            raise ValueError(
                f"line {number} of {path} is no run of a sweep; remove the line, or give another "
                "folder with --out"
            ) from None
    return found


def _row(settings: Mapping[str, Any], found: Row) -> Row:
    """What is told of a run: no times, which another sweep would not have again."""
    figures = found.get("figures", {})
    plain = {
        k: x for k, x in figures.items() if x is None or isinstance(x, str | bool | int | float)
    }
    plain = {k: x for k, x in plain.items() if not k.endswith("seconds") and k not in settings}
    return {**settings, **plain, "error": found.get("error")}


def _as_csv(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row if name != "error"))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*names, "error"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


# --- the table ------------------------------------------------------------------------------


def table(rows: Sequence[Row], grid: Grid, by: str | None = None) -> str:
    """Return the medians over seeds for each choice of the other settings, the best first, and
    below them what went wrong.

    Best is the lowest `by`, or the highest if that is an accuracy; by default the held-out loss, or
    the training loss where there is none. Raises ValueError for a figure that no run has.
    """
    shown = [name for name in SHOWN if any(_is_number(row.get(name)) for row in rows)]
    if by is None:
        by = next((name for name in ("test_loss", "train_loss") if name in shown), None)
    elif not any(_is_number(row.get(by)) for row in rows) and any(not row["error"] for row in rows):
        numbers = sorted({k for row in rows for k, x in row.items() if _is_number(x)} - set(grid))
        raise ValueError(f"no run has a number {by!r}; there are {', '.join(numbers)}")
    if by is not None and by not in shown:
        shown.append(by)
    varied = [name for name in grid if name != "seed" and len(grid[name]) > 1]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in varied), []).append(row)
    told = []
    for chosen, group in groups.items():
        good = [row for row in group if not row["error"]]
        medians = [
            _median([row[name] for row in good if _is_number(row.get(name))]) for name in shown
        ]
        told.append([*chosen, f"{len(good)}/{len(group)}", *medians])
    if by is not None:
        place, sign = len(varied) + 1 + shown.index(by), -1.0 if "accuracy" in by else 1.0
        told.sort(key=lambda cells: (cells[place] is None, sign * (cells[place] or 0.0)))
    cells = [[*varied, "runs", *shown], *told]
    lines = aligned([[_text(cell) for cell in line] for line in cells], ())
    lines.append(f"medians over {len(grid['seed'])} seeds" + (f", by {by}" if by else ""))
    named = [name for name in grid if name == "seed" or name in varied]
    for row in rows:
        if row["error"]:
            which = ", ".join(f"{name} {row[name]}" for name in named)
            lines.append(f"failed     {which}: {row['error'].splitlines()[0]}")
    return "\n".join(lines)


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool)


def _median(numbers: Sequence[float]) -> float | None:
    """The median, in which nan is the worst there is."""
    return statistics.median(math.inf if math.isnan(x) else x for x in numbers) if numbers else None


def _text(cell: Any) -> str:
    return "-" if cell is None else f"{cell:.5g}" if isinstance(cell, float) else str(cell)
