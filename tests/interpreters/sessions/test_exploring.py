"""Every interleaving is run, what is broken is found and made simple, and what is found is a session like any other."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from interpreters.sandbox import Rotation, Sandbox, Simulated, small_world
from interpreters.sessions import Cancelled, Player, Session
from interpreters.sessions import exploring as module
from interpreters.sessions.coding import Hold
from interpreters.sessions.exploring import (
    USUAL,
    Clock,
    Crashed,
    Finished,
    Invariants,
    Memory,
    Report,
    Schedule,
    explore,
    nothing_newer_is_overwritten,
    replay_schedule,
    run_beside,
    takes,
    the_grant_lives,
)
from interpreters.tokens.memory import TokenTable
from kickcore.api.users import fetch_user
from kickcore.effects import DropToken, LoadApp, LoadToken, Now, Program, SaveToken, Send, Sleep
from kickcore.errors import ConfigError, GrantLost, KickError, RefreshOutcomeUnknown
from kickcore.http import Response
from kickcore.oauth.access import token_for
from kickcore.oauth.grants import read_grant, refresh_request
from kickcore.oauth.login import logout
from kickcore.oauth.tokens import Attempt, NotSaved, Outcome, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.secret import NO_SECRET, Secret

SLOT = Simulated().app.slot(TokenKind.USER)


def expired(rotation: Rotation = Rotation.STRICT, *, after: float = 7_300.0) -> Callable[[], Simulated]:
    """Worlds in which a user has logged in some time ago, and the access token is at its end."""
    before = Simulated(Sandbox(small_world(rotation=rotation)))
    token = before.sandbox.sign_in(["user:read"])
    world = before.sandbox.world

    def make() -> Simulated:
        simulated = Simulated(Sandbox(world))
        simulated.tokens.replace(SLOT, token, "")
        simulated.time += after
        return simulated

    return make


CALLERS = {"a": lambda: token_for(SLOT), "b": lambda: token_for(SLOT)}
USERS = {"a": fetch_user, "b": fetch_user}


# Kickcore's own programs


def test_two_callers_with_an_expired_token_in_every_order() -> None:
    report = explore(expired(), CALLERS)
    report.insist()
    assert report.is_exhaustive
    assert report.schedules == 18
    assert report.sometimes == {"a renewal was shared": 16}


def test_two_callers_with_one_fault_in_every_order_and_place() -> None:
    for programs, fewest in ((CALLERS, 200), (USERS, 800)):
        report = explore(expired(), programs, faults=1)
        report.insist()
        assert report.is_exhaustive
        assert report.schedules > fewest
        assert {
            "a request was lost",
            "an answer was lost",
            "a save failed",
            "a process died",
            "a renewal was shared",
            "a failure was shared",
            "a grant was lost",
        } <= set(report.sometimes)


def test_a_token_that_is_due_is_renewed_beside_both_callers() -> None:
    report = explore(expired(after=6_700.0), CALLERS, faults=1)
    report.insist()
    assert report.is_exhaustive
    assert {"a renewal was begun ahead", "a renewal ahead was under way"} <= set(report.sometimes)


def test_two_processes_without_a_lock_find_each_others_mark() -> None:
    report = explore(expired(), CALLERS, shared_lock=False, limit=1_000)
    report.insist()
    assert not report.is_exhaustive
    assert report.schedules == 1_000
    assert {"a sibling had renewed before", "a sibling had saved before"} <= set(report.sometimes)


def test_two_processes_with_a_lock_and_two_callers_each_by_chance() -> None:
    programs = dict.fromkeys("abcd", CALLERS["a"])
    processes = {"one": ("a", "b"), "two": ("c", "d")}
    report = explore(expired(), programs, processes=processes, sample=100, faults=2, seed="1")
    report.insist()
    assert report.schedules == 100
    assert not report.is_exhaustive
    again = explore(expired(), programs, processes=processes, sample=100, faults=2, seed="1")
    other = explore(expired(), programs, processes=processes, sample=100, faults=2, seed="2")
    assert str(again) == str(report) != str(other)


def test_a_logout_beside_a_renewal_leaves_nothing() -> None:
    def nothing_is_left(finished: Finished) -> None:
        USUAL(finished)
        if not isinstance(finished.outcomes["out"], BaseException):
            assert finished.token() is None

    explore(expired(), {"out": logout, "a": CALLERS["a"]}, check=nothing_is_left).insist()


# What is broken is found


def _granted(slot: Slot, held: Token) -> Program[Token | None]:
    app = yield from LoadApp()
    now = yield from Now()
    answer = yield from Send(refresh_request(app, held.refresh_token or NO_SECRET))
    return read_grant(answer, now, held).token


def not_looking_again(slot: Slot) -> Program[Token | None]:
    """Looks, waits for its turn, and goes by what it saw before."""
    stored: Any = yield from LoadToken(slot)
    now = yield from Now()
    if stored.token.is_alive(now):
        return stored.token
    yield Hold(slot)  # type: ignore[misc]
    token = yield from _granted(slot, stored.token)
    if token is not None:
        _ = yield from SaveToken(slot, token, stored.version)
    return token


def saving_over_what_is_there(slot: Slot) -> Program[Token | None]:
    """Whatever version is stored, it writes its own over it."""
    stored: Any = yield from LoadToken(slot)
    token = yield from _granted(slot, stored.token)
    if token is not None:
        there = yield from LoadToken(slot, reread=True)
        _ = yield from SaveToken(slot, token, there.version if there else "")
    return token


def returning_before_saving(slot: Slot) -> Program[Token | None]:
    """The new token is stored by whoever comes next, and that may be nobody."""
    yield Hold(slot)  # type: ignore[misc]
    stored: Any = yield from LoadToken(slot, reread=True)
    now = yield from Now()
    if stored.token.is_alive(now):
        return stored.token
    token = yield from _granted(slot, stored.token)
    if token is not None and stored.token.attempt is not None:
        _ = yield from SaveToken(slot, token, stored.version)
    return token


def dropping_what_may_live(slot: Slot) -> Program[Token | None]:
    """Takes silence for an end of the grant."""
    yield Hold(slot)  # type: ignore[misc]
    stored: Any = yield from LoadToken(slot, reread=True)
    now = yield from Now()
    if stored is None or stored.token.is_alive(now):
        return stored and stored.token
    token = yield from _granted(slot, stored.token)
    if token is None:
        yield from DropToken(slot)
    else:
        _ = yield from SaveToken(slot, token, stored.version)
    return token


def waiting_for_each_other(slot: Slot, first: str, second: str) -> Program[None]:
    for account in (first, second):
        yield Hold(replace(slot, account=account))  # type: ignore[misc]
        _ = yield from LoadToken(slot)


def is_not_forgotten(finished: Finished) -> None:
    if finished.token() is None and "a process died" not in finished.seen:
        raise AssertionError("the token was dropped")


STRICT, GRACE = expired(), expired(Rotation.GRACE)
BROKEN: dict[str, tuple[Callable[[], Simulated], Callable[[], Program[Any]], Any, int, str, int, int]] = {
    "not looking again": (STRICT, lambda: not_looking_again(SLOT), USUAL, 0, "had been traded in before", 0, 0),
    "saving over what is there": (
        GRACE,
        lambda: saving_over_what_is_there(SLOT),
        Invariants((nothing_newer_is_overwritten,)),
        0,
        "put an older token in the place of a newer one",
        0,
        2,
    ),
    "returning before saving": (
        STRICT,
        lambda: returning_before_saving(SLOT),
        Invariants((the_grant_lives,)),
        0,
        "does not take the refresh token",
        0,
        0,
    ),
    "dropping what may live": (STRICT, lambda: dropping_what_may_live(SLOT), is_not_forgotten, 1, "dropped", 1, 0),
}


def found(name: str) -> tuple[Report, dict[str, Callable[[], Program[Any]]]]:
    make, program, check, faults, *_ = BROKEN[name]
    programs = {"a": program, "b": program}
    return explore(make, programs, check=check, faults=faults), programs


def example(report: Report) -> Schedule:
    assert report.counterexample is not None
    return report.counterexample


def log_of(player: Player) -> list[tuple[str, int, str]]:
    lines = [player.session.lines[number] for number in player.delivered]
    return [(line.p, line.i, line.k) for line in lines]


def lines_of(session: Session) -> list[tuple[str, int, str]]:
    return [(line.p, line.i, line.k) for line in session.lines]


def kinds(outcomes: Any) -> dict[str, str]:
    """Outcomes without what differs in a replay: the texts of secrets."""
    names = {name: type(outcome).__name__ for name, outcome in outcomes.items()}
    return {name: "Crashed" if kind == "Cancelled" else kind for name, kind in names.items()}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found_and_made_simple(name: str) -> None:
    *_, text, faults, deviations = BROKEN[name]
    report, _ = found(name)
    assert not report.is_exhaustive
    schedule = example(report)
    assert text in str(schedule.error)
    assert (schedule.faults, schedule.deviations) == (faults, deviations)
    assert text in str(report)
    with pytest.raises(AssertionError, match=text):
        report.insist()


@pytest.mark.parametrize("name", BROKEN)
async def test_a_counterexample_is_a_session_that_replays_anywhere(name: str) -> None:
    report, programs = found(name)
    schedule = example(report)
    plain = Player(schedule.session)
    outcomes = plain.run_all({name: make() for name, make in programs.items()})
    plain.finish()
    beside = Player(schedule.session)
    others = await run_beside(beside, {name: make() for name, make in reversed(programs.items())})
    beside.finish()
    assert log_of(plain) == log_of(beside) == lines_of(schedule.session)
    assert others == outcomes
    assert kinds(outcomes) == kinds(schedule.outcomes)


@pytest.mark.parametrize("name", BROKEN)
def test_its_token_brings_a_schedule_about_again(name: str) -> None:
    make, _, check, *_ = BROKEN[name]
    report, programs = found(name)
    schedule = example(report)
    again = replay_schedule(schedule.token, make, programs, check=check)
    assert again.steps == schedule.steps
    assert again.session.lines == schedule.session.lines
    assert repr(again.error) == repr(schedule.error)
    fixed = {"a": CALLERS["a"], "b": CALLERS["b"]}
    assert replay_schedule(schedule.token, make, fixed, check=check).error is None


def test_who_waits_for_ever_is_told() -> None:
    programs = {
        "a": lambda: waiting_for_each_other(SLOT, "one", "two"),
        "b": lambda: waiting_for_each_other(SLOT, "two", "one"),
    }
    schedule = example(explore(expired(), programs, check=lambda _: None))
    assert str(schedule.error) == "a waits for Hold for ever"


def test_the_story_has_a_line_for_each_step_and_no_secret() -> None:
    report, _ = found("saving over what is there")
    story = str(example(report)).splitlines()
    assert story[0] == "AssertionError: a save put an older token in the place of a newer one"
    assert story[1].startswith("  schedule kc1-")
    assert story[1].endswith("(0 faults, 2 times not first come, first served)")
    steps = [row.split(" s  ")[1] for row in story[2:-2]]
    assert [step for step in steps if "save_token" in step or "send" in step] == [
        "a  send POST /oauth/token -> status 200",
        "b  send POST /oauth/token -> status 200",
        "b  save_token user -> saved version 2   <- out of turn",
        "a  save_token user -> saved version 3",
    ]
    assert story[-2:] == ["    b gave Token", "    a gave Token"]


def test_a_fault_stands_in_the_story() -> None:
    report, _ = found("dropping what may live")
    assert any(step.endswith("<- lose request") for step in example(report).steps)


async def test_whatever_happens_is_recorded_as_it_happened() -> None:
    """Schedules by chance, with faults: their sessions replay, and everybody gets what he got."""
    plan = module._plan(expired(), {**USERS, "c": CALLERS["a"]}, USUAL, None, shared_lock=True)
    crashed = 0
    for number in range(25):
        run = module._follow(plan, module._Choices([], chance=random.Random(number)), 2)
        schedule = module._told(plan, run, 2)
        assert kinds(schedule.outcomes) == kinds(run.scheduler.outcomes)
        plain, beside = Player(schedule.session), Player(schedule.session)
        outcomes = plain.run_all({name: make() for name, make in plan.programs.items()})
        others = await run_beside(beside, {name: make() for name, make in plan.programs.items()})
        plain.finish()
        assert kinds(outcomes) == kinds(others) == kinds(schedule.outcomes)
        assert log_of(plain) == log_of(beside) == lines_of(schedule.session)
        crashed += any(isinstance(outcome, Cancelled) for outcome in outcomes.values())
    assert 0 < crashed < 25


async def test_a_replay_that_differs_is_told_to_who_runs_it() -> None:
    report, _ = found("not looking again")
    player = Player(example(report).session)
    with pytest.raises(BaseException, match=r"program [ab] asked the same as the recording has, with another value"):
        _ = await run_beside(player, {"a": logout(), "b": logout()})


# Choices


def test_faults_are_found_with_the_programs_that_share_them() -> None:
    def no_failure_is_shared(finished: Finished) -> None:
        if "a failure was shared" in finished.seen:
            raise AssertionError("shared")

    schedule = example(explore(expired(), CALLERS, faults=1, check=no_failure_is_shared))
    assert (schedule.faults, schedule.deviations) == (1, 0)
    kinds_of_error = {type(outcome) for outcome in schedule.outcomes.values()}
    assert kinds_of_error == {GrantLost}


def test_a_renewal_that_takes_too_long_is_given_up() -> None:
    """Somebody else's mark is waited for again and again, by a process that no lock keeps out."""

    def marking(slot: Slot) -> Program[None]:
        for _ in range(4):
            stored: Any = yield from LoadToken(slot, reread=True)
            now = yield from Now()
            marked = replace(stored.token, attempt=Attempt(now, Outcome.UNKNOWN))
            _ = yield from SaveToken(slot, marked, stored.version)
            yield from Sleep(14.0)

    programs = {"marks": lambda: marking(SLOT), "a": CALLERS["a"]}
    plan = module._plan(expired(), programs, USUAL, None, shared_lock=False)
    schedule = module._told(plan, module._follow(plan, module._Choices([]), 0), 0)
    assert type(schedule.outcomes["a"]).__name__ == "RenewalStalled"
    outcomes = Player(schedule.session).run_all({name: make() for name, make in programs.items()})
    assert type(outcomes["a"]).__name__ == "RenewalStalled"


