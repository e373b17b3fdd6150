"""Checkpoints of training: processes that are really killed, and go on to the same weights."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nn
from nn import checkpoints
from nn.saving import write_arrays

# A run as a user would write it, with all that has a state; `folder` and `path` are arguments.
RUN = """
    import random
    import sys
    import time

    import numpy as np

    import nn
    from nn import checkpoints, metrics

    checkpoints.SAVE_SECONDS = checkpoints._SHARE = 0  # whenever it can be

    def run(path, folder=None, epochs=40, tell=False):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(30, 2))
        y = (X[:, :1] * X[:, 1:] > 0).astype(float)
        model = nn.Sequential(
            nn.Linear(2, 6, rng=random.Random(0)),
            nn.Tanh(),
            nn.Dropout(0.2),
            nn.Linear(6, 1, rng=random.Random(1)),
            nn.Sigmoid(),
        )
        optimizer = nn.Adam(model.parameters(), lr=0.05)
        loader = nn.DataLoader(
            nn.TensorDataset(X, y), batch_size=7, shuffle=True, generator=random.Random(3)
        )

        def slow(epoch, history):
            if tell:
                print(epoch, flush=True)
                time.sleep(0.01)

        history = nn.fit(
            model,
            loader,
            loss=nn.BCELoss(),
            optimizer=optimizer,
            scheduler=nn.StepLR(optimizer, step_size=25, gamma=0.9, interval="step"),
            epochs=epochs,
            path=path,
            l2=1e-3,
            validation_data=(X[:10], y[:10]),
            metrics=[metrics.accuracy],
            early_stopping=nn.EarlyStopping(monitor="val_loss"),
            callbacks=[slow],
            progress=False,
            checkpoint=folder,
        )
        return history, [p.data.hex() for p in model.parameters()]
