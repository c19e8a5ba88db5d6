"""What every method of `KickClient` asks of Kick: one table, which the contract tests go through."""

import json
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar
from warnings import catch_warnings, simplefilter

from strategies import PAYLOADS
from worlds import World, user_world

from interpreters.flow import Flow
from kickcore import KickClient
from kickcore.effects import Program
from kickcore.http import Response
from kickcore.oauth.login import authenticate
from kickcore.oauth.scopes import Scope
from kickcore.policy import Policy

T = TypeVar("T")

EVERY_SCOPE = " ".join(Scope)
UUID = "123e4567-e89b-12d3-a456-426614174000"
MESSAGE = "5138d04d-68f8-4eca-aa65-93123f6f97fe"
ULID = "01HZ8X9K2M4N6P8Q0R2S4T6V8W"
CLAIM = "01KAAFHJ2PNXS48NG8XXPGWKCZ"
REDEMPTIONS = ["01KEWZ2RKYZZFGD154K50Y3F8D", "01KEWZ2YC27070XWMHKFJR6C87"]
REWARD: dict[str, Any] = {
    "background_color": "#00e701",
    "cost": 100,
    "description": "Request a song by providing a URL",
    "is_enabled": True,
    "is_user_input_required": True,
    "should_redemptions_skip_request_queue": True,
    "title": "Song Request",
}


class Row(NamedTuple):
    """One way to call a method.

    `operations` are the ids of the operations of `openapi.yaml` that it asks for, in order, if all tokens are held.
    `answers` are the files of `payloads/responses` that it can read, and `body` is the one of `payloads/requests` that
    it sends, all without their ending.
    """

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    operations: tuple[str, ...]
    answers: tuple[str, ...] = ()
    body: str = ""

    def __str__(self) -> str:
        texts = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.method}({', '.join(texts):.80})"


