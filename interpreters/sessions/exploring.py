"""Exploring: every order in which programs can go on beside each other, with faults, over a simulated Kick.

There is no event loop here. A schedule is a list of choices: who is answered next, or what goes wrong. Each run builds
its world anew and follows one schedule; what it comes to can be recorded, and is then a session like any other.
"""

import binascii
import random
from base64 import b32decode, b32encode
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, Final, Literal, TypeAlias, cast

import anyio
import msgspec
from anyio.lowlevel import checkpoint
from msgspec import Struct
from msgspec.structs import replace

from interpreters.driver import SHIELD
from interpreters.sandbox.rules import Rotation
from interpreters.sandbox.simulated import Simulated
from interpreters.sessions.chance import SECRET_PURPOSES, Draws
from interpreters.sessions.coding import Asked, Hold
from interpreters.sessions.divergence import ReplayDivergence, cut, summary
from interpreters.sessions.lines import Line, Session
from interpreters.sessions.playing import Cancelled, Player
from interpreters.sessions.recording import Recording, Track
from interpreters.sessions.steps import ENDED, Ended, Steps, Unfolded, exclusive
from interpreters.tokens.memory import TokenTable
from kickcore.effects import (
    DropToken,
    Entropy,
    Exclusive,
    Leaf,
    LoadApp,
    LoadToken,
    Now,
    Program,
    RenewAhead,
    SaveToken,
    Send,
    Sleep,
)
from kickcore.errors import ConfigError, GrantLost, KickError
from kickcore.http import Response, Sent, Unreachable
from kickcore.oauth.actions import FetchAppToken, RefreshToken, Renewal
from kickcore.oauth.renewal import renew_ahead
from kickcore.oauth.tokens import App, NotSaved, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.secret import Secret

SEED: Final = "explored"
"""The seed of chance in a schedule, and of the recording that is made of it."""
LONGEST: Final = 20_000
"""Effects after which the programs of one schedule are taken to go on for ever."""
RENEWALS: Final = (FetchAppToken, RefreshToken)

LOST: Final = Unreachable("the answer was lost", Sent.MAYBE)
NEVER_CAME: Final = Unreachable("the request was lost", Sent.MAYBE)
FULL: Final = "no space left on device"


class Crashed(Exception):
    """Stands for the outcome of a program whose process died."""


class Stuck(Exception):
    """Stands for the outcome of a program that waits for something that never comes."""


# Time and memory


class Clock:
    """Two clocks of one machine, in microseconds: `ticks` goes on as Kick's does, and `offset` is what was set."""

    __slots__ = ("offset", "ticks")

    def __init__(self, seconds: float) -> None:
        self.ticks: int = round(seconds * 1e6)
        self.offset: int = 0

    @property
    def wall(self) -> int:
        """What programs are told, in microseconds since the epoch."""
        return self.ticks + self.offset


class _Held:
    __slots__ = ("is_unsaved", "ticks", "token", "version", "wall")

    def __init__(self, token: Token, version: str, clock: Clock, *, is_unsaved: bool = False) -> None:
        self.token = token
        self.version = version
        self.is_unsaved = is_unsaved
        self.wall = clock.wall
        self.ticks = clock.ticks


class Memory:
    """What one process holds of a store: as `interpreters.tokens.remembered` has it, without waiting for anything.

    A save that fails leaves the token here; `flush` stores it, as a process does that ends in peace.
    """

    def __init__(self, store: TokenTable, clock: Clock) -> None:
        self.store: Final = store
        self._clock = clock
        self._held: dict[Slot, _Held] = {}

    def put(self, slot: Slot, stored: Stored, *, is_unsaved: bool = False) -> None:
        """Hold what the process had in memory before."""
        self._held[slot] = _Held(stored.token, stored.version, self._clock, is_unsaved=is_unsaved)

    def load(self, slot: Slot, *, reread: bool = False) -> Stored | None:
        """The token of `slot`: from memory, or from the store if there is none or with `reread`."""
        held = self._held.get(slot)
        if held is not None and (held.is_unsaved or not reread):
            return self._stored(held)
        stored = self.store.get(slot)
        if stored is not None:
            held = self._remember(slot, stored)
        elif held is not None:
            held.version = ""
        return None if held is None else self._stored(held)

    def save(self, slot: Slot, token: Token, version: str, *, fails: bool = False) -> Saved | Superseded | NotSaved:
        """Hold `token`, then store it if the store still has `version`; or hold it only, if the store `fails`."""
        before = self._held.get(slot)
        if before is not None and before.version != version:
            return Superseded(self._stored(before))
        if before is not None and _is_marked(before.token, token):
            before.token = token
            if before.is_unsaved:
                return Saved(before.version)
            return self._store(slot, before, fails=fails, is_mark=True)
        held = self._held[slot] = _Held(token, version, self._clock, is_unsaved=True)
        if before is not None and before.is_unsaved and not fails:
            return self._save_again(slot, held)
        return self._store(slot, held, fails=fails)

    def drop(self, slot: Slot) -> None:
        """Forget the token, here and in the store."""
        _ = self._held.pop(slot, None)
        self.store.remove(slot)

    def flush(self) -> None:
        """Store what is held here only."""
        for slot, held in list(self._held.items()):
            if held.is_unsaved:
                _ = self._save_again(slot, held)

    def _save_again(self, slot: Slot, held: _Held) -> Saved | Superseded | NotSaved:
        stored = self.store.get(slot)
        if stored is not None and stored.version != held.version and _is_later(stored.token, held.token):
            _ = self._remember(slot, stored)
            return Superseded(stored)
        held.version = stored.version if stored else ""
        return self._store(slot, held)

    def _store(
        self, slot: Slot, held: _Held, *, fails: bool = False, is_mark: bool = False
    ) -> Saved | Superseded | NotSaved:
        if fails:
            return NotSaved(FULL)
        outcome = self.store.replace(slot, held.token, held.version)
        if isinstance(outcome, Saved):
            held.version = outcome.version
            held.is_unsaved = held.is_unsaved and is_mark
        elif outcome.stored is None:
            del self._held[slot]
        else:
            _ = self._remember(slot, outcome.stored)
        return outcome

    def _remember(self, slot: Slot, stored: Stored) -> _Held:
        held = self._held.get(slot)
        if held is None or (held.token is not stored.token and held.token != stored.token):
            held = self._held[slot] = _Held(stored.token, stored.version, self._clock)
        else:
            held.version, held.is_unsaved = stored.version, False
        return held

    def _stored(self, held: _Held) -> Stored:
        # It says more than the clock only where that was set since.
        at_least = held.wall + self._clock.ticks - held.ticks
        return Stored(held.token, held.version, at_least / 1e6 if at_least > self._clock.wall else 0.0)


