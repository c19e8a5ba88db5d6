"""Asking the token endpoint, and asking again where that is right.

How often depends on what a second request may do. An app token can be asked for at any time. A refresh token may be
spent by the first request, and then the second is the only chance to see the new one; but a server may take a third for
theft. An authorization code is sent once (RFC 6749, section 4.1.2).
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kickcore.effects import Body, Entropy, HoldBack, LoadPace, Now, PayRetry, Send, Sleep
from kickcore.errors import RateLimited, RefreshOutcomeUnknown
from kickcore.http import Request, Response, Sent, Unreachable, clock_skew
from kickcore.oauth.grants import TOKEN_TIMEOUT, Grant, read_grant
from kickcore.oauth.tokens import Token
from kickcore.policy import Policy

OPERATION: Final = "POST /oauth/token"
LONGEST_PAUSE: Final = 5.0
"""Seconds that a renewal waits where Kick asks for it; others wait for the renewal meanwhile."""
SHORTEST_TRY: Final = 1.0
"""Seconds that must be left for another try."""
RETRY_COST: Final = 5.0
"""Of the budget for repeating."""


class Again(StrEnum):
    """How often a request may reach Kick."""

    ALWAYS = "always"
    TWICE = "twice"
    NEVER = "never"


class Asked(Struct, frozen=True):
    """What came of it. `was_lost`: an answer was lost before the last. `skew`: of Kick's clock, in seconds."""

    grant: Grant
    was_lost: bool = False
    skew: float = 0.0


def ask(
    request: Request,
    policy: Policy,
    again: Again,
    before: Token | None = None,
    scopes: tuple[str, ...] | None = None,
) -> Body[Asked]:
    """Send `request` until there is an answer to go by, within `TOKEN_TIMEOUT` seconds altogether."""
    began = yield from _when_welcome()
    now, was_lost, number = began, False, 0
    while True:
        answer = yield from Send(request)
        after = yield from Now()
        grant = read_grant(answer, now, before, scopes, sent=request)
        asked = Asked(grant, was_lost, clock_skew(answer, now, after) if isinstance(answer, Response) else 0.0)
        pause = yield from _pause(answer, grant, again if not was_lost else Again.NEVER, number, policy)
        left = TOKEN_TIMEOUT - max(after - began, 0.0)
        if pause is None or left - pause < SHORTEST_TRY:
            if isinstance(grant.problem, RateLimited) and grant.problem.retry_after:
                yield from HoldBack(OPERATION, after + grant.problem.retry_after)
            return asked
        if pause:
            yield from Sleep(pause)
        now = yield from Now()
        was_lost = was_lost or (again is Again.TWICE and _may_have_acted(answer))
        request, number = replace(request, timeout=left - pause), number + 1


def _when_welcome() -> Body[float]:
    """Wait as long as Kick has asked for, or say that it is too long; then give the time."""
    pace = yield from LoadPace(OPERATION)
    now = yield from Now()
    wait = pace.not_before - now
    if wait <= 0:
        return now
    if wait > LONGEST_PAUSE:
        text = f"{OPERATION} was not sent: Kick asked to wait, and {wait:.0f} seconds of that are left"
        error = RateLimited(f"{text}; tokens are as they were", status=429, operation=OPERATION)
        error.retry_after = wait
        raise error
    yield from Sleep(wait)
    return (yield from Now())


def _may_have_acted(answer: Response | Unreachable) -> bool:
    return answer.sent is not Sent.NO if isinstance(answer, Unreachable) else answer.status != 429


def _pause(
    answer: Response | Unreachable, grant: Grant, again: Again, number: int, policy: Policy
) -> Body[float | None]:
    """Seconds to wait before the request is sent once more; None if it is not to be."""
    problem = grant.problem
    if grant.token is not None or problem is None:
        return None
    if again is Again.TWICE and isinstance(problem, RefreshOutcomeUnknown):
        # At once, whatever it costs: where Kick lets a spent token work for a moment, this is the moment.
        return 0.0
    if number >= policy.retries:
        return None
    if isinstance(problem, RateLimited):
        asked = problem.retry_after
        return asked if asked is not None and asked <= LONGEST_PAUSE else None
    is_failing = answer.status >= 500 if isinstance(answer, Response) else True
    if not is_failing or (again is Again.NEVER and _may_have_acted(answer)):
        return None
    if not (yield from PayRetry(RETRY_COST)):
        return None
    chance = int.from_bytes((yield from Entropy(8, "backoff"))) / 256**8
    return min(policy.longest_backoff, policy.backoff * 2**number) * chance
