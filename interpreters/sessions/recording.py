"""Recording: an interpreter in front of another one, which writes down what was asked and what was answered.

What a program gets while it is recorded is what the file says: time in whole microseconds, moving at deliveries only,
and of an HTTP answer the headers that are kept. So a replay is exact, up to the renaming of secrets.
"""

import os
import secrets
import tempfile
import threading
import warnings
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar, cast

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from interpreters.driver import Turns, Watch, run
from interpreters.sessions.aliases import Disguise, suspicious
from interpreters.sessions.chance import SECRET_PURPOSES, Draws
from interpreters.sessions.coding import (
    KINDS,
    Asked,
    Hold,
    answer_to,
    app_as_told,
    ask,
    encoded,
    failure_of,
    kept_headers,
    kind_of,
)
from interpreters.sessions.finding import Found, in_answer, in_app, in_ask, in_value
from interpreters.sessions.lines import FORMAT, Session, instant_of, read, shown_path
from interpreters.sessions.naming import Names, arguments_of, called_with, function_of, named
from interpreters.sessions.steps import Ended, Steps, ahead
from interpreters.turns import Turn
from kickcore.effects import (
    Consent,
    DropToken,
    Entropy,
    Exclusive,
    Leaf,
    LoadApp,
    LoadPace,
    Now,
    Program,
    RenewAhead,
    SaveToken,
    Send,
)
from kickcore.errors import ConfigError, KickWarning, LeakSuspected, SessionError
from kickcore.http import Response
from kickcore.oauth.tokens import App, Slot, Stored, Token
from kickcore.policy import Pace
from kickcore.secret import Secret
from kickcore.version import VERSION

T = TypeVar("T")


class Interpreter(Turns, Protocol):
    """What is recorded: it answers effects, and knows whose turn it is with a token."""

    async def __call__(self, effect: Leaf, /) -> object:
        """Answer an effect."""
        ...


