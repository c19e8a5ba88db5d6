"""What Kick tells by webhook: ten events and the claim of a drop, as frozen values that forgive what is new.

A body does not name its event: that stands in a header which is not signed. So a body is read as what the header says,
and looked at once more: if it is plainly another event's, or cannot be read, it is an `Unknown` with its octets.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import ClassVar, Final, TypeAlias, cast

import msgspec
from msgspec import Struct, field

from kickcore.api.events import EventName
from kickcore.api.model import Instant, Model
from kickcore.webhooks.emotes import Emote, pieces_of


class Badge(Model, frozen=True):
    """A badge of a chatter. `type` is from a set that grows: `moderator`, `subscriber`, `vip` and others."""

    text: str = ""
    type: str = ""
    count: int | None = None


class Identity(Model, frozen=True):
    """How a chatter is shown: colour (hexadecimal) and badges."""

    username_color: str = ""
    badges: tuple[Badge, ...] = ()


class EventUser(Model, frozen=True):
    """A user in an event. Of somebody anonymous nothing is known: `user_id` is None.

    `is_verified` is None where Kick does not say; `identity` is there for senders of chat messages only.
    """

    user_id: int | None = None
    username: str | None = None
    is_anonymous: bool = False
    is_verified: bool | None = None
    profile_picture: str | None = None
    channel_slug: str | None = None
    identity: Identity | None = None

    absent: ClassVar[tuple[str, ...]] = ("username", "profile_picture", "channel_slug")


class EmotePosition(Model, frozen=True):
    """Where an emote stands in a message, by Kick's count, both ends inclusive. In what units is not known."""

    s: int
    e: int


class EmotePositions(Model, frozen=True):
    """An emote as Kick lists it. `ChatMessage.pieces` does not need it, and is there when Kick lists none."""

    emote_id: str | int
    positions: tuple[EmotePosition, ...] = ()


class RepliedTo(Model, frozen=True):
    """The message that a chat message replies to."""

    message_id: str
    content: str = ""
    sender: EventUser | None = None


class ChatMessage(Model, frozen=True):
    """Somebody has written in chat. `content` holds emotes as `[emote:ID:NAME]`; `pieces` has them apart."""

    event: ClassVar[EventName] = EventName.CHAT_MESSAGE_SENT

    message_id: str
    broadcaster: EventUser
    sender: EventUser
    content: str
    replies_to: RepliedTo | None = None
    emotes: tuple[EmotePositions, ...] | None = None
    created_at: Instant | None = None

    absent: ClassVar[tuple[str, ...]] = ("created_at",)

    @property
    def pieces(self) -> tuple[str | Emote, ...]:
        """The message as texts and emotes, in order."""
        return pieces_of(self.content)


class ChannelFollowed(Model, frozen=True):
    """Somebody follows the channel. There is no time in it but the delivery's, and no event for the opposite."""

    event: ClassVar[EventName] = EventName.CHANNEL_FOLLOWED

    broadcaster: EventUser
    follower: EventUser


class SubscriptionNew(Model, frozen=True):
    """Somebody has subscribed. `duration` is in months."""

    event: ClassVar[EventName] = EventName.CHANNEL_SUBSCRIPTION_NEW

    broadcaster: EventUser
    subscriber: EventUser
    duration: int
    created_at: Instant | None = None
    expires_at: Instant | None = None

    absent: ClassVar[tuple[str, ...]] = ("created_at", "expires_at")


class SubscriptionRenewal(Model, frozen=True):
    """A subscription goes on, for `duration` months by now; `created_at` is when the first one began."""

    event: ClassVar[EventName] = EventName.CHANNEL_SUBSCRIPTION_RENEWAL

    broadcaster: EventUser
    subscriber: EventUser
    duration: int
    created_at: Instant | None = None
    expires_at: Instant | None = None

    absent: ClassVar[tuple[str, ...]] = ("created_at", "expires_at")


class SubscriptionGifts(Model, frozen=True):
    """Somebody has given subscriptions to others. The giver may be anonymous: look at `gifter.user_id`."""

    event: ClassVar[EventName] = EventName.CHANNEL_SUBSCRIPTION_GIFTS

    broadcaster: EventUser
    gifter: EventUser | None
    giftees: tuple[EventUser, ...]
    created_at: Instant | None = None
    expires_at: Instant | None = None

    absent: ClassVar[tuple[str, ...]] = ("created_at", "expires_at")


class RedeemedReward(Model, frozen=True):
    """The reward of a redemption. `cost` is in channel points."""

    id: str
    title: str = ""
    cost: int = 0
    description: str = ""


