"""The loops that drive programs. The rules that they keep stand at the top of `kickcore.effects`."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from kickcore.effects import Exclusive, Leaf, Program
from kickcore.errors import RenewalStalled
from kickcore.oauth.renewal import carry_out, glance
from kickcore.oauth.tokens import Slot, Token

T = TypeVar("T")

Handler: TypeAlias = Callable[[Leaf], Awaitable[object]]
"""Answers an effect. What wraps one (to record, to inject faults, to log) is a function from handler to handler."""

SHIELD: Final = 25.0
"""Seconds that the body of an `Exclusive` may take before it is given up. Kick's token endpoint gets 15 of them."""


class Turns(Protocol):
    """Who may change the token of a slot: one task of this process at a time, and one process at a time."""

    def turn(self, slot: Slot) -> AbstractAsyncContextManager[None]:
        """Wait for the slot within this process."""
        ...

    def hold(self, slot: Slot) -> AbstractAsyncContextManager[None]:
        """Wait for the slot among the processes that share the store. Taken inside `turn`."""
        ...


async def run(program: Program[T], handle: Handler, turns: Turns) -> T:
    """Drive `program` to its end and return its value.

    Always a checkpoint, however little the program asks. Raises what the program raises; an exception of the handler
    goes through the program, a cancellation does not.
    """
    await checkpoint()
    return await _drive(program, handle, turns)


async def _drive(program: Program[T], handle: Handler, turns: Turns) -> T:
    answer: object = None
    failure: Exception | None = None
    try:
        while True:
            effect = program.send(answer) if failure is None else program.throw(failure)
            failure = None
            try:
                answer = await (_exclusive(effect, handle, turns) if isinstance(effect, Exclusive) else handle(effect))
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the line that asked
                # Thrown on the next turn, outside this block: the error would gain a false context here.
                failure = error
    except StopIteration as stop:
        return stop.value
    finally:
        program.close()
        # Its traceback holds this frame, and this frame holds it.
        failure = None


async def _exclusive(effect: Exclusive, handle: Handler, turns: Turns) -> Token:
    """Wait in line; see whether that was enough; else renew, where no cancellation can part "sent" from "saved"."""
    async with turns.turn(effect.slot):
        token = await _drive(glance(effect.action), handle, turns)
        if token is None:
            async with turns.hold(effect.slot):
                token = await _shielded(_within_limit(_drive(carry_out(effect.action), handle, turns)))
    # The shield kept a cancellation away; here it gets through.
    await checkpoint()
    if token is None:
        raise RenewalStalled(
            f"renewing the {effect.slot.kind} token took more than {SHIELD:g} seconds and was given up; "
            "what was held is kept, and the next call tries again"
        )
    return token


async def _within_limit(work: Coroutine[Any, Any, T]) -> T | None:
    with anyio.move_on_after(SHIELD, shield=True):
        return await work
    return None


async def _shielded(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end, whoever cancels: a cancellation from outside is felt afterwards.

    anyio's shield holds off anyio's own cancellation. `asyncio.timeout`, `wait_for`, `TaskGroup` and Ctrl-C use
    `Task.cancel()`, which goes through any shield: so on asyncio the work is a task of its own, and we wait for it.
    """
    if not _in_asyncio_task():
        return await _apart_on_trio(work)
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    try:
        with anyio.CancelScope(shield=True):
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError as error:
                    cancelled = error
        if cancelled is None or task.cancelled():
            return task.result()
        # Looked at, so that asyncio does not report it as never retrieved.
        _ = task.exception()
        raise cancelled
    finally:
        # A traceback holds this frame, and this frame holds what holds it.
        del task, cancelled


async def _apart_on_trio(work: Coroutine[Any, Any, T]) -> T:
    """The same on trio, where Ctrl-C is raised in the main task through any shield; the system's tasks are spared."""
    import trio

    done = trio.Event()
    results: list[T] = []
    failures: list[BaseException] = []
    interrupted: KeyboardInterrupt | None = None

    async def carry() -> None:
        try:
            results.append(await work)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)
        done.set()

    _ = trio.lowlevel.spawn_system_task(carry, context=copy_context())
    try:
        with anyio.CancelScope(shield=True):
            while not done.is_set():
                try:
                    await done.wait()
                except KeyboardInterrupt as error:
                    interrupted = error
        if interrupted is not None:
            raise interrupted
        if failures:
            raise failures[0]
        return results[0]
    finally:
        # A traceback holds this frame, and this frame holds what holds it.
        interrupted = None
        failures.clear()


def _in_asyncio_task() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def run_sync(program: Program[T], answer: Callable[[Leaf], object]) -> T:
    """Drive `program` without an event loop: for replays, for tests, for a world that is a function."""
    said: object = None
    failure: Exception | None = None
    try:
        while True:
            effect = program.send(said) if failure is None else program.throw(failure)
            failure = None
            try:
                said = _exclusive_sync(effect, answer) if isinstance(effect, Exclusive) else answer(effect)
            except Exception as error:  # noqa: BLE001 - as above
                failure = error
    except StopIteration as stop:
        return stop.value
    finally:
        program.close()
        failure = None


def _exclusive_sync(effect: Exclusive, answer: Callable[[Leaf], object]) -> Token:
    """Nobody to wait for; but what is asked is the same, so that a recording can be replayed."""
    token = run_sync(glance(effect.action), answer)
    return run_sync(carry_out(effect.action), answer) if token is None else token
