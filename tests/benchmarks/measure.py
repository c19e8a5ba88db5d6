"""What one call and one effect cost. Run by `python3 tests/benchmarks`, which installs what it compares with.

All contenders of a table take turns within each round, so that a busy machine is busy for all of them. Shown is the
median of the rounds, and the ratio to the table's first row.
"""

import argparse
import gc
import json
import platform
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter, time
from typing import Any, Self

import aiohttp
import anyio
import httpx2
from kickpy import KickClient as PeerClient
from kickpy.models.access_token import AccessToken

from interpreters.driver import run, run_sync
from interpreters.live import Transport
from interpreters.sandbox import Sandbox, SandboxApp, Simulated
from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient, Secret
from kickcore.api.users import fetch_user
from kickcore.effects import Leaf, Now, Program
from kickcore.http import Request, Response
from kickcore.oauth.access import token_for
from kickcore.oauth.tokens import Token, TokenKind

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from server import BODY  # noqa: E402

Once = Callable[[], Awaitable[object]]
CALLS = 200
EFFECTS = 20_000


def answer(request: httpx2.Request) -> httpx2.Response:
    content_type = {"content-type": "application/json"}
    return httpx2.Response(200, headers=content_type, stream=httpx2.ByteStream(BODY))


class MemoryResponse:
    """What kickcom.py reads of an aiohttp response: its own cost without any of aiohttp's."""

    status = 200

    def __init__(self, body: bytes = BODY) -> None:
        self._body = body

    headers = {"Content-Type": "application/json"}  # noqa: RUF012 - as aiohttp has it

    async def text(self, encoding: str | None = None) -> str:
        return self._body.decode()

    async def json(self) -> Any:
        return json.loads(self._body)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None


class MemorySession:
    def __init__(self, body: bytes = BODY) -> None:
        self._body = body

    def request(self, *_: object, **__: object) -> MemoryResponse:
        return MemoryResponse(self._body)


@asynccontextmanager
async def bare(http: httpx2.AsyncClient, url: str) -> AsyncIterator[Once]:
    async def once() -> object:
        response = await http.get(f"{url}/public/v1/users", params={"id": 123}, headers={"authorization": "Bearer AT"})
        response.raise_for_status()
        return response.json()["data"][0]

    async with http:
        yield once


@asynccontextmanager
async def ours(http: httpx2.AsyncClient | None, url: str, transport: Transport | None = None) -> AsyncIterator[Once]:
    client = KickClient("id", "secret", api_url=url, id_url=url, http=http, store=MemoryStore())
    if transport is not None:
        client._live._transport = transport
    # Servers here know one answer only, so the app token is put where it would be.
    now = time()
    client._live.tokens.put(client._live.app.slot(TokenKind.APP), Token(Secret("AT"), now + 7200, now), save=False)
    async with client:
        yield lambda: client.fetch_user(123)


@asynccontextmanager
async def peer(url: str | None) -> AsyncIterator[Once]:
    client = PeerClient("id", "secret")
    client._access_token = AccessToken("AT", (datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)), "Bearer")
    real = client.api_session
    if url is None:
        client.api_session = MemorySession()  # type: ignore[assignment]
    else:
        client.api_session = aiohttp.ClientSession(base_url=f"{url}/public/v1/")
    try:
        yield lambda: client.fetch_user(123)
    finally:
        if url is not None:
            await client.api_session.close()
        client.api_session = real
        await client.close()


