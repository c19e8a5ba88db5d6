"""Scopes: known ones, unknown ones, and what is none."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import needs, scope_tuples

from kickcore import Scope
from kickcore.errors import ConfigError
from kickcore.oauth.scopes import Needs, any_of, checked_scopes, missing_scopes, parse_scope, scope_text

ALL = {
    "user:read", "channel:read", "channel:write", "channel:rewards:read", "channel:rewards:write", "chat:write",
    "streamkey:read", "events:subscribe", "moderation:ban", "moderation:chat_message:manage", "kicks:read", "ads:read",
    "ads:write",
}  # fmt: skip


def test_kick_documents_thirteen_scopes() -> None:
    assert len(Scope) == 13
    assert {str(scope) for scope in Scope} == ALL


def test_a_scope_is_its_text() -> None:
    assert Scope.CHAT_WRITE == "chat:write"
    assert f"{Scope.CHAT_WRITE}" == "chat:write"
    assert Scope("chat:write") is Scope.CHAT_WRITE


@pytest.mark.parametrize(
    ("text", "scopes"),
    [
        ("", ()),
        ("   ", ()),
        ("user:read", ("user:read",)),
        ("user:read chat:write", ("user:read", "chat:write")),
        ("chat:write  user:read ", ("chat:write", "user:read")),
        ("user:read user:read", ("user:read",)),
        ("new:thing user:read", ("new:thing", "user:read")),
    ],
)
def test_a_scope_member_is_split_at_spaces_and_unknown_ones_are_kept(text: str, scopes: tuple[str, ...]) -> None:
    assert parse_scope(text) == scopes


@given(scope_tuples)
def test_what_is_joined_is_parsed_again(scopes: tuple[str, ...]) -> None:
    assert parse_scope(" ".join(scopes)) == scopes


@given(st.text())
def test_parsing_never_fails_and_never_gives_a_blank(text: str) -> None:
    assert all(scope and not scope.isspace() for scope in parse_scope(text))


@pytest.mark.parametrize(
    ("asked", "checked"),
    [
        ([Scope.CHAT_WRITE], ("chat:write",)),
        (["user:read", Scope.CHAT_WRITE, "user:read"], ("user:read", "chat:write")),
        ((scope for scope in ("ads:read",)), ("ads:read",)),
        (Scope, tuple(Scope)),
    ],
    ids=["a member", "texts and members, twice", "a generator", "all"],
)
def test_good_scopes_are_taken_once_each_and_in_order(asked: Iterable[str], checked: tuple[str, ...]) -> None:
    assert checked_scopes(asked) == checked
    assert all(type(scope) is str for scope in checked_scopes(["user:read"]))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([], "scopes is empty"),
        ((), "scopes is empty"),
        ("chat:write", r"not one text; write scopes=\['chat:write'\]"),
        ("user:read chat:write", r"\['user:read', 'chat:write'\]"),
        (Scope.CHAT_WRITE, "not one text"),
        (["chat:wirte"], "'chat:wirte' is not a scope of Kick's; those are .*chat:write"),
        (["Chat:Write"], "not a scope of Kick's"),
        (["user:read chat:write"], "RFC 6749"),
        ([""], "RFC 6749"),
        ([" "], "RFC 6749"),
        (["chat:write\n"], "RFC 6749"),
        (['chat"write'], "RFC 6749"),
        (["chat\\write"], "RFC 6749"),
        (["chät:write"], "RFC 6749"),
        (["x" * 5000], "not a scope of Kick's"),
        ([None], "not a scope of Kick's"),
        ([5], "not a scope of Kick's"),
        ([["chat:write"]], "not a scope"),
    ],
)
def test_what_is_no_scope_is_refused_with_a_reason(asked: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        checked_scopes(asked)
    assert len(str(caught.value)) < 500


def test_an_unknown_scope_passes_if_wanted_but_a_malformed_one_does_not() -> None:
    assert checked_scopes(["new:thing"], known_only=False) == ("new:thing",)
    with pytest.raises(ConfigError):
        checked_scopes(["new thing"], known_only=False)


def test_any_one_of_a_group_is_enough_and_every_group_counts() -> None:
    either = any_of(Scope.ADS_READ, Scope.ADS_WRITE)
    both = any_of(Scope.ADS_READ) + any_of(Scope.ADS_WRITE)
    assert missing_scopes(either, ["ads:write"]) == ()
    assert missing_scopes(both, ["ads:write"]) == any_of(Scope.ADS_READ)
    assert missing_scopes(either, ["chat:write"]) == either
    assert missing_scopes((), []) == ()


@given(needs, scope_tuples)
def test_what_is_missing_is_a_group_of_which_nothing_is_granted(wanted: Needs, granted: tuple[str, ...]) -> None:
    missing = missing_scopes(wanted, granted)
    assert set(missing) <= set(wanted)
    for group in wanted:
        assert (group in missing) is not any(scope in granted for scope in group)


def test_needs_are_told_to_people() -> None:
    assert scope_text(any_of(Scope.CHAT_WRITE)) == "chat:write"
    assert scope_text(any_of(Scope.ADS_WRITE, Scope.ADS_READ)) == "ads:read or ads:write"
    assert scope_text(any_of(Scope.ADS_READ) + any_of(Scope.USER_READ)) == "ads:read, user:read"
