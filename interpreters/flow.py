"""All items of a list that comes in pages, one after the other."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, Self, TypeVar

from kickcore.api.page import Page
from kickcore.api.paging import following

T = TypeVar("T")


class Flow(Generic[T]):
    """`async for item in flow`: fetches a page when the one before is used up.

    `fetch(cursor)` gives the page at a cursor, None for the first. Ends after the last page or `at_most` items. Raises
    `BadResponse` for a cursor that comes back, and after 10,000 pages, and whatever `fetch` raises; the iteration can
    be gone on with after that. From one item of a page to the next there is no checkpoint.
    """

    def __init__(self, fetch: Callable[[str | None], Awaitable[Page[T]]], at_most: int | None = None) -> None:
        self._fetch = fetch
        self._left = at_most
        self._items: deque[T] = deque()
        self._cursor: str | None = None
        self._seen: set[str] = set()
        self._is_last = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._left is not None and self._left <= 0:
            raise StopAsyncIteration
        while not self._items:
            if self._is_last:
                raise StopAsyncIteration
            await self._turn_page()
        if self._left is not None:
            self._left -= 1
        return self._items.popleft()

    async def _turn_page(self) -> None:
        page = await self._fetch(self._cursor)
        self._items.extend(page)
        # If Kick leads in a circle, this was the last page.
        self._is_last = True
        self._cursor = following(page.next_cursor, self._seen)
        self._is_last = self._cursor is None
