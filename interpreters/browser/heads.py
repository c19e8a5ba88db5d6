"""Reading the head of one HTTP request, and writing the answer to it. On bytes: no socket in sight."""

import re
from html import escape
from typing import Final

import h11
from msgspec import Struct

from kickcore.oauth.callback import BROKEN, Answer, BrowserPage, Refused

LONGEST_LINE: Final = 8 * 1024
LONGEST_HEADERS: Final = 16 * 1024
MOST_HEADERS: Final = 100

LINE_TOO_LONG: Final = Answer(414, BrowserPage.NOT_OURS, refused=Refused.BROKEN)
HEADERS_TOO_LARGE: Final = Answer(431, BrowserPage.NOT_OURS, refused=Refused.BROKEN)

_REQUEST_LINE: Final = re.compile(rb"[^ ]+ [^ ]+ HTTP/1\.[0-9]")
# What one may take for the end of a line, and another not (RFC 9112, sections 2.2 and 5.2). h11 lets some of it in.
_ODD_BREAK: Final = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|\r\n[ \t]")


class Head(Struct, frozen=True):
    """A request's method, target and headers (names in lower case)."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]


def read_head(received: bytes) -> Head | Answer | None:
    """The head that `received` starts with; or the answer to what can be none; or None while more must come."""
    line, ended, rest = received.partition(b"\r\n")
    if len(line) > LONGEST_LINE:
        return LINE_TOO_LONG
    # A TLS hello or noise may never bring a line end, so its first octet decides.
    if received and not received[:1].isalpha():
        return BROKEN
    if ended and not _REQUEST_LINE.fullmatch(line):
        return BROKEN
    # No header at all, and so no Host.
    if rest.startswith(b"\r\n"):
        return BROKEN
    headers, blank, _ = rest.partition(b"\r\n\r\n")
    if _ODD_BREAK.search(line) or _ODD_BREAK.search(headers):
        return BROKEN
    if len(headers) > LONGEST_HEADERS or headers.count(b"\r\n") >= MOST_HEADERS:
        return HEADERS_TOO_LARGE
    return _parsed(line + b"\r\n" + headers + b"\r\n\r\n") if blank else None


def _parsed(head: bytes) -> Head | Answer:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    try:
        request = connection.next_event()
    except h11.RemoteProtocolError:
        return BROKEN
    if not isinstance(request, h11.Request):
        return BROKEN
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers)
    return Head(request.method.decode("latin-1"), request.target.decode("latin-1"), headers)


def written(answer: Answer, method: str = "GET") -> bytes:
    """The whole HTTP response to a request by `method`. Nothing of the request is in it."""
    page = _html(answer.page)
    connection = h11.Connection(h11.SERVER)
    head = connection.send(h11.Response(status_code=answer.status, headers=_headers(answer.status, len(page))))
    return (head or b"") + (b"" if method == "HEAD" else page)


def _headers(status: int, length: int) -> list[tuple[str, str]]:
    return [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(length)),
        ("Content-Security-Policy", "default-src 'none'"),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
        *([("Allow", "GET")] if status == 405 else []),
    ]


def _html(page: BrowserPage) -> bytes:
    text = escape(page.value, quote=False)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Login with Kick</title></head>'
        f"<body><h1>Login with Kick</h1><p>{text}</p></body></html>\n"
    ).encode()
