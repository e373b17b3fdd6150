"""Copies of the tree to put faults into, and the tests that run a place.

One copy is kept: in it all tests have run once without a fault, their lines noted by coverage, so
that each line of it knows its tests. A fault gets a copy of that copy, with the files of the
checkout as they are now.
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
MEMORY = 8 << 30  # bytes of addresses; Numba and BLAS set aside more than they use
KERNELS = ".cache/gradloom"  # where a tree has its own
CODE = ("engine", "nn")


def files_of_checkout() -> dict[str, bytes]:
    """The content of every file that git knows or would take up."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    names = [name for name in listed.stdout.decode().split("\0") if (ROOT / name).is_file()]
    return {name: (ROOT / name).read_bytes() for name in names}


@dataclass(frozen=True)
class Outcome:
    """How a run of tests ended: its exit code, its seconds and the last of what it wrote."""

    code: int
    words: str

    @property
    def noticed(self) -> bool:
        """Whether a test failed, the import did, or a limit was met; 5 is pytest's "no tests"."""
        return self.code not in (0, 5)


def run_tests(tree: Path, arguments: Iterable[str], seconds: float, **variables: str) -> Outcome:
    """Run pytest on a tree, at most so many seconds of the processor, and four times as long."""
    folders = [tree, tree / "tests" / "mutants"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "GRADLOOM_CACHE_DIR": str(tree / KERNELS),
        "MUTANTS_LIMITS": f"{MEMORY} {seconds:.0f}",
        **variables,
    }
    plugins = ["-p", "selection", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    started = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", *plugins, *arguments],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    try:
        words, _ = started.communicate(timeout=4 * seconds)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        words, _ = started.communicate()
        words += f"\nended after {4 * seconds:.0f} s"
    return Outcome(started.returncode, words[-3000:])


class SoundTree:
    """The tree without a fault, in a folder that is kept, and what ran each line of it."""

    def __init__(self, folder: Path, selection: str) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self.selection = selection

    def copy(self) -> None:
        """Copy the checkout."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in files_of_checkout():
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self.tree / name)

    def learn(self) -> None:
        """Copy the checkout and run all its tests once; this takes long."""
        self.copy()
        cover = [f"--cov={package}" for package in CODE]
        arguments = [*cover, "--cov-context=test", "--cov-report=", "-m", self.selection]
        outcome = run_tests(
            self.tree,
            arguments,
            3600,
            COVERAGE_FILE=str(self.folder / "coverage"),
            MUTANTS_SECONDS=str(self.folder / "seconds.json"),
        )
        if outcome.code not in (0, 1):
            raise SystemExit(f"the tests could not be run without a fault:\n{outcome.words}")

    @property
    def learnt(self) -> bool:
        """Whether it is known which test runs what."""
        return (self.folder / "seconds.json").exists()

    @cached_property
    def seconds(self) -> dict[str, float]:
        """How long each test took that passed."""
        if not self.learnt:
            return {}
        told: dict[str, float] = json.loads((self.folder / "seconds.json").read_text())
        return told

    @cached_property
    def changed(self) -> set[str]:
        """The files of tests, and of modules with their doctests, that are new or others since."""
        files = {name: text for name, text in files_of_checkout().items() if _has_tests(name)}
        return {name for name, content in files.items() if self.content(name) != content}

    def content(self, name: str) -> bytes:
        path = self.tree / name
        return path.read_bytes() if path.is_file() else b""

    def tests_for(self, path: str, lines: tuple[int, int]) -> tuple[list[str], list[str]]:
        """Return the tests that run some lines of the checkout: the mirrored ones, and others.

        The quick ones come first. Lines that no test ran by itself (they run at import, or are
        compiled, or are new) have the tests of their file. Files of tests that have changed since,
        or are new, run as a whole: first those that mirror the module, last those beside them.
        """
        near = mirrors(path)
        tests = self.tests_of(path, self.lines_then(path, lines)) if self.learnt else []
        tests = tests or (self.tests_of(path, ()) if self.learnt else [])
        beside = {str(Path(file).parent) for file in near - {path}}
        among = self.changed if self.learnt else filter(_has_tests, files_of_checkout())
        new = sorted(file for file in {*among} - near if str(Path(file).parent) in beside)
        new.sort(key=lambda file: -(ROOT / file).read_text().count(Path(path).stem))
        if not tests:
            closest = sorted(near, key=lambda file: (-_in_common(path, file), file))
            return closest, new
        tests.sort(key=lambda test: (self.seconds[test], test))
        mirrored = [test for test in tests if _file(test) in near] + sorted(near & self.changed)
        others = [test for test in tests if _file(test) not in near]
        return mirrored, [test for test in others if (ROOT / _file(test)).is_file()] + new

    def lines_then(self, path: str, lines: tuple[int, int]) -> tuple[int, ...]:
        """Where lines of the checkout's file were in the sound tree's; none if they are new."""
        was, now = self.content(path).decode().split("\n"), (ROOT / path).read_text().split("\n")
        for i, a, size in difflib.SequenceMatcher(None, was, now, False).get_matching_blocks():
            if a < lines[0] and lines[1] <= a + size:
                return tuple(range(lines[0] + i - a, lines[1] + i - a + 1))
        return ()

    @cache  # noqa: B019 (one tree for the process)
    def tests_of(self, path: str, lines: tuple[int, ...]) -> list[str]:
        """The tests that ran some lines of the sound tree, or any of the file."""
        contexts = self._contexts(path)
        among = lines or contexts
        found = {test for line in among for test in contexts.get(line, ())}
        return sorted(found & {*self.seconds})

    @cache  # noqa: B019
    def _contexts(self, path: str) -> dict[int, set[str]]:
        import coverage

        data = coverage.CoverageData(str(self.folder / "coverage"))
        data.read()
        by_line = data.contexts_by_lineno(str(self.tree / path))
        return {i: {name.partition("|")[0] for name in names} for i, names in by_line.items()}


def mirrors(path: str) -> set[str]:
    """The files of tests that mirror a module by name: engine/sweep.py in tests/engine.

    If there are none, those that mirror the modules which import it.
    """
    found = _named_after(path)
    if not found:
        module = path.removesuffix(".py").replace("/", ".")
        for file in (file for folder in CODE for file in (ROOT / folder).rglob("*.py")):
            if f"from {module} import" in file.read_text():
                found |= _named_after(str(file.relative_to(ROOT)))
    return {path, *found}


def _named_after(path: str) -> set[str]:
    folder = Path("tests", *Path(path).parts[:-1])
    if Path(path).parts[:2] == ("engine", "compiled"):
        folder = Path("tests", "compiled")
    while not (ROOT / folder).is_dir():
        folder = folder.parent
    files = [str(file.relative_to(ROOT)) for file in (ROOT / folder).glob("test_*.py")]
    return {file for file in files if _in_common(path, file)}


def _in_common(path: str, file: str) -> int:
    """How many words of a module are in a file's name: there one may be part of another, as "plan"
    of "plans", if it has three letters."""
    module, name = Path(path).stem, Path(file).stem
    words = {module, *module.split("_"), *Path(path).parts[1:-1]} - {"compiled", "__init__", ""}
    return sum(word in name.split("_") or (word[2:] != "" and word in name) for word in words)


def _has_tests(name: str) -> bool:
    path = Path(name)
    return path.suffix == ".py" and (path.name.startswith("test_") or path.parts[0] in CODE)


def _file(test: str) -> str:
    return test.partition("::")[0]
