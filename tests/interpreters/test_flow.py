"""Items of all pages."""

import pytest

from interpreters.flow import Flow
from kickcore.api.page import Page
from kickcore.api.paging import MOST_PAGES
from kickcore.errors import BadResponse

PAGES = {None: Page((1, 2), "b"), "b": Page((), "c"), "c": Page((3,), "d"), "d": Page((4,), None)}


async def fetch(cursor: str | None) -> Page[int]:
    return PAGES[cursor]


async def test_items_come_page_by_page() -> None:
    assert [item async for item in Flow(fetch)] == [1, 2, 3, 4]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 9])
async def test_at_most_so_many(count: int) -> None:
    assert [item async for item in Flow(fetch, at_most=count)] == [1, 2, 3, 4][:count]


async def test_a_page_is_fetched_when_the_one_before_is_used_up() -> None:
    asked: list[str | None] = []

    async def watched(cursor: str | None) -> Page[int]:
        asked.append(cursor)
        return PAGES[cursor]

    flow = Flow(watched)
    assert not asked
    assert [await anext(flow), await anext(flow)] == [1, 2]
    assert asked == [None]
    assert await anext(flow) == 3
    assert asked == [None, "b", "c"]


async def test_a_cursor_that_comes_back_ends_it() -> None:
    async def circle(cursor: str | None) -> Page[int]:
        return Page((1,), "b" if cursor is None else "c" if cursor == "b" else "b")

    flow = Flow(circle)
    assert [await anext(flow), await anext(flow)] == [1, 1]
    with pytest.raises(BadResponse, match="used before"):
        _ = await anext(flow)


async def test_pages_without_end_are_ended() -> None:
    async def endless(cursor: str | None) -> Page[int]:
        return Page((), str(int(cursor or 0) + 1))

    with pytest.raises(BadResponse, match=str(MOST_PAGES)):
        _ = await anext(Flow(endless))


async def test_after_a_failure_it_goes_on_where_it_was() -> None:
    failing = [True]

    async def shaky(cursor: str | None) -> Page[int]:
        if cursor == "c" and failing.pop():
            failing.append(False)
            raise BadResponse("no", status=200, operation="x")
        return PAGES[cursor]

    flow = Flow(shaky)
    seen = [await anext(flow), await anext(flow)]
    with pytest.raises(BadResponse, match="no"):
        _ = await anext(flow)
    seen += [item async for item in flow]
    assert seen == [1, 2, 3, 4]
