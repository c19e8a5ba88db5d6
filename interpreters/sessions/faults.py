"""Faults over a recording: a session goes as it went up to a place; there something goes wrong.

    fault = at(send="/oauth/token", nth=2).lose_answer()
    print(strike(load("day.kcs.jsonl"), fault).outcomes)

`single_faults` puts each fault at each place where it makes sense.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from interpreters.sandbox.building import with_nothing_issued
from interpreters.sandbox.rules import Rules
from interpreters.sandbox.shell import Sandbox
from interpreters.sandbox.simulated import Simulated
from interpreters.sandbox.small import OWNER, small_world
from interpreters.sandbox.wire import UNAUTHORIZED, oauth_error
from interpreters.sandbox.world import Access, Code, Refresh, World
from interpreters.sessions.coding import KINDS, Asked, Hold, ask, kind_of, read_answer, read_ask
from interpreters.sessions.divergence import Difference, Reason, cut, summary
from interpreters.sessions.exploring import LOST, Act, Caller, Scheduler, Stuck, takes
from interpreters.sessions.lines import Line, Session
from interpreters.sessions.playing import Play
from interpreters.sessions.steps import Ended
from interpreters.sessions.travelling import Programs, Traveller, begin_programs, is_child, program_of
from interpreters.tokens.memory import TokenTable
from kickcore.effects import (
    Consent,
    DropToken,
    Exclusive,
    Leaf,
    LoadPace,
    LoadToken,
    PayRetry,
    SaveToken,
    Send,
    Sleep,
)
from kickcore.errors import ConfigError, SessionError
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.oauth.actions import Renewal
from kickcore.oauth.callback import Granted
from kickcore.oauth.tokens import NotSaved, Saved, Slot, Stored, Superseded, Token, TokenKind, lifetime
from kickcore.policy import Pace
from kickcore.secret import Secret

_RULES: Final = Rules()


class Kind(StrEnum):
    """What may go wrong."""

    NOT_SENT = "not sent"
    """The request never leaves."""
    LOSE_ANSWER = "answer lost"
    """Kick acts, and its answer does not arrive."""
    DELAY = "answer delayed"
    """Kick acts, and its answer takes longer; if longer than the request waits, it is lost."""
    STATUS = "another status"
    """Kick does not act, and answers with another status."""
    EMPTY_BODY = "body empty"
    """Kick acts, and its answer has no body."""
    MALFORMED = "body malformed"
    """Kick acts, and half of its answer arrives."""
    REPEAT_ANSWER = "answer repeated"
    """The answer arrives, and an equal request gets it once more."""
    REVOKED = "grant revoked"
    """From here on, Kick takes no token that was issued before."""
    FAIL = "save failed"
    """The token is held in memory only."""
    CRASH_BEFORE = "crash before"
    """The process dies before it happens."""
    CRASH_AFTER = "crash after"
    """It happens, and the process dies before it learns so."""
    STEP_CLOCK = "clock set"
    """The wall clock of this machine is set; Kick's goes on."""


OF_SENDS: Final = frozenset(
    {
        Kind.NOT_SENT,
        Kind.LOSE_ANSWER,
        Kind.DELAY,
        Kind.STATUS,
        Kind.EMPTY_BODY,
        Kind.MALFORMED,
        Kind.REPEAT_ANSWER,
        Kind.REVOKED,
    }
)
"""What happens to a request."""


class Then(StrEnum):
    """What answers once something has gone wrong."""

    RECORDING = "recording"
    """The recording, as far as it goes: an equal request gets the next answer that was not used, or else the last one
    again. Tokens are those of the recording; time that is slept passes."""
    MODEL = "model"
    """A simulated Kick that knows the app and the tokens of the recording."""
    STOP = "stop"
    """Nothing: the run ends there."""


class Fault(Struct, frozen=True):
    """Something that goes wrong somewhere. `seconds` belongs to delays and clocks, `status` to answers."""

    at: "At"
    kind: Kind
    seconds: float = 0.0
    status: int = 0

    def __str__(self) -> str:
        more = f" {self.seconds:+g} s" if self.seconds else f" {self.status}" if self.status else ""
        return f"{self.kind}{more} at {self.at}"


