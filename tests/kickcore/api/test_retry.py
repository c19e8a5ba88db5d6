"""What is repeated, after what wait, and at what cost: through `call`, in a world that is a function."""

from collections.abc import Callable
from datetime import datetime
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import NO_REPEATS, USER_SLOT, World, json_response, user_world

from interpreters.driver import run_sync
from kickcore import Secret
from kickcore.api.ads import create_ad_break
from kickcore.api.call import APP_OR_USER, USER, Call, call, call_page
from kickcore.api.retry import (
    MAY_REPEAT,
    RETRY_COST,
    SILENCE_COST,
    SUCCESS_REFILL,
    Failure,
    GiveUp,
    Repeat,
    Safety,
    decide_repeat,
    failure_of,
)
from kickcore.api.users import User, fetch_user
from kickcore.effects import Entropy, HoldBack, Leaf, PayRetry, Send
from kickcore.errors import (
    HTTPError,
    KickError,
    NetworkError,
    NotFound,
    QuotaReached,
    RateLimited,
    ServerError,
    Unauthorized,
)
from kickcore.http import HELD_BACK, Response, Sent, Unreachable
from kickcore.notices import Retrying
from kickcore.oauth.tokens import Token
from kickcore.policy import BUDGET, Policy

GET = "GET /public/v1/users"
ME = json_response({"data": [{"user_id": 5, "name": "me"}]})
DONE = Response(204)
NOT_SENT = Unreachable("refused", Sent.NO)
LOST = Unreachable("reset by peer", Sent.MAYBE)
CUT = Unreachable("broken", Sent.YES)


def asking(seconds: str, status: int = 429) -> Response:
    return Response(status, (("retry-after", seconds),))


def _call(method: str = "GET", **others: Any) -> Call[None]:
    members: dict[str, Any] = {"operation": f"{method} /x", "answer": type(None), "tokens": APP_OR_USER, **others}
    return Call[None](**members)


def answered_by(*answers: Response | Unreachable, policy: Policy | None = None) -> World:
    """A world whose Kick gives these answers, and the last of them for ever."""
    world, given_ = user_world(policy=policy), chain(answers, repeat(answers[-1]))
    world.kick.api = lambda _: next(given_)
    return world


def failed(world: World, asked: Call[None]) -> KickError:
    with pytest.raises(KickError) as caught:
        world.run(call(asked))
    return caught.value


def asked_for(world: World, kind: type[Leaf]) -> list[Any]:
    return [effect for effect in world.log if isinstance(effect, kind)]


# --- The table

ANSWERS: dict[Failure, list[Response | Unreachable]] = {
    Failure.NOT_SENT: [NOT_SENT],
    Failure.LOST: [LOST, CUT],
    Failure.LIMITED: [Response(429), asking("0"), asking("7"), asking("soon")],
    Failure.BUSY: [asking("0", 503), asking("7", 503), asking("soon", 503)],
    Failure.FAULTY: [Response(500), Response(502), Response(503), Response(504), asking("7", 500)],
}
YES = dict.fromkeys(Failure, True)
UNSAFE = {**dict.fromkeys(Failure, False), Failure.NOT_SENT: True, Failure.LIMITED: True}
ROWS: list[tuple[str, bool, dict[Failure, bool]]] = [
    ("GET", False, YES),
    ("HEAD", False, YES),
    ("PUT", False, YES),
    ("DELETE", False, YES),
    ("POST", False, UNSAFE),
    ("PATCH", False, UNSAFE),
    ("POST", True, YES),
]
"""Method, whether it says that it may be repeated, and what may be: section 2.7 of the requirements."""


