"""Replaying: answers come from a session, in the order in which they were delivered; nothing else is asked.

There is no event loop here, no transport and no socket. A player is also used inside asyncio and trio, where several
tasks run programs on it (`Player.run`).
"""

import warnings
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar, cast

import anyio
import msgspec
from anyio.lowlevel import checkpoint

from interpreters.sessions.aliases import ALIAS, ALIAS_TEXT, SHORTEST, Bindings, Clash, written_forms
from interpreters.sessions.chance import Draws
from interpreters.sessions.coding import KIND_OF, Asked, Failure, ask, exception_of, kind_of, read_answer
from interpreters.sessions.divergence import (
    Absent,
    Difference,
    Reason,
    ReplayDivergence,
    cut,
    first_difference,
    summary,
)
from interpreters.sessions.finding import in_ask
from interpreters.sessions.lines import AppTold, Session
from interpreters.sessions.naming import Names, begun_again, named
from interpreters.sessions.steps import ENDED, Ended, Steps, ahead, place_of
from kickcore.effects import (
    DropToken,
    Entropy,
    LoadApp,
    LoadPace,
    LoadToken,
    Notify,
    Now,
    Program,
    RenewAhead,
    SaveToken,
)
from kickcore.errors import KickWarning, SessionError
from kickcore.notices import Notice
from kickcore.oauth.tokens import App, Slot, Stored, Token
from kickcore.policy import Pace
from kickcore.secret import Secret

T = TypeVar("T")


class Order(StrEnum):
    """In what order answers are handed out."""

    RECORDED = "recorded"
    """As they were delivered: a program that asks early waits."""
    PROGRAM = "program"
    """Each program on its own: for programs that share nothing, and for sessions edited by hand."""


PATIENCE: Final = 10.0
"""Seconds that a replay in an event loop waits for a program that its caller has not begun yet, or not cancelled."""
_FREE: Final = Pace()


class Cancelled(Exception):
    """Stands for the outcome of a program that was cancelled while it was recorded."""


class Play:
    """A program in a replay: where it stands in the session."""

    __slots__ = ("account", "app", "at", "children", "draws", "event", "is_cancelled", "lines", "name", "steps", "time")

    def __init__(self, name: str, steps: Steps, lines: "deque[int]", time: int, account: str) -> None:
        self.name: str = name
        self.steps: Steps = steps
        self.lines: deque[int] = lines
        self.draws: Draws | None = None
        self.time: int = time
        self.account: str = account
        self.children: int = 0
        self.at: int = 0
        self.app: App | None = None
        self.event: anyio.Event | None = None
        self.is_cancelled: bool = False

    @property
    def is_done(self) -> bool:
        """Whether the program has ended, or was cancelled as it was recorded."""
        return self.steps.asked is ENDED or self.is_cancelled

    def outcome(self) -> Any:
        """What the program gave, or its exception, raised."""
        if self.is_cancelled:
            raise Cancelled(f"{self.name} was cancelled here when it was recorded")
        error = self.steps.error
        if error is not None:
            try:
                raise error
            finally:
                # Its traceback holds this frame.
                del error
        return self.steps.value


