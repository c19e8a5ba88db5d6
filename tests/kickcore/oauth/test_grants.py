"""What to send to Kick's identity host, and how its answers are read."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import APP, shown

from kickcore.errors import (
    InvalidClient,
    KickError,
    NetworkError,
    OAuthError,
    RateLimited,
    ReauthorizationRequired,
    RefreshOutcomeUnknown,
    ServerError,
    TokenResponseError,
)
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.oauth.grants import (
    TOKEN_LIMIT,
    TOKEN_TIMEOUT,
    Grant,
    bearer,
    client_credentials_request,
    exchange_request,
    read_grant,
    refresh_request,
    revoke_request,
)
from kickcore.oauth.tokens import DEFAULT_LIFE, LONGEST_LIFE, App, Token
from kickcore.secret import Secret
from kickcore.testing import NOW, bearer_texts, json_values, statuses, unreachables

TESTS = Path(__file__).parents[2]
VECTORS: dict[str, Any] = json.loads((TESTS / "vectors" / "token_responses.json").read_text("utf-8"))
LOGIN = NOW - 7200
BEFORE = Token(
    Secret("AT0"), NOW, LOGIN, Secret(VECTORS["sent_refresh_token"]), ("user:read", "chat:write"), LOGIN, LOGIN
)


def _read(
    body: bytes | dict[str, Any], status: int = 200, before: Token | None = BEFORE, asked: tuple[str, ...] | None = None
) -> Grant:
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_grant(Response(status, (), octets), NOW, before, asked)


def _token(life: float = 7200.0, refresh: str = "RT2", scope: tuple[str, ...] = ("user:read", "chat:write")) -> Token:
    since = NOW if refresh != VECTORS["sent_refresh_token"] else LOGIN
    return Token(Secret("AT"), NOW + life, NOW, Secret(refresh), scope, LOGIN, since)


SAVED = Token(None, NOW, NOW, Secret("RT2"), ("user:read", "chat:write"), LOGIN, NOW)

OUTCOMES: dict[str, tuple[Token | None, type[KickError] | None]] = {
    "ok": (_token(), None),
    "ok-warn": (_token(scope=("user:read",)), None),
    "ok-default-lifetime": (_token(DEFAULT_LIFE), None),
    "ok-capped": (_token(LONGEST_LIFE), None),
    "ok-keep-old-refresh-token": (_token(refresh="RT1"), None),
    "TokenResponseError-grant-saved": (SAVED, TokenResponseError),
    "TokenResponseError": (None, TokenResponseError),
    "RefreshOutcomeUnknown": (None, RefreshOutcomeUnknown),
    "InvalidClient": (None, InvalidClient),
    "OAuthError": (None, OAuthError),
    "ServerError-retryable": (None, ServerError),
}


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_every_answer_of_the_list(case: dict[str, Any]) -> None:
    body = base64.b64decode(case["body_b64"]) if "body_b64" in case else case["body"].encode()
    token, problem = OUTCOMES[case["expect"]]
    if case["name"] == "refresh-token-same":
        token = _token(refresh="RT1")
    grant = _read(body, case["status"])
    assert grant.token == token
    assert type(grant.problem) is (problem or type(None))


@pytest.mark.parametrize(
    ("name", "token"),
    [
        (
            "authorization_code",
            Token(
                Secret("MDJMMWNMNZCTOTU4ZC0ZNTVLLTK4ZJUTMJU3ZWVMODK5NZJH"),
                NOW + 7200,
                NOW,
                Secret("MGNMZJUXYJKTNTC2ZI01NWM4LTK1ZDCTNZQYYZGWMJBMNWZI"),
                ("user:read", "chat:write", "channel:read", "channel:write", "streamkey:read", "events:subscribe"),
                NOW,
                NOW,
            ),
        ),
        (
            "client_credentials",
            Token(Secret("YTDKOTHMMDKTZGY2MC0ZMJU1LWE1OGYTNJZHMDI5ZTY3MGQY"), NOW + 5_184_000, NOW),
        ),
    ],
)
def test_the_answers_of_kick(payload: Any, name: str, token: Token) -> None:
    assert _read(payload(f"responses/post-oauth-token.{name}.json"), before=None) == Grant(token)


def test_a_refresh_of_kick_brings_a_new_pair(payload: Any) -> None:
    grant = _read(payload("responses/post-oauth-token.refresh_token.json"))
    assert grant.problem is None
    assert grant.token is not None
    assert grant.token.access_token == Secret("ZJYZM2QYZMITYZC0OS0ZYTFJLWEXNDATNDIXYZYZNTBLODLI")
    assert grant.token.refresh_token == Secret("MJJIYWU2ZMMTNZK4MS01ZTQ3LTK0MTCTZTAWNJVIZDFMNGMX")


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("oauth-invalid-client", 401, InvalidClient),
        ("oauth-invalid-client", 400, InvalidClient),
        ("oauth-invalid-client", 200, InvalidClient),
        ("oauth-invalid-grant", 401, ReauthorizationRequired),
        ("oauth-invalid-grant", 400, ReauthorizationRequired),
        ("oauth-invalid-request", 400, OAuthError),
        ("oauth-invalid-scope", 400, OAuthError),
        ("oauth-unsupported-grant-type", 401, OAuthError),
        ("oauth-400-invalid-request.documented", 400, OAuthError),
        ("oauth-authorize-backend-500", 500, ServerError),
        ("oauth-invalid-grant", 500, ServerError),
        ("oauth-invalid-grant", 429, RateLimited),
        ("403-waf-blocked", 403, ServerError),
        ("403-forbidden", 403, TokenResponseError),
        ("404-not-found", 404, TokenResponseError),
        ("429-too-many-requests", 429, RateLimited),
        ("401-unauthorized", 401, TokenResponseError),
    ],
)
def test_an_error_is_known_by_its_word_and_not_by_its_status(
    payload: Any, name: str, status: int, kind: type[KickError]
) -> None:
    grant = _read(payload(f"errors/{name}.json"), status)
    assert grant.token is None
    assert type(grant.problem) is kind
    assert len(str(grant.problem)) < 500


def test_an_oauth_error_carries_the_words_of_kick(payload: Any) -> None:
    problem = _read(payload("errors/oauth-invalid-client.json"), 401).problem
    assert isinstance(problem, InvalidClient)
    assert (problem.error, problem.description, problem.status) == (
        "invalid_client",
        "Client authentication failed",
        401,
    )


def test_invalid_grant_ends_a_refresh_but_for_a_code_it_is_an_oauth_error(payload: Any) -> None:
    problem = _read(payload("errors/oauth-invalid-grant.json"), 401, before=None).problem
    assert type(problem) is OAuthError
    assert problem.error == "invalid_grant"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_nothing_is_lost(status: int) -> None:
    grant = read_grant(Response(status, (("location", "https://evil.example"),)), NOW, BEFORE)
    assert grant.token is None
    assert isinstance(grant.problem, TokenResponseError)


def test_a_long_error_text_is_cut_and_cleaned() -> None:
    problem = _read({"error": "x\n" * 5000, "error_description": "\x1b[2J" * 100_000}, 400).problem
    assert isinstance(problem, OAuthError)
    assert len(str(problem)) < 500
    assert len(problem.error) <= 80
    assert problem.description.isprintable()


def test_an_html_page_of_a_megabyte_makes_a_short_error() -> None:
    for status in (200, 400, 500, 502, 503, 504):
        problem = _read(b"<html>" + b"x" * 1_000_000, status).problem
        assert len(str(problem)) < 500
        assert isinstance(problem, ServerError) is (status >= 500)


@pytest.mark.parametrize("length", range(1, 80))
def test_an_answer_that_was_cut_short_leaves_the_outcome_unknown(length: int) -> None:
    whole = b'{"access_token":"AT","token_type":"Bearer","expires_in":7200,"refresh_token":"RT"}'
    assert len(whole) > 80
    assert type(_read(whole[:length]).problem) is RefreshOutcomeUnknown
    assert type(_read(whole[:length], before=None).problem) is TokenResponseError


@pytest.mark.parametrize("sent", [Sent.MAYBE, Sent.YES])
def test_a_refresh_whose_answer_was_lost_leaves_the_outcome_unknown(sent: Sent) -> None:
    grant = read_grant(Unreachable("reset", sent), NOW, BEFORE)
    assert grant.token is None
    assert type(grant.problem) is RefreshOutcomeUnknown


@pytest.mark.parametrize("sent", Sent)
def test_where_nothing_can_be_lost_a_dead_wire_is_a_network_error(sent: Sent) -> None:
    for before in [None] if sent is not Sent.NO else [None, BEFORE]:
        problem = read_grant(Unreachable("reset", sent), NOW, before).problem
        assert isinstance(problem, NetworkError)
        assert problem.sent == sent.value


@pytest.mark.parametrize("scope", ["missing", None, 5, ["user:read"]])
def test_a_scope_that_is_not_told_is_the_one_before_or_the_one_asked_for(scope: object) -> None:
    members = {"access_token": "AT", "expires_in": 7200}
    members |= {} if scope == "missing" else {"scope": scope}
    refreshed, exchanged = _read(members).token, _read(members, before=None, asked=("ads:read",)).token
    assert refreshed is not None
    assert exchanged is not None
    assert refreshed.scope == BEFORE.scope
    assert exchanged.scope == ("ads:read",)


def test_a_life_counts_from_the_start_of_the_request() -> None:
    token = _read({"access_token": "AT", "expires_in": 100}).token
    assert token is not None
    assert (token.issued_at, token.expires_at) == (NOW, NOW + 100)


def test_an_empty_error_beside_a_token_is_no_error() -> None:
    grant = _read({"access_token": "AT", "refresh_token": "RT2", "expires_in": 7200, "error": ""})
    assert grant == Grant(_token())


def test_a_number_of_thousands_of_digits_loses_no_token() -> None:
    digits = b"9" * 10_000
    grant = _read(b'{"access_token":"AT","refresh_token":"RT2","expires_in":%s,"x":-%s}' % (digits, digits))
    assert grant == Grant(_token(LONGEST_LIFE))


def test_without_any_refresh_token_there_is_nothing_to_save() -> None:
    grant = _read({"token_type": "Bearer"}, before=None)
    assert grant.token is None
    assert isinstance(grant.problem, TokenResponseError)


@given(
    statuses(),
    st.binary() | json_values().map(lambda value: json.dumps(value).encode()),
    st.sampled_from([None, BEFORE]),
)
def test_no_answer_raises_and_every_answer_comes_to_something(status: int, body: bytes, before: Token | None) -> None:
    grant = read_grant(Response(status, (), body), NOW, before)
    assert grant.problem is not None or grant.token is not None
    if grant.problem is None:
        assert grant.token is not None
        assert grant.token.access_token


@given(unreachables(), st.sampled_from([None, BEFORE]))
def test_a_dead_wire_never_brings_a_token(answer: Unreachable, before: Token | None) -> None:
    grant = read_grant(answer, NOW, before)
    assert grant.token is None
    assert grant.problem is not None


_odd = json_values() | bearer_texts() | st.integers(10**300, 10**320)


@given(
    bearer_texts(),
    st.fixed_dictionaries(
        {},
        optional={
            "access_token": _odd,
            "token_type": _odd,
            "expires_in": _odd,
            "scope": _odd,
            "error": json_values().filter(lambda value: not isinstance(value, str) or not value),
            "id_token": _odd,
        },
    ),
    st.sampled_from([None, BEFORE]),
)
def test_a_new_refresh_token_is_never_lost(refresh: str, others: dict[str, Any], before: Token | None) -> None:
    grant = _read({**others, "refresh_token": refresh}, before=before)
    assert grant.token is not None
    assert grant.token.refresh_token == Secret(refresh)
    if grant.problem is not None:
        assert grant.token.access_token is None
        assert refresh not in str(grant.problem) or len(refresh) < 20


@pytest.mark.parametrize("member", ["error", "error_description"])
@pytest.mark.parametrize("error", ["invalid_client", "invalid_request", "x"])
def test_an_error_that_repeats_a_secret_does_not_show_it(error: str, member: str) -> None:
    sent = exchange_request(
        App("CID", Secret("hush/secret")), Secret("hush-code"), Secret("hush" * 11), "http://127.0.0.1:3000/callback"
    )
    said = "you sent hush/secret, hush%2Fsecret, hush-code and " + "hush" * 11 + "; have hush-granted"
    members = {"error": error, "refresh_token": "hush-granted", member: said}
    problem = read_grant(Response(400, (), json.dumps(members).encode()), 0.0, None, sent=sent).problem
    assert isinstance(problem, OAuthError)
    assert "hush" not in f"{problem} {problem.error} {problem.description}"
    assert "you sent …" in str(problem)


@given(st.text(st.characters()))
def test_what_is_taken_for_a_bearer_token_fits_into_a_header(text: str) -> None:
    fits = 0 < len(text) <= 8192 and all("\x21" <= letter <= "\x7e" for letter in text)
    assert bearer(text) == (Secret(text) if fits else None)


@pytest.mark.parametrize("member", [None, 5, True, ["AT"], {}, "", "A\r\nX: 1", "A B", "é", "x" * 70_000])
def test_what_is_no_bearer_token(member: object) -> None:
    assert bearer(member) is None


def _is_sent_as_a_form(request: Request) -> bool:
    return (request.method, request.body, request.query, request.bearer) == ("POST", b"", (), None)


@pytest.mark.parametrize(
    ("request_", "form"),
    [
        (
            client_credentials_request(APP),
            {"grant_type": "client_credentials", "client_id": "CID", "client_secret": "CSECRET"},
        ),
        (
            refresh_request(APP, Secret("RT")),
            {"grant_type": "refresh_token", "refresh_token": "RT", "client_id": "CID", "client_secret": "CSECRET"},
        ),
        (
            exchange_request(APP, Secret("CODE"), Secret("V"), "http://127.0.0.1:3000/callback"),
            {
                "grant_type": "authorization_code",
                "code": "CODE",
                "redirect_uri": "http://127.0.0.1:3000/callback",
                "code_verifier": "V",
                "client_id": "CID",
                "client_secret": "CSECRET",
            },
        ),
    ],
    ids=["client credentials", "refresh", "exchange"],
)
def test_a_grant_is_asked_for_with_a_form(request_: Request, form: dict[str, str]) -> None:
    assert request_.url == "https://id.kick.com/oauth/token"
    assert _is_sent_as_a_form(request_)
    assert shown(request_.form) == form
    assert (request_.timeout, request_.limit) == (TOKEN_TIMEOUT, TOKEN_LIMIT)


def test_what_is_secret_in_a_form_stays_a_secret() -> None:
    request = exchange_request(APP, Secret("CODE"), Secret("V"), "http://127.0.0.1:3000/callback")
    members = dict(request.form)
    assert all(isinstance(members[name], Secret) for name in ("code", "code_verifier", "client_secret"))


def test_a_token_is_revoked_by_query_as_kick_has_it_and_by_form_as_the_rfc_has_it() -> None:
    request = revoke_request(APP, Secret("RT"), "refresh_token")
    assert (request.method, request.url) == ("POST", "https://id.kick.com/oauth/revoke")
    assert request.query == (("token", Secret("RT")), ("token_hint_type", "refresh_token"))
    assert shown(request.form) == {
        "token": "RT",
        "token_type_hint": "refresh_token",
        "client_id": "CID",
        "client_secret": "CSECRET",
    }
    assert (request.body, request.bearer) == (b"", None)
