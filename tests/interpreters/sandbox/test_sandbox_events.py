"""Event subscriptions."""

import json
from typing import Any

import pytest

from interpreters.sandbox import RegisteredApp, Sandbox, with_app, with_rules
from interpreters.sandbox.api.events import EVENTS, FAILED
from kickcore.oauth.scopes import Scope
from kickcore.secret import Secret

from .asking import NOW, app_token, call, get, is_error, same_shape, user_token

PATH = "/public/v1/events/subscriptions"


def subscribe(sandbox: Sandbox, *names: str, bearer: Secret | None = None, **more: object) -> tuple[int, Any]:
    body = {"events": [{"name": name, "version": 1} for name in names], "method": "webhook", **more}
    return call(sandbox, "POST", PATH, bearer=bearer or user_token(sandbox, Scope.EVENTS_SUBSCRIBE), body=body)


def ids(sandbox: Sandbox, *query: tuple[str, object], bearer: Secret | None = None) -> list[str]:
    return [row["id"] for row in get(sandbox, PATH, *query, bearer=bearer)["data"]]


def test_an_app_subscribes_to_any_channel(sandbox: Sandbox, payload: Any) -> None:
    assert get(sandbox, PATH) == json.loads(payload("responses/get-public-v1-events-subscriptions.empty.json"))
    body = json.loads(payload("requests/post-public-v1-events-subscriptions.app.json"))
    status, made = call(sandbox, "POST", PATH, bearer=app_token(sandbox), body={**body, "broadcaster_user_id": 676})
    assert status == 200
    assert same_shape(made, payload, "post-public-v1-events-subscriptions")
    got = get(sandbox, PATH)
    assert same_shape(got, payload, "get-public-v1-events-subscriptions")
    assert [(row["id"], row["event"]) for row in got["data"]] == [
        (row["subscription_id"], row["name"]) for row in made["data"]
    ]
    row = got["data"][0]
    assert (row["broadcaster_user_id"], row["version"], row["method"]) == (676, 1, "webhook")
    assert (len(row["id"]), len(row["app_id"])) == (26, 26)
    assert {len(row["created_at"]), len(row["updated_at"])} == {27, 30}


def test_a_user_subscribes_to_their_own_channel(sandbox: Sandbox, payload: Any) -> None:
    body = json.loads(payload("requests/post-public-v1-events-subscriptions.user.json"))
    bearer = user_token(sandbox, Scope.EVENTS_SUBSCRIBE)
    call(sandbox, "POST", PATH, bearer=bearer, body={**body, "broadcaster_user_id": 676})
    (held,) = sandbox.world.subscriptions.values()
    assert (held.broadcaster_user_id, held.client_id) == (123, "sandbox-app")


def test_who_sees_what(sandbox: Sandbox) -> None:
    sandbox.world = with_app(sandbox.world, RegisteredApp("other", "secret", ()))
    app = app_token(sandbox)
    for broadcaster in (123, 676):
        subscribe(sandbox, "kicks.gifted", bearer=app, broadcaster_user_id=broadcaster)
    first, second = ids(sandbox)
    assert ids(sandbox, ("broadcaster_user_id", 676)) == [second]
    assert ids(sandbox, ("broadcaster_user_id", 5)) == []
    assert ids(sandbox, bearer=user_token(sandbox)) == [first]
    assert ids(sandbox, ("broadcaster_user_id", 676), bearer=user_token(sandbox)) == []
    other = app_token(sandbox, "other")
    assert ids(sandbox, bearer=other) == []
    for bearer in (other, user_token(sandbox)):
        assert call(sandbox, "DELETE", PATH, ("id", second), bearer=bearer) == (204, None)
    assert ids(sandbox) == [first, second]


def test_twice_is_two(sandbox: Sandbox) -> None:
    subscribe(sandbox, "channel.followed", "channel.followed")
    subscribe(sandbox, "channel.followed")
    assert len(set(ids(sandbox))) == 3


def test_every_event_can_be_had(sandbox: Sandbox) -> None:
    assert subscribe(sandbox, *sorted(EVENTS))[0] == 200
    assert len(sandbox.world.subscriptions) == 10


@pytest.mark.parametrize(
    "more",
    [
        {"events": []},
        {"events": None},
        {"events": [{"name": "chat.message.sent"}]},
        {"events": [{"name": "chat.message.sent", "version": 2}]},
        {"events": [{"name": "chat.message.sent", "version": "1"}]},
        {"events": [{"name": "channel.moderation.user_banned", "version": 1}]},
        {"events": [{"name": "kicks.gifted", "version": 1}, {"name": "unknown", "version": 1}]},
        {"method": None},
        {"method": "websocket"},
        {"broadcaster_user_id": "123"},
    ],
)
def test_subscriptions_refused(sandbox: Sandbox, more: dict[str, object], payload: Any) -> None:
    assert is_error(subscribe(sandbox, "chat.message.sent", **more), "400-invalid-request", payload)
    assert sandbox.world.subscriptions == {}


