"""Building worlds: each function takes a world and gives the next one, so that they chain.

What happens in a channel is also told by webhook, to every app that has subscribed to it by then (`World.due`).
"""

from collections.abc import Iterable
from typing import Final, TypedDict, Unpack

from msgspec.structs import replace

from interpreters.sandbox.minting import mint_ulid, mint_uuid
from interpreters.sandbox.payloads import (
    channel_followed,
    channel_subscription,
    drops_claim,
    gifted_subscriptions,
    kicks_gifted,
    livestream_status,
    moderation_banned,
    redemption_updated,
)
from interpreters.sandbox.records import Ads, Ban, Claim, KicksGift, Redemption, Reward, Subscription
from interpreters.sandbox.rules import DeliveryFaults, Rotation, Rules
from interpreters.sandbox.telling import claim_told, told
from interpreters.sandbox.world import Access, Category, Channel, RegisteredApp, Stream, User, World
from kickcore.api.events import EventName

MONTH: Final = 30 * 86_400.0
"""Seconds of a month of a channel subscription. Kick counts by calendar; here all are equally long."""
HOUR: Final = 3_600.0


class Settings(TypedDict, total=False):
    """The members of `Rules`, as keyword arguments; what each means is said there."""

    user_life: float
    app_life: float
    refresh_life: float
    code_life: float
    rotation: Rotation
    grace_seconds: float
    refresh_ends_access: bool
    invalid_grant_status: int
    unknown_slug_fails: bool
    rewrites_loopback: bool
    subscription_limit: int
    chat_subscription_limit: int
    subscription_lag: float
    failing_events: tuple[str, ...]
    failing_redemptions: tuple[str, ...]
    redemption_page: int
    ad_break_status: int
    rate_limit: int | None
    retry_after: bool
    firewall_every: int | None
    fail_every: int | None
    extra_members: bool
    deliveries: DeliveryFaults


def with_rules(world: World, **settings: Unpack[Settings]) -> World:
    """The world under other rules."""
    rules: Rules = replace(world.rules, **settings)
    return replace(world, rules=rules)


def with_app(world: World, app: RegisteredApp) -> World:
    """The world with an app, or with other settings for an app that is there."""
    return replace(world, apps={**world.apps, app.client_id: app})


def with_user(world: World, user: User, channel: Channel | None = None) -> World:
    """The world with a user and, if given, their channel; both replace what was there."""
    world = replace(world, users={**world.users, user.user_id: user})
    return world if channel is None else with_channel(world, channel)


def with_channel(world: World, channel: Channel) -> World:
    """The world with a channel, or with another state of a channel that is there."""
    return replace(world, channels={**world.channels, channel.broadcaster_user_id: channel})


def with_category(world: World, category: Category) -> World:
    """The world with a category."""
    return replace(world, categories={**world.categories, category.id: category})


def with_subscriptions(
    world: World, broadcaster_user_id: int, *events: str, client_id: str | None = None, at: float = 0.0
) -> World:
    """The world in which an app has subscribed to events of a channel, or to all ten if none is named.

    The app is the first unless given. What happened before is not told.
    """
    app = client_id or next(iter(world.apps))
    for event in events or tuple(EventName):
        world, subscription_id = mint_ulid(world, "subscription", at)
        made = Subscription(subscription_id, app, broadcaster_user_id, str(event), at)
        world = replace(world, subscriptions={**world.subscriptions, subscription_id: made})
    return world


def without_subscriptions(world: World, client_id: str | None = None) -> World:
    """The world in which an app, the first unless given, has switched webhooks off: Kick ends all its subscriptions."""
    app = client_id or next(iter(world.apps))
    left = {text: held for text, held in world.subscriptions.items() if held.client_id != app}
    return replace(world, subscriptions=left)


def going_live(
    world: World,
    user_id: int,
    *,
    at: float,
    title: str | None = None,
    category_id: int | None = None,
    viewers: int = 0,
    language: str = "en",
    is_mature: bool = False,
) -> World:
    """The world in which a user's channel is live since `at` (epoch seconds). Raises `KeyError` for no such channel.

    Title and category stay what they were where none is given; the stream gets a new id.
    """
    channel = world.channels[user_id]
    world, stream_id = mint_uuid(world, "livestream")
    thumbnail = f"https://images.kick.com/video_thumbnails/{channel.slug}/480.webp"
    live = replace(
        channel,
        title=channel.title if title is None else title,
        category_id=channel.category_id if category_id is None else category_id,
        stream=Stream(stream_id, at, viewers, language, is_mature, thumbnail),
        has_streamed=True,
    )
    body = livestream_status(world, user_id, live.title, started_at=at)
    return told(with_channel(world, live), EventName.LIVESTREAM_STATUS_UPDATED, user_id, body, at)


def going_offline(world: World, user_id: int, *, at: float | None = None) -> World:
    """The world in which a user's stream has ended: the title stays, category and tags go, as Kick shows it.

    `at` is when it ended, in epoch seconds; without it, an hour after it began.
    """
    before = world.channels[user_id]
    channel = replace(before, stream=None, category_id=None, custom_tags=(), has_streamed=True)
    world = with_channel(world, channel)
    if before.stream is None:
        return world
    began = before.stream.started_at
    ended = began + HOUR if at is None else at
    body = livestream_status(world, user_id, channel.title, started_at=began, ended_at=ended)
    return told(world, EventName.LIVESTREAM_STATUS_UPDATED, user_id, body, ended)


