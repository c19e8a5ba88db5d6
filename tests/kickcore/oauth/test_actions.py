"""What to do about a token: the decision."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from worlds import APP_SLOT, USER_SLOT

from kickcore import Scope
from kickcore.oauth.actions import (
    AskLogin,
    FetchAppToken,
    RefreshToken,
    RefuseScopes,
    TokenAction,
    UseToken,
    decide,
    has_ended,
)
from kickcore.oauth.scopes import Needs, any_of, missing_scopes
from kickcore.oauth.tokens import Attempt, Outcome, Slot, Token, TokenKind
from kickcore.secret import Secret
from kickcore.testing import NOW, few_secrets, instants, needs, scope_tuples, slots, tokens

attempts = st.none() | st.builds(Attempt, instants(), st.sampled_from(Outcome))
held_tokens = st.none() | st.builds(lambda token, attempt: replace(token, attempt=attempt), tokens(), attempts)
refusals = st.none() | few_secrets()
clocks = instants() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([NOW, NOW + 7200.0])

CHAT = any_of(Scope.CHAT_WRITE)


def _token(access: str | None = "AT", refresh: str | None = "RT", scope: tuple[str, ...] | None = None) -> Token:
    return Token(Secret(access) if access else None, NOW + 7200, NOW, Secret(refresh) if refresh else None, scope)


@given(slots(), held_tokens, clocks, needs(), refusals)
def test_every_situation_has_an_action_and_always_the_same(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    action = decide(slot, held, now, wanted, refused)
    assert isinstance(action, get_args(TokenAction))
    assert action == decide(slot, held, now, wanted, refused)
    assert getattr(action, "slot", slot) == slot


@given(slots(), held_tokens, clocks, needs(), refusals)
def test_a_token_that_is_used_is_the_one_held_and_alive(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    action = decide(slot, held, now, wanted, refused)
    if isinstance(action, UseToken):
        assert action.token is held
        assert action.token.is_alive(now)
        assert action.token.access_token != refused or action.token.was_tried(now, Outcome.REPLACED)


@given(slots(), held_tokens, clocks, needs(), refusals)
def test_a_token_that_is_overdue_is_used_only_where_nothing_can_renew_it_or_somebody_just_tried(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    action = decide(slot, held, now, wanted, refused)
    if isinstance(action, UseToken) and action.token.is_overdue(now):
        assert action.ahead is None
        token = action.token
        assert token.was_tried(now, Outcome.FAILED, Outcome.UNKNOWN, Outcome.REPLACED) or (
            slot.kind is TokenKind.USER and (token.refresh_token is None or has_ended(token))
        )


@given(slots(), held_tokens, clocks, needs(), refusals)
def test_a_token_is_renewed_ahead_exactly_while_it_is_due_alive_and_not_overdue(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    action = decide(slot, held, now, wanted, refused)
    if isinstance(action, UseToken):
        token = action.token
        can = slot.kind is TokenKind.APP or (token.refresh_token is not None and not has_ended(token))
        tried = token.was_tried(now, Outcome.FAILED, Outcome.UNKNOWN)
        wanted_ahead = can and token.is_due(now) and not token.is_overdue(now) and not tried
        assert (action.ahead is not None) is (wanted_ahead and token.access_token != refused)
        assert action.ahead is None or isinstance(action.ahead, FetchAppToken | RefreshToken)


@given(slots(), held_tokens, clocks, needs(), refusals)
def test_a_grant_that_kick_has_ended_is_never_tried_again(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    action = decide(slot, held, now, wanted, refused)
    if slot.kind is TokenKind.USER and held is not None and has_ended(held):
        assert not isinstance(action, RefreshToken)
        assert not isinstance(action, UseToken) or action.ahead is None
        assert not isinstance(action, AskLogin) or action.has_ended


@given(slots(), held_tokens, clocks, needs(), refusals)
def test_a_good_token_is_used_and_nothing_else_is_done(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    if held is None or held.is_due(now) or held.access_token == refused:
        return
    enough = held.scope is None or not missing_scopes(wanted, held.scope)
    if enough or slot.kind is TokenKind.APP:
        assert decide(slot, held, now, wanted, refused) == UseToken(held)


@given(slots(), held_tokens, clocks, needs(), refusals)
def test_an_app_never_asks_a_user(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    action = decide(slot, held, now, wanted, refused)
    if slot.kind is TokenKind.APP:
        assert isinstance(action, UseToken | FetchAppToken)
    else:
        assert isinstance(action, UseToken | RefreshToken | AskLogin | RefuseScopes)


@given(slots(), held_tokens, clocks, needs(), refusals)
def test_scopes_are_refused_exactly_when_it_is_known_that_a_group_is_missing(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    action = decide(slot, held, now, wanted, refused)
    known = slot.kind is TokenKind.USER and held is not None and held.scope is not None
    lacking = tuple(group for group in wanted if known and held and not group & set(held.scope or ()))
    assert isinstance(action, RefuseScopes) is bool(lacking)
    if isinstance(action, RefuseScopes) and held is not None:
        assert action == RefuseScopes(lacking, held.scope or ())


@given(slots(), held_tokens, clocks, refusals)
def test_a_refresh_is_asked_for_exactly_where_there_is_something_to_refresh_with(
    slot: Slot, held: Token | None, now: float, refused: Secret | None
) -> None:
    action = decide(slot, held, now, refused=refused)
    if isinstance(action, RefreshToken):
        assert held is not None
        assert held.refresh_token is not None
        assert not has_ended(held)
    if isinstance(action, AskLogin):
        assert held is None or held.refresh_token is None or has_ended(held)
        assert action.had_token is (held is not None)


@given(slots(), st.none() | few_secrets(), st.none() | scope_tuples(), st.floats(61, 1e6))
def test_what_was_just_renewed_is_used(
    slot: Slot, refresh: Secret | None, scope: tuple[str, ...] | None, life: float
) -> None:
    renewed = Token(Secret("new"), NOW + life, NOW, refresh, scope)
    assert decide(slot, renewed, NOW, refused=Secret("old")) == UseToken(renewed)


def test_without_a_token_the_app_fetches_and_the_user_logs_in() -> None:
    assert decide(APP_SLOT, None, NOW) == FetchAppToken(APP_SLOT)
    assert decide(USER_SLOT, None, NOW) == AskLogin(USER_SLOT)


def test_a_due_token_is_renewed() -> None:
    assert decide(APP_SLOT, _token(), NOW + 7200) == FetchAppToken(APP_SLOT)
    assert decide(USER_SLOT, _token(), NOW + 7200) == RefreshToken(USER_SLOT)


def test_a_refused_token_is_renewed_and_the_action_says_which_it_was() -> None:
    assert decide(APP_SLOT, _token(), NOW, refused=Secret("AT")) == FetchAppToken(APP_SLOT, Secret("AT"))
    assert decide(USER_SLOT, _token(), NOW, refused=Secret("AT")) == RefreshToken(USER_SLOT, Secret("AT"))


def test_a_token_that_somebody_else_renewed_is_used() -> None:
    assert decide(USER_SLOT, _token("AT2"), NOW, refused=Secret("AT")) == UseToken(_token("AT2"))


def test_a_saved_refresh_token_without_an_access_token_is_refreshed() -> None:
    assert decide(USER_SLOT, _token(access=None), NOW) == RefreshToken(USER_SLOT)


def test_a_token_without_refresh_is_used_to_its_very_end_and_then_the_user_is_asked() -> None:
    token = _token(refresh=None)
    assert decide(USER_SLOT, token, NOW + 7199.9) == UseToken(token)
    assert decide(USER_SLOT, token, NOW + 7200) == AskLogin(USER_SLOT, had_token=True)
    assert decide(USER_SLOT, token, NOW, refused=Secret("AT")) == AskLogin(USER_SLOT, had_token=True)


def test_scopes_come_first_because_a_refresh_adds_none() -> None:
    token = _token(scope=("user:read",))
    assert decide(USER_SLOT, token, NOW + 9000, CHAT) == RefuseScopes(CHAT, ("user:read",))
    assert decide(USER_SLOT, token, NOW, CHAT, Secret("AT")) == RefuseScopes(CHAT, ("user:read",))


def test_unknown_scopes_are_left_for_kick_to_judge() -> None:
    assert decide(USER_SLOT, _token(scope=None), NOW, CHAT) == UseToken(_token(scope=None))
    assert decide(USER_SLOT, _token(scope=()), NOW, CHAT) == RefuseScopes(CHAT, ())


# --- When


def _tried(outcome: Outcome, ago: float = 0.0, now: float = NOW) -> Token:
    return replace(_token(), attempt=Attempt(now - ago, outcome))


AHEAD = UseToken(_token(), ahead=RefreshToken(USER_SLOT))


@pytest.mark.parametrize(
    ("left", "action"),
    [
        (600.01, UseToken(_token())),
        (600.0, AHEAD),
        (60.01, AHEAD),
        (60.0, RefreshToken(USER_SLOT)),
        (0.0, RefreshToken(USER_SLOT)),
        (-1e6, RefreshToken(USER_SLOT)),
    ],
)
def test_a_token_is_renewed_ahead_for_nine_minutes_and_then_waited_for(left: float, action: TokenAction) -> None:
    assert decide(USER_SLOT, _token(), NOW + 7200 - left) == action


def test_an_app_token_is_renewed_ahead_too() -> None:
    token = _token(refresh=None)
    assert decide(APP_SLOT, token, NOW + 7000) == UseToken(token, ahead=FetchAppToken(APP_SLOT))


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.UNKNOWN])
@pytest.mark.parametrize("left", [500.0, 30.0])
def test_while_the_old_token_lives_there_is_one_try_in_half_a_minute(outcome: Outcome, left: float) -> None:
    now = NOW + 7200 - left
    for ago in (0.0, 29.9):
        token = _tried(outcome, ago, now)
        assert decide(USER_SLOT, token, now) == UseToken(token)
    token = _tried(outcome, 30.0, now)
    assert decide(USER_SLOT, token, now) != UseToken(token)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.UNKNOWN])
def test_a_token_at_its_end_is_tried_again_whenever_somebody_needs_it(outcome: Outcome) -> None:
    assert decide(USER_SLOT, _tried(outcome, 1.0, NOW + 7200), NOW + 7200) == RefreshToken(USER_SLOT)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.UNKNOWN])
def test_a_refused_token_is_renewed_though_somebody_just_tried(outcome: Outcome) -> None:
    assert decide(USER_SLOT, _tried(outcome), NOW, refused=Secret("AT")) == RefreshToken(USER_SLOT, Secret("AT"))


def test_what_came_in_the_place_of_a_refused_token_and_is_refused_too_is_left_for_half_a_minute() -> None:
    token = _tried(Outcome.REPLACED)
    assert decide(USER_SLOT, token, NOW, refused=Secret("AT")) == UseToken(token)
    late = _tried(Outcome.REPLACED, 30.0)
    assert decide(USER_SLOT, late, NOW, refused=Secret("AT")) == RefreshToken(USER_SLOT, Secret("AT"))


def test_of_an_ended_grant_the_access_token_is_used_to_its_end_and_then_nothing_is_sent() -> None:
    token = _tried(Outcome.ENDED)
    assert decide(USER_SLOT, token, NOW + 7199) == UseToken(token)
    ended = AskLogin(USER_SLOT, had_token=True, has_ended=True)
    assert decide(USER_SLOT, token, NOW + 7200) == ended
    assert decide(USER_SLOT, token, NOW, refused=Secret("AT")) == ended


def test_a_token_from_the_future_is_used_and_renewed_ahead() -> None:
    assert decide(USER_SLOT, _token(), NOW - 2 * 86400) == AHEAD
