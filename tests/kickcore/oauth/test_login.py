"""The browser flow, in a world that is a function."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import ALL_SCOPES, APP, NOW, USER_SLOT, World, json_response, shown

from interpreters.driver import run_sync
from kickcore import Scope
from kickcore.effects import Consent, Entropy, Exclusive, Leaf, LoadApp, LoadToken, Program
from kickcore.errors import (
    AuthorizationDenied,
    ConfigError,
    CorruptTokenFile,
    IssuerMismatch,
    NetworkError,
    OAuthError,
)
from kickcore.http import Sent, Unreachable
from kickcore.oauth.callback import Denied, ForeignIssuer, Granted
from kickcore.oauth.login import Login, authenticate, authorization_url, logout
from kickcore.oauth.pkce import code_challenge
from kickcore.oauth.tokens import App
from kickcore.secret import Secret
from kickcore.testing import bearer_texts, scope_tuples

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "authorize_url.json").read_text("utf-8")
)
TWO = [Scope.USER_READ, Scope.CHAT_WRITE]


def _consent(world: World) -> Consent:
    (consent,) = [effect for effect in world.log if isinstance(effect, Consent)]
    return consent


def _query(url: Secret) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url.reveal()).query, keep_blank_values=True)


def test_a_login_that_goes_well() -> None:
    world = World()
    world.kick.scope = "user:read chat:write"
    assert world.run(authenticate(TWO)) == Login(("user:read", "chat:write"))
    token = world.token()
    assert (token.access_token, token.refresh_token) == (Secret("AT1"), Secret("RT1"))
    assert (token.issued_at, token.expires_at, token.scope) == (NOW, NOW + 7200, ("user:read", "chat:write"))
    (request,) = world.sent
    assert shown(request.form)["grant_type"] == "authorization_code"


def test_the_address_of_the_consent_page() -> None:
    url = authorization_url(APP, ("user:read", "chat:write"), "http://localhost:3000/callback", Secret("ST"), "CH")
    assert url.reveal() == (
        "https://id.kick.com/oauth/authorize?response_type=code&client_id=CID"
        "&redirect_uri=http%3A%2F%2Flocalhost%3A3000%2Fcallback&scope=user%3Aread%20chat%3Awrite"
        "&state=ST&code_challenge=CH&code_challenge_method=S256"
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["redirect_uri"])
def test_one_parameter_takes_the_blow_of_the_sign_in_page(vector: dict[str, Any]) -> None:
    url = authorization_url(APP, ("user:read",), vector["redirect_uri"], Secret("ST"), "CH").reveal()
    places = [url.index(text) for text in vector.get("must_contain_in_order", [])]
    assert places == sorted(places)
    assert not any(text in url for text in vector.get("must_not_contain", []))
    # What Kick's page makes of it.
    broken = url.replace("127.0.0.1", "localhost", 1)
    assert dict(parse_qsl(urlsplit(broken).query))["redirect_uri"] == vector["redirect_uri"]


@given(
    bearer_texts(),
    bearer_texts(),
    scope_tuples(),
    bearer_texts(),
    st.sampled_from(["http://127.0.0.1:1/", "https://a.b/c"]),
)
def test_the_secret_is_never_part_of_the_address(
    client: str, secret: str, scopes: tuple[str, ...], state: str, redirect: str
) -> None:
    one = authorization_url(App(client, Secret(secret)), scopes, redirect, Secret(state), "CH")
    other = authorization_url(App(client, Secret("another")), scopes, redirect, Secret(state), "CH")
    assert one == other
    query = dict(_query(one))
    assert (query["client_id"], query["state"], query["redirect_uri"]) == (client, state, redirect)
    assert query["scope"] == " ".join(scopes)


@pytest.mark.parametrize(
    ("where", "redirect_uri"),
    [
        ({}, "http://127.0.0.1:3000/callback"),
        ({"port": 8123}, "http://127.0.0.1:8123/callback"),
        ({"redirect_uri": "http://localhost:3000/callback"}, "http://localhost:3000/callback"),
        ({"redirect_uri": "https://example.org/Kick%2Fback/"}, "https://example.org/Kick%2Fback/"),
    ],
)
def test_the_redirect_uri_is_the_same_to_the_byte_everywhere(where: dict[str, Any], redirect_uri: str) -> None:
    world = World()
    world.run(authenticate(TWO, **where))
    consent = _consent(world)
    assert consent.redirect_uri == redirect_uri
    assert dict(_query(consent.url))["redirect_uri"] == redirect_uri
    assert shown(world.sent[0].form)["redirect_uri"] == redirect_uri


def test_the_verifier_that_is_sent_fits_the_challenge_in_the_address() -> None:
    world = World()
    world.run(authenticate(TWO))
    query, form = dict(_query(_consent(world).url)), shown(world.sent[0].form)
    assert code_challenge(Secret(form["code_verifier"])) == query["code_challenge"]
    assert query["code_challenge_method"] == "S256"
    assert form["code_verifier"] not in _consent(world).url.reveal()


def test_the_state_in_the_address_is_the_one_waited_for_and_has_enough_chance() -> None:
    world = World()
    world.run(authenticate(TWO, timeout=7.0))
    consent = _consent(world)
    assert dict(_query(consent.url))["state"] == consent.state.reveal()
    assert len(consent.state.reveal()) == 43
    assert (consent.issuer, consent.timeout) == ("https://id.kick.com", 7.0)
    drawn = [(effect.purpose, effect.size) for effect in world.log if isinstance(effect, Entropy)]
    assert drawn == [("code_verifier", 32), ("state", 32)]


def test_no_two_logins_share_a_state_or_a_verifier() -> None:
    world = World()
    world.run(authenticate(TWO))
    world.run(authenticate(TWO))
    states = {effect.state for effect in world.log if isinstance(effect, Consent)}
    verifiers = {shown(request.form)["code_verifier"] for request in world.sent}
    assert len(states) == len(verifiers) == 2


def test_what_the_user_did_not_tick_is_told_at_once() -> None:
    world = World()
    world.kick.scope = "user:read"
    assert world.run(authenticate(TWO)) == Login(("user:read",), ("chat:write",))
    assert world.token().scope == ("user:read",)


def test_scopes_that_kick_does_not_tell_are_those_asked_for() -> None:
    world = World()
    world.kick.scope = None
    assert world.run(authenticate(TWO)) == Login(("user:read", "chat:write"))


def test_a_refusal_carries_kicks_words_and_leaves_tokens_as_they_were() -> None:
    world = World()
    before = world.log_in()
    world.show = lambda _: Denied("access_denied", "The user said no")
    with pytest.raises(AuthorizationDenied) as caught:
        world.run(authenticate(TWO))
    assert (caught.value.error, caught.value.description) == ("access_denied", "The user said no")
    assert str(caught.value) == (
        "access was not granted (access_denied: The user said no); tokens held before are as they were"
    )
    assert world.sent == []
    assert world.token() == before


@pytest.mark.parametrize(
    ("denied", "told"),
    [
        (Denied("access_denied"), "access_denied"),
        (Denied("", "Words without a code"), "Words without a code"),
        (Denied(""), "no reason was given"),
    ],
)
def test_a_refusal_in_fewer_words(denied: Denied, told: str) -> None:
    world = World()
    world.show = lambda _: denied
    with pytest.raises(AuthorizationDenied, match=rf"^access was not granted \({told}\); tokens"):
        world.run(authenticate(TWO))


def test_a_redirect_of_another_issuer_is_not_used() -> None:
    world = World()
    world.show = lambda _: ForeignIssuer("https://evil.example")
    with pytest.raises(IssuerMismatch) as caught:
        world.run(authenticate(TWO))
    assert str(caught.value) == (
        "the redirect came from 'https://evil.example', not from https://id.kick.com; its code was not used"
    )
    assert world.sent == []


def test_a_code_that_kick_does_not_take_is_an_error_and_is_sent_once() -> None:
    world = World()
    before = world.log_in()
    world.show = lambda _: Granted(Secret("forged"))
    with pytest.raises(OAuthError) as caught:
        world.run(authenticate(TWO))
    assert caught.value.error == "invalid_grant"
    assert len(world.sent) == 1
    assert world.token() == before


def test_an_exchange_whose_outcome_is_unknown_is_not_sent_again() -> None:
    world = World()
    world.kick.scripted.append(Unreachable("reset", Sent.MAYBE))
    with pytest.raises(NetworkError) as caught:
        world.run(authenticate(TWO))
    assert caught.value.sent == "maybe"
    assert len(world.sent) == 1


def test_a_login_replaces_the_token_held_before() -> None:
    world = World()
    world.log_in()
    world.run(authenticate(TWO))
    assert world.token().access_token == Secret("AT1")


def test_a_login_wins_over_whatever_is_stored_while_it_ends() -> None:
    world = World()

    def meanwhile(_: object) -> None:
        world.before_save = lambda _: None
        world.log_in("OTHER")

    world.before_save = meanwhile
    world.run(authenticate(TWO))
    assert world.token().access_token == Secret("AT1")


def test_a_refresh_token_is_kept_even_if_the_rest_of_the_answer_is_useless() -> None:
    world = World()
    world.kick.scripted.append(json_response({"refresh_token": "RT9"}))
    with pytest.raises(Exception, match="its refresh token was kept"):
        world.run(authenticate(TWO))
    assert world.stored[USER_SLOT].token.refresh_token == Secret("RT9")
    assert world.token().scope == ("user:read", "chat:write")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"scopes": []}, "scopes is empty"),
        ({"scopes": "chat:write"}, "not one text"),
        ({"scopes": ["chat:wirte"]}, "not a scope of Kick's"),
        ({"port": 0}, "port is"),
        ({"port": 65536}, "port is"),
        ({"port": True}, "port is"),
        ({"redirect_uri": "http://example.org/callback"}, "plain http only on"),
        ({"redirect_uri": "https://user@example.org/callback"}, "user info"),
        ({"redirect_uri": "https://example.org/callback?x=1"}, "no query"),
        ({"redirect_uri": ""}, "redirect_uri must be"),
        ({"timeout": 0}, "timeout is"),
        ({"timeout": -1}, "timeout is"),
        ({"timeout": 1e9}, "timeout is"),
        ({"timeout": 86400.5}, "^timeout is a number of seconds, more than 0 and at most 86400, not 86400.5$"),
        ({"timeout": 86401}, "timeout is"),
        ({"timeout": True}, "timeout is"),
        ({"timeout": "300"}, "timeout is"),
        ({"timeout": None}, "timeout is"),
        ({"timeout": "x" * 100}, f"^timeout is a number of seconds, more than 0 and at most 86400, not '{'x' * 59}$"),
        ({"timeout": float("nan")}, "timeout is"),
    ],
    ids=repr,
)
def test_what_cannot_be_right_is_refused_before_anything_happens(wrong: dict[str, Any], said: str) -> None:
    world = World()
    arguments: dict[str, Any] = {"scopes": TWO, **wrong}
    with pytest.raises(ConfigError, match=said):
        world.run(authenticate(**arguments))
    assert world.log == []


@pytest.mark.parametrize("timeout", [1e-9, 1, 300.0, 86400])
def test_a_time_that_can_be_waited(timeout: float) -> None:
    world = World()
    world.run(authenticate(TWO, timeout=timeout))
    assert _consent(world).timeout == timeout


def test_a_login_waits_five_minutes_unless_told_otherwise() -> None:
    world = World()
    world.run(authenticate(TWO))
    assert _consent(world).timeout == 300


def test_a_token_that_cannot_be_read_is_told_before_the_user_is_asked() -> None:
    world = World()

    def broken(effect: Leaf) -> object:
        if isinstance(effect, LoadToken):
            assert effect == LoadToken(USER_SLOT, reread=True)
            raise CorruptTokenFile("the file is broken", path="x", moved_to="y")
        return world(effect)

    with pytest.raises(CorruptTokenFile):
        run_sync(authenticate(TWO), broken)
    assert not any(isinstance(effect, Consent | Entropy) for effect in world.log)


@pytest.mark.parametrize("program", [lambda: authenticate(TWO), logout], ids=["login", "logout"])
def test_what_changes_the_token_waits_for_the_turn_of_its_account(program: Callable[[], Program[object]]) -> None:
    world = World()
    world.log_in()
    running = program()
    effect = next(running)
    while not isinstance(effect, Exclusive):
        effect = running.send(world(effect))
    running.close()
    assert effect.slot == effect.action.slot == USER_SLOT
    assert world.sent == []


def test_logging_out_revokes_and_forgets_and_tells_whether_there_was_anything() -> None:
    world = World()
    world.log_in()
    assert world.run(logout()) is True
    assert [shown(request.query)["token"] for request in world.sent] == ["RT0", "AT0"]
    assert USER_SLOT not in world.stored
    assert world.run(logout()) is False
    assert len(world.sent) == 2
    assert all(effect.reread for effect in world.log if isinstance(effect, LoadToken))


@pytest.mark.parametrize(
    ("redirect_uri", "sacrificed"),
    [
        ("http://127.0.0.1:3000/callback", True),
        ("http://127.0.0.1/", True),
        ("https://127.0.0.1/callback", True),
        ("http://localhost:3000/callback", False),
        ("http://[::1]:3000/callback", False),
        ("https://bot.example/callback", False),
        ("https://127.0.0.1.bot.example/callback", False),
    ],
)
def test_a_parameter_is_sacrificed_for_one_host_only(redirect_uri: str, sacrificed: bool) -> None:
    query = _query(authorization_url(APP, ("user:read",), redirect_uri, Secret("ST"), "CH"))
    names = [name for name, _ in query]
    assert names == [
        "response_type", "client_id", *(["redirect"] if sacrificed else []), "redirect_uri", "scope", "state",
        "code_challenge", "code_challenge_method",
    ]  # fmt: skip
    assert dict(query).get("redirect", "127.0.0.1") == "127.0.0.1"


def test_all_scopes_can_be_asked_for() -> None:
    world = World()
    login = world.run(authenticate(Scope))
    assert login.granted == tuple(ALL_SCOPES.split())
    assert set(login.granted) | set(login.missing) == set(Scope)
    assert isinstance(world.log[0], LoadApp)
