"""Whatever happens to a grant, in whatever order: the invariants hold, and no grant is lost that could be kept."""

import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from lifecycle.invariants import check_all
from lifecycle.life import DELIVERED, LOST_AFTER, LOST_BEFORE, NOT_SENT, Call, Fate, Life

from interpreters.sandbox import Rotation
from kickcore.errors import TokenNotSaved

numbers = st.integers(0, 1)
fates = st.sampled_from([DELIVERED, DELIVERED, LOST_BEFORE, LOST_AFTER, NOT_SENT]) | st.one_of(
    st.integers(0, 300).map(lambda cut: Fate(cut=cut)),
    st.sampled_from([400, 401, 403, 429, 500, 503]).map(lambda status: Fate(status=status)),
)


class Lives(RuleBasedStateMachine):
    """Two processes, one user."""

    def __init__(self) -> None:
        super().__init__()
        self.warned = warnings.catch_warnings()
        self.warned.__enter__()
        warnings.simplefilter("ignore", TokenNotSaved)
        self.life = Life()

    @initialize(rotation=st.sampled_from(Rotation), ends_access=st.booleans())
    def begin(self, rotation: Rotation, ends_access: bool) -> None:
        self.life.close()
        self.life = Life(rotation, refresh_ends_access=ends_access)
        self.life.log_in()

    @rule(number=numbers)
    def call(self, number: int) -> None:
        self.life.call(number)

    @rule(number=numbers)
    def call_the_api(self, number: int) -> None:
        self.life.call_api(number)

    @rule(seconds=st.sampled_from([1.0, 29.0, 31.0, 600.0, 6700.0, 7199.0, 7201.0, 86_400.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.life.advance(seconds)

    @rule(seconds=st.sampled_from([-172_800.0, -3600.0, -61.0, 3600.0]))
    def set_the_clock(self, seconds: float) -> None:
        self.life.turn_clock(seconds)

    @rule()
    def let_the_access_token_end(self) -> None:
        self.life.kick.expire_access_tokens()

    @precondition(lambda self: self.life.flights)
    @rule(fate=fates)
    def land(self, fate: Fate) -> None:
        self.life.land(fate)

    @precondition(lambda self: any(not call.is_over for call in self.life.calls))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiting = [call for call in self.life.calls if not call.is_over]
        self.life.cancel(data.draw(st.sampled_from(waiting)))

    @rule(number=numbers, acts=st.booleans())
    def crash_and_restart(self, number: int, acts: bool) -> None:
        self.life.crash(number, acts=acts)

    @rule()
    def revoke(self) -> None:
        self.life.revoke()

    @rule(number=numbers)
    def log_in(self, number: int) -> None:
        self.life.log_in(number)

    @rule(number=numbers)
    def log_out(self, number: int) -> None:
        self.life.log_out(number)

    @rule()
    def let_saves_fail(self) -> None:
        self.life.fill_disk()

    @rule()
    def let_saves_work(self) -> None:
        self.life.clear_disk()

    @invariant()
    def what_holds_always(self) -> None:
        check_all(self.life)

    def teardown(self) -> None:
        try:
            self.life.land_all()
            check_all(self.life)
        finally:
            self.life.close()
            self.warned.__exit__(None, None, None)


class MoreLives(Lives):
    """The same, with other lives each time."""


TestLives: Any = Lives.TestCase
# The same lives in every run, so that a run says something about a change. Others are tried by `-m full`.
TestLives.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMoreLives: Any = pytest.mark.full(MoreLives.TestCase)
TestMoreLives.settings = settings(
    max_examples=5000, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_a_call_is_one_that_ended_or_waits() -> None:
    life = Life()
    assert life.log_in().error is None
    life.advance(7200)
    call: Call = life.call()
    assert not call.is_over
    life.land()
    assert call.token is not None
    life.close()
