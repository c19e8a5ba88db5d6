"""Who is told of what: the calls and changes that cause events, and those who subscribed to them."""

import json
from typing import Any

import pytest

from interpreters.sandbox import (
    RegisteredApp,
    Reward,
    Sandbox,
    Step,
    claiming,
    redeemed,
    respond,
    with_app,
    with_reward,
    with_rules,
    with_subscriptions,
    without_subscriptions,
)
from kickcore.http import Request
from kickcore.oauth.scopes import Scope
from kickcore.webhooks import EVENTS, ChatMessage, LivestreamMetadataUpdated, ModerationBanned, RedemptionUpdated, parse

from .asking import NOW, ORIGIN, app_token, call, user_token
from .telling import CAMPAIGN, CHANNEL, HAPPENINGS, REWARD, checked, happen, members, subscribed


def step_of(sandbox: Sandbox, method: str, path: str, body: object, user_id: int = CHANNEL) -> Step:
    token = user_token(sandbox, user_id=user_id)
    return respond(
        sandbox.world, Request(method, ORIGIN + path, bearer=token, body=json.dumps(body).encode()), sandbox.clock()
    )


def chat(content: str = "Hello!") -> dict[str, object]:
    return {"content": content, "type": "user", "broadcaster_user_id": CHANNEL}


def test_a_chat_message_is_told() -> None:
    sandbox = subscribed()
    step = step_of(sandbox, "POST", "/public/v1/chat", chat("Hi [emote:37226:KEKW]"), 123)
    (due,) = step.events
    assert step.world.due == step.events
    (subscription,) = [held.id for held in sandbox.world.subscriptions.values() if held.event == "chat.message.sent"]
    assert (due.event, due.broadcaster_user_id, due.client_id) == ("chat.message.sent", CHANNEL, "sandbox-app")
    assert (due.subscription_id, due.at, due.number) == (subscription, NOW, 1)
    told = parse(due.event, "1", due.body)
    assert isinstance(told, ChatMessage)
    assert told.message_id == step.world.messages[-1].message_id == json.loads(step.response.body)["data"]["message_id"]
    assert told.emotes is not None
    assert told.sender.user_id == 123


def test_a_step_tells_what_it_has_caused_and_the_world_what_is_due() -> None:
    sandbox = subscribed()
    sandbox.world = HAPPENINGS["channel.followed"](sandbox.world)
    step = step_of(sandbox, "POST", "/public/v1/chat", chat(), 123)
    assert [due.event for due in step.events] == ["chat.message.sent"]
    assert [(due.event, due.number) for due in step.world.due] == [("channel.followed", 1), ("chat.message.sent", 2)]


@pytest.mark.parametrize("minutes", [None, 5])
def test_a_ban_is_told(minutes: int | None, payload: Any) -> None:
    body: dict[str, object] = {"broadcaster_user_id": CHANNEL, "user_id": 456, "reason": "spam"}
    step = step_of(
        subscribed(), "POST", "/public/v1/moderation/bans", body if minutes is None else {**body, "duration": minutes}
    )
    (due,) = step.events
    name = "permanent" if minutes is None else "timeout"
    assert members(json.loads(due.body)) == members(json.loads(payload(f"webhooks/moderation.banned.{name}.json")))
    told = parse(due.event, "1", due.body)
    assert isinstance(told, ModerationBanned)
    assert told.banned_user.user_id == 456
    assert told.moderator is not None
    assert told.moderator.user_id == CHANNEL
    until = told.metadata.expires_at
    assert (until is None) if minutes is None else (until is not None and until.timestamp() == NOW + 300)


@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_a_redemption_is_told_when_made_and_when_decided(decision: str) -> None:
    sandbox = subscribed()
    (made,) = happen(sandbox, "channel.reward.redemption.updated")
    redemption = next(iter(sandbox.world.redemptions))
    body = {"ids": [redemption, "unknown"]}
    step = step_of(sandbox, "POST", f"/public/v1/channels/rewards/redemptions/{decision}", body)
    (due,) = step.events
    first, second = (parse(due.event, "1", octets) for octets in (made.body, due.body))
    assert isinstance(first, RedemptionUpdated)
    assert isinstance(second, RedemptionUpdated)
    assert first.id == second.id == redemption
    assert (first.status, second.status) == ("pending", f"{decision}ed")


def test_a_reward_that_skips_the_queue_is_told_once_as_accepted() -> None:
    sandbox = subscribed()
    sandbox.world = with_reward(sandbox.world, Reward(REWARD.id, CHANNEL, "Hydrate", skips_queue=True))
    sandbox.world = redeemed(sandbox.world, REWARD.id, 123, at=NOW)
    assert [json.loads(due.body)["status"] for due in sandbox.world.due] == ["accepted"]


