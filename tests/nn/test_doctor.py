"""`gradloom doctor`: what it says where things are well, and where they are not."""

import importlib.metadata
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.compiled import cache
from engine.drawing import render
from nn import cli, doctor

HOUSE = Path(__file__).parents[2]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_TESTS", {"an eager gradient": doctor._TESTS["an eager gradient"]})


def problems() -> dict[str, str]:
    return {line.name: line.problem for line in doctor.examined().problems}


def test_all_is_well_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] and told["this"][0]["text"] == engine.__version__
    assert all("passed" in line["text"] for line in told["self-test"])
    assert len(told["self-test"]) == 5
    packages = {line["name"]: line["text"] for line in told["packages"]}
    needed = [name for name, text in packages.items() if "(needed)" in text]
    assert {"numpy", "numba", "llvmlite", "graphviz"} <= {*needed}
    assert "extra blas" in packages["scipy"] and "pytest" not in packages


@pytest.mark.usefixtures("quick")
def test_every_extra_for_users_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    extras = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    stated = {
        extra: [f"{item}; extra == '{extra}'" for item in items]
        for extra, items in extras["optional-dependencies"].items()
    }
    all_of_them = [item for items in stated.values() for item in items]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: all_of_them)
    told = " ".join(line.text for line in doctor.examined().parts["packages"])
    known = {extra for extra in stated if f"extra {extra}" in told}
    assert known | {*doctor._FOR_WORK_ON_IT} == {*stated}
    assert {"blas", "distributed", "exact"} <= known


@pytest.mark.usefixtures("quick")
def test_all_namesakes_are_in_the_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").mkdir()
    for folder in (tmp_path, tmp_path / "a"):
        (folder / "nn.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "a")
    assert cli.main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)["where engine and nn come from"]
    assert [line["name"] for line in told].count("another nn") == 2


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["nn.py", "engine/__init__.py"])
def test_a_namesake_in_the_folder_is_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).touch()
    assert cli.main(["doctor"]) == 1
    found = name.split("/")[0]
    said = capsys.readouterr().out
    assert f"! another {found[:-3] if '.' in found else found}" in said
    assert f"scripts and notebooks here import it instead of ours: rename {found}" in said
    assert said.splitlines()[-1] == "1 problem, marked by !"


@pytest.mark.usefixtures("quick")
def test_a_namesake_earlier_on_the_path_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nn").mkdir()  # without __init__: a folder that Python passes by
    (tmp_path / "engine.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    told = problems()
    assert "another nn" not in told and f"take {tmp_path} from sys.path" in told["another engine"]


@pytest.mark.usefixtures("quick")
def test_another_distribution_with_our_names_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"nn": ["gradloom", "nn-tools"], "engine": ["gradloom"]}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: owners)
    assert problems()["nn"].startswith("nn-tools installs a package nn, too")


@pytest.mark.usefixtures("quick")
def test_what_is_missing_broken_or_old_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version
    versions = {"numba": "0.10.2", "scipy": None, "graphviz": None}

    def version(name: str) -> str:
        found = versions.get(name, "")
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found or real(name)

    def load(name: str) -> Any:
        if name == "llvmlite":
            raise OSError("libffi is not there\nand more")

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(doctor.importlib, "import_module", load)
    report = doctor.examined()
    told = {line.name: line for line in report.parts["packages"]}
    assert told["numba"].problem.startswith("too old: pip install 'numba>=")
    assert told["graphviz"].problem.startswith("pip install 'graphviz>=")
    assert told["llvmlite"].problem == "it can't be imported: OSError: libffi is not there"
    assert "not installed (extra blas: pip install 'gradloom[blas]')" in told["scipy"].text
    assert not told["scipy"].problem  # one can do without


@pytest.mark.usefixtures("quick")
def test_a_cache_that_cant_be_used_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file"))
    assert "can't be used" in problems()["cache"]
    read_only = tmp_path / "read"
    read_only.mkdir(0o700)
    monkeypatch.setenv(cache.VARIABLE, str(read_only))
    monkeypatch.setattr(os, "access", lambda *given: False)
    assert "can't be written to" in problems()["cache"]
    assert cache._folder() == read_only  # what is there is read
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setenv(cache.VARIABLE, str(open_to_all))
    assert "others can write" in problems()["cache"]


@pytest.mark.usefixtures("quick")
def test_drawing_without_a_program_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "renderer", lambda: None)
    assert problems() == {"renderer": render.HINT}


def test_a_test_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any, **named: Any) -> Any:
        raise RuntimeError("no machine code today\n  and a long text")

    monkeypatch.setattr(engine, "compile", broken)
    monkeypatch.setitem(doctor._TESTS, "training", lambda: "a line was not found")
    told = problems()
    assert told["a compiled one"] == "RuntimeError: no machine code today"
    assert told["training"] == "a line was not found" and "an eager gradient" not in told