@pytest.mark.parametrize(
    ("method", "repeatable", "answer", "wanted"),
    [
        pytest.param(method, repeatable, answer, row[failure], id=f"{method}{repeatable:d}-{failure.name}-{number}")
        for method, repeatable, row in ROWS
        for failure, answers in ANSWERS.items()
        for number, answer in enumerate(answers)
    ],
)
def test_every_cell_of_the_table(method: str, repeatable: bool, answer: Response | Unreachable, wanted: bool) -> None:
    world = answered_by(answer, DONE)
    asked = _call(method, repeatable=repeatable, body=b'{"a":1}')
    if wanted:
        assert world.run(call(asked)) is None
        first, second = world.sent
        assert first == second
        assert len(world.slept) == len(world.notices) == 1
    else:
        assert isinstance(failed(world, asked), HTTPError | NetworkError)
        assert len(world.sent) == 1
        assert (world.slept, world.notices, asked_for(world, PayRetry)) == ([], [], [])


def test_the_table_has_no_other_cells() -> None:
    columns = {Safety.SAFE: YES, Safety.IDEMPOTENT: YES, Safety.UNSAFE: UNSAFE}
    assert {failure: {safety: columns[safety][failure] for safety in Safety} for failure in Failure} == MAY_REPEAT
    assert {failure: {failure_of(answer) for answer in ANSWERS[failure]} for failure in Failure} == {
        failure: {failure} for failure in Failure
    }


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 403, 404, 408, 409, 418, 425, 499, 501, 505, 599])
def test_no_other_status_is_a_failure_that_passes(status: int) -> None:
    assert failure_of(asking("1", status)) is None


@pytest.mark.parametrize("status", [301, 400, 403, 404, 409, 418, 501, 505])
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_what_kick_refuses_is_sent_once(method: str, status: int) -> None:
    world = answered_by(asking("1", status))
    error = failed(world, _call(method, repeatable=True))
    assert isinstance(error, HTTPError)
    assert error.status == status
    assert len(world.sent) == 1
    assert world.slept == []


# --- How often


@pytest.mark.parametrize("retries", [0, 1, 2, 5, 10])
@pytest.mark.parametrize("answer", [NOT_SENT, LOST, Response(429), asking("1", 503), Response(500)], ids=repr)
def test_a_failure_that_stays_is_repeated_so_often_and_then_told(retries: int, answer: Response | Unreachable) -> None:
    world = answered_by(answer, policy=Policy(retries=retries))
    error = failed(world, _call())
    assert type(error) is {429: RateLimited, 503: ServerError, 500: ServerError}.get(
        getattr(answer, "status", 0), NetworkError
    )
    assert len(world.sent) == retries + 1
    assert len(world.slept) == len(world.notices) == retries


def test_two_repeats_happen_if_nothing_is_said() -> None:
    world = answered_by(Response(500), LOST, ME)
    assert world.run(fetch_user(5)) == User(5, "me")
    assert len(world.sent) == 3


def test_a_page_and_a_call_without_a_token_are_repeated_too() -> None:
    world = answered_by(Response(500), ME)
    users = Call[list[User]](operation=GET, answer=list[User], tokens=APP_OR_USER)
    assert list(world.run(call_page(users))) == [User(5, "me")]
    assert len(world.sent) == 2
    world = answered_by(DONE)
    answers = iter([Response(500), DONE])
    said = run_sync(call(_call(tokens=())), lambda e: next(answers) if isinstance(e, Send) else world(e))
    assert said is None
    assert next(answers, None) is None


@pytest.mark.parametrize("answer", [answer for answers in ANSWERS.values() for answer in answers], ids=repr)
def test_no_retries_switches_it_all_off(answer: Response | Unreachable) -> None:
    world = answered_by(answer, policy=NO_REPEATS)
    failed(world, _call())
    assert len(world.sent) == 1
    assert not [effect for effect in world.log if isinstance(effect, PayRetry | Entropy)]
    assert (world.slept, world.notices) == ([], [])


@pytest.mark.parametrize("answer", [answer for answers in ANSWERS.values() for answer in answers], ids=repr)
def test_every_repeat_is_told_with_reason_attempt_and_wait(answer: Response | Unreachable) -> None:
    world = answered_by(answer)
    failed(world, _call())
    failure = failure_of(answer)
    assert failure is not None
    assert world.notices == [
        Retrying("GET /x", failure.value, number + 1, wait) for number, wait in enumerate(world.slept)
    ]
    assert len(world.notices) == 2


