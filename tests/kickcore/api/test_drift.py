"""News in Kick's answers: ignored, told or refused."""

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PAYLOADS
from worlds import World, json_response, user_world

from kickcore.api.call import APP, Call, call, call_page
from kickcore.api.categories import Category, fetch_categories
from kickcore.api.channels import Channel, fetch_channel, fetch_channels, update_channel
from kickcore.api.chat import send_chat_message
from kickcore.api.drift import drift_in
from kickcore.api.livestreams import (
    fetch_livestream_stats,
    fetch_livestreams,
    fetch_user_livestreams,
)
from kickcore.api.model import Instant, Model
from kickcore.api.users import User, fetch_user, fetch_users
from kickcore.effects import Program
from kickcore.errors import BadResponse, HTTPError
from kickcore.http import Response
from kickcore.notices import DriftNoticed
from kickcore.policy import Drift, Policy
from kickcore.testing import json_values

GET = "GET /public/v1/channels"
TELL, REFUSE = Policy(drift=Drift.TELL), Policy(drift=Drift.REFUSE)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(Model, frozen=True):
    id: int
    colour: str | None = None

    known: ClassVar[dict[str, type[StrEnum]]] = {"colour": Colour}


class Outer(Model, frozen=True):
    id: int
    one: Inner | None = None
    many: tuple[Inner, ...] | None = None
    listed: list[Inner] | None = None
    named: tuple[Inner, ...] | None = msgspec.field(default=None, name="other_name")
    shade: str | None = msgspec.field(default=None, name="colour")
    at: Instant | None = None

    known: ClassVar[dict[str, type[StrEnum]]] = {"shade": Colour}


def told(data: Any, answer: Any = list[Outer]) -> list[tuple[str, str]]:
    notices = drift_in(json.dumps({"data": data, "message": "OK"}).encode(), answer, GET)
    assert {notice.operation for notice in notices} <= {GET}
    return [(notice.member, notice.value) for notice in notices]


# --- What is new


def test_what_is_known_is_no_news() -> None:
    inner = {"id": 1, "colour": "red"}
    whole = {
        "id": 1,
        "one": inner,
        "many": [inner],
        "listed": [inner, {"id": 2}],
        "other_name": [inner],
        "colour": "blue",
        "at": "2026-01-01T00:00:00Z",
    }
    assert told([whole, {"id": 2}]) == []
    assert told(whole, Outer) == []
    assert told([], list[Outer]) == []


@pytest.mark.parametrize("nothing", [None, ""])
def test_what_is_not_there_is_no_news(nothing: Any) -> None:
    assert told([{"id": 1, "colour": nothing, "one": {"id": 1, "colour": nothing}}]) == []
    assert told([{"id": 1, "one": None, "many": None, "listed": None, "other_name": None, "at": None}]) == []
    assert told(None) == told(None, Outer) == told(None, Outer | None) == []


@pytest.mark.parametrize(
    ("data", "member"),
    [
        ([{"id": 1, "new": 5}], "data[].new"),
        ([{"id": 1, "new": None}], "data[].new"),
        ([{"id": 1, "one": {"id": 1, "new": 5}}], "data[].one.new"),
        ([{"id": 1}, {"id": 1, "many": [{"id": 1}, {"id": 1, "new": []}]}], "data[].many[].new"),
        ([{"id": 1, "listed": [{"id": 1, "new": {}}]}], "data[].listed[].new"),
        ([{"id": 1, "other_name": [{"id": 1, "new": 5}]}], "data[].other_name[].new"),
        ([{"id": 1, "named": []}], "data[].named"),
        ([{"id": 1, "shade": "red"}], "data[].shade"),
    ],
)
def test_a_new_member_is_told_by_its_path(data: Any, member: str) -> None:
    assert told(data) == [(member, "")]


def test_members_of_one_value_and_of_an_optional_one() -> None:
    assert told({"id": 1, "new": 5}, Outer) == [("data.new", "")]
    assert told({"id": 1, "new": 5}, Outer | None) == [("data.new", "")]
    assert told([{"id": 1, "new": 5}], tuple[Outer, ...]) == [("data[].new", "")]


@pytest.mark.parametrize(
    ("data", "news"),
    [
        ([{"id": 1, "colour": "green"}], ("data[].colour", "green")),
        ([{"id": 1, "colour": "RED"}], ("data[].colour", "RED")),
        ([{"id": 1, "one": {"id": 1, "colour": "green"}}], ("data[].one.colour", "green")),
        ([{"id": 1, "many": [{"id": 1, "colour": "green"}]}], ("data[].many[].colour", "green")),
        ([{"id": 1, "colour": "\x1b[31mgreen\n"}], ("data[].colour", "[31mgreen")),
    ],
)
def test_a_new_value_is_told_with_its_path(data: Any, news: tuple[str, str]) -> None:
    assert told(data) == [news]


