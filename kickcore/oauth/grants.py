"""Kick's identity host: what to send it and how to read what it answers.

The wire shapes are those of RFC 6749 (grants) and RFC 7009 (revocation), with what Kick does differently: credentials
in the form, a token to be revoked in the query.
"""

import json
import re
from typing import Any, Final, cast

from msgspec import Struct
from msgspec.structs import replace

from kickcore.errors import (
    InvalidClient,
    KickError,
    NetworkError,
    OAuthError,
    RateLimited,
    ReauthorizationRequired,
    RefreshOutcomeUnknown,
    ServerError,
    TokenResponseError,
    cleaned,
)
from kickcore.http import Pairs, Request, Response, Sent, Unreachable, retry_after
from kickcore.oauth.scopes import parse_scope
from kickcore.oauth.tokens import App, Outcome, Token, lifetime
from kickcore.secret import Secret, without_secrets

TOKEN_TIMEOUT: Final = 15.0
"""Seconds for a whole exchange with the identity host."""
TOKEN_LIMIT: Final = 64 * 1024
"""Bytes of an answer of the identity host."""

_REFRESH_TOKEN: Final = re.compile(rb'"refresh_token"\s*:\s*"([\x21\x23-\x5B\x5D-\x7E]{1,8192})"')

# RFC 6750, section 2.1 (b64token), and what else fits into a header without harm; a bound on the length.
_BEARER: Final = re.compile(r"[\x21-\x7E]{1,8192}\Z", re.ASCII)


def _form(app: App, path: str, form: Pairs) -> Request:
    credentials: Pairs = (("client_id", app.client_id), ("client_secret", app.client_secret))
    return Request("POST", app.id_url + path, form=form + credentials, timeout=TOKEN_TIMEOUT, limit=TOKEN_LIMIT)


def client_credentials_request(app: App) -> Request:
    """Ask for an app token (RFC 6749, section 4.4)."""
    return _form(app, "/oauth/token", (("grant_type", "client_credentials"),))


def refresh_request(app: App, refresh_token: Secret) -> Request:
    """Trade a refresh token for a new pair (RFC 6749, section 6). Kick rotates refresh tokens."""
    return _form(app, "/oauth/token", (("grant_type", "refresh_token"), ("refresh_token", refresh_token)))


def exchange_request(app: App, code: Secret, verifier: Secret, redirect_uri: str) -> Request:
    """Trade an authorization code for tokens (RFC 6749, section 4.1.3, and RFC 7636, section 4.5)."""
    form: Pairs = (
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier),
    )
    return _form(app, "/oauth/token", form)


def revoke_request(app: App, token: Secret, hint: str) -> Request:
    """Revoke a token: for Kick in the query, where its hint is called `token_hint_type`; and as RFC 7009 has it.

    Kick's documentation knows the query only. Other servers know the form only, and that is where Kick would go too.
    """
    query: Pairs = (("token", token), ("token_hint_type", hint))
    form: Pairs = (("token", token), ("token_type_hint", hint))
    return replace(_form(app, "/oauth/revoke", form), query=query)


class Grant(Struct, frozen=True):
    """What an answer of the token endpoint comes to: a token to keep, a problem to raise, or both.

    Where both are there, keep first and raise then: Kick may have spent the old refresh token, and the new one must not
    be lost over a flaw in the rest of the answer. `outcome` tells what a problem means for the refresh token that was
    sent.
    """

    token: Token | None = None
    problem: KickError | None = None
    outcome: Outcome = Outcome.FAILED


def read_grant(
    answer: Response | Unreachable,
    asked_at: float,
    before: Token | None,
    asked: tuple[str, ...] | None = None,
    *,
    sent: Request | None = None,
) -> Grant:
    """Read an answer of the token endpoint.

    `asked_at` is when the request began: a life counts from there. `before` is the token that is being refreshed: its
    refresh token and scope stay where the answer gives no others. `asked` are the scopes asked for.
    `sent` is the request: an error text that repeats a secret of it, or one of the answer's own, is shown without.
    """
    if isinstance(answer, Unreachable):
        outcome = Outcome.FAILED if answer.sent is Sent.NO else Outcome.UNKNOWN
        return Grant(None, _unreachable(answer, before), outcome)
    members = _members(answer.body)
    if not 200 <= answer.status < 300:
        return _refused(answer, members or {}, asked_at, before, sent)
    found = members or _salvaged(answer.body)
    refresh = bearer(found.get("refresh_token")) or (before.refresh_token if before else None)
    access = bearer(found.get("access_token"))
    scope = _scope(found.get("scope"), before, asked)
    token = Token(access, asked_at + lifetime(found.get("expires_in")), asked_at, refresh, scope)
    token = replace(token, **_ages(refresh, asked_at, before))
    problem = _flaw(answer, members, before, sent)
    if problem is None:
        return Grant(token)
    outcome = Outcome.FAILED if isinstance(problem, OAuthError) else Outcome.UNKNOWN
    if bearer(found.get("refresh_token")) is None:
        return Grant(None, problem, outcome)
    return Grant(replace(token, access_token=None, expires_at=asked_at), problem, outcome)


