"""What a token is, as Kick sees it."""

from typing import Any

import pytest
from worlds import APP, World, json_response, user_world

from kickcore import Secret
from kickcore.api.introspection import TokenIntrospection, introspect_request, introspect_token
from kickcore.errors import BadResponse, HTTPError, LoginRequired, NetworkError, RateLimited, ServerError
from kickcore.http import Response, Sent, Unreachable
from kickcore.oauth.grants import TOKEN_LIMIT, TOKEN_TIMEOUT
from kickcore.oauth.tokens import Token

CLIENT = "01JMFMAQ3V7R1T2X9CZB5KD8WE"
APP_TOKEN = TokenIntrospection(active=True, client_id=CLIENT, token_type="app", scope="", exp=1776230347)
USER_TOKEN = TokenIntrospection(
    active=True, client_id=CLIENT, token_type="user", scope="user:read channel:read", exp=1771046347
)


def _asked(answer: Response | Unreachable, world: World | None = None, *, user: bool = False) -> TokenIntrospection:
    world = world or user_world()
    world.kick.scripted.append(answer)
    return world.run(introspect_token(use_user_token=user))


def _payload(payload: Any, name: str) -> Response:
    return Response(200, (), payload(f"responses/post-oauth-token-introspect.{name}.json"))


def test_the_app_token(payload: Any) -> None:
    world = user_world()
    found = _asked(_payload(payload, "active-app"), world)
    assert found == APP_TOKEN
    assert found.scopes == ()
    assert [request.bearer for request in world.sent] == [Secret("APP0")]


def test_the_user_token(payload: Any) -> None:
    world = user_world()
    found = _asked(_payload(payload, "active-user"), world, user=True)
    assert found == USER_TOKEN
    assert found.scopes == ("user:read", "channel:read")
    assert [request.bearer for request in world.sent] == [Secret("AT0")]


def test_the_answer_of_the_old_endpoint_is_the_same(payload: Any) -> None:
    assert _asked(Response(200, (), payload("responses/post-public-v1-token-introspect.json"))) == USER_TOKEN


def test_the_request_has_the_token_in_its_header_and_nothing_else() -> None:
    request = introspect_request(APP, Secret("AT"))
    assert (request.method, request.url) == ("POST", "https://id.kick.com/oauth/token/introspect")
    assert (request.bearer, request.query, request.form, request.body) == (Secret("AT"), (), (), b"")
    assert (request.timeout, request.limit) == (TOKEN_TIMEOUT, TOKEN_LIMIT)


@pytest.mark.parametrize(
    "answer",
    [
        Response(401),
        Response(401, (), b'{"data":{},"message":"Unauthorized"}'),
        json_response({"data": {"active": False}, "message": "OK"}),
        json_response({"data": {"active": False, "client_id": None, "token_type": None, "scope": None, "exp": None}}),
    ],
    ids=repr,
)
def test_a_dead_token_is_not_active_and_that_is_all(answer: Response) -> None:
    world = user_world()
    found = _asked(answer, world)
    assert found == TokenIntrospection(active=False)
    assert found.scopes == ()
    assert len(world.sent) == 1


def test_a_token_that_is_due_is_renewed_first() -> None:
    world = user_world()
    world.now += 2 * 86400
    world.run(introspect_token())
    assert [request.url.rpartition("/")[2] for request in world.sent] == ["token", "introspect"]
    assert world.sent[1].bearer == Secret("APP1")


def test_without_a_user_token_there_is_nothing_to_ask_about() -> None:
    world = World()
    with pytest.raises(LoginRequired):
        world.run(introspect_token(use_user_token=True))
    assert world.sent == []


def test_no_scope_is_needed_to_ask() -> None:
    world = World()
    world.log_in(scope="")
    assert _asked(json_response({"data": {"active": True}}), world, user=True).active


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Response(500), ServerError),
        (Response(429), RateLimited),
        (Response(418), HTTPError),
        (Response(200), BadResponse),
        (json_response({"data": {}}), BadResponse),
        (json_response({"active": True}), BadResponse),
        (Unreachable("reset", Sent.MAYBE), NetworkError),
    ],
    ids=repr,
)
def test_other_answers_are_errors(answer: Response | Unreachable, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        _asked(answer)
    assert type(caught.value) is kind


def test_a_token_that_is_echoed_is_not_shown() -> None:
    with pytest.raises(HTTPError) as caught:
        _asked(json_response({"message": "no such token: APP0"}, 400))
    assert "APP0" not in str(caught.value)


def test_the_first_question_of_a_new_app_fetches_its_token() -> None:
    world = World()
    assert world.run(introspect_token()).token_type == "app"
    assert Token(Secret("APP1"), world.now + 7200, world.now) in [stored.token for stored in world.stored.values()]
