"""Claims of drops."""

import json
from typing import Any

import pytest

from interpreters.sandbox import Claim, RegisteredApp, Sandbox, with_app, with_claim
from kickcore.secret import Secret

from .asking import NOW, app_token, call, get, same_shape

PATH = "/public/v1/drops/claims"
INVALID = (400, {"data": None, "message": "Invalid request"})


@pytest.fixture
def bearer(sandbox: Sandbox) -> Secret:
    sandbox.world = with_app(sandbox.world, RegisteredApp("org", "secret", (), organization=True))
    for number in range(25):
        sandbox.world = with_claim(
            sandbox.world,
            Claim(f"CLAIM{number:02}", 100 + number % 5, f"CAMPAIGN{number % 2}", "REWARD", NOW, NOW, "sword-of-kick"),
        )
    return app_token(sandbox, "org")


def test_claims_come_in_pages(sandbox: Sandbox, bearer: Secret, payload: Any) -> None:
    first = get(sandbox, PATH, bearer=bearer)
    assert same_shape(first, payload, "get-public-v1-drops-claims")
    seen, cursor = [], ""
    for size in (10, 10, 5):
        data = get(sandbox, PATH, *([("cursor", cursor)] if cursor else []), bearer=bearer)["data"]
        assert len(data["claims"]) == size
        seen += [row["claim_id"] for row in data["claims"]]
        cursor = data["cursor"]
        assert cursor in {seen[-1], ""}
    assert cursor == ""
    assert seen == list(sandbox.world.claims)
    data = get(sandbox, PATH, ("limit", 1000), bearer=bearer)["data"]
    assert (len(data["claims"]), data["cursor"]) == (25, "")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ((("claim_id", "CLAIM03"),), [3]),
        ((("user_id", 102), ("campaign_id", "CAMPAIGN0")), [2, 12, 22]),
        ((("campaign_id", "CAMPAIGN1"), ("cursor", "CLAIM20")), [21, 23]),
        ((("external_status", "processed"),), []),
        ((("external_status", "initiated"), ("limit", 1)), [0]),
    ],
)
def test_claims_by_filter(sandbox: Sandbox, bearer: Secret, query: Any, expected: list[int]) -> None:
    rows = get(sandbox, PATH, *query, bearer=bearer)["data"]["claims"]
    assert [row["claim_id"] for row in rows] == [f"CLAIM{number:02}" for number in expected]


@pytest.mark.parametrize(
    "query",
    [
        (("limit", 0),),
        (("limit", 1001),),
        (("cursor", "unknown"),),
        (("user_id", "x"),),
        (("claim_id", "a"), ("claim_id", "b")),
    ],
)
def test_lists_of_claims_refused(sandbox: Sandbox, bearer: Secret, query: Any) -> None:
    assert call(sandbox, "GET", PATH, *query, bearer=bearer) == INVALID


def test_claims_are_changed(sandbox: Sandbox, bearer: Secret) -> None:
    sandbox.clock = lambda: NOW + 60
    body = {"claims": [{"claim_id": f"CLAIM{number:02}", "external_status": "processed"} for number in (1, 3)]}
    assert call(sandbox, "PATCH", PATH, bearer=bearer, body=body) == (204, None)
    rows = get(sandbox, PATH, ("external_status", "processed"), bearer=bearer)["data"]["claims"]
    assert [row["claim_id"] for row in rows] == ["CLAIM01", "CLAIM03"]
    held = sandbox.world.claims["CLAIM01"]
    assert (held.created_at, held.updated_at) == (NOW, NOW + 60)


ITEM = {"claim_id": "CLAIM01", "external_status": "x"}


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"claims": []},
        {"claims": [ITEM] * 101},
        {"claims": [{"claim_id": "CLAIM01"}]},
        {"claims": [{**ITEM, "more": 1}]},
        {"claims": [{**ITEM, "external_status": ""}]},
        {"claims": [ITEM, {**ITEM, "claim_id": "unknown"}]},
    ],
)
def test_changes_of_claims_refused(sandbox: Sandbox, bearer: Secret, body: object) -> None:
    before = sandbox.world.claims
    assert call(sandbox, "PATCH", PATH, bearer=bearer, body=body) == INVALID
    assert sandbox.world.claims == before


def test_a_hundred_claims_are_changed_at_once(sandbox: Sandbox, bearer: Secret) -> None:
    assert call(sandbox, "PATCH", PATH, bearer=bearer, body={"claims": [ITEM] * 100})[0] == 204


def test_only_organizations_have_drops(sandbox: Sandbox, payload: Any) -> None:
    refused = (401, json.loads(payload("errors/401-unauthorized.drops.json")))
    for method in ("GET", "PATCH"):
        for bearer in (None, Secret("unknown"), app_token(sandbox)):
            assert call(sandbox, method, PATH, bearer=bearer, body={"claims": [ITEM]}) == refused
