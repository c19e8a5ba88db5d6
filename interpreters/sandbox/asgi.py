"""The sandbox as an ASGI application: both of Kick's hosts on one origin."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from interpreters.sandbox.shell import Sandbox
from kickcore.http import Pairs, Request, Response, Unreachable
from kickcore.secret import Secret

LARGEST_BODY: Final = 1024 * 1024
"""Bytes of a request's body; a larger one is answered with 413."""
MOST_FIELDS: Final = 1000

ASGIScope: TypeAlias = MutableMapping[str, Any]
ASGIMessage: TypeAlias = MutableMapping[str, Any]
ASGIReceive: TypeAlias = Callable[[], Awaitable[ASGIMessage]]
ASGISend: TypeAlias = Callable[[ASGIMessage], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[ASGIScope, ASGIReceive, ASGISend], Awaitable[None]]

_FORM: Final = "application/x-www-form-urlencoded"
_TOO_LARGE: Final = Response(413)
_MALFORMED: Final = Response(400)


class SandboxApp:
    """An ASGI 3 application that answers as `sandbox` does. Serve it with any server, or use `serve`.

    One origin stands for both `api.kick.com` and `id.kick.com`. An answer that the sandbox withholds (`Unreachable`)
    becomes one that breaks off.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    async def __call__(self, scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
        """Take part in one lifespan or answer one HTTP request. Raises `ValueError` for other kinds, as ASGI asks."""
        match scope["type"]:
            case "lifespan":
                await _lifespan(receive, send)
            case "http":
                await self._http(scope, receive, send)
            case kind:
                raise ValueError(f"the sandbox speaks http, not {kind}")

    async def _http(self, scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
        body = await _body(receive)
        if body is None:
            return
        request = _TOO_LARGE if len(body) > LARGEST_BODY else read_request(scope, body)
        answer = request if isinstance(request, Response) else self.sandbox.handle(request)
        if isinstance(answer, Unreachable):
            await _break_off(send)
        else:
            await _answer(answer, send)


async def _lifespan(receive: ASGIReceive, send: ASGISend) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: ASGIReceive) -> bytes | None:
    """The body, not much more of it than allowed; None if the client went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False) or len(body) > LARGEST_BODY:
            return bytes(body)


def read_request(scope: ASGIScope, body: bytes) -> Request | Response:
    """An ASGI scope and body as a `Request`, or the 400 that an unreadable one gets."""
    headers = _headers(scope["headers"])
    target: bytes = scope.get("raw_path") or scope["path"].encode()
    path = target.partition(b"?")[0].decode("ascii", "replace")
    is_form = headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
    try:
        query = _pairs(scope["query_string"])
        form = _pairs(body) if is_form else ()
    except ValueError:
        return _MALFORMED
    return Request(
        method=scope["method"],
        url=f"{scope.get('scheme', 'http')}://{headers.get('host', 'sandbox')}{path}",
        query=query,
        bearer=_bearer(headers.get("authorization", "")),
        form=form,
        body=b"" if is_form else body,
    )


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


def _pairs(text: bytes) -> Pairs:
    # Undecodable octets become U+FFFD: what they stand for is then simply not found.
    shown = text.decode("ascii", "replace")
    return tuple(parse_qsl(shown, keep_blank_values=True, errors="replace", max_num_fields=MOST_FIELDS))


def _bearer(authorization: str) -> Secret | None:
    kind, _, token = authorization.partition(" ")
    return Secret(token.strip()) if kind.lower() == "bearer" and token.strip() else None


async def _answer(response: Response, send: ASGISend) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    if response.status != 204:
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _break_off(send: ASGISend) -> None:
    # ASGI has no word for dropping a connection; an answer shorter than it said makes the server do it.
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