class At(Struct, frozen=True):
    """A place in a session; make one with `at`. Its methods say what goes wrong there."""

    send: str | None = None
    save: str | None = None
    kind: str | None = None
    program: str | None = None
    index: int | None = None
    line: int | None = None
    nth: int = 1

    def __str__(self) -> str:
        if self.line is not None:
            return f"line {self.line}"
        if self.program is not None:
            return f"{self.program} #{self.index}"
        what = f"send {self.send}" if self.send else f"save {self.save}" if self.save else str(self.kind)
        return f"{what} ({self.nth})"

    def not_sent(self) -> Fault:
        """The request never leaves."""
        return Fault(self, Kind.NOT_SENT)

    def lose_answer(self) -> Fault:
        """Kick acts, and its answer does not arrive."""
        return Fault(self, Kind.LOSE_ANSWER)

    def delay(self, seconds: float) -> Fault:
        """The answer takes so many seconds more; if that is longer than the request waits, it is lost."""
        return Fault(self, Kind.DELAY, seconds=seconds)

    def status(self, status: int) -> Fault:
        """Kick does not act, and answers with this status."""
        return Fault(self, Kind.STATUS, status=status)

    def empty_body(self) -> Fault:
        """Kick acts, and its answer has no body."""
        return Fault(self, Kind.EMPTY_BODY)

    def malformed(self) -> Fault:
        """Kick acts, and half of its answer arrives."""
        return Fault(self, Kind.MALFORMED)

    def repeat_answer(self) -> Fault:
        """The answer arrives, and an equal request gets it once more."""
        return Fault(self, Kind.REPEAT_ANSWER)

    def revoked(self) -> Fault:
        """From here on, Kick takes no token that was issued before."""
        return Fault(self, Kind.REVOKED)

    def fail(self) -> Fault:
        """The token is not stored, and held in memory only."""
        return Fault(self, Kind.FAIL)

    def crash_before(self) -> Fault:
        """The process dies before it happens. Its programs are begun again, by another process with the same store."""
        return Fault(self, Kind.CRASH_BEFORE)

    def crash_after(self) -> Fault:
        """It happens, and the process dies before it learns so."""
        return Fault(self, Kind.CRASH_AFTER)

    def step_clock(self, seconds: float) -> Fault:
        """The wall clock of this machine is set forward or, with a negative number, back."""
        return Fault(self, Kind.STEP_CLOCK, seconds=seconds)


def at(
    *,
    send: str | None = None,
    save: str | None = None,
    kind: str | None = None,
    program: str | None = None,
    index: int | None = None,
    line: int | None = None,
    nth: int = 1,
) -> At:
    """A place: the `nth` request to a path (`send`), save of "app", "user" or "user:account" (`save`), or effect of a
    `kind`; the effect `index` of a `program`; or a `line` of the file.

    Raises `ConfigError` for none or several of them.
    """
    given = [send, save, kind, program, line]
    if sum(one is not None for one in given) != 1 or (program is None) is not (index is None) or nth < 1:
        raise ConfigError(
            "at(...) names one place: send=, save= or kind= with nth from 1; program= with index=; or line="
        )
    return At(send, save, kind, program, index, line, nth)


class Faulted(Struct, frozen=True):
    """What came of a session in which something went wrong.

    `outcomes` has for each program its value or its exception: `Crashed` if the process died under it, `Stuck` if the
    run ended before. `again` is what those gave that were begun again after a crash. `asked` are the effects after the
    fault, each with its program. `tokens` is the store at the end, and `lost` the slots of which the simulated Kick
    no longer takes the refresh token. `divergence` tells what the recording had no answer to, if that ended the run.
    """

    faults: tuple[Fault, ...]
    outcomes: Mapping[str, Any]
    again: Mapping[str, Any]
    asked: tuple[tuple[str, Asked], ...]
    tokens: Mapping[Slot, Token]
    lost: tuple[Slot, ...] = ()
    crashed: bool = False
    divergence: Difference | None = None

    @property
    def errors(self) -> tuple[BaseException, ...]:
        """The exceptions among the outcomes, of those that were begun again too."""
        outcomes = [*self.outcomes.values(), *self.again.values()]
        return tuple(outcome for outcome in outcomes if isinstance(outcome, BaseException))


class Case(Struct, frozen=True):
    """A fault at a place of a session. `run()` says what comes of it."""

    name: str
    session: Session
    fault: Fault
    then: Then = Then.MODEL
    programs: Programs = {}
    rules: Rules = Rules()

    def run(self) -> Faulted:
        """Run it: everything from the beginning."""
        return strike(self.session, self.fault, then=self.then, programs=self.programs, rules=self.rules)


# Places


def _path(url: str) -> str:
    return urlsplit(url).path


def _told(slot: Slot) -> str:
    return f"{slot.kind}:{slot.account}" if slot.account else str(slot.kind)


class _Place(Struct, frozen=True):
    """What of an ask says where it is."""

    url: str = ""
    slot: Slot | None = None


_PLACE: Final = msgspec.json.Decoder(_Place)


def _matches(place: At, name: str, index: int, kind: str, looked_at: _Place) -> bool:
    if place.program is not None:
        return (name, index) == (place.program, place.index)
    if place.kind is not None:
        return kind == place.kind
    if place.send is not None:
        return kind == "send" and _path(looked_at.url).endswith(place.send)
    slot = looked_at.slot
    return kind == "save_token" and slot is not None and place.save in {_told(slot), str(slot.kind)}


_WHERE: Final = frozenset({"send", "save_token"})


def _looked_at(line: Line) -> _Place:
    return _PLACE.decode(bytes(line.q)) if line.k in _WHERE else _Place()


