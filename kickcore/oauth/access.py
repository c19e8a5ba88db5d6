"""Getting a token that can be used: what is held, renewed where that is due."""

from typing import Final, NoReturn

from kickcore.effects import Body, Exclusive, LoadApp, LoadToken, Now, Program, RenewAhead, Sleep
from kickcore.errors import ConfigError
from kickcore.oauth.actions import AskLogin, FetchAppToken, RefreshToken, Renewal, UseToken, decide, has_ended
from kickcore.oauth.renewal import carry_out, login_required
from kickcore.oauth.scopes import Needs
from kickcore.oauth.tokens import Slot, Token, TokenKind, by_now
from kickcore.secret import Secret

HOUR: Final = 3600.0


def token_for(slot: Slot, needs: Needs = (), refused: Secret | None = None) -> Program[Token]:
    """A token of `slot` that a call with `needs` may use, renewed if need be. `refused` is one that Kick did not take.

    Raises `MissingScopes` or `LoginRequired` before anything is sent, and what renewing raises.
    """
    stored = yield from LoadToken(slot)
    now = yield from Now()
    action = decide(slot, stored and stored.token, by_now(stored, now), needs, refused)
    if isinstance(action, Renewal):
        return (yield from Exclusive(slot, action))
    if isinstance(action, UseToken) and action.ahead is not None:
        yield from RenewAhead(slot, action.ahead)
    return (yield from carry_out(action))


def keep_alive(every: float = 7 * 86400.0) -> Program[NoReturn]:
    """Renew the account's user token whenever its refresh token is `every` seconds old, for ever.

    For programs that seldom act for their user: Kick ends a refresh token that was not used for about 30 days. Run it
    beside your program, in a task group of yours. `every` is at least an hour and at most 30 days.

    Raises `LoginRequired` when there is no token, or none that can be renewed; whatever else goes wrong is told as
    `RenewalFailed`, and tried again after an hour.
    """
    _check_interval(every)
    app = yield from LoadApp()
    slot = app.slot(TokenKind.USER)
    while True:
        stored = yield from LoadToken(slot, reread=True)
        now = yield from Now()
        held = stored and stored.token
        if held is None or held.refresh_token is None or has_ended(held):
            raise login_required(AskLogin(slot, held is not None, held is not None and has_ended(held)))
        wait = (held.refresh_issued_at or 0.0) + every - now
        if wait <= 0:
            yield from RenewAhead(slot, RefreshToken(slot, held.access_token))
        yield from Sleep(min(max(wait, HOUR), every))


def _check_interval(every: object) -> None:
    if isinstance(every, bool) or not isinstance(every, int | float) or not HOUR <= every <= 30 * 24 * HOUR:
        raise ConfigError(f"every is a number of seconds from 3600 to 2592000, not {every!r:.60}")


def glance(action: Renewal) -> Body[Token | None]:
    """Look again before the slot is taken in earnest: the token, if somebody has renewed it while we waited."""
    if not isinstance(action, FetchAppToken | RefreshToken):
        return None
    stored = yield from LoadToken(action.slot)
    now = yield from Now()
    decision = decide(action.slot, stored and stored.token, by_now(stored, now), refused=action.refused)
    return decision.token if isinstance(decision, UseToken) else None