@pytest.mark.parametrize(
    ("change", "tells"),
    [
        ({"stream_title": "New"}, True),
        ({"category_id": 15}, True),
        ({"custom_tags": ["tag"]}, False),
    ],
)
def test_a_change_of_the_channel_is_told_unless_only_tags_change(change: object, tells: bool) -> None:
    step = step_of(subscribed(), "PATCH", "/public/v1/channels", change)
    assert step.response.status == 204
    assert [due.event for due in step.events] == ["livestream.metadata.updated"] * tells
    for due in step.events:
        told = parse(due.event, "1", due.body)
        assert isinstance(told, LivestreamMetadataUpdated)
        assert told.metadata.title == step.world.channels[CHANNEL].title
        assert told.metadata.category is not None
        assert told.metadata.category.id == step.world.channels[CHANNEL].category_id


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/public/v1/chat", {"content": "", "type": "user", "broadcaster_user_id": CHANNEL}),
        ("POST", "/public/v1/moderation/bans", {"broadcaster_user_id": CHANNEL, "user_id": CHANNEL}),
        ("POST", "/public/v1/channels/rewards/redemptions/accept", {"ids": ["unknown"]}),
        ("PATCH", "/public/v1/channels", {"category_id": 5}),
        ("DELETE", "/public/v1/moderation/bans", {"broadcaster_user_id": CHANNEL, "user_id": 456}),
    ],
)
def test_what_was_refused_or_has_no_event_is_not_told(method: str, path: str, body: object) -> None:
    assert step_of(subscribed(), method, path, body).events == ()


def test_only_what_was_subscribed_to_is_told() -> None:
    sandbox = subscribed("channel.followed")
    assert [delivery.event for delivery in happen(sandbox, *HAPPENINGS)] == ["channel.followed"]
    sandbox.world = with_subscriptions(sandbox.world, 123, at=NOW)
    assert [delivery.event for delivery in happen(sandbox, *HAPPENINGS)] == ["channel.followed"]
    assert happen(Sandbox(clock=lambda: NOW), *HAPPENINGS) == ()


def test_what_happens_is_told_to_every_subscription_of_every_app() -> None:
    sandbox = subscribed("channel.followed", "channel.followed")
    sandbox.world = with_app(sandbox.world, RegisteredApp("other", "secret", ()))
    sandbox.world = with_subscriptions(sandbox.world, CHANNEL, "channel.followed", client_id="other", at=NOW)
    told = happen(sandbox, "channel.followed")
    assert [delivery.sent.client_id for delivery in told] == ["sandbox-app", "sandbox-app", "other"]
    assert len({delivery.sent.subscription_id for delivery in told}) == 3
    assert len({delivery.message_id for delivery in told}) == 3
    assert len({delivery.body for delivery in told}) == 1


def test_a_subscription_made_by_a_call_is_told_of_and_one_that_was_ended_is_not() -> None:
    sandbox = Sandbox(clock=lambda: NOW)
    path, bearer = "/public/v1/events/subscriptions", app_token(sandbox)
    body = {
        "events": [{"name": name, "version": 1} for name in EVENTS],
        "method": "webhook",
        "broadcaster_user_id": CHANNEL,
    }
    _, made = call(sandbox, "POST", path, bearer=bearer, body=body)
    assert [delivery.event for delivery in happen(sandbox, *HAPPENINGS)] == list(HAPPENINGS)
    ids = [("id", row["subscription_id"]) for row in made["data"]]
    assert call(sandbox, "DELETE", path, *ids, bearer=bearer)[0] == 204
    assert happen(sandbox, *HAPPENINGS) == ()


def test_an_app_that_switches_webhooks_off_has_no_subscriptions_left() -> None:
    sandbox = subscribed("channel.followed")
    sandbox.world = with_app(sandbox.world, RegisteredApp("other", "secret", ()))
    sandbox.world = with_subscriptions(sandbox.world, CHANNEL, "channel.followed", client_id="other", at=NOW)
    sandbox.world = without_subscriptions(sandbox.world)
    assert [delivery.sent.client_id for delivery in happen(sandbox, "channel.followed")] == ["other"]


@pytest.mark.parametrize("lag", [0.0, 60.0])
def test_a_subscription_that_the_list_still_shows_is_ended_all_the_same(lag: float) -> None:
    sandbox = subscribed("channel.followed")
    sandbox.world = with_rules(sandbox.world, subscription_lag=lag)
    (held,) = sandbox.world.subscriptions
    token = user_token(sandbox, Scope.EVENTS_SUBSCRIBE, user_id=CHANNEL)
    assert call(sandbox, "DELETE", "/public/v1/events/subscriptions", ("id", held), bearer=token)[0] == 204
    assert happen(sandbox, "channel.followed") == ()


def test_a_claim_is_told_to_organizations() -> None:
    sandbox = subscribed()
    sandbox.world = claiming(sandbox.world, 123, CAMPAIGN, REWARD.id, at=NOW)
    assert sandbox.take_deliveries() == ()
    sandbox.world = with_app(sandbox.world, RegisteredApp("drops", "secret", (), organization=True))
    sandbox.world = claiming(sandbox.world, 123, CAMPAIGN, REWARD.id, at=NOW)
    (delivery,) = sandbox.take_deliveries()
    assert json.loads(delivery.body)["claim_id"] == list(sandbox.world.claims)[-1]
    assert delivery.sent.client_id == "drops"
    assert getattr(checked(sandbox, delivery), "message_id", None) == delivery.message_id


def test_nothing_that_is_told_changes_what_is_minted() -> None:
    silent, telling = Sandbox(clock=lambda: NOW), Sandbox(clock=lambda: NOW)
    telling.world = with_subscriptions(telling.world, CHANNEL, at=NOW)
    silent.world = with_subscriptions(silent.world, 5, at=NOW)
    answers = [step_of(sandbox, "POST", "/public/v1/chat", chat(), 123).response.body for sandbox in (silent, telling)]
    assert answers[0] == answers[1]
