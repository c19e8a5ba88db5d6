"""Tokens, where they are kept, and on whose behalf they act: all values."""

import re
from enum import StrEnum
from typing import Final

from msgspec import Struct

from kickcore.errors import ConfigError
from kickcore.http import secure_origin
from kickcore.policy import Policy, checked_policy
from kickcore.secret import Secret

API_URL: Final = "https://api.kick.com"
ID_URL: Final = "https://id.kick.com"

RENEW_FROM: Final = 600.0
"""Seconds before its end from which a token is renewed ahead and used meanwhile; at most a fifth of its life."""
RENEW_BY: Final = 60.0
"""Seconds before its end from which a call waits for the new token; at most a tenth of its life."""
PAUSE: Final = 30.0
"""Seconds between two tries to renew a token that is still alive."""
DEFAULT_LIFE: Final = 300.0
"""Seconds that a token is taken to live when Kick does not say, or says nonsense."""
LONGEST_LIFE: Final = 365 * 86400.0
"""Seconds; a longer life is cut to this."""
CLOCK_SLACK: Final = 300.0
"""Seconds by which a token may come from the future before its clock is held to be wrong."""


class TokenKind(StrEnum):
    """Kick's two kinds of access token, in the words of its introspection endpoint."""

    APP = "app"
    USER = "user"


class Slot(Struct, frozen=True):
    """The name of a token: who issued it, to which app, of which kind, for which account.

    Two slots never share a token, so neither apps nor users nor test servers are ever mixed up. `account` is your own
    name for a user and is "" where there is only one.
    """

    issuer: str
    client_id: str
    kind: TokenKind
    account: str = ""


class App(Struct, frozen=True):
    """An app as registered with Kick, the hosts it talks to, the account it acts for, and how its calls behave.

    Raises `ConfigError` for an empty or malformed client id, an empty secret, and hosts that are neither https nor
    http on the loopback interface.
    """

    client_id: str
    client_secret: Secret
    api_url: str = API_URL
    id_url: str = ID_URL
    account: str = ""
    policy: Policy = Policy()

    def slot(self, kind: TokenKind) -> Slot:
        """Where this app keeps its token of `kind`. An app token belongs to no account."""
        return Slot(self.id_url, self.client_id, kind, self.account if kind is TokenKind.USER else "")


def checked_app(app: App) -> App:
    """`app` with its hosts in their plain form, or a `ConfigError` that names what cannot be right."""
    if flaw := _flaw(app.client_id):
        raise ConfigError(f"client_id {flaw}" + (f" ({app.client_id[:40]!r})" if app.client_id else ""))
    if flaw := _flaw(app.client_secret.reveal()):
        raise ConfigError(f"client_secret {flaw}")
    return App(
        app.client_id,
        app.client_secret,
        secure_origin(app.api_url, "api_url"),
        secure_origin(app.id_url, "id_url"),
        checked_account(app.account),
        checked_policy(app.policy),
    )


def checked_account(account: object) -> str:
    """`account` if it can name one: at most 64 printable characters. Raises `ConfigError` otherwise."""
    if not isinstance(account, str) or len(account) > 64 or not account.isprintable():
        raise ConfigError("account is a name of at most 64 printable characters, or nothing")
    return account


def _flaw(credential: str) -> str:
    """What is wrong with it, or "". It raises nothing: the traceback would hold the text."""
    if not credential:
        return "is empty; Kick shows it in your account's settings, under Developer"
    if not re.match(r"[\x21-\x7E]{1,512}\Z", credential):
        return "holds a blank, a control character or something that is not ASCII"
    return ""


class Outcome(StrEnum):
    """What is known of an attempt to renew a token."""

    UNKNOWN = "unknown"
    """It was begun, and no answer is known: Kick may have spent the refresh token, or not."""
    FAILED = "failed"
    """It failed and changed nothing."""
    ENDED = "ended"
    """Kick no longer takes the refresh token: only a login helps."""
    REPLACED = "replaced"
    """It succeeded: this token came in the place of one that Kick had refused before its time."""


