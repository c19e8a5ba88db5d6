"""What a user token may do: Kick's scopes, what needs which, and checks before anything is sent."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, TypeAlias, cast

from kickcore.errors import ConfigError


class Scope(StrEnum):
    """The scopes that Kick documents. Others that Kick may add are kept as plain text.

    App tokens carry no scopes; they reach public data only.
    """

    USER_READ = "user:read"
    CHANNEL_READ = "channel:read"
    CHANNEL_WRITE = "channel:write"
    CHANNEL_REWARDS_READ = "channel:rewards:read"
    CHANNEL_REWARDS_WRITE = "channel:rewards:write"
    CHAT_WRITE = "chat:write"
    STREAMKEY_READ = "streamkey:read"
    EVENTS_SUBSCRIBE = "events:subscribe"
    MODERATION_BAN = "moderation:ban"
    MODERATION_CHAT_MESSAGE_MANAGE = "moderation:chat_message:manage"
    KICKS_READ = "kicks:read"
    ADS_READ = "ads:read"
    ADS_WRITE = "ads:write"


Needs: TypeAlias = tuple[frozenset[Scope], ...]
"""A requirement on scopes: of every group, any one."""

# RFC 6749, section 3.3: printable ASCII but for space, quote and backslash.
_SCOPE: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+\Z", re.ASCII)


def any_of(*scopes: Scope) -> Needs:
    """The requirement that one of these is granted."""
    return (frozenset(scopes),)


_REWARDS: Final = any_of(Scope.CHANNEL_REWARDS_READ, Scope.CHANNEL_REWARDS_WRITE)
_ADS: Final = any_of(Scope.ADS_READ, Scope.ADS_WRITE)

NEEDS: Final[Mapping[str, Needs]] = {
    "fetch_user": any_of(Scope.USER_READ),
    "fetch_users": any_of(Scope.USER_READ),
    "fetch_channel": any_of(Scope.CHANNEL_READ),
    "fetch_channels": any_of(Scope.CHANNEL_READ),
    "update_channel": any_of(Scope.CHANNEL_WRITE),
    "fetch_channel_rewards": _REWARDS,
    "create_channel_reward": any_of(Scope.CHANNEL_REWARDS_WRITE),
    "update_channel_reward": any_of(Scope.CHANNEL_REWARDS_WRITE),
    "delete_channel_reward": any_of(Scope.CHANNEL_REWARDS_WRITE),
    "fetch_reward_redemptions": _REWARDS,
    "accept_reward_redemptions": any_of(Scope.CHANNEL_REWARDS_WRITE),
    "reject_reward_redemptions": any_of(Scope.CHANNEL_REWARDS_WRITE),
    "send_chat_message": any_of(Scope.CHAT_WRITE),
    "delete_chat_message": any_of(Scope.MODERATION_CHAT_MESSAGE_MANAGE),
    "ban_user": any_of(Scope.MODERATION_BAN),
    "timeout_user": any_of(Scope.MODERATION_BAN),
    "unban_user": any_of(Scope.MODERATION_BAN),
    "fetch_kicks_leaderboard": any_of(Scope.KICKS_READ),
    "fetch_events_subscriptions": any_of(Scope.EVENTS_SUBSCRIBE),
    "subscribe_to_events": any_of(Scope.EVENTS_SUBSCRIBE),
    "subscribe_to_event": any_of(Scope.EVENTS_SUBSCRIBE),
    "unsubscribe_from_events": any_of(Scope.EVENTS_SUBSCRIBE),
    "unsubscribe_from_event": any_of(Scope.EVENTS_SUBSCRIBE),
    "fetch_ad_break_status": _ADS,
    "create_ad_break": any_of(Scope.ADS_WRITE),
    "enroll_in_ads": any_of(Scope.ADS_WRITE),
}
"""What a user token must have been granted for each method; methods that are not here need no scope.

An app token carries none and is not held to them.
"""


def missing_scopes(needs: Needs, granted: Iterable[str]) -> Needs:
    """The groups of `needs` of which nothing is granted: empty when all is well."""
    held = frozenset(granted)
    return tuple(group for group in needs if not group & held)


def scope_text(groups: Needs) -> str:
    """A requirement for people: "chat:write", or "ads:read or ads:write"."""
    return ", ".join(" or ".join(sorted(group)) for group in groups)


def parse_scope(text: str) -> tuple[str, ...]:
    """The scopes of a `scope` member: separated by spaces, in order, each once, unknown ones as they are."""
    return tuple(dict.fromkeys(text.split()))


def checked_scopes(scopes: object, *, known_only: bool = True) -> tuple[str, ...]:
    """The scopes to ask for, each once, in order. Raises `ConfigError` for none, and for what is no scope.

    With `known_only`, a scope that `Scope` does not list is refused too, with the likely one named: a misspelt scope
    would end as a page of Kick's that says nothing.
    """
    if isinstance(scopes, str):
        raise ConfigError(
            f"scopes is a list of scopes, not one text; write scopes=[{', '.join(map(repr, parse_scope(scopes)))}]"
        )
    if not isinstance(scopes, Iterable):
        raise ConfigError(f"scopes is a list of scopes, not {type(scopes).__name__}")
    asked = tuple(dict.fromkeys(str(scope) for scope in cast("Iterable[object]", scopes)))
    if not asked:
        raise ConfigError("scopes is empty; name at least one, for example scopes=[Scope.CHAT_WRITE]")
    known = {str(scope) for scope in Scope}
    for scope in asked:
        if not _SCOPE.match(scope):
            raise ConfigError(f"{scope[:40]!r} is not a scope (RFC 6749, section 3.3)")
        if known_only and scope not in known:
            raise ConfigError(f"{scope[:60]!r} is not a scope of Kick's; those are {', '.join(sorted(known))}")
    return asked
