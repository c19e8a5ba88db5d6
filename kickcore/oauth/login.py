"""Logging a user in and out: programs over the grants."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from kickcore.effects import Consent, Entropy, Exclusive, LoadApp, LoadToken, Program
from kickcore.errors import AuthorizationDenied, ConfigError, IssuerMismatch
from kickcore.http import Pairs, encode_pairs
from kickcore.oauth.actions import ExchangeCode, LogOut
from kickcore.oauth.callback import (
    Denied,
    ForeignIssuer,
    Granted,
    checked_redirect_uri,
    default_redirect_uri,
)
from kickcore.oauth.pkce import VERIFIER_SIZE, base64url, code_challenge, code_verifier
from kickcore.oauth.scopes import checked_scopes
from kickcore.oauth.tokens import App, TokenKind
from kickcore.secret import Secret

DEFAULT_PORT: Final = 3000
DEFAULT_TIMEOUT: Final = 300.0
STATE_SIZE: Final = 32
"""Octets of entropy in `state` (RFC 6749, section 10.12, asks for 128 bits or more)."""


def checked_timeout(timeout: object) -> None:
    """Raises `ConfigError` unless it is a number of seconds, more than 0 and at most a day."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= 86400:
        raise ConfigError(f"timeout is a number of seconds, more than 0 and at most 86400, not {timeout!r:.60}")


class Login(Struct, frozen=True):
    """What a login gave: the scopes granted, and those asked for that the user did not tick."""

    granted: tuple[str, ...]
    missing: tuple[str, ...] = ()


def authorization_url(app: App, scopes: Iterable[str], redirect_uri: str, state: Secret, challenge: str) -> Secret:
    """The address of Kick's consent page.

    Kick's page turns the first `127.0.0.1` of its address into `localhost`, and would so break the exact match of the
    redirect URI (KickDevDocs issue 211). A `redirect` parameter that nobody reads stands before it and takes the blow.
    """
    sacrifice: Pairs = (("redirect", "127.0.0.1"),) if urlsplit(redirect_uri).hostname == "127.0.0.1" else ()
    query: Pairs = (
        ("response_type", "code"),
        ("client_id", app.client_id),
        *sacrifice,
        ("redirect_uri", redirect_uri),
        ("scope", " ".join(scopes)),
        ("state", state),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
    )
    return Secret(f"{app.id_url}/oauth/authorize?{encode_pairs(query)}")


def authenticate(
    scopes: Iterable[str],
    port: int = DEFAULT_PORT,
    redirect_uri: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> Program[Login]:
    """Log the user in by the browser: authorization code with PKCE (RFC 7636, RFC 8252).

    Asks for `scopes` (`Scope` members or their texts); the user may untick some, and the answer tells which. The
    redirect comes to `http://127.0.0.1:{port}/callback`, or to `redirect_uri` if given; it must be entered in your
    app's settings exactly so. `timeout` is in seconds. The token is stored for the account.

    Raises `ConfigError` before the browser opens; `CallbackPortInUse`, `LoginInProgress`, `LoginTimeout`,
    `AuthorizationDenied`, `IssuerMismatch`; and `TokenError` if the code cannot be exchanged. A token held before stays
    until the new one is there.
    """
    asked = checked_scopes(scopes)
    target = default_redirect_uri(port) if redirect_uri is None else checked_redirect_uri(redirect_uri)
    checked_timeout(timeout)
    app = yield from LoadApp()
    slot = app.slot(TokenKind.USER)
    # A token file that cannot be used is told now, and not after the user has agreed.
    _ = yield from LoadToken(slot, reread=True)
    verifier = code_verifier((yield from Entropy(VERIFIER_SIZE, "code_verifier")))
    state = Secret(base64url((yield from Entropy(STATE_SIZE, "state"))))
    url = authorization_url(app, asked, target, state, code_challenge(verifier))
    end = yield from Consent(url, target, state, app.id_url, timeout)
    match end:
        case Granted(code):
            token = yield from Exclusive(slot, ExchangeCode(slot, code, verifier, target, asked))
        case Denied(error, description):
            told = ": ".join(text for text in (error, description) if text) or "no reason was given"
            text = f"access was not granted ({told}); tokens held before are as they were"
            raise AuthorizationDenied(text, error=error, description=description)
        case ForeignIssuer(issuer):
            raise IssuerMismatch(f"the redirect came from {issuer!r}, not from {app.id_url}; its code was not used")
    granted = token.scope if token.scope is not None else asked
    return Login(granted, tuple(scope for scope in asked if scope not in granted))


def logout() -> Program[bool]:
    """Revoke the account's user token and its refresh token, then forget both. Tells whether there was one.

    They are forgotten also if Kick cannot be reached; a `TokenError` then says so.
    """
    app = yield from LoadApp()
    slot = app.slot(TokenKind.USER)
    stored = yield from LoadToken(slot, reread=True)
    if stored is None:
        return False
    _ = yield from Exclusive(slot, LogOut(slot))
    return True