# --- Deleting twice


@pytest.mark.parametrize("first", [NOT_SENT, LOST, Response(429), asking("1", 503), Response(500)], ids=repr)
def test_what_is_gone_when_its_deletion_is_repeated_was_deleted(first: Response | Unreachable) -> None:
    world = answered_by(first, Response(404))
    assert world.run(call(_call("DELETE"))) is None
    assert len(world.sent) == 2
    # And it is a success: it gives back what the repeat has cost.
    first_cost, refill = asked_for(world, PayRetry)
    assert first_cost.cost == -refill.cost


def test_what_is_not_there_at_first_is_not_found() -> None:
    world = answered_by(Response(404))
    assert type(failed(world, _call("DELETE"))) is NotFound
    assert len(world.sent) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_for_other_methods_not_found_is_not_found(method: str) -> None:
    assert type(failed(answered_by(Response(500), Response(404)), _call(method, repeatable=True))) is NotFound


# --- How long

octets = st.binary(min_size=8, max_size=8)


def with_entropy(world: World, drawn: bytes) -> Callable[[Leaf], object]:
    def answer(effect: Leaf) -> object:
        said = world(effect)
        return drawn if isinstance(effect, Entropy) else said

    return answer


@given(octets, st.integers(0, 9), st.floats(0, 10), st.floats(0, 10))
def test_the_wait_is_by_chance_up_to_a_doubling_bound(
    drawn: bytes, attempt: int, backoff: float, longest: float
) -> None:
    policy = Policy(retries=10, backoff=backoff, longest_backoff=longest)
    plan = decide_repeat("GET", Response(500), attempt, policy, 0.0)
    assert isinstance(plan, Repeat)
    assert 0 <= plan.wait(drawn) <= min(longest, backoff * 2**attempt)
    assert plan.longest == min(longest, backoff * 2**attempt)


def test_the_whole_range_is_drawn_from() -> None:
    plan = Repeat(Failure.FAULTY, RETRY_COST, 4.0)
    waits = [plan.wait(bytes([first]) + bytes(7)) for first in range(256)]
    assert waits == [first / 64 for first in range(256)]
    assert plan.wait(b"\xff" * 8) <= 4.0
    assert plan.wait(b"") == 0.0


@given(octets, st.floats(0, 60))
def test_what_kick_asks_for_is_waited_and_up_to_a_tenth_more(drawn: bytes, asked: float) -> None:
    assert asked <= Repeat(Failure.LIMITED, RETRY_COST, 0.2, asked).wait(drawn) <= asked * 1.1


@given(octets, st.integers(0, 60), st.sampled_from([429, 503, 500]))
def test_a_call_waits_as_it_was_asked_to_whatever_chance_says(drawn: bytes, asked: int, status: int) -> None:
    world = answered_by(asking(str(asked), status), DONE)
    began = world.now
    assert run_sync(call(_call()), with_entropy(world, drawn)) is None
    assert asked <= world.slept[0] <= asked * 1.1
    assert asked - 1e-6 <= world.now - began <= asked * 1.1 + 1e-6
    assert len(world.slept) == 1


@given(octets)
def test_without_a_word_of_kicks_the_waits_grow(drawn: bytes) -> None:
    world = answered_by(Response(429), policy=Policy(retries=8))
    with pytest.raises(RateLimited):
        run_sync(call(_call()), with_entropy(world, drawn))
    assert len(world.sent) == 9
    for number, wait in enumerate(world.slept):
        assert wait <= min(0.2 * 2**number, 5.0)


