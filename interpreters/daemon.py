"""Blocking calls that may never come back: a prompt, a text browser.

A worker thread of anyio's would hold up the end of the program on asyncio until such a call returns. A daemon thread is
left behind without a word.
"""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

import anyio

T = TypeVar("T")

LOOK_EVERY: Final = 0.02
"""Seconds between two looks at whether the thread is done."""


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """Call `work` in a daemon thread and give what it gives or raises. When cancelled, the thread is left behind."""
    results: list[T] = []
    failures: list[Exception] = []

    def call() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    # Waking the event loop from a thread that may outlive it would be a race; a look now and then is none.
    while thread.is_alive():  # noqa: ASYNC110
        await anyio.sleep(LOOK_EVERY)
    if failures:
        raise failures.pop()
    return results[0]