def given(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, as they are written."""
    return args, kwargs


def _row(method: str, arguments: Any, operations: str, *answers: str, body: str = "") -> Row:
    return Row(method, *arguments, tuple(operations.split()), answers, body)


LOCAL = {"run", "close", "as_user", "set_user_token", "keep_alive", "recording", "replaying", "with_session"}
"""The methods of `KickClient` that ask Kick for nothing of their own."""
PAGED = {"livestreams", "categories", "reward_redemptions", "drops_claims"}
"""Those that go through all pages; their parameters are those of the method that fetches one."""

_CHANNELS = "get-public-v1-channels"
_BANS = "post-public-v1-moderation-bans"
_EVENTS = "post-public-v1-events-subscriptions"
_LIVE = "get-public-v1-users-livestreams"
_LIVE_PAGES = ("get-public-v2-livestreams", "get-public-v2-livestreams.last-page")
_LIVE_V1 = "get-public-v1-livestreams"
_REWARDS = "get-public-v1-channels-rewards"
_REDEMPTIONS = "get-public-v1-channels-rewards-redemptions"
_DECIDED = "post-public-v1-channels-rewards-redemptions-"
_INTROSPECTED = "post-oauth-token-introspect"

ROWS: list[Row] = [
    # Users, channels, livestreams, categories
    _row("fetch_user", given(), "getUsers", "get-public-v1-users.own"),
    _row("fetch_user", given(4809577), "getUsers", "get-public-v1-users.by-id"),
    _row("fetch_users", given([4809577, 2408714]), "getUsers", "get-public-v1-users.by-id"),
    _row("fetch_users", given(range(1, 121)), "getUsers getUsers getUsers"),
    _row("fetch_channel", given(), "getChannels", f"{_CHANNELS}.own-live", f"{_CHANNELS}.app-live"),
    _row("fetch_channel", given(4809577), "getChannels", f"{_CHANNELS}.offline"),
    _row("fetch_channel", given(slug="Scorfly"), "getChannels", f"{_CHANNELS}.app-live"),
    _row("fetch_channels", given(user_ids=[721956, 4809577]), "getChannels", f"{_CHANNELS}.app-live"),
    _row("fetch_channels", given(user_ids=range(1, 52)), "getChannels getChannels"),
    _row("fetch_channels", given(slugs=["scorfly", "x" * 25]), "getChannels", f"{_CHANNELS}.none-found"),
    _row("fetch_channels", given(slugs=[f"slug-{n}" for n in range(51)]), "getChannels getChannels"),
    _row(
        "update_channel",
        given(category_id=15, stream_title="My first stream", custom_tags=["tag1", "tag2"]),
        "patchChannels",
        body="patch-public-v1-channels",
    ),
    _row("update_channel", given(custom_tags=[]), "patchChannels"),
    _row("fetch_livestreams", given(), "getLivestreamsV2", *_LIVE_PAGES),
    _row(
        "fetch_livestreams",
        given(category_ids=range(1, 26), language_codes=["en", "pt-BR"], limit=1000, cursor="eyJjIjoxMH0="),
        "getLivestreamsV2",
    ),
    _row("livestreams", given(category_ids=[15, 101], language_codes=["en"], limit=1), "getLivestreamsV2"),
    _row("fetch_user_livestreams", given(123), "getUsersLivestreams", _LIVE, f"{_LIVE}.none-live"),
    _row("fetch_user_livestreams", given(range(1, 202)), " ".join(["getUsersLivestreams"] * 3)),
    _row("fetch_livestream_stats", given(), "getLivestreamsStats", "get-public-v1-livestreams-stats"),
    _row("fetch_categories", given(), "getCategoriesV2", "get-public-v2-categories"),
    _row(
        "fetch_categories",
        given(
            "chat ting", name=["Ünter & Über", "a+b"], tag=["fps", "mmo"], category_id=[1, 15], cursor="eyJj=", limit=1
        ),
        "getCategoriesV2",
    ),
    _row("categories", given("chatting", category_id=[15]), "getCategoriesV2"),
    # Chat, moderation
    _row(
        "send_chat_message",
        given("Hello world", broadcaster_user_id=123456, message_type="user", reply_to_message_id=MESSAGE),
        "sendChatMessage",
        "post-public-v1-chat",
        body="post-public-v1-chat.user",
    ),
    _row("send_chat_message", given("Hello world"), "sendChatMessage", body="post-public-v1-chat.bot"),
    _row("send_chat_message", given("😀" * 500, broadcaster_user_id=2**64 - 1, message_type="bot"), "sendChatMessage"),
    _row("delete_chat_message", given(MESSAGE), "deleteChatMessage"),
    _row("ban_user", given(123, 456, reason="spam"), "banUser", _BANS, body=f"{_BANS}.permanent"),
    _row("ban_user", given(123, 456), "banUser", _BANS),
    _row("ban_user", given(123, 456, duration=10080), "banUser", _BANS),
    _row("timeout_user", given(123, 456, 10, reason="spam"), "banUser", _BANS, body=f"{_BANS}.timeout"),
    _row(
        "unban_user",
        given(123, 456),
        "unbanUser",
        "delete-public-v1-moderation-bans",
        body="delete-public-v1-moderation-bans",
    ),
    # Channel rewards, KICKs, ads
    _row("fetch_channel_rewards", given(), "getChannelRewards", _REWARDS, f"{_REWARDS}.empty"),
    _row(
        "create_channel_reward",
        given(**REWARD),
        "createChannelReward",
        "post-public-v1-channels-rewards",
        body="post-public-v1-channels-rewards",
    ),
    _row("create_channel_reward", given(1, "x" * 50), "createChannelReward"),
    _row(
        "update_channel_reward",
        given(ULID, cost=200, is_paused=True, title="Updated Reward"),
        "updateChannelReward",
        "patch-public-v1-channels-rewards-id",
        body="patch-public-v1-channels-rewards-id",
    ),
    _row("update_channel_reward", given("a/b?c", is_paused=False, **REWARD), "updateChannelReward"),
    _row("delete_channel_reward", given(ULID), "deleteChannelReward"),
    _row("fetch_reward_redemptions", given(), "getRewardRedemptions", _REDEMPTIONS),
    _row(
        "fetch_reward_redemptions",
        given(reward_id=ULID, status="accepted", cursor="a=&b"),
        "getRewardRedemptions",
    ),
    _row("fetch_reward_redemptions", given(ids=REDEMPTIONS, cursor="c"), "getRewardRedemptions"),
    _row("reward_redemptions", given(status="rejected"), "getRewardRedemptions", _REDEMPTIONS),
    _row(
        "accept_reward_redemptions",
        given(REDEMPTIONS),
        "acceptRewardRedemptions",
        f"{_DECIDED}accept",
        f"{_DECIDED}accept.partial",
        body=f"{_DECIDED}accept",
    ),
    _row(
        "reject_reward_redemptions",
        given(REDEMPTIONS),
        "rejectRewardRedemptions",
        f"{_DECIDED}reject",
        body=f"{_DECIDED}accept",
    ),
    _row("fetch_kicks_leaderboard", given(100), "getKicksLeaderboard", "get-public-v1-kicks-leaderboard"),
    _row("fetch_ad_break_status", given(), "getAdBreakStatus", "get-public-v1-ads-ad-break-status"),
    _row("create_ad_break", given(300), "createAdBreak"),
    _row(
        "create_ad_break",
        given(30, ad_break_id=UUID),
        "createAdBreak",
        "post-public-v1-ads-ad-break",
        body="post-public-v1-ads-ad-break",
    ),
    _row("enroll_in_ads", given(), "enrollInAds", "post-public-v1-ads-enroll"),
    # Events, drops
    _row(
        "fetch_events_subscriptions",
        given(),
        "getEventSubscriptions",
        "get-public-v1-events-subscriptions",
        "get-public-v1-events-subscriptions.empty",
    ),
    _row("fetch_events_subscriptions", given(721956), "getEventSubscriptions", "get-public-v1-events-subscriptions"),
    _row(
        "subscribe_to_events",
        given(["chat.message.sent", "channel.followed"], 721956),
        "createEventSubscriptions",
        _EVENTS,
        body=f"{_EVENTS}.app",
    ),
    _row(
        "subscribe_to_event",
        given("chat.message.sent"),
        "createEventSubscriptions",
        _EVENTS,
        body=f"{_EVENTS}.user",
    ),
    _row("subscribe_to_event", given("kicks.gifted", 1), "createEventSubscriptions"),
    _row("unsubscribe_from_events", given([ULID, CLAIM]), "deleteEventSubscriptions"),
    _row("unsubscribe_from_event", given(ULID), "deleteEventSubscriptions"),
    _row("fetch_public_key", given(), "getPublicKey", "get-public-v1-public-key"),
    _row("fetch_drops_claims", given(), "getDropsClaims", "get-public-v1-drops-claims"),
    _row(
        "fetch_drops_claims",
        given(campaign_id=ULID, limit=1000, cursor=CLAIM, user_id=1234, claim_id=CLAIM, external_status="all & done"),
        "getDropsClaims",
    ),
    _row("drops_claims", given(campaign_id=ULID), "getDropsClaims"),
    _row(
        "update_drops_claims",
        given({CLAIM: "processed", "01KAAFHJ2PNXS48NG8XXPGWKCA": "initiated"}),
        "updateDropsClaims",
        body="patch-public-v1-drops-claims",
    ),
    # Tokens
    _row("introspect_token", given(), "introspectToken", f"{_INTROSPECTED}.active-app"),
    _row("introspect_token", given(use_user_token=True), "introspectToken", f"{_INTROSPECTED}.active-user"),
    _row("logout", given(), "revokeToken revokeToken"),
    _row("authenticate", given(list(Scope), port=8080, timeout=60), "authorize createToken"),
    _row("authenticate", given(["chat:write"], redirect_uri="http://localhost:4000/back"), "authorize createToken"),
    # What Kick has deprecated
    _row("fetch_livestream", given(30111), "getLivestreams", _LIVE_V1),
    _row("fetch_livestreams_v1", given(), "getLivestreams", _LIVE_V1, f"{_LIVE_V1}.empty"),
    _row(
        "fetch_livestreams_v1",
        given(broadcaster_user_ids=range(1, 51), category_id=15, language="en", limit=100, sort="started_at"),
        "getLivestreams",
    ),
    _row("search_categories_v1", given("old & school", 2), "searchCategories", "get-public-v1-categories"),
    _row("fetch_category", given(101), "getCategory", "get-public-v1-categories-id"),
    _row("introspect_token_v1", given(), "introspectTokenV1", "post-public-v1-token-introspect"),
    _row("introspect_token_v1", given(use_user_token=True), "introspectTokenV1"),
]


class _Caller:
    """What a method of `KickClient` needs of its client: whatever runs programs."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def run(self, program: Program[T]) -> T:
        return self._world.run(program)


def carried_out(row: Row, world: World) -> Any:
    """What the method of `KickClient` itself gives in a world; of many pages, the items of all."""
    if row.method == "authenticate":
        return world.run(authenticate(*row.args, **row.kwargs))
    with catch_warnings():
        simplefilter("ignore", DeprecationWarning)
        made = getattr(KickClient, row.method)(_Caller(world), *row.args, **row.kwargs)
        return _finished(_all(made) if isinstance(made, Flow) else made)


async def _all(flow: Flow[T]) -> list[T]:
    return [item async for item in flow]


def _finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """A world answers at once, so nothing ever waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("something waited")


def full_world(policy: Policy | None = None) -> World:
    """A world in which all tokens are held and everything is granted."""
    world = user_world(policy=policy)
    world.kick.scope = EVERY_SCOPE
    world.log_in(scope=EVERY_SCOPE)
    # The public key is given to everybody.
    world.kick.living.add("")
    return world


def answering(body: object, policy: Policy | None = None, status: int = 200) -> World:
    """A full world in which every call is answered by this JSON (or by these octets)."""
    world = full_world(policy)
    response = Response(status, (), body if isinstance(body, bytes) else json.dumps(body).encode())
    world.kick.api = lambda _: response
    # The identity host is asked to introspect and for nothing else, because all tokens are held.
    world.kick.scripted.append(response)
    return world


def sample(name: str, folder: str = "responses") -> Any:
    """An example body, read afresh."""
    return json.loads((PAYLOADS / folder / f"{name}.json").read_bytes())


def listed(folder: str) -> set[str]:
    """The names of all example bodies of a folder."""
    return {path.name.removesuffix(".json") for path in (PAYLOADS / folder).iterdir()}


ANSWERED = [(row, name) for row in ROWS for name in row.answers]
"""Every row with every example that it can read."""
