"""The command line, and the unit-circle program behind it."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from nn.cli import main
from nn.data import split, unit_circle

SHORT = ["run", "unit-circle", "--points", "60", "--epochs", "3"]


def test_list_names_the_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().out.startswith("unit-circle ")


def test_json_is_one_object_on_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SHORT, "--json", "--seed", "3"]) == 0
    out, err = capsys.readouterr()
    figures = json.loads(out.splitlines()[-1])
    assert list(figures) == [
        *("program", "path", "seed", "points", "epochs", "steps", "seconds", "train_loss"),
        *("test_loss", "train_accuracy", "test_accuracy", "batches", "false_positives"),
        *(
            "false_negatives",
            "gradient_difference",
            "scalar_step_seconds",
            "vectorised_step_seconds",
        ),
    ]
    assert (figures["program"], figures["path"], figures["seed"]) == (
        "unit-circle",
        "vectorised",
        3,
    )
    assert (figures["points"], figures["epochs"], figures["steps"]) == (60, 3, 3)
    assert figures["gradient_difference"] < 1e-12
    assert err == ""


def test_the_same_seed_gives_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for _ in range(2):
        main([*SHORT, "--json"])
        figures = json.loads(capsys.readouterr().out)
        outputs.append({name: x for name, x in figures.items() if "seconds" not in name})
    assert outputs[0] == outputs[1]


def test_pictures_are_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "pictures"
    assert main([*SHORT, "--out", str(folder)]) == 0
    out, err = capsys.readouterr()
    names = {"unit-circle-loss.png", "unit-circle-boundary.png", "unit-circle-graph.svg"}
    assert {path.name for path in folder.iterdir()} == names
    assert all(str(folder / name) in out for name in names)
    assert "times as fast" in out and "always answering 0" in out
    assert "100%" in err  # the progress bar


def test_a_program_has_options_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "mnist", "--help"])
    told = capsys.readouterr().out
    assert "--cost {cross-entropy,logistic}" in told and "--data PATH" in told
    assert "training data (default 10)" in told
    with pytest.raises(SystemExit):
        main(["run", "xor", "--help"])
    told = capsys.readouterr().out
    assert "--cost" not in told and "take or make (default 1,000)" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "unit-cirle"], "invalid choice: 'unit-cirle' (choose from"),
        (["run", "unit-circle", "--speed", "9"], "unrecognized arguments: --speed 9"),
        (["run", "unit-circle", "--points", "many"], "'many' is no whole number"),
        (["run", "unit-circle", "--points", "0"], "it is at least 1, not 0"),
        (["run", "xor", "--cost", "logistic"], "unrecognized arguments: --cost logistic"),
        (["run", "mnist", "--cost", "none"], "invalid choice: 'none'"),
        ([], "arguments are required: COMMAND"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "unit-circle", "--points", "1"], "too few to split"),
    ],
)
def test_what_can_not_run_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    _, err = capsys.readouterr()
    assert err.startswith("gradloom: ") and message in err and err.count("\n") == 1


def test_a_folder_that_can_not_be_written_is_named_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert main([*SHORT, "--out", str(blocked / "pictures")]) == 1
    out, err = capsys.readouterr()
    assert f"can't write to {blocked / 'pictures'}: Not a directory" in err and out == ""
    if os.geteuid() != 0:  # root may write anywhere
        blocked = tmp_path / "closed"
        blocked.mkdir(mode=0o500)
        assert main([*SHORT, "--out", str(blocked)]) == 1
        assert "Permission denied" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nn.programs.unit_circle.run", interrupt)
    assert main(SHORT) == 130
    assert capsys.readouterr().err == "gradloom: stopped\n"


def test_without_matplotlib_the_error_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main([*SHORT, "--out", str(tmp_path)]) == 1
    assert "pip install 'gradloom[plot]'" in capsys.readouterr().err


def test_without_tqdm_plain_lines_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert main([*SHORT, "--points", "200"]) == 0
    assert " %  loss" in capsys.readouterr().out


def test_the_default_run_beats_always_answering_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "unit-circle", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    *_, held_out = split(*unit_circle(figures["points"], seed=0), 0.8, seed=0)
    assert figures["test_accuracy"] > np.mean(held_out == 0.0) > 0.9
