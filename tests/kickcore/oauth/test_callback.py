"""The redirect back from Kick, judged on values."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kickcore.errors import ConfigError
from kickcore.oauth.callback import (
    BROKEN,
    Answer,
    BrowserPage,
    Denied,
    ForeignIssuer,
    Granted,
    Refused,
    answer_request,
    checked_port,
    checked_redirect_uri,
    default_redirect_uri,
    is_local,
    read_callback,
    read_pasted,
    redirect_port,
)
from kickcore.secret import Secret

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "callback_requests.json").read_text())
URI: str = VECTORS["redirect_uri"]
STATE = Secret(VECTORS["state"])
ISSUER = "https://id.kick.com"

_WELL_FORMED = re.compile(r"([A-Z]+) (\S+) HTTP/1\.1\r\n((?:[^\s:]+: ?[^\r\n]*\r\n)*)\r\n")
CASES: list[dict[str, Any]] = [
    case for case in VECTORS["cases"] if _WELL_FORMED.match(case["request"]) and case["status"] != 431
]


def _answered(request: str) -> Answer:
    parts = _WELL_FORMED.match(request)
    assert parts
    headers = [line.split(":", 1) for line in parts[3].splitlines()]
    pairs = [(name.lower(), value.strip()) for name, value in headers]
    return answer_request(parts[1], parts[2], pairs, redirect_uri=URI, state=STATE, issuer=ISSUER)


def _fits(answer: Answer, flow: str) -> bool:
    match answer.end:
        case None:
            return flow.startswith("keeps waiting") and answer.refused is not None
        case Granted(code):
            return flow.split(" once", maxsplit=1)[0] == f"code:{code.reveal()}"
        case Denied():
            return flow == "AuthorizationDenied"
        case ForeignIssuer():
            return flow == "IssuerMismatch"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_every_well_formed_request_of_the_list(case: dict[str, Any]) -> None:
    answer = _answered(case["request"])
    assert answer.status == case["status"]
    assert _fits(answer, case["flow"]), answer
    assert answer.page in set(BrowserPage)


def test_the_list_is_nearly_all_well_formed() -> None:
    assert len(VECTORS["cases"]) - len(CASES) == 5


PARAMETERS = st.sampled_from(["code", "state", "error", "iss", "error_description", "scope", "x"])
VALUES = st.sampled_from(["STATE", "STAT", "CODE", "", ISSUER, "https://evil.example", "é", "\x00"]) | st.text(
    max_size=8
)
QUERIES = st.text() | st.lists(st.tuples(PARAMETERS, VALUES), max_size=6).map(
    lambda pairs: urlencode(pairs, errors="surrogatepass")
)


@given(QUERIES)
def test_a_query_never_raises_and_no_other_state_is_believed(query: str) -> None:
    said = read_callback(query, Secret("the real one"), ISSUER)
    assert isinstance(said, Refused)


@given(st.lists(st.tuples(PARAMETERS, VALUES), max_size=6))
def test_exactly_our_state_once_decides_whether_anything_is_believed(pairs: list[tuple[str, str]]) -> None:
    said = read_callback(urlencode(pairs, errors="surrogatepass"), STATE, ISSUER)
    states = [value for name, value in pairs if name == "state"]
    if states != ["STATE"]:
        assert said in {Refused.STATE, Refused.SHAPE}
    if isinstance(said, Granted):
        assert said.code.reveal().isprintable()
        assert ("code", said.code.reveal()) in pairs
        assert not any(name == "error" and value for name, value in pairs)


@given(st.text(max_size=4), st.text(), st.lists(st.tuples(st.text(max_size=8), st.text())))
def test_no_request_makes_it_raise(method: str, target: str, headers: list[tuple[str, str]]) -> None:
    answer = answer_request(
        method, target, [*headers, ("host", "127.0.0.1:3000")], redirect_uri=URI, state=STATE, issuer=ISSUER
    )
    assert answer.end is None or "STATE" in target


def test_the_words_of_a_denial_are_cleaned_and_cut() -> None:
    said = read_callback(
        urlencode({"error": "\x1b]0;pwned\x07", "error_description": "a\n" * 900, "state": "STATE"}), STATE, ISSUER
    )
    assert isinstance(said, Denied)
    assert said.error == "]0;pwned"
    assert "\n" not in said.description
    assert len(said.description) <= 300


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("code=C&state=STATE&iss=https://id.kick.com", Granted(Secret("C"))),
        ("code=C&state=STATE&iss=", ForeignIssuer("")),
        ("code=C&state=STATE&iss=https://id.kick.com/", ForeignIssuer("https://id.kick.com/")),
        ("code=C&state=STATE&state=STATE", Refused.STATE),
        ("error=a&error=b&state=STATE", Refused.SHAPE),
        ("error=a&state=OTHER", Refused.STATE),
        ("code=C&state=STATE&x=%f", Refused.SHAPE),
        ("code=C&state=STATE&x=%", Refused.SHAPE),
        ("code=%FF&state=STATE", Refused.SHAPE),
        (f"code={'C' * 4096}&state=STATE", Granted(Secret("C" * 4096))),
        (f"code={'C' * 4097}&state=STATE", Refused.SHAPE),
        ("&".join(["x=1"] * 65) + "&code=C&state=STATE", Refused.SHAPE),
        ("code=C%0A&state=STATE", Refused.SHAPE),
        ("", Refused.STATE),
    ],
)
def test_queries(query: str, said: object) -> None:
    assert read_callback(query, STATE, ISSUER) == said


@pytest.mark.parametrize(
    ("uri", "host", "status"),
    [
        ("http://127.0.0.1/callback", "127.0.0.1", 200),
        ("http://127.0.0.1/callback", "127.0.0.1:80", 200),
        ("http://127.0.0.1/callback", "127.0.0.1:3000", 421),
        ("http://[::1]:3000/callback", "[::1]:3000", 200),
        ("http://[::1]:3000/callback", "::1:3000", 421),
        ("http://localhost:3000/callback", "127.0.0.1:3000", 200),
        ("http://127.0.0.1:3000/callback", "127.0.0.1", 421),
        ("http://127.0.0.1:3000/callback", "127.0.0.1:3000.evil.example", 421),
        ("http://127.0.0.1:3000/callback", "", 421),
    ],
)
def test_only_our_own_host_names_reach_the_callback(uri: str, host: str, status: int) -> None:
    target = "/callback?code=C&state=STATE"
    assert (
        answer_request("GET", target, [("host", host)], redirect_uri=uri, state=STATE, issuer=ISSUER).status == status
    )


@pytest.mark.parametrize("header", ["sec-purpose", "purpose", "x-purpose", "x-moz"])
def test_a_prefetch_uses_nothing_up(header: str) -> None:
    headers = [("host", "127.0.0.1:3000"), (header, "Prefetch;prerender")]
    target = "/callback?code=C&state=STATE"
    answer = answer_request("GET", target, headers, redirect_uri=URI, state=STATE, issuer=ISSUER)
    assert (answer.status, answer.refused, answer.end) == (503, Refused.PREFETCH, None)


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "PUT", "get"])
def test_only_get_is_taken(method: str) -> None:
    target = "/callback?code=C&state=STATE"
    host = [("host", "127.0.0.1:3000")]
    answer = answer_request(method, target, host, redirect_uri=URI, state=STATE, issuer=ISSUER)
    assert (answer.status, answer.refused) == (405, Refused.METHOD)


def test_the_reasons_by_which_refusals_are_counted_and_the_pages_are_these() -> None:
    assert [str(why) for why in Refused] == [
        "wrong or missing state",
        "malformed callback",
        "other path",
        "other method",
        "other host",
        "prefetch",
        "no HTTP",
    ]
    assert [str(page) for page in BrowserPage] == [
        "Kick sent you back. You can close this window and return to the program.",
        "Kick did not grant access. You can close this window and return to the program.",
        "This address only takes Kick's answer to a login that is running. Nothing was done.",
    ]


def test_what_is_no_http_is_answered_with_400() -> None:
    assert Answer(400, BrowserPage.NOT_OURS, refused=Refused.BROKEN) == BROKEN


def _pasted(address: str, uri: str = URI) -> object:
    return read_pasted(address, redirect_uri=uri, state=STATE, issuer=ISSUER)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["request"].startswith("GET /")], ids=lambda c: c["name"]
)
def test_a_pasted_address_gets_the_judgement_of_a_request(case: dict[str, Any]) -> None:
    target = case["request"].split(" ")[1]
    answer = answer_request("GET", target, [("host", "127.0.0.1:3000")], redirect_uri=URI, state=STATE, issuer=ISSUER)
    assert _pasted(f"http://127.0.0.1:3000{target}") == (answer.end or answer.refused)


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("  http://127.0.0.1:3000/callback?code=C&state=STATE\n", URI),
        ("\u00a0http://127.0.0.1:3000/callback?code=C&state=STATE \u00a0\u2003", URI),
        ("http://127.0.0.1:3000/call\nback?code=C&st\r\nate=STATE", URI),
        ("HTTP://127.0.0.1:3000/callback?code=C&state=STATE#x", URI),
        ("http://127.0.0.1:3000/callback?code=C&state=STATE&iss=https://id.kick.com", URI),
        ("http://localhost:3000/callback?code=C&state=STATE", "http://LOCALHOST:3000/callback"),
        ("http://127.0.0.1/callback?code=C&state=STATE", "http://127.0.0.1:80/callback"),
        ("https://bot.example/?code=C&state=STATE", "https://bot.example"),
        ("https://bot.example:443/?code=C&state=STATE", "https://bot.example/"),
    ],
)
def test_an_address_may_look_as_browsers_show_it(address: str, uri: str) -> None:
    assert _pasted(address, uri) == Granted(Secret("C"))


@pytest.mark.parametrize(
    "address",
    [
        "",
        "code=C&state=STATE",
        "https://127.0.0.1:3000/callback?code=C&state=STATE",
        "http://127.0.0.1:3001/callback?code=C&state=STATE",
        "http://127.0.0.1/callback?code=C&state=STATE",
        "http://127.0.0.1:3000/callback/?code=C&state=STATE",
        "http://127.0.0.1:3000@evil.example/callback?code=C&state=STATE",
        "http://user@127.0.0.1:3000/callback?code=C&state=STATE",
        "http://evil.example:3000/callback?code=C&state=STATE",
        "http://[bad/callback?code=C&state=STATE",
        "http://127.0.0.1:x/callback?code=C&state=STATE",
        "http://127.0.0.1:/callback?code=C&state=STATE",
        "http://127.0.0.1:3000:80/callback?code=C&state=STATE",
        "http://127.0.0.1:3000:443/callback?code=C&state=STATE",
        "//127.0.0.1:3000/callback?code=C&state=STATE",
        "ftp://127.0.0.1:3000/callback?code=C&state=STATE",
        '"http://127.0.0.1:3000/callback?code=C&state=STATE"',
    ],
)
def test_an_address_elsewhere_is_refused(address: str) -> None:
    assert isinstance(_pasted(address), Refused)


def test_half_a_character_is_no_state() -> None:
    assert _pasted(f"{URI}?code=C&state=STATE\ud800") == Refused.STATE
    assert _pasted(f"{URI}?code=C\udfff&state=STATE") == Refused.SHAPE


@given(st.text() | st.text().map(lambda some: URI + some))
def test_no_pasted_text_makes_it_raise(address: str) -> None:
    assert isinstance(_pasted(address), Refused) or "STATE" in address


@pytest.mark.parametrize(
    ("uri", "port", "local"),
    [
        ("http://127.0.0.1:3000/callback", 3000, True),
        ("http://localhost:3000/callback", 3000, True),
        ("http://[::1]:3000/callback", 3000, True),
        ("http://127.0.0.1/callback", 80, True),
        ("http://127.0.0.1:1", 1, True),
        ("http://127.0.0.1:65535/a/b", 65535, True),
        ("https://bot.example/oauth", 443, False),
        ("https://bot.example:8443/oauth", 8443, False),
        ("https://localhost:3000/callback", 3000, False),
    ],
)
def test_redirect_uris_that_may_be_used(uri: str, port: int, local: bool) -> None:
    assert checked_redirect_uri(uri) is uri
    assert redirect_port(uri) == port
    assert is_local(uri) is local


@pytest.mark.parametrize("uri", ["http://bot.example/callback", "http://127.0.0.2/", "callback", "ftp://127.0.0.1/"])
def test_what_does_not_lead_here_is_not_local(uri: str) -> None:
    assert not is_local(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "callback",
        "/callback",
        "ftp://127.0.0.1/callback",
        "kick://callback",
        "http:///callback",
        "http://bot.example/callback",
        "http://0.0.0.0:3000/callback",
        "http://127.0.0.2:3000/callback",
        "http://127.0.0.1.evil.example:3000/callback",
        "http://user@127.0.0.1:3000/callback",
        "http://127.0.0.1:3000/callback?",
        "http://127.0.0.1:3000/callback?a=b",
        "http://127.0.0.1:3000/callback#",
        "http://127.0.0.1:3000/callback#a",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:-1/callback",
        "http://127.0.0.1:x/callback",
        "http://127.0.0.1:3000/call back",
        "http://127.0.0.1:3000/callback\n",
        "http://127.0.0.1:3000/cällback",
        "http://[::1/callback",
    ],
)
def test_redirect_uris_that_may_not(uri: str) -> None:
    with pytest.raises(ConfigError):
        checked_redirect_uri(uri)


@pytest.mark.parametrize(
    "odd", ['"', "<", ">", "\\", "^", "`", "{", "|", "}", " ", "\t", "\x7f", "é", "%", "%zz", "%4"]
)
def test_a_redirect_uri_that_a_browser_would_rewrite_is_refused(odd: str) -> None:
    for uri in (f"http://127.0.0.1:3000/{odd}x", f"https://bot.example/x{odd}"):
        with pytest.raises(ConfigError, match="redirect_uri"):
            checked_redirect_uri(uri)
    assert checked_redirect_uri("https://Bot-1.example:8443/AZ%7Bx%7d/~a-b_c.d;e=f,g@h:i!$&'()*+")


@pytest.mark.parametrize(
    "uri",
    [
        "http://@127.0.0.1:3000/callback", "http://:@127.0.0.1:3000/callback", "http://:p@127.0.0.1:3000/callback",
        "http://127.0.0.1:3000@evil.example/callback", "http://127.0.0.1:3000\\@evil.example/callback",
        "http://localhost.:3000/callback", "http://[::ffff:127.0.0.1]:3000/callback", "http://[::]:3000/callback",
        "http://127.1:3000/callback", "http://2130706433:3000/callback", "http://127.0.0.1.:3000/callback",
        "https:///callback", "https://:443/callback", "https:callback", "//127.0.0.1:3000/callback", "data:text/html,x",
        "javascript://127.0.0.1:3000/callback", "file://localhost/callback", "http://127.0.0.1:99999/callback",
    ],
)  # fmt: skip
def test_a_redirect_uri_that_leads_who_knows_where_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError):
        checked_redirect_uri(uri)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("ftp://127.0.0.1/callback", "redirect_uri must be an http or https URL, not 'ftp://127.0.0.1/callback'"),
        ("http://127.0.0.1/é", "redirect_uri must be an http or https URL, not 'http://127.0.0.1/é'"),
        ("x:" + "y" * 500, f"redirect_uri must be an http or https URL, not 'x:{'y' * 77}…'"),
        ("http://[bad/\x1b[2J" + "x" * 500, "redirect_uri is not a URL: 'http://[bad/ [2J" + "x" * 63 + "…'"),
        ("https://u@bot.example/", "redirect_uri must have no user info, no query and no fragment"),
        ("https://bot.example/?a=b", "redirect_uri must have no user info, no query and no fragment"),
        ("https://bot.example/?", "redirect_uri must have no user info, no query and no fragment"),
        ("https://bot.example/#a", "redirect_uri must have no user info, no query and no fragment"),
        ("https://bot.example/#", "redirect_uri must have no user info, no query and no fragment"),
        ("http://bot.example/", "redirect_uri may be plain http only on 127.0.0.1, ::1 or localhost; use https"),
        ("http://[::1]:0/", "port is a number from 1 to 65535, not 0; Kick compares it with the app's redirect URL"),
    ],
)  # fmt: skip
def test_a_redirect_uri_is_refused_with_a_reason(uri: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_redirect_uri(uri)
    assert str(caught.value) == said


@pytest.mark.parametrize("value", [None, 3000, b"http://127.0.0.1:3000/callback", ["http://127.0.0.1:3000/callback"]])
def test_a_redirect_uri_is_a_text(value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^redirect_uri is a URL, not {type(value).__name__}$"):
        checked_redirect_uri(value)


@pytest.mark.parametrize("port", [0, -1, 65536, 2**70, True, False, "3000", 3000.0, None])
def test_ports_that_no_callback_can_come_to(port: object) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_port(port)
    told = f"port is a number from 1 to 65535, not {port!r}; Kick compares it with the app's redirect URL"
    assert str(caught.value) == told


@pytest.mark.parametrize("port", [1, 80, 3000, 65535])
def test_ports_that_a_callback_can_come_to(port: int) -> None:
    assert checked_port(port) == port


def test_the_default_is_the_loopback_address_as_a_literal() -> None:
    assert default_redirect_uri(3000) == "http://127.0.0.1:3000/callback"
