"""What a body says: every documented event, forgiving about what is new and what is null."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kickcore.api.events import EventName
from kickcore.webhooks import (
    EVENTS,
    ChatMessage,
    DropsClaim,
    Emote,
    LivestreamMetadataUpdated,
    ModerationBanned,
    Strangeness,
    SubscriptionGifts,
    Unknown,
    parse,
    parse_claim,
    pieces_of,
    without_emotes,
)

FOLDER = Path(__file__).parents[2] / "payloads" / "webhooks"
BODIES = {
    path.name: (next((name for name in EventName if path.name.startswith(name)), None), path.read_bytes())
    for path in sorted(FOLDER.glob("*.json"))
}
BODIES = {name: (kind, body) for name, (kind, body) in BODIES.items() if kind is not None}


def changed(body: bytes, **members: Any) -> bytes:
    return json.dumps({**json.loads(body), **members}).encode()


def test_there_is_a_body_of_every_event() -> None:
    assert {kind for kind, _ in BODIES.values()} == set(EventName) == set(EVENTS)


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_its_event(name: str) -> None:
    kind, body = BODIES[name]
    assert kind is not None
    event = parse(kind, "1", body)
    assert type(event) is EVENTS[kind]
    assert event.broadcaster.user_id == json.loads(body)["broadcaster"]["user_id"]
    assert parse(kind, "", body) == event


@pytest.mark.parametrize("name", BODIES)
def test_new_members_are_forgiven_everywhere(name: str) -> None:
    def with_more(value: object) -> object:
        if isinstance(value, dict):
            return {**{key: with_more(item) for key, item in value.items()}, "brand_new": {"a": [1]}}
        return [with_more(item) for item in value] if isinstance(value, list) else value

    kind, body = BODIES[name]
    assert kind is not None
    assert parse(kind, "1", json.dumps(with_more(json.loads(body))).encode()) == parse(kind, "1", body)


@pytest.mark.parametrize("name", BODIES)
def test_a_null_in_any_place_but_the_most_important_is_forgiven(name: str) -> None:
    kind, body = BODIES[name]
    assert kind is not None
    whole = json.loads(body)
    for member, value in whole.items():
        if isinstance(value, dict):
            for inner in value:
                event = parse(kind, "1", changed(body, **{member: {**value, inner: None}}))
                assert isinstance(event, Unknown) is (
                    (member, inner) in {("gift", "amount"), ("reward", "id")}
                    or (member == "replies_to" and inner == "message_id")
                )
        else:
            assert not isinstance(parse(kind, "1", changed(body, **{member: None})), Unknown) or member in {
                "message_id",
                "content",
                "duration",
                "giftees",
                "id",
                "status",
                "is_live",
            }


@pytest.mark.parametrize("name", BODIES)
def test_a_body_under_another_events_name_is_told_apart(name: str) -> None:
    kind, body = BODIES[name]
    for other in EventName:
        event = parse(other, "1", body)
        # These two have the same members; only the months tell.
        twins = {EventName.CHANNEL_SUBSCRIPTION_NEW, EventName.CHANNEL_SUBSCRIPTION_RENEWAL}
        if other is not kind and {other, kind} != twins:
            assert isinstance(event, Unknown), other
            assert event.why is Strangeness.MISMATCH
            assert event.body == body


def test_a_renewal_under_the_name_of_a_new_subscription_is_told_by_its_months() -> None:
    _, body = BODIES["channel.subscription.renewal.json"]
    event = parse("channel.subscription.new", "1", body)
    assert isinstance(event, Unknown)
    assert event.why is Strangeness.MISMATCH


@pytest.mark.parametrize(
    ("kind", "version", "why"),
    [
        ("channel.unfollowed", "1", Strangeness.TYPE),
        ("channel.moderation.user_banned", "1", Strangeness.TYPE),
        ("channel.followed", "2", Strangeness.VERSION),
    ],
)
def test_what_is_not_known_keeps_its_octets(kind: str, version: str, why: Strangeness) -> None:
    event = parse(kind, version, b"{}")
    assert event == Unknown(why, kind, version, b"{}")
    assert "2 bytes" in repr(event)


@given(st.sampled_from([*EventName, "other.event"]), st.binary(max_size=60))
def test_whatever_the_body_is_nothing_is_raised(kind: str, body: bytes) -> None:
    assert isinstance(parse(kind, "1", body), Unknown)
    assert isinstance(parse_claim(body), Unknown)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["broadcaster", "follower", "user_id", "gift", "metadata"]), inner, max_size=3
            )
        ),
    )
)
def test_whatever_the_json_is_nothing_is_raised(value: object) -> None:
    for kind in EventName:
        _ = parse(kind, "1", json.dumps(value).encode())


def test_the_category_is_read_in_both_spellings() -> None:
    _, body = BODIES["livestream.metadata.updated.json"]
    metadata = json.loads(body)["metadata"]
    category = metadata.pop("category", None) or metadata.pop("Category", None) or {"id": 1, "name": "Chess"}
    for spelling in ("category", "Category"):
        event = parse("livestream.metadata.updated", "1", changed(body, metadata={**metadata, spelling: category}))
        assert isinstance(event, LivestreamMetadataUpdated)
        assert event.metadata.category is not None
        assert event.metadata.category.id == category["id"]
    nothing = parse("livestream.metadata.updated", "1", changed(body, metadata={**metadata, "category": {"id": 0}}))
    assert isinstance(nothing, LivestreamMetadataUpdated)
    assert nothing.metadata.category is None


def test_a_ban_for_ever_has_no_end_and_an_anonymous_giver_no_id() -> None:
    ban = parse("moderation.banned", "1", BODIES["moderation.banned.permanent.json"][1])
    assert isinstance(ban, ModerationBanned)
    assert ban.metadata.expires_at is None
    nobody = dict.fromkeys(("user_id", "username", "is_verified", "profile_picture", "channel_slug", "identity"))
    body = changed(BODIES["channel.subscription.gifts.json"][1], gifter={"is_anonymous": True, **nobody})
    gifts = parse("channel.subscription.gifts", "1", body)
    assert isinstance(gifts, SubscriptionGifts)
    assert gifts.gifter is not None
    assert gifts.gifter.user_id is None


def test_the_claim_of_a_drop_is_read() -> None:
    claim = parse_claim((FOLDER / "drops.claim.json").read_bytes())
    assert isinstance(claim, DropsClaim)
    assert claim.user_id > 0


@pytest.mark.parametrize(
    ("content", "pieces"),
    [
        ("", ()),
        ("hello", ("hello",)),
        ("[emote:37226:KEKW]", (Emote(37226, "KEKW"),)),
        ("a [emote:1:x][emote:2:y] b", ("a ", Emote(1, "x"), Emote(2, "y"), " b")),
        ("[emote:abc:x] [emote:1] [emote:1:", ("[emote:abc:x] [emote:1] [emote:1:",)),
        ("[emote:٣:x]", ("[emote:٣:x]",)),
    ],
)
def test_emotes_are_taken_out_of_the_text(content: str, pieces: tuple[object, ...]) -> None:
    assert pieces_of(content) == pieces
    assert without_emotes("a [emote:1:x]!") == "a x!"


@given(st.lists(st.text(max_size=5) | st.builds(Emote, st.integers(0, 10**11), st.just("KEKW")), max_size=6))
def test_pieces_joined_are_the_whole_message(pieces: list[str | Emote]) -> None:
    content = "".join(piece if isinstance(piece, str) else f"[emote:{piece.id}:{piece.name}]" for piece in pieces)
    again = "".join(
        piece if isinstance(piece, str) else f"[emote:{piece.id}:{piece.name}]" for piece in pieces_of(content)
    )
    assert again == content


def test_a_message_has_its_pieces() -> None:
    body = changed(BODIES["chat.message.sent.json"][1], content="hi [emote:4148074:HYPERCLAP]", emotes=None)
    event = parse("chat.message.sent", "1", body)
    assert isinstance(event, ChatMessage)
    assert event.pieces == ("hi ", Emote(4148074, "HYPERCLAP"))
    assert event.emotes is None
