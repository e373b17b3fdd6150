"""`gradloom sweep`: many runs of a program, a table of them, and going on after a kill."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nn import sweeping
from nn.cli import main
from nn.programs import Options, load

GRID = {"seed": [0, 1, 2], "epochs": [3], "points": [40], "lr": [0.01, 0.1]}
SWEEP = ["sweep", "unit-circle", "--points", "40", "--epochs", "3", "--seeds", "0:3"]


def swept(grid: Any, folder: Path) -> Any:
    return sweeping.sweep("unit-circle", "auto", grid, folder, None, progress=False)


def test_each_run_is_the_one_that_run_does(tmp_path: Path) -> None:
    rows = swept(GRID, tmp_path)
    assert [(row["seed"], row["lr"]) for row in rows] == [
        (seed, lr) for seed in GRID["seed"] for lr in GRID["lr"]
    ]
    options = Options(seed=2, epochs=3, points=40, lr=0.1, quiet=True)
    figures = load("unit-circle").run(options).figures
    [row] = [row for row in rows if (row["seed"], row["lr"]) == (2, 0.1)]
    assert row["test_loss"] == figures["test_loss"]
    assert row["error"] is None
    with (tmp_path / "runs.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [float(line["test_loss"]) for line in written] == [row["test_loss"] for row in rows]
    assert not any("seconds" in name for name in written[0])


def test_only_what_is_missing_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = GRID | {"lr": [0.1]}
    swept(small, tmp_path)
    kept = tmp_path / "runs.jsonl"
    with kept.open("a") as file:
        file.write('{"key": "cut sho')  # by a kill
    done: list[Any] = []
    usual = sweeping.one

    def watched(*given: Any) -> Any:
        done.append(given[-1]["lr"])
        return usual(*given)

    monkeypatch.setattr(sweeping, "one", watched)
    rows = swept(GRID, tmp_path)
    assert done == [0.01] * 3
    assert rows == swept(GRID, tmp_path / "other")
    monkeypatch.setattr(sweeping.spreading, "version", lambda: "another")
    swept(small, tmp_path)
    assert done[-3:] == [0.1] * 3, "runs of another version were taken for ours"


def test_a_run_that_fails_is_told_and_loses_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, usual = load("unit-circle"), load("unit-circle").run

    def run(options: Options) -> Any:
        if options.seed == 1:
            raise ZeroDivisionError("of this seed\nand more")
        return usual(options)

    monkeypatch.setattr(module, "run", run)
    rows = swept(GRID, tmp_path)
    lines = sweeping.table(rows, GRID).splitlines()
    assert lines[0].split()[:2] == ["lr", "runs"]
    assert [line.split()[1] for line in lines[1:3]] == ["2/3", "2/3"]
    assert lines[-2:] == [
        f"failed     seed 1, lr {lr}: ZeroDivisionError: of this seed" for lr in (0.01, 0.1)
    ]


def rows_of(*figures: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"error": None, **row} for row in figures]


def test_the_table_has_medians_and_the_best_first() -> None:
    nan = float("nan")
    rows = rows_of(
        *({"seed": s, "lr": 1.0, "test_loss": x} for s, x in enumerate((3.0, 1.0, 2.0))),
        *({"seed": s, "lr": 2.0, "test_loss": x} for s, x in enumerate((9.0, 0.5, 0.25))),
        *({"seed": s, "lr": 3.0, "test_loss": x} for s, x in enumerate((nan, nan, 0.1))),
    )
    grid = {"seed": [0, 1, 2], "lr": [1.0, 2.0, 3.0]}
    lines = [line.split() for line in sweeping.table(rows, grid).splitlines()]
    assert lines[:4] == [
        ["lr", "runs", "test_loss"],
        ["2", "3/3", "0.5"],
        ["1", "3/3", "2"],
        ["3", "3/3", "inf"],
    ]


def test_accuracies_are_better_where_they_are_higher() -> None:
    rows = rows_of(
        {"seed": 0, "lr": 1.0, "test_loss": 1.0, "test_accuracy": 0.5},
        {"seed": 0, "lr": 2.0, "test_loss": 2.0, "test_accuracy": 0.75},
    )
    grid = {"seed": [0], "lr": [1.0, 2.0]}
    assert sweeping.table(rows, grid).splitlines()[1].split()[0] == "1"
    best = sweeping.table(rows, grid, "test_accuracy").splitlines()[1].split()
    assert best == ["2", "1/1", "2", "0.75"]
    with pytest.raises(ValueError, match="no run has a number 'loss'; there are test_accuracy, t"):
        sweeping.table(rows, grid, "loss")


def test_a_file_that_is_no_sweep_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text("my notes\n")
    with pytest.raises(ValueError, match=r"line 1 of .*runs.jsonl is no run of a sweep"):
        swept(GRID, tmp_path)
    assert (tmp_path / "runs.jsonl").read_text() == "my notes\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seeds", "4:4"], "from 4 to before 4 there are no seeds"),
        (["--seeds", "a:4"], "'a' is no whole number"),
        (["--lr", "0.1,0"], "a learning rate is above 0, not 0"),
        (["--lr", "nan"], "a learning rate is above 0, not nan"),
        (["--epochs", "3,-1"], "it is at least 0, not -1"),
        (["--workers", "0"], "it is at least 1, not 0"),
        (["--workers", "2", "--scheduler", "x"], "not allowed with"),
    ],
)
def test_wrong_options_are_refused(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*SWEEP, *options])
    assert words in capsys.readouterr().err


def test_choices_are_tried_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sweep", "neuron", "--activation", "linear,tanh"])
    assert "'tanh' is none of sigmoid, linear" in capsys.readouterr().err


def test_a_folder_that_can_not_be_written_is_told_before_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main([*SWEEP, "--out", str(tmp_path / "file" / "x"), "--workers", "1"]) == 1
    assert "gradloom: can't write to" in capsys.readouterr().err


def test_run_takes_a_learning_rate_where_a_program_has_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    short = ["run", "unit-circle", "--points", "40", "--epochs", "3", "--json"]
    losses = []
    for more in ([], ["--lr", "0.2"]):
        assert main([*short, *more]) == 0
        losses.append(json.loads(capsys.readouterr().out)["train_loss"])
    assert losses[0] != losses[1]
    with pytest.raises(SystemExit):
        main(["run", "names-gpt", "--lr", "0.1"])
    assert "unrecognized arguments: --lr" in capsys.readouterr().err


@pytest.mark.distributed
def test_a_sweep_that_is_killed_goes_on_to_the_same_table(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nn.cli", *SWEEP, "--lr", "0.01,0.1", "--workers", "2"]

    def said(folder: Path) -> tuple[list[str], bytes]:
        out = subprocess.run([*command, "--out", str(folder)], capture_output=True, text=True)
        assert out.returncode == 0, out.stderr
        return out.stdout.splitlines()[:-1], (folder / "runs.csv").read_bytes()

    expected = said(tmp_path / "whole")
    folder = tmp_path / "killed"
    log = folder / "runs.jsonl"
    with (tmp_path / "err").open("w") as err:
        started = subprocess.Popen([*command, "--out", str(folder)], stderr=err)
        while not (log.exists() and log.read_text().count("\n")):
            assert started.poll() is None
            time.sleep(0.01)
        os.kill(started.pid, signal.SIGKILL)
        started.wait()
    before = log.read_text().splitlines()
    assert said(folder) == expected
    after = log.read_text().splitlines()
    assert len(after) == 6
    assert len({json.loads(line)["key"] for line in after}) == 6
    assert after[: len(before) - 1] == before[:-1]


@pytest.mark.distributed
def test_a_sweep_over_dask(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    script = (
        "import sys\nfrom distributed import LocalCluster\nfrom nn.cli import main\n"
        "if __name__ == '__main__':\n"
        "    with LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:\n"
        "        main([*sys.argv[1:], '--scheduler', cluster.scheduler_address])\n"
    )
    (tmp_path / "script.py").write_text(script)
    given = [*SWEEP, "--lr", "0.01,0.1", "--out"]
    over_dask = [sys.executable, str(tmp_path / "script.py"), *given, str(tmp_path / "dask")]
    over_processes = [sys.executable, "-m", "nn.cli", *given, str(tmp_path / "own")]
    for command in (over_dask, over_processes):
        subprocess.run(command, check=True, capture_output=True)
    tables = [(tmp_path / name / "runs.csv").read_text() for name in ("dask", "own")]
    assert tables[0] == tables[1]
