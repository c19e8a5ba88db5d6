"""Moderation: ban, time out, let back in."""

from typing import Final

import msgspec

from kickcore.api.call import USER, Call, call
from kickcore.api.inputs import checked_id, checked_range, checked_text
from kickcore.effects import Program
from kickcore.oauth.scopes import NEEDS, Needs

LONGEST_TIMEOUT: Final = 10080
"""Minutes: seven days."""
REASON_LENGTH: Final = 100
"""Code points of a reason."""


def ban_user(
    broadcaster_user_id: int, user_id: int, *, duration: int | None = None, reason: str | None = None
) -> Program[None]:
    """Ban a user from a channel for good, or with a `duration` of 1 to 10080 minutes (seven days) for that long.

    The token's user must own or moderate the channel of `broadcaster_user_id`. `reason` has at most 100 characters
    (code points). User token with `moderation:ban`. Raises `InvalidInput`, `Forbidden`, `HTTPError`, `NetworkError`,
    `TokenError`. Kick: POST /public/v1/moderation/bans.
    """
    body = _members(broadcaster_user_id, user_id)
    if duration is not None:
        body["duration"] = _minutes(duration)
    yield from call(_ban(body, reason, NEEDS["ban_user"]))


def timeout_user(broadcaster_user_id: int, user_id: int, duration: int, *, reason: str | None = None) -> Program[None]:
    """Keep a user out of a channel's chat for a `duration` of 1 to 10080 minutes (seven days).

    The token's user must own or moderate the channel of `broadcaster_user_id`. `reason` has at most 100 characters
    (code points). User token with `moderation:ban`. Raises `InvalidInput`, `Forbidden`, `HTTPError`, `NetworkError`,
    `TokenError`. Kick: POST /public/v1/moderation/bans.
    """
    # `ban_user` would take None for a ban without end.
    body = _members(broadcaster_user_id, user_id) | {"duration": _minutes(duration)}
    yield from call(_ban(body, reason, NEEDS["timeout_user"]))


def unban_user(broadcaster_user_id: int, user_id: int) -> Program[None]:
    """Lift the ban or the timeout of a user in a channel.

    The token's user must own or moderate the channel of `broadcaster_user_id`. User token with `moderation:ban`.
    Raises `InvalidInput`, `Forbidden`, `HTTPError`, `NetworkError`, `TokenError`.
    Kick: DELETE /public/v1/moderation/bans.
    """
    asked = Call(
        operation="DELETE /public/v1/moderation/bans",
        answer=type(None),
        tokens=USER,
        needs=NEEDS["unban_user"],
        body=msgspec.json.encode(_members(broadcaster_user_id, user_id)),
    )
    yield from call(asked)


def _ban(body: dict[str, object], reason: str | None, needs: Needs) -> Call[None]:
    if reason is not None:
        body["reason"] = checked_text("reason", reason, 0, REASON_LENGTH)
    return Call(
        operation="POST /public/v1/moderation/bans",
        answer=type(None),
        tokens=USER,
        needs=needs,
        body=msgspec.json.encode(body),
    )


def _members(broadcaster_user_id: int, user_id: int) -> dict[str, object]:
    return {
        "broadcaster_user_id": checked_id("broadcaster_user_id", broadcaster_user_id),
        "user_id": checked_id("user_id", user_id),
    }


def _minutes(duration: int) -> int:
    return checked_range("duration", duration, 1, LONGEST_TIMEOUT)
