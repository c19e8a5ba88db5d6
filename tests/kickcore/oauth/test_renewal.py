"""The life of a token, in a world that is a function."""

import gc
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import answers_to
from worlds import APP, APP_SLOT, NO_REPEATS, NOW, USER_SLOT, Kick, World, json_response, shown

from interpreters.driver import run_sync
from kickcore import KickError, Scope
from kickcore.api.categories import fetch_categories
from kickcore.api.channels import fetch_channel, fetch_channels, update_channel
from kickcore.api.chat import delete_chat_message, send_chat_message
from kickcore.api.introspection import introspect_token
from kickcore.api.livestreams import fetch_livestream_stats, fetch_livestreams, fetch_user_livestreams
from kickcore.api.users import fetch_user, fetch_users
from kickcore.effects import DropToken, Exclusive, Leaf, LoadToken, Program, SaveToken, Send, Sleep
from kickcore.errors import (
    GrantLost,
    InvalidClient,
    LoginRequired,
    MissingScopes,
    NetworkError,
    OAuthError,
    RateLimited,
    ReauthorizationRequired,
    RefreshOutcomeUnknown,
    ServerError,
    TokenError,
    TokenResponseError,
    Unauthorized,
)
from kickcore.http import Response, Sent, Unreachable
from kickcore.notices import RenewalFailed
from kickcore.oauth.access import glance, token_for
from kickcore.oauth.actions import ExchangeCode, FetchAppToken, LogOut, RefreshToken
from kickcore.oauth.grants import TOKEN_TIMEOUT
from kickcore.oauth.login import authenticate, logout
from kickcore.oauth.renewal import carry_out
from kickcore.oauth.scopes import any_of
from kickcore.oauth.tokens import Attempt, NotSaved, Outcome, Slot, Stored, Token
from kickcore.secret import Secret

CHAT = any_of(Scope.CHAT_WRITE)


def _grants(world: World) -> list[str]:
    return [shown(request.form)["grant_type"] for request in world.asked_identity]


def _access(token: Token) -> str:
    return token.access_token.reveal() if token.access_token else ""


def _kinds(world: World) -> list[str]:
    return [type(effect).__name__ for effect in world.log]


# --- The app token


def test_the_first_call_fetches_an_app_token_and_saves_it() -> None:
    world = World()
    token = world.run(token_for(APP_SLOT))
    assert token == Token(Secret("APP1"), NOW + 7200, NOW)
    assert world.token(APP_SLOT) == token
    assert _grants(world) == ["client_credentials"]
    assert [save.version for save in world.saves] == [""]


def test_a_renewal_asks_for_no_more_than_it_needs() -> None:
    world = World()
    world.run(token_for(APP_SLOT))
    began = ["LoadToken", "Now", "LoadToken", "Now"]
    asked = ["LoadPace", "Now", "Send", "Now"]
    assert _kinds(world) == [*began, "LoadApp", "LoadToken", "Now", "Now", *asked, "SaveToken"]
    world = World()
    world.log_in()
    world.now += 7200
    world.run(token_for(USER_SLOT))
    assert _kinds(world) == [*began, "LoadApp", "LoadToken", "Now", "SaveToken", *asked, "SaveToken"]


def test_the_second_call_uses_it_and_sends_nothing() -> None:
    world = World()
    first = world.run(token_for(APP_SLOT))
    world.log.clear()
    assert world.run(token_for(APP_SLOT)) == first
    assert _kinds(world) == ["LoadToken", "Now"]


def test_an_expired_app_token_is_fetched_anew_once() -> None:
    world = World()
    world.run(token_for(APP_SLOT))
    world.now += 7200
    assert [_access(world.run(token_for(APP_SLOT))) for _ in range(3)] == ["APP2"] * 3
    assert len(world.asked_identity) == 2