def _is_marked(before: Token, after: Token) -> bool:
    return before != after and before == replace(after, attempt=before.attempt)


def _is_later(theirs: Token, ours: Token) -> bool:
    if theirs.granted_at is not None and ours.granted_at is not None and theirs.granted_at != ours.granted_at:
        return theirs.granted_at > ours.granted_at
    return theirs.issued_at > ours.issued_at


# Who takes part


class Process:
    """What dies with a process: its memory, and whose turn it is with a token."""

    __slots__ = ("memory", "name", "turns")

    def __init__(self, name: str, memory: Memory) -> None:
        self.name: str = name
        self.memory: Memory = memory
        self.turns: dict[Slot, Turn] = {}

    def turn(self, slot: Slot) -> "Turn":
        """The line in which the programs of this process wait."""
        turn = self.turns.get(slot)
        if turn is None:
            turn = self.turns[slot] = Turn()
        return turn


class Turn:
    """Who may change a token, in one process; see `interpreters.turns.Turn`. Here whoever waits may be the next."""

    __slots__ = ("ended", "failure", "is_ahead", "taken")

    def __init__(self) -> None:
        self.taken: Caller | None = None
        self.ended: int = 0
        self.failure: KickError | None = None
        self.is_ahead: bool = False

    def end(self, failure: KickError | None) -> None:
        """An attempt has ended."""
        self.ended += 1
        self.failure = failure


class Stepping(Steps):
    """Steps of which is known how the last `Exclusive` ended."""

    __slots__ = ("failure",)

    def __init__(self, program: Program[Any] | Unfolded) -> None:
        super().__init__(program)
        self.failure: KickError | None = None

    def answer(self, answer: object) -> Asked | Ended:
        """Give it the answer; what it asks next."""
        asked = self.asked
        if type(asked) is Exclusive and self._inner is None:
            self._inner, self._slot, answer = self._told(asked), asked.slot, None
        return self._next(answer, None)

    def _told(self, asked: Exclusive) -> Generator[Leaf | Hold, Any, Token]:
        self.failure = None
        try:
            return (yield from exclusive(asked))
        except KickError as error:
            # Without its traceback, which holds this frame.
            self.failure = copy(error)
            raise


class Caller:
    """A program under way: where it stands, and what it holds."""

    __slots__ = (
        "account",
        "action",
        "app",
        "asked",
        "began",
        "children",
        "draws",
        "holds",
        "is_child",
        "name",
        "noted",
        "process",
        "refresh",
        "requests",
        "steps",
        "told",
        "track",
        "turn",
        "until",
    )

    def __init__(self, name: str, steps: Steps, process: Process, *, is_child: bool = False, account: str = "") -> None:
        self.name: str = name
        self.steps: Steps = steps
        self.process: Process = process
        self.is_child: bool = is_child
        self.account: str = account
        self.action: Renewal | None = None
        self.app: App | None = None
        self.asked: Asked | Ended = ENDED
        self.draws: Draws | None = None
        self.track: Track | None = None
        self.turn: Turn | None = None
        self.holds: Slot | None = None
        self.noted: int = 0
        self.children: int = 0
        self.until: int = 0
        self.began: int = 0
        self.requests: int = 0
        self.refresh: str | None = None
        self.told: list[KickError | None] = []


def _ahead(effect: RenewAhead, told: list[KickError | None]) -> Unfolded:
    """As `interpreters.sessions.steps.ahead` where a slot can always be held; `told` gets what it came to."""
    alone = yield Hold(effect.slot)
    told.append((yield from renew_ahead(effect.action, is_alone=alone)))


# What can be chosen

Act: TypeAlias = Literal["answer", "lose request", "lose answer", "fail save", "crash"]
Option: TypeAlias = tuple[Act, Caller]

_SHARED: Final[frozenset[type]] = frozenset({Send, LoadToken, SaveToken, DropToken})
"""By these programs influence each other, beside taking turns."""


class _Granted(Struct, frozen=True):
    refresh_token: str | None = None


_GRANTED: Final = msgspec.json.Decoder(_Granted)


