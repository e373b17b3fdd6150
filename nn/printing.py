"""What a command prints, wherever it goes: in any encoding, and where nobody reads to the end."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
import unicodedata
from collections.abc import Callable

from engine import DrawingError, GraphError

_TOLD = (ValueError, OSError, ImportError, DrawingError, GraphError)  # they say what to do
NOBODY_READS = 141  # as shells report a process that a closed pipe ended
_ERRORS = "gradloom.lookalike"
_LOOKALIKES = dict.fromkeys("├└┌┬┴┼", "+") | dict.fromkeys("─−–—", "-")
_LOOKALIKES |= {"│": "|", "→": "->", "←": "<-", "×": "x", "·": "*", "…": "...", "∂": "d"}
_LOOKALIKES |= {"≤": "<=", "≥": ">=", "≈": "~", "∞": "inf", "μ": "u", "½": "1/2", "Σ": "sum"}


def to_the_end(work: Callable[[], int]) -> int:
    """Do what prints, and return the exit code that it returns, with all of it written.

    Characters that an output's encoding lacks are written as ASCII that looks like them. Where
    nobody reads on it ends quietly, and where there is no room it says so.
    """
    streams = [x for x in (sys.stdout, sys.stderr) if isinstance(x, io.TextIOWrapper)]
    before = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors=_ERRORS)
    try:
        try:
            return work()
        finally:
            for stream in streams:
                stream.flush()
    except OSError as error:
        for stream in streams:
            _give_up(stream)
        if isinstance(error, BrokenPipeError):
            return NOBODY_READS
        print(f"gradloom: can't write: {error.strerror or error}", file=sys.stderr)
        return 1
    finally:
        for stream, errors in zip(streams, before, strict=True):
            stream.reconfigure(errors=errors)


def failed(text: str) -> int:
    """Say what went wrong, and return the exit code of that."""
    print(f"gradloom: {text}", file=sys.stderr)
    return 1


def in_a_line(
    work: Callable[[], int],
    errors: tuple[type[Exception], ...] = _TOLD,
    *,
    fail: Callable[[str], int] = failed,
    stopped: str = "stopped",
) -> int:
    """Do it, and return its exit code; some errors, and Ctrl-C, are told in a line."""
    try:
        return work()
    except errors as error:
        if isinstance(error, BrokenPipeError) or getattr(error, "errno", 0) == errno.ENOSPC:
            raise  # which `to_the_end` tells
        return fail(str(error))
    except KeyboardInterrupt:
        if stopped:
            print(f"gradloom: {stopped}", file=sys.stderr)
        return 130  # as shells report an interrupt


def _give_up(stream: io.TextIOWrapper) -> None:
    """Have what a stream could not write go nowhere: at its end Python would try it again."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _lookalike(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    given = error.object[error.start : error.end]
    return "".join(map(_in_ascii, given)), error.end


def _in_ascii(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _LOOKALIKES.get(character) or plain or "?"


codecs.register_error(_ERRORS, _lookalike)
