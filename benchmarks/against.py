"""The same rows in an older build: what `gradloom bench --against PYTHON` adds to them.

PYTHON is the interpreter of an environment in which that build is installed. A process of it runs
the benchmark code of this checkout on its own `engine` and `nn`, a measurement whenever it is asked
for one. So a twin is a contender like any other: it must compute the same numbers, it is measured
in turn with ours, and its ratio is taken within the round. Peers are left out: what they load would
weigh on one side only. What the older build can't do is skipped, with its reason.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

import engine
from benchmarks import facts, rows
from benchmarks.harness import (
    OURS,
    SCALES,
    Contender,
    Row,
    Scale,
    SkippedError,
    collector,
    made,
    once_measured,
    repeats,
    twin,
)

# The folder of this file is a package there too, and nothing else of the checkout can be imported.
_BEGIN = """
import importlib.util, sys
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location(
    "benchmarks", folder + "/__init__.py", submodule_search_locations=[folder]
)
sys.modules["benchmarks"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["benchmarks"])
from benchmarks import against
against.serve(sys.argv[2])
"""


class OlderBuildError(Exception):
    """There is no older build in the environment that was named, or its process ended."""


class Build(TypedDict):
    """Which build it is: its version, and the commit where it is a checkout."""

    gradloom: str
    commit: str | None
    folder: str


# --- asking ---------------------------------------------------------------------------------------


class Older:
    """A process of the older build. Closed by `with`; begun anew after it crashed."""

    def __init__(self, python: str, scale: Scale) -> None:
        self._python, self._scale = python, scale
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Older:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(BrokenPipeError):  # of what it did not read
                    pipe.close()  # type: ignore[union-attr]
            self._process = None

    def build(self) -> Build:
        """Which build it is. Raises OlderBuildError where there is none, or it is this one."""
        try:
            found: Build = self._ask("build")
        except (SkippedError, OSError) as error:
            raise OlderBuildError(f"{self._python} has no gradloom to measure: {error}") from None
        if Path(found["folder"]) == _folder():
            raise OlderBuildError(
                f"{self._python} runs this very checkout; name the Python of an environment in "
                "which another build is installed"
            )
        return found

    def _ask(self, *question: Any) -> Any:
        """An answer. Raises SkippedError for what can't be done there."""
        if self._process is None:
            self._process = self._begun()
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = process.wait()
            self.__exit__()
            raise SkippedError(f"the process of the older build ended with {code}")
        answer = json.loads(line)
        if "error" in answer:
            raise SkippedError(f"not in the older build ({answer['error']})")
        return answer["answer"]

    def _begun(self) -> subprocess.Popen[str]:
        environment = {key: x for key, x in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.Popen(
            [self._python, "-P", "-c", _BEGIN, str(Path(__file__).parent), self._scale.name],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def beside(self, name: str, row: Row) -> Row:
        """A row of the benchmark `name`: ours alone, and for each way of ours its twin."""
        ours = {way: make for way, make in row.contenders.items() if way.startswith(OURS)}
        both: dict[str, Callable[[], Contender]] = {}
        for way, make in ours.items():
            both |= {way: make, twin(way): self._contender(name, row.name, way)}
        return dataclasses.replace(
            row,
            contenders=both,
            stages=self._both_stages(name, row) if row.stages else None,
            asked=[asked for asked in row.asked if asked.peer is None],
            known={},
        )

    def _contender(self, name: str, row: str, way: str) -> Callable[[], Contender]:
        def make() -> Contender:
            numbers = self._ask("numbers", name, row, way)
            return Contender(
                work=lambda: self._ask("seconds", name, row, way),
                numbers=None if numbers is None else lambda: numbers,
                clocked=True,
            )

        return make

    def _both_stages(self, name: str, row: Row) -> Callable[[], dict[str, float]]:
        """The stages of both builds, first one's then the other's, as rounds have it."""
        rounds = itertools.count()
        assert row.stages is not None
        ours: Callable[[], dict[str, float]] = row.stages

        def theirs() -> dict[str, float]:
            try:
                found: dict[str, float] = self._ask("stages", name, row.name)
            except SkippedError as error:
                row.skipped[twin(OURS)] = str(error)
                return {}
            return {twin(stage): seconds for stage, seconds in found.items()}

        def both() -> dict[str, float]:
            if row.skipped:
                return ours()
            if next(rounds) % 2:
                before = theirs()
                return ours() | before
            return ours() | theirs()

        return both


def _folder() -> Path:
    return Path(engine.__file__).resolve().parents[1]


# --- answering, in the older build's process ------------------------------------------------------


class _Answers:
    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._name = self._ended = ""
        self._rows: Iterator[Row] = iter(())
        self._row = Row("", "")
        self._made: dict[str, Contender] = {}
        self._counts: dict[str, int] = {}

    def build(self) -> Build:
        """Which build this is."""
        folder = _folder()
        return {
            "gradloom": engine.__version__,
            "commit": facts.commit(folder),
            "folder": str(folder),
        }

    def numbers(self, name: str, row: str, way: str) -> list[float] | None:
        """What a contender computes, flat."""
        contender = self._contender(name, row, way)
        if contender.numbers is None:
            contender.work()  # to see whether it can
            return None
        return [float(x) for x in contender.numbers()]

    def seconds(self, name: str, row: str, way: str) -> float:
        """One measurement of a contender."""
        contender = self._contender(name, row, way)
        with collector(self._row.collector):
            if way not in self._counts:
                self._counts[way] = repeats(contender, self._scale)[0]
            return once_measured(contender, self._counts[way])

    def stages(self, name: str, row: str) -> dict[str, float]:
        """One measurement of a row's stages."""
        self._open(name, row)
        assert self._row.stages is not None
        with collector(self._row.collector):
            return self._row.stages()

    def _contender(self, name: str, row: str, way: str) -> Contender:
        self._open(name, row)
        if way not in self._made:
            only = {way: self._row.contenders[way]}
            contenders, skipped = made(dataclasses.replace(self._row, contenders=only))
            if way in skipped:
                raise SkippedError(skipped[way])
            self._made |= contenders
        return self._made[way]

    def _open(self, name: str, row: str) -> None:
        """Go on to a row: they come in the order in which they are asked for."""
        if name != self._name:
            self._name, self._row, self._ended = name, Row("", ""), "it makes no such row"
            self._rows = rows.rows_of(name, self._scale)
        while self._row.name != row:
            self._made, self._counts = {}, {}
            try:
                self._row = next(self._rows)
            except StopIteration:
                raise SkippedError(self._ended) from None
            except Exception as error:
                self._ended = _text(error)
                raise


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, SkippedError) else f"{type(error).__name__}: {error}"


def serve(scale: str) -> None:
    """Answer questions, one a line, until there are no more."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # what is printed here is no answer
        answers = _Answers(SCALES[scale])
        for line in sys.stdin:
            what, *given = json.loads(line)
            try:
                answer: dict[str, Any] = {"answer": getattr(answers, what)(*given)}
            except Exception as error:  # whatever it is, this build can't
                answer = {"error": _text(error)}
            print(json.dumps(answer), file=out, flush=True)
