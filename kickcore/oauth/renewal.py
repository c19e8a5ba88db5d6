"""Renewing tokens: the programs that know how what was decided is done.

What is granted is held and stored before it is judged. What is about to be spent is marked before it is sent.
"""

from copy import copy
from typing import Final

from msgspec.structs import replace

from kickcore.effects import Body, DropToken, LoadApp, LoadToken, Notify, Now, SaveToken, Send, Sleep
from kickcore.errors import (
    GrantLost,
    KickError,
    LoginRequired,
    MissingScopes,
    ReauthorizationRequired,
    RefreshOutcomeUnknown,
    TokenError,
)
from kickcore.http import Response
from kickcore.notices import RenewalFailed
from kickcore.oauth.actions import (
    AskLogin,
    ExchangeCode,
    FetchAppToken,
    LogOut,
    RefreshToken,
    RefuseScopes,
    TokenAction,
    UseToken,
    decide,
)
from kickcore.oauth.endpoint import Again, ask
from kickcore.oauth.grants import (
    TOKEN_TIMEOUT,
    client_credentials_request,
    exchange_request,
    refresh_request,
    revoke_request,
)
from kickcore.oauth.news import tell_news, tell_skew
from kickcore.oauth.scopes import scope_text
from kickcore.oauth.tokens import App, Attempt, Outcome, Saved, Slot, Stored, Superseded, Token, by_now
from kickcore.secret import NO_SECRET

ROUNDS: Final = 3
"""How often a renewal starts anew because somebody else changed the token meanwhile."""
LOOK_AGAIN: Final = 0.25
"""Seconds between two looks at whether somebody else is done."""


def carry_out(action: TokenAction, *, is_alone: bool = True) -> Body[Token]:
    """Do what was decided: the one place that knows what each action means.

    `is_alone`: no other process can be changing the same token, because a lock keeps it out.
    """
    match action:
        case UseToken(token):
            return token
        case AskLogin():
            raise login_required(action)
        case RefuseScopes(missing, granted):
            raise MissingScopes(
                f"the user token lacks {scope_text(missing)} (it has {', '.join(granted) or 'no scope'}); nothing was "
                "sent; call authenticate(...) with the scopes that you need",
                missing_scopes=missing,
                granted=granted,
            )
        case FetchAppToken() | RefreshToken():
            return (yield from _renew(action, is_alone=is_alone, is_ahead=False))
        case ExchangeCode():
            return (yield from _exchange(action))
        case LogOut():
            return (yield from _log_out(action))


def renew_ahead(action: FetchAppToken | RefreshToken, *, is_alone: bool = True) -> Body[KickError | None]:
    """Renew a token that is still good. What goes wrong is told and given, and does no harm: the token is used on."""
    try:
        _ = yield from _renew(action, is_alone=is_alone, is_ahead=True)
    except KickError as error:
        # Without its traceback, which holds this frame.
        failure = copy(error)
    else:
        return None
    yield from Notify(RenewalFailed(action.slot.kind.value, action.slot.account, str(failure)))
    return failure


def login_required(action: AskLogin) -> LoginRequired:
    """The error that says why only the user can help."""
    account = f" of account {action.slot.account!r}" if action.slot.account else ""
    if action.has_ended:
        return ReauthorizationRequired(
            f"Kick no longer takes the refresh token{account}, as it said before; nothing was sent; "
            "call authenticate(...) again"
        )
    if action.had_token:
        return LoginRequired(
            f"the user token{account} is no longer good and there is no refresh token to renew it; "
            "nothing more was sent; call authenticate(...) or set_user_token(...)"
        )
    return LoginRequired(
        f"no user token{account} is held; nothing was sent; "
        "call authenticate(scopes=[...]) or set_user_token(...) first"
    )


