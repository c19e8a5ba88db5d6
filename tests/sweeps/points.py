"""Suspension points: a call is driven by hand, and cancelled at one of them, in every way in which that can be done.

What a call begins counts as well: the tasks of its task groups, and the one in which a renewal goes on.
"""

import asyncio
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeAlias

import anyio
import pytest
import trio

from interpreters import apart

Work: TypeAlias = Callable[[], Awaitable[object]]


class Steps:
    """Counts suspensions, and acts at one of them (0: at none), or at that one and the next."""

    def __init__(self, place: int, *, twice: bool = False) -> None:
        self.count = 0
        self.act: Callable[[], object] = lambda: None
        self.was_felt = False
        """Whether the call was suspended, or about to be, when something was done to it or after that."""
        self.is_over = False
        self.caller: object = None
        """The task of trio's whose steps are counted by hand."""
        self._place = place
        self._last = place + twice

    def tick(self, *, by_caller: bool) -> None:
        """Something was suspended: the call itself, or what it has begun."""
        if self.is_over:
            return
        self.count += 1
        self.was_felt = self.was_felt or (by_caller and self.count >= self._place > 0)
        if self._place <= self.count <= self._last and self._place:
            self.act()


STEPS: Final[ContextVar[Steps | None]] = ContextVar("steps", default=None)


class Driven:
    """An awaitable that drives a coroutine by hand and counts each time that it is suspended."""

    def __init__(self, work: Awaitable[object], steps: Steps, *, is_caller: bool) -> None:
        self._inner = work.__await__()
        self._steps = steps
        self._is_caller = is_caller

    def __await__(self) -> Generator[Any, Any, Any]:
        step, value = self._inner.send, None
        while True:
            try:
                suspended = step(value)
            except StopIteration as stop:
                return stop.value
            # Before it is passed on: what is cancelled now was not suspended yet.
            self._steps.tick(by_caller=self._is_caller)
            try:
                value = yield suspended
                step = self._inner.send
            except BaseException as error:  # noqa: BLE001 - a cancellation, on its way to whom it is meant for
                step, value = self._inner.throw, error


async def _driven(work: Awaitable[Any], steps: Steps) -> Any:
    return await Driven(work, steps, is_caller=False)


def _counted(work: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    steps = STEPS.get()
    return work if steps is None else _driven(work, steps)


class _Counting(trio.abc.Instrument):
    """Counts the steps of those tasks that a call has begun."""

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        steps = task.context.get(STEPS)
        if steps is not None and steps.caller is not task:
            steps.tick(by_caller=False)


@contextmanager
def counting(backend: str) -> Generator[list[str]]:
    """Count what is begun by calls, too, on the event loop that runs. Gives what that loop complains of."""
    complaints: list[str] = []
    if backend == "trio":
        instrument = _Counting()
        trio.lowlevel.add_instrument(instrument)
        try:
            yield complaints
        finally:
            trio.lowlevel.remove_instrument(instrument)
        return
    spawn, loop = apart._spawn, asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, work, **more: asyncio.Task(_counted(work), loop=loop, **more))
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda loop, context: complaints.append(f"the event loop: {context}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "_spawn", lambda work, kind: spawn(_counted(work), kind))
        patch.setattr(BaseSelectorEventLoop, "_sock_accept", _accepting(BaseSelectorEventLoop._sock_accept))
        try:
            yield complaints
        finally:
            loop.set_task_factory(None)
            loop.set_exception_handler(before)


def _accepting(accept: Callable[..., None]) -> Callable[..., None]:
    """As in CPython since gh-153761: a connection is not taken out of the queue for somebody who was cancelled."""

    def accepting(loop: object, future: asyncio.Future[object], listener: object) -> None:
        if not future.done():
            accept(loop, future, listener)

    return accepting


class How(StrEnum):
    """How a call ended."""

    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"


class Came(NamedTuple):
    """What came of a call, and whether it was suspended as often as to be cancelled."""

    how: How
    was_cancelled: bool
    value: object = None
    error: Exception | None = None

    def __str__(self) -> str:
        return f"{self.how} {type(self.error).__name__}: {self.error}" if self.error else self.how.value


async def _called(work: Work, steps: Steps) -> Came:
    token = STEPS.set(steps)
    steps.caller = _trio_task()
    try:
        value = await Driven(work(), steps, is_caller=True)
    except Exception as error:  # noqa: BLE001 - told as what came of it
        return Came(How.FAILED, steps.was_felt, error=error)
    finally:
        steps.is_over = True
        STEPS.reset(token)
    return Came(How.FINISHED, steps.was_felt, value)


def _trio_task() -> object:
    try:
        return trio.lowlevel.current_task()
    except RuntimeError:
        return None


async def by_scope(work: Work, place: int) -> tuple[Came, int]:
    """By the scope that encloses the call. Gives what came of it and the number of suspensions."""
    steps = Steps(place)
    with anyio.CancelScope() as scope:
        steps.act = scope.cancel
        return await _called(work, steps), steps.count
    return Came(How.CANCELLED, was_cancelled=True), steps.count


async def by_deadline(work: Work, place: int) -> tuple[Came, int]:
    """By a deadline that is over."""
    steps = Steps(place)
    try:
        with anyio.fail_after(3600) as scope:
            steps.act = lambda: setattr(scope, "deadline", anyio.current_time())
            return await _called(work, steps), steps.count
    except TimeoutError:
        return Came(How.TIMED_OUT, was_cancelled=True), steps.count


def natively(*, late: bool = False, twice: bool = False) -> "Cancelling":
    """By `Task.cancel()`, at once or a turn of the loop later, when what was waited for may be there already."""

    async def cancelling(work: Work, place: int) -> tuple[Came, int]:
        steps = Steps(place, twice=twice)
        loop = asyncio.get_running_loop()
        task = asyncio.Task(_called(work, steps), loop=loop)
        accepted: list[bool] = []

        def cancel() -> None:
            accepted.append(task.cancel())

        steps.act = (lambda: loop.call_soon(cancel)) if late else cancel
        await asyncio.wait([task])
        if task.cancelled():
            return Came(How.CANCELLED, was_cancelled=True), steps.count
        return task.result()._replace(was_cancelled=any(accepted)), steps.count

    return cancelling


Cancelling: TypeAlias = Callable[[Work, int], Awaitable[tuple[Came, int]]]

_BOTH: Final[dict[str, Cancelling]] = {"a scope": by_scope, "a deadline": by_deadline}
WAYS: Final[dict[str, dict[str, Cancelling]]] = {
    "asyncio": _BOTH
    | {
        "Task.cancel()": natively(),
        "Task.cancel() a turn later": natively(late=True),
        "Task.cancel() twice": natively(twice=True),
    },
    "trio": _BOTH,
}
"""The ways to cancel, by event loop."""

_RIGHT: Final = {"a scope": How.CANCELLED, "a deadline": How.TIMED_OUT}


def is_right(way: str, came: Came, *, may_finish: bool = False) -> bool:
    """Whether a cancelled call has ended as it must.

    `may_finish`: it may be done when it is cancelled by a scope, which does not reach into threads and behind shields;
    what comes next feels that.
    """
    return came.how is _RIGHT.get(way, How.CANCELLED) or (may_finish and way in _RIGHT and came.how is How.FINISHED)