class Recording:
    """A session in the making.

        with Recording("login.kcs.jsonl") as recording:
            user = await recording.run(fetch_user(123), interpreter)

    Lines are kept in memory and, for the case that this process dies, in `<path>.part`. On closing, secrets are looked
    for once more and the file is put in place as a whole; `LeakSuspected` if one is found, and then nothing is left.
    Without a path, `session` is what remains. `secret_texts` are secrets that kickcore cannot know of; `allow` names
    members (or JSON pointers) that look like secrets and are not. `seed` is by chance unless given.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        secret_texts: Iterable[str | Secret] = (),
        allow: Iterable[str] = (),
        seed: str | None = None,
    ) -> None:
        self.path: Final = None if path is None else Path(path)
        self.seed: Final = secrets.token_hex(8) if seed is None else seed
        self.disguise: Final = Disguise()
        for text in secret_texts:
            self.disguise.see("sec", text.reveal() if isinstance(text, Secret) else text)
        self._allow = frozenset(allow)
        self._names = Names()
        self._lines: list[str] = []
        self._kinds: set[str] = set()
        self._open: dict[str, None] = {}
        self._ended: dict[str, str] = {}
        self._app: App | None = None
        self._started: int | None = None
        self._count = 0
        self._part: Any = None
        self._lock = threading.Lock()
        self.last_token: Token | None = None
        self._done: Session | None = None
        if self.path is not None:
            self._open_part(self.path)

    def _open_part(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._part = (path.parent / f"{path.name}.part").open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise SessionError(f"{shown_path(path)} cannot be recorded: {error.strerror}") from None

    # What is recorded

    async def run(
        self, program: Program[T], interpreter: Interpreter, *, label: str | None = None, account: str | None = None
    ) -> T:
        """Run a program and record it. `label` names it in the file, and is needed to tell equal ones apart."""
        track = await self.track(program, interpreter, label, account)
        try:
            value = await run(program, track, track)
        except Exception as error:
            track.ends(error)
            raise
        except BaseException:
            track.cancelled(await track.moment())
            raise
        track.ends(None)
        return value

    def run_sync(
        self, program: Program[T], answer: Callable[[Leaf], object], *, label: str | None = None, account: str = ""
    ) -> T:
        """The same without an event loop, as `interpreters.driver.run_sync` does it."""
        now = _micros(cast("float", answer(Now())))
        track = Track(self, self.name(program, label, account), now, account, self.arguments(program))
        track.function = "" if label is None else function_of(program)
        self.opened(track.name)
        _drive(track, Steps(program), answer)
        return cast("T", track.outcome())

    async def track(
        self, program: Program[Any], interpreter: Interpreter, label: str | None, account: str | None
    ) -> "AsyncTrack":
        """The interpreter for one program."""
        if account is None:
            app: object = getattr(interpreter, "app", None)
            account = app.account if isinstance(app, App) else ""
        name = self.name(program, label, account)
        now = _micros(cast("float", await interpreter(Now())))
        self.opened(name)
        track = AsyncTrack(self, name, now, account, self.arguments(program), interpreter)
        track.function = "" if label is None else function_of(program)
        return track

    def name(self, program: Program[Any], label: str | None, account: str) -> str:
        """The name of a program that is about to begin."""
        self._check_open()
        if label is None:
            name = named(program, self.disguise.hide)
            name += f" as {account}" if account else ""
        else:
            name = self.disguise.hide(label)
        with self._lock:
            numbered = self._names.number(name)
        if label is None and numbered != name and self._is_open(name):
            text = f"two programs named {name} run at once; a replay cannot tell whose is whose: pass label=..."
            warnings.warn(text, KickWarning, stacklevel=4)
        return numbered

    def _is_open(self, name: str) -> bool:
        return any(other == name or other.startswith(f"{name}#") for other in self._open)

    def arguments(self, program: Program[Any]) -> Raw | None:
        """What a program of kickcore's was called with."""
        for member, value in called_with(program).items():
            self.see(in_value(value, member))
        return arguments_of(program)

    def _check_open(self) -> None:
        if self._done is not None:
            raise ConfigError("this recording was closed; make a new one")

    def see(self, found: Iterable[Found]) -> None:
        """Learn secrets."""
        for role, text in found:
            self.disguise.see(role, text)

    def write(self, track: "Track", members: dict[str, Any], now: int) -> None:
        """Write a line, without secrets."""
        with self._lock:
            if self._done is not None:
                return
            if self._started is None:
                self._started = now
            if "t" in members:
                members["t"] = now - self._started
            first = track.first(self._started, now) if track.is_first else {}
            if "ask" not in members:
                self._count += 1
            kind = members.get("k", "")
            self._kinds.add(kind)
            # What a line is, is no secret, whatever secrets there are.
            what = {name: members[name] for name in _WHAT if name in members}
            rest = {name: value for name, value in (*members.items(), *first.items()) if name not in _WHAT}
            named = encoded({"p": track.name, **what}).decode()
            line = f"{named[:-1]},{self.disguise.hide(encoded(rest).decode())[1:]}"
            self._lines.append(line)
            self._keep(line)

    def _keep(self, line: str) -> None:
        if self._part is None:
            return
        # A disk that is full must not end what is recorded; closing will tell.
        with suppress(OSError, ValueError):
            if len(self._lines) == 1:
                _ = self._part.write(self.header(is_whole=False).decode() + "\n")
            _ = self._part.write(line + "\n")
            # This process may be killed before the next one.
            self._part.flush()

    def of_app(self, app: App) -> bool:
        """Learn an app that a program runs for. Whether it is the session's own, but for the account."""
        self.see(in_app(app.client_secret))
        plain = replace(app, account="")
        if self._app is None:
            self._app = plain
        return plain == self._app

    def opened(self, name: str) -> None:
        """A program has begun."""
        self._open[name] = None

    def closed(self, name: str, error: BaseException | None) -> None:
        """A program has ended."""
        _ = self._open.pop(name, None)
        if error is not None:
            self._ended[name] = type(error).__name__

    # The file

    def header(self, *, is_whole: bool) -> bytes:
        """The first line, by what is known. Before the end, it is not known what will come."""
        header: dict[str, Any] = {
            "kcs": FORMAT,
            "lib": VERSION,
            "t0": instant_of(self._started or 0),
            "seed": self.seed,
            "kinds": dict.fromkeys(sorted(self._kinds - {""}) if is_whole else KINDS, 1),
        }
        rows = encoded(header).decode()[:-1]
        if self._app is not None:
            rows += f',"app":{self.disguise.hide(encoded(app_as_told(self._app)).decode())}'
        sizes = msgspec.json.encode(dict(sorted(self.disguise.sizes.items()))).decode()
        return f'{rows},"sizes":{sizes}}}'.encode()

    def text(self) -> bytes:
        """The whole file, as far as it has come."""
        footer = {
            "end": 1,
            "lines": self._count,
            "open": list(self._open),
            "ended": self._ended,
            "leaks": 0,
        }
        # Once more, because a secret may have been learned after the line that holds it was written.
        lines = [self._hidden_again(line) for line in self._lines]
        end = self.disguise.hide(msgspec.json.encode(footer).decode()).replace("««", "«")
        return b"\n".join(
            [self.header(is_whole=True), *(line.encode("utf-8", "replace") for line in lines), end.encode(), b""]
        )

    def _hidden_again(self, line: str) -> str:
        if not self.disguise.leaks(line):
            return line
        # What is doubled already must not be doubled again.
        return self.disguise.hide(line.replace("«", "\0")).replace("\0", "«")

    @property
    def session(self) -> Session:
        """What was recorded so far, or in all if it was closed."""
        if self._done is not None:
            return self._done
        return read(self.text(), "a recording" if self.path is None else shown_path(self.path))

    def close(self) -> Session:
        """End the recording and put the file in place. Raises `LeakSuspected`, and then there is no file."""
        if self._done is not None:
            return self._done
        text = self.text()
        pointers = self._leaks(text)
        name = "the recording" if self.path is None else shown_path(self.path)
        if pointers:
            # A traceback shows local variables, and this one holds what must not be shown.
            del text
            self.discard()
            raise LeakSuspected(
                f"{name} was not written, because it would hold what looks like a secret: {', '.join(pointers[:5])}; "
                "say secret_texts=[...] to have it replaced, or allow=[...] with the member's name if it is public",
                pointers=tuple(pointers),
            )
        session = read(text, name)
        with self._lock:
            self._done = session
        self._put_in_place(text)
        return session

    def _leaks(self, text: bytes) -> list[str]:
        shown = text.decode("utf-8", "replace")
        pointers = [f"a known secret ({alias})" for alias in self.disguise.leaks(shown)]
        for number, row in enumerate(text.split(b"\n")[:-1], 1):
            found = suspicious(msgspec.json.decode(row))
            pointers += [f"line {number} {pointer}" for pointer in found if not self._is_allowed(pointer)]
        return pointers

    def _is_allowed(self, pointer: str) -> bool:
        return pointer in self._allow or pointer.rpartition("/")[2] in self._allow

    def _put_in_place(self, text: bytes) -> None:
        if self.path is None:
            return
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name[:100]}.")
        try:
            with os.fdopen(handle, "wb") as file:
                _ = file.write(text)
            Path(temporary).chmod(0o644)
            _ = Path(temporary).replace(self.path)
        except OSError as error:
            Path(temporary).unlink(missing_ok=True)
            raise SessionError(f"{shown_path(self.path)} cannot be written: {error.strerror}") from None
        finally:
            self._drop_part()

    def _drop_part(self) -> None:
        if self._part is not None and self.path is not None:
            with suppress(OSError):
                self._part.close()
            (self.path.parent / f"{self.path.name}.part").unlink(missing_ok=True)

    def discard(self) -> None:
        """End the recording and leave nothing."""
        with self._lock:
            if self._done is None:
                self._done = read(self.text().split(b"\n")[0] + b'\n{"end":1}\n')
        self._drop_part()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _ = self.close()


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)


