"""All pages of a list, as one program."""

from collections.abc import Callable
from typing import Final, TypeVar

from kickcore.api.page import Page
from kickcore.effects import Program
from kickcore.errors import BadResponse

T = TypeVar("T")

MOST_ITEMS: Final = 100_000
MOST_PAGES: Final = 10_000


def following(cursor: str | None, seen: set[str]) -> str | None:
    """The `next_cursor` of a page, once it is found to be new; it is added to those `seen`. None after the last.

    Raises `BadResponse` if Kick leads in a circle, or on without end.
    """
    if cursor is None:
        return None
    if cursor in seen or len(seen) >= MOST_PAGES:
        raise BadResponse(
            "Kick's pages do not end: a cursor came back that was used before, or there are more than "
            f"{MOST_PAGES} pages; what came before is complete",
            status=200,
            operation="paging",
        )
    seen.add(cursor)
    return cursor


def all_pages(fetch: Callable[[str | None], Program[Page[T]]], at_most: int = MOST_ITEMS) -> Program[list[T]]:
    """The items of all pages, at most so many: `all_pages(lambda cursor: fetch_livestreams(cursor=cursor))`.

    `fetch` gives the program for the page at a cursor, None for the first. Raises `BadResponse` for a cursor that comes
    back, and whatever the program raises.
    """
    items: list[T] = []
    seen: set[str] = set()
    cursor: str | None = None
    while True:
        page = yield from fetch(cursor)
        items += page
        if len(items) >= at_most:
            return items[:at_most]
        cursor = following(page.next_cursor, seen)
        if cursor is None:
            return items