@pytest.mark.parametrize("policy", [Policy(longest_wait=0), Policy(longest_wait=0.1, backoff=5)], ids=repr)
def test_a_wait_of_our_own_may_be_longer_than_what_kick_may_ask_for(policy: Policy) -> None:
    world = answered_by(Response(429), DONE, policy=policy)
    assert world.run(call(_call())) is None
    assert len(world.sent) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_all_vectors(vectors: Any, status: int) -> None:
    listed = vectors("retry_after.json")
    for case in listed["cases"]:
        world = answered_by(asking(case["value"], status), DONE)
        world.now = datetime.fromisoformat(listed["now"]).timestamp()
        match case["seconds"]:
            case "give-up":
                error = failed(world, _call())
                assert type(error) is (RateLimited if status == 429 else ServerError), case
                assert status != 429 or getattr(error, "retry_after", 0) > listed["cap_seconds"], case
                assert (len(world.asked_api), world.slept) == (1, []), case
            case "ignore":
                assert world.run(call(_call())) is None
                assert 0 <= world.slept[0] <= 0.2, case
            case seconds:
                assert world.run(call(_call())) is None
                assert seconds <= world.slept[0] <= seconds * 1.1, case


def test_a_date_is_measured_against_kicks_own_clock() -> None:
    headers = (("retry-after", "Wed, 14 Jan 2026 16:08:16 GMT"), ("date", "Wed, 14 Jan 2026 16:08:06 GMT"))
    world = answered_by(Response(429, headers), DONE)
    assert world.run(call(_call())) is None
    assert 10 <= world.slept[0] <= 11


# --- The group


def test_a_wait_that_is_too_long_is_an_error_at_once_and_nobody_else_of_the_group_is_sent() -> None:
    world = answered_by(asking("61"), DONE)
    error = failed(world, _call())
    assert isinstance(error, RateLimited)
    assert error.retry_after == 61
    for waited in (0.0, 0.5, 0.25):
        world.now += waited
        error = failed(world, _call())
        assert isinstance(error, RateLimited)
        assert error.status == 429
        assert "was not sent" in str(error)
        assert 60 < (error.retry_after or 0) <= 61
    assert len(world.sent) == 1
    assert world.slept == []
    # Another group is not concerned.
    assert world.run(call(_call("PUT"))) is None
    # What is left can be waited for now.
    world.now += 0.25
    assert world.run(call(_call())) is None
    assert world.slept == [60.0]


def test_an_hour_is_refused_until_it_is_over() -> None:
    world = answered_by(asking("3600"), DONE)
    failed(world, _call())
    for _ in range(35):
        world.now += 100
        assert isinstance(failed(world, _call()), RateLimited)
    world.now += 100
    assert world.run(call(_call())) is None
    assert len(world.sent) == 2
    assert world.slept == []


@given(octets, st.floats(0, 2e9))
def test_whoever_comes_while_the_longest_wait_is_on_waits_with_the_group(drawn: bytes, now: float) -> None:
    world = answered_by(DONE)
    world.now = now
    answers = iter([asking("60"), DONE, DONE])
    others: list[object] = []

    def answer(effect: Leaf) -> object:
        if isinstance(effect, HoldBack):
            _ = world(effect)
            # Somebody else, at the same instant.
            others.append(run_sync(call(_call()), outer))
            return None
        return outer(effect)

    def outer(effect: Leaf) -> object:
        if isinstance(effect, Send) and effect.request.group:
            return next(answers)
        return drawn if isinstance(effect, Entropy) else world(effect)

    assert run_sync(call(_call(tokens=())), answer) is None
    assert others == [None]


def test_the_longest_wait_is_not_too_long_because_an_instant_is_rounded() -> None:
    world = answered_by(DONE, policy=Policy(longest_wait=0.7))
    world.pacing.hold_back("GET /x", world.now + 0.7)
    assert (world.now + 0.7) - world.now > 0.7
    assert world.run(call(_call())) is None
    assert len(world.slept) == 1


def test_somebody_elses_wait_is_waited_before_anything_is_sent() -> None:
    world = answered_by(DONE)
    world.pacing.hold_back("GET /x", world.now + 7)
    assert world.run(call(_call())) is None
    assert world.slept == [7.0]
    assert world.notices == []
    assert not asked_for(world, PayRetry)


