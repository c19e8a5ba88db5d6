"""Something goes wrong in a recording: everywhere once, and what comes of it is an answer, never a mess."""

from typing import Any

import pytest
from recorded import SCOPES, SLOT, a_day, kick, recorded, waiting

from interpreters.sandbox import Rotation, Rules, Simulated
from interpreters.sessions import Recording, Session, exploring
from interpreters.sessions.divergence import Reason
from interpreters.sessions.exploring import Crashed, Stuck
from interpreters.sessions.faults import At, Case, Fault, Faulted, Kind, Then, at, single_faults, strike
from kickcore.api.ads import create_ad_break
from kickcore.api.users import User, fetch_user
from kickcore.effects import LoadToken, Notify, Now, PayRetry, Program, SaveToken, Send, Sleep
from kickcore.errors import (
    BadResponse,
    ConfigError,
    GrantLost,
    KickError,
    NetworkError,
    ReauthorizationRequired,
    RefreshOutcomeUnknown,
    ServerError,
    SessionError,
    TokenResponseError,
)
from kickcore.oauth.login import authenticate, logout
from kickcore.oauth.tokens import Outcome, Stored

OWN = {"waiting(seconds=7150.0)": lambda: waiting(7150.0), "waiting(seconds=7300.0)": lambda: waiting(7300.0)}
GRACE = Rules(rotation=Rotation.GRACE)
REFRESH = at(send="/oauth/token", nth=3)
"""The first exchange is for the app token, the second for the code."""


@pytest.fixture(scope="module")
def day() -> Session:
    return recorded(*a_day())


@pytest.fixture(scope="module")
def expired() -> Session:
    """A login, a call, and after a long pause two more: the first of them renews the token."""
    return recorded(fetch_user(676), authenticate(SCOPES), fetch_user(), waiting(7300.0), fetch_user(), fetch_user())


def struck(session: Session, *faults: Fault, then: Then | str = Then.MODEL, rules: Rules | None = None) -> Faulted:
    return strike(session, *faults, then=then, programs=OWN, rules=rules or Rules())


def error_of(faulted: Faulted, name: str) -> type:
    return type(faulted.outcomes[name])


# All of them


def test_one_fault_everywhere_ends_in_one_tree_of_errors(day: Session, expired: Session) -> None:
    for session in (day, expired):
        for then in (Then.MODEL, Then.RECORDING):
            cases = single_faults(session, OWN, then=then)
            assert len(cases) > 100
            assert {case.fault.kind for case in cases} == set(Kind)
            assert len({case.name for case in cases}) == len(cases)
            for case in cases:
                faulted = case.run()
                assert faulted.divergence is None, case.name
                assert all(isinstance(error, KickError | Crashed) for error in faulted.errors), case.name
                assert faulted.crashed is any(isinstance(error, Crashed) for error in faulted.errors), case.name


def is_told(faulted: Faulted) -> bool:
    """Whether the loss was told, or will be to whoever renews next: the store says that an answer is not known."""
    attempt = faulted.tokens[SLOT].attempt
    is_marked = attempt is not None and attempt.outcome in {Outcome.UNKNOWN, Outcome.ENDED}
    return is_marked or any(
        isinstance(error, ReauthorizationRequired | RefreshOutcomeUnknown) for error in faulted.errors
    )


def test_no_grant_is_lost_that_need_not_be(day: Session, expired: Session) -> None:
    """A refresh token that is spent at once is lost with its answer only; and never without a word."""
    for session in (day, expired):
        lost = dict[Kind, int]()
        for case in single_faults(session, OWN):
            faulted = case.run()
            if faulted.lost:
                assert faulted.lost == (SLOT,)
                assert is_told(faulted), case.name
                lost[case.fault.kind] = lost.get(case.fault.kind, 0) + 1
        # One request is a refresh, and one save stores what came of it.
        once = {Kind.LOSE_ANSWER, Kind.DELAY, Kind.EMPTY_BODY, Kind.MALFORMED, Kind.CRASH_AFTER, Kind.CRASH_BEFORE}
        assert set(lost) == once | {Kind.REVOKED}
        assert all(lost[kind] == 1 for kind in once)


def test_where_kick_forgives_no_grant_is_lost_but_what_was_revoked(day: Session, expired: Session) -> None:
    for session in (day, expired):
        for case in single_faults(session, OWN, rules=GRACE):
            faulted = case.run()
            assert not faulted.lost or case.fault.kind is Kind.REVOKED, case.name


