"""What viewers took of a channel's rewards, and the streamer's decisions about it (reference 6.3)."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from interpreters.sandbox.api.rewards import may_manage
from interpreters.sandbox.building import decided
from interpreters.sandbox.reading import body_as, cursor_to, single, start_of, values
from interpreters.sandbox.records import Redemption, RedemptionStatus
from interpreters.sandbox.wire import INVALID, Incoming, Refusal, Step, ok, ok_page, rfc3339

IDS: Final = 25
"""Redemptions that one request decides about."""
LISTED: Final = 1000
"""Ids in one request to the list. No maximum is stated; a bound there must be."""

_STATUSES: Final = frozenset({"pending", "accepted", "rejected"})


class Decision(Struct, frozen=True):
    """The body of a POST."""

    ids: Annotated[tuple[str, ...], Meta(min_length=1, max_length=IDS)]


def get_redemptions(call: Incoming) -> Step:
    """GET /public/v1/channels/rewards/redemptions: oldest first, grouped by reward within a page.

    By `reward_id` and `status` (pending unless given), or by `id`, whatever the status. A cursor is a place among all
    redemptions, so that none is missed while they are being decided.
    """
    request = call.request
    ids, reward_id, status = values(request.query, "id"), single(request, "reward_id"), single(request, "status")
    if len(ids) > LISTED or (ids and (reward_id or status)) or status not in {None, *_STATUSES}:
        raise Refusal(INVALID)
    wanted, wanted_status = frozenset(ids), status or "pending"
    fitting = (
        (place, held)
        for place, held in islice(enumerate(call.world.redemptions.values(), 1), start_of(request), None)
        if call.world.rewards[held.reward_id].broadcaster_user_id == call.token.user_id
        and (held.id in wanted if wanted else held.status == wanted_status and reward_id in {None, held.reward_id})
    )
    size = call.world.rules.redemption_page
    found = list(islice(fitting, size + 1))
    after = cursor_to(found[size - 1][0]) if len(found) > size else ""
    return Step(call.world, ok_page(_grouped(call, (held for _, held in found[:size])), after))


def post_accept(call: Incoming) -> Step:
    """POST /public/v1/channels/rewards/redemptions/accept."""
    return _decide(call, "accepted")


def post_reject(call: Incoming) -> Step:
    """POST /public/v1/channels/rewards/redemptions/reject."""
    return _decide(call, "rejected")


def _decide(call: Incoming, status: RedemptionStatus) -> Step:
    """Does what it can and answers with what it could not, and why."""
    ids = body_as(call.request, Decision).ids
    if len(set(ids)) < len(ids):
        raise Refusal(INVALID)
    obstacles = {redemption_id: _obstacle(call, redemption_id) for redemption_id in ids}
    world = call.world
    for redemption_id, obstacle in obstacles.items():
        if obstacle is None:
            world = decided(world, replace(world.redemptions[redemption_id], status=status), at=call.now)
    failures = [{"id": redemption_id, "reason": reason} for redemption_id, reason in obstacles.items() if reason]
    return Step(world, ok(failures))


def _obstacle(call: Incoming, redemption_id: str) -> str | None:
    held = call.world.redemptions.get(redemption_id)
    reward = None if held is None else call.world.rewards[held.reward_id]
    if held is None or reward is None or reward.broadcaster_user_id != call.token.user_id:
        return "NOT_FOUND"
    if not may_manage(call, reward):
        return "NOT_OWNED"
    if held.status != "pending":
        return "NOT_PENDING"
    return "UNKNOWN" if redemption_id in call.world.rules.failing_redemptions else None


def _grouped(call: Incoming, redemptions: Iterable[Redemption]) -> list[Mapping[str, object]]:
    groups: dict[str, list[Mapping[str, object]]] = {}
    for held in redemptions:
        groups.setdefault(held.reward_id, []).append(_shown(held))
    return [{"reward": _reward(call, reward_id), "redemptions": group} for reward_id, group in groups.items()]


def _reward(call: Incoming, reward_id: str) -> Mapping[str, object]:
    reward = call.world.rewards[reward_id]
    return {
        "can_manage": may_manage(call, reward),
        "cost": reward.cost,
        "description": reward.description,
        "id": reward.id,
        "is_deleted": reward.is_deleted,
        "title": reward.title,
    }


def _shown(held: Redemption) -> Mapping[str, object]:
    return {
        "id": held.id,
        "redeemed_at": rfc3339(held.redeemed_at),
        "redeemer": {"user_id": held.user_id},
        "status": held.status,
        "user_input": held.user_input,
    }
