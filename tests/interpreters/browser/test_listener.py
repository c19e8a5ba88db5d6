"""Whatever may come to the callback port: real sockets on the loopback interface, and browsers that follow a script."""

import json
import socket
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.abc import SocketStream

from interpreters.browser import reception
from kickcore.errors import LoginTimeout
from kickcore.oauth.callback import BrowserPage, Callback, Denied, ForeignIssuer, Granted
from kickcore.secret import Secret

from .scripted_browser import GOOD, ConsentFor, logged_in, request, rest, status, visit

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "callback_requests.json").read_text("utf-8")
)["cases"]


def expected(flow: str) -> Callback | None:
    if flow.startswith("code:"):
        return Granted(Secret(flow.removeprefix("code:").removesuffix(" once")))
    if flow == "IssuerMismatch":
        return ForeignIssuer("https://evil.example")
    return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_every_request_of_the_list_alone_and_then_the_good_one(
    case: dict[str, Any], port: int, consent_for: ConsentFor
) -> None:
    octets: bytes = case["request"].replace(":3000", f":{port}").encode("latin-1")
    responses: list[bytes] = []

    async def visits() -> None:
        responses.append(await visit(port, octets))
        # Where the first request ended the login, nobody listens any more.
        with suppress(OSError):
            responses.append(await visit(port, request(port)))

    outcome = await logged_in(consent_for(port), visits)

    assert status(responses[0]) == case["status"]
    for echo in (b"<script", b"<img", b"AAAA", b"EVIL", b"CODE", b"Access-Control"):
        assert echo not in responses[0]
    assert responses[0].count(b"HTTP/1.1") == 1
    if case["flow"].startswith("keeps waiting"):
        assert outcome == GOOD
        assert status(responses[1]) == 200
    elif case["flow"] == "AuthorizationDenied":
        assert isinstance(outcome, Denied)
        assert outcome.error.isprintable()
        assert len(outcome.error) <= 300
    else:
        assert outcome == expected(case["flow"])


async def test_all_refused_requests_at_once_and_then_the_good_one(port: int, consent_for: ConsentFor) -> None:
    bad = [case["request"] for case in CASES if case["flow"].startswith("keeps waiting")]

    async def visits() -> None:
        async with anyio.create_task_group() as tasks:
            for text in bad:
                tasks.start_soon(visit, port, text.replace(":3000", f":{port}").encode("latin-1"))
        assert status(await visit(port, request(port))) == 200

    assert await logged_in(consent_for(port), visits) == GOOD


async def test_the_browser_gets_its_whole_page(port: int, consent_for: ConsentFor) -> None:
    pages: list[bytes] = []

    async def visits() -> None:
        pages.append(await visit(port, request(port)))

    await logged_in(consent_for(port), visits)
    head, _, body = pages[0].partition(b"\r\n\r\n")
    assert BrowserPage.DONE.value.encode() in body
    assert f"Content-Length: {len(body)}".encode() in head


async def test_fifty_identical_callbacks_are_one(port: int, consent_for: ConsentFor) -> None:
    pages: list[bytes] = []

    async def one() -> None:
        with suppress(OSError):
            pages.append(await visit(port, request(port)))

    async with anyio.create_task_group() as tasks:

        async def visits() -> None:
            for _ in range(50):
                tasks.start_soon(one)

        assert await logged_in(consent_for(port), visits) == GOOD
    assert sum(status(page) == 200 for page in pages) >= 1
    assert all(status(page) in {0, 200} for page in pages)


async def test_the_first_good_callback_wins(port: int, consent_for: ConsentFor) -> None:
    async def visits() -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as first:
            # It keeps its connection open, so the listener waits for it a moment, and takes another visit meanwhile.
            await first.send(request(port))
            await first.receive()
            assert status(await visit(port, request(port, "code=LATER&state=STATE"))) == 200

    assert await logged_in(consent_for(port), visits) == GOOD


async def test_a_callback_in_single_octets(port: int, consent_for: ConsentFor) -> None:
    async def visits() -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            for octet in request(port):
                await stream.send(bytes([octet]))
            assert status(await rest(stream)) == 200

    assert await logged_in(consent_for(port), visits) == GOOD


async def test_a_body_is_not_waited_for_and_does_not_hurt_the_answer(port: int, consent_for: ConsentFor) -> None:
    said: list[bytes] = []

    async def visits() -> None:
        said.append(await visit(port, request(port, method="POST", more="Content-Length: 30000\r\n") + b"x" * 30000))
        said.append(await visit(port, request(port, more="Content-Length: 9999999\r\n")))

    assert await logged_in(consent_for(port), visits) == GOOD
    assert [status(one) for one in said] == [405, 200]