def test_the_method_must_be_named(sandbox: Sandbox, payload: Any) -> None:
    body = {"events": [{"name": "chat.message.sent", "version": 1}]}
    got = call(sandbox, "POST", PATH, bearer=user_token(sandbox), body=body)
    assert is_error(got, "400-invalid-request", payload)


def test_an_app_must_name_a_channel_that_is_there(sandbox: Sandbox, payload: Any) -> None:
    app = app_token(sandbox)
    got = subscribe(sandbox, "kicks.gifted", bearer=app)
    assert is_error(got, "400-bad-request.app-token-needs-id", payload)
    got = subscribe(sandbox, "kicks.gifted", bearer=app, broadcaster_user_id=999)
    assert is_error(got, "400-bad-request.chat-channel-not-found", payload)
    got = call(sandbox, "GET", PATH, ("broadcaster_user_id", "x"), bearer=app)
    assert is_error(got, "400-invalid-request", payload)


def test_an_item_may_fail_by_itself(sandbox: Sandbox) -> None:
    sandbox.world = with_rules(sandbox.world, failing_events=("channel.followed",))
    status, got = subscribe(sandbox, "channel.followed", "kicks.gifted")
    assert status == 200
    failed, made = got["data"]
    assert failed == {"name": "channel.followed", "version": 1, "error": FAILED}
    assert set(made) == {"name", "version", "subscription_id"}
    assert ids(sandbox) == [made["subscription_id"]]


def test_limits_are_per_event_and_app(sandbox: Sandbox, payload: Any) -> None:
    assert (sandbox.world.rules.subscription_limit, sandbox.world.rules.chat_subscription_limit) == (10_000, 1_000)
    sandbox.world = with_rules(sandbox.world, subscription_limit=3, chat_subscription_limit=1)
    assert subscribe(sandbox, "chat.message.sent", "kicks.gifted", "kicks.gifted")[0] == 200
    full = "400-bad-request.subscription-limit"
    assert is_error(subscribe(sandbox, "chat.message.sent"), full, payload)
    assert is_error(subscribe(sandbox, "kicks.gifted", "kicks.gifted"), full, payload)
    assert subscribe(sandbox, "kicks.gifted", "channel.followed")[0] == 200
    assert len(sandbox.world.subscriptions) == 5
    sandbox.world = with_app(sandbox.world, RegisteredApp("other", "secret", (), verified=True))
    other = user_token(sandbox, client_id="other")
    assert subscribe(sandbox, *["chat.message.sent"] * 3, bearer=other)[0] == 200
    assert is_error(subscribe(sandbox, "chat.message.sent", bearer=other), full, payload)
    gone = next(iter(sandbox.world.subscriptions))
    assert call(sandbox, "DELETE", PATH, ("id", gone), bearer=app_token(sandbox))[0] == 204
    assert subscribe(sandbox, "chat.message.sent")[0] == 200


def test_up_to_50_are_deleted_at_once(sandbox: Sandbox, payload: Any) -> None:
    bearer = app_token(sandbox)
    subscribe(sandbox, *["kicks.gifted"] * 60)
    held = ids(sandbox)
    for some in ((), held[:51]):
        got = call(sandbox, "DELETE", PATH, *[("id", one) for one in some], bearer=bearer)
        assert is_error(got, "400-invalid-request", payload)
    assert len(ids(sandbox)) == 60
    for _ in range(2):
        query = [("id", one) for one in [*held[:48], held[0], "unknown"]]
        assert call(sandbox, "DELETE", PATH, *query, bearer=bearer) == (204, None)
        assert ids(sandbox) == held[48:]


def test_the_list_may_lag(sandbox: Sandbox) -> None:
    sandbox.world = with_rules(sandbox.world, subscription_lag=10.0)
    bearer = app_token(sandbox)

    def listed(after: float) -> list[str]:
        sandbox.clock = lambda: NOW + after
        return ids(sandbox, bearer=bearer)

    one, two = (subscribe(sandbox, "kicks.gifted")[1]["data"][0]["subscription_id"] for _ in range(2))
    assert listed(9) == []
    assert listed(10) == [one, two]
    assert call(sandbox, "DELETE", PATH, ("id", one), bearer=bearer)[0] == 204
    assert listed(15) == [one, two]
    assert call(sandbox, "DELETE", PATH, ("id", one), bearer=bearer)[0] == 204
    assert listed(20) == [two]
    assert call(sandbox, "DELETE", PATH, ("id", two), bearer=bearer)[0] == 204
    assert list(sandbox.world.subscriptions) == [two]
    assert listed(30) == []
