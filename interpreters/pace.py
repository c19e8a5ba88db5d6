"""How fast a client may go: what Kick has asked its callers to wait, and what is left for repeating."""

from collections.abc import Callable

from kickcore.http import HELD_BACK, Request, Unreachable
from kickcore.policy import BUDGET, Pace


class Pacing:
    """Shared by all calls of a client. `clock` gives epoch seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._budget = BUDGET

    def load(self, group: str) -> Pace:
        """How long the calls of `group` are to wait."""
        until = self._until.get(group, 0.0)
        return Pace(until, self._budget < BUDGET) if until or self._budget < BUDGET else _FREE

    def hold_back(self, group: str, until: float) -> None:
        """Let all calls of `group` wait, at least as long as they were to wait before."""
        self._until[group] = max(until, self._until.get(group, 0.0))

    def pay(self, cost: float) -> bool:
        """Spend of the budget if there is enough; less than 0 refills it."""
        if cost > self._budget:
            return False
        self._budget = min(self._budget - cost, BUDGET)
        return True

    def gate(self, request: Request) -> Unreachable | None:
        """Asked when a request leaves the queue: whether its group was asked to wait while it stood there."""
        until = self._until.get(request.group)
        if until is None:
            return None
        if self._clock() < until:
            return HELD_BACK
        del self._until[request.group]
        return None


_FREE = Pace()
