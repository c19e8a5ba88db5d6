"""The life of a grant: several processes, one store, one simulated Kick, two clocks, and whatever can go wrong.

Everything but the wire, the clocks and the disk is the real thing: programs, driver, memory, locks between tasks. A
refresh stands still on the wire until it is told what becomes of it. After each step the invariants are checked.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from msgspec import Struct
from msgspec.structs import replace
from worlds import shown

from interpreters.driver import run
from interpreters.live import Live
from interpreters.sandbox import Rotation, Rules, Sandbox, approve, respond, small_world
from interpreters.tokens.remembered import RememberedTokens
from interpreters.turns import Turn
from kickcore.api.users import fetch_user
from kickcore.effects import Consent
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.notices import Notice
from kickcore.oauth.access import token_for
from kickcore.oauth.callback import Callback, Refused, read_pasted
from kickcore.oauth.grants import refresh_request
from kickcore.oauth.login import authenticate, logout
from kickcore.oauth.tokens import App, Outcome, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.secret import Secret

APP = App("sandbox-app", Secret("sandbox-secret"), "http://127.0.0.1", "http://127.0.0.1")
SLOT = APP.slot(TokenKind.USER)
START = 1_800_000_000.0
SCOPES = ("user:read", "chat:write")


class Crashed(BaseException):
    """The process is gone. Nothing of it goes on."""


class Fate(Struct, frozen=True):
    """What becomes of a request: whether Kick acts on it, and what comes back."""

    reaches: bool = True
    answers: bool = True
    cut: int | None = None
    status: int | None = None
    echoes: bool = False


DELIVERED = Fate()
LOST_BEFORE = Fate(reaches=False, answers=False)
LOST_AFTER = Fate(answers=False)
NOT_SENT = Fate(reaches=False, answers=False, status=0)


class Flight:
    """A refresh on the wire."""

    def __init__(self, process: "Process", refresh: str, stored: Token | None) -> None:
        self.process = process
        self.refresh = refresh
        self.stored = stored
        self.fate: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()


class Take(Struct, frozen=True):
    """A refresh that took off: when, and what was to be said of it at that moment."""

    at: float
    flight: Flight
    is_alive: bool
    is_marked: bool
    is_old: bool
    is_dead: bool
    is_second_try: bool


class Call:
    """A call that somebody makes, and how it ends."""

    def __init__(
        self, process: "Process", task: "asyncio.Task[Any]", began: float, *, could_go_on: bool, has_disk: bool
    ) -> None:
        self.process = process
        self.task = task
        self.began = began
        self.could_go_on = could_go_on
        self.has_disk = has_disk
        self.was_cancelled = False
        self.saw_clock_set = False
        self.is_login = False

    @property
    def is_over(self) -> bool:
        return self.task.done()

    @property
    def error(self) -> BaseException | None:
        return None if self.task.cancelled() or not self.task.done() else self.task.exception()

    @property
    def token(self) -> Token | None:
        is_good = self.task.done() and not self.task.cancelled() and self.task.exception() is None
        return self.task.result() if is_good and isinstance(self.task.result(), Token) else None


class Disk:
    """What the processes share: one token, and a lock."""

    def __init__(self) -> None:
        self.stored: dict[Slot, Stored] = {}
        self.versions = 0
        self.is_full = False
        self.lock = anyio.Lock()

    @property
    def token(self) -> Token | None:
        stored = self.stored.get(SLOT)
        return stored and stored.token


class DiskOf:
    """The disk as one process sees it: a token store."""

    def __init__(self, process: "Process", disk: Disk) -> None:
        self._process = process
        self._disk = disk

    async def load(self, slot: Slot) -> Stored | None:
        await self._process.step()
        return self._disk.stored.get(slot)

    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded:
        await self._process.step()
        if self._disk.is_full:
            raise OSError(28, "No space left on device")
        there = self._disk.stored.get(slot)
        if (there.version if there else "") != version:
            return Superseded(there)
        self._disk.versions += 1
        self._disk.stored[slot] = Stored(token, str(self._disk.versions))
        return Saved(str(self._disk.versions))

    async def drop(self, slot: Slot) -> None:
        await self._process.step()
        self._disk.stored.pop(slot, None)

    @asynccontextmanager
    async def hold(self, slot: Slot) -> AsyncGenerator[bool]:
        async with self._disk.lock:
            await self._process.step()
            yield True


class Process(Live):
    """One process of the user's, with a memory of its own."""

    def __init__(self, life: "Life", number: int) -> None:
        self.life = life
        self.number = number
        self.is_dead = False
        tokens = RememberedTokens(DiskOf(self, life.disk), lambda: life.ticks, lambda: life.wall)
        super().__init__(
            APP, Wire(self), tokens, browser=self.consenting, clock=lambda: life.wall, on_notice=life.notices.append
        )

    @property
    def at_least(self) -> float:
        """What time it must be by now, by the token that it holds: the clock may have been set since that came."""
        held = self.tokens._held.get(SLOT)
        return 0.0 if held is None else self.tokens._stored(held).at_least

    @property
    def has_unsaved(self) -> bool:
        """Whether it holds a token that could not be stored."""
        held = self.tokens._held.get(SLOT)
        return held is not None and held.unsaved is not None

    async def step(self) -> None:
        await asyncio.sleep(0)
        if self.is_dead:
            raise Crashed

    async def sleep(self, seconds: float) -> None:
        self.life.advance(seconds)
        await self.step()

    async def consenting(self, asked: Consent) -> Callback:
        address = approve(asked.url, self.life.kick.handle)
        end = read_pasted(address, redirect_uri=asked.redirect_uri, state=asked.state, issuer=asked.issuer)
        assert not isinstance(end, Refused)
        return end


