"""Channel rewards and redemptions."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from interpreters.sandbox import RegisteredApp, Reward, Sandbox, redeemed, with_app, with_reward, with_rules
from kickcore.oauth.scopes import Scope
from kickcore.secret import Secret

from .asking import NOW, call, get, is_error, same_shape, user_token

PATH = "/public/v1/channels/rewards"
REDEMPTIONS = f"{PATH}/redemptions"
SONG = Reward("01HZ8X9K2M4N6P8Q0R2S4T6V8W", 123, "Song Request", client_id="sandbox-app", description="A URL")
STREAMERS = Reward("01KBHE7RZNHB0SKDV1H86CD4F3", 123, "Unban Request")
ELSEWHERE = Reward("01KBHE7RZNHB0SKDV1H86CD4F4", 676, "Else", client_id="sandbox-app")


@pytest.fixture
def bearer(sandbox: Sandbox) -> Secret:
    for reward in (SONG, STREAMERS, ELSEWHERE):
        sandbox.world = with_reward(sandbox.world, reward)
    sandbox.world = with_app(sandbox.world, RegisteredApp("other", "secret", ()))
    return user_token(sandbox, Scope.CHANNEL_REWARDS_WRITE)


def redeem(sandbox: Sandbox, reward_id: str = SONG.id, user_id: int = 456, **given: Any) -> str:
    sandbox.world = redeemed(sandbox.world, reward_id, user_id, given.get("user_input", ""), at=given.get("at", NOW))
    return list(sandbox.world.redemptions)[-1]


def test_rewards_of_any_maker_are_listed(sandbox: Sandbox, bearer: Secret, payload: Any) -> None:
    got = get(sandbox, PATH, bearer=bearer)
    assert same_shape(got, payload, "get-public-v1-channels-rewards")
    assert [row["id"] for row in got["data"]] == [SONG.id, STREAMERS.id]
    assert get(sandbox, PATH, bearer=user_token(sandbox, user_id=456)) == json.loads(
        payload("responses/get-public-v1-channels-rewards.empty.json")
    )


def test_a_reward_is_made_changed_and_deleted(sandbox: Sandbox, payload: Any) -> None:
    bearer = user_token(sandbox, Scope.CHANNEL_REWARDS_WRITE)
    body = json.loads(payload("requests/post-public-v1-channels-rewards.json"))
    status, made = call(sandbox, "POST", PATH, bearer=bearer, body={**body, "is_paused": True, "unknown": 1})
    assert status == 200
    assert same_shape(made, payload, "post-public-v1-channels-rewards")
    assert made["data"] == {**body, "id": made["data"]["id"], "is_paused": False}
    assert len(made["data"]["id"]) == 26
    path = f"{PATH}/{made['data']['id']}"
    change = json.loads(payload("requests/patch-public-v1-channels-rewards-id.json"))
    status, changed = call(sandbox, "PATCH", path, bearer=bearer, body=change)
    assert (status, changed["data"]) == (200, {**made["data"], **change})
    assert same_shape(changed, payload, "patch-public-v1-channels-rewards-id")
    toggled = {"should_redemptions_skip_request_queue": False, "is_enabled": False}
    assert call(sandbox, "PATCH", path, bearer=bearer, body=toggled)[1]["data"] == {**changed["data"], **toggled}
    assert get(sandbox, PATH, bearer=bearer)["data"] == [{**changed["data"], **toggled}]
    assert call(sandbox, "DELETE", path, bearer=bearer) == (204, None)
    assert get(sandbox, PATH, bearer=bearer)["data"] == []
    for method in ("DELETE", "PATCH"):
        assert is_error(call(sandbox, method, path, bearer=bearer, body=change), "404-not-found", payload)


def test_a_reward_has_defaults(sandbox: Sandbox, bearer: Secret) -> None:
    made = call(sandbox, "POST", PATH, bearer=bearer, body={"title": "T", "cost": 1})[1]["data"]
    assert {name: value for name, value in made.items() if name != "id"} == {
        "background_color": "#00e701",
        "cost": 1,
        "description": "",
        "is_enabled": True,
        "is_paused": False,
        "is_user_input_required": False,
        "should_redemptions_skip_request_queue": False,
        "title": "T",
    }


REFUSED = [
    {"title": ""},
    {"title": "x" * 51},
    {"title": None},
    {"cost": 0},
    {"cost": "1"},
    {"description": "x" * 201},
    {"background_color": "00e701"},
    {"background_color": "#00e70g"},
    {"background_color": "#00e701\n"},
    {"background_color": "x#00e701"},
    {"is_enabled": 1},
]


@pytest.mark.parametrize("wrong", REFUSED)
def test_limits_of_a_reward(sandbox: Sandbox, bearer: Secret, wrong: dict[str, object], payload: Any) -> None:
    before = sandbox.world
    got = call(sandbox, "POST", PATH, bearer=bearer, body={"title": "T", "cost": 1, **wrong})
    assert is_error(got, "400-invalid-request", payload)
    assert is_error(
        call(sandbox, "PATCH", f"{PATH}/{SONG.id}", bearer=bearer, body=wrong), "400-invalid-request", payload
    )
    assert sandbox.world == before


@pytest.mark.parametrize("body", [None, {}, [], {"title": "T"}, {"cost": 1}])
def test_what_is_no_reward(sandbox: Sandbox, bearer: Secret, body: object, payload: Any) -> None:
    assert is_error(call(sandbox, "POST", PATH, bearer=bearer, body=body), "400-invalid-request", payload)


@pytest.mark.parametrize("body", [None, {}, []])
def test_what_is_no_change(sandbox: Sandbox, bearer: Secret, body: object, payload: Any) -> None:
    got = call(sandbox, "PATCH", f"{PATH}/{SONG.id}", bearer=bearer, body=body)
    assert is_error(got, "400-invalid-request", payload)


def test_the_longest_reward(sandbox: Sandbox, bearer: Secret) -> None:
    body = {"title": "é" * 50, "cost": 1, "description": "😀" * 200, "background_color": "#ABCdef"}
    assert call(sandbox, "POST", PATH, bearer=bearer, body=body)[0] == 200


def test_a_channel_has_fifteen_rewards_at_most(sandbox: Sandbox, bearer: Secret, payload: Any) -> None:
    body = {"title": "T", "cost": 1, "is_enabled": False}
    for _ in range(13):
        assert call(sandbox, "POST", PATH, bearer=bearer, body=body)[0] == 200
    assert is_error(call(sandbox, "POST", PATH, bearer=bearer, body=body), "400-invalid-request", payload)
    assert call(sandbox, "DELETE", f"{PATH}/{SONG.id}", bearer=bearer)[0] == 204
    assert call(sandbox, "POST", PATH, bearer=bearer, body=body)[0] == 200


def test_nobody_elses_reward_can_be_changed(sandbox: Sandbox, bearer: Secret, payload: Any) -> None:
    for reward in (STREAMERS, ELSEWHERE):
        for method in ("PATCH", "DELETE"):
            got = call(sandbox, method, f"{PATH}/{reward.id}", bearer=bearer, body={"cost": 5})
            assert is_error(got, "403-forbidden", payload)
    other = user_token(sandbox, client_id="other")
    got = call(sandbox, "DELETE", f"{PATH}/{SONG.id}", bearer=other)
    assert is_error(got, "403-forbidden", payload)
    got = call(sandbox, "DELETE", f"{PATH}/{SONG.id[:-1]}X", bearer=bearer)
    assert is_error(got, "404-not-found", payload)


def test_a_user_without_a_channel_has_no_rewards(sandbox: Sandbox, bearer: Secret, payload: Any) -> None:
    sandbox.world = replace(sandbox.world, channels={})
    got = call(sandbox, "POST", PATH, bearer=bearer, body={"title": "T", "cost": 1})
    assert is_error(got, "400-bad-request.chat-channel-not-found", payload)


# Redemptions


def test_redemptions_are_grouped_by_reward(sandbox: Sandbox, bearer: Secret, payload: Any) -> None:
    first, second = redeem(sandbox, user_input="a song"), redeem(sandbox, STREAMERS.id, user_id=676)
    third = redeem(sandbox, at=NOW + 1)
    redeem(sandbox, ELSEWHERE.id)
    got = get(sandbox, REDEMPTIONS, bearer=bearer)
    assert same_shape(got, payload, "get-public-v1-channels-rewards-redemptions")
    assert got["pagination"] == {"next_cursor": ""}
    assert [
        (group["reward"]["id"], group["reward"]["can_manage"], [row["id"] for row in group["redemptions"]])
        for group in got["data"]
    ] == [(SONG.id, True, [first, third]), (STREAMERS.id, False, [second])]
    assert got["data"][0]["redemptions"][0]["user_input"] == "a song"
    assert got["data"][1]["redemptions"][0]["redeemer"] == {"user_id": 676}
    call(sandbox, "DELETE", f"{PATH}/{SONG.id}", bearer=bearer)
    assert get(sandbox, REDEMPTIONS, bearer=bearer)["data"][0]["reward"]["is_deleted"] is True


def test_redemptions_by_reward_status_and_id(sandbox: Sandbox, bearer: Secret) -> None:
    def ids(*query: tuple[str, object]) -> list[str]:
        groups = get(sandbox, REDEMPTIONS, *query, bearer=bearer)["data"]
        return [row["id"] for group in groups for row in group["redemptions"]]

    first, second, third = redeem(sandbox), redeem(sandbox, STREAMERS.id), redeem(sandbox)
    call(sandbox, "POST", f"{REDEMPTIONS}/accept", bearer=bearer, body={"ids": [first]})
    assert ids() == [second, third]
    assert ids(("reward_id", SONG.id)) == [third]
    assert ids(("status", "accepted")) == [first]
    assert ids(("status", "rejected")) == []
    assert ids(("reward_id", STREAMERS.id), ("status", "accepted")) == []
    assert ids(("id", first), ("id", third), ("id", "unknown")) == [first, third]


def test_a_reward_that_skips_the_queue_is_accepted_at_once(sandbox: Sandbox, bearer: Secret) -> None:
    sandbox.world = with_reward(sandbox.world, replace(SONG, skips_queue=True))
    made = redeem(sandbox)
    assert sandbox.world.redemptions[made].status == "accepted"
    assert get(sandbox, REDEMPTIONS, bearer=bearer)["data"] == []
    assert get(sandbox, REDEMPTIONS, ("status", "accepted"), bearer=bearer)["data"]
    with pytest.raises(KeyError):
        redeem(sandbox, "unknown")


def test_pages_of_redemptions_miss_nothing_while_they_are_decided(sandbox: Sandbox, bearer: Secret) -> None:
    sandbox.world = with_rules(sandbox.world, redemption_page=2)
    made = [redeem(sandbox, SONG.id if count % 2 else STREAMERS.id) for count in range(6)]
    made = [made[1], made[3], made[5]]
    query, seen = [("reward_id", SONG.id)], []
    for size in (2, 1):
        page = get(sandbox, REDEMPTIONS, *query, bearer=bearer)
        ids = [row["id"] for group in page["data"] for row in group["redemptions"]]
        assert len(ids) == size
        assert call(sandbox, "POST", f"{REDEMPTIONS}/accept", bearer=bearer, body={"ids": ids})[1]["data"] == []
        query = [("reward_id", SONG.id), ("cursor", page["pagination"]["next_cursor"])]
        seen += ids
    assert seen == made
    assert query[1] == ("cursor", "")


@pytest.mark.parametrize(
    "query",
    [
        (("status", "open"),),
        (("status", ""),),
        (("id", "a"), ("status", "pending")),
        (("id", "a"), ("reward_id", "b")),
        (("cursor", "%"),),
        (("reward_id", "a"), ("reward_id", "b")),
        tuple(("id", str(count)) for count in range(1001)),
    ],
)
def test_lists_of_redemptions_refused(sandbox: Sandbox, bearer: Secret, query: Any, payload: Any) -> None:
    assert is_error(call(sandbox, "GET", REDEMPTIONS, *query, bearer=bearer), "400-invalid-request", payload)


@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_a_decision_tells_what_failed(sandbox: Sandbox, bearer: Secret, decision: str, payload: Any) -> None:
    good, streamers, elsewhere = redeem(sandbox), redeem(sandbox, STREAMERS.id), redeem(sandbox, ELSEWHERE.id)
    stuck = redeem(sandbox)
    sandbox.world = with_rules(sandbox.world, failing_redemptions=(stuck,))
    path = f"{REDEMPTIONS}/{decision}"
    status, done = call(sandbox, "POST", path, bearer=bearer, body={"ids": [good]})
    assert (status, done) == (
        200,
        json.loads(payload("responses/post-public-v1-channels-rewards-redemptions-accept.json")),
    )
    assert sandbox.world.redemptions[good].status == f"{decision}ed"
    body = {"ids": [streamers, good, "unknown", elsewhere, stuck]}
    status, partial = call(sandbox, "POST", path, bearer=bearer, body=body)
    assert status == 200
    assert same_shape(partial, payload, "post-public-v1-channels-rewards-redemptions-accept.partial")
    assert [(row["id"], row["reason"]) for row in partial["data"]] == [
        (streamers, "NOT_OWNED"),
        (good, "NOT_PENDING"),
        ("unknown", "NOT_FOUND"),
        (elsewhere, "NOT_FOUND"),
        (stuck, "UNKNOWN"),
    ]
    assert {sandbox.world.redemptions[left].status for left in (streamers, elsewhere, stuck)} == {"pending"}


def test_25_redemptions_are_decided_at_once(sandbox: Sandbox, bearer: Secret) -> None:
    made = [redeem(sandbox) for _ in range(25)]
    assert call(sandbox, "POST", f"{REDEMPTIONS}/reject", bearer=bearer, body={"ids": made})[1]["data"] == []
    assert {held.status for held in sandbox.world.redemptions.values()} == {"rejected"}


@pytest.mark.parametrize(
    "body", [None, {}, {"ids": []}, {"ids": ["a", "a"]}, {"ids": [1]}, {"ids": [str(count) for count in range(26)]}]
)
def test_decisions_refused(sandbox: Sandbox, bearer: Secret, body: object, payload: Any) -> None:
    for decision in ("accept", "reject"):
        got = call(sandbox, "POST", f"{REDEMPTIONS}/{decision}", bearer=bearer, body=body)
        assert is_error(got, "400-invalid-request", payload)