def test_without_retries_nobody_waits_for_the_group_and_nothing_is_sent() -> None:
    world = answered_by(asking("7"), DONE, policy=NO_REPEATS)
    for left in (7.0, 7.0):
        error = failed(world, _call())
        assert isinstance(error, RateLimited)
        assert error.retry_after == left
    assert len(world.sent) == 1
    world.now += 7
    assert world.run(call(_call())) is None
    assert world.slept == []


def test_the_last_answer_holds_the_group_back_too_if_kick_says_how_long() -> None:
    world = answered_by(asking("7"))
    failed(world, _call())
    assert world.pacing.load("GET /x").not_before == world.now + 7
    world = answered_by(Response(429), policy=NO_REPEATS)
    failed(world, _call())
    failed(world, _call())
    assert len(world.sent) == 2


def test_one_group_is_held_back_by_a_rate_and_by_nothing_else() -> None:
    for answer in (asking("7", 503), asking("7", 500), LOST, NOT_SENT):
        world = answered_by(answer)
        failed(world, _call())
        assert not asked_for(world, HoldBack)


def test_who_stood_in_line_when_the_group_was_held_back_has_made_no_attempt() -> None:
    world = user_world(policy=Policy(retries=1))
    answers = iter([HELD_BACK] * 5 + [Response(500)] + [HELD_BACK] * 5 + [DONE])

    def api(_: object) -> Response | Unreachable:
        answer = next(answers)
        if answer == HELD_BACK:
            world.pacing.hold_back("GET /x", world.now + 1)
        return answer

    world.kick.api = api
    assert world.run(call(_call())) is None
    assert len(world.sent) == 12
    assert [notice.attempt for notice in world.notices if isinstance(notice, Retrying)] == [1]
    assert len([wait for wait in world.slept if wait == 1]) == 10
    assert [paid.cost for paid in asked_for(world, PayRetry)] == [RETRY_COST, -RETRY_COST]


def test_a_post_that_was_held_back_is_sent_once_it_may() -> None:
    world = answered_by(HELD_BACK, DONE)
    assert world.run(call(_call("POST"))) is None


# --- The budget


@pytest.mark.parametrize(
    ("answer", "extra"),
    [(NOT_SENT, 100), (Response(500), 100), (Response(429), 100), (LOST, 50)],
    ids=["refuses", "fails", "limits", "is silent"],
)
def test_a_dead_server_is_not_asked_three_times_as_often(answer: Response | Unreachable, extra: int) -> None:
    world, sent = user_world(), 0

    def api(_: object) -> Response | Unreachable:
        nonlocal sent
        sent += 1
        return answer

    world.kick.api = api
    calls = 10_000
    for _ in range(calls):
        with pytest.raises(KickError):
            world.run(call(_call()))
        world.log.clear()
    assert sent - calls == extra
    assert extra <= 0.01 * calls


def test_when_kick_is_back_successes_refill_what_a_dead_server_has_spent() -> None:
    world = answered_by(Response(500))
    while world.pacing.pay(RETRY_COST):
        pass
    failed(world, _call())
    assert len(world.sent) == 1
    world.kick.api = lambda _: DONE
    for _ in range(int(RETRY_COST / SUCCESS_REFILL)):
        assert world.run(call(_call())) is None
    answers = iter([Response(500), DONE])
    world.kick.api = lambda _: next(answers)
    assert world.run(call(_call())) is None


def test_a_call_that_ends_well_gives_back_what_it_has_cost() -> None:
    world = answered_by(Response(500), LOST, DONE)
    assert world.run(call(_call())) is None
    assert [paid.cost for paid in asked_for(world, PayRetry)] == [RETRY_COST, SILENCE_COST, -RETRY_COST - SILENCE_COST]
    assert world.pacing.pay(BUDGET)


def test_as_long_as_nothing_is_spent_a_success_is_not_told() -> None:
    world = answered_by(DONE)
    assert world.run(call(_call())) is None
    assert not asked_for(world, PayRetry)


