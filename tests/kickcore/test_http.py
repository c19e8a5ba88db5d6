"""HTTP as values."""

import re
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kickcore.errors import ConfigError
from kickcore.http import Request, Response, Sent, Unreachable, encode_pairs, is_loopback, path_segment, secure_origin
from kickcore.secret import Secret


@pytest.mark.parametrize(
    ("pairs", "encoded"),
    [
        ((), ""),
        ((("id", "1"), ("id", "2")), "id=1&id=2"),
        ((("b", "2"), ("a", "1")), "b=2&a=1"),
        ((("scope", "user:read chat:write"),), "scope=user%3Aread%20chat%3Awrite"),
        ((("u", "http://127.0.0.1:3000/callback"),), "u=http%3A%2F%2F127.0.0.1%3A3000%2Fcallback"),
        ((("plus", "a+b"), ("both", "a&b=c")), "plus=a%2Bb&both=a%26b%3Dc"),
        ((("n", "ü€😀"),), "n=%C3%BC%E2%82%AC%F0%9F%98%80"),
        ((("empty", ""),), "empty="),
        ((("free", "A-Z_a.z~0"),), "free=A-Z_a.z~0"),
        ((("token", Secret("s&cret")),), "token=s%26cret"),
        ((("line", "a\r\nb"),), "line=a%0D%0Ab"),
    ],
)
def test_pairs_are_encoded_in_order_with_percent_signs(
    pairs: tuple[tuple[str, str | Secret], ...], encoded: str
) -> None:
    assert encode_pairs(pairs) == encoded


@given(st.lists(st.tuples(st.text(min_size=1), st.text())).map(tuple))
def test_whoever_reads_the_pairs_gets_what_was_meant(pairs: tuple[tuple[str, str], ...]) -> None:
    encoded = encode_pairs(pairs)
    assert parse_qsl(encoded, keep_blank_values=True) == list(pairs)
    assert re.fullmatch(r"[A-Za-z0-9_.~%&=-]*", encoded)


@given(st.text())
def test_a_path_segment_stays_one_segment(text: str) -> None:
    segment = path_segment(text)
    assert unquote(segment) == text
    assert re.fullmatch(r"[A-Za-z0-9_.~%-]*", segment)


def test_a_request_shows_the_names_of_its_query_only() -> None:
    request = Request(
        "POST",
        "https://id.kick.com/oauth/revoke",
        query=(("token", "plain-secret"), ("hint", "x")),
        bearer=Secret("bearer-secret"),
        form=(("client_secret", "form-secret"),),
        body=b'{"content":"private"}',
    )
    assert repr(request) == "<Request POST https://id.kick.com/oauth/revoke ? token hint>"


def test_a_response_shows_its_status_and_size_only() -> None:
    assert repr(Response(200, (("set-cookie", "secret"),), b"secret")) == "<Response 200, 6 bytes>"


def test_a_header_is_found_by_its_lower_case_name_and_the_first_one_counts() -> None:
    response = Response(429, (("retry-after", "7"), ("retry-after", "9")))
    assert response.header("retry-after") == "7"
    assert response.header("date") is None


def test_what_never_got_an_answer_says_how_far_it_came() -> None:
    assert Unreachable("refused", Sent.NO).sent == "no"
    assert [sent.value for sent in Sent] == ["no", "maybe", "yes"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_three_spellings_are_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.2", "0.0.0.0", "localhost.", "localhost.evil.example", "127.1", "", "[::1]"])
def test_other_hosts_are_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.kick.com", "https://api.kick.com"),
        ("https://api.kick.com/", "https://api.kick.com"),
        ("HTTPS://API.Kick.COM", "https://api.kick.com"),
        ("https://api.kick.com:8443", "https://api.kick.com:8443"),
        ("https://id.kick.com.evil.example", "https://id.kick.com.evil.example"),
        ("https://xn--kck-epa.example", "https://xn--kck-epa.example"),
        ("https://192.0.2.1", "https://192.0.2.1"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost", "http://localhost"),
        ("http://LOCALHOST:1/", "http://localhost:1"),
    ],
)
def test_an_origin_that_can_be_trusted_is_put_into_plain_form(url: str, origin: str) -> None:
    assert secure_origin(url, "api_url") == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.kick.com",
        "//api.kick.com",
        "https://",
        "https:///public",
        "https:api.kick.com",
        "https://api.kick.com.",
        "https://user@api.kick.com",
        "https://user:word@api.kick.com",
        "https://:word@api.kick.com",
        "https://api.kick.com@evil.example",
        "https://api.kick.com\\@evil.example",
        "https://api.kick.com/public",
        "https://api.kick.com?x=1",
        "https://api.kick.com#x",
        "https://api.kick.com:99999",
        "https://api.kick.com:port",
        "https://[::1",
        "https://[fe80::1%25eth0]",
        "https://a b",
        "https://ki\u0441k.com",
        "ftp://api.kick.com",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://api.kick.com",
        "http://127.0.0.2",
        "http://0.0.0.0:80",
        "http://localhost.",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://[::ffff:127.0.0.1]",
        "http://[::]",
    ],
)
def test_an_origin_that_must_not_get_secrets_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^api_url ") as caught:
        secure_origin(url, "api_url")
    assert len(str(caught.value)) < 300


_url_pieces = st.sampled_from(
    ["https", "http", "ftp", ":", "//", "/", "@", "?", "#", "[", "]", "::1", "127.0.0.1", "localhost", "kick.com", ".",
     "\\", "%", "80", " ", "\n", "ä"]
)  # fmt: skip


@given(st.lists(_url_pieces, max_size=8).map("".join) | st.text())
def test_what_is_accepted_is_https_or_this_machine_and_stays_as_it_is(url: str) -> None:
    try:
        origin = secure_origin(url, "api_url")
    except ConfigError:
        return
    assert re.fullmatch(r"(https://[a-z0-9.:\[\]-]+|http://(127\.0\.0\.1|\[::1\]|localhost)(:\d+)?)", origin)
    assert secure_origin(origin, "api_url") == origin
