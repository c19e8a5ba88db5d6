"""The redirect back from Kick's authorization page: what it says, and what to answer the browser.

Everything about a callback is decided here, on values. Whatever listens for it (a socket, a user who pastes an address)
only carries the request in and the answer out.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from hmac import compare_digest
from typing import Final, TypeAlias
from urllib.parse import SplitResult, parse_qsl, urlsplit

from msgspec import Struct

from kickcore.errors import ConfigError, cleaned
from kickcore.http import is_loopback
from kickcore.secret import Secret

CALLBACK_PATH: Final = "/callback"


class Granted(Struct, frozen=True, tag="granted"):
    """The user agreed; this is the authorization code, to be used once."""

    code: Secret


class Denied(Struct, frozen=True, tag="denied"):
    """The user or Kick refused: the `error` and its description, cleaned and cut."""

    error: str
    description: str = ""


class ForeignIssuer(Struct, frozen=True, tag="foreign_issuer"):
    """The redirect has our state and another issuer (RFC 9207): somebody mixed up authorization servers."""

    issuer: str


class Refused(StrEnum):
    """Why a request was turned away while the wait goes on."""

    STATE = "wrong or missing state"
    SHAPE = "malformed callback"
    PATH = "other path"
    METHOD = "other method"
    HOST = "other host"
    PREFETCH = "prefetch"
    BROKEN = "no HTTP"


Callback: TypeAlias = Granted | Denied | ForeignIssuer
"""How the user's visit to the authorization page ended."""


class BrowserPage(StrEnum):
    """What the browser is shown. Fixed texts: nothing from a request is ever put into a page."""

    DONE = "Kick sent you back. You can close this window and return to the program."
    NOT_DONE = "Kick did not grant access. You can close this window and return to the program."
    NOT_OURS = "This address only takes Kick's answer to a login that is running. Nothing was done."


class Answer(Struct, frozen=True):
    """What to answer a request on the callback address, and the end of the flow if it is one."""

    status: int
    page: BrowserPage
    end: Callback | None = None
    refused: Refused | None = None


def _turned_away(status: int, why: Refused) -> Answer:
    return Answer(status, BrowserPage.NOT_OURS, refused=why)


BROKEN: Final = _turned_away(400, Refused.BROKEN)
"""The answer to what is no HTTP request."""

_ONCE: Final = ("code", "state", "error", "iss")
_CODE: Final = re.compile(r"[\x20-\x7E]{1,4096}\Z", re.ASCII)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# RFC 3986, section 2. What else stands in a URL a browser encodes, and Kick and the listener would see another one.
_URL: Final = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+\Z", re.ASCII)


def read_callback(query: str, state: Secret, issuer: str) -> Callback | Refused:
    """What the query of a redirect says. Only with our `state` does it say anything.

    The state is compared as bytes in constant time; a parameter given twice is refused; `iss`, if there, must be the
    issuer; and an `error` beside a code wins, so that no code of doubtful origin is used. An empty `error` is none: a
    server may write every member that it knows.
    """
    if _BAD_ESCAPE.search(query):
        return Refused.SHAPE
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=64)
    except ValueError:
        return Refused.SHAPE
    given: dict[str, list[str]] = {name: [] for name in _ONCE}
    for name, value in pairs:
        if name in given:
            given[name].append(value)
    states = given["state"]
    if len(states) != 1 or not _same(states[0], state):
        return Refused.STATE
    if any(len(values) > 1 for values in given.values()):
        return Refused.SHAPE
    if given["iss"] and given["iss"][0] != issuer:
        return ForeignIssuer(cleaned(given["iss"][0]))
    if any(given["error"]):
        description = next((value for name, value in pairs if name == "error_description"), "")
        return Denied(cleaned(given["error"][0]), cleaned(description))
    code = "".join(given["code"])
    return Granted(Secret(code)) if _CODE.match(code) and not code.isspace() else Refused.SHAPE


def _same(given: str, state: Secret) -> bool:
    return compare_digest(given.encode("utf-8", "surrogatepass"), state.reveal().encode("utf-8"))


