"""Reading one request head from octets, and the octets of an answer. No socket, no loop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreters.browser.heads import LONGEST_HEADERS, LONGEST_LINE, MOST_HEADERS, Head, read_head, written
from kickcore.oauth.callback import BROKEN, Answer, BrowserPage, Refused

LINE = b"GET /callback?code=C HTTP/1.1\r\n"
HOST = b"Host: 127.0.0.1:3000\r\n"


def test_a_head_is_its_method_target_and_headers_with_small_names() -> None:
    head = read_head(LINE + HOST + b"X-Moz:  prefetch \r\n\r\nbody")
    assert head == Head("GET", "/callback?code=C", (("host", "127.0.0.1:3000"), ("x-moz", "prefetch")))


def test_a_method_may_be_one_letter() -> None:
    assert read_head(b"G / HTTP/1.1\r\nHost: a\r\n\r\n") == Head("G", "/", (("host", "a"),))


@pytest.mark.parametrize("cut", range(len(LINE + HOST) + 1))
def test_every_part_of_a_head_waits_for_more(cut: int) -> None:
    assert read_head((LINE + HOST)[:cut]) is None


@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01",
        b"\x00",
        b" GET / HTTP/1.1\r\n",
        b"\r\n",
        b"GET /callback?code=C\r\n",
        b"GET / HTTP/2.0\r\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: a\n\n",
        b"GET / HTTP/1.1\r\n\nHost: a",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_is_broken_as_soon_as_it_shows(octets: bytes) -> None:
    assert read_head(octets) == BROKEN


def test_the_limits_are_exact() -> None:
    assert (LONGEST_LINE, LONGEST_HEADERS, MOST_HEADERS) == (8192, 16384, 100)
    too_long, too_large = (Answer(status, BrowserPage.NOT_OURS, refused=Refused.BROKEN) for status in (414, 431))
    assert (read_head(b"G" * 8193), read_head(LINE + b"X: a\r\n" * 101)) == (too_long, too_large)

    target = b"/" + b"a" * (LONGEST_LINE - len(b"GET / HTTP/1.1"))
    line = b"GET " + target + b" HTTP/1.1"
    assert isinstance(read_head(line + b"\r\n" + HOST + b"\r\n"), Head)
    assert _status(read_head(b"GET " + target + b"a HTTP/1.1\r\n")) == 414
    assert _status(read_head(b"G" * (LONGEST_LINE + 1))) == 414

    filled = HOST + b"X: " + b"a" * (LONGEST_HEADERS - len(HOST) - 3)
    assert isinstance(read_head(LINE + filled + b"\r\n\r\n"), Head)
    assert _status(read_head(LINE + filled + b"a\r\n\r\n")) == 431
    assert _status(read_head(LINE + filled + b"aa")) == 431

    most = HOST + b"X: a\r\n" * (MOST_HEADERS - 1)
    assert isinstance(read_head(LINE + most + b"\r\n"), Head)
    assert _status(read_head(LINE + most + b"X: a\r\n\r\n")) == 431


def _status(head: Head | Answer | None) -> int | None:
    return head.status if isinstance(head, Answer) else None


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda some: LINE + HOST + some))
def test_no_octets_make_it_raise(octets: bytes) -> None:
    assert isinstance(read_head(octets), Head | Answer | None)


@given(st.binary(max_size=60))
def test_pieces_read_as_the_whole_does(tail: bytes) -> None:
    octets = LINE + HOST + tail
    steps = (read_head(octets[:end]) for end in range(1, len(octets) + 1))
    first = next((step for step in steps if step is not None), None)
    if first is None or isinstance(first, Head):
        assert read_head(octets) == first


def test_an_answer_is_this_and_nothing_else() -> None:
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Login with Kick</title></head>'
        "<body><h1>Login with Kick</h1>"
        "<p>Kick sent you back. You can close this window and return to the program.</p></body></html>\n"
    )
    head = (
        "HTTP/1.1 200 \r\n"
        "Content-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(page)}\r\n"
        "Content-Security-Policy: default-src 'none'\r\n"
        "Cache-Control: no-store\r\n"
        "Referrer-Policy: no-referrer\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    )
    assert written(Answer(200, BrowserPage.DONE)).decode() == head + page


def test_an_answer_to_head_has_no_page_and_a_405_says_what_is_allowed() -> None:
    head, _, page = written(Answer(405, BrowserPage.NOT_OURS), "HEAD").partition(b"\r\n\r\n")
    assert page == b""
    assert b"\r\nAllow: GET" in head
