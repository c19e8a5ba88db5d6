"""Tokens as they are drawn: in the phase that was asked for, and in every one."""

from typing import assert_type

import pytest
from hypothesis import find, given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from kickcore.oauth.actions import AskLogin, RefreshToken, UseToken, decide, has_ended
from kickcore.oauth.tokens import CLOCK_SLACK, LONGEST_LIFE, Attempt, Outcome, Slot, Token, TokenKind
from kickcore.secret import Secret
from kickcore.testing import NOW, Phase, attempts, is_in, moved, tokens

from .reach import FIRST, SOME

SLOT = Slot("https://id.kick.com", "CID", TokenKind.USER)


@pytest.mark.parametrize("phase", Phase)
@SOME
@given(data=st.data(), now=st.sampled_from([NOW, 1e9]))
def test_a_token_is_in_the_phase_that_was_asked_for(phase: Phase, data: st.DataObject, now: float) -> None:
    token = data.draw(tokens(phase, now=now))
    assert is_in(phase, token, now)
    assert token.access_token is not None or token.refresh_token is not None


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_comes_where_none_is_asked_for(phase: Phase) -> None:
    token = find(tokens(), lambda token: is_in(phase, token, NOW), settings=FIRST)
    assert_type(token, Token)


@SOME
@given(tokens(), st.floats(NOW - 1e6, NOW + 1e6))
def test_every_token_is_in_a_phase(token: Token, now: float) -> None:
    assert any(is_in(phase, token, now) for phase in Phase)


@SOME
@given(tokens(Phase.FRESH))
def test_what_is_fresh_is_used(token: Token) -> None:
    assert decide(SLOT, token, NOW) == UseToken(token)


@SOME
@given(tokens(Phase.DUE))
def test_what_is_due_is_used_and_renewed_ahead(token: Token) -> None:
    assert token.is_alive(NOW)
    assert token.is_due(NOW)
    assert not token.is_overdue(NOW)


@SOME
@given(tokens(Phase.OVERDUE))
def test_what_is_overdue_is_alive(token: Token) -> None:
    assert token.is_alive(NOW)
    assert token.is_overdue(NOW)


@SOME
@given(tokens(Phase.EXPIRED, Phase.SALVAGED))
def test_what_is_at_its_end_is_not_used(token: Token) -> None:
    assert isinstance(decide(SLOT, token, NOW), RefreshToken | AskLogin)


@SOME
@given(tokens(Phase.ENDED))
def test_what_kick_has_ended_is_never_renewed(token: Token) -> None:
    assert has_ended(token)
    assert not isinstance(decide(SLOT, token, NOW), RefreshToken)


@SOME
@given(tokens(Phase.FUTURE))
def test_what_is_from_the_future_was_issued_later_than_now(token: Token) -> None:
    assert token.issued_at > NOW + CLOCK_SLACK


@pytest.mark.parametrize(
    "is_odd",
    [
        lambda token: token.expires_at == token.issued_at,
        lambda token: token.expires_at < token.issued_at,
        lambda token: token.expires_at - token.issued_at > LONGEST_LIFE and token.issued_at > 0,
        lambda token: abs(token.issued_at) < 1,
    ],
    ids=["none", "negative", "of years", "unknown"],
)
def test_every_odd_life_comes(is_odd: object) -> None:
    assert find(tokens(Phase.ODD), is_odd, settings=FIRST)  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_of_an_attempt_comes(outcome: Outcome) -> None:
    assert find(attempts(), lambda attempt: attempt.outcome is outcome, settings=FIRST)
    assert find(tokens(), lambda token: token.attempt is not None and token.attempt.outcome is outcome, settings=FIRST)


@pytest.mark.parametrize(
    "has",
    [
        lambda token: token.refresh_token is None,
        lambda token: token.refresh_token is not None and token.scope is None,
        lambda token: token.scope == (),
        lambda token: token.scope and len(token.scope) > 1,
        lambda token: token.granted_at is not None and token.granted_at < token.issued_at,
        lambda token: token.refresh_issued_at == token.issued_at,
        lambda token: token.access_token == token.refresh_token,
    ],
)
def test_members_come_and_are_missing(has: object) -> None:
    assert find(tokens(Phase.FRESH), has, settings=FIRST)  # type: ignore[arg-type]


@SOME
@given(tokens(tried=st.none(), secrets=st.just(Secret("only"))))
def test_secrets_and_attempts_are_those_given(token: Token) -> None:
    assert {token.access_token, token.refresh_token} <= {Secret("only"), None}
    assert token.attempt is None or token.attempt.outcome is Outcome.ENDED


@SOME
@given(tokens(), st.integers(-(10**6), 10**6))
def test_a_token_is_moved_as_a_whole(token: Token, seconds: int) -> None:
    later = moved(token, seconds)
    assert later.expires_at - token.expires_at == pytest.approx(seconds, abs=1e-3)
    assert (later.attempt is None) is (token.attempt is None)
    assert moved(token, 0.0) == token


def test_moving_moves_every_instant() -> None:
    token = Token(Secret("A"), 5.0, 4.0, Secret("B"), (), 2.0, 3.0, Attempt(4.5, Outcome.FAILED))
    assert moved(token, 10.0) == Token(
        Secret("A"), 15.0, 14.0, Secret("B"), (), 12.0, 13.0, Attempt(14.5, Outcome.FAILED)
    )


def test_a_strategy_is_built_once() -> None:
    assert_type(tokens(Phase.DUE), SearchStrategy[Token])
    assert tokens(Phase.DUE, now=5.0) is tokens(Phase.DUE, now=5.0)
    assert tokens(Phase.DUE, now=5.0) is not tokens(Phase.FRESH, now=5.0)
    assert tokens.__name__ == "tokens"
    assert tokens.__doc__
