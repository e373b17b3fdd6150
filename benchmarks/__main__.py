"""The command line of the benchmarks: `gradloom bench`, or `python -m benchmarks`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import plots, readme, runner
from benchmarks.against import OlderBuildError
from benchmarks.compare import comparison
from benchmarks.harness import FULL, QUICK
from benchmarks.results import BadResultsError, Results, load, save
from benchmarks.rows import NAMES
from benchmarks.tables import report, rows_table
from engine.files import make_writable, write_whole

_BUSY = 0.5  # load a core that leaves figures in doubt


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write and compare; return 0, 1 where something failed or became slower, 130 for
    an interrupt. A wrong call ends the process with 2, as argparse does."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.against and (chosen.source or chosen.readme):
        parser.error("--against measures, and not for the README: without --from and --readme")
    try:
        return _run(chosen)
    except (BadResultsError, OlderBuildError, OSError, ImportError) as error:
        print(f"gradloom bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"gradloom bench: stopped; what was measured is in {chosen.out}", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gradloom bench",
        description="Measure gradloom beside its peers, in turn, on this machine.",
        epilog=f"Benchmarks: {', '.join(NAMES)}.",
    )
    parser.add_argument("--quick", action="store_true", help="a minute, and rougher figures")
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, metavar="NAME", help="some benchmarks, not all"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=Path("bench-results"),
        help="write results.json, results.md and plots there (default: bench-results)",
    )
    parser.add_argument(
        "--compare", type=Path, metavar="OLD.json", help="tell what changed since; 1 if slower"
    )
    parser.add_argument(
        "--against",
        metavar="PYTHON",
        default="",
        help="measure beside the older build that this Python has, in place of the peers",
    )
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="RUN.json", help="take this run, don't measure"
    )
    parser.add_argument(
        "--readme",
        action="store_true",
        help="commit to it: benchmarks/results.json, and the tables",
    )
    return parser


def _run(chosen: argparse.Namespace) -> int:
    old = load(chosen.compare) if chosen.compare else None  # before a long run, not after it
    make_writable(chosen.out)
    results = load(chosen.source) if chosen.source else _measured(chosen)
    print(f"\n{rows_table(results)}")
    written = [chosen.out / "results.md"]
    write_whole(written[0], report(results).encode())
    try:
        written += plots.draw(results, chosen.out)
    except ImportError as error:
        print(f"no plots: {error}")
    for path in written:
        print(f"wrote      {path}")
    failed = bool(results["failures"])
    for name, why in results["failures"].items():
        print(f"{name} failed: {why}", file=sys.stderr)
    if old is not None:
        text, regressions = comparison(old, results)
        print(f"\n{text}")
        failed = failed or bool(regressions)
    if chosen.readme:
        readme.publish(results)
    return int(failed)


def _measured(chosen: argparse.Namespace) -> Results:
    """Run the benchmarks; the file is written anew after each."""
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > _BUSY * (os.cpu_count() or 1):
        print(f"this machine is busy (load {os.getloadavg()[0]:.1f}): figures will be rough")
    names = chosen.only or list(NAMES)
    scale = QUICK if chosen.quick else FULL
    path = chosen.out / "results.json"
    return runner.run(names, scale, lambda so_far: save(path, so_far), chosen.against)


if __name__ == "__main__":
    sys.exit(main())