class Scheduler:
    """Programs that stand still until it is chosen whose answer comes next.

    `has_common_lock` says whether processes keep each other from changing a token. With a `recording`, everything that
    is answered is written down.
    """

    def __init__(
        self, world: Simulated, *, has_common_lock: bool = True, recording: Recording | None = None, seed: str = SEED
    ) -> None:
        self.world = world
        self.clock: Clock = Clock(world.time)
        self.processes: dict[str, Process] = {}
        self.waiting: list[Caller] = []
        self.sleeping: list[Caller] = []
        self.outcomes: dict[str, Any] = {}
        self.seen: Counter[str] = Counter()
        self.effects: int = 0
        self.refreshes: list[str] = []
        self.spent: set[str] = set()
        self.spent_sent: int = 0
        self.overwritten: int = 0
        self.most_at_once: int = 0
        self.has_common_lock = has_common_lock
        self._holders: dict[Slot, Caller] = {}
        self._in_flight = 0
        self._issued: dict[str, int] = {}
        self._recording = recording
        self._seed = seed

    # Beginning and ending

    def process(self, name: str) -> Process:
        """The process of this name; a new one, with an empty memory, if there is none."""
        process = self.processes.get(name)
        if process is None:
            process = self.processes[name] = Process(name, Memory(self.world.tokens, self.clock))
        return process

    def begin(self, name: str, program: Program[Any], process: Process, app: App | None = None) -> None:
        """Begin a program, up to the first thing that it asks of others. `app` is the world's unless given."""
        caller = Caller(name, Stepping(program), process)
        caller.app = app
        self._open(caller, program)
        self.go_on(caller, caller.steps.begin())

    def _open(self, caller: Caller, program: Program[Any] | None) -> None:
        recording = self._recording
        if recording is None:
            caller.draws = Draws(self._seed, caller.name)
            return
        arguments = None
        if program is not None:
            arguments = recording.arguments(program)
            _ = recording.name(program, caller.name, "")
            recording.opened(caller.name)
        caller.track = Track(recording, caller.name, self.clock.wall, "", arguments)

    def crash(self, process: Process) -> None:
        """The process dies: its programs end where they are, and its memory is gone."""
        for caller in [*self.waiting, *self.sleeping]:
            if caller.process is process:
                self.leave(caller)
                self._free(caller)
                caller.steps.close()
                if not caller.is_child:
                    self.outcomes[caller.name] = Crashed(f"the process of {caller.name} died")
                if caller.track is not None:
                    caller.track.cancelled(self.clock.wall)
        process.memory = Memory(self.world.tokens, self.clock)
        process.turns = {}

    def leave(self, caller: Caller) -> None:
        """The program waits no longer."""
        (self.sleeping if caller in self.sleeping else self.waiting).remove(caller)
        if caller.refresh is not None:
            self._in_flight -= 1
            caller.refresh = None

    # What is next

    def ready(self) -> list[Caller]:
        """Who can be answered, those first who have waited longest."""
        found: list[Caller] = []
        for caller in self.waiting:
            asked = caller.asked
            kind = type(asked)
            if kind is Exclusive:
                if caller.process.turn(cast("Exclusive", asked).slot).taken is not None:
                    continue
            elif kind is Hold:
                slot = cast("Hold", asked).slot
                if self.has_common_lock and slot in self._holders:
                    continue
                if caller.is_child and caller.process.turn(slot).taken is not None:
                    continue
            found.append(caller)
        return found

    def wake(self) -> bool:
        """Everybody waits: let time pass until the first who sleeps is done. Whether anybody slept."""
        if not self.sleeping:
            return False
        caller = min(self.sleeping, key=_waking_up)
        self.pass_until(caller.until)
        self.sleeping.remove(caller)
        steps = caller.steps
        deadline = caller.began + round(SHIELD * 1e6)
        if steps.is_exclusive and caller.began and self.clock.ticks >= deadline and caller.until == deadline:
            self.seen["a renewal was given up"] += 1
            if caller.track is not None:
                caller.track.stalls(self.clock.wall)
            self.go_on(caller, steps.stall(), is_stalled=True)
        else:
            self.go_on(caller, self.give(caller, None))
        return True

    def pass_until(self, ticks: int) -> None:
        """Let time pass."""
        self.clock.ticks = max(self.clock.ticks, ticks)
        self.world.time = self.clock.ticks / 1e6

    def options(self, ready: list[Caller]) -> list[Option]:
        """What can go wrong now, one thing each."""
        found: list[Option] = []
        for caller in ready:
            kind = type(caller.asked)
            if kind is Send:
                found.append(("lose request", caller))
                found.append(("lose answer", caller))
            elif kind is SaveToken:
                found.append(("fail save", caller))
        processes: set[str] = set()
        for caller in ready:
            if caller.process.name not in processes:
                processes.add(caller.process.name)
                found.append(("crash", caller))
        return found

    def act(self, act: Act, caller: Caller) -> None:
        """Do what was chosen."""
        if act == "crash":
            self.seen["a process died"] += 1
            self.crash(caller.process)
        else:
            self.answer(caller, act)

    # Answering

    def answer(self, caller: Caller, act: Act = "answer") -> None:
        """Answer what a program waits for."""
        asked = caller.asked
        kind = type(asked)
        self.waiting.remove(caller)
        if kind is Exclusive:
            turn = caller.process.turn(cast("Exclusive", asked).slot)
            turn.taken, caller.turn, caller.action = caller, turn, cast("Exclusive", asked).action
            caller.began = caller.requests = 0
            given: object = None
        elif kind is Hold:
            given = self._hold(caller, cast("Hold", asked))
        else:
            given = self.answer_to(caller, cast("Leaf", asked), act)
        self.go_on(caller, self.give(caller, given))

    def _hold(self, caller: Caller, asked: Hold) -> bool:
        slot = asked.slot
        if caller.is_child:
            turn = caller.process.turn(slot)
            turn.taken, caller.turn = caller, turn
        caller.began = self.clock.ticks
        if self.has_common_lock:
            self._holders[slot] = caller
            caller.holds = slot
        return self.has_common_lock or len(self.processes) == 1

    def answer_to(self, caller: Caller, asked: Leaf, act: Act) -> object:
        """The answer to an effect by which programs influence each other."""
        match asked:
            case LoadToken(slot, reread):
                return caller.process.memory.load(slot, reread=reread)
            case SaveToken():
                return self._save(caller, asked, act)
            case DropToken(slot):
                return caller.process.memory.drop(slot)
            case Send():
                return self._send(caller, asked, act)
            case _:
                return self.world.answer(asked)

    def _save(self, caller: Caller, asked: SaveToken, act: Act) -> Saved | Superseded | NotSaved:
        slot, token = asked.slot, asked.token
        before = self.world.tokens.get(slot)
        outcome = caller.process.memory.save(slot, token, asked.version, fails=act == "fail save")
        if isinstance(outcome, Saved):
            if before is not None and self._order(before.token) > self._order(token):
                self.overwritten += 1
        else:
            self.seen["a sibling had saved before" if isinstance(outcome, Superseded) else "a save failed"] += 1
        return outcome

    def _order(self, token: Token) -> int:
        refresh = token.refresh_token
        return -1 if refresh is None else self._issued.get(refresh.reveal(), -1)

    def _send(self, caller: Caller, asked: Send, act: Act) -> Response | Unreachable:
        refresh, caller.refresh = caller.refresh, None
        caller.requests += 1
        if refresh is not None:
            self._in_flight -= 1
            self.refreshes.append(refresh)
            if refresh in self.spent:
                self.spent_sent += 1
        if act == "lose request":
            self.seen["a request was lost"] += 1
            return NEVER_CAME
        answer = self.exchange(caller, asked)
        if isinstance(answer, Response) and answer.status == 200 and asked.request.url.endswith("/oauth/token"):
            self._granted(refresh, answer)
        if act == "lose answer":
            self.seen["an answer was lost"] += 1
            return LOST
        return answer

    def exchange(self, caller: Caller, asked: Send) -> Response | Unreachable:
        """What Kick answers."""
        _ = caller
        return cast("Response | Unreachable", self.world.answer(asked))

    def _granted(self, refresh: str | None, answer: Response) -> None:
        if refresh is not None:
            self.spent.add(refresh)
        try:
            issued = _GRANTED.decode(answer.body).refresh_token
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if issued is not None:
            self._issued[issued] = len(self._issued)

    def give(self, caller: Caller, answer: object) -> Asked | Ended:
        """Hand an answer over, and write it down."""
        self.effects += 1
        track = caller.track
        if track is not None:
            asked = cast("Asked", caller.asked)
            answer = track.delivers(asked, track.asks(asked), answer, self.clock.wall)
        return caller.steps.answer(answer)

    # What programs ask

    def go_on(self, caller: Caller, asked: Asked | Ended, *, is_stalled: bool = False) -> None:  # noqa: C901 - one case for each effect
        """Answer what concerns nobody else, until the program waits for its turn, for the world, or has ended."""
        steps = caller.steps
        while True:
            if caller.turn is not None and not caller.is_child and not steps.is_exclusive:
                self._let_go(caller, is_stalled=is_stalled)
                is_stalled = False
            caller.asked = asked
            kind = type(asked)
            if kind in _SHARED:
                if kind is Send:
                    self.takes_off(caller, cast("Send", asked))
                break
            if kind is Now:
                self.effects += 1
                asked = steps.answer(self.clock.wall / 1_000_000)
            elif kind is Exclusive:
                caller.noted = caller.process.turn(cast("Exclusive", asked).slot).ended
                break
            elif kind is Hold:
                failure = self._shared_failure(caller)
                if failure is None:
                    break
                asked = self._fail(caller, failure)
            elif kind is Sleep:
                if self.falls_asleep(caller, cast("Sleep", asked).seconds):
                    return
                asked = self.give(caller, None)
            elif kind is RenewAhead:
                asked = self._begin_ahead(caller, cast("RenewAhead", asked))
            elif kind is Ended:
                self._end(caller)
                return
            elif kind is Entropy:
                self.effects += 1
                asked = steps.answer(self._draw(caller, cast("Entropy", asked)))
            else:
                asked = self.give(caller, self.answer_alone(caller, cast("Leaf", asked)))
            if self.effects > LONGEST:
                raise ConfigError(
                    f"the programs asked for more than {LONGEST} effects in one schedule; do they come to an end?"
                )
        self.waiting.append(caller)

    def answer_alone(self, caller: Caller, asked: Leaf) -> object:
        """The answer to an effect that concerns the program alone."""
        if type(asked) is LoadApp and caller.app is not None:
            return caller.app
        return self.world.answer(asked)

    def takes_off(self, caller: Caller, asked: Send) -> None:
        """Look at a request that is about to be sent."""
        request = asked.request
        if request.bearer is None and request.form:
            for name, value in request.form:
                if name == "refresh_token" and isinstance(value, Secret):
                    caller.refresh = value.reveal()
                    self._in_flight += 1
                    self.most_at_once = max(self.most_at_once, self._in_flight)

    def _shared_failure(self, caller: Caller) -> KickError | None:
        """How somebody failed at the same thing while this one waited for its turn."""
        if caller.is_child or caller.turn is None:
            return None
        turn = caller.turn
        if turn.failure is None or turn.ended <= caller.noted or not isinstance(caller.action, RENEWALS):
            return None
        self.seen["a failure was shared"] += 1
        return copy(turn.failure)

    def _fail(self, caller: Caller, failure: Exception) -> Asked | Ended:
        self.effects += 1
        track = caller.track
        if track is not None:
            asked = cast("Asked", caller.asked)
            track.fails(asked, track.asks(asked), failure, self.clock.wall)
        return caller.steps.fail(failure)

    def falls_asleep(self, caller: Caller, seconds: float) -> bool:
        """Let the program wait until so many seconds are over. Whether it has to."""
        if seconds <= 0:
            return False
        until = self.clock.ticks + round(seconds * 1e6)
        if caller.steps.is_exclusive and caller.began:
            until = min(until, caller.began + round(SHIELD * 1e6))
        caller.until = until
        self.sleeping.append(caller)
        return True

    def _draw(self, caller: Caller, asked: Entropy) -> bytes:
        track, draws = caller.track, caller.draws
        if asked.purpose not in SECRET_PURPOSES and draws is not None:
            return draws.draw(asked.size, asked.purpose)
        octets = track.draws(asked) if track is not None else None
        return cast("bytes", self.world.answer(asked)) if octets is None else octets

    def _begin_ahead(self, caller: Caller, effect: RenewAhead) -> Asked | Ended:
        turn = caller.process.turn(effect.slot)
        begins = not turn.is_ahead and turn.taken is None
        self.seen["a renewal was begun ahead" if begins else "a renewal ahead was under way"] += 1
        if begins:
            turn.is_ahead = True
            caller.children += 1
            told: list[KickError | None] = []
            name = f"{caller.name}/{caller.children}"
            child = Caller(name, Steps(_ahead(effect, told)), caller.process, is_child=True)
            child.told, child.app = told, caller.app
            if caller.track is not None:
                # Its name is counted there, too.
                _ = caller.track.child()
            self._open(child, None)
            self.go_on(child, child.steps.begin())
        self.effects += 1
        if caller.track is not None:
            _ = caller.track.delivers(effect, caller.track.asks(effect), begins, self.clock.wall)
        return caller.steps.answer(None)

    def _let_go(self, caller: Caller, *, is_stalled: bool) -> None:
        """An `Exclusive` has ended."""
        turn = caller.turn
        caller.turn = None
        if turn is None:
            return
        turn.taken = None
        self._free(caller)
        steps = caller.steps
        failure = steps.failure if isinstance(steps, Stepping) and not is_stalled else _of_kick(steps.error)
        if not caller.began:
            if failure is None:
                self.seen["a renewal was shared"] += 1
            return
        caller.began = 0
        if failure is None and not caller.requests:
            self.seen["a sibling had renewed before"] += 1
        turn.end(failure)

    def _end(self, caller: Caller) -> None:
        steps, turn = caller.steps, caller.turn
        self._free(caller)
        if not caller.is_child:
            self.outcomes[caller.name] = steps.value if steps.error is None else steps.error
            if isinstance(steps.error, GrantLost):
                self.seen["a grant was lost"] += 1
            if caller.track is not None:
                caller.track.ends(steps.error, steps.value)
        elif turn is not None:
            turn.taken, turn.is_ahead, caller.turn = None, False, None
            turn.end(caller.told[0] if caller.told else _of_kick(steps.error))

    def _free(self, caller: Caller) -> None:
        """Let go of the lock between processes."""
        if caller.holds is not None:
            del self._holders[caller.holds]
            caller.holds = None

    def finish(self) -> None:
        """Nobody can go on: who has not ended waits for ever; and processes store what they hold in memory only."""
        for caller in self.waiting:
            if not caller.is_child:
                self.outcomes[caller.name] = Stuck(f"{caller.name} waits for {type(caller.asked).__name__} for ever")
            caller.steps.close()
        self.waiting.clear()
        for process in self.processes.values():
            process.memory.flush()


