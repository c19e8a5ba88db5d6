"""The faults that rules ask for, and what each costs."""

import json
import time
from typing import Any, get_type_hints

import pytest

from interpreters.sandbox import Reward, Rules, Sandbox, Settings, respond, small_world, with_reward, with_rules
from interpreters.sandbox.faults import EXTRA
from kickcore.http import Request, Response
from kickcore.secret import Secret

from .asking import NOW, ORIGIN, app_token, call, is_error, user_token

STATS = "/public/v1/livestreams/stats"


def test_settings_are_the_members_of_the_rules() -> None:
    assert get_type_hints(Settings) == get_type_hints(Rules)


def test_each_operation_has_its_own_minute(sandbox: Sandbox, payload: Any) -> None:
    sandbox.world = with_rules(sandbox.world, rate_limit=2)
    bearer = app_token(sandbox)

    def stats(after: float) -> tuple[int, Any]:
        sandbox.clock = lambda: NOW + after
        return call(sandbox, "GET", STATS, bearer=bearer)

    assert [stats(after)[0] for after in (0, 59, 59.9, 60, 100, 119)] == [200, 200, 429, 200, 200, 429]
    assert is_error(stats(119), "429-too-many-requests", payload)
    for category in (15, 101, 9600):
        status = call(sandbox, "GET", f"/public/v1/categories/{category}", bearer=bearer)[0]
        assert status == (429 if category == 9600 else 200)
    assert call(sandbox, "GET", STATS)[0] == 401
    assert call(sandbox, "GET", "/public/v1/none", bearer=bearer)[0] == 404
    assert stats(0)[0] == 200


@pytest.mark.parametrize("retry_after", [True, False])
def test_a_429_may_say_when_to_come_back(sandbox: Sandbox, retry_after: bool) -> None:
    sandbox.world = with_rules(sandbox.world, rate_limit=1, retry_after=retry_after)
    request = Request("GET", ORIGIN + STATS, bearer=app_token(sandbox))
    sandbox.handle(request)
    sandbox.clock = lambda: NOW + 17.5
    answer = sandbox.handle(request)
    assert isinstance(answer, Response)
    assert (answer.status, answer.header("retry-after")) == (429, "43" if retry_after else None)
    assert answer.header("content-type") == "application/json"


def test_a_429_changes_nothing(sandbox: Sandbox) -> None:
    sandbox.world = with_rules(sandbox.world, rate_limit=1)
    bearer = user_token(sandbox)
    for _ in range(3):
        call(sandbox, "POST", "/public/v1/chat", bearer=bearer, body={"content": "x", "type": "bot"})
    assert len(sandbox.world.messages) == 1


def test_the_firewall_strikes_before_the_token_is_looked_at(sandbox: Sandbox, payload: Any) -> None:
    sandbox.world = with_rules(sandbox.world, firewall_every=3)
    bearer = app_token(sandbox)
    got = [call(sandbox, "GET", STATS, bearer=token) for token in (bearer, bearer, None, bearer, None, bearer)]
    assert [status for status, _ in got] == [200, 200, 403, 200, 401, 403]
    assert is_error(got[2], "403-waf-blocked", payload)


def test_every_nth_request_fails_and_has_no_effect(sandbox: Sandbox) -> None:
    sandbox.world = with_rules(sandbox.world, fail_every=2)
    bearer = user_token(sandbox)
    got = [
        call(sandbox, "POST", "/public/v1/chat", bearer=bearer, body={"content": "x", "type": "bot"}) for _ in range(4)
    ]
    assert [status for status, _ in got] == [200, 500, 200, 500]
    assert got[1][1] == {"data": None, "message": "Internal server error"}
    assert len(sandbox.world.messages) == 2
    app_token(sandbox)
    assert sandbox.world.requests == 4


def test_the_firewall_stands_before_the_fault(sandbox: Sandbox) -> None:
    sandbox.world = with_rules(sandbox.world, fail_every=2, firewall_every=4)
    bearer = app_token(sandbox)
    assert [call(sandbox, "GET", STATS, bearer=bearer)[0] for _ in range(4)] == [200, 500, 200, 403]


