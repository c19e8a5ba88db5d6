"""The bodies of webhooks (reference 7.4 to 7.6): what Kick would say of what happened in a world. Pure."""

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final, TypeAlias

from interpreters.sandbox.api.categories import category_within
from interpreters.sandbox.records import Ban, Claim, KicksGift, Redemption
from interpreters.sandbox.wire import rfc3339, rfc3339_fine
from interpreters.sandbox.world import Message, World

Body: TypeAlias = dict[str, object]

_EMOTE: Final = re.compile(r"\[emote:(\d{1,12}):[^\]\s:]{0,100}\]", re.ASCII)

_TIERS: Final = (
    # Least amount, type, tier and seconds that the message stays pinned, as far as they were seen; the largest first.
    (2000, "LEVEL_UP", "MID", 2400),
    (500, "LEVEL_UP", "MID", 600),
    (0, "BASIC", "BASIC", 0),
)
_GIFTS: Final[Mapping[int, str]] = {500: "Rage Quit"}
"""Names of gifts by amount. Only this one is documented."""


def user_of(world: World, user_id: int) -> Body:
    """A user in full, without what only senders in chat have."""
    return {"is_anonymous": False, **brief_user_of(world, user_id), "identity": None}


def brief_user_of(world: World, user_id: int) -> Body:
    """A user as redemptions and gifts of KICKs show one. Of somebody who is not in the world only the id is known."""
    user, channel = world.users.get(user_id), world.channels.get(user_id)
    return {
        "user_id": user_id,
        "username": user.name if user else "",
        "is_verified": user.is_verified if user else False,
        "profile_picture": user.profile_picture if user else "",
        "channel_slug": channel.slug if channel else "",
    }


def nobody() -> Body:
    """Somebody who gave anonymously."""
    known = ("user_id", "username", "is_verified", "profile_picture", "channel_slug", "identity")
    return {"is_anonymous": True, **dict.fromkeys(known)}


def chat_message_sent(world: World, message: Message) -> Body:
    """The body of `chat.message.sent`. What it replies to is told if it was sent in this world."""
    replied = next((held for held in world.messages if held.message_id == message.reply_to), None)
    shown = (
        {
            "message_id": replied.message_id,
            "content": replied.content,
            "sender": user_of(world, replied.sender_user_id),
        }
        if replied
        else None
    )
    sender = user_of(world, message.sender_user_id)
    return {
        "message_id": message.message_id,
        "replies_to": shown,
        "broadcaster": user_of(world, message.broadcaster_user_id),
        "sender": {**sender, "identity": _identity(world, message)},
        "content": message.content,
        "emotes": emotes_in(message.content),
        "created_at": rfc3339(message.sent_at),
    }


def emotes_in(content: str) -> list[Body]:
    """The emotes of a chat message as Kick lists them: each once, in the order in which they first come.

    Positions count code points from 0, both ends inclusive. In what units Kick counts is not known.
    """
    found: dict[str, list[dict[str, int]]] = {}
    for emote in _EMOTE.finditer(content):
        found.setdefault(emote[1], []).append({"s": emote.start(), "e": emote.end() - 1})
    return [{"emote_id": emote_id, "positions": positions} for emote_id, positions in found.items()]


def _identity(world: World, message: Message) -> Body:
    channel = world.channels.get(message.broadcaster_user_id)
    badges: list[Body] = []
    if message.sender_user_id == message.broadcaster_user_id:
        badges.append({"text": "Broadcaster", "type": "broadcaster"})
    elif channel and message.sender_user_id in channel.moderators:
        badges.append({"text": "Moderator", "type": "moderator"})
    color = sha256(str(message.sender_user_id).encode()).hexdigest()[:6].upper()
    return {"username_color": f"#{color}", "badges": badges}


def channel_followed(world: World, broadcaster_user_id: int, user_id: int) -> Body:
    """The body of `channel.followed`."""
    return {"broadcaster": user_of(world, broadcaster_user_id), "follower": user_of(world, user_id)}


def channel_subscription(
    world: World, broadcaster_user_id: int, user_id: int, months: int, *, created_at: float, expires_at: float
) -> Body:
    """The body of `channel.subscription.new`, for one month, and of `channel.subscription.renewal`, for more."""
    return {
        "broadcaster": user_of(world, broadcaster_user_id),
        "subscriber": user_of(world, user_id),
        "duration": months,
        "created_at": rfc3339(created_at),
        "expires_at": rfc3339(expires_at),
    }


