"""Answers as they are drawn: each kind is what it says, and every kind comes."""

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from interpreters.sandbox.routes import ID_ROUTES, ROUTES, Route
from kickcore.api.call import Call, error_for, read_data
from kickcore.api.users import User
from kickcore.errors import (
    BadResponse,
    Blocked,
    HTTPError,
    KickError,
    NetworkError,
    OAuthError,
    RateLimited,
    ReauthorizationRequired,
    RefreshOutcomeUnknown,
    ServerError,
    TokenResponseError,
    Unauthorized,
)
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.oauth.grants import Grant, read_grant
from kickcore.oauth.tokens import Token
from kickcore.secret import Secret
from kickcore.testing import (
    NOW,
    ApiAnswer,
    TokenAnswer,
    api_answers,
    as_simulated,
    cut,
    cuts,
    damaged,
    failures,
    json_response,
    limits,
    responses,
    statuses,
    token_answers,
    unreachables,
    waits,
)

from .reach import FIRST, SOME

BEFORE = Token(Secret("AT0"), NOW, NOW - 7200, Secret("RT0"))
USERS = Request("GET", "https://api.kick.com/public/v1/users", query=(("id", "123"),), bearer=Secret("any"))
BODY = {"data": [{"user_id": 123, "name": "a"}], "message": "OK"}


def granted(*kinds: TokenAnswer) -> st.SearchStrategy[Grant]:
    """What comes of such an answer to a refresh."""
    return token_answers(*kinds).map(lambda answer: read_grant(answer, NOW, BEFORE))


@SOME
@given(granted(TokenAnswer.GOOD))
def test_a_good_answer_is_a_new_pair(grant: Grant) -> None:
    assert grant.problem is None
    assert grant.token is not None
    assert grant.token.is_alive(NOW)
    assert grant.token.refresh_token is not None


@SOME
@given(granted(TokenAnswer.ODD))
def test_an_odd_answer_can_be_used(grant: Grant) -> None:
    assert grant.problem is None
    assert grant.token is not None
    assert grant.token.access_token is not None


@SOME
@given(granted(TokenAnswer.SALVAGEABLE))
def test_of_a_salvageable_answer_only_the_refresh_token_is_kept(grant: Grant) -> None:
    assert isinstance(grant.problem, TokenResponseError)
    assert grant.token is not None
    assert grant.token.access_token is None


@SOME
@given(granted(TokenAnswer.CUT))
def test_a_cut_answer_is_no_token(grant: Grant) -> None:
    assert isinstance(grant.problem, RefreshOutcomeUnknown | TokenResponseError)
    assert grant.token is None or grant.token.access_token is None


PROBLEMS: dict[TokenAnswer, type[KickError]] = {
    TokenAnswer.REFUSED: OAuthError,
    TokenAnswer.ENDED: ReauthorizationRequired,
    TokenAnswer.FAILED: ServerError,
    TokenAnswer.LIMITED: RateLimited,
    TokenAnswer.BLOCKED: ServerError,
    TokenAnswer.HTML: TokenResponseError,
    TokenAnswer.UNSENT: NetworkError,
    TokenAnswer.LOST: RefreshOutcomeUnknown,
}


@pytest.mark.parametrize("kind", PROBLEMS)
@SOME
@given(data=st.data())
def test_the_other_answers_are_what_they_are_called(kind: TokenAnswer, data: st.DataObject) -> None:
    grant = data.draw(granted(kind))
    assert grant.token is None
    assert isinstance(grant.problem, PROBLEMS[kind])


@pytest.mark.parametrize("problem", [None, *PROBLEMS.values()])
def test_every_kind_comes_where_none_is_asked_for(problem: type[KickError] | None) -> None:
    wanted = type(None) if problem is None else problem
    _ = find(granted(), lambda grant: isinstance(grant.problem, wanted), settings=FIRST)


def test_an_answer_is_cut_at_every_byte() -> None:
    whole = Response(200, (), b"0123456789")
    assert {cut(whole, at).body for at in range(100)} == {whole.body[:length] for length in range(10)}
    assert cut(Response(204), 5) == Response(204)
    for length in range(10):
        assert find(cuts(st.just(whole)), lambda part: len(part.body) == length, settings=FIRST)  # noqa: B023


def test_the_secrets_of_an_answer_are_those_given() -> None:
    answer = find(token_answers(TokenAnswer.GOOD, secrets=st.just(Secret("only"))), lambda _: True, settings=FIRST)
    assert isinstance(answer, Response)
    assert json.loads(answer.body)["access_token"] == json.loads(answer.body)["refresh_token"] == "only"


# --- Damage


@SOME
@given(damaged(st.just(json_response(BODY))))
def test_what_is_damaged_keeps_its_status_and_is_read_or_refused(answer: Response) -> None:
    assert answer.status == 200
    with suppress(BadResponse):
        assert isinstance(read_data(answer, list[User], "GET /public/v1/users"), list)


def members(answer: Response) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError:
        return None