class Attempt(Struct, frozen=True):
    """The last attempt to renew a token: when it was begun, in epoch seconds, and what came of it.

    It is stored before the request is sent. So whoever finds `UNKNOWN` knows that a process died in the middle, or that
    an answer was lost, and that it is not the user who took the grant back.
    """

    at: float
    outcome: Outcome


class Token(Struct, frozen=True):
    """An access token and what came with it. Times are epoch seconds UTC, counted from the start of the request.

    `access_token` is None when only the refresh token could be saved from an answer; such a token is due at once.
    `scope` is what was granted, or None when that is not known. App tokens have neither scope nor refresh token.
    `granted_at` is when the user logged in, `refresh_issued_at` when the refresh token came; None when not known.
    `attempt` is the last attempt to renew this token.
    """

    access_token: Secret | None
    expires_at: float
    issued_at: float
    refresh_token: Secret | None = None
    scope: tuple[str, ...] | None = None
    granted_at: float | None = None
    refresh_issued_at: float | None = None
    attempt: Attempt | None = None

    def is_alive(self, now: float) -> bool:
        """Whether the access token may still be sent, by what Kick said of its end."""
        return self.access_token is not None and now < self.expires_at

    def is_due(self, now: float) -> bool:
        """Whether to renew it: a fifth of its life, or ten minutes, are left; or its clock cannot be right."""
        is_late = now >= self.expires_at - self._share(RENEW_FROM, 0.2)
        return is_late or self.is_overdue(now) or now < self.issued_at - CLOCK_SLACK

    def is_overdue(self, now: float) -> bool:
        """Whether a call must wait for the new one: a tenth of its life, or a minute, are left."""
        return self.access_token is None or now >= self.expires_at - self._share(RENEW_BY, 0.1)

    def _share(self, longest: float, share: float) -> float:
        return min(longest, share * max(self.expires_at - self.issued_at, 0.0))

    def was_tried(self, now: float, *outcomes: Outcome) -> bool:
        """Whether an attempt to renew it, with one of these outcomes, is less than `PAUSE` seconds ago."""
        attempt = self.attempt
        return attempt is not None and attempt.outcome in outcomes and 0 <= now - attempt.at < PAUSE


class Stored(Struct, frozen=True):
    """A token as held, with the version that a later save must name. "" is the version of nothing stored.

    `at_least` is a time that it must be by now, in epoch seconds: when the token came into memory and what a monotonic
    clock has counted since. The wall clock may have been set back. When it was looked at makes no difference to `==`.
    """

    token: Token
    version: str = ""
    at_least: float = 0.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stored) and (self.token, self.version) == (other.token, other.version)

    def __hash__(self) -> int:
        return hash((self.token, self.version))


def by_now(stored: Stored | None, now: float) -> float:
    """The time by which a token is judged: the later of two clocks, because either may stand still or be set back."""
    return now if stored is None else max(now, stored.at_least)


class Saved(Struct, frozen=True, tag="saved"):
    """The save is done; this is the new version."""

    version: str


class Superseded(Struct, frozen=True, tag="superseded"):
    """Nothing was saved: somebody else had changed what is stored since it was loaded. This is there now."""

    stored: Stored | None


class NotSaved(Struct, frozen=True, tag="not_saved"):
    """The token is held in memory only, for this reason; saving is tried again later."""

    reason: str


def lifetime(expires_in: object) -> float:
    """Seconds that a token lives by the `expires_in` of an answer: a number or a numeric text, else the default.

    Never raises: by the time an answer is read, Kick has already spent the old refresh token.
    """
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float | str):
        return DEFAULT_LIFE
    try:
        seconds = float(expires_in)
    except (ValueError, OverflowError):
        # An integer too large for a float is a long life, or none; text that is no number says nothing.
        return LONGEST_LIFE if not isinstance(expires_in, str) and expires_in > 0 else DEFAULT_LIFE
    return min(seconds, LONGEST_LIFE) if seconds > 0 else DEFAULT_LIFE
