"""What to do about a token: the decision, as a value.

`decide` is the heart of kickcore. It looks at what is held and says what to do; `kickcore.oauth.renewal.carry_out` is
the one place that knows how each of its answers is done.
"""

from typing import TypeAlias

from msgspec import Struct

from kickcore.oauth.scopes import Needs, missing_scopes
from kickcore.oauth.tokens import Outcome, Slot, Token, TokenKind
from kickcore.secret import Secret


class FetchAppToken(Struct, frozen=True, tag="fetch_app_token"):
    """Ask for a new app token (client credentials). `refused` is the access token that Kick did not take, if any."""

    slot: Slot
    refused: Secret | None = None


class RefreshToken(Struct, frozen=True, tag="refresh_token"):
    """Trade the refresh token for a new pair. `refused` is the access token that Kick did not take, if any."""

    slot: Slot
    refused: Secret | None = None


class UseToken(Struct, frozen=True, tag="use_token"):
    """The token held is good: use it. `ahead` is what to do meanwhile so that it stays so."""

    token: Token
    ahead: FetchAppToken | RefreshToken | None = None


class ExchangeCode(Struct, frozen=True, tag="exchange_code"):
    """Trade an authorization code for the first pair of tokens."""

    slot: Slot
    code: Secret
    verifier: Secret
    redirect_uri: str
    scopes: tuple[str, ...]


class LogOut(Struct, frozen=True, tag="log_out"):
    """Revoke what is held, then forget it."""

    slot: Slot


class AskLogin(Struct, frozen=True, tag="ask_login"):
    """Only the user can help: there is no token, none that can be renewed, or Kick has ended the grant."""

    slot: Slot
    had_token: bool = False
    has_ended: bool = False


class RefuseScopes(Struct, frozen=True, tag="refuse_scopes"):
    """The token cannot do what is wanted, however fresh."""

    missing: Needs
    granted: tuple[str, ...]


Renewal: TypeAlias = FetchAppToken | RefreshToken | ExchangeCode | LogOut
"""The actions that change a token, each the body of an `Exclusive`."""

TokenAction: TypeAlias = UseToken | AskLogin | RefuseScopes | Renewal
"""All that can be done about a token."""


def decide(slot: Slot, held: Token | None, now: float, needs: Needs = (), refused: Secret | None = None) -> TokenAction:
    """What to do so that a call with `needs` has a token that is neither overdue nor the one that Kick `refused`.

    Scopes come first: a refresh does not add any. `held.scope` of None means that nobody knows, so Kick shall judge.
    """
    if slot.kind is TokenKind.USER and held is not None and held.scope is not None:
        missing = missing_scopes(needs, held.scope)
        if missing:
            return RefuseScopes(missing, held.scope)
    is_refused = refused is not None and held is not None and held.access_token == refused
    renewal = _renewal(slot, held, refused)
    if renewal is None:
        return _without_renewal(slot, held, now, is_refused=is_refused)
    if held is None or not held.is_alive(now):
        return renewal
    if is_refused:
        # Kick refuses what came in the place of what it refused: one more would fare no better.
        return UseToken(held) if held.was_tried(now, Outcome.REPLACED) else renewal
    if not held.is_due(now) or held.was_tried(now, Outcome.FAILED, Outcome.UNKNOWN):
        return UseToken(held)
    return renewal if held.is_overdue(now) else UseToken(held, ahead=renewal)


def _renewal(slot: Slot, held: Token | None, refused: Secret | None) -> FetchAppToken | RefreshToken | None:
    """How the token of `slot` can be renewed, if it can."""
    if slot.kind is TokenKind.APP:
        return FetchAppToken(slot, refused)
    if held is None or held.refresh_token is None or has_ended(held):
        return None
    return RefreshToken(slot, refused)


def has_ended(held: Token) -> bool:
    """Whether Kick has said that it no longer takes the refresh token."""
    return held.attempt is not None and held.attempt.outcome is Outcome.ENDED


def _without_renewal(slot: Slot, held: Token | None, now: float, *, is_refused: bool) -> TokenAction:
    """A token that cannot be renewed is used to its very end."""
    if held is None or is_refused or not held.is_alive(now):
        return AskLogin(slot, had_token=held is not None, has_ended=held is not None and has_ended(held))
    return UseToken(held)
