"""What a program tells of by the way: values that nobody has to listen to."""

from typing import TypeAlias

from msgspec import Struct


class Retrying(Struct, frozen=True, tag="retrying"):
    """A call is about to be repeated, after a wait of so many seconds. `attempt` is 1 for the first repeat."""

    operation: str
    reason: str
    attempt: int
    wait: float


class DriftNoticed(Struct, frozen=True, tag="drift_noticed"):
    """Kick's answer holds something new. `member` is its path, such as `data[].stream.bitrate`; `value` is the text of
    an unknown value, cleaned and cut, and "" for an unknown member.
    """

    operation: str
    member: str
    value: str = ""


class RenewalFailed(Struct, frozen=True, tag="renewal_failed"):
    """A token could not be renewed ahead of its end. It goes on being used, and the next call after half a minute tries
    again. `kind` is "app" or "user"; `reason` is the text of the error.
    """

    kind: str
    account: str
    reason: str


class GrantAging(Struct, frozen=True, tag="grant_aging"):
    """The user's login, or the refresh token that was just traded in, is at least 25 days old; told once a day.

    Kick ends grants after 30 days: of not being used, or altogether; reports differ. Ages are in seconds, None where
    not known.
    """

    account: str
    grant_age: float | None
    refresh_token_age: float | None


class ScopesNarrowed(Struct, frozen=True, tag="scopes_narrowed"):
    """A renewed user token may do less than the one before: `lost` it may do no longer."""

    account: str
    lost: tuple[str, ...]


class ClockSkewed(Struct, frozen=True, tag="clock_skewed"):
    """Kick's clock is so many seconds ahead of this machine's, or behind it if negative; told from a minute on."""

    seconds: float


Notice: TypeAlias = Retrying | DriftNoticed | RenewalFailed | GrantAging | ScopesNarrowed | ClockSkewed
"""All that may be told."""
