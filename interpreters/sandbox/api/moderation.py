"""Bans and time-outs (reference 6.5), and whom they keep from chatting."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from interpreters.sandbox.building import banning
from interpreters.sandbox.reading import body_as
from interpreters.sandbox.records import Ban
from interpreters.sandbox.wire import FORBIDDEN, INVALID, NOT_FOUND, Incoming, Refusal, Step, ok
from interpreters.sandbox.world import World

LONGEST: Final = 10_080
"""Minutes of a time-out: a week."""

_Id = Annotated[int, Meta(ge=1)]


class NewBan(Struct, frozen=True):
    """The body of a POST. Without a duration (minutes) the ban is for good."""

    broadcaster_user_id: _Id
    user_id: _Id
    duration: Annotated[int, Meta(ge=1, le=LONGEST)] | UnsetType = UNSET
    reason: Annotated[str, Meta(max_length=100)] = ""


class Pardon(Struct, frozen=True):
    """The body of a DELETE."""

    broadcaster_user_id: _Id
    user_id: _Id


def post_ban(call: Incoming) -> Step:
    """POST /public/v1/moderation/bans: replaces a ban that is there. An owner cannot be banned from their channel."""
    body = body_as(call.request, NewBan)
    _check_moderates(call, body.broadcaster_user_id)
    if body.user_id not in call.world.users:
        raise Refusal(NOT_FOUND)
    if body.user_id == body.broadcaster_user_id:
        raise Refusal(INVALID)
    until = None if body.duration is UNSET else call.now + 60.0 * body.duration
    ban = Ban(body.broadcaster_user_id, body.user_id, call.token.user_id, call.now, until, body.reason)
    return Step(banning(call.world, ban), ok({}))


def delete_ban(call: Incoming) -> Step:
    """DELETE /public/v1/moderation/bans: lifts bans and time-outs; where there is none, nothing happens."""
    body = body_as(call.request, Pardon)
    _check_moderates(call, body.broadcaster_user_id)
    lifted = (body.broadcaster_user_id, body.user_id)
    left = {key: ban for key, ban in call.world.bans.items() if key != lifted}
    return Step(replace(call.world, bans=left), ok({}))


def is_banned(world: World, broadcaster_user_id: int, user_id: int, now: float) -> bool:
    """Whether a user may not chat in a channel."""
    ban = world.bans.get((broadcaster_user_id, user_id))
    return ban is not None and (ban.until is None or now < ban.until)


def _check_moderates(call: Incoming, broadcaster_user_id: int) -> None:
    channel = call.world.channels.get(broadcaster_user_id)
    if channel is None:
        raise Refusal(NOT_FOUND)
    if call.token.user_id not in {broadcaster_user_id, *channel.moderators}:
        raise Refusal(FORBIDDEN)