def _found(session: Session, place: At) -> int | None:
    """The answer at this place of a session: its number, the first being 0."""
    left = place.nth
    for number, line in enumerate(session.lines):
        if place.line is not None:
            if session.numbers[number] == place.line and line.k:
                return number
        elif line.k and _matches(place, line.p, line.i, line.k, _looked_at(line)):
            left -= 1
            if not left:
                return number
    return None


def _settled(session: Session, faults: Sequence[Fault]) -> list[tuple[int, Fault]]:
    """The faults with their places, those in the recording first and in its order."""
    settled: list[tuple[int, Fault]] = []
    for fault in faults:
        number = _found(session, fault.at)
        if number is None and (fault.at.line is not None or len(faults) == 1):
            raise SessionError(f"{session.name} has nothing at {fault.at}; nothing was run")
        if number is not None:
            _check(fault, session.lines[number].k)
        if number is not None and fault.at.line is not None:
            line = session.lines[number]
            fault = replace(fault, at=At(program=line.p, index=line.i))  # noqa: PLW2901 - the same place
        settled.append((len(session.lines) if number is None else number, fault))
    settled.sort(key=lambda pair: pair[0])
    if not settled or settled[0][0] == len(session.lines):
        raise SessionError(f"{session.name} has none of the places where something is to go wrong; nothing was run")
    return settled


def _check(fault: Fault, kind: str) -> None:
    if kind not in _HAPPENS_TO.get(fault.kind, KINDS) or kind == "stalled":
        wanted = " or ".join(_HAPPENS_TO.get(fault.kind, ("an effect",)))
        raise ConfigError(f"{fault}: that can happen to {wanted}, and there is {kind}")


_HAPPENS_TO: Final[Mapping[Kind, tuple[str, ...]]] = {
    **dict.fromkeys(OF_SENDS, ("send",)),
    Kind.FAIL: ("save_token",),
    Kind.CRASH_AFTER: ("send", "save_token", "drop_token"),
}


# Up to the fault


class _Table(TokenTable):
    """A store that goes on with the versions of a recording."""

    def __init__(self, stored: Mapping[Slot, Stored]) -> None:
        super().__init__()
        self._stored = dict(stored)
        # No version that the recording may have.
        for _ in range(1_000):
            _ = next(self._versions)

    @property
    def all(self) -> Mapping[Slot, Stored]:
        """All that is stored."""
        return self._stored