@pytest.mark.parametrize("half_open", [16, 50, 500])
async def test_slow_connections_neither_bar_the_callback_nor_hold_up_the_end(
    half_open: int, port: int, consent_for: ConsentFor
) -> None:
    async with AsyncExitStack() as stack:
        answered = 0.0

        async def visits() -> None:
            nonlocal answered
            for number in range(half_open):
                stream = await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
                if number % 2:
                    await stream.send(b"GET /call")
            begun = time.monotonic()
            assert status(await visit(port, request(port))) == 200
            answered = time.monotonic()
            assert answered - begun < 1

        assert await logged_in(consent_for(port), visits) == GOOD
        assert time.monotonic() - answered < 0.5


async def test_the_oldest_silent_connection_makes_room(port: int, consent_for: ConsentFor) -> None:
    async def visits() -> None:
        async with AsyncExitStack() as stack:
            streams: list[SocketStream] = []
            for _ in range(reception.MOST_CONNECTIONS + 1):
                stream = await anyio.connect_tcp("127.0.0.1", port)
                streams.append(await stack.enter_async_context(stream))
            assert await rest(streams[0]) == b""
            await streams[1].send(request(port))
            assert status(await rest(streams[1])) == 200

    assert await logged_in(consent_for(port), visits) == GOOD


async def test_a_body_may_go_on_for_a_moment_after_the_answer(port: int, consent_for: ConsentFor) -> None:
    async def visits() -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request(port, method="POST", more="Content-Length: 9000\r\n"))
            for _ in range(9):
                await stream.send(b"x" * 1000)
                await anyio.sleep(0.005)
            assert status(await rest(stream)) == 405
        await visit(port, request(port))

    assert await logged_in(consent_for(port), visits) == GOOD


async def test_half_a_head_and_no_more_is_broken_at_once(port: int, consent_for: ConsentFor) -> None:
    async def visits() -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request(port)[:20])
            await stream.send_eof()
            assert status(await rest(stream)) == 400
        await visit(port, request(port))

    assert await logged_in(consent_for(port), visits) == GOOD


async def test_a_slow_connection_is_not_pushed_out_by_those_that_are_over(port: int, consent_for: ConsentFor) -> None:
    async def visits() -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as slow:
            await slow.send(request(port)[:20])
            for _ in range(2 * reception.MOST_CONNECTIONS):
                assert status(await visit(port, request(port, "code=EVIL"))) == 400
            await slow.send(request(port)[20:])
            assert status(await rest(slow)) == 200

    assert await logged_in(consent_for(port), visits) == GOOD


async def test_the_winner_gets_its_page_however_many_come_after_it(port: int, consent_for: ConsentFor) -> None:
    async def visits() -> None:
        async with AsyncExitStack() as stack:
            winner = await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
            await winner.send(request(port))
            for _ in range(2 * reception.MOST_CONNECTIONS):
                await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
            assert BrowserPage.DONE.value.encode() in await rest(winner)

    assert await logged_in(consent_for(port), visits) == GOOD


async def test_an_answer_to_head_ends_with_its_head(port: int, consent_for: ConsentFor) -> None:
    async def visits() -> None:
        said = await visit(port, request(port, method="HEAD"))
        assert status(said) == 405
        assert said.endswith(b"\r\n\r\n")
        await visit(port, request(port))

    assert await logged_in(consent_for(port), visits) == GOOD


async def test_a_head_must_come_in_time(port: int, consent_for: ConsentFor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "HEAD_SECONDS", 0.02)

    async def visits() -> None:
        assert status(await visit(port, b"GET /callback")) == 400
        assert await visit(port, b"") == b""
        await visit(port, b"\xff")

    with pytest.raises(LoginTimeout) as caught:
        await logged_in(consent_for(port, 0.3), visits)
    assert caught.value.refused == {"no HTTP": 2}


async def test_connections_that_are_reset_at_once(port: int, consent_for: ConsentFor) -> None:
    def reset_one() -> None:
        with socket.create_connection(("127.0.0.1", port)) as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    async def visits() -> None:
        for _ in range(100):
            await anyio.to_thread.run_sync(reset_one)
        await visit(port, request(port))

    assert await logged_in(consent_for(port), visits) == GOOD
