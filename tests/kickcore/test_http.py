"""HTTP as values."""

import re
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kickcore.errors import ConfigError
from kickcore.http import (
    HELD_BACK,
    Request,
    Response,
    Sent,
    Unreachable,
    encode_pairs,
    is_loopback,
    path_segment,
    retry_after,
    secure_origin,
)
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


def test_what_was_held_back_was_not_sent() -> None:
    assert HELD_BACK.sent is Sent.NO


# --- Retry-After


def _asking(value: str | None, *others: tuple[str, str]) -> Response:
    return Response(429, (*others, *(() if value is None else (("retry-after", value),))))


def test_how_long_an_answer_asks_to_wait(vectors: Any) -> None:
    listed = vectors("retry_after.json")
    now = datetime.fromisoformat(listed["now"]).timestamp()
    for case in listed["cases"]:
        seconds = retry_after(_asking(case["value"]), now)
        match case["seconds"]:
            case "ignore":
                assert seconds is None, case
            case "give-up":
                assert seconds is not None, case
                assert seconds > listed["cap_seconds"], case
            case wanted:
                assert seconds == wanted, case


def test_without_the_header_it_does_not_ask() -> None:
    assert retry_after(_asking(None, ("date", "Wed, 14 Jan 2026 16:08:06 GMT")), 0.0) is None


WHEN = "Wed, 14 Jan 2026 16:08:16 GMT"


@pytest.mark.parametrize("when", [WHEN, "Wednesday, 14-Jan-26 16:08:16 GMT", "Wed Jan 14 16:08:16 2026", f" {WHEN}\t"])
@pytest.mark.parametrize("skew", [-7 * 86400.0, -420.0, 0.0, 420.0, 7 * 86400.0])
def test_a_date_is_measured_against_kicks_own_clock(when: str, skew: float) -> None:
    now = datetime.fromisoformat("2026-01-14T16:08:06Z").timestamp() + skew
    assert retry_after(_asking(when, ("date", "Wed, 14 Jan 2026 16:08:06 GMT")), now) == 10.0
    assert retry_after(_asking(when, ("date", "Wed, 14 Jan 2026 16:09:06 GMT")), now) == 0.0
    assert retry_after(_asking(when, ("date", "soon")), now) == max(10.0 - skew, 0.0)
    assert retry_after(_asking(when), now) == max(10.0 - skew, 0.0)


@given(st.text(max_size=80) | st.from_regex(r"[0-9 ,:+\-.GMTWedJan]{0,40}", fullmatch=True), st.floats(0, 4e9))
def test_whatever_the_header_says_it_is_a_wait_or_nothing(value: str, now: float) -> None:
    for response in (_asking(value), _asking(value, ("date", value)), _asking(WHEN, ("date", value))):
        seconds = retry_after(response, now)
        assert seconds is None or 0 <= seconds < 1e16


@given(st.integers(0, 10**30))
def test_a_number_is_that_many_seconds(seconds: int) -> None:
    assert retry_after(_asking(str(seconds)), 0.0) == min(float(seconds), 1e15)
    assert retry_after(_asking(f"{seconds:040}"), 0.0) == min(float(seconds), 1e15)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2068, 1, 1)), st.integers(0, 100_000))  # noqa: DTZ001 - in GMT
def test_a_date_is_the_time_until_then(instant: datetime, before: int) -> None:
    whole = datetime.fromisoformat(f"{instant:%Y-%m-%dT%H:%M:%S}+00:00")
    header = format_datetime(whole)
    assert retry_after(_asking(header), whole.timestamp() - before) == before


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