_MAY_HOLD_SECRETS: Final = frozenset({Send, SaveToken, Consent, Exclusive, RenewAhead})
UNDOABLE: Final = (SaveToken, DropToken)
"""What is written down before it is done, beside requests to the token endpoint."""


def is_undoable(asked: Asked) -> bool:
    """Whether it must be written down before it is done: it cannot be taken back."""
    if isinstance(asked, Send):
        return asked.request.method == "POST" and "/oauth/" in asked.request.url
    return isinstance(asked, UNDOABLE)


class Track:
    """One program that is recorded: its name, how far it is, and its time."""

    def __init__(self, recording: Recording, name: str, now: int, account: str, arguments: Raw | None) -> None:
        self.recording = recording
        self.name = name
        self.account = account
        self.index: int = 0
        self.time: int = now
        self.children: int = 0
        self.function = ""
        self._arguments = arguments
        self._began = now
        self._app: App | None = None
        self._draws = Draws(recording.seed, name)
        self._end: tuple[Any, BaseException | None] | None = None

    @property
    def is_first(self) -> bool:
        """Whether nothing was written of it so far."""
        return self._arguments is not _WRITTEN

    def first(self, started: int, now: int) -> dict[str, Any]:
        """What stands on the first line of a program."""
        arguments, self._arguments = self._arguments, _WRITTEN
        # Else it is told by how long the first answer was waited for.
        told: dict[str, Any] = {"s": self._began - started} if now < self._began else {}
        if self.account:
            told["a"] = self.account
        if arguments is not None:
            told["run"] = arguments
            if self.function:
                told["f"] = self.function
        return told

    def now(self) -> float:
        """The time of the last delivery, in epoch seconds."""
        return self.time / 1_000_000

    def draws(self, effect: Entropy) -> bytes | None:
        """Octets that a replay can have again; None for those that are secret."""
        if effect.purpose in SECRET_PURPOSES:
            self._draws.skip(effect.purpose)
            return None
        return self._draws.draw(effect.size, effect.purpose)

    def asks(self, asked: Asked) -> bytes:
        """What is asked, as JSON; and if it cannot be undone, that it is about to be done."""
        kind = type(asked)
        if kind is LoadApp or kind is LoadPace:
            # Most of them get no line.
            return b""
        if kind in _MAY_HOLD_SECRETS:
            self.recording.see(in_ask(asked))
        written = ask(asked)
        if is_undoable(asked):
            members = {"ask": 1, "i": self.index, "k": kind_of(asked), "q": Raw(written), "t": 0}
            self.recording.write(self, members, self.time)
        return written

    def delivers(self, asked: Asked, written: bytes, answer: object, now: int) -> object:
        """Write the answer down, and give it as the file has it."""
        if isinstance(asked, LoadApp) and self._is_usual(answer):
            return answer
        if isinstance(asked, LoadPace) and answer == _FREE:
            return answer
        answer = _as_kept(asked, answer, now)
        if answer is not None and not self._knows(answer):
            self.recording.see(in_answer(asked, answer))
        kind = kind_of(asked)
        self._write(kind, asked, written, {"r": Raw(answer_to(kind, answer))}, now)
        return answer

    def _knows(self, answer: object) -> bool:
        """Whether the secrets of a token that was loaded have been looked at just before."""
        if not isinstance(answer, Stored):
            return False
        is_known = answer.token is self.recording.last_token
        self.recording.last_token = answer.token
        return is_known

    def _is_usual(self, answer: object) -> bool:
        """Whether a replay knows this app without a line: it is the session's, for this program's account."""
        if answer is self._app:
            return True
        if isinstance(answer, App) and self.recording.of_app(answer) and answer.account == self.account:
            self._app = answer
        return answer is self._app

    def fails(self, asked: Asked, written: bytes, error: Exception, now: int) -> None:
        """Write down that the interpreter raised."""
        self._write(kind_of(asked), asked, written, {"x": failure_of(error)}, now)

    def stalls(self, now: int) -> None:
        """Write down that the driver gave up what was done exclusively."""
        members = {"i": self.index, "k": "stalled", "t": 0}
        self.recording.write(self, members, now)
        self.index += 1
        self.time: int = now

    def _write(self, kind: str, asked: Asked, written: bytes, rest: dict[str, Any], now: int) -> None:
        members: dict[str, Any] = {"i": self.index, "k": kind}
        if not is_undoable(asked):
            members["q"] = Raw(written or ask(asked))
        members |= rest
        members |= {"t": 0, "d": max(now - self.time, 0)}
        self.recording.write(self, members, now)
        self.index += 1
        self.time: int = now

    def cancelled(self, now: int) -> None:
        """Write down that the program was cancelled here."""
        self.recording.write(self, {"i": self.index, "cancel": 1, "t": 0}, now)
        self.recording.closed(self.name, None)

    def ends(self, error: BaseException | None, value: object = None) -> None:
        """The program has ended."""
        self._end = value, error
        self.recording.closed(self.name, error)

    def outcome(self) -> object:
        """What the program gave, or its exception, raised."""
        if self._end is None:
            raise SessionError(f"{self.name} has not ended")
        value, error = self._end
        if error is not None:
            raise error
        return value

    def child(self) -> str:
        """The name of the next program that is begun beside this one."""
        self.children += 1
        return f"{self.name}/{self.children}"


