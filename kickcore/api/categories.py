"""Categories: what is streamed."""

from collections.abc import Iterable
from typing import ClassVar

from kickcore.api.call import APP_OR_USER, Call, call_page
from kickcore.api.inputs import checked_count, checked_ids, checked_range, checked_text, checked_texts, given
from kickcore.api.model import Model
from kickcore.api.page import Page
from kickcore.effects import Program
from kickcore.errors import InvalidInput


class Category(Model, frozen=True):
    """A category, such as a game. `thumbnail` is a URL; `tags` is empty where Kick names none."""

    id: int
    name: str
    thumbnail: str | None = None
    tags: tuple[str, ...] | None = None

    absent: ClassVar[tuple[str, ...]] = ("thumbnail", "tags")


def fetch_categories(
    query: str | None = None,
    *,
    name: Iterable[str] | None = None,
    tag: Iterable[str] | None = None,
    category_id: Iterable[int] | None = None,
    cursor: str | None = None,
    limit: int = 25,
) -> Program[Page[Category]]:
    """A page of categories, filtered by names, tags and ids. `query` is one more name.

    Names and tags have 3 to 100 characters and no comma, since Kick separates them by commas. `limit` is 1 to 1000 a
    page; `cursor` is the `next_cursor` of the page before. Whether Kick searches or compares names is not
    documented: compare them yourself.

    App token. Raises `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`. Kick: GET /public/v2/categories.
    """
    names = [] if query is None else [checked_text("query", query, 3, 100)]
    names += [] if name is None else checked_texts("name", name, 3, 100)
    filters = given(
        cursor=None if cursor is None else checked_text("cursor", cursor, 4, 28),
        limit=checked_range("limit", limit, 1, 1000),
        name=_listed("name", names) if names else None,
        tag=None if tag is None else _listed("tag", tag),
        id=None if category_id is None else _ids(category_id),
    )
    asked = Call(operation="GET /public/v2/categories", answer=list[Category], tokens=APP_OR_USER, query=filters)
    return (yield from call_page(asked))


def _ids(category_ids: Iterable[int]) -> str:
    return ",".join(map(str, checked_ids("category_id", category_ids)))


def _listed(parameter: str, values: Iterable[str]) -> str:
    texts = checked_count(parameter, checked_texts(parameter, values, 3, 100), 1, None)
    for text in texts:
        if "," in text:
            raise InvalidInput(f"{parameter} {text!r} holds a comma, which Kick cannot tell apart", parameter=parameter)
    return ",".join(texts)