def test_cases_can_be_chosen(day: Session) -> None:
    cases = single_faults(day, OWN, ["save failed", Kind.CRASH_AFTER], then="recording")
    assert {case.fault.kind for case in cases} == {Kind.FAIL, Kind.CRASH_AFTER}
    assert all(isinstance(case, Case) and case.then is Then.RECORDING for case in cases)
    assert cases[0].name.startswith("crash after at line ")
    assert cases[0].name.endswith("send POST /oauth/token")


# One by one


def test_an_answer_to_a_refresh_that_is_lost(expired: Session) -> None:
    strict = struck(expired, REFRESH.lose_answer())
    assert error_of(strict, "fetch_user()#2") is GrantLost
    assert error_of(strict, "fetch_user()#3") is ReauthorizationRequired
    assert strict.lost == (SLOT,)
    forgiving = struck(expired, REFRESH.lose_answer(), rules=GRACE)
    assert isinstance(forgiving.outcomes["fetch_user()#2"], User)
    assert forgiving.lost == ()
    recorded_again = struck(expired, REFRESH.lose_answer(), then="recording")
    assert isinstance(recorded_again.outcomes["fetch_user()#2"], User)
    sends = [asked for _, asked in recorded_again.asked if isinstance(asked, Send) and asked.request.form]
    assert len(sends) == 2


def test_a_request_that_is_never_sent_is_sent_again(expired: Session) -> None:
    faulted = struck(expired, REFRESH.not_sent())
    assert isinstance(faulted.outcomes["fetch_user()#2"], User)
    assert faulted.errors == ()
    kinds = {type(asked) for _, asked in faulted.asked}
    assert {Send, Sleep, PayRetry, SaveToken, LoadToken} <= kinds
    assert Now not in kinds


def test_an_answer_that_is_late(expired: Session) -> None:
    on_time = struck(expired, REFRESH.delay(10.0))
    assert on_time.errors == ()
    assert on_time.tokens[SLOT].expires_at == expired.header.micros / 1e6 + 7300.0 + 7200.0
    late = struck(expired, REFRESH.delay(20.0))
    assert error_of(late, "fetch_user()#2") is RefreshOutcomeUnknown


def test_another_status(expired: Session) -> None:
    faulted = struck(expired, REFRESH.status(503))
    assert faulted.errors == ()
    call = struck(expired, at(send="/public/v1/users", nth=1).status(503), then="recording")
    assert call.errors == ()
    assert any(isinstance(asked, Notify) for _, asked in call.asked)
    refused = struck(expired, at(send="/public/v1/users", nth=2).status(401))
    assert refused.errors == ()


def test_a_body_that_is_empty_or_cut(expired: Session) -> None:
    call = at(send="/public/v1/users", nth=3)
    assert error_of(struck(expired, call.empty_body()), "fetch_user()#2") is BadResponse
    assert error_of(struck(expired, call.malformed()), "fetch_user()#2") is BadResponse
    assert error_of(struck(expired, REFRESH.malformed()), "fetch_user()#2") is GrantLost


def test_an_answer_that_is_given_twice(day: Session) -> None:
    def asking_twice() -> Program[Any]:
        first = yield from fetch_user(676)
        return first, (yield from fetch_user(676))

    session = recorded(asking_twice())
    programs = {"asking_twice()": asking_twice}
    first = at(send="/public/v1/users", nth=1)
    faulted = strike(session, first.repeat_answer(), then="model", programs=programs)
    assert len({user.name for user in faulted.outcomes["asking_twice()"]}) == 1
    cut = strike(session, first.repeat_answer(), at(send="/public/v1/users", nth=2).status(400), programs=programs)
    assert isinstance(cut.outcomes["asking_twice()"], KickError)


def test_a_save_that_fails_is_made_good(expired: Session) -> None:
    faulted = struck(expired, at(save="user", nth=3).fail())
    assert faulted.errors == ()
    assert faulted.lost == ()
    assert faulted.tokens[SLOT].attempt is None


def test_what_is_revoked_is_asked_for_once(expired: Session) -> None:
    for then in (Then.MODEL, Then.RECORDING):
        faulted = struck(expired, at(send="/public/v1/users", nth=2).revoked(), then=then)
        assert error_of(faulted, "fetch_user()") is ReauthorizationRequired
        assert error_of(faulted, "fetch_user()#2") is ReauthorizationRequired
        refreshes = [asked for _, asked in faulted.asked if isinstance(asked, Send) and asked.request.form]
        assert len(refreshes) == 1