def test_a_life_counts_from_before_the_request_was_sent() -> None:
    kick = Kick()
    world = World(kick)

    def slow(_: object) -> Response:
        world.now += 14
        return kick.grant(app=True)

    kick.scripted.append(slow)
    assert world.run(token_for(APP_SLOT)).expires_at == NOW + 7200


@pytest.mark.parametrize("life", [0, -5, 1, "soon", None])
def test_a_token_with_an_odd_life_makes_no_loop(life: object) -> None:
    kick = Kick()
    kick.life = life
    world = World(kick)
    assert _access(world.run(token_for(APP_SLOT))) == "APP1"
    assert len(world.sent) == 1


# --- The user token


def test_without_a_user_token_nothing_is_sent() -> None:
    world = World()
    with pytest.raises(LoginRequired, match=r"no user token is held; nothing was sent"):
        world.run(token_for(USER_SLOT))
    assert world.sent == []


def test_the_account_is_named_where_there_is_one() -> None:
    with pytest.raises(LoginRequired, match="of account 'anna'"):
        World().run(token_for(replace(USER_SLOT, account="anna")))


def test_an_expired_user_token_is_refreshed_once_and_the_new_pair_is_kept() -> None:
    world = World()
    world.log_in()
    world.now += 7200
    assert [_access(world.run(token_for(USER_SLOT))) for _ in range(3)] == ["AT1"] * 3
    assert [shown(request.form)["refresh_token"] for request in world.asked_identity] == ["RT0"]
    assert world.token().refresh_token == Secret("RT1")


def test_every_refresh_uses_the_refresh_token_of_the_one_before() -> None:
    world = World()
    world.log_in()
    for _ in range(5):
        world.now += 7200
        world.run(token_for(USER_SLOT))
    assert [shown(request.form)["refresh_token"] for request in world.sent] == ["RT0", "RT1", "RT2", "RT3", "RT4"]


def test_a_refused_user_token_that_cannot_be_refreshed_asks_for_a_login() -> None:
    world = World()
    token = world.log_in(refresh=None)
    with pytest.raises(LoginRequired, match="no longer good and there is no refresh token"):
        world.run(token_for(USER_SLOT, refused=token.access_token))
    assert world.sent == []


def test_a_missing_scope_is_refused_before_anything_is_sent() -> None:
    world = World()
    world.log_in(scope="user:read ads:read")
    world.now += 9000
    with pytest.raises(
        MissingScopes, match=r"lacks chat:write \(it has user:read, ads:read\); nothing was sent"
    ) as caught:
        world.run(token_for(USER_SLOT, CHAT))
    assert caught.value.missing_scopes == CHAT
    assert caught.value.granted == ("user:read", "ads:read")
    assert world.sent == []


def test_scopes_that_were_narrowed_by_a_refresh_are_kept_as_they_are_now() -> None:
    world = World()
    world.log_in()
    world.kick.scope = "user:read"
    world.now += 7200
    world.run(token_for(USER_SLOT))
    with pytest.raises(MissingScopes):
        world.run(token_for(USER_SLOT, CHAT))


# --- What Kick does not take


def _lost_race(world: World, access: str = "THEIRS", life: float = 7200.0) -> None:
    """Somebody else refreshes first: the refresh token is spent, and the store holds their pair."""
    world.put(USER_SLOT, Token(Secret(access), world.now + life, world.now, Secret("RT-theirs"), None))


def _mark(world: World) -> Attempt | None:
    return world.token().attempt


def test_invalid_grant_while_the_store_has_a_newer_token_uses_that_one() -> None:
    world = World()
    world.log_in()
    world.now += 7200

    def raced(request: Any) -> Response | Unreachable:
        _lost_race(world)
        world.kick.refreshable.clear()
        return world.kick.identity(request)

    world.kick.scripted.append(raced)
    assert _access(world.run(token_for(USER_SLOT))) == "THEIRS"
    assert len(world.sent) == 1
    assert _access(world.token()) == "THEIRS"
    assert _mark(world) is None