class RedemptionUpdated(Model, frozen=True):
    """A reward was redeemed, accepted or rejected: `status` is `pending`, `accepted` or `rejected`."""

    event: ClassVar[EventName] = EventName.CHANNEL_REWARD_REDEMPTION_UPDATED

    id: str
    broadcaster: EventUser
    redeemer: EventUser
    reward: RedeemedReward
    status: str
    user_input: str = ""
    redeemed_at: Instant | None = None

    absent: ClassVar[tuple[str, ...]] = ("redeemed_at",)


class LivestreamStatusUpdated(Model, frozen=True):
    """A stream has begun or ended. `started_at` is the same text in both, and can serve as the stream's key."""

    event: ClassVar[EventName] = EventName.LIVESTREAM_STATUS_UPDATED

    broadcaster: EventUser
    is_live: bool
    title: str = ""
    started_at: Instant | None = None
    ended_at: Instant | None = None

    absent: ClassVar[tuple[str, ...]] = ("started_at", "ended_at")


class EventCategory(Model, frozen=True):
    """The category of a stream."""

    id: int
    name: str = ""
    thumbnail: str | None = None

    absent: ClassVar[tuple[str, ...]] = ("thumbnail",)


class LivestreamMetadata(Model, frozen=True):
    """What a stream says of itself. `category` is None where none is set."""

    title: str = ""
    language: str = ""
    has_mature_content: bool = False
    category: EventCategory | None = None
    # Kick has sent both spellings.
    upper_category: EventCategory | None = field(default=None, name="Category")

    absent: ClassVar[tuple[str, ...]] = ("category", "upper_category")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.category is None and self.upper_category is not None:
            msgspec.structs.force_setattr(self, "category", self.upper_category)
        msgspec.structs.force_setattr(self, "upper_category", None)


class LivestreamMetadataUpdated(Model, frozen=True):
    """Title, language, category or the mark for mature content of a stream has changed."""

    event: ClassVar[EventName] = EventName.LIVESTREAM_METADATA_UPDATED

    broadcaster: EventUser
    metadata: LivestreamMetadata


class BanMetadata(Model, frozen=True):
    """Why and until when somebody is banned; `expires_at` of None is for ever."""

    reason: str = ""
    created_at: Instant | None = None
    expires_at: Instant | None = None

    absent: ClassVar[tuple[str, ...]] = ("created_at", "expires_at")


class ModerationBanned(Model, frozen=True):
    """Somebody was banned or timed out. There is no event for the opposite."""

    event: ClassVar[EventName] = EventName.MODERATION_BANNED

    broadcaster: EventUser
    banned_user: EventUser
    metadata: BanMetadata
    moderator: EventUser | None = None


class KicksGift(Model, frozen=True):
    """A gift of KICKs. `pinned_time_seconds` is how long its message stays at the top of the chat."""

    amount: int
    name: str = ""
    type: str = ""
    tier: str = ""
    message: str = ""
    pinned_time_seconds: int = 0


class KicksGifted(Model, frozen=True):
    """Somebody has given KICKs to the channel."""

    event: ClassVar[EventName] = EventName.KICKS_GIFTED

    broadcaster: EventUser
    sender: EventUser
    gift: KicksGift
    created_at: Instant | None = None

    absent: ClassVar[tuple[str, ...]] = ("created_at",)


class DropsClaim(Model, frozen=True):
    """Somebody claims a drop of your organization. Answer 200 also for a claim that was handled before."""

    claim_id: str
    campaign_id: str
    reward_id: str
    user_id: int
    external_id: str | None = None

    absent: ClassVar[tuple[str, ...]] = ("external_id",)


class Strangeness(StrEnum):
    """Why an authentic delivery is no event that is known."""

    TYPE = "unknown_type"
    """The header names an event that kickcore does not know."""
    VERSION = "unknown_version"
    """The header names a version that kickcore does not know."""
    PAYLOAD = "malformed_payload"
    """The body cannot be read as the event that the header names."""
    MISMATCH = "type_mismatch"
    """The body is another event's: somebody has changed the header, which is not signed."""


class Unknown(Struct, frozen=True):
    """An authentic delivery that is no event that is known: its octets, what the headers call it, and why."""

    why: Strangeness
    type: str
    version: str
    body: bytes

    def __repr__(self) -> str:
        return f"<Unknown {self.why.value} {self.type!r} version {self.version!r}, {len(self.body)} bytes>"


