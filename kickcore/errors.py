"""Everything that kickcore raises.

    KickError
        ConfigError                 the client, or a login, was set up with what cannot be right; nothing was sent
        InvalidInput                an argument of a call is outside what Kick takes; nothing was sent
        ClientClosed                the client was closed
        TokenError                  about tokens
            LoginRequired           no user token is held: authenticate() or set_user_token()
                ReauthorizationRequired   Kick no longer takes the refresh token: log in again
                    GrantLost       and that is because the answer to a refresh was lost
            MissingScopes           the user token lacks a scope; nothing was sent
            OAuthError              the identity host refused, by `error`
                InvalidClient       client id or secret is wrong
            TokenResponseError      an answer of the token endpoint that is no token
            RefreshOutcomeUnknown   a refresh was sent and its answer was lost
            RenewalStalled          renewing took longer than it may
        LoginError                  about the browser flow
            AuthorizationDenied     the user, or Kick, said no
            IssuerMismatch          the redirect came from another authorization server
            LoginTimeout            nobody came back in time
            LoginInProgress         another login of this account is running
            CallbackPortInUse       the callback port is taken
        StoreError                  about stored tokens; the file is named and kept
            UnsafeTokenFile         a link, a folder, a pipe, somebody else's file
            UnreadableTokenFile     the system refuses to read or write it
            CorruptTokenFile        not a token file; moved aside
            NewerTokenFile          written by a newer kickcore; left alone
            ForeignTokenFile        the token of another app, account or host; left alone
            TokenLockTimeout        another process holds the lock
        HTTPError                   an answer of the API other than success
            BadRequest (400)        Unauthorized (401)      Forbidden (403)     Blocked (403, the firewall)
            NotFound (404)          Conflict (409)          RateLimited (429)   ServerError (5xx)
            RedirectRefused (3xx)   QuotaReached (429 with a code)
        BadResponse                 a success that cannot be read
        NotSent                     Kick took a chat message and did not send it
        NetworkError                no answer at all
        SessionError                a session file that cannot be read or written
            LeakSuspected           it would hold a secret, or what looks like one; it was not written
            AnswersChanged          Kick answers otherwise than when the session was recorded

An error says what happened, what was kept and what to do next, in at most 500 characters. It holds no request, no
response and no secret.
"""

from collections.abc import Mapping
from typing import Any, Final

LONGEST_TEXT: Final = 300
"""Characters of a text from outside that an error repeats."""
LONGEST_MESSAGE: Final = 500
"""Characters of an error's message."""


def cleaned(text: str, limit: int = LONGEST_TEXT) -> str:
    """Text from outside, fit for a terminal: without control characters, on one line, cut to `limit` characters."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: limit * 4])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


class KickError(Exception):
    """Whatever kickcore raises. A message that is too long loses its middle: what to do stands at its end."""

    def __init__(self, message: str) -> None:
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[:299]}…{message[-200:]}"
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only facts would otherwise be lost on the way through pickle.
        return _rebuilt, (type(self), self.args, vars(self))


def _rebuilt(kind: type[KickError], args: tuple[Any, ...], facts: Mapping[str, Any]) -> KickError:
    error = kind.__new__(kind)
    error.args = args
    vars(error).update(facts)
    return error


class InvalidInput(KickError, ValueError):
    """An argument of a call is outside what Kick takes. Nothing was sent. `parameter` is its name."""

    def __init__(self, message: str, *, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class ConfigError(KickError, ValueError):
    """The client or a login was set up with what cannot be right. Nothing was sent."""


class ClientClosed(KickError):
    """The client was closed, so it makes no more calls."""


class TokenError(KickError):
    """Something about tokens."""


class LoginRequired(TokenError):
    """No user token is held for this account: call `authenticate(...)` or `set_user_token(...)` first."""


class ReauthorizationRequired(LoginRequired):
    """Kick no longer takes the refresh token (revoked, too old, or spent): the user must log in again."""


class MissingScopes(TokenError):
    """The user token lacks scopes that the call needs. Nothing was sent.

    `missing_scopes` holds groups of which any one is needed; `granted` is what the token has.
    """

    def __init__(self, message: str, *, missing_scopes: tuple[frozenset[str], ...], granted: tuple[str, ...]) -> None:
        super().__init__(message)
        self.missing_scopes = missing_scopes
        self.granted = granted


class OAuthError(TokenError):
    """The identity host refused. `error` is its code (RFC 6749, section 5.2), `description` its text."""

    def __init__(self, message: str, *, error: str, description: str, status: int) -> None:
        super().__init__(message)
        self.error = error
        self.description = description
        self.status = status


class InvalidClient(OAuthError):
    """Kick does not know this client id with this client secret."""


class TokenResponseError(TokenError):
    """The token endpoint answered with something that is no usable token. What could be saved of it was saved."""


class RefreshOutcomeUnknown(TokenError):
    """A refresh was sent and its answer was lost, so nobody knows whether Kick spent the old refresh token.

    The old one is kept and tried again by the next call.
    """


class GrantLost(ReauthorizationRequired, RefreshOutcomeUnknown):
    """A refresh whose answer was lost had spent the refresh token, and the new one was in that answer.

    The user did nothing wrong and must log in again all the same. Told once; later calls raise
    `ReauthorizationRequired`.
    """


class RenewalStalled(TokenError):
    """Renewing a token took longer than it may. What is stored was not changed by this."""


class LoginError(KickError):
    """The browser flow did not end in a token. Tokens held before are as they were."""


class AuthorizationDenied(LoginError):
    """The user, or Kick, refused. `error` and `description` are Kick's words, cleaned and cut."""

    def __init__(self, message: str, *, error: str, description: str) -> None:
        super().__init__(message)
        self.error = error
        self.description = description


