"""What may be repeated, and after what wait: decided on values.

The table is that of the docs (`docs/errors.md`). It turns on how far the request came and on whether its method may be
sent twice (RFC 9110, section 9.2.2); `Call.repeatable` lifts a POST that carries a key of its own.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from kickcore.http import Response, Sent, Unreachable, retry_after
from kickcore.policy import Policy

RETRY_COST: Final = 5.0
"""Of the budget, for a repeat after an answer."""
SILENCE_COST: Final = 10.0
"""Of the budget, for a repeat after no answer."""
SUCCESS_REFILL: Final = 1.0
"""Of the budget, for a success that needed no repeat. One that needed some gives back what those cost."""


class Failure(StrEnum):
    """How a call failed, as far as repeating it is concerned."""

    NOT_SENT = "nothing was sent"
    LOST = "the answer was lost"
    LIMITED = "too many requests (429)"
    BUSY = "unavailable (503), asks to wait"
    FAULTY = "Kick failed (5xx)"


class Safety(StrEnum):
    """What sending a request a second time would do."""

    SAFE = "GET"
    IDEMPOTENT = "PUT, DELETE"
    UNSAFE = "POST, PATCH"


MAY_REPEAT: Final[Mapping[Failure, Mapping[Safety, bool]]] = {
    Failure.NOT_SENT: {Safety.SAFE: True, Safety.IDEMPOTENT: True, Safety.UNSAFE: True},
    Failure.LOST: {Safety.SAFE: True, Safety.IDEMPOTENT: True, Safety.UNSAFE: False},
    Failure.LIMITED: {Safety.SAFE: True, Safety.IDEMPOTENT: True, Safety.UNSAFE: True},
    Failure.BUSY: {Safety.SAFE: True, Safety.IDEMPOTENT: True, Safety.UNSAFE: False},
    Failure.FAULTY: {Safety.SAFE: True, Safety.IDEMPOTENT: True, Safety.UNSAFE: False},
}

_SAFETY: Final[Mapping[str, Safety]] = {
    "GET": Safety.SAFE,
    "HEAD": Safety.SAFE,
    "PUT": Safety.IDEMPOTENT,
    "DELETE": Safety.IDEMPOTENT,
}


class Repeat(Struct, frozen=True):
    """Repeat the call: after `asked` seconds if Kick said so, else after a wait by chance up to `longest`."""

    failure: Failure
    cost: float
    longest: float
    asked: float | None = None

    def wait(self, entropy: bytes) -> float:
        """Seconds to wait: full jitter, or what Kick asks for and up to a tenth more."""
        chance = int.from_bytes(entropy) / 256 ** len(entropy)
        return self.longest * chance if self.asked is None else self.asked * (1 + 0.1 * chance)


class GiveUp(Struct, frozen=True):
    """Do not repeat the call. `hold_back` is a wait that Kick asks everybody for, in seconds."""

    hold_back: float | None = None


def failure_of(answer: Response | Unreachable) -> Failure | None:
    """How a call failed, or None if it did not or if repeating is out of the question."""
    if isinstance(answer, Unreachable):
        return Failure.NOT_SENT if answer.sent is Sent.NO else Failure.LOST
    if answer.status == 429:
        return Failure.LIMITED
    if answer.status == 503 and answer.header("retry-after") is not None:
        return Failure.BUSY
    return Failure.FAULTY if answer.status in {500, 502, 503, 504} else None


def decide_repeat(
    method: str, answer: Response | Unreachable, attempt: int, policy: Policy, now: float, *, repeatable: bool = False
) -> Repeat | GiveUp:
    """Whether to repeat after `attempt` repeats, and how. A wait that is longer than the policy's is not waited."""
    failure = failure_of(answer)
    safety = Safety.IDEMPOTENT if repeatable else _SAFETY.get(method, Safety.UNSAFE)
    asked = retry_after(answer, now) if isinstance(answer, Response) else None
    too_long = asked is not None and asked > policy.longest_wait
    if failure is None or too_long or attempt >= policy.retries or not MAY_REPEAT[failure][safety]:
        return GiveUp(asked if failure is Failure.LIMITED else None)
    cost = SILENCE_COST if failure is Failure.LOST else RETRY_COST
    return Repeat(failure, cost, min(policy.longest_backoff, policy.backoff * 2**attempt), asked)
