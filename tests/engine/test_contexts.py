"""Modes are in force in one context: over `await`, in threads, in generators, on any way out."""

import asyncio
import contextvars
import copy
import gc
import threading

import pytest

import engine
from engine import Value, modes


def records() -> bool:
    return (Value(3.0) * 2.0).op is not None


@pytest.fixture(autouse=True)
def nothing_stays_in_force():
    before = modes.watched, modes.tracing
    yield
    gc.collect()
    assert (modes.watched, modes.tracing) == before and records()


def run_beside(inside) -> bool:
    """Whether one task records while another one awaits with something in force."""

    async def main() -> bool:
        begun, done = asyncio.Event(), asyncio.Event()

        async def holding() -> None:
            with inside():
                begun.set()
                await done.wait()

        task = asyncio.create_task(holding())
        await begun.wait()
        found = records()
        done.set()
        await task
        return found

    return asyncio.run(main())


HELD = {
    "no_grad": engine.no_grad,
    "errstate": lambda: engine.errstate("raise"),
    "scope": lambda: engine.scope("mine"),
}


@pytest.mark.parametrize("name", HELD)
def test_what_one_task_holds_over_an_await_is_no_other_tasks_business(name: str) -> None:
    assert run_beside(HELD[name])


def test_errors_are_raised_in_the_task_that_asked_for_them() -> None:
    async def raising() -> None:
        with engine.errstate("raise"):
            await asyncio.sleep(0)
            engine.log(Value(0.0))

    async def main() -> list:
        quiet = asyncio.to_thread(engine.log, Value(0.0))
        return await asyncio.gather(raising(), quiet, return_exceptions=True)

    error, quiet = asyncio.run(main())
    assert isinstance(error, engine.DomainError) and quiet.data == float("-inf")


def test_scopes_of_tasks_do_not_mix() -> None:
    async def made(name: str) -> Value:
        with engine.scope(name):
            await asyncio.sleep(0)
            y = Value(1.0) * 2.0
            await asyncio.sleep(0)
        return y

    async def main() -> list[Value]:
        return await asyncio.gather(made("a"), made("b"))

    assert [y.scope.path for y in asyncio.run(main())] == [("a",), ("b",)]


def test_what_is_started_inside_inherits_it_and_keeps_it() -> None:
    async def child(go: asyncio.Event) -> tuple[bool, bool]:
        first = records()
        await go.wait()
        return first, records()

    async def main() -> tuple[bool, bool]:
        go = asyncio.Event()
        with engine.no_grad():
            task = asyncio.create_task(child(go))
            await asyncio.sleep(0)
        assert records()
        go.set()
        return await task

    assert asyncio.run(main()) == (False, False)


def test_a_cancelled_task_leaves_nothing_in_force() -> None:
    async def main() -> None:
        async def holding() -> None:
            with engine.no_grad(), engine.scope("a"):
                await asyncio.Event().wait()

        task = asyncio.create_task(holding())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert records() and modes.watched == 0

    asyncio.run(main())


def test_a_generator_closed_in_another_context_frees_the_one_it_was_entered_in() -> None:
    async def steps():
        with engine.no_grad(), engine.scope("a"):
            yield 1
            yield 2

    async def main() -> None:
        generator = steps()
        await anext(generator)
        with engine.no_grad():  # closing it elsewhere does not undo what is in force there
            await asyncio.create_task(generator.aclose())
            assert not records()
        assert records()

    asyncio.run(main())


def test_modes_are_left_in_any_order() -> None:
    def holding():
        with engine.no_grad():
            yield

    first, second = holding(), holding()
    next(first), next(second)
    first.close()
    assert not records()
    second.close()
    assert records()


def test_threads_have_modes_of_their_own() -> None:
    found = []
    with engine.no_grad():
        thread = threading.Thread(target=lambda: found.append(records()))
        thread.start()
        thread.join()
    assert found == [True]


def test_one_mode_serves_many_tasks_at_once() -> None:
    quiet = engine.no_grad()

    async def held(steps: int) -> bool:
        with quiet:
            for _ in range(steps):
                await asyncio.sleep(0)
            inside = records()
        return not inside and records()

    async def main() -> list[bool]:
        return await asyncio.gather(*map(held, (3, 1, 2)))

    assert asyncio.run(main()) == [True, True, True]


def test_as_a_decorator_it_goes_around_coroutines_too() -> None:
    @engine.no_grad()
    async def predict() -> bool:
        await asyncio.sleep(0)
        return records()

    @engine.no_grad()
    def plain() -> bool:
        return records()

    async def main() -> list[bool]:
        return await asyncio.gather(predict(), predict())

    assert asyncio.run(main()) == [False, False] and not plain()


def test_a_generator_can_not_be_decorated() -> None:
    with pytest.raises(TypeError, match=r"no_grad can't decorate steps, which yields"):

        @engine.no_grad()
        def steps():
            yield 1


def test_a_trace_is_over_for_what_was_started_inside_and_outlives_it() -> None:
    class Started:
        context: contextvars.Context

    def f(x):
        Started.context = contextvars.copy_context()  # as a task has it
        return x * 2.0

    with modes.traced_by(object()):
        f(1.0)
    assert Started.context.run(lambda: Value(1.0) < 2.0) is True


def test_two_threads_trace_and_record_at_once() -> None:
    wrong = []

    def work(k: float) -> None:
        for _ in range(5):
            if engine.compile(lambda x: engine.relu(x) * k).grad(2.0) != k:
                wrong.append(k)
            with engine.no_grad():
                if records():
                    wrong.append("recorded")

    threads = [threading.Thread(target=work, args=(float(k),)) for k in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_results_without_operands_are_copied_as_such() -> None:
    with engine.no_grad():
        y = Value(2.0) * 3.0
    assert (y.data, y.args, y.op, copy.deepcopy(y).data) == (6.0, (), None, 6.0)
