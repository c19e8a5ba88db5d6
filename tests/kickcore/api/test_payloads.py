"""Every example body of `tests/payloads`, through the programs that it belongs to."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from contract import ANSWERED, ROWS, Row, answering, carried_out, full_world, listed, sample
from worlds import json_response

from kickcore.api.ads import AdsCode
from kickcore.api.call import error_for
from kickcore.api.drift import drift_in
from kickcore.api.introspection import TokenIntrospection
from kickcore.errors import (
    BadRequest,
    BadResponse,
    Blocked,
    Conflict,
    Forbidden,
    HTTPError,
    InvalidClient,
    KickError,
    NotFound,
    OAuthError,
    QuotaReached,
    RateLimited,
    ReauthorizationRequired,
    ServerError,
    Unauthorized,
)
from kickcore.notices import DriftNoticed
from kickcore.oauth.grants import read_grant
from kickcore.oauth.tokens import Token
from kickcore.policy import Drift, Policy
from kickcore.secret import Secret
from kickcore.testing import NOW

TELL, REFUSE = Policy(drift=Drift.TELL), Policy(drift=Drift.REFUSE)
BEFORE = Token(Secret("AT0"), NOW, NOW - 7200, Secret("RT0"), ("user:read",))
NEW = "new_member"

SCOPES = ("user:read", "chat:write", "channel:read", "channel:write", "streamkey:read", "events:subscribe")
GRANTS: dict[str, tuple[Token | None, float, tuple[str, ...] | None]] = {
    "post-oauth-token.authorization_code": (None, 7200, SCOPES),
    "post-oauth-token.refresh_token": (BEFORE, 7200, SCOPES),
    "post-oauth-token.client_credentials": (None, 5184000, None),
}
"""What each grant was traded for, how long it lives, and its scopes."""


def _named(value: object) -> str | None:
    return str(value) if isinstance(value, Row) else None


def _read(row: Row, body: Any) -> tuple[Any, list[DriftNoticed]]:
    """What the method gives for an answer, and the news that it tells of."""
    world = answering(body, TELL)
    value = carried_out(row, world)
    told = [notice for notice in world.notices if isinstance(notice, DriftNoticed)]
    if row.method.startswith("introspect_token"):
        # These say nothing, so that the answer is looked at here.
        told = drift_in(world.kick.api(world.sent[-1]).body, TokenIntrospection, row.operations[0])
    return value, told


# --- Responses


@pytest.mark.parametrize(("row", "name"), ANSWERED, ids=_named)
def test_a_response_is_read_and_holds_nothing_new(row: Row, name: str) -> None:
    body = sample(name)
    value, told = _read(row, body)
    assert told == []
    assert (value is None) is (body["data"] == {})
    assert carried_out(row, answering(body, REFUSE)) == value


def _objects(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All objects of a JSON value, with their paths as drift writes them."""
    if isinstance(value, dict):
        yield path, value
        for name, member in value.items():
            yield from _objects(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item, f"{path}[]")


@pytest.mark.parametrize(("row", "name"), ANSWERED, ids=_named)
def test_unknown_members_change_nothing_and_each_is_told(row: Row, name: str) -> None:
    known, grown = sample(name), sample(name)
    places = list(_objects(grown))
    for _, members in places:
        members[NEW] = {"deeper": [1]}
    value, told = _read(row, grown)
    assert value == _read(row, known)[0]
    # Of the envelope and its pagination nothing is told; where nothing is expected, nothing is read.
    below = {f"{path}.{NEW}" for path, _ in places if path.startswith("data")}
    expected = set() if value is None else below
    assert {(notice.member, notice.value) for notice in told} == {(path, "") for path in expected}
    assert len(told) == len(expected)
    if expected and not row.method.startswith("introspect_token"):
        with pytest.raises(BadResponse, match=NEW):
            carried_out(row, answering(grown, REFUSE))


@pytest.mark.parametrize("name", GRANTS)
@pytest.mark.parametrize("more", [{}, {NEW: {"deeper": [1]}}], ids=["as it is", "with more"])
def test_a_grant_is_read(name: str, more: dict[str, Any]) -> None:
    body = sample(name)
    before, life, scope = GRANTS[name]
    grant = read_grant(json_response(body | more), NOW, before)
    assert grant.problem is None
    refresh = Secret(body["refresh_token"]) if "refresh_token" in body else None
    ages = (before.granted_at if before else NOW, NOW) if refresh else (None, None)
    assert grant.token == Token(Secret(body["access_token"]), NOW + life, NOW, refresh, scope, *ages)


