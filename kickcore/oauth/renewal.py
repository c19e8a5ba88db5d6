"""The life of a token, as programs: get one that can be used, and carry out what was decided."""

from kickcore.effects import Body, DropToken, Exclusive, LoadApp, LoadToken, Now, Program, SaveToken, Send
from kickcore.errors import KickError, LoginRequired, MissingScopes, ReauthorizationRequired, TokenError
from kickcore.http import Response
from kickcore.oauth.actions import (
    AskLogin,
    ExchangeCode,
    FetchAppToken,
    LogOut,
    RefreshToken,
    RefuseScopes,
    Renewal,
    TokenAction,
    UseToken,
    decide,
)
from kickcore.oauth.grants import (
    Grant,
    client_credentials_request,
    exchange_request,
    read_grant,
    refresh_request,
    revoke_request,
)
from kickcore.oauth.scopes import Needs, scope_text
from kickcore.oauth.tokens import App, Slot, Stored, Superseded, Token
from kickcore.secret import Secret


def token_for(slot: Slot, needs: Needs = (), refused: Secret | None = None) -> Program[Token]:
    """A token of `slot` that a call with `needs` may use, renewed if need be. `refused` is one that Kick did not take.

    Raises `MissingScopes` or `LoginRequired` before anything is sent, and what renewing raises.
    """
    stored = yield from LoadToken(slot)
    now = yield from Now()
    action = decide(slot, stored and stored.token, now, needs, refused)
    if isinstance(action, Renewal):
        return (yield from Exclusive(slot, action))
    return (yield from carry_out(action))


def glance(action: Renewal) -> Body[Token | None]:
    """Look again before the slot is taken in earnest: the token, if somebody has renewed it while we waited."""
    if not isinstance(action, FetchAppToken | RefreshToken):
        return None
    stored = yield from LoadToken(action.slot)
    now = yield from Now()
    decision = decide(action.slot, stored and stored.token, now, refused=action.refused)
    return decision.token if isinstance(decision, UseToken) else None


def carry_out(action: TokenAction) -> Body[Token]:
    """Do what was decided: the one place that knows what each action means."""
    match action:
        case UseToken(token):
            return token
        case AskLogin():
            raise _login_required(action)
        case RefuseScopes(missing, granted):
            raise MissingScopes(
                f"the user token lacks {scope_text(missing)} (it has {', '.join(granted) or 'no scope'}); nothing was "
                "sent; call authenticate(...) with the scopes that you need",
                missing_scopes=missing,
                granted=granted,
            )
        case FetchAppToken() | RefreshToken():
            return (yield from _renew(action))
        case ExchangeCode():
            return (yield from _exchange(action))
        case LogOut():
            return (yield from _log_out(action))


def _login_required(action: AskLogin) -> LoginRequired:
    account = f" of account {action.slot.account!r}" if action.slot.account else ""
    if action.had_token:
        return LoginRequired(
            f"the user token{account} is no longer good and there is no refresh token to renew it; "
            "nothing more was sent; call authenticate(...) or set_user_token(...)"
        )
    return LoginRequired(
        f"no user token{account} is held; nothing was sent; "
        "call authenticate(scopes=[...]) or set_user_token(...) first"
    )


def _renew(action: FetchAppToken | RefreshToken) -> Body[Token]:
    """Look at the store itself, and only if nobody else has renewed meanwhile, ask Kick."""
    app = yield from LoadApp()
    stored = yield from LoadToken(action.slot, reread=True)
    now = yield from Now()
    held = stored and stored.token
    again = decide(action.slot, held, now, refused=action.refused)
    if not isinstance(again, FetchAppToken | RefreshToken):
        return (yield from carry_out(again))
    if isinstance(again, RefreshToken) and held is not None and held.refresh_token is not None:
        request = refresh_request(app, held.refresh_token)
        answer = yield from Send(request)
        grant = read_grant(answer, now, held, sent=request)
    else:
        request = client_credentials_request(app)
        answer = yield from Send(request)
        grant = read_grant(answer, now, None, sent=request)
    if isinstance(grant.problem, ReauthorizationRequired):
        after = _after_invalid_grant(action.slot, held, now, grant.problem)
    else:
        wins = isinstance(again, FetchAppToken)
        after = _keep(action.slot, grant, stored.version if stored else "", wins=wins, spent=held)
    # A problem would hold it, by its traceback.
    del grant
    return (yield from after)


