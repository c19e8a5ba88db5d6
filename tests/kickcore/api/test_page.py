"""A page behaves as a sequence."""

from hypothesis import given
from hypothesis import strategies as st

from kickcore.api.page import Page

ITEMS = (3, 1, 2)


def test_a_page_is_a_sequence_of_its_items() -> None:
    page = Page(ITEMS, "next")
    assert list(page) == [3, 1, 2]
    assert list(reversed(page)) == [2, 1, 3]
    assert len(page) == 3
    assert page[0] == 3
    assert page[-1] == 2
    assert page[1:] == (1, 2)
    assert 2 in page
    assert 9 not in page


def test_a_page_with_a_cursor_has_a_next_one() -> None:
    assert Page(ITEMS, "next").has_next
    assert not Page(ITEMS).has_next


def test_an_empty_page_is_false_and_a_value() -> None:
    assert not Page()
    assert Page(ITEMS)
    assert Page(ITEMS) == Page(ITEMS) != Page(ITEMS, "next")
    assert hash(Page(ITEMS)) == hash(Page(ITEMS))


@given(st.lists(st.integers()).map(tuple), st.slices(8))
def test_slices_are_those_of_the_items(items: tuple[int, ...], part: slice) -> None:
    assert Page(items)[part] == items[part]
