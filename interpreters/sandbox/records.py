"""What people and apps did on the simulated Kick, and what they set up there. Times are epoch seconds UTC."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

RedemptionStatus: TypeAlias = Literal["pending", "accepted", "rejected"]

DEFAULT_COLOR: Final = "#00e701"


class Reward(Struct, frozen=True):
    """A channel reward. `client_id` is the app that made it, "" if the streamer did; `id` is a ULID.

    `skips_queue`: whether redemptions are accepted at once. A deleted one stays known to its redemptions.
    """

    id: str
    broadcaster_user_id: int
    title: str
    cost: int = 100
    client_id: str = ""
    description: str = ""
    background_color: str = DEFAULT_COLOR
    is_enabled: bool = True
    is_paused: bool = False
    is_user_input_required: bool = False
    skips_queue: bool = False
    is_deleted: bool = False


class Redemption(Struct, frozen=True):
    """A reward that a viewer took. `id` is a ULID."""

    id: str
    reward_id: str
    user_id: int
    user_input: str
    redeemed_at: float
    status: RedemptionStatus = "pending"


class Ban(Struct, frozen=True):
    """Somebody who may not chat in a channel, until `until` or, if that is None, for good."""

    broadcaster_user_id: int
    user_id: int
    moderator_user_id: int
    banned_at: float
    until: float | None = None
    reason: str = ""


class KicksGift(Struct, frozen=True):
    """KICKs that a viewer gave to a channel."""

    broadcaster_user_id: int
    user_id: int
    amount: int
    given_at: float


class Subscription(Struct, frozen=True):
    """An app's subscription to an event of a channel. `id` is a ULID; `deleted_at` is set while the list still lags."""

    id: str
    client_id: str
    broadcaster_user_id: int
    event: str
    created_at: float
    deleted_at: float | None = None


class Claim(Struct, frozen=True):
    """A claim of a drop. All ids but the user's are ULIDs, `external_id` apart: that is the organization's own."""

    claim_id: str
    user_id: int
    campaign_id: str
    reward_id: str
    created_at: float
    updated_at: float
    external_id: str | None = None
    external_status: str = "initiated"


class AdBreak(Struct, frozen=True):
    """An ad break, and how many were left after it. `id` is a UUID."""

    id: str
    duration: int
    created_at: float
    remaining: int


class Ads(Struct, frozen=True):
    """A channel's ads: `most` breaks in `period` seconds. `breaks` by id, in the order made."""

    broadcaster_user_id: int
    opted_in: bool = False
    blocked: bool = False
    auto_active: bool = False
    most: int = 3
    period: int = 3_600
    breaks: Mapping[str, AdBreak] = {}