"""
names: dict[str, Any] = {}
exec(textwrap.dedent(RUN), names)
run = names["run"]
checkpoints.SAVE_SECONDS, checkpoints._SHARE = 10.0, 20


def start(path: str, folder: Path) -> subprocess.Popen[str]:
    """The same in a process of its own, which tells each epoch that is over."""
    call = "\nimport signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
    call += f"\nrun({path!r}, {str(folder)!r}, tell=True)\nprint('the end')\n"
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RUN) + call],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(nn.__file__).parents[1])},
    )


@pytest.mark.parametrize("path", ["scalar", "vectorised"])
def test_a_run_that_is_killed_goes_on_to_the_very_same_weights(path: str, tmp_path: Path) -> None:
    delays = random.Random(0)
    lines: list[str] = []
    for _ in range(2):
        process = start(path, tmp_path)
        assert process.stdout is not None
        count = delays.randrange(8, 14)
        lines += [process.stdout.readline().strip() for _ in range(count)]
        process.kill()
        process.wait()
        process.stdout.close()
        assert process.returncode == -signal.SIGKILL
    assert "the end" not in lines
    history, weights = run(path, tmp_path)
    expected_history, expected = run(path)
    assert weights == expected
    for name in ("step_loss", "loss", "val_loss", "metrics", "evaluated", "best_epoch"):
        assert getattr(history, name) == getattr(expected_history, name), name
    # and it did go on: the second process began where the first had been
    begun = lines.index("0") if lines.count("0") == 1 else -1
    assert begun == 0 and len(lines) > 10


def test_ctrl_c_saves_and_the_run_goes_on(tmp_path: Path) -> None:
    process = start("vectorised", tmp_path)
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read().split("\n")
    process.stdout.close()
    assert process.wait() == 0 and "the end" in rest  # fit returned
    assert "39" not in rest
    assert run("vectorised", tmp_path)[1] == run("vectorised")[1]


def test_more_epochs_go_on_with_a_run_that_had_ended(tmp_path: Path) -> None:
    for epochs in (4, 4, 9, 3):
        history, weights = run("vectorised", tmp_path, epochs)
    assert len(history.loss) == 9  # asked for fewer, it stays as it is
    assert weights == run("vectorised", epochs=9)[1]


def test_a_run_that_stopped_early_stays_stopped(tmp_path: Path) -> None:
    def train() -> tuple[nn.History, list[float]]:
        model = nn.Sequential(nn.Linear(1, 1, rng=random.Random(0)))
        history = nn.fit(
            model,
            *([[1.0], [2.0]], [[1.0], [2.0]]),
            loss=nn.MSELoss(),
            optimizer=nn.SGD(model.parameters(), lr=0.0),
            epochs=20,
            validation_data=([[1.0]], [[1.0]]),
            early_stopping=nn.EarlyStopping(patience=2),
            progress=False,
            checkpoint=tmp_path,
        )
        return history, [p.data for p in model.parameters()]

    first, again = train(), train()
    assert first[0].stopped == again[0].stopped == "val_loss has not improved since epoch 1"
    assert (len(again[0].loss), again[1]) == (3, first[1])


def line(folder: Path, **changes: Any) -> tuple[nn.History, nn.Sequential]:
    model = nn.Sequential(nn.Linear(1, changes.pop("width", 1), rng=random.Random(0)))
    make = changes.pop("optimizer", nn.SGD)
    X = np.linspace(0.0, 1.0, 6)[:, None]
    options = {"loss": nn.MSELoss(), "epochs": 2, "progress": False, "checkpoint": folder}
    options |= {"y": np.tile(X, len(model[0].weight)), "X": X, **changes}  # type: ignore[arg-type]
    try:
        optimizer = make(model.parameters(), lr=0.1)
        return nn.fit(model, optimizer=optimizer, **options), model  # type: ignore[call-overload]
    except Exception as error:
        error.model = model  # type: ignore[attr-defined]
        raise


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"width": 2}, "number of parameters is 2, here it is 4"),
        ({"X": np.linspace(0.0, 2.0, 6)[:, None]}, "its examples is"),
        ({"optimizer": nn.Adam}, "its optimiser is 'SGD', here it is 'Adam'"),
        ({"batch_size": 2}, "batch size is 6, here it is 2"),
        ({"shuffle": True}, "order is 'as given', here it is 'shuffled'"),
        ({"seed": 1}, "seed is 0, here it is 1"),
        ({"l2": 0.1}, "l2 is 0.0, here it is 0.1"),
        ({"path": "scalar"}, "path is 'vectorised', here it is 'scalar'"),
        ({"loss": nn.L1Loss()}, "loss is"),
        ({"dtype": np.float32}, "dtype is 'float64', here it is 'float32'"),
    ],
    ids=str,
)
def test_a_checkpoint_of_another_run_is_refused(
    changes: dict[str, Any], what: str, tmp_path: Path
) -> None:
    line(tmp_path)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(nn.CheckpointError, match=f"another run.*{what}") as caught:
        line(tmp_path, **changes)
    untouched = nn.Linear(1, changes.get("width", 1), rng=random.Random(0))
    now = [p.data for p in caught.value.model.parameters()]  # type: ignore[attr-defined]
    assert now == [p.data for p in untouched.parameters()]
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_damaged_checkpoint_is_an_error_that_changes_nothing(tmp_path: Path) -> None:
    line(tmp_path)
    file = tmp_path / "checkpoint.safetensors"
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    for content in (b"", whole[:100], whole[:-1], bytes(flipped), b"\x80\x04N."):
        file.write_bytes(content)
        with pytest.raises(nn.CheckpointError, match=r"checkpoint\.safetensors") as caught:
            line(tmp_path)
        now = [p.data for p in caught.value.model.parameters()]  # type: ignore[attr-defined]
        assert now == [p.data for p in nn.Linear(1, 1, rng=random.Random(0)).parameters()]
    write_arrays(file, {"0.weight": np.zeros((1, 1))}, {"kind": "a model"})
    with pytest.raises(nn.CheckpointError, match="no checkpoint of a training run"):
        line(tmp_path)


def test_what_a_kill_in_the_middle_of_writing_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint.safetensors.0123456789abcdef").write_bytes(b"half of a")
    (tmp_path / "notes.txt").write_text("mine")
    line(tmp_path)
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"checkpoint.safetensors", "notes.txt"}


def test_single_precision_goes_on_as_well(tmp_path: Path) -> None:
    def train(epochs: int, folder: Path | None) -> list[float]:
        _, model = line(folder, epochs=epochs, dtype=np.float32, optimizer=nn.Adam)  # type: ignore[arg-type]
        return [p.data for p in model.parameters()]

    train(3, tmp_path)
    assert train(7, tmp_path) == train(7, None)


def test_what_is_no_json_in_a_generator_survives(tmp_path: Path) -> None:
    run("vectorised", tmp_path, 2)
    _, about = checkpoints.read_arrays(tmp_path / "checkpoint.safetensors")
    version, numbers, gauss = json.loads(json.dumps(about["progress"]["generator"]))
    again = random.Random()
    again.setstate((version, tuple(numbers), gauss))
    assert len(numbers) == 625 and again.random() != random.Random(3).random()
