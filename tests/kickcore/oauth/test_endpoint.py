"""Asking the token endpoint: what is repeated, how often, and within what time."""

from contextlib import suppress
from typing import Any

import pytest
from worlds import APP, APP_SLOT, NO_REPEATS, NOW, USER_SLOT, Kick, World, json_response, shown

from interpreters.driver import run_sync
from kickcore.effects import Entropy, Leaf
from kickcore.errors import KickError, LoginError, NetworkError, RateLimited, RefreshOutcomeUnknown, ServerError
from kickcore.http import Response, Sent, Unreachable
from kickcore.oauth.access import token_for
from kickcore.oauth.endpoint import LONGEST_PAUSE, OPERATION, RETRY_COST, Again, ask
from kickcore.oauth.grants import TOKEN_TIMEOUT, client_credentials_request, exchange_request, refresh_request
from kickcore.oauth.login import authenticate
from kickcore.oauth.tokens import Token
from kickcore.policy import BUDGET, Policy
from kickcore.secret import Secret

BEFORE = Token(Secret("AT0"), NOW - 10, NOW - 7200, Secret("RT0"))
NOT_SENT = Unreachable("no route", Sent.NO)
LOST = Unreachable("reset", Sent.YES)
CUT = Response(200, (), b'{"access_token":"AT9')
BUSY = Response(503)
LIMITED = Response(429)
SOON = Response(429, (("retry-after", "3"),))
LATE = Response(429, (("retry-after", "6"),))
REFUSED = json_response({"error": "invalid_client"}, 401)
HTML = Response(200, (), b"<html>")

REQUESTS = {
    Again.ALWAYS: client_credentials_request(APP),
    Again.TWICE: refresh_request(APP, Secret("RT0")),
    Again.NEVER: exchange_request(APP, Secret("code"), Secret("v" * 43), "http://127.0.0.1:3000/callback"),
}


def tries(again: Again, answer: Response | Unreachable, policy: Policy | None = None) -> tuple[int, World]:
    """How often a request is sent that is always answered so."""
    world = World(policy=policy)
    world.kick.scripted.extend([answer] * 20)
    before = BEFORE if again is Again.TWICE else None
    asked = world.run(ask(REQUESTS[again], world.app.policy, again, before))
    assert asked.grant.token is None
    return len(world.sent), world


@pytest.mark.parametrize(
    ("answer", "always", "twice", "never"),
    [
        (NOT_SENT, 3, 3, 3),
        (LOST, 3, 2, 1),
        (Unreachable("timeout", Sent.MAYBE), 3, 2, 1),
        (CUT, 1, 2, 1),
        (BUSY, 3, 2, 1),
        (Response(500, (), b"<html>" * 1000), 3, 2, 1),
        (LIMITED, 1, 1, 1),
        (SOON, 3, 3, 3),
        (LATE, 1, 1, 1),
        (REFUSED, 1, 1, 1),
        (HTML, 1, 1, 1),
        (Response(302), 1, 1, 1),
    ],
    ids=repr,
)
def test_what_is_sent_again_depends_on_what_a_second_request_may_do(
    answer: Response | Unreachable, always: int, twice: int, never: int
) -> None:
    assert {again: tries(again, answer)[0] for again in Again} == {
        Again.ALWAYS: always,
        Again.TWICE: twice,
        Again.NEVER: never,
    }


@pytest.mark.parametrize("answer", [NOT_SENT, LOST, BUSY, SOON], ids=repr)
@pytest.mark.parametrize("again", Again)
def test_a_policy_without_repeats_holds_but_for_a_lost_refresh(again: Again, answer: Response | Unreachable) -> None:
    expected = 2 if again is Again.TWICE and answer == LOST else 1
    assert tries(again, answer, NO_REPEATS)[0] == expected


def test_a_lost_answer_is_asked_for_at_once_and_costs_nothing() -> None:
    _, world = tries(Again.TWICE, LOST)
    assert world.slept == []
    assert world.pacing.pay(BUDGET)


