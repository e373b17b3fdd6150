"""What is built, and clean environments outside of the checkout to install it in.

Everything is in one folder; pip works as it is set up here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).parents[1]
CHECKS = HOUSE / "tests" / "package" / "checks.py"
BUILD = ("build>=1.2", "hatchling>=1.27", "twine>=6.1")
PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]


class Environment:
    """A virtual environment with nothing in it, of some Python."""

    def __init__(self, folder: Path, python: str, cache: Path) -> None:
        self._own = (
            python == sys.executable
        )  # whose pip serves; for another Python it may be too old
        run([python, "-m", "venv", *["--without-pip"] * self._own, str(folder)], folder.parent)
        self.folder = folder
        self.python = next(
            path for path in (folder / "bin/python", folder / "Scripts/python.exe") if path.exists()
        )
        self._cache = cache

    def install(self, *requirements: str, constraints: str = "constraints.txt") -> None:
        """Install wheels, an sdist, and what these need, not newer or older than a file says."""
        self._pip("install", "--no-compile", "-c", str(HOUSE / constraints), *requirements)

    def uninstall(self, *names: str) -> None:
        """Remove packages, but not what these needed."""
        self._pip("uninstall", "--yes", *names)

    def _pip(self, command: str, *arguments: str) -> None:
        pip = [str(self.python), "-m", "pip"]
        if self._own:
            pip = [sys.executable, "-m", "pip", "--python", str(self.python)]
        quiet = ["--quiet", "--disable-pip-version-check"]
        run([*pip, command, *quiet, *arguments], self.folder)

    def check(self, name: str, *arguments: str) -> Any:
        """Run one of the checks with this environment alone; return what it has to say."""
        # -I: neither the current folder nor PYTHONPATH is looked at. What old libraries call that
        # is deprecated by now is theirs.
        warned = ["-W", "error", "-W", "ignore::DeprecationWarning"]
        command = [str(self.python), "-I", *warned, str(CHECKS), name, *arguments]
        printed = run(command, self.folder, GRADLOOM_CACHE_DIR=str(self._cache))
        return json.loads(printed.splitlines()[-1])

    def installed(self) -> list[str]:
        """The files and folders that packages are in."""
        (places,) = {path.parent for path in self.folder.rglob("site-packages/.")}
        return sorted(path.name for path in (places / "site-packages").iterdir())


def run(command: Sequence[str], folder: Path, **variables: str) -> str:
    """Run a command outside of the checkout, have it succeed, and return what it printed."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "NUMBA_DISABLE_JIT", "COVERAGE_RCFILE")
    environment = {name: x for name, x in os.environ.items() if name not in dropped}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Workshop:
    """Where things are built, and environments stand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "cache").mkdir(mode=0o700)
        source, dist = folder / "source", folder / "dist"
        self.files = _copied(source)
        self.builder = self.environment("builder")
        self.builder.install(*BUILD)
        self.build(source, dist)
        (self.sdist,), (self.wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")

    def build(self, source: Path, dist: Path) -> None:
        """Make the sdist of a folder, and the wheel of what is in that."""
        command = [str(self.builder.python), "-m", "build", "--no-isolation", "--outdir", str(dist)]
        run([*command, str(source)], self.folder)

    def environment(self, name: str, python: str = sys.executable) -> Environment:
        """A new environment."""
        return Environment(self.folder / name, python, self.folder / "cache")


def _copied(target: Path) -> list[str]:
    """Copy the files that Git knows, or, of what was no checkout, those there are; name them."""
    if (HOUSE / ".git").exists():
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        found = run([*listed, "-z"], HOUSE).strip("\0").split("\0")
        files = [name for name in found if (HOUSE / name).is_file()]
    else:
        paths = [path.relative_to(HOUSE) for path in HOUSE.rglob("*") if path.is_file()]
        hidden = ("__pycache__", ".venv", "PKG-INFO")
        files = [str(path) for path in paths if not set(hidden) & {*path.parts}]
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HOUSE / name, target / name)
    return sorted(files)