def test_every_response_is_used() -> None:
    assert {name for _, name in ANSWERED} | GRANTS.keys() == listed("responses")


# --- Errors

ERRORS: dict[str, type[HTTPError]] = {
    **{
        f"400-ads.{code}": BadRequest
        for code in AdsCode
        if code not in {AdsCode.CHANNEL_NOT_FOUND, AdsCode.AD_BREAK_ACTIVE, AdsCode.MAX_AD_BREAKS_REACHED}
    },
    "400-bad-request.app-token-needs-id": BadRequest,
    "400-bad-request.chat-channel-not-found": BadRequest,
    "400-bad-request.subscription-limit": BadRequest,
    "400-invalid-request": BadRequest,
    "401-unauthorized.drops": Unauthorized,
    "401-unauthorized": Unauthorized,
    "403-forbidden": Forbidden,
    "403-waf-blocked": Blocked,
    "404-ads.CHANNEL_NOT_FOUND": NotFound,
    "404-not-found": NotFound,
    "409-ads.AD_BREAK_ACTIVE": Conflict,
    "429-ads.MAX_AD_BREAKS_REACHED": QuotaReached,
    "429-too-many-requests": RateLimited,
    "500-internal-server-error": ServerError,
}

OAUTH_ERRORS: dict[str, tuple[tuple[int, ...], type[KickError], type[KickError]]] = {
    "oauth-400-invalid-request.documented": ((400,), OAuthError, OAuthError),
    "oauth-authorize-backend-500": ((500,), ServerError, ServerError),
    "oauth-invalid-client": ((400, 401), InvalidClient, InvalidClient),
    "oauth-invalid-grant": ((400, 401), OAuthError, ReauthorizationRequired),
    "oauth-invalid-request": ((400,), OAuthError, OAuthError),
    "oauth-invalid-scope": ((400,), OAuthError, OAuthError),
    "oauth-unsupported-grant-type": ((400, 401), OAuthError, OAuthError),
}
"""The statuses that an error of the token endpoint may come with, and what it is on a login and on a refresh."""

BREAK = next(row for row in ROWS if row.method == "create_ad_break" and row.body)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_of_its_class(name: str) -> None:
    body, status = sample(name, "errors"), int(name[:3])
    code = body["data"] if isinstance(body.get("data"), str) else None
    told = code or body.get("message") or body["error"]
    raised = error_for(json_response(body, status), "GET /somewhere")
    assert type(raised) is ERRORS[name]
    assert (raised.status, raised.code, raised.reference) == (status, code, body.get("reference"))
    assert told in str(raised)
    assert raised.code is None or "-ads." not in name or raised.code == AdsCode(name.partition(".")[2])


@pytest.mark.parametrize("name", ERRORS)
def test_a_program_raises_it(name: str) -> None:
    world = answering(sample(name, "errors"), Policy(retries=0), int(name[:3]))
    # Kick does not take the token, so that it is renewed, by Kick's own answer.
    world.kick.scripted.clear()
    with pytest.raises(ERRORS[name]) as caught:
        carried_out(BREAK, world)
    assert type(caught.value) is ERRORS[name]
    assert caught.value.operation == "POST /public/v1/ads/ad-break"


@pytest.mark.parametrize(
    ("name", "status"), [(name, status) for name, how in OAUTH_ERRORS.items() for status in how[0]]
)
def test_an_error_of_the_token_endpoint_is_of_its_class(name: str, status: int) -> None:
    answer = json_response(sample(name, "errors"), status)
    on_login, on_refresh = read_grant(answer, NOW, None), read_grant(answer, NOW, BEFORE)
    assert (on_login.token, on_refresh.token) == (None, None)
    assert (type(on_login.problem), type(on_refresh.problem)) == OAUTH_ERRORS[name][1:]


def test_every_error_is_used() -> None:
    assert ERRORS.keys() | OAUTH_ERRORS.keys() == listed("errors")


# --- Requests


@pytest.mark.parametrize("row", [row for row in ROWS if row.body], ids=str)
def test_a_body_is_built_as_in_the_example(row: Row) -> None:
    world = answering(sample(row.answers[0])) if row.answers else full_world()
    try:
        carried_out(row, world)
    except BadResponse:
        # The made-up answer does not matter here.
        assert not row.answers
    (request,) = world.sent
    assert json.loads(request.body) == sample(row.body, "requests")


def test_every_request_is_used() -> None:
    assert {row.body for row in ROWS} - {""} == listed("requests")
