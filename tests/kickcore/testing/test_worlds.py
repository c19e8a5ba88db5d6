"""Worlds in which anything may happen."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from interpreters.driver import run_sync
from kickcore import KickError, Scope
from kickcore.api.channels import fetch_channel, update_channel
from kickcore.api.chat import send_chat_message
from kickcore.api.users import User, fetch_user, fetch_users
from kickcore.effects import (
    Consent,
    DropToken,
    Effect,
    Entropy,
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
from kickcore.errors import BadResponse, LoginRequired, RateLimited
from kickcore.http import Request, Response, Unreachable
from kickcore.notices import Retrying
from kickcore.oauth.callback import Callback, Denied, ForeignIssuer, Granted
from kickcore.oauth.login import Login, authenticate, logout
from kickcore.oauth.tokens import App, NotSaved, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.policy import Pace
from kickcore.secret import Secret
from kickcore.testing import DrawnWorld, Mood, answers_to, callbacks, worlds

from .reach import FIRST, SOME

APP = App("CID", Secret("CSECRET"))
SLOT = Slot("https://id.kick.com", "CID", TokenKind.USER)
TOKEN = Token(Secret("AT"), 1.0, 0.0)

ANSWERS: dict[Leaf, tuple[type, ...]] = {
    Now(): (float,),
    Entropy(5, "state"): (bytes,),
    Send(Request("GET", "https://api.kick.com/public/v1/users")): (Response, Unreachable),
    Send(Request("POST", "https://id.kick.com/oauth/token")): (Response, Unreachable),
    Sleep(1.0): (type(None),),
    LoadApp(): (App,),
    LoadToken(SLOT): (Stored, type(None)),
    SaveToken(SLOT, TOKEN, ""): (Saved, Superseded, NotSaved),
    DropToken(SLOT): (type(None),),
    Consent(Secret("u"), "r", Secret("s"), "i", 5.0): (Granted, Denied, ForeignIssuer),
    LoadPace("GET /x"): (Pace,),
    HoldBack("GET /x", 1.0): (type(None),),
    PayRetry(5.0): (bool,),
    Notify(Retrying("GET /x", "why", 1, 0.5)): (type(None),),
}


def test_every_effect_has_its_answers() -> None:
    assert {type(effect) for effect in ANSWERS} == set[type[Effect[Any]]](get_args(Leaf))


@pytest.mark.parametrize("effect", ANSWERS, ids=lambda effect: type(effect).__name__)
@SOME
@given(data=st.data())
def test_an_answer_is_of_the_type_that_the_effect_asks_for(effect: Leaf, data: st.DataObject) -> None:
    assert isinstance(data.draw(answers_to(effect, APP)), ANSWERS[effect])


@pytest.mark.parametrize(("effect", "kind"), [(effect, kind) for effect, kinds in ANSWERS.items() for kind in kinds])
def test_every_type_of_answer_comes(effect: Leaf, kind: type) -> None:
    assert isinstance(find(answers_to(effect, APP), lambda answer: isinstance(answer, kind), settings=FIRST), kind)


@pytest.mark.parametrize("kind", get_args(Callback))
def test_a_visit_to_the_browser_ends_in_every_way(kind: type) -> None:
    assert isinstance(find(callbacks(), lambda end: isinstance(end, kind), settings=FIRST), kind)


def outcome(program: Callable[[], Program[Any]], world: DrawnWorld) -> object:
    try:
        return run_sync(program(), world)
    except KickError as error:
        return error


PROGRAMS: dict[str, Callable[[], Program[Any]]] = {
    "fetch_user": lambda: fetch_user(123),
    "own user": fetch_user,
    "fetch_channel": lambda: fetch_channel(slug="xqc"),
    "update_channel": lambda: update_channel(stream_title="t"),
    "send_chat_message": lambda: send_chat_message("hi", broadcaster_user_id=5),
    "authenticate": lambda: authenticate([Scope.CHAT_WRITE]),
    "logout": logout,
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
@SOME
@given(world=worlds())
def test_a_program_of_kickcore_ends_in_any_world(program: Callable[[], Program[Any]], world: DrawnWorld) -> None:
    _ = outcome(program, world)
    assert world.asked


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        (lambda: fetch_user(123), User),
        (lambda: fetch_user(123), RateLimited),
        (fetch_user, LoginRequired),
        (lambda: fetch_user(123), BadResponse),
        (lambda: authenticate([Scope.CHAT_WRITE]), Login),
    ],
)
def test_a_program_comes_to_every_end(program: Callable[[], Program[Any]], kind: type) -> None:
    _ = find(worlds(APP), lambda world: isinstance(outcome(program, world), kind), settings=FIRST)


@SOME
@given(worlds(mood=Mood.KIND))
def test_in_a_kind_world_everything_goes_well(world: DrawnWorld) -> None:
    assert isinstance(outcome(lambda: fetch_user(123), world), User)


def test_a_flow_of_several_calls_gets_through() -> None:
    def flow() -> Program[int]:
        channel = yield from fetch_channel(slug="xqc")
        users = yield from fetch_users([channel.broadcaster_user_id])
        _ = yield from send_chat_message("hi", broadcaster_user_id=users[0].user_id)
        return len(users)

    _ = find(worlds(APP), lambda world: outcome(flow, world) == 1, settings=FIRST)


def test_a_program_that_never_ends_is_stopped() -> None:
    def endless() -> Program[None]:
        while True:
            yield from Sleep(1.0)

    @settings(database=None, max_examples=1, phases=[Phase.generate])
    @given(worlds(limit=20))
    def try_all(world: DrawnWorld) -> None:
        run_sync(endless(), world)

    with pytest.raises(AssertionError, match="more than 20 effects"):
        try_all()


@SOME
@given(worlds())
def test_the_clock_of_a_world_goes_on_while_a_program_sleeps(world: DrawnWorld) -> None:
    before = world.clock.time()
    assert world(Sleep(5.0)) is None
    assert world.clock.time() == before + 5.0
    assert world(Now()) == world.clock.time()
    assert world.asked == [Sleep(5.0), Now()]


@settings(max_examples=5)
@given(worlds(APP))
def test_the_app_of_a_world_is_the_one_given(world: DrawnWorld) -> None:
    assert world(LoadApp()) == APP