class Wire:
    """The network of one process. A refresh stands still on it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def send(self, request: Request) -> Response | Unreachable:
        life = self._process.life
        refresh = shown(request.form).get("refresh_token")
        if refresh is None:
            await self._process.step()
            return life.answered(request)
        flight = Flight(self._process, refresh, life.disk.token)
        life.took_off(flight)
        try:
            fate = await flight.fate
        except asyncio.CancelledError:
            # Kick has it all the same.
            life.act(flight)
            life.torn.append(flight)
            raise
        finally:
            life.flights.remove(flight)
        if self._process.is_dead:
            raise Crashed
        return life.landed(flight, request, fate)

    async def aclose(self) -> None:
        pass


class Life:
    """The world, its steps, and what has happened so far."""

    def __init__(self, rotation: Rotation = Rotation.STRICT, processes: int = 2, **rules: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda loop, context: self.complain(context))
        self.complaints: list[dict[str, Any]] = []
        self.wall, self.ticks = START, 0.0
        self.rotation = rotation
        world = small_world(rotation=rotation, redirect_uris=("http://127.0.0.1:3000/callback",), **rules)
        self.kick = Sandbox(world, clock=lambda: START + self.ticks)
        self.disk = Disk()
        self.flights: list[Flight] = []
        self.torn: list[Flight] = []
        """Refreshes that were cut off by somebody's cancellation."""
        self.calls: list[Call] = []
        self.notices: list[Notice] = []
        self.sends: list[Take] = []
        self.delivered: list[str] = []
        """Refresh tokens that Kick gave and that came through, in order."""
        self.traded_in: set[str] = set()
        self.unmarkable: set[str] = set()
        """Refresh tokens that were sent while the disk was full."""
        self.ended: dict[str, bool] = {}
        """Refresh tokens of which Kick was heard to say that it takes them no longer; whether that could be stored."""
        self.spent_unheard: set[str] = set()
        """Refresh tokens that Kick spent, while nobody heard of it."""
        self.losses_heard = 0
        """How often Kick refused a refresh token that it had spent unheard, and of which the store knew."""
        self.excused: set[str] = set()
        """Refresh tokens that nobody can be blamed for losing: they died with a process that could not store them."""
        self.families: list[str] = []
        """Logins, in order."""
        self.once_logged_in: Callable[[], None] = lambda: None
        """For tests: what to do when somebody has logged in."""
        self.was_full = False
        self.is_confused = False
        """Whether a clock was set back while tokens were in memory only: by their times, nobody can order them."""
        self.newest_stored = ""
        self.newest_login = -1
        self.has_called_api = False
        self.full_until = -1.0
        self.is_out = False
        self.failed_since: dict[int, int] = {}
        """For each process whose last refresh failed: how many calls there were by then."""
        self.processes = [Process(self, number) for number in range(processes)]

    def complain(self, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), Crashed):
            self.complaints.append(context)

    # Steps

    def start(self, process: Process, program: Any) -> Call:
        held = process.tokens.peek(SLOT) or self.disk.token
        now = max(self.wall, START + self.ticks, process.at_least)
        # What could not be stored is stored in passing, and that may wait for a moment.
        is_stored = not self.is_full and not process.has_unsaved
        is_good = held is not None and now < held.expires_at - 60 and held.attempt is None and is_stored
        could_go_on = is_good and program.__name__ == "token_for"
        task = self.loop.create_task(run(program, process, process))
        call = Call(process, task, self.wall, could_go_on=could_go_on, has_disk=not self.is_full)
        self.calls.append(call)
        self.settle()
        return call

    def call(self, number: int = 0) -> Call:
        """Somebody needs a user token."""
        return self.start(self.processes[number], token_for(SLOT))

    def call_api(self, number: int = 0) -> Call:
        """Somebody makes a call of the API with it."""
        self.has_called_api = True
        return self.start(self.processes[number], fetch_user())

    def log_in(self, number: int = 0) -> Call:
        self.is_out = False
        # No two logins at the same instant: nobody could tell which came later.
        self.advance(1)
        call = self.start(self.processes[number], authenticate(SCOPES))
        call.is_login = True
        return call

    def log_out(self, number: int = 0) -> Call:
        call = self.start(self.processes[number], logout())
        # A login that is not stored yet, or could not be, has not been logged out by another.
        is_elsewhere = any(self.accepts(refresh) for refresh in self.held())
        is_elsewhere = is_elsewhere or any(process.has_unsaved for process in self.processes)
        is_coming = any(call.is_login and not call.is_over for call in self.calls)
        is_done = call.is_over and call.error is None and self.disk.token is None
        self.is_out = is_done and not is_elsewhere and not is_coming
        return call

    def land(self, fate: Fate = DELIVERED, flight: Flight | None = None) -> None:
        """Tell what becomes of the refresh that is on the wire."""
        (flight or self.flights[0]).fate.set_result(fate)
        self.settle()

    def land_all(self, fate: Fate = DELIVERED) -> None:
        for _ in range(20):
            if not self.flights:
                return
            self.land(fate)
        raise AssertionError("there is no end to it")

    def cancel(self, call: Call) -> None:
        call.was_cancelled = True
        call.task.cancel()
        self.settle()

    def crash(self, number: int, *, acts: bool = False) -> None:
        """kill -9, and a new process in its place. A refresh on its way is acted on by Kick, or is not."""
        dead, self.processes[number] = self.processes[number], Process(self, number)
        dead.is_dead = True
        lost = dead.tokens.peek(SLOT)
        if lost is not None and (self.disk.token is None or lost.refresh_token != self.disk.token.refresh_token):
            self.excused.add(text(lost.refresh_token))
        for flight in [flight for flight in self.flights if flight.process is dead]:
            if acts:
                self.act(flight)
            flight.fate.set_result(LOST_AFTER if acts else LOST_BEFORE)
        for call in self.calls:
            if call.process is dead:
                call.was_cancelled = True
                call.task.cancel()
        self.settle()

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.ticks += seconds

    def turn_clock(self, seconds: float) -> None:
        """Set the wall clock of this machine forward or back. Kick's clock goes on as before."""
        self.wall += seconds
        self.is_confused = self.is_confused or (seconds < 0 and self.was_full)
        for call in self.calls:
            call.saw_clock_set = call.saw_clock_set or not call.is_over

    def revoke(self) -> None:
        """The user takes the grant back at Kick."""
        self.kick.revoke_everything()

    def turn_of(self, process: Process) -> Turn:
        async def turn() -> Turn:
            return process.turn(SLOT)

        return self.loop.run_until_complete(turn())

    def settle(self) -> None:
        async def idle() -> None:
            for _ in range(60):
                await asyncio.sleep(0)

        self.loop.run_until_complete(idle())

    def close(self) -> None:
        self.disk.is_full = False
        for process in self.processes:
            process.is_dead = True
        while self.flights:
            self.land(LOST_BEFORE)
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.settle()
        for call in self.calls:
            if call.task.done() and not call.task.cancelled():
                call.task.exception()
        self.loop.close()

    # What happens on the wire

    def took_off(self, flight: Flight) -> None:
        now, held = max(self.wall, START + self.ticks), self.disk.token
        memory = flight.process.tokens.peek(SLOT)
        if self.is_full:
            self.unmarkable.add(flight.refresh)
        newest = [text(token.refresh_token) for token in (held, memory) if token is not None]
        self.sends.append(
            Take(
                at=now,
                flight=flight,
                is_alive=held is not None and held.is_alive(now),
                is_marked=held is None or flight.refresh in self.unmarkable or _is_marked(held, flight.refresh),
                is_old=flight.refresh in self.traded_in and any(self.came_later(one, flight.refresh) for one in newest),
                is_dead=self.ended.get(flight.refresh, False),
                is_second_try=self.failed_since.get(flight.process.number) == len(self.calls),
            )
        )
        self.flights.append(flight)

    def came_later(self, one: str, other: str) -> bool:
        places = {refresh: place for place, refresh in enumerate(self.delivered)}
        return places.get(one, -1) > places.get(other, -1)

    def answered(self, request: Request) -> Response | Unreachable:
        answer = self.kick.handle(request)
        if isinstance(answer, Response) and answer.status == 200 and b'"refresh_token"' in answer.body:
            self.delivered.append(refresh_of(answer.body))
            self.families.append(self.kick.world.refresh[self.delivered[-1]].family)
        return answer

    def act(self, flight: Flight, request: Request | None = None) -> Response:
        """Let Kick act on a refresh."""
        request = request or refresh_request(APP, Secret(flight.refresh))
        step = respond(self.kick.world, request, self.kick.clock())
        if step.response.status == 200:
            self.spent_unheard.add(flight.refresh)
        self.kick.world = step.world
        return step.response

    def landed(self, flight: Flight, request: Request, fate: Fate) -> Response | Unreachable:
        """What comes back."""
        if not fate.reaches:
            return Unreachable("no route", Sent.NO) if fate.status == 0 else Unreachable("reset", Sent.MAYBE)
        if fate.status is not None:
            if fate.status < 500:
                self.failed_since[flight.process.number] = len(self.calls)
            body = f'{{"error":"invalid_request","error_description":"{flight.refresh}"}}' if fate.echoes else "<html>"
            return Response(fate.status, (), body.encode())
        was_unheard = flight.refresh in self.spent_unheard
        response = self.act(flight, request)
        if not fate.answers:
            return Unreachable("reset", Sent.YES)
        if fate.cut is not None:
            response = replace(response, body=response.body[: fate.cut])
        if response.status == 200 and (refresh := refresh_of(response.body)):
            self.spent_unheard.discard(flight.refresh)
            self.delivered.append(refresh)
            self.traded_in.add(flight.refresh)
        elif b'"invalid_grant"' in response.body and response.body.endswith(b"}"):
            self.ended[flight.refresh] = not self.is_full and self.disk.token is not None
            known = flight.stored is not None and _is_marked(flight.stored, flight.refresh)
            self.losses_heard += was_unheard and known
        return response

    # What is where

    @property
    def is_full(self) -> bool:
        """Whether the disk is full, or was when somebody may have wanted to write to it."""
        return self.disk.is_full or self.ticks < self.full_until

    def fill_disk(self) -> None:
        self.disk.is_full = self.was_full = True

    def clear_disk(self) -> None:
        """There is room again. What could not be stored is tried half a minute later."""
        if self.disk.is_full:
            self.disk.is_full, self.full_until = False, self.ticks + 31

    def accepts(self, refresh: str) -> bool:
        """Whether Kick takes this refresh token now."""
        held = self.kick.world.refresh.get(refresh)
        if held is None or self.kick.clock() >= held.expires_at:
            return False
        rules: Rules = self.kick.world.rules
        in_grace = rules.rotation is Rotation.GRACE and self.kick.clock() < (held.spent_at or 0.0) + rules.grace_seconds
        return held.spent_at is None or in_grace

    def family(self, refresh: str) -> int:
        """Of which login a refresh token is; -1 where Kick knows it no longer."""
        held = self.kick.world.refresh.get(refresh)
        return -1 if held is None or held.family not in self.families else self.families.index(held.family)

    def held(self) -> list[str]:
        """Every refresh token that a process could go on with."""
        tokens = [self.disk.token, *(process.tokens.peek(SLOT) for process in self.processes)]
        return [text(token.refresh_token) for token in tokens if token is not None]


def _is_marked(held: Token, refresh: str) -> bool:
    attempt = held.attempt
    return text(held.refresh_token) == refresh and attempt is not None and attempt.outcome is Outcome.UNKNOWN


def refresh_of(body: bytes) -> str:
    """The refresh token in an answer, whole or cut; "" if there is none."""
    found = re.search(rb'"refresh_token": ?"([A-Z0-9]+)"', body)
    return found[1].decode() if found else ""


def text(secret: Secret | None) -> str:
    return "" if secret is None else secret.reveal()