def test_without_a_budget_the_group_still_learns_how_long_to_wait() -> None:
    world = answered_by(asking("7"), DONE)
    assert world.pacing.pay(BUDGET)
    error = failed(world, _call())
    assert isinstance(error, RateLimited)
    assert error.retry_after == 7
    assert (len(world.sent), world.slept, world.notices) == (1, [], [])
    assert world.run(call(_call())) is None
    assert world.slept == [7.0]


# --- Tokens


def test_a_refused_token_is_renewed_once_within_each_attempt() -> None:
    world = user_world()
    bearers: list[str] = []

    def api(request: Any) -> Response:
        # Kick fails, and forgets the token on the way. What came in the place of a refused one has half a minute.
        world.now += 31
        bearers.append(request.bearer.reveal())
        world.kick.living.discard(bearers[-1])
        return DONE if len(bearers) == 3 else Response(500)

    world.kick.api = api
    assert world.run(call(_call(tokens=USER))) is None
    assert bearers == ["AT0", "AT1", "AT2"]
    assert [request.bearer for request in world.asked_api] == [
        Secret(text) for text in ("AT0", "AT0", "AT1", "AT1", "AT2")
    ]
    assert len(world.asked_identity) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_token_that_stays_refused_is_renewed_once_and_nothing_is_repeated(method: str) -> None:
    world = user_world()
    world.kick.api = lambda _: Response(401)
    assert type(failed(world, _call(method, tokens=USER))) is Unauthorized
    assert len(world.asked_api) == 2
    assert len(world.asked_identity) == 1
    assert (world.slept, world.notices) == ([], [])


def test_the_repeat_has_the_token_of_its_own_time() -> None:
    world = answered_by(asking("60"), DONE)
    token = world.token(USER_SLOT)
    world.put(USER_SLOT, Token(token.access_token, world.now + 59, world.now - 7000, token.refresh_token, token.scope))
    assert world.run(call(_call(tokens=USER))) is None
    assert [request.bearer for request in world.asked_api][-1] == Secret("AT1")


# --- Quotas and keys


def test_a_quota_that_is_used_up_is_no_rate_and_nothing_is_repeated(payload: Any) -> None:
    headers = (("retry-after", "1"),)
    world = answered_by(Response(429, headers, payload("errors/429-ads.MAX_AD_BREAKS_REACHED.json")))
    world.log_in(scope="ads:write")
    for number in (1, 2):
        with pytest.raises(QuotaReached) as caught:
            world.run(create_ad_break(30))
        assert caught.value.code == "MAX_AD_BREAKS_REACHED"
        assert len(world.sent) == number
    assert not asked_for(world, HoldBack)
    assert (world.slept, world.notices) == ([], [])


def test_an_ad_break_is_repeated_with_the_same_key() -> None:
    world = answered_by(LOST, Response(502), json_response({"data": {"id": "a"}}))
    world.log_in(scope="ads:write")
    assert world.run(create_ad_break(30)).id == "a"
    assert len(world.sent) == 3
    assert len({request.body for request in world.sent}) == 1


# --- The decision alone


@given(
    st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "QUERY"]),
    st.sampled_from([answer for answers in ANSWERS.values() for answer in answers] + [DONE, Response(404)]),
    st.integers(0, 12),
    st.integers(0, 10),
    st.floats(0, 100),
    st.booleans(),
)
def test_a_repeat_is_allowed_by_the_table_the_count_and_the_longest_wait(
    method: str,
    answer: Response | Unreachable,
    attempt: int,
    retries: int,
    longest_wait: float,
    repeatable: bool,
) -> None:
    policy = Policy(retries=retries, longest_wait=longest_wait)
    plan = decide_repeat(method, answer, attempt, policy, 0.0, repeatable=repeatable)
    failure = failure_of(answer)
    if isinstance(plan, GiveUp):
        assert plan.hold_back is None or failure is Failure.LIMITED
        return
    assert failure is plan.failure
    assert attempt < retries
    assert repeatable or method in {"GET", "HEAD", "PUT", "DELETE"} or UNSAFE[failure]
    assert plan.asked is None or plan.asked <= longest_wait
    assert plan.cost == (SILENCE_COST if failure is Failure.LOST else RETRY_COST)
