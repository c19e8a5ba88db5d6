"""Sends requests by httpx2, on asyncio and trio.

Follows no redirect, trusts no environment, reads no more than a request allows, and says of every failure whether Kick
may have acted on it.
"""

import logging
import re
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Final, TypeAlias

import anyio
import httpx2
from anyio.lowlevel import RunVar
from msgspec import Struct

from kickcore.errors import ClientClosed, cleaned
from kickcore.http import Request, Response, Sent, Unreachable, encode_pairs
from kickcore.secret import Secret

USER_AGENT: Final = "Mozilla/5.0 (compatible; kickcore/0.1)"
"""Kick's firewall refuses some default user agents of HTTP libraries."""
AT_ONCE: Final = 20
"""Requests under way at once; others wait in line, in order, for as long as it takes."""

_TIMEOUT: Final = httpx2.Timeout(connect=5.0, read=15.0, write=15.0, pool=None)
_LIMITS: Final = httpx2.Limits(max_connections=AT_ONCE + 5, max_keepalive_connections=AT_ONCE, keepalive_expiry=30.0)

_NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_NEVER_SENT: Final = (httpx2.LocalProtocolError, httpx2.UnsupportedProtocol, httpx2.InvalidURL)
_BROKEN: Final = (
    httpx2.HTTPError,
    httpx2.StreamError,
    OSError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
)

# Else a library repeats the whole header in an error, and its log shows that.
_BEARER: Final = re.compile(r"[\x21-\x7E]+\Z", re.ASCII)
_STEP: Final = 64 * 1024
"""Bytes that are unpacked at once."""

_query_is_secret: ContextVar[bool] = ContextVar("kickcore: the query holds a secret", default=False)