def test_time_moves_when_everybody_sleeps() -> None:
    def sleeping(seconds: float) -> Program[float]:
        yield from Sleep(seconds)
        return (yield from Now())

    def in_order(finished: Finished) -> None:
        first, second = (finished.outcomes[name] for name in ("a", "b"))
        assert second - first == 1.5

    report = explore(expired(), {"b": lambda: sleeping(2.0), "a": lambda: sleeping(0.5)}, check=in_order)
    report.insist()
    assert report.schedules == 1


@pytest.mark.parametrize(
    "token", ["", "kc1-", "kc1-aaaa", "kc2-abc", "kc1-!!", "kc1-" + "a" * 5000, "nonsense", "kc1-777777777777"]
)
def test_a_text_that_is_no_schedule_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="this is no schedule of these programs"):
        _ = replay_schedule(token, expired(), CALLERS)


def test_a_schedule_of_other_programs_is_refused() -> None:
    report, _ = found("saving over what is there")
    with pytest.raises(ConfigError, match="this is no schedule of these programs"):
        _ = replay_schedule(example(report).token, expired(), {"c": CALLERS["a"]})


def test_programs_that_do_not_take_equal_steps_are_told() -> None:
    calls: list[int] = []

    def wavering() -> Program[None]:
        calls.append(1)
        for _ in range(1 + len(calls) % 3):
            _ = yield from LoadToken(SLOT)

    with pytest.raises(ConfigError, match="the same choices led to other steps"):
        _ = explore(expired(), {"a": wavering, "b": wavering}, check=lambda _: None)


