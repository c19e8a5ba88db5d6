"""Where secrets are: by their type, by the endpoint, by the name of a member. Nobody needs to be asked."""

import re
from collections.abc import Iterable
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Struct

from interpreters.sessions.coding import Asked, written_body
from kickcore.effects import Consent, Send
from kickcore.http import Request, Response
from kickcore.oauth.callback import Granted
from kickcore.secret import Secret

Found = tuple[str, str]
"""A role and a text."""

LONG_VERSION: Final = 16
"""Characters of a token's version from which it is made of what it is the version of, as files have it."""

_ROLE_OF: Final = {
    "access_token": "at",
    "bearer": "at",
    "refused": "at",
    "token": "at",
    "refresh_token": "rt",
    "id_token": "id",
    "client_secret": "cs",
    "code": "code",
    "code_verifier": "ver",
    "verifier": "ver",
    "code_challenge": "chal",
    "state": "state",
    "email": "email",
    "stream_key": "key",
    "key": "key",
}

_NAMED: Final = re.compile(
    r'"(access_token|refresh_token|id_token|client_secret|code_verifier)"\s*:\s*"((?:[^"\\]|\\.)+)'
    r"|\b(access_token|refresh_token|id_token|client_secret|code_verifier)=([^&\s\"']+)"
)
_TELLING: Final = re.compile(
    r"(?:^|_|-)(?:token|secret|password|passwd|authorization|cookie|apikey|api_key|session|credential)s?\Z",
    re.IGNORECASE,
)
_TELLING_OCTETS: Final = re.compile(
    rb"(?:token|secret|passw|authorization|cookie|api_?key|session|credential|email|stream_key|\"key\")", re.IGNORECASE
)


def in_app(client_secret: Secret) -> Iterable[Found]:
    """The secret of an app."""
    yield "cs", client_secret.reveal()


def in_value(value: object, name: str = "") -> Iterable[Found]:
    """Every `Secret` in an effect or an answer, by its type; the member that holds it gives the role."""
    if isinstance(value, Secret):
        yield _ROLE_OF.get(name, "sec"), value.reveal()
    elif isinstance(value, str):
        if name == "version" and len(value) >= LONG_VERSION:
            yield "v", value
    elif isinstance(value, Struct):
        for member in value.__struct_fields__:
            yield from in_value(getattr(value, member), member)
    elif isinstance(value, tuple | list):
        pair = cast("tuple[Any, ...]", value)
        if len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], Secret):
            yield from in_value(pair[1], pair[0])
            return
        for item in pair:
            yield from in_value(item, name)


def in_ask(asked: Asked) -> Iterable[Found]:
    """The secrets in what a program asks."""
    if isinstance(asked, Consent):
        query = dict(parse_qsl(urlsplit(asked.url.reveal()).query))
        yield "state", asked.state.reveal()
        for name in ("state", "code_challenge"):
            yield _ROLE_OF[name], query.get(name, "")
    elif isinstance(asked, Send):
        yield from _in_request(asked.request)
    else:
        yield from in_value(asked)


def _in_request(request: Request) -> Iterable[Found]:
    is_refresh = any(value == "refresh_token" for _, value in request.form + request.query)
    for name, value in (("bearer", request.bearer), *request.query, *request.form):
        if isinstance(value, Secret):
            # A token that is revoked is named by its hint.
            role = "rt" if name == "token" and is_refresh else _ROLE_OF.get(name, "sec")
            yield role, value.reveal()
    if request.body and _TELLING_OCTETS.search(request.body):
        yield from _in_body(request, request.body)


def in_answer(asked: Asked, answer: object) -> Iterable[Found]:
    """The secrets in an answer: in tokens by their type, in what Kick sends by the names of members."""
    if isinstance(asked, Send):
        if isinstance(answer, Response) and answer.body and _is_telling(answer.body):
            yield from _in_body(asked.request, answer.body)
        if isinstance(answer, Response):
            location = answer.header("location") or ""
            for name, value in parse_qsl(urlsplit(location).query) if location else ():
                if name in _ROLE_OF or _TELLING.search(name):
                    yield _ROLE_OF.get(name, "sec"), value
    elif isinstance(answer, Granted):
        yield "code", answer.code.reveal()
    elif answer is not None:
        yield from in_value(answer)


def _is_telling(body: bytes) -> bool:
    return _TELLING_OCTETS.search(body) is not None or b"\0" in body


def _in_body(request: Request, body: bytes) -> Iterable[Found]:
    written = written_body(body)
    text = written.get("text") or written.get("octets") or body.decode("utf-8", "replace")
    for name, value, other, plain in _NAMED.findall(text):
        yield _ROLE_OF[name or other], _unescaped(value) if name else plain
    try:
        decoded: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    yield from _in_members(decoded, "/channels" in request.url)


def _unescaped(value: str) -> str:
    try:
        return msgspec.json.decode(f'"{value}"'.encode(), type=str)
    except (msgspec.DecodeError, UnicodeError):
        return value


def _in_members(value: object, is_channel: bool, name: str = "") -> Iterable[Found]:  # noqa: FBT001 - passed down
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        for key, item in members.items():
            if isinstance(item, str):
                role = _role_of_member(key, item, is_channel=is_channel and name == "stream")
                if role:
                    yield role, item
            else:
                yield from _in_members(item, is_channel, key)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _in_members(item, is_channel, name)


def _role_of_member(key: str, item: str, *, is_channel: bool) -> str:
    small = key.lower()
    if small == "email" or (is_channel and small in {"key", "url"}):
        return small
    if small in {"access_token", "refresh_token", "id_token", "client_secret", "code_verifier", "stream_key"}:
        return _ROLE_OF[small]
    return "sec" if len(item) >= 8 and _TELLING.search(small) else ""