def test_each_is_told_once_and_in_order() -> None:
    row = {"id": 1, "colour": "green", "new": 5, "many": [{"id": 1, "new": 1}] * 3}
    news = [("data[].colour", "green"), ("data[].new", ""), ("data[].many[].new", "")]
    assert told([row] * 50) == news
    assert told([row, {"id": 2, "colour": "grey"}]) == [*news, ("data[].colour", "grey")]


def test_what_stands_beside_the_data_is_not_looked_at() -> None:
    body = json.dumps({"data": [], "message": "OK", "pagination": {"next_cursor": "", "new": 5}, "new": 5}).encode()
    assert drift_in(body, list[Outer], GET) == []


def test_names_and_values_are_cleaned_and_cut() -> None:
    ((member, _),) = told([{"id": 1, "\x1b]0;owned\x07" + "x" * 1_000_000: 5}])
    assert member.startswith("data[].]0;owned x")
    assert member.isprintable()
    assert len(member) <= 100
    ((_, value),) = told([{"id": 1, "colour": "x" * 1_000_000}])
    assert len(value) <= 80


@pytest.mark.parametrize(
    "body",
    [b"", b"OK", b"null", b"[]", b"{}", b"5", b'{"data":5}', b'{"data":"x"}', b'{"data":[[]]}', b'{"data":[5,null]}',
     b"\xff", b'{"data":' + b"[" * 100_000, b'{"data":{"id":1}}', b'{"data":[{"one":[],"many":{},"colour":5}]}'],
    ids=lambda body: repr(body)[:40],
)  # fmt: skip
def test_what_cannot_be_read_has_no_news(body: bytes) -> None:
    assert drift_in(body, list[Outer], GET) == []


@given(json_values(), st.sampled_from([list[Outer], Outer, list[Channel], Channel, User, list[User] | None]))
def test_no_body_breaks_it(data: Any, answer: Any) -> None:
    for body in (data, {"data": data}, {"data": [data]}, {"data": [{"stream": data, "one": data, "colour": data}]}):
        for notice in drift_in(json.dumps(body).encode(), answer, GET):
            assert notice.member.startswith("data")
            assert notice.member.isprintable()


# --- What is done about it

NEW = {"broadcaster_user_id": 5, "slug": "anna", "stream": {"is_live": True, "bitrate": 6000}, "follower_count": 9}
ROWS: list[dict[str, Any]] = [NEW, {**NEW, "broadcaster_user_id": 6}]
NOTICES = [DriftNoticed(GET, "data[].stream.bitrate"), DriftNoticed(GET, "data[].follower_count")]


def answered_by(data: Any, policy: Policy | None, status: int = 200) -> World:
    world = user_world(policy=policy)
    answer = data if isinstance(data, Response) else json_response({"data": data, "message": "OK"}, status)
    world.kick.api = lambda _: answer
    return world


def test_it_is_ignored_if_nothing_is_said() -> None:
    world = answered_by(ROWS, None)
    assert world.run(fetch_channel(5)).slug == "anna"
    assert world.notices == []


def test_it_is_told_and_the_answer_is_read() -> None:
    world = answered_by(ROWS, TELL)
    channel = world.run(fetch_channel(5))
    assert channel.stream is not None
    assert channel.stream.is_live
    assert world.notices == NOTICES


def test_it_is_refused_and_nothing_is_told() -> None:
    world = answered_by(ROWS, REFUSE)
    with pytest.raises(BadResponse, match=r"has a member .* at data\[\]\.stream\.bitrate$") as caught:
        world.run(fetch_channel(5))
    assert (caught.value.status, caught.value.operation) == (200, GET)
    assert world.notices == []


def test_a_value_is_kept_told_and_refused() -> None:
    asked = Call[list[Outer]](operation=GET, answer=list[Outer], tokens=APP)
    rows = [{"id": 1, "colour": "green"}]
    assert answered_by(rows, None).run(call(asked))[0].shade == "green"
    world = answered_by(rows, TELL)
    assert world.run(call(asked))[0].shade == "green"
    assert world.notices == [DriftNoticed(GET, "data[].colour", "green")]
    with pytest.raises(BadResponse, match=r"the value 'green' .* at data\[\]\.colour$"):
        answered_by(rows, REFUSE).run(call(asked))
    with pytest.raises(BadResponse) as caught:
        answered_by([{"id": 1, "x" * 100_000: 1}], REFUSE).run(call(asked))
    assert len(str(caught.value)) < 400


