"""Channel rewards and their redemptions."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from worlds import APP_SLOT, GONE, NOW, World, changed, exchange, granting, json_response, refusal

from kickcore import Secret
from kickcore.api.rewards import (
    ChannelReward,
    FailedRedemption,
    FailureReason,
    RedeemedReward,
    Redeemer,
    Redemption,
    RedemptionStatus,
    RewardRedemptions,
    accept_reward_redemptions,
    create_channel_reward,
    delete_channel_reward,
    fetch_channel_rewards,
    fetch_reward_redemptions,
    reject_reward_redemptions,
    update_channel_reward,
)
from kickcore.effects import Program
from kickcore.errors import BadResponse, Forbidden, LoginRequired, MissingScopes, NetworkError, NotFound
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.oauth.tokens import Token

T = TypeVar("T")

URL = "https://api.kick.com/public/v1/channels/rewards"
ID = "01HZ8X9K2M4N6P8Q0R2S4T6V8W"
SONG = ChannelReward(
    ID,
    "Song Request",
    100,
    description="Request a song by providing a URL",
    background_color="#00e701",
    is_enabled=True,
    is_paused=False,
    is_user_input_required=True,
    should_redemptions_skip_request_queue=True,
)
REWARD = {"id": ID, "title": "Song Request", "cost": 100}
ODD: list[Any] = [GONE, None, "x", -5, 2.5, True, [1], {"a": 1}]


def _world() -> World:
    return granting("channel:rewards:write")


def _exchange(program: Program[T], answer: Any, scope: str = "channel:rewards:write") -> tuple[T, Request]:
    return exchange(program, answer, scope)


# --- Rewards


@pytest.mark.parametrize("scope", ["channel:rewards:read", "channel:rewards:write"])
def test_the_rewards_of_a_channel(payload: Any, scope: str) -> None:
    answer = Response(200, (), payload("responses/get-public-v1-channels-rewards.json"))
    rewards, request = _exchange(fetch_channel_rewards(), answer, scope)
    assert rewards == [SONG]
    assert (request.method, request.url, request.query, request.body) == ("GET", URL, (), b"")
    assert request.bearer == Secret("AT0")


def test_a_channel_without_rewards(payload: Any) -> None:
    answer = Response(200, (), payload("responses/get-public-v1-channels-rewards.empty.json"))
    assert _exchange(fetch_channel_rewards(), answer)[0] == []


def test_a_reward_is_made_as_in_the_example(payload: Any) -> None:
    reward, request = _exchange(
        create_channel_reward(
            100,
            "Song Request",
            background_color="#00e701",
            description="Request a song by providing a URL",
            is_enabled=True,
            is_user_input_required=True,
            should_redemptions_skip_request_queue=True,
        ),
        Response(200, (), payload("responses/post-public-v1-channels-rewards.json")),
    )
    assert reward == SONG
    assert (request.method, request.url, request.query, request.form) == ("POST", URL, (), ())
    assert request.bearer == Secret("AT0")
    assert json.loads(request.body) == json.loads(payload("requests/post-public-v1-channels-rewards.json"))


def test_a_reward_is_changed_as_in_the_example(payload: Any) -> None:
    reward, request = _exchange(
        update_channel_reward(ID, cost=200, is_paused=True, title="Updated Reward"),
        Response(200, (), payload("responses/patch-public-v1-channels-rewards-id.json")),
    )
    assert (reward.cost, reward.is_paused, reward.title) == (200, True, "Updated Reward")
    assert (request.method, request.url, request.query, request.form) == ("PATCH", f"{URL}/{ID}", (), ())
    assert request.bearer == Secret("AT0")
    assert json.loads(request.body) == json.loads(payload("requests/patch-public-v1-channels-rewards-id.json"))


@pytest.mark.parametrize("answer", [Response(204), Response(200, (), b'{"data":{},"message":"OK"}'), Response(202)])
def test_a_reward_is_deleted_by_its_id(answer: Response) -> None:
    value, request = _exchange(delete_channel_reward(ID), answer)
    assert value is None
    assert (request.method, request.url, request.query, request.body) == ("DELETE", f"{URL}/{ID}", (), b"")
    assert request.bearer == Secret("AT0")


FLAGS = ["is_enabled", "is_user_input_required", "should_redemptions_skip_request_queue"]
GOOD: dict[str, list[Any]] = {
    "cost": [1, 2**64 - 1],
    "title": ["a", "😀" * 50],
    "description": ["", "ü" * 200],
    "background_color": ["#00E7ff"],
    **{name: [False, True] for name in FLAGS},
}
BAD: dict[str, list[Any]] = {
    "cost": [0, -1, 2**64, True, 1.0, "1"],
    "title": ["", "a" * 51, "\ud800", b"a", 5],
    "description": ["a" * 201, "\udfff", 5],
    "background_color": ["", "00e701", "#00e70", "#00e7011", "#00e70g", "#00e70\n", "#00e70١", "x00e701", 5],
    **{name: [0, 1, 1.0, "true", []] for name in FLAGS},
}


def _pairs(values: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, value) for name, listed in values.items() for value in listed]


@pytest.mark.parametrize(("member", "value"), _pairs(GOOD), ids=lambda value: repr(value)[:30])
def test_only_what_is_given_is_sent(member: str, value: Any) -> None:
    made = {"cost": 5, "title": "t", member: value}
    assert json.loads(_exchange(create_channel_reward(**made), REWARD)[1].body) == made
    changes = {member: value}
    assert json.loads(_exchange(update_channel_reward(ID, **changes), REWARD)[1].body) == changes


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_reward_can_be_paused_when_it_is_there(is_paused: bool) -> None:
    body = json.loads(_exchange(update_channel_reward(ID, is_paused=is_paused), REWARD)[1].body)
    assert body == {"is_paused": is_paused}


@pytest.mark.parametrize(("member", "value"), _pairs(BAD), ids=lambda value: repr(value)[:30])
def test_what_kick_would_not_take_is_refused(member: str, value: Any) -> None:
    made: dict[str, Any] = {"cost": 5, "title": "t", member: value}
    changes: dict[str, Any] = {member: value}
    for program in (create_channel_reward(**made), update_channel_reward(ID, **changes)):
        refused = refusal(program)
        assert refused.parameter == member
        assert str(refused).startswith(member)


@pytest.mark.parametrize("value", [1, "yes"])
def test_paused_is_true_or_false(value: Any) -> None:
    assert str(refusal(update_channel_reward(ID, is_paused=value))).startswith("is_paused is True or False, not ")


@pytest.mark.parametrize("member", ["cost", "title"])
def test_a_new_reward_has_a_cost_and_a_title(member: str) -> None:
    made: dict[str, Any] = {"cost": 5, "title": "t", member: None}
    assert refusal(create_channel_reward(**made)).parameter == member


def test_a_change_of_nothing_is_refused() -> None:
    assert "at least one" in str(refusal(update_channel_reward(ID)))
    assert "at least one" in str(refusal(update_channel_reward(ID, title=None, is_paused=None)))


@pytest.mark.parametrize("bad", ["", ".", "..", "a b", "a\n", "ä", "\ud800", "x" * 129, 5, None], ids=repr)
def test_what_is_no_id_of_a_reward_is_refused(bad: Any) -> None:
    assert refusal(update_channel_reward(bad, cost=5)).parameter == "reward_id"
    assert refusal(delete_channel_reward(bad)).parameter == "reward_id"


@pytest.mark.parametrize("length", [1, 26, 27, 30, 128])
def test_an_id_may_have_another_length_than_kicks_own(length: int) -> None:
    reward_id = "0" * length
    assert _exchange(delete_channel_reward(reward_id), Response(204))[1].url == f"{URL}/{reward_id}"
    assert _exchange(update_channel_reward(reward_id, cost=5), REWARD)[1].url == f"{URL}/{reward_id}"


def test_an_odd_id_cannot_leave_its_place_in_the_path() -> None:
    wanted = f"{URL}/..%2Fredemptions%3Fa%23b"
    assert _exchange(delete_channel_reward("../redemptions?a#b"), Response(204))[1].url == wanted
    assert _exchange(update_channel_reward("../redemptions?a#b", cost=5), REWARD)[1].url == wanted


@pytest.mark.parametrize(("name", "kind"), [("403-forbidden", Forbidden), ("404-not-found", NotFound)])
def test_the_reward_of_another_app_cannot_be_changed(payload: Any, name: str, kind: Any) -> None:
    answer = Response(int(name[:3]), (), payload(f"errors/{name}.json"))
    with pytest.raises(kind):
        _exchange(update_channel_reward(ID, cost=5), answer)
    with pytest.raises(kind):
        _exchange(delete_channel_reward(ID), answer)


# --- Redemptions


def test_pending_redemptions_come_by_reward(payload: Any) -> None:
    answer = Response(200, (), payload("responses/get-public-v1-channels-rewards-redemptions.json"))
    page, request = _exchange(fetch_reward_redemptions(), answer)
    (group,) = page
    assert group.reward == RedeemedReward(
        "01KBHE7RZNHB0SKDV1H86CD4F3",
        "Unban Request",
        cost=100,
        description="Request to have your ban lifted",
        can_manage=True,
        is_deleted=False,
    )
    assert group.redemptions == (
        Redemption(
            "01KCTMJ2X3DXT814CVX8FR9T1D",
            "pending",
            redeemed_at=datetime(2025, 12, 19, 6, 26, 36, tzinfo=UTC),
            redeemer=Redeemer(123),
            user_input="sorry mr strimer",
        ),
    )
    assert group.redemptions[0].status == RedemptionStatus.PENDING
    assert page.next_cursor is None
    assert (request.method, request.url, request.query, request.body) == ("GET", f"{URL}/redemptions", (), b"")
    assert request.bearer == Secret("AT0")


def test_the_next_page() -> None:
    answer = json_response({"data": [], "message": "OK", "pagination": {"next_cursor": "c2"}})
    page, request = _exchange(fetch_reward_redemptions(cursor="c1"), answer, "channel:rewards:read")
    assert (len(page), page.next_cursor) == (0, "c2")
    assert request.query == (("cursor", "c1"),)


@pytest.mark.parametrize(
    ("filters", "query"),
    [
        ({"reward_id": ID}, [("reward_id", ID)]),
        ({"status": "accepted"}, [("status", "accepted")]),
        ({"status": RedemptionStatus.REJECTED}, [("status", "rejected")]),
        ({"reward_id": ID, "status": "pending"}, [("reward_id", ID), ("status", "pending")]),
        ({"ids": ["b", "a", "b"]}, [("id", "b"), ("id", "a")]),
        ({"ids": iter([ID]), "cursor": "c"}, [("id", ID), ("cursor", "c")]),
        ({"ids": [f"{number}" for number in range(30)]}, [("id", f"{number}") for number in range(30)]),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_filters(filters: dict[str, Any], query: list[tuple[str, str]]) -> None:
    assert _exchange(fetch_reward_redemptions(**filters), [])[1].query == tuple(query)


BAD_FILTERS: dict[str, list[Any]] = {
    "ids": [[], ID, [""], ["x" * 129], [5], 5],
    "status": ["", "PENDING", "done", ["pending"], 5],
    "reward_id": ["", "x" * 129, "\ud800", 5],
    "cursor": ["", "x" * 1025, 5],
}


@pytest.mark.parametrize(("name", "value"), _pairs(BAD_FILTERS), ids=lambda value: repr(value)[:30])
def test_filters_that_kick_would_not_take_are_refused(name: str, value: Any) -> None:
    filters: dict[str, Any] = {name: value}
    assert refusal(fetch_reward_redemptions(**filters)).parameter == name


@pytest.mark.parametrize("other", [{"reward_id": ID}, {"status": "pending"}, {"reward_id": ID, "status": "pending"}])
def test_ids_take_no_other_filter_beside_them(other: dict[str, Any]) -> None:
    assert refusal(fetch_reward_redemptions(ids=[ID], **other)).parameter == "ids"


# --- Decisions

DECISIONS: dict[str, Callable[..., Program[list[FailedRedemption]]]] = {
    "accept": accept_reward_redemptions,
    "reject": reject_reward_redemptions,
}
TWO = ["01KEWZ2RKYZZFGD154K50Y3F8D", "01KEWZ2YC27070XWMHKFJR6C87"]


@pytest.mark.parametrize("word", DECISIONS)
def test_where_all_is_done_nothing_comes_back(payload: Any, word: str) -> None:
    answer = Response(200, (), payload(f"responses/post-public-v1-channels-rewards-redemptions-{word}.json"))
    failed, request = _exchange(DECISIONS[word](TWO), answer)
    assert failed == []
    assert (request.method, request.url, request.query, request.form) == ("POST", f"{URL}/redemptions/{word}", (), ())
    assert request.bearer == Secret("AT0")
    wanted = payload("requests/post-public-v1-channels-rewards-redemptions-accept.json")
    assert json.loads(request.body) == json.loads(wanted)


@pytest.mark.parametrize("word", DECISIONS)
def test_those_that_failed_come_with_a_reason(payload: Any, word: str) -> None:
    answer = Response(200, (), payload("responses/post-public-v1-channels-rewards-redemptions-accept.partial.json"))
    assert _exchange(DECISIONS[word](TWO), answer)[0] == [
        FailedRedemption("01KERB68MZZ04551D6X5TNRFYV", FailureReason.NOT_OWNED),
        FailedRedemption("01KEWZ2YC27070XWMHKFJR6C87", FailureReason.NOT_PENDING),
    ]


@pytest.mark.parametrize("word", DECISIONS)
@pytest.mark.parametrize("count", [1, 25])
def test_1_to_25_different_ids_are_one_request(word: str, count: int) -> None:
    ids = [f"{number}" for number in range(count)]
    assert json.loads(_exchange(DECISIONS[word](iter(ids + ids)), [])[1].body) == {"ids": ids}


@pytest.mark.parametrize("word", DECISIONS)
def test_more_than_25_are_refused_and_not_split(word: str) -> None:
    refused = refusal(DECISIONS[word](str(number) for number in range(26)))
    assert refused.parameter == "ids"
    assert str(refused) == "ids takes 1 to 25 items, not 26"


@pytest.mark.parametrize("word", DECISIONS)
@pytest.mark.parametrize(
    "bad", [[], ID, [""], ["x" * 129], ["\ud800"], [5], [None], 5, None], ids=lambda v: repr(v)[:20]
)
def test_what_is_no_list_of_ids_is_refused(word: str, bad: Any) -> None:
    assert refusal(DECISIONS[word](bad)).parameter == "ids"


@pytest.mark.parametrize(
    "program",
    [
        lambda: accept_reward_redemptions([ID]),
        lambda: reject_reward_redemptions([ID]),
        lambda: create_channel_reward(5, "t"),
        lambda: update_channel_reward(ID, cost=5),
    ],
    ids=["accept", "reject", "create", "update"],
)
def test_what_kick_may_have_done_is_not_sent_again(program: Any) -> None:
    world = _world()
    world.kick.api = lambda _: Unreachable("reset", Sent.MAYBE)
    with pytest.raises(NetworkError):
        world.run(program())
    assert len(world.sent) == 1


# --- Members

FULL = {
    **REWARD,
    "description": "d",
    "background_color": "#00e701",
    "is_enabled": True,
    "is_paused": False,
    "is_user_input_required": True,
    "should_redemptions_skip_request_queue": True,
}
REDEEMED = {**REWARD, "description": "d", "can_manage": True, "is_deleted": False}
REDEMPTION = {
    "id": ID,
    "status": "pending",
    "redeemed_at": "2025-12-19T06:26:36Z",
    "redeemer": {"user_id": 123},
    "user_input": "x",
}
GROUP = {"reward": REDEEMED, "redemptions": [REDEMPTION]}


def _redemptions(**members: Any) -> tuple[Program[Any], Any]:
    return fetch_reward_redemptions(), [GROUP, GROUP | members]


MODELS: dict[str, tuple[dict[str, Any], Callable[[Any], tuple[Program[Any], Any]], set[str]]] = {
    "listed": (FULL, lambda row: (fetch_channel_rewards(), [FULL, row]), {"id", "title", "cost"}),
    "made": (FULL, lambda row: (create_channel_reward(5, "t"), row), {"id", "title", "cost"}),
    "group": (GROUP, lambda row: (fetch_reward_redemptions(), [GROUP, row]), {"reward"}),
    "redeemed": (REDEEMED, lambda row: _redemptions(reward=row), {"id", "title"}),
    "redemption": (REDEMPTION, lambda row: _redemptions(redemptions=[REDEMPTION, row]), {"id", "status"}),
    "redeemer": (
        {"user_id": 123},
        lambda row: _redemptions(redemptions=[REDEMPTION | {"redeemer": row}]),
        {"user_id"},
    ),
    "failed": (
        {"id": ID, "reason": "UNKNOWN"},
        lambda row: (accept_reward_redemptions([ID]), [row]),
        {"id", "reason"},
    ),
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


@pytest.mark.parametrize("data", [None, {}, "x", 5], ids=repr)
def test_an_answer_of_another_kind_is_a_bad_response(data: Any) -> None:
    for program in (fetch_channel_rewards(), fetch_reward_redemptions(), accept_reward_redemptions([ID])):
        with pytest.raises(BadResponse, match="data"):
            _exchange(program, data)


@pytest.mark.parametrize("listed", [GONE, None, []], ids=["gone", "null", "empty"])
def test_without_redemptions_the_list_is_empty(listed: Any) -> None:
    (group,) = _exchange(fetch_reward_redemptions(), [changed(GROUP, "redemptions", listed)])[0]
    assert group.redemptions == ()
    assert group == RewardRedemptions(group.reward)


def test_what_stands_for_nothing_is_none_and_what_is_false_is_kept() -> None:
    assert ChannelReward(ID, "t", 1, "", "", is_enabled=False) == ChannelReward(ID, "t", 1, is_enabled=False)
    assert ChannelReward(ID, "t", 1, is_enabled=False).is_enabled is False
    assert RedeemedReward(ID, "t", 0, "", can_manage=False) == RedeemedReward(ID, "t", 0, can_manage=False)
    assert RedeemedReward(ID, "t", 0).cost == 0
    never = datetime(1, 1, 1, tzinfo=UTC)
    assert Redemption(ID, "pending", redeemed_at=never, user_input="") == Redemption(ID, "pending")


def test_texts_that_are_new_are_kept() -> None:
    page, _ = _exchange(*_redemptions(redemptions=[REDEMPTION | {"status": "melted"}]))
    assert page[1].redemptions[0].status == "melted"
    assert _exchange(accept_reward_redemptions([ID]), [{"id": ID, "reason": "TOO_LATE"}])[0] == [
        FailedRedemption(ID, "TOO_LATE")
    ]
    assert Redemption.known == {"status": RedemptionStatus}
    assert FailedRedemption.known == {"reason": FailureReason}


# --- Scopes


@pytest.mark.parametrize(
    ("program", "held", "missing"),
    [
        (fetch_channel_rewards, "channel:read", "channel:rewards:read or channel:rewards:write"),
        (fetch_reward_redemptions, "channel:read", "channel:rewards:read or channel:rewards:write"),
        (lambda: create_channel_reward(5, "t"), "channel:rewards:read", "channel:rewards:write"),
        (lambda: update_channel_reward(ID, cost=5), "channel:rewards:read", "channel:rewards:write"),
        (lambda: delete_channel_reward(ID), "channel:rewards:read", "channel:rewards:write"),
        (lambda: accept_reward_redemptions([ID]), "channel:rewards:read", "channel:rewards:write"),
        (lambda: reject_reward_redemptions([ID]), "channel:rewards:read", "channel:rewards:write"),
    ],
    ids=["rewards", "redemptions", "create", "update", "delete", "accept", "reject"],
)
def test_rewards_need_a_user_with_the_scope_and_an_app_token_will_not_do(program: Any, held: str, missing: str) -> None:
    world = World()
    world.put(APP_SLOT, Token(Secret("APP0"), NOW + 86400, NOW))
    with pytest.raises(LoginRequired):
        world.run(program())
    world.log_in(scope=held)
    with pytest.raises(MissingScopes, match=missing):
        world.run(program())
    assert world.sent == []
