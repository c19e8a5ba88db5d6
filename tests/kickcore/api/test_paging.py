"""All pages as one program."""

import pytest
from worlds import World

from kickcore.api.page import Page
from kickcore.api.paging import all_pages
from kickcore.effects import Now, Program
from kickcore.errors import BadResponse

PAGES = {None: Page((1, 2), "b"), "b": Page((), "c"), "c": Page((3,), None)}


def fetch(cursor: str | None) -> Program[Page[int]]:
    _ = yield from Now()
    return PAGES[cursor]


def test_the_items_of_all_pages() -> None:
    assert World().run(all_pages(fetch)) == [1, 2, 3]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_at_most_so_many(count: int) -> None:
    assert World().run(all_pages(fetch, at_most=count)) == [1, 2, 3][:count]


def test_a_cursor_that_comes_back_ends_it() -> None:
    def circle(cursor: str | None) -> Program[Page[int]]:
        _ = yield from Now()
        return Page((1,), "b")

    with pytest.raises(BadResponse, match="do not end"):
        World().run(all_pages(circle))