def _renew(action: FetchAppToken | RefreshToken, *, is_alone: bool, is_ahead: bool) -> Body[Token]:
    """Look at the store itself, and only if nobody else has renewed meanwhile, ask Kick.

    Look again where somebody changes the token under our hands: who came first has the living one.
    """
    app = yield from LoadApp()
    for _ in range(ROUNDS):
        stored = yield from LoadToken(action.slot, reread=True)
        now = yield from Now()
        again = decide(action.slot, stored and stored.token, by_now(stored, now), refused=action.refused)
        if is_ahead and isinstance(again, UseToken) and again.ahead is not None:
            again = again.ahead
        if isinstance(again, FetchAppToken):
            done = yield from _fetch(app, again, stored)
        elif isinstance(again, RefreshToken) and stored is not None:
            if not is_alone and _is_under_way(stored.token, now):
                yield from _wait(action.slot, stored)
                continue
            done = yield from _refresh(app, again, stored, now)
        else:
            return (yield from carry_out(again))
        if isinstance(done, KickError):
            try:
                raise done
            finally:
                # Its traceback holds this frame.
                del done
        if done is not None:
            return done
    raise RefreshOutcomeUnknown(
        f"others kept changing the {action.slot.kind} token while it was to be renewed; what is stored is theirs, "
        "and the next call looks again"
    )


def _is_under_way(held: Token, now: float) -> bool:
    attempt = held.attempt
    return attempt is not None and attempt.outcome is Outcome.UNKNOWN and 0 <= now - attempt.at < TOKEN_TIMEOUT


def _wait(slot: Slot, stored: Stored) -> Body[None]:
    """Somebody whom no lock keeps out is renewing this token, or died over it: give them the time that it may take."""
    there: Stored | None = stored
    now = yield from Now()
    while there is not None and there.version == stored.version and _is_under_way(there.token, now):
        yield from Sleep(LOOK_AGAIN)
        there = yield from LoadToken(slot, reread=True)
        now = yield from Now()


def _fetch(app: App, action: FetchAppToken, stored: Stored | None) -> Body[Token | KickError | None]:
    """A new app token. The one before, if it is still alive, is marked when that fails."""
    held, version = stored and stored.token, stored.version if stored else ""
    now = yield from Now()
    asked = yield from ask(client_credentials_request(app), app.policy, Again.ALWAYS)
    token = asked.grant.token
    if token is None:
        if held is not None:
            _ = yield from SaveToken(action.slot, _marked(held, now, Outcome.FAILED), version)
        return asked.grant.problem
    token = _in_place_of(token, action, held)
    kept = yield from _keep(action.slot, token, version, wins=True)
    yield from tell_news(action.slot, asked.skew, held, kept)
    return asked.grant.problem or kept


def _refresh(app: App, action: RefreshToken, stored: Stored, now: float) -> Body[Token | KickError | None]:
    """Trade the refresh token. None where somebody else was quicker, or where half of an answer gave a new one."""
    held, version = stored.token, stored.version
    was_lost = held.attempt is not None and held.attempt.outcome is Outcome.UNKNOWN
    if version:
        # Before the request, so that a crash in the middle can be told from a grant that the user took back.
        outcome = yield from SaveToken(action.slot, _marked(held, now, Outcome.UNKNOWN), version)
        if isinstance(outcome, Superseded):
            return (yield from _overtaken(action.slot, held, outcome.stored))
        version = outcome.version if isinstance(outcome, Saved) else version
    asked = yield from ask(refresh_request(app, held.refresh_token or NO_SECRET), app.policy, Again.TWICE, held)
    grant, was_lost = asked.grant, was_lost or asked.was_lost
    if grant.outcome is Outcome.ENDED:
        return (yield from _ended(action.slot, held, version, grant.problem, was_lost=was_lost))
    if grant.token is None:
        if grant.outcome is Outcome.FAILED and not was_lost and version:
            _ = yield from SaveToken(action.slot, _marked(held, now, Outcome.FAILED), version)
        return grant.problem
    kept = yield from _keep(action.slot, _in_place_of(grant.token, action, held), version, wins=False, spent=held)
    yield from tell_news(action.slot, asked.skew, held, kept)
    if isinstance(grant.problem, RefreshOutcomeUnknown):
        # What was cut short held the new refresh token: that one gives a whole answer.
        return None
    return grant.problem or kept


