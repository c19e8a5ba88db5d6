"""Faults as values, schedules of them, and worlds in which they happen."""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, TypeAlias, assert_never

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import Struct

from interpreters.sandbox import Before, Sandbox, respond
from interpreters.sandbox.wire import BLOCKED
from interpreters.tokens.faulty import FailLoad, FailSave, LoseSave, MisnameVersion, Overtake, SaveFault
from kickcore.effects import Leaf, LoadToken, SaveToken, Send, Sleep
from kickcore.errors import StoreError
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.oauth.tokens import NotSaved, Saved
from kickcore.testing.answers import PAGE, failures, limits
from kickcore.testing.damage import cut
from kickcore.testing.once import built_once
from kickcore.testing.tokens import tokens

World: TypeAlias = Callable[[Leaf], object]
"""What answers effects: the second argument of `run_sync`."""


class LoseRequest(Struct, frozen=True, tag="lose_request"):
    """The request never reaches Kick. `sent` is what is known of that: NO, or MAYBE."""

    sent: Sent = Sent.NO


class LoseAnswer(Struct, frozen=True, tag="lose_answer"):
    """Kick acts, and its answer does not arrive. `sent` is what is known of that: MAYBE, or YES."""

    sent: Sent = Sent.YES


class CutAnswer(Struct, frozen=True, tag="cut_answer"):
    """Kick acts, and the first `at` bytes of its answer arrive (counted modulo their number, so never all)."""

    at: int


class GiveAnswer(Struct, frozen=True, tag="give_answer"):
    """Another answer arrives than Kick's. `acts`: whether Kick acts, too."""

    response: Response
    acts: bool = False


class SlowAnswer(Struct, frozen=True, tag="slow_answer"):
    """Kick acts, and its answer takes so many seconds. If that is longer than the request waits, it is lost."""

    seconds: float


SendFault: TypeAlias = LoseRequest | LoseAnswer | CutAnswer | GiveAnswer | SlowAnswer
"""What may go wrong with a request."""

Fault: TypeAlias = SendFault | SaveFault | FailLoad
"""All that may go wrong."""


class Schedule(Struct, frozen=True):
    """What goes wrong and when: the first of `sends` happens to the first `Send` and so on; None if that goes well.

    The same for `saves` and `loads`. When they are used up, all goes well.
    """

    sends: tuple[SendFault | None, ...] = ()
    saves: tuple[SaveFault | None, ...] = ()
    loads: tuple[FailLoad | None, ...] = ()


class FaultyWorld:
    """The world `answer` with the faults of a schedule, for `run_sync(program, world)`.

    Nothing stands between a program and its tokens here: one that `FailSave` did not save is not in memory either, as
    after a crash. `struck` are the faults that have happened.
    """

    def __init__(self, answer: World, schedule: Schedule) -> None:
        self.struck: list[Fault] = []
        self._answer = answer
        self._left: dict[type[Leaf], list[Fault | None]] = {
            Send: [*schedule.sends],
            SaveToken: [*schedule.saves],
            LoadToken: [*schedule.loads],
        }

    def __call__(self, effect: Leaf) -> object:
        left = self._left.get(type(effect))
        fault = left.pop(0) if left else None
        if fault is None:
            return self._answer(effect)
        self.struck.append(fault)
        return strike(fault, effect, self._answer)

    @property
    def is_over(self) -> bool:
        """Whether all that was scheduled has had its turn."""
        return not any(chain.from_iterable(self._left.values()))


def strike(fault: Fault, effect: Leaf, answer: World) -> object:
    """The answer to one effect, with a fault. `answer` is that of a world where all goes well.

    An effect that the fault cannot happen to is answered as if there were none. Raises `StoreError` for `FailLoad`.
    """
    match effect:
        case Send() if isinstance(fault, SendFault):
            return _strike_send(fault, effect, answer)
        case SaveToken() if isinstance(fault, SaveFault):
            return _strike_save(fault, effect, answer)
        case LoadToken() if isinstance(fault, FailLoad):
            raise StoreError(fault.reason, path="")
        case _:
            return answer(effect)


def _strike_send(fault: SendFault, effect: Send, answer: World) -> object:
    match fault:
        case LoseRequest(sent):
            return Unreachable("the request was lost", sent)
        case LoseAnswer(sent):
            _ = answer(effect)
            return Unreachable("the answer was lost", sent)
        case CutAnswer(at):
            response = answer(effect)
            return cut(response, at) if isinstance(response, Response) else response
        case GiveAnswer(response, acts):
            _ = answer(effect) if acts else None
            return response
        case SlowAnswer(seconds):
            response = answer(effect)
            timeout = effect.request.timeout
            _ = answer(Sleep(min(seconds, timeout)))
            return response if seconds < timeout else Unreachable("no answer in time", Sent.YES)
        case _:
            assert_never(fault)


def _strike_save(fault: SaveFault, effect: SaveToken, answer: World) -> object:
    match fault:
        case FailSave(reason):
            return NotSaved(reason)
        case LoseSave(reason):
            _ = answer(effect)
            return NotSaved(reason)
        case MisnameVersion(version):
            outcome = answer(effect)
            return Saved(version) if isinstance(outcome, Saved) else outcome
        case Overtake(token):
            there: Any = answer(LoadToken(effect.slot, reread=True))
            _ = answer(SaveToken(effect.slot, token, there.version if there else ""))
            return answer(effect)
        case _:
            assert_never(fault)


def before(sandbox: Sandbox, faults: Iterable[SendFault | None]) -> Before:
    """For `sandbox.before`: the faults happen to its next requests, one each, under a client that knows nothing of it.

    No time passes for `SlowAnswer`; its answer arrives at once, or is lost.
    """
    left = iter(faults)

    def act(effect: Leaf) -> object:
        if not isinstance(effect, Send):
            return None
        step = respond(sandbox.world, effect.request, sandbox.clock())
        sandbox.world = step.world
        return step.response

    def answer(request: Request) -> Response | Unreachable | None:
        fault = next(left, None)
        told = None if fault is None else strike(fault, Send(request), act)
        return told if isinstance(told, Response | Unreachable) else None

    return answer


@built_once
def send_faults() -> SearchStrategy[SendFault]:
    """One thing that may go wrong with a request."""
    given = failures() | limits() | st.sampled_from([BLOCKED, PAGE])
    return st.one_of(
        st.builds(LoseRequest, st.sampled_from([Sent.NO, Sent.MAYBE])),
        st.builds(LoseAnswer, st.sampled_from([Sent.MAYBE, Sent.YES])),
        st.builds(CutAnswer, st.integers(0, 2000)),
        st.builds(GiveAnswer, given, st.booleans()),
        st.builds(SlowAnswer, st.sampled_from([1.0, 14.9, 15.0, 31.0])),
    )


@built_once
def save_faults() -> SearchStrategy[SaveFault]:
    """One thing that may go wrong with a save."""
    return st.sampled_from([FailSave(), LoseSave(), MisnameVersion()]) | st.builds(Overtake, tokens())


@built_once
def schedules(longest: int = 4) -> SearchStrategy[Schedule]:
    """Schedules of at most `longest` faults, or gaps between them, for each of requests, saves and loads."""
    return st.builds(
        Schedule,
        st.lists(st.none() | send_faults(), max_size=longest).map(tuple),
        st.lists(st.none() | save_faults(), max_size=longest).map(tuple),
        st.lists(st.none() | st.just(FailLoad()), max_size=longest).map(tuple),
    )
