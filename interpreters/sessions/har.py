"""The HTTP of a session as HAR 1.2, which the network panels of browsers and many other tools open."""

from base64 import b64encode
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import quote

import msgspec
from msgspec import Struct

from interpreters.sessions.aliases import ALIAS_TEXT
from interpreters.sessions.coding import Answered, Failure
from interpreters.sessions.lines import Line, Session, answered, instant_of
from kickcore.errors import SessionError
from kickcore.version import VERSION


def to_har(session: Session) -> bytes:
    """The requests and answers of a session as a HAR 1.2 file, sorted by when they began.

    Other effects are left out. Times are the recorded ones: `startedDateTime` is when a request was sent, and `wait` is
    all that is known of how long it took. A request without an answer has the status 0 and an `_error`. `_program`,
    `_index` and `_line` tell where an entry stands in the session. Secrets are aliases, as in the file.

    Raises `SessionError` for times that cannot be told, and for a request or an answer that is none.
    """
    start = session.header.micros
    lines = [
        *((line.t - line.d, line, number) for line, number in zip(session.lines, session.numbers, strict=True)),
        *((line.t, line, 0) for line in session.lost),
    ]
    try:
        entries = [
            _entry(line, number, instant_of(start + began))
            for began, line, number in sorted(lines, key=lambda one: (one[0], one[2]))
            if line.k == "send" and not line.cancel
        ]
    except OverflowError:
        raise SessionError(f"{session.name} has times that no calendar has; nothing was made of it") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise SessionError(
            f"{session.name} holds a request or an answer that is none; nothing was made of it"
        ) from None
    log = {
        "version": "1.2",
        "creator": {"name": "kickcore", "version": VERSION},
        "pages": [],
        "entries": entries,
        "comment": "secrets are aliases",
    }
    return msgspec.json.encode({"log": log}) + b"\n"


class _Asked(Struct):
    method: str = ""
    url: str = ""
    query: tuple[tuple[str, str], ...] = ()
    bearer: str | None = None
    form: tuple[tuple[str, str], ...] = ()
    json: msgspec.Raw = msgspec.Raw(b"")
    text: str | None = None
    octets: str | None = None


_ASKED: Final = msgspec.json.Decoder(_Asked)
UNKNOWN: Final = -1
"""What HAR has for a size that nobody knows."""


def _entry(line: Line, number: int, started: str) -> dict[str, Any]:
    took = line.d / 1_000
    answer = answered(line)
    error = "" if answer else _error(line)
    entry: dict[str, Any] = {
        "startedDateTime": started,
        "time": took,
        "request": _request(_ASKED.decode(bytes(line.q))),
        "response": _response(answer) if answer else {**_response(Answered(0)), "_error": error},
        "cache": {},
        "timings": {"send": 0, "wait": took, "receive": 0},
        "_program": plain(line.p),
        "_index": line.i,
    }
    if number:
        entry["_line"] = number
    if error:
        entry["_error"] = error
    return entry


def _error(line: Line) -> str:
    if line.failure:
        failure = msgspec.json.decode(line.failure, type=Failure)
        return plain(f"{failure.type}: {failure.text}")
    if not line.answer:
        return "never answered: the recording ends here"
    silence = cast("dict[str, str]", msgspec.json.decode(line.answer))
    return plain(f"{silence.get('reason', '')} (sent: {silence.get('sent', 'maybe')})")


def _request(asked: _Asked) -> dict[str, Any]:
    headers: tuple[tuple[str, str], ...] = ()
    if asked.bearer is not None:
        headers += (("Authorization", f"Bearer {asked.bearer}"),)
    kind, text = _posted(asked)
    if kind:
        headers += (("Content-Type", kind),)
    query = _joined(asked.query)
    request: dict[str, Any] = {
        "method": plain(asked.method),
        "url": plain(asked.url) + (f"?{query}" if query else ""),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _pairs(headers),
        "queryString": _pairs(asked.query),
        "headersSize": UNKNOWN,
        "bodySize": len(text.encode()),
    }
    if kind:
        # The members of a form are in the text; HAR has one of both.
        request["postData"] = {"mimeType": kind, "params": [], "text": text}
    return request


def _posted(asked: _Asked) -> tuple[str, str]:
    """The type and the text of what was posted."""
    if asked.form:
        return "application/x-www-form-urlencoded", _joined(asked.form)
    if bytes(asked.json):
        return "application/json", plain(bytes(asked.json).decode())
    if asked.text is not None:
        return "text/plain; charset=utf-8", plain(asked.text)
    return ("application/octet-stream", plain(asked.octets)) if asked.octets else ("", "")


def _response(answer: Answered) -> dict[str, Any]:
    headers = dict(answer.headers)
    content: dict[str, Any] = {"mimeType": plain(headers.get("content-type", "")) or "x-unknown"}
    if answer.octets:
        octets = plain(answer.octets).encode("latin-1", "replace")
        content |= {"size": len(octets), "text": b64encode(octets).decode(), "encoding": "base64"}
    else:
        text = plain(bytes(answer.json).decode() or answer.text or "")
        content |= {"size": len(text.encode()), "text": text}
    return {
        "status": answer.status,
        "statusText": _PHRASES.get(answer.status, ""),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _pairs(answer.headers),
        "content": content,
        "redirectURL": plain(headers.get("location", "")),
        "headersSize": UNKNOWN,
        "bodySize": content["size"] if answer.status else UNKNOWN,
    }


_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


def _pairs(pairs: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    return [{"name": plain(name), "value": plain(value)} for name, value in pairs]


def _joined(pairs: tuple[tuple[str, str], ...]) -> str:
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)


def _quoted(text: str) -> str:
    """A part of a query, percent-encoded but for its aliases."""
    parts, last = list[str](), 0
    for found in ALIAS_TEXT.finditer(text):
        parts += [quote(text[last : found.start()], safe=""), found[0] if found[1] else quote("«")]
        last = found.end()
    return "".join([*parts, quote(text[last:], safe="")])


def plain(text: str) -> str:
    """A text of a session as it was, but for its aliases: what is doubled there stands once."""
    return ALIAS_TEXT.sub(lambda found: found[0] if found[1] else "«", text)


__all__ = ["to_har"]
