"""Drops: what viewers have claimed in the campaigns of an organization."""

from collections.abc import Mapping
from typing import ClassVar, Final, cast

import msgspec

from kickcore.api.call import APP, Call, call
from kickcore.api.inputs import checked_count, checked_id, checked_range, checked_segment, checked_text, given
from kickcore.api.model import Instant, Model
from kickcore.api.page import Page
from kickcore.effects import Program
from kickcore.errors import InvalidInput

BATCH: Final = 100
"""Claims that one request changes."""
STATUS_LENGTH: Final = 100
"""Characters; Kick states no limit, this one only keeps accidents away."""

_PATH: Final = "/public/v1/drops/claims"


class DropsClaim(Model, frozen=True):
    """A reward that the viewer `user_id` claimed.

    `external_id` is your id of the reward. `external_status` is how far you are with it, in your own words; Kick starts
    with "initiated", and leaves it out where it is not set.
    """

    claim_id: str
    user_id: int
    campaign_id: str | None = None
    reward_id: str | None = None
    external_id: str | None = None
    external_status: str | None = None
    created_at: Instant | None = None
    updated_at: Instant | None = None

    absent: ClassVar[tuple[str, ...]] = (
        "campaign_id",
        "reward_id",
        "external_id",
        "external_status",
        "created_at",
        "updated_at",
    )


class _Claims(Model, frozen=True):
    """A page as Drops writes it: with the cursor inside."""

    claims: tuple[DropsClaim, ...] | None
    cursor: str | None = None


def fetch_drops_claims(
    *,
    campaign_id: str | None = None,
    limit: int = 10,
    cursor: str | None = None,
    user_id: int | None = None,
    claim_id: str | None = None,
    external_status: str | None = None,
) -> Program[Page[DropsClaim]]:
    """A page of your organization's claims, filtered by campaign, viewer, claim and your own status of it.

    `limit` is 1 to 1000 a page; `cursor` is the `next_cursor` of the page before.
    App token, of an app that belongs to an organization. Raises `InvalidInput`, `HTTPError`, `NetworkError`,
    `TokenError`. Kick: GET /public/v1/drops/claims.
    """
    query = given(
        campaign_id=None if campaign_id is None else checked_segment("campaign_id", campaign_id),
        limit=checked_range("limit", limit, 1, 1000),
        cursor=None if cursor is None else checked_text("cursor", cursor, 1, 1024),
        user_id=None if user_id is None else checked_id("user_id", user_id),
        claim_id=None if claim_id is None else checked_segment("claim_id", claim_id),
        external_status=None if external_status is None else _status("external_status", external_status),
    )
    found = yield from call(Call(operation=f"GET {_PATH}", answer=_Claims, tokens=APP, query=query))
    claims = found.claims or ()
    # How Kick marks the last page is not documented; a cursor that leads nowhere new is one of the ways.
    return Page(claims, found.cursor if found.cursor and found.cursor != cursor and claims else None)


def update_drops_claims(claims: Mapping[str, str]) -> Program[None]:
    """Set your own status of 1 to 100 claims: `{claim_id: external_status}`, each of 1 to 100 characters.

    App token, of an app that belongs to an organization. If its answer was lost (`NetworkError`), send it again if you
    like: that sets the same once more. Raises `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`.
    Kick: PATCH /public/v1/drops/claims.
    """
    changes = [
        {"claim_id": checked_segment("claims", claim_id), "external_status": _status("claims", status)}
        for claim_id, status in _items(claims)
    ]
    body = msgspec.json.encode({"claims": checked_count("claims", changes, 1, BATCH)})
    yield from call(Call(operation=f"PATCH {_PATH}", answer=type(None), tokens=APP, body=body))


def _items(claims: object) -> list[tuple[str, str]]:
    if not isinstance(claims, Mapping):
        text = f"claims is a mapping of claim ids to statuses, not {type(claims).__name__}"
        raise InvalidInput(text, parameter="claims")
    return list(cast("Mapping[str, str]", claims).items())


def _status(parameter: str, value: str) -> str:
    return checked_text(parameter, value, 1, STATUS_LENGTH)
