"""Clocks that are moved by hand."""

from typing import get_args

import pytest
from hypothesis import find, given

from interpreters.driver import run_sync
from interpreters.sandbox import Simulated
from interpreters.tokens.memory import MemoryStore
from interpreters.tokens.remembered import RememberedTokens
from kickcore.effects import LoadApp, Now, Program, Sleep
from kickcore.oauth.tokens import Slot, Token, TokenKind
from kickcore.secret import Secret
from kickcore.testing import NOW, Advance, Clock, Jump, Move, Suspend, move_sequences, moves, timed

from .reach import FIRST, SOME

SLOT = Slot("https://id.kick.com", "CID", TokenKind.USER)


def read(clock: Clock) -> tuple[float, float, float]:
    return clock.time(), clock.monotonic(), clock.elsewhere()


def test_a_clock_stands_still_until_it_is_moved() -> None:
    assert read(Clock()) == (NOW, 0.0, NOW)
    assert read(Clock(5.0, 7.0)) == (5.0, 7.0, 5.0)


def test_time_passes_for_both_clocks_and_for_the_others() -> None:
    clock = Clock(100.0)
    clock.advance(5.0)
    assert read(clock) == (105.0, 5.0, 105.0)


def test_a_jump_is_of_the_wall_clock_alone() -> None:
    clock = Clock(100.0)
    clock.jump(-30.0)
    assert read(clock) == (70.0, 0.0, 100.0)
    clock.jump(50.0)
    assert read(clock) == (120.0, 0.0, 100.0)


def test_a_machine_that_sleeps_counts_no_ticks() -> None:
    clock = Clock(100.0)
    clock.suspend(3600.0)
    assert read(clock) == (3700.0, 0.0, 3700.0)


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_time_does_not_pass_backwards(seconds: float) -> None:
    with pytest.raises(ValueError, match="backwards"):
        Clock().advance(seconds)
    with pytest.raises(ValueError, match="backwards"):
        Clock().suspend(seconds)


@SOME
@given(move_sequences())
def test_moves_add_up(moves: tuple[Move, ...]) -> None:
    clock = Clock(0.0)
    clock.move(*moves)
    assert clock.time() == pytest.approx(sum(move.seconds for move in moves))
    assert clock.monotonic() == pytest.approx(sum(move.seconds for move in moves if isinstance(move, Advance)))
    passed = sum(move.seconds for move in moves if not isinstance(move, Jump))
    assert clock.elsewhere() == pytest.approx(passed, abs=1e-3)


@SOME
@given(move_sequences())
def test_the_monotonic_clock_never_goes_back(moves: tuple[Move, ...]) -> None:
    clock = Clock()
    for move in moves:
        before = clock.monotonic()
        clock.move(move)
        assert clock.monotonic() >= before


@pytest.mark.parametrize("kind", get_args(Move))
def test_every_move_comes(kind: type[Move]) -> None:
    assert find(moves(), lambda move: isinstance(move, kind) and move.seconds > 3600, settings=FIRST)


def test_jumps_come_both_ways_and_sequences_in_every_length() -> None:
    assert find(moves(), lambda move: isinstance(move, Jump) and move.seconds < -3600, settings=FIRST)
    for length in range(4):
        assert len(find(move_sequences(3), lambda drawn: len(drawn) == length, settings=FIRST)) == length  # noqa: B023


def test_a_world_is_timed_by_a_clock() -> None:
    def nap() -> Program[tuple[float, float]]:
        before = yield from Now()
        yield from Sleep(60.0)
        _ = yield from LoadApp()
        after = yield from Now()
        return before, after

    clock, kick = Clock(), Simulated()
    clock.jump(-5.0)
    assert run_sync(nap(), timed(kick.answer, clock)) == (NOW - 5.0, NOW + 55.0)
    assert clock.elsewhere() == NOW + 60.0


async def test_a_clock_can_be_given_to_the_memory_before_a_store() -> None:
    clock = Clock()
    tokens = RememberedTokens(MemoryStore(), ticks=clock.monotonic, clock=clock.time)
    tokens.put(SLOT, Token(Secret("A"), NOW + 7200, NOW), save=False)
    clock.move(Advance(3600.0), Jump(-86400.0), Suspend(10.0))
    stored = await tokens.load(SLOT)
    assert stored is not None
    assert stored.at_least == NOW + 3600.0