class Player:
    """Replays a session.

        player = Player(load("login.kcs.jsonl"))
        user = player.run_sync(fetch_user(123))
        player.finish()

    `order` is that of the answers. `bind` lets an alias stand for a text of yours; all others are made up. Programs
    are found by their name: what they are called with, or a `label`. `on_notice` is told what programs tell.

    A program that asks something else than was recorded ends everything: `ReplayDivergence` is raised to everybody
    who runs a program, then and later. `log` lists what was delivered: program, index, kind.
    """

    def __init__(
        self,
        session: Session,
        *,
        order: Order | str = Order.RECORDED,
        bind: Mapping[str, str | Secret] | None = None,
        on_notice: Callable[[Notice], None] | None = None,
        patience: float = PATIENCE,
        speed: float | None = None,
        fix: str = "",
    ) -> None:
        self.session = session
        self.order: Order = Order(order)
        self.bindings: Bindings = Bindings(session.header.sizes)
        for alias, text in (bind or {}).items():
            self.bindings.bind(alias, text.reveal() if isinstance(text, Secret) else text)
        self._on_notice = on_notice
        self._patience = patience
        self._speed = speed
        self._fix = fix
        self._start = session.header.micros
        self._names = Names()
        self._plays: dict[str, Play] = {}
        self._streams: dict[str, deque[int]] = {}
        for number, line in enumerate(session.lines):
            stream = self._streams.get(line.p)
            if stream is None:
                stream = self._streams[line.p] = deque()
            stream.append(number)
        self._lines = session.lines
        self._in_program_order = self.order is Order.PROGRAM
        self._ready: deque[Play] = deque()
        self._next = 0
        self._count = len(session.lines)
        self._answers: dict[tuple[str, bytes], object] = {}
        self._apps: dict[str, App] = {}
        self._failure: ReplayDivergence | None = None
        self._broken = ""
        self._tokens: dict[Slot, Token | None] = {}
        self._seen: list[tuple[Slot, Token | None]] = []
        self._sources: dict[str, int] = {}
        self._pacing: anyio.Lock | None = None
        self.delivered: list[int] = []

    # What a caller does

    def run_sync(self, program: Program[T], *, label: str | None = None, account: str = "") -> T:
        """Replay one program to its end. Raises what it raises, and `ReplayDivergence`."""
        play = self.begin(program, label=label, account=account)
        self.pump()
        if not play.is_done:
            self._nobody_asks()
        return cast("T", play.outcome())

    def run_all(self, programs: Mapping[str, Program[Any]]) -> dict[str, Any]:
        """Replay several programs that were recorded at the same time: name or label, and the program.

        Gives their values by the same names; the exception itself for one that failed.
        """
        plays = {name: self.begin(program, label=name) for name, program in programs.items()}
        self.pump()
        if any(not play.is_done for play in plays.values()):
            self._nobody_asks()
        return {name: _result(play) for name, play in plays.items()}

    async def run(self, program: Program[T], *, label: str | None = None, account: str = "") -> T:
        """Replay one program beside others that run on this player, on asyncio or trio. Always a checkpoint."""
        play = self.begin(program, label=label, account=account)
        try:
            await checkpoint()
            await self._advance(play)
        except BaseException:
            self._was_cancelled(play)
            raise
        if play.is_cancelled:
            await self._wait_to_be_cancelled(play)
        return cast("T", play.outcome())

    def begin(self, program: Program[Any], *, label: str | None = None, account: str = "") -> Play:
        """Begin a program, and let it ask. `pump` goes on from there."""
        self._check()
        if label is None:
            name = named(program, self.bindings.hidden)
            name += f" as {account}" if account else ""
        else:
            name = label
        return self._begin(self._names.number(name), Steps(program), account)

    def begin_named(self, name: str, program: Program[Any], account: str = "") -> Play:
        """Begin the program of exactly this name."""
        self._check()
        return self._begin(name, Steps(program), account)

    def _begin(self, name: str, steps: Steps, account: str) -> Play:
        lines = self._streams.get(name) or deque[int]()
        time = self._start
        if lines:
            first = self.session.lines[lines[0]]
            time += first.t - first.d if first.s is None else first.s
        elif self._next:
            time += self.session.lines[self._next - 1].t
        play = Play(name, steps, lines, time, account)
        self._plays[name] = play
        self._ready.append(play)
        self._settle(play, steps.begin())
        return play

    def finish(self) -> None:
        """Raise `ReplayDivergence` if there was one, or if the recording has lines that nobody has asked for."""
        self._check()
        for name, stream in self._streams.items():
            waiting = [number for number in stream if not self.session.lines[number].cancel]
            play = self._plays.get(name)
            if waiting and (play is None or play.is_done):
                self._diverge(self._unfinished(name, waiting[0], begun=play is not None))
        # What was under way when the recording was closed has nothing more to get.
        still_open = self.session.footer.open if self.session.footer else ()
        if any(not play.is_done and (play.lines or play.name not in still_open) for play in self._plays.values()):
            self._nobody_asks()

    def close(self) -> None:
        """End every program where it is."""
        for play in self._plays.values():
            play.steps.close()

    @property
    def failure(self) -> ReplayDivergence | None:
        """The disagreement, if there was one."""
        return self._failure

    @property
    def app(self) -> App:
        """The app of the session, with a secret that stands for the real one."""
        return self._app("")

    @property
    def time(self) -> float:
        """The time of the last delivery, in epoch seconds."""
        line = self.session.lines[self.delivered[-1]] if self.delivered else None
        return (self._start + (line.t if line else 0)) / 1_000_000

    @property
    def tokens(self) -> Mapping[Slot, Token | None]:
        """The tokens that programs have loaded or saved so far."""
        for slot, token in self._seen:
            self._tokens[slot] = token
        self._seen.clear()
        return self._tokens

    # What happens

    def _app(self, account: str) -> App:
        app = self._apps.get(account)
        if app is None:
            told = self.session.header.app
            if told is None:
                raise SessionError(f"{self.session.name} does not say for which app its programs run")
            shown = msgspec.json.decode(self.bindings.shown(msgspec.json.encode(told)), type=AppTold)
            app = self._apps[account] = shown.app(account)
        return app

    def pump(self) -> None:
        """Deliver for as long as the programs that are to get the next answers ask for them."""
        while self.deliver_next():
            pass

    def deliver_next(self) -> bool:
        """Deliver one answer, if a program asks for it whose turn it is."""
        if self._in_program_order:
            return self._deliver_to_any()
        lines, plays = self._lines, self._plays
        while (at := self._next) < self._count:
            play = plays.get(lines[at].p)
            if play is not None:
                own = play.lines
                if own and own[0] == at and play.steps.asked is not ENDED:
                    self._next = at + 1
                    self._deliver(play)
                    return True
                if not self._passes_over(play):
                    return False
            elif lines[at].cancel:
                # It was cancelled before it asked for anything, and may be so again.
                self._next = at + 1
            else:
                return False
        return False

    def _deliver_to_any(self) -> bool:
        while self._ready:
            play = self._ready[0]
            if play.lines and not play.is_done:
                self._deliver(play)
                return True
            _ = self._ready.popleft()
        return False

    def _passes_over(self, play: Play) -> bool:
        """Whether the next line needs nobody any more: its program was cancelled, or has had it."""
        line = self._lines[self._next]
        is_past = not play.lines or play.lines[0] > self._next
        if play.is_done and not line.cancel and not is_past:
            self._diverge(self._unfinished(line.p, self._next, begun=True))
        if is_past or line.cancel:
            self._next += 1
            return True
        return False

    def _deliver(self, play: Play) -> None:
        number = play.lines.popleft()
        line = self._lines[number]
        self.delivered.append(number)
        play.at += 1
        play.time = self._start + line.t
        steps = play.steps
        if line.cancel:
            play.is_cancelled = True
            steps.close()
            if play.event is not None:
                play.event.set()
        elif raw := bytes(line.r):
            asked = steps.asked
            kind = line.k
            if kind == "send":
                answer = self._read(kind, raw, number)
            else:
                answer = self._answers.get((kind, raw), self)
                if answer is self:
                    answer = self._answers[kind, raw] = self._read(kind, raw, number)
                if kind in _NOTED:
                    answer = self._noted(play, asked, answer)
            self._settle(play, steps.answer(answer))
        elif line.k == "stalled":
            self._settle(play, steps.stall())
        else:
            failure = msgspec.json.decode(self.bindings.shown(line.failure), type=Failure)
            self._settle(play, steps.fail(exception_of(failure)))

    def _noted(self, play: Play, asked: Asked | Ended, answer: object) -> object:
        """The answer, after what follows from it beside the program."""
        match asked:
            case LoadToken(slot):
                self._seen.append((slot, answer.token if isinstance(answer, Stored) else None))
            case SaveToken(slot, token):
                self._seen.append((slot, token))
            case DropToken(slot):
                self._seen.append((slot, None))
            case Notify(notice):
                self._tell(notice)
            case RenewAhead():
                if answer is True:
                    play.children += 1
                    _ = self._begin(f"{play.name}/{play.children}", Steps(ahead(asked)), play.account)
                return None
            case _:
                pass
        return answer

    def _tell(self, notice: Notice) -> None:
        if self._on_notice is not None:
            try:
                self._on_notice(notice)
            except Exception as error:  # noqa: BLE001 - nothing depends on it
                text = f"on_notice raised {type(error).__name__}; the replay goes on"
                warnings.warn(text, KickWarning, stacklevel=2)

    def _read(self, kind: str, raw: bytes, number: int) -> object:
        version = self.bindings.version
        shown = self.bindings.shown(raw)
        if version != self.bindings.version:
            for found in ALIAS.finditer(raw):
                _ = self._sources.setdefault(found[0][2:-2].decode(), number)
        try:
            return read_answer(kind, shown)
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            told = str(error) if isinstance(error, msgspec.DecodeError) else type(error).__name__
            where = f"{self.session.name}, line {self.session.numbers[number]}"
            self._broken = f"{where}: its answer is none to {kind}: {told}"
            raise SessionError(self._broken) from None

    def _settle(self, play: Play, asked: Any) -> None:
        """Answer what needs no line, and compare what is asked then with what was recorded."""
        if asked is not ENDED:
            lines = play.lines
            following = self._lines[lines[0]].k if lines else ""
            answer = play.steps.answer
            while asked is not ENDED:
                kind = type(cast("object", asked))
                if kind is Now:
                    asked = answer(play.time / 1_000_000)
                elif kind is LoadApp and following != "load_app":
                    if play.app is None:
                        play.app = self._app(play.account)
                    asked = answer(play.app)
                elif kind is LoadPace and following != "load_pace":
                    asked = answer(_FREE)
                elif kind is Entropy:
                    asked = answer(self._drawn(play, asked))
                else:
                    self._compare(play, asked)
                    return
        if play.event is not None:
            play.event.set()

    def _drawn(self, play: Play, asked: Entropy) -> bytes:
        if play.draws is None:
            play.draws = Draws(self.session.header.seed, play.name)
        return play.draws.draw(asked.size, asked.purpose)

    # Comparing

    def _compare(self, play: Play, asked: Asked) -> None:
        if not play.lines:
            self._goes_on(play, asked)
            return
        number = play.lines[0]
        line = self._lines[number]
        kind = line.k
        if kind != KIND_OF[type(asked)]:
            if line.cancel or kind == "stalled":
                return
            self._differs(play, asked, number, Reason.KIND)
        recorded = bytes(line.q)
        # What is asked shows secrets, and a traceback shows local variables: so it is none.
        if self.bindings.known(recorded) != ask(asked):
            self._unify(play, asked, number, recorded)

    def _unify(self, play: Play, asked: Asked, number: int, recorded: bytes) -> None:
        """The slow way: member by member, so that aliases can be bound, and told what they clash with."""
        before = self.bindings.version
        clash = self._clash(asked, recorded)
        if clash is not None:
            self._differs(play, asked, number, *clash)
        if before != self.bindings.version:
            for found in ALIAS.finditer(recorded):
                _ = self._sources.setdefault(found[0][2:-2].decode(), number)

    def _clash(self, asked: Asked, recorded: bytes) -> "tuple[Reason, str, str, str] | None":
        """In what they differ, and where: as recorded, and as used, without secrets."""
        try:
            _unify_values(self.bindings, msgspec.json.decode(recorded), msgspec.json.decode(ask(asked)), "")
        except _At as at:
            is_secret = ALIAS_TEXT.fullmatch(f"«{at.clash.recorded}»") is not None
            reason = Reason.IDENTITY if is_secret else Reason.FIELD
            return reason, at.pointer or "/", at.recorded, self._masked(asked, at.used)
        return None

    def _differs(
        self, play: Play, asked: Asked, number: int, reason: Reason, pointer: str = "", was: str = "", is_now: str = ""
    ) -> None:
        line = self.session.lines[number]
        kind = kind_of(asked)
        notes = "", ""
        if pointer:
            pointer = f"{kind} {pointer}"
            recorded, shown = was, is_now
            notes = self._note(was), self._note(is_now)
        else:
            recorded = summary(line.k, bytes(line.q))
            shown = summary(kind, self._masked(asked, ask(asked).decode()).encode())
        self._diverge(
            self._difference(
                reason,
                play,
                number,
                pointer=pointer,
                recorded=cut(recorded),
                recorded_note=notes[0],
                used=cut(shown),
                used_note=notes[1],
                likely=_likely(reason, kind, line.k, pointer, recorded, shown),
            )
        )

    def _masked(self, asked: Asked, text: str) -> str:
        """A text of this run for people: also secrets that the recording knows nothing of do not show."""
        shown = self.bindings.hidden(text)
        for role, secret in in_ask(asked):
            for form in written_forms(secret) if len(secret) >= SHORTEST or secret == text else ():
                shown = shown.replace(form, f"«{role}:?»")
        return shown

    def _note(self, text: str) -> str:
        """Where a secret comes from."""
        found = ALIAS_TEXT.fullmatch(text)
        if found is None or found[1] is None:
            return ""
        number = self._sources.get(text[1:-1])
        if number is None:
            return ""
        line = self.session.lines[number]
        how = {"send": "answered", "load_token": "loaded", "save_token": "saved", "consent": "granted"}.get(
            line.k, "seen"
        )
        return f"{how} at line {self.session.numbers[number]}"

    def _goes_on(self, play: Play, asked: Asked) -> None:
        if self.session.footer is not None and play.name in self.session.footer.open:
            # Nobody knows how it went on: it was still under way when the recording was closed.
            return
        lost = next((line for line in self.session.lost if line.p == play.name and line.i == play.at), None)
        used = summary(kind_of(asked), self._masked(asked, ask(asked).decode()).encode())
        if lost is not None:
            self._diverge(
                self._difference(
                    Reason.LOST,
                    play,
                    None,
                    recorded=cut(summary(lost.k, bytes(lost.q))) + " was begun",
                    used=used,
                    likely="the process that recorded it died here, and nobody knows what came of it",
                )
            )
        elif not self.session.is_whole:
            self._diverge(
                self._difference(
                    Reason.LOST,
                    play,
                    None,
                    recorded="the recording was cut off",
                    used=used,
                    likely="the process that recorded it ended before this was answered",
                )
            )
        known = self._streams.get(play.name) is not None
        likely = (
            "the program does more than when it was recorded"
            if known
            else f"no program of this name was recorded; there are: {', '.join(self.session.programs[:6]) or 'none'}"
        )
        self._diverge(
            self._difference(Reason.EXTRA, play, None, recorded="", used=used, likely=cut(likely)),
        )

    def _unfinished(self, name: str, number: int, *, begun: bool) -> Difference:
        line = self.session.lines[number]
        play = self._plays.get(name)
        outcome = ""
        if play is not None and play.steps.error is not None:
            outcome = self.bindings.hidden(f"{type(play.steps.error).__name__}: {play.steps.error}")
        return Difference(
            Reason.UNFINISHED,
            name,
            index=line.i,
            line=self.session.numbers[number],
            lines=self._last_number(),
            session=self.session.name,
            recorded=cut(summary(line.k, bytes(line.q))),
            used=_how_it_ended(play, outcome),
            before=self._before(name),
            likely="the program does less than when it was recorded" if begun else "a call was taken out, or renamed",
            fix=self._fix or FIX,
        )

    def _nobody_asks(self) -> None:
        """Everybody waits, and the next answer is for somebody who does not ask."""
        if self._next >= self._count:
            for play in self._plays.values():
                if not play.is_done:
                    self._diverge(
                        self._difference(
                            Reason.ORDER,
                            play,
                            None,
                            recorded="it was cancelled here",
                            used="nobody cancelled it",
                        )
                    )
            return
        line = self.session.lines[self._next]
        waiting = [play.name for play in self._plays.values() if not play.is_done]
        self._diverge(
            Difference(
                Reason.ORDER,
                line.p,
                index=line.i,
                line=self.session.numbers[self._next],
                lines=self._last_number(),
                session=self.session.name,
                recorded=cut(summary(line.k, bytes(line.q))),
                used=cut(f"it was not begun, while {', '.join(waiting) or 'nobody'} waits"),
                before=self._before(line.p),
                likely='programs begin in another order, or one is missing; if they share nothing: order="program"',
                fix=self._fix or FIX,
            )
        )

    def _difference(self, reason: Reason, play: Play, number: int | None, **more: Any) -> Difference:
        following = ""
        if self.order is Order.RECORDED:
            after = self._next if number != self._next else self._next + 1
            if after < self._count and number is not None:
                line = self.session.lines[after]
                following = f"{line.p} #{line.i} {summary(line.k, bytes(line.q))}"
        return Difference(
            reason,
            play.name,
            index=play.at,
            line=0 if number is None else self.session.numbers[number],
            lines=self._last_number(),
            session=self.session.name,
            place=place_of(play.steps.frames()),
            before=self._before(play.name),
            following=cut(following),
            fix=self._fix or FIX,
            **more,
        )

    def _last_number(self) -> int:
        return self.session.numbers[-1] if self.session.numbers else 1

    def _before(self, name: str) -> tuple[str, ...]:
        """The last that the program was given."""
        own = [number for number in self.delivered if self.session.lines[number].p == name][-3:]
        told = [(number, self._lines[number]) for number in own]
        return tuple(f"{self.session.numbers[number]} {summary(line.k, bytes(line.q))}" for number, line in told)

    def history(self, last: int = 10) -> dict[str, list[str]]:
        """The last things that each program was given: for a report."""
        told: dict[str, list[str]] = {}
        for number in self.delivered:
            line = self.session.lines[number]
            outcome = "cancelled" if line.cancel else "raised" if line.failure else "answered"
            told.setdefault(line.p, []).append(
                f"{self.session.numbers[number]} {summary(line.k, bytes(line.q))} {outcome}"
            )
        return {name: rows[-last:] for name, rows in told.items()}

    def _diverge(self, difference: Difference) -> None:
        self._failure = failure = ReplayDivergence(difference)
        for play in self._plays.values():
            play.steps.close()
            if play.event is not None:
                play.event.set()
        raise failure

    def _check(self) -> None:
        if self._broken:
            raise SessionError(self._broken)
        if self._failure is not None:
            raise ReplayDivergence(self._failure.difference)

    # In an event loop

    async def _advance(self, play: Play) -> None:
        play.event = anyio.Event()
        while True:
            if self._speed is None:
                self.pump()
            else:
                await self._pump_in_time(self._speed)
            self._check()
            if play.is_done:
                return
            with anyio.move_on_after(self._patience) as waiting:
                await play.event.wait()
            self._check()
            if waiting.cancelled_caught and not play.is_done:
                self._nobody_asks()

    async def _pump_in_time(self, speed: float) -> None:
        if self._pacing is None:
            self._pacing = anyio.Lock()
        async with self._pacing:
            while self._next < self._count:
                before = self.session.lines[self.delivered[-1]].t if self.delivered else 0
                wait = self.session.lines[self._next].t - before
                if wait > 0:
                    await anyio.sleep(wait / 1_000_000 / speed)
                if not self.deliver_next():
                    return

    def _was_cancelled(self, play: Play) -> None:
        """The caller's task is ended from outside: as it was recorded, or else not."""
        if play.is_done or self._failure is not None:
            return
        play.steps.close()
        waiting = list(play.lines)
        play.is_cancelled = True
        if waiting and self.session.lines[waiting[0]].cancel:
            _ = play.lines.popleft()
            self._next += self._next == waiting[0]

    async def _wait_to_be_cancelled(self, play: Play) -> None:
        with anyio.move_on_after(self._patience):
            await anyio.sleep_forever()
        self._diverge(
            self._difference(
                Reason.ORDER,
                play,
                None,
                recorded="it was cancelled here",
                used="nobody cancelled it",
                likely="a deadline of the caller's that is longer, or counts in another clock",
            )
        )


