"""Checkpoints of training: processes that are really killed, and go on to the same weights."""

import errno
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
from engine import Value
from nn import checkpoints, updates
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
    first = nn.Linear(1, changes.pop("width", 1), rng=random.Random(0))
    model = nn.Sequential(first, changes.pop("act", nn.Tanh()))
    make, schedule = changes.pop("optimizer", nn.SGD), changes.pop("schedule", None)
    settings = {"lr": 0.1, **{k: changes.pop(k) for k in ("lr", "momentum") if k in changes}}
    X = np.linspace(0.0, 1.0, 6)[:, None]
    options = {"loss": nn.MSELoss(), "epochs": 2, "progress": False, "checkpoint": folder}
    options |= {"y": np.tile(X, len(model[0].weight)), "X": X, **changes}  # type: ignore[arg-type]
    try:
        optimizer = make(model.parameters(), **settings)
        if schedule is not None:
            options["scheduler"] = schedule(optimizer)
        return nn.fit(model, optimizer=optimizer, **options), model  # type: ignore[call-overload]
    except Exception as error:
        error.model = model  # type: ignore[attr-defined]
        raise


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"width": 2}, r"model, 0 is 'Linear\(in_features=1, out_features=1\)', here it is 'Lin"),
        ({"act": nn.ReLU()}, r"model, 1 is 'Tanh\(\)', here it is 'ReLU\(\)'"),
        ({"act": nn.LeakyReLU(0.2)}, r"model, 1 is 'Tanh\(\)', here it is 'LeakyReLU\(neg"),
        ({"act": nn.Sequential(nn.Tanh())}, r"model, 1 is 'Tanh\(\)', here it is 'Sequential\("),
        ({"X": np.linspace(0.0, 2.0, 6)[:, None]}, r"examples is 'X float64 of shape \(6, 1\)"),
        ({"y": np.linspace(0.0, 2.0, 6)[:, None]}, "its examples is"),
        ({"sample_weight": np.full(6, 2.0)}, "weights is 'none', here it is 'float64 of shape"),
        ({"class_weight": {0.0: 2.0}}, "its weights is"),
        ({"optimizer": nn.Adam}, "its optimiser is 'SGD', here it is 'Adam'"),
        ({"lr": 0.2}, "optimiser's group 0, lr is '0.1', here it is '0.2'"),
        ({"momentum": 0.5}, "optimiser's group 0, momentum is '0.0', here it is '0.5'"),
        ({"schedule": lambda o: nn.StepLR(o, 2)}, "scheduler is None, here it is {'class'"),
        ({"batch_size": 2}, "batch size is 6, here it is 2"),
        ({"shuffle": True}, "order is 'as given', here it is 'shuffled'"),
        ({"seed": 1}, "seed is 0, here it is 1"),
        ({"l2": 0.1}, "l2 is 0.0, here it is 0.1"),
        ({"clip_norm": 0.1}, "clip_norm is None, here it is 0.1"),
        ({"on_nonfinite": "continue"}, "on_nonfinite is 'stop', here it is 'continue'"),
        ({"path": "scalar"}, "path is 'vectorised', here it is 'scalar'"),
        ({"loss": nn.L1Loss()}, r"loss, itself is .MSELoss\(reduction='mean'\).*, here it is .L1L"),
        ({"loss": nn.MSELoss("sum")}, r"loss, itself is .*, here .*reduction='sum'"),
        ({"dtype": np.float32}, "dtype is 'float64', here it is 'float32'"),
        ({"validation_data": ([[1.0]], [[1.0]])}, r"validation data is None, here it is \['float"),
        ({"metrics": [nn.metrics.r2]}, r"metrics is \[\], here it is \['r2'\]"),
    ],
    ids=lambda x: x if isinstance(x, str) else ", ".join(x),
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


# --- what is part of a run, and what is not ---


class Bent(nn.Module):
    """A layer of one's own, with settings and a function."""

    def __init__(self, slope: float = 1.0, function: Any = np.tanh) -> None:
        self.slope, self.function = slope, function

    def forward(self, x: Any) -> Any:
        return [self.slope * number.tanh() for number in x]


@pytest.mark.parametrize(
    "other", [Bent(2.0), Bent(function=np.sin), Bent(function=lambda x: x), nn.Tanh()]
)
def test_settings_of_ones_own_layers_count(other: nn.Module, tmp_path: Path) -> None:
    line(tmp_path, act=Bent())
    line(tmp_path, act=Bent(), epochs=3)
    with pytest.raises(nn.CheckpointError, match=r"its model, 1 is .Bent"):
        line(tmp_path, act=other)