def test_pages_are_looked_at_too() -> None:
    rows = [{"id": "x", "category": {"id": 15, "name": "c", "new": 5}}]
    world = answered_by(rows, TELL)
    assert len(world.run(fetch_livestreams())) == 1
    assert world.notices == [DriftNoticed("GET /public/v2/livestreams", "data[].category.new")]
    asked = Call[list[Category]](operation=GET, answer=list[Category], tokens=APP)
    with pytest.raises(BadResponse):
        answered_by([{"id": 1, "name": "a", "new": 1}], REFUSE).run(call_page(asked))


def test_where_nothing_is_expected_nothing_is_new() -> None:
    for policy in (TELL, REFUSE):
        world = answered_by({"new": 5}, policy)
        assert world.run(update_channel(stream_title="t")) is None
        assert world.notices == []


def test_an_error_has_no_news() -> None:
    world = answered_by([NEW], REFUSE, status=400)
    with pytest.raises(HTTPError) as caught:
        world.run(fetch_channel(5))
    assert caught.value.status == 400
    assert world.notices == []


@pytest.mark.parametrize("policy", [None, TELL, REFUSE])
def test_an_answer_that_does_not_fit_is_a_bad_response_all_the_same(policy: Policy | None) -> None:
    with pytest.raises(BadResponse, match="slug"):
        answered_by([{"broadcaster_user_id": 5}], policy).run(fetch_channel(5))


# --- Every sample

SAMPLES: dict[str, Callable[[], Program[Any]]] = {
    "get-public-v1-users.by-id": lambda: fetch_users([4809577, 2408714]),
    "get-public-v1-users.own": fetch_user,
    "get-public-v1-channels.app-live": lambda: fetch_channel(721956),
    "get-public-v1-channels.none-found": lambda: fetch_channels(user_ids=[5]),
    "get-public-v1-channels.offline": lambda: fetch_channel(slug="fusedchat"),
    "get-public-v1-channels.own-live": fetch_channel,
    "get-public-v1-users-livestreams": lambda: fetch_user_livestreams([123]),
    "get-public-v1-users-livestreams.none-live": lambda: fetch_user_livestreams([123]),
    "get-public-v2-livestreams": fetch_livestreams,
    "get-public-v2-livestreams.last-page": fetch_livestreams,
    "get-public-v1-livestreams-stats": fetch_livestream_stats,
    "get-public-v2-categories": fetch_categories,
    "post-public-v1-chat": lambda: send_chat_message("hi"),
}


def test_the_samples_are_all_there_are_of_these_operations() -> None:
    files = {path.stem for path in Path(PAYLOADS / "responses").glob("*.json")}
    kinds = ("users", "channels.", "livestreams", "categories", "chat")
    others = {
        # Operations that Kick has replaced.
        "get-public-v1-categories",
        "get-public-v1-categories-id",
        "get-public-v1-livestreams",
        "get-public-v1-livestreams.empty",
    }
    of_these = {name for name in files if name.partition("-public-v")[2].partition("-")[2].startswith(kinds)}
    assert set(SAMPLES) == of_these - others


@pytest.mark.parametrize("policy", [TELL, REFUSE])
@pytest.mark.parametrize("name", SAMPLES)
def test_no_sample_has_news(payload: Any, name: str, policy: Policy) -> None:
    world = answered_by(Response(200, (), payload(f"responses/{name}.json")), policy)
    world.run(SAMPLES[name]())
    assert world.notices == []
    assert len(world.sent) == 1


def _with_news(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_news(member) for name, member in value.items()} | {"brand_new": 1}
    return [_with_news(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", [name for name in SAMPLES if "none" not in name and "last" not in name])
def test_every_object_of_a_sample_is_looked_at(payload: Any, name: str) -> None:
    members = json.loads(payload(f"responses/{name}.json"))
    world = answered_by(json_response({**members, "data": _with_news(members["data"])}), TELL)
    world.run(SAMPLES[name]())
    found = {notice.member for notice in world.notices if isinstance(notice, DriftNoticed)}

    def paths(value: Any, path: str) -> set[str]:
        if isinstance(value, dict):
            inner = set[str]().union(*(paths(member, f"{path}.{name}") for name, member in value.items()))
            return inner | {f"{path}.brand_new"}
        return set[str]().union(*(paths(item, f"{path}[]") for item in value)) if isinstance(value, list) else set()

    assert found == paths(members["data"], "data")
