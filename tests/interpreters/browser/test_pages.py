"""What the browser is shown: a few fixed answers, whatever the request said."""

import re
from html import escape
from itertools import product
from urllib.parse import quote, quote_plus

import pytest

from interpreters.browser.heads import Head, read_head, written
from kickcore.oauth.callback import Answer, BrowserPage, answer_request
from kickcore.secret import Secret

from .scripted_browser import GOOD, ConsentFor, logged_in, request, visit

PAYLOADS = [
    "<script>alert(1)</script>", "<ScRiPt src=//evil.example></sCrIpT>", "<script>alert`1`</script>",
    "<script/x>y()</script>", "</p><script>x</script>", "</body></html><h1>Signed in</h1>",
    "</title><script>x</script>", "<!--<img src=--><img src=x>", "<img src=x onerror=alert(1)>",
    "<img/src/onerror=alert(1)>", "<svg onload=alert(1)>", "<svg><animate onbegin=x>", "<iframe src=javascript:x>",
    "<iframe srcdoc='<b>'>", "<meta http-equiv=refresh content=0;url=//evil.example>", "<base href=//evil.example>",
    "<link rel=stylesheet href=//evil.example>", "<form action=//evil.example><input>", "<a href=javascript:x>y</a>",
    "<object data=//evil.example>", "<embed src=//evil.example>", "<math><mi xlink:href=x>",
    "<details open ontoggle=x>", "<video><source onerror=x>", "<body onload=x>",
    "<style>@import'//evil.example'</style>", "<template><b>x", "<noscript><p title='</noscript><img>'>",
    "<xss style=x:expression(y)>", "'-alert(1)-'", '"><b>x</b>', "'><b>x</b>", "javascript:alert(1)",
    "data:text/html,<b>x", "{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "%(x)s", "{0.__class__}", "\r\nX-Evil: 1",
    "\r\n\r\n<b>x</b>", "\n\n<b>x</b>", "\r\nSet-Cookie: a=b", "\u2028alert(1)", "\u202e<b>x", "\x00<b>x",
    "\x1b[2J\x1b]0;x\x07", "＜b＞x", "\ufeff<b>", "%3Cb%3Ex", "%253Cb%253Ex", "&lt;b&gt;x", "&#60;b&#62;x",
    "&#x3c;b&#x3e;x", "\\u003cb\\u003ex", "+ADw-b+AD4-x", "<button autofocus onfocus=x>",
    "<input onfocus=x autofocus>", "<select onchange=x>", "<marquee onstart=x>", "<isindex action=//evil.example>",
    "<plaintext>", "<textarea><b>x", "<frameset onload=x>", "<table background=//evil.example>",
    "<bgsound src=//evil.example>",
]  # fmt: skip
ENCODINGS = [
    quote,
    lambda text: quote(text, safe="<>=/:;'\"()"),
    quote_plus,
    lambda text: re.sub(r"[^!-~]", "_", text),
]
INJECTED = sorted({encoded(payload) for payload, encoded in product(PAYLOADS, ENCODINGS)})
ANSWERS = {
    written(Answer(status, page), method)
    for status in (200, 400, 404, 405, 414, 421, 431, 503)
    for page in BrowserPage
    for method in ("GET", "HEAD")
}


def answers(injected: str) -> list[bytes]:
    """What is answered to requests with this text in every place that a request has."""
    good = "/callback?code=GOOD&state=STATE"
    targets = [
        f"/{injected}",
        f"/callback?{injected}",
        f"/callback?code={injected}&state=STATE",
        f"/callback?code=GOOD&state={injected}",
        f"/callback?error={injected}&error_description={injected}&state=STATE",
        f"{good}&iss={injected}",
        f"{good}&{injected}={injected}",
    ]
    heads = [f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n" for target in targets]
    heads += [
        f"{injected} {good} HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n",
        f"GET {good} {injected}\r\nHost: 127.0.0.1:3000\r\n\r\n",
        f"GET {good} HTTP/1.1\r\nHost: {injected}\r\n\r\n",
        f"GET {good} HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nReferer: {injected}\r\n{injected}: x\r\n\r\n",
        f"HEAD {good} HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nPurpose: {injected}\r\n\r\n",
        injected,
    ]
    said: list[bytes] = []
    for octets in heads:
        head = read_head(octets.encode("latin-1"))
        if isinstance(head, Head):
            answer = answer_request(
                head.method, head.target, head.headers,
                redirect_uri="http://127.0.0.1:3000/callback", state=Secret("STATE"), issuer="https://id.kick.com",
            )  # fmt: skip
            said.append(written(answer, head.method))
        elif head is not None:
            said.append(written(head))
    return said


def test_there_are_enough_of_them() -> None:
    assert len(INJECTED) >= 200


@pytest.mark.parametrize("injected", INJECTED)
def test_nothing_of_a_request_is_in_an_answer(injected: str) -> None:
    said = answers(injected)
    assert len(said) >= 11
    assert set(said) <= ANSWERS


def test_every_answer_forbids_what_a_page_could_do_with_its_address() -> None:
    for octets in ANSWERS:
        head, _, page = octets.decode().partition("\r\n\r\n")
        names = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        assert names["Content-Security-Policy"] == "default-src 'none'"
        assert names["Cache-Control"] == "no-store"
        assert names["Referrer-Policy"] == "no-referrer"
        assert names["X-Content-Type-Options"] == "nosniff"
        assert names["Connection"] == "close"
        assert ("Allow" in names) is head.startswith("HTTP/1.1 405")
        assert not any(name.lower().startswith(("access-control", "set-cookie", "location")) for name in names)
        assert "<script" not in page


def test_each_page_is_one_of_three_texts() -> None:
    shown = {page: written(Answer(200, page)).decode().partition("<p>")[2].partition("</p>")[0] for page in BrowserPage}
    assert shown == {page: escape(page.value, quote=False) for page in BrowserPage}
    assert len(set(shown.values())) == 3
    assert not any("complete" in text or "success" in text for text in shown.values())


async def test_over_a_socket_too(port: int, consent_for: ConsentFor) -> None:
    said: set[bytes] = set()

    async def visits() -> None:
        for injected in INJECTED[::10]:
            for query in (f"error={injected}&state=OTHER", injected):
                said.add(await visit(port, request(port, query)))
        said.add(await visit(port, request(port)))

    assert await logged_in(consent_for(port), visits) == GOOD
    assert said <= ANSWERS