class IssuerMismatch(LoginError):
    """The redirect names an authorization server that is not Kick's (RFC 9207)."""


class LoginTimeout(LoginError):
    """Nobody came back from the browser in time. `refused` counts the requests that were turned away, by reason."""

    def __init__(self, message: str, *, seconds: float, refused: Mapping[str, int]) -> None:
        super().__init__(message)
        self.seconds = seconds
        self.refused: dict[str, int] = dict(refused)


class LoginInProgress(LoginError):
    """Another login of this account is waiting for the browser. It goes on."""


class CallbackPortInUse(LoginError):
    """The port for the callback is taken, so the browser was not opened. `port` is its number."""

    def __init__(self, message: str, *, port: int) -> None:
        super().__init__(message)
        self.port = port


class StoreError(KickError):
    """Something about stored tokens. `path` names the file, if it is one; it was not overwritten."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class UnsafeTokenFile(StoreError):
    """A link, a folder, a pipe, a device, or somebody else's file stands where a token file should be."""


class UnreadableTokenFile(StoreError):
    """The system refuses to read or write the token file."""


class CorruptTokenFile(StoreError):
    """The file holds no token. It was moved aside to `moved_to`, so that the next call starts afresh."""

    def __init__(self, message: str, *, path: str, moved_to: str) -> None:
        super().__init__(message, path=path)
        self.moved_to = moved_to


class NewerTokenFile(StoreError):
    """The file was written by a newer kickcore. It was left alone."""


class ForeignTokenFile(StoreError):
    """The file holds the token of another app, account, kind or host. It was left alone."""


class TokenLockTimeout(StoreError):
    """Another process has held the lock beside the token file for too long."""


class HTTPError(KickError):
    """An answer other than success.

    `status` is the number, `code` what Kick puts into `data` as text (such as "CHANNEL_IS_NOT_LIVE"), `operation` the
    method and path template, `reference` a firewall's or request's id where there is one.
    """

    def __init__(
        self, message: str, *, status: int, operation: str, code: str | None = None, reference: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.operation = operation
        self.code = code
        self.reference = reference


class BadRequest(HTTPError):
    """400: Kick refused the request as it was. Sending it again will not help."""


class Unauthorized(HTTPError):
    """401: Kick does not take the token, also not after renewing it."""


class Forbidden(HTTPError):
    """403: the token may not do this (a scope, or the channel's own rules, such as followers-only chat)."""


class Blocked(HTTPError):
    """403 from the firewall in front of Kick, not from Kick: try again later; `reference` is its id."""


class NotFound(HTTPError):
    """404, or a single thing asked for that Kick left out of its answer (`status` is then 200)."""


class Conflict(HTTPError):
    """409: the state of the thing does not allow it now."""


class QuotaReached(HTTPError):
    """429 with a code, such as "MAX_AD_BREAKS_REACHED": a quota is used up. Nothing is repeated."""


class RateLimited(HTTPError):
    """429. `retry_after` is the wait in seconds that Kick asks for, or None when it does not say."""

    retry_after: float | None = None


class ServerError(HTTPError):
    """5xx: Kick's fault; worth another try later."""


class RedirectRefused(HTTPError):
    """3xx: kickcore follows no redirect, because a token must not travel to another host."""


class BadResponse(KickError):
    """Kick said yes, and what came with it cannot be read. The message names the member."""

    def __init__(self, message: str, *, status: int, operation: str) -> None:
        super().__init__(message)
        self.status = status
        self.operation = operation


class NotSent(KickError):
    """Kick took a chat message and reports that it was not sent."""


class NetworkError(KickError):
    """No answer came. `sent` is "no", "maybe" or "yes": whether Kick may have acted on the request."""

    def __init__(self, message: str, *, sent: str) -> None:
        super().__init__(message)
        self.sent = sent


class SessionError(KickError):
    """A session cannot be read or written: the file is named, and what is wrong with it."""


class LeakSuspected(SessionError):
    """A recording holds a secret, or what looks like one, and was not written. `pointers` tell where it stood."""

    def __init__(self, message: str, *, pointers: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.pointers = pointers


class AnswersChanged(SessionError):
    """Kick's answers have another shape than those that were recorded. `changes` tell which and how."""

    def __init__(self, message: str, *, changes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.changes = changes


class KickWarning(UserWarning):
    """Something that kickcore did not fail over and that you want to know."""


class TokenNotSaved(KickWarning):
    """A token could not be stored and is held in memory only."""


class ScopesNotGranted(KickWarning):
    """The user granted less than was asked for."""


class ClockWrong(KickWarning):
    """This machine's clock and Kick's differ by more than a minute."""


class GrantOld(KickWarning):
    """A user's grant is about as old as Kick lets one become; a login renews it."""