def following(world: World, broadcaster_user_id: int, user_id: int, *, at: float) -> World:
    """The world in which a user has begun to follow a channel at `at` (epoch seconds)."""
    body = channel_followed(world, broadcaster_user_id, user_id)
    return told(world, EventName.CHANNEL_FOLLOWED, broadcaster_user_id, body, at)


def subscribing(world: World, broadcaster_user_id: int, user_id: int, *, at: float) -> World:
    """The world in which a user has subscribed to a channel at `at` (epoch seconds), for a month.

    Raises `KeyError` for no such channel.
    """
    channel = world.channels[broadcaster_user_id]
    world = with_channel(world, replace(channel, subscribers=channel.subscribers + 1))
    body = channel_subscription(world, broadcaster_user_id, user_id, 1, created_at=at, expires_at=at + MONTH)
    return told(world, EventName.CHANNEL_SUBSCRIPTION_NEW, broadcaster_user_id, body, at)


def renewing(world: World, broadcaster_user_id: int, user_id: int, months: int = 2, *, at: float) -> World:
    """The world in which a user's subscription to a channel was renewed at `at` (epoch seconds).

    `months` is for how many it will have lasted; in what is told, the first of them begins the subscription.
    """
    began = at - (months - 1) * MONTH
    body = channel_subscription(world, broadcaster_user_id, user_id, months, created_at=began, expires_at=at + MONTH)
    return told(world, EventName.CHANNEL_SUBSCRIPTION_RENEWAL, broadcaster_user_id, body, at)


def gifting_subscriptions(
    world: World, broadcaster_user_id: int, user_id: int | None, giftees: Iterable[int], *, at: float
) -> World:
    """The world in which a user has given subscriptions to others at `at` (epoch seconds); None is somebody anonymous.

    Raises `KeyError` for no such channel.
    """
    channel, given = world.channels[broadcaster_user_id], tuple(giftees)
    counted = replace(
        channel,
        subscribers=channel.subscribers + len(given),
        gifted_subscribers=channel.gifted_subscribers + len(given),
    )
    world = with_channel(world, counted)
    body = gifted_subscriptions(world, broadcaster_user_id, user_id, given, created_at=at, expires_at=at + MONTH)
    return told(world, EventName.CHANNEL_SUBSCRIPTION_GIFTS, broadcaster_user_id, body, at)


def banning(world: World, ban: Ban) -> World:
    """The world in which somebody is banned from a channel, whatever ban there was."""
    world = replace(world, bans={**world.bans, (ban.broadcaster_user_id, ban.user_id): ban})
    body = moderation_banned(world, ban)
    return told(world, EventName.MODERATION_BANNED, ban.broadcaster_user_id, body, ban.banned_at)


def with_reward(world: World, reward: Reward) -> World:
    """The world with a channel reward, or with another state of one that is there."""
    return replace(world, rewards={**world.rewards, reward.id: reward})


def redeemed(world: World, reward_id: str, user_id: int, user_input: str = "", *, at: float) -> World:
    """The world in which a user took a reward at `at` (epoch seconds); it is the last of `World.redemptions`.

    A reward that skips the queue is accepted at once. Raises `KeyError` for no such reward.
    """
    reward = world.rewards[reward_id]
    world, redemption_id = mint_ulid(world, "redemption", at)
    status = "accepted" if reward.skips_queue else "pending"
    redemption = Redemption(redemption_id, reward_id, user_id, user_input, at, status)
    return decided(world, redemption, at=at)


def decided(world: World, redemption: Redemption, *, at: float) -> World:
    """The world with a redemption in a new state, or a new one, since `at` (epoch seconds)."""
    world = replace(world, redemptions={**world.redemptions, redemption.id: redemption})
    channel = world.rewards[redemption.reward_id].broadcaster_user_id
    body = redemption_updated(world, redemption)
    return told(world, EventName.CHANNEL_REWARD_REDEMPTION_UPDATED, channel, body, at)


def gifting_kicks(
    world: World, broadcaster_user_id: int, user_id: int, amount: int, message: str = "", *, at: float
) -> World:
    """The world in which a user gave KICKs to a channel at `at` (epoch seconds)."""
    gift = KicksGift(broadcaster_user_id, user_id, amount, at)
    body = kicks_gifted(world, gift, message)
    return told(replace(world, gifts=(*world.gifts, gift)), EventName.KICKS_GIFTED, broadcaster_user_id, body, at)


def claiming(
    world: World, user_id: int, campaign_id: str, reward_id: str, external_id: str | None = None, *, at: float
) -> World:
    """The world in which a user has claimed a drop at `at` (epoch seconds); it is the last of `World.claims`.

    Every app of an organization is told.
    """
    world, claim_id = mint_ulid(world, "claim", at)
    claim = Claim(claim_id, user_id, campaign_id, reward_id, at, at, external_id)
    return claim_told(with_claim(world, claim), drops_claim(claim), at)


def with_claim(world: World, claim: Claim) -> World:
    """The world with a claim of a drop, or with another state of one that is there."""
    return replace(world, claims={**world.claims, claim.claim_id: claim})


def with_ads(world: World, ads: Ads) -> World:
    """The world with a channel's ads in another state."""
    return replace(world, ads={**world.ads, ads.broadcaster_user_id: ads})


def with_access_expired(world: World, now: float) -> World:
    """The world in which every access token has come to its end by `now`; refresh tokens live on."""
    ended: dict[str, Access] = {
        text: replace(held, expires_at=min(now, held.expires_at)) for text, held in world.access.items()
    }
    return replace(world, access=ended)


def with_nothing_issued(world: World) -> World:
    """The world in which no token and no code is good: as if every user had disconnected the app."""
    return replace(world, access={}, refresh={}, codes={})
