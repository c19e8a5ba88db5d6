"""The HTTP transport: what goes over the wire, and what comes back of everything that can go wrong on it."""

import asyncio
import gzip
import logging
import socket
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import pytest
import trio
from anyio.abc import SocketStream
from canary import ROOT, Canary

from interpreters.http.transport import AT_ONCE, USER_AGENT, HttpTransport
from interpreters.sandbox import Sandbox, approve, serve, small_world
from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient
from kickcore.errors import ClientClosed
from kickcore.http import API_LIMIT, HELD_BACK, Request, Response, Sent, Unreachable
from kickcore.secret import Secret

TOKEN = Secret("canary-token")
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"


class Server:
    """A TCP server on the loopback interface that keeps what it was sent. `answer` gets each whole request."""

    def __init__(self, answer: Callable[[SocketStream], Awaitable[object]]) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, stream: SocketStream) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            async with stream:
                while await self._one(stream):
                    await self.answer(stream)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            pass
        finally:
            self.open -= 1

    async def _one(self, stream: SocketStream) -> bool:
        text = b""
        while b"\r\n\r\n" not in text:
            try:
                text += await stream.receive()
            except anyio.EndOfStream:
                return False
        head, _, body = text.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += await stream.receive()
        self.requests.append(head + b"\r\n\r\n" + body)
        return True


@asynccontextmanager
async def serving(answer: bytes | Callable[[SocketStream], Awaitable[object]]) -> AsyncGenerator[Server]:
    async def send(stream: SocketStream) -> None:
        assert isinstance(answer, bytes)
        await stream.send(answer)

    server = Server(send if isinstance(answer, bytes) else answer)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server.port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.handle)
        yield server
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def sending(http: httpx2.AsyncClient | None = None) -> AsyncGenerator[HttpTransport]:
    transport = HttpTransport(http)
    try:
        yield transport
    finally:
        await transport.aclose()


@pytest.fixture(params=["ours", "yours"])
async def transport(request: pytest.FixtureRequest) -> AsyncGenerator[HttpTransport]:
    """With our own client, and with one of the caller's."""
    if request.param == "ours":
        async with sending() as ours:
            yield ours
        return
    # Nothing here speaks TLS, and reading the certificates is what making a client takes long for.
    http = httpx2.AsyncClient(trust_env=False, follow_redirects=True, verify=False)
    async with http, sending(http) as yours:
        yield yours


def answering(answer: Callable[[httpx2.Request], httpx2.Response]) -> HttpTransport:
    return HttpTransport(httpx2.AsyncClient(transport=httpx2.MockTransport(answer)))


async def closing(stream: SocketStream, text: bytes) -> None:
    """Send `text` and end the connection."""
    await stream.send(text)
    await stream.aclose()


def parsed(request: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    assert len({name.lower() for name, _ in pairs}) == len(pairs)
    return first, {name.lower(): value for name, value in pairs}, body


# What goes over the wire


async def test_method_target_and_headers(transport: HttpTransport) -> None:
    async with serving(OK) as server:
        query = (("id", "1"), ("id", "2"), ("name", "a b&c=d/é+"), ("empty", ""))
        answer = await transport.send(Request("DELETE", f"{server.url}/public/v1/a%2Fb", query=query, bearer=TOKEN))
    assert isinstance(answer, Response)
    first, headers, body = parsed(server.requests[0])
    assert first == "DELETE /public/v1/a%2Fb?id=1&id=2&name=a%20b%26c%3Dd%2F%C3%A9%2B&empty= HTTP/1.1"
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert headers["authorization"] == "Bearer canary-token"
    assert headers["user-agent"] == USER_AGENT
    assert headers["accept"] == "application/json"
    assert headers["accept-encoding"] == "gzip"
    assert "content-type" not in headers
    assert "cookie" not in headers
    assert body == b""


async def test_a_form_is_encoded_in_order_and_reveals_its_secrets(transport: HttpTransport) -> None:
    async with serving(OK) as server:
        form = (("grant_type", "refresh_token"), ("refresh_token", Secret("r+/= é")), ("client_id", "c"))
        _ = await transport.send(Request("POST", f"{server.url}/oauth/token", form=form))
    first, headers, body = parsed(server.requests[0])
    assert first == "POST /oauth/token HTTP/1.1"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert body == b"grant_type=refresh_token&refresh_token=r%2B%2F%3D%20%C3%A9&client_id=c"
    assert "authorization" not in headers


async def test_a_body_is_sent_as_it_is(transport: HttpTransport) -> None:
    text = '{"content":"é🦊"}'.encode()
    async with serving(OK) as server:
        _ = await transport.send(Request("POST", f"{server.url}/chat", body=text, bearer=TOKEN))
    _, headers, body = parsed(server.requests[0])
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(text))
    assert body == text