def test_invalid_grant_while_the_store_has_another_token_that_is_due_refreshes_that_one() -> None:
    world = World()
    world.log_in()
    world.now += 7200

    def raced(request: Any) -> Response | Unreachable:
        _lost_race(world, life=0.0)
        world.kick.refreshable.clear()
        answer = world.kick.identity(request)
        world.kick.refreshable.add("RT-theirs")
        return answer

    world.kick.scripted.append(raced)
    assert _access(world.run(token_for(USER_SLOT))) == "AT1"
    assert [shown(request.form)["refresh_token"] for request in world.sent] == ["RT0", "RT-theirs"]


def test_a_dead_grant_is_remembered_and_nothing_more_is_sent() -> None:
    world = World()
    before = world.log_in()
    world.kick.refreshable.clear()
    world.now += 7200
    with pytest.raises(ReauthorizationRequired) as caught:
        world.run(token_for(USER_SLOT))
    assert type(caught.value) is ReauthorizationRequired
    assert len(world.sent) == 1
    assert world.token() == replace(before, attempt=Attempt(world.now, Outcome.ENDED))
    for _ in range(5):
        world.now += 1e5
        with pytest.raises(ReauthorizationRequired, match="as it said before; nothing was sent"):
            world.run(token_for(USER_SLOT))
    assert len(world.sent) == 1


def test_a_login_ends_the_memory_of_a_dead_grant() -> None:
    world = World()
    world.log_in()
    world.kick.refreshable.clear()
    world.now += 7200
    with pytest.raises(ReauthorizationRequired):
        world.run(token_for(USER_SLOT))
    world.run(authenticate([Scope.CHAT_WRITE]))
    world.now += 7200
    assert _access(world.run(token_for(USER_SLOT))) == "AT2"


def test_a_grant_that_died_while_nothing_was_stored_is_forgotten_and_not_brought_back() -> None:
    world = World()
    token = world.log_in()
    world.kick.refreshable.clear()
    world.now += 7200
    held: list[Stored] = [Stored(token, "")]

    def answer(effect: Leaf) -> object:
        # The file was deleted; the token is held in memory.
        if isinstance(effect, LoadToken):
            return held[0] if held else None
        if isinstance(effect, DropToken):
            held.clear()
        return world(effect)

    with pytest.raises(ReauthorizationRequired):
        run_sync(token_for(USER_SLOT), answer)
    assert held == []
    assert world.saves == []


def test_what_kick_refuses_is_looked_up_in_the_store_itself() -> None:
    world = World()
    world.log_in()
    world.kick.refreshable.clear()
    world.now += 7200
    with pytest.raises(ReauthorizationRequired):
        world.run(token_for(USER_SLOT))
    looks = [effect for effect in world.log if isinstance(effect, LoadToken | Send)]
    assert [isinstance(look, LoadToken) and look.reread for look in looks[-3:]] == [True, False, True]


def test_somebody_else_has_renewed_by_the_time_it_is_our_turn() -> None:
    world = World()
    world.log_in()
    world.now += 7200
    remembered = world.stored[USER_SLOT]
    _lost_race(world)

    def answer(effect: Leaf) -> object:
        return remembered if isinstance(effect, LoadToken) and not effect.reread else world(effect)

    assert _access(run_sync(token_for(USER_SLOT), answer)) == "THEIRS"
    assert world.sent == []