def _waking_up(caller: Caller) -> int:
    return caller.until


def _of_kick(error: BaseException | None) -> KickError | None:
    return copy(error) if isinstance(error, KickError) else None


# What came of a schedule, and what must hold of it


class Finished(Struct, frozen=True):
    """The end of one schedule.

    `outcomes` has for each program its value or its exception: `Crashed` if its process died, `Stuck` if it waits for
    ever. `refreshes` counts those that were sent, `at_once` how many were on their way at the same time at most,
    `spent_sent` those of a token that Kick had traded in before, and `overwritten` the saves that put an older token
    in the place of a newer one. `seen` counts what happened. `world` is as it was left; its tokens are the store.
    """

    world: Simulated
    outcomes: Mapping[str, Any]
    refreshes: int
    at_once: int
    spent_sent: int
    overwritten: int
    seen: Mapping[str, int]
    has_common_lock: bool

    def token(self, account: str = "") -> Token | None:
        """The user token in the store."""
        slot = replace(self.world.app, account=account).slot(TokenKind.USER)
        stored = self.world.tokens.get(slot)
        return stored and stored.token

    @property
    def may_have_lost(self) -> bool:
        """Whether something happened after which nobody can promise that the grant lives on.

        That is an answer that was lost, the death of a process, or processes that do not share a lock.
        """
        happened = self.seen.get("an answer was lost", 0) + self.seen.get("a process died", 0)
        return bool(happened) or not self.has_common_lock