async def test_a_secret_in_a_query_is_revealed_to_the_wire_alone(transport: HttpTransport) -> None:
    async with serving(OK) as server:
        _ = await transport.send(Request("POST", f"{server.url}/oauth/revoke", query=(("token", Secret("a b")),)))
    first, headers, _ = parsed(server.requests[0])
    assert first == "POST /oauth/revoke?token=a%20b HTTP/1.1"
    assert headers["content-length"] == "0"


async def test_an_answer_is_status_headers_and_body(transport: HttpTransport) -> None:
    text = b"HTTP/1.1 418 Teapot\r\nX-Odd: One\r\nx-odd: \xe9two\r\ncontent-length: 3\r\n\r\nabc"
    async with serving(text) as server:
        answer = await transport.send(Request("GET", server.url))
    assert isinstance(answer, Response)
    assert answer.status == 418
    assert [value for name, value in answer.headers if name == "x-odd"] == ["One", "étwo"]
    assert answer.header("x-odd") == "One"
    assert answer.body == b"abc"


@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 429, 500, 599, 999])
async def test_no_status_is_an_error(transport: HttpTransport, status: int) -> None:
    async with serving(b"HTTP/1.1 %d Odd\r\ncontent-length: 0\r\n\r\n" % status) as server:
        answer = await transport.send(Request("GET", server.url))
    assert isinstance(answer, Response)
    assert answer.status == status


async def test_cookies_of_one_answer_are_not_sent_with_our_next_request() -> None:
    text = b"HTTP/1.1 200 OK\r\nset-cookie: user=alice; path=/\r\ncontent-length: 0\r\n\r\n"
    async with serving(text) as server, sending() as transport:
        for _ in range(2):
            _ = await transport.send(Request("GET", server.url))
    assert "cookie" not in parsed(server.requests[1])[1]


# Redirects, proxies, environment


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(transport: HttpTransport, status: int) -> None:
    async with serving(OK) as other:
        text = f"HTTP/1.1 {status} Moved\r\nlocation: {other.url}/stolen\r\ncontent-length: 0\r\n\r\n".encode()
        async with serving(text) as server:
            form = (("client_secret", Secret("s")),)
            answer = await transport.send(Request("POST", f"{server.url}/oauth/token", form=form, bearer=TOKEN))
    assert isinstance(answer, Response)
    assert answer.status == status
    assert answer.header("location") == f"{other.url}/stolen"
    assert len(server.requests) == 1
    assert other.connections == 0


NOWHERE = ["", "//", "http://", "https://[", "http://\xff\xff/", "mailto:a@b", "http://a:99999/", "/\x7f", "x" * 70000]


@pytest.mark.parametrize("location", NOWHERE, ids=range(len(NOWHERE)))
async def test_a_redirect_to_nowhere_is_a_redirect(transport: HttpTransport, location: str) -> None:
    text = b"HTTP/1.1 302 Moved\r\nlocation: " + location.encode("latin-1") + b"\r\ncontent-length: 0\r\n\r\n"
    async with serving(text) as server:
        answer = await transport.send(Request("POST", server.url, body=b"{}"))
    # Kick has acted on the request: that it was never sent must not be said of it.
    assert answer.status == 302 if isinstance(answer, Response) else answer.sent is not Sent.NO


async def test_proxies_and_passwords_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password evil\ndefault login eve password evil\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with serving(OK) as proxy, serving(OK) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with sending() as transport:
            answer = await transport.send(Request("GET", f"{server.url}/x"))
    assert isinstance(answer, Response)
    assert proxy.connections == 0
    assert "authorization" not in parsed(server.requests[0])[1]