_NOTED: Final = frozenset({"load_token", "save_token", "drop_token", "notify", "renew_ahead"})
_CAME_BY: Final = {"send": "answered", "load_token": "loaded", "save_token": "saved", "consent": "granted"}
FIX: Final = "if this is intended, record the session anew"


def _how_it_ended(play: Play | None, outcome: str) -> str:
    if play is None:
        return "it was never begun"
    if play.is_cancelled:
        return "its caller cancelled it"
    return cut(f"it ended with {outcome}" if outcome else "it ended")


def _result(play: Play) -> Any:
    try:
        return play.outcome()
    except Exception as error:  # noqa: BLE001 - it is the result
        return error


class _At(Exception):
    def __init__(self, pointer: str, recorded: str, used: str, clash: Clash) -> None:
        super().__init__(pointer)
        self.pointer = pointer
        self.recorded = recorded
        self.used = used
        self.clash = clash


def _unify_values(bindings: Bindings, recorded: Any, used: Any, pointer: str) -> None:
    if isinstance(recorded, str) and isinstance(used, str):
        try:
            bindings.unify(recorded, used)
        except Clash as clash:
            raise _At(pointer, recorded, used, clash) from None
        return
    if isinstance(recorded, dict) and isinstance(used, dict):
        one, other = cast("dict[str, Any]", recorded), cast("dict[str, Any]", used)
        if set(one) == set(other):
            for key, value in one.items():
                _unify_values(bindings, value, other[key], f"{pointer}/{key}")
            return
    elif isinstance(recorded, list) and isinstance(used, list):
        items, others = cast("list[Any]", recorded), cast("list[Any]", used)
        if len(items) == len(others):
            for number, (item, another) in enumerate(zip(items, others, strict=True)):
                _unify_values(bindings, item, another, f"{pointer}/{number}")
            return
    found = first_difference(recorded, used, pointer)
    if found is not None:
        at, one, other = found
        raise _At(at, _shown(one), _shown(other), Clash(_shown(one), _shown(other)))


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    return repr(value) if isinstance(value, Absent) else msgspec.json.encode(value).decode()


