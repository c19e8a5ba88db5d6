"""What to do about a token: the decision."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from strategies import NOW, few_secrets, instants, needs, scope_tuples, slots, tokens
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
)
from kickcore.oauth.scopes import Needs, any_of, missing_scopes
from kickcore.oauth.tokens import Slot, Token, TokenKind
from kickcore.secret import Secret

held_tokens = st.none() | tokens()
refusals = st.none() | few_secrets
clocks = instants | st.floats(allow_nan=False, allow_infinity=False)

CHAT = any_of(Scope.CHAT_WRITE)


def _token(access: str | None = "AT", refresh: str | None = "RT", scope: tuple[str, ...] | None = None) -> Token:
    return Token(Secret(access) if access else None, NOW + 7200, NOW, Secret(refresh) if refresh else None, scope)


@given(slots, held_tokens, clocks, needs, refusals)
def test_every_situation_has_an_action_and_always_the_same(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    action = decide(slot, held, now, wanted, refused)
    assert isinstance(action, get_args(TokenAction))
    assert action == decide(slot, held, now, wanted, refused)
    assert getattr(action, "slot", slot) == slot


@given(slots, held_tokens, clocks, needs, refusals)
def test_a_token_that_is_used_is_the_one_held_and_good(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    action = decide(slot, held, now, wanted, refused)
    if isinstance(action, UseToken):
        assert action.token is held
        assert action.token.access_token is not None
        assert action.token.access_token != refused
        assert now < action.token.expires_at


@given(slots, held_tokens, clocks, needs, refusals)
def test_a_token_that_is_due_is_used_only_where_nothing_can_renew_it(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    action = decide(slot, held, now, wanted, refused)
    if isinstance(action, UseToken) and action.token.is_due(now):
        assert slot.kind is TokenKind.USER
        assert action.token.refresh_token is None


@given(slots, held_tokens, clocks, needs, refusals)
def test_a_good_token_is_used_and_nothing_else_is_done(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    if held is None or held.is_due(now) or held.access_token == refused:
        return
    enough = held.scope is None or not missing_scopes(wanted, held.scope)
    if enough or slot.kind is TokenKind.APP:
        assert decide(slot, held, now, wanted, refused) == UseToken(held)


@given(slots, held_tokens, clocks, needs, refusals)
def test_an_app_never_asks_a_user(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    action = decide(slot, held, now, wanted, refused)
    if slot.kind is TokenKind.APP:
        assert isinstance(action, UseToken | FetchAppToken)
    else:
        assert isinstance(action, UseToken | RefreshToken | AskLogin | RefuseScopes)


@given(slots, held_tokens, clocks, needs, refusals)
def test_scopes_are_refused_exactly_when_it_is_known_that_a_group_is_missing(
    slot: Slot, held: Token | None, now: float, wanted: Needs, refused: Secret | None
) -> None:
    action = decide(slot, held, now, wanted, refused)
    known = slot.kind is TokenKind.USER and held is not None and held.scope is not None
    lacking = tuple(group for group in wanted if known and held and not group & set(held.scope or ()))
    assert isinstance(action, RefuseScopes) is bool(lacking)
    if isinstance(action, RefuseScopes) and held is not None:
        assert action == RefuseScopes(lacking, held.scope or ())


@given(slots, held_tokens, clocks, refusals)
def test_a_refresh_is_asked_for_exactly_where_there_is_something_to_refresh_with(
    slot: Slot, held: Token | None, now: float, refused: Secret | None
) -> None:
    action = decide(slot, held, now, refused=refused)
    if isinstance(action, RefreshToken):
        assert held is not None
        assert held.refresh_token is not None
    if isinstance(action, AskLogin):
        assert held is None or held.refresh_token is None
        assert action.had_token is (held is not None)


@given(slots, st.none() | few_secrets, st.none() | scope_tuples, st.floats(61, 1e6))
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