def test_extra_members_are_in_every_object(sandbox: Sandbox) -> None:
    sandbox.world = with_rules(sandbox.world, extra_members=True)
    bearer = app_token(sandbox)
    bodies = [call(sandbox, "GET", path, bearer=bearer)[1] for path in ("/public/v2/livestreams", "/public/v1/none")]

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            assert value.pop(EXTRA) == {"of": ["any", "kind"]}
            return {name: bare(member) for name, member in value.items()}
        return [bare(item) for item in value] if isinstance(value, list) else value

    assert bare(bodies[1]) == {"data": {}, "message": "Not found"}
    shown = bare(bodies[0])
    sandbox.world = with_rules(sandbox.world, extra_members=False)
    assert shown == call(sandbox, "GET", "/public/v2/livestreams", bearer=bearer)[1]


def test_extra_members_leave_alone_what_is_not_json(sandbox: Sandbox) -> None:
    sandbox.world = with_rules(sandbox.world, extra_members=True)
    form = (("grant_type", "client_credentials"), ("client_id", "sandbox-app"), ("client_secret", "sandbox-secret"))
    token = sandbox.handle(Request("POST", f"{ORIGIN}/oauth/token", form=form))
    assert isinstance(token, Response)
    assert EXTRA in json.loads(token.body)
    revoked = sandbox.handle(Request("POST", f"{ORIGIN}/oauth/revoke", query=(("token", "x"),)))
    assert isinstance(revoked, Response)
    assert revoked.body == b"OK"
    change = {"stream_title": "x"}
    assert call(sandbox, "PATCH", "/public/v1/channels", bearer=user_token(sandbox), body=change) == (204, None)


def test_without_faults_nothing_is_counted(sandbox: Sandbox) -> None:
    request = Request("GET", ORIGIN + STATS, bearer=app_token(sandbox))
    assert respond(sandbox.world, request, NOW).world is sandbox.world


def test_the_same_requests_meet_the_same_faults() -> None:
    def run() -> list[int]:
        world = small_world(fail_every=3, firewall_every=5, rate_limit=7, extra_members=True)
        sandbox = Sandbox(world, clock=lambda: NOW)
        bearer = app_token(sandbox)
        return [call(sandbox, "GET", STATS, bearer=bearer)[0] for _ in range(20)]

    assert run() == run()
    assert set(run()) == {200, 403, 429, 500}


@pytest.mark.parametrize("kind", ["read", "ban", "subscribe", "delete", "refused"])
def test_ten_thousand_requests_are_cheap(kind: str) -> None:
    rules: dict[str, Any] = {"rate_limit": 1, "firewall_every": 7} if kind == "refused" else {}
    sandbox = Sandbox(with_rules(small_world(), **rules), clock=lambda: NOW)
    bearer: Secret = user_token(sandbox)
    for number in range(15):
        sandbox.world = with_reward(sandbox.world, Reward(f"R{number}", 123, "T"))
    bodies: dict[str, Any] = {
        "ban": {"broadcaster_user_id": 123, "user_id": 456},
        "subscribe": {"events": [{"name": "kicks.gifted", "version": 1}], "method": "webhook"},
    }
    method, path = {
        "read": ("GET", "/public/v1/channels/rewards"),
        "ban": ("POST", "/public/v1/moderation/bans"),
        "subscribe": ("POST", "/public/v1/events/subscriptions"),
        "delete": ("DELETE", "/public/v1/events/subscriptions"),
        "refused": ("GET", STATS),
    }[kind]
    body = json.dumps(bodies[kind]).encode() if kind in bodies else b""
    request = Request(method, ORIGIN + path, query=(("id", "x"),), bearer=bearer, body=body)
    began = time.process_time()
    for _ in range(10_000):
        sandbox.handle(request)
    assert time.process_time() - began < 2
    statuses = {entry.status for entry in sandbox.log}
    assert statuses <= ({200, 403, 429} if kind == "refused" else {200, 204})
