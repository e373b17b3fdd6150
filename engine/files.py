"""Writing files so that nothing is lost. This module imports nothing of the engine."""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody sees half of it, and nothing is lost if writing fails.

    The content is on the disk before it takes the place of the file, so that after a crash, or a
    loss of power, one finds the old file or the new one.

    Raises OSError as `open` does; the file is then as it was.
    """
    check_folder_of(path)
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def check_folder_of(path: Path) -> None:
    """Raise FileNotFoundError where there is no folder for a file that is to be written."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"can't write {path}: there is no folder {path.parent}")


def with_ending(path: str | os.PathLike[str], ending: str) -> Path:
    """A path with this ending, such as "html", if it has none."""
    path = Path(path)
    return path if path.suffix.strip(".") else path.with_name(f"{path.name.rstrip('.')}.{ending}")


def make_writable(folder: Path) -> None:
    """Make a folder, and try it: what can't be written is to be known before long work, not after.

    Raises OSError, naming the folder, where nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise type(error)(f"can't write to {folder}: {reason}") from None


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed in the middle of writing this file have left."""
    for left in path.parent.glob(f".{glob.escape(path.name[:200])}.{'[0-9a-f]' * 16}"):
        left.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can do that."""
    with contextlib.suppress(OSError):  # Windows opens no folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
