"""Commands print to the end: in any encoding, into pipes that are closed, on disks without room."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import engine

ROOT = Path(engine.__file__).parents[1]
MODEL = """\
import engine
w = engine.Value(2.0, label="ŵ₁")
def loss(x):
    return (w * x - 1.0) ** 2
"""


def run(arguments: Sequence[str], folder: Path, **options: object) -> subprocess.CompletedProcess:
    """The command line in a process of its own, in a folder with a model."""
    (folder / "model.py").write_text(MODEL, encoding="utf-8")
    encoding = str(options.pop("encoding", "utf-8"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "nn.cli", *arguments]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(command, cwd=folder, env=environment, check=False, **given)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437", "utf-8:strict"])
def test_a_tree_is_drawn_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    done = run(["draw", "model.py:loss", "--args", "2"], tmp_path, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode(encoding.partition(":")[0]).splitlines()
    assert lines[0] == "**2 = 9 (grad 1)"
    first = {"ascii": "+- -", "cp1252": "+- -", "latin-1": "+- -"}.get(encoding, "└─ -")
    assert lines[1].startswith(first)


@pytest.mark.parametrize("encoding", ["ascii", "utf-16"])
def test_what_says_its_own_encoding_keeps_it(encoding: str, tmp_path: Path) -> None:
    arguments = ["draw", "model.py:loss", "--args", "2", "--format", "dot"]
    done = run(arguments, tmp_path, encoding=encoding)
    assert "ŵ₁" in done.stdout.decode("utf-8")


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["cache"], ["draw", "model.py:loss", "--args", "2"]],
    ids=lambda given: given[0],
)
def test_a_closed_pipe_ends_a_command_quietly(arguments: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(arguments, tmp_path, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_problem_is_told_to_a_closed_pipe_quietly_too(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(["draw", "nowhere.py:loss"], tmp_path, stderr=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stdout) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk is full here")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(["list"], tmp_path, stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"gradloom: can't write: No space left on device\n"
