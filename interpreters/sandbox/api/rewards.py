"""Channel rewards (reference 6.3). Deleted ones stay in `World.rewards`, marked, for their redemptions."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, structs
from msgspec.structs import replace

from interpreters.sandbox.minting import mint_ulid
from interpreters.sandbox.reading import body_as
from interpreters.sandbox.records import DEFAULT_COLOR, Reward
from interpreters.sandbox.wire import (
    FORBIDDEN,
    INVALID,
    NO_CONTENT,
    NOT_FOUND,
    Incoming,
    Refusal,
    Step,
    bad_request,
    ok,
)

MOST_REWARDS: Final = 15
"""Rewards of a channel, disabled ones counted."""

_Title = Annotated[str, Meta(min_length=1, max_length=50)]
_Cost = Annotated[int, Meta(ge=1)]
_Description = Annotated[str, Meta(max_length=200)]
_Color = Annotated[str, Meta(pattern=r"^#[0-9A-Fa-f]{6}\Z")]


class NewReward(Struct, frozen=True):
    """The body of a POST; members that Kick does not know, `is_paused` among them, are ignored."""

    title: _Title
    cost: _Cost
    description: _Description = ""
    background_color: _Color = DEFAULT_COLOR
    is_enabled: bool = True
    is_user_input_required: bool = False
    should_redemptions_skip_request_queue: bool = False


class RewardChange(Struct, frozen=True):
    """The body of a PATCH."""

    title: _Title | UnsetType = UNSET
    cost: _Cost | UnsetType = UNSET
    description: _Description | UnsetType = UNSET
    background_color: _Color | UnsetType = UNSET
    is_enabled: bool | UnsetType = UNSET
    is_paused: bool | UnsetType = UNSET
    is_user_input_required: bool | UnsetType = UNSET
    should_redemptions_skip_request_queue: bool | UnsetType = UNSET


def get_rewards(call: Incoming) -> Step:
    """GET /public/v1/channels/rewards: all of the token's channel, whoever made them."""
    return Step(call.world, ok([_shown(reward) for reward in _rewards_of(call)]))


def post_reward(call: Incoming) -> Step:
    """POST /public/v1/channels/rewards. What the answer to a sixteenth is, Kick does not say: here it has no detail."""
    body = body_as(call.request, NewReward)
    if call.token.user_id not in call.world.channels:
        raise Refusal(bad_request("Channel not found"))
    if len(_rewards_of(call)) >= MOST_REWARDS:
        raise Refusal(INVALID)
    world, reward_id = mint_ulid(call.world, "reward", call.now)
    reward = Reward(
        id=reward_id,
        broadcaster_user_id=call.token.user_id,
        title=body.title,
        cost=body.cost,
        client_id=call.token.client_id,
        description=body.description,
        background_color=body.background_color,
        is_enabled=body.is_enabled,
        is_user_input_required=body.is_user_input_required,
        skips_queue=body.should_redemptions_skip_request_queue,
    )
    return Step(replace(world, rewards={**world.rewards, reward_id: reward}), ok(_shown(reward)))


def patch_reward(call: Incoming) -> Step:
    """PATCH /public/v1/channels/rewards/{id}: for the app that made it. An empty object is refused."""
    change = structs.asdict(body_as(call.request, RewardChange))
    if not body_as(call.request, dict[str, Raw]):
        raise Refusal(INVALID)
    change["skips_queue"] = change.pop("should_redemptions_skip_request_queue")
    given = {name: value for name, value in change.items() if value is not UNSET}
    return _with_reward(call, replace(_own_reward(call), **given))


def delete_reward(call: Incoming) -> Step:
    """DELETE /public/v1/channels/rewards/{id}: for the app that made it. Its redemptions stay."""
    step = _with_reward(call, replace(_own_reward(call), is_deleted=True))
    return Step(step.world, NO_CONTENT)


def may_manage(call: Incoming, reward: Reward) -> bool:
    """Whether the app that asks made the reward, and asks for the channel that it is in."""
    return (reward.client_id, reward.broadcaster_user_id) == (call.token.client_id, call.token.user_id)


def _rewards_of(call: Incoming) -> list[Reward]:
    rewards = call.world.rewards.values()
    return [held for held in rewards if held.broadcaster_user_id == call.token.user_id and not held.is_deleted]


def _own_reward(call: Incoming) -> Reward:
    reward = call.world.rewards.get(call.parts[0])
    if reward is None or reward.is_deleted:
        raise Refusal(NOT_FOUND)
    if not may_manage(call, reward):
        raise Refusal(FORBIDDEN)
    return reward


def _with_reward(call: Incoming, reward: Reward) -> Step:
    world = replace(call.world, rewards={**call.world.rewards, reward.id: reward})
    return Step(world, ok(_shown(reward)))


def _shown(reward: Reward) -> dict[str, object]:
    return {
        "background_color": reward.background_color,
        "cost": reward.cost,
        "description": reward.description,
        "id": reward.id,
        "is_enabled": reward.is_enabled,
        "is_paused": reward.is_paused,
        "is_user_input_required": reward.is_user_input_required,
        "should_redemptions_skip_request_queue": reward.skips_queue,
        "title": reward.title,
    }
