"""Getting a token that can be used: what is done ahead, what keeps a grant alive, and what renewals tell."""

from typing import Any

import pytest
from msgspec.structs import replace
from worlds import APP_SLOT, NOW, USER_SLOT, World, json_response, shown

from interpreters.driver import run_sync
from kickcore.api.users import fetch_user
from kickcore.effects import Leaf, LoadToken, RenewAhead, Sleep
from kickcore.errors import ConfigError, LoginRequired, ReauthorizationRequired, Unauthorized
from kickcore.http import Response, Sent, Unreachable
from kickcore.notices import ClockSkewed, GrantAging, RenewalFailed, ScopesNarrowed
from kickcore.oauth.access import keep_alive, token_for
from kickcore.oauth.actions import FetchAppToken, RefreshToken
from kickcore.oauth.login import authenticate
from kickcore.oauth.renewal import renew_ahead
from kickcore.oauth.tokens import Attempt, Outcome, Stored, Token
from kickcore.secret import Secret

DAY = 86400.0


class Enough(Exception):
    """Ends a program that never ends."""


def access(token: Token) -> str:
    return token.access_token.reveal() if token.access_token else ""


def grants(world: World) -> list[str]:
    return [shown(request.form)["grant_type"] for request in world.asked_identity]


# --- Ahead


def test_a_due_token_is_used_once_more_and_the_next_call_has_the_new_one() -> None:
    world = World()
    world.log_in()
    world.now += 7200 - 600
    assert access(world.run(token_for(USER_SLOT))) == "AT0"
    assert access(world.run(token_for(USER_SLOT))) == "AT1"
    assert grants(world) == ["refresh_token"]


def test_the_program_asks_for_it_and_goes_on_with_the_token_it_has() -> None:
    program = token_for(USER_SLOT)
    assert next(program) == LoadToken(USER_SLOT)
    token = Token(Secret("AT"), NOW + 300, NOW - 6900, Secret("RT"))
    program.send(Stored(token, "1"))
    assert program.send(NOW) == RenewAhead(USER_SLOT, RefreshToken(USER_SLOT))
    with pytest.raises(StopIteration) as stopped:
        program.send(None)
    assert stopped.value.value is token


def test_an_app_token_is_fetched_ahead_too() -> None:
    world = World()
    world.put(APP_SLOT, Token(Secret("APP0"), NOW + 300, NOW - 86400))
    assert access(world.run(token_for(APP_SLOT))) == "APP0"
    assert access(world.run(token_for(APP_SLOT))) == "APP1"


def test_a_failed_fetch_ahead_is_marked_on_the_app_token_that_lives() -> None:
    world = World()
    world.put(APP_SLOT, Token(Secret("APP0"), NOW + 300, NOW - 86400))
    world.kick.scripted.extend([json_response({"error": "invalid_client"}, 401)] * 2)
    for _ in range(3):
        assert access(world.run(token_for(APP_SLOT))) == "APP0"
    assert len(world.sent) == 1
    assert world.token(APP_SLOT).attempt == Attempt(NOW, Outcome.FAILED)
    assert world.notices == [
        RenewalFailed("app", "", "Kick does not know this client id with this secret (invalid_client); compare both "
                                 "with your app's settings")
    ]  # fmt: skip


def test_what_somebody_else_has_renewed_meanwhile_is_left_as_it_is() -> None:
    world = World()
    world.log_in()
    assert world.run(renew_ahead(RefreshToken(USER_SLOT))) is None
    assert world.sent == []


def test_a_renewal_ahead_leaves_nothing_to_renew_to_a_grant_that_ended() -> None:
    world = World()
    world.log_in()
    world.kick.refreshable.clear()
    world.now += 7000
    for _ in range(3):
        assert access(world.run(token_for(USER_SLOT))) == "AT0"
    assert len(world.sent) == 1
    world.now += 200
    with pytest.raises(ReauthorizationRequired):
        world.run(token_for(USER_SLOT))
    assert len(world.sent) == 1


# --- Two clocks