FAILURES: list[tuple[Response | Unreachable, type[KickError], Outcome]] = [
    (Response(500, (), b"<html>"), ServerError, Outcome.UNKNOWN),
    (Response(503), ServerError, Outcome.UNKNOWN),
    (Response(429), RateLimited, Outcome.FAILED),
    (json_response({"error": "invalid_client"}, 401), InvalidClient, Outcome.FAILED),
    (json_response({"error": "invalid_scope"}, 400), OAuthError, Outcome.FAILED),
    (json_response({"error": "Request blocked by security policy.", "reference": "9e4d"}, 403), ServerError,
     Outcome.FAILED),
    (Response(302, (("location", "https://evil.example"),)), TokenResponseError, Outcome.FAILED),
    (Response(200, (), b"null"), TokenResponseError, Outcome.UNKNOWN),
    (Response(200, (), b"<html>captive portal</html>"), TokenResponseError, Outcome.UNKNOWN),
    (json_response({"error": "server_error"}), OAuthError, Outcome.FAILED),
    (Response(200, (), b'{"access_token":"AT9'), RefreshOutcomeUnknown, Outcome.UNKNOWN),
    (Unreachable("no route", Sent.NO), NetworkError, Outcome.FAILED),
    (Unreachable("reset", Sent.MAYBE), RefreshOutcomeUnknown, Outcome.UNKNOWN),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "kind", "outcome"), FAILURES, ids=repr)
def test_a_refresh_that_fails_otherwise_keeps_the_token_and_the_next_call_tries_again(
    answer: Response | Unreachable, kind: type[KickError], outcome: Outcome
) -> None:
    world = World(policy=NO_REPEATS)
    before = world.log_in()
    world.now += 7200
    # A lost answer is asked for a second time at once.
    world.kick.scripted.extend([answer] * (2 if kind is RefreshOutcomeUnknown else 1))
    with pytest.raises(kind) as caught:
        world.run(token_for(USER_SLOT))
    assert type(caught.value) is kind
    assert world.token() == replace(before, attempt=Attempt(world.now, outcome))
    assert _access(world.run(token_for(USER_SLOT))) == "AT1"
    assert _mark(world) is None


@pytest.mark.parametrize(("answer", "kind", "outcome"), FAILURES, ids=repr)
def test_a_renewal_ahead_that_fails_disturbs_nobody_and_is_not_tried_for_half_a_minute(
    answer: Response | Unreachable, kind: type[KickError], outcome: Outcome
) -> None:
    world = World(policy=NO_REPEATS)
    world.log_in()
    world.now += 7200 - 300
    world.kick.scripted.extend([answer] * 2)
    assert _access(world.run(token_for(USER_SLOT))) == "AT0"
    tries = len(world.sent)
    assert tries == (2 if kind is RefreshOutcomeUnknown else 1)
    assert [type(notice) for notice in world.notices] == [RenewalFailed]
    world.kick.scripted.clear()
    for seconds in (0, 10, 19.9):
        world.now += seconds
        assert _access(world.run(token_for(USER_SLOT))) == "AT0"
    assert len(world.sent) == tries
    world.now += 1
    assert _access(world.run(token_for(USER_SLOT))) == "AT0"
    assert _access(world.token()) == "AT1"
    assert _access(world.run(token_for(USER_SLOT))) == "AT1"


def test_before_a_refresh_is_sent_it_is_stored_that_it_will_be() -> None:
    world = World()
    before = world.log_in()
    world.now += 7200
    seen: list[Token] = []

    def looking(request: Any) -> Response | Unreachable:
        seen.append(world.token())
        return world.kick.identity(request)

    world.kick.scripted.append(looking)
    world.run(token_for(USER_SLOT))
    assert seen == [replace(before, attempt=Attempt(world.now, Outcome.UNKNOWN))]
    assert _mark(world) is None


@pytest.mark.parametrize("lenient", [True, False])
def test_after_a_lost_answer_the_same_refresh_token_is_tried_once_more_at_once(lenient: bool) -> None:
    world = World(Kick(lenient=lenient))
    world.log_in()
    world.now += 7200

    def lost(request: Any) -> Unreachable:
        world.kick.identity(request)
        return Unreachable("reset", Sent.YES)

    world.kick.scripted.append(lost)
    if lenient:
        assert _access(world.run(token_for(USER_SLOT))) == "AT2"
    else:
        with pytest.raises(GrantLost, match="the answer to an earlier refresh was lost"):
            world.run(token_for(USER_SLOT))
        with pytest.raises(ReauthorizationRequired) as caught:
            world.run(token_for(USER_SLOT))
        assert type(caught.value) is ReauthorizationRequired
    assert [shown(request.form)["refresh_token"] for request in world.sent] == ["RT0", "RT0"]
    assert world.slept == []