def _overtaken(slot: Slot, sent: Token, theirs: Stored | None) -> Body[Token | KickError | None]:
    """Somebody else was quicker by a moment. If with the same refresh token, his answer is worth waiting for."""
    if theirs is not None and theirs.token.refresh_token == sent.refresh_token:
        yield from _wait(slot, theirs)
    return None


def _ended(
    slot: Slot, sent: Token, version: str, problem: KickError | None, *, was_lost: bool
) -> Body[Token | KickError | None]:
    """Kick no longer takes the refresh token. If the store has another by now, that one is the living one."""
    stored = yield from LoadToken(slot, reread=True)
    if stored is not None and stored.token.refresh_token != sent.refresh_token:
        return None
    now = yield from Now()
    if version:
        outcome = yield from SaveToken(slot, _marked(sent, now, Outcome.ENDED), version)
        if isinstance(outcome, Superseded):
            return None
    else:
        # Nothing is stored: somebody has logged out, and it shall not come back as a dead one.
        yield from DropToken(slot)
    if not was_lost:
        return problem
    return GrantLost(
        "the answer to an earlier refresh was lost (a program ended in the middle, or the connection broke), and Kick "
        "had spent the refresh token by then; nothing is wrong with the account; call authenticate(...) again"
    )


def _marked(held: Token, now: float, outcome: Outcome) -> Token:
    return replace(held, attempt=Attempt(now, outcome))


def _in_place_of(token: Token, action: FetchAppToken | RefreshToken, held: Token | None) -> Token:
    """`token`, marked if it comes in the place of one that Kick refused before its time."""
    if held is None or action.refused is None or action.refused != held.access_token:
        return token
    return _marked(token, token.issued_at, Outcome.REPLACED)


def _keep(slot: Slot, token: Token, version: str, *, wins: bool, spent: Token | None = None) -> Body[Token]:
    """Hold and store what was granted, before anything of it is judged. A save that fails does not fail the call.

    `spent` is the token that was traded in for it. A renewal gives way to a login and a logout that came meanwhile,
    unless it `wins`; it does not give way to the token that it was traded in for, however that came back.
    """
    outcome = yield from SaveToken(slot, token, version)
    for _ in range(ROUNDS):
        if not isinstance(outcome, Superseded):
            break
        theirs = outcome.stored
        if not wins and theirs is None:
            raise LoginRequired("the account was logged out while its token was being renewed; call authenticate(...)")
        now = yield from Now()
        if not wins and theirs is not None and (spent is None or theirs.token.refresh_token != spent.refresh_token):
            decision = decide(slot, theirs.token, max(now, theirs.at_least))
            if isinstance(decision, UseToken):
                return decision.token
        outcome = yield from SaveToken(slot, token, theirs.version if theirs else "")
    return token


def _exchange(action: ExchangeCode) -> Body[Token]:
    app = yield from LoadApp()
    # First, because a store that cannot be read must not come between an exchange and its result.
    stored = yield from LoadToken(action.slot, reread=True)
    request = exchange_request(app, action.code, action.verifier, action.redirect_uri)
    asked = yield from ask(request, app.policy, Again.NEVER, scopes=action.scopes)
    token, problem = asked.grant.token, asked.grant.problem
    # A problem would hold it, by its traceback.
    skew = asked.skew
    del asked
    if token is not None:
        token = yield from _keep(action.slot, token, stored.version if stored else "", wins=True)
        yield from tell_skew(skew)
    if problem is not None:
        try:
            raise problem
        finally:
            del problem
    if token is None:
        raise TokenError("Kick's token endpoint answered with neither a token nor an error")
    return token


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
