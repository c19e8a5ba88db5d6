"""Time that is moved by hand: a wall clock and a monotonic one, and what may happen to them."""

from collections.abc import Callable
from typing import Final, TypeAlias

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import Struct

from kickcore.effects import Leaf, Now, Sleep
from kickcore.testing.once import built_once
from kickcore.testing.values import NOW


class Advance(Struct, frozen=True, tag="advance"):
    """So many seconds pass."""

    seconds: float


class Jump(Struct, frozen=True, tag="jump"):
    """The wall clock is set by so many seconds: ahead, or back if they are negative. No time passes."""

    seconds: float


class Suspend(Struct, frozen=True, tag="suspend"):
    """The machine sleeps for so many seconds, and its monotonic clock does not count them."""

    seconds: float


Move: TypeAlias = Advance | Jump | Suspend
"""What may happen to the clocks of a machine."""

_SECONDS: Final = (0.0, 0.5, 1.0, 29.9, 30.0, 60.0, 600.0, 7200.0, 86400.0, 30 * 86400.0)
"""Near to what matters to tokens: pauses, windows of renewal, lives."""


class Clock:
    """The clocks of one machine, in seconds. They stand still but for what they are told.

    `time` and `monotonic` can be given wherever kickcore takes a clock: `Sandbox(clock=...)`, `Live(clock=...)`,
    `RememberedTokens(store, ticks=clock.monotonic, clock=clock.time)`.
    """

    def __init__(self, wall: float = NOW, ticks: float = 0.0) -> None:
        self._wall = wall
        self._ticks = ticks
        self._set_by = 0.0

    def time(self) -> float:
        """The wall clock: epoch seconds, as far as it was set right."""
        return self._wall

    def monotonic(self) -> float:
        """The monotonic clock: never set, and stopped while the machine sleeps."""
        return self._ticks

    def elsewhere(self) -> float:
        """Epoch seconds by the clocks of others, which nobody has set: give it to the simulated Kick."""
        return self._wall - self._set_by

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises `ValueError` for less than none."""
        self._wall += _passed(seconds)
        self._ticks += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock, ahead or back."""
        self._wall += seconds
        self._set_by += seconds

    def suspend(self, seconds: float) -> None:
        """Let the machine sleep. Raises `ValueError` for less than no time."""
        self._wall += _passed(seconds)

    def move(self, *moves: Move) -> None:
        """One move after the other."""
        for each in moves:
            match each:
                case Advance(seconds):
                    self.advance(seconds)
                case Jump(seconds):
                    self.jump(seconds)
                case Suspend(seconds):
                    self.suspend(seconds)


def _passed(seconds: float) -> float:
    if not seconds >= 0:
        raise ValueError(f"time does not pass backwards: {seconds}; jump() sets the wall clock")
    return seconds


def timed(answer: Callable[[Leaf], object], clock: Clock) -> Callable[[Leaf], object]:
    """A world as `answer`, but for its time: `Now` is told by the clock, and `Sleep` moves it."""

    def told(effect: Leaf) -> object:
        if isinstance(effect, Now):
            return clock.time()
        if isinstance(effect, Sleep):
            return clock.advance(effect.seconds)
        return answer(effect)

    return told


@built_once
def moves() -> SearchStrategy[Move]:
    """One thing that may happen to the clocks: up to 30 days pass, or are slept, or lie in a jump either way."""
    seconds = st.sampled_from(_SECONDS) | st.floats(0, _SECONDS[-1])
    return (
        st.builds(Advance, seconds)
        | st.builds(Jump, seconds | seconds.map(float.__neg__))
        | st.builds(Suspend, seconds)
    )


@built_once
def move_sequences(longest: int = 10) -> SearchStrategy[tuple[Move, ...]]:
    """At most `longest` moves, for `clock.move(*moves)` or one at a time."""
    return st.lists(moves(), max_size=longest).map(tuple)
