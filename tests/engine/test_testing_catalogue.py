"""assert_gradients over a catalogue: wrong gradients are found and named, right ones pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradient_checkers
import wrong_gradients
from engine.testing import WrongGradientError, assert_gradients
from wrong_gradients import FORMS, RIGHT, WRONG, Case

CORE, PEERS = ("ours", "scipy"), ("torch", "jax")


def over(catalogue: list[Case], *forms: str) -> Any:
    found = wrong_gradients.cases(catalogue, *forms)
    return pytest.mark.parametrize(
        ("case", "form"), found, ids=[f"{f}: {c.name}" for c, f in found]
    )


def check(case: Case, form: str) -> None:
    if form in PEERS:
        pytest.importorskip(form)
    with np.errstate(all="ignore"):
        f, args, options = FORMS[form](case)
        assert_gradients(f, *args, **options)


def found(case: Case, form: str) -> WrongGradientError:
    with pytest.raises(WrongGradientError) as caught:
        check(case, form)
    return caught.value


def test_the_catalogue_is_as_large_as_is_said() -> None:
    assert len(WRONG) >= 30 and len(RIGHT) >= 30


@over(WRONG, *CORE)
def test_a_wrong_gradient_is_found_and_named(case: Case, form: str) -> None:
    error = found(case, form)
    assert error.kind in case.kinds, str(error)


@over(RIGHT, *CORE)
def test_a_right_gradient_passes(case: Case, form: str) -> None:
    check(case, form)


@pytest.mark.oracle
@over(WRONG, *PEERS)
def test_a_wrong_gradient_of_a_peer_is_found_and_named(case: Case, form: str) -> None:
    error = found(case, form)
    assert error.kind in case.kinds, str(error)


@pytest.mark.oracle
@over(RIGHT, *PEERS)
def test_a_right_gradient_of_a_peer_passes(case: Case, form: str) -> None:
    check(case, form)


@pytest.mark.oracle
@pytest.mark.parametrize("checker", gradient_checkers.CHECKERS)
def test_the_table_in_the_guide_is_what_comes_out(checker: str) -> None:
    pytest.importorskip(gradient_checkers.CHECKERS[checker][0])
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    assert f"| `{checker}` | {' | '.join(map(str, gradient_checkers.row(checker)))} |" in guide
