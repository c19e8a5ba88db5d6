"""All pages of a list, as one program."""

from collections.abc import Callable
from typing import Final, TypeVar

from kickcore.api.page import Page
from kickcore.effects import Program
from kickcore.errors import BadResponse

T = TypeVar("T")

MOST_ITEMS: Final = 100_000


def all_pages(fetch: Callable[[str | None], Program[Page[T]]], at_most: int = MOST_ITEMS) -> Program[list[T]]:
    """The items of all pages, at most so many: `all_pages(lambda cursor: fetch_livestreams(cursor=cursor))`.

    `fetch` gives the program for the page at a cursor, None for the first. Raises `BadResponse` for a cursor that comes
    back, and whatever the program raises.
    """
    items: list[T] = []
    seen: set[str | None] = {None}
    cursor: str | None = None
    while True:
        page = yield from fetch(cursor)
        items += page
        cursor = page.next_cursor
        if cursor is None or len(items) >= at_most:
            return items[:at_most]
        if cursor in seen:
            raise BadResponse("Kick's pages do not end: a cursor came back", status=200, operation="paging")
        seen.add(cursor)
