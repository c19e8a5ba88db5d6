"""Travelling in time: a session as it stood at one of its lines. To go back is to run again up to there."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeAlias

from msgspec import Struct

from interpreters.sessions.coding import ask, kind_of
from interpreters.sessions.divergence import cut, summary
from interpreters.sessions.lines import Line, Session
from interpreters.sessions.naming import begun_again
from interpreters.sessions.playing import Play, Player
from interpreters.sessions.steps import Ended, place_of
from kickcore.effects import Program
from kickcore.errors import SessionError
from kickcore.oauth.tokens import Slot, Token

Programs: TypeAlias = Mapping[str, Callable[[], Program[Any]]]
"""What begins the programs of a session that are not kickcore's own, by their names in the session."""


class Frame(Struct, frozen=True):
    """A frame of a program: the file as it is found on this machine, the line it stands at, and the function."""

    file: str
    line: int
    function: str


class Standing(Struct, frozen=True):
    """Where one program stands.

    `waits_for` is what it asks, in short and without secrets, and "" if it has ended; `place` is the source line that
    asks; `frames` are its frames, the innermost last. `began` says whether it had been answered anything by then.
    `outcome` tells how it ended, or "" if it had not.
    """

    name: str
    waits_for: str = ""
    place: str = ""
    frames: tuple[Frame, ...] = ()
    began: bool = False
    outcome: str = ""


class Position(Struct, frozen=True):
    """A session at one of its lines.

    `time` is in epoch seconds; `delivered` counts the answers so far. `tokens` are those that programs have loaded or
    saved, with texts that stand for the real ones.
    """

    line: int
    time: float
    delivered: int
    tokens: Mapping[Slot, Token | None]
    programs: Mapping[str, Standing]

    def __str__(self) -> str:
        rows = [f"line {self.line}, {self.delivered} answers, time {self.time:.6f}"]
        rows += [
            f"  {one.name}: {one.outcome or f'waits for {one.waits_for}, at {one.place}'}"
            for one in self.programs.values()
        ]
        return "\n".join(rows)


def at_line(session: Session, line: int, programs: Programs | None = None) -> Position:
    """The session as it stood when the answers up to this line of its file, the first line being 1, were delivered.

    `programs` begin those programs that are not kickcore's own. Raises `SessionError` for a line that the file does not
    have and for programs that nobody can begin, and `ReplayDivergence` where today's programs ask something else.
    """
    last = max(session.numbers, default=1)
    if not 1 <= line <= last + 1:
        raise SessionError(f"{session.name} has no line {line}; its answers stand in lines 2 to {last}")
    player = Traveller(session)
    _ = begin_programs(player, programs)
    player.deliver_until(bisect_right(session.numbers, line))
    position = Position(
        line,
        player.time,
        len(player.delivered),
        dict(player.tokens),
        {play.name: player.standing(play) for play in player.plays},
    )
    player.close()
    return position


class Traveller(Player):
    """A player that can be stopped."""

    @property
    def plays(self) -> list[Play]:
        """The programs that were begun, by others too."""
        return list(self._plays.values())

    def deliver_until(self, count: int) -> None:
        """Deliver what comes before the answer of this number, the first being 0."""
        while self._next < count and self.deliver_next():
            pass

    def standing(self, play: Play) -> Standing:
        """Where a program stands."""
        asked = play.steps.asked
        if play.is_cancelled:
            return Standing(play.name, began=True, outcome="was cancelled")
        if isinstance(asked, Ended):
            error = play.steps.error
            text = (
                f"gave {type(play.steps.value).__name__}"
                if error is None
                else f"raised {type(error).__name__}: {error}"
            )
            return Standing(play.name, began=True, outcome=cut(self.bindings.hidden(text)))
        frames = play.steps.frames()
        return Standing(
            play.name,
            summary(kind_of(asked), self._masked(asked, ask(asked).decode()).encode()),
            place_of(frames),
            tuple(_frame(frame) for frame in frames if not frame.f_code.co_filename.endswith(_OURS)),
            began=bool(play.at),
        )


def begin_programs(player: Player, programs: Programs | None = None) -> dict[str, Play]:
    """Begin every program of a session anew, by its name and arguments: kickcore's own, and those that are given.

    Raises `SessionError` for any other.
    """
    plays: dict[str, Play] = {}
    for line in player.session.lines:
        if line.p not in plays and line.i == 0 and not is_child(line.p, plays):
            plays[line.p] = player.begin_named(line.p, program_of(player, line, programs), line.a)
    return plays


def is_child(name: str, known: Mapping[str, object]) -> bool:
    """Whether this is a program that another one begins beside itself."""
    parent, _, number = name.rpartition("/")
    return number.isdigit() and parent in known


def program_of(player: Player, line: Line, programs: Programs | None) -> Program[Any]:
    """The program whose first line this is, made anew."""
    make = (programs or {}).get(line.p)
    if make is not None:
        return make()
    if not bytes(line.run):
        raise SessionError(
            f"{player.session.name}: {line.p} is none of kickcore's own programs; say how it begins: "
            "programs={name: function}"
        )
    return begun_again(line.f or line.p, player.bindings.shown(bytes(line.run)))


_OURS: Final = (str(Path("kickcore") / "effects.py"), str(Path("sessions") / "steps.py"))


def _frame(frame: FrameType) -> Frame:
    return Frame(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
