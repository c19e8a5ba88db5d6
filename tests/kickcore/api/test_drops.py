"""Drops."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from worlds import exchange, refusal, user_world

from kickcore import Secret
from kickcore.api.drops import DropsClaim, fetch_drops_claims, update_drops_claims
from kickcore.errors import BadResponse, NetworkError, Unauthorized
from kickcore.http import Response, Sent, Unreachable

URL = "https://api.kick.com/public/v1/drops/claims"
CLAIM = "01KAAFHJ2PNXS48NG8XXPGWKCZ"
THEN = datetime(2026, 6, 12, 3, 4, 5, tzinfo=UTC)
ROW: dict[str, Any] = {
    "claim_id": CLAIM,
    "user_id": 1234,
    "campaign_id": "01JAXK8N4QWRTY5PM7ZEBVJDS8",
    "reward_id": "01JAXK8N4QWRTY5PM7ZEBVGH2S",
    "external_id": "sword-of-kick",
    "external_status": "initiated",
    "created_at": "2026-06-12T03:04:05Z",
    "updated_at": "2026-06-12T03:04:05Z",
}


def test_a_page_of_claims(payload: Any) -> None:
    answer = Response(200, (), payload("responses/get-public-v1-drops-claims.json"))
    page, request = exchange(fetch_drops_claims(), answer)
    assert list(page) == [
        DropsClaim(
            CLAIM,
            1234,
            "01JAXK8N4QWRTY5PM7ZEBVJDS8",
            "01JAXK8N4QWRTY5PM7ZEBVGH2S",
            "sword-of-kick",
            "initiated",
            THEN,
            THEN,
        )
    ]
    assert page.next_cursor == "01K0TDDR08Q5ZNWXK92SDH7SDH"
    assert (request.method, request.url, request.query) == ("GET", URL, (("limit", "10"),))
    assert request.bearer == Secret("APP0")


@pytest.mark.parametrize(
    "data",
    [
        {"claims": [ROW]},
        {"claims": [ROW], "cursor": None},
        {"claims": [ROW], "cursor": ""},
        {"claims": [ROW], "cursor": "asked"},
        {"claims": [], "cursor": "next"},
        {"claims": None, "cursor": "next"},
    ],
    ids=["missing", "null", "empty", "repeated", "no claims", "null claims"],
)
def test_the_last_page_has_no_next(data: Any) -> None:
    page, _ = exchange(fetch_drops_claims(cursor="asked"), data)
    assert not page.has_next
    assert [claim.claim_id for claim in page] == ([CLAIM] if data["claims"] else [])


def test_filters_are_sent() -> None:
    _, request = exchange(
        fetch_drops_claims(
            campaign_id="C", limit=1000, cursor="X", user_id=2**64 - 1, claim_id=CLAIM, external_status="sent & gone"
        ),
        {"claims": []},
    )
    assert dict(request.query) == {
        "campaign_id": "C",
        "limit": "1000",
        "cursor": "X",
        "user_id": str(2**64 - 1),
        "claim_id": CLAIM,
        "external_status": "sent & gone",
    }


@pytest.mark.parametrize(
    ("parameter", "bad"),
    [
        *(("limit", bad) for bad in (0, 1001, -1, True, "10", None)),
        *(("user_id", bad) for bad in (0, -1, 2**64, True, "5")),
        *((name, bad) for name in ("campaign_id", "claim_id") for bad in ("", "a b", "ä", "x" * 129, 5)),
        *(("cursor", bad) for bad in ("", "x" * 1025, 5)),
        *(("external_status", bad) for bad in ("", "x" * 101, "\ud800", 5)),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_kick_would_not_take_is_refused(parameter: str, bad: Any) -> None:
    arguments: dict[str, Any] = {parameter: bad}
    assert refusal(fetch_drops_claims(**arguments)).parameter == parameter


def test_claims_are_changed_as_in_the_example(payload: Any) -> None:
    changes = {CLAIM: "processed", "01KAAFHJ2PNXS48NG8XXPGWKCA": "initiated"}
    value, request = exchange(update_drops_claims(changes), Response(204))
    assert value is None
    assert (request.method, request.url, request.query) == ("PATCH", URL, ())
    assert request.bearer == Secret("APP0")
    assert json.loads(request.body) == json.loads(payload("requests/patch-public-v1-drops-claims.json"))


def test_100_claims_are_changed_at_once_and_no_more() -> None:
    changes = {f"id{number}": "x" * 100 for number in range(101)}
    assert "1 to 100 items, not 101" in str(refusal(update_drops_claims(changes)))
    del changes["id0"]
    assert len(json.loads(exchange(update_drops_claims(changes), Response(204))[1].body)["claims"]) == 100


NO_CHANGES: list[Any] = [{}, [], [(CLAIM, "sent")], "claims", None, {"": "a"}, {"a b": "a"}, {"x" * 129: "a"}, {5: "a"}]
NO_STATUSES: list[Any] = ["", "x" * 101, "\udfff", 5, None]


@pytest.mark.parametrize(
    "bad", [*NO_CHANGES, *({CLAIM: status} for status in NO_STATUSES)], ids=lambda value: repr(value)[:40]
)
def test_changes_that_kick_would_not_take_are_refused(bad: Any) -> None:
    assert refusal(update_drops_claims(bad)).parameter == "claims"


@pytest.mark.parametrize("program", [fetch_drops_claims, lambda: update_drops_claims({"a": "b"})], ids=["get", "patch"])
def test_only_the_app_token_will_do(payload: Any, program: Any) -> None:
    world = user_world()
    world.kick.api = lambda _: Response(401, (), payload("errors/401-unauthorized.drops.json"))
    with pytest.raises(Unauthorized):
        world.run(program())
    assert {request.bearer for request in world.asked_api} == {Secret("APP0"), Secret("APP1")}


def test_a_change_whose_answer_was_lost_is_not_sent_again() -> None:
    world = user_world()
    world.kick.api = lambda _: Unreachable("reset", Sent.MAYBE)
    with pytest.raises(NetworkError):
        world.run(update_drops_claims({"a": "b"}))
    assert len(world.sent) == 1


@pytest.mark.parametrize("member", ROW)
def test_each_member_is_forgiven_or_named(member: str) -> None:
    def read(changed: dict[str, Any]) -> DropsClaim:
        return exchange(fetch_drops_claims(), {"claims": [changed]})[0][0]

    for changed in ({name: ROW[name] for name in ROW if name != member}, ROW | {member: None}):
        if member in {"claim_id", "user_id"}:
            with pytest.raises(BadResponse, match=rf"[`.]{member}`"):
                read(changed)
        else:
            assert getattr(read(changed), member) is None
    with pytest.raises(BadResponse, match=rf"\.{member}`"):
        read(ROW | {member: {"a": 1}})
    assert read(ROW | {"new_" + member: [{"a": 1}]}) == read(ROW)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({}, "`claims`"),
        ({"cursor": "x"}, "`claims`"),
        ({"claims": {}}, r"\.claims`"),
        ({"claims": [], "cursor": 5}, r"\.cursor`"),
        ([], r"\.data`"),
        (None, r"\.data`"),
    ],
    ids=repr,
)
def test_what_is_no_page_of_claims_is_named(data: Any, named: str) -> None:
    with pytest.raises(BadResponse, match=named):
        exchange(fetch_drops_claims(), data)


def test_what_stands_for_nothing_is_none() -> None:
    never = "0001-01-01T00:00:00Z"
    nothing = {"campaign_id": "", "reward_id": "", "external_id": "", "external_status": ""}
    page, _ = exchange(
        fetch_drops_claims(), {"claims": [ROW | nothing | {"created_at": never, "updated_at": never}], "more": 1}
    )
    assert list(page) == [DropsClaim(CLAIM, 1234)]
