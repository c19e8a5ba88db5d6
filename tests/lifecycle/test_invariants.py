"""Each invariant is kept by a rule in the code: where the rule is taken out, the invariant breaks, and not before."""

from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import pytest
from canary import Canary
from lifecycle.invariants import INVARIANTS, check_all
from lifecycle.life import DELIVERED, LOST_AFTER, Fate, Life
from msgspec.structs import replace

from interpreters import driver
from interpreters.sandbox import Rotation
from interpreters.tokens import remembered
from interpreters.tokens.remembered import RememberedTokens
from interpreters.turns import Turn
from kickcore.errors import ReauthorizationRequired, TokenNotSaved
from kickcore.oauth import access, actions, grants, renewal
from kickcore.oauth.actions import UseToken
from kickcore.oauth.tokens import Outcome, Stored, Token

Patch = Callable[[pytest.MonkeyPatch], None]
REFUSED: Final = Fate(status=400)
LENIENT: Final = "a_disk_that_is_full_for_one_of_two"


@contextmanager
def a_life(happens: Callable[[Life], None]) -> Iterator[Life]:
    life = Life(Rotation.GRACE if happens.__name__ == LENIENT else Rotation.STRICT)
    try:
        yield life
    finally:
        life.close()


def logged_in(life: Life, left: float = 0.0) -> Life:
    """Somebody has logged in, and so many seconds are left of the access token."""
    assert life.log_in().error is None
    assert life.call(1).token is not None
    life.advance(7200 - left)
    check_all(life)
    life.once_logged_in()
    return life


# The rules, and what is left of the code without each


async def _hold_nothing(self: Any, slot: Any) -> Any:
    yield True


def without_the_lock_between_processes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RememberedTokens, "hold", asynccontextmanager(_hold_nothing))


def without_reading_again_under_the_lock(patch: pytest.MonkeyPatch) -> None:
    load = RememberedTokens.load

    async def from_memory(self: RememberedTokens, slot: Any, *, reread: bool = False) -> Stored | None:
        stored = await load(self, slot)
        # Nor is anything marked, which the store would object to.
        return stored and replace(stored, version="")

    patch.setattr(RememberedTokens, "load", from_memory)


def without_keeping_what_came(patch: pytest.MonkeyPatch) -> None:
    def keep(slot: Any, token: Token, version: str, **_: Any) -> Any:
        yield from ()
        return token

    patch.setattr(renewal, "_keep", keep)


def without_salvaging_what_was_cut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(grants, "_salvaged", lambda body: {})


def without_storing(patch: pytest.MonkeyPatch) -> None:
    async def store(self: RememberedTokens, slot: Any, held: Any) -> Any:
        return remembered.NotSaved("")

    patch.setattr(RememberedTokens, "_store", store)


def without_giving_way_to_what_was_issued_later(patch: pytest.MonkeyPatch) -> None:
    async def save_again(self: RememberedTokens, slot: Any, held: Any) -> Any:
        stored = await self.store.load(slot)
        held.version = stored.version if stored else ""
        return await self._store(slot, held)

    patch.setattr(RememberedTokens, "_save_again", save_again)


def without_giving_way_to_a_login(patch: pytest.MonkeyPatch) -> None:
    without_the_lock_between_processes(patch)
    keep = renewal._keep

    def winning(slot: Any, token: Token, version: str, *, wins: bool, spent: Any = None) -> Any:
        return keep(slot, token, version, wins=True, spent=spent)

    patch.setattr(renewal, "_keep", winning)


