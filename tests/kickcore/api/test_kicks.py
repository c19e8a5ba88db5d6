"""KICKs."""

from typing import Any, TypeVar

import pytest
from worlds import APP_SLOT, GONE, NOW, World, changed, exchange, refusal

from kickcore import Secret
from kickcore.api.kicks import KicksLeaderboard, KicksLeaderboardEntry, fetch_kicks_leaderboard
from kickcore.effects import Program
from kickcore.errors import BadResponse, LoginRequired, MissingScopes
from kickcore.http import Request, Response
from kickcore.oauth.tokens import Token

T = TypeVar("T")

URL = "https://api.kick.com/public/v1/kicks/leaderboard"
ENTRY = {"gifted_amount": 5000, "rank": 1, "user_id": 123456, "username": "user1"}
BOARD = {"lifetime": [ENTRY], "month": [ENTRY], "week": [ENTRY]}
ODD: list[Any] = [GONE, None, "x", -5, 2.5, True, [1], {"a": 1}]


def _exchange(program: Program[T], answer: Any) -> tuple[T, Request]:
    return exchange(program, answer, "kicks:read")


def test_the_leaderboard(payload: Any) -> None:
    board, request = _exchange(
        fetch_kicks_leaderboard(), Response(200, (), payload("responses/get-public-v1-kicks-leaderboard.json"))
    )
    assert board.lifetime == (KicksLeaderboardEntry(123456, 1, 5000, "user1"),)
    assert board.month == (KicksLeaderboardEntry(789012, 1, 2000, "user2"),)
    assert board.week == (KicksLeaderboardEntry(user_id=345678, rank=1, gifted_amount=1000, username="user3"),)
    assert (request.method, request.url, request.body) == ("GET", URL, b"")
    assert request.query == (("top", "10"),)
    assert request.bearer == Secret("AT0")


@pytest.mark.parametrize("top", [1, 100])
def test_as_many_as_are_asked_for(top: int) -> None:
    assert _exchange(fetch_kicks_leaderboard(top), BOARD)[1].query == (("top", str(top)),)


@pytest.mark.parametrize("top", [0, -1, 101, 2**70, True, 10.0, "10", None, [10]], ids=repr)
def test_what_is_no_number_of_places_is_refused(top: Any) -> None:
    refused = refusal(fetch_kicks_leaderboard(top))
    assert refused.parameter == "top"
    assert str(refused).startswith("top is ")


def test_the_limits_are_told() -> None:
    assert str(refusal(fetch_kicks_leaderboard(101))) == "top is from 1 to 100, not 101"


@pytest.mark.parametrize("data", [{}, {"lifetime": None, "month": None, "week": None}, {name: [] for name in BOARD}])
def test_a_list_of_nobody_is_empty(data: Any) -> None:
    board, _ = _exchange(fetch_kicks_leaderboard(), data)
    assert (board.lifetime, board.month, board.week) == ((), (), ())
    assert board == KicksLeaderboard()


@pytest.mark.parametrize("odd", ODD, ids=lambda value: "gone" if value is GONE else repr(value))
@pytest.mark.parametrize("member", [*ENTRY, "new_member"])
def test_a_changed_member_of_an_entry_gives_a_value_or_an_error_that_names_it(member: str, odd: Any) -> None:
    said = ""
    try:
        _exchange(fetch_kicks_leaderboard(), BOARD | {"month": [changed(ENTRY, member, odd)]})
    except BadResponse as error:
        said = str(error)
    assert not said or f"`{member}`" in said or f".{member}`" in said
    assert member != "new_member" or not said


@pytest.mark.parametrize("odd", ODD, ids=lambda value: "gone" if value is GONE else repr(value))
@pytest.mark.parametrize("member", [*BOARD, "new_member"])
def test_a_changed_list_gives_a_value_or_an_error_that_names_it(member: str, odd: Any) -> None:
    said = ""
    try:
        _exchange(fetch_kicks_leaderboard(), changed(BOARD, member, odd))
    except BadResponse as error:
        said = str(error)
    assert not said or f".{member}" in said
    assert member != "new_member" or not said


@pytest.mark.parametrize(("member", "needed"), [(name, name != "username") for name in ENTRY])
def test_an_entry_needs_all_but_a_name(member: str, needed: bool) -> None:
    data = {"week": [changed(ENTRY, member, GONE)]}
    if needed:
        with pytest.raises(BadResponse, match=f"`{member}`"):
            _exchange(fetch_kicks_leaderboard(), data)
    else:
        nulled = {"week": [ENTRY | {member: None}]}
        assert _exchange(fetch_kicks_leaderboard(), data)[0] == _exchange(fetch_kicks_leaderboard(), nulled)[0]


@pytest.mark.parametrize("data", [None, [], "x", 5], ids=repr)
def test_an_answer_of_another_kind_is_a_bad_response(data: Any) -> None:
    with pytest.raises(BadResponse, match="data"):
        _exchange(fetch_kicks_leaderboard(), data)


def test_what_stands_for_nothing_is_none_and_a_zero_is_kept() -> None:
    assert KicksLeaderboardEntry(5, 1, 0, "") == KicksLeaderboardEntry(5, 1, 0)
    assert KicksLeaderboardEntry(5, 1, 0).gifted_amount == 0


def test_the_leaderboard_needs_a_user_with_the_scope_and_an_app_token_will_not_do() -> None:
    world = World()
    world.put(APP_SLOT, Token(Secret("APP0"), NOW + 86400, NOW))
    with pytest.raises(LoginRequired):
        world.run(fetch_kicks_leaderboard())
    world.log_in(scope="channel:read")
    with pytest.raises(MissingScopes, match="kicks:read"):
        world.run(fetch_kicks_leaderboard())
    assert world.sent == []
