"""Effects are values, and programs are stepped by hand."""

from types import NoneType
from typing import Any, cast, get_args

import pytest
from worlds import APP, APP_SLOT, NOW, json_response

from kickcore.api.users import User, fetch_user
from kickcore.effects import (
    Consent,
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
    RenewAhead,
    SaveToken,
    Send,
    Sleep,
)
from kickcore.http import Request, Response, Unreachable
from kickcore.notices import DriftNoticed, Retrying
from kickcore.oauth.actions import FetchAppToken
from kickcore.oauth.callback import Callback
from kickcore.oauth.tokens import App, NotSaved, Saved, Stored, Superseded, Token
from kickcore.policy import Pace
from kickcore.secret import Secret

TOKEN = Token(Secret("AT"), NOW + 3600, NOW, Secret("RT"), ("user:read",))


def _effects() -> list[Effect[Any]]:
    return [
        Now(),
        Entropy(32, "state"),
        Send(Request("GET", "https://api.kick.com/x", query=(("id", "1"),), bearer=Secret("AT"))),
        Sleep(1.5),
        LoadApp(),
        LoadToken(APP_SLOT, reread=True),
        SaveToken(APP_SLOT, TOKEN, "1"),
        DropToken(APP_SLOT),
        Consent(
            Secret("https://id.kick.com/"), "http://127.0.0.1:3000/callback", Secret("s"), "https://id.kick.com", 1.0
        ),
        LoadPace("GET /public/v1/users"),
        HoldBack("GET /public/v1/users", NOW + 7),
        PayRetry(5.0),
        Notify(Retrying("GET /public/v1/users", "too many requests (429)", 1, 7.5)),
        Exclusive(APP_SLOT, FetchAppToken(APP_SLOT, Secret("AT"))),
        RenewAhead(APP_SLOT, FetchAppToken(APP_SLOT)),
    ]


ONE_OF_EACH = _effects()


def test_the_list_below_has_one_of_each() -> None:
    kinds = cast("list[type[Any]]", Effect.__subclasses__())
    all_kinds = {kind for kind in kinds if kind.__module__ == Effect.__module__}
    assert {type(effect) for effect in ONE_OF_EACH} == {*get_args(Leaf), Exclusive, RenewAhead} == all_kinds


@pytest.mark.parametrize(
    ("one", "twin"), list(zip(ONE_OF_EACH, _effects(), strict=True)), ids=lambda e: type(e).__name__
)
def test_an_effect_is_a_value(one: Effect[Any], twin: Effect[Any]) -> None:
    assert one is not twin
    assert one == twin
    assert hash(one) == hash(twin)
    assert [other for other in ONE_OF_EACH if other == one] == [one]
    for name in one.__struct_fields__:
        with pytest.raises(AttributeError, match="immutable"):
            setattr(one, name, None)


@pytest.mark.parametrize(
    ("effect", "tag"),
    list(
        zip(
            ONE_OF_EACH,
            [
                "now",
                "entropy",
                "send",
                "sleep",
                "load_app",
                "load_token",
                "save_token",
                "drop_token",
                "consent",
                "load_pace",
                "hold_back",
                "pay_retry",
                "notify",
                "exclusive",
                "renew_ahead",
            ],
            strict=True,
        )
    ),
)
def test_an_effect_is_tagged_with_its_name_in_snake_case(effect: Effect[Any], tag: str) -> None:
    assert effect.__struct_config__.tag == tag


@pytest.mark.parametrize(
    ("effect", "answer"),
    [
        (Now, float),
        (Entropy, bytes),
        (Send, Response | Unreachable),
        (Sleep, NoneType),
        (LoadApp, App),
        (LoadToken, Stored | None),
        (SaveToken, Saved | Superseded | NotSaved),
        (DropToken, NoneType),
        (Consent, Callback),
        (LoadPace, Pace),
        (HoldBack, NoneType),
        (PayRetry, bool),
        (Notify, NoneType),
        (Exclusive, Token),
        (RenewAhead, NoneType),
    ],
)
def test_the_type_parameter_is_the_type_of_the_answer(effect: Any, answer: Any) -> None:
    (parameter,) = get_args(effect.__orig_bases__[0])
    assert (parameter or NoneType) == answer


def test_a_notice_is_a_value_with_a_tag() -> None:
    told = [Retrying("GET /x", "why", 1, 0.5), DriftNoticed("GET /x", "data[].new"), DriftNoticed("GET /x", "a", "b")]
    assert [notice.__struct_config__.tag for notice in told] == ["retrying", "drift_noticed", "drift_noticed"]
    assert Notify(told[1]) == Notify(DriftNoticed("GET /x", "data[].new", ""))
    assert len({Notify(notice) for notice in told}) == 3


def test_an_effect_yields_itself_and_returns_what_is_sent() -> None:
    effect = Now()
    asking = iter(effect)
    assert next(asking) is effect
    with pytest.raises(StopIteration) as end:
        asking.send(1.5)
    assert end.value.value == 1.5


def test_an_exception_is_raised_where_the_effect_was_asked_for() -> None:
    asking = iter(Now())
    next(asking)
    with pytest.raises(KeyError):
        asking.throw(KeyError("x"))


def test_fetching_a_user_step_by_step() -> None:
    program = fetch_user(5)
    assert next(program) == LoadApp()
    assert program.send(APP) == LoadPace("GET /public/v1/users")
    assert program.send(Pace()) == LoadToken(APP_SLOT)
    assert program.send(None) == Now()
    assert program.send(NOW) == Exclusive(APP_SLOT, FetchAppToken(APP_SLOT))
    request = Request(
        "GET",
        "https://api.kick.com/public/v1/users",
        query=(("id", "5"),),
        bearer=Secret("AT"),
        group="GET /public/v1/users",
    )
    assert program.send(TOKEN) == Send(request)
    with pytest.raises(StopIteration) as end:
        program.send(json_response({"data": [{"user_id": 5, "name": "anna"}], "message": "OK"}))
    assert end.value.value == User(5, "anna")


def test_nothing_happens_before_a_program_is_driven() -> None:
    fetch_user(-1).close()


def test_equal_answers_give_equal_steps() -> None:
    one, other = fetch_user(5), fetch_user(5)
    answers: list[Any] = [None, APP, Pace(), Stored(TOKEN, "1"), NOW]
    assert [one.send(answer) for answer in answers] == [other.send(answer) for answer in answers]
