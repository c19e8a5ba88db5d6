"""Checked by pyright, never run: what the language of effects promises to type checkers.

Each `pyright: ignore` marks a mistake that must be reported; one that is not reported is itself an error.
"""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Concatenate, ParamSpec, TypeVar, assert_never, assert_type

from interpreters.live import Live
from kickcore.effects import (
    Body,
    DropToken,
    Effect,
    Entropy,
    Exclusive,
    HoldBack,
    Leaf,
    LoadApp,
    LoadPace,
    LoadToken,
    Notify,
    Now,
    PayRetry,
    Program,
    SaveToken,
    Send,
    Sleep,
)
from kickcore.http import Request, Response, Unreachable
from kickcore.notices import Retrying
from kickcore.oauth.actions import FetchAppToken
from kickcore.oauth.tokens import App, NotSaved, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.policy import Pace

T = TypeVar("T")
P = ParamSpec("P")

SLOT = Slot("https://id.kick.com", "client", TokenKind.APP)
REQUEST = Request("GET", "https://api.kick.com/public/v1/users")


def answers_have_types() -> Program[None]:
    assert_type((yield from Now()), float)
    assert_type((yield from Entropy(32, "state")), bytes)
    assert_type((yield from Send(REQUEST)), Response | Unreachable)
    assert_type((yield from LoadApp()), App)
    assert_type((yield from LoadToken(SLOT)), Stored | None)
    assert_type((yield from SaveToken(SLOT, Token(None, 0.0, 0.0), "")), Saved | Superseded | NotSaved)
    assert_type((yield from Exclusive(SLOT, FetchAppToken(SLOT))), Token)
    assert_type((yield from Sleep(1.0)), None)
    assert_type((yield from DropToken(SLOT)), None)
    assert_type((yield from LoadPace("GET /x")), Pace)
    assert_type((yield from HoldBack("GET /x", 1.0)), None)
    assert_type((yield from PayRetry(5.0)), bool)
    assert_type((yield from Notify(Retrying("GET /x", "why", 1, 0.5))), None)


def a_row_that_cannot_send() -> Generator[Now | LoadToken, Any, None]:
    yield from Send(REQUEST)  # pyright: ignore[reportReturnType]


def a_narrow_row_fits_a_wide_one() -> Program[float]:
    return (yield from only_the_time())


def only_the_time() -> Generator[Now, Any, float]:
    return (yield from Now())


def the_body_of_an_exclusive_asks_for_no_other() -> Body[Token]:
    return (yield from Exclusive(SLOT, FetchAppToken(SLOT)))  # pyright: ignore[reportReturnType]


def an_answer_of_another_type() -> Program[str]:
    return (yield from Now())  # pyright: ignore[reportReturnType]


def an_effect_cannot_be_changed(effect: Send) -> None:
    effect.request = REQUEST  # pyright: ignore[reportAttributeAccessIssue]


def all_leaves_are_handled(effect: Leaf) -> None:
    match effect:
        case Now() | Entropy() | Send() | Sleep() | LoadApp() | LoadToken() | SaveToken() | DropToken():
            pass
        case LoadPace() | HoldBack() | PayRetry() | Notify():
            pass
        case _:
            assert_never(effect)  # pyright: ignore[reportArgumentType]


def answers(kind: Callable[P, Effect[T]], handler: Callable[Concatenate[Live, P], Awaitable[T]]) -> None:
    """The handler takes the effect's fields and gives its answer: `match` alone cannot show this."""


answers(Now, Live.now)
answers(Entropy, Live.entropy)
answers(Send, Live.send)
answers(Sleep, Live.sleep)
answers(LoadApp, Live.load_app)
answers(LoadToken, Live.load_token)
answers(SaveToken, Live.save_token)
answers(DropToken, Live.drop_token)
answers(LoadPace, Live.load_pace)
answers(HoldBack, Live.hold_back)
answers(PayRetry, Live.pay_retry)
answers(Notify, Live.notify)
answers(Now, Live.entropy)  # pyright: ignore[reportArgumentType]
answers(LoadPace, Live.pay_retry)  # pyright: ignore[reportArgumentType]
answers(SaveToken, Live.load_token)  # pyright: ignore[reportArgumentType]
