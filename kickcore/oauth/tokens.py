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

MARGIN: Final = 60.0
"""Seconds before its end from which a token counts as due."""
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
    _check_credential("client_id", app.client_id)
    _check_credential("client_secret", app.client_secret.reveal(), shown=False)
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


def _check_credential(name: str, text: str, *, shown: bool = True) -> None:
    if not text:
        raise ConfigError(f"{name} is empty; Kick shows it in your account's settings, under Developer")
    if not re.match(r"[\x21-\x7E]{1,512}\Z", text):
        seen = f" ({text[:40]!r})" if shown else ""
        raise ConfigError(f"{name} holds a blank, a control character or something that is not ASCII{seen}")


class Token(Struct, frozen=True):
    """An access token and what came with it. Times are epoch seconds UTC, counted from the start of the request.

    `access_token` is None when only the refresh token could be saved from an answer; such a token is due at once.
    `scope` is what was granted, or None when that is not known. App tokens have neither scope nor refresh token.
    """

    access_token: Secret | None
    expires_at: float
    issued_at: float
    refresh_token: Secret | None = None
    scope: tuple[str, ...] | None = None

    def is_due(self, now: float) -> bool:
        """Whether to renew before use: a fifth of its life or a minute is left, or its clock cannot be right."""
        margin = min(MARGIN, 0.2 * max(self.expires_at - self.issued_at, 0.0))
        return self.access_token is None or now >= self.expires_at - margin or now < self.issued_at - CLOCK_SLACK


class Stored(Struct, frozen=True):
    """A token as held, with the version that a later save must name. "" is the version of nothing stored."""

    token: Token
    version: str = ""


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
