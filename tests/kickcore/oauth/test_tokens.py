"""Tokens, slots and apps as values."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kickcore.errors import ConfigError
from kickcore.oauth.tokens import (
    CLOCK_SLACK,
    DEFAULT_LIFE,
    LONGEST_LIFE,
    App,
    Attempt,
    Outcome,
    Slot,
    Stored,
    Token,
    TokenKind,
    by_now,
    checked_account,
    checked_app,
    lifetime,
)
from kickcore.secret import Secret
from kickcore.testing import NOW, json_values, tokens


def _token(life: float = 7200.0) -> Token:
    return Token(Secret("AT"), NOW + life, NOW)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (7200, 7200.0),
        (7200.5, 7200.5),
        ("7200", 7200.0),
        ("7200.0", 7200.0),
        (" 7200 ", 7200.0),
        (1, 1.0),
        (5_184_000, 5_184_000.0),
        (LONGEST_LIFE + 1, LONGEST_LIFE),
        (10**18, LONGEST_LIFE),
        (10**400, LONGEST_LIFE),
        ("9" * 400, LONGEST_LIFE),
        ("9" * 10_000, LONGEST_LIFE),
        (float("inf"), LONGEST_LIFE),
        ("inf", LONGEST_LIFE),
        (0, DEFAULT_LIFE),
        (-5, DEFAULT_LIFE),
        (-(10**400), DEFAULT_LIFE),
        (float("-inf"), DEFAULT_LIFE),
        (float("nan"), DEFAULT_LIFE),
        ("nan", DEFAULT_LIFE),
        ("soon", DEFAULT_LIFE),
        ("", DEFAULT_LIFE),
        (None, DEFAULT_LIFE),
        (True, DEFAULT_LIFE),
        ([1], DEFAULT_LIFE),
        ({}, DEFAULT_LIFE),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_the_life_of_a_token(said: object, seconds: float) -> None:
    assert lifetime(said) == seconds


@given(json_values() | st.integers(10**300, 10**330) | st.from_regex(r"-?\d+(\.\d+)?([eE]\d+)?", fullmatch=True))
def test_every_answer_gives_a_life_that_ends(said: object) -> None:
    assert 0 < lifetime(said) <= LONGEST_LIFE


def test_a_token_is_due_ten_minutes_before_its_end_and_overdue_one_minute_before() -> None:
    token = _token()
    assert not token.is_due(NOW)
    assert not token.is_due(token.expires_at - 600.01)
    assert token.is_due(token.expires_at - 600)
    assert not token.is_overdue(token.expires_at - 60.01)
    assert token.is_overdue(token.expires_at - 60)
    assert token.is_due(token.expires_at + 1e9)
    assert token.is_overdue(token.expires_at + 1e9)


def test_a_token_is_alive_to_the_very_end_that_kick_told() -> None:
    token = _token()
    assert token.is_alive(token.expires_at - 0.01)
    assert not token.is_alive(token.expires_at)
    assert not replace(token, access_token=None).is_alive(NOW)


def test_a_short_token_is_due_at_a_fifth_and_overdue_at_a_tenth_of_its_life() -> None:
    token = _token(100)
    assert not token.is_due(NOW + 79.9)
    assert token.is_due(NOW + 80.1)
    assert not token.is_overdue(NOW + 89.9)
    assert token.is_overdue(NOW + 90.1)


@given(tokens(), st.floats(0, 1e9))
def test_what_is_overdue_is_due_and_what_is_dead_is_overdue(token: Token, later: float) -> None:
    now = token.issued_at + later
    assert token.is_due(now) or not token.is_overdue(now)
    assert token.is_overdue(now) or token.is_alive(now)


@pytest.mark.parametrize("outcome", Outcome)
def test_an_attempt_counts_for_half_a_minute(outcome: Outcome) -> None:
    token = replace(_token(), attempt=Attempt(NOW, outcome))
    assert token.was_tried(NOW, outcome)
    assert token.was_tried(NOW + 29.99, Outcome.ENDED, outcome)
    assert not token.was_tried(NOW + 30, outcome)
    assert not token.was_tried(NOW - 0.01, outcome)
    others = [other for other in Outcome if other is not outcome]
    assert not token.was_tried(NOW, *others)
    assert not _token().was_tried(NOW, outcome)


def test_of_two_clocks_the_later_one_counts() -> None:
    assert by_now(None, NOW) == NOW
    assert by_now(Stored(_token(), "1", NOW - 3600), NOW) == NOW
    assert by_now(Stored(_token(), "1", NOW + 3600), NOW) == NOW + 3600


def test_when_it_was_looked_at_makes_no_difference_to_what_is_stored() -> None:
    assert Stored(_token(), "1", 5.0) == Stored(_token(), "1", 6.0)
    assert hash(Stored(_token(), "1", 5.0)) == hash(Stored(_token(), "1", 6.0))
    assert Stored(_token(), "1") != Stored(_token(), "2")
    assert Stored(_token(), "1") != Stored(_token(5), "1")
    assert Stored(_token(), "1") != "1"


def test_a_token_from_the_future_is_due() -> None:
    assert not _token().is_due(NOW - CLOCK_SLACK)
    assert _token().is_due(NOW - CLOCK_SLACK - 0.01)


def test_a_token_without_an_access_token_is_due_at_once() -> None:
    assert Token(None, NOW + 7200, NOW, Secret("RT")).is_due(NOW)


@given(tokens(), st.floats(NOW - 200_000, NOW + 500_000))
def test_a_token_past_its_end_is_always_due(token: Token, now: float) -> None:
    if now >= token.expires_at:
        assert token.is_due(now)


@given(tokens(), st.floats(0, 100_000), st.floats(0, 100_000))
def test_what_is_due_stays_due(token: Token, first: float, later: float) -> None:
    if token.is_due(token.issued_at + first):
        assert token.is_due(token.issued_at + first + later)


@given(st.floats(0.001, LONGEST_LIFE))
def test_a_new_token_is_never_due_at_once(life: float) -> None:
    # Not for a life so short that the clock cannot tell its end from its beginning.
    assert not Token(Secret("AT"), 1.0 + life, 1.0).is_due(1.0)


def test_a_token_does_not_show_its_secrets() -> None:
    assert "AT" not in repr(Token(Secret("AT"), 1.0, 0.0, Secret("RT")))
    assert "CSECRET" not in repr(App("CID", Secret("CSECRET")))


def test_an_app_token_belongs_to_no_account() -> None:
    app = App("CID", Secret("CSECRET"), account="anna")
    assert app.slot(TokenKind.APP) == Slot("https://id.kick.com", "CID", TokenKind.APP, "")
    assert app.slot(TokenKind.USER) == Slot("https://id.kick.com", "CID", TokenKind.USER, "anna")


def test_no_two_slots_are_the_same() -> None:
    apps = [
        App("A", Secret("s")),
        App("B", Secret("s")),
        App("A", Secret("s"), id_url="http://127.0.0.1:1"),
        App("A", Secret("s"), account="anna"),
    ]
    assert len({app.slot(TokenKind.USER) for app in apps}) == 4
    assert len({app.slot(kind) for app in apps[:3] for kind in TokenKind}) == 6


def test_a_good_app_is_put_into_plain_form() -> None:
    app = App("CID", Secret("S"), "HTTPS://api.kick.com/", "http://LOCALHOST:8080", "Ünal")
    assert checked_app(app) == App("CID", Secret("S"), "https://api.kick.com", "http://localhost:8080", "Ünal")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"client_id": ""}, "client_id is empty"),
        ({"client_id": "C ID"}, "client_id holds a blank"),
        ({"client_id": "CID\n"}, "client_id holds"),
        ({"client_id": "ÇID"}, "client_id holds"),
        ({"client_id": "x" * 513}, "client_id holds"),
        ({"client_secret": Secret("")}, "client_secret is empty"),
        ({"client_secret": Secret("hunter2\n")}, "client_secret holds"),
        ({"client_secret": Secret("hunter 2")}, "client_secret holds"),
        ({"client_secret": Secret("hünter2")}, "client_secret holds"),
        ({"api_url": "http://api.kick.com"}, "api_url must be https"),
        ({"id_url": "http://id.kick.com"}, "id_url must be https"),
        ({"id_url": "https://id.kick.com/oauth"}, "id_url is a scheme and a host"),
        ({"account": "a" * 65}, "account is a name"),
        ({"account": "a\nb"}, "account is a name"),
        ({"account": "a\x00"}, "account is a name"),
    ],
    ids=repr,
)
def test_an_app_that_cannot_be_right_is_refused(wrong: dict[str, Any], said: str) -> None:
    members: dict[str, Any] = {"client_id": "CID", "client_secret": Secret("S"), **wrong}
    with pytest.raises(ConfigError, match=said) as caught:
        checked_app(App(**members))
    assert "hunter" not in str(caught.value)
    assert "hünter" not in str(caught.value)


@pytest.mark.parametrize("account", ["", "anna", "a" * 64, "Ünal", "../up", "a b"])
def test_an_account_is_any_short_name(account: str) -> None:
    assert checked_account(account) == account
