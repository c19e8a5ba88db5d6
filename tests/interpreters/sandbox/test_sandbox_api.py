"""The simulated API host, in memory: order of checks, shapes, filters, pages."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from interpreters.sandbox import (
    Category,
    Channel,
    Sandbox,
    User,
    going_live,
    going_offline,
    respond,
    small_world,
    with_category,
    with_rules,
    with_user,
)
from interpreters.sandbox.routes import ID_ROUTES, ROUTES
from kickcore.http import Request
from kickcore.oauth.scopes import Scope
from kickcore.oauth.tokens import TokenKind
from kickcore.secret import Secret

from .asking import NOW, ORIGIN, app_token, call, get, is_error, shape, user_token

HUGE = b64encode(b'{"c_cursor":%d}' % 10**40).decode()
MESSAGE = "5138d04d-68f8-4eca-aa65-93123f6f97fe"


# Order of checks


@pytest.mark.parametrize("path", ["/public/v1/users", "/public/v1/none", "/", "/public/v1/chat/"])
def test_without_a_good_token_everything_is_401(sandbox: Sandbox, path: str, payload: Any) -> None:
    for bearer in (None, Secret("unknown")):
        assert is_error(call(sandbox, "GET", path, bearer=bearer), "401-unauthorized", payload)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.template}")
def test_only_the_public_key_is_open(sandbox: Sandbox, route: Any, payload: Any) -> None:
    got = call(sandbox, route.method, route.template)
    if route.template == "/public/v1/public-key":
        assert got[0] == 200
    else:
        assert is_error(got, "401-unauthorized.drops" if "drops" in route.template else "401-unauthorized", payload)


def test_every_operation_of_the_index_is_there(payload: Any) -> None:
    operations = json.loads(payload("index.json"))["operations"]
    listed = {(row["method"], row["path"]) for row in operations}
    table = {(route.method, route.template) for route in ROUTES} | set(ID_ROUTES) - {("POST", "/oauth/authorize")}
    assert listed == table


def test_with_a_token_an_unknown_path_or_method_is_404(sandbox: Sandbox, payload: Any) -> None:
    bearer = app_token(sandbox)
    for method, path in (
        ("GET", "/public/v1/none"),
        ("PUT", "/public/v1/users"),
        ("DELETE", "/public/v1/chat/"),
        ("DELETE", f"/public/v1/chat/{MESSAGE}/more"),
        ("GET", f"/public/v1/chat/{MESSAGE}"),
    ):
        assert is_error(call(sandbox, method, path, bearer=bearer), "404-not-found", payload)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.template}")
def test_kinds_and_scopes_are_checked_before_the_rest(sandbox: Sandbox, route: Any, payload: Any) -> None:
    path = route.template.replace("{message_id}", "malformed")
    if TokenKind.APP not in route.kinds:
        got = call(sandbox, route.method, path, bearer=app_token(sandbox))
        assert is_error(got, "401-unauthorized", payload)
    if TokenKind.USER not in route.kinds:
        got = call(sandbox, route.method, path, bearer=user_token(sandbox))
        assert is_error(got, "401-unauthorized.drops", payload)
    if route.needs:
        bearer = user_token(sandbox, *(scope for scope in Scope if scope not in route.needs[0]))
        got = call(sandbox, route.method, path, ("limit", "nonsense"), bearer=bearer)
        assert is_error(got, "403-forbidden", payload)


# Users


def test_users(sandbox: Sandbox, payload: Any) -> None:
    bearer = user_token(sandbox)
    own = get(sandbox, "/public/v1/users", bearer=bearer)
    assert shape(own) == shape(json.loads(payload("responses/get-public-v1-users.own.json")))
    assert own["data"][0]["email"] == "streamer-123@example.com"
    both = get(sandbox, "/public/v1/users", ("id", 676), ("id", 123), ("id", 999), ("id", 676), bearer=bearer)["data"]
    assert [(user["user_id"], bool(user["email"])) for user in both] == [(676, False), (123, True)]
    by_app = get(sandbox, "/public/v1/users", ("id", 123))["data"]
    assert by_app[0]["email"] == ""
    assert call(sandbox, "GET", "/public/v1/users", bearer=app_token(sandbox))[0] == 400
    assert is_error(
        call(sandbox, "GET", "/public/v1/users", ("id", "xqc"), bearer=bearer), "400-invalid-request", payload
    )


# Channels


def test_own_channel_and_its_key(sandbox: Sandbox, payload: Any) -> None:
    full = get(sandbox, "/public/v1/channels", bearer=user_token(sandbox))
    assert shape(full) == shape(json.loads(payload("responses/get-public-v1-channels.own-live.json")))
    assert full["data"][0]["stream"]["key"].startswith("sk_us-west-2_")
    unscoped = user_token(sandbox, Scope.CHANNEL_READ)
    for bearer, user_id in ((unscoped, 123), (user_token(sandbox), 676), (app_token(sandbox), 123)):
        stream = get(sandbox, "/public/v1/channels", ("broadcaster_user_id", user_id), bearer=bearer)["data"][0][
            "stream"
        ]
        assert (stream["key"], stream["url"]) == ("", "")


def test_an_offline_channel_has_zeros(sandbox: Sandbox, payload: Any) -> None:
    got = get(sandbox, "/public/v1/channels", ("slug", "streamer-456"))
    expected = json.loads(payload("responses/get-public-v1-channels.offline.json"))
    assert shape(got) == shape(expected)
    assert [got["data"][0][name] for name in ("stream", "category")] == [
        expected["data"][0][name] for name in ("stream", "category")
    ]


def test_channels_by_slug_and_by_id(sandbox: Sandbox, payload: Any) -> None:
    def slugs(*query: tuple[str, object]) -> list[str]:
        return [row["slug"] for row in get(sandbox, "/public/v1/channels", *query)["data"]]

    assert slugs(("slug", "xqc"), ("slug", "streamer-123"), ("slug", "nobody")) == ["streamer-123", "xqc"]
    assert slugs(("broadcaster_user_id", 676), ("broadcaster_user_id", 676), ("broadcaster_user_id", 5)) == ["xqc"]
    assert get(sandbox, "/public/v1/channels", ("slug", "nobody")) == json.loads(
        payload("responses/get-public-v1-channels.none-found.json")
    )
    assert slugs(*[("slug", f"nobody-{count}") for count in range(49)], ("slug", "xqc")) == ["xqc"]


@pytest.mark.parametrize(
    "query",
    [
        (("slug", "xqc"), ("broadcaster_user_id", 676)),
        tuple(("broadcaster_user_id", count + 1) for count in range(51)),
        tuple(("slug", f"s{count}") for count in range(51)),
        (("slug", "x" * 26),),
        (("slug", "a b"),),
        (("slug", ""),),
        (("broadcaster_user_id", "-1"),),
        (("broadcaster_user_id", 2**64),),
    ],
)
def test_channels_refused(sandbox: Sandbox, query: Any, payload: Any) -> None:
    got = call(sandbox, "GET", "/public/v1/channels", *query, bearer=app_token(sandbox))
    assert is_error(got, "400-invalid-request", payload)


def test_channels_of_nobody_and_of_nowhere(sandbox: Sandbox, payload: Any) -> None:
    bearer = app_token(sandbox)
    got = call(sandbox, "GET", "/public/v1/channels", bearer=bearer)
    assert is_error(got, "400-bad-request.app-token-needs-id", payload)
    sandbox.world = with_rules(sandbox.world, unknown_slug_fails=True)
    got = call(sandbox, "GET", "/public/v1/channels", ("slug", "xqc"), ("slug", "nobody"), bearer=bearer)
    assert is_error(got, "400-invalid-request", payload)


def test_a_channel_is_changed(sandbox: Sandbox) -> None:
    bearer = user_token(sandbox, user_id=456)
    change = {"category_id": 9600, "stream_title": "New", "custom_tags": ["a", "b"], "tags": 1, "is_mature": "x"}
    assert call(sandbox, "PATCH", "/public/v1/channels", bearer=bearer, body=change) == (204, None)
    row = get(sandbox, "/public/v1/channels", bearer=bearer)["data"][0]
    assert (row["stream_title"], row["category"]["name"]) == ("New", "Retro Gaming")
    assert row["stream"]["custom_tags"] == ["a", "b"]
    assert call(sandbox, "PATCH", "/public/v1/channels", bearer=bearer, body={"unknown": 1})[0] == 204
    assert get(sandbox, "/public/v1/channels", bearer=bearer)["data"][0] == row


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        [],
        {"category_id": 0},
        {"category_id": "15"},
        {"category_id": 424242},
        {"stream_title": ""},
        {"stream_title": None},
        {"custom_tags": ["x"] * 11},
    ],
)
def test_a_change_refused(sandbox: Sandbox, body: object, payload: Any) -> None:
    before = sandbox.world.channels
    got = call(sandbox, "PATCH", "/public/v1/channels", bearer=user_token(sandbox), body=body)
    assert is_error(got, "400-invalid-request", payload)
    assert sandbox.world.channels == before


# Livestreams


def test_livestreams_come_oldest_first_and_in_pages(sandbox: Sandbox, payload: Any) -> None:
    everyone = get(sandbox, "/public/v2/livestreams")
    assert everyone["pagination"] == {"next_cursor": ""}
    assert shape(everyone) == shape(json.loads(payload("responses/get-public-v2-livestreams.json")))
    seen: list[Any] = []
    cursor = ""
    for _ in range(2):
        query = [("limit", 2), *([("cursor", cursor)] if cursor else [])]
        page = get(sandbox, "/public/v2/livestreams", *query)
        cursor = page["pagination"]["next_cursor"]
        seen += page["data"]
    assert cursor == ""
    assert seen == everyone["data"]
    assert [row["broadcaster_user"]["id"] for row in seen] == [123, 676, 1001, 1002]
    sandbox.world = replace(sandbox.world, channels={})
    assert get(sandbox, "/public/v2/livestreams") == json.loads(
        payload("responses/get-public-v2-livestreams.last-page.json")
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ((("category_id", 9600),), ["xqc", "speedster"]),
        ((("category_id", 9600), ("category_id", 9700)), ["xqc", "lena", "speedster"]),
        ((("language_code", "pt-BR"),), ["lena"]),
        ((("language_code", "en"), ("category_id", 15)), ["streamer-123"]),
        ((("language_code", "fr"),), []),
    ],
)
def test_livestreams_by_category_and_language(sandbox: Sandbox, query: Any, expected: list[str]) -> None:
    rows = get(sandbox, "/public/v2/livestreams", *query)["data"]
    assert [row["channel"]["slug"] for row in rows] == expected


@pytest.mark.parametrize(
    "query",
    [
        (("limit", 0),),
        (("limit", 1001),),
        (("limit", "many"),),
        (("limit", 1), ("limit", 2)),
        (("cursor", "%%%"),),
        (("cursor", "e30="),),
        (("cursor", "eyJjX2N1cnNvciI6LTF9"),),
        (("category_id", "games"),),
        tuple(("category_id", count + 1) for count in range(26)),
        (("language_code", "not a language"),),
    ],
)
def test_livestreams_refused(sandbox: Sandbox, query: Any, payload: Any) -> None:
    got = call(sandbox, "GET", "/public/v2/livestreams", *query, bearer=app_token(sandbox))
    assert is_error(got, "400-invalid-request", payload)


def test_livestreams_of_users(sandbox: Sandbox, payload: Any) -> None:
    path = "/public/v1/users/livestreams"
    got = get(sandbox, path, ("user_id", 1002), ("user_id", 456), ("user_id", 123))
    assert shape(got) == shape(json.loads(payload("responses/get-public-v1-users-livestreams.json")))
    assert [row["broadcaster_user"]["id"] for row in got["data"]] == [123, 1002]
    assert get(sandbox, path, ("user_id", 456)) == json.loads(
        payload("responses/get-public-v1-users-livestreams.none-live.json")
    )
    for query in ((), tuple(("user_id", count + 1) for count in range(101))):
        assert call(sandbox, "GET", path, *query, bearer=app_token(sandbox))[0] == 400


def test_stats_follow_who_is_live(sandbox: Sandbox) -> None:
    def count() -> int:
        return get(sandbox, "/public/v1/livestreams/stats")["data"]["total_count"]

    assert count() == 4
    sandbox.world = going_live(sandbox.world, 456, at=NOW, title="Here", category_id=15, viewers=3)
    assert count() == 5
    rows = get(sandbox, "/public/v2/livestreams")["data"]
    assert (rows[-1]["title"], rows[-1]["viewer_count"]) == ("Here", 3)
    sandbox.world = going_offline(going_offline(sandbox.world, 456), 123)
    assert count() == 3


# Categories


def test_categories(sandbox: Sandbox, payload: Any) -> None:
    got = get(sandbox, "/public/v2/categories", ("name", "gaming"), ("limit", 2))
    assert [row["id"] for row in got["data"]] == [4688, 9569]
    assert [sorted(row) for row in got["data"]] == [["id", "name", "tags", "thumbnail"]] * 2
    assert [row["tags"] for row in got["data"]] == [None, ["simu"]]
    cursor = got["pagination"]["next_cursor"]
    assert 4 <= len(cursor) <= 28
    rest = get(sandbox, "/public/v2/categories", ("name", "gaming"), ("limit", 2), ("cursor", cursor))
    assert [row["id"] for row in rest["data"]] == [9600]
    assert rest["pagination"]["next_cursor"] == ""
    assert shape(get(sandbox, "/public/v2/categories")["data"]) == shape(
        json.loads(payload("responses/get-public-v2-categories.json"))["data"]
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ((("id", "15,9700,1"),), [15, 9700]),
        ((("tag", "retro,IRL"),), [15, 9600]),
        ((("name", "retro,art"),), [9600, 9700]),
        ((("name", "gaming"), ("id", "15,9600")), [9600]),
    ],
)
def test_categories_by_comma_lists(sandbox: Sandbox, query: Any, expected: list[int]) -> None:
    rows = get(sandbox, "/public/v2/categories", *query)["data"]
    assert [row["id"] for row in rows] == expected


@pytest.mark.parametrize(
    "query",
    [
        (("id", 15), ("id", 101)),
        (("id", "15,,101"),),
        (("name", "ab"),),
        (("tag", "x" * 101),),
        (("cursor", "abc"),),
        (("limit", 1001),),
    ],
)
def test_categories_refused(sandbox: Sandbox, query: Any, payload: Any) -> None:
    got = call(sandbox, "GET", "/public/v2/categories", *query, bearer=app_token(sandbox))
    assert is_error(got, "400-invalid-request", payload)


def test_categories_default_to_pages_of_25(sandbox: Sandbox) -> None:
    for count in range(30):
        sandbox.world = with_category(sandbox.world, Category(20_000 + count, f"More {count}"))
    got = get(sandbox, "/public/v2/categories")
    assert len(got["data"]) == 25
    assert got["pagination"]["next_cursor"]


# Chat


def post(sandbox: Sandbox, body: object, **given: Any) -> tuple[int, Any]:
    return call(sandbox, "POST", "/public/v1/chat", bearer=given.get("bearer") or user_token(sandbox), body=body)


def test_a_message_is_kept_and_deleted(sandbox: Sandbox, payload: Any) -> None:
    body = {"content": "Hello", "type": "user", "broadcaster_user_id": 676, "reply_to_message_id": MESSAGE}
    status, got = post(sandbox, body)
    assert status == 200
    assert shape(got) == shape(json.loads(payload("responses/post-public-v1-chat.json")))
    (message,) = sandbox.world.messages
    assert (message.message_id, message.content) == (got["data"]["message_id"], "Hello")
    assert (message.broadcaster_user_id, message.sender_user_id, message.reply_to) == (676, 123, MESSAGE)
    path = f"/public/v1/chat/{message.message_id}"
    stranger = user_token(sandbox, user_id=1001)
    assert is_error(call(sandbox, "DELETE", path, bearer=stranger), "403-forbidden", payload)
    owner = user_token(sandbox, user_id=676)
    assert call(sandbox, "DELETE", path, bearer=owner) == (204, None)
    assert sandbox.world.messages == ()
    assert is_error(call(sandbox, "DELETE", path, bearer=owner), "404-not-found", payload)
    assert call(sandbox, "DELETE", "/public/v1/chat/malformed", bearer=owner)[0] == 400


def test_a_bot_writes_to_the_own_channel(sandbox: Sandbox, payload: Any) -> None:
    assert post(sandbox, {"content": "Hi", "type": "bot", "broadcaster_user_id": 676})[0] == 200
    assert sandbox.world.messages[0].broadcaster_user_id == 123
    apps = {"sandbox-app": replace(sandbox.world.apps["sandbox-app"], has_bot=False)}
    sandbox.world = replace(sandbox.world, apps=apps)
    got = post(sandbox, {"content": "Hi", "type": "bot"})
    assert is_error(got, "400-bad-request.chat-channel-not-found", payload)


def test_an_unknown_channel(sandbox: Sandbox, payload: Any) -> None:
    got = post(sandbox, {"content": "Hi", "type": "user", "broadcaster_user_id": 999})
    assert is_error(got, "400-bad-request.chat-channel-not-found", payload)


@pytest.mark.parametrize("content", ["x", "😀" * 500], ids=["one", "five hundred"])
def test_a_message_has_up_to_500_code_points(sandbox: Sandbox, content: str) -> None:
    assert post(sandbox, {"content": content, "type": "bot"})[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        {"content": "", "type": "bot"},
        {"content": "😀" * 501, "type": "bot"},
        {"content": "x", "type": "user"},
        {"content": "x", "type": "other"},
        {"content": 1, "type": "bot"},
        {"type": "bot"},
        {"content": "x"},
        {"content": "x", "type": "bot", "reply_to_message_id": "1"},
        [],
        None,
    ],
)
def test_a_message_refused(sandbox: Sandbox, body: object, payload: Any) -> None:
    assert is_error(post(sandbox, body), "400-invalid-request", payload)
    assert sandbox.world.messages == ()


# The machine as a whole


def test_people_can_be_added(sandbox: Sandbox) -> None:
    sandbox.world = with_user(sandbox.world, User(5, "Five", "five@example.com"), Channel(5, "five"))
    sandbox.world = going_live(sandbox.world, 5, at=NOW, category_id=15)
    assert get(sandbox, "/public/v1/channels", ("slug", "five"))["data"][0]["stream"]["is_live"]


def test_the_same_requests_give_the_same_answers() -> None:
    def run(seed: str) -> list[Any]:
        sandbox = Sandbox(small_world(seed=seed), clock=lambda: NOW)
        return [post(sandbox, {"content": "x", "type": "bot"})[1], app_token(sandbox).reveal()]

    assert run("a") == run("a")
    assert run("a") != run("b")


@settings(max_examples=150, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "DELETE"]),
    path=st.sampled_from([route.template for route in ROUTES] + ["/oauth/authorize", "/oauth/token", "/oauth/revoke"])
    | st.text(max_size=20),
    pairs=st.lists(
        st.tuples(
            st.sampled_from(["id", "slug", "cursor", "limit", "name", "token", "grant_type", "client_id", "q", "page"])
            | st.text(max_size=5),
            st.text(max_size=8) | st.sampled_from(["15", "MTA=", HUGE, "refresh_token", "sandbox-app"]),
        ),
        max_size=6,
    ).map(tuple),
    body=st.binary(max_size=20) | st.sampled_from([b"{}", b"[]", b'{"content":null}']),
)
def test_no_request_can_break_it(method: str, path: str, pairs: Any, body: bytes) -> None:
    sandbox = Sandbox(small_world(), clock=lambda: NOW)
    request = Request(
        method, f"{ORIGIN}/{path.lstrip('/')}", query=pairs, form=pairs, bearer=user_token(sandbox), body=body
    )
    step = respond(sandbox.world, request, NOW)
    assert step.response.status in {200, 204, 302, 400, 401, 403, 404}
    assert step.events == ()