def test_programs_without_end_are_told() -> None:
    def endless() -> Program[None]:
        while True:
            _ = yield from Now()

    with pytest.raises(ConfigError, match="do they come to an end"):
        _ = explore(expired(), {"a": endless})


def test_what_cannot_be_explored_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to explore"):
        _ = explore(expired(), {})
    with pytest.raises(ConfigError, match="look at b"):
        _ = explore(expired(), CALLERS, processes={"one": ["a"]})


# Memory before a store


def memory(*tokens: Token) -> tuple[Memory, TokenTable, Clock]:
    table, clock = TokenTable(), Clock(1_000.0)
    for token in tokens:
        table.replace(SLOT, token, "")
    return Memory(table, clock), table, clock


OLD = Token(Secret("at-old"), 2_000.0, 900.0, Secret("rt-old"), granted_at=900.0)
NEW = Token(Secret("at-new"), 3_000.0, 950.0, Secret("rt-new"), granted_at=900.0)
MARKED = replace(OLD, attempt=Attempt(1_000.0, Outcome.UNKNOWN))


def test_a_load_is_answered_from_memory_unless_it_is_a_reread() -> None:
    own, table, clock = memory(OLD)
    assert own.load(SLOT) == Stored(OLD, "1")
    other = Memory(table, clock)
    assert other.save(SLOT, NEW, "1") == Saved("2")
    assert own.load(SLOT) == Stored(OLD, "1")
    assert own.load(SLOT, reread=True) == Stored(NEW, "2")
    assert own.load(SLOT) == Stored(NEW, "2")


