"""The folder of machine code: where it is, what is trusted in it, and how one goes on without."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.compiled import cache

ROOT = Path(engine.__file__).parents[1]
NAME, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is not there yet, as the one for caches."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "of" / "mine"))
    monkeypatch.setattr(cache, "_told", set())
    return tmp_path / "of" / "mine"


# --- keeping and reading --------------------------------------------------------------------------


def test_what_is_kept_is_read(folder: Path) -> None:
    assert cache.read(NAME) is None
    cache.keep(NAME, b"code")
    cache.keep(OTHER, b"")
    assert (cache.read(NAME), cache.read(OTHER)) == (b"code", b"")
    cache.keep(NAME, b"other code")
    assert cache.read(NAME) == b"other code"
    assert cache.size() == (2, sum(file.stat().st_size for file in folder.iterdir()))


def test_a_file_is_not_read_under_another_name(folder: Path) -> None:
    cache.keep(NAME, b"code")
    (file,) = folder.iterdir()
    file.rename(folder / file.name.replace("a", "b"))
    assert cache.read(OTHER) is None


def test_the_folder_and_its_files_are_for_their_owner_alone(folder: Path) -> None:
    cache.keep(NAME, b"code")
    (file,) = folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_files_used_longest_ago_make_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_MOST_BYTES", 3 * (32 + 100))
    now = time.time()
    for age, name in enumerate("abcd"):
        cache.keep(name * 40, bytes(100))
        os.utime(folder / f"{name * 40}.gradloom", (now - 100 + age,) * 2)
    assert cache.read("b" * 40) == bytes(100)  # which is now the last that was used
    cache.keep("e" * 40, bytes(100))
    kept = [name for name in "abcde" if cache.read(name * 40) is not None]
    assert kept == ["b", "d", "e"]


def test_what_a_killed_process_left_is_removed_after_a_while(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)
    for name, age in (("old", 7200.0), ("new", 0.0)):
        left = folder / f"{name}.gradloom-new"
        left.write_bytes(b"half")
        os.utime(left, (time.time() - age,) * 2)
    cache.keep(NAME, b"code")
    assert sorted(path.name[:3] for path in folder.iterdir()) == ["aaa", "new"]


def test_a_process_looks_for_room_at_first_and_then_after_much_was_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    monkeypatch.setattr(cache, "_make_room", lambda: looks.append(cache.size()[0]))
    monkeypatch.setattr(cache, "_MOST_BYTES", 64 * 1000)
    for k in range(25):
        cache.keep(f"{k:040}", bytes(100))
    assert looks == [1, 12, 23]


def test_clearing_removes_our_files_and_no_others(folder: Path) -> None:
    cache.keep(NAME, b"code")
    cache.keep(OTHER, b"code")
    (folder / "letter.txt").write_text("mine")
    assert cache.clear() == (2, 2 * (32 + 4))
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]
    assert cache.size() == (0, 0)


# --- where ----------------------------------------------------------------------------------------


def test_a_variable_names_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    assert cache.place() == tmp_path
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(cache.VARIABLE, "near")
    assert cache.place() == tmp_path / "near"
    monkeypatch.setenv(cache.VARIABLE, "~/far")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.place() == tmp_path / "far"


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    usual = cache.place()
    monkeypatch.setenv(cache.VARIABLE, "")
    assert cache.place() == usual
    assert usual is None or "gradloom" in usual.parts


def test_without_a_home_there_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache, "_told", set())
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where nobody has this uid
    assert cache.place() is None
    assert cache.size() == (0, 0)
    with pytest.warns(RuntimeWarning, match="no folder of yours for caches"):
        assert cache.read(NAME) is None


# --- whom to trust --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_nothing_is_read_from_a_folder_that_others_can_write(mode: int, folder: Path) -> None:
    cache.keep(NAME, b"code")
    folder.chmod(mode)
    with pytest.warns(RuntimeWarning, match=r"others can write to .*mine.*GRADLOOM_CACHE_DIR"):
        assert cache.read(NAME) is None
    cache.keep(OTHER, b"code")  # said once, and nothing is written either
    folder.chmod(0o700)
    assert (cache.read(NAME), cache.read(OTHER)) == (b"code", None)


@pytest.mark.parametrize("mode", [0o660, 0o606])
def test_nor_a_file_that_others_can_write(mode: int, folder: Path) -> None:
    cache.keep(NAME, b"code")
    (file,) = folder.iterdir()
    file.chmod(mode)
    assert cache.read(NAME) is None


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners here")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_nor_what_somebody_else_owns(
    what: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.keep(NAME, b"code")
    (file,) = folder.iterdir()
    theirs = (file if what == "file" else folder).stat().st_ino
    usual = cache._is_own

    def seen(found: os.stat_result) -> bool:
        values = list(found)
        values[4] = os.geteuid() + 1 if found.st_ino == theirs else found.st_uid
        return usual(os.stat_result(values))

    monkeypatch.setattr(cache, "_is_own", seen)
    if what == "folder":
        with pytest.warns(RuntimeWarning, match="or own it"):
            assert cache.read(NAME) is None
    else:
        assert cache.read(NAME) is None


# --- going on without -----------------------------------------------------------------------------


def test_a_folder_that_cannot_be_made_is_said_once(folder: Path) -> None:
    folder.parent.write_text("a file where a folder should be")
    with pytest.warns(RuntimeWarning, match=r"machine code is not kept.*can't be used"):
        assert cache.read(NAME) is None
    cache.keep(NAME, b"code")


def test_a_folder_that_is_only_read_serves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.keep(NAME, b"code")

    def refused(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "utime", refused)
    monkeypatch.setattr(cache.tempfile, "NamedTemporaryFile", refused)
    assert cache.read(NAME) == b"code"
    with pytest.warns(RuntimeWarning, match="can't be written .Permission denied"):
        cache.keep(OTHER, b"code")
    cache.keep(OTHER, b"code")


FULL = """\
import resource, signal, warnings
import engine
from engine.compiled import cache
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # as on a disk without room
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    assert engine.compile(lambda x: engine.sin(x) * 2.0)(0.0) == 0.0
assert len(told) == 1, told
assert "can't be written (File too large)" in str(told[0].message), told[0]
assert cache.size() == (0, 0)
"""

HOMELESS = """\
import os, warnings
import engine
os.path.expanduser = lambda path: path
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    assert engine.compile(lambda x: engine.sin(x) * 2.0)(0.0) == 0.0
assert ["no folder of yours" in str(w.message) for w in told] == [True], told
assert not os.path.exists("~")
"""

# A fork while LLVM is at work in another thread.
FORKED = """\
import os, signal, threading, time
import engine
from engine.compiled import objects
compiling, usual = threading.Event(), objects._target_machine
def slow(*level):
    compiling.set()
    time.sleep(0.5)
    return usual(*level)
