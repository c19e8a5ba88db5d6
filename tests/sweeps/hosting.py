"""The simulated Kick over HTTP, in a thread of its own, so that its tasks are not among ours."""

import threading
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager

import anyio
import anyio.to_thread

from interpreters.sandbox import Sandbox, serve


@contextmanager
def hosted(kick: Sandbox) -> Generator[str]:
    """Serve `kick` while the body runs. Gives the origin."""
    told: Future[str] = Future()
    done = threading.Event()

    async def serving() -> None:
        async with serve(kick) as origin:
            told.set_result(origin)
            await anyio.to_thread.run_sync(done.wait)

    thread = threading.Thread(target=anyio.run, args=(serving,))
    thread.start()
    try:
        yield told.result(timeout=10)
    finally:
        done.set()
        thread.join(timeout=10)
        assert not thread.is_alive()
