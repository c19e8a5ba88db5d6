"""What holds at every moment of a grant's life. Each is a function that raises `AssertionError` where it does not."""

from collections.abc import Callable
from typing import Final

from lifecycle.life import SLOT, Crashed, Life, text

from kickcore import KickError
from kickcore.errors import GrantLost
from kickcore.notices import RenewalFailed
from kickcore.oauth.tokens import Outcome

INVARIANTS: Final[dict[str, Callable[[Life], None]]] = {}


def invariant(check: Callable[[Life], None]) -> Callable[[Life], None]:
    INVARIANTS[check.__name__] = check
    return check


def check_all(life: Life) -> None:
    for check in INVARIANTS.values():
        check(life)


@invariant
def one_refresh_at_a_time_is_on_the_wire(life: Life) -> None:
    assert len(life.flights) <= 1


@invariant
def what_was_traded_in_is_not_sent_again(life: Life) -> None:
    assert not [take for take in life.sends if take.is_old]


@invariant
def what_came_through_is_held(life: Life) -> None:
    # Of the last login: what is renewed of one before gives way to it.
    last = len(life.families) - 1
    newest = next((refresh for refresh in reversed(life.delivered) if life.family(refresh) == last), "")
    if life.accepts(newest) and newest not in life.excused and not life.is_out:
        assert newest in life.held()


@invariant
def what_is_used_is_stored(life: Life) -> None:
    for call in life.calls:
        if call.token is not None and call.has_disk and not life.is_full and life.disk.token is not None:
            used = text(call.token.refresh_token)
            assert not life.came_later(used, text(life.disk.token.refresh_token)) or used in life.excused


@invariant
def the_store_never_goes_back(life: Life) -> None:
    there = "" if life.disk.token is None else text(life.disk.token.refresh_token)
    before, life.newest_stored = life.newest_stored, there or life.newest_stored
    assert life.is_confused or not life.came_later(before, life.newest_stored)


@invariant
def a_login_wins_over_a_refresh(life: Life) -> None:
    if life.disk.token is not None:
        family = life.family(text(life.disk.token.refresh_token))
        if family >= 0:
            before, life.newest_login = life.newest_login, family
            assert before <= family or life.is_confused


@invariant
def a_dead_grant_is_not_asked_for_again(life: Life) -> None:
    assert not [take for take in life.sends if take.is_dead]


@invariant
def only_kick_ends_a_grant(life: Life) -> None:
    tokens = [life.disk.token, *(process.tokens.peek(SLOT) for process in life.processes)]
    for token in tokens:
        if token is not None and token.attempt is not None and token.attempt.outcome is Outcome.ENDED:
            assert text(token.refresh_token) in life.ended


@invariant
def what_is_on_the_wire_is_marked_in_the_store(life: Life) -> None:
    assert all(take.is_marked for take in life.sends)


@invariant
def a_grant_that_was_lost_is_told_so(life: Life) -> None:
    told = sum(
        isinstance(call.error, GrantLost) or (call.was_cancelled and not call.process.is_dead) for call in life.calls
    )
    told += sum(isinstance(notice, RenewalFailed) and "was lost" in notice.reason for notice in life.notices)
    assert told >= life.losses_heard or life.flights


@invariant
def errors_are_of_one_tree(life: Life) -> None:
    for call in life.calls:
        assert isinstance(call.error, KickError | Crashed | None)
        assert not isinstance(call.error, Crashed) or call.process.is_dead


@invariant
def no_call_is_given_an_expired_token(life: Life) -> None:
    for call in life.calls:
        assert call.token is None or call.saw_clock_set or call.token.is_alive(call.began)


@invariant
def a_token_that_is_good_is_not_waited_for(life: Life) -> None:
    assert all(call.is_over for call in life.calls if call.could_go_on)


@invariant
def while_the_old_token_lives_there_are_few_tries(life: Life) -> None:
    # Three in a row, if nothing was sent of the first two.
    alive = [take.at for take in life.sends if take.is_alive and not life.has_called_api]
    for index in range(len(alive) - 3):
        assert not 0 <= alive[index + 3] - alive[index] < 29


@invariant
def a_refresh_is_not_torn_by_who_leaves(life: Life) -> None:
    assert life.torn == []


@invariant
def who_was_not_cancelled_does_not_end_so(life: Life) -> None:
    assert all(call.was_cancelled for call in life.calls if call.task.cancelled())


@invariant
def who_has_logged_out_stays_out(life: Life) -> None:
    assert not life.is_out or life.disk.token is None


@invariant
def a_failure_is_shared_by_those_who_wait(life: Life) -> None:
    assert not [take for take in life.sends if take.is_second_try]


@invariant
def no_error_and_no_notice_shows_a_token(life: Life) -> None:
    told = [repr(call.error) for call in life.calls if call.error is not None] + [repr(one) for one in life.notices]
    assert not [one for one in told if "SANDBOX" in one]


@invariant
def nothing_is_left_when_all_is_quiet(life: Life) -> None:
    if life.flights or not all(call.is_over for call in life.calls):
        return
    assert not life.disk.lock.statistics().locked
    assert not life.complaints
    for process in life.processes:
        turn = life.turn_of(process)
        assert not turn.is_taken()
        assert not turn.is_ahead
