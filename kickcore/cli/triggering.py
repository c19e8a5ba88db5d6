"""What `kickcore event trigger` can send: each event as Kick documents it, and the options that say more about it."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from interpreters.sandbox import (
    OWNER,
    Ban,
    Channel,
    Claim,
    KicksGift,
    Message,
    Outgoing,
    Redemption,
    Reward,
    User,
    World,
    small_world,
    with_channel,
    with_reward,
    with_user,
)
from interpreters.sandbox import payloads as told
from interpreters.sandbox.building import HOUR, MONTH
from interpreters.sandbox.minting import mint_ulid, mint_uuid
from interpreters.sandbox.telling import CLAIM
from kickcore.api.events import EventName
from kickcore.errors import ConfigError, cleaned

VIEWER: Final = 456
"""Who writes, follows or gives, if nobody is named."""
SUBSCRIPTION: Final = "01K5ANDB0X0000000000000001"
"""The id of the subscription that an event is delivered for, always the same, so that a receiver can know it."""

_REWARD: Final = "01K5ANDB0X0000000000000002"
_CAMPAIGN: Final = "01K5ANDB0X0000000000000003"

_FIRST_GIFTEE: Final = 2001

_HELLO: Final = "Hello from the sandbox! [emote:37226:KEKW]"


class _Scene(Struct, frozen=True):
    """A world in which whoever is named is there, the moment, and what was chosen, by the names of the options."""

    world: World
    now: float
    chosen: Mapping[str, Any]

    @property
    def channel(self) -> int:
        return self.chosen.get("broadcaster", OWNER)

    @property
    def viewer(self) -> int:
        return self.chosen.get("user", VIEWER)


def _chat(scene: _Scene) -> told.Body:
    world, message_id = mint_uuid(scene.world, "message")
    content = scene.chosen.get("content", _HELLO)
    message = Message(message_id, scene.channel, scene.viewer, "sandbox-app", "user", content, scene.now)
    return told.chat_message_sent(world, message)


def _followed(scene: _Scene) -> told.Body:
    return told.channel_followed(scene.world, scene.channel, scene.viewer)


def _subscribed(scene: _Scene) -> told.Body:
    return told.channel_subscription(
        scene.world, scene.channel, scene.viewer, 1, created_at=scene.now, expires_at=scene.now + MONTH
    )


def _renewed(scene: _Scene) -> told.Body:
    months = scene.chosen.get("months", 2)
    began = scene.now - (months - 1) * MONTH
    return told.channel_subscription(
        scene.world, scene.channel, scene.viewer, months, created_at=began, expires_at=scene.now + MONTH
    )


def _gifted(scene: _Scene) -> told.Body:
    giver = None if scene.chosen.get("anonymous") else scene.viewer
    giftees = range(_FIRST_GIFTEE, _FIRST_GIFTEE + scene.chosen.get("count", 1))
    world = scene.world
    for user_id in giftees:
        world = _inhabited(world, user_id)
    return told.gifted_subscriptions(
        world, scene.channel, giver, giftees, created_at=scene.now, expires_at=scene.now + MONTH
    )


def _redeemed(scene: _Scene) -> told.Body:
    reward = Reward(_REWARD, scene.channel, scene.chosen.get("title", "Hydrate"), description="Drink some water")
    world, redemption_id = mint_ulid(with_reward(scene.world, reward), "redemption", scene.now)
    status = scene.chosen.get("status", "pending")
    redemption = Redemption(redemption_id, _REWARD, scene.viewer, scene.chosen.get("content", ""), scene.now, status)
    return told.redemption_updated(world, redemption)


def _status(scene: _Scene) -> told.Body:
    title = scene.chosen.get("title", "My first stream")
    if scene.chosen.get("offline"):
        began = scene.now - HOUR
        return told.livestream_status(scene.world, scene.channel, title, started_at=began, ended_at=scene.now)
    return told.livestream_status(scene.world, scene.channel, title, started_at=scene.now)


def _metadata(scene: _Scene) -> told.Body:
    channel = scene.world.channels[scene.channel]
    changed = replace(channel, title=scene.chosen.get("title", channel.title))
    return told.livestream_metadata(with_channel(scene.world, changed), scene.channel)


def _banned(scene: _Scene) -> told.Body:
    minutes = scene.chosen.get("minutes")
    until = None if minutes is None else scene.now + 60.0 * minutes
    ban = Ban(scene.channel, scene.viewer, scene.channel, scene.now, until, scene.chosen.get("reason", "spam"))
    return told.moderation_banned(scene.world, ban)


def _kicks(scene: _Scene) -> told.Body:
    gift = KicksGift(scene.channel, scene.viewer, scene.chosen.get("amount", 100), scene.now)
    return told.kicks_gifted(scene.world, gift, scene.chosen.get("content", ""))


def _claimed(scene: _Scene) -> told.Body:
    _, claim_id = mint_ulid(scene.world, "claim", scene.now)
    return told.drops_claim(
        Claim(claim_id, scene.viewer, _CAMPAIGN, _REWARD, scene.now, scene.now, "sword-of-the-sandbox")
    )


class _Type(Struct, frozen=True):
    """How to make the body of an event, and which options say more about it."""

    body: Callable[[_Scene], told.Body]
    options: tuple[str, ...] = ()


TYPES: Final[Mapping[str, _Type]] = {
    EventName.CHAT_MESSAGE_SENT.value: _Type(_chat, ("broadcaster", "user", "content")),
    EventName.CHANNEL_FOLLOWED.value: _Type(_followed, ("broadcaster", "user")),
    EventName.CHANNEL_SUBSCRIPTION_NEW.value: _Type(_subscribed, ("broadcaster", "user")),
    EventName.CHANNEL_SUBSCRIPTION_RENEWAL.value: _Type(_renewed, ("broadcaster", "user", "months")),
    EventName.CHANNEL_SUBSCRIPTION_GIFTS.value: _Type(_gifted, ("broadcaster", "user", "count", "anonymous")),
    EventName.CHANNEL_REWARD_REDEMPTION_UPDATED.value: _Type(
        _redeemed, ("broadcaster", "user", "title", "content", "status")
    ),
    EventName.LIVESTREAM_STATUS_UPDATED.value: _Type(_status, ("broadcaster", "title", "offline")),
    EventName.LIVESTREAM_METADATA_UPDATED.value: _Type(_metadata, ("broadcaster", "title")),
    EventName.MODERATION_BANNED.value: _Type(_banned, ("broadcaster", "user", "reason", "minutes")),
    EventName.KICKS_GIFTED.value: _Type(_kicks, ("broadcaster", "user", "amount", "content")),
    CLAIM: _Type(_claimed, ("user",)),
}

OPTIONS: Final = tuple(dict.fromkeys(option for kind in TYPES.values() for option in kind.options))
"""The names of all options that say more about an event."""


def _scene(chosen: Mapping[str, Any], now: float) -> _Scene:
    world = replace(small_world(), seed=secrets.token_hex(16))
    for option in ("broadcaster", "user"):
        if option in chosen:
            world = _inhabited(world, chosen[option])
    return _Scene(world, now, chosen)


def _inhabited(world: World, user_id: int) -> World:
    if user_id in world.users:
        return world
    return with_user(world, User(user_id, f"user_{user_id}", ""), Channel(user_id, f"user-{user_id}"))


def new_id(now: float) -> str:
    """An id for a message, as no other has: a ULID of this moment (epoch seconds)."""
    return mint_ulid(World(seed=secrets.token_hex(16)), "delivery", now)[1]


def chat_body(content: str, now: float) -> bytes:
    """The body of a chat message with this text."""
    return msgspec.json.encode(_chat(_scene({"content": content}, now)))


def body_of(event: str, chosen: Mapping[str, Any], now: float) -> bytes:
    """The body of an event at `now` (epoch seconds); `chosen` says more about it, by the names of the options.

    Raises `ConfigError` for an event that is not known, or has no such option.
    """
    kind = TYPES.get(event)
    if kind is None:
        raise ConfigError(
            f"no event {cleaned(event, 60)!r} is known here, so nothing was sent; its body may come from --body FILE"
        )
    for option in chosen:
        if option not in kind.options:
            raise ConfigError(f"--{option} says nothing about {event}, so nothing was sent")
    return msgspec.json.encode(kind.body(_scene(chosen, now)))


def outgoing_of(
    event: str, body: bytes, at: float, *, message_id: str | None = None, subscription_id: str = SUBSCRIPTION
) -> Outgoing:
    """An event, or the claim of a drop, to be sent and signed for this moment (epoch seconds)."""
    is_claim = event == CLAIM
    return Outgoing(
        event=event,
        broadcaster_user_id=0,
        client_id="",
        message_id=message_id or new_id(at),
        timestamp=at,
        body=body,
        type="" if is_claim else event,
        subscription_id="" if is_claim else subscription_id,
    )
