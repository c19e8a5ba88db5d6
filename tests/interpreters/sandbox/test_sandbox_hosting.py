"""The sandbox over real HTTP, on both event loops."""

import gc
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest

from interpreters.sandbox import Sandbox, approve, click_through, going_live, serve, small_world
from kickcore.errors import KickError, LoginError
from kickcore.http import Request, Response, Sent, Unreachable, encode_pairs
from kickcore.oauth.pkce import code_challenge, code_verifier
from kickcore.oauth.tokens import Token

VERIFIER = code_verifier(bytes(32))


def bearer(token: Token) -> dict[str, str]:
    assert token.access_token is not None
    return {"Authorization": f"Bearer {token.access_token.reveal()}"}


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def authorize_url(origin: str, redirect_uri: str, scope: str = "user:read chat:write") -> str:
    query = (
        ("response_type", "code"),
        ("client_id", "sandbox-app"),
        ("redirect", "127.0.0.1"),
        ("redirect_uri", redirect_uri),
        ("scope", scope),
        ("state", "st"),
        ("code_challenge", code_challenge(VERIFIER)),
        ("code_challenge_method", "S256"),
    )
    return f"{origin}/oauth/authorize?{encode_pairs(query)}"


@pytest.fixture(autouse=True)
def no_leftovers() -> Any:
    """Unclosed sockets and unawaited tasks show as warnings, which are errors, once they are collected."""
    yield
    gc.collect()


async def test_requests_over_http_are_those_in_memory() -> None:
    sandbox = Sandbox()
    headers = bearer(sandbox.sign_in(["user:read", "channel:read", "chat:write", "channel:write", "moderation:ban"]))
    async with serve(sandbox) as url, httpx2.AsyncClient(base_url=url, headers=headers) as http:
        users = await http.get("/public/v1/users", params=[("id", "676"), ("id", "123")])
        assert [user["user_id"] for user in users.json()["data"]] == [676, 123]
        sent = await http.post("/public/v1/chat", json={"content": "é", "type": "bot"})
        assert sent.json()["data"]["is_sent"] is True
        patched = await http.patch("/public/v1/channels", json={"stream_title": "T"})
        assert (patched.status_code, patched.content) == (204, b"")
        ban = {"broadcaster_user_id": 123, "user_id": 456}
        assert (await http.post("/public/v1/moderation/bans", json=ban)).json()["data"] == {}
        assert (await http.request("DELETE", "/public/v1/moderation/bans", json=ban)).status_code == 200
        assert (await http.get("/public/v1/users", headers={"Authorization": ""})).status_code == 401
    assert sandbox.world.messages[0].content == "é"
    assert sandbox.world.channels[123].title == "T"
    assert [entry.status for entry in sandbox.log] == [200, 200, 204, 200, 200, 401]
    assert sandbox.world.bans == {}


async def test_a_scripted_user_clicks_through_to_the_callback() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    redirect_uri = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/callback"
    sandbox = Sandbox(small_world(redirect_uris=(redirect_uri,)))
    targets: list[bytes] = []
    code, tokens = "", dict[str, str]()

    async def callback(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            targets.append((await stream.receive()).split(b" ", 2)[1])
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, callback)
        async with serve(sandbox) as url, httpx2.AsyncClient() as http:
            await click_through(authorize_url(url, redirect_uri), http=http, user_id=676, untick=["chat:write"])
            (code,) = sandbox.world.codes
            form = {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect_uri,
                "code_verifier": VERIFIER.reveal(),
                "client_id": "sandbox-app",
                "client_secret": "sandbox-secret",
            }
            tokens = (await http.post(f"{url}/oauth/token", data=form)).json()
            await click_through(authorize_url(url, redirect_uri), http=http, deny=True)
            with pytest.raises(LoginError, match="status 400"):
                await click_through(authorize_url(url, redirect_uri, "nonsense"), http=http)
        tasks.cancel_scope.cancel()
    assert tokens["scope"] == "user:read"
    assert targets[0] == f"/callback?code={code}&state=st".encode()
    assert targets[1].startswith(b"/callback?error=access_denied")