def _flaw(
    answer: Response, members: dict[str, Any] | None, before: Token | None, sent: Request | None
) -> KickError | None:
    """Why an answer of success gives no token that could be used."""
    saved = "; its refresh token was kept, and the next call tries it" if _salvaged(answer.body) else ""
    if members is None:
        cut = answer.body.lstrip().startswith(b"{") and not answer.body.rstrip().endswith(b"}")
        kept = saved or "; the old refresh token was kept, and the next call tries it again"
        if cut and before is not None:
            return RefreshOutcomeUnknown(f"the answer to the refresh was cut short{kept}")
        return TokenResponseError(f"Kick's token endpoint answered with something that is no token{saved}")
    if _error(members):
        return _by_code(answer.status, members, before, sent)
    kind = members.get("token_type", "Bearer")
    if bearer(members.get("access_token")) is None:
        flaw = "it holds no access token that could be sent"
    elif not isinstance(kind, str) or kind.lower() != "bearer":
        # Not shown: a server that mixes up its members may have put a token there.
        flaw = "its token type is not Bearer"
    else:
        return None
    return TokenResponseError(f"Kick's token endpoint answered, but {flaw}{saved}")


def _salvaged(body: bytes) -> dict[str, Any]:
    """The refresh token of an answer that cannot be read as a whole: cut short, or in a broken encoding."""
    found = _REFRESH_TOKEN.findall(body)
    return {"refresh_token": found[0].decode("ascii")} if len(found) == 1 else {}


def _ages(refresh: Secret | None, asked_at: float, before: Token | None) -> dict[str, float | None]:
    """Since when there is this grant, and this refresh token."""
    if refresh is None:
        return {}
    if before is None:
        return {"granted_at": asked_at, "refresh_issued_at": asked_at}
    is_new = refresh != before.refresh_token
    return {"granted_at": before.granted_at, "refresh_issued_at": asked_at if is_new else before.refresh_issued_at}


def _scope(member: object, before: Token | None, asked: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """What was granted. A refresh cannot take all scopes away, so an empty text there says no more than none at all."""
    if isinstance(member, str) and (member.strip() or before is None):
        return parse_scope(member)
    return before.scope if before else asked


def bearer(member: object) -> Secret | None:
    """A member as a token, or None if it is none that could be sent in a header."""
    return Secret(member) if isinstance(member, str) and _BEARER.match(member) else None


def _members(body: bytes) -> dict[str, Any] | None:
    # The standard library's parser, because it takes NaN, which a sloppy server may well send as a life. Whole numbers
    # become floats, because Python refuses to read an int of thousands of digits.
    try:
        parsed: object = json.loads(body.decode("utf-8-sig"), parse_int=float)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else None


def _error(members: dict[str, Any]) -> str:
    """The `error` of an answer; "" is what a server writes that leaves no member out."""
    error = members.get("error")
    return error if isinstance(error, str) else ""


def _unreachable(answer: Unreachable, before: Token | None) -> KickError:
    if before is None or answer.sent is Sent.NO:
        return NetworkError(f"the identity host gave no answer: {answer.reason}; try again", sent=answer.sent.value)
    return RefreshOutcomeUnknown(
        f"the refresh was sent and its answer was lost ({answer.reason}); the old refresh token was kept, "
        "and the next call tries it again"
    )


def _refused(
    answer: Response, members: dict[str, Any], asked_at: float, before: Token | None, sent: Request | None
) -> Grant:
    """Decide by `error`, never by 400 against 401; a 5xx and the firewall's 403 say nothing about the grant."""
    operation, kept = "POST /oauth/token", "tokens are as they were"
    if answer.status >= 500:
        # What failed may have failed after the old refresh token was spent.
        text = f"the identity host failed (status {answer.status}); {kept}, try again later"
        return Grant(None, ServerError(text, status=answer.status, operation=operation), Outcome.UNKNOWN)
    if answer.status == 429:
        limited = RateLimited(
            f"the identity host takes no more requests for now; {kept}", status=429, operation=operation
        )
        limited.retry_after = retry_after(answer, asked_at)
        return Grant(None, limited)
    if answer.status == 403 and "reference" in members:
        text = f"the firewall in front of Kick refused it; {kept}, try again later"
        return Grant(None, ServerError(text, status=403, operation=operation))
    if _error(members):
        problem = _by_code(answer.status, members, before, sent)
        ended = isinstance(problem, ReauthorizationRequired)
        return Grant(None, problem, Outcome.ENDED if ended else Outcome.FAILED)
    if members.get("error"):
        text = "the identity host refused without a code"
        return Grant(None, OAuthError(text, error="", description="", status=answer.status))
    text = f"the identity host answered status {answer.status} without saying why; {kept}"
    return Grant(None, TokenResponseError(text))


def _without_secrets(text: str, members: dict[str, Any], sent: Request | None) -> str:
    """A text of the server's, without what must not be seen: it may repeat what was sent, or what it grants."""
    held = [value for _, value in (sent.form if sent else ()) if isinstance(value, Secret)]
    granted = (members.get("access_token"), members.get("refresh_token"))
    return without_secrets(text, held + [Secret(token) for token in granted if isinstance(token, str)])


def _by_code(status: int, members: dict[str, Any], before: Token | None, sent: Request | None) -> KickError:
    error = _error(members)
    code = cleaned(_without_secrets(error, members, sent), 80)
    description = cleaned(_without_secrets(str(members.get("error_description") or ""), members, sent))
    told = f"{code}: {description}" if description else code
    if error == "invalid_grant" and before is not None:
        return ReauthorizationRequired(
            "Kick no longer takes the refresh token (revoked, unused for about 30 days, or spent elsewhere); "
            "call authenticate(...) again"
        )
    if error == "invalid_client":
        text = f"Kick does not know this client id with this secret ({told}); compare both with your app's settings"
        return InvalidClient(text, error=code, description=description, status=status)
    return OAuthError(f"the identity host refused: {told}", error=code, description=description, status=status)
