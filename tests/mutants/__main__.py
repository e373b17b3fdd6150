"""Put small faults into engine and nn, one at a time, and tell which of them no test notices.

`make test-mutants` takes those that were written by hand (by_hand.toml), and a hundred that a
generator finds (faults.py), chosen by a seed evenly over AREAS. A fault goes into a copy of the
tree (trees.py). There the tests that run its line are run until one fails, those first that mirror
the module by name. Results are kept in .cache/mutants: an interrupted run goes on where it was.
`--again` tries once more what had survived; `--anew` runs all tests once to learn what runs what,
which is worth it when tests have moved; `--near` does without, and runs whole files of tests: the
mirrored ones, then some beside them, first those that speak of the module most. `--only core` is
about what every gradient goes through. A fault that changes nothing a user could see is listed in
equivalent.toml with the reason, by the digest that the report names.

Why not mutmut (3.8) or cosmic-ray (8.7)? mutmut changes functions only, none that is decorated,
and puts a dispatcher in the place of each: half of what matters here is a table of lambdas, and
the engine reads the code of its functions. cosmic-ray has one command of tests for all faults,
and neither keys, orders of arguments, dropped statements nor dropped keywords.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from faults import ByHand, Fault, by_hand, chosen, faults_of
from trees import CODE, KERNELS, ROOT, Outcome, SoundTree, files_of_checkout, run_tests

from engine.compiled.cache import place

HERE = Path(__file__).parent
TRAINING = ("train", "updates", "examples", "evaluation", "stopping", "divergence", "settings")
PATHS = ("scalar_path", "vectorised_path", "compiled_model")
COMPILED = {
    "record": ["columns.py", "numbering.py", "tape.py", "trace.py"],
    "lift": ["lift/"],
    "instructions": ["instructions/"],
    "adjoint": ["adjoint.py"],
    "emission": ["native/", "assembly.py", "updates.py"],
    "plan": ["plan.py", "plans.py", "seats.py", "results.py", "buffered.py"],
    "source": ["source/"],
    "sparse": ["chained.py", "coloring.py", "pattern.py", "sparse.py"],
    "comparing": ["verified.py", "rounding.py", "faults.py"],
}
AREAS: dict[str, list[str]] = {
    "ops": ["engine/ops.py"],
    "sweep": ["engine/sweep.py"],
    "calculus": ["engine/calculus.py"],
    "functions": ["engine/functions.py"],
    "solutions": ["engine/solutions.py", "engine/integration.py"],
    "digits": ["engine/replaying/"],
    "graphs as text": ["engine/graph_json.py"],
    "paths": ["engine/compiled/paths.py", "engine/compiled/training.py"],
    "arguments": ["engine/compiled/arguments.py"],
    **{area: [f"engine/compiled/{name}" for name in names] for area, names in COMPILED.items()},
    "losses": ["nn/losses.py", "nn/list_losses.py"],
    "optimisers": ["nn/optim/"],
    "training": [f"nn/{name}.py" for name in TRAINING + PATHS],
    "saving": ["nn/saving.py", "nn/checkpoints.py", "nn/identity.py"],
}

GROUPS = {"core": ["ops", "lift", "adjoint"]}  # areas that a run may be about


def generated(only: list[str], count: int, seed: int, equivalent: set[str]) -> list[Fault]:
    """Return faults that are chosen by a seed, in turns from each area or path."""
    areas = [AREAS.get(name, [name]) for name in only or AREAS]
    faults = {path: faults_of(path, text) for path, text in sources().items()}
    pools = [
        chosen(
            [f for path in faults if path.startswith(tuple(area)) for f in faults[path]],
            count,
            seed,
        )
        for area in areas
    ]
    turns = [pool[i] for i in range(count) for pool in pools if i < len(pool)]
    return [fault for fault in turns[:count] if fault.digest not in equivalent]


def sources() -> dict[str, str]:
    """The modules of engine and nn, by path."""
    names = (name for name in files_of_checkout() if name.endswith(".py"))
    return {name: (ROOT / name).read_text() for name in names if name.split("/")[0] in CODE}


class Runs:
    """Tries faults, each in a tree of its own, and keeps what came of them."""

    def __init__(self, sound: SoundTree, kept: Path, again: bool, seconds: float) -> None:
        self.sound = sound
        self.most = seconds
        self.kernels = place()
        self.kept = kept
        self.files = files_of_checkout()
        lines = kept.read_text().splitlines() if kept.exists() else []
        results = [json.loads(line) for line in lines]
        self.results = {r["digest"]: r for r in results if r["noticed"] or not again}

    def all(self, faults: list[Fault | ByHand], jobs: int) -> Iterator[dict[str, Any]]:
        """Try faults that have no result yet, and give the results of all."""
        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(self.one, faults)

    def one(self, fault: Fault | ByHand) -> dict[str, Any]:
        """Try one fault."""
        if fault.digest not in self.results:
            began = time.perf_counter()
            outcome, number, left_out = self.outcome(fault)
            spent = round(time.perf_counter() - began, 1)
            result = {
                "digest": fault.digest,
                "place": f"{fault.path}:{fault.line}",
                "before": fault.before,
                "after": fault.after,
                "noticed": outcome.noticed,
                "tests": number,
                "left_out": left_out,
                "seconds": spent,
                "words": outcome.words[-600:] if outcome.noticed else "",
            }
            with self.kept.open("a") as file:
                file.write(json.dumps(result) + "\n")
            self.results[fault.digest] = result
        return self.results[fault.digest]

    def outcome(self, fault: Fault | ByHand) -> tuple[Outcome, int, int]:
        """Run first the mirrored tests, then the others, as far as time allows."""
        mirrored, others = self.sound.tests_for(fault.path, fault.lines)
        seconds, within, left = 0.0, [], self.most
        for test in others:
            spent = self.sound.seconds.get(test, 0.0 if self.sound.learnt else 60.0)
            left -= spent
            within += [test] if left > 0.0 or not spent else []
        outcome = Outcome(5, "")
        with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
            for name, tests in (("mirrored", mirrored), ("others", within)):
                if tests and not outcome.noticed:
                    tree = Path(folder) / name
                    self.copy(fault, tree)
                    seconds = sum(self.sound.seconds.get(test, 60.0) for test in tests)
                    outcome = self.run(tree, tests, 60 + 4 * seconds)
        return outcome, len(mirrored) + len(within), len(others) - len(within)

    def copy(self, fault: Fault | ByHand, tree: Path) -> None:
        """Copy the sound tree, and the checkout over it, with the fault; its kernels go into a
        copy of the user's cache."""
        shutil.copytree(
            self.sound.tree, tree, ignore=shutil.ignore_patterns(".hypothesis", ".cache")
        )
        for name, content in self.files.items():
            path = tree / name
            if not path.exists() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        for path in (p for p in tree.rglob("*.py") if str(p.relative_to(tree)) not in self.files):
            path.unlink()
        if self.kernels is not None and self.kernels.is_dir():  # files there are never changed
            shutil.copytree(self.kernels, tree / KERNELS, copy_function=_linked)
        broken = fault.applied(self.files[fault.path].decode())
        (tree / fault.path).write_text(broken)

    def run(self, tree: Path, tests: list[str], seconds: float) -> Outcome:
        listed = tree / "tests.txt"
        listed.write_text("\n".join(tests))
        names = dict.fromkeys(test.partition("::")[0] for test in tests)
        files = [name for name in names if (tree / name).exists()]
        arguments = ["-x", "--tb=short", "-m", self.sound.selection, *files]
        known = self.sound.folder / "seconds.json"
        variables = {"MUTANTS_TESTS": str(listed), "MUTANTS_KNOWN": str(known)}
        return run_tests(tree, arguments, seconds, **variables)