def _likely(reason: Reason, kind: str, recorded_kind: str, pointer: str, recorded: str, used: str) -> str:
    """What probably happened, where the disagreement itself tells."""
    if reason is Reason.IDENTITY:
        if "/bearer" in pointer:
            return "a token was held on to over a renewal; load it anew before each call"
        if "refresh_token" in pointer or "/token/" in pointer:
            return "the token was read before its turn came; read it again after the lock"
        return "a secret of another program, or of an earlier step, was used"
    if reason is Reason.KIND:
        if {kind, recorded_kind} <= {"sleep", "send", "pay_retry", "notify"}:
            return "repeating and waiting are decided otherwise than when it was recorded"
        if "token" in kind or "token" in recorded_kind or "exclusive" in (kind, recorded_kind):
            return "the decision about the token is another one"
        return "the program takes other steps than when it was recorded"
    if recorded == "nothing" or used == "nothing":
        return "a member was added or taken out"
    return "an argument, or how a request is built, has changed"


def replayed(session: Session, *, order: Order | str = Order.RECORDED) -> dict[str, Any]:
    """Replay a whole session with kickcore's own programs as they are today; their outcomes by name.

    Raises `SessionError` if it holds programs that are not kickcore's own, and `ReplayDivergence`.
    """
    player = Player(session, order=order)
    plays = begin_all(player)
    player.pump()
    player.finish()
    results = {name: _result(play) for name, play in plays.items()}
    _check_ends(session, results, player)
    return results


