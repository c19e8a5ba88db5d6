"""Channel rewards: what viewers spend channel points on, and who did."""

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import partial
from typing import ClassVar, Final

import msgspec

from kickcore.api.call import USER, Call, call, call_page
from kickcore.api.inputs import (
    checked_count,
    checked_flag,
    checked_id,
    checked_segment,
    checked_text,
    checked_texts,
    given,
    repeated,
)
from kickcore.api.model import Instant, Model
from kickcore.api.page import Page
from kickcore.effects import Program
from kickcore.errors import InvalidInput
from kickcore.oauth.scopes import NEEDS, Needs

TITLE_LENGTH: Final = 50
DESCRIPTION_LENGTH: Final = 200
"""Code points."""
ID_LENGTH: Final = 128
"""Kick's ids have 26 characters, some of its examples 27 and 30: this only keeps accidents away."""
DECISIONS: Final = 25
"""Redemptions that are accepted or rejected at once."""

_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")


class RedemptionStatus(StrEnum):
    """What became of a redemption."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class FailureReason(StrEnum):
    """Why a redemption was neither accepted nor rejected. `NOT_OWNED`: another app made the reward."""

    UNKNOWN = "UNKNOWN"
    NOT_PENDING = "NOT_PENDING"
    NOT_FOUND = "NOT_FOUND"
    NOT_OWNED = "NOT_OWNED"


class ChannelReward(Model, frozen=True):
    """A reward of a channel. `cost` is in channel points; `background_color` is like "#00e701".

    With `should_redemptions_skip_request_queue` a redemption is accepted at once and never waits for a decision.
    """

    id: str
    title: str
    cost: int
    description: str | None = None
    background_color: str | None = None
    is_enabled: bool | None = None
    is_paused: bool | None = None
    is_user_input_required: bool | None = None
    should_redemptions_skip_request_queue: bool | None = None

    absent: ClassVar[tuple[str, ...]] = ("description", "background_color")


class RedeemedReward(Model, frozen=True):
    """The reward that redemptions are of; it may be deleted. `can_manage` is whether this app made it."""

    id: str
    title: str
    cost: int | None = None
    description: str | None = None
    can_manage: bool | None = None
    is_deleted: bool | None = None

    absent: ClassVar[tuple[str, ...]] = ("description",)


class Redeemer(Model, frozen=True):
    """Who redeemed. Kick tells no name here."""

    user_id: int


class Redemption(Model, frozen=True):
    """One redemption. `status` is a `RedemptionStatus`, or a text that is new; `user_input` is None where none was."""

    id: str
    status: str
    redeemed_at: Instant | None = None
    redeemer: Redeemer | None = None
    user_input: str | None = None

    absent: ClassVar[tuple[str, ...]] = ("redeemed_at", "user_input")
    known: ClassVar[dict[str, type[StrEnum]]] = {"status": RedemptionStatus}


class RewardRedemptions(Model, frozen=True):
    """Redemptions of one reward. `redemption_list` is None where Kick lists none."""

    reward: RedeemedReward
    redemption_list: tuple[Redemption, ...] | None = msgspec.field(default=None, name="redemptions")

    absent: ClassVar[tuple[str, ...]] = ("redemption_list",)

    @property
    def redemptions(self) -> tuple[Redemption, ...]:
        """The redemptions of this reward on this page."""
        return self.redemption_list or ()


class FailedRedemption(Model, frozen=True):
    """A redemption that was not accepted or rejected. `reason` is a `FailureReason`, or a text that is new."""

    id: str
    reason: str

    known: ClassVar[dict[str, type[StrEnum]]] = {"reason": FailureReason}


def fetch_channel_rewards() -> Program[list[ChannelReward]]:
    """All rewards of the channel of the token's user, also those that are switched off.

    User token with `channel:rewards:read` or `channel:rewards:write`. Raises `HTTPError`, `NetworkError`, `TokenError`.
    Kick: GET /public/v1/channels/rewards.
    """
    operation, needs = "GET /public/v1/channels/rewards", NEEDS["fetch_channel_rewards"]
    asked = Call(operation=operation, answer=list[ChannelReward], tokens=USER, needs=needs)
    return (yield from call(asked))


def create_channel_reward(
    cost: int,
    title: str,
    *,
    background_color: str | None = None,
    description: str | None = None,
    is_enabled: bool | None = None,
    is_user_input_required: bool | None = None,
    should_redemptions_skip_request_queue: bool | None = None,
) -> Program[ChannelReward]:
    """Make a reward in the channel of the token's user. A channel has at most 15, those switched off counted.

    `cost` is in channel points, at least 1; `title` has 1 to 50 characters (code points), `description` at most 200;
    `background_color` is `#` and six hexadecimal digits. What is not given is Kick's choice: "#00e701", switched on,
    no input required, decided by hand.

    User token with `channel:rewards:write`. Raises `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`.
    Kick: POST /public/v1/channels/rewards.
    """
    members = _checked(
        ("cost", "title"),
        cost=cost,
        title=title,
        background_color=background_color,
        description=description,
        is_enabled=is_enabled,
        is_user_input_required=is_user_input_required,
        should_redemptions_skip_request_queue=should_redemptions_skip_request_queue,
    )
    asked = _written("POST /public/v1/channels/rewards", members, NEEDS["create_channel_reward"])
    return (yield from call(asked))


def update_channel_reward(
    reward_id: str,
    *,
    cost: int | None = None,
    title: str | None = None,
    background_color: str | None = None,
    description: str | None = None,
    is_enabled: bool | None = None,
    is_paused: bool | None = None,
    is_user_input_required: bool | None = None,
    should_redemptions_skip_request_queue: bool | None = None,
) -> Program[ChannelReward]:
    """Change a reward that this app made; what is not given stays. At least one must be given.

    Limits as in `create_channel_reward`. User token with `channel:rewards:write`. Raises `InvalidInput`, `Forbidden`,
    `NotFound`, `HTTPError`, `NetworkError`, `TokenError`. Kick: PATCH /public/v1/channels/rewards/{id}.
    """
    segments = (checked_segment("reward_id", reward_id),)
    changes = _checked(
        cost=cost,
        title=title,
        background_color=background_color,
        description=description,
        is_enabled=is_enabled,
        is_paused=is_paused,
        is_user_input_required=is_user_input_required,
        should_redemptions_skip_request_queue=should_redemptions_skip_request_queue,
    )
    if not changes:
        raise InvalidInput("give at least one thing to change: title, cost, is_paused, …", parameter="title")
    asked = _written("PATCH /public/v1/channels/rewards/{id}", changes, NEEDS["update_channel_reward"], segments)
    return (yield from call(asked))


def _written(operation: str, members: object, needs: Needs, segments: tuple[str, ...] = ()) -> Call[ChannelReward]:
    body = msgspec.json.encode(members)
    return Call(operation=operation, answer=ChannelReward, tokens=USER, needs=needs, segments=segments, body=body)


def delete_channel_reward(reward_id: str) -> Program[None]:
    """Delete a reward that this app made.

    User token with `channel:rewards:write`. Raises `InvalidInput`, `Forbidden`, `NotFound`, `HTTPError`,
    `NetworkError`, `TokenError`. Kick: DELETE /public/v1/channels/rewards/{id}.
    """
    segments = (checked_segment("reward_id", reward_id),)
    operation, needs = "DELETE /public/v1/channels/rewards/{id}", NEEDS["delete_channel_reward"]
    asked = Call(operation=operation, answer=type(None), tokens=USER, needs=needs, segments=segments)
    yield from call(asked)


def fetch_reward_redemptions(
    *,
    reward_id: str | None = None,
    status: str | None = None,
    ids: Iterable[str] | None = None,
    cursor: str | None = None,
) -> Program[Page[RewardRedemptions]]:
    """A page of redemptions in the channel of the token's user, grouped by reward; those that are pending by default.

    Of one reward, or of one `status` ("pending", "accepted", "rejected"), or both; or those of `ids`, without either.
    `cursor` is the `next_cursor` of the page before. A reward may come again on the next page: merge by its id.

    User token with `channel:rewards:read` or `channel:rewards:write`. Raises `InvalidInput`, `HTTPError`,
    `NetworkError`, `TokenError`. Kick: GET /public/v1/channels/rewards/redemptions.
    """
    if ids is not None and (reward_id is not None or status is not None):
        raise InvalidInput("give ids, or reward_id and status: Kick takes no other filter beside ids", parameter="ids")
    if status is not None and status not in [known.value for known in RedemptionStatus]:
        text = f'status is "pending", "accepted" or "rejected", not {status!r:.60}'
        raise InvalidInput(text, parameter="status")
    query = (
        *repeated("id", [] if ids is None else checked_texts("ids", ids, 1, ID_LENGTH)),
        *given(
            reward_id=None if reward_id is None else checked_text("reward_id", reward_id, 1, ID_LENGTH),
            status=status,
            cursor=None if cursor is None else checked_text("cursor", cursor, 1, 1024),
        ),
    )
    operation, needs = "GET /public/v1/channels/rewards/redemptions", NEEDS["fetch_reward_redemptions"]
    asked = Call(operation=operation, answer=list[RewardRedemptions], tokens=USER, needs=needs, query=query)
    return (yield from call_page(asked))


def accept_reward_redemptions(ids: Iterable[str]) -> Program[list[FailedRedemption]]:
    """Accept 1 to 25 pending redemptions of rewards that this app made. What comes back are only those that failed.

    User token with `channel:rewards:write`. Raises `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`.
    Kick: POST /public/v1/channels/rewards/redemptions/accept.
    """
    operation = "POST /public/v1/channels/rewards/redemptions/accept"
    return (yield from call(_decision(operation, ids, NEEDS["accept_reward_redemptions"])))


def reject_reward_redemptions(ids: Iterable[str]) -> Program[list[FailedRedemption]]:
    """Reject 1 to 25 pending redemptions of rewards that this app made. What comes back are only those that failed.

    User token with `channel:rewards:write`. Raises `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`.
    Kick: POST /public/v1/channels/rewards/redemptions/reject.
    """
    operation = "POST /public/v1/channels/rewards/redemptions/reject"
    return (yield from call(_decision(operation, ids, NEEDS["reject_reward_redemptions"])))


def _decision(operation: str, ids: Iterable[str], needs: Needs) -> Call[list[FailedRedemption]]:
    texts = checked_count("ids", checked_texts("ids", ids, 1, ID_LENGTH), 1, DECISIONS)
    body = msgspec.json.encode({"ids": texts})
    return Call(operation=operation, answer=list[FailedRedemption], tokens=USER, needs=needs, body=body)


def _color(parameter: str, value: object) -> str:
    text = checked_text(parameter, value, 7, 7)
    if not _COLOR.fullmatch(text):
        raise InvalidInput(f"{parameter} is # and six hexadecimal digits, not {text!r}", parameter=parameter)
    return text


_CHECKS: Final[Mapping[str, Callable[[str, object], object]]] = {
    "cost": checked_id,  # from 1 to the largest of Kick's numbers: it states no limit
    "title": partial(checked_text, shortest=1, longest=TITLE_LENGTH),
    "description": partial(checked_text, shortest=0, longest=DESCRIPTION_LENGTH),
    "background_color": _color,
}


def _checked(required: tuple[str, ...] = (), **members: object) -> dict[str, object]:
    """The members of a reward that are given or required, each checked. What is not in `_CHECKS` is true or false."""
    wanted = {name: value for name, value in members.items() if value is not None or name in required}
    return {name: _CHECKS.get(name, checked_flag)(name, value) for name, value in wanted.items()}
