"""The simulated identity host, step by step and in memory."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec.structs import replace

from interpreters.sandbox import Rotation, Sandbox, approve, click, read_form, small_world, with_rules
from kickcore.errors import LoginError
from kickcore.http import Pairs, Request, Response, Unreachable, encode_pairs
from kickcore.oauth.callback import Granted, read_callback
from kickcore.oauth.grants import (
    client_credentials_request,
    exchange_request,
    read_grant,
    refresh_request,
    revoke_request,
)
from kickcore.oauth.pkce import code_challenge, code_verifier
from kickcore.oauth.scopes import Scope
from kickcore.oauth.tokens import App, Token
from kickcore.secret import Secret

ORIGIN = "http://127.0.0.1:1"
CALLBACK = "http://127.0.0.1:3000/callback"
VERIFIER = code_verifier(bytes(range(32)))
CREDENTIALS: Pairs = (("client_id", "sandbox-app"), ("client_secret", Secret("sandbox-secret")))
ASK = {
    "response_type": "code",
    "client_id": "sandbox-app",
    "redirect": "127.0.0.1",
    "redirect_uri": CALLBACK,
    "scope": "user:read chat:write",
    "state": "a state & <more>",
    "code_challenge": code_challenge(VERIFIER),
    "code_challenge_method": "S256",
}


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_100_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Sandbox:
    return Sandbox(small_world(), clock=clock)


def answered(answer: Response | Unreachable) -> Response:
    assert isinstance(answer, Response)
    return answer


def authorize_url(**changes: str) -> str:
    return f"{ORIGIN}/oauth/authorize?{encode_pairs(tuple((ASK | changes).items()))}"


def redirected(address: str) -> dict[str, str]:
    assert address.startswith(f"{CALLBACK}?")
    return dict(parse_qsl(urlsplit(address).query))


def token(sandbox: Sandbox, *form: tuple[str, str | Secret], credentials: Pairs = CREDENTIALS) -> tuple[int, Any]:
    answer = answered(sandbox.handle(Request("POST", f"{ORIGIN}/oauth/token", form=(*form, *credentials))))
    assert answer.header("content-type") == "application/json;charset=UTF-8"
    assert answer.header("cache-control") == "no-store"
    return answer.status, json.loads(answer.body)


def exchange(sandbox: Sandbox, code: str, **changes: str) -> tuple[int, Any]:
    fields: dict[str, str | Secret] = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    fields |= changes
    return token(sandbox, *fields.items())


def refresh(sandbox: Sandbox, text: str) -> tuple[int, Any]:
    return token(sandbox, ("grant_type", "refresh_token"), ("refresh_token", text))


def logged_in(sandbox: Sandbox) -> dict[str, Any]:
    status, body = exchange(sandbox, redirected(approve(authorize_url(), sandbox.handle))["code"])
    assert status == 200
    return body


def works(sandbox: Sandbox, access_token: str) -> bool:
    request = Request("GET", f"{ORIGIN}/public/v1/users", bearer=Secret(access_token))
    return answered(sandbox.handle(request)).status == 200


def is_oauth_error(got: tuple[int, Any], status: int, error: str, payload: Any) -> bool:
    return got == (status, json.loads(payload(f"errors/oauth-{error.replace('_', '-')}.json")))


def test_a_login_goes_from_consent_to_a_token_that_works(sandbox: Sandbox) -> None:
    back = redirected(approve(authorize_url(), sandbox.handle, user_id=676))
    assert back["state"] == ASK["state"]
    status, body = exchange(sandbox, back["code"])
    assert status == 200
    assert list(body) == ["access_token", "token_type", "refresh_token", "expires_in", "scope"]
    assert body["expires_in"] == 7200
    assert body["scope"] == "user:read chat:write"
    assert [len(body[name]) for name in ("access_token", "refresh_token")] == [48, 48]
    answer = answered(sandbox.handle(Request("GET", f"{ORIGIN}/public/v1/users", bearer=Secret(body["access_token"]))))
    assert json.loads(answer.body)["data"][0]["name"] == "xQc"
    assert [entry.status for entry in sandbox.log] == [200, 302, 200, 200]


def test_what_is_unticked_is_not_granted(sandbox: Sandbox) -> None:
    back = redirected(approve(Secret(authorize_url()), sandbox.handle, untick=[Scope.CHAT_WRITE]))
    assert exchange(sandbox, back["code"])[1]["scope"] == "user:read"


def test_a_denial_goes_back_without_a_code(sandbox: Sandbox) -> None:
    back = redirected(approve(authorize_url(), sandbox.handle, deny=True))
    assert (back["error"], back["state"]) == ("access_denied", ASK["state"])
    assert "code" not in back
    assert not sandbox.world.codes


def test_the_page_escapes_what_comes_from_the_request_and_the_world(sandbox: Sandbox) -> None:
    hostile = '"><script>alert(1)</script>'
    app = replace(sandbox.world.apps["sandbox-app"], name=hostile)
    user = replace(sandbox.world.users[123], name=hostile)
    sandbox.world = replace(sandbox.world, apps={"sandbox-app": app}, users={123: user})
    query = tuple((ASK | {"state": hostile}).items())
    answer = answered(sandbox.handle(Request("GET", f"{ORIGIN}/oauth/authorize", query=query)))
    page = answer.body.decode()
    assert "<script" not in page
    form = read_form(page)
    assert dict(form.hidden)["state"] == hostile
    assert form.users == (123,)
    assert form.scopes == ("user:read", "chat:write")
    assert "default-src 'none'" in (answer.header("content-security-policy") or "")


WRONG = [
    {"client_id": "somebody-else"},
    {"response_type": "token"},
    {"redirect_uri": CALLBACK + "/"},
    {"redirect_uri": "http://localhost:3000/callback"},
    {"state": ""},
    {"scope": ""},
    {"scope": "user:read chat:read"},
    {"code_challenge": "short"},
    {"code_challenge_method": "plain"},
]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: "-".join(change.values()) or "empty")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_wrong_parameters_are_400(sandbox: Sandbox, method: str, change: dict[str, str], payload: Any) -> None:
    pairs = tuple((ASK | change).items())
    place: dict[str, Any] = {"query": pairs} if method == "GET" else {"form": (*pairs, ("decision", "deny"))}
    answer = answered(sandbox.handle(Request(method, f"{ORIGIN}/oauth/authorize", **place)))
    assert answer.status == 400
    assert json.loads(answer.body) == json.loads(payload("errors/oauth-400-invalid-request.documented.json"))


@pytest.mark.parametrize("name", [name for name in ASK if name != "redirect"])
def test_every_parameter_is_needed_exactly_once(sandbox: Sandbox, name: str) -> None:
    pairs = tuple(ASK.items())
    for query in (tuple(pair for pair in pairs if pair[0] != name), (*pairs, (name, ASK[name]))):
        answer = sandbox.handle(Request("GET", f"{ORIGIN}/oauth/authorize", query=query))
        assert answered(answer).status == 400


@pytest.mark.parametrize(
    "extra",
    [
        (("decision", "allow"), ("user_id", "999")),
        (("decision", "allow"), ("user_id", "123"), ("granted", "channel:write")),
        (("decision", "allow"),),
        (("user_id", "123"),),
        (("decision", "perhaps"), ("user_id", "123")),
    ],
)
def test_a_decision_that_the_page_did_not_offer_is_400(sandbox: Sandbox, extra: Pairs) -> None:
    form = (*ASK.items(), *extra)
    assert answered(sandbox.handle(Request("POST", f"{ORIGIN}/oauth/authorize", form=form))).status == 400


def test_the_page_rewrites_the_first_loopback_address_like_kicks(sandbox: Sandbox) -> None:
    sandbox.world = with_rules(sandbox.world, rewrites_loopback=True)
    assert redirected(approve(authorize_url(), sandbox.handle))["code"]
    bare = tuple((name, value) for name, value in ASK.items() if name != "redirect")
    assert answered(sandbox.handle(Request("GET", f"{ORIGIN}/oauth/authorize", query=bare))).status == 400


def test_a_scripted_user_cannot_choose_what_is_not_there(sandbox: Sandbox) -> None:
    with pytest.raises(LoginError, match="ads:read"):
        approve(authorize_url(), sandbox.handle, untick=["ads:read"])
    with pytest.raises(LoginError, match="999"):
        approve(authorize_url(), sandbox.handle, user_id=999)
    with pytest.raises(LoginError, match="did not come"):
        approve(authorize_url(scope="nonsense"), sandbox.handle)
    with pytest.raises(LoginError, match="no form"):
        read_form("<p>Not found</p>")


def test_a_click_sends_what_a_browser_would() -> None:
    form = read_form(
        '<form action="/go"><input type="hidden" name="a" value="1&amp;2"><option value="7">x</option>'
        '<input type="checkbox" name="granted" value="s" checked></form>'
    )
    assert click(form) == (("a", "1&2"), ("user_id", "7"), ("granted", "s"), ("decision", "allow"))


def test_a_code_works_once_and_its_second_use_ends_what_came_of_it(sandbox: Sandbox, payload: Any) -> None:
    code = redirected(approve(authorize_url(), sandbox.handle))["code"]
    first, other = exchange(sandbox, code)[1], logged_in(sandbox)
    assert works(sandbox, first["access_token"])
    assert is_oauth_error(exchange(sandbox, code), 401, "invalid_grant", payload)
    assert not works(sandbox, first["access_token"])
    assert refresh(sandbox, first["refresh_token"])[0] == 401
    assert works(sandbox, other["access_token"])


def test_a_code_ends_after_ten_minutes(sandbox: Sandbox, clock: Clock, payload: Any) -> None:
    early, late = (redirected(approve(authorize_url(), sandbox.handle))["code"] for _ in range(2))
    clock.now += 599.9
    assert exchange(sandbox, early)[0] == 200
    clock.now += 0.1
    assert is_oauth_error(exchange(sandbox, late), 401, "invalid_grant", payload)


@pytest.mark.parametrize(
    "change", [{"code": "unknown"}, {"redirect_uri": CALLBACK + "/"}, {"code_verifier": "x" * 43}], ids=str
)
def test_a_code_is_bound_to_its_redirect_and_its_verifier(
    sandbox: Sandbox, change: dict[str, str], payload: Any
) -> None:
    code = redirected(approve(authorize_url(), sandbox.handle))["code"]
    assert is_oauth_error(exchange(sandbox, **({"code": code} | change)), 401, "invalid_grant", payload)
    assert exchange(sandbox, code)[0] == 200


def test_invalid_grant_is_400_on_request(sandbox: Sandbox, payload: Any) -> None:
    sandbox.world = with_rules(sandbox.world, invalid_grant_status=400)
    assert is_oauth_error(refresh(sandbox, "unknown"), 400, "invalid_grant", payload)


def test_strict_rotation_spends_a_refresh_token_and_punishes_its_reuse(sandbox: Sandbox, payload: Any) -> None:
    first = logged_in(sandbox)
    second = refresh(sandbox, first["refresh_token"])[1]
    assert second["refresh_token"] != first["refresh_token"]
    assert second["scope"] == first["scope"]
    assert works(sandbox, first["access_token"])
    assert works(sandbox, second["access_token"])
    assert is_oauth_error(refresh(sandbox, first["refresh_token"]), 401, "invalid_grant", payload)
    assert not works(sandbox, second["access_token"])
    assert refresh(sandbox, second["refresh_token"])[0] == 401


def test_grace_takes_a_spent_refresh_token_for_a_while(sandbox: Sandbox, clock: Clock) -> None:
    sandbox.world = with_rules(sandbox.world, rotation=Rotation.GRACE)
    first = logged_in(sandbox)
    second = refresh(sandbox, first["refresh_token"])[1]
    clock.now += 59.9
    again = refresh(sandbox, first["refresh_token"])
    assert again[0] == 200
    assert again[1]["refresh_token"] != second["refresh_token"]
    clock.now += 0.2
    assert refresh(sandbox, first["refresh_token"])[0] == 401
    assert refresh(sandbox, second["refresh_token"])[0] == 200


def test_a_refresh_may_end_the_old_access_token(sandbox: Sandbox) -> None:
    sandbox.world = with_rules(sandbox.world, refresh_ends_access=True)
    first = logged_in(sandbox)
    second = refresh(sandbox, first["refresh_token"])[1]
    assert not works(sandbox, first["access_token"])
    assert works(sandbox, second["access_token"])


def test_lives(sandbox: Sandbox, clock: Clock) -> None:
    user = logged_in(sandbox)
    clock.now += 7199.9
    assert works(sandbox, user["access_token"])
    clock.now += 0.1
    assert not works(sandbox, user["access_token"])
    clock.now += 30 * 86400
    assert refresh(sandbox, user["refresh_token"])[0] == 401


def test_an_app_token_has_neither_scope_nor_refresh_token(sandbox: Sandbox) -> None:
    status, body = token(sandbox, ("grant_type", "client_credentials"))
    assert (status, list(body)) == (200, ["access_token", "token_type", "expires_in"])
    assert body["expires_in"] == 5184000


@pytest.mark.parametrize(
    "credentials",
    [
        (),
        (("client_id", "sandbox-app"),),
        (("client_id", "sandbox-app"), ("client_secret", "wrong")),
        (("client_id", "other"), ("client_secret", "sandbox-secret")),
    ],
)
def test_wrong_credentials_are_invalid_client(sandbox: Sandbox, credentials: Pairs, payload: Any) -> None:
    got = token(sandbox, ("grant_type", "client_credentials"), credentials=credentials)
    assert is_oauth_error(got, 401, "invalid_client", payload)


def test_malformed_token_requests(sandbox: Sandbox, payload: Any) -> None:
    assert is_oauth_error(token(sandbox), 400, "invalid_request", payload)
    doubled = token(sandbox, ("grant_type", "client_credentials"), ("client_id", "sandbox-app"))
    assert is_oauth_error(doubled, 400, "invalid_request", payload)
    assert is_oauth_error(token(sandbox, ("grant_type", "refresh_token")), 400, "invalid_request", payload)
    assert is_oauth_error(token(sandbox, ("grant_type", "password")), 401, "unsupported_grant_type", payload)


def revoke(sandbox: Sandbox, *query: tuple[str, str]) -> Response:
    return answered(sandbox.handle(Request("POST", f"{ORIGIN}/oauth/revoke", query=query)))


def test_revocation(sandbox: Sandbox) -> None:
    one, two = logged_in(sandbox), logged_in(sandbox)
    answer = revoke(sandbox, ("token", one["access_token"]), ("token_hint_type", "access_token"))
    assert (answer.status, answer.body) == (200, b"OK")
    assert (answer.header("content-type") or "").startswith("text/plain")
    assert not works(sandbox, one["access_token"])
    assert refresh(sandbox, one["refresh_token"])[0] == 200
    revoke(sandbox, ("token", two["refresh_token"]))
    assert not works(sandbox, two["access_token"])
    assert refresh(sandbox, two["refresh_token"])[0] == 401
    assert revoke(sandbox, ("token", "unknown")).status == 200
    assert revoke(sandbox).status == 400
    assert revoke(sandbox, ("token", "x"), ("token_hint_type", "other")).status == 400


def introspect(sandbox: Sandbox, bearer: str | None) -> tuple[int, Any]:
    secret = None if bearer is None else Secret(bearer)
    answer = answered(sandbox.handle(Request("POST", f"{ORIGIN}/oauth/token/introspect", bearer=secret)))
    return answer.status, json.loads(answer.body)


def test_introspection(sandbox: Sandbox, clock: Clock) -> None:
    user, app = logged_in(sandbox), token(sandbox, ("grant_type", "client_credentials"))[1]
    known = {"active": True, "client_id": "sandbox-app"}
    exp = int(clock.now) + 7200
    assert introspect(sandbox, user["access_token"]) == (
        200,
        {"data": known | {"token_type": "user", "scope": "user:read chat:write", "exp": exp}, "message": "OK"},
    )
    assert introspect(sandbox, app["access_token"])[1]["data"]["token_type"] == "app"
    assert introspect(sandbox, "unknown") == (200, {"data": {"active": False}, "message": "OK"})
    assert introspect(sandbox, None)[0] == 401


def test_a_code_of_one_app_is_nothing_to_another(sandbox: Sandbox) -> None:
    other = replace(sandbox.world.apps["sandbox-app"], client_id="other")
    sandbox.world = replace(sandbox.world, apps={**sandbox.world.apps, "other": other})
    credentials: Pairs = (("client_id", "other"), ("client_secret", "sandbox-secret"))
    held = logged_in(sandbox)["refresh_token"]
    got = token(sandbox, ("grant_type", "refresh_token"), ("refresh_token", held), credentials=credentials)
    assert got[0] == 401
    assert refresh(sandbox, held)[0] == 200


def test_unknown_paths_of_the_identity_host(sandbox: Sandbox) -> None:
    for method, path in (("GET", "/oauth/token"), ("GET", "/oauth/"), ("POST", "/oauth/none")):
        assert answered(sandbox.handle(Request(method, ORIGIN + path))).status == 404


def granted(sandbox: Sandbox, clock: Clock, request: Request, before: Token | None = None) -> Token:
    grant = read_grant(sandbox.handle(request), clock.now, before)
    assert grant.problem is None
    assert grant.token is not None
    return grant.token


def test_what_kickcore_sends_and_reads_fits(sandbox: Sandbox, clock: Clock) -> None:
    app = App("sandbox-app", Secret("sandbox-secret"), ORIGIN, ORIGIN)
    back = approve(authorize_url(), sandbox.handle)
    said = read_callback(urlsplit(back).query, Secret(ASK["state"]), ORIGIN)
    assert isinstance(said, Granted)
    first = granted(sandbox, clock, exchange_request(app, said.code, VERIFIER, CALLBACK))
    assert first.refresh_token is not None
    assert first.scope == ("user:read", "chat:write")
    second = granted(sandbox, clock, refresh_request(app, first.refresh_token), first)
    assert second.expires_at == clock.now + 7200
    assert second.access_token is not None
    assert answered(sandbox.handle(revoke_request(app, second.access_token, "access_token"))).body == b"OK"
    assert granted(sandbox, clock, client_credentials_request(app)).expires_at == clock.now + 5184000