class _WithoutSecretQuery(logging.Filter):
    """httpx2 logs every URL; Kick wants a token to be revoked in the query. Such a URL is logged without it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if _query_is_secret.get() and isinstance(record.args, tuple):
            record.args = tuple(
                argument.copy_with(query=None) if isinstance(argument, httpx2.URL) else argument
                for argument in record.args
            )
        return True


logging.getLogger("httpx2").addFilter(_WithoutSecretQuery())


class _Lines(Struct):
    """What belongs to one event loop: the client with its connections, and the queue before it."""

    client: httpx2.AsyncClient
    queue: anyio.Semaphore
    is_ours: bool


Gate: TypeAlias = Callable[[Request], Unreachable | None]
"""Asked when a request leaves the queue: an answer to give instead of sending it, or None."""


class HttpTransport:
    """Sends `Request` values. With an `http` client of yours, that one is used as it is and never closed.

    Requests that belong to a group stand in line, at most 20 under way; those to the identity host do not, because a
    token that is renewed must not wait for calls that wait for a token.

    Connections belong to the event loop that made them; a transport used from several has a set for each.
    """

    def __init__(self, http: httpx2.AsyncClient | None = None, gate: Gate | None = None) -> None:
        self._own = http
        self._gate = gate
        self._lines: RunVar[_Lines | None] = RunVar("kickcore connections", None)

    async def send(self, request: Request) -> Response | Unreachable:
        """Send once and read the answer. Raises cancellation, `ClientClosed`, and what hooks of your client raise."""
        lines = self._lines.get() or self._open()
        if not request.group:
            return await self._send(lines, request)
        async with lines.queue:
            held_back = self._gate(request) if self._gate is not None else None
            return held_back or await self._send(lines, request)

    async def _send(self, lines: _Lines, request: Request) -> Response | Unreachable:
        if lines.client.is_closed:
            whose = "this client was" if lines.is_ours else "the httpx2.AsyncClient that was passed as `http` is"
            raise ClientClosed(f"{whose} closed")
        with anyio.move_on_after(request.timeout):
            return await _exchange(lines, request)
        return Unreachable(f"no answer within {request.timeout:g} seconds", Sent.MAYBE)

    def _open(self) -> _Lines:
        client = self._own or httpx2.AsyncClient(
            trust_env=False, follow_redirects=False, timeout=_TIMEOUT, limits=_LIMITS
        )
        lines = _Lines(client, anyio.Semaphore(AT_ONCE, fast_acquire=True), self._own is None)
        _ = self._lines.set(lines)
        return lines

    async def aclose(self) -> None:
        """Close the connections of this event loop, if they are ours."""
        lines = self._lines.get()
        if lines is not None and self._own is None:
            _ = self._lines.set(None)
            await lines.client.aclose()


async def _exchange(lines: _Lines, request: Request) -> Response | Unreachable:
    if request.bearer is not None and not _BEARER.match(request.bearer.reveal()):
        return Unreachable("the request cannot be sent (the token holds what no header may hold)", Sent.NO)
    secret = _query_is_secret.set(True) if any(isinstance(value, Secret) for _, value in request.query) else None
    try:
        response = await lines.client.send(_built(lines, request), stream=True, auth=None, follow_redirects=False)
        try:
            return await _read(response, request.limit)
        finally:
            await response.aclose()
    except _NEVER_SENT as error:
        # Their texts may repeat a header or a URL.
        return Unreachable(f"the request cannot be sent ({type(error).__name__})", Sent.NO)
    except _NOT_SENT as error:
        return Unreachable(f"no connection: {cleaned(str(error)) or type(error).__name__}", Sent.NO)
    except _BROKEN as error:
        return Unreachable(f"the connection broke ({type(error).__name__})", Sent.MAYBE)
    finally:
        if secret is not None:
            _query_is_secret.reset(secret)


def _built(lines: _Lines, request: Request) -> httpx2.Request:
    headers = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": USER_AGENT}
    content = None
    if request.bearer is not None:
        headers["authorization"] = f"Bearer {request.bearer.reveal()}"
    if request.form:
        headers["content-type"] = "application/x-www-form-urlencoded"
        content = encode_pairs(request.form).encode("ascii")
    elif request.body:
        headers["content-type"] = "application/json"
        content = request.body
    url = f"{request.url}?{encode_pairs(request.query)}" if request.query else request.url
    if lines.is_ours:
        return httpx2.Request(request.method, url, headers=headers, content=content)
    # A client of the caller's has headers, cookies and parameters of its own, which this merges in.
    return lines.client.build_request(request.method, url, headers=headers, content=content, timeout=_TIMEOUT)


async def _read(response: httpx2.Response, limit: int) -> Response | Unreachable:
    """The answer with its body, unpacked here step by step, so that a small body cannot fill the memory."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
        return Unreachable(f"the answer is encoded as {cleaned(encoding, 40)!r}, which was not asked for", Sent.YES)
    packing = None if encoding in {"", "identity"} else _Packing()
    try:
        body = await _body(response, packing, limit)
    except zlib.error:
        return Unreachable("the answer's compression is broken", Sent.YES)
    if body is None or len(body) > limit:
        return Unreachable(f"the answer is larger than {limit} bytes", Sent.YES)
    headers = tuple((name.lower().decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw)
    return Response(response.status_code, headers, body)


async def _body(response: httpx2.Response, packing: "_Packing | None", limit: int) -> bytes | None:
    """The whole body, or None once it is larger than `limit`."""
    if response.is_stream_consumed:
        # A hook of the caller's client, or a transport that makes answers up, has read it already.
        return response.content
    body = bytearray()
    pieces = response.aiter_raw()
    try:
        async for piece in pieces:
            for part in (piece,) if packing is None else packing.unpack(piece):
                body += part
                if len(body) > limit:
                    return None
    finally:
        await _give_up(response, pieces)
    if packing is not None and response.num_bytes_downloaded:
        packing.check_end()
    return bytes(body)


async def _give_up(response: httpx2.Response, pieces: AsyncGenerator[bytes]) -> None:
    """Close the connection of a body that was not read to its end.

    httpx2 leaves generators of its own behind, of which trio complains. Read from after the connection was closed, they
    give what had arrived already, and end.
    """
    await response.aclose()
    with suppress(StopAsyncIteration, *_BROKEN):
        for _ in range(_STEP):
            _ = await anext(pieces)
    await pieces.aclose()


class _Packing:
    """A gzip or zlib body, unpacked in small steps. Raises `zlib.error`."""

    def __init__(self) -> None:
        # 32: find out by the header which of both it is.
        self._inflate = zlib.decompressobj(32 + zlib.MAX_WBITS)

    def unpack(self, piece: bytes) -> Iterator[bytes]:
        more = True
        while more:
            part = self._inflate.decompress(piece, _STEP)
            yield part
            piece = self._inflate.unconsumed_tail
            more = bool(piece) or len(part) == _STEP
        if self._inflate.unused_data:
            # A second body behind the first, or rubbish without end.
            raise zlib.error

    def check_end(self) -> None:
        if not self._inflate.eof:
            raise zlib.error
