"""Work that must come to its end, whoever is cancelled; and work beside the program.

anyio's shield holds off anyio's own cancellation. On asyncio, `timeout`, `wait_for`, `TaskGroup` and Ctrl-C use
`Task.cancel()`, which goes through any shield, and the end of `asyncio.run` cancels every task there is. On trio,
Ctrl-C is raised in the main task through any shield. So such work is a task of its own.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


class _Steadfast(asyncio.Task[None]):
    """A task that the end of `asyncio.run` waits for. That cancels all tasks when the loop already stands still."""

    def cancel(self, msg: Any | None = None) -> bool:
        return self.get_loop().is_running() and super().cancel(msg)


_kept: set[asyncio.Task[None]] = set()
"""The event loop itself holds its tasks weakly."""


def begin(work: Coroutine[Any, Any, None]) -> None:
    """Begin `work` beside the program, and do not wait for it. It must not raise. It is cancelled at the loop's end."""
    _spawn(work, asyncio.Task)


def _spawn(work: Coroutine[Any, Any, None], kind: type[asyncio.Task[None]]) -> None:
    if _is_in_asyncio():
        task = kind(work, loop=asyncio.get_running_loop())
        _kept.add(task)
        task.add_done_callback(_kept.discard)
    else:
        import trio

        _ = trio.lowlevel.spawn_system_task(lambda: work, context=copy_context())


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end, whoever cancels: a cancellation from outside is felt afterwards.

    The work itself must have a limit, and on trio a shield.
    """
    done = anyio.Event()
    results: list[T] = []
    failures: list[BaseException] = []

    async def carry() -> None:
        try:
            results.append(await work)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)
        done.set()

    _spawn(carry(), _Steadfast)
    try:
        # What interrupts the wait goes before what came of the work.
        failures[:0] = await _interruptions(done)
        if failures:
            raise failures[0]
        return results[0]
    finally:
        # A traceback holds this frame, and this frame holds what holds it.
        failures.clear()


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
