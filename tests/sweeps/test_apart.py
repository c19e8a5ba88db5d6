"""Work that must come to its end: nobody cancels it from outside, and its own deadlines still work."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Final

import anyio
import pytest
from anyio.lowlevel import checkpoint

from interpreters.apart import _kept, begin, to_its_end

from .left import at_last, tasks

WHOSE: Final[ContextVar[str]] = ContextVar("whose", default="nobody's")


class Lost(Exception):
    """What goes wrong inside."""


async def test_what_the_work_gives_or_raises_comes_out(anyio_backend: str) -> None:
    async def give() -> int:
        await checkpoint()
        return 4

    async def lose() -> None:
        await checkpoint()
        raise Lost

    before = tasks()
    assert await to_its_end(give()) == 4
    with pytest.raises(Lost):
        await to_its_end(lose())
    assert not await at_last(lambda: tasks() - before or _kept)


async def with_fail_after() -> None:
    with anyio.fail_after(0.01):
        await anyio.sleep(60)


async def with_timeout() -> None:
    async with asyncio.timeout(0.01):
        await asyncio.sleep(60)


async def with_wait_for() -> None:
    await asyncio.wait_for(asyncio.sleep(60), 0.01)


async def fail() -> None:
    await asyncio.sleep(0.01)
    raise TimeoutError


async def with_a_task_group_of_asyncio() -> None:
    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            _ = group.create_task(fail())
            await asyncio.sleep(60)
    raise TimeoutError


async def with_a_task_group_of_anyio() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(checkpoint)
        group.cancel_scope.deadline = anyio.current_time() + 0.01
        await anyio.sleep(60)
    raise TimeoutError


async def with_a_child_that_cancels() -> None:
    async with anyio.create_task_group() as group:

        async def cancel() -> None:
            await anyio.sleep(0.01)
            group.cancel_scope.cancel()

        group.start_soon(cancel)
        await anyio.sleep(60)
    raise TimeoutError


OF_BOTH = (with_fail_after, with_a_task_group_of_anyio, with_a_child_that_cancels)
OF_ASYNCIO = (with_timeout, with_wait_for, with_a_task_group_of_asyncio)


@pytest.mark.parametrize("work", OF_BOTH)
async def test_its_own_deadlines_end_it(work: Callable[[], Awaitable[None]], anyio_backend: str) -> None:
    with anyio.fail_after(5), pytest.raises(TimeoutError):
        await to_its_end(work())


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("work", OF_ASYNCIO)
async def test_its_own_deadlines_by_asyncio_end_it(work: Callable[[], Awaitable[None]]) -> None:
    with anyio.fail_after(5), pytest.raises(TimeoutError):
        await to_its_end(work())


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_cancels_all_tasks_does_not_end_it() -> None:
    went_on: list[int] = []

    async def work() -> None:
        for number in range(5):
            await checkpoint()
            went_on.append(number)

    before = asyncio.all_tasks()
    caller = asyncio.create_task(to_its_end(work()))
    while not went_on:
        await checkpoint()
    for _ in range(3):
        for task in asyncio.all_tasks() - before:
            _ = task.cancel()
        await checkpoint()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert went_on == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_one_within_another_is_cancelled_by_neither() -> None:
    """A deadline of the outer work does not reach into the inner one, whatever began it."""
    went_on: list[str] = []

    async def inner() -> None:
        await asyncio.sleep(0.02)
        went_on.append("inner")

    async def outer() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                await to_its_end(inner())
        went_on.append("outer")

    await to_its_end(outer())
    assert went_on == ["inner", "outer"]


async def test_it_runs_in_the_context_of_whoever_awaits_it(anyio_backend: str) -> None:
    found: list[str] = []

    async def work() -> None:
        await checkpoint()
        found.append(WHOSE.get())

    token = WHOSE.set("the caller's")
    await to_its_end(work())
    begin(work())
    WHOSE.reset(token)
    assert await at_last(lambda: len(found) < 2) is False
    assert found == ["the caller's"] * 2


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_is_begun_is_kept_though_nobody_refers_to_it() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            # Only the task itself knows of what it waits for.
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    before = asyncio.all_tasks()
    begin(work())
    await checkpoint()
    _ = gc.collect()
    (task,) = asyncio.all_tasks() - before
    assert not ended
    _ = task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_is_begun_goes_on_beside_and_is_not_waited_for(anyio_backend: str) -> None:
    done = anyio.Event()

    async def work() -> None:
        await checkpoint()
        done.set()

    begin(work())
    assert not done.is_set()
    with anyio.fail_after(5):
        await done.wait()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_end_of_the_event_loop_waits_for_it_though_it_has_no_shield(backend: str) -> None:
    ended: list[str] = []

    async def work() -> None:
        for _ in range(3):
            await anyio.sleep(0.002)
        ended.append("work")

    async def main() -> None:
        begin(to_its_end(work()))
        await anyio.sleep(0.003)

    anyio.run(main, backend=backend)
    assert ended == ["work"]


def test_what_was_begun_reaches_its_finally_however_soon_the_event_loop_ends() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep(60)
        finally:
            ended.append("work")

    async def main() -> None:
        begin(work())

    anyio.run(main, backend="asyncio")
    anyio.run(main, backend="trio")
    assert ended == ["work", "work"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_was_begun_reaches_its_finally_if_it_is_cancelled_at_once() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep(60)
        finally:
            ended.append("work")

    before = asyncio.all_tasks()
    begin(work())
    for task in asyncio.all_tasks() - before:
        _ = task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert ended == ["work"]


def test_at_the_very_end_of_trio_what_must_come_to_its_end_still_does_and_nothing_is_begun_beside() -> None:
    """There, generators are closed after the last task has ended."""
    ended: list[str] = []

    async def work() -> None:
        await anyio.sleep(0.001)
        ended.append("work")

    async def beside() -> None:
        ended.append("beside")

    async def items() -> AsyncGenerator[int]:
        try:
            yield 1
        finally:
            begin(beside())
            await to_its_end(work())

    found = items()

    async def main() -> None:
        assert await anext(found) == 1

    anyio.run(main, backend="trio")
    assert ended == ["work"]
