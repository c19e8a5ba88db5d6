"""Ad breaks and enrolment."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from interpreters.sandbox import Ads, Sandbox, going_live, going_offline, with_ads, with_rules
from kickcore.oauth.scopes import Scope
from kickcore.secret import Secret

from .asking import NOW, call, get, is_error, same_shape, user_token

STATUS = "/public/v1/ads/ad-break-status"
BREAK = "/public/v1/ads/ad-break"
ENROLL = "/public/v1/ads/enroll"


def uuid(number: int) -> str:
    return f"123e4567-e89b-12d3-a456-{number:012}"


def start(sandbox: Sandbox, bearer: Secret, number: int = 0, after: float = 0, **more: object) -> tuple[int, Any]:
    sandbox.clock = lambda: NOW + after
    return call(sandbox, "POST", BREAK, bearer=bearer, body={"id": uuid(number), "break_duration_seconds": 30, **more})


@pytest.fixture
def bearer(sandbox: Sandbox) -> Secret:
    sandbox.world = with_ads(sandbox.world, Ads(123, opted_in=True))
    return user_token(sandbox, Scope.ADS_WRITE)


def test_an_ad_break_is_made_and_seen(sandbox: Sandbox, bearer: Secret, payload: Any) -> None:
    status, got = start(sandbox, bearer)
    assert status == 200
    assert same_shape(got, payload, "post-public-v1-ads-ad-break")
    assert got == {"data": {"id": uuid(0), "remaining_ad_breaks": 2}, "message": "Accepted"}
    seen = get(sandbox, STATUS, bearer=user_token(sandbox, Scope.ADS_READ))
    assert same_shape(seen, payload, "get-public-v1-ads-ad-break-status")
    assert seen["data"]["limits"] == {"max": 3, "period_seconds": 3600}
    assert (seen["data"]["remaining_ad_breaks"], len(seen["data"]["ad_breaks"])) == (2, 1)
    sandbox.clock = lambda: NOW + 3600
    later = get(sandbox, STATUS, bearer=bearer)["data"]
    assert (later["remaining_ad_breaks"], later["ad_breaks"]) == (3, [])


def test_the_same_id_is_the_same_ad_break(sandbox: Sandbox, bearer: Secret) -> None:
    sandbox.world = with_rules(sandbox.world, ad_break_status=202)
    first = start(sandbox, bearer, id=uuid(0).upper())
    assert first[0] == 202
    assert start(sandbox, bearer, number=1, after=100)[1]["data"]["remaining_ad_breaks"] == 1
    sandbox.world = going_offline(sandbox.world, 123)
    assert start(sandbox, bearer, after=110, break_duration_seconds=60) == first
    assert len(sandbox.world.ads[123].breaks) == 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"opted_in": False}, "CHANNEL_NOT_OPTED_IN"),
        ({"blocked": True}, "ADS_BLOCKED"),
        ({"auto_active": True}, "AUTO_ADS_ACTIVE"),
    ],
)
def test_ads_refused_for_the_channels_settings(
    sandbox: Sandbox, bearer: Secret, change: dict[str, bool], code: str, payload: Any
) -> None:
    sandbox.world = with_ads(sandbox.world, replace(sandbox.world.ads[123], **change))
    assert is_error(start(sandbox, bearer), f"400-ads.{code}", payload)
    data = get(sandbox, STATUS, bearer=bearer)["data"]
    assert (data["opted_in"], data["ads_blocked"], data["auto_ads_active"]) == (
        change.get("opted_in", True),
        change.get("blocked", False),
        change.get("auto_active", False),
    )


def test_ads_refused_for_now(sandbox: Sandbox, bearer: Secret, payload: Any) -> None:
    assert start(sandbox, bearer, 0)[0] == 200
    assert is_error(start(sandbox, bearer, 1, after=29), "409-ads.AD_BREAK_ACTIVE", payload)
    assert start(sandbox, bearer, 1, after=30)[0] == 200
    assert start(sandbox, bearer, 2, after=60)[0] == 200
    assert is_error(start(sandbox, bearer, 3, after=90), "429-ads.MAX_AD_BREAKS_REACHED", payload)
    assert start(sandbox, bearer, 3, after=3600)[0] == 200
    sandbox.world = going_offline(sandbox.world, 123)
    assert is_error(start(sandbox, bearer, 4, after=3700), "400-ads.CHANNEL_IS_NOT_LIVE", payload)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"break_duration_seconds": 7}, 200),
        ({"break_duration_seconds": 300}, 200),
        ({"break_duration_seconds": 6}, 400),
        ({"break_duration_seconds": 301}, 400),
        ({"break_duration_seconds": None}, 400),
        ({"id": "1"}, 400),
        ({"id": None}, 400),
    ],
)
def test_limits_of_an_ad_break(
    sandbox: Sandbox, bearer: Secret, more: dict[str, object], status: int, payload: Any
) -> None:
    got = start(sandbox, bearer, **more)
    assert got[0] == status
    if status == 400:
        assert is_error(got, "400-invalid-request", payload)


def test_a_channel_enrols_while_offline(sandbox: Sandbox, payload: Any) -> None:
    bearer = user_token(sandbox)
    assert is_error(call(sandbox, "POST", ENROLL, bearer=bearer), "400-ads.CHANNEL_IS_LIVE", payload)
    sandbox.world = going_offline(sandbox.world, 123)
    done = json.loads(payload("responses/post-public-v1-ads-enroll.json"))
    for _ in range(2):
        assert call(sandbox, "POST", ENROLL, bearer=bearer) == (200, done)
    sandbox.world = going_live(sandbox.world, 123, at=NOW)
    assert start(sandbox, bearer)[0] == 200
    never = user_token(sandbox, user_id=456)
    assert is_error(call(sandbox, "POST", ENROLL, bearer=never), "400-ads.CHANNEL_NEVER_STREAMED", payload)


def test_without_a_channel_there_are_no_ads(sandbox: Sandbox, bearer: Secret, payload: Any) -> None:
    sandbox.world = replace(sandbox.world, channels={})
    for got in (
        call(sandbox, "POST", ENROLL, bearer=bearer),
        call(sandbox, "GET", STATUS, bearer=bearer),
        start(sandbox, bearer),
    ):
        assert is_error(got, "404-ads.CHANNEL_NOT_FOUND", payload)