def test_a_save_that_fails_leaves_the_token_in_memory_and_is_made_good_later() -> None:
    own, table, _ = memory(OLD)
    _ = own.load(SLOT)
    assert isinstance(own.save(SLOT, NEW, "1", fails=True), NotSaved)
    assert table.get(SLOT) == Stored(OLD, "1")
    assert own.load(SLOT, reread=True) == Stored(NEW, "1")
    own.flush()
    assert table.get(SLOT) == Stored(NEW, "2")


def test_a_later_token_of_another_process_is_not_written_over_when_a_save_is_made_good() -> None:
    own, table, clock = memory(OLD)
    _ = own.load(SLOT)
    assert isinstance(own.save(SLOT, NEW, "1", fails=True), NotSaved)
    latest = replace(NEW, issued_at=960.0, access_token=Secret("at-latest"))
    assert isinstance(Memory(table, clock).save(SLOT, latest, "1"), Saved)
    own.flush()
    assert own.load(SLOT) == table.get(SLOT) == Stored(latest, "2")


def test_a_mark_that_cannot_be_stored_changes_no_version() -> None:
    own, table, _ = memory(OLD)
    _ = own.load(SLOT)
    assert isinstance(own.save(SLOT, MARKED, "1", fails=True), NotSaved)
    assert own.load(SLOT) == Stored(MARKED, "1")
    assert table.get(SLOT) == Stored(OLD, "1")


