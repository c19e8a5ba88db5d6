"""Ads: take part, look how many breaks are left, start one."""

from enum import StrEnum
from typing import ClassVar, Final
from uuid import UUID

import msgspec
from msgspec import field

from kickcore.api.call import USER, Call, call
from kickcore.api.inputs import checked_range, checked_uuid
from kickcore.api.model import Instant, Model
from kickcore.effects import Entropy, Program
from kickcore.oauth.scopes import NEEDS

SHORTEST_BREAK: Final = 7
LONGEST_BREAK: Final = 300
"""Seconds."""


class AdsCode(StrEnum):
    """Why Kick refuses, as the `code` of the error: `if error.code == AdsCode.CHANNEL_IS_NOT_LIVE`.

    Kick may add others. The error is a `BadRequest`, but for `CHANNEL_NOT_FOUND` (`NotFound`), `AD_BREAK_ACTIVE`
    (`Conflict`) and `MAX_AD_BREAKS_REACHED` (`QuotaReached`).
    """

    CHANNEL_IS_NOT_LIVE = "CHANNEL_IS_NOT_LIVE"
    CHANNEL_NOT_OPTED_IN = "CHANNEL_NOT_OPTED_IN"
    ADS_BLOCKED = "ADS_BLOCKED"
    AUTO_ADS_ACTIVE = "AUTO_ADS_ACTIVE"
    AD_BREAK_ACTIVE = "AD_BREAK_ACTIVE"
    MAX_AD_BREAKS_REACHED = "MAX_AD_BREAKS_REACHED"
    CHANNEL_IS_LIVE = "CHANNEL_IS_LIVE"
    CHANNEL_NEVER_STREAMED = "CHANNEL_NEVER_STREAMED"
    CHANNEL_NOT_FOUND = "CHANNEL_NOT_FOUND"


class AdBreakLimits(Model, frozen=True):
    """At most `max` breaks in `period_seconds`."""

    max: int | None = None
    period_seconds: int | None = None


class AdBreakRecord(Model, frozen=True):
    """A break as Kick lists it. `status` is such as "inserted", `source` such as "public_api"."""

    id: str
    status: str | None = None
    source: str | None = None
    break_duration_seconds: int | None = None
    created_at: Instant | None = None

    absent: ClassVar[tuple[str, ...]] = ("status", "source", "created_at")


class AdBreakStatus(Model, frozen=True):
    """Whether a channel takes part in ads, and how many breaks are left. `ad_break_list` is None where Kick lists none.

    With `auto_ads_active` Kick starts the breaks by itself and takes none from elsewhere.
    """

    opted_in: bool
    ads_blocked: bool | None = None
    auto_ads_active: bool | None = None
    remaining_ad_breaks: int | None = None
    limits: AdBreakLimits | None = None
    ad_break_list: tuple[AdBreakRecord, ...] | None = field(default=None, name="ad_breaks")

    absent: ClassVar[tuple[str, ...]] = ("ad_break_list",)

    @property
    def ad_breaks(self) -> tuple[AdBreakRecord, ...]:
        """The breaks that Kick lists."""
        return self.ad_break_list or ()


class AdBreak(Model, frozen=True):
    """A break that Kick took. `remaining_ad_breaks` is how many are left."""

    id: str
    remaining_ad_breaks: int | None = None


def fetch_ad_break_status() -> Program[AdBreakStatus]:
    """Whether the channel of the token's user takes part in ads, its latest breaks, and how many are left.

    User token with `ads:read` or `ads:write`. Raises `HTTPError`, `NetworkError`, `TokenError`.
    Kick: GET /public/v1/ads/ad-break-status.
    """
    asked = Call(
        operation="GET /public/v1/ads/ad-break-status",
        answer=AdBreakStatus,
        tokens=USER,
        needs=NEEDS["fetch_ad_break_status"],
    )
    return (yield from call(asked))


def create_ad_break(break_duration_seconds: int, *, ad_break_id: str | None = None) -> Program[AdBreak]:
    """Start a break of 7 to 300 seconds in the live channel of the token's user, who must take part in ads.

    `ad_break_id` (a UUID) names the break: sent twice, it is one break. Without one a new one is made, which a repeat
    within this call keeps. To try again after an error, give the same one yourself.

    User token with `ads:write`. Raises `InvalidInput`, `BadRequest`, `Conflict` (a break is running), `QuotaReached`
    (none is left), each with an `AdsCode` as `code`; `HTTPError`, `NetworkError`, `TokenError`.
    Kick: POST /public/v1/ads/ad-break.
    """
    seconds = checked_range("break_duration_seconds", break_duration_seconds, SHORTEST_BREAK, LONGEST_BREAK)
    if ad_break_id is None:
        octets = yield from Entropy(16, "ad_break_id")
        uuid = str(UUID(bytes=octets, version=4))
    else:
        uuid = checked_uuid("ad_break_id", ad_break_id)
    asked = Call(
        operation="POST /public/v1/ads/ad-break",
        answer=AdBreak,
        tokens=USER,
        needs=NEEDS["create_ad_break"],
        body=msgspec.json.encode({"id": uuid, "break_duration_seconds": seconds}),
        repeatable=True,
    )
    return (yield from call(asked))


def enroll_in_ads() -> Program[None]:
    """Let the channel of the token's user take part in ads. It must be offline, and have streamed before.

    User token with `ads:write`. Raises `BadRequest`, `NotFound`, each with an `AdsCode` as `code`; `HTTPError`,
    `NetworkError`, `TokenError`. Kick: POST /public/v1/ads/enroll.
    """
    asked = Call(operation="POST /public/v1/ads/enroll", answer=type(None), tokens=USER, needs=NEEDS["enroll_in_ads"])
    yield from call(asked)
