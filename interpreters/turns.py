"""Taking turns: who may change a token, among the tasks of one event loop and among the threads of one process."""

import os
import threading
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from copy import copy
from types import TracebackType
from typing import Final, Self

import anyio

from kickcore.errors import KickError

LONGEST_NAP: Final = 0.05
"""Seconds between two looks at whether another thread is done."""


class Turn:
    """Those tasks of one event loop who want to change one token: one at a time, in the order in which they came.

    Whoever waited while another failed shares that failure, and does not fail at the same thing once more.
    """

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._ended = 0
        self._failure: KickError | None = None
        self.is_ahead: bool = False
        """Whether somebody renews the token ahead of its end, or is about to."""

    async def __aenter__(self) -> Self:
        await self._lock.acquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def is_taken(self) -> bool:
        """Whether somebody is changing the token."""
        return self._lock.statistics().locked

    @property
    def ended(self) -> int:
        """How many attempts have ended: to be noted before waiting."""
        return self._ended

    def end(self, failure: KickError | None) -> None:
        """An attempt has ended. Its failure is kept without what it came by."""
        self._ended += 1
        self._failure = None if failure is None else copy(failure)

    def failure_since(self, ended: int) -> KickError | None:
        """How the last attempt failed, if it ended after `ended` was noted."""
        return copy(self._failure) if self._failure is not None and self._ended > ended else None


class Gate:
    """One holder of a name at a time in this process, whatever threads and event loops ask.

    A task waits for it without blocking its event loop. A child process begins with a gate of its own.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._locks: dict[Hashable, threading.Lock] = {}

    @asynccontextmanager
    async def hold(self, name: Hashable) -> AsyncGenerator[None]:
        """Wait for `name`, and hold it."""
        lock = self._lock(name)
        nap = 0.001
        while not lock.acquire(blocking=False):
            await anyio.sleep(nap)
            nap = min(nap * 1.5, LONGEST_NAP)
        try:
            yield
        finally:
            lock.release()

    def _lock(self, name: Hashable) -> threading.Lock:
        if self._process != os.getpid():
            self._process, self._locks = os.getpid(), {}
        return self._locks.setdefault(name, threading.Lock())