engine.compile(engine.exp)(0.0)
thread = threading.Thread(target=engine.compile(lambda x: engine.sin(x) - 9.125), args=(0.0,))
objects._target_machine = slow
objects.cache.read = lambda name: None
thread.start()
compiling.wait()
child = os.fork()
if child == 0:
    signal.alarm(200)
    objects._target_machine = usual
    y = engine.Value(1.0) * 2.0
    y.backward()
    os._exit(0 if engine.compile(lambda x: engine.cos(x) + 1.25)(0.0) == 2.25 else 1)
code = os.waitpid(child, 0)[1]
thread.join()
assert code == 0, code
"""

# A fork while another thread is in a call of the very program that the child calls.
FORKED_IN_A_CALL = """\
import os, signal, threading, time
import engine
inside, go_on = threading.Event(), threading.Event()
def f(x):
    if threading.current_thread() is not threading.main_thread():
        inside.set()
        go_on.wait(200)
    return x * 2.0
program = engine.compile(f)
thread = threading.Thread(target=program, args=(1.0,))
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    signal.alarm(200)
    os._exit(0 if program(3.0) == 6.0 else 1)
code = os.waitpid(child, 0)[1]
go_on.set()
thread.join()
assert code == 0, code
"""


def run(script: str, folder: Path, **environment: str) -> None:
    """Run a script with a cache folder of its own, and have it end well."""
    inherited = {k: x for k, x in os.environ.items() if k not in ("NUMBA_DISABLE_JIT", "HOME")}
    inherited.pop("XDG_CACHE_HOME", None)
    variables = {**inherited, cache.VARIABLE: str(folder), **environment}
    variables["PYTHONPATH"] = str(ROOT)
    folder.mkdir(exist_ok=True, mode=0o700, parents=True)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(
        command, env=variables, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_full_disk_costs_the_cache_and_nothing_else(tmp_path: Path) -> None:
    run(FULL, tmp_path / "cache")


@pytest.mark.slow
def test_a_process_without_a_home_computes(tmp_path: Path) -> None:
    run(HOMELESS, tmp_path / "cache", **{cache.VARIABLE: ""})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.parametrize("script", [FORKED, FORKED_IN_A_CALL], ids=["compiles", "is in a call"])
def test_a_child_forked_while_a_thread(script: str, tmp_path: Path) -> None:
    run(script, cache.place() or tmp_path)