async def test_leaving_is_quick_with_idle_and_half_sent_connections() -> None:
    async with httpx2.AsyncClient() as http:
        async with serve(Sandbox()) as url:
            assert (await http.get(f"{url}/public/v1/users")).status_code == 401
            port = port_of(url)
            silent = await anyio.connect_tcp("127.0.0.1", port)
            half = await anyio.connect_tcp("127.0.0.1", port)
            await half.send(b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12")
            headers_only = await anyio.connect_tcp("127.0.0.1", port)
            await headers_only.send(b"GET / HTTP/1.1\r\nHos")
            await anyio.sleep(0.05)
            began = time.monotonic()
        took = time.monotonic() - began
        for stream in (silent, half, headers_only):
            await stream.aclose()
    assert took < 0.5
    with pytest.raises(OSError, match=r"(?i)attempts failed|refused"):
        await anyio.connect_tcp("127.0.0.1", port)


async def test_nothing_is_left_running() -> None:
    before = set(anyio.get_running_tasks())
    async with httpx2.AsyncClient() as http:
        async with serve(Sandbox()) as url:
            await http.get(url)
            half = await anyio.connect_tcp("127.0.0.1", port_of(url))
            await half.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12")
            await anyio.sleep(0.05)
        await half.aclose()
    assert set(anyio.get_running_tasks()) == before


async def test_a_port_can_be_chosen_and_is_free_afterwards() -> None:
    async with serve(Sandbox()) as url:
        port = port_of(url)
        with pytest.raises(OSError, match="in use"):
            async with serve(Sandbox(), port):
                pass
    async with serve(Sandbox(), port) as again:
        assert again == f"http://127.0.0.1:{port}"


async def test_what_the_body_raises_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with serve(Sandbox()):
            raise ZeroDivisionError


async def test_it_ends_with_the_scope_around_it() -> None:
    began = time.monotonic()
    with anyio.move_on_after(0.1) as scope:
        async with serve(Sandbox()) as url, httpx2.AsyncClient() as http:
            await http.get(url)
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert time.monotonic() - began < 0.6


async def test_an_answer_withheld_breaks_the_connection() -> None:
    sandbox = Sandbox(before=lambda _: Unreachable("gone", Sent.YES))
    async with serve(sandbox) as url, httpx2.AsyncClient() as http:
        with pytest.raises(httpx2.RemoteProtocolError):
            await http.get(url)


async def test_many_at_once() -> None:
    sandbox = Sandbox()
    headers = bearer(sandbox.sign_in(["chat:write"]))
    async with serve(sandbox) as url, httpx2.AsyncClient(headers=headers) as http, anyio.create_task_group() as tasks:
        for count in range(50):
            body = {"content": str(count), "type": "bot"}
            tasks.start_soon(lambda body: http.post(f"{url}/public/v1/chat", json=body), body)
    assert sorted(int(message.content) for message in sandbox.world.messages) == list(range(50))


async def test_the_world_may_change_while_it_is_served() -> None:
    sandbox = Sandbox()
    headers = bearer(sandbox.sign_in([]))
    async with serve(sandbox) as url, httpx2.AsyncClient(base_url=url, headers=headers) as http:
        sandbox.world = going_live(sandbox.world, 456, at=0.0)
        assert (await http.get("/public/v1/livestreams/stats")).json()["data"]["total_count"] == 5


async def test_without_hypercorn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypercorn.config", None)
    with pytest.raises(KickError, match=r"kickcore\[sandbox\]"):
        async with serve(Sandbox()):
            pass


def test_a_consent_page_in_memory_is_the_one_that_is_served() -> None:
    sandbox = Sandbox()

    def send(request: Request) -> Response | Unreachable:
        assert urlsplit(request.url).netloc == "sandbox.example"
        return sandbox.handle(request)

    location = approve(authorize_url("http://sandbox.example", "http://127.0.0.1:3000/callback"), send)
    assert location.startswith("http://127.0.0.1:3000/callback?code=SANDBOXCODE")
