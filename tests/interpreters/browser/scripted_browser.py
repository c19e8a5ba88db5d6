"""Browsers that follow a script, and what they say and hear on the callback port."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import pytest
from anyio.abc import SocketStream

from interpreters.browser import Loopback
from kickcore.effects import Consent
from kickcore.oauth.callback import Callback, Granted
from kickcore.secret import Secret

ConsentFor = Callable[..., Consent]

LOST = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


def request(port: int, query: str = "code=GOOD&state=STATE", method: str = "GET", more: str = "") -> bytes:
    return f"{method} /callback?{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{more}\r\n".encode()


async def visit(port: int, octets: bytes, host: str = "127.0.0.1") -> bytes:
    """All that the listener says to these octets."""
    async with await anyio.connect_tcp(host, port) as stream:
        with suppress(*LOST):
            await stream.send(octets)
        return await rest(stream)


async def rest(stream: SocketStream) -> bytes:
    said = b""
    with suppress(*LOST):
        while True:
            said += await stream.receive()
    return said


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1]) if response else 0


def browser(visits: Callable[[], Awaitable[object]]) -> Callable[[str], Awaitable[bool]]:
    async def open_url(url: str) -> bool:
        assert url == "https://id.kick.com/oauth/authorize?state=STATE"
        await visits()
        return True

    return open_url


def unseen(url: str) -> None:
    pytest.fail(f"the URL was shown: {url}")


async def logged_in(consent: Consent, visits: Callable[[], Awaitable[object]]) -> Callback:
    return await Loopback(browser(visits), unseen)(consent)


GOOD = Granted(Secret("GOOD"))