def test_who_is_overtaken_remembers_what_is_there() -> None:
    own, table, clock = memory(OLD)
    _ = own.load(SLOT)
    assert isinstance(Memory(table, clock).save(SLOT, MARKED, "1"), Saved)
    assert own.save(SLOT, NEW, "1") == Superseded(Stored(MARKED, "2"))
    assert own.load(SLOT) == Stored(MARKED, "2")
    assert own.save(SLOT, NEW, "1") == Superseded(Stored(MARKED, "2"))
    table.remove(SLOT)
    assert own.save(SLOT, NEW, "2") == Superseded(None)
    assert own.load(SLOT) is None


def test_a_file_that_was_deleted_leaves_the_token_in_memory() -> None:
    own, table, _ = memory(OLD)
    _ = own.load(SLOT)
    table.remove(SLOT)
    assert own.load(SLOT, reread=True) == Stored(OLD, "")
    own.drop(SLOT)
    assert own.load(SLOT) is None


def test_a_clock_that_was_set_back_does_not_bring_a_token_back_to_life() -> None:
    own, _, clock = memory(OLD)
    first = own.load(SLOT)
    assert first is not None
    assert first.at_least == 0.0
    clock.ticks += 5_000_000
    clock.offset -= 3_600_000_000
    held = own.load(SLOT)
    assert held is not None
    assert held.at_least == 1_005.0


def test_what_kick_takes_is_known() -> None:
    simulated = expired()()
    stored = simulated.tokens.get(SLOT)
    assert stored is not None
    assert takes(simulated, stored.token)
    assert not takes(simulated, None)
    assert not takes(simulated, replace(stored.token, refresh_token=Secret("another")))
    answer = simulated.sandbox.handle(refresh_request(simulated.app, stored.token.refresh_token or NO_SECRET))
    assert isinstance(answer, Response)
    assert not takes(simulated, stored.token)
    simulated.time += 1e9
    assert not takes(simulated, stored.token)


def test_outcomes_are_of_one_tree_or_say_that_the_process_died() -> None:
    def look(finished: Finished) -> None:
        for outcome in finished.outcomes.values():
            assert isinstance(outcome, Token | KickError | Crashed)
            assert not isinstance(outcome, RefreshOutcomeUnknown) or finished.seen

    explore(expired(), CALLERS, faults=2, check=look, limit=300).insist()
