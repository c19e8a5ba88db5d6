"""What goes over the wire: a step of the machine, and Kick's envelopes and error bodies (reference 2.2, 2.3, 3.7)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeAlias

from msgspec import Struct, json

from interpreters.sandbox.world import Access, Due, World
from kickcore.http import Request, Response

ZERO_TIME: Final = "0001-01-01T00:00:00Z"
"""What Kick sends as the start of a stream that is not running."""

Headers: TypeAlias = tuple[tuple[str, str], ...]

JSON: Final[Headers] = (("content-type", "application/json"),)
TEXT: Final[Headers] = (("content-type", "text/plain; charset=utf-8"),)
TOKEN_JSON: Final[Headers] = (
    ("content-type", "application/json;charset=UTF-8"),
    ("cache-control", "no-store"),
    ("pragma", "no-cache"),
)


class Step(Struct, frozen=True):
    """What a request came to: the world after it, the answer, and what is to be told of it by webhook.

    `events` are the last of the world's `due`, of which they are a part.
    """

    world: World
    response: Response
    events: tuple[Due, ...] = ()


class Incoming(Struct, frozen=True):
    """A request that may be answered: its token is alive, of a kind that may ask this, and has the scopes.

    `parts` are the variable segments of the path, decoded, in order.
    """

    world: World
    request: Request
    now: float
    token: Access
    parts: tuple[str, ...] = ()


Endpoint: TypeAlias = Callable[[Incoming], Step]
IdEndpoint: TypeAlias = Callable[[World, Request, float], Step]


class Refusal(Exception):
    """A request that changes nothing and is answered with `response`."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def rfc3339(seconds: float) -> str:
    """Epoch seconds as Kick writes times: UTC, whole seconds, `Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_fine(seconds: float, digits: int) -> str:
    """The same with 6 or 9 fractional digits, as event subscriptions have them; the last 3 of 9 are zeros."""
    micro = round(seconds * 1_000_000)
    return f"{rfc3339(micro // 1_000_000)[:-1]}.{micro % 1_000_000:06}".ljust(20 + digits, "0") + "Z"


def encoded(status: int, body: object, headers: Headers = JSON) -> Response:
    """`body` as JSON."""
    return Response(status, headers, json.encode(body))


def ok(data: object) -> Response:
    """Success in the API's envelope."""
    return encoded(200, {"data": data, "message": "OK"})


def ok_page(data: object, next_cursor: str) -> Response:
    """One page of a list; "" is the cursor after the last page."""
    return encoded(200, {"data": data, "message": "OK", "pagination": {"next_cursor": next_cursor}})


def _failure(status: int, message: str, data: object = None) -> Response:
    return encoded(status, {"data": {} if data is None else data, "message": message})


def without_data(failure: Response) -> Response:
    """A failure whose `data` is null, as those of Drops are."""
    return encoded(failure.status, {"data": None, "message": json.decode(failure.body)["message"]})


NO_CONTENT: Final = Response(204)
INVALID: Final = _failure(400, "Invalid request")
UNAUTHORIZED: Final = _failure(401, "Unauthorized")
FORBIDDEN: Final = _failure(403, "Forbidden")
NOT_FOUND: Final = _failure(404, "Not found")


TOO_MANY: Final = _failure(429, "Too many requests")
FAULT: Final = encoded(500, {"data": None, "message": "Internal server error"})
BLOCKED: Final = encoded(403, {"error": "Request blocked by security policy.", "reference": "9e4db7e3"})
"""What the firewall in front of the API answers; it says nothing about scopes."""

_MESSAGES: Final = {400: "Bad request", 404: "Not found", 409: "Conflict", 429: "Too many requests"}


def refused_with(status: int, detail: str) -> Response:
    """A refusal with a reason or a code: Kick puts it into `data`."""
    return _failure(status, _MESSAGES[status], detail)


def bad_request(detail: str) -> Response:
    """The same with status 400."""
    return refused_with(400, detail)


ID_INVALID: Final = encoded(400, {"error": "Invalid request"})
"""What the identity host is documented to answer to anything malformed."""

# Texts of the Go library go-oauth2, by which Kick's were recognised; the first of them was recorded.
_DESCRIPTIONS: Final = {
    "invalid_grant": "The provided authorization grant (e.g., authorization code, resource owner credentials) or "
    "refresh token is invalid, expired, revoked, does not match the redirection URI used in the authorization "
    "request, or was issued to another client",
    "invalid_client": "Client authentication failed",
    "invalid_request": "The request is missing a required parameter, includes an invalid parameter value, includes a "
    "parameter more than once, or is otherwise malformed",
    "unsupported_grant_type": "The authorization grant type is not supported by the authorization server",
}


def oauth_error(status: int, error: str) -> Response:
    """An error of the token endpoint (RFC 6749, section 5.2)."""
    return encoded(status, {"error": error, "error_description": _DESCRIPTIONS[error]}, TOKEN_JSON)