def gifted_subscriptions(
    world: World,
    broadcaster_user_id: int,
    user_id: int | None,
    giftees: Iterable[int],
    *,
    created_at: float,
    expires_at: float,
) -> Body:
    """The body of `channel.subscription.gifts`; the giver is anonymous if there is no `user_id`."""
    return {
        "broadcaster": user_of(world, broadcaster_user_id),
        "gifter": nobody() if user_id is None else user_of(world, user_id),
        "giftees": [user_of(world, giftee) for giftee in giftees],
        "created_at": rfc3339(created_at),
        "expires_at": rfc3339(expires_at),
    }


def redemption_updated(world: World, redemption: Redemption) -> Body:
    """The body of `channel.reward.redemption.updated`. Raises `KeyError` if its reward is not in the world."""
    reward = world.rewards[redemption.reward_id]
    return {
        "id": redemption.id,
        "user_input": redemption.user_input,
        "status": redemption.status,
        "redeemed_at": _milliseconds(redemption.redeemed_at),
        "reward": {
            "id": reward.id,
            "title": reward.title,
            "cost": reward.cost,
            "description": reward.description,
        },
        "redeemer": brief_user_of(world, redemption.user_id),
        "broadcaster": brief_user_of(world, reward.broadcaster_user_id),
    }


def livestream_status(
    world: World, user_id: int, title: str, *, started_at: float, ended_at: float | None = None
) -> Body:
    """The body of `livestream.status.updated`: it runs as long as there is no `ended_at`."""
    return {
        "broadcaster": user_of(world, user_id),
        "is_live": ended_at is None,
        "title": title,
        "started_at": rfc3339(started_at),
        "ended_at": None if ended_at is None else rfc3339(ended_at),
    }


def livestream_metadata(world: World, user_id: int) -> Body:
    """The body of `livestream.metadata.updated`, of the channel as it is. Raises `KeyError` for no such channel.

    Where nothing is live, Kick must have a language and a mark all the same; here they are `en` and false.
    """
    channel = world.channels[user_id]
    stream = channel.stream
    return {
        "broadcaster": user_of(world, user_id),
        "metadata": {
            "title": channel.title,
            "language": stream.language if stream else "en",
            "has_mature_content": stream.is_mature if stream else False,
            "category": category_within(world, channel.category_id),
        },
    }


def moderation_banned(world: World, ban: Ban) -> Body:
    """The body of `moderation.banned`."""
    return {
        "broadcaster": user_of(world, ban.broadcaster_user_id),
        "moderator": user_of(world, ban.moderator_user_id),
        "banned_user": user_of(world, ban.user_id),
        "metadata": {
            "reason": ban.reason,
            "created_at": rfc3339(ban.banned_at),
            "expires_at": None if ban.until is None else rfc3339(ban.until),
        },
    }


def kicks_gifted(world: World, gift: KicksGift, message: str = "") -> Body:
    """The body of `kicks.gifted`."""
    kind, tier, pinned = next(tier[1:] for tier in _TIERS if gift.amount >= tier[0])
    return {
        "broadcaster": brief_user_of(world, gift.broadcaster_user_id),
        "sender": brief_user_of(world, gift.user_id),
        "gift": {
            "amount": gift.amount,
            "name": _GIFTS.get(gift.amount, f"Sandbox gift of {gift.amount}"),
            "type": kind,
            "tier": tier,
            "message": message,
            "pinned_time_seconds": pinned,
        },
        "created_at": _milliseconds(gift.given_at),
    }


def drops_claim(claim: Claim) -> Body:
    """The body that an organization gets for a claim. There is no user in it but by id."""
    known: Body = {
        "claim_id": claim.claim_id,
        "user_id": claim.user_id,
        "campaign_id": claim.campaign_id,
        "reward_id": claim.reward_id,
    }
    return known if claim.external_id is None else {**known, "external_id": claim.external_id}


def _milliseconds(seconds: float) -> str:
    return f"{rfc3339_fine(seconds, 6)[:-4]}Z"