async def test_credentials_of_your_client_are_not_sent_to_kick() -> None:
    http = httpx2.AsyncClient(auth=("eve", "evil"), trust_env=False)
    async with serving(OK) as server, http, sending(http) as transport:
        _ = await transport.send(Request("GET", server.url, bearer=TOKEN))
    assert parsed(server.requests[0])[1]["authorization"] == "Bearer canary-token"


# A dead wire


async def test_a_refused_connection_was_not_sent(transport: HttpTransport) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        answer = await transport.send(Request("POST", f"http://127.0.0.1:{nobody.getsockname()[1]}", bearer=TOKEN))
    assert isinstance(answer, Unreachable)
    assert answer.sent is Sent.NO
    assert "http:" not in answer.reason
    assert "canary" not in answer.reason


async def test_a_server_that_is_silent_may_have_acted(transport: HttpTransport) -> None:
    async def silent(stream: SocketStream) -> None:
        await anyio.sleep_forever()

    async with serving(silent) as server:
        answer = await transport.send(Request("GET", server.url, timeout=0.05))
    assert answer == Unreachable("no answer within 0.05 seconds", Sent.MAYBE)


async def test_a_server_that_drips_does_not_reset_the_clock(transport: HttpTransport) -> None:
    async def drip(stream: SocketStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while True:
            await stream.send(b"x")
            await anyio.sleep(0.005)

    async with serving(drip) as server:
        answer = await transport.send(Request("GET", server.url, timeout=0.05))
    assert isinstance(answer, Unreachable)
    assert answer.sent is Sent.MAYBE


async def test_waiting_in_line_does_not_count_as_the_exchange() -> None:
    async def slow(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep(0.05)
        return httpx2.Response(200)

    got: list[Response | Unreachable] = []
    transport = HttpTransport(httpx2.AsyncClient(transport=httpx2.MockTransport(slow)))

    async def call() -> None:
        got.append(await transport.send(Request("GET", "http://127.0.0.1", timeout=0.5, group="GET /x")))

    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE * 12):
            tasks.start_soon(call)
    assert {type(answer) for answer in got} == {Response}


CUT = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "no body": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n",
    "half a body": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}",
    "half a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{}",
    "no last chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "a number of bytes below zero": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"a" * 200_000,
}


@pytest.mark.parametrize("text", CUT.values(), ids=CUT)
async def test_an_answer_that_is_cut_is_no_answer_and_the_request_may_have_arrived(
    transport: HttpTransport, text: bytes
) -> None:
    async with serving(lambda stream: closing(stream, text) if text else stream.aclose()) as server:
        answer = await transport.send(Request("POST", server.url, bearer=TOKEN, timeout=2))
    assert isinstance(answer, Unreachable)
    assert answer.sent is not Sent.NO


async def test_a_reset_after_the_request_may_have_arrived(transport: HttpTransport) -> None:
    async def reset(stream: SocketStream) -> None:
        raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()

    async with serving(reset) as server:
        answer = await transport.send(Request("POST", server.url, bearer=TOKEN))
    assert isinstance(answer, Unreachable)
    assert answer.sent is Sent.MAYBE


async def test_a_body_without_a_length_ends_with_the_connection(transport: HttpTransport) -> None:
    async with serving(lambda stream: closing(stream, b"HTTP/1.1 200 OK\r\n\r\n{}")) as server:
        answer = await transport.send(Request("GET", server.url))
    assert isinstance(answer, Response)
    assert answer.body == b"{}"


BROKEN = [
    httpx2.ReadError("x"),
    httpx2.WriteError("x"),
    httpx2.CloseError("x"),
    httpx2.ReadTimeout("x"),
    httpx2.WriteTimeout("x"),
    httpx2.RemoteProtocolError("x"),
    httpx2.DecodingError("x"),
    httpx2.TooManyRedirects("x"),
    OSError("x"),
    anyio.BrokenResourceError(),
    anyio.ClosedResourceError(),
    anyio.EndOfStream(),
]
NOT_SENT = [
    httpx2.ConnectError("x"),
    httpx2.ConnectTimeout("x"),
    httpx2.PoolTimeout("x"),
    httpx2.ProxyError("x"),
    httpx2.LocalProtocolError("x"),
    httpx2.UnsupportedProtocol("x"),
]


