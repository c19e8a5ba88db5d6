"""Crowds on the callback port, other web pages, and the last moment: the login goes on, and ends when it should."""

import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from anyio.abc import SocketStream

from interpreters.browser import Loopback, reception
from interpreters.browser.loopback import listening
from interpreters.browser.opening import Invitation
from interpreters.browser.reception import MOST_CONNECTIONS, Reception
from kickcore.errors import LoginTimeout
from kickcore.oauth.callback import BrowserPage, Denied, ForeignIssuer

from .scripted_browser import GOOD, LOST, ConsentFor, logged_in, request, rest, status, unseen, visit


@asynccontextmanager
async def half_open(port: int, count: int) -> AsyncIterator[list[SocketStream]]:
    """Connections that have said a part of a request, or nothing yet."""
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port)) for _ in range(count)]
        for stream in streams[::2]:
            with suppress(*LOST):
                await stream.send(b"GET /call")
        yield streams


async def test_fifty_that_trickle_do_not_keep_the_callback_waiting(port: int, consent_for: ConsentFor) -> None:
    async def trickle(stream: SocketStream) -> None:
        with suppress(*LOST):
            for octet in request(port, "code=EVIL&state=OTHER"):
                await stream.send(bytes([octet]))
                await anyio.sleep(0.01)

    async def visits() -> None:
        async with half_open(port, 50) as streams, anyio.create_task_group() as tasks:
            for stream in streams:
                tasks.start_soon(trickle, stream)
            await anyio.sleep(0.03)
            begun = time.monotonic()
            assert status(await visit(port, request(port))) == 200
            assert time.monotonic() - begun < 1
            tasks.cancel_scope.cancel()

    assert await logged_in(consent_for(port), visits) == GOOD


async def test_no_more_than_sixteen_are_held_and_the_oldest_go_first(port: int, consent_for: ConsentFor) -> None:
    async def visits() -> None:
        async with half_open(port, 50) as streams:
            for stream in streams[:-MOST_CONNECTIONS]:
                await rest(stream)
            for stream in streams[-MOST_CONNECTIONS:]:
                with anyio.move_on_after(0.002) as patience:
                    await rest(stream)
                assert patience.cancelled_caught
            assert status(await visit(port, request(port))) == 200

    assert MOST_CONNECTIONS == 16
    assert await logged_in(consent_for(port), visits) == GOOD


class ShowingError(Exception):
    pass


def refusing(_url: str) -> None:
    raise ShowingError


@pytest.mark.parametrize(
    ("query", "end"),
    [
        ("code=GOOD&state=STATE", GOOD),
        ("error=access_denied&state=STATE", Denied("access_denied")),
        ("code=GOOD&state=STATE&iss=x", ForeignIssuer("x")),
        ("", LoginTimeout),
        ("", ShowingError),
        ("", None),
    ],
    ids=["success", "denial", "another issuer", "timeout", "an error", "cancellation"],
)
async def test_every_end_closes_the_port_at_once_with_fifty_half_open(
    query: str, end: Any, port: int, consent_for: ConsentFor
) -> None:
    asked_to_end: list[float] = []
    scope = anyio.CancelScope()
    timeout = 0.3 if end is LoginTimeout else 5.0

    async def open_url(_url: str) -> bool:
        await stack.enter_async_context(half_open(port, 50))
        if query:
            assert await visit(port, request(port, query))
        asked_to_end.append(time.monotonic())
        if end is None:
            scope.cancel()
        return end is not ShowingError

    begun = time.monotonic()
    async with AsyncExitStack() as stack:
        with scope:
            try:
                assert await Loopback(open_url, refusing)(consent_for(port, timeout)) == end
            except (LoginTimeout, ShowingError) as error:
                assert type(error) is end  # noqa: PT017 - which one depends on the parameter
        ended = time.monotonic()
        assert scope.cancelled_caught is (end is None)
        assert ended - (begun + timeout if end is LoginTimeout else asked_to_end[0]) < 0.5
        with socket.create_server(("127.0.0.1", port)):
            pass