@pytest.mark.parametrize("lenient", [True, False])
def test_after_a_crash_in_the_middle_the_next_start_tries_once_and_can_tell(lenient: bool) -> None:
    world = World(Kick(lenient=lenient))
    before = world.log_in()
    world.put(USER_SLOT, replace(before, attempt=Attempt(world.now + 7190, Outcome.UNKNOWN)))
    if not lenient:
        world.kick.refreshable.clear()
    world.now += 7200
    if lenient:
        assert _access(world.run(token_for(USER_SLOT))) == "AT1"
    else:
        with pytest.raises(GrantLost, match="a program ended in the middle"):
            world.run(token_for(USER_SLOT))
    assert len(world.sent) == 1


def test_what_was_lost_before_is_not_forgotten_over_a_failure_that_changed_nothing() -> None:
    world = World(policy=NO_REPEATS)
    before = world.log_in()
    world.put(USER_SLOT, replace(before, attempt=Attempt(world.now, Outcome.UNKNOWN)))
    world.now += 7200
    world.kick.scripted.append(Unreachable("no route", Sent.NO))
    with pytest.raises(NetworkError):
        world.run(token_for(USER_SLOT))
    assert _mark(world) == Attempt(world.now, Outcome.UNKNOWN)
    world.kick.refreshable.clear()
    with pytest.raises(GrantLost):
        world.run(token_for(USER_SLOT))


@pytest.mark.parametrize("cut", range(1, 400, 7))
@pytest.mark.parametrize("lenient", [True, False])
def test_an_answer_that_is_cut_anywhere_loses_nothing_that_could_be_kept(cut: int, lenient: bool) -> None:
    world = World(Kick(lenient=lenient))
    world.log_in()
    world.now += 7200
    whole: list[Response] = []

    def half(request: Any) -> Response:
        whole.append(world.kick.identity(request))
        return replace(whole[0], body=whole[0].body[:cut])

    world.kick.scripted.append(half)
    body = b""
    try:
        access = _access(world.run(token_for(USER_SLOT)))
    except GrantLost:
        access = ""
    body = whole[0].body[:cut]
    held_it = b'"refresh_token": "RT1"' in body
    assert bool(access) is (lenient or held_it or cut >= len(whole[0].body))
    if access:
        world.now += 7200
        assert _access(world.run(token_for(USER_SLOT)))


# --- Others who renew the same token


def test_a_race_that_was_lost_by_a_moment_waits_for_the_winner() -> None:
    world = World()
    before = world.log_in()
    world.now += 7200
    begun = world.now

    def won_by_another(_: SaveToken) -> None:
        world.before_save = lambda _: None
        world.put(USER_SLOT, replace(before, attempt=Attempt(begun, Outcome.UNKNOWN)))

    world.before_save = won_by_another

    def answer(effect: Leaf) -> object:
        if isinstance(effect, Sleep) and world.now > begun + 1:
            _lost_race(world)
        return world(effect)

    assert _access(run_sync(token_for(USER_SLOT), answer)) == "THEIRS"
    assert world.sent == []
    assert world.slept


def test_a_winner_who_died_is_waited_for_no_longer_than_a_request_may_take() -> None:
    world = World()
    before = world.log_in()
    world.now += 7200
    begun = world.now

    def won_by_another(_: SaveToken) -> None:
        world.before_save = lambda _: None
        world.put(USER_SLOT, replace(before, attempt=Attempt(begun, Outcome.UNKNOWN)))

    world.before_save = won_by_another
    assert _access(world.run(token_for(USER_SLOT))) == "AT1"
    assert TOKEN_TIMEOUT <= sum(world.slept) <= TOKEN_TIMEOUT + 1
    assert set(world.slept) == {0.25}


