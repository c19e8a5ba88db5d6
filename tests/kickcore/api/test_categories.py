"""Categories."""

from typing import Any

import pytest
from worlds import exchange, refusal

from kickcore import Secret
from kickcore.api.categories import Category, fetch_categories
from kickcore.http import Request, Response


def test_a_page_of_categories(payload: Any) -> None:
    answer = Response(200, (), payload("responses/get-public-v2-categories.json"))
    page, request = exchange(fetch_categories(), answer)
    base = "https://files.kick.com/images/subcategories"
    assert list(page) == [
        Category(
            9569,
            "Gaming Cafe Simulator",
            f"{base}/9569/banner/conversion/db0164a6-05e9-42cd-8066-1c30a0d999a6-banner.webp",
            ("simu",),
        ),
        Category(
            4688,
            "Miniature Wargaming",
            f"{base}/4688/banner/conversion/9042d2d7-8d2b-4550-ad00-21d4420b627f-banner.webp",
            None,
        ),
    ]
    assert page.next_cursor == "eyJjX2N1cnNvciI6MTB9"
    assert request == Request(
        "GET",
        "https://api.kick.com/public/v2/categories",
        query=(("limit", "25"),),
        bearer=Secret("APP0"),
        group="GET /public/v2/categories",
    )


def test_lists_are_separated_by_commas_in_one_key() -> None:
    _, request = exchange(
        fetch_categories(
            name=["Old School", "Slots", "Slots"], tag=("rpg", "mmo"), category_id=[15, 101], cursor="abcd", limit=1000
        ),
        [],
    )
    assert request.query == (
        ("cursor", "abcd"),
        ("limit", "1000"),
        ("name", "Old School,Slots"),
        ("tag", "rpg,mmo"),
        ("id", "15,101"),
    )


def test_a_query_is_one_more_name() -> None:
    assert exchange(fetch_categories("chess"), [])[1].query == (("limit", "25"), ("name", "chess"))
    assert exchange(fetch_categories("chess", name=iter(["slots"])), [])[1].query[1] == ("name", "chess,slots")


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ({"query": "ab"}, "query"),
        ({"query": ""}, "query"),
        ({"query": 555}, "query"),
        ({"query": "a,b,c"}, "name"),
        ({"name": ["Papers, Please"]}, "name"),
        ({"name": ["ab"]}, "name"),
        ({"name": ["a" * 101]}, "name"),
        ({"name": "chess"}, "name"),
        ({"name": []}, "name"),
        ({"name": 5}, "name"),
        ({"tag": ["a,b"]}, "tag"),
        ({"tag": "rpg"}, "tag"),
        ({"tag": []}, "tag"),
        ({"tag": ["ab\ud800"]}, "tag"),
        ({"category_id": []}, "category_id"),
        ({"category_id": [0]}, "category_id"),
        ({"category_id": [2**64]}, "category_id"),
        ({"category_id": 15}, "category_id"),
        ({"category_id": ["15"]}, "category_id"),
        ({"cursor": "abc"}, "cursor"),
        ({"cursor": "a" * 29}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": True}, "limit"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_kick_would_not_take_is_refused(asked: dict[str, Any], parameter: str) -> None:
    assert refusal(fetch_categories(**asked)).parameter == parameter


@pytest.mark.parametrize("row", [{"id": 1, "name": "a"}, {"id": 1, "name": "a", "thumbnail": "", "tags": None}])
def test_what_is_missing_or_empty_is_none(row: dict[str, Any]) -> None:
    page, _ = exchange(fetch_categories(), [row])
    assert list(page) == [Category(1, "a")]
