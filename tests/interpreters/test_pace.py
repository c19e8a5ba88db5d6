"""What Kick asked a client to wait, and what is left for repeating."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreters.pace import Pacing
from kickcore.http import HELD_BACK, Request
from kickcore.policy import BUDGET, Pace

REQUEST = Request("GET", "https://api.kick.com/x", group="GET /x")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pacing(clock: Clock) -> Pacing:
    return Pacing(clock)


def test_at_first_everybody_may_go(pacing: Pacing) -> None:
    assert pacing.load("GET /x") == Pace() == Pace(0.0, refill=False)
    assert pacing.gate(REQUEST) is None


def test_a_group_that_is_held_back_waits_and_others_do_not(pacing: Pacing, clock: Clock) -> None:
    pacing.hold_back("GET /x", 107.0)
    assert pacing.load("GET /x") == Pace(107.0)
    assert pacing.load("GET /y") == Pace()
    other = Request("GET", "https://api.kick.com/y", group="GET /y")
    for clock.now in (100.0, 106.999):
        assert pacing.gate(REQUEST) == HELD_BACK
        assert pacing.gate(other) is None
    clock.now = 107.0
    assert pacing.gate(REQUEST) is None


def test_after_the_wait_nothing_is_left_of_it(pacing: Pacing, clock: Clock) -> None:
    pacing.hold_back("GET /x", 107.0)
    clock.now = 108.0
    assert pacing.gate(REQUEST) is None
    assert pacing.load("GET /x") == Pace()
    pacing.hold_back("GET /x", 109.0)
    assert pacing.gate(REQUEST) == HELD_BACK


def test_the_longer_of_two_waits_counts(pacing: Pacing) -> None:
    for until in (107.0, 103.0, 105.0):
        pacing.hold_back("GET /x", until)
    assert pacing.load("GET /x") == Pace(107.0)
    pacing.hold_back("GET /x", 110.0)
    assert pacing.load("GET /x") == Pace(110.0)


def test_what_is_spent_can_be_spent_once(pacing: Pacing) -> None:
    assert all(pacing.pay(5.0) for _ in range(int(BUDGET / 5)))
    assert not pacing.pay(5.0)
    assert pacing.pay(0.0)


def test_too_dear_a_repeat_costs_nothing(pacing: Pacing) -> None:
    assert pacing.pay(BUDGET - 7)
    assert not pacing.pay(10.0)
    assert pacing.pay(5.0)
    assert not pacing.pay(5.0)


def test_successes_refill_it_and_only_as_long_as_it_is_not_full(pacing: Pacing) -> None:
    assert pacing.pay(BUDGET)
    for _ in range(5):
        assert pacing.load("GET /x").refill
        assert pacing.pay(-1.0)
    assert pacing.pay(5.0)
    assert not pacing.pay(1.0)
    assert pacing.pay(-BUDGET * 3)
    assert not pacing.load("GET /x").refill
    assert pacing.pay(BUDGET)
    assert not pacing.pay(0.001)


def test_a_group_that_waits_learns_of_the_budget_too(pacing: Pacing) -> None:
    pacing.hold_back("GET /x", 107.0)
    _ = pacing.pay(5.0)
    assert pacing.load("GET /x") == Pace(107.0, refill=True)
    assert pacing.load("GET /y") == Pace(0.0, refill=True)


@given(st.lists(st.sampled_from([5.0, 10.0, -1.0, -5.0, -10.0, 0.0]), max_size=300))
def test_the_budget_is_never_overdrawn_and_never_more_than_full(costs: list[float]) -> None:
    pacing, left = Pacing(lambda: 0.0), BUDGET
    for cost in costs:
        paid = pacing.pay(cost)
        assert paid is (cost <= left)
        left = min(left - cost, BUDGET) if paid else left
        assert 0 <= left <= BUDGET
        assert pacing.load("GET /x").refill is (left < BUDGET)