def takes(world: Simulated, token: Token | None) -> bool:
    """Whether the simulated Kick would trade in the refresh token of `token` now."""
    if token is None or token.refresh_token is None:
        return False
    kick = world.sandbox.world
    held = kick.refresh.get(token.refresh_token.reveal())
    if held is None or world.time >= held.expires_at:
        return False
    is_in_grace = kick.rules.rotation is Rotation.GRACE and held.spent_at is not None
    return held.spent_at is None or (is_in_grace and world.time < held.spent_at + kick.rules.grace_seconds)


def one_refresh_at_a_time(finished: Finished) -> None:
    """At most one refresh is on its way, where there is a lock."""
    if finished.has_common_lock and finished.at_once > 1:
        raise AssertionError(f"{finished.at_once} refreshes were on their way at the same time")


def nothing_spent_is_sent(finished: Finished) -> None:
    """A refresh token that was traded in is not sent again, unless nobody could know that it was."""
    if finished.spent_sent and not finished.may_have_lost:
        raise AssertionError("a refresh token was sent that had been traded in before")


def everybody_ends(finished: Finished) -> None:
    """Every program ends with a value or with a `KickError`, or its process died."""
    for name, outcome in finished.outcomes.items():
        if isinstance(outcome, BaseException) and not isinstance(outcome, KickError | Crashed):
            raise AssertionError(f"{name} ended with {type(outcome).__name__}, which is no KickError")


def the_grant_lives(finished: Finished) -> None:
    """Kick takes the stored refresh token, unless an answer was lost or a process died."""
    token = finished.token()
    if token is not None and not takes(finished.world, token) and not finished.may_have_lost:
        raise AssertionError("Kick does not take the refresh token that is stored")


