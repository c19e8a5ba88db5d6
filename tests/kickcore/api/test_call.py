"""How every call is made, read, and turned into an error."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PAYLOADS
from worlds import APP, APP_SLOT, NO_REPEATS, NOW, Kick, World, json_response, user_world

from kickcore import Secret
from kickcore.api.call import APP_OR_USER, Call, answered, call, error_for, is_quota, read_data, request_for
from kickcore.api.channels import Channel
from kickcore.api.users import User, fetch_user
from kickcore.effects import LoadToken
from kickcore.errors import (
    BadRequest,
    BadResponse,
    Blocked,
    Conflict,
    Forbidden,
    HTTPError,
    NetworkError,
    NotFound,
    QuotaReached,
    RateLimited,
    RedirectRefused,
    ServerError,
    Unauthorized,
)
from kickcore.http import API_LIMIT, API_TIMEOUT, Request, Response, Sent, Unreachable
from kickcore.oauth.tokens import App
from kickcore.testing import json_values, statuses

GET = "GET /public/v1/users"
ME = {"data": [{"user_id": 5, "name": "me"}], "message": "OK"}


def _call(**others: Any) -> Call[list[User]]:
    members: dict[str, Any] = {"operation": GET, "answer": list[User], "tokens": APP_OR_USER, **others}
    return Call[list[User]](**members)


# --- The request


def test_a_plain_request() -> None:
    request = request_for(_call(query=(("id", "1"), ("id", "2"))), APP, Secret("AT"))
    assert request == Request(
        "GET", "https://api.kick.com/public/v1/users", query=(("id", "1"), ("id", "2")), bearer=Secret("AT"), group=GET
    )
    assert (request.timeout, request.limit) == (API_TIMEOUT, API_LIMIT)


def test_segments_fill_the_braces_in_order_and_stay_in_their_place() -> None:
    asked = _call(operation="DELETE /a/{one}/b/{two}", segments=("x/../y", "?q=1#f"), body=b"{}")
    request = request_for(asked, App("CID", Secret("S"), api_url="http://127.0.0.1:8080"), None)
    assert request.method == "DELETE"
    assert request.group == "DELETE /a/{one}/b/{two}"
    assert request.url == "http://127.0.0.1:8080/a/x%2F..%2Fy/b/%3Fq%3D1%23f"
    assert request.body == b"{}"


# --- Tokens


def _bearers(world: World) -> list[str]:
    return [request.bearer.reveal() if request.bearer else "" for request in world.asked_api]


def test_the_app_token_is_used_where_it_is_enough() -> None:
    world = user_world()
    world.kick.api = lambda _: json_response(ME)
    assert world.run(call(_call())) == [User(5, "me")]
    assert _bearers(world) == ["APP0"]


def test_an_app_token_that_is_refused_twice_gives_way_to_a_held_user_token() -> None:
    world = user_world()
    world.kick.takes_app_tokens = False
    world.kick.api = lambda _: json_response(ME)
    assert world.run(fetch_user(5)) == User(5, "me")
    assert _bearers(world) == ["APP0", "APP1", "AT0"]


def test_without_a_user_token_the_refusal_stands() -> None:
    kick = Kick()
    kick.takes_app_tokens = False
    world = World(kick)
    with pytest.raises(Unauthorized):
        world.run(fetch_user(5))
    assert _bearers(world) == ["APP1", "APP2"]
    assert len([effect for effect in world.log if isinstance(effect, LoadToken) and effect.slot != APP_SLOT]) == 1


def test_a_user_token_that_lacks_the_scope_is_not_sent_in_its_place() -> None:
    world = user_world()
    world.log_in(scope="chat:write")
    world.kick.takes_app_tokens = False
    with pytest.raises(Unauthorized):
        world.run(fetch_user(5))
    assert "AT0" not in _bearers(world)


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_only_a_refused_token_is_tried_with_another(status: int) -> None:
    world = user_world(policy=NO_REPEATS)
    world.kick.api = lambda _: Response(status)
    with pytest.raises(HTTPError):
        world.run(fetch_user(5))
    assert _bearers(world) == ["APP0"]


@pytest.mark.parametrize("sent", Sent)
def test_a_call_without_an_answer_says_how_far_it_came(sent: Sent) -> None:
    world = user_world(policy=NO_REPEATS)
    world.kick.api = lambda _: Unreachable("reset by peer", sent)
    with pytest.raises(NetworkError, match=rf"^{GET} got no answer: reset by peer; ") as caught:
        world.run(fetch_user(5))
    assert caught.value.sent == sent.value
    assert len(world.sent) == 1


def test_what_kick_may_have_done_is_told_in_words() -> None:
    said: dict[str, str] = {}
    for sent in Sent:
        with pytest.raises(NetworkError) as caught:
            answered(Unreachable("x", sent), GET)
        said[sent.value] = str(caught.value).partition("; ")[2]
    assert said == {
        "no": "nothing was sent",
        "maybe": "Kick may have acted on it",
        "yes": "Kick has acted on it",
    }
    assert answered(Response(500), GET) == Response(500)


# --- Reading a success


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "truncated"),
        (b"<html>", "malformed"),
        (b"null", "null"),
        (b"[]", "array"),
        (b"{}", "data"),
        (b'{"data":null}', "data"),
        (b'{"data":{}}', "data"),
        (b'{"data":[{"name":"a"}]}', "user_id"),
        (b'{"data":[{"user_id":"5","name":"a"}]}', "user_id"),
        (b'{"data":[{"user_id":5.5,"name":"a"}]}', "user_id"),
        (b'{"data":[{"user_id":5,"name":"a"},{"user_id":6,"name":7}]}', "name"),
        (b'{"data":[{"user_id":5,"name":"\xff"}]}', "utf-8"),
        (b'{"data":[{"user_id":5,"name":"\\ud800"}]}', "truncated"),
        (b'{"data":' + b"[" * 100_000, "array"),
        (b'{"x":' + b"[" * 100_000, "recursion"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_answer_that_does_not_fit_is_a_bad_response_that_names_the_member(body: bytes, named: str) -> None:
    with pytest.raises(BadResponse, match=named) as caught:
        read_data(Response(200, (), body), list[User], GET)
    assert (caught.value.status, caught.value.operation) == (200, GET)
    assert len(str(caught.value)) < 450


def test_a_bad_response_shows_no_value() -> None:
    body = json.dumps({"data": [{"broadcaster_user_id": 5, "slug": "a", "stream": {"is_live": "sk_hunter2"}}]}).encode()
    with pytest.raises(BadResponse, match="is_live") as caught:
        read_data(Response(200, (), body), list[Channel], GET)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_zone_is_part_of_a_time() -> None:
    body = (
        b'{"data":[{"broadcaster_user_id":5,"slug":"a","stream":{"is_live":true,"start_time":"2026-01-01T00:00:00"}}]}'
    )
    with pytest.raises(BadResponse, match="start_time"):
        read_data(Response(200, (), body), list[Channel], GET)


@pytest.mark.parametrize("body", [b"", b"OK", b"{}", b'{"data":{},"message":"OK"}', b"\xff"])
def test_where_nothing_is_expected_nothing_is_read(body: bytes) -> None:
    assert read_data(Response(204, (), body), type(None), GET) is None


@given(st.binary() | json_values().map(lambda value: json.dumps(value).encode()))
def test_no_body_raises_anything_else(body: bytes) -> None:
    try:
        users = read_data(Response(200, (), body), list[User], GET)
    except BadResponse:
        return
    assert isinstance(users, list)


@given(json_values())
def test_no_data_raises_anything_else(data: Any) -> None:
    for answer in (User, Channel, list[Channel]):
        try:
            read_data(Response(200, (), json.dumps({"data": data}).encode()), answer, GET)
        except BadResponse as error:
            assert "data" in str(error) or "malformed" in str(error)  # noqa: PT017 - most of them are none


# --- Errors

TABLE: dict[str, tuple[type[HTTPError], str | None, str | None]] = {
    "400-ads.ADS_BLOCKED": (BadRequest, "ADS_BLOCKED", None),
    "400-ads.AUTO_ADS_ACTIVE": (BadRequest, "AUTO_ADS_ACTIVE", None),
    "400-ads.CHANNEL_IS_LIVE": (BadRequest, "CHANNEL_IS_LIVE", None),
    "400-ads.CHANNEL_IS_NOT_LIVE": (BadRequest, "CHANNEL_IS_NOT_LIVE", None),
    "400-ads.CHANNEL_NEVER_STREAMED": (BadRequest, "CHANNEL_NEVER_STREAMED", None),
    "400-ads.CHANNEL_NOT_OPTED_IN": (BadRequest, "CHANNEL_NOT_OPTED_IN", None),
    "400-bad-request.app-token-needs-id": (BadRequest, "broadcaster_user_id is required for app tokens", None),
    "400-bad-request.chat-channel-not-found": (BadRequest, "Channel not found", None),
    "400-bad-request.subscription-limit": (BadRequest, "event subscription limit reached", None),
    "400-invalid-request": (BadRequest, None, None),
    "401-unauthorized": (Unauthorized, None, None),
    "401-unauthorized.drops": (Unauthorized, None, None),
    "403-forbidden": (Forbidden, None, None),
    "403-waf-blocked": (Blocked, None, "9e4db7e3"),
    "404-ads.CHANNEL_NOT_FOUND": (NotFound, "CHANNEL_NOT_FOUND", None),
    "404-not-found": (NotFound, None, None),
    "409-ads.AD_BREAK_ACTIVE": (Conflict, "AD_BREAK_ACTIVE", None),
    "429-ads.MAX_AD_BREAKS_REACHED": (QuotaReached, "MAX_AD_BREAKS_REACHED", None),
    "429-too-many-requests": (RateLimited, None, None),
    "500-internal-server-error": (ServerError, None, None),
}


def test_the_table_has_every_error_of_the_api() -> None:
    files = {path.stem for path in Path(PAYLOADS / "errors").glob("*.json")}
    assert set(TABLE) == {name for name in files if not name.startswith("oauth-")}


@pytest.mark.parametrize("name", TABLE)
def test_every_error_of_the_api(payload: Any, name: str) -> None:
    kind, code, reference = TABLE[name]
    body = payload(f"errors/{name}.json")
    error = error_for(Response(int(name[:3]), (), body), GET)
    assert type(error) is kind
    assert (error.status, error.operation) == (int(name[:3]), GET)
    assert (error.code, error.reference) == (code, reference)
    members = json.loads(body)
    assert str(error).startswith(
        f"{GET} got status {name[:3]} ({code or members.get('message') or members['error']}): "
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (199, RedirectRefused),
        (301, RedirectRefused),
        (308, RedirectRefused),
        (402, HTTPError),
        (418, HTTPError),
        (422, HTTPError),
        (500, ServerError),
        (503, ServerError),
        (599, ServerError),
    ],
)
def test_a_status_without_a_body_is_enough_for_an_error(status: int, kind: type[HTTPError]) -> None:
    error = error_for(Response(status), GET)
    assert type(error) is kind
    assert error.code is None
    assert str(error).startswith(f"{GET} got status {status}: ")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error":"Request blocked","reference":"r"}', Blocked),
        (b'{"reference":"r"}', Blocked),
        (b'{"message":"Forbidden"}', Forbidden),
        (b'{"message":"Forbidden","reference":"r"}', Forbidden),
        (b'{"data":"why","reference":"r"}', Forbidden),
        (b'{"error":"x","reference":""}', Forbidden),
        (b'{"error":"x","reference":5}', Forbidden),
        (b"<html>blocked</html>", Forbidden),
    ],
)
def test_the_firewall_is_told_from_kick_by_its_reference(body: bytes, kind: type[HTTPError]) -> None:
    assert type(error_for(Response(403, (), body), GET)) is kind


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("120", 120.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("1e3", None),
        ("٣", None),
        ("²", None),
        (" 7", 7.0),
        ("\t7 ", 7.0),
        ("007", 7.0),
        ("0" * 20 + "7", 7.0),
        ("9" * 400, 1e15),
        ("Fri, 15 Jan 2027 08:00:10 GMT", 10.0),
        ("Friday, 15-Jan-27 08:00:10 GMT", 10.0),
        ("Fri Jan 15 08:00:10 2027", 10.0),
        ("Fri, 15 Jan 2027 07:59:00 GMT", 0.0),
        ("Fri, 99 Jan 2027 08:00:10 GMT", None),
    ],
)
def test_how_long_to_wait_after_too_many_requests(header: str, seconds: float | None) -> None:
    error = error_for(Response(429, (("retry-after", header),)), GET, now=NOW)
    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


def test_a_date_needs_a_clock_to_be_measured_against_best_kicks_own() -> None:
    later = ("retry-after", "Fri, 15 Jan 2027 08:00:10 GMT")
    for headers, now, seconds in (
        ((later,), None, None),
        ((later,), NOW, 10.0),
        ((later, ("date", "Fri, 15 Jan 2027 08:00:03 GMT")), None, 7.0),
        ((later, ("date", "Fri, 15 Jan 2027 08:00:03 GMT")), NOW + 3600, 7.0),
        ((later, ("date", "soon")), NOW, 10.0),
    ):
        error = error_for(Response(429, headers), GET, now=now)
        assert isinstance(error, RateLimited)
        assert error.retry_after == seconds


def test_the_error_of_a_call_measures_a_date_against_this_machines_clock() -> None:
    world = user_world(policy=NO_REPEATS)
    world.kick.api = lambda _: Response(429, (("retry-after", "Fri, 15 Jan 2027 08:00:10 GMT"),))
    with pytest.raises(RateLimited) as caught:
        world.run(fetch_user(5))
    assert caught.value.retry_after == 10.0


def test_a_quota_has_a_code_and_a_rate_has_none() -> None:
    for data, quota in ((None, False), ({}, False), ("", False), ("\x00", False), (5, False), ("CODE", True)):
        response = json_response({"data": data, "message": "Too many requests"}, 429)
        assert is_quota(response) is quota
        assert type(error_for(response, GET)) is (QuotaReached if quota else RateLimited)
    assert not is_quota(json_response({"data": "CODE"}, 400))


def test_without_the_header_nobody_knows_how_long_to_wait() -> None:
    error = error_for(Response(429), GET)
    assert isinstance(error, RateLimited)
    assert error.retry_after is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 503])
def test_a_body_of_a_megabyte_makes_a_short_error(status: int) -> None:
    long = "x" * 60_000
    for body in (
        b"x" * 1_000_000,
        b"<html>" * 200_000,
        json.dumps({"message": "x" * 1_000_000}).encode(),
        json.dumps({"data": long, "message": long, "reference": long, "error": long}).encode()[: 64 * 1024],
        json.dumps({"data": long}).encode(),
        json.dumps({"error": long}).encode(),
        json.dumps({"error": "e", "reference": long}).encode(),
    ):
        error = error_for(Response(status, (), body), GET)
        assert len(str(error)) < 800
        assert len(error.code or "") <= 300
        assert len(error.reference or "") <= 300


def test_of_a_very_long_body_nothing_is_read() -> None:
    assert error_for(json_response({"data": "x" * 100_000}, 400), GET).code is None


@pytest.mark.parametrize("member", ["message", "data", "error", "reference"])
def test_a_token_that_the_server_echoes_is_not_shown(member: str) -> None:
    body = json.dumps({member: f"bad token Bearer hunter2-Xyzzy, {'y' * 290} hunter2-Xyzzy"}).encode()
    for status in (400, 403, 500):
        error = error_for(Response(status, (), body), GET, Secret("hunter2-Xyzzy"))
        assert "hunter2" not in f"{error!r} {error.code} {error.reference}"


def test_the_program_knows_which_token_it_must_not_show() -> None:
    world = user_world()
    world.kick.api = lambda request: json_response(
        {"data": f"refused {request.bearer.reveal() if request.bearer else ''}", "message": "Bad request"}, 400
    )
    with pytest.raises(BadRequest, match="refused …") as caught:
        world.run(fetch_user(5))
    assert caught.value.code == "refused …"


def test_control_characters_of_the_server_do_not_reach_the_terminal() -> None:
    error = error_for(json_response({"data": "\x1b]0;owned\x07\nnext\u202e"}, 400), GET)
    assert str(error).isprintable()
    assert error.code == "]0;owned next"


@given(
    statuses().filter(lambda status: not 200 <= status < 300),
    st.binary()
    | st.dictionaries(st.sampled_from(["message", "data", "error", "reference"]), json_values()).map(
        lambda members: json.dumps(members).encode()
    ),
    st.none() | st.text(min_size=1).map(Secret),
)
def test_every_other_answer_makes_an_error_fit_to_print(status: int, body: bytes, bearer: Secret | None) -> None:
    error = error_for(Response(status, (("retry-after", "7"),), body), GET, bearer)
    assert str(error).isprintable()
    assert error.status == status