Event: TypeAlias = (
    ChatMessage
    | ChannelFollowed
    | SubscriptionNew
    | SubscriptionRenewal
    | SubscriptionGifts
    | RedemptionUpdated
    | LivestreamStatusUpdated
    | LivestreamMetadataUpdated
    | ModerationBanned
    | KicksGifted
)
"""The events that are known."""

EVENTS: Final[Mapping[EventName, type[Event]]] = {
    kind.event: kind
    for kind in (
        ChatMessage,
        ChannelFollowed,
        SubscriptionNew,
        SubscriptionRenewal,
        SubscriptionGifts,
        RedemptionUpdated,
        LivestreamStatusUpdated,
        LivestreamMetadataUpdated,
        ModerationBanned,
        KicksGifted,
    )
}

_TELLTALE: Final[Mapping[EventName, str]] = {
    EventName.CHAT_MESSAGE_SENT: "content",
    EventName.CHANNEL_FOLLOWED: "follower",
    EventName.CHANNEL_SUBSCRIPTION_NEW: "subscriber",
    EventName.CHANNEL_SUBSCRIPTION_RENEWAL: "subscriber",
    EventName.CHANNEL_SUBSCRIPTION_GIFTS: "giftees",
    EventName.CHANNEL_REWARD_REDEMPTION_UPDATED: "redeemer",
    EventName.LIVESTREAM_STATUS_UPDATED: "is_live",
    EventName.MODERATION_BANNED: "banned_user",
    EventName.KICKS_GIFTED: "gift",
}
"""The member that only this event has. (`metadata` is not one of them: bans have it, too.)"""

_DECODE: Final[Mapping[str, Callable[[bytes], Event]]] = {
    str(name): msgspec.json.Decoder(kind).decode for name, kind in EVENTS.items()
}
_CLAIM: Final = msgspec.json.Decoder(DropsClaim)


class _Telltales(Struct):
    content: msgspec.Raw = msgspec.Raw()
    follower: msgspec.Raw = msgspec.Raw()
    subscriber: msgspec.Raw = msgspec.Raw()
    giftees: msgspec.Raw = msgspec.Raw()
    redeemer: msgspec.Raw = msgspec.Raw()
    is_live: msgspec.Raw = msgspec.Raw()
    banned_user: msgspec.Raw = msgspec.Raw()
    gift: msgspec.Raw = msgspec.Raw()
    claim_id: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()


_LOOK: Final = msgspec.json.Decoder(_Telltales)


def parse(type: str, version: str, body: bytes) -> Event | Unknown:  # noqa: A002 - what the header is called
    """The event of a delivery. Never raises: what cannot be read, or is another event's, is an `Unknown`."""
    decode = _DECODE.get(type)
    if decode is None:
        return Unknown(Strangeness.TYPE, type, version, body)
    if version not in {"", "1"}:
        return Unknown(Strangeness.VERSION, type, version, body)
    try:
        event = decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event = _read_without_nulls(EventName(type), body)
    if event is None:
        name = EventName(type)
        why = Strangeness.MISMATCH if _is_of_another(name, body) else Strangeness.PAYLOAD
        return Unknown(why, type, version, body)
    # Of two events with the same members, only the number of months tells: a new subscription has one.
    kind = event.__class__
    if kind is SubscriptionNew and cast("SubscriptionNew", event).duration != 1:
        return Unknown(Strangeness.MISMATCH, type, version, body)
    if kind is LivestreamMetadataUpdated and _is_of_another(EventName.LIVESTREAM_METADATA_UPDATED, body):
        return Unknown(Strangeness.MISMATCH, type, version, body)
    return event


def _read_without_nulls(name: EventName, body: bytes) -> Event | None:
    # Kick has sent null for members of every kind: they are then as good as not there.
    try:
        return msgspec.convert(_without_nulls(msgspec.json.decode(body)), EVENTS[name])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {key: _without_nulls(item) for key, item in members.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in cast("list[object]", value) if item is not None]
    return value


def parse_claim(body: bytes) -> DropsClaim | Unknown:
    """The claim of a drop. Never raises."""
    try:
        return _CLAIM.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Unknown(Strangeness.PAYLOAD, "", "", body)


def _is_of_another(name: EventName, body: bytes) -> bool:
    """Whether a body has what only another event has, and not what only this one has."""
    try:
        look = _LOOK.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    own = _TELLTALE.get(name)
    has = {member for member in look.__struct_fields__ if bytes(getattr(look, member))}
    if name is EventName.LIVESTREAM_METADATA_UPDATED:
        has.discard("metadata")
    return bool(has - {own}) and own not in has
