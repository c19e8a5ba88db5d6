"""Every coroutine of `KickClient`, called as it is meant to be."""

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import anyio
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from interpreters.browser import Loopback
from interpreters.sandbox import approve, going_offline, with_app
from kickcore import Scope
from kickcore.api.channels import fetch_channel
from kickcore.api.users import fetch_user
from kickcore.effects import Program
from kickcore.errors import ClientClosed, LoginRequired

from .stages import CLAIM, MESSAGE, OTHER, OWNER, REWARD, Stage

Call: TypeAlias = Callable[[Stage], Awaitable[object]]


def of(method: str, *args: Any, **kwargs: Any) -> Call:
    """The method of that name with these arguments."""
    return lambda stage: getattr(stage.client, method)(*args, **kwargs)


async def _items(stage: Stage, method: str, count: int, **kwargs: Any) -> list[object]:
    """The first items of a flow, or all if there are not so many."""
    flow = getattr(stage.client, method)(**kwargs)
    found: list[object] = []
    while len(found) < count:
        try:
            found.append(await anext(flow))
        except StopAsyncIteration:
            break
    return found


def flow(method: str, count: int = 2, **kwargs: Any) -> Call:
    """The first items of the flow of that name."""
    return lambda stage: _items(stage, method, count, **kwargs)


def _redemptions(stage: Stage) -> list[str]:
    return list(stage.kick.world.redemptions)


async def _enroll(stage: Stage) -> None:
    stage.kick.world = going_offline(stage.kick.world, OWNER)
    await stage.client.enroll_in_ads()


async def _log_in(stage: Stage) -> object:
    async def paste(url: str) -> str:
        await checkpoint()
        return approve(url, stage.kick.handle)

    return await stage.client.authenticate(list(Scope), paste=paste)


async def _log_in_by_browser(stage: Stage) -> object:
    app = stage.kick.world.apps["sandbox-app"]
    port = free_port()
    stage.kick.world = with_app(stage.kick.world, replace(app, redirect_uris=(f"http://127.0.0.1:{port}/callback",)))

    async def open_url(url: str) -> bool:
        location = urlsplit(approve(url, stage.kick.handle))
        stage.send_visitor(lambda: _visit(port, f"{location.path}?{location.query}"))
        return True

    stage.client._live.browser = Loopback(open_url)
    return await stage.client.authenticate(list(Scope), port)


def free_port() -> int:
    """A port that nobody holds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _visit(port: int, target: str) -> None:
    """As a browser does, which may find nobody there any more."""
    with suppress(OSError, anyio.BrokenResourceError, anyio.EndOfStream):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            while True:
                _ = await stream.receive()


async def _log_out(stage: Stage) -> bool:
    stage.may_raise = (LoginRequired,)
    return await stage.client.logout()


def _story() -> Program[tuple[str, str | None]]:
    user = yield from fetch_user()
    channel = yield from fetch_channel(slug="xqc")
    return user.name, channel.stream_title


async def _keep_alive(stage: Stage) -> None:
    """Its first round, which ends by itself only when nothing is to be renewed any more."""
    with anyio.move_on_after(0.02):
        await stage.client.keep_alive()


async def _close(stage: Stage) -> None:
    stage.may_raise = (ClientClosed,)
    await stage.client.close()


async def _leave(stage: Stage) -> None:
    stage.may_raise = (ClientClosed,)
    await stage.client.__aexit__(None, None, None)


OPERATIONS: Final[dict[str, Call]] = {
    "fetch_user": of("fetch_user"),
    "fetch_users": of("fetch_users", [OWNER, OTHER]),
    "fetch_channel": of("fetch_channel", slug="xqc"),
    "fetch_channels": of("fetch_channels", user_ids=[OWNER, OTHER]),
    "update_channel": of("update_channel", stream_title="Anew"),
    "fetch_livestreams": of("fetch_livestreams", limit=2),
    "fetch_user_livestreams": of("fetch_user_livestreams", OWNER),
    "fetch_livestream_stats": of("fetch_livestream_stats"),
    "fetch_categories": of("fetch_categories", "gaming"),
    "send_chat_message": of("send_chat_message", "Hello!", broadcaster_user_id=OTHER),
    "delete_chat_message": of("delete_chat_message", MESSAGE),
    "ban_user": of("ban_user", OWNER, OTHER),
    "timeout_user": of("timeout_user", OWNER, OTHER, 10),
    "unban_user": of("unban_user", OWNER, OTHER),
    "fetch_channel_rewards": of("fetch_channel_rewards"),
    "create_channel_reward": of("create_channel_reward", 100, "Another"),
    "update_channel_reward": of("update_channel_reward", REWARD, cost=200),
    "delete_channel_reward": of("delete_channel_reward", REWARD),
    "fetch_reward_redemptions": of("fetch_reward_redemptions"),
    "accept_reward_redemptions": lambda stage: stage.client.accept_reward_redemptions(_redemptions(stage)),
    "reject_reward_redemptions": lambda stage: stage.client.reject_reward_redemptions(_redemptions(stage)),
    "fetch_kicks_leaderboard": of("fetch_kicks_leaderboard", 1),
    "fetch_ad_break_status": of("fetch_ad_break_status"),
    "create_ad_break": of("create_ad_break", 30),
    "enroll_in_ads": _enroll,
    "fetch_events_subscriptions": of("fetch_events_subscriptions"),
    "subscribe_to_events": of("subscribe_to_events", ["chat.message.sent", "kicks.gifted"], OWNER),
    "subscribe_to_event": of("subscribe_to_event", "chat.message.sent", OWNER),
    "unsubscribe_from_events": of("unsubscribe_from_events", [REWARD, CLAIM]),
    "unsubscribe_from_event": of("unsubscribe_from_event", REWARD),
    "fetch_public_key": of("fetch_public_key"),
    "fetch_drops_claims": of("fetch_drops_claims"),
    "update_drops_claims": of("update_drops_claims", {CLAIM: "processed"}),
    "introspect_token": of("introspect_token", use_user_token=True),
    "fetch_livestream": of("fetch_livestream", OWNER),
    "fetch_livestreams_v1": of("fetch_livestreams_v1"),
    "search_categories_v1": of("search_categories_v1", "gaming"),
    "fetch_category": of("fetch_category", 101),
    "introspect_token_v1": of("introspect_token_v1", use_user_token=True),
}
"""What asks Kick one thing."""

OTHERS: Final[dict[str, Call]] = {
    "livestreams": flow("livestreams", limit=1),
    "categories": flow("categories", limit=1),
    "reward_redemptions": flow("reward_redemptions"),
    "drops_claims": flow("drops_claims", limit=1),
    "authenticate": _log_in,
    "authenticate by the browser": _log_in_by_browser,
    "logout": _log_out,
    "run": lambda stage: stage.client.run(_story()),
    "keep_alive": _keep_alive,
    "close": _close,
    "__aexit__": _leave,
}
"""Flows, and what is about tokens and the client itself."""

CALLS: Final = OPERATIONS | OTHERS
