"""What is built and installed is what is tested: with core dependencies alone, with each extra, at
the lowest versions that are stated, without a compiler, and on every Python that is there."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import engine
from package.checks import OPTIONAL
from workshop import HOUSE, PROJECT, Environment, Workshop, run

EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
# Those with which the packages can do more, and what is checked; others are for working on them.
ABLE = ("blas", "viz", "viz-native", "plot", "progress", "io", "exact", "exchange", "sklearn")
ASIDE = ("oracle", "peers")  # of other projects' tests, a gigabyte and more
MODULES = {  # of the rest, what is imported
    "notebook": ("jupyterlab", "ipykernel", "ipywidgets", "nbclient", "nbconvert"),
    "browser": ("playwright",),
    "docs": ("sphinx", "furo", "myst_nb", "sphinx_copybutton", "sphinx_design"),
    "distributed": ("distributed", "cloudpickle", "mpi4py"),
    "test": ("pytest", "pytest_cov", "hypothesis"),
    "lint": ("ruff", "mypy", "importlinter"),
}
PYTHONS = ("3.12", "3.13", "3.14")


@pytest.fixture(scope="session")
def environment(workshop: Workshop) -> Environment:
    """The wheel, with core dependencies alone."""
    made = workshop.environment("wheel")
    made.install(str(workshop.wheel))
    return made


def of_packages(files: list[str]) -> list[str]:
    return [name for name in files if name.startswith(("engine/", "nn/", "pytest_gradloom.py"))]


# --- what is in them -----------------------------------------------------------------------------


def test_the_wheel_has_every_file_of_the_packages_and_no_other(workshop: Workshop) -> None:
    with zipfile.ZipFile(workshop.wheel) as wheel:
        packed = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert sorted(packed) == of_packages(workshop.files)


def test_the_sdist_has_every_file_of_the_checkout(workshop: Workshop) -> None:
    with tarfile.open(workshop.sdist) as sdist:
        packed = {name.partition("/")[2] for name in sdist.getnames()}
    assert {*workshop.files} - packed == set()


def test_the_same_files_give_the_same_bytes(workshop: Workshop) -> None:
    """Elsewhere, later, and by another order of files."""
    source, dist = workshop.folder / "elsewhere", workshop.folder / "again"
    for name in reversed(workshop.files):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HOUSE / name, source / name)
        os.utime(source / name, (1.7e9, 1.7e9))
    workshop.build(source, dist)
    for built in (workshop.sdist, workshop.wheel):
        assert (dist / built.name).read_bytes() == built.read_bytes(), built.name


def test_an_index_would_take_them(workshop: Workshop) -> None:
    assert workshop.wheel.stat().st_size < 2e6
    built = [str(workshop.wheel), str(workshop.sdist)]
    run([str(workshop.builder.python), "-m", "twine", "check", "--strict", *built], workshop.folder)
    with zipfile.ZipFile(workshop.wheel) as wheel:
        licences = [name for name in wheel.namelist() if ".dist-info/licenses/" in name]
    assert {Path(name).name for name in licences} == {"LICENSE", "SOURCE.md"}


# --- installed -----------------------------------------------------------------------------------


def test_the_wheel_works_with_core_dependencies_alone(
    environment: Environment, workshop: Workshop
) -> None:
    found = environment.check("core")
    assert found["run"] == "vectorised"
    modules = [name for name in of_packages(workshop.files) if name.endswith(".py")]
    named = {name.removesuffix(".py").replace("/", ".") for name in modules}
    packages = {name.removesuffix(".__init__") for name in named} - {
        "engine",
        "nn",
        "pytest_gradloom",
    }
    assert packages == {*found["modules"]}
    assert found["version"] == engine.__version__


def test_the_sdist_works_too_then_with_less_and_leaves_nothing(workshop: Workshop) -> None:
    made = workshop.environment("sdist")
    empty = made.installed()
    made.install(str(workshop.sdist))
    assert made.check("core")["run"] == "vectorised"
    made.uninstall("numba", "llvmlite", "graphviz")
    assert made.check("without_numba")["run"] == "scalar"
    made.uninstall("gradloom", "numpy", "platformdirs")
    assert made.installed() == empty


# --- extras --------------------------------------------------------------------------------------


def test_every_extra_is_looked_at() -> None:
    assert {*ABLE, *MODULES, *ASIDE} == {*EXTRAS}


@pytest.mark.parametrize("extra", [*ABLE, *MODULES])
def test_an_extra_works_alone(extra: str, workshop: Workshop) -> None:
    made = workshop.environment(f"extra-{extra}")
    made.install(f"{workshop.wheel}[{extra}]")
    try:
        if extra in ABLE:
            made.check(extra)
        else:
            made.check("imports", *MODULES[extra])
    finally:
        shutil.rmtree(made.folder)


# --- the lowest versions -------------------------------------------------------------------------


def floors() -> dict[str, str]:
    lines = (HOUSE / "floors.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_the_floors_are_those_that_the_project_states() -> None:
    stated = [*PROJECT["dependencies"], *(item for extra in ABLE for item in EXTRAS[extra])]
    assert dict(item.split(">=") for item in stated) == floors()


def test_what_the_packages_import_is_declared() -> None:
    declared = {re.split("[<>=]", item)[0] for item in PROJECT["dependencies"]} | {*OPTIONAL}
    imported = set()
    for file in (path for name in ("engine", "nn") for path in (HOUSE / name).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    assert imported - {"engine", "nn"} - sys.stdlib_module_names <= declared


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="floors are those of Python 3.11")
def test_the_lowest_versions_work(workshop: Workshop) -> None:
    made = workshop.environment("floors")
    made.install(f"{workshop.wheel}[{','.join(ABLE)}]", constraints="floors.txt")
    assert made.check("core")["run"] == "vectorised"
    for extra in ABLE:
        made.check(extra)


# --- other Pythons -------------------------------------------------------------------------------


def python(version: str) -> str | None:
    """A Python of this version, on the PATH or among pyenv's."""
    versions = Path.home() / ".pyenv" / "versions"
    places = [shutil.which(f"python{version}"), *versions.glob(f"{version}.*/bin/python")]
    for place in map(str, filter(None, places)):
        said = subprocess.run([place, "--version"], capture_output=True, text=True, check=False)
        if said.stdout.startswith(f"Python {version}."):
            return place
    return None


@pytest.mark.parametrize("version", PYTHONS)
def test_another_python_works(version: str, workshop: Workshop) -> None:
    found = python(version)
    if found is None:
        pytest.skip(f"there is no Python {version} here")
    made = workshop.environment(f"python-{version}", found)
    made.install(str(workshop.wheel))
    assert made.check("core")["run"] == "vectorised"