def test_a_clock_that_is_set(expired: Session) -> None:
    call = at(program="fetch_user()", index=0)
    forward = struck(expired, call.step_clock(7200.0))
    assert isinstance(forward.outcomes["fetch_user()"], User)
    assert sum(isinstance(asked, Send) and bool(asked.request.form) for _, asked in forward.asked) == 2
    back = struck(expired, call.step_clock(-7200.0))
    assert back.errors == ()
    asleep = struck(expired, at(kind="sleep").step_clock(10.0))
    assert asleep.outcomes["waiting(seconds=7300.0)"] == expired.header.micros / 1e6 + 7310.0


def test_after_a_crash_the_next_process_says_what_was_lost(expired: Session) -> None:
    faulted = struck(expired, REFRESH.crash_after())
    assert faulted.crashed
    assert error_of(faulted, "fetch_user()#2") is Crashed
    assert isinstance(faulted.again["fetch_user()#2"], GrantLost)
    assert error_of(faulted, "fetch_user()#3") is ReauthorizationRequired
    before = struck(expired, REFRESH.crash_before())
    assert isinstance(before.again["fetch_user()#2"], User)
    assert before.lost == ()


def test_a_crash_takes_with_it_what_could_not_be_stored(expired: Session) -> None:
    faulted = struck(expired, at(save="user", nth=3).fail(), at(send="/public/v1/users", nth=3).crash_before())
    assert faulted.crashed
    assert isinstance(faulted.again["fetch_user()#2"], GrantLost)
    assert faulted.faults == (
        Fault(At(save="user", nth=3), Kind.FAIL),
        Fault(At(send="/public/v1/users", nth=3), Kind.CRASH_BEFORE),
    )


def test_a_run_may_stop_at_the_fault(expired: Session) -> None:
    faulted = struck(expired, at(send="/public/v1/users", nth=3).lose_answer(), then="stop")
    assert isinstance(faulted.outcomes["fetch_user()#2"], Stuck)
    assert isinstance(faulted.outcomes["fetch_user()"], User)
    assert isinstance(faulted.outcomes["fetch_user()#3"], Stuck)
    assert len(faulted.asked) <= 3


def test_what_the_recording_has_no_answer_to_is_told() -> None:
    def other_after_a_failure() -> Program[Any]:
        try:
            return (yield from fetch_user(676))
        except ServerError:
            return (yield from fetch_user(123))

    session = recorded(other_after_a_failure())
    programs = {"other_after_a_failure()": other_after_a_failure}
    fault = at(send="/public/v1/users").status(501)
    faulted = strike(session, fault, programs=programs)
    assert faulted.divergence is not None
    assert faulted.divergence.reason is Reason.EXTRA
    assert faulted.divergence.used == "send GET /public/v1/users?id=123"
    assert isinstance(faulted.outcomes["other_after_a_failure()"], Stuck)
    assert strike(session, fault, then="model", programs=programs).outcomes["other_after_a_failure()"].user_id == 123


def test_a_fault_in_a_login(expired: Session) -> None:
    name = next(name for name in expired.programs if name.startswith("authenticate"))
    exchange = at(send="/oauth/token", nth=2)
    for then in (Then.MODEL, Then.RECORDING):
        faulted = struck(expired, exchange.lose_answer(), then=then)
        assert error_of(faulted, name) is NetworkError
        faulted = struck(expired, at(kind="consent").crash_before(), then=then)
        assert error_of(faulted, name) is Crashed
        assert type(faulted.again[name]).__name__ == "Login"
        assert faulted.errors == (faulted.outcomes[name],)
    assert error_of(struck(expired, exchange.empty_body()), name) is TokenResponseError


def test_a_try_with_an_id_of_its_own_gets_the_recorded_answer() -> None:
    session = recorded(authenticate(["ads:write"]), create_ad_break(60))
    name = session.programs[-1]
    fault = at(send="/ads/ad-break").lose_answer()
    faulted = strike(session, fault, then="recording")
    assert faulted.divergence is None
    assert name in faulted.outcomes


def test_a_logout_is_known_to_the_model() -> None:
    session = recorded(authenticate(SCOPES), logout())
    faulted = strike(session, at(kind="drop_token").crash_before(), then="model")
    assert faulted.again["logout()"] is True
    assert faulted.tokens == {}