@pytest.mark.parametrize("error", BROKEN + NOT_SENT, ids=lambda error: type(error).__name__)
async def test_no_error_of_the_library_gets_out(error: Exception) -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise error

    answer = await answering(fail).send(Request("GET", "http://127.0.0.1"))
    assert isinstance(answer, Unreachable)
    assert answer.sent is (Sent.MAYBE if error in BROKEN else Sent.NO)


# Interruptions


class Stop(BaseException):
    """Like Ctrl-C, of a kind that nobody knows."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, Stop])
async def test_an_interruption_is_neither_swallowed_nor_wrapped(kind: type[BaseException]) -> None:
    interruption = kind()

    def interrupt(request: httpx2.Request) -> httpx2.Response:
        raise interruption

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(interrupt))
    client = KickClient("id", "secret", http=http, store=MemoryStore())
    client.set_user_token("token", expires_in=3600)
    for work in (HttpTransport(http).send(Request("GET", "http://127.0.0.1", bearer=TOKEN)), client.fetch_user()):
        with pytest.raises(kind) as caught:
            await work
        assert caught.value is interruption
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)


async def test_a_cancellation_is_neither_swallowed_nor_wrapped() -> None:
    async def never(request: httpx2.Request) -> httpx2.Response:
        scope.cancel()
        await anyio.sleep_forever()
        raise AssertionError

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(never))
    client = KickClient("id", "secret", http=http, store=MemoryStore())
    client.set_user_token("token", expires_in=3600)
    for work in (HttpTransport(http).send(Request("GET", "http://127.0.0.1", bearer=TOKEN)), client.fetch_user()):
        with anyio.CancelScope() as scope:
            with pytest.raises(anyio.get_cancelled_exc_class()) as caught:
                await work
            raise caught.value
        assert scope.cancelled_caught


# Bodies


def packed(text: bytes, encoding: bytes = b"gzip") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: %s\r\ncontent-length: %d\r\n\r\n" % (encoding, len(text)) + text


def zipped(text: bytes) -> bytes:
    return packed(gzip.compress(text))


def plain(text: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(text) + text


@pytest.mark.parametrize("pack", [plain, zipped], ids=["plain", "gzip"])
async def test_a_body_may_be_as_long_as_the_limit_and_no_longer(
    transport: HttpTransport, pack: Callable[[bytes], bytes]
) -> None:
    for length in (0, 1, 99_999, 100_000, 100_001, 250_000):
        async with serving(pack(b"x" * length)) as server:
            answer = await transport.send(Request("GET", server.url, limit=100_000))
        if length <= 100_000:
            assert isinstance(answer, Response)
            assert answer.body == b"x" * length
        else:
            assert isinstance(answer, Unreachable)
            assert answer.sent is Sent.YES
            assert "larger than 100000 bytes" in answer.reason


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_that_never_ends_is_given_up_at_the_limit(transport: HttpTransport, chunked: bool) -> None:
    async def endless(stream: SocketStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\n" + (b"transfer-encoding: chunked\r\n" if chunked else b"") + b"\r\n")
        while True:
            await stream.send(b"1000\r\n" + b"x" * 4096 + b"\r\n" if chunked else b"x" * 4096)

    async with serving(endless) as server:
        with anyio.fail_after(2):
            answer = await transport.send(Request("GET", server.url, limit=50_000))
    assert isinstance(answer, Unreachable)
    assert answer.sent is Sent.YES


@pytest.mark.parametrize("encoding", [b"gzip", b"x-gzip", b"GZIP", b"deflate"])
async def test_a_packed_body_is_unpacked(transport: HttpTransport, encoding: bytes) -> None:
    text = b'{"a":"' + b"abc" * 50_000 + b'"}'
    body = zlib.compress(text) if encoding == b"deflate" else gzip.compress(text)
    async with serving(packed(body, encoding)) as server:
        answer = await transport.send(Request("GET", server.url))
    assert isinstance(answer, Response)
    assert answer.body == text


async def test_a_packed_body_may_arrive_byte_by_byte(transport: HttpTransport) -> None:
    text = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
    text += b"".join(b"1\r\n%c\r\n" % octet for octet in gzip.compress(b'{"a":1}')) + b"0\r\n\r\n"
    async with serving(text) as server:
        answer = await transport.send(Request("GET", server.url))
    assert isinstance(answer, Response)
    assert answer.body == b'{"a":1}'


@pytest.mark.parametrize("status", [200, 204, 304])
async def test_no_body_is_an_empty_body_even_if_it_is_said_to_be_packed(transport: HttpTransport, status: int) -> None:
    text = b"HTTP/1.1 %d Odd\r\ncontent-encoding: gzip\r\n" % status
    async with serving(text + (b"content-length: 0\r\n\r\n" if status == 200 else b"\r\n")) as server:
        answer = await transport.send(Request("GET", server.url))
    assert isinstance(answer, Response)
    assert answer.status == status
    assert answer.body == b""


BAD_PACKING = {
    "truncated": gzip.compress(b"x" * 1000)[:-9],
    "without its checksum": gzip.compress(b"x" * 1000)[:-8],
    "wrong checksum": gzip.compress(b"x" * 1000)[:-8] + b"\0" * 8,
    "not packed": b'{"a":1}',
    "followed by more": gzip.compress(b"x") + b"more",
    "followed by another": gzip.compress(b"{") + gzip.compress(b"}"),
}


@pytest.mark.parametrize("body", BAD_PACKING.values(), ids=BAD_PACKING)
async def test_a_body_with_broken_packing_is_no_answer(transport: HttpTransport, body: bytes) -> None:
    async with serving(packed(body)) as server:
        answer = await transport.send(Request("GET", server.url))
    assert answer == Unreachable("the answer's compression is broken", Sent.YES)


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, gzip", b"\x1b[31m" + b"x" * 100])
async def test_an_encoding_that_was_not_asked_for_is_refused(transport: HttpTransport, encoding: bytes) -> None:
    async with serving(packed(b"xx", encoding)) as server:
        answer = await transport.send(Request("GET", server.url))
    assert isinstance(answer, Unreachable)
    assert answer.sent is not Sent.NO
    assert "\x1b" not in answer.reason
    assert len(answer.reason) < 150


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """300 kB that become 300 MB."""
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1024 * 1024)
    return b"".join(packer.compress(zeros) for _ in range(300)) + packer.flush()


@pytest.mark.parametrize("limit", [API_LIMIT, 64 * 1024])
async def test_a_bomb_does_not_fill_the_memory(bomb: bytes, limit: int) -> None:
    async with serving(packed(bomb)) as server, sending() as transport:
        _ = await transport.send(Request("GET", server.url, limit=1))
        tracemalloc.start()
        try:
            answer = await transport.send(Request("GET", server.url, limit=limit))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert isinstance(answer, Unreachable)
    assert answer.sent is Sent.YES
    assert peak < 2 * limit + 1024 * 1024
    assert peak < 16 * 1024 * 1024


async def test_what_follows_a_packed_body_without_end_is_not_read(transport: HttpTransport) -> None:
    async def endless(stream: SocketStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(b"{}"))
        while True:
            await stream.send(b"x" * 65536)

    async with serving(endless) as server:
        with anyio.fail_after(1):
            answer = await transport.send(Request("GET", server.url, limit=1000))
    assert isinstance(answer, Unreachable)
    assert answer.sent is Sent.YES


# Secrets


FORGING = ["canary\r\nX-Evil: 1", "canary\n", "canary\0", "canary é", "canary\ud800", "canary 🦊", "canary canary"]


@pytest.mark.parametrize("token", FORGING, ids=range(len(FORGING)))
async def test_a_token_that_would_forge_a_header_is_not_sent_and_not_shown(
    transport: HttpTransport, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(OK) as server:
        answer = await transport.send(Request("GET", server.url, bearer=Secret(token)))
    assert isinstance(answer, Unreachable)
    assert answer.sent is Sent.NO
    assert "canary" not in repr(answer)
    assert server.requests == []
    assert "canary" not in caplog.text


@pytest.mark.parametrize("status", [200, 302, 500])
async def test_no_log_holds_a_secret(transport: HttpTransport, caplog: pytest.LogCaptureFixture, status: int) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(b"HTTP/1.1 %d X\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n" % status) as server:
        secret = (("token", Secret("canary-query")), ("token_hint_type", "refresh_token"))
        _ = await transport.send(Request("POST", f"{server.url}/oauth/revoke", query=secret))
        form = (("client_secret", Secret("canary-form")),)
        _ = await transport.send(Request("POST", f"{server.url}/oauth/token", form=form))
        _ = await transport.send(Request("GET", f"{server.url}/users", query=(("id", "17"),), bearer=TOKEN))
    assert len(server.requests) == 3
    # httpx2 and httpcore2 did log, and what is no secret is there.
    assert any(record.name == "httpx2" and "/oauth/revoke" in record.getMessage() for record in caplog.records)
    assert any(record.name.startswith("httpcore2") for record in caplog.records)
    assert "/users?id=17" in caplog.text
    assert "canary" not in caplog.text
    assert not any("canary" in repr(record.__dict__) for record in caplog.records)


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
async def test_no_library_logs_a_secret_while_tokens_are_fetched_used_renewed_and_revoked(
    level: int, anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level)
    kick, canary = Sandbox(small_world(redirect_uris=("http://127.0.0.1:3000/callback",))), Canary()
    if anyio_backend == "asyncio":
        asyncio.get_running_loop().set_debug(True)

    async def paste(url: str) -> str:
        for values in parse_qs(urlsplit(url).query).values():
            canary.hold(values[0])
        return approve(url, kick.handle)

    async with serve(kick) as url:
        hosts = {"api_url": url, "id_url": url}
        async with KickClient("sandbox-app", "sandbox-secret", store=MemoryStore(), **hosts) as client:
            await client.fetch_user(123)
            await client.authenticate(["user:read"], paste=paste)
            await client.fetch_user()
            kick.expire_access_tokens()
            await client.fetch_user()
            await client.logout()
    assert [entry.status for entry in kick.log if entry.path == "/oauth/revoke"] == [200, 200]
    for record in caplog.records:
        canary.look("log records", record.name, record.getMessage(), repr(vars(record)))
    assert list(canary.report()) == []
    logged = {record.name.partition(".")[0] for record in caplog.records}
    assert logged >= ({"httpx2", "httpcore2"} if level == logging.DEBUG else {"httpx2"})
    assert not [name for name in logged if name in {"kickcore", "interpreters"}]


def test_importing_everything_prints_nothing_and_configures_no_logging() -> None:
    code = """