@pytest.mark.parametrize(
    "is_so",
    [
        lambda value: value == {**BODY, "data": []},
        lambda value: value == {"message": "OK"},
        lambda value: isinstance(value, dict) and value.get("data") == [{"name": "a"}],
        lambda value: isinstance(value, dict) and value.get("data") == [{"user_id": None, "name": "a"}],
        lambda value: isinstance(value, dict) and value.get("data") == "",
        lambda value: value is None,
    ],
)
def test_damage_is_done_at_every_depth(is_so: Any) -> None:
    _ = find(damaged(st.just(json_response(BODY))), lambda answer: is_so(members(answer)), settings=FIRST)


@SOME
@given(damaged(st.just(Response(200, (), b"OK"))))
def test_what_is_no_json_is_cut(answer: Response) -> None:
    assert answer.body in {b"", b"O", b"OK"}


# --- The API


def test_the_simulated_kick_answers_whoever_asks() -> None:
    answer = as_simulated(USERS)
    assert [user.name for user in read_data(answer, list[User], "x")] == ["streamer_123"]
    assert as_simulated(USERS) == answer
    claims = Request("GET", "https://api.kick.com/public/v1/drops/claims", bearer=Secret("any"))
    assert as_simulated(claims).status != 401
    form = (("grant_type", "client_credentials"), ("client_id", "any"), ("client_secret", Secret("any")))
    assert as_simulated(Request("POST", "https://id.kick.com/oauth/token", form=form)).status == 200


@pytest.mark.parametrize("route", [*ROUTES, *ID_ROUTES], ids=str)
def test_the_simulated_kick_answers_to_every_operation(route: Route | tuple[str, str]) -> None:
    method, path = route if isinstance(route, tuple) else (route.method, route.template)
    answer = as_simulated(Request(method, "https://api.kick.com" + re.sub(r"{\w+}", "1", path), bearer=Secret("any")))
    assert answer.status != 401 or path.startswith("/oauth/")


ERRORS: dict[ApiAnswer, type[HTTPError]] = {
    ApiAnswer.UNAUTHORIZED: Unauthorized,
    ApiAnswer.REFUSED: HTTPError,
    ApiAnswer.FAILED: ServerError,
    ApiAnswer.LIMITED: RateLimited,
    ApiAnswer.BLOCKED: Blocked,
}


@pytest.mark.parametrize("kind", ERRORS)
@SOME
@given(data=st.data())
def test_the_errors_of_the_api_are_what_they_are_called(kind: ApiAnswer, data: st.DataObject) -> None:
    answer = data.draw(api_answers(USERS, kind))
    assert isinstance(answer, Response)
    assert isinstance(error_for(answer, "GET /public/v1/users"), ERRORS[kind])


@pytest.mark.parametrize(
    ("kind", "is_so"),
    [
        (ApiAnswer.GOOD, lambda answer: answer == as_simulated(USERS)),
        (ApiAnswer.DAMAGED, lambda answer: answer.status == 200 and answer != as_simulated(USERS)),
        (ApiAnswer.HTML, lambda answer: answer.status == 200 and answer.body.startswith(b"<!DOCTYPE")),
        (ApiAnswer.NONSENSE, lambda answer: answer.status == 100),
        (ApiAnswer.UNSENT, lambda answer: answer.sent is Sent.NO),
        (ApiAnswer.LOST, lambda answer: answer.sent is Sent.MAYBE),
        (ApiAnswer.LOST, lambda answer: answer.sent is Sent.YES),
    ],
)
def test_every_kind_of_answer_of_the_api_comes(kind: ApiAnswer, is_so: Any) -> None:
    def fits(answer: Response | Unreachable) -> bool:
        return hasattr(answer, "status") is (kind not in {ApiAnswer.UNSENT, ApiAnswer.LOST}) and is_so(answer)

    _ = find(api_answers(USERS, kind), fits, settings=FIRST)
    _ = find(api_answers(USERS), fits, settings=FIRST)


# --- From anywhere


@SOME
@given(statuses(), responses(), failures(), limits(), waits())
def test_statuses_are_statuses(
    status: int, answer: Response, failure: Response, limit: Response, wait: tuple[tuple[str, str], ...]
) -> None:
    assert all(100 <= number <= 599 for number in (status, answer.status))
    assert failure.status >= 500
    assert limit.status == 429
    assert not wait or wait[0][0] == "retry-after"


def test_bodies_are_those_given() -> None:
    assert find(responses(st.just(b"own")), lambda answer: answer.body == b"own", settings=FIRST)


@pytest.mark.parametrize("sent", Sent)
def test_a_request_is_lost_as_far_as_was_asked_for(sent: Sent) -> None:
    assert find(unreachables(sent), lambda _: True, settings=FIRST).sent is sent
    assert find(unreachables(), lambda answer: answer.sent is sent, settings=FIRST)


def test_a_call_is_not_needed_to_draw_its_answer() -> None:
    call = Call(operation="GET /public/v1/users", answer=list[User], tokens=())
    answer = find(api_answers(USERS, ApiAnswer.GOOD), lambda _: True, settings=FIRST)
    assert isinstance(answer, Response)
    assert len(read_data(answer, call.answer, call.operation)) == 1
