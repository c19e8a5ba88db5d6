"""Strategies for what comes back over the wire: from anywhere, and from the token endpoint."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from interpreters.sandbox.wire import BLOCKED, JSON, TOO_MANY, Headers
from kickcore.http import Response, Sent, Unreachable
from kickcore.secret import Secret
from kickcore.testing.damage import cuts
from kickcore.testing.once import built_once
from kickcore.testing.values import bearer_secrets, json_values, scope_tuples

_REFUSALS: Final = (
    "invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
)  # fmt: skip

PAGE: Final = Response(
    200,
    (("content-type", "text/html; charset=UTF-8"),),
    b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>",
)
"""A success that is a page for people."""


class TokenAnswer(StrEnum):
    """What the token endpoint may answer."""

    GOOD = "good"
    """A new pair, with everything that belongs to it."""
    ODD = "odd"
    """A new access token that can be used; other members are missing, or are not what they should be."""
    SALVAGEABLE = "salvageable"
    """No access token that can be used, but a new refresh token."""
    CUT = "cut"
    """A good answer, cut at any byte."""
    REFUSED = "refused"
    """An error of RFC 6749, section 5.2; the grant is as it was."""
    ENDED = "ended"
    """`invalid_grant`: the refresh token is no longer taken."""
    FAILED = "failed"
    """A status of 500 or more, as JSON, as HTML or empty."""
    LIMITED = "limited"
    """429; it may say how long to wait, in seconds or by a date."""
    BLOCKED = "blocked"
    """403 of the firewall."""
    HTML = "html"
    """A page where a token should be, with a status of 200."""
    UNSENT = "unsent"
    """No answer, because nothing was sent."""
    LOST = "lost"
    """No answer; the server has acted, or may have."""


@built_once
def statuses() -> SearchStrategy[int]:
    """HTTP statuses from 100 to 599, often one of those that matter."""
    return st.integers(100, 599) | st.sampled_from([200, 200, 200, 204, 400, 401, 403, 404, 429, 500, 503])


@built_once
def waits() -> SearchStrategy[Headers]:
    """The headers of an answer that may ask to wait, and may be understood."""
    asked = st.sampled_from(["7", "soon", "3600", "Thu, 14 Jan 2027 16:08:16 GMT"])
    return st.just(()) | asked.map(lambda value: (("retry-after", value),))


@built_once
def responses(bodies: SearchStrategy[bytes] | None = None) -> SearchStrategy[Response]:
    """Answers of any status with any body, or with one of `bodies`."""
    return st.builds(Response, statuses(), waits(), st.binary(max_size=60) if bodies is None else bodies)


@built_once
def unreachables(*sent: Sent) -> SearchStrategy[Unreachable]:
    """Requests that got no answer, and how far they came: one of `sent`, or any."""
    return st.builds(Unreachable, st.sampled_from(["the wire is dead", ""]), st.sampled_from(sent or tuple(Sent)))


def json_response(value: object, status: int = 200, headers: Headers = ()) -> Response:
    """An answer whose body is JSON."""
    return Response(status, JSON + headers, json.dumps(value).encode())


@built_once
def failures() -> SearchStrategy[Response]:
    """A server that fails: a status of 500 or more, with JSON, a page or nothing, and perhaps the wish to wait."""
    told = st.sampled_from([Response(500, JSON, b'{"message":"Internal Server Error"}'), PAGE, Response(500)])
    return st.builds(_failure, st.sampled_from([500, 502, 503, 504, 599]), told, waits())


def _failure(status: int, told: Response, wait: Headers) -> Response:
    return Response(status, told.headers + wait, told.body)


@built_once
def limits() -> SearchStrategy[Response]:
    """429, which may say how long to wait."""
    return waits().map(lambda wait: replace(TOO_MANY, headers=TOO_MANY.headers + wait))


@built_once
def token_answers(
    *kinds: TokenAnswer, secrets: SearchStrategy[Secret] | None = None
) -> SearchStrategy[Response | Unreachable]:
    """What the token endpoint may answer: one of these kinds, or any if none is named.

    Access and refresh tokens are drawn from `secrets` (`bearer_secrets()` if not given).
    """
    good = _pairs(bearer_secrets() if secrets is None else secrets)
    answers: Mapping[TokenAnswer, SearchStrategy[Response | Unreachable]] = {
        TokenAnswer.GOOD: good.map(json_response),
        TokenAnswer.ODD: st.builds(_changed, good, _odd_members()),
        TokenAnswer.SALVAGEABLE: st.builds(_changed, good, _flaws()),
        TokenAnswer.CUT: cuts(good.map(json_response)),
        TokenAnswer.REFUSED: st.builds(_refusal, st.sampled_from(_REFUSALS), st.sampled_from([400, 401])),
        TokenAnswer.ENDED: st.sampled_from([400, 401]).map(lambda status: _refusal("invalid_grant", status)),
        TokenAnswer.FAILED: failures(),
        TokenAnswer.LIMITED: limits(),
        TokenAnswer.BLOCKED: st.just(BLOCKED),
        TokenAnswer.HTML: st.just(PAGE),
        TokenAnswer.UNSENT: unreachables(Sent.NO),
        TokenAnswer.LOST: unreachables(Sent.MAYBE, Sent.YES),
    }
    return st.one_of([answers[kind] for kind in kinds or TokenAnswer])


def _changed(pair: dict[str, Any], members: dict[str, Any]) -> Response:
    return json_response(pair | members)


def _refusal(error: str, status: int) -> Response:
    return json_response({"error": error, "error_description": "The request was refused."}, status)


def _pairs(secrets: SearchStrategy[Secret]) -> SearchStrategy[dict[str, Any]]:
    texts = secrets.map(Secret.reveal)
    return st.fixed_dictionaries(
        {
            "access_token": texts,
            "token_type": st.sampled_from(["Bearer", "bearer"]),
            "refresh_token": texts,
            "expires_in": st.sampled_from([7200, "7200"]) | st.integers(1, 5_184_000),
            "scope": scope_tuples().map(" ".join),
        }
    )


def _odd_members() -> SearchStrategy[dict[str, Any]]:
    """What may stand in the place of members that a token can do without."""
    odd = json_values()
    return st.fixed_dictionaries(
        {},
        optional={
            "refresh_token": st.sampled_from([None, "", 5, ["RT"], "a b"]),
            "expires_in": odd,
            "scope": odd,
            "id_token": odd,
            "not_heard_of_yet": odd,
        },
    )


def _flaws() -> SearchStrategy[dict[str, Any]]:
    """What may stand in the place of members that a token cannot do without."""
    no_token: list[Any] = [None, "", 5, ["AT"], {}, "a b", "é"]
    no_bearer: list[Any] = [None, "", "mac", 5]
    return st.sampled_from(
        [{"access_token": value} for value in no_token] + [{"token_type": value} for value in no_bearer]
    )