def test_a_token_that_was_there_before_is_known_to_the_model() -> None:
    simulated = kick()
    simulated.tokens.replace(SLOT, simulated.sandbox.sign_in(["user:read"]), "")
    simulated.time += 7300.0
    session = recorded(fetch_user(), on=simulated)
    assert strike(session, at(send="/oauth/token").crash_before(), then="model").errors[1:] == ()
    assert isinstance(
        strike(session, at(send="/oauth/token").crash_after(), then="model").again["fetch_user()"], GrantLost
    )


def test_programs_that_ran_at_once_go_on_at_once(expired: Session) -> None:
    """The session of a renewal that was shared, with its answer lost."""
    simulated = kick()
    simulated.tokens.replace(SLOT, simulated.sandbox.sign_in(["user:read"]), "")
    simulated.time += 7300.0
    token, world, time = simulated.tokens.get(SLOT), simulated.sandbox.world, simulated.time

    def make() -> Simulated:
        again = kick()
        again.sandbox.world, again.time = world, time
        assert isinstance(token, Stored)
        again.tokens.replace(SLOT, token.token, "")
        return again

    programs = {"a": fetch_user, "b": fetch_user}
    plan = exploring._plan(make, programs, exploring.USUAL, None, shared_lock=True)
    session = exploring._told(plan, exploring._follow(plan, exploring._Choices([]), 0), 0).session
    faulted = strike(session, at(send="/oauth/token").lose_answer(), then="model", programs=programs)
    assert {type(outcome) for outcome in faulted.outcomes.values()} == {GrantLost}
    for case in single_faults(session, programs):
        assert all(isinstance(error, KickError | Crashed) for error in case.run().errors), case.name


def test_a_renewal_beside_a_program_may_fail() -> None:
    session = recorded(authenticate(["user:read"]), waiting(6700.0), fetch_user())
    programs = {"waiting(seconds=6700.0)": lambda: waiting(6700.0)}
    for case in single_faults(session, programs):
        assert all(isinstance(error, KickError | Crashed) for error in case.run().errors), case.name
    faulted = strike(session, at(send="/oauth/token", nth=2).lose_answer(), then="model", programs=programs)
    assert isinstance(faulted.outcomes["fetch_user()"], User)
    assert any(isinstance(asked, Notify) and name == "fetch_user()/1" for name, asked in faulted.asked)


def test_two_accounts_are_kept_apart() -> None:
    simulated, recording = kick(), Recording(seed="s")
    recording.run_sync(fetch_user(676), simulated.answer, label="other", account="bot")
    session = recording.close()
    faulted = strike(session, at(line=2).crash_before(), then="model", programs={"other": lambda: fetch_user(676)})
    assert isinstance(faulted.again["other"], User)


# Places


def test_a_place_is_one_place() -> None:
    assert str(at(send="/oauth/token", nth=2).delay(3.0)) == "answer delayed +3 s at send /oauth/token (2)"
    assert str(at(save="user").fail()) == "save failed at save user (1)"
    assert str(at(kind="hold").crash_before()) == "crash before at hold (1)"
    assert str(at(program="p", index=3).status(500)) == "another status 500 at p #3"
    assert str(at(line=7).step_clock(-5.0)) == "clock set -5 s at line 7"
    for wrong in ({}, {"send": "/a", "line": 2}, {"program": "p"}, {"index": 1, "line": 2}, {"send": "/a", "nth": 0}):
        with pytest.raises(ConfigError, match=r"at\(\.\.\.\) names one place"):
            _ = at(**wrong)  # type: ignore[arg-type]


def test_a_place_that_is_not_there_is_told(day: Session) -> None:
    for place in (at(send="/nowhere"), at(send="/oauth/token", nth=9), at(line=1), at(program="p", index=0)):
        with pytest.raises(SessionError, match="nothing was run"):
            _ = struck(day, place.crash_before())
    with pytest.raises(SessionError, match="none of the places"):
        _ = struck(day, at(send="/nowhere").crash_before(), at(save="nobody").fail())
    with pytest.raises(ConfigError, match="nothing goes wrong"):
        _ = struck(day)


def test_what_cannot_happen_somewhere_is_told(day: Session) -> None:
    with pytest.raises(ConfigError, match="that can happen to send, and there is load_token"):
        _ = struck(day, at(kind="load_token").lose_answer())
    with pytest.raises(ConfigError, match="that can happen to save_token, and there is send"):
        _ = struck(day, at(send="/oauth/token").fail())
    with pytest.raises(ConfigError, match="that can happen to send or save_token or drop_token, and there is hold"):
        _ = struck(day, at(kind="hold").crash_after())
