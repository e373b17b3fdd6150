"""Random numbers: uniform, decided by their counters alone, and a stream for each thread."""

import itertools
import statistics
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import engine
from engine.randomness import draw, drawing


@pytest.fixture(autouse=True)
def _leave_the_stream_as_it_was() -> Iterator[None]:
    with drawing(seed=0, step=0):
        yield


def draws(count: int) -> list[float]:
    return [engine.random().data for _ in range(count)]


def in_thread(work: Callable[[], Any]) -> Any:
    """What the work returns in a thread of its own."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


# --- what is drawn --------------------------------------------------------------------------


def test_a_draw_is_a_leaf() -> None:
    x = engine.random()
    assert type(x) is engine.Value and (x.op, x.args, x.grad) == (None, (), 0.0)


def test_a_draw_is_a_constant_to_the_gradient() -> None:
    [noise] = draws(1)
    engine.manual_seed(0)
    assert engine.grad(lambda x: x * engine.random())(2.0) == noise


@pytest.mark.parametrize("seed", [0, 1, 12345, -7, 2**63], ids=lambda seed: f"seed {seed}")
def test_draws_are_different_numbers_in_0_to_1_without_1(seed: int) -> None:
    engine.manual_seed(seed)
    numbers = draws(1000)
    assert all(0.0 <= x < 1.0 for x in numbers)
    assert len(set(numbers)) == 1000


COUNT = 10_000
DEVIATIONS = 5.0  # beyond these a sample is no accident; with fixed seeds the outcome is too


@pytest.mark.parametrize("running", ["seed", "step", "example", "call"])
@pytest.mark.parametrize("seed", range(3), ids=lambda seed: f"seed {seed}")
def test_draws_have_the_moments_of_the_uniform_distribution(running: str, seed: int) -> None:
    """Whichever counter runs; with neighbours uncorrelated."""
    counters = {"seed": seed, "step": 3, "example": 5, "call": 7}
    numbers = [draw(**{**counters, running: counters[running] + i}) for i in range(COUNT)]
    # n times a mean's squared standard error is the variance of one term: of x, of (x - 1/2)²,
    # and of (x - 1/2)(y - 1/2) for independent x and y
    neighbours = [(x - 0.5) * (y - 0.5) for x, y in itertools.pairwise(numbers)]
    for terms, mean, variance in [
        (numbers, 1 / 2, 1 / 12),
        ([(x - 0.5) ** 2 for x in numbers], 1 / 12, 1 / 180),
        (neighbours, 0.0, 1 / 144),
    ]:
        allowed = DEVIATIONS * (variance / COUNT) ** 0.5
        assert statistics.fmean(terms) == pytest.approx(mean, abs=allowed)


# --- what decides it ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7, -7], ids=lambda seed: f"seed {seed}")
def test_a_seed_starts_the_same_numbers_again(seed: int) -> None:
    engine.manual_seed(seed)
    first = draws(5)
    engine.manual_seed(seed)
    assert draws(5) == first


def test_another_seed_starts_other_numbers() -> None:
    engine.manual_seed(1)
    first = draws(5)
    engine.manual_seed(2)
    assert not set(draws(5)) & set(first)


def test_a_thread_has_a_stream_of_its_own() -> None:
    engine.manual_seed(1)
    undisturbed = draws(4)

    def other() -> list[float]:
        engine.manual_seed(2)
        return draws(3)

    engine.manual_seed(1)
    first = draws(2)
    in_thread(other)
    assert first + draws(2) == undisturbed


def test_a_seed_starts_the_same_numbers_in_every_thread() -> None:
    def seeded() -> list[float]:
        engine.manual_seed(7)
        return draws(4)

    assert in_thread(seeded) == seeded()


# --- drawing: the counters for a while ------------------------------------------------------


def test_drawing_restores_the_counters() -> None:
    engine.manual_seed(1)
    undisturbed = draws(4)
    engine.manual_seed(1)
    first = draws(2)
    with drawing(seed=9, step=1, example=2):
        draws(3)
        with drawing(seed=9, step=2):
            draws(1)
    assert first + draws(2) == undisturbed


def test_drawing_restores_the_counters_after_an_error_and_a_seed() -> None:
    undisturbed = draws(1)
    engine.manual_seed(0)
    with pytest.raises(KeyError), drawing(seed=9, step=1):
        engine.manual_seed(5)
        raise KeyError
    assert draws(1) == undisturbed


def test_drawing_inside_of_another_leaves_the_outer_where_it_was() -> None:
    with drawing(seed=9, step=1):
        undisturbed = draws(2)
    with drawing(seed=9, step=1):
        first = draws(1)
        with drawing(seed=9, step=2):
            draws(5)
        assert first + draws(1) == undisturbed


def test_seed_step_and_example_decide_the_draws() -> None:
    def drawn(*counters: int) -> tuple[float, ...]:
        with drawing(*counters):
            return tuple(draws(3))

    assert drawn(9, 1, 2) == drawn(9, 1, 2)
    settings = [(9, 1, 2), (8, 1, 2), (9, 2, 2), (9, 1, 3), (9, 2, 1), (1, 9, 2)]
    assert len({x for counters in settings for x in drawn(*counters)}) == 3 * len(settings)


def test_a_seed_is_the_first_example_of_the_first_step() -> None:
    engine.manual_seed(9)
    first = draws(3)
    with drawing(seed=9, step=0, example=0):
        assert draws(3) == first
