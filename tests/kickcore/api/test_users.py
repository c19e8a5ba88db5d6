"""Users."""

from typing import Any

import pytest
from worlds import World, exchange, json_response, refusal, shown, user_world

from kickcore import Secret
from kickcore.api.users import User, fetch_user, fetch_users
from kickcore.errors import LoginRequired, MissingScopes, NotFound
from kickcore.http import Request, Response

URL = "https://api.kick.com/public/v1/users"
GROUP = "GET /public/v1/users"
FUSED = User(
    4809577,
    "FusedChat",
    None,
    "https://files.kick.com/images/user/4809577/profile_image/conversion/9028f795-f3ef-42dc-9cfc-7cb7ba6f32fa-medium.webp",
)


def test_users_by_id(payload: Any) -> None:
    users, request = exchange(
        fetch_users([4809577, 2408714]), Response(200, (), payload("responses/get-public-v1-users.by-id.json"))
    )
    assert [user.user_id for user in users] == [4809577, 2408714]
    assert users[0] == FUSED
    assert users[1].email is None
    assert request == Request(
        "GET", URL, query=(("id", "4809577"), ("id", "2408714")), bearer=Secret("APP0"), group=GROUP
    )


def test_a_user_by_id(payload: Any) -> None:
    answer = Response(200, (), payload("responses/get-public-v1-users.by-id.json"))
    user, request = exchange(fetch_user(4809577), answer)
    assert user == FUSED
    assert request.query == (("id", "4809577"),)
    assert exchange(fetch_user(2408714), answer)[0].name == "TheStaticMage"


def test_your_own_user(payload: Any) -> None:
    user, request = exchange(fetch_user(), Response(200, (), payload("responses/get-public-v1-users.own.json")))
    assert user == User(
        721956,
        "scorfly",
        "owner@example.com",
        "https://files.kick.com/images/user/721956/profile_image/conversion/44a9f1fb-0498-47b5-820e-ef9399fd23d4-fullsize.webp",
    )
    assert request == Request("GET", URL, bearer=Secret("AT0"), group=GROUP)


@pytest.mark.parametrize("data", [[], [{"user_id": 6, "name": "somebody else"}]])
def test_a_user_that_is_not_in_the_answer_is_not_found(data: list[object]) -> None:
    with pytest.raises(NotFound) as caught:
        exchange(fetch_user(5), data)
    assert caught.value.status == 200
    assert caught.value.operation == "GET /public/v1/users"


def test_no_own_user_is_not_found() -> None:
    with pytest.raises(NotFound):
        exchange(fetch_user(), [])


def test_users_that_kick_does_not_know_are_left_out() -> None:
    assert exchange(fetch_users([5, 6]), [{"user_id": 6, "name": "b"}])[0] == [User(6, "b")]


def test_your_own_user_needs_a_login_and_a_scope() -> None:
    world = World()
    with pytest.raises(LoginRequired):
        world.run(fetch_user())
    world.log_in(scope="chat:write")
    with pytest.raises(MissingScopes, match="user:read"):
        world.run(fetch_user())
    assert world.sent == []


def test_120_users_are_asked_for_in_three_requests_and_come_in_order() -> None:
    world = user_world()
    world.kick.api = lambda request: json_response(
        {"data": [{"user_id": int(value), "name": f"u{value}"} for _, value in request.query if isinstance(value, str)]}
    )
    users = world.run(fetch_users(range(1, 121)))
    assert [user.user_id for user in users] == list(range(1, 121))
    assert [len(request.query) for request in world.sent] == [50, 50, 20]


def test_an_id_that_is_given_twice_is_asked_for_once() -> None:
    assert shown(exchange(fetch_users([5, 5, 5]), [])[1].query) == {"id": "5"}
    assert len(exchange(fetch_users([5, 6, 5]), [])[1].query) == 2


@pytest.mark.parametrize("bad", [0, -1, 2**64, True, False, "5", 5.0, [5]], ids=repr)
def test_what_is_no_user_id_is_refused(bad: Any) -> None:
    assert refusal(fetch_user(bad)).parameter == "user_id"
    assert refusal(fetch_users([1, bad])).parameter == "user_ids"


@pytest.mark.parametrize("bad", [[], 5, None, "5", {"a": 1}], ids=repr)
def test_what_is_no_list_of_ids_is_refused(bad: Any) -> None:
    assert refusal(fetch_users(bad)).parameter == "user_ids"


def test_the_largest_id_is_asked_for_as_it_is() -> None:
    assert shown(exchange(fetch_users([2**64 - 1]), [])[1].query) == {"id": "18446744073709551615"}
