"""How calls behave when something goes wrong: one value, for all calls of a client."""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict

from kickcore.errors import ConfigError

BUDGET: Final = 500.0
"""What may be spent on repeating before successes have refilled it: a dead server is not asked three times as often."""


class Drift(StrEnum):
    """What to do about members and values of Kick's that kickcore does not know."""

    IGNORE = "ignore"
    TELL = "tell"
    REFUSE = "refuse"


class Policy(Struct, frozen=True):
    """Waiting and repeating, and what to do about news in Kick's answers.

    * `retries`: how often a call may be repeated where the table in the docs allows it; 0 switches it off.
    * `backoff`, `longest_backoff`: seconds; the wait before repeat n is by chance up to `backoff * 2**n`, at most the
      latter.
    * `longest_wait`: seconds; if Kick asks for more, `RateLimited` is raised instead of waiting.
    * `drift`: unknown members and values are ignored, told to `on_notice`, or refused with `BadResponse` (for tests).
    """

    retries: int = 2
    backoff: float = 0.2
    longest_backoff: float = 5.0
    longest_wait: float = 60.0
    drift: Drift = Drift.IGNORE


def checked_policy(policy: object) -> Policy:
    """`policy` itself, or a `ConfigError` that names the member which cannot be right."""
    if not isinstance(policy, Policy):
        raise ConfigError(f"policy is a Policy, such as Policy(retries=0), not {type(policy).__name__}")
    members = asdict(policy)
    retries, drift = members["retries"], members["drift"]
    if type(retries) is not int or not 0 <= retries <= 10:
        raise ConfigError(f"policy.retries is a number from 0 to 10, not {retries!r:.60}")
    for name in ("backoff", "longest_backoff", "longest_wait"):
        seconds = members[name]
        if type(seconds) not in {int, float} or not 0 <= seconds <= 3600:
            raise ConfigError(f"policy.{name} is a number of seconds from 0 to 3600, not {seconds!r:.60}")
    if not isinstance(drift, Drift):
        raise ConfigError(f"policy.drift is a Drift, such as Drift.TELL, not {drift!r:.60}")
    return policy


class Pace(Struct, frozen=True):
    """How fast a group of calls may go: not before this instant (epoch seconds).

    `refill` says that something was spent of the budget for repeating: a success is to be told.
    """

    not_before: float = 0.0
    refill: bool = False
