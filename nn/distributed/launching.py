"""`gradloom run PROGRAM --mpi N`: mpiexec started, listened to, and spoken for.

The ranks run the same command, and leave notes in a folder: which process each is, and what it
failed by. What mpiexec says of a rank that died is kept from the user, who is told instead which
one it was and what to do.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from nn.distributed.groups import Group
from nn.distributed.ranks import mpi

_NOTES = "GRADLOOM_MPI_NOTES"
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
_PASSED_ON = (signal.SIGINT, signal.SIGTERM)


def launch(ranks: int, arguments: Sequence[str], checkpoint: Path | None) -> int:
    """Run a command of ours on so many ranks of this machine; return its exit code.

    `checkpoint` is where the command saves, to be told where a rank dies. Raises ImportError
    without mpiexec.
    """
    mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
    mpiexec = mpiexec or shutil.which("mpiexec")
    if mpiexec is None:
        raise ImportError("--mpi needs mpiexec: pip install 'gradloom[distributed]'")
    rank = [sys.executable, "-m", "mpi4py", "-m", "nn.cli", *arguments]
    with tempfile.TemporaryDirectory() as notes:
        process = subprocess.Popen(
            [mpiexec, "-n", str(ranks), *rank],
            env={**_ONE_THREAD, **os.environ, _NOTES: notes},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            process_group=0,  # Ctrl-C comes from here, once
        )
        before = {number: signal.getsignal(number) for number in _PASSED_ON}
        try:
            for number in _PASSED_ON:
                signal.signal(number, lambda number, _: process.send_signal(number))
            assert process.stdout is not None
            end: list[str] = []
            for line in _without_end(process.stdout, end):
                print(line, end="", flush=True)
            code = process.wait()
        finally:
            process.kill()
            for number, handler in before.items():
                signal.signal(number, handler)
        if code:
            print(_told(Path(notes), ranks, code, "".join(end), checkpoint), file=sys.stderr)
    return code if code in (0, 130) else 1


def _without_end(lines: Iterable[str], end: list[str]) -> Iterator[str]:
    """The lines of ranks; what mpiexec says at the end of a rank is put into `end`."""
    held: list[str] = []
    for line in lines:
        if end or "BAD TERMINATION" in line:
            end += [*held, line]
            held.clear()
        elif not line.strip() or set(line.strip()) == {"="}:
            held.append(line)
        elif not line.startswith("[mpiexec@"):
            yield from [*held, line]
            held.clear()
    yield from held


def _told(notes: Path, ranks: int, code: int, end: str, checkpoint: Path | None) -> str:
    """What is said of a run that failed."""
    pids = {note.read_text(): note for note in notes.glob("*.pid")}
    found = re.search(r"PID (\d+) RUNNING AT .*\n=\s+EXIT CODE: (\d+)", end)
    errors = sorted(notes.glob("*.error"))
    if errors:
        return f"gradloom: {errors[0].read_text()}"
    if code == 130:
        return "gradloom: stopped"
    who, how = "a rank", f"ended with {code}"
    if found is not None:
        if found[1] in pids:
            who = f"rank {pids[found[1]].stem} of {ranks}"
        number = int(found[2])
        known = number in {*signal.Signals}
        how = f"was killed ({signal.Signals(number).name})" if known else f"ended with {number}"
        if number == signal.SIGKILL:
            how += ", perhaps since memory ran out,"
    what = (
        f"Run the same command again: it goes on from {checkpoint}, to the same weights"
        if checkpoint is not None
        else "With --checkpoint DIR the same command goes on after such an end where it was"
    )
    return f"gradloom: {who} {how} and MPI ended the run. {what}"


# --- in a rank -----------------------------------------------------------------------------------


def joined() -> Group | None:
    """The group of the ranks that were launched, if this is one of them."""
    if _NOTES not in os.environ:
        return None
    group = mpi()
    _note(group, "pid", str(os.getpid()))
    return group


def give_up(group: Group, text: str) -> NoReturn:
    """End this rank, and with it all of them, with a text for the user."""
    _note(group, "error", text)
    sys.stdout.flush()
    os._exit(1)


def _note(group: Group, kind: str, text: str) -> None:
    path = Path(os.environ[_NOTES], f"{group.rank}.{kind}")
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)
