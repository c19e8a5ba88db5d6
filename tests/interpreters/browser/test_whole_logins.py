"""A login from the client's method to Kick's token endpoint and back: what is sent, how often, and what is kept."""

import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import anyio.lowlevel
import httpx2
import pytest

from interpreters.browser import Loopback
from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient, KickError, Scope
from kickcore.errors import (
    AuthorizationDenied,
    CallbackPortInUse,
    IssuerMismatch,
    LoginInProgress,
    LoginTimeout,
    NetworkError,
    OAuthError,
    ServerError,
)
from kickcore.oauth.pkce import code_challenge
from kickcore.secret import Secret

from .scripted_browser import request, status, visit

Answering = Callable[[], Awaitable[httpx2.Response]]

SCOPES = [Scope.USER_READ]
GRANT = {
    "access_token": "AT-1",
    "token_type": "Bearer",
    "expires_in": 7200,
    "refresh_token": "RT-1",
    "scope": "user:read",
}


class Exchange:
    """Kick's token endpoint, which answers as it is told; and the user, whose browser comes back with `query`."""

    def __init__(
        self, answer: Callable[[], Awaitable[httpx2.Response]], query: str = "code=CODE&state={state}"
    ) -> None:
        self.urls: list[str] = []
        self.forms: list[dict[str, str]] = []
        self.pages: list[bytes] = []
        self.opened = anyio.Event()
        self._answer = answer
        self._query = query

    async def asked(self, request: httpx2.Request) -> httpx2.Response:
        assert request.url == "https://id.kick.com/oauth/token"
        self.forms.append(dict(parse_qsl(request.content.decode())))
        return await self._answer()

    @property
    def asked_for(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.urls[0]).query))

    async def open_url(self, url: str) -> bool:
        self.urls.append(url)
        self.opened.set()
        redirect = urlsplit(self.asked_for["redirect_uri"])
        query = self._query.format(state=self.asked_for["state"])
        if query:
            head = f"GET {redirect.path}?{query} HTTP/1.1\r\nHost: {redirect.netloc}\r\n\r\n"
            self.pages.append(await visit(redirect.port or 80, head.encode()))
        return True

    @asynccontextmanager
    async def client(self) -> AsyncIterator[KickClient]:
        async with (
            httpx2.AsyncClient(transport=httpx2.MockTransport(self.asked)) as http,
            KickClient("app", "app-secret", http=http, store=MemoryStore(), browser=Loopback(self.open_url)) as client,
        ):
            yield client


def answering(response_status: int, members: Any) -> Answering:
    async def answer() -> httpx2.Response:
        return httpx2.Response(response_status, json=members)

    return answer


async def reset() -> httpx2.Response:
    raise httpx2.ReadError("reset")


GOOD = answering(200, GRANT)
FAILING: list[Any] = [
    pytest.param(answering(400, {"error": "invalid_grant"}), OAuthError, id="400"),
    pytest.param(answering(401, {"error": "invalid_client"}), OAuthError, id="401"),
    pytest.param(answering(500, {}), ServerError, id="500"),
    pytest.param(answering(429, {}), KickError, id="429"),
    pytest.param(answering(200, {"token_type": "Bearer"}), KickError, id="no token"),
    pytest.param(reset, NetworkError, id="reset"),
]


async def test_one_redirect_uri_and_one_verifier_from_the_address_to_the_exchange(port: int) -> None:
    kick = Exchange(GOOD)
    async with kick.client() as client:
        login = await client.authenticate(SCOPES, port)
    assert login.granted == ("user:read",)
    (form,) = kick.forms
    assert form["redirect_uri"] == kick.asked_for["redirect_uri"] == f"http://127.0.0.1:{port}/callback"
    assert code_challenge(Secret(form["code_verifier"])) == kick.asked_for["code_challenge"]
    assert (form["code"], form["client_secret"]) == ("CODE", "app-secret")
    assert "app-secret" not in kick.urls[0]