_WHAT: Final = ("ask", "i", "k", "cancel")
_WRITTEN: Final = Raw(b"0")
_FREE: Final = Pace()


def _as_kept(asked: Asked, answer: object, now: int) -> object:
    if isinstance(answer, Response) and isinstance(asked, Send):
        return kept_headers(answer, with_date="/oauth/" in asked.request.url)
    if isinstance(answer, Stored) and answer.at_least and answer.at_least * 1_000_000 <= now:
        # It says no more than the clock does.
        return replace(answer, at_least=0.0)
    return answer


class AsyncTrack(Track, Watch):
    """One program that is recorded while the driver runs it: its interpreter."""

    def __init__(
        self,
        recording: Recording,
        name: str,
        now: int,
        account: str,
        arguments: Raw | None,
        interpreter: Interpreter,
    ) -> None:
        super().__init__(recording, name, now, account, arguments)
        self._interpreter = interpreter

    async def moment(self) -> int:
        """The time by the interpreter's clock, in microseconds."""
        return _micros(cast("float", await self._interpreter(Now())))

    async def __call__(self, effect: Leaf, /) -> object:
        """Answer an effect, and write it down."""
        if isinstance(effect, Now):
            return self.now()
        if isinstance(effect, Entropy):
            octets = self.draws(effect)
            return await self._interpreter(effect) if octets is None else octets
        written = self.asks(effect)
        try:
            answer = await self._interpreter(effect)
        except Exception as error:
            self.fails(effect, written, error, await self.moment())
            # A traceback may show local variables.
            del written
            raise
        return self.delivers(effect, written, answer, await self.moment())

    def turn(self, slot: Slot) -> Turn:
        """The line in which tasks wait."""
        return self._interpreter.turn(slot)

    @asynccontextmanager
    async def _held(self, slot: Slot) -> AsyncGenerator[object]:
        asked = Hold(slot)
        written = self.asks(asked)
        holding = self._interpreter.hold(slot)
        try:
            held = await holding.__aenter__()
        except Exception as error:
            self.fails(asked, written, error, await self.moment())
            raise
        try:
            _ = self.delivers(asked, written, held is not False, await self.moment())
            yield held
        except BaseException as error:
            if not await holding.__aexit__(type(error), error, error.__traceback__):
                raise
        else:
            _ = await holding.__aexit__(None, None, None)

    def hold(self, slot: Slot) -> AbstractAsyncContextManager[object]:
        """Wait for the slot among processes, and write down what came of it."""
        return self._held(slot)

    async def has_turn(self, effect: Exclusive) -> None:
        """Write down that the turn has come."""
        _ = self.delivers(effect, self.asks(effect), None, await self.moment())

    async def shares(self, effect: Exclusive, failure: Exception) -> None:
        """Write down that somebody else's failure is shared, in the place of holding the slot."""
        asked = Hold(effect.slot)
        self.fails(asked, self.asks(asked), failure, await self.moment())

    async def stalled(self) -> None:
        """Write down that what is done exclusively is given up."""
        self.stalls(await self.moment())

    async def begins_ahead(self, effect: RenewAhead, *, begins: bool) -> "tuple[AsyncTrack, AsyncTrack]":
        """Write down whether a renewal is begun beside, and give its interpreter."""
        now = await self.moment()
        _ = self.delivers(effect, self.asks(effect), begins, now)
        if not begins:
            return self, self
        child = AsyncTrack(self.recording, self.child(), now, self.account, None, self._interpreter)
        return child, child