@pytest.mark.parametrize("is_alone", [True, False])
def test_an_attempt_of_another_process_is_waited_for_only_where_no_lock_keeps_it_out(is_alone: bool) -> None:
    world = World()
    before = world.log_in()
    world.now += 7200
    world.put(USER_SLOT, replace(before, attempt=Attempt(world.now - 1, Outcome.UNKNOWN)))
    token = world.run(carry_out(RefreshToken(USER_SLOT), is_alone=is_alone))
    assert _access(token) == "AT1"
    assert bool(world.slept) is not is_alone


def test_a_store_that_changes_all_the_time_is_an_error_and_no_loop() -> None:
    world = World()
    world.log_in()
    world.now += 7200

    def always(_: SaveToken) -> None:
        _lost_race(world, f"OTHER{len(world.log)}", life=0.0)

    world.before_save = always
    with pytest.raises(RefreshOutcomeUnknown, match="others kept changing the user token"):
        world.run(token_for(USER_SLOT))
    assert world.sent == []


def test_another_who_logs_in_while_kick_refuses_wins() -> None:
    world = World()
    world.log_in()
    world.now += 7200
    world.kick.refreshable.clear()
    saves: list[SaveToken] = []

    def second(effect: SaveToken) -> None:
        saves.append(effect)
        if len(saves) == 2:
            _lost_race(world)

    world.before_save = second
    assert _access(world.run(token_for(USER_SLOT))) == "THEIRS"
    assert saves[1].token.attempt == Attempt(world.now, Outcome.ENDED)


# --- Saving


@pytest.mark.parametrize("bad", [{}, {"access_token": "A B"}, {"access_token": "AT", "token_type": "DPoP"}], ids=repr)
def test_what_can_be_saved_of_a_bad_answer_is_saved_before_the_error_is_raised(bad: dict[str, str]) -> None:
    world = World()
    world.log_in()
    world.now += 7200
    world.kick.refreshable.add("RT-salvaged")
    world.kick.scripted.append(json_response({**bad, "refresh_token": "RT-salvaged"}))
    with pytest.raises(TokenResponseError, match="its refresh token was kept"):
        world.run(token_for(USER_SLOT))
    assert isinstance(world.log[-1], SaveToken)
    assert world.token().refresh_token == Secret("RT-salvaged")
    assert _access(world.run(token_for(USER_SLOT))) == "AT1"
    assert shown(world.sent[-1].form)["refresh_token"] == "RT-salvaged"


def test_a_save_that_fails_does_not_fail_the_call() -> None:
    world = World()
    world.log_in()
    world.now += 7200
    world.before_save = lambda _: NotSaved("disk full")
    assert _access(world.run(token_for(USER_SLOT))) == "AT1"
    assert [save.token.attempt and save.token.attempt.outcome for save in world.saves] == [Outcome.UNKNOWN, None]


def _while_saving(world: World, act: Callable[[], object]) -> None:
    def once(effect: SaveToken) -> None:
        if effect.token.attempt is None:
            world.before_save = lambda _: None
            act()

    world.before_save = once


def test_a_refresh_gives_way_to_a_login_that_came_meanwhile() -> None:
    world = World()
    world.log_in()
    world.now += 7200
    _while_saving(world, partial(_lost_race, world))
    assert _access(world.run(token_for(USER_SLOT))) == "THEIRS"
    assert world.token().refresh_token == Secret("RT-theirs")


def test_a_refresh_gives_way_to_a_logout_that_came_meanwhile() -> None:
    world = World()
    world.log_in()
    world.now += 7200
    _while_saving(world, world.stored.clear)
    with pytest.raises(LoginRequired, match="was logged out while"):
        world.run(token_for(USER_SLOT))
    assert world.stored == {}


def test_a_refresh_replaces_what_is_stored_but_no_longer_good() -> None:
    world = World()
    world.log_in()
    world.now += 7200
    _while_saving(world, partial(_lost_race, world, life=0.0))
    assert _access(world.run(token_for(USER_SLOT))) == "AT1"
    assert _access(world.token()) == "AT1"