def test_the_shape_of_the_data_counts_and_not_only_its_bytes(tmp_path: Path) -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            self.w = Value(1.0)

        def forward(self, x: Any) -> Any:
            return [self.w * sum(x)] * 4

    numbers = np.arange(4.0)

    def run(X: Any, y: Any) -> None:
        model = Sum()
        options: dict[str, Any] = {"optimizer": nn.SGD(model.parameters()), "epochs": 1}
        options |= {"loss": nn.MSELoss(), "batch_size": 4, "progress": False}
        nn.fit(model, X, y, checkpoint=tmp_path, **options)

    run(numbers.reshape(4, 1), np.tile(numbers, (4, 1)))
    with pytest.raises(nn.CheckpointError, match=r"X float64 of shape \(4, 1\).* \(1, 4\)"):
        run(numbers.reshape(1, 4), numbers[None])


def test_what_may_differ_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def options(**changes: Any) -> dict[str, Any]:
        return {"optimizer": nn.Adam, "schedule": lambda o: nn.StepLR(o, 2, 0.5), **changes}

    line(tmp_path, **options(epochs=3))
    history, _ = line(tmp_path, **options(epochs=5, progress=True, callbacks=[lambda e, h: None]))
    assert len(history.loss) == 5 and "going on from" in capsys.readouterr().out


SCHEDULES: dict[str, Any] = {
    "StepLR": lambda o: nn.StepLR(o, 1, 0.5),
    "OneCycleLR": lambda o: nn.OneCycleLR(o, 0.1, epochs=8, steps_per_epoch=1),
    "ReduceLROnPlateau": lambda o: nn.ReduceLROnPlateau(o, patience=1, threshold=0.9, cooldown=1),
}


@pytest.mark.parametrize("optimizer", [nn.SGD, nn.NAdam])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_on_where_it_was(name: str, optimizer: Any, tmp_path: Path) -> None:
    options = {"optimizer": optimizer, "schedule": SCHEDULES[name]}
    for epochs in range(1, 8):
        history, model = line(tmp_path, epochs=epochs, **options)
    expected, other = line(None, epochs=7, **options)  # type: ignore[arg-type]
    assert history.step_loss == expected.step_loss
    assert [p.data for p in model.parameters()] == [p.data for p in other.parameters()]


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_same_objects_go_on_after_their_schedule_has_moved(name: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(1, 1, rng=random.Random(0)))
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    schedule = SCHEDULES[name](optimizer)
    options: dict[str, Any] = {"loss": nn.MSELoss(), "progress": False, "checkpoint": tmp_path}
    options |= {"optimizer": optimizer, "scheduler": schedule}
    for epochs in (3, 6):
        history = nn.fit(model, [[1.0], [2.0]], [[1.0], [2.0]], epochs=epochs, **options)
    assert len(history.loss) == 6 and schedule.last_epoch == 6


@pytest.mark.parametrize("drop_last", [False, True])
def test_a_loader_that_leaves_examples_out_is_another_run(drop_last: bool, tmp_path: Path) -> None:
    data = nn.TensorDataset(np.ones((5, 1)), np.ones((5, 1)))

    def run(drop: bool) -> None:
        model = nn.Sequential(nn.Linear(1, 1, rng=random.Random(0)))
        loader = nn.DataLoader(data, batch_size=2, drop_last=drop)
        optimizer = nn.SGD(model.parameters())
        options: dict[str, Any] = {"loss": nn.MSELoss(), "epochs": 1, "progress": False}
        nn.fit(model, loader, optimizer=optimizer, checkpoint=tmp_path, **options)

    run(drop_last)
    told = f"drop_last is {drop_last}, here it is {not drop_last}"
    with pytest.raises(nn.CheckpointError, match=told):
        run(not drop_last)


# --- files that can't be written, and forged ones ---