def nothing_newer_is_overwritten(finished: Finished) -> None:
    """No save puts an older token in the place of a newer one."""
    if finished.overwritten:
        raise AssertionError("a save put an older token in the place of a newer one")


Check: TypeAlias = Callable[[Finished], None]


class Invariants(Struct, frozen=True):
    """What must hold at the end of every schedule: each raises `AssertionError` where it does not."""

    checks: tuple[Check, ...]

    def __call__(self, finished: Finished) -> None:
        """Raise what the first raises that does not hold."""
        for check in self.checks:
            check(finished)


USUAL: Final = Invariants(
    (
        everybody_ends,
        one_refresh_at_a_time,
        nothing_spent_is_sent,
        nothing_newer_is_overwritten,
        the_grant_lives,
    )
)
"""What holds of kickcore's own programs."""


# Exploring

MakeWorld: TypeAlias = Callable[[], Simulated]
Programs: TypeAlias = Mapping[str, Callable[[], Program[Any]]]


class Schedule(Struct, frozen=True):
    """One schedule, and what it came to.

    `session` is a recording of it, which replays with `Player.run_all` and, in an event loop, with `run_beside`.
    `token` brings it about again: `replay_schedule(token, ...)`. `deviations` counts the choices that are not first
    come, first served. `error` is what did not hold, if anything. Its text tells what happened, a line for each step.
    """

    token: str
    session: Session
    outcomes: Mapping[str, Any]
    steps: tuple[str, ...]
    faults: int = 0
    deviations: int = 0
    error: Exception | None = None

    def __str__(self) -> str:
        what = "" if self.error is None else f"{type(self.error).__name__}: {self.error}\n"
        told = f"{self.faults} faults, {self.deviations} times not first come, first served"
        return f"{what}  schedule {self.token} ({told})\n" + "\n".join(f"  {step}" for step in self.steps)


class Report(Struct, frozen=True):
    """What was explored: how many schedules, whether these are all, and how many effects were answered in them.

    `sometimes` tells in how many schedules a thing happened at least once. `counterexample` is a schedule in which
    something does not hold, made as simple as it can be.
    """

    schedules: int
    is_exhaustive: bool
    effects: int
    sometimes: Mapping[str, int]
    counterexample: Schedule | None = None

    def insist(self) -> None:
        """Raise `AssertionError` with the counterexample, if there is one."""
        if self.counterexample is not None:
            raise AssertionError(str(self.counterexample))

    def __str__(self) -> str:
        rows = [f"{self.schedules} schedules, {'all there are' if self.is_exhaustive else 'of more'}; "]
        rows[0] += f"{self.effects} effects"
        rows += [f"  {count:>8} {what}" for what, count in sorted(self.sometimes.items())]
        return "\n".join([*rows, *([] if self.counterexample is None else [str(self.counterexample)])])


class _Plan(Struct, frozen=True):
    """What stays the same in all schedules."""

    make_world: MakeWorld
    programs: Programs
    process_of: Mapping[str, str]
    has_common_lock: bool
    check: Check


class _Run(Struct, frozen=True):
    """One schedule that was followed: the choices, and out of how many each was made."""

    trail: list[tuple[int, int]]
    scheduler: Scheduler
    faults: int
    deviations: int
    acts: list[tuple[str, int, str]]
    error: Exception | None = None

    @property
    def choices(self) -> list[int]:
        choices = [choice for choice, _ in self.trail]
        while choices and not choices[-1]:
            _ = choices.pop()
        return choices

    @property
    def size(self) -> tuple[int, int, int]:
        """What shrinks."""
        return self.faults, self.deviations, len(self.choices)


def _plan(
    make_world: MakeWorld,
    programs: Programs,
    check: Check,
    processes: Mapping[str, Iterable[str]] | None,
    *,
    shared_lock: bool,
) -> _Plan:
    if not programs:
        raise ConfigError("there is nothing to explore; give programs by name")
    if processes is None:
        process_of = {name: "one" if shared_lock else name for name in programs}
    else:
        process_of = {name: process for process, names in processes.items() for name in names}
        if missing := sorted(set(programs) ^ set(process_of)):
            raise ConfigError(f"processes must name each program once; look at {', '.join(missing)[:200]}")
    return _Plan(make_world, programs, process_of, shared_lock, check)


