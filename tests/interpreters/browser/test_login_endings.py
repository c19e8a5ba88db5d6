"""How a login on this machine ends: in time or not, without a port, without a browser, cancelled."""

import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from interpreters.browser import Loopback, opening, reception
from kickcore.effects import Consent
from kickcore.errors import CallbackPortInUse, ConfigError, LoginTimeout
from kickcore.oauth.callback import Answer, BrowserPage
from kickcore.secret import Secret

from .scripted_browser import GOOD, ConsentFor, browser, logged_in, request, rest, status, unseen, visit


async def test_a_user_who_does_not_come_back(port: int, consent_for: ConsentFor) -> None:
    async def visits() -> None:
        await visit(port, request(port, "code=EVIL&state=OTHER"))
        await visit(port, request(port, "error=x"))
        await visit(port, b"GET /favicon.ico HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)

    with pytest.raises(LoginTimeout) as caught:
        await logged_in(consent_for(port, 0.2), visits)
    text = str(caught.value)
    assert f"on port {port} within 0.2 seconds" in text
    assert "1 other path, 2 wrong or missing state" in text
    assert "STATE" not in text
    assert caught.value.seconds == 0.2
    assert caught.value.refused == {"other path": 1, "wrong or missing state": 2}


async def test_nobody_at_all(port: int, consent_for: ConsentFor) -> None:
    with pytest.raises(LoginTimeout, match="no other request came either"):
        await logged_in(consent_for(port, 0.05), anyio.lowlevel.checkpoint)


async def test_a_taken_port_opens_no_browser(port: int, consent_for: ConsentFor) -> None:
    opened: list[str] = []

    async def open_url(url: str) -> bool:
        opened.append(url)
        return True

    with socket.create_server(("127.0.0.1", port)), pytest.raises(CallbackPortInUse) as caught:
        await Loopback(open_url, unseen)(consent_for(port))
    assert opened == []
    assert caught.value.port == port
    assert f"port {port}" in str(caught.value)
    assert "another login may be running" in str(caught.value)


async def test_two_logins_on_one_port(port: int, consent_for: ConsentFor) -> None:
    async def visits() -> None:
        with pytest.raises(CallbackPortInUse, match="another login may be running"):
            await logged_in(consent_for(port), anyio.lowlevel.checkpoint)
        await visit(port, request(port))

    assert await logged_in(consent_for(port), visits) == GOOD


async def test_cancelling_frees_the_port(port: int, consent_for: ConsentFor) -> None:
    begun = time.monotonic()
    async with AsyncExitStack() as stack:
        with anyio.CancelScope() as scope:

            async def visits() -> None:
                for _ in range(5):
                    stream = await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
                    await stream.send(b"GET ")
                scope.cancel()
                await anyio.sleep_forever()

            await logged_in(consent_for(port), visits)
            pytest.fail("the cancellation was swallowed")
        assert scope.cancelled_caught
        assert time.monotonic() - begun < 0.5
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_cancelling_while_the_winner_is_answered_still_shows_the_page(port: int, consent_for: ConsentFor) -> None:
    pages: list[bytes] = []

    async def by_hand(scope: anyio.CancelScope) -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request(port))
            pages.append(await stream.receive())
            # It has not hung up, so the listener is still seeing it off.
            scope.cancel()
            await rest(stream)

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:

            async def visits() -> None:
                tasks.start_soon(by_hand, scope)

            await logged_in(consent_for(port), visits)
    assert BrowserPage.DONE.value.encode() in pages[0]
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_cancelling_at_the_very_callback_still_shows_the_page(
    port: int, consent_for: ConsentFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = anyio.CancelScope()
    judge = reception.answer_request
    pages: list[bytes] = []

    def cancelling(*request: Any, **consent: Any) -> Answer:
        scope.cancel()
        return judge(*request, **consent)

    async def by_hand() -> None:
        pages.append(await visit(port, request(port)))

    async def visits() -> None:
        tasks.start_soon(by_hand)

    monkeypatch.setattr(reception, "answer_request", cancelling)
    async with anyio.create_task_group() as tasks:
        with scope:
            await logged_in(consent_for(port), visits)
    assert scope.cancelled_caught
    assert BrowserPage.DONE.value.encode() in pages[0]


@pytest.fixture
def hearing_ctrl_c() -> Iterator[None]:
    """A program that runs in the background of a shell would not hear it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hearing_ctrl_c")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("where", ["in the browser", "while it waits", "in the callback"])
def test_ctrl_c_ends_a_login_and_frees_the_port(
    backend: str, where: str, port: int, consent_for: ConsentFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    async def open_url(_url: str) -> bool:
        if where == "in the browser":
            interrupt()
        elif where == "while it waits":
            threading.Timer(0.02, interrupt).start()
        else:
            monkeypatch.setattr(reception, "answer_request", interrupt)
            await visit(port, request(port))
        await anyio.sleep_forever()
        return True

    with pytest.raises(KeyboardInterrupt):
        anyio.run(Loopback(open_url, unseen), consent_for(port), backend=backend)
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize(
    "uri", ["https://bot.example/callback", "https://127.0.0.1:3000/callback", "http://bot.example/callback"]
)
async def test_a_redirect_that_leads_elsewhere(uri: str) -> None:
    consent = Consent(Secret("https://x"), uri, Secret("STATE"), "https://id.kick.com", 5.0)
    with pytest.raises(ConfigError) as caught:
        await Loopback(browser(anyio.lowlevel.checkpoint))(consent)
    assert str(caught.value) == (
        f"redirect_uri {uri} does not lead to this computer by http, so no callback can be received here: use the "
        "manual mode (interpreters.browser.Pasted), where the user pastes the address the browser ended at"
        if uri.startswith("https")
        else "redirect_uri may be plain http only on 127.0.0.1, ::1 or localhost; use https"
    )


@pytest.mark.parametrize("bad", [0, 65536, -1])
async def test_a_port_that_is_none(bad: int, consent_for: ConsentFor) -> None:
    with pytest.raises(ConfigError):
        await Loopback(browser(anyio.lowlevel.checkpoint))(consent_for(bad))


class BrowserError(Exception):
    pass


async def test_a_browser_that_breaks_has_its_url_shown(port: int, consent_for: ConsentFor) -> None:
    shown: list[str] = []

    async def open_url(_url: str) -> bool:
        await visit(port, b"\0")
        raise BrowserError("with a secret: STATE")

    with pytest.raises(LoginTimeout, match="could not be opened: BrowserError") as caught:
        await Loopback(open_url, shown.append)(consent_for(port, 0.1))
    assert shown == ["https://id.kick.com/oauth/authorize?state=STATE"]
    assert "STATE" not in str(caught.value)


async def test_without_a_browser_the_url_goes_to_standard_error_and_no_log(
    port: int, consent_for: ConsentFor, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def open_url(_url: str) -> bool:
        return False

    with pytest.raises(LoginTimeout) as caught:
        await Loopback(open_url)(consent_for(port, 0.05))
    assert str(caught.value).startswith(
        f"nobody came back from the browser on port {port} (the browser could not be opened: no browser) within 0.05 "
        "seconds; no other request came either; if Kick's page showed an error, compare"
    )
    assert capsys.readouterr().err.endswith("https://id.kick.com/oauth/authorize?state=STATE\n")
    assert "STATE" not in caplog.text


async def test_the_url_goes_to_whom_it_is_told_to(port: int, consent_for: ConsentFor) -> None:
    opened: list[str] = []
    shown: list[str] = []

    async def open_url(url: str) -> bool:
        opened.append(url)
        return False

    with pytest.raises(LoginTimeout):
        await Loopback(open_url, unseen).telling(shown.append)(consent_for(port, 0.05))
    assert shown == opened == ["https://id.kick.com/oauth/authorize?state=STATE"]


async def test_without_a_browser_the_user_comes_by_hand(port: int, consent_for: ConsentFor) -> None:
    async def open_url(_url: str) -> bool:
        return False

    async with anyio.create_task_group() as tasks:

        def show(_url: str) -> None:
            tasks.start_soon(visit, port, request(port))

        assert await Loopback(open_url, show)(consent_for(port)) == GOOD


async def test_a_browser_that_hangs_holds_up_nothing(
    port: int, consent_for: ConsentFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "PATIENCE", 0.02)
    shown = anyio.Event()

    async def open_url(_url: str) -> bool:
        await anyio.sleep_forever()
        return True

    async def by_hand() -> None:
        await shown.wait()
        await visit(port, request(port))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(by_hand)
        assert await Loopback(open_url, lambda _: shown.set())(consent_for(port)) == GOOD


async def test_a_browser_that_hangs_to_the_end_is_not_said_to_have_failed(port: int, consent_for: ConsentFor) -> None:
    async def open_url(_url: str) -> bool:
        await anyio.sleep_forever()
        return True

    with pytest.raises(LoginTimeout, match=rf"^nobody came back from the browser on port {port} within 0\.05 sec"):
        await Loopback(open_url, unseen)(consent_for(port, 0.05))


def test_the_patience_is_as_the_documentation_has_it() -> None:
    assert (opening.PATIENCE, reception.HEAD_SECONDS, reception.GOODBYE_SECONDS) == (10, 5, 0.25)


async def test_what_showing_raises_comes_out_as_itself(port: int, consent_for: ConsentFor) -> None:
    async def open_url(_url: str) -> bool:
        return False

    def show(_url: str) -> None:
        raise BrowserError

    with pytest.raises(BrowserError):
        await Loopback(open_url, show)(consent_for(port))
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_only_the_loopback_interface_is_listened_on(port: int, consent_for: ConsentFor) -> None:
    table = anyio.Path("/proc/net/tcp")
    if not await table.exists():
        pytest.skip("no /proc/net/tcp here")

    async def visits() -> None:
        lines = [line.split() for line in (await table.read_text("ascii")).splitlines()[1:]]
        listening = [line[1] for line in lines if line[3] == "0A" and line[1].endswith(f":{port:04X}")]
        assert listening == [f"0100007F:{port:04X}"]
        await visit(port, request(port))

    assert await Loopback(browser(visits), unseen)(consent_for(port)) == GOOD


@pytest.mark.parametrize("at", ["127.0.0.1", "::1"])
async def test_localhost_is_listened_on_under_both_addresses(at: str, port: int, consent_for: ConsentFor) -> None:
    async def visits() -> None:
        assert status(await visit(port, request(port), at)) == 200

    assert await logged_in(consent_for(port, host="localhost"), visits) == GOOD


async def test_a_squatter_on_the_other_address_of_localhost(port: int, consent_for: ConsentFor) -> None:
    with (
        socket.create_server(("::1", port), family=socket.AF_INET6),
        pytest.raises(CallbackPortInUse, match="of ::1 is taken"),
    ):
        await logged_in(consent_for(port, host="localhost"), anyio.lowlevel.checkpoint)
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_who_holds_an_address_that_no_browser_is_led_to_does_not_matter(
    port: int, consent_for: ConsentFor
) -> None:
    async def visits() -> None:
        await visit(port, request(port))

    with socket.create_server(("::1", port), family=socket.AF_INET6):
        assert await logged_in(consent_for(port), visits) == GOOD


async def test_a_login_leaves_no_cycle_of_a_failure(port: int, consent_for: ConsentFor) -> None:
    async def open_url(_url: str) -> bool:
        return False

    def show(_url: str) -> None:
        raise BrowserError

    gc.collect()
    gc.disable()
    try:
        with suppress(BrowserError):
            await Loopback(open_url, show)(consent_for(port))
        await anyio.lowlevel.checkpoint()
        assert not [found for found in gc.get_objects() if isinstance(found, BrowserError)]
    finally:
        gc.enable()