def test_other_repeats_are_paid_for_and_wait_by_chance() -> None:
    _, world = tries(Again.ALWAYS, BUSY)
    assert len(world.slept) == 2
    assert 0 < world.slept[0] <= 0.2
    assert 0 < world.slept[1] <= 0.4
    assert RETRY_COST == 5.0
    assert not world.pacing.pay(BUDGET - 2 * RETRY_COST + 1)
    assert world.pacing.pay(BUDGET - 2 * RETRY_COST)


def test_without_budget_nothing_is_repeated() -> None:
    world = World()
    assert world.pacing.pay(BUDGET)
    world.kick.scripted.extend([BUSY] * 5)
    with pytest.raises(ServerError):
        world.run(token_for(APP_SLOT))
    assert len(world.sent) == 1


def test_a_lost_answer_and_then_a_failure_are_two_and_no_more() -> None:
    world = World()
    world.kick.scripted.extend([LOST, BUSY, BUSY])
    asked = world.run(ask(REQUESTS[Again.TWICE], world.app.policy, Again.TWICE, BEFORE))
    assert len(world.sent) == 2
    assert asked.was_lost
    assert isinstance(asked.grant.problem, ServerError)


def test_what_was_not_sent_does_not_count_as_lost() -> None:
    world = World()
    world.kick.scripted.extend([NOT_SENT, NOT_SENT, REFUSED])
    asked = world.run(ask(REQUESTS[Again.TWICE], world.app.policy, Again.TWICE, BEFORE))
    assert len(world.sent) == 3
    assert not asked.was_lost


@pytest.mark.parametrize(("took", "sent"), [(13.9, 2), (14.1, 1), (15.0, 1), (-3600.0, 2)])
def test_all_tries_together_take_no_longer_than_one_may(took: float, sent: int) -> None:
    world = World()

    def slow(_: Any) -> Unreachable:
        world.now += took
        return LOST

    world.kick.scripted.extend([slow, LOST])
    asked = world.run(ask(REQUESTS[Again.TWICE], world.app.policy, Again.TWICE, BEFORE))
    assert isinstance(asked.grant.problem, RefreshOutcomeUnknown)
    assert len(world.sent) == sent
    assert world.sent[0].timeout == TOKEN_TIMEOUT
    if sent == 2:
        assert world.sent[1].timeout == pytest.approx(TOKEN_TIMEOUT - max(took, 0.0))


def test_a_life_counts_from_the_request_that_was_answered() -> None:
    world = World()
    world.log_in()
    world.now += 7200

    def slow(_: Any) -> Unreachable:
        world.now += 5
        return LOST

    world.kick.scripted.append(slow)
    token = world.run(token_for(USER_SLOT))
    assert token.issued_at == NOW + 7205
    assert token.expires_at == NOW + 7205 + 7200


# --- 429


def test_a_short_wait_is_waited_and_a_long_one_is_told() -> None:
    world = World()
    world.kick.scripted.append(SOON)
    assert world.run(token_for(APP_SLOT)).access_token == Secret("APP1")
    assert world.slept == [3.0]
    world = World()
    world.kick.scripted.append(LATE)
    with pytest.raises(RateLimited, match="tokens are as they were") as caught:
        world.run(token_for(APP_SLOT))
    assert caught.value.retry_after == 6.0
    assert caught.value.operation == OPERATION


def test_who_comes_before_the_wait_is_over_sends_nothing() -> None:
    world = World()
    world.kick.scripted.append(LATE)
    with pytest.raises(RateLimited):
        world.run(token_for(APP_SLOT))
    world.now += 0.5
    with pytest.raises(RateLimited, match="was not sent") as caught:
        world.run(token_for(APP_SLOT))
    assert caught.value.retry_after == pytest.approx(5.5)
    assert caught.value.status == 429
    assert len(world.sent) == 1
    world.now += 6 - 0.5 - LONGEST_PAUSE
    assert world.run(token_for(APP_SLOT)).access_token == Secret("APP1")
    assert world.slept == [pytest.approx(LONGEST_PAUSE)]


