"""Scopes: known ones, unknown ones, and what is none."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kickcore import Scope
from kickcore.errors import ConfigError
from kickcore.oauth.scopes import NEEDS, Needs, any_of, checked_scopes, missing_scopes, parse_scope, scope_text
from kickcore.testing import needs, scope_tuples

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


@given(scope_tuples())
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


@pytest.mark.parametrize("letter", [chr(code) for code in range(0x80)] + ["\x80", "é", "\u2028"])
def test_a_scope_is_of_visible_letters_but_two(letter: str) -> None:
    allowed = "!" <= letter <= "~" and letter not in '"\\'
    for scope in (letter, f"a{letter}", f"{letter}a"):
        if allowed:
            assert checked_scopes([scope], known_only=False) == (scope,)
        else:
            with pytest.raises(ConfigError, match="is not a scope"):
                checked_scopes([scope], known_only=False)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("ads:read a", "scopes is a list of scopes, not one text; write scopes=['ads:read', 'a']"),
        (5, "scopes is a list of scopes, not int"),
        (None, "scopes is a list of scopes, not NoneType"),
        ([], "scopes is empty; name at least one, for example scopes=[Scope.CHAT_WRITE]"),
        ([" " * 50], f"'{' ' * 40}' is not a scope (RFC 6749, section 3.3)"),
        (["x" * 70], f"'{'x' * 60}' is not a scope of Kick's; those are {', '.join(sorted(ALL))}"),
    ],
    ids=repr,
)
def test_the_reasons_in_full(asked: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_scopes(asked)
    assert str(caught.value) == said


# From Kick's documentation of each operation.
WHAT_A_SCOPE_ALLOWS = {
    "user:read": "fetch_user fetch_users",
    "channel:read": "fetch_channel fetch_channels",
    "channel:write": "update_channel",
    "channel:rewards:read": "fetch_channel_rewards fetch_reward_redemptions",
    "channel:rewards:write": (
        "fetch_channel_rewards fetch_reward_redemptions create_channel_reward update_channel_reward "
        "delete_channel_reward accept_reward_redemptions reject_reward_redemptions"
    ),
    "chat:write": "send_chat_message",
    "streamkey:read": "",
    "events:subscribe": (
        "fetch_events_subscriptions subscribe_to_events subscribe_to_event unsubscribe_from_events "
        "unsubscribe_from_event"
    ),
    "moderation:ban": "ban_user timeout_user unban_user",
    "moderation:chat_message:manage": "delete_chat_message",
    "kicks:read": "fetch_kicks_leaderboard",
    "ads:read": "fetch_ad_break_status",
    "ads:write": "fetch_ad_break_status create_ad_break enroll_in_ads",
}


def test_what_each_scope_alone_allows() -> None:
    allowed = {
        scope: {method for method, wanted in NEEDS.items() if not missing_scopes(wanted, [scope])} for scope in ALL
    }
    assert allowed == {scope: set(methods.split()) for scope, methods in WHAT_A_SCOPE_ALLOWS.items()}
    assert set(NEEDS) == {method for methods in WHAT_A_SCOPE_ALLOWS.values() for method in methods.split()}
    assert all(scope in set(Scope) for wanted in NEEDS.values() for group in wanted for scope in group)


def test_any_one_of_a_group_is_enough_and_every_group_counts() -> None:
    either = any_of(Scope.ADS_READ, Scope.ADS_WRITE)
    both = any_of(Scope.ADS_READ) + any_of(Scope.ADS_WRITE)
    assert missing_scopes(either, ["ads:write"]) == ()
    assert missing_scopes(both, ["ads:write"]) == any_of(Scope.ADS_READ)
    assert missing_scopes(either, ["chat:write"]) == either
    assert missing_scopes((), []) == ()


@given(needs(), scope_tuples())
def test_what_is_missing_is_a_group_of_which_nothing_is_granted(wanted: Needs, granted: tuple[str, ...]) -> None:
    missing = missing_scopes(wanted, granted)
    assert set(missing) <= set(wanted)
    for group in wanted:
        assert (group in missing) is not any(scope in granted for scope in group)


def test_needs_are_told_to_people() -> None:
    assert scope_text(any_of(Scope.CHAT_WRITE)) == "chat:write"
    assert scope_text(any_of(Scope.ADS_WRITE, Scope.ADS_READ)) == "ads:read or ads:write"
    assert scope_text(any_of(Scope.ADS_READ) + any_of(Scope.USER_READ)) == "ads:read, user:read"
