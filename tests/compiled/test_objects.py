"""Object code of blocks: what was made once is loaded, whatever else happens it is made anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import engine
from engine.compiled import cache, jitted, objects

pytestmark = pytest.mark.skipif(jitted.DISABLED, reason="nothing is written out without Numba")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for what is kept."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The length of each text that LLVM was given."""
    found: list[int] = []
    usual = objects.compiled

    def noting(text: str, **options: bool) -> bytes:
        found.append(len(text))
        return usual(text, **options)

    monkeypatch.setattr(objects, "compiled", noting)
    return found


def value() -> float:
    """A number by a program of its own."""
    found: float = engine.compile(lambda x: engine.sin(x) * 0.123)(0.5)
    return found


def test_what_was_made_once_is_loaded(folder: Path, made: list[int]) -> None:
    assert value() == value()
    assert len(made) == 1
    assert cache.size()[0] == 1


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda whole: b"",
    "cut within the digest": lambda whole: whole[:9],
    "cut behind the digest": lambda whole: whole[:32],
    "cut in half": lambda whole: whole[: len(whole) // 2],
    "cut by a byte": lambda whole: whole[:-1],
    "a byte longer": lambda whole: whole + b"\0",
    "with zeros at the end, as after a loss of power": lambda whole: whole[:-512] + bytes(512),
    "with other notes": lambda whole: whole.replace(b"null", b"true", 1),
    "with other code": lambda whole: whole[:-9] + bytes(9),
    "of others": lambda whole: b"null\n\x7fELF nothing of ours",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_made_anew(kind: str, folder: Path, made: list[int]) -> None:
    expected = value()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(DAMAGE[kind](whole))
    assert file.read_bytes() != whole
    assert value() == expected
    assert len(made) == 2
    assert file.read_bytes() == whole