import logging, sys, warnings
import anyio, asyncio, httpx2, hypercorn.asyncio, hypercorn.trio, trio
anyio.run(anyio.sleep, 0)
anyio.run(anyio.sleep, 0, backend="trio")

def now():
    loggers = {name: it for name, it in logging.root.manager.loggerDict.items() if isinstance(it, logging.Logger)}
    loggers["root"] = logging.root
    return {name: (it.level, it.handlers[:], it.propagate, it.disabled) for name, it in loggers.items()}

before, filters, hook = now(), warnings.filters[:], sys.excepthook
import kickcore.cli, kickcore.client, interpreters.sandbox
kickcore.client.KickClient("id", "secret")
after = now()
assert {name: after[name] for name in before} == before, (before, after)
assert not [name for name in after if name.startswith(("kickcore", "interpreters"))], after
assert not logging.root.handlers
assert (warnings.filters[:], sys.excepthook) == (filters, hook)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


async def test_no_value_shows_a_secret() -> None:
    request = Request("POST", "http://127.0.0.1/x", query=(("token", TOKEN),), bearer=TOKEN, form=(("a", TOKEN),))

    def fail(sent: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError(f"cannot reach the host \x1b[31m{'x' * 5000}")

    answer = await answering(fail).send(request)
    assert isinstance(answer, Unreachable)
    assert "canary" not in repr(answer) + repr(request) + str(request)
    assert "\x1b" not in answer.reason
    assert len(answer.reason) < 400


# Clients and connections


async def test_your_client_is_used_and_not_closed() -> None:
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["x-yours"])
        return httpx2.Response(200, content=b"{}")

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer), headers={"x-yours": "1"})
    transport = HttpTransport(http)
    assert isinstance(await transport.send(Request("GET", "http://127.0.0.1")), Response)
    await transport.aclose()
    assert not http.is_closed
    assert seen == ["1"]
    await http.aclose()
    with pytest.raises(ClientClosed, match="closed"):
        _ = await transport.send(Request("GET", "http://127.0.0.1"))


