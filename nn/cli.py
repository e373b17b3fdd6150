"""The command line: `gradloom list`, `run PROGRAM`, `sweep PROGRAM`, `draw FILE.py:NAME`,
`fixtures DIR`, `cache`, `doctor`, `playground` and `bench`.

The benchmarks and the playground are no part of what is installed: they are beside the packages in
a checkout.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import json
import math
import os
import sys
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import engine
from engine.compiled import cache
from engine.compiled.threads import get_num_threads
from engine.files import make_writable
from nn import doctor, drawing_cli, fixtures, plots, printing, sweeping
from nn.programs import PROGRAMS, Options, load


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 1 for a failure that is told, 130 for an interrupt, 141 where nobody
    read on.

    A wrong call ends the process with 2, as argparse does.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    return printing.to_the_end(lambda: printing.in_a_line(lambda: _command(given)))


def _command(given: list[str]) -> int:
    if given[:1] == ["bench"]:
        return _bench(given[1:])
    if given[:1] == ["draw"]:
        return drawing_cli.main(given[1:])
    parser = _parser(next((name for name in given[1:] if name in PROGRAMS), None))
    chosen = parser.parse_args(given, argparse.Namespace(given=given))
    return int(chosen.do(chosen) or 0)


def _parser(program: str | None = None) -> argparse.ArgumentParser:
    """The parser of all commands, with the options that a program has of its own."""
    parser = argparse.ArgumentParser(prog="gradloom", description="Neural networks in scalars.")
    parser.add_argument("--version", action="version", version=f"gradloom {engine.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="name the programs").set_defaults(do=_list)
    commands.add_parser("draw", help="draw the graph of a function, a Value or a model in a file")
    told = "open the page that runs in a browser, in a checkout"
    page = commands.add_parser("playground", help=told)
    page.set_defaults(do=lambda chosen: _playground())
    commands.add_parser("bench", help="measure it beside its peers, in a checkout")
    port = commands.add_parser("fixtures", help="write graphs as JSON, to test another engine with")
    port.add_argument("folder", type=Path, metavar="DIR", help="write them to this folder")
    port.set_defaults(do=_fixtures)
    ill = commands.add_parser("doctor", help="say what is installed and used, and whether it works")
    ill.add_argument("--json", action="store_true", help="print it as a JSON object")
    ill.set_defaults(do=_doctor)
    kept = commands.add_parser("cache", help="say where machine code is kept, and how much")
    kept.add_argument("--clear", action="store_true", help="remove it")
    kept.set_defaults(do=_cache)
    run = commands.add_parser("run", help="run a program")
    run.set_defaults(do=_run)
    run.add_argument("--seed", type=_whole(0), default=0, help="of data and weights (default 0)")
    run.add_argument("--out", type=Path, metavar="DIR", help="write pictures to this folder")
    run.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    run.add_argument("--mpi", type=_whole(1), metavar="N", help="train on N ranks of MPI")
    run.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="save the training there, and go on from it"
    )
    sweep = commands.add_parser("sweep", help="run a program many times, over workers")
    sweep.set_defaults(do=_sweep)
    sweep.add_argument(
        "--seeds",
        dest="seed",
        type=_seeds,
        default=[0],
        metavar="0:32",
        help="of data and weights, from 0 to before 32, or a list: 0,3,7 (default 0)",
    )
    sweep.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="keep runs here; those that are here are not done again (default sweep-PROGRAM)",
    )
    sweep.add_argument(
        "--by", metavar="FIGURE", help="what the best run is best by (default test_loss)"
    )
    workers = sweep.add_mutually_exclusive_group()
    workers.add_argument("--workers", type=_whole(1), help="processes (default one a processor)")
    workers.add_argument("--scheduler", metavar="ADDRESS", help="of Dask, whose workers are taken")
    module = None if program is None else load(program)
    settings: dict[str, dict[str, Any]] = {}
    for name, least, what in (
        ("epochs", 0, "rounds over the training data"),
        ("points", 1, "examples to take or make"),
    ):
        if module is None or hasattr(module, name.upper()):
            usual = getattr(module, name.upper(), None)
            told = what if usual is None else f"{what} (default {usual:,})"
            settings[name] = {"type": _whole(least), "help": told}
    if module is None or hasattr(module, "problem"):
        settings["lr"] = {"type": _rate, "help": "learning rate, in place of the program's"}
    settings |= getattr(module, "OPTIONS", {})
    for command, several in ((run, False), (sweep, True)):
        command.add_argument(
            "program", choices=PROGRAMS, metavar="PROGRAM", help=", ".join(PROGRAMS)
        )
        command.add_argument("--path", choices=("auto", "scalar", "vectorised"), default="auto")
        for name, about in settings.items():
            command.add_argument(f"--{name}", **(_several(about) if several else about))
    return parser


def _several(about: Mapping[str, Any]) -> dict[str, Any]:
    """What argparse is told of an option that may be given several values, with commas."""
    one, choices = about.get("type", str), about.get("choices")

    def several(text: str) -> list[Any]:
        found = [one(part) for part in text.split(",")]
        for x in found:
            if choices is not None and x not in choices:
                raise argparse.ArgumentTypeError(f"{x!r} is none of {', '.join(choices)}")
        return list(dict.fromkeys(found))

    return {"type": several, "metavar": "A,B,…", "help": f"{about['help']}; one, or several to try"}


def _seeds(text: str) -> list[int]:
    """The seeds from the first to before the second, or those listed."""
    whole = _whole(0)
    first, colon, end = text.partition(":")
    if not colon:
        return list(dict.fromkeys(whole(part) for part in text.split(",")))
    found = [*range(whole(first or "0"), whole(end))]
    if not found:
        raise argparse.ArgumentTypeError(f"from {first} to before {end} there are no seeds")
    return found


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not 0.0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"a learning rate is above 0, not {text}")
    return rate


def _whole(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"it is at least {least}, not {number}")
        return number

    return whole


def _list(chosen: argparse.Namespace) -> None:
    for name in PROGRAMS:
        print(f"{name:16s} {load(name).SUMMARY}")


def _sweep(chosen: argparse.Namespace) -> int:
    """Do the runs of a sweep that are missing; print the table of all."""
    given = vars(chosen)
    names = ("seed", "epochs", "points", "lr", *getattr(load(chosen.program), "OPTIONS", {}))
    grid = {name: given[name] for name in names if given.get(name) is not None}
    folder = chosen.out or Path(f"sweep-{chosen.program}")

    def swept() -> int:
        if chosen.scheduler is None:
            workers: Any = sweeping.processes(chosen.workers or get_num_threads())
        else:
            workers = sweeping.client(chosen.scheduler)
        with workers as on:
            rows = sweeping.sweep(chosen.program, chosen.path, grid, folder, on)
        print(sweeping.table(rows, grid, chosen.by))
        print(f"wrote      {folder / sweeping.TABLE}")
        return 0

    stopped = "stopped; the same command goes on from here"
    return printing.in_a_line(swept, (RuntimeError,), stopped=stopped)


def _run(chosen: argparse.Namespace) -> int:
    if chosen.mpi is None:
        return _run_here(chosen)
    launching = importlib.import_module("nn.distributed.launching")
    group = launching.joined()
    if group is None:
        code: int = launching.launch(chosen.mpi, chosen.given, chosen.checkpoint)
        return code
    with contextlib.ExitStack() as stack:
        if not group.leads:  # one rank speaks for all
            chosen.out, chosen.json = None, True
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        fail = functools.partial(launching.give_up, group)
        return printing.in_a_line(lambda: _run_here(chosen, group), fail=fail, stopped="")


def _run_here(chosen: argparse.Namespace, group: Any = None) -> int:
    """Run a program in this process, which may be one of a group."""
    given = vars(chosen)
    own = {name: given.get(name) for name in getattr(load(chosen.program), "OPTIONS", {})}
    options = Options(
        path=chosen.path,
        seed=chosen.seed,
        epochs=given.get("epochs"),
        points=given.get("points"),
        lr=given.get("lr"),
        out=chosen.out,
        quiet=chosen.json,
        own={name: answer for name, answer in own.items() if answer is not None},
        on=group,
        checkpoint=chosen.checkpoint,
    )
    if options.out is not None:
        make_writable(options.out)  # before a long training, not after it
        os.environ.setdefault("MPLBACKEND", "agg")  # pictures for files need no window
        plots.new_axes()
    report = load(chosen.program).run(options)
    if chosen.json:
        print(json.dumps(report.figures))
        return 0
    print(report.text)
    for picture in report.pictures:
        print(f"wrote      {picture}")
    return 0


def _bench(arguments: Sequence[str], root: Path = Path(__file__).parents[1]) -> int:
    """Run the benchmarks of the checkout that these packages are imported from."""
    if not (root / "benchmarks" / "__main__.py").is_file():
        return printing.failed(
            f"there is no folder benchmarks in {root}: it comes with a checkout of the repository, "
            "not with the installed packages. In a checkout, run `make bench` or "
            "`python -m benchmarks`"
        )
    sys.path.insert(0, str(root))  # before any other package of this name
    try:
        return int(importlib.import_module("benchmarks.__main__").main(arguments))
    finally:
        sys.path.remove(str(root))


def _playground(root: Path = Path(__file__).parents[1]) -> int:
    """Open the playground that was built in the checkout these packages are imported from."""
    page = root / "build" / "playground" / "index.html"
    if not page.is_file():
        return printing.failed(
            f"there is no {page}: run `make playground` in a checkout of the repository, which "
            "needs npm"
        )
    print(page)
    webbrowser.open(page.as_uri())
    return 0


def _doctor(chosen: argparse.Namespace) -> bool:
    """Say what was found, and whether something is wrong."""
    report = doctor.examined()
    print(json.dumps(report.as_json(), indent=2) if chosen.json else report)
    return bool(report.problems)


def _fixtures(chosen: argparse.Namespace) -> None:
    """Write the fixtures, and say which files have how many."""
    for path, count in fixtures.write(chosen.folder):
        print(f"{count:5,d} cases  {path}")
    print(f"what they mean and how to run them: {chosen.folder / 'README.md'}")


def _cache(chosen: argparse.Namespace) -> None:
    """Say where the cache is and how large; or clear it."""
    folder = cache.place()
    count, size = cache.clear() if chosen.clear else cache.size()
    print(f"{'removed' if chosen.clear else 'cache'}: {count:,} files, {size / 1e6:,.1f} MB")
    print(f"folder:  {folder or 'none'} ({cache.VARIABLE} names another)")


if __name__ == "__main__":
    sys.exit(main())