async def test_two_thousand_connections_that_are_reset_at_once(port: int, consent_for: ConsentFor) -> None:
    def reset_them() -> None:
        for number in range(2000):
            with socket.create_connection(("127.0.0.1", port)) as stream:
                if number % 3 == 0:
                    stream.send(b"GET /callback?code=EVIL" if number % 2 else request(port, "code=EVIL"))
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    async def visits() -> None:
        await anyio.to_thread.run_sync(reset_them)
        assert status(await visit(port, request(port))) == 200

    assert await logged_in(consent_for(port, 60.0), visits) == GOOD


async def test_a_thousand_requests_by_a_name_that_was_rebound(port: int, consent_for: ConsentFor) -> None:
    octets = request(port).replace(b"127.0.0.1", b"evil.example")
    answers: Counter[int] = Counter()

    async def poll() -> None:
        for _ in range(100):
            answers[status(await visit(port, octets))] += 1

    async def visits() -> bool:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(poll)
        await visit(port, request(port))
        return True

    held = Reception(consent_for(port))
    async with listening("127.0.0.1", port) as listeners:
        await held.hold(listeners, Invitation("", lambda _: visits(), unseen))
    assert answers == {421: 1000}
    assert held.refused == {"other host": 1000}
    assert held.outcome == GOOD


@pytest.mark.parametrize(
    "query",
    ["error=access_denied", "error=access_denied&state=", "error=access_denied&state=OTHER", "code=EVIL",
     "code=EVIL&state=OTHER", "code=EVIL&state=", "code=EVIL&state=state", "iss=https://evil.example&state=OTHER"],
)  # fmt: skip
async def test_other_web_pages_cannot_end_a_login(query: str, port: int, consent_for: ConsentFor) -> None:
    more = "Referer: https://evil.example/\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: image\r\n"

    async def visits() -> None:
        for _ in range(3):
            said = await visit(port, request(port, query, more=more))
            assert status(said) == 400
            assert BrowserPage.NOT_OURS.value.encode() in said
        await visit(port, request(port))

    assert await logged_in(consent_for(port), visits) == GOOD


@pytest.mark.parametrize("early", [-4, -2, -1, 0, 1, 2, 4])
async def test_at_the_last_moment_it_is_one_end_or_the_other(early: int, port: int, consent_for: ConsentFor) -> None:
    said: list[bytes] = []

    async def visits() -> None:
        with suppress(OSError):
            said.append(await visit(port, request(port)))

    async def open_url(_url: str) -> bool:
        await anyio.sleep(0.03 - early / 1000)
        tasks.start_soon(visits)
        return True

    async with anyio.create_task_group() as tasks:
        try:
            end: object = await Loopback(open_url, unseen)(consent_for(port, 0.03))
        except LoginTimeout:
            end = None
        with socket.create_server(("127.0.0.1", port)):
            pass
    assert end in (GOOD, None)
    assert (BrowserPage.DONE.value.encode() in b"".join(said)) <= (end == GOOD)


async def test_at_a_tenth_of_a_second_it_is_over(port: int, consent_for: ConsentFor) -> None:
    begun = time.monotonic()
    with pytest.raises(LoginTimeout, match=r"within 0\.1 seconds"):
        await logged_in(consent_for(port, 0.1), anyio.lowlevel.checkpoint)
    assert 0.09 < time.monotonic() - begun < 0.6


async def test_a_callback_that_comes_slowly_but_in_time(
    port: int, consent_for: ConsentFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "HEAD_SECONDS", 0.5)
    octets = request(port)

    async def visits() -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            for begin in range(0, len(octets), 10):
                await stream.send(octets[begin : begin + 10])
                await anyio.sleep(0.01)
            assert status(await rest(stream)) == 200

    assert await logged_in(consent_for(port), visits) == GOOD