class _Prefix(Traveller):
    """The part of a session before the fault. What is stored, and what is held in memory only, is kept."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.stored: dict[Slot, Stored] = {}
        self.unsaved: dict[Slot, Stored] = {}

    def _noted(self, play: Play, asked: Asked | Ended, answer: object) -> object:
        match asked, answer:
            case LoadToken(slot), Stored():
                if slot not in self.unsaved:
                    self.stored[slot] = answer
            case SaveToken(slot, token), Saved(version):
                self.stored[slot] = Stored(token, version)
                _ = self.unsaved.pop(slot, None)
            case SaveToken(slot), Superseded(Stored() as theirs):
                self.stored[slot] = theirs
                _ = self.unsaved.pop(slot, None)
            case SaveToken(slot, token, version), NotSaved():
                self.unsaved[slot] = Stored(token, version)
            case DropToken(slot), _:
                _ = self.stored.pop(slot, None), self.unsaved.pop(slot, None)
            case _:
                pass
        return super()._noted(play, asked, answer)

    def asked_in(self, line: Line) -> Asked | None:
        """What was asked in a line, with texts in the place of its aliases."""
        return read_ask(line.k, self.bindings.shown(bytes(line.q)))

    def answered_in(self, line: Line) -> object:
        """What was answered in a line."""
        return read_answer(line.k, self.bindings.shown(bytes(line.r)))

    @property
    def start(self) -> int:
        """When the session began, in microseconds since the epoch."""
        return self._start

    def hidden(self, asked: Asked) -> str:
        """What is asked, as JSON without secrets."""
        return self._masked(asked, ask(asked).decode())

    def of_account(self, account: str) -> Any:
        """The app for an account."""
        return None if self.session.header.app is None else self._app(account)


# What Kick knows


class _Granted(Struct, frozen=True):
    access_token: str | None = None
    refresh_token: str | None = None
    expires_in: object = None
    scope: str | None = None


_GRANTED: Final = msgspec.json.Decoder(_Granted)


class _Ledger:
    """The tokens that Kick has issued, by what a session shows of it."""

    def __init__(self, client_id: str, rules: Rules) -> None:
        self.access: dict[str, Access] = {}
        self.refresh: dict[str, Refresh] = {}
        self.codes: dict[str, Code] = {}
        self.redirect_uris: dict[str, None] = {}
        self._client_id = client_id
        self._rules = rules

    def loads(self, slot: Slot, token: Token) -> None:
        """A token that was there before the session."""
        access, refresh = token.access_token, token.refresh_token
        family = f"family of {(refresh or access or Secret('')).reveal()}"
        scope = token.scope or ()
        if refresh is not None and refresh.reveal() not in self.refresh:
            until = (token.refresh_issued_at or token.issued_at) + self._rules.refresh_life
            self.refresh[refresh.reveal()] = Refresh(self._client_id, family, until, OWNER, scope)
        if access is not None and access.reveal() not in self.access:
            is_user = slot.kind is TokenKind.USER
            self.access[access.reveal()] = Access(
                self._client_id, slot.kind, family, token.expires_at, OWNER if is_user else 0, scope
            )

    def consents(self, asked: Consent, answer: object, now: float) -> None:
        """A user has granted something."""
        self.redirect_uris[asked.redirect_uri] = None
        if isinstance(answer, Granted):
            query = dict(parse_qsl(urlsplit(asked.url.reveal()).query))
            scope = tuple(query.get("scope", "").split())
            self.codes[answer.code.reveal()] = Code(
                self._client_id,
                f"family of {answer.code.reveal()}",
                now + self._rules.code_life,
                OWNER,
                scope,
                asked.redirect_uri,
                query.get("code_challenge", ""),
            )

    def acts(self, request: Request, answer: object, now: float) -> None:
        """Kick has acted on a request to its identity host."""
        if not isinstance(answer, Response) or not 200 <= answer.status < 300 or request.bearer is not None:
            return
        form = {name: value.reveal() if isinstance(value, Secret) else value for name, value in request.form}
        if request.url.endswith("/oauth/revoke"):
            self._revokes(form.get("token", ""))
        elif request.url.endswith("/oauth/token"):
            try:
                granted = _GRANTED.decode(answer.body)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return
            self._issues(form, granted, now)

    def _issues(self, form: Mapping[str, str], granted: _Granted, now: float) -> None:
        scope = tuple((granted.scope or "").split())
        if form.get("grant_type") == "client_credentials":
            family, kind, user = f"family of {granted.access_token}", TokenKind.APP, 0
        else:
            family, kind, user = self._family(form, now), TokenKind.USER, OWNER
        if granted.access_token is not None:
            until = now + lifetime(granted.expires_in)
            self.access[granted.access_token] = Access(self._client_id, kind, family, until, user, scope)
        if granted.refresh_token is not None and granted.refresh_token not in self.refresh:
            until = now + self._rules.refresh_life
            self.refresh[granted.refresh_token] = Refresh(self._client_id, family, until, user, scope)

    def _family(self, form: Mapping[str, str], now: float) -> str:
        """Whose login a code or a refresh token belongs to. It is spent now."""
        code = self.codes.get(form.get("code", ""))
        if code is not None:
            self.codes[form["code"]] = replace(code, used=True)
            return code.family
        text = form.get("refresh_token", form.get("code", ""))
        spent = self.refresh.get(text)
        if spent is None:
            return f"family of {text}"
        self.refresh[text] = replace(spent, spent_at=now)
        return spent.family

    def _revokes(self, text: str) -> None:
        held = self.refresh.get(text)
        if held is None:
            _ = self.access.pop(text, None)
            return
        self.refresh = {name: one for name, one in self.refresh.items() if one.family != held.family}
        self.access = {name: one for name, one in self.access.items() if one.family != held.family}


@cache
def _world(client_id: str, client_secret: str, redirect_uris: tuple[str, ...]) -> World:
    return small_world(client_id, client_secret, redirect_uris)


class _Redirects(Struct, frozen=True):
    redirect_uri: str


_REDIRECTS: Final = msgspec.json.Decoder(_Redirects)
_HERE: Final = ("http://127.0.0.1:3000/callback",)


def _simulated(prefix: _Prefix, ledger: _Ledger, rules: Rules) -> Simulated:
    """A simulated Kick for the app of the session. Its tokens come from the ledger."""
    app = prefix.of_account("")
    if app is None:
        return Simulated()
    for line in prefix.session.lines:
        if line.k == "consent":
            ledger.redirect_uris[_REDIRECTS.decode(bytes(line.q)).redirect_uri] = None
    uris = tuple(ledger.redirect_uris) or _HERE
    return Simulated(Sandbox(replace(_world(app.client_id, app.client_secret.reveal(), uris), rules=rules)), app)


def _learn(prefix: _Prefix, line: Line, ledger: _Ledger) -> None:
    """What a line of the session shows of tokens."""
    if line.failure or line.k not in _SHOWING:
        return
    answer, now = prefix.answered_in(line), (prefix.start + line.t) / 1e6
    match prefix.asked_in(line):
        case LoadToken(slot) if isinstance(answer, Stored):
            ledger.loads(slot, answer.token)
        case Send(request) if "/oauth/" in request.url:
            ledger.acts(request, answer, now)
        case Consent() as asked:
            ledger.consents(asked, answer, now)
        case _:
            pass


_SHOWING: Final = frozenset({"load_token", "send", "consent"})


# What comes after


class _Diverged(Exception):
    """The recording has no answer to this."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.likely)
        self.difference = difference


_UUID: Final = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