def answer_request(
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    *,
    redirect_uri: str,
    state: Secret,
    issuer: str,
) -> Answer:
    """What to do with one HTTP request on the callback address.

    Names of `headers` are in lower case. In order: exactly one Host and an origin-form target, of which a fragment is
    no part; the Host is ours (a DNS name that points here is not); the exact path; GET; no prefetch; then
    `read_callback`.
    """
    hosts = [value for name, value in headers if name == "host"]
    expected = urlsplit(redirect_uri)
    if len(hosts) != 1 or not target.startswith("/") or "#" in target:
        return _turned_away(400, Refused.BROKEN)
    if hosts[0].lower() not in _own_hosts(redirect_uri):
        return _turned_away(421, Refused.HOST)
    path, _, query = target.partition("?")
    if path != (expected.path or "/"):
        return _turned_away(404, Refused.PATH)
    if method != "GET":
        return _turned_away(405, Refused.METHOD)
    if any(_AHEAD.search(value) for name, value in headers if name in _HINTS):
        return _turned_away(503, Refused.PREFETCH)
    said = read_callback(query, state, issuer)
    match said:
        case Granted():
            return Answer(200, BrowserPage.DONE, said)
        case Denied():
            status = 400 if _has_code(query) else 200
            return Answer(status, BrowserPage.NOT_DONE, said)
        case ForeignIssuer():
            return Answer(400, BrowserPage.NOT_DONE, said)
        case Refused():
            return _turned_away(400, said)


_HINTS: Final = frozenset({"sec-purpose", "purpose", "x-purpose", "x-moz"})
_AHEAD: Final = re.compile(r"prefetch|prerender|preview", re.ASCII | re.IGNORECASE)
"""What browsers call a visit that the user has not made, or not yet."""


def _has_code(query: str) -> bool:
    return any(name == "code" for name, _ in parse_qsl(query))


def _own_hosts(redirect_uri: str) -> frozenset[str]:
    port = redirect_port(redirect_uri)
    names = ("127.0.0.1", "localhost", "[::1]")
    bare = frozenset(names) if port == 80 else frozenset[str]()
    return frozenset(f"{name}:{port}" for name in names) | bare


def read_pasted(address: str, *, redirect_uri: str, state: Secret, issuer: str) -> Callback | Refused:
    """What an address says that a user copied from the browser after the redirect: the same checks, but for Host."""
    try:
        given = urlsplit(address.strip())
        if _place(given) != _place(urlsplit(redirect_uri)):
            return Refused.PATH
    except ValueError:
        return Refused.SHAPE
    return read_callback(given.query, state, issuer)


def _place(parts: SplitResult) -> tuple[str, str, str]:
    """What a browser leaves of an address: it drops the scheme's own port and adds the first slash."""
    netloc = parts.netloc.lower()
    if parts.port == {"http": 80, "https": 443}.get(parts.scheme):
        netloc = netloc.removesuffix(f":{parts.port}")
    # A user name is kept, so that it makes a difference.
    return parts.scheme, netloc, parts.path or "/"


def checked_port(port: object) -> int:
    """A port that a callback can come to: 1 to 65535. Raises `ConfigError` otherwise."""
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise ConfigError(
            f"port is a number from 1 to 65535, not {port!r:.60}; Kick compares it with the app's redirect URL"
        )
    return port


def default_redirect_uri(port: int) -> str:
    """`http://127.0.0.1:{port}/callback`: the loopback address as a literal (RFC 8252, section 7.3)."""
    return f"http://127.0.0.1:{checked_port(port)}{CALLBACK_PATH}"


def redirect_port(redirect_uri: str) -> int:
    """The port that a redirect URI leads to."""
    parts = urlsplit(redirect_uri)
    return parts.port if parts.port is not None else 443 if parts.scheme == "https" else 80


def is_local(redirect_uri: str) -> bool:
    """Whether a redirect comes back to this machine by plain http, so that a loopback listener can take it."""
    parts = urlsplit(redirect_uri)
    return parts.scheme == "http" and is_loopback(parts.hostname or "")


def checked_redirect_uri(redirect_uri: object) -> str:
    """`redirect_uri` itself, or a `ConfigError`: https, or http on the loopback interface (RFC 8252, RFC 9700).

    No user info, no query, no fragment. It is sent as it is: Kick compares it byte by byte.
    """
    if not isinstance(redirect_uri, str):
        raise ConfigError(f"redirect_uri is a URL, not {type(redirect_uri).__name__}")
    try:
        parts = urlsplit(redirect_uri)
        port = parts.port
    except ValueError:
        raise ConfigError(f"redirect_uri is not a URL: {cleaned(redirect_uri, 80)!r}") from None
    if not _URL.match(redirect_uri) or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"redirect_uri must be an http or https URL, not {cleaned(redirect_uri, 80)!r}")
    if parts.username is not None or "?" in redirect_uri or "#" in redirect_uri:
        raise ConfigError("redirect_uri must have no user info, no query and no fragment")
    if port is not None:
        _ = checked_port(port)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigError("redirect_uri may be plain http only on 127.0.0.1, ::1 or localhost; use https")
    return redirect_uri
