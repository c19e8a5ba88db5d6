"""Building worlds: each function takes a world and gives the next one, so that they chain."""

from typing import TypedDict, Unpack

from msgspec.structs import replace

from interpreters.sandbox.minting import mint_ulid, mint_uuid
from interpreters.sandbox.records import Ads, Claim, KicksGift, Redemption, Reward
from interpreters.sandbox.rules import Rotation, Rules
from interpreters.sandbox.world import Access, Category, Channel, RegisteredApp, Stream, User, World


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
    return with_channel(world, live)


def going_offline(world: World, user_id: int) -> World:
    """The world in which a user's stream has ended: the title stays, category and tags go, as Kick shows it."""
    channel = replace(world.channels[user_id], stream=None, category_id=None, custom_tags=(), has_streamed=True)
    return with_channel(world, channel)


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
    return replace(world, redemptions={**world.redemptions, redemption_id: redemption})


def gifting_kicks(world: World, broadcaster_user_id: int, user_id: int, amount: int, *, at: float) -> World:
    """The world in which a user gave KICKs to a channel at `at` (epoch seconds)."""
    return replace(world, gifts=(*world.gifts, KicksGift(broadcaster_user_id, user_id, amount, at)))


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
