"""Channels."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from worlds import World, exchange, json_response, refusal, user_world

from kickcore import Secret
from kickcore.api.categories import Category
from kickcore.api.channels import Channel, Stream, fetch_channel, fetch_channels, update_channel
from kickcore.errors import LoginRequired, MissingScopes, NotFound
from kickcore.http import Request, Response

URL = "https://api.kick.com/public/v1/channels"
GROUP = "GET /public/v1/channels"
LIVE = Channel(
    721956,
    "scorfly",
    channel_description="Channel description",
    banner_picture="https://files.kick.com/images/channel/700014/banner_image/default-banner-2.jpg",
    stream_title="My first stream",
    category=Category(
        15,
        "Just Chatting",
        "https://files.kick.com/images/subcategories/15/banner/b697a8a3-62db-4779-aa76-e4e47662af97",
    ),
    stream=Stream(
        is_live=True,
        is_mature=False,
        language="en",
        start_time=datetime(2026, 9, 24, 18, 2, 11, tzinfo=UTC),
        thumbnail="https://images.kick.com/video_thumbnails/xxxx/yyy/480.webp",
        viewer_count=67,
        custom_tags=("tag1", "tag2"),
    ),
    active_subscribers_count=120,
    active_gifted_subscribers_count=40,
    canceled_subscribers_count=4,
)
ROW = {"broadcaster_user_id": 5, "slug": "anna"}


def _answer(payload: Any, name: str) -> Response:
    return Response(200, (), payload(f"responses/get-public-v1-channels.{name}.json"))


def test_a_live_channel(payload: Any) -> None:
    channel, request = exchange(fetch_channel(721956), _answer(payload, "app-live"))
    assert channel == LIVE
    assert request == Request(
        "GET", URL, query=(("broadcaster_user_id", "721956"),), bearer=Secret("APP0"), group=GROUP
    )


def test_your_own_channel_comes_with_the_key_of_the_stream_as_a_secret(payload: Any) -> None:
    channel, request = exchange(fetch_channel(), _answer(payload, "own-live"))
    assert channel.stream is not None
    assert channel.stream.url == "rtmps://0123456789ab.global-contribute.live-video.net"
    assert channel.stream.key == Secret("sk_us-west-2_EXAMPLEKEY")
    assert "EXAMPLEKEY" not in repr(channel)
    assert replace(channel, stream=LIVE.stream) == LIVE
    assert request == Request("GET", URL, bearer=Secret("AT0"), group=GROUP)


def test_a_channel_that_is_not_live(payload: Any) -> None:
    channel, request = exchange(fetch_channel(slug="FusedChat"), _answer(payload, "offline"))
    assert channel == Channel(
        4809577,
        "fusedchat",
        stream=Stream(is_live=False, is_mature=False, viewer_count=0),
        active_subscribers_count=0,
        active_gifted_subscribers_count=0,
        canceled_subscribers_count=0,
    )
    assert channel.category is None
    assert channel.stream is not None
    assert channel.stream.start_time is None
    assert channel.stream.key is None
    assert request.query == (("slug", "fusedchat"),)


@pytest.mark.parametrize("which", [{"user_id": 5}, {"slug": "anna"}, {}])
def test_no_channel_is_not_found(payload: Any, which: dict[str, Any]) -> None:
    with pytest.raises(NotFound):
        exchange(fetch_channel(**which), _answer(payload, "none-found"))


def test_rows_that_nobody_asked_for_are_not_taken() -> None:
    rows = [{"broadcaster_user_id": 6, "slug": "bert"}, ROW]
    assert exchange(fetch_channel(5), rows)[0] == Channel(5, "anna")
    assert exchange(fetch_channel(slug="ANNA"), rows)[0] == Channel(5, "anna")
    with pytest.raises(NotFound):
        exchange(fetch_channel(7), rows)


@pytest.mark.parametrize("stream", [None, {"is_live": False, "custom_tags": None, "start_time": None}])
def test_nulls_are_taken(stream: Any) -> None:
    channel, _ = exchange(fetch_channel(5), [{**ROW, "category": None, "stream": stream, "stream_title": None}])
    assert channel.stream == (None if stream is None else Stream(is_live=False))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-09-24T18:02:11Z", datetime(2026, 9, 24, 18, 2, 11, tzinfo=UTC)),
        ("2026-09-24T18:02:11.123456Z", datetime(2026, 9, 24, 18, 2, 11, 123456, tzinfo=UTC)),
        ("2026-09-24T18:02:11.123456789Z", datetime(2026, 9, 24, 18, 2, 11, 123457, tzinfo=UTC)),
        ("2026-09-25T05:02:11+11:00", datetime(2026, 9, 24, 18, 2, 11, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_a_time_has_a_zone(text: str, instant: datetime | None) -> None:
    channel, _ = exchange(fetch_channel(5), [{**ROW, "stream": {"is_live": True, "start_time": text}}])
    assert channel.stream is not None
    assert channel.stream.start_time == instant
    assert instant is None or (channel.stream.start_time and channel.stream.start_time.utcoffset() is not None)


def test_120_channels_are_asked_for_in_three_requests() -> None:
    world = user_world()
    found = world.run(fetch_channels(user_ids=range(1, 121)))
    assert found == []
    assert [len(request.query) for request in world.sent] == [50, 50, 20]
    assert {name for request in world.sent for name, _ in request.query} == {"broadcaster_user_id"}


def test_120_slugs_are_asked_for_in_three_requests_and_all_rows_are_kept() -> None:
    world = user_world()
    world.kick.api = lambda request: json_response(
        {"data": [{"broadcaster_user_id": 1, "slug": slug} for _, slug in request.query]}
    )
    slugs = [f"slug-{number}" for number in range(120)]
    assert [channel.slug for channel in world.run(fetch_channels(slugs=slugs))] == slugs
    assert [len(request.query) for request in world.sent] == [50, 50, 20]


def test_slugs_are_sent_in_lower_case_and_once() -> None:
    _, request = exchange(fetch_channels(slugs=["Anna", "anna", "BERT"]), [])
    assert request.query == (("slug", "anna"), ("slug", "bert"))


def test_user_id_or_slug_but_not_both() -> None:
    assert "not both" in str(refusal(fetch_channel(5, "anna")))
    assert "one of them" in str(refusal(fetch_channels(user_ids=[5], slugs=["anna"])))
    assert "one of them" in str(refusal(fetch_channels()))


@pytest.mark.parametrize("bad", [0, -1, 2**64, True, "5", 1.0], ids=repr)
def test_what_is_no_user_id_is_refused(bad: Any) -> None:
    assert refusal(fetch_channel(bad)).parameter == "user_id"
    assert refusal(fetch_channels(user_ids=[bad])).parameter == "user_ids"


@pytest.mark.parametrize("bad", ["", "a" * 26, "\ud800", 5, True], ids=repr)
def test_what_is_no_slug_is_refused(bad: Any) -> None:
    assert refusal(fetch_channel(slug=bad)).parameter == "slug"
    assert refusal(fetch_channels(slugs=["anna", bad])).parameter == "slugs"


@pytest.mark.parametrize("bad", [[], "anna", 5], ids=repr)
def test_what_is_no_list_of_slugs_is_refused(bad: Any) -> None:
    assert refusal(fetch_channels(slugs=bad)).parameter == "slugs"


def test_your_own_channel_needs_a_login_and_a_scope() -> None:
    world = World()
    with pytest.raises(LoginRequired):
        world.run(fetch_channel())
    world.log_in(scope="user:read")
    with pytest.raises(MissingScopes, match="channel:read"):
        world.run(fetch_channel())
    with pytest.raises(MissingScopes, match="channel:write"):
        world.run(update_channel(stream_title="x"))
    assert world.sent == []


def test_a_channel_is_changed_as_in_the_example(payload: Any) -> None:
    value, request = exchange(
        update_channel(category_id=15, stream_title="My first stream", custom_tags=("tag1", "tag2")), Response(204)
    )
    assert value is None
    assert (request.method, request.url, request.query, request.form) == ("PATCH", URL, (), ())
    assert request.bearer == Secret("AT0")
    assert request.group == "PATCH /public/v1/channels"
    assert json.loads(request.body) == json.loads(payload("requests/patch-public-v1-channels.json"))


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"category_id": 1}, {"category_id": 1}),
        ({"stream_title": "ü😀"}, {"stream_title": "ü😀"}),
        ({"stream_title": "a" * 500}, {"stream_title": "a" * 500}),
        ({"custom_tags": []}, {"custom_tags": []}),
        ({"custom_tags": iter(["a"])}, {"custom_tags": ["a"]}),
        ({"custom_tags": ["a"] * 10}, {"custom_tags": ["a"] * 10}),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_only_what_is_given_is_changed(changes: dict[str, Any], body: dict[str, Any]) -> None:
    assert json.loads(exchange(update_channel(**changes), Response(204))[1].body) == body


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({}, "stream_title"),
        ({"category_id": 0}, "category_id"),
        ({"category_id": 2**64}, "category_id"),
        ({"category_id": True}, "category_id"),
        ({"stream_title": ""}, "stream_title"),
        ({"stream_title": "a" * 501}, "stream_title"),
        ({"stream_title": "\udfff"}, "stream_title"),
        ({"custom_tags": "tag1"}, "custom_tags"),
        ({"custom_tags": ["a"] * 11}, "custom_tags"),
        ({"custom_tags": [""]}, "custom_tags"),
        ({"custom_tags": ["a" * 101]}, "custom_tags"),
        ({"custom_tags": [5]}, "custom_tags"),
        ({"custom_tags": 5}, "custom_tags"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_changes_that_kick_would_not_take_are_refused(changes: dict[str, Any], parameter: str) -> None:
    assert refusal(update_channel(**changes)).parameter == parameter