def test_a_new_app_token_is_stored_whatever_came_meanwhile() -> None:
    world = World()
    _while_saving(world, lambda: world.put(APP_SLOT, Token(Secret("OTHER"), NOW + 9000, NOW)))
    assert _access(world.run(token_for(APP_SLOT))) == "APP1"
    assert _access(world.token(APP_SLOT)) == "APP1"


def test_a_new_app_token_is_stored_even_if_the_one_before_was_dropped_meanwhile() -> None:
    world = World()
    world.put(APP_SLOT, Token(Secret("OLD"), NOW, NOW - 9000))
    _while_saving(world, world.stored.clear)
    assert _access(world.run(token_for(APP_SLOT))) == "APP1"
    assert _access(world.token(APP_SLOT)) == "APP1"


# --- A call that is refused


def test_a_refused_call_renews_once_and_is_repeated_once() -> None:
    world = World()
    world.log_in()
    world.kick.living.clear()
    world.kick.api = lambda _: json_response({"data": [{"user_id": 1, "name": "me"}]})
    assert world.run(fetch_user()).name == "me"
    assert [request.bearer for request in world.asked_api] == [Secret("AT0"), Secret("AT1")]
    assert _grants(world) == ["refresh_token"]


def test_a_call_that_is_refused_twice_is_unauthorized() -> None:
    world = World()
    world.log_in()
    world.kick.api = lambda _: json_response({"data": {}, "message": "Unauthorized"}, 401)
    with pytest.raises(Unauthorized):
        world.run(fetch_user())
    assert len(world.asked_api) == 2
    assert _grants(world) == ["refresh_token"]


def test_a_refused_call_whose_token_somebody_else_renewed_is_only_repeated() -> None:
    world = World()
    world.log_in()
    world.kick.living.clear()
    world.kick.living.add("THEIRS")
    world.kick.api = lambda _: json_response({"data": [{"user_id": 1, "name": "me"}]})

    def answer(effect: Leaf) -> object:
        said = world(effect)
        if isinstance(said, Response) and said.status == 401:
            _lost_race(world)
        return said

    assert run_sync(fetch_user(), answer).name == "me"
    assert world.asked_identity == []


# --- Looking before the slot is taken


def test_a_glance_finds_a_token_that_was_renewed_while_we_waited() -> None:
    world = World()
    token = world.log_in()
    assert world.run(glance(RefreshToken(USER_SLOT))) == token
    assert world.run(glance(RefreshToken(USER_SLOT, Secret("older")))) == token
    assert world.run(glance(RefreshToken(USER_SLOT, Secret("AT0")))) is None
    assert world.run(glance(FetchAppToken(APP_SLOT))) is None
    assert not any(isinstance(effect, Send | SaveToken) for effect in world.log)


@pytest.mark.parametrize("action", [LogOut(USER_SLOT), ExchangeCode(USER_SLOT, Secret("c"), Secret("v"), "u", ())])
def test_a_glance_never_spares_a_login_or_a_logout(action: Any) -> None:
    world = World()
    world.log_in()
    assert world.run(glance(action)) is None
    assert world.log == []


# --- Whatever the world answers

