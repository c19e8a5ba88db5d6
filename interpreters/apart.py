"""Work that must come to its end, whoever is cancelled; and work beside the program.

anyio's shield holds off anyio's own cancellation. On asyncio, `timeout`, `wait_for`, `TaskGroup` and Ctrl-C use
`Task.cancel()`, which goes through any shield; and the end of `asyncio.run` cancels every task there is, as some
programs do by themselves. On trio, Ctrl-C is raised in the main task through any shield. So such work is a task of its
own.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, TypeVar

import anyio

T = TypeVar("T")

_inside: ContextVar[object] = ContextVar("kickcore: the work that must come to its end", default=None)


class _Steadfast(asyncio.Task[None]):
    """A task that is cancelled by nobody but what was begun inside of it, such as its own deadlines.

    Those run in its context or in copies of it. Who cancels all tasks does not, so the end of `asyncio.run` waits.
    """

    def __init__(self, work: Coroutine[Any, Any, None], *, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        self._mark = object()
        _ = context.run(_inside.set, self._mark)
        super().__init__(work, loop=loop, context=context)

    def cancel(self, msg: Any | None = None) -> bool:
        return _inside.get() is self._mark and super().cancel(msg)


class _Beside(asyncio.Task[None]):
    """A task that is cancelled no sooner than it has begun, because else no `finally` of it would be reached."""

    def cancel(self, msg: Any | None = None) -> bool:
        coroutine = self.get_coro()
        if isinstance(coroutine, Coroutine) and getcoroutinestate(coroutine) == CORO_CREATED:
            _ = self.get_loop().call_soon(super().cancel, msg)
            return True
        return super().cancel(msg)


_kept: set[asyncio.Task[None]] = set()
"""The event loop itself holds its tasks weakly."""


def begin(work: Coroutine[Any, Any, None]) -> None:
    """Begin `work` beside the program, and do not wait for it. It must not raise. It is cancelled at the loop's end."""
    if not _spawn(work, _Beside):
        work.close()


def _spawn(work: Coroutine[Any, Any, None], kind: type[_Steadfast | _Beside]) -> bool:
    """Make a task of it. False where trio makes none any more: when it closes generators, at its very end."""
    context = copy_context()
    if _is_in_asyncio():
        task = kind(work, loop=asyncio.get_running_loop(), context=context)
        _kept.add(task)
        task.add_done_callback(_kept.discard)
        return True
    import trio

    try:
        _ = trio.lowlevel.spawn_system_task(lambda: work, context=context)
    except RuntimeError:
        return False
    return True


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end, whoever cancels: a cancellation from outside is felt afterwards.

    The work itself must have a limit.
    """
    done = anyio.Event()
    results: list[T] = []
    failures: list[BaseException] = []

    async def carry() -> None:
        try:
            # The end of `trio.run` cancels this task, too.
            with anyio.CancelScope(shield=True):
                results.append(await work)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)
        done.set()

    carrying = carry()
    if not _spawn(carrying, _Steadfast):
        await carrying
    try:
        # What interrupts the wait goes before what came of the work.
        failures[:0] = await _interruptions(done)
        if failures:
            raise failures[0]
        return results[0]
    finally:
        # A traceback holds this frame, and this frame holds what holds it.
        failures.clear()


async def undisturbed(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await `work()`. On trio, Ctrl-C is felt in it where it waits and nowhere else, as a cancellation is."""
    if _is_in_asyncio():
        return await work()
    import trio

    return await trio.lowlevel.enable_ki_protection(_awaited)(work)


async def _awaited(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return await work()


async def _interruptions(done: anyio.Event) -> list[BaseException]:
    """Wait, and give the last of what would have ended the wait too early."""
    kept: list[BaseException] = []
    kinds = (asyncio.CancelledError, KeyboardInterrupt) if _is_in_asyncio() else (KeyboardInterrupt,)
    with anyio.CancelScope(shield=True):
        while not done.is_set():
            try:
                await done.wait()
            except kinds as error:
                kept[:] = [error]
    return kept


def _is_in_asyncio() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
