"""Claims of drops, for apps of organizations (reference 6.11). Every failure here has `data` null."""

from itertools import islice
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from interpreters.sandbox.reading import body_as, limit, single, single_number
from interpreters.sandbox.records import Claim
from interpreters.sandbox.wire import INVALID, NO_CONTENT, UNAUTHORIZED, Incoming, Refusal, Step, ok, rfc3339

DEFAULT_PAGE: Final = 10
LARGEST_PAGE: Final = 1000
CHANGED: Final = 100
"""Claims in one PATCH."""


class ClaimChange(Struct, frozen=True, forbid_unknown_fields=True):
    """An item of the body: these two members and no others."""

    claim_id: str
    external_status: Annotated[str, Meta(min_length=1)]


class ClaimChanges(Struct, frozen=True):
    """The body of a PATCH."""

    claims: Annotated[tuple[ClaimChange, ...], Meta(min_length=1, max_length=CHANGED)]


def get_claims(call: Incoming) -> Step:
    """GET /public/v1/drops/claims: in the order made, after the claim that the cursor names.

    How Kick marks the last page is not known: here its cursor is "".
    """
    _check_organization(call)
    request, claims = call.request, call.world.claims
    asked = {name: single(request, name) for name in ("campaign_id", "claim_id", "external_status")}
    texts = {name: text for name, text in asked.items() if text is not None}
    user_id, cursor = single_number(request, "user_id"), single(request, "cursor")
    size = limit(request, DEFAULT_PAGE, LARGEST_PAGE)
    if cursor and cursor not in claims:
        raise Refusal(INVALID)
    start = list(claims).index(cursor) + 1 if cursor else 0
    fitting = (
        claim
        for claim in islice(claims.values(), start, None)
        if user_id in {None, claim.user_id} and all(getattr(claim, name) == text for name, text in texts.items())
    )
    found = list(islice(fitting, size + 1))
    after = found[size - 1].claim_id if len(found) > size else ""
    return Step(call.world, ok({"claims": [_shown(claim) for claim in found[:size]], "cursor": after}))


def patch_claims(call: Incoming) -> Step:
    """PATCH /public/v1/drops/claims. One unknown claim fails them all, which is a guess."""
    _check_organization(call)
    changes = {change.claim_id: change.external_status for change in body_as(call.request, ClaimChanges).claims}
    claims = call.world.claims
    if not claims.keys() >= changes.keys():
        raise Refusal(INVALID)
    changed = {
        claim_id: replace(claims[claim_id], external_status=status, updated_at=call.now)
        for claim_id, status in changes.items()
    }
    return Step(replace(call.world, claims={**claims, **changed}), NO_CONTENT)


def _check_organization(call: Incoming) -> None:
    app = call.world.apps.get(call.token.client_id)
    if app is None or not app.organization:
        raise Refusal(UNAUTHORIZED)


def _shown(claim: Claim) -> dict[str, object]:
    return {
        "claim_id": claim.claim_id,
        "user_id": claim.user_id,
        "campaign_id": claim.campaign_id,
        "reward_id": claim.reward_id,
        "external_id": claim.external_id,
        "external_status": claim.external_status,
        "created_at": rfc3339(claim.created_at),
        "updated_at": rfc3339(claim.updated_at),
    }
