"""Moderation."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from worlds import APP_SLOT, NOW, World, exchange, json_response, refusal, user_world

from kickcore import Secret
from kickcore.api.moderation import ban_user, timeout_user, unban_user
from kickcore.effects import Program
from kickcore.errors import Forbidden, LoginRequired, MissingScopes, NetworkError
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.oauth.tokens import Token

T = TypeVar("T")

URL = "https://api.kick.com/public/v1/moderation/bans"
DONE = json_response({"data": {}, "message": "OK"})
PROGRAMS: dict[str, Callable[..., Program[None]]] = {
    "ban_user": ban_user,
    "timeout_user": lambda broadcaster, user: timeout_user(broadcaster, user, 10),
    "unban_user": unban_user,
}


def _exchange(program: Program[T], answer: Response = DONE) -> tuple[T, Request]:
    return exchange(program, answer, "moderation:ban")


def _body(program: Program[None]) -> Any:
    return json.loads(_exchange(program)[1].body)


def test_a_ban_without_end(payload: Any) -> None:
    answer = Response(200, (), payload("responses/post-public-v1-moderation-bans.json"))
    value, request = _exchange(ban_user(123, 456, reason="spam"), answer)
    assert value is None
    assert (request.method, request.url, request.query, request.form) == ("POST", URL, (), ())
    assert request.bearer == Secret("AT0")
    assert json.loads(request.body) == json.loads(payload("requests/post-public-v1-moderation-bans.permanent.json"))


def test_a_ban_for_some_minutes_is_a_timeout(payload: Any) -> None:
    wanted = json.loads(payload("requests/post-public-v1-moderation-bans.timeout.json"))
    assert _body(ban_user(123, 456, duration=10, reason="spam")) == wanted
    assert _body(timeout_user(123, 456, 10, reason="spam")) == wanted
    _, request = _exchange(timeout_user(123, 456, 10))
    assert (request.method, request.url) == ("POST", URL)


def test_what_is_not_given_is_not_sent() -> None:
    ids = {"broadcaster_user_id": 123, "user_id": 456}
    assert _body(ban_user(123, 456)) == ids
    assert _body(timeout_user(123, 456, 10)) == {**ids, "duration": 10}


def test_a_ban_is_lifted_by_a_delete_with_a_body(payload: Any) -> None:
    answer = Response(200, (), payload("responses/delete-public-v1-moderation-bans.json"))
    value, request = _exchange(unban_user(123, 456), answer)
    assert value is None
    assert (request.method, request.url, request.query, request.form) == ("DELETE", URL, (), ())
    assert request.bearer == Secret("AT0")
    assert json.loads(request.body) == json.loads(payload("requests/delete-public-v1-moderation-bans.json"))


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("answer", [Response(204), Response(202, (), b"{}"), Response(200, (), b"done")], ids=repr)
def test_any_success_is_a_success(name: str, answer: Response) -> None:
    assert _exchange(PROGRAMS[name](123, 456), answer)[0] is None


@pytest.mark.parametrize("duration", [1, 2, 10079, 10080])
def test_a_timeout_is_of_a_minute_to_seven_days(duration: int) -> None:
    assert _body(ban_user(1, 2, duration=duration))["duration"] == duration
    assert _body(timeout_user(1, 2, duration))["duration"] == duration


@pytest.mark.parametrize("duration", [0, -1, 10081, 2**70, True, 10.0, "10", [10]], ids=repr)
def test_what_is_no_duration_is_refused(duration: Any) -> None:
    for program in (ban_user(1, 2, duration=duration), timeout_user(1, 2, duration)):
        refused = refusal(program)
        assert refused.parameter == "duration"
        assert str(refused).startswith("duration is ")


@pytest.mark.parametrize("duration", [0, 10081])
def test_the_limits_of_a_duration_are_told(duration: int) -> None:
    assert str(refusal(timeout_user(1, 2, duration))) == f"duration is from 1 to 10080, not {duration}"


def test_a_timeout_without_a_duration_does_not_become_a_ban_without_end() -> None:
    nothing: Any = None
    assert refusal(timeout_user(1, 2, nothing)).parameter == "duration"


@pytest.mark.parametrize("reason", ["", "a", "a" * 100, "😀" * 100, '"\\\n\u0000'])
def test_a_reason_is_sent_as_it_is(reason: str) -> None:
    assert _body(ban_user(1, 2, reason=reason))["reason"] == reason
    assert _body(timeout_user(1, 2, 10, reason=reason))["reason"] == reason


@pytest.mark.parametrize(
    "reason", ["a" * 101, "😀" * 101, "\ud800", b"a", 5, ["a"]], ids=lambda value: repr(value)[:20]
)
def test_what_is_no_reason_is_refused(reason: Any) -> None:
    assert refusal(ban_user(1, 2, reason=reason)).parameter == "reason"
    assert refusal(timeout_user(1, 2, 10, reason=reason)).parameter == "reason"


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("bad", [0, -1, 2**64, True, "5", 5.0, None, [5]], ids=repr)
def test_what_is_no_user_id_is_refused(name: str, bad: Any) -> None:
    assert refusal(PROGRAMS[name](bad, 2)).parameter == "broadcaster_user_id"
    assert refusal(PROGRAMS[name](1, bad)).parameter == "user_id"


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_largest_ids_are_sent_as_they_are(name: str) -> None:
    body = _body(PROGRAMS[name](2**64 - 1, 2**64 - 2))
    assert (body["broadcaster_user_id"], body["user_id"]) == (2**64 - 1, 2**64 - 2)


@pytest.mark.parametrize("name", PROGRAMS)
def test_moderation_needs_a_user_with_the_scope_and_an_app_token_will_not_do(name: str) -> None:
    world = World()
    world.put(APP_SLOT, Token(Secret("APP0"), NOW + 86400, NOW))
    with pytest.raises(LoginRequired):
        world.run(PROGRAMS[name](1, 2))
    world.log_in(scope="moderation:chat_message:manage")
    with pytest.raises(MissingScopes, match="moderation:ban"):
        world.run(PROGRAMS[name](1, 2))
    assert world.sent == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_who_does_not_moderate_the_channel_is_told(name: str, payload: Any) -> None:
    with pytest.raises(Forbidden):
        _exchange(PROGRAMS[name](1, 2), Response(403, (), payload("errors/403-forbidden.json")))


@pytest.mark.parametrize("name", ["ban_user", "timeout_user"])
def test_a_ban_is_not_sent_again_when_kick_may_have_acted(name: str) -> None:
    world = user_world()
    world.log_in(scope="moderation:ban")
    world.kick.api = lambda _: Unreachable("reset", Sent.MAYBE)
    with pytest.raises(NetworkError):
        world.run(PROGRAMS[name](1, 2))
    assert len(world.sent) == 1