# Without an event loop


def _drive(track: Track, steps: Steps, answer: Callable[[Leaf], object]) -> None:
    asked = steps.begin()
    while not isinstance(asked, Ended):
        asked = _step(track, steps, asked, answer)
    track.ends(steps.error, steps.value)


def _step(track: Track, steps: Steps, asked: Asked, answer: Callable[[Leaf], object]) -> Asked | Ended:
    if isinstance(asked, Now):
        return steps.answer(track.now())
    if isinstance(asked, Entropy):
        octets = track.draws(asked)
        return steps.answer(answer(asked) if octets is None else octets)
    written = track.asks(asked)
    if isinstance(asked, Exclusive):
        return steps.answer(track.delivers(asked, written, None, track.time))
    if isinstance(asked, Hold):
        return steps.answer(track.delivers(asked, written, True, track.time))  # noqa: FBT003 - the answer
    if isinstance(asked, RenewAhead):
        _ = track.delivers(asked, written, True, track.time)  # noqa: FBT003
        child = Track(track.recording, track.child(), track.time, track.account, None)
        _drive(child, Steps(ahead(asked)), answer)
        track.time = max(track.time, child.time)
        return steps.answer(None)
    try:
        given = answer(asked)
    except Exception as error:  # noqa: BLE001 - it belongs to the line that asked
        track.fails(asked, written, error, _micros(cast("float", answer(Now()))))
        del written
        return steps.fail(error)
    return steps.answer(track.delivers(asked, written, given, _micros(cast("float", answer(Now())))))
