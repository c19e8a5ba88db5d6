"""What can be looked up besides: the deprecated lists, the leaderboard, the public key, the token itself."""

import json
from base64 import b64decode
from typing import Any

import pytest
from msgspec.structs import replace

from interpreters.sandbox import Category, Sandbox, gifting_kicks, with_category

from .asking import EVERYTHING, NOW, app_token, call, get, is_error, same_shape, user_token

DAY = 86_400
LIVESTREAMS = "/public/v1/livestreams"
CATEGORIES = "/public/v1/categories"
LEADERBOARD = "/public/v1/kicks/leaderboard"


# Livestreams, version 1


def test_livestreams_of_version_1(sandbox: Sandbox, payload: Any) -> None:
    got = get(sandbox, LIVESTREAMS, ("broadcaster_user_id", 123))
    assert same_shape(got, payload, "get-public-v1-livestreams")
    assert "custom_tags" not in get(sandbox, LIVESTREAMS, ("broadcaster_user_id", 676))["data"][0]
    assert get(sandbox, LIVESTREAMS, ("broadcaster_user_id", 456)) == json.loads(
        payload("responses/get-public-v1-livestreams.empty.json")
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ((), ["xqc", "streamer-123", "lena", "speedster"]),
        ((("sort", "viewer_count"), ("limit", 2)), ["xqc", "streamer-123"]),
        ((("sort", "started_at"),), ["speedster", "lena", "xqc", "streamer-123"]),
        ((("category_id", 9600),), ["xqc", "speedster"]),
        ((("language", "pt-BR"),), ["lena"]),
        ((("broadcaster_user_id", 123), ("broadcaster_user_id", 1001)), ["streamer-123", "lena"]),
        ((("broadcaster_user_id", 123), ("category_id", 9600)), []),
    ],
)
def test_livestreams_of_version_1_by_filter(sandbox: Sandbox, query: Any, expected: list[str]) -> None:
    assert [row["slug"] for row in get(sandbox, LIVESTREAMS, *query)["data"]] == expected


@pytest.mark.parametrize(
    "query",
    [
        (("limit", 0),),
        (("limit", 101),),
        (("sort", "title"),),
        (("language", "not a language"),),
        (("category_id", "games"),),
        (("category_id", 1), ("category_id", 2)),
        tuple(("broadcaster_user_id", count + 1) for count in range(51)),
    ],
)
def test_livestreams_of_version_1_refused(sandbox: Sandbox, query: Any, payload: Any) -> None:
    got = call(sandbox, "GET", LIVESTREAMS, *query, bearer=app_token(sandbox))
    assert is_error(got, "400-invalid-request", payload)


# Categories, version 1


def test_categories_of_version_1(sandbox: Sandbox, payload: Any) -> None:
    got = get(sandbox, CATEGORIES, ("q", "GAMING"))
    assert same_shape(got, payload, "get-public-v1-categories")
    assert [row["id"] for row in got["data"]] == [4688, 9569, 9600]
    for count in range(100):
        sandbox.world = with_category(sandbox.world, Category(20_000 + count, f"More gaming {count}"))
    sizes = [len(get(sandbox, CATEGORIES, ("q", "gaming"), ("page", page))["data"]) for page in (1, 2, 3)]
    assert sizes == [100, 3, 0]


@pytest.mark.parametrize("query", [(), (("q", ""),), (("q", "a"), ("page", 0)), (("q", "a"), ("page", "x"))])
def test_categories_of_version_1_refused(sandbox: Sandbox, query: Any, payload: Any) -> None:
    got = call(sandbox, "GET", CATEGORIES, *query, bearer=app_token(sandbox))
    assert is_error(got, "400-invalid-request", payload)


def test_a_category_and_its_viewers(sandbox: Sandbox, payload: Any) -> None:
    got = get(sandbox, f"{CATEGORIES}/9600")
    assert same_shape(got, payload, "get-public-v1-categories-id")
    assert got["data"]["viewer_count"] == 41_250
    assert get(sandbox, f"{CATEGORIES}/101")["data"]["viewer_count"] == 0
    bearer = app_token(sandbox)
    assert is_error(call(sandbox, "GET", f"{CATEGORIES}/5", bearer=bearer), "404-not-found", payload)
    assert is_error(call(sandbox, "GET", f"{CATEGORIES}/art", bearer=bearer), "400-invalid-request", payload)


