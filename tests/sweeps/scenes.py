"""Programs that leave while their user token is being renewed."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2
from msgspec.structs import replace

from kickcore import KickClient

from .left import is_free
from .stages import SETTINGS, USER_SLOT, Stage, Wire

ANSWERS_AFTER: Final = 0.05
"""Seconds between what Kick does and its answer."""
LONGEST_END: Final = 2.0
"""Seconds that a program may take to end."""


class Slow(Wire):
    """A Kick that takes its time to answer a renewal, after it has spent the refresh token.

    When it answers, the lock must still be held: what others read from the file is spent.
    """

    def __init__(self, stage: Stage, then: Callable[[], object] = lambda: None) -> None:
        super().__init__(stage.kick)
        self.has_spent = anyio.Event()
        self._then = then
        self._lock = stage.folder / ".kick.user_token.json.lock"

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await super().handle_async_request(request)
        if request.url.path == "/oauth/token":
            self.has_spent.set()
            self._then()
            await anyio.sleep(ANSWERS_AFTER)
            assert not is_free(self._lock)
        return answer


class Scene:
    """A program that leaves while its user token is being renewed: `setting` says whether it waits for the new one."""

    def __init__(self, folder: Path, setting: str) -> None:
        self.stage = Stage(folder / "tokens")
        SETTINGS[setting](self.stage)
        self._before = self.stage.stored()

    def make_old(self) -> None:
        """The grant is so old that one is told of it."""
        assert self._before is not None
        long_ago = time.time() - 27 * 86400
        self.stage.put(USER_SLOT, replace(self._before, granted_at=long_ago, refresh_issued_at=long_ago))

    async def begin(self) -> "asyncio.Task[object] | None":
        """A call whose renewal has been sent by now; if it does not wait for it, the call is done."""
        client, sent = self.slow_client()
        if not self.waits:
            _ = await client.fetch_user()
            await sent.wait()
            return None
        task = asyncio.get_running_loop().create_task(client.fetch_user())
        await sent.wait()
        return task

    def slow_client(self, then: Callable[[], object] = lambda: None, **options: Any) -> tuple[KickClient, anyio.Event]:
        """A client of the slow Kick, which does something when it has spent the refresh token, and says so."""
        slow = Slow(self.stage, then)
        http = httpx2.AsyncClient(transport=slow)
        client = KickClient("sandbox-app", "sandbox-secret", http=http, store=self.stage.store, **options)
        return client, slow.has_spent

    @property
    def waits(self) -> bool:
        """Whether the call waits for the renewal."""
        return self._before is not None and not self._before.is_alive(time.time())

    def has_ended_well(self) -> bool:
        """Whether the refresh token was spent once, and the new one is in the file."""
        spent = sum(held.spent_at is not None for held in self.stage.kick.world.refresh.values())
        after = self.stage.stored()
        assert after is not None
        assert self._before is not None
        return spent == 1 and self.stage.is_kept(after) and after.refresh_token != self._before.refresh_token


def ends_soon(run: Callable[[], object]) -> None:
    """It does not hang, even if it waits for the renewal."""
    began = time.perf_counter()
    run()
    assert time.perf_counter() - began < LONGEST_END
