"""A call is cancelled at each point at which an event loop gets its turn between two steps of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context
from typing import Any, Final, TypeAlias

import anyio
from rows import Row
from stage import Stage

Work: TypeAlias = Callable[[], Awaitable[object]]
Cancelling: TypeAlias = Callable[[Work, "Steps"], Awaitable[None]]


class Steps:
    """Counts the steps of an event loop, whatever task makes them, and cancels after one of them (0: after none)."""

    def __init__(self, place: int) -> None:
        self.count = 0
        self.cancel: Callable[[], object] = lambda: None
        self._place = place

    def tick(self) -> None:
        self.count += 1
        if self.count == self._place:
            self.cancel()


async def on_asyncio(work: Work, steps: Steps, *, by_scope: bool) -> None:
    """By `Task.cancel()`, as asyncio does it, or by a scope, as anyio does."""
    loop: Any = asyncio.get_running_loop()
    call_soon = loop.call_soon

    def counted(callback: Callable[..., object], *args: object, context: Context | None = None) -> asyncio.Handle:
        def step(*given: object) -> None:
            callback(*given)
            steps.tick()

        return call_soon(step, *args, context=context)

    async def call() -> None:
        with anyio.CancelScope() as scope:
            if by_scope:
                steps.cancel = scope.cancel
            await work()

    # Not by a task factory: a library may make tasks of its own kind.
    loop.call_soon = counted
    try:
        task = loop.create_task(call())
        if not by_scope:
            steps.cancel = task.cancel
        await asyncio.wait([task])
    finally:
        del loop.call_soon


async def on_trio(work: Work, steps: Steps) -> None:
    """By a scope."""
    import trio

    class Counting(trio.abc.Instrument):
        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            steps.tick()

    counting = Counting()
    with anyio.CancelScope() as scope:
        steps.cancel = scope.cancel
        trio.lowlevel.add_instrument(counting)
        try:
            await work()
        finally:
            trio.lowlevel.remove_instrument(counting)


WAYS: Final[dict[str, dict[str, Cancelling]]] = {
    "asyncio": {
        "a scope": lambda work, steps: on_asyncio(work, steps, by_scope=True),
        "Task.cancel()": lambda work, steps: on_asyncio(work, steps, by_scope=False),
    },
    "trio": {"a scope": on_trio},
}


def cancellation_points(stage: Stage) -> Iterator[Row]:
    """A call that renews its token is cancelled, alone and among others. All others must work; strict rotation."""
    for way, cancelling in WAYS[stage.subject.backend].items():
        for others in (0, 3):
            yield sweep(stage, way, cancelling, others)


def sweep(stage: Stage, way: str, cancelling: Cancelling, others: int) -> Row:
    points = refreshes = spare = lost = failed = cancelled = 0
    total = cancelled_at(stage, cancelling, others, 0)
    for place in stage.some(list(range(1, total + 1)), None, 8):
        before = len(stage.told())
        cancelled_at(stage, cancelling, others, place)
        outcomes, state = stage.told()[before:], stage.settled()
        points += 1
        refreshes += state.refreshes
        spare += max(0, state.refreshes - 1)
        lost += not stage.is_kept()
        # The one that is cancelled leaves no outcome, unless it was done by then.
        cancelled += len(outcomes) < others + 2
        failed += sum(bool(outcome.error) for outcome in outcomes) + max(0, others + 1 - len(outcomes))
    return stage.row(
        f"{'one of ' + str(others + 1) + ' calls' if others else 'a call'} cancelled by {way}, strict rotation",
        "cancellation points",
        points,
        refreshes=refreshes,
        spare=spare,
        lost=lost,
        failed=failed,
        note=f"of {total} steps; {cancelled} calls did not get to their end",
    )


def cancelled_at(stage: Stage, cancelling: Cancelling, others: int, place: int) -> int:
    """Cancel a call after a step, and make another one by the same client; how many steps there were."""
    stage.begin()
    steps = Steps(place)

    async def use(client: object) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancelling, lambda: stage.attempt(client), steps)
            for _ in range(others):
                tasks.start_soon(stage.attempt, client)
        await stage.attempt(client)

    stage.run(use)
    return steps.count