async def test_an_answer_that_a_hook_of_your_client_has_read_is_an_answer() -> None:
    async def read(response: httpx2.Response) -> None:
        _ = await response.aread()

    async with serving(packed(gzip.compress(b'{"a":1}'))) as server:
        http = httpx2.AsyncClient(event_hooks={"response": [read]}, trust_env=False)
        async with http, sending(http) as transport:
            answer = await transport.send(Request("GET", server.url))
            small = await transport.send(Request("GET", server.url, limit=5))
    assert isinstance(answer, Response)
    assert answer.body == b'{"a":1}'
    assert isinstance(small, Unreachable)


async def test_a_client_closed_while_requests_wait_in_line_says_so() -> None:
    release = anyio.Event()
    ends: list[str] = []

    async def slow(request: httpx2.Request) -> httpx2.Response:
        await release.wait()
        return httpx2.Response(200)

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(slow))
    transport = HttpTransport(http)

    async def call() -> None:
        try:
            ends.append(type(await transport.send(Request("GET", "http://127.0.0.1", group="GET /x"))).__name__)
        except ClientClosed:
            ends.append("ClientClosed")

    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE + 5):
            tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        await http.aclose()
        release.set()
    assert sorted(ends) == ["ClientClosed"] * 5 + ["Response"] * AT_ONCE