PROGRAMS: dict[str, Callable[[], Program[Any]]] = {
    "token_for app": lambda: token_for(APP_SLOT),
    "token_for user": lambda: token_for(USER_SLOT, CHAT, Secret("A")),
    "authenticate": lambda: authenticate([Scope.CHAT_WRITE]),
    "logout": logout,
    "fetch_user": lambda: fetch_user(5),
    "fetch_user own": fetch_user,
    "fetch_users": lambda: fetch_users([1, 2]),
    "fetch_channel": lambda: fetch_channel(5),
    "fetch_channel by slug": lambda: fetch_channel(slug="anna"),
    "fetch_channel own": fetch_channel,
    "fetch_channels": lambda: fetch_channels(slugs=["a", "b"]),
    "update_channel": lambda: update_channel(stream_title="t"),
    "fetch_livestreams": fetch_livestreams,
    "fetch_user_livestreams": lambda: fetch_user_livestreams(5),
    "fetch_livestream_stats": fetch_livestream_stats,
    "fetch_categories": fetch_categories,
    "send_chat_message": lambda: send_chat_message("hi", broadcaster_user_id=5),
    "delete_chat_message": lambda: delete_chat_message("m"),
    "introspect_token": introspect_token,
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
@given(data=st.data())
def test_a_program_ends_in_a_value_or_a_kick_error_whatever_the_world_answers(
    program: Callable[[], Program[Any]], data: st.DataObject
) -> None:
    asked: list[Leaf] = []

    def answer(effect: Leaf) -> object:
        asked.append(effect)
        assert len(asked) <= 250
        return data.draw(answers_to(effect, APP))

    said = ""
    try:
        run_sync(program(), answer)
    except KickError as error:
        said = repr(error)
    assert "CSECRET" not in said


def _steps(program: Program[Any], answers: Iterable[object]) -> list[object]:
    return [program.send(answer) for answer in answers]


def test_a_renewal_is_one_exclusive_effect_of_the_slot() -> None:
    steps = _steps(token_for(APP_SLOT, refused=Secret("A")), [None, None, NOW])
    assert steps[-1] == Exclusive(APP_SLOT, FetchAppToken(APP_SLOT, Secret("A")))


# --- Logging out


def _revoked(world: World) -> list[tuple[str, str]]:
    return [tuple(shown(request.query).values()) for request in world.asked_identity]  # type: ignore[misc]


def test_logging_out_revokes_both_tokens_and_forgets_them() -> None:
    world = World()
    world.log_in()
    world.run(logout())
    assert _revoked(world) == [("RT0", "refresh_token"), ("AT0", "access_token")]
    assert {request.url for request in world.sent} == {"https://id.kick.com/oauth/revoke"}
    assert world.stored == {}
    assert not world.kick.living | world.kick.refreshable


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([Unreachable("no route", Sent.NO), Unreachable("no route", Sent.NO)], "no route"),
        ([Response(500), Response(200)], "status 500"),
        ([Response(200), Response(400, (), b'{"error":"Invalid request"}')], "status 400"),
    ],
)
def test_tokens_are_forgotten_even_if_kick_does_not_confirm(answers: list[Response | Unreachable], why: str) -> None:
    world = World()
    world.log_in()
    world.kick.scripted.extend(answers)
    with pytest.raises(TokenError, match=rf"forgotten here, but Kick did not confirm .*\({why}\)"):
        world.run(logout())
    assert world.stored == {}
    assert len(world.sent) == 2
    assert isinstance(world.log[-1], DropToken)


def test_a_token_without_refresh_is_revoked_alone() -> None:
    world = World()
    world.log_in(refresh=None)
    world.run(logout())
    assert _revoked(world) == [("AT0", "access_token")]


def test_logging_out_without_a_login_does_nothing() -> None:
    world = World()
    world.run(logout())
    assert _kinds(world) == ["LoadApp", "LoadToken"]


def test_logging_out_leaves_the_app_token_alone() -> None:
    world = World()
    world.run(token_for(APP_SLOT))
    world.log_in()
    world.run(logout())
    assert list(world.stored) == [APP_SLOT]


@pytest.mark.parametrize("error", ["invalid_client", "invalid_grant", "server_error"])
@pytest.mark.parametrize("slot", [APP_SLOT, USER_SLOT])
def test_a_failed_renewal_leaves_no_cycle_behind(slot: Slot, error: str) -> None:
    world = World()
    world.log_in()
    world.now += 1e6
    world.kick.scripted.append(json_response({"error": error}, 401))

    def failed() -> weakref.ref[TokenError]:
        try:
            _ = world.run(token_for(slot))
        except TokenError as raised:
            return weakref.ref(raised)
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        assert failed()() is None
    finally:
        gc.enable()
