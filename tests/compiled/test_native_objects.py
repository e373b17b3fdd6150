"""The folder of object code: what is there is loaded, what is damaged is made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

import engine
from engine.compiled import jit
from engine.compiled.native import objects

pytestmark = pytest.mark.skipif(jit.DISABLED, reason="nothing is written out without Numba")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for object code."""
    monkeypatch.setattr(objects, "_folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The length of each text that LLVM was given."""
    found: list[int] = []
    usual = objects.compiled

    def noting(text: str) -> bytes:
        found.append(len(text))
        return usual(text)

    monkeypatch.setattr(objects, "compiled", noting)
    return found


def value() -> float:
    """A number by a program of its own."""
    found: float = engine.compile(lambda x: engine.sin(x) * 0.123)(0.5)
    return found


def test_what_was_made_once_is_loaded(folder: Path, made: list[int]) -> None:
    assert value() == value()
    assert len(made) == 1
    assert len([*folder.glob("*.o")]) == 1


@pytest.mark.parametrize("damage", ["empty", "truncated", "changed", "foreign"])
def test_a_damaged_file_is_made_anew(damage: str, folder: Path, made: list[int]) -> None:
    expected = value()
    (file,) = folder.glob("*.o")
    whole = file.read_bytes()
    damaged = {
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "changed": whole[:-9] + bytes(9),
        "foreign": b"[[], 1]\n\x7fELF nothing of ours",
    }
    file.write_bytes(damaged[damage])
    assert value() == expected
    assert len(made) == 2
    assert file.read_bytes() == whole


def test_without_a_folder_it_is_made_each_time(
    made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_folder", lambda: None)
    assert value() == value()
    assert len(made) == 2


def test_files_used_longest_ago_make_room(
    folder: Path, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    value()
    monkeypatch.setattr(objects, "_MOST_BYTES", 1)
    engine.compile(lambda x: engine.cos(x) * 0.456)(0.5)
    assert len(made) == 2
    assert len([*folder.glob("*.o")]) == 1
    assert not [*folder.glob("*.tmp")]
