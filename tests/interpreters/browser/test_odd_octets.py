"""Whole classes of octets that are no request, or an odd one: on values first, then over a real socket."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreters.browser.heads import Head, read_head
from kickcore.oauth.callback import BROKEN

from .scripted_browser import GOOD, ConsentFor, logged_in, request, status, visit

LINE = "GET /callback?code=GOOD&state=STATE HTTP/1.1\r\n"
HOST = "Host: 127.0.0.1:3000\r\n"


def headed(more: str) -> str:
    return f"{LINE}{HOST}{more}\r\n"


NO_HTTP = {
    "HTTP/0.9": "GET /callback?code=GOOD&state=STATE\r\n",
    "HTTP/0.9 with a lone newline": "GET /callback?code=GOOD&state=STATE\n",
    "HTTP/2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2": LINE.replace("1.1", "2"),
    "HTTP/2.0": LINE.replace("1.1", "2.0"),
    "HTTP/3.0": LINE.replace("1.1", "3.0"),
    "HTTP/1": LINE.replace("1.1", "1"),
    "HTTP/1.10": LINE.replace("1.1", "1.10"),
    "HTTP/01.1": LINE.replace("1.1", "01.1"),
    "http/1.1": LINE.replace("HTTP", "http"),
    "another protocol": LINE.replace("HTTP", "ICAP"),
    "no version": LINE.replace(" HTTP/1.1", ""),
    "no target": "GET HTTP/1.1\r\n",
    "two spaces": LINE.replace(" /", "  /"),
    "a tab for a space": LINE.replace(" /", "\t/"),
    "a space at the end": LINE.replace("1.1", "1.1 "),
    "a space in the target": LINE.replace("GOOD", "GO OD"),
    "an answer": "HTTP/1.1 200 OK\r\n",
    "an empty line before": f"\r\n{LINE}",
    "a space before": f" {LINE}",
    "a byte order mark": f"\xef\xbb\xbf{LINE}",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "SSL 2": "\x80\x2e\x01\x00\x02",
    "SSH": "SSH-2.0-OpenSSH_9.6\r\n",
    "SMTP": "EHLO evil.example\r\n",
    "SOCKS 5": "\x05\x01\x00",
    "the PROXY protocol": "PROXY TCP4 127.0.0.1 127.0.0.1 1 3000\r\n",
    "JSON": '{"code": "GOOD"}\r\n',
    "lone newlines": headed("").replace("\r\n", "\n"),
    "a lone newline after the line": headed("").replace("\r\n", "\n", 1),
    "a lone newline between headers": f"{LINE}{HOST}X: a\nY: b\r\n\r\n",
    "a lone newline at the end": f"{LINE}{HOST}\n",
    "lone returns": headed("").replace("\r\n", "\r"),
    "a lone return in the line": headed("").replace("GOOD", "GO\rOD"),
    "a lone return between headers": headed("X: a\rY: b\r\n"),
    "two returns": headed("X: a\r\r\n"),
    "a folded header": headed("X: a\r\n b\r\n"),
    "a header folded by a tab": headed("X: a\r\n\tb\r\n"),
    "a folded Host": f"{LINE}Host:\r\n 127.0.0.1:3000\r\n\r\n",
    "a fold before any header": f"{LINE} X: a\r\n{HOST}\r\n",
    "a header without a colon": headed("no colon\r\n"),
    "a header without a name": headed(": a\r\n"),
    "a space before the colon": headed("X : a\r\n"),
    "a space before the colon of Host": headed("").replace("Host:", "Host :"),
    "a NUL in the line": headed("").replace("GOOD", "GO\0OD"),
    "a NUL in a header": headed("X: a\0b\r\n"),
    "raw UTF-8 in the target": headed("").replace("GOOD", "\xc3\xa9"),
    "raw noise in the target": headed("").replace("GOOD", "\xff"),
    "no Host": f"{LINE}\r\n",
    "no Host but a header": f"{LINE}X: a\r\n\r\n",
    "two Hosts": headed("Host: evil.example\r\n"),
    "one Host twice": headed(HOST),
    "two Hosts in two cases": headed("hOST: evil.example\r\n"),
    "a length that is none": headed("Content-Length: x\r\n"),
    "a negative length": headed("Content-Length: -1\r\n"),
    "two lengths": headed("Content-Length: 1\r\nContent-Length: 2\r\n"),
    "an unknown transfer coding": headed("Transfer-Encoding: gzip\r\n"),
    "two transfer codings": headed("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
}

REQUESTS = {
    "HTTP/1.0 with a Host": (headed("").replace("1.1", "1.0"), 200),
    "HTTP/1.0 without a Host": (LINE.replace("1.1", "1.0") + "\r\n", 400),
    "a Host without a space": (headed("").replace("Host: ", "Host:"), 200),
    "a Host between tabs": (headed("").replace("Host: ", "HOST:\t").replace(":3000", ":3000\t "), 200),
    "keep-alive": (headed("Connection: keep-alive\r\n"), 200),
    "Expect": (headed("Expect: 100-continue\r\nContent-Length: 5\r\n"), 200),
    "an upgrade": (headed("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"), 200),
    "an upgrade to HTTP/2": (headed("Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"), 200),
    "a chunked body": (headed("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", 200),
    "cookies and latin letters": (headed("Cookie: a=\xe9\r\n"), 200),
    "absolute form": (headed("").replace(" /", " http://127.0.0.1:3000/"), 400),
    "authority form": ("CONNECT 127.0.0.1:3000 HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "asterisk form": ("OPTIONS * HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "a fragment": (headed("").replace("STATE", "STATE#x"), 400),
    "a user in Host": (headed("").replace("Host: ", "Host: user@"), 421),
    "TRACE": (headed("").replace("GET", "TRACE"), 405),
    "a method of one's own": (headed("").replace("GET", "LOGIN"), 405),
}  # fmt: skip


@pytest.mark.parametrize("octets", NO_HTTP.values(), ids=NO_HTTP.keys())
def test_what_is_no_request_is_broken(octets: str) -> None:
    assert read_head(octets.encode("latin-1")) == BROKEN


@given(st.sampled_from(sorted(NO_HTTP)), st.binary(max_size=20))
def test_nothing_that_follows_mends_what_is_broken(name: str, more: bytes) -> None:
    octets = NO_HTTP[name].encode("latin-1")
    assert not isinstance(read_head(octets + more), Head)


@pytest.mark.parametrize("octets", NO_HTTP.values(), ids=NO_HTTP.keys())
async def test_what_is_no_request_is_answered_at_once_and_ends_nothing(
    octets: str, port: int, consent_for: ConsentFor
) -> None:
    async def visits() -> None:
        begun = time.monotonic()
        response = await visit(port, octets.replace(":3000", f":{port}").encode("latin-1"))
        assert status(response) == 400
        assert time.monotonic() - begun < 1
        assert status(await visit(port, request(port))) == 200

    assert await logged_in(consent_for(port), visits) == GOOD


@pytest.mark.parametrize(("octets", "answer"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_an_odd_request_is_judged_by_what_it_says(
    octets: str, answer: int, port: int, consent_for: ConsentFor
) -> None:
    async def visits() -> None:
        response = await visit(port, octets.replace(":3000", f":{port}").encode("latin-1"))
        assert status(response) == answer
        assert response.count(b"HTTP/1.1 ") == 1
        if answer != 200:
            assert status(await visit(port, request(port))) == 200

    assert await logged_in(consent_for(port), visits) == GOOD
