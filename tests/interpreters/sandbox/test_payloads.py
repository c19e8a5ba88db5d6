"""What the simulated Kick says of what happened: the documented members, and what happened."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from interpreters.sandbox import (
    Claim,
    KicksGift,
    Message,
    Redemption,
    gifting_subscriptions,
    going_offline,
    small_world,
    with_channel,
    with_reward,
    with_subscriptions,
)
from interpreters.sandbox.building import MONTH
from interpreters.sandbox.payloads import (
    chat_message_sent,
    drops_claim,
    emotes_in,
    kicks_gifted,
    livestream_metadata,
    redemption_updated,
    user_of,
)
from kickcore.webhooks import (
    EVENTS,
    ChatMessage,
    DropsClaim,
    Emote,
    LivestreamStatusUpdated,
    RedemptionUpdated,
    SubscriptionGifts,
    SubscriptionRenewal,
    parse,
    parse_claim,
    pieces_of,
)

from .asking import NOW
from .telling import CAMPAIGN, CHANNEL, HAPPENINGS, REWARD, happen, members, subscribed

EXAMPLES = {
    "livestream.status.updated": "livestream.status.updated.live",
    "moderation.banned": "moderation.banned.timeout",
}
WORLD = small_world()


def documented(payload: Any, name: str) -> Any:
    return json.loads(payload(f"webhooks/{EXAMPLES.get(name, name)}.json"))


def message(content: str, sender: int = 123, reply_to: str | None = None) -> Message:
    return Message("m2", CHANNEL, sender, "sandbox-app", "user", content, NOW, reply_to)


@pytest.mark.parametrize("event", HAPPENINGS)
def test_a_body_has_the_documented_members_and_is_read_as_its_event(event: str, payload: Any) -> None:
    (delivery,) = happen(subscribed(event), event)
    assert members(json.loads(delivery.body)) == members(documented(payload, event))
    told = parse(event, "1", delivery.body)
    assert isinstance(told, EVENTS[event])  # pyright: ignore[reportArgumentType]
    assert told.broadcaster.user_id == CHANNEL
    assert (told.broadcaster.username, told.broadcaster.channel_slug) == ("xQc", "xqc")


def test_every_event_is_produced_somewhere() -> None:
    assert {*HAPPENINGS, "chat.message.sent", "livestream.metadata.updated"} == set(EVENTS)


def test_a_chat_message_has_the_documented_members(payload: Any) -> None:
    first = replace(message("the first", 456), message_id="m1")
    channel = replace(WORLD.channels[CHANNEL], moderators=(123,))
    world = replace(with_channel(WORLD, channel), messages=(first,))
    told = chat_message_sent(world, message("Hello [emote:4148074:HYPERCLAP]", reply_to="m1"))
    example = documented(payload, "chat.message.sent")
    # Of the badges in the example only the third has a number.
    assert members(told) == members(example)
    event = parse("chat.message.sent", "1", json.dumps(told).encode())
    assert isinstance(event, ChatMessage)
    assert event.replies_to is not None
    assert (event.replies_to.message_id, event.replies_to.content) == ("m1", "the first")
    assert event.replies_to.sender is not None
    assert event.replies_to.sender.user_id == 456
    assert event.sender.identity is not None
    assert [badge.type for badge in event.sender.identity.badges] == ["moderator"]
    assert event.created_at is not None
    assert event.created_at.timestamp() == NOW


def test_a_reply_to_what_was_never_sent_here_tells_of_no_message() -> None:
    assert chat_message_sent(WORLD, message("Hi", reply_to="unknown"))["replies_to"] is None


def test_who_owns_the_channel_has_a_badge_and_who_is_a_guest_has_none() -> None:
    badges: list[object] = []
    for sender in (CHANNEL, 123):
        told: Any = chat_message_sent(WORLD, message("Hi", sender))
        badges.append([badge["type"] for badge in told["sender"]["identity"]["badges"]])
    assert badges == [["broadcaster"], []]


def test_emotes_are_listed_as_in_kicks_example(payload: Any) -> None:
    example = documented(payload, "chat.message.sent")
    assert emotes_in(example["content"]) == example["emotes"]


@given(st.lists(st.one_of(st.text(), st.sampled_from(["[emote:1:A]", "[emote:22:Bé]", "[emote:1:]", "[emote::x]"]))))
def test_the_emotes_listed_are_those_that_can_be_parsed_and_stand_where_it_says(pieces: list[str]) -> None:
    content = "".join(pieces)
    told: Any = emotes_in(content)
    places = sorted((at["s"], at["e"], emote["emote_id"]) for emote in told for at in emote["positions"])
    assert [int(number) for _, _, number in places] == [
        piece.id for piece in pieces_of(content) if isinstance(piece, Emote)
    ]
    for start, end, number in places:
        assert content[start : end + 1].startswith(f"[emote:{number}:")
        assert content[end] == "]"


def test_a_stream_that_ends_repeats_when_it_began(payload: Any) -> None:
    sandbox = subscribed("livestream.status.updated")
    (begun,) = happen(sandbox, "livestream.status.updated")
    sandbox.world = going_offline(sandbox.world, CHANNEL, at=NOW + 60)
    (ended,) = sandbox.take_deliveries()
    assert members(json.loads(ended.body)) == members(documented(payload, "livestream.status.updated.ended"))
    first, last = (parse("livestream.status.updated", "1", each.body) for each in (begun, ended))
    assert isinstance(first, LivestreamStatusUpdated)
    assert isinstance(last, LivestreamStatusUpdated)
    assert (first.is_live, last.is_live) == (True, False)
    assert first.started_at == last.started_at
    assert first.ended_at is None
    assert last.ended_at is not None
    assert last.ended_at.timestamp() == NOW + 60
    sandbox.world = going_offline(sandbox.world, CHANNEL, at=NOW + 61)
    assert sandbox.take_deliveries() == (), "what has ended does not end again"


def test_the_metadata_of_a_stream_and_of_a_channel_that_is_offline(payload: Any) -> None:
    live: Any = livestream_metadata(WORLD, 1001)
    assert members(live) == members(documented(payload, "livestream.metadata.updated"))
    assert live["metadata"] == {
        "title": "Desenhando com vocês",
        "language": "pt-BR",
        "has_mature_content": False,
        "category": {"id": 9700, "name": "Art", "thumbnail": ""},
    }
    offline: Any = livestream_metadata(WORLD, 789)
    assert offline["metadata"]["language"] == "en"
    assert members(offline) == members(live)


def test_an_anonymous_gift_names_nobody() -> None:
    sandbox = subscribed("channel.subscription.gifts")
    sandbox.world = gifting_subscriptions(sandbox.world, CHANNEL, None, [456], at=NOW)
    assert sandbox.world.channels[CHANNEL].gifted_subscribers == 676 % 40 + 1
    (delivery,) = sandbox.take_deliveries()
    told = parse("channel.subscription.gifts", "1", delivery.body)
    assert isinstance(told, SubscriptionGifts)
    assert told.gifter is not None
    assert told.gifter.is_anonymous
    assert set(json.loads(delivery.body)["gifter"].values()) == {True, None}
    assert members(json.loads(delivery.body)["gifter"]) == members(user_of(WORLD, 456))


def test_a_renewal_tells_when_the_subscription_began() -> None:
    (delivery,) = happen(subscribed(), "channel.subscription.renewal")
    told = parse("channel.subscription.renewal", "1", delivery.body)
    assert isinstance(told, SubscriptionRenewal)
    assert told.created_at is not None
    assert told.expires_at is not None
    assert told.duration == 3
    assert (told.created_at.timestamp(), told.expires_at.timestamp()) == (NOW - 2 * MONTH, NOW + MONTH)


def test_times_of_redemptions_and_gifts_have_milliseconds() -> None:
    redemption = Redemption("01KBHE78QE4HZY1617DK5FC7YD", REWARD.id, 456, "hi", NOW + 0.3239)
    told = redemption_updated(with_reward(WORLD, REWARD), redemption)
    assert told["redeemed_at"] == "2026-09-22T18:00:00.323Z"
    event = parse("channel.reward.redemption.updated", "1", json.dumps(told).encode())
    assert isinstance(event, RedemptionUpdated)
    assert (event.status, event.user_input, event.reward.title) == ("pending", "hi", "Hydrate")
    assert kicks_gifted(WORLD, KicksGift(CHANNEL, 123, 1, NOW))["created_at"] == "2026-09-22T18:00:00.000Z"


@pytest.mark.parametrize(
    ("amount", "kind", "tier", "pinned"), [(1, "BASIC", "BASIC", 0), (500, "LEVEL_UP", "MID", 600)]
)
def test_a_gift_is_of_a_kind(amount: int, kind: str, tier: str, pinned: int) -> None:
    told: Any = kicks_gifted(WORLD, KicksGift(CHANNEL, 123, amount, NOW), "for you")
    gift = told["gift"]
    assert (gift["type"], gift["tier"], gift["pinned_time_seconds"]) == (kind, tier, pinned)
    assert gift["message"] == "for you"


def test_a_claim_has_the_documented_members_and_an_id_of_its_own_only_if_there_is_one(payload: Any) -> None:
    claim = Claim("01KAAFHJ2PNXS48NG8XXPGWKCZ", 123, CAMPAIGN, REWARD.id, NOW, NOW, "sword")
    assert members(drops_claim(claim)) == members(documented(payload, "drops.claim"))
    assert isinstance(parse_claim(json.dumps(drops_claim(claim)).encode()), DropsClaim)
    assert "external_id" not in drops_claim(replace(claim, external_id=None))


def test_of_somebody_who_is_not_there_only_the_id_is_known() -> None:
    assert user_of(WORLD, 5) == {
        "is_anonymous": False,
        "user_id": 5,
        "username": "",
        "is_verified": False,
        "profile_picture": "",
        "channel_slug": "",
        "identity": None,
    }


def test_building_needs_no_channel_that_was_subscribed_to() -> None:
    world = with_subscriptions(WORLD, 5, "channel.followed", at=NOW)
    assert HAPPENINGS["channel.followed"](world).due == ()
