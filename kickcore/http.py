"""HTTP as values: what to send, what came back, and what became of a request that was never answered."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeAlias
from urllib.parse import quote, urlencode, urlsplit

from msgspec import Struct

from kickcore.errors import ConfigError
from kickcore.secret import Secret

Pairs: TypeAlias = tuple[tuple[str, str | Secret], ...]
"""Names and values in order; a name may come more than once."""

API_TIMEOUT: Final = 30.0
"""Seconds that a whole exchange may take, waiting for a connection not counted."""
API_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of an answer's body, after decompression, that are read before it is given up."""

_HOST: Final = re.compile(r"[a-z0-9.\-:]+\Z", re.ASCII)


class Request(Struct, frozen=True, tag="request"):
    """An HTTP request, complete but for being sent. Secrets in it stay `Secret` until the wire.

    `url` is absolute and holds no query; `query` and `form` are encoded when sent, in the order given; `body` is
    JSON text. At most one of `form` and `body` is given. `timeout` is in seconds for the whole exchange; `limit` is in
    bytes of the answer's decompressed body; `group` names the requests that are limited together.
    """

    method: str
    url: str
    query: Pairs = ()
    bearer: Secret | None = None
    form: Pairs = ()
    body: bytes = b""
    timeout: float = API_TIMEOUT
    limit: int = API_LIMIT
    group: str = ""

    def __repr__(self) -> str:
        names = "".join(f" {name}" for name, _ in self.query)
        return f"<Request {self.method} {self.url}{' ?' + names if names else ''}>"


class Response(Struct, frozen=True, tag="response"):
    """An answer with whatever status: a status is data. Header names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first header of this (lower-case) name, or None."""
        return next((value for key, value in self.headers if key == name), None)

    def __repr__(self) -> str:
        return f"<Response {self.status}, {len(self.body)} bytes>"


class Sent(StrEnum):
    """How far a request came that was never answered: it decides whether sending it again is safe."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


class Unreachable(Struct, frozen=True, tag="unreachable"):
    """No usable answer: a dead wire is data. `reason` is for people and holds neither URL nor secret."""

    reason: str
    sent: Sent


def retry_after(response: Response, now: float | None) -> float | None:
    """Seconds that an answer asks to wait (RFC 9110, section 10.2.3), or None if it does not or cannot be read.

    A number of seconds, or a date in any of the three forms, measured against the answer's own `Date` where it has one:
    clocks differ. Without either clock (`now` is None) a date cannot be read.
    """
    header = (response.header("retry-after") or "").strip(" \t")
    if header.isascii() and header.isdigit():
        return min(float(header), 1e15)
    instant, since = _date(header), _date(response.header("date") or "") or now
    return None if instant is None or since is None else max(instant - since, 0.0)


def clock_skew(response: Response, before: float, after: float) -> float:
    """Seconds by which the answerer's clock (its `Date`) is ahead of ours, negative if behind, 0 if it may be right.

    `before` and `after` are when the request began and when its answer was there. A `Date` is in whole seconds.
    """
    date = _date(response.header("date") or "")
    if date is None or before - 1.0 <= date <= after:
        return 0.0
    return date - after if date > after else date + 1.0 - before


# The three forms of RFC 9110, section 5.6.7. The standard library's parser brings in sockets before Python 3.13.
_DATE: Final = re.compile(
    r"(?:[a-z]{3}, |[a-z]+day, )(?P<day>\d\d)[ -](?P<month>[a-z]{3})[ -](?P<year>\d{4}|\d\d) (?P<time>[\d:]{8})"
    r" (?:gmt|\+0000)\Z"
    r"|[a-z]{3} (?P<month2>[a-z]{3}) (?P<day2>[ \d]\d) (?P<time2>[\d:]{8}) (?P<year2>\d{4})\Z",
    re.ASCII | re.IGNORECASE,
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def _date(header: str) -> float | None:
    found = _DATE.match(header)
    if found is None:
        return None
    day, month, year, time = (found[name] or found[name + "2"] for name in ("day", "month", "year", "time"))
    # A year of two digits is of this century: no older date matters here.
    number = int(year) if len(year) == 4 else 2000 + int(year)
    try:
        hour, minute, second = map(int, time.split(":"))
        return datetime(
            number, _MONTHS.index(month.lower()) + 1, int(day), hour, minute, second, tzinfo=UTC
        ).timestamp()
    except (ValueError, OverflowError):
        return None


HELD_BACK: Final = Unreachable("the group of requests was asked to wait", Sent.NO)
"""The answer to a request that stood in line when Kick asked its group to wait: it was not sent, and no attempt."""


def encode_pairs(pairs: Pairs) -> str:
    """Percent-encode names and values as in a query or a form. The result shows secrets: for the wire only."""
    shown = [(name, value.reveal() if isinstance(value, Secret) else value) for name, value in pairs]
    return urlencode(shown, quote_via=quote, safe="")


def path_segment(text: str) -> str:
    """`text` as one segment of a path, encoded so that it cannot leave its place."""
    return "%2E" * len(text) if text in {".", ".."} else quote(text, safe="")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by name or address, in the three spellings that browsers agree on."""
    return host in {"127.0.0.1", "::1", "localhost"}


def secure_origin(url: object, name: str) -> str:
    """`url` as scheme, host and port in plain form. Raises `ConfigError` for what must not be trusted with secrets.

    That is anything but https, or http to the loopback interface; and user info, path, query or fragment.
    """
    if not isinstance(url, str):
        raise ConfigError(f"{name} is a URL, not {type(url).__name__}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(f"{name} is not a URL: {url[:80]!r}") from None
    host = parts.hostname or ""
    if "@" in parts.netloc:
        raise ConfigError(f"{name} holds user info, which is not used; it is a scheme and a host")
    extra = parts.path.strip("/") or parts.query or parts.fragment
    if extra or not _HOST.match(host) or host.endswith("."):
        raise ConfigError(f"{name} is a scheme and a host, like https://api.kick.com, and nothing more: {url[:80]!r}")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ConfigError(f"{name} must be https, or http on 127.0.0.1, ::1 or localhost: {url[:80]!r}")
    shown = f"[{host}]" if ":" in host else host
    usual = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in {None, usual} else "")