@pytest.mark.parametrize(("wall", "monotonic"), [(-3600.0, 7200.0), (7200.0, 0.0)], ids=["set back", "suspended"])
def test_a_token_is_expired_if_either_clock_says_so(wall: float, monotonic: float) -> None:
    world = World()
    world.log_in()

    def answer(effect: Leaf) -> object:
        said = world(effect)
        if isinstance(effect, LoadToken) and isinstance(said, Stored) and not grants(world):
            return Stored(said.token, said.version, NOW + monotonic)
        return said

    world.now = NOW + wall
    assert access(run_sync(token_for(USER_SLOT), answer)) == "AT1"


def test_a_clock_that_is_set_back_does_not_renew_what_came_before_it_was() -> None:
    world = World()
    world.log_in()
    world.now = NOW - 2 * DAY

    def answer(effect: Leaf) -> object:
        said = world(effect)
        return Stored(said.token, said.version, NOW + 60) if isinstance(said, Stored) else said

    assert access(run_sync(token_for(USER_SLOT), answer)) == "AT0"
    assert world.sent == []


# --- A token that is refused


def test_every_new_token_being_refused_costs_one_refresh_in_half_a_minute() -> None:
    world = World()
    world.log_in()
    world.kick.api = lambda _: json_response({"message": "Unauthorized"}, 401)
    for _ in range(5):
        with pytest.raises(Unauthorized):
            world.run(fetch_user())
        world.now += 5
    assert grants(world) == ["refresh_token"]
    assert len(world.asked_api) == 10
    assert world.token().attempt == Attempt(NOW, Outcome.REPLACED)
    world.now += 5
    with pytest.raises(Unauthorized):
        world.run(fetch_user())
    assert grants(world) == ["refresh_token"] * 2


def test_a_token_renewed_at_its_end_and_revoked_at_once_is_renewed_again() -> None:
    world = World()
    world.log_in()
    world.now += 7200
    token = world.run(token_for(USER_SLOT))
    assert token.attempt is None
    assert access(world.run(token_for(USER_SLOT, refused=token.access_token))) == "AT2"


# --- Keeping a grant alive


def kept_alive(world: World, every: float, until: float) -> list[float]:
    """The days on which a refresh is sent, counted from the start."""
    days: list[float] = []

    def answer(effect: Leaf) -> object:
        if world.now >= NOW + until:
            raise Enough
        if isinstance(effect, Sleep):
            world.now += effect.seconds
            return None
        sent = len(world.sent)
        said = world(effect)
        days.extend([(world.now - NOW) / DAY] * (len(world.sent) - sent))
        return said

    with pytest.raises(Enough):
        run_sync(keep_alive(every), answer)
    return days


def logged_in(world: World) -> None:
    token = replace(world.log_in(), granted_at=NOW, refresh_issued_at=NOW)
    world.put(USER_SLOT, token)


def test_a_grant_that_nobody_uses_is_renewed_weekly() -> None:
    world = World()
    logged_in(world)
    assert kept_alive(world, 7 * DAY, 30 * DAY) == [7.0, 14.0, 21.0, 28.0]
    assert world.token().granted_at == NOW
    assert world.token().refresh_issued_at == NOW + 28 * DAY


def test_a_refresh_token_of_unknown_age_is_renewed_at_once() -> None:
    world = World()
    world.log_in()
    assert kept_alive(world, 7 * DAY, 8 * DAY) == [0.0, 7.0]


def test_what_fails_is_told_and_tried_again_after_an_hour() -> None:
    world = World()
    world.log_in()
    world.kick.scripted.extend([Unreachable("reset", Sent.MAYBE)] * 2)
    hour = 1 / 24
    assert kept_alive(world, 7 * DAY, 2 * DAY) == [0.0, 0.0, pytest.approx(hour)]
    assert [type(notice) for notice in world.notices] == [RenewalFailed]


@pytest.mark.parametrize("ended", [False, True])
def test_there_is_nothing_to_keep_alive_without_a_grant(ended: bool) -> None:
    world = World()
    if ended:
        world.put(USER_SLOT, replace(world.log_in(), attempt=Attempt(NOW, Outcome.ENDED)))
    with pytest.raises(LoginRequired) as caught:
        world.run(keep_alive())
    assert type(caught.value) is (ReauthorizationRequired if ended else LoginRequired)


