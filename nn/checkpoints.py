"""Checkpoints: all that a training run depends on in one file, from which it goes on.

The file is written whole or not at all, so a run that is killed at any moment finds its last
checkpoint. What it holds, besides numbers, says which run it is of; another one is refused.
"""

from __future__ import annotations

import copy
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from engine.files import remove_leftovers
from nn.identity import difference
from nn.optim import LBFGS, LRScheduler, Optimizer
from nn.saving import CheckpointError, check_saving, read_arrays, write_arrays
from nn.stopping import Best
from nn.updates import History

Array = np.ndarray[Any, np.dtype[Any]]
Content: TypeAlias = tuple[dict[str, Array], dict[str, Any]]
SAVE_SECONDS = 10.0  # between two checkpoints: what a run that is killed loses at most, about
_SHARE = 20  # and at most this part of the time goes into writing them
_LISTS = ("loss", "step_loss", "step_weight", "val_loss", "evaluated")
_KIND = "a training run"


class Checkpoints:
    """The checkpoint of a run in a folder: `load` it, `save` it, or `save_if_due`.

    The folder is made. `run` says what the run depends on, in what JSON can say; a file of a run
    with another one is refused. What is saved is the `state`.

    Raises TypeError where the state of the optimiser or the scheduler is nothing that JSON can
    say, OSError where the folder can't be written, and ImportError with what to install.
    """

    def __init__(
        self, folder: str | os.PathLike[str], run: dict[str, Any], state: TrainingState
    ) -> None:
        self.path = Path(folder) / "checkpoint.safetensors"
        self._run, self._state = _plain(run), state
        json.dumps(self._content({})[1])  # what can't be saved is found now
        check_saving(self.path.parent)
        self._next = time.monotonic() + SAVE_SECONDS
        self._failed = False

    def save_if_due(self, progress: dict[str, Any]) -> None:
        """Save unless that was done a moment ago."""
        if time.monotonic() >= self._next:
            self.save(progress)

    def save(self, progress: dict[str, Any]) -> None:
        """Write the file anew; `progress` is what `load` then returns.

        Where that can't be done the file stays as it was, and a warning says so, the first time.
        """
        began = time.monotonic()
        try:
            write_arrays(self.path, *self._content(progress))
        except OSError as error:
            if not self._failed:
                warnings.warn(
                    f"can't save a checkpoint to {self.path}: {error.strerror or error}. The run "
                    "goes on without, and what was saved before stays; save the model at the end "
                    "in another folder, with nn.save",
                    RuntimeWarning,
                    stacklevel=4,
                )
            self._failed = True
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
        if text := difference(about.get("run"), self._run):
            reason = f"it is of another run: {text}; give this run a folder of its own"
            raise CheckpointError(self.path, reason)
        try:
            return self._state.take(arrays, about)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = f"its description makes no sense ({type(error).__name__}: {error})"
            raise CheckpointError(self.path, reason) from None

    def _content(self, progress: dict[str, Any]) -> Content:
        """The arrays of the file, and what it says about them."""
        arrays, about = self._state.content(progress)
        return arrays, {"kind": _KIND, "run": self._run, **about}


