"""Renewals that something comes between: Ctrl-C, closing, a crowd in the queue."""

import signal
from collections.abc import Awaitable, Callable

import anyio
import httpx2
import pytest

from interpreters.http.transport import AT_ONCE
from interpreters.sandbox import Sandbox, SandboxApp
from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient
from kickcore.errors import ClientClosed
from kickcore.oauth.access import token_for
from kickcore.oauth.tokens import TokenKind


class Slow(httpx2.AsyncBaseTransport):
    """A Kick whose answers wait for `before_answering`, after it has acted."""

    def __init__(self, kick: Sandbox, before_answering: Callable[[str], Awaitable[None]]) -> None:
        self._inner = httpx2.ASGITransport(app=SandboxApp(kick))
        self._before_answering = before_answering

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        await self._before_answering(request.url.path)
        return response


def logged_in(kick: Sandbox, transport: Slow, store: MemoryStore) -> KickClient:
    token = kick.sign_in(["user:read"])
    assert token.access_token is not None
    http = httpx2.AsyncClient(transport=transport)
    client = KickClient("sandbox-app", "sandbox-secret", http=http, store=store)
    client.set_user_token(token.access_token, token.refresh_token, 7200, "user:read", save=True)
    kick.expire_access_tokens()
    return client


async def works_afterwards(kick: Sandbox, store: MemoryStore) -> None:
    """The grant was not lost: a new client with the same store gets on without a login."""
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=SandboxApp(kick)))
    async with http, KickClient("sandbox-app", "sandbox-secret", http=http, store=store) as client:
        assert (await client.fetch_user()).name == "streamer_123"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_in_the_middle_of_a_renewal_loses_nothing(backend: str) -> None:
    kick, store = Sandbox(), MemoryStore()

    async def before_answering(path: str) -> None:
        if path == "/oauth/token":
            signal.raise_signal(signal.SIGINT)
            await anyio.sleep(0.05)

    async def main() -> None:
        await logged_in(kick, Slow(kick, before_answering), store).fetch_user()

    with pytest.raises(KeyboardInterrupt):
        anyio.run(main, backend=backend)
    anyio.run(works_afterwards, kick, store, backend=backend)
    assert sum(entry.path == "/oauth/token" for entry in kick.log) == 1


async def test_closing_waits_for_a_renewal_that_is_under_way() -> None:
    kick, store = Sandbox(), MemoryStore()
    under_way, go_on = anyio.Event(), anyio.Event()
    ended: list[str] = []

    async def before_answering(path: str) -> None:
        if path == "/oauth/token":
            under_way.set()
            await go_on.wait()

    client = logged_in(kick, Slow(kick, before_answering), store)

    async def call() -> None:
        try:
            _ = await client.fetch_user()
        except ClientClosed:
            ended.append("call")

    async def close() -> None:
        await client.close()
        ended.append("close")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await under_way.wait()
        tasks.start_soon(close)
        await anyio.wait_all_tasks_blocked()
        assert not ended
        go_on.set()
    assert "close" in ended
    await works_afterwards(kick, store)


async def test_a_renewal_does_not_stand_in_line_behind_calls() -> None:
    kick, store = Sandbox(), MemoryStore()
    crowded, go_on = anyio.Event(), anyio.Event()
    calls = 0

    async def before_answering(path: str) -> None:
        nonlocal calls
        if path == "/public/v1/users":
            calls += 1
            if calls == AT_ONCE:
                crowded.set()
            await go_on.wait()

    client = logged_in(kick, Slow(kick, before_answering), store)
    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(client.fetch_users, [123])
        await crowded.wait()
        # The line is full; the user token is due.
        slot = client._live.app.slot(TokenKind.USER)
        before = await client._live.tokens.load(slot)
        assert before is not None
        renewed = await client.run(token_for(slot, refused=before.token.access_token))
        assert renewed != before.token
        go_on.set()
    await client.close()
