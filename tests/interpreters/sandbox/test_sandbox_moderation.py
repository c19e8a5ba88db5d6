"""Bans and time-outs, and whom they silence."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from interpreters.sandbox import Sandbox, with_channel

from .asking import NOW, call, is_error, user_token

PATH = "/public/v1/moderation/bans"
BOTH = {"broadcaster_user_id": 123, "user_id": 456}


def chats(sandbox: Sandbox, user_id: int = 456) -> tuple[int, Any]:
    body = {"content": "Hi", "type": "user", "broadcaster_user_id": 123}
    return call(sandbox, "POST", "/public/v1/chat", bearer=user_token(sandbox, user_id=user_id), body=body)


def test_a_ban_silences_until_it_is_lifted(sandbox: Sandbox, payload: Any) -> None:
    owner = user_token(sandbox)
    body = json.loads(payload("requests/post-public-v1-moderation-bans.permanent.json"))
    done = json.loads(payload("responses/post-public-v1-moderation-bans.json"))
    assert call(sandbox, "POST", PATH, bearer=owner, body=body) == (200, done)
    ban = sandbox.world.bans[123, 456]
    assert (ban.moderator_user_id, ban.until, ban.reason, ban.banned_at) == (123, None, "spam", NOW)
    assert is_error(chats(sandbox), "403-forbidden", payload)
    assert sandbox.world.messages == ()
    assert chats(sandbox, 676)[0] == 200
    lifted = json.loads(payload("responses/delete-public-v1-moderation-bans.json"))
    body = json.loads(payload("requests/delete-public-v1-moderation-bans.json"))
    for _ in range(2):
        assert call(sandbox, "DELETE", PATH, bearer=owner, body=body) == (200, lifted)
    assert chats(sandbox)[0] == 200


def test_a_time_out_ends_by_itself(sandbox: Sandbox, payload: Any) -> None:
    body = json.loads(payload("requests/post-public-v1-moderation-bans.timeout.json"))
    assert call(sandbox, "POST", PATH, bearer=user_token(sandbox), body=body)[0] == 200
    assert sandbox.world.bans[123, 456].until == NOW + 600
    for after, status in ((0, 403), (599, 403), (600, 200)):
        sandbox.clock = lambda after=after: NOW + after
        assert chats(sandbox)[0] == status


def test_owners_and_moderators_ban(sandbox: Sandbox, payload: Any) -> None:
    sandbox.world = with_channel(sandbox.world, replace(sandbox.world.channels[123], moderators=(1001,)))
    assert call(sandbox, "POST", PATH, bearer=user_token(sandbox, user_id=1001), body=BOTH)[0] == 200
    assert call(sandbox, "DELETE", PATH, bearer=user_token(sandbox, user_id=1001), body=BOTH)[0] == 200
    stranger = user_token(sandbox, user_id=676)
    for method in ("POST", "DELETE"):
        assert is_error(call(sandbox, method, PATH, bearer=stranger, body=BOTH), "403-forbidden", payload)


def test_nobody_bans_in_no_channel_or_who_is_not_there(sandbox: Sandbox, payload: Any) -> None:
    owner = user_token(sandbox)
    nowhere, nobody = {**BOTH, "broadcaster_user_id": 999}, {**BOTH, "user_id": 999}
    for method, body in (("POST", nowhere), ("DELETE", nowhere), ("POST", nobody)):
        assert is_error(call(sandbox, method, PATH, bearer=owner, body=body), "404-not-found", payload)
    themselves = {**BOTH, "user_id": 123}
    assert is_error(call(sandbox, "POST", PATH, bearer=owner, body=themselves), "400-invalid-request", payload)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"duration": 1}, 200),
        ({"duration": 10_080}, 200),
        ({"reason": "é" * 100}, 200),
        ({"duration": 0}, 400),
        ({"duration": 10_081}, 400),
        ({"duration": None}, 400),
        ({"duration": "10"}, 400),
        ({"reason": "x" * 101}, 400),
        ({"user_id": None}, 400),
        ({"user_id": 0}, 400),
    ],
)
def test_limits_of_a_ban(sandbox: Sandbox, more: dict[str, object], status: int, payload: Any) -> None:
    got = call(sandbox, "POST", PATH, bearer=user_token(sandbox), body={**BOTH, **more})
    assert got[0] == status
    if status == 400:
        assert is_error(got, "400-invalid-request", payload)


@pytest.mark.parametrize("body", [None, {}, [], {"user_id": 456}, {"broadcaster_user_id": 123}])
def test_what_names_nobody(sandbox: Sandbox, body: object, payload: Any) -> None:
    for method in ("POST", "DELETE"):
        got = call(sandbox, method, PATH, bearer=user_token(sandbox), body=body)
        assert is_error(got, "400-invalid-request", payload)
