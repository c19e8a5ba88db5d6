"""What version 1 still gives."""

import inspect
from datetime import UTC, datetime
from typing import Any

import pytest
from worlds import World, exchange, json_response, refusal, user_world

from kickcore import Secret
from kickcore.api import categories, deprecated, introspection, livestreams
from kickcore.api.categories import Category
from kickcore.api.deprecated import (
    REPLACEMENTS,
    CategoryV1,
    LivestreamSort,
    LivestreamV1,
    fetch_category,
    fetch_livestream,
    fetch_livestreams_v1,
    introspect_token_v1,
    search_categories_v1,
)
from kickcore.api.introspection import TokenIntrospection
from kickcore.errors import BadResponse, HTTPError, LoginRequired, NetworkError, NotFound, ServerError
from kickcore.http import Response, Sent, Unreachable

API = "https://api.kick.com/public/v1"
IMAGE = "https://kick.com/img/categories/old-school-runescape.jpeg"
ROW: dict[str, Any] = {
    "broadcaster_user_id": 5,
    "slug": "anna",
    "channel_id": 7,
    "stream_title": "My first stream",
    "language": "en",
    "thumbnail": "https://images.kick.com/480.webp",
    "started_at": "2025-04-01T14:38:29Z",
    "viewer_count": 18,
    "has_mature_content": False,
    "category": {"id": 15, "name": "Just Chatting"},
    "profile_picture": "https://files.kick.com/anna.webp",
    "custom_tags": ["a"],
}
CATEGORY: dict[str, Any] = {"id": 101, "name": "Chess", "thumbnail": IMAGE, "tags": ["pog"], "viewer_count": 1000}


def test_each_program_names_what_to_use_instead() -> None:
    programs = {
        name
        for name, member in inspect.getmembers(deprecated, inspect.isgeneratorfunction)
        if not name.startswith("_") and member.__module__ == deprecated.__name__
    }
    assert set(REPLACEMENTS) == programs
    for name in REPLACEMENTS.values():
        assert any(hasattr(module, name) for module in (categories, introspection, livestreams))


def test_livestreams_with_their_channel_ids(payload: Any) -> None:
    found, request = exchange(
        fetch_livestreams_v1(), Response(200, (), payload("responses/get-public-v1-livestreams.json"))
    )
    assert found == [
        LivestreamV1(
            30111,
            "inxxxxx",
            channel_id=291111,
            stream_title="Super first stream",
            language="en",
            thumbnail="https://images.kick.com/video_thumbnails/xxxx/yyy/480.webp",
            started_at=datetime(2025, 4, 1, 14, 38, 29, tzinfo=UTC),
            viewer_count=18081,
            has_mature_content=False,
            category=Category(
                15,
                "Just Chatting",
                "https://files.kick.com/images/subcategories/15/banner/b697a8a3-62db-4779-aa76-e4e47662af97",
            ),
            profile_picture="https://files.kick.com/images/user/30111/profile_image/conversion/"
            "44a9f1fb-0498-47b5-820e-ef9399fd23d4-fullsize.webp",
            custom_tags=("tag1", "tag2"),
        )
    ]
    assert (request.method, request.url, request.query) == ("GET", f"{API}/livestreams", (("limit", "25"),))
    assert request.bearer == Secret("APP0")


def test_nobody_live_is_an_empty_list(payload: Any) -> None:
    answer = Response(200, (), payload("responses/get-public-v1-livestreams.empty.json"))
    assert exchange(fetch_livestreams_v1(), answer)[0] == []


def test_filters_are_sent() -> None:
    _, request = exchange(
        fetch_livestreams_v1(
            broadcaster_user_ids=[5, 6, 5], category_id=15, language="en", limit=100, sort="started_at"
        ),
        [],
    )
    assert request.query == (
        ("broadcaster_user_id", "5"),
        ("broadcaster_user_id", "6"),
        ("category_id", "15"),
        ("language", "en"),
        ("limit", "100"),
        ("sort", "started_at"),
    )
    _, request = exchange(fetch_livestreams_v1(sort=LivestreamSort.VIEWER_COUNT), [])
    assert dict(request.query)["sort"] == "viewer_count"