@pytest.mark.parametrize("every", [0, 3599, 30 * DAY + 1, True, "weekly", float("nan")])
def test_an_interval_that_cannot_be_right_is_refused(every: Any) -> None:
    with pytest.raises(ConfigError, match="every is a number of seconds"):
        next(keep_alive(every))


# --- News


def dated(world: World, date: str) -> None:
    def answer(request: Any) -> Response:
        said = world.kick.identity(request)
        return Response(said.status, (("date", date),), said.body)

    world.kick.scripted.append(answer)


@pytest.mark.parametrize(
    ("date", "told"),
    [
        ("Fri, 15 Jan 2027 08:07:00 GMT", [420.0]),
        ("Fri, 15 Jan 2027 07:53:00 GMT", [-419.0]),
        ("Fri, 15 Jan 2027 08:01:00 GMT", []),
        ("Fri, 15 Jan 2027 08:01:01 GMT", [61.0]),
        ("yesterday", []),
    ],
)
def test_a_clock_that_differs_by_more_than_a_minute_is_told(date: str, told: list[float]) -> None:
    assert NOW == 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
    world = World()
    dated(world, date)
    world.run(token_for(APP_SLOT))
    assert world.notices == [ClockSkewed(seconds) for seconds in told]
    dated(world, date)
    world.run(authenticate(["user:read"]))
    assert world.notices == [ClockSkewed(seconds) for seconds in told * 2]


def test_scopes_that_a_refresh_takes_away_are_told() -> None:
    world = World()
    world.log_in(scope="user:read chat:write")
    world.kick.scope = "user:read new:scope"
    world.now += 7200
    world.run(token_for(USER_SLOT))
    assert world.notices == [ScopesNarrowed("", ("chat:write",))]


@pytest.mark.parametrize("scope", [None, "", "chat:write user:read"])
def test_scopes_that_stay_are_not_told(scope: str | None) -> None:
    world = World()
    world.log_in(scope="user:read chat:write")
    world.kick.scope = scope
    world.now += 7200
    world.run(token_for(USER_SLOT))
    assert world.notices == []


def test_an_old_grant_is_told_of_once_a_day() -> None:
    world = World()
    logged_in(world)
    told: list[float] = []
    for hours in range(0, 27 * 24, 6):
        world.now = NOW + hours * 3600
        world.log.clear()
        world.run(token_for(USER_SLOT))
        told += [notice.grant_age / DAY for notice in world.notices if isinstance(notice, GrantAging)]  # type: ignore[operator]
    assert [round(day, 2) for day in told] == [25.0, 26.0]


def test_a_refresh_token_that_lay_unused_for_long_is_told_of() -> None:
    world = World()
    world.put(USER_SLOT, replace(world.log_in(), refresh_issued_at=NOW))
    world.now += 26 * DAY
    world.run(token_for(USER_SLOT))
    assert world.notices == [GrantAging("", None, 26 * DAY)]
    assert world.token().refresh_issued_at == NOW + 26 * DAY


def test_ages_begin_with_the_login_and_with_each_new_refresh_token() -> None:
    world = World()
    world.run(authenticate(["user:read"]))
    assert (world.token().granted_at, world.token().refresh_issued_at) == (NOW, NOW)
    world.now += 7200
    world.run(token_for(USER_SLOT))
    assert (world.token().granted_at, world.token().refresh_issued_at) == (NOW, NOW + 7200)
    world.now += 7200
    world.kick.scripted.append(json_response({"access_token": "AT9", "expires_in": 7200}))
    world.run(token_for(USER_SLOT))
    assert (world.token().granted_at, world.token().refresh_issued_at) == (NOW, NOW + 7200)


def test_an_app_token_has_no_age() -> None:
    world = World()
    token = world.run(token_for(APP_SLOT))
    assert (token.granted_at, token.refresh_issued_at, token.attempt) == (None, None, None)


def test_the_first_app_token_is_fetched_by_its_action() -> None:
    world = World()
    assert world.run(renew_ahead(FetchAppToken(APP_SLOT))) is None
    assert access(world.token(APP_SLOT)) == "APP1"