async def rounds_of(contenders: dict[str, Once], rounds: int, count: int = CALLS) -> dict[str, float]:
    """Microseconds a call, the median of the rounds."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, once in contenders.items():
            gc.collect()
            start = perf_counter()
            for _ in range(count):
                await once()
            if turn:
                taken[name].append((perf_counter() - start) / count * 1e6)
    return {name: median(times) for name, times in taken.items()}


def show(title: str, results: dict[str, float], unit: str = "µs") -> None:
    print(f"\n{title}")
    first = next(iter(results.values()))
    for name, value in results.items():
        print(f"  {name:52} {value:9.2f} {unit}   x {value / first:.2f}")


async def calls(title: str, backend: str, url: str | None, rounds: int) -> None:
    async with AsyncExitStack() as stack:

        def client() -> httpx2.AsyncClient:
            transport = httpx2.MockTransport(answer) if url is None else None
            return httpx2.AsyncClient(transport=transport, trust_env=False)

        where = url or "http://127.0.0.1"
        contenders = {
            "bare httpx2: get, raise_for_status, json": await stack.enter_async_context(bare(client(), where)),
            "kickcore: KickClient.fetch_user": await stack.enter_async_context(
                ours(client() if url is None else None, where)
            ),
        }
        if backend == "asyncio":
            name = "kickcom.py 1.1.0: fetch_user"
            contenders[name + (" (aiohttp taken out)" if url is None else "")] = await stack.enter_async_context(
                peer(url)
            )
        show(f"{title}, on {backend}", await rounds_of(contenders, rounds))


def many() -> Program[None]:
    for _ in range(EFFECTS):
        yield from Now()


async def constant(effect: Leaf) -> object:
    return 1.0


async def awaits() -> None:
    for _ in range(EFFECTS):
        await constant(Now())


class Canned:
    """A transport that answers at once: what is left is kickcore's own cost."""

    def __init__(self, body: bytes = BODY) -> None:
        self._body = body

    async def send(self, request: Request) -> Response:
        return Response(200, (("content-type", "application/json"),), self._body)

    async def aclose(self) -> None:
        return None


async def canned() -> None:
    """A whole `KickClient.fetch_user` but for the transport."""
    async with ours(None, "http://127.0.0.1", Canned()) as once:
        for _ in range(10 * CALLS):
            await once()


def effects(rounds: int) -> None:
    simulated = Simulated()
    app_token = run_sync(token_for(simulated.app.slot(TokenKind.APP)), simulated.answer)
    assert app_token.access_token

    def whole() -> None:
        for _ in range(CALLS):
            run_sync(fetch_user(123), simulated.answer)

    each = 1 / EFFECTS
    kinds: dict[str, tuple[Callable[[], object], float]] = {
        "a bare await of a coroutine": (lambda: anyio.run(awaits), each),
        "an effect, asyncio": (lambda: anyio.run(run, many(), constant, simulated), each),
        "an effect, trio": (lambda: anyio.run(run, many(), constant, simulated, backend="trio"), each),
        "an effect, without a loop": (lambda: run_sync(many(), lambda _: 1.0), each),
        "fetch_user without HTTP (5 effects), asyncio": (lambda: anyio.run(canned), 1 / (10 * CALLS)),
        "fetch_user without HTTP, trio": (lambda: anyio.run(canned, backend="trio"), 1 / (10 * CALLS)),
        "fetch_user on the simulated Kick, without a loop": (whole, 1 / CALLS),
    }
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, (once, share) in kinds.items():
            start = perf_counter()
            once()
            taken[name].append((perf_counter() - start) * share * 1e6)
    show("Effects", {name: median(times) for name, times in taken.items()})


LIVESTREAM = {
    "id": "123e4567-e89b-12d3-a456-426614174000",
    "title": "My Stream Title",
    "thumbnail": "https://images.kick.com/video_thumbnails/xxxx/yyy/480.webp",
    "started_at": "2026-07-01T14:38:29Z",
    "viewer_count": 100,
    "language_code": "en",
    "tags": ["English", "Chill"],
    "has_mature_content": True,
    "broadcaster_user": {"id": 123, "username": "streamer", "profile_picture": "https://example.com/profile.jpg"},
    "category": {
        "id": 15,
        "name": "Just Chatting",
        "thumbnail": "https://files.kick.com/images/subcategories/15/banner",
    },
    "channel": {"slug": "streamer-123"},
}
CHANNEL = {
    "active_subscribers_count": 120,
    "banner_picture": "https://files.kick.com/images/channel/700014/banner_image/default-banner-2.jpg",
    "broadcaster_user_id": 721956,
    "canceled_subscribers_count": 4,
    "category": {
        "id": 15,
        "name": "Just Chatting",
        "thumbnail": "https://files.kick.com/images/subcategories/15/banner",
    },
    "channel_description": "Channel description",
    "slug": "scorfly",
    "stream": {
        "custom_tags": ["tag1", "tag2"],
        "is_live": True,
        "is_mature": False,
        "key": "",
        "language": "en",
        "start_time": "2026-09-24T18:02:11Z",
        "thumbnail": "https://images.kick.com/video_thumbnails/xxxx/yyy/480.webp",
        "url": "",
        "viewer_count": 67,
    },
    "stream_title": "My first stream",
}


