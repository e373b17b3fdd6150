"""Checkpoints: all that a training run depends on in one file, from which it goes on.

The file is written whole or not at all, so a run that is killed at any moment finds its last
checkpoint. What it holds, besides numbers, says which run it is of; another one is refused.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from engine.files import remove_leftovers
from nn.optim import LRScheduler, Optimizer
from nn.saving import CheckpointError, read_arrays, write_arrays
from nn.stopping import Best
from nn.updates import History

Array = np.ndarray[Any, np.dtype[Any]]
SAVE_SECONDS = 10.0  # between two checkpoints: what a run that is killed loses at most, about
_SHARE = 20  # and at most this part of the time goes into writing them
_LISTS = ("loss", "step_loss", "step_weight", "val_loss", "evaluated")
_KIND = "a training run"


class Checkpoints:
    """The checkpoint of a run in a folder: `load` it, `save` it, or `save_if_due`.

    The folder is made. `run` says what the run depends on, in what JSON can say; a file of a run
    with another one is refused. What is saved are the very objects given here.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        run: dict[str, Any],
        *,
        theta: Array,
        gradient: Array,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        history: History,
        best: Best,
    ) -> None:
        self.path = Path(folder) / "checkpoint.safetensors"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._run, self._theta, self._gradient = run, theta, gradient
        self._optimizer, self._scheduler = optimizer, scheduler
        self._history, self._best = history, best
        self._next = time.monotonic() + SAVE_SECONDS

    def save_if_due(self, progress: dict[str, Any]) -> None:
        """Save unless that was done a moment ago."""
        if time.monotonic() >= self._next:
            self.save(progress)

    def save(self, progress: dict[str, Any]) -> None:
        """Write the file anew; `progress` is what `load` then returns. Raises OSError as writing
        does; the file is then as it was."""
        began = time.monotonic()
        history, best = self._history, self._best
        arrays = {"theta": self._theta, "gradient": self._gradient}
        for name in _LISTS:
            arrays[f"history.{name}"] = np.array(getattr(history, name), dtype=np.float64)
        for name, numbers in history.metrics.items():
            arrays[f"metric.{name}"] = np.array(numbers, dtype=np.float64)
        if best.theta is not None:
            arrays["best"] = best.theta
        optimizer = self._optimizer.state_dict()
        for k, state in enumerate(optimizer["state"]):
            arrays |= {f"slot.{k}.{n}": x for n, x in state.items() if n != "step"}
        about = {
            "kind": _KIND,
            "run": self._run,
            "progress": progress,
            "metrics": list(history.metrics),
            "seconds": history.seconds,
            "groups": [_plain(group) for group in optimizer["param_groups"]],
            "steps": [state["step"] for state in optimizer["state"]],
            "scheduler": None if self._scheduler is None else self._scheduler.state_dict(),
            "best": {"number": best.number, "epoch": best.epoch, "waited": best.waited},
        }
        write_arrays(self.path, arrays, about)
        now = time.monotonic()
        self._next = now + max(SAVE_SECONDS, _SHARE * (now - began))

    def load(self) -> dict[str, Any] | None:
        """Bring everything to where the file says, and return its `progress`; None without a file.

        Raises CheckpointError for a file that is damaged or of another run: nothing is changed
        then.
        """
        remove_leftovers(self.path)
        if not self.path.exists():
            return None
        arrays, about = read_arrays(self.path)
        if about.get("kind") != _KIND:
            raise CheckpointError(self.path, f"it is no checkpoint of {_KIND}")
        saved, own = about["run"], _plain(self._run)
        for name, here in own.items():
            if saved.get(name) != here:
                raise CheckpointError(
                    self.path,
                    f"it is of another run: its {name} is {saved.get(name)!r}, here it is {here!r};"
                    " give this run a folder of its own",
                )
        optimizer = self._optimizer.state_dict()
        for k, (group, own_group) in enumerate(
            zip(about["groups"], optimizer["param_groups"], strict=True)
        ):
            given = {n: tuple(x) if isinstance(x, list) else x for n, x in group.items()}
            optimizer["param_groups"][k] = {**own_group, **given, "params": own_group["params"]}
            slots = [name for name in optimizer["state"][k] if name != "step"]
            kept = {name: arrays[f"slot.{k}.{name}"] for name in slots}
            optimizer["state"][k] = {"step": about["steps"][k], **kept}
        self._optimizer.load_state_dict(optimizer)
        if self._scheduler is not None:
            self._scheduler.load_state_dict(about["scheduler"])
        self._theta[:], self._gradient[:] = arrays["theta"], arrays["gradient"]
        history, best = self._history, self._best
        for name in _LISTS:
            getattr(history, name)[:] = arrays[f"history.{name}"].tolist()
        history.evaluated[:] = map(int, history.evaluated)
        history.metrics.update({n: arrays[f"metric.{n}"].tolist() for n in about["metrics"]})
        history.seconds = about["seconds"]
        best.theta = arrays.get("best")
        best.number, best.epoch = about["best"]["number"], about["best"]["epoch"]
        best.waited = about["best"]["waited"]
        return dict(about["progress"])


def _plain(item: Any) -> Any:
    """The same as JSON gives it back."""
    if isinstance(item, dict):
        return {str(name): _plain(part) for name, part in item.items()}
    if isinstance(item, list | tuple):
        return [_plain(part) for part in item]
    return item.item() if isinstance(item, np.generic) else item
