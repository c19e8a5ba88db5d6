"""What an event loop and a process hold, to be compared with what they held before."""

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import anyio
import trio

T = TypeVar("T")

PATIENCE: Final = 3.0
"""Seconds after which what is left is taken to stay."""


def tasks() -> set[object]:
    """All tasks of this event loop, those of the system as well."""
    try:
        root = trio.lowlevel.current_root_task()
    except RuntimeError:
        return {task for task in asyncio.all_tasks() if not task.done()}
    found: set[object] = set()
    waiting = [root] if root else []
    while waiting:
        task = waiting.pop()
        found.add(task)
        waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def is_free(lock: Path) -> bool:
    """Whether a lock file can be locked at once."""
    descriptor = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


async def at_last(left: Callable[[], T]) -> T:
    """What is left once nothing is, or after a while."""
    deadline = anyio.current_time() + PATIENCE
    while (found := left()) and anyio.current_time() < deadline:  # noqa: ASYNC110 - nobody tells when it is gone
        await anyio.sleep(0.001)
    return found
