"""What to do about a token: the decision, as a value.

`decide` is the heart of kickcore. It looks at what is held and says what to do; `kickcore.oauth.renewal.carry_out` is
the one place that knows how each of its answers is done.
"""

from typing import TypeAlias

from msgspec import Struct

from kickcore.oauth.scopes import Needs, missing_scopes
from kickcore.oauth.tokens import Slot, Token, TokenKind
from kickcore.secret import Secret


class UseToken(Struct, frozen=True, tag="use_token"):
    """The token held is good: use it."""

    token: Token


class FetchAppToken(Struct, frozen=True, tag="fetch_app_token"):
    """Ask for a new app token (client credentials). `refused` is the access token that Kick did not take, if any."""

    slot: Slot
    refused: Secret | None = None


class RefreshToken(Struct, frozen=True, tag="refresh_token"):
    """Trade the refresh token for a new pair. `refused` is the access token that Kick did not take, if any."""

    slot: Slot
    refused: Secret | None = None


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
    """Only the user can help: there is no token, or none that can be renewed."""

    slot: Slot
    had_token: bool = False


class RefuseScopes(Struct, frozen=True, tag="refuse_scopes"):
    """The token cannot do what is wanted, however fresh."""

    missing: Needs
    granted: tuple[str, ...]


Renewal: TypeAlias = FetchAppToken | RefreshToken | ExchangeCode | LogOut
"""The actions that change a token, each the body of an `Exclusive`."""

TokenAction: TypeAlias = UseToken | AskLogin | RefuseScopes | Renewal
"""All that can be done about a token."""


def decide(slot: Slot, held: Token | None, now: float, needs: Needs = (), refused: Secret | None = None) -> TokenAction:
    """What to do so that a call with `needs` has a token that is neither due nor the one that Kick `refused`.

    Scopes come first: a refresh does not add any. `held.scope` of None means that nobody knows, so Kick shall judge.
    """
    if slot.kind is TokenKind.USER and held is not None and held.scope is not None:
        missing = missing_scopes(needs, held.scope)
        if missing:
            return RefuseScopes(missing, held.scope)
    if held is not None and held.access_token != refused and not held.is_due(now):
        return UseToken(held)
    if slot.kind is TokenKind.APP:
        return FetchAppToken(slot, refused)
    if held is None or held.refresh_token is None:
        return _without_refresh(slot, held, now, refused)
    return RefreshToken(slot, refused)


def _without_refresh(slot: Slot, held: Token | None, now: float, refused: Secret | None) -> TokenAction:
    """A token that cannot be renewed is used to its very end."""
    if held is None or held.access_token is None or held.access_token == refused or now >= held.expires_at:
        return AskLogin(slot, had_token=held is not None)
    return UseToken(held)