async def test_closing_with_requests_under_way_ends_them_without_noise() -> None:
    async def silent(stream: SocketStream) -> None:
        await anyio.sleep_forever()

    ends: list[str] = []

    async def call() -> None:
        try:
            ends.append(type(await transport.send(Request("GET", server.url, timeout=2, group="GET /x"))).__name__)
        except ClientClosed:
            ends.append("ClientClosed")

    async with serving(silent) as server:
        transport = HttpTransport()
        with anyio.fail_after(1.5):
            async with anyio.create_task_group() as tasks:
                for _ in range(AT_ONCE + 10):
                    tasks.start_soon(call)
                while len(server.requests) < AT_ONCE:  # noqa: ASYNC110 - the server has no event for it
                    await anyio.sleep(0.002)
                await transport.aclose()
    assert len(ends) == AT_ONCE + 10
    assert set(ends) <= {"ClientClosed", "Unreachable"}
    assert ends.count("ClientClosed") >= 10


async def test_closing_twice_or_before_use_is_fine() -> None:
    transport = HttpTransport()
    await transport.aclose()
    async with serving(OK) as server:
        assert isinstance(await transport.send(Request("GET", server.url)), Response)
        await transport.aclose()
        await transport.aclose()


def test_one_transport_works_on_one_event_loop_after_another() -> None:
    transport = HttpTransport()

    async def use() -> Response | Unreachable:
        async with serving(OK) as server:
            try:
                return await transport.send(Request("GET", server.url))
            finally:
                await transport.aclose()

    for _ in range(2):
        assert isinstance(asyncio.run(use()), Response)
        assert isinstance(trio.run(use), Response)


async def test_five_hundred_requests_at_once_share_twenty_connections(transport: HttpTransport) -> None:
    got: list[Response | Unreachable] = []

    async def answer(stream: SocketStream) -> None:
        await anyio.lowlevel.checkpoint()
        await stream.send(OK)

    async def call() -> None:
        got.append(await transport.send(Request("GET", server.url, group="GET /x")))

    async with serving(answer) as server:
        async with anyio.create_task_group() as tasks:
            for _ in range(500):
                tasks.start_soon(call)
        assert len(got) == 500
        assert {type(answer) for answer in got} == {Response}
        assert server.most_open <= AT_ONCE
        assert server.connections <= AT_ONCE
        await transport.aclose()


async def test_waiting_in_line_can_be_cancelled_and_is_in_order() -> None:
    order: list[int] = []
    scopes = [anyio.CancelScope() for _ in range(AT_ONCE + 6)]
    releases = [anyio.Event() for _ in scopes]

    async def slow(request: httpx2.Request) -> httpx2.Response:
        order.append(int(request.url.path[1:]))
        await releases[order[-1]].wait()
        return httpx2.Response(200)

    transport = HttpTransport(httpx2.AsyncClient(transport=httpx2.MockTransport(slow)))

    async def call(number: int) -> None:
        with scopes[number]:
            _ = await transport.send(Request("GET", f"http://127.0.0.1/{number}", group=f"GET /{number % 3}"))

    async with anyio.create_task_group() as tasks:
        for number in range(len(scopes)):
            tasks.start_soon(call, number)
            await anyio.wait_all_tasks_blocked()
        assert order == list(range(AT_ONCE))
        for scope in scopes[AT_ONCE::2]:
            scope.cancel()
        await anyio.wait_all_tasks_blocked()
        for release in releases:
            release.set()
            await anyio.wait_all_tasks_blocked()
    assert order == [*range(AT_ONCE), *range(AT_ONCE + 1, AT_ONCE + 6, 2)]


