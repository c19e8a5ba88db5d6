"""Livestreams."""

from datetime import UTC, datetime
from typing import Any

import pytest
from worlds import exchange, refusal, user_world

from kickcore import Secret
from kickcore.api.categories import Category
from kickcore.api.livestreams import (
    Broadcaster,
    ChannelSlug,
    Livestream,
    LivestreamStats,
    fetch_livestream_stats,
    fetch_livestreams,
    fetch_user_livestreams,
)
from kickcore.http import Request, Response

URL = "https://api.kick.com/public/v2/livestreams"
FIRST = Livestream(
    "123e4567-e89b-12d3-a456-426614174000",
    "My Stream Title",
    "https://images.kick.com/video_thumbnails/xxxx/yyy/480.webp",
    datetime(2026, 7, 1, 14, 38, 29, tzinfo=UTC),
    100,
    "en",
    ("English", "Chill"),
    has_mature_content=True,
    broadcaster_user=Broadcaster(123, "streamer_123", "https://example.com/profile.jpg"),
    category=Category(
        15,
        "Just Chatting",
        "https://files.kick.com/images/subcategories/15/banner/b697a8a3-62db-4779-aa76-e4e47662af97",
    ),
    channel=ChannelSlug("streamer-123"),
)
SECOND = Livestream(
    "7d9f0c52-6f0b-4d3b-9a4c-2f6f1f0e8b11",
    "no tags, hidden viewers",
    None,
    datetime(2026, 7, 1, 14, 40, 2, tzinfo=UTC),
    0,
    "pt-BR",
    (),
    has_mature_content=False,
    broadcaster_user=Broadcaster(456, "Streamer_456", None),
    category=Category(101, "Old School Runescape", "https://kick.com/img/categories/old-school-runescape.jpeg"),
    channel=ChannelSlug("streamer-456"),
)


def _answer(payload: Any, name: str) -> Response:
    return Response(200, (), payload(f"responses/{name}.json"))


def test_a_page_of_livestreams(payload: Any) -> None:
    page, request = exchange(fetch_livestreams(), _answer(payload, "get-public-v2-livestreams"))
    assert list(page) == [FIRST, SECOND]
    assert page.next_cursor == "eyJjX2N1cnNvciI6MTB9"
    assert page.has_next
    assert request == Request(
        "GET", URL, query=(("limit", "100"),), bearer=Secret("APP0"), group="GET /public/v2/livestreams"
    )


def test_the_last_page_has_no_next(payload: Any) -> None:
    page, _ = exchange(fetch_livestreams(), _answer(payload, "get-public-v2-livestreams.last-page"))
    assert (page.items, page.next_cursor, page.has_next) == ((), None, False)


@pytest.mark.parametrize(
    "pagination", [b"", b',"pagination":null', b',"pagination":{}', b',"pagination":{"next_cursor":null}']
)
def test_a_page_without_a_cursor_is_the_last(pagination: bytes) -> None:
    page, _ = exchange(fetch_livestreams(), Response(200, (), b'{"data":[]' + pagination + b"}"))
    assert not page.has_next


def test_a_stream_with_nothing_but_an_id() -> None:
    page, _ = exchange(
        fetch_livestreams(),
        [{"id": "x", "tags": None, "category": {"id": 0, "name": "", "thumbnail": ""}, "title": ""}],
    )
    assert list(page) == [Livestream("x")]


def test_filters_are_repeated_keys_in_order() -> None:
    _, request = exchange(
        fetch_livestreams(category_ids=[15, 101, 15], language_codes=("en", "pt-BR"), limit=1000, cursor="abc"), []
    )
    assert request.query == (
        ("category_id", "15"),
        ("category_id", "101"),
        ("language_code", "en"),
        ("language_code", "pt-BR"),
        ("limit", "1000"),
        ("cursor", "abc"),
    )


def test_25_categories_and_25_languages_are_taken() -> None:
    codes = [f"x{number:02}" for number in range(25)]
    _, request = exchange(fetch_livestreams(category_ids=range(1, 26), language_codes=codes, limit=1), [])
    assert len(request.query) == 51


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": "100"}, "limit"),
        ({"limit": None}, "limit"),
        ({"category_ids": range(1, 27)}, "category_ids"),
        ({"category_ids": []}, "category_ids"),
        ({"category_ids": [0]}, "category_ids"),
        ({"category_ids": 15}, "category_ids"),
        ({"language_codes": [f"x{number:02}" for number in range(26)]}, "language_codes"),
        ({"language_codes": []}, "language_codes"),
        ({"language_codes": "en"}, "language_codes"),
        ({"language_codes": ["e"]}, "language_codes"),
        ({"language_codes": ["e" * 36]}, "language_codes"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "a" * 1025}, "cursor"),
        ({"cursor": 5}, "cursor"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_kick_would_not_take_is_refused(asked: dict[str, Any], parameter: str) -> None:
    assert refusal(fetch_livestreams(**asked)).parameter == parameter


def test_the_livestreams_of_users(payload: Any) -> None:
    found, request = exchange(fetch_user_livestreams([123, 456]), _answer(payload, "get-public-v1-users-livestreams"))
    assert found == [FIRST]
    assert request == Request(
        "GET",
        "https://api.kick.com/public/v1/users/livestreams",
        query=(("user_id", "123"), ("user_id", "456")),
        bearer=Secret("APP0"),
        group="GET /public/v1/users/livestreams",
    )


def test_one_user_can_be_given_as_he_is(payload: Any) -> None:
    found, request = exchange(
        fetch_user_livestreams(123), _answer(payload, "get-public-v1-users-livestreams.none-live")
    )
    assert found == []
    assert request.query == (("user_id", "123"),)


def test_120_users_are_asked_for_in_two_requests() -> None:
    world = user_world()
    world.run(fetch_user_livestreams(range(1, 121)))
    assert [len(request.query) for request in world.sent] == [100, 20]


@pytest.mark.parametrize("bad", [0, -1, 2**64, True, [], "5", [1, 0], ["5"], None, 1.0], ids=repr)
def test_what_is_no_user_id_is_refused(bad: Any) -> None:
    assert refusal(fetch_user_livestreams(bad)).parameter == "user_ids"


def test_how_many_are_live(payload: Any) -> None:
    stats, request = exchange(fetch_livestream_stats(), _answer(payload, "get-public-v1-livestreams-stats"))
    assert stats == LivestreamStats(12345)
    operation = "GET /public/v1/livestreams/stats"
    assert request == Request(
        "GET", "https://api.kick.com/public/v1/livestreams/stats", bearer=Secret("APP0"), group=operation
    )