# KICKs


def test_the_leaderboard_counts_three_spans(sandbox: Sandbox, payload: Any) -> None:
    for user_id, amount, age in ((456, 10, 8 * DAY), (676, 5, DAY), (676, 4, 2 * DAY), (456, 500, 40 * DAY), (9, 9, 0)):
        sandbox.world = gifting_kicks(sandbox.world, 123, user_id, amount, at=NOW - age)
    sandbox.world = gifting_kicks(sandbox.world, 676, 123, 10_000, at=NOW)
    sandbox.world = gifting_kicks(sandbox.world, 123, 1001, 10_000, at=NOW + 1)
    got = get(sandbox, LEADERBOARD, bearer=user_token(sandbox))
    assert same_shape(got, payload, "get-public-v1-kicks-leaderboard")
    assert {
        span: [(row["rank"], row["user_id"], row["username"], row["gifted_amount"]) for row in rows]
        for span, rows in got["data"].items()
    } == {
        "lifetime": [(1, 456, "Streamer_456", 510), (2, 9, "", 9), (3, 676, "xQc", 9)],
        "month": [(1, 456, "Streamer_456", 10), (2, 9, "", 9), (3, 676, "xQc", 9)],
        "week": [(1, 9, "", 9), (2, 676, "xQc", 9)],
    }


def test_the_top_of_the_leaderboard(sandbox: Sandbox, payload: Any) -> None:
    bearer = user_token(sandbox)
    for user_id in range(1, 121):
        sandbox.world = gifting_kicks(sandbox.world, 123, user_id, user_id, at=NOW)
    for query, size in (((), 10), ((("top", 1),), 1), ((("top", 100),), 100)):
        rows = get(sandbox, LEADERBOARD, *query, bearer=bearer)["data"]["week"]
        assert [row["rank"] for row in rows] == list(range(1, size + 1))
        assert rows[0]["user_id"] == 120
    for top in (0, 101, "all"):
        got = call(sandbox, "GET", LEADERBOARD, ("top", top), bearer=bearer)
        assert is_error(got, "400-invalid-request", payload)


# The public key


def test_the_public_key_is_for_everybody(sandbox: Sandbox, payload: Any) -> None:
    status, got = call(sandbox, "GET", "/public/v1/public-key")
    assert status == 200
    assert same_shape(got, payload, "get-public-v1-public-key")
    text = got["data"]["public_key"]
    example = json.loads(payload("responses/get-public-v1-public-key.json"))["data"]["public_key"]
    assert len(text) == len(example) == 450
    assert text != example
    ours, theirs = (b64decode("".join(pem.splitlines()[1:-1])) for pem in (text, example))
    assert len(ours) == len(theirs) == 294
    assert ours[:33] == theirs[:33], "the same algorithm and size"
    assert ours[-5:] == theirs[-5:], "the same exponent"
    sandbox.world = replace(sandbox.world, public_key="another")
    for bearer in (None, app_token(sandbox)):
        assert call(sandbox, "GET", "/public/v1/public-key", bearer=bearer)[1]["data"] == {"public_key": "another"}
    assert is_error(call(sandbox, "POST", "/public/v1/public-key"), "401-unauthorized", payload)


# The token


def test_a_token_is_told_about_itself(sandbox: Sandbox, payload: Any) -> None:
    path = "/public/v1/token/introspect"
    status, got = call(sandbox, "POST", path, bearer=user_token(sandbox))
    assert status == 200
    assert same_shape(got, payload, "post-public-v1-token-introspect")
    assert got["data"] == {
        "active": True,
        "client_id": "sandbox-app",
        "token_type": "user",
        "scope": " ".join(EVERYTHING),
        "exp": int(NOW) + 7200,
    }
    assert call(sandbox, "POST", path, bearer=app_token(sandbox))[1]["data"]["token_type"] == "app"
    bearer = user_token(sandbox)
    sandbox.expire_access_tokens()
    assert is_error(call(sandbox, "POST", path, bearer=bearer), "401-unauthorized", payload)
