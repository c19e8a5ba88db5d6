"""Worlds that answer every effect with whatever its type allows, for programs that must get along with all of it."""

from enum import IntEnum
from typing import Any, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from kickcore.effects import (
    Consent,
    DropToken,
    Entropy,
    HoldBack,
    Leaf,
    LoadApp,
    LoadPace,
    LoadToken,
    Notify,
    Now,
    PayRetry,
    SaveToken,
    Send,
    Sleep,
)
from kickcore.http import Request, Response, Unreachable
from kickcore.oauth.callback import Callback, Denied, ForeignIssuer, Granted
from kickcore.oauth.tokens import App, NotSaved, Saved, Stored, Superseded, Token
from kickcore.policy import Pace
from kickcore.testing.answers import TokenAnswer, responses, token_answers, unreachables
from kickcore.testing.clocks import Clock, move_sequences
from kickcore.testing.kick import ApiAnswer, api_answers
from kickcore.testing.once import built_once
from kickcore.testing.stores import stored
from kickcore.testing.tokens import Phase, moved, tokens
from kickcore.testing.values import NOW, apps, bearer_secrets, few_secrets, instants

T = TypeVar("T")

LIMIT: Final = 1000
"""Effects after which a program is taken to go on for ever."""


@built_once
def callbacks() -> SearchStrategy[Callback]:
    """How a visit to the authorization page may end."""
    return st.one_of(
        st.builds(Granted, bearer_secrets()),
        st.builds(Denied, st.text(max_size=20), st.text(max_size=20)),
        st.builds(ForeignIssuer, st.text(max_size=20)),
    )


@built_once
def paces() -> SearchStrategy[Pace]:
    """A group is free, or is to wait for longer than anybody waits: else a world could let a program wait for ever."""
    return st.builds(Pace, st.sampled_from([0.0, NOW - 200_000, NOW + 200_000]), st.booleans())


def answers_to(effect: Leaf, app: App) -> SearchStrategy[Any]:  # noqa: C901 - one case for each effect
    """Whatever the world may answer to an effect of a program that runs for `app`, judged by the effect alone."""
    match effect:
        case Now():
            return instants()
        case Entropy(size):
            return st.binary(min_size=size, max_size=size)
        case Send(request):
            return _answers(request)
        case LoadApp():
            return st.just(app)
        case LoadToken():
            return st.none() | stored()
        case SaveToken():
            return _outcomes()
        case Consent():
            return callbacks()
        case LoadPace():
            return paces()
        case PayRetry():
            return st.booleans()
        case Sleep() | DropToken() | HoldBack() | Notify():
            return st.none()


@built_once
def _outcomes() -> SearchStrategy[Saved | Superseded | NotSaved]:
    return st.sampled_from([Saved("3"), NotSaved("full")]) | st.builds(Superseded, st.none() | stored())


def _answers(request: Request) -> SearchStrategy[Response | Unreachable]:
    if request.url.endswith("/oauth/token"):
        return token_answers(secrets=few_secrets()) | responses() | unreachables()
    return api_answers(request)


class Mood(IntEnum):
    """How often a drawn world is at its worst: of ten answers, so many are whatever their type allows."""

    KIND = 0
    FAIR = 1
    WILD = 5
    MAD = 10


class DrawnWorld:
    """Answers effects by chance: well, or else with whatever the type of the answer allows, as its mood has it.

    For `run_sync(program, world)`. It keeps to one clock, which what is slept moves. `asked` are the effects so far; a
    program that asks for more than `limit` of them is stopped with an `AssertionError`.
    """

    def __init__(self, data: st.DataObject, app: App, mood: Mood = Mood.MAD, limit: int = LIMIT) -> None:
        self.app: App = app
        self.mood: Mood = mood
        self.clock: Clock = Clock()
        self.asked: list[Leaf] = []
        self._data = data
        self._limit = limit

    def __call__(self, effect: Leaf) -> object:
        self.asked.append(effect)
        if len(self.asked) > self._limit:
            raise AssertionError(f"the program asks for more than {self._limit} effects: does it come to an end?")
        is_well = self.mood is Mood.KIND or (self.mood is not Mood.MAD and self._draw(_TENTHS) >= self.mood)
        match effect:
            case Sleep(seconds):
                return self.clock.advance(max(seconds, 0.0))
            case Now():
                return self._now(is_well=is_well)
            case LoadToken():
                held = self._draw(_held(is_well=is_well))
                return held and replace(held, token=moved(held.token, self.clock.time() - NOW))
            case _:
                return self._draw(_good_answers_to(effect, self.app) if is_well else answers_to(effect, self.app))

    def _now(self, *, is_well: bool) -> float:
        if not is_well:
            self.clock.move(*self._draw(move_sequences(longest=1)))
        return self.clock.time()

    def _draw(self, strategy: SearchStrategy[T]) -> T:
        return self._data.draw(strategy, label=type(self.asked[-1]).__name__)


_TENTHS: Final = st.integers(0, 9).map(lambda tenth: 9 - tenth)
"""The simplest is the highest, so that a failure is shown in a world that is no worse than it must be."""


@built_once
def _held(*, is_well: bool) -> SearchStrategy[Stored | None]:
    if is_well:
        return stored(tokens(*_RENEWABLE, secrets=bearer_secrets(), tried=st.none()).map(_able))
    return st.none() | stored(tokens())


_RENEWABLE: Final = (Phase.FRESH, Phase.DUE, Phase.OVERDUE, Phase.EXPIRED)


def _able(token: Token) -> Token:
    """A token that may do everything, and can be renewed."""
    return replace(token, scope=None, refresh_token=token.refresh_token or token.access_token)


def _good_answers_to(effect: Leaf, app: App) -> SearchStrategy[Any]:
    match effect:
        case Send(request) if request.url.endswith("/oauth/token"):
            return token_answers(TokenAnswer.GOOD, secrets=few_secrets())
        case Send(request):
            return api_answers(request, ApiAnswer.GOOD)
        case SaveToken():
            return st.just(Saved("3"))
        case Consent():
            return st.builds(Granted, bearer_secrets())
        case LoadPace():
            return st.just(Pace())
        case PayRetry():
            return st.just(True)  # noqa: FBT003 - the answer
        case _:
            return answers_to(effect, app)


@st.composite
def worlds(draw: st.DrawFn, app: App | None = None, mood: Mood | None = None, limit: int = LIMIT) -> DrawnWorld:
    """Worlds for `run_sync(program, world)`, kind ones and mad ones; of any app and in any mood, if none is given."""
    in_mood = draw(st.sampled_from(Mood)) if mood is None else mood
    return DrawnWorld(draw(st.data()), draw(apps()) if app is None else app, in_mood, limit)