class _Choices:
    """The choices of one schedule: as given, and then first come, first served, or by chance.

    `expected` are the choices of the schedule before, which begins in the same way, and out of how many each was made.
    """

    def __init__(
        self,
        given: Sequence[int],
        expected: Sequence[tuple[int, int]] | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.trail: list[tuple[int, int]] = []
        self._given = given
        self._expected = expected
        self._chance = chance

    def choose(self, many: int, count: int) -> int:
        """One of `count`, of which the first `many` are no faults."""
        at = len(self.trail)
        if at < len(self._given):
            choice = self._given[at]
            expected = self._expected
            if expected is not None and (choice >= count or expected[at][1] != count):
                raise _unequal()
            choice = choice if choice < count else 0
        elif self._chance is None:
            choice = 0
        elif many < count and self._chance.random() < _FAULTS_BY_CHANCE:
            choice = self._chance.randrange(many, count)
        else:
            choice = self._chance.randrange(many)
        self.trail.append((choice, count))
        return choice

    def end(self) -> None:
        """Raise `ConfigError` if the schedule ended before its choices."""
        if self._expected is not None and len(self.trail) < len(self._given):
            raise _unequal()


def _unequal() -> ConfigError:
    return ConfigError(
        "the same choices led to other steps; nothing was kept; programs and worlds must not look at clocks, "
        "at chance or at the order of sets"
    )


def _begun(plan: _Plan, recording: Recording | None) -> Scheduler:
    scheduler = Scheduler(plan.make_world(), has_common_lock=plan.has_common_lock, recording=recording)
    for process in plan.process_of.values():
        _ = scheduler.process(process)
    for name, make in plan.programs.items():
        scheduler.begin(name, make(), scheduler.process(plan.process_of[name]))
    return scheduler


def _follow(plan: _Plan, choices: _Choices, faults: int, recording: Recording | None = None) -> _Run:
    """Run everything anew along these choices."""
    scheduler = _begun(plan, recording)
    acts = list[tuple[str, int, str]]()
    budget, deviations = faults, 0
    while True:
        ready = scheduler.ready()
        if not ready:
            if scheduler.wake():
                continue
            break
        many = len(ready)
        options = scheduler.options(ready) if budget else ()
        choice = choices.choose(many, many + len(options)) if options or many > 1 else 0
        if choice < many:
            if choice:
                deviations += 1
                _note(acts, ready[choice], "out of turn")
            scheduler.answer(ready[choice])
        else:
            budget -= 1
            act, caller = options[choice - many]
            _note(acts, caller, act)
            scheduler.act(act, caller)
    choices.end()
    scheduler.finish()
    return _Run(choices.trail, scheduler, faults - budget, deviations, acts, _judged(plan, scheduler))


_FAULTS_BY_CHANCE: Final = 0.1


def _note(acts: list[tuple[str, int, str]], caller: Caller, what: str) -> None:
    if caller.track is not None:
        acts.append((caller.name, caller.track.index, what))


def _judged(plan: _Plan, scheduler: Scheduler) -> Exception | None:
    finished = Finished(
        scheduler.world,
        scheduler.outcomes,
        len(scheduler.refreshes),
        scheduler.most_at_once,
        scheduler.spent_sent,
        scheduler.overwritten,
        scheduler.seen,
        scheduler.has_common_lock or len(scheduler.processes) == 1,
    )
    try:
        plan.check(finished)
    except Exception as error:  # noqa: BLE001 - whatever a check raises says that something does not hold
        # Its traceback holds the world.
        return error.with_traceback(None)
    for outcome in scheduler.outcomes.values():
        if isinstance(outcome, Stuck):
            return outcome
    return None


def explore(
    make_world: MakeWorld,
    programs: Programs,
    *,
    faults: int = 0,
    check: Check = USUAL,
    limit: int = 1_000_000,
    sample: int | None = None,
    seed: str = SEED,
    shared_lock: bool = True,
    processes: Mapping[str, Iterable[str]] | None = None,
) -> Report:
    """Run `programs` beside each other in every order, with at most `faults` faults in each, until `check` raises.

    `make_world` makes a simulated Kick for each schedule, with the tokens of its store; it is to be quick. Programs are
    made anew for each schedule, too. There is a choice wherever programs influence each other: before a request, before
    the store is read or written, and where somebody takes a turn or a lock. A fault is a request or an answer that is
    lost, a save that fails, or the death of a process. Time moves when everybody sleeps.

    All programs are in one process that takes turns with a token. Without `shared_lock`, each is a process of its own:
    these share the store, and neither memory nor turns. `processes` names the programs of each process.

    At most `limit` schedules are run, depth first; `sample` runs so many by chance instead, which depends on `seed`.
    Raises `ConfigError` where programs or worlds do not take equal steps, or come to no end.
    """
    plan = _plan(make_world, programs, check, processes, shared_lock=shared_lock)
    sometimes: Counter[str] = Counter()
    count = effects = 0
    choices: list[int] = []
    trail: list[tuple[int, int]] = []
    # Chance for a search, and no secret.
    chance = None if sample is None else random.Random(seed)  # noqa: S311
    run: _Run | None = None
    while count < (limit if sample is None else sample):
        run = _follow(plan, _Choices(choices, trail, chance), faults)
        count += 1
        effects += run.scheduler.effects
        sometimes.update(run.scheduler.seen.keys())
        if run.error is not None:
            example = _told(plan, _shrunk(plan, run, faults), faults)
            return Report(count, False, effects, sometimes, example)  # noqa: FBT003 - a failure ends it
        if chance is not None:
            continue
        trail = run.trail
        while trail and trail[-1][0] + 1 >= trail[-1][1]:
            _ = trail.pop()
        if not trail:
            return Report(count, True, effects, sometimes)  # noqa: FBT003
        choices = [choice for choice, _ in trail]
        choices[-1] += 1
    return Report(count, False, effects, sometimes)  # noqa: FBT003


def _shrunk(plan: _Plan, run: _Run, faults: int) -> _Run:
    """A schedule that fails as well, with the fewest faults, and then the fewest deviations, that can be found."""
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for choices in _simpler(run.choices):
            shorter = _follow(plan, _Choices(choices), faults)
            if shorter.error is not None and shorter.size < run.size:
                run, is_smaller = shorter, True
                break
    return run


def _simpler(choices: list[int]) -> Iterable[list[int]]:
    """The same choices with one of them less, or earlier; what comes after it is kept, shifted or left out."""
    places = [at for at, choice in enumerate(choices) if choice]
    for at in places:
        yield choices[:at]
    for at in places:
        yield [*choices[:at], 0, *choices[at + 1 :]]
        yield [*choices[:at], *choices[at + 1 :]]
    for at in places:
        for less in range(1, choices[at]):
            yield [*choices[:at], less]
            yield [*choices[:at], less, *choices[at + 1 :]]
    # One choice alone, wherever it may stand.
    if len(places) > 1:
        most = max(choices)
        for at in range(len(choices)):
            yield from ([*[0] * at, choice] for choice in range(1, most + 1))


# Telling, and doing it again


def _told(plan: _Plan, run: _Run, faults: int) -> Schedule:
    """The schedule once more, written down."""
    recording = Recording(seed=SEED)
    again = _follow(plan, _Choices(run.choices), faults, recording)
    session = recording.close()
    return Schedule(
        _token(run.choices, faults, plan),
        session,
        dict(again.scheduler.outcomes),
        tuple(_story(session, again, recording)),
        again.faults,
        again.deviations,
        again.error,
    )


def _story(session: Session, run: _Run, recording: Recording) -> Iterable[str]:
    noted = {(name, index): what for name, index, what in run.acts}
    wide = max((len(line.p) for line in session.lines), default=0)
    for number, line in zip(session.numbers, session.lines, strict=True):
        note = noted.get((line.p, line.i), "")
        mark = f"   <- {note}" if note else ""
        seconds = f"{line.t / 1e6:>8.3f} s"
        what = "its process died" if line.cancel else f"{summary(line.k, bytes(line.q))}{_came(line)}"
        yield f"{number:>3} {seconds}  {line.p:<{wide}}  {what}{mark}"
    for name, outcome in run.scheduler.outcomes.items():
        is_error = isinstance(outcome, BaseException)
        text = f"raised {type(outcome).__name__}: {outcome}" if is_error else f"gave {type(outcome).__name__}"
        yield f"  {name} {cut(recording.disguise.hide(text))}"


class _Answer(Struct, frozen=True):
    """What of an answer is worth a word."""

    status: int | None = None
    reason: str | None = None
    type: str | None = None
    version: str | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def _came(line: Line) -> str:
    """What was answered, in a word or two."""
    if line.failure:
        return f" -> raised {msgspec.json.decode(line.failure)['type']}"
    raw = line.answer
    if line.k == "load_token" and raw == b"null":
        return " -> nothing"
    if raw in {b"true", b"false"}:
        return "" if raw == b"true" else " -> no"
    if not raw.startswith(b"{"):
        return ""
    answer = _ANSWER.decode(raw)
    told = (
        None if answer.status is None else f"status {answer.status}",
        answer.reason or answer.type,
        None if answer.version is None else f"version {answer.version}",
    )
    return " -> " + " ".join(text for text in told if text)


_PREFIX: Final = "kc1-"


def _token(choices: Sequence[int], faults: int, plan: _Plan) -> str:
    """The choices as a text: the number of faults, then each that is not the first, and how far it is from the last."""
    octets = bytearray(_varint(faults))
    before = -1
    for at, choice in enumerate(choices):
        if choice:
            octets += _varint(at - before) + _varint(choice)
            before = at
    octets.append(_mark_of(plan, octets))
    return _PREFIX + b32encode(octets).decode().rstrip("=").lower()


def _mark_of(plan: _Plan, octets: bytes | bytearray) -> int:
    """Tells a schedule of other programs, and a text that was mistyped."""
    return binascii.crc32("\n".join(plan.programs).encode("utf-8", "replace") + bytes(octets)) & 0xFF


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number >= 0x80:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


_LONGEST_TOKEN: Final = 4096
_MOST_CHOICES: Final = 1_000_000


def _choices(token: str, plan: _Plan) -> tuple[list[int], int]:
    text = token.strip().removeprefix(_PREFIX).upper()
    refused = ConfigError(
        "this is no schedule of these programs; give the whole text that begins with kc1-, and the same programs"
    )
    if not token.strip().startswith(_PREFIX) or len(text) > _LONGEST_TOKEN:
        raise refused
    try:
        octets = b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        raise refused from None
    if len(octets) < 2 or octets[-1] != _mark_of(plan, octets[:-1]):
        raise refused
    numbers = list[int]()
    number = shift = 0
    for octet in octets[:-1]:
        number |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            numbers.append(number)
            number = shift = 0
    faults, *pairs = numbers
    if len(pairs) % 2 or sum(pairs[::2]) > _MOST_CHOICES:
        raise refused
    choices = list[int]()
    for distance, choice in zip(pairs[::2], pairs[1::2], strict=True):
        choices += [0] * (distance - 1) + [choice]
    return choices, faults


def replay_schedule(
    token: str,
    make_world: MakeWorld,
    programs: Programs,
    *,
    check: Check = USUAL,
    shared_lock: bool = True,
    processes: Mapping[str, Iterable[str]] | None = None,
) -> Schedule:
    """The schedule that a token stands for, with the arguments that `explore` had. Its `error` says whether it fails.

    Raises `ConfigError` for a text that is no token of these programs.
    """
    plan = _plan(make_world, programs, check, processes, shared_lock=shared_lock)
    choices, faults = _choices(token, plan)
    return _told(plan, _follow(plan, _Choices(choices), faults), faults)


async def run_beside(player: Player, programs: Mapping[str, Program[Any]]) -> dict[str, Any]:
    """Replay programs by name in tasks of their own, on asyncio or trio, as `Player.run_all` does without a loop.

    Gives their values by the same names; the exception itself for one that failed, and `Cancelled` for one that was
    cancelled where the session says so. Raises `ReplayDivergence`.
    """
    results: dict[str, Any] = {}
    scopes = {name: anyio.CancelScope() for name in programs}
    failures: list[ReplayDivergence] = []

    async def one(name: str, program: Program[Any]) -> None:
        with scopes[name]:
            try:
                results[name] = await player.run(program, label=name)
            except ReplayDivergence as divergence:
                failures.append(divergence)
                results[name] = divergence
            except Exception as error:  # noqa: BLE001 - it is the result
                results[name] = error
        if name not in results:
            results[name] = Cancelled(f"{name} was cancelled here when it was recorded")

    ended_early = {line.p for line in player.session.lines if line.cancel}
    async with anyio.create_task_group() as tasks:
        for name, program in programs.items():
            tasks.start_soon(one, name, program)
        while not failures and (
            len(player.delivered) < len(player.session.lines)
            or any(name not in results for name in programs if name not in ended_early)
        ):
            await checkpoint()
        for name in programs:
            if name not in results:
                scopes[name].cancel()
    if failures:
        raise failures[0]
    return results
