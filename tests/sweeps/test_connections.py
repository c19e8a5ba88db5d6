"""Real connections: sending and closing, cancelled wherever they can be suspended, leave none open."""

import gc
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count, cycle
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit
from warnings import catch_warnings, simplefilter

import anyio
import pytest

from interpreters.http.transport import AT_ONCE, HttpTransport
from interpreters.sandbox import Sandbox
from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient
from kickcore.errors import ClientClosed
from kickcore.http import Request, Response

from .hosting import hosted
from .left import PATIENCE, at_last, tasks
from .points import WAYS, Came, Cancelling, counting, is_right


@pytest.fixture
def url() -> Iterator[str]:
    with hosted(Sandbox()) as url:
        yield url


def connections(url: str) -> int:
    """How many connections to `url` this process holds open. Those that it has accepted do not count."""
    there = ("127.0.0.1", urlsplit(url).port)
    return sum(_peer(path) == there for path in Path("/proc/self/fd").iterdir())


def _peer(descriptor: Path) -> object:
    with suppress(OSError):
        if str(descriptor.readlink()).startswith("socket:"):
            with socket.socket(fileno=os.dup(int(descriptor.name))) as held:
                return held.getpeername()
    return None


@asynccontextmanager
async def nothing_left(url: str) -> AsyncIterator[None]:
    """What was opened inside is closed at the end, after a moment at most."""
    before = tasks()
    yield
    left = await at_last(lambda: tasks() - before or connections(url))
    close_what_is_left()
    assert left == 0


def close_what_is_left() -> None:
    """So that a connection that nobody closes fails one test and not those after it as well."""
    with catch_warnings():
        simplefilter("ignore", ResourceWarning)
        _ = gc.collect()


Attempt: TypeAlias = Callable[[str, Cancelling, int], Awaitable[Came]]


async def send_first(url: str, cancelling: Cancelling, place: int) -> Came:
    """Cancel a request for which a connection is made."""
    return await _sent(url, HttpTransport(), cancelling, place)


async def send_again(url: str, cancelling: Cancelling, place: int) -> Came:
    """Cancel a request over a connection that is there."""
    transport = HttpTransport()
    _ = await transport.send(_request(url))
    return await _sent(url, transport, cancelling, place)


async def _sent(url: str, transport: HttpTransport, cancelling: Cancelling, place: int) -> Came:
    """The next request must work, and the queue be as long as before."""
    came, _ = await cancelling(lambda: transport.send(_request(url)), place)
    with anyio.fail_after(PATIENCE):
        answer = await transport.send(_request(url))
    assert isinstance(answer, Response)
    assert answer.status == 200
    lines = transport._lines.get()
    assert lines is not None
    assert lines.queue.value == AT_ONCE
    await transport.aclose()
    return came


def _request(url: str) -> Request:
    return Request("GET", f"{url}/public/v1/public-key", group="GET /public/v1/public-key")


async def close_transport(url: str, cancelling: Cancelling, place: int) -> Came:
    """Cancel the closing of a transport that has a connection."""
    transport = HttpTransport()
    _ = await transport.send(_request(url))
    came, _ = await cancelling(transport.aclose, place)
    await transport.aclose()
    return came


async def close_client(url: str, cancelling: Cancelling, place: int) -> Came:
    """Cancel the closing of a client that has several."""
    client = KickClient("sandbox-app", "sandbox-secret", api_url=url, id_url=url, store=MemoryStore())
    async with anyio.create_task_group() as callers:
        for user_id in (123, 676, 456):
            callers.start_soon(client.fetch_user, user_id)
    came, _ = await cancelling(client.close, place)
    await client.close()
    with pytest.raises(ClientClosed):
        _ = await client.fetch_user(123)
    return came


SENDING: Final = (send_first, send_again)
CLOSING: Final = (close_transport, close_client)


async def at_each_point(backend: str, url: str, attempt: Attempt, ways: Iterable[str]) -> None:
    """Cancel it at each of its points, in one way after the other."""
    with counting(backend) as complaints:
        for place, way in zip(count(1), cycle(ways), strict=False):
            async with nothing_left(url):
                came = await attempt(url, WAYS[backend][way], place)
            if not came.was_cancelled:
                break
            assert is_right(way, came, may_finish=True), (way, place)
    assert complaints == []


@pytest.mark.parametrize("attempt", SENDING)
async def test_a_request_cancelled_at_any_point_leaves_its_connection_and_its_place_in_the_queue(
    attempt: Attempt, url: str, anyio_backend: str
) -> None:
    await at_each_point(anyio_backend, url, attempt, WAYS[anyio_backend])


@pytest.mark.full
@pytest.mark.parametrize("attempt", SENDING)
async def test_a_request_cancelled_in_any_way_at_any_point_leaves_its_connection_and_its_place_in_the_queue(
    attempt: Attempt, url: str, anyio_backend: str
) -> None:
    for way in WAYS[anyio_backend]:
        await at_each_point(anyio_backend, url, attempt, (way,))


@pytest.mark.parametrize("attempt", CLOSING)
async def test_closing_cancelled_at_any_point_leaves_no_connection(
    attempt: Attempt, url: str, anyio_backend: str
) -> None:
    for way in WAYS[anyio_backend]:
        await at_each_point(anyio_backend, url, attempt, (way,))


@pytest.mark.parametrize("backends", [("asyncio", "asyncio"), ("trio", "trio"), ("asyncio", "trio")], ids="-".join)
def test_closing_a_client_in_each_of_its_event_loops_leaves_no_connection(url: str, backends: tuple[str, str]) -> None:
    client = KickClient("sandbox-app", "sandbox-secret", api_url=url, id_url=url, store=MemoryStore())
    both_have_called = threading.Barrier(2)

    async def main() -> None:
        _ = await client.fetch_user(123)
        both_have_called.wait(timeout=10)
        await client.close()

    threads = [threading.Thread(target=anyio.run, args=(main,), kwargs={"backend": backend}) for backend in backends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    left = connections(url)
    close_what_is_left()
    assert left == 0