def _after_invalid_grant(slot: Slot, sent: Token | None, now: float, problem: KickError) -> Body[Token]:
    """If the store holds another refresh token by now, somebody else won the race: theirs is the living one."""
    stored = yield from LoadToken(slot, reread=True)
    if stored is not None and (sent is None or stored.token.refresh_token != sent.refresh_token):
        theirs = decide(slot, stored.token, now)
        if isinstance(theirs, UseToken):
            return theirs.token
    try:
        raise problem
    finally:
        del problem


def _keep(slot: Slot, grant: Grant, version: str, *, wins: bool = True, spent: Token | None = None) -> Body[Token]:
    """Hold and store what was granted before anything of it is judged. A save that fails does not fail the call.

    `spent` is the token that was traded in for it.
    """
    token = grant.token
    if token is not None:
        outcome = yield from SaveToken(slot, token, version)
        if isinstance(outcome, Superseded):
            token = yield from _settle(slot, token, outcome.stored, wins=wins, spent=spent)
    if grant.problem is not None:
        try:
            raise grant.problem
        finally:
            # Its traceback holds this frame, and this frame would hold it.
            del grant
    if token is None:
        raise TokenError("Kick's token endpoint answered with neither a token nor an error")
    return token


def _settle(slot: Slot, token: Token, theirs: Stored | None, *, wins: bool, spent: Token | None) -> Body[Token]:
    """Somebody changed what is stored while our token was on its way. A renewal gives way to a login and a logout.

    It does not give way to the token that it was traded in for, however that came back.
    """
    for _ in range(3):
        if not wins and theirs is None:
            raise LoginRequired("the account was logged out while its token was being renewed; call authenticate(...)")
        now = yield from Now()
        if not wins and theirs is not None and (spent is None or theirs.token.refresh_token != spent.refresh_token):
            decision = decide(slot, theirs.token, now)
            if isinstance(decision, UseToken):
                return decision.token
        outcome = yield from SaveToken(slot, token, theirs.version if theirs else "")
        if not isinstance(outcome, Superseded):
            break
        theirs = outcome.stored
    return token


def _exchange(action: ExchangeCode) -> Body[Token]:
    app = yield from LoadApp()
    # First, because a store that cannot be read must not come between an exchange and its result.
    stored = yield from LoadToken(action.slot, reread=True)
    now = yield from Now()
    request = exchange_request(app, action.code, action.verifier, action.redirect_uri)
    answer = yield from Send(request)
    grant = read_grant(answer, now, None, action.scopes, sent=request)
    kept = _keep(action.slot, grant, stored.version if stored else "")
    # A problem would hold it, by its traceback.
    del grant
    return (yield from kept)


def _log_out(action: LogOut) -> Body[Token]:
    """Revoke both tokens, forget them whatever came of it, and then say if Kick did not confirm."""
    app = yield from LoadApp()
    stored = yield from LoadToken(action.slot, reread=True)
    if stored is None:
        raise LoginRequired("no user token is held any more: there is nothing to log out of")
    refused = yield from _revoke(app, stored.token)
    yield from DropToken(action.slot)
    if refused:
        raise TokenError(
            f"the tokens were forgotten here, but Kick did not confirm that it revoked them ({refused}); "
            "disconnect the app in your Kick settings to be sure"
        )
    return stored.token


def _revoke(app: App, token: Token) -> Body[str]:
    """Revoke what there is; "" if Kick confirmed all of it, else why not."""
    refused = ""
    for secret, hint in ((token.refresh_token, "refresh_token"), (token.access_token, "access_token")):
        if secret is None:
            continue
        answer = yield from Send(revoke_request(app, secret, hint))
        if not isinstance(answer, Response):
            refused = answer.reason
        elif not 200 <= answer.status < 300:
            refused = f"status {answer.status}"
    return refused
