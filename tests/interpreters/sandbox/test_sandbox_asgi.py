"""The ASGI application without a server: scopes in, messages out."""

from collections.abc import Mapping
from typing import Any

import pytest

from interpreters.sandbox import Sandbox, SandboxApp
from interpreters.sandbox.asgi import LARGEST_BODY, read_request
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.secret import Secret

HTTP: Mapping[str, Any] = {
    "type": "http",
    "method": "GET",
    "scheme": "http",
    "path": "/public/v1/users",
    "raw_path": b"/public/v1/users",
    "query_string": b"",
    "headers": [(b"host", b"127.0.0.1:1")],
}


async def exchange(app: SandboxApp, scope: Mapping[str, Any], *messages: Mapping[str, Any]) -> list[Any]:
    waiting = [dict(message) for message in messages]
    sent: list[Any] = []

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(dict(scope), receive, send)
    return sent


def part(body: bytes = b"", *, more: bool = False) -> Mapping[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def read(body: bytes = b"", *headers: tuple[bytes, bytes], **changes: Any) -> Request:
    scope = {**HTTP, **changes}
    scope["headers"] = [*scope["headers"], *headers]
    request = read_request(scope, body)
    assert isinstance(request, Request)
    return request


def test_query_pairs_keep_their_order_and_blanks() -> None:
    assert read(query_string=b"b=2&a=%C3%A9+x&b=&c=%ff").query == (("b", "2"), ("a", "é x"), ("b", ""), ("c", "\ufffd"))


def test_a_form_becomes_pairs_and_json_stays_octets() -> None:
    form = read(b"a=1&a=2", (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8"))
    assert (form.form, form.body) == ((("a", "1"), ("a", "2")), b"")
    body = read(b'{"a":1}', (b"Content-Type", b"application/json"))
    assert (body.form, body.body) == ((), b'{"a":1}')


def test_the_bearer_is_a_secret() -> None:
    assert read(b"", (b"Authorization", b"bearer abc")).bearer == Secret("abc")
    for value in (b"Basic abc", b"Bearer", b"Bearer "):
        assert read(b"", (b"authorization", value)).bearer is None


def test_the_path_stays_encoded() -> None:
    request = read(path="/public/v1/chat/a/b", raw_path=b"/public/v1/chat/a%2Fb?x=1")
    assert request.url == "http://127.0.0.1:1/public/v1/chat/a%2Fb"
    assert read(path="/x", raw_path=None).url.endswith("/x")


async def test_an_answer_in_two_messages() -> None:
    start, body = await exchange(SandboxApp(Sandbox()), HTTP, part(more=True), part())
    assert start["status"] == 401
    assert (b"content-length", str(len(body["body"])).encode()) in start["headers"]
    assert body["body"] == b'{"data":{},"message":"Unauthorized"}'


async def test_a_body_too_large_is_413_and_not_read_on() -> None:
    sandbox = Sandbox()
    half = b"x" * (LARGEST_BODY // 2 + 1)
    sent = await exchange(SandboxApp(sandbox), HTTP, part(half, more=True), part(half, more=True))
    assert sent[0]["status"] == 413
    assert sandbox.log == []


async def test_too_many_fields_are_400() -> None:
    sent = await exchange(SandboxApp(Sandbox()), {**HTTP, "query_string": b"a&" * 2000}, part())
    assert sent[0]["status"] == 400


async def test_a_client_that_went_away_gets_nothing() -> None:
    sandbox = Sandbox()
    assert await exchange(SandboxApp(sandbox), HTTP, {"type": "http.disconnect"}) == []
    assert sandbox.log == []


async def test_an_answer_withheld_is_one_that_breaks_off() -> None:
    sandbox = Sandbox(before=lambda _: Unreachable("gone", Sent.YES))
    start, body = await exchange(SandboxApp(sandbox), HTTP, part())
    assert (b"content-length", b"2") in start["headers"]
    assert body == {"type": "http.response.body", "body": b"", "more_body": True}


async def test_an_empty_answer_has_no_length() -> None:
    start, _ = await exchange(SandboxApp(Sandbox(before=lambda _: Response(204))), HTTP, part())
    assert start == {"type": "http.response.start", "status": 204, "headers": []}


async def test_lifespan() -> None:
    sent = await exchange(
        SandboxApp(Sandbox()), {"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
    )
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_other_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="websocket"):
        await exchange(SandboxApp(Sandbox()), {"type": "websocket"})