_SECRETS: Final = frozenset({"client_secret", "code", "code_verifier", "refresh_token", "token"})


def _key(asked: Send | Consent) -> object:
    """What makes two requests equal, tokens and ids of tries aside."""
    if isinstance(asked, Consent):
        return "consent"
    request = asked.request
    # A line of the file does not say what is a `Secret`.
    pairs = tuple(
        (name, "" if isinstance(value, Secret) or name in _SECRETS else value)
        for name, value in request.query + request.form
    )
    return request.method, request.url, pairs, _UUID.sub(b"", request.body)


class _Rest(Scheduler):
    """The rest of a run: it goes on with the programs as they stand, first come, first served."""

    def __init__(
        self, world: Simulated, prefix: _Prefix, ledger: _Ledger, then: Then, faults: Sequence[Fault], recorded: Line
    ) -> None:
        super().__init__(world, seed=prefix.session.header.seed)
        self.then = then
        self.asked: list[tuple[str, Asked]] = []
        self.has_crashed = False
        self.dead: list[str] = []
        self.begun_again: list[str] = []
        self._prefix = prefix
        self._ledger = ledger
        self._faults = list(faults)
        self._left = [self._nth(fault.at) for fault in faults]
        self._recorded: Line | None = recorded
        self._repeated: dict[object, Response | Unreachable] = {}
        self._refused: frozenset[str] | None = None
        self._unused: dict[object, list[object]] | None = None
        self._last: dict[object, object] = {}
        self._indexes: Counter[str] = Counter({play.name: play.at for play in prefix.plays})

    def _nth(self, place: At) -> int:
        """How many more like it there are to come until it is the one."""
        if place.program is not None:
            return 1
        lines = self._prefix.session.lines
        before = (lines[number] for number in self._prefix.delivered)
        return place.nth - sum(
            bool(line.k) and _matches(place, line.p, line.i, line.k, _looked_at(line)) for line in before
        )

    # Faults

    def answer(self, caller: Caller, act: Act = "answer") -> None:
        """Answer what a program waits for, unless something goes wrong with it."""
        fault = self._due(caller)
        if fault is None:
            super().answer(caller, act)
            return
        asked = cast("Asked", caller.asked)
        _check(fault, kind_of(asked))
        match fault.kind:
            case Kind.CRASH_BEFORE:
                self._die(caller)
            case Kind.CRASH_AFTER:
                if isinstance(asked, Send):
                    _ = self.exchange(caller, asked)
                elif isinstance(asked, SaveToken | DropToken):
                    _ = self.answer_to(caller, asked, "answer")
                self._die(caller)
            case Kind.STEP_CLOCK:
                self.clock.offset += round(fault.seconds * 1e6)
                self._naturally(caller)
            case Kind.FAIL:
                super().answer(caller, "fail save")
            case Kind.REVOKED:
                self._recorded = None
                self._revoke()
                super().answer(caller)
            case _:
                self.leave(caller)
                given = self._damaged(fault, caller, cast("Send", asked))
                self._recorded = None
                self.go_on(caller, self.give(caller, given))

    def takes_turn(self, caller: Caller, slot: Slot, action: Renewal | None, *, is_held: bool) -> None:
        """The program has its turn with a token already, and maybe the lock."""
        turn = caller.process.turn(slot)
        turn.taken, turn.is_ahead = caller, caller.is_child
        caller.turn, caller.action = turn, action
        if is_held:
            caller.began, caller.holds = self.clock.ticks, slot
            self._holders[slot] = caller

    def begin_again(self, name: str, programs: Programs | None) -> None:
        """Another process begins a program whose own has died."""
        line = next(line for line in self._prefix.session.lines if line.p == name)
        program = program_of(self._prefix, line, programs)
        self.begun_again.append(f"{name}{_AGAIN}")
        self.begin(f"{name}{_AGAIN}", program, self.process("one"), self._prefix.of_account(line.a))

    def stop(self, names: Iterable[str]) -> None:
        """End everything. Of these and of those begun again, who has not ended was under way."""
        for caller in [*self.waiting, *self.sleeping]:
            caller.steps.close()
        self.waiting.clear()
        self.sleeping.clear()
        for name in [*names, *self.begun_again]:
            _ = self.outcomes.setdefault(name, Stuck(f"the run ended while {name} was under way"))
        self.finish()

    def _naturally(self, caller: Caller) -> None:
        """Answer a program that stands at whatever effect."""
        asked = caller.asked
        if isinstance(asked, Sleep):
            self.pass_until(self.clock.ticks + round(max(asked.seconds, 0.0) * 1e6))
            self.leave(caller)
            self.go_on(caller, self.give(caller, None))
        elif isinstance(asked, Send | LoadToken | SaveToken | DropToken | Exclusive | Hold):
            super().answer(caller)
        else:
            self.leave(caller)
            self.go_on(caller, asked)

    def _due(self, caller: Caller) -> Fault | None:
        if not self._faults:
            return None
        asked = cast("Asked", caller.asked)
        kind = kind_of(asked)
        looked_at = _Place(
            asked.request.url if isinstance(asked, Send) else "", asked.slot if isinstance(asked, SaveToken) else None
        )
        due: int | None = None
        for number, fault in enumerate(self._faults):
            if _matches(fault.at, caller.name, self._indexes[caller.name], kind, looked_at):
                self._left[number] -= 1
                if self._left[number] == 0 and due is None:
                    due = number
        if due is None:
            return None
        del self._left[due]
        return self._faults.pop(due)

    def _damaged(self, fault: Fault, caller: Caller, asked: Send) -> Response | Unreachable:
        if fault.kind is Kind.NOT_SENT:
            return Unreachable("the network was unreachable", Sent.NO)
        if fault.kind is Kind.STATUS:
            return _ANSWERS.get(fault.status) or Response(fault.status, _JSON, b'{"message":"a fault"}')
        answer = self.exchange(caller, asked)
        match fault.kind:
            case Kind.LOSE_ANSWER:
                if self.then is Then.RECORDING:
                    # It was not used up: nobody has had it.
                    self._give_back(asked, answer)
                return LOST
            case Kind.DELAY:
                self.pass_until(self.clock.ticks + round(min(fault.seconds, asked.request.timeout) * 1e6))
                return answer if fault.seconds < asked.request.timeout else Unreachable("no answer in time", Sent.YES)
            case Kind.REPEAT_ANSWER:
                self._repeated[_exactly(asked.request)] = answer
            case Kind.EMPTY_BODY if isinstance(answer, Response):
                return replace(answer, body=b"")
            case Kind.MALFORMED if isinstance(answer, Response):
                return replace(answer, body=answer.body[: len(answer.body) // 2] or b"{")
            case _:
                pass
        return answer

    def _die(self, caller: Caller) -> None:
        self.has_crashed = True
        before = set(self.outcomes)
        self.crash(caller.process)
        self.dead += [name for name in self.outcomes if name not in before]
        self._recorded = None

    def _revoke(self) -> None:
        kick = self.world.sandbox.world
        self._refused = frozenset({*self._ledger.access, *self._ledger.refresh, *kick.access, *kick.refresh})
        self.world.sandbox.world = with_nothing_issued(kick)

    # Answers

    def exchange(self, caller: Caller, asked: Send) -> Response | Unreachable:
        """What Kick answers: what it was recorded to, what the model says, or once more what it said."""
        repeated = self._repeated.pop(_exactly(asked.request), None) if self._repeated else None
        if repeated is not None:
            return repeated
        recorded, self._recorded = self._recorded, None
        if recorded is not None and recorded.k == "send" and not recorded.failure:
            answer = cast("Response | Unreachable", self._prefix.answered_in(recorded))
            if self.then is Then.MODEL:
                self._ledger.acts(asked.request, answer, self.world.time)
                enter(self.world, self._ledger)
                return answer
        if self.then is Then.MODEL:
            return cast("Response | Unreachable", self.world.answer(asked))
        return self._refusal(asked.request) or cast("Response | Unreachable", self._next_recorded(caller, asked))

    def _refusal(self, request: Request) -> Response | None:
        """What Kick says to a token that was revoked."""
        if self._refused is None:
            return None
        if request.bearer is not None:
            return UNAUTHORIZED if request.bearer.reveal() in self._refused else None
        for name, value in request.form:
            if name == "refresh_token" and isinstance(value, Secret) and value.reveal() in self._refused:
                return oauth_error(401, "invalid_grant")
        return None

    def _next_recorded(self, caller: Caller, asked: Send | Consent) -> object:
        if self._unused is None:
            self._unused = self._all_recorded()
        key = _key(asked)
        left = self._unused.get(key)
        if left:
            answer = self._last[key] = left.pop(0)
            return answer
        if key in self._last:
            return self._last[key]
        raise _Diverged(
            Difference(
                Reason.EXTRA,
                caller.name,
                index=self._indexes[caller.name],
                session=self._prefix.session.name,
                used=cut(summary(kind_of(asked), self._prefix.hidden(asked).encode())),
                likely='after the fault, the program asks what the recording has no answer to; then="model" has one',
            )
        )

    def _all_recorded(self) -> dict[object, list[object]]:
        """What was answered after the fault; and last of all before it."""
        unused: dict[object, list[object]] = {}
        delivered = set(self._prefix.delivered)
        for number, line in enumerate(self._prefix.session.lines):
            if line.k in {"send", "consent"} and not line.failure:
                asked, answer = self._prefix.asked_in(line), self._prefix.answered_in(line)
                key = _key(cast("Send | Consent", asked))
                if number in delivered:
                    self._last[key] = answer
                else:
                    unused.setdefault(key, []).append(answer)
        return unused

    def _give_back(self, asked: Send, answer: object) -> None:
        if self._unused is not None:
            self._unused.setdefault(_key(asked), []).insert(0, answer)

    def answer_alone(self, caller: Caller, asked: Leaf) -> object:
        """The answer to an effect that concerns the program alone."""
        if self.then is not Then.MODEL:
            match asked:
                case PayRetry():
                    return True
                case LoadPace():
                    return _FREE
                case Consent():
                    return self._next_recorded(caller, asked)
                case _:
                    pass
        return super().answer_alone(caller, asked)

    def give(self, caller: Caller, answer: object) -> Asked | Ended:
        """Hand an answer over, and remember that it was asked for."""
        self.asked.append((caller.name, cast("Asked", caller.asked)))
        self._indexes[caller.name] += 1
        return super().give(caller, answer)


_FREE: Final = Pace()
_JSON: Final = (("content-type", "application/json"),)
_ANSWERS: Final = {401: UNAUTHORIZED}


def _exactly(request: Request) -> object:
    """Two requests that are the same, but for how long they wait."""
    return request.method, request.url, request.query, request.bearer, request.form, request.body


def enter(world: Simulated, ledger: _Ledger) -> None:
    """Let the simulated Kick know what the ledger knows."""
    kick = world.sandbox.world
    world.sandbox.world = replace(
        kick,
        access={**kick.access, **ledger.access},
        refresh={**kick.refresh, **ledger.refresh},
        codes={**kick.codes, **ledger.codes},
    )


# Programs as they stand


class _Later(Struct):
    """A program that had not begun by then: what began before has to end first."""

    number: int
    caller: Caller
    began: int


def _spans(lines: Sequence[Line], number: int, plays: Mapping[str, Play]) -> tuple[dict[str, int], dict[str, int], int]:
    """The first line of each program, its next one, and the last of those that are under way."""
    first, following, last = dict[str, int](), dict[str, int](), dict[str, int]()
    for position, line in enumerate(lines):
        _ = first.setdefault(line.p, position)
        last[line.p] = position
        if position >= number:
            _ = following.setdefault(line.p, position)
    under_way = [name for name, play in plays.items() if not play.is_done and (play.at or first.get(name) == number)]
    # Whoever was under way at the same time when it was recorded is under way now.
    return first, following, max((last[name] for name in under_way if name in last), default=number)


def _take_over(rest: _Rest, prefix: _Prefix, number: int) -> tuple[Caller | None, list[_Later]]:
    """The programs of the replay, as callers: the one that the fault is for, and those that begin later, in order."""
    lines = prefix.session.lines
    process = rest.process("one")
    for slot, stored in prefix.stored.items():
        process.memory.put(slot, stored)
    for slot, stored in prefix.unsaved.items():
        process.memory.put(slot, stored, is_unsaved=True)
    plays = {play.name: play for play in prefix.plays}
    first, following, until = _spans(lines, number, plays)
    later: list[_Later] = []
    faulted: Caller | None = None
    for name in sorted(plays, key=lambda name: following.get(name, len(lines))):
        play = plays[name]
        caller = Caller(name, play.steps, process, is_child=is_child(name, plays), account=play.account)
        caller.app, caller.draws, caller.children = prefix.of_account(play.account), play.draws, play.children
        if play.is_done:
            rest.outcomes[name] = play.steps.value if play.steps.error is None else play.steps.error
            continue
        began = prefix.start + lines[first[name]].t if name in first else 0
        if not play.at and not caller.is_child and first.get(name, number) > until:
            later.append(_Later(first.get(name, number), caller, began))
            continue
        _holds(rest, prefix, caller)
        if name == lines[number].p:
            faulted = caller
        else:
            _waits(rest, caller, play.time)
    if faulted is not None:
        faulted.asked = faulted.steps.asked
        if isinstance(faulted.asked, Send):
            rest.takes_off(faulted, faulted.asked)
        rest.waiting.insert(0, faulted)
    return faulted, later


def _holds(rest: _Rest, prefix: _Prefix, caller: Caller) -> None:
    """The turn and the lock that a program has at this moment."""
    if not caller.steps.is_exclusive and not caller.is_child:
        return
    is_held = False
    for number in reversed(prefix.delivered):
        line = prefix.session.lines[number]
        if line.p != caller.name:
            continue
        is_held = is_held or line.k == "hold"
        if line.k == "exclusive" or (caller.is_child and line.k == "hold"):
            asked = prefix.asked_in(line)
            slot = cast("Exclusive", asked).slot
            rest.takes_turn(caller, slot, asked.action if isinstance(asked, Exclusive) else None, is_held=is_held)
            return


def _waits(rest: _Rest, caller: Caller, since: int) -> None:
    """Let a program wait for what it waits for, and ask what needs nobody else."""
    asked = caller.steps.asked
    if isinstance(asked, Sleep):
        caller.asked = asked
        if rest.falls_asleep(caller, asked.seconds):
            caller.until = since + round(asked.seconds * 1e6)
            return
    rest.go_on(caller, asked)


def strike(
    session: Session,
    *faults: Fault,
    then: Then | str = Then.RECORDING,
    programs: Programs | None = None,
    rules: Rules = _RULES,
) -> Faulted:
    """Run the programs of a session with faults in it.

    Up to the first fault, all goes as it was recorded. From there on `then` says what answers; `rules` are those of the
    simulated Kick. Further faults happen where their places come up. Where the process dies, its programs are begun
    again by another one with the same store. `programs` begin those that are not kickcore's own.

    Raises `SessionError` where the session has no such place, `ConfigError` where such a thing cannot happen there, and
    `ReplayDivergence` where today's programs ask something else before the first fault.
    """
    if not faults:
        raise ConfigError("nothing goes wrong; say what and where: at(send='/oauth/token').lose_answer()")
    then = Then(then)
    settled = _settled(session, faults)
    number = settled[0][0]
    prefix = _Prefix(session)
    _ = begin_programs(prefix, programs)
    prefix.deliver_until(number)
    app = session.header.app
    ledger = _Ledger(app.client_id if app is not None else "", rules)
    for delivered in prefix.delivered:
        _learn(prefix, session.lines[delivered], ledger)
    world = _simulated(prefix, ledger, rules)
    world.tokens = table = _Table(prefix.stored)
    enter(world, ledger)
    line = session.lines[number]
    rest = _Rest(world, prefix, ledger, then, [fault for _, fault in settled], line)
    rest.clock.ticks = 0
    # Who sleeps has not slept yet.
    rest.pass_until(prefix.start + line.t - (line.d if line.k == "sleep" else 0))
    faulted, later = _take_over(rest, prefix, number)
    divergence: Difference | None = None
    try:
        if faulted is not None:
            rest.answer(faulted)
        if then is not Then.STOP:
            _go_on(rest, later, programs)
    except _Diverged as diverged:
        divergence = diverged.difference
    plays = {play.name: play for play in prefix.plays}
    rest.stop(name for name in plays if not is_child(name, plays))
    prefix.close()
    tokens = {slot: stored.token for slot, stored in table.all.items()}
    return Faulted(
        faults,
        {name: outcome for name, outcome in rest.outcomes.items() if not name.endswith(_AGAIN)},
        {name.removesuffix(_AGAIN): outcome for name, outcome in rest.outcomes.items() if name.endswith(_AGAIN)},
        tuple(rest.asked),
        tokens,
        tuple(slot for slot, token in tokens.items() if _is_lost(world, token)) if then is Then.MODEL else (),
        rest.has_crashed,
        divergence,
    )


_AGAIN: Final = " (again)"


def _is_lost(world: Simulated, token: Token) -> bool:
    return token.refresh_token is not None and not takes(world, token)


def _go_on(rest: _Rest, later: list[_Later], programs: Programs | None) -> None:
    """Run everything to its end, first come, first served."""
    while True:
        ready = rest.ready()
        if ready:
            rest.answer(ready[0])
        elif rest.wake():
            pass
        elif rest.dead:
            rest.begin_again(rest.dead.pop(0), programs)
        elif later:
            following = later.pop(0)
            rest.pass_until(following.began)
            _waits(rest, following.caller, rest.clock.ticks)
        else:
            return


# One fault everywhere

_AT_SENDS: Final[tuple[Callable[[At], Fault], ...]] = (
    At.not_sent,
    At.lose_answer,
    lambda place: place.delay(20.0),
    lambda place: place.status(503),
    At.empty_body,
    At.malformed,
    At.repeat_answer,
    At.revoked,
    At.crash_before,
    At.crash_after,
)
_AT_SAVES: Final = (At.fail, At.crash_before, At.crash_after)
_AT_LOADS: Final[tuple[Callable[[At], Fault], ...]] = (
    At.crash_before,
    lambda place: place.step_clock(-7200.0),
    lambda place: place.step_clock(7200.0),
)
_PLACES: Final[Mapping[str, tuple[Callable[[At], Fault], ...]]] = {
    "send": _AT_SENDS,
    "save_token": _AT_SAVES,
    "load_token": _AT_LOADS,
    "drop_token": (At.crash_before, At.crash_after),
    "sleep": (At.crash_before,),
    "hold": (At.crash_before,),
    "consent": (At.crash_before,),
}


def single_faults(
    session: Session,
    programs: Programs | None = None,
    kinds: Iterable[Kind | str] = tuple(Kind),
    *,
    then: Then | str = Then.MODEL,
    rules: Rules = _RULES,
) -> tuple[Case, ...]:
    """A case for each place of a session and each of `kinds` that makes sense there. `case.run()` runs it."""
    wanted, then = frozenset(map(Kind, kinds)), Then(then)
    cases: list[Case] = []
    for line, number in zip(session.lines, session.numbers, strict=True):
        for make in _PLACES.get(line.k, ()):
            fault = make(At(line=number))
            if fault.kind in wanted and not line.failure:
                name = f"{fault}: {line.p} {summary(line.k, bytes(line.q))}"
                cases.append(Case(cut(name), session, fault, then, programs or {}, rules))
    return tuple(cases)