class TrainingState:
    """All that changes while a run trains, in the very objects given here: its `content` is what
    a checkpoint holds, and what another process of the same run can `take`."""

    def __init__(
        self,
        *,
        theta: Array,
        gradient: Array,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        history: History,
        best: Best,
    ) -> None:
        self._theta, self._gradient = theta, gradient
        self._optimizer, self._scheduler = optimizer, scheduler
        self._history, self._best = history, best

    def content(self, progress: dict[str, Any]) -> Content:
        """The arrays, and what there is to say besides; `progress` is what `take` then returns."""
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
        return arrays, {
            "progress": progress,
            "metrics": list(history.metrics),
            "seconds": history.seconds,
            "groups": [_plain(group) for group in optimizer["param_groups"]],
            "steps": [state["step"] for state in optimizer["state"]],
            "scheduler": None if self._scheduler is None else self._scheduler.state_dict(),
            "best": {"number": best.number, "epoch": best.epoch, "waited": best.waited},
        }

    def take(self, arrays: dict[str, Array], about: dict[str, Any]) -> dict[str, Any]:
        """Bring everything to where a content says, and return its `progress`.

        Raises an error of some kind for one that makes no sense: nothing is changed then.
        """
        before = copy.deepcopy(self._optimizer.state_dict())
        try:
            take = self._taken(arrays, about)
            self._optimizer.load_state_dict(self._optimizer_state(arrays, about))
            if self._scheduler is not None:
                self._scheduler.load_state_dict(about["scheduler"])
        except Exception:
            self._optimizer.load_state_dict(before)
            raise
        take()
        return dict(about["progress"])

    def _optimizer_state(self, arrays: dict[str, Array], about: dict[str, Any]) -> dict[str, Any]:
        """The state of the optimiser, in the form that its own has."""
        optimizer = self._optimizer.state_dict()
        for k, (group, own_group) in enumerate(
            zip(about["groups"], optimizer["param_groups"], strict=True)
        ):
            given = {n: tuple(x) if isinstance(x, list) else x for n, x in group.items()}
            optimizer["param_groups"][k] = {**own_group, **given, "params": own_group["params"]}
            slots = [name for name in optimizer["state"][k] if name != "step"]
            kept = {name: arrays[f"slot.{k}.{name}"] for name in slots}
            optimizer["state"][k] = {"step": about["steps"][k], **kept}
        return optimizer

    def _taken(self, arrays: dict[str, Array], about: dict[str, Any]) -> Callable[[], None]:
        """What takes over the rest; that it makes sense is found out before."""
        numbers = {name: arrays[name] for name in ("theta", "gradient")}
        best = arrays.get("best")
        for name, array in (*numbers.items(), ("best", best)):
            if array is not None and array.shape != self._theta.shape:
                raise ValueError(f"{name} has the shape {array.shape}, not {self._theta.shape}")
        lists = {name: arrays[f"history.{name}"].tolist() for name in _LISTS}
        lists["evaluated"] = [int(epoch) for epoch in lists["evaluated"]]
        metrics = {name: arrays[f"metric.{name}"].tolist() for name in about["metrics"]}
        own = {name: about["best"][name] for name in ("number", "epoch", "waited")}
        seconds, progress = float(about["seconds"]), about["progress"]
        epoch, stopped = progress["epoch"], progress["stopped"]
        if not (type(epoch) is int and epoch >= 0 and isinstance(stopped, str)):
            raise ValueError(f"its progress is {progress!r:.80}")

        def take() -> None:
            self._theta[:], self._gradient[:] = numbers["theta"], numbers["gradient"]
            for name, items in lists.items():
                getattr(self._history, name)[:] = items
            self._history.metrics.update(metrics)
            self._history.seconds = seconds
            vars(self._best).update(own, theta=best)

        return take


def check_can_be_saved(optimizer: Optimizer, scheduler: Any) -> None:
    """Raise TypeError for what keeps its state where no checkpoint finds it."""
    if type(optimizer).rule is None and not isinstance(optimizer, LBFGS):
        raise TypeError(
            "a checkpoint holds what the rule of an nn.Optimizer keeps, and this optimiser has a "
            "step of its own; give it a rule as in nn.optim.rules, or leave the checkpoint out"
        )
    if not isinstance(scheduler, LRScheduler | None):
        raise TypeError(
            "a checkpoint holds the state of an nn.LRScheduler: derive the scheduler from it, "
            "with a get_lr, or leave the checkpoint out"
        )


def _plain(item: Any) -> Any:
    """The same as JSON gives it back."""
    if isinstance(item, dict):
        return {str(name): _plain(part) for name, part in item.items()}
    if isinstance(item, list | tuple):
        return [_plain(part) for part in item]
    return item.item() if isinstance(item, np.generic) else item
