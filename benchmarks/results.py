"""The file of a run: what was measured, where, and when. It is JSON, and checked when read."""

from __future__ import annotations

import json
import re
import types
import typing
from pathlib import Path
from typing import Any, TypedDict

from benchmarks.harness import Measured
from engine.files import write_whole

SCHEMA = 1
COMMITTED = Path(__file__).parent / "results.json"  # what the README's table is made of


class Point(TypedDict):
    """One place on a figure's axis."""

    x: float
    row: Measured


class MeasuredFigure(TypedDict):
    """What came out of a figure."""

    name: str
    title: str
    x: str
    per_x: bool
    points: list[Point]
    crossings: list[list[str]]


class Results(TypedDict):
    """A run. `failures` are benchmarks that did not end, and why."""

    schema: int
    gradloom: str
    taken: str
    scale: str
    seconds: float
    machine: dict[str, Any]
    rows: list[Measured]
    figures: list[MeasuredFigure]
    failures: dict[str, str]


class BadResultsError(Exception):
    """A file is no run of the benchmarks, or can't be read."""


def save(path: Path, results: Results) -> None:
    """Write a run to a file, whole or not at all. Raises OSError as `open` does."""
    write_whole(path, as_text(results).encode())


def as_text(results: Any) -> str:
    """JSON with six digits a number, and lists of numbers in one line."""
    text = json.dumps(_rounded(results), indent=1, allow_nan=False, ensure_ascii=False)
    return re.sub(r"\[[^\[\]{}\"]*\]", lambda m: " ".join(m[0].split()), text) + "\n"


def _rounded(item: Any) -> Any:
    if isinstance(item, float):
        return float(f"{item:.6g}")
    if isinstance(item, dict):
        return {key: _rounded(x) for key, x in item.items()}
    return [_rounded(x) for x in item] if isinstance(item, list | tuple) else item


def load(path: Path) -> Results:
    """Read a run from a file. Raises BadResultsError, which says what is wrong with it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadResultsError(f"can't read {path}: {error}") from None
    except json.JSONDecodeError as error:
        raise BadResultsError(
            f"{path} is not whole JSON (line {error.lineno}: {error.msg}); was it cut off?"
        ) from None
    if not isinstance(data, dict) or "schema" not in data:
        raise BadResultsError(f"{path} is no file of `gradloom bench`: it has no schema")
    if data["schema"] != SCHEMA:
        raise BadResultsError(f"{path} has schema {data['schema']!r}, and this reads {SCHEMA}")
    _check(data, Results, f"{path}")
    return typing.cast(Results, data)


def _check(item: Any, kind: Any, where: str) -> None:
    """Raise BadResultsError where an item is not of a type, naming the place."""
    origin = typing.get_origin(kind)
    if typing.is_typeddict(kind):
        if not isinstance(item, dict):
            raise BadResultsError(f"{where} is {item!r:.40}, not an object")
        for key, inner in typing.get_type_hints(kind).items():
            if key not in item:
                if key in kind.__optional_keys__:
                    continue
                raise BadResultsError(f"{where} lacks {key!r}")
            _check(item[key], inner, f"{where}: {key}")
    elif origin is list and isinstance(item, list):
        for i, entry in enumerate(item):
            _check(entry, typing.get_args(kind)[0], f"{where}[{i}]")
    elif origin is dict and isinstance(item, dict):
        for key, entry in item.items():
            _check(entry, typing.get_args(kind)[1], f"{where}: {key}")
    elif origin in (types.UnionType, typing.Union):
        if item is not None:
            _check(item, typing.get_args(kind)[0], where)
    elif kind is not Any and not _is_a(item, kind):
        name = getattr(origin or kind, "__name__", kind)
        raise BadResultsError(f"{where} is {item!r:.40}, and should be of type {name}")


def _is_a(item: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(item, int | float) and not isinstance(item, bool)
    if kind is int:
        return isinstance(item, int) and not isinstance(item, bool)
    return isinstance(kind, type) and isinstance(item, kind)
