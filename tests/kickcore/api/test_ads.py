"""Ads."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import pytest
from strategies import PAYLOADS
from worlds import APP_SLOT, GONE, NOW, World, changed, exchange, granting, json_response, refusal

from kickcore import Secret
from kickcore.api.ads import (
    AdBreak,
    AdBreakLimits,
    AdBreakRecord,
    AdBreakStatus,
    AdsCode,
    create_ad_break,
    enroll_in_ads,
    fetch_ad_break_status,
)
from kickcore.effects import Entropy, Program
from kickcore.errors import BadRequest, BadResponse, Conflict, LoginRequired, MissingScopes, NotFound, QuotaReached
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.oauth.tokens import Token

T = TypeVar("T")

URL = "https://api.kick.com/public/v1/ads"
ID = "123e4567-e89b-12d3-a456-426614174000"
TAKEN = {"id": ID, "remaining_ad_breaks": 2}
RECORD = {
    "id": ID,
    "status": "inserted",
    "source": "public_api",
    "break_duration_seconds": 30,
    "created_at": "2026-01-02T03:04:05Z",
}
LIMITS = {"max": 3, "period_seconds": 3600}
STATUS = {
    "opted_in": True,
    "ads_blocked": False,
    "auto_ads_active": False,
    "remaining_ad_breaks": 2,
    "limits": LIMITS,
    "ad_breaks": [RECORD],
}
ODD: list[Any] = [GONE, None, "x", -5, 2.5, True, [1], {"a": 1}]


def _world() -> World:
    return granting("ads:write")


def _exchange(program: Program[T], answer: Any, scope: str = "ads:write") -> tuple[T, Request]:
    return exchange(program, answer, scope)


# --- Status


@pytest.mark.parametrize("scope", ["ads:read", "ads:write"])
def test_the_status(payload: Any, scope: str) -> None:
    answer = Response(200, (), payload("responses/get-public-v1-ads-ad-break-status.json"))
    status, request = _exchange(fetch_ad_break_status(), answer, scope)
    created_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert status == AdBreakStatus(
        opted_in=True,
        ads_blocked=False,
        auto_ads_active=False,
        remaining_ad_breaks=2,
        limits=AdBreakLimits(3, 3600),
        ad_break_list=(AdBreakRecord(ID, "inserted", "public_api", 30, created_at),),
    )
    assert status.ad_breaks == (AdBreakRecord(ID, "inserted", "public_api", 30, created_at),)
    assert request == Request("GET", f"{URL}/ad-break-status", bearer=Secret("AT0"), group=request.group)


@pytest.mark.parametrize("breaks", [GONE, None, []], ids=["gone", "null", "empty"])
def test_without_breaks_the_list_is_empty(breaks: Any) -> None:
    status, _ = _exchange(fetch_ad_break_status(), changed(STATUS, "ad_breaks", breaks))
    assert status.ad_breaks == ()
    assert status.ad_break_list is None


def test_only_what_a_status_cannot_do_without_is_needed() -> None:
    assert _exchange(fetch_ad_break_status(), {"opted_in": False})[0] == AdBreakStatus(opted_in=False)
    assert _exchange(fetch_ad_break_status(), {"opted_in": True, "limits": {}, "ad_breaks": [{"id": ID}]})[0] == (
        AdBreakStatus(opted_in=True, limits=AdBreakLimits(), ad_break_list=(AdBreakRecord(ID),))
    )


# --- Members


def _status(row: Any) -> tuple[Program[Any], Any]:
    return fetch_ad_break_status(), row


MODELS: dict[str, tuple[dict[str, Any], Callable[[Any], tuple[Program[Any], Any]], set[str]]] = {
    "status": (STATUS, _status, {"opted_in"}),
    "limits": (LIMITS, lambda row: _status(STATUS | {"limits": row}), set()),
    "record": (RECORD, lambda row: _status(STATUS | {"ad_breaks": [RECORD, row]}), {"id"}),
    "taken": (TAKEN, lambda row: (create_ad_break(30), row), {"id"}),
}
MEMBERS = [(name, member) for name, (row, _, _) in MODELS.items() for member in [*row, "new_member"]]


@pytest.mark.parametrize("odd", ODD, ids=lambda value: "gone" if value is GONE else repr(value))
@pytest.mark.parametrize(("name", "member"), MEMBERS)
def test_a_changed_member_gives_a_value_or_an_error_that_names_it(name: str, member: str, odd: Any) -> None:
    row, placed, _ = MODELS[name]
    said = ""
    try:
        _exchange(*placed(changed(row, member, odd)))
    except BadResponse as error:
        said = str(error)
    assert not said or f"`{member}`" in said or f".{member}" in said
    assert member != "new_member" or not said


@pytest.mark.parametrize(("name", "member"), MEMBERS)
def test_a_member_that_is_not_needed_may_be_null_or_missing(name: str, member: str) -> None:
    row, placed, needed = MODELS[name]
    if member in needed:
        with pytest.raises(BadResponse, match=f"`{member}`"):
            _exchange(*placed(changed(row, member, GONE)))
    else:
        assert _exchange(*placed(changed(row, member, GONE)))[0] == _exchange(*placed(row | {member: None}))[0]


@pytest.mark.parametrize("data", [None, [], "x", 5], ids=repr)
def test_an_answer_of_another_kind_is_a_bad_response(data: Any) -> None:
    with pytest.raises(BadResponse, match="data"):
        _exchange(fetch_ad_break_status(), data)
    with pytest.raises(BadResponse, match="data"):
        _exchange(create_ad_break(30), data)


def test_what_stands_for_nothing_is_none_and_a_zero_is_kept() -> None:
    assert AdBreakRecord(ID, "", "", 0, datetime(1, 1, 1, tzinfo=UTC)) == AdBreakRecord(ID, break_duration_seconds=0)
    assert AdBreakStatus(opted_in=False, remaining_ad_breaks=0).remaining_ad_breaks == 0
    assert AdBreakLimits(0, 0) != AdBreakLimits()
    assert AdBreak(ID, 0).remaining_ad_breaks == 0


def test_a_status_and_a_source_that_are_new_are_kept() -> None:
    row = RECORD | {"status": "melted", "source": "the_moon"}
    (record,) = _exchange(fetch_ad_break_status(), STATUS | {"ad_breaks": [row]})[0].ad_breaks
    assert (record.status, record.source) == ("melted", "the_moon")


# --- Breaks


@pytest.mark.parametrize("status", [200, 202])
def test_a_break_with_an_id_of_ones_own(payload: Any, status: int) -> None:
    answer = Response(status, (), payload("responses/post-public-v1-ads-ad-break.json"))
    taken, request = _exchange(create_ad_break(30, ad_break_id=ID), answer)
    assert taken == AdBreak(ID, 2)
    assert (request.method, request.url, request.query, request.form) == ("POST", f"{URL}/ad-break", (), ())
    assert request.bearer == Secret("AT0")
    assert json.loads(request.body) == json.loads(payload("requests/post-public-v1-ads-ad-break.json"))


def _drawn(world: World) -> list[Entropy]:
    return [effect for effect in world.log if isinstance(effect, Entropy) and effect.purpose == "ad_break_id"]


def test_an_id_is_drawn_where_none_is_given() -> None:
    world = _world()
    world.kick.api = lambda _: json_response({"data": TAKEN})
    assert world.run(create_ad_break(30)) == AdBreak(ID, 2)
    assert _drawn(world) == [Entropy(16, "ad_break_id")]
    (request,) = world.sent
    drawn = json.loads(request.body)["id"]
    assert str(UUID(drawn)) == drawn
    assert UUID(drawn).version == 4
    assert UUID(drawn).variant == "specified in RFC 4122"


class _Zeros(World):
    def __call__(self, effect: Any) -> object:
        return bytes(effect.size) if isinstance(effect, Entropy) else super().__call__(effect)


def test_the_id_is_made_of_what_was_drawn() -> None:
    world = _Zeros()
    world.log_in(scope="ads:write")
    world.kick.api = lambda _: json_response({"data": TAKEN})
    world.run(create_ad_break(30))
    assert json.loads(world.sent[0].body)["id"] == "00000000-0000-4000-8000-000000000000"


def test_nothing_is_drawn_beside_an_id_of_ones_own() -> None:
    world = _world()
    world.kick.api = lambda _: json_response({"data": TAKEN})
    world.run(create_ad_break(30, ad_break_id=ID))
    assert _drawn(world) == []


@pytest.mark.parametrize("spelling", [ID.upper(), ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}"])
def test_an_id_is_sent_in_one_spelling(spelling: str) -> None:
    assert json.loads(_exchange(create_ad_break(30, ad_break_id=spelling), TAKEN)[1].body)["id"] == ID


def test_a_break_whose_answer_was_lost_is_sent_again_as_it_was() -> None:
    world = _world()
    answers: list[Response | Unreachable] = [Unreachable("reset", Sent.MAYBE), json_response({"data": TAKEN})]
    world.kick.api = lambda _: answers.pop(0)
    assert world.run(create_ad_break(30)) == AdBreak(ID, 2)
    first, second = world.sent
    assert first == second
    assert len(_drawn(world)) == 1


def test_the_renewal_of_a_token_keeps_the_id() -> None:
    world = _world()
    world.kick.scope = "ads:write"
    world.kick.living.discard("AT0")
    world.kick.api = lambda _: json_response({"data": TAKEN})
    world.run(create_ad_break(30))
    first, second = world.asked_api
    assert first.bearer != second.bearer
    assert first.body == second.body


@pytest.mark.parametrize("seconds", [7, 300])
def test_a_break_is_of_7_to_300_seconds(seconds: int) -> None:
    assert json.loads(_exchange(create_ad_break(seconds), TAKEN)[1].body)["break_duration_seconds"] == seconds


@pytest.mark.parametrize("seconds", [6, 301, 0, -7, True, 30.0, "30", None, [30]], ids=repr)
def test_what_is_no_duration_is_refused(seconds: Any) -> None:
    refused = refusal(create_ad_break(seconds))
    assert refused.parameter == "break_duration_seconds"
    assert str(refused).startswith("break_duration_seconds is ")


def test_the_limits_of_a_duration_are_told() -> None:
    assert str(refusal(create_ad_break(6))) == "break_duration_seconds is from 7 to 300, not 6"


@pytest.mark.parametrize("bad", ["", "x", ID[:-1], ID + "0", "\ud800", "a" * 1000, 5, b"x", UUID(ID)], ids=repr)
def test_what_is_no_id_is_refused(bad: Any) -> None:
    assert refusal(create_ad_break(30, ad_break_id=bad)).parameter == "ad_break_id"


# --- Enrolment


def test_enrolment_has_no_body(payload: Any) -> None:
    value, request = _exchange(enroll_in_ads(), Response(200, (), payload("responses/post-public-v1-ads-enroll.json")))
    assert value is None
    assert (request.method, request.url, request.query, request.form) == ("POST", f"{URL}/enroll", (), ())
    assert request.body == b""
    assert request.bearer == Secret("AT0")
    assert _exchange(enroll_in_ads(), Response(204))[0] is None


# --- Refusals


def test_every_code_of_the_examples_is_known() -> None:
    files = (PAYLOADS / "errors").glob("*-ads.*.json")
    assert {path.stem.rpartition(".")[2] for path in files} == set(AdsCode)
    assert all(code.name == code.value for code in AdsCode)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("400-ads.CHANNEL_IS_NOT_LIVE", BadRequest),
        ("400-ads.CHANNEL_NOT_OPTED_IN", BadRequest),
        ("400-ads.ADS_BLOCKED", BadRequest),
        ("400-ads.AUTO_ADS_ACTIVE", BadRequest),
        ("409-ads.AD_BREAK_ACTIVE", Conflict),
        ("429-ads.MAX_AD_BREAKS_REACHED", QuotaReached),
        ("400-ads.CHANNEL_IS_LIVE", BadRequest),
        ("400-ads.CHANNEL_NEVER_STREAMED", BadRequest),
        ("404-ads.CHANNEL_NOT_FOUND", NotFound),
    ],
)
@pytest.mark.parametrize("program", [lambda: create_ad_break(30), enroll_in_ads], ids=["break", "enrol"])
def test_a_refusal_has_the_code_and_is_not_tried_again(payload: Any, name: str, kind: Any, program: Any) -> None:
    world = _world()
    world.kick.api = lambda _: Response(int(name[:3]), (), payload(f"errors/{name}.json"))
    with pytest.raises(kind) as caught:
        world.run(program())
    assert caught.value.code == AdsCode(name.rpartition(".")[2])
    assert len(world.sent) == 1


def test_an_enrolment_is_not_sent_again_when_kick_may_have_acted() -> None:
    world = _world()
    world.kick.api = lambda _: Unreachable("reset", Sent.MAYBE)
    with pytest.raises(Exception, match="Kick may have acted"):
        world.run(enroll_in_ads())
    assert len(world.sent) == 1


@pytest.mark.parametrize(
    ("program", "held", "missing"),
    [
        (fetch_ad_break_status, "channel:read", "ads:read or ads:write"),
        (lambda: create_ad_break(30), "ads:read", "ads:write"),
        (enroll_in_ads, "ads:read", "ads:write"),
    ],
    ids=["status", "break", "enrol"],
)
def test_ads_need_a_user_with_the_scope_and_an_app_token_will_not_do(program: Any, held: str, missing: str) -> None:
    world = World()
    world.put(APP_SLOT, Token(Secret("APP0"), NOW + 86400, NOW))
    with pytest.raises(LoginRequired):
        world.run(program())
    world.log_in(scope=held)
    with pytest.raises(MissingScopes, match=missing):
        world.run(program())
    assert world.sent == []