def _linked(source: str, target: str) -> None:
    """Copy a file, where it can be without its content."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def told(result: dict[str, Any]) -> str:
    """A result in a few lines; of a survivor all that is known."""
    if result["noticed"]:
        return f"noticed   {result['digest']}  {result['place']}  {result['seconds']} s"
    left_out = f", {result['left_out']} left out for time" if result["left_out"] else ""
    sides = [("-", result["before"]), ("+", result["after"])]
    lines = [f"    {sign} {line}" for sign, text in sides for line in text.split("\n")]
    head = f"SURVIVED  {result['digest']}  {result['place']}  {result['seconds']} s"
    return "\n".join([f"{head}; tests: {result['tests']}{left_out}", *lines])


def options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="make test-mutants", description=__doc__.split("\n")[0])
    parser.add_argument("-m", dest="selection", default="", help="pytest's markers of `make test`")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of faults")
    parser.add_argument("--count", type=int, default=100, help="how many of the generator's")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="AREA",
        help=f"{', '.join([*GROUPS, *AREAS])}; or a module or folder/; repeatable",
    )
    parser.add_argument("--by-hand", action="store_true", help="those of by_hand.toml alone")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once")
    parser.add_argument(
        "--seconds", type=float, default=300, help="of other tests than mirrored ones, for a fault"
    )
    parser.add_argument("--again", action="store_true", help="try survivors once more")
    parser.add_argument("--anew", action="store_true", help="run all tests to learn what runs what")
    parser.add_argument(
        "--near", action="store_true", help="by files: the mirrored, then those beside"
    )
    parser.add_argument("--list", action="store_true", help="show the faults and try none")
    asked = parser.parse_args()
    asked.only = [area for name in asked.only for area in GROUPS.get(name, [name])]
    return asked


def main() -> int:
    """Try the faults, tell what came of each, and return 1 where one survived or doesn't fit."""
    asked = options()
    listed = tomllib.loads((HERE / "equivalent.toml").read_text())
    paths = tuple(path for name in asked.only for path in AREAS.get(name, [name]))
    written = [f for f in by_hand() if not paths or f.path.startswith(paths)]
    unfit = [f for f in written if not f.fits]
    for fault in unfit:
        print(f"UNFIT     {fault.path} has changed, mend by_hand.toml: {fault.what}", flush=True)
    number = 0 if asked.by_hand else asked.count
    faults: list[Fault | ByHand] = [
        *generated(asked.only, number, asked.seed, {*listed}),
        *(f for f in written if f.fits),
    ]
    if asked.list:
        for fault in faults:
            print(f"{fault.digest}  {fault.path}:{fault.line}\n- {fault.before}\n+ {fault.after}")
        return 0
    kept = ROOT / ".cache" / "mutants"
    sound = SoundTree(kept / ("near" if asked.near else "sound"), asked.selection)
    if asked.near:
        sound.copy()
    elif asked.anew or not sound.learnt:
        print("running all tests once, without a fault", flush=True)
        sound.learn()
    began, results = time.perf_counter(), []
    runs = Runs(sound, kept / "results.jsonl", asked.again, asked.seconds)
    for result in runs.all(faults, asked.jobs):
        results.append(result)
        print(told(result), flush=True)
    survived = sum(not result["noticed"] for result in results)
    spent = time.perf_counter() - began
    print(f"{len(results)} faults: {len(results) - survived} noticed, {survived} survived", end="")
    print(f" ({len(listed)} are listed as equivalent); {spent:.0f} s")
    return 1 if survived or unfit else 0


if __name__ == "__main__":
    sys.exit(main())