def begin_all(player: Player) -> dict[str, Play]:
    """Begin every program of a session anew, by name and arguments: kickcore's own ones only."""
    plays: dict[str, Play] = {}
    for line in player.session.lines:
        if line.p in plays or line.i:
            continue
        parent, _, child = line.p.rpartition("/")
        if child.isdigit() and parent in plays:
            continue
        if not bytes(line.run):
            raise SessionError(
                f"{player.session.name}: {line.p} is none of kickcore's own programs; replay it where it is defined"
            )
        program = begun_again(line.f or line.p, player.bindings.shown(bytes(line.run)))
        plays[line.p] = player.begin_named(line.p, program, line.a)
    return plays


def _check_ends(session: Session, results: Mapping[str, Any], player: Player) -> None:
    ended = session.footer.ended if session.footer else {}
    for name, result in results.items():
        now = type(result).__name__ if isinstance(result, Exception) else ""
        then = ended.get(name, "")
        if now != then and not isinstance(result, Cancelled) and session.is_whole:
            raise ReplayDivergence(
                Difference(
                    Reason.FIELD,
                    name,
                    session=session.name,
                    pointer="how it ended",
                    recorded=then or "a value",
                    used=now or "a value",
                    used_note=player.bindings.hidden(str(result)) if now else "",
                    likely="the same answers are read otherwise than when it was recorded",
                    fix=FIX,
                )
            )