def test_50_broadcasters_are_asked_for_at_once_and_no_more() -> None:
    assert len(exchange(fetch_livestreams_v1(broadcaster_user_ids=range(1, 51)), [])[1].query) == 51
    error = refusal(fetch_livestreams_v1(broadcaster_user_ids=range(1, 52)))
    assert "broadcaster_user_ids" in str(error)
    assert "50 items, not 51" in str(error)


@pytest.mark.parametrize(
    ("parameter", "bad"),
    [
        *(("broadcaster_user_ids", bad) for bad in ([], 5, "5", [0], [2**64], [True])),
        *(("category_id", bad) for bad in (0, -1, 2**64, True, "15")),
        *(("language", bad) for bad in ("", "e", "e" * 36, "\ud800\ud800", 5)),
        *(("limit", bad) for bad in (0, 101, -1, True, "25", None)),
        *(("sort", bad) for bad in ("", "viewers", "VIEWER_COUNT", 5, ["started_at"])),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_kick_would_not_take_is_refused(parameter: str, bad: Any) -> None:
    arguments: dict[str, Any] = {parameter: bad}
    assert refusal(fetch_livestreams_v1(**arguments)).parameter == parameter


def test_one_livestream_is_found_by_its_broadcaster() -> None:
    rows = [ROW | {"broadcaster_user_id": 6}, ROW]
    found, request = exchange(fetch_livestream(5), rows)
    assert (found.broadcaster_user_id, found.channel_id) == (5, 7)
    assert (request.url, request.query) == (f"{API}/livestreams", (("broadcaster_user_id", "5"),))
    for others in ([], rows[:1]):
        with pytest.raises(NotFound):
            exchange(fetch_livestream(5), others)


@pytest.mark.parametrize("bad", [0, -1, 2**64, True, "5", None], ids=repr)
def test_what_is_no_id_is_refused(bad: Any) -> None:
    assert refusal(fetch_livestream(bad)).parameter == "broadcaster_user_id"
    assert refusal(fetch_category(bad)).parameter == "category_id"


def test_categories_are_searched(payload: Any) -> None:
    answer = Response(200, (), payload("responses/get-public-v1-categories.json"))
    found, request = exchange(search_categories_v1("old school"), answer)
    assert found == [Category(101, "Old School Runescape", IMAGE)]
    assert (request.method, request.url) == ("GET", f"{API}/categories")
    assert request.query == (("q", "old school"), ("page", "1"))
    assert request.bearer == Secret("APP0")
    assert exchange(search_categories_v1("a", 2**31 - 1), [])[1].query[1] == ("page", str(2**31 - 1))


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        *(({"query": bad}, "query") for bad in ("", "x" * 101, "\ud800", 5, None)),
        *(({"query": "a", "page": bad}, "page") for bad in (0, -1, 2**31, True, "1", None)),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_kick_would_not_search_is_refused(arguments: dict[str, Any], parameter: str) -> None:
    assert refusal(search_categories_v1(**arguments)).parameter == parameter


def test_a_category_and_how_many_watch_it(payload: Any) -> None:
    answer = Response(200, (), payload("responses/get-public-v1-categories-id.json"))
    found, request = exchange(fetch_category(101), answer)
    assert found == CategoryV1(101, "Old School Runescape", IMAGE, ("pog", "chad"), 1000)
    assert isinstance(found, Category)
    assert (request.method, request.url, request.query) == ("GET", f"{API}/categories/101", ())
    assert request.bearer == Secret("APP0")


@pytest.mark.parametrize(
    "answer", [Response(404), json_response({"data": {"id": 0, "name": "", "thumbnail": ""}})], ids=repr
)
def test_no_category_is_not_found(answer: Response) -> None:
    with pytest.raises(NotFound):
        exchange(fetch_category(101), answer)


def _introspected(answer: Response | Unreachable, world: World, *, user: bool = False) -> TokenIntrospection:
    world.kick.api = lambda _: answer
    return world.run(introspect_token_v1(use_user_token=user))


@pytest.mark.parametrize(("user", "bearer"), [(False, "APP0"), (True, "AT0")])
def test_a_token_is_looked_at_on_the_host_of_the_api(payload: Any, user: bool, bearer: str) -> None:
    world = user_world()
    answer = Response(200, (), payload("responses/post-public-v1-token-introspect.json"))
    found = _introspected(answer, world, user=user)
    assert found.scopes == ("user:read", "channel:read")
    assert (found.active, found.token_type, found.exp) == (True, "user", 1771046347)
    (request,) = world.sent
    assert (request.method, request.url, request.query) == ("POST", f"{API}/token/introspect", ())
    assert (request.form, request.body, request.bearer) == ((), b"", Secret(bearer))


@pytest.mark.parametrize(
    "answer", [Response(401), json_response({"data": {"active": False, "client_id": None}})], ids=repr
)
def test_a_dead_token_is_not_active_and_not_renewed(answer: Response) -> None:
    world = user_world()
    assert _introspected(answer, world, user=True) == TokenIntrospection(active=False)
    assert len(world.sent) == 1


def test_without_a_user_token_there_is_nothing_to_ask_about() -> None:
    world = World()
    with pytest.raises(LoginRequired):
        world.run(introspect_token_v1(use_user_token=True))
    assert world.sent == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Response(500), ServerError),
        (json_response({"message": "no such token: APP0"}, 418), HTTPError),
        (json_response({"data": {}}), BadResponse),
        (Unreachable("reset", Sent.MAYBE), NetworkError),
    ],
    ids=repr,
)
def test_other_answers_are_errors_that_show_no_token(answer: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        _introspected(answer, user_world())
    assert type(caught.value) is kind
    assert "POST /public/v1/token/introspect" in str(caught.value)
    assert "APP0" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "member", "required"),
    [
        *((ROW, member, member in {"broadcaster_user_id", "slug"}) for member in ROW),
        *((CATEGORY, member, member in {"id", "name"}) for member in CATEGORY),
    ],
)
def test_each_member_is_forgiven_or_named(row: dict[str, Any], member: str, required: bool) -> None:
    def read(changed: dict[str, Any]) -> Any:
        if row is ROW:
            return exchange(fetch_livestreams_v1(), [changed])[0][0]
        return exchange(fetch_category(101), changed)[0]

    for changed in ({name: row[name] for name in row if name != member}, row | {member: None}):
        if required:
            with pytest.raises(BadResponse, match=rf"[`.]{member}`"):
                read(changed)
        else:
            assert getattr(read(changed), member) is None
    with pytest.raises(BadResponse, match=rf"[`.]{member}[`.\[]"):
        read(row | {member: [{"a": 1}] if member == "category" else {"a": 1}})
    assert read(row | {"new_" + member: [{"a": 1}]}) == read(row)


def test_what_stands_for_nothing_is_none() -> None:
    texts = ["stream_title", "language", "thumbnail", "profile_picture"]
    nothing: dict[str, Any] = dict.fromkeys(texts, "") | {"channel_id": 0, "category": {"id": 0, "name": ""}}
    empty: dict[str, Any] = {
        "started_at": "0001-01-01T00:00:00Z",
        "viewer_count": 0,
        "has_mature_content": None,
        "custom_tags": [],
    }
    found, _ = exchange(fetch_livestreams_v1(), [ROW | nothing | empty])
    assert found == [LivestreamV1(5, "anna", viewer_count=0, custom_tags=())]
