"""Whole classes of requests that may come to the callback address: hosts, paths, targets, methods, visits ahead."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kickcore.oauth.callback import Answer, BrowserPage, Denied, ForeignIssuer, Granted, Refused, answer_request
from kickcore.secret import Secret

URI = "http://127.0.0.1:3000/callback"
HOST = ("host", "127.0.0.1:3000")
GOOD = "code=C&state=STATE"


def answered(
    target: str = f"/callback?{GOOD}",
    method: str = "GET",
    headers: tuple[tuple[str, str], ...] = (HOST,),
    uri: str = URI,
) -> Answer:
    issuer = "https://id.kick.com"
    return answer_request(method, target, headers, redirect_uri=uri, state=Secret("STATE"), issuer=issuer)


# Hosts


@given(st.sampled_from(["127.0.0.1:3000", "localhost:3000", "[::1]:3000"]), st.integers(0))
def test_our_own_names_in_any_case(host: str, case: int) -> None:
    mixed = "".join(letter.upper() if case >> place & 1 else letter for place, letter in enumerate(host))
    assert answered(headers=(("host", mixed),)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        ":3000",
        "127.0.0.1",
        "localhost",
        "[::1]",
        "127.0.0.1:",
        "127.0.0.1:80",
        "127.0.0.1:3001",
        "127.0.0.1:03000",
        "127.0.0.1:+3000",
        "127.0.0.1:3000 ",
        "127.0.0.1:3000,127.0.0.1:3000",
        "127.0.0.1:3000/",
        "127.0.0.1:3000.",
        "127.0.0.1.:3000",
        "localhost.:3000",
        "user@127.0.0.1:3000",
        "127.0.0.1:3000@evil.example",
        "127.0.0.1:3000.evil.example",
        "evil.example",
        "evil.example:3000",
        "localhost.evil.example:3000",
        "127.0.0.1.nip.io:3000",
        "127.0.0.2:3000",
        "127.1:3000",
        "0.0.0.0:3000",
        "2130706433:3000",
        "0x7f000001:3000",
        "0177.0.0.1:3000",
        "[::ffff:127.0.0.1]:3000",
        "[::ffff:7f00:1]:3000",
        "[0:0:0:0:0:0:0:1]:3000",
        "[::1%lo]:3000",
        "[::]:3000",
        "::1:3000",
        "http://127.0.0.1:3000",
        "%31%32%37.0.0.1:3000",
        "１２７.0.0.1:3000",
        "ｌocalhost:3000",
        "localhost:３０００",
        "null",
    ],
)
def test_every_other_host_is_misdirected(host: str) -> None:
    answer = answered(headers=(("host", host),))
    assert (answer.status, answer.refused, answer.end) == (421, Refused.HOST, None)


@pytest.mark.parametrize(
    "hosts", [[], ["127.0.0.1:3000"] * 2, ["127.0.0.1:3000", "evil.example"], ["evil.example", "127.0.0.1:3000"]]
)
def test_no_host_or_two_is_no_request(hosts: list[str]) -> None:
    answer = answered(headers=(("x", "y"), *(("host", host) for host in hosts)))
    assert (answer.status, answer.refused) == (400, Refused.BROKEN)


def test_what_else_claims_to_be_a_host_is_not_looked_at() -> None:
    own, evil = "127.0.0.1:3000", "evil.example"
    claims = tuple((name, evil) for name in ("x-forwarded-host", "forwarded", "x-host", "origin", "referer"))
    assert answered(headers=(("host", own), *claims)).status == 200
    for name, _ in claims:
        assert answered(headers=(("host", evil), (name, own))).status == 421


# Paths and targets

TRICKS = [
    "/", "//callback", "/callback/", "/callback//", "/Callback", "/CALLBACK", "/callback;x", "/callback;x=1",
    "/callback.", "/callback.html", "/callback%20", "/callback%00", "/callback%2F", "/%63allback", "/%2Fcallback",
    "/callbac%6b", "/./callback", "/x/../callback", "/%2e%2e/callback", "/callback/..", "/callback/../callback",
    "/callback%3F", "/callback&", "/callback:3000", "\\callback", "/callback\\", "/callbackx", "/callbac",
    "/callback/callback", "//127.0.0.1:3000/callback", "//evil.example/callback", "/favicon.ico", "/robots.txt",
    "/.well-known/appspecific/com.chrome.devtools.json",
]  # fmt: skip


@pytest.mark.parametrize("path", TRICKS)
def test_every_other_path_is_not_found(path: str) -> None:
    answer = answered(f"{path}?{GOOD}")
    refused = (404, Refused.PATH) if path.startswith("/") else (400, Refused.BROKEN)
    assert (answer.status, answer.refused, answer.end) == (*refused, None)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="?#")))
def test_no_path_but_the_exact_one_is_taken(rest: str) -> None:
    assume(rest != "callback")
    assert answered(f"/{rest}?{GOOD}").status == 404


@pytest.mark.parametrize(
    "target",
    [
        "", "*", "callback", "?code=C", "127.0.0.1:3000", f"http://127.0.0.1:3000/callback?{GOOD}",
        f"http://evil.example/callback?{GOOD}", f"https:/callback?{GOOD}", f"/callback?{GOOD}#", f"/callback?{GOOD}#x",
        f"/callback#?{GOOD}", f"#/callback?{GOOD}", f"javascript:/callback?{GOOD}",
    ],
)  # fmt: skip
def test_a_target_of_another_form_is_no_request(target: str) -> None:
    answer = answered(target)
    assert (answer.status, answer.refused, answer.end) == (400, Refused.BROKEN, None)


def test_a_second_question_mark_belongs_to_the_query() -> None:
    assert answered(f"/callback?x?y&{GOOD}").status == 200
    assert answered(f"/callback??{GOOD}").refused is Refused.SHAPE
    assert answered("/callback?").refused is Refused.STATE
    assert answered("/callback").refused is Refused.STATE


@pytest.mark.parametrize("uri", ["http://127.0.0.1:3000", "http://127.0.0.1:3000/"])
def test_a_redirect_without_a_path_comes_to_the_root(uri: str) -> None:
    assert answered(f"/?{GOOD}", uri=uri).status == 200
    assert answered(f"/callback?{GOOD}", uri=uri).status == 404


# Methods, and visits that the user has not made


@given(st.text(st.sampled_from(string.ascii_letters), min_size=1, max_size=8))
def test_only_get_is_a_visit(method: str) -> None:
    assume(method != "GET")
    assert answered(method=method).status == 405


@pytest.mark.parametrize("name", ["sec-purpose", "purpose", "x-purpose", "x-moz"])
@pytest.mark.parametrize(
    "value",
    ["prefetch", "Prefetch", "PREFETCH", "prefetch;prerender", "prefetch; anonymous-client-ip", "prerender", "preview",
     "a, prefetch", '"prefetch"', "prefetch;x=1"],
)  # fmt: skip
def test_a_visit_ahead_of_the_user_uses_nothing_up(name: str, value: str) -> None:
    for headers in (((name, value),), ((name, "navigate"), (name, value))):
        answer = answered(headers=(HOST, *headers))
        assert (answer.status, answer.refused, answer.end) == (503, Refused.PREFETCH, None)


@pytest.mark.parametrize(
    "header",
    [("purpose", "navigate"), ("sec-purpose", ""), ("x-moz", "other"), ("sec-fetch-dest", "document"),
     ("x", "prefetch"), ("referer", "https://id.kick.com/prefetch"), ("upgrade", "websocket"),
     ("expect", "100-continue")],
)  # fmt: skip
def test_other_headers_do_not_keep_the_user_out(header: tuple[str, str]) -> None:
    answer = answered(headers=(HOST, header))
    assert (answer.status, answer.page) == (200, BrowserPage.DONE)


def test_the_pages_and_statuses_of_every_end() -> None:
    assert answered() == Answer(200, BrowserPage.DONE, Granted(Secret("C")))
    denied, both = (answered(f"/callback?error=e&state=STATE{more}") for more in ("", "&code=C"))
    assert denied == Answer(200, BrowserPage.NOT_DONE, Denied("e"))
    assert both == Answer(400, BrowserPage.NOT_DONE, Denied("e"))
    assert answered("/callback?error=e&state=STATE&code=") == denied
    assert answered(f"/callback?{GOOD}&iss=https://id.kick.com") == answered()
    foreign = answered(f"/callback?{GOOD}&iss=x")
    assert foreign == Answer(400, BrowserPage.NOT_DONE, ForeignIssuer("x"))
    assert answered("/callback?code=C") == Answer(400, BrowserPage.NOT_OURS, refused=Refused.STATE)