async def decoding(rounds: int) -> None:
    """The same answers without any transport: from octets to values."""
    page = json.dumps({"data": [LIVESTREAM] * 1000, "message": "OK", "pagination": {"next_cursor": "eyJj"}}).encode()
    channel = json.dumps({"data": [CHANNEL], "message": "OK"}).encode()
    rows: tuple[tuple[str, bytes, str, str, dict[str, Any], int], ...] = (
        ("A page of 1,000 livestreams", page, "fetch_livestreams", "fetch_livestreams_v2", {"limit": 1000}, 2),
        ("A channel", channel, "fetch_channel", "fetch_channel", {"slug": "scorfly"}, CALLS),
    )
    for title, body, own, theirs, arguments, count in rows:
        client = KickClient("id", "secret", store=MemoryStore())
        client._live._transport = Canned(body)
        now = time()
        client._live.tokens.put(client._live.app.slot(TokenKind.APP), Token(Secret("AT"), now + 7200, now), save=False)
        async with client:
            other = PeerClient("id", "secret")
            other._access_token = AccessToken(
                "AT", datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1), "Bearer"
            )
            sessions = other.api_session, other.api_v2_session
            other.api_session = other.api_v2_session = MemorySession(body)
            contenders: dict[str, Once] = {
                "kickcore": lambda: getattr(client, own)(**arguments),  # noqa: B023 - called within this turn
                "kickcom.py 1.1.0": lambda: getattr(other, theirs)(**arguments),  # noqa: B023
            }
            show(f"{title}, without transport, on asyncio", await rounds_of(contenders, rounds, count))
            other.api_session, other.api_v2_session = sessions
            await other.close()


async def crowd(callers: int) -> None:
    """Many callers with an expired token, strict rotation: how many refreshes, and how long."""
    sandbox = Sandbox()
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=SandboxApp(sandbox)))
    token = sandbox.sign_in(["user:read"])
    assert token.access_token is not None
    succeeded = 0
    async with http, KickClient("sandbox-app", "sandbox-secret", http=http, store=MemoryStore()) as client:
        client.set_user_token(token.access_token, token.refresh_token, 7200, "user:read", save=True)
        sandbox.expire_access_tokens()

        async def call() -> None:
            nonlocal succeeded
            await client.fetch_user()
            succeeded += 1

        start = perf_counter()
        async with anyio.create_task_group() as tasks:
            for _ in range(callers):
                tasks.start_soon(call)
        taken = perf_counter() - start
    refreshes = sum(entry.path == "/oauth/token" for entry in sandbox.log)
    print(f"  {refreshes} refresh, {succeeded:,} of {callers:,} succeeded, {taken:.1f} s")


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=15)
    rounds = options.parse_known_args()[0].rounds
    names = ("kickcore", "kickcom.py", "httpx2", "msgspec", "anyio", "trio", "aiohttp")
    print(
        f"CPython {platform.python_version()}, {platform.machine()}; " + ", ".join(f"{n} {version(n)}" for n in names)
    )
    effects(rounds)
    server = subprocess.Popen([sys.executable, str(HERE / "server.py")], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        for backend in ("asyncio", "trio"):
            anyio.run(calls, "One fetch_user, in-memory transport", backend, None, rounds, backend=backend)
            anyio.run(calls, "One fetch_user, HTTP on the loopback interface", backend, url, rounds, backend=backend)
    finally:
        server.kill()
        server.wait()
    anyio.run(decoding, rounds)
    for backend in ("asyncio", "trio"):
        print(f"\n10,000 callers at once, expired token, strict rotation, in memory, on {backend}")
        anyio.run(crowd, 10_000, backend=backend)


if __name__ == "__main__":
    main()