def without_remembering_the_dead(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(actions, "has_ended", lambda held: False)


def without_telling_a_dead_wire_from_a_dead_grant(patch: pytest.MonkeyPatch) -> None:
    ask = renewal.ask

    def ended(*args: Any, **options: Any) -> Any:
        asked = yield from ask(*args, **options)
        grant = asked.grant
        return asked if grant.token else type(asked)(type(grant)(None, grant.problem, Outcome.ENDED))

    patch.setattr(renewal, "ask", ended)


def without_marking_what_is_sent(patch: pytest.MonkeyPatch) -> None:
    marked = renewal._marked
    patch.setattr(
        renewal,
        "_marked",
        lambda held, now, outcome: held if outcome is Outcome.UNKNOWN else marked(held, now, outcome),
    )


def without_telling_a_loss(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(renewal, "GrantLost", ReauthorizationRequired)


def without_taking_in_what_a_store_fails_with(patch: pytest.MonkeyPatch) -> None:
    async def store(self: RememberedTokens, slot: Any, held: Any) -> Any:
        return await self.store.save(slot, held.token, held.version)

    patch.setattr(RememberedTokens, "_store", store)


def without_looking_at_the_clock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(access, "decide", lambda slot, held, now, needs=(), refused=None: UseToken(held))


def without_renewing_ahead(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Token, "is_overdue", lambda self, now: now >= self.expires_at - self._share(600, 0.2))


def without_a_pause_between_tries(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Token, "was_tried", lambda self, now, *outcomes: False)


def without_the_shield(patch: pytest.MonkeyPatch) -> None:
    async def plainly(work: Any) -> Any:
        return await work

    patch.setattr(driver, "to_its_end", plainly)


def without_a_task_of_its_own(patch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def together(work: Any) -> Any:
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        return await work

    patch.setattr(driver, "to_its_end", together)


def without_emptying_the_store(patch: pytest.MonkeyPatch) -> None:
    async def drop(self: RememberedTokens, slot: Any) -> None:
        self._held.pop(slot, None)

    patch.setattr(RememberedTokens, "drop", drop)


def without_sharing_failures(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Turn, "failure_since", lambda self, ended: None)


def without_cleaning_texts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(grants, "_without_secrets", lambda text, *_: text)


def without_beginning_what_was_promised(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(driver, "begin", lambda work: work.close())


# What happens, so that each of them matters


def two_processes_at_once(life: Life) -> None:
    logged_in(life)
    life.call(0)
    life.call(1)
    check_all(life)
    life.land_all()


def one_after_the_other(life: Life) -> None:
    logged_in(life)
    life.call(0)
    life.land_all()
    life.call(1)
    check_all(life)
    life.land_all()


def a_refresh(life: Life) -> None:
    logged_in(life)
    life.call(0)
    life.land_all()


def a_refresh_that_is_cut(life: Life) -> None:
    logged_in(life)
    life.call(0)
    life.land(Fate(cut=200))
    check_all(life)
    life.land_all()


def a_disk_that_is_full_for_one_of_two(life: Life) -> None:
    logged_in(life)
    life.fill_disk()
    life.call(0)
    with pytest.warns(TokenNotSaved):
        life.land()
    life.clear_disk()
    life.advance(5)
    life.call(1)
    life.land()
    check_all(life)
    life.advance(31)
    life.call(0)
    life.land_all()


def a_login_during_a_refresh(life: Life) -> None:
    logged_in(life)
    life.call(0)
    life.log_in(1)
    check_all(life)
    life.land_all()


def a_grant_that_is_taken_back(life: Life) -> None:
    logged_in(life)
    life.revoke()
    for _ in range(3):
        life.call(0)
        life.land_all()


def an_identity_host_that_fails(life: Life) -> None:
    logged_in(life)
    life.call(0)
    life.land_all(Fate(status=503))


def a_crash_in_the_middle(life: Life) -> None:
    logged_in(life)
    life.call(0)
    life.crash(0, acts=True)
    life.call(0)
    life.land_all()


def a_full_disk(life: Life) -> None:
    logged_in(life)
    life.fill_disk()
    life.call(0)
    life.land_all()


def a_full_disk_of_which_is_warned(life: Life) -> None:
    with pytest.warns(TokenNotSaved):
        a_full_disk(life)


def an_end(life: Life) -> None:
    logged_in(life)
    life.call(0)
    life.land_all()


def five_minutes_before_the_end(life: Life) -> None:
    logged_in(life, left=300)
    life.call(0)
    check_all(life)
    life.land_all()


def many_failures_before_the_end(life: Life) -> None:
    logged_in(life, left=300)
    for _ in range(6):
        life.call(0)
        life.land_all(REFUSED)
        life.advance(1)


def the_first_of_two_leaves(life: Life) -> None:
    logged_in(life)
    first = life.call(0)
    life.call(0)
    life.cancel(first)
    check_all(life)
    life.land_all()


def a_logout(life: Life) -> None:
    logged_in(life, left=3600)
    life.log_out(0)
    life.is_out = True
    life.call(0)


def three_who_wait_for_a_failure(life: Life) -> None:
    logged_in(life)
    for _ in range(3):
        life.call(0)
    life.land_all(REFUSED)


def a_host_that_repeats_what_it_was_sent(life: Life) -> None:
    logged_in(life)
    life.call(0)
    life.land_all(Fate(status=400, echoes=True))


CASES: Final[list[tuple[str, Patch, Callable[[Life], None]]]] = [
    ("one_refresh_at_a_time_is_on_the_wire", without_the_lock_between_processes, two_processes_at_once),
    ("what_was_traded_in_is_not_sent_again", without_reading_again_under_the_lock, one_after_the_other),
    ("what_came_through_is_held", without_keeping_what_came, a_refresh),
    ("what_came_through_is_held", without_salvaging_what_was_cut, a_refresh_that_is_cut),
    ("what_is_used_is_stored", without_storing, a_refresh),
    ("the_store_never_goes_back", without_giving_way_to_what_was_issued_later, a_disk_that_is_full_for_one_of_two),
    ("a_login_wins_over_a_refresh", without_giving_way_to_a_login, a_login_during_a_refresh),
    ("a_dead_grant_is_not_asked_for_again", without_remembering_the_dead, a_grant_that_is_taken_back),
    ("only_kick_ends_a_grant", without_telling_a_dead_wire_from_a_dead_grant, an_identity_host_that_fails),
    ("what_is_on_the_wire_is_marked_in_the_store", without_marking_what_is_sent, a_refresh),
    ("a_grant_that_was_lost_is_told_so", without_telling_a_loss, a_crash_in_the_middle),
    ("errors_are_of_one_tree", without_taking_in_what_a_store_fails_with, a_full_disk),
    ("no_call_is_given_an_expired_token", without_looking_at_the_clock, an_end),
    ("a_token_that_is_good_is_not_waited_for", without_renewing_ahead, five_minutes_before_the_end),
    ("while_the_old_token_lives_there_are_few_tries", without_a_pause_between_tries, many_failures_before_the_end),
    ("a_refresh_is_not_torn_by_who_leaves", without_the_shield, the_first_of_two_leaves),
    ("who_was_not_cancelled_does_not_end_so", without_a_task_of_its_own, a_refresh),
    ("who_has_logged_out_stays_out", without_emptying_the_store, a_logout),
    ("a_failure_is_shared_by_those_who_wait", without_sharing_failures, three_who_wait_for_a_failure),
    ("no_error_and_no_notice_shows_a_token", without_cleaning_texts, a_host_that_repeats_what_it_was_sent),
    ("nothing_is_left_when_all_is_quiet", without_beginning_what_was_promised, five_minutes_before_the_end),
]


def test_every_invariant_has_a_rule_that_keeps_it() -> None:
    assert {name for name, _, _ in CASES} == set(INVARIANTS)
    assert len(INVARIANTS) >= 15


@pytest.mark.parametrize(
    ("name", "without", "happens"), CASES, ids=[f"{name}: {without.__name__}" for name, without, _ in CASES]
)
def test_an_invariant_breaks_without_its_rule(
    monkeypatch: pytest.MonkeyPatch, canary: Canary, name: str, without: Patch, happens: Callable[[Life], None]
) -> None:
    canary.is_away = without is without_cleaning_texts
    with a_life(happens) as life:
        life.once_logged_in = lambda: without(monkeypatch)
        try:
            happens(life)
            check_all(life)
        except AssertionError as error:
            frames = [frame.name for frame in pytest.ExceptionInfo.from_exception(error).traceback]
        else:
            frames = []
    assert [frame for frame in frames if frame in INVARIANTS] == [name]


@pytest.mark.parametrize("happens", {id(one): one for _, _, one in CASES}.values(), ids=lambda one: one.__name__)
def test_it_holds_with_all_rules(happens: Callable[[Life], None]) -> None:
    with a_life(happens) as life:
        (a_full_disk_of_which_is_warned if happens is a_full_disk else happens)(life)
        check_all(life)


def test_a_lost_answer_costs_nothing_where_kick_is_lenient() -> None:
    life = Life(Rotation.GRACE)
    logged_in(life)
    call = life.call(0)
    life.land(LOST_AFTER)
    life.land(DELIVERED)
    assert call.token is not None
    check_all(life)
    life.close()