async def test_what_has_no_group_does_not_stand_in_line() -> None:
    release = anyio.Event()
    paths: list[str] = []

    async def slow(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.path)
        if request.url.path == "/slow":
            await release.wait()
        return httpx2.Response(200)

    transport = HttpTransport(httpx2.AsyncClient(transport=httpx2.MockTransport(slow)))
    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE + 1):
            tasks.start_soon(transport.send, Request("GET", "http://127.0.0.1/slow", group="GET /slow"))
        await anyio.wait_all_tasks_blocked()
        assert isinstance(await transport.send(Request("POST", "http://127.0.0.1/token")), Response)
        assert paths == ["/slow"] * AT_ONCE + ["/token"]
        release.set()
    assert len(paths) == AT_ONCE + 2


# The gate


async def test_the_gate_is_asked_when_a_request_leaves_the_line_and_its_answer_is_taken_instead() -> None:
    asked: list[Request] = []
    sent: list[str] = []
    shut = {"GET /shut"}

    def gate(request: Request) -> Unreachable | None:
        asked.append(request)
        return HELD_BACK if request.group in shut else None

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.url.path)
        return httpx2.Response(200)

    transport = HttpTransport(httpx2.AsyncClient(transport=httpx2.MockTransport(answer)), gate)
    held = Request("GET", "http://127.0.0.1/shut", group="GET /shut")
    free = Request("GET", "http://127.0.0.1/free", group="GET /free")
    for _ in range(2 * AT_ONCE):
        # More often than there are places in the line: none is lost.
        assert await transport.send(held) == HELD_BACK
    assert isinstance(await transport.send(free), Response)
    assert isinstance(await transport.send(Request("POST", "http://127.0.0.1/token")), Response)
    assert asked == [held] * 2 * AT_ONCE + [free]
    assert sent == ["/free", "/token"]


async def test_those_who_stood_in_line_when_the_gate_was_shut_are_not_sent() -> None:
    release = anyio.Event()
    is_shut = False
    sent = 0
    got: list[Response | Unreachable] = []

    async def slow(request: httpx2.Request) -> httpx2.Response:
        nonlocal sent
        sent += 1
        await release.wait()
        return httpx2.Response(429)

    def gate(request: Request) -> Unreachable | None:
        return HELD_BACK if is_shut else None

    transport = HttpTransport(httpx2.AsyncClient(transport=httpx2.MockTransport(slow)), gate)

    async def call() -> None:
        got.append(await transport.send(Request("GET", "http://127.0.0.1", group="GET /x")))

    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE + 30):
            tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        is_shut = True
        release.set()
    assert sent == AT_ONCE
    assert got.count(HELD_BACK) == 30


def in_use(transport: HttpTransport) -> tuple[int, int]:
    """Connections that are not idle, and requests that the pool still knows."""
    lines: Any = getattr(transport, "_lines").get()  # noqa: B009 - what is inside is the point
    pool = lines.client._transport._pool
    return sum(not connection.is_idle() for connection in pool.connections), len(pool._requests)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"])
async def test_a_request_cancelled_under_way_leaves_no_connection_in_use(transport: HttpTransport, said: bytes) -> None:
    under_way = anyio.Event()

    async def answer(stream: SocketStream) -> None:
        if not under_way.is_set():
            if said:
                await stream.send(said)
            under_way.set()
            await anyio.sleep_forever()
        await stream.send(OK)

    async with serving(answer) as server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transport.send, Request("GET", server.url, bearer=TOKEN))
            await under_way.wait()
            await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()
        assert in_use(transport) == (0, 0)
        assert isinstance(await transport.send(Request("GET", server.url)), Response)
        assert in_use(transport) == (0, 0)


async def test_a_request_given_up_leaves_no_connection_in_use(transport: HttpTransport) -> None:
    async with serving(plain(b"x" * 500_000)) as server:
        for _ in range(3):
            assert isinstance(await transport.send(Request("GET", server.url, limit=10)), Unreachable)
            assert in_use(transport) == (0, 0)