@pytest.mark.parametrize("when", ["always", "at the end", "at first"])
def test_a_full_disk_costs_the_checkpoint_and_nothing_else(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "_SHARE", 0)
    calls, fsync = [], os.fsync
    seconds = 0.0

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        count = len(calls)
        if {"always": True, "at the end": count > 4, "at first": count < 3}[when]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(updates, "_CALL_SECONDS", seconds)  # a chance to save after each update
    expected, twin = line(tmp_path / "elsewhere", epochs=6)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(RuntimeWarning, match="No space left on device. The run goes on") as caught:
        history, model = line(tmp_path / "here", epochs=6)
    assert len(caught) == 1
    assert history.loss == expected.loss
    assert [p.data for p in model.parameters()] == [p.data for p in twin.parameters()]
    names = [file.name for file in (tmp_path / "here").iterdir()]
    assert names == ([] if when == "always" else ["checkpoint.safetensors"])
    monkeypatch.setattr(os, "fsync", fsync)
    assert line(tmp_path / "here", epochs=6)[0].loss == expected.loss


def test_a_folder_that_is_taken_away_costs_the_checkpoint_only(tmp_path: Path) -> None:
    folder = tmp_path / "here"

    def take_away(epoch: int, history: nn.History) -> None:
        if folder.exists():
            folder.rmdir()

    with pytest.warns(RuntimeWarning, match="there is no folder"):
        history, _ = line(folder, callbacks=[take_away])
    assert len(history.loss) == 2


@pytest.mark.parametrize("trained", [False, True])
def test_what_json_cannot_say_is_refused_before_the_first_update(
    trained: bool, tmp_path: Path
) -> None:
    class Odd(nn.LRScheduler):
        def __init__(self, optimizer: nn.Optimizer) -> None:
            self.kept = {1, 2}
            super().__init__(optimizer)

        def get_lr(self) -> list[float]:
            return [0.1]

    with pytest.raises(TypeError, match="set") as caught:
        line(tmp_path, schedule=Odd)
    untouched = nn.Linear(1, 1, rng=random.Random(0))
    now = [p.data for p in caught.value.model.parameters()]  # type: ignore[attr-defined]
    assert now == [p.data for p in untouched.parameters()]


FORGERIES: dict[str, Any] = {
    "no run": lambda arrays, about: about.pop("run"),
    "a list as run": lambda arrays, about: about.update(run=[]),
    "no theta": lambda arrays, about: arrays.pop("theta"),
    "a long theta": lambda arrays, about: arrays.update(theta=np.zeros(99)),
    "a short best": lambda arrays, about: arrays.update(best=np.zeros(1)),
    "no losses": lambda arrays, about: arrays.pop("history.loss"),
    "nan as epoch": lambda arrays, about: arrays.update({"history.evaluated": np.array([np.nan])}),
    "no slots": lambda arrays, about: arrays.pop("slot.0.exp_avg"),
    "long slots": lambda arrays, about: arrays.update({"slot.0.exp_avg": np.zeros(99)}),
    "no groups": lambda arrays, about: about.update(groups=[]),
    "a wrong rate": lambda arrays, about: about["groups"][0].update(lr="fast"),
    "a negative rate": lambda arrays, about: about["groups"][0].update(lr=-1.0),
    "a wrong step": lambda arrays, about: about.update(steps=["many"]),
    "no scheduler": lambda arrays, about: about.update(scheduler=None),
    "another scheduler": lambda arrays, about: about.update(scheduler={"base_lrs": [0.1]}),
    "no best": lambda arrays, about: about.pop("best"),
    "a number as progress": lambda arrays, about: about.update(progress=3),
    "a negative epoch": lambda arrays, about: about["progress"].update(epoch=-1),
    "a metric without numbers": lambda arrays, about: about.update(metrics=["accuracy"]),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_descriptions_are_refused_and_change_nothing(forgery: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"optimizer": nn.Adam, "schedule": lambda o: nn.StepLR(o, 1, 0.5)}
    line(tmp_path, **dict(options))
    file = tmp_path / "checkpoint.safetensors"
    arrays, about = checkpoints.read_arrays(file)
    FORGERIES[forgery](arrays, about)
    write_arrays(file, arrays, about)
    made = []

    def keeping(*given: Any, **settings: Any) -> nn.Optimizer:
        made.append(nn.Adam(*given, **settings))
        return made[-1]

    with pytest.raises(nn.CheckpointError) as caught:
        line(tmp_path, **{**options, "optimizer": keeping})
    untouched = nn.Linear(1, 1, rng=random.Random(0))
    now = [p.data for p in caught.value.model.parameters()]  # type: ignore[attr-defined]
    assert now == [p.data for p in untouched.parameters()]
    assert made[0].param_groups[0]["lr"] == 0.1 and made[0].state[0].steps == 0
