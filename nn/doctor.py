"""`gradloom doctor`: what is installed and used, what stands in its way, and whether it works.

Out comes a `Report` of parts, each a title and its lines; a line has a `problem` where something is
wrong, which says what to do. Whatever is missing or broken is a line, never a traceback.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata as metadata
import importlib.util
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import engine
from engine import Value

PACKAGES = ("engine", "nn")  # what other folders may be called, too
_REQUIREMENT = re.compile(
    r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*([^;]*)(?:;.*extra == ['\"](\w[\w-]*))?"
)
_FOR_WORK_ON_IT = ("notebook", "browser", "docs", "test", "lint", "oracle", "peers")  # extras


@dataclass
class Line:
    """A name, what there is to say of it, and what to do where that is wrong."""

    name: str
    text: str
    problem: str = ""


@dataclass
class Report:
    """What `gradloom doctor` found, by part."""

    parts: dict[str, list[Line]] = field(default_factory=dict)

    @property
    def problems(self) -> list[Line]:
        """The lines where something is wrong."""
        return [line for lines in self.parts.values() for line in lines if line.problem]

    def __str__(self) -> str:
        told: list[str] = []
        wide = max(len(line.name) for lines in self.parts.values() for line in lines)
        for title, lines in self.parts.items():
            told += ["", title]
            for line in lines:
                mark = "!" if line.problem else " "
                told.append(f"{mark} {line.name:{wide}s}  {line.text}".rstrip())
                told += [f"  {'':{wide}s}  {line.problem}"] if line.problem else []
        count = len(self.problems)
        said = "all is well" if not count else f"{count} problem{'s'[: count > 1]}, marked by !"
        return "\n".join([*told[1:], "", said])

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "ok": not self.problems,
            **{
                title: [dataclasses.asdict(line) for line in lines]
                for title, lines in self.parts.items()
            },
        }


def examined() -> Report:
    """Look at everything, which takes seconds."""
    parts: dict[str, Callable[[], Iterator[Line]]] = {
        "this": _this,
        "where engine and nn come from": _places,
        "packages": _packages,
        "drawing": _drawing,
        "machine code": _machine,
        "self-test": _tried,
    }
    return Report({title: [*look()] for title, look in parts.items()})


def _this() -> Iterator[Line]:
    yield Line("gradloom", engine.__version__)
    yield Line("Python", f"{platform.python_version()} at {sys.executable}")
    yield Line("system", f"{platform.system()} {platform.release()} {platform.machine()}")


# --- what is imported ------------------------------------------------------------------------


def _places() -> Iterator[Line]:
    """Ours, and whatever else has the name of one of our packages."""
    owners = metadata.packages_distributions()
    for name in PACKAGES:
        own = Path(str(sys.modules[name].__file__)).parent
        others = sorted({*owners.get(name, [])} - {"gradloom"})
        problem = ""
        if others:
            problem = f"{', '.join(others)} installs a package {name}, too: use an environment of "
            problem += "its own for one of them"
        yield Line(name, str(own), problem)
        for folder, found in _namesakes(name, own):
            problem = f"it is imported instead of ours: rename it, or take {folder} from sys.path"
            if folder == Path.cwd():
                problem = (
                    f"scripts and notebooks here import it instead of ours: rename {found.name}"
                )
            yield Line(f"another {name}", str(found), problem)


def _namesakes(name: str, own: Path) -> Iterator[tuple[Path, Path]]:
    """The folders that Python may look into before ours, and what they have of a name."""
    first = [Path.cwd()]
    for entry in sys.path:
        folder = Path(entry or ".").absolute()
        if folder == own.parent:
            break
        first.append(folder)
    for folder in dict.fromkeys(first):
        for found in (folder / name, folder / f"{name}.py"):
            is_there = found.is_file() or (found / "__init__.py").is_file()
            if is_there and found.resolve() != own.resolve():
                yield folder, found


# --- packages --------------------------------------------------------------------------------


def _packages() -> Iterator[Line]:
    """What we need, and what the extras bring, by what is told of the installed distribution."""
    try:
        requirements = metadata.requires("gradloom") or []
    except metadata.PackageNotFoundError:
        requirements = []
        yield Line(
            "gradloom", "not installed: it is imported from a folder, and says of no package"
        )
    seen: set[str] = set()
    for requirement in requirements:
        found = _REQUIREMENT.match(requirement)
        if found is None:
            continue
        name, least, extra = found[1], found[2].strip(" ()"), found[3]
        if name in seen or name == "gradloom" or extra in _FOR_WORK_ON_IT:
            continue
        seen.add(name)
        yield _package(name, least, extra)


def _package(name: str, least: str, extra: str | None) -> Line:
    use = "needed" if extra is None else f"extra {extra}"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        if extra is not None:
            return Line(name, f"not installed ({use}: pip install 'gradloom[{extra}]')")
        return Line(name, f"not installed ({use})", f"pip install '{name}{least}'")
    if extra is None and (reason := _broken(name)):
        return Line(name, f"{version} ({use})", f"it can't be imported: {reason}")
    if least.startswith(">=") and _numbers(version) < _numbers(least[2:]):
        return Line(name, f"{version} ({use})", f"too old: pip install '{name}{least}'")
    return Line(name, f"{version} ({use})")


def _broken(name: str) -> str:
    try:
        importlib.import_module(name)
    except Exception as error:  # whatever a package says that does not fit the others
        return _in_short(error)
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split(",")[0])[:3])


# --- what there is to draw and to compile with -------------------------------------------------


def _drawing() -> Iterator[Line]:
    from engine.drawing.render import HINT, renderer

    found = renderer()
    yield Line("renderer", found or "none", "" if found else HINT)


def _machine() -> Iterator[Line]:
    from engine.compiled import blas, cache, objects, threads

    yield Line("threads", str(threads.get_num_threads()))
    try:
        told = f"{cache.processor()[0]}, vectors of {objects.vector_bytes()} bytes"
        yield Line("processor", told)
    except Exception as error:
        yield Line("processor", "unknown", _in_short(error))
    if objects.DISABLED:
        reason = "NUMBA_DISABLE_JIT is set: all runs in Python, slowly"
        yield Line("machine code", "none", reason)
    large = "SciPy's BLAS" if blas.is_there() else "our own (extra blas: SciPy's BLAS)"
    yield Line("large matrix products", large)
    folder = cache.place()
    problem = cache.complaint()
    count, size = (0, 0) if problem else cache.size()
    if folder is not None and not problem and not os.access(folder, os.W_OK):
        problem = f"nothing new is kept: {folder} can't be written to"
    yield Line("cache", f"{folder or 'none'}: {count:,} files, {size / 1e6:,.1f} MB", problem)


# --- whether it works ------------------------------------------------------------------------


def _tried() -> Iterator[Line]:
    for name, test in _TESTS.items():
        began = time.perf_counter()
        try:
            wrong = test()
        except Exception as error:  # that is what it is for
            wrong = _in_short(error)
        seconds = time.perf_counter() - began
        yield Line(name, f"{'failed' if wrong else 'passed'} in {seconds:.2f} s", wrong)


def _f(x: Any, y: Any) -> Any:
    return engine.sin(x) * y + engine.exp(x / y)


def _eager() -> str:
    engine.gradcheck(_f, (0.5, 2.0))
    return ""


def _compiled(native: bool) -> str:
    both = _f(0.5, 2.0), engine.grad(_f, argnums=(0, 1))(0.5, 2.0)
    program = engine.compile(_f, argnums=(0, 1), native=native)
    value, slopes = program.value_and_grad(0.5, 2.0)
    worst = max(abs(a - b) for a, b in zip((value, *slopes), (both[0], *both[1]), strict=True))
    return "" if worst < 1e-12 else f"compiled and eager results differ by {worst:.1e}"


def _drawn() -> str:
    picture = engine.draw(_f(Value(0.5), Value(2.0))).render("svg")
    return "" if b"<svg" in picture else "what was drawn is no picture"


def _trained() -> str:
    import random

    import nn

    model = nn.Linear(1, 1, rng=random.Random(0))
    X = [[0.0], [1.0], [2.0]]
    history = nn.fit(
        *(model, X, [[1.0], [3.0], [5.0]]),
        loss=nn.MSELoss(),
        optimizer=nn.SGD(model.parameters(), lr=0.2),
        epochs=200,
        progress=False,
    )
    off = max(abs(p.data - true) for p, true in zip(model.parameters(), (2.0, 1.0), strict=True))
    return "" if off < 1e-6 else f"a line was not found, on the {history.path} path"


_TESTS: dict[str, Callable[[], str]] = {
    "an eager gradient": _eager,
    "a compiled one": lambda: _compiled(native=True),
    "the same by Numba": lambda: _compiled(native=False),
    "a drawing": _drawn,
    "training": _trained,
}


def _in_short(error: Exception) -> str:
    """What an error says, in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