def test_a_429_that_says_nothing_holds_nobody_back() -> None:
    world = World()
    world.kick.scripted.append(LIMITED)
    with pytest.raises(RateLimited) as caught:
        world.run(token_for(APP_SLOT))
    assert caught.value.retry_after is None
    assert world.run(token_for(APP_SLOT)).access_token == Secret("APP1")


def test_every_form_of_retry_after_ends_in_a_token_or_in_a_limit(vectors: Any) -> None:
    for case in vectors("retry_after.json")["cases"]:
        world = World()
        world.log_in()
        world.now += 7200
        world.kick.scripted.append(Response(429, (("retry-after", str(case["value"])),)))
        with suppress(RateLimited):
            world.run(token_for(USER_SLOT))
        assert world.token().refresh_token in {Secret("RT0"), Secret("RT1")}
        assert sum(world.slept) <= LONGEST_PAUSE


# --- A code


@pytest.mark.parametrize("answer", [LOST, CUT, BUSY, HTML], ids=repr)
def test_a_code_is_sent_once_when_kick_may_have_acted(answer: Response | Unreachable) -> None:
    world = World()
    world.kick.scripted.append(answer)
    with pytest.raises((NetworkError, KickError)) as caught:
        world.run(authenticate(["user:read"]))
    assert not isinstance(caught.value, LoginError)
    assert [shown(request.form)["grant_type"] for request in world.sent] == ["authorization_code"]


def test_a_code_that_was_not_sent_is_sent_again() -> None:
    world = World()
    world.kick.scripted.append(NOT_SENT)
    assert world.run(authenticate(["user:read"])).granted
    assert len(world.sent) == 2


def test_the_skew_of_kicks_clock_comes_with_the_answer() -> None:
    world = World()
    kick: Kick = world.kick

    def dated(request: Any) -> Response:
        answer = kick.identity(request)
        return Response(answer.status, (("date", "Fri, 15 Jan 2027 08:07:00 GMT"),), answer.body)

    kick.scripted.append(dated)
    asked = world.run(ask(REQUESTS[Again.ALWAYS], world.app.policy, Again.ALWAYS))
    assert asked.skew == 420.0


def test_a_pause_that_leaves_no_time_for_another_try_is_not_waited() -> None:
    world = World()

    def slow(_: Any) -> Response:
        world.now += 12.5
        return SOON

    world.kick.scripted.append(slow)
    asked = world.run(ask(REQUESTS[Again.ALWAYS], world.app.policy, Again.ALWAYS))
    assert isinstance(asked.grant.problem, RateLimited)
    assert world.slept == []
    assert len(world.sent) == 1


def test_waits_double_up_to_the_policys_longest() -> None:
    world = World(policy=Policy(retries=4, backoff=1.0, longest_backoff=3.0))
    world.kick.scripted.extend([BUSY] * 5)

    def answer(effect: Leaf) -> object:
        return b"\xff" * 8 if isinstance(effect, Entropy) else world(effect)

    run_sync(ask(REQUESTS[Again.ALWAYS], world.app.policy, Again.ALWAYS), answer)
    assert world.slept == [pytest.approx(1), pytest.approx(2), pytest.approx(3), pytest.approx(3)]


def test_half_an_answer_that_gave_a_new_refresh_token_is_not_asked_for_again() -> None:
    world = World()
    world.kick.scripted.append(Response(200, (), b'{"refresh_token": "RT1", "access_tok'))
    asked = world.run(ask(REQUESTS[Again.TWICE], world.app.policy, Again.TWICE, BEFORE))
    assert len(world.sent) == 1
    assert asked.grant.token is not None
    assert asked.grant.token.refresh_token == Secret("RT1")