@pytest.mark.parametrize(("answer", "error"), FAILING)
async def test_a_code_is_traded_once_whatever_comes_of_it(answer: Any, error: type[KickError], port: int) -> None:
    kick = Exchange(answer)
    async with kick.client() as client:
        with pytest.raises(error) as caught:
            await client.authenticate(SCOPES, port)
        assert client.user_token is None
    assert len(kick.forms) == 1
    for hidden in (kick.forms[0]["code_verifier"], kick.asked_for["state"], "CODE"):
        assert hidden not in str(caught.value)
    # The page says no more than what was true when it was shown.
    assert status(kick.pages[0]) == 200
    assert b"You can close this window and return to the program" in kick.pages[0]


async def test_a_second_login_on_the_port_is_told_so_and_the_first_goes_on(port: int) -> None:
    kick = Exchange(GOOD, "")
    async with kick.client() as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.authenticate, SCOPES, port)
            await kick.opened.wait()
            with pytest.raises(CallbackPortInUse):
                await client.as_user("other").authenticate(SCOPES, port)
            with pytest.raises(LoginInProgress):
                await client.authenticate(SCOPES, port)
            assert len(kick.urls) == 1
            await visit(port, request(port, f"code=CODE&state={kick.asked_for['state']}"))
        assert len(kick.forms) == 1
        assert client.user_token is not None


# The verifier and the state live as long as the login


@contextmanager
def without_a_collector() -> Iterator[None]:
    """What is not let go of at once stays."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def held_of(kick: Exchange) -> list[str]:
    """Which secrets of a login something still refers to: by their names, never by their texts."""
    asked = kick.asked_for
    held: list[str] = []
    for found in gc.get_objects():
        if type(found) is Secret:
            text = found.reveal()
            is_verifier = len(text) == 43 and code_challenge(Secret(text)) == asked["code_challenge"]
            names = {"state": text == asked["state"], "address": text == kick.urls[0], "verifier": is_verifier}
            held += [name for name, is_it in names.items() if is_it]
    return held


async def test_after_a_login_nothing_holds_its_state_or_verifier(port: int) -> None:
    kick = Exchange(GOOD)
    async with kick.client() as client:
        with without_a_collector():
            await client.authenticate(SCOPES, port)
            assert held_of(kick) == []


@pytest.mark.parametrize(("answer", "error"), FAILING)
async def test_after_a_failed_exchange_nothing_holds_them(answer: Any, error: type[KickError], port: int) -> None:
    kick = Exchange(answer)
    async with kick.client() as client:
        with without_a_collector():
            with pytest.raises(error) as caught:
                await client.authenticate(SCOPES, port)
            assert held_of(kick) == []
            assert caught.value


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("error=access_denied&state={state}", AuthorizationDenied),
        ("code=CODE&state={state}&iss=https://evil.example", IssuerMismatch),
        ("code=CODE&state=other", LoginTimeout),
        ("", LoginTimeout),
    ],
)
async def test_after_a_login_that_came_to_nothing_nothing_holds_them(
    query: str, error: type[KickError], port: int
) -> None:
    kick = Exchange(GOOD, query)
    async with kick.client() as client:
        with without_a_collector():
            with pytest.raises(error) as caught:
                await client.authenticate(SCOPES, port, timeout=0.05)
            assert held_of(kick) == []
            assert caught.value
    assert kick.forms == []


async def test_a_login_cancelled_while_it_waits_holds_neither_them_nor_the_port(port: int) -> None:
    kick = Exchange(GOOD, "")
    async with kick.client() as client:
        with without_a_collector():
            with anyio.move_on_after(0.05):
                await client.authenticate(SCOPES, port)
            await anyio.lowlevel.checkpoint()
            assert held_of(kick) == []
            with socket.create_server(("127.0.0.1", port)):
                pass
    assert kick.forms == []


async def test_a_login_cancelled_while_it_exchanges_has_let_go_of_the_port_and_keeps_the_token(port: int) -> None:
    scope = anyio.CancelScope()

    async def answer() -> httpx2.Response:
        scope.cancel()
        with socket.create_server(("127.0.0.1", port)):
            return httpx2.Response(200, json=GRANT)

    kick = Exchange(answer)
    async with kick.client() as client:
        with without_a_collector():
            with scope:
                await client.authenticate(SCOPES, port)
            assert scope.cancelled_caught
            # Python itself lets go of what a `with` swallowed when the coroutine next waits.
            await anyio.lowlevel.checkpoint()
            assert held_of(kick) == []
        assert client.user_token is not None
    assert len(kick.forms) == 1
