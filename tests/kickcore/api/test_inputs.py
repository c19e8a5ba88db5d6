"""Checks of what is passed to a call."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kickcore.api.inputs import (
    LARGEST_ID,
    batches,
    checked_count,
    checked_id,
    checked_ids,
    checked_list,
    checked_range,
    checked_segment,
    checked_text,
    checked_texts,
    repeated,
)
from kickcore.api.inputs import (
    given as given_members,
)
from kickcore.errors import InvalidInput
from kickcore.http import path_segment

NO_ID: list[Any] = [0, -1, 2**64, 2**70, -(2**64), True, False, "1", "", 1.0, 1.5, math.nan, None, [1], b"1", 1j]


@pytest.mark.parametrize("value", [1, 2, 2**53 + 1, 2**64 - 1])
def test_an_id_is_an_unsigned_number_of_64_bits(value: int) -> None:
    assert checked_id("user_id", value) == value


@pytest.mark.parametrize("value", NO_ID, ids=repr)
def test_what_is_no_id_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"^user_id is ") as caught:
        checked_id("user_id", value)
    assert caught.value.parameter == "user_id"


def test_a_number_too_long_to_print_is_refused_in_few_words() -> None:
    with pytest.raises(InvalidInput, match=r"not a number of \d+ bits$"):
        checked_id("user_id", 10**10_000)


@given(st.integers(), st.integers(), st.integers())
def test_a_range_includes_both_ends(value: int, least: int, most: int) -> None:
    if least <= value <= most:
        assert checked_range("limit", value, least, most) == value
    else:
        with pytest.raises(InvalidInput, match="limit is from"):
            checked_range("limit", value, least, most)


@given(st.lists(st.integers(1, LARGEST_ID), min_size=1))
def test_ids_are_taken_once_each_in_order(ids: list[int]) -> None:
    assert checked_ids("user_ids", iter(ids + ids)) == list(dict.fromkeys(ids))


@pytest.mark.parametrize("values", [[], (), iter(()), {}], ids=repr)
def test_at_least_one_id_is_needed(values: Any) -> None:
    with pytest.raises(InvalidInput, match="user_ids takes at least 1 items, not 0"):
        checked_ids("user_ids", values)


@pytest.mark.parametrize("values", [5, None, 1.5, object()], ids=lambda value: type(value).__name__)
def test_what_is_no_list_is_refused(values: Any) -> None:
    for check in (checked_ids, checked_list):
        with pytest.raises(InvalidInput, match="user_ids is a list, not"):
            check("user_ids", values)


@pytest.mark.parametrize("bad", NO_ID, ids=repr)
def test_one_bad_id_among_good_ones_is_found(bad: Any) -> None:
    with pytest.raises(InvalidInput):
        checked_ids("user_ids", [1, bad, 2])


def test_a_text_instead_of_a_list_of_texts_is_refused_with_the_cure() -> None:
    with pytest.raises(InvalidInput, match=r"slugs is a list of texts, not one text; write \['anna'\]"):
        checked_texts("slugs", "anna", 1, 25)


def test_texts_are_taken_once_each_in_order() -> None:
    assert checked_texts("slugs", iter(["b", "a", "b"]), 1, 25) == ["b", "a"]


def test_a_text_is_measured_in_code_points() -> None:
    assert checked_text("content", "😀" * 500, 1, 500) == "😀" * 500
    with pytest.raises(InvalidInput, match=r"content has 1 to 500 characters \(code points\), not 501"):
        checked_text("content", "a" * 501, 1, 500)
    with pytest.raises(InvalidInput, match="not 0"):
        checked_text("content", "", 1, 500)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udc00\ud800"])
def test_half_a_surrogate_pair_is_no_text(text: str) -> None:
    with pytest.raises(InvalidInput, match="half of a surrogate pair") as caught:
        checked_text("content", text, 1, 500)
    assert str(caught.value).encode()


@given(st.text(st.characters(), max_size=20))
def test_what_passes_can_be_sent(text: str) -> None:
    try:
        checked = checked_text("content", text, 0, 20)
    except InvalidInput:
        with pytest.raises(UnicodeEncodeError):
            text.encode()
    else:
        assert checked.encode().decode() == text


@pytest.mark.parametrize("value", [None, 5, b"a", ["a"]], ids=repr)
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="content is a text, not"):
        checked_text("content", value, 1, 500)


@pytest.mark.parametrize(
    "value", ["", ".", "..", "a b", "a\n", "\n", "a\tb", "a\0", "é", "\u2028", "\ud800", "x" * 129, 5, None], ids=repr
)
def test_what_cannot_stand_in_a_path_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_segment("message_id", value)
    assert str(caught.value).isprintable()


@given(st.text(max_size=40))
def test_a_segment_that_passes_stays_in_its_place(text: str) -> None:
    try:
        segment = path_segment(checked_segment("message_id", text))
    except InvalidInput:
        return
    assert segment not in {"", ".", ".."}
    assert not set(segment) & set("/\\?# \n")


def test_a_count_has_two_ends_or_one() -> None:
    assert checked_count("tags", [1, 2], 0, 2) == [1, 2]
    with pytest.raises(InvalidInput, match="tags takes 0 to 2 items, not 3"):
        checked_count("tags", [1, 2, 3], 0, 2)


def test_a_list_is_sent_with_its_key_once_per_value() -> None:
    assert repeated("id", [1, "b"]) == (("id", "1"), ("id", "b"))
    assert repeated("id", []) == ()


def test_members_without_a_value_are_not_sent() -> None:
    assert given_members(limit=0, cursor=None, name="") == (("limit", "0"), ("name", ""))


@given(st.lists(st.integers()), st.integers(1, 60))
def test_batches_are_full_but_for_the_last_and_lose_nothing(values: list[int], size: int) -> None:
    pieces = batches(values, size)
    assert [value for piece in pieces for value in piece] == values
    assert all(len(piece) == size for piece in pieces[:-1])
    assert all(0 < len(piece) <= size for piece in pieces)
