"""Sessions as HAR files. The members that a reader may count on are those of the specification of HAR 1.2, by hand."""

import base64
import json
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from recorded import a_day, asking, kick, recorded, waiting

from interpreters.sessions import Recording, Session, load, read
from interpreters.sessions.har import plain, to_har
from kickcore.api.users import fetch_user
from kickcore.effects import Leaf, Now, Send
from kickcore.errors import SessionError
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.secret import Secret

NUMBER = (int, float)
NAMED = [{"name": str, "value": str}]
MANDATORY: dict[str, Any] = {
    "log": {
        "version": str,
        "creator": {"name": str, "version": str},
        "entries": [
            {
                "startedDateTime": datetime,
                "time": NUMBER,
                "request": {
                    "method": str,
                    "url": str,
                    "httpVersion": str,
                    "cookies": [{"name": str, "value": str}],
                    "headers": NAMED,
                    "queryString": NAMED,
                    "headersSize": int,
                    "bodySize": int,
                },
                "response": {
                    "status": int,
                    "statusText": str,
                    "httpVersion": str,
                    "cookies": [{"name": str, "value": str}],
                    "headers": NAMED,
                    "content": {"size": int, "mimeType": str},
                    "redirectURL": str,
                    "headersSize": int,
                    "bodySize": int,
                },
                "cache": {},
                "timings": {"send": NUMBER, "wait": NUMBER, "receive": NUMBER},
            }
        ],
    }
}
POSTED = {"mimeType": str, "params": [{"name": str}], "text": str}
OPTIONAL = {
    "log": {"pages", "browser", "comment"},
    "creator": {"comment"},
    "entries": {"pageref", "serverIPAddress", "connection", "comment"},
    "request": {"postData", "comment"},
    "response": {"comment"},
    "content": {"compression", "text", "encoding", "comment"},
    "timings": {"blocked", "dns", "connect", "ssl", "comment"},
    "cache": {"beforeRequest", "afterRequest", "comment"},
}
"""What else may stand there; anything further begins with an underscore."""


def flaws(value: Any, expected: Any, where: str = "", name: str = "") -> list[str]:
    """In what a value is not as the specification has it."""
    if isinstance(expected, dict):
        if not isinstance(value, dict):
            return [f"{where} is no object"]
        found = [f"{where}/{key} is missing" for key in expected if key not in value]
        others = set(value) - set(expected) - OPTIONAL.get(name, set())
        found += [f"{where}/{key} is unknown" for key in others if key[0] != "_"]
        for key in expected:
            found += flaws(value.get(key), expected[key], f"{where}/{key}", key)
        return found
    if isinstance(expected, list):
        if not isinstance(value, list):
            return [f"{where} is no list"]
        return [
            flaw for number, item in enumerate(value) for flaw in flaws(item, expected[0], f"{where}/{number}", name)
        ]
    if expected is datetime:
        return [] if datetime.fromisoformat(value).tzinfo else [f"{where} has no time zone"]
    is_right = isinstance(value, expected) and not isinstance(value, bool)
    return [] if is_right else [f"{where} is a {type(value).__name__}"]


def entries(session: Session) -> list[dict[str, Any]]:
    archive = json.loads(to_har(session))
    assert flaws(archive, MANDATORY) == []
    found = archive["log"]["entries"]
    for entry in found:
        if "postData" in entry["request"]:
            posted = entry["request"]["postData"]
            assert flaws(posted, POSTED) == []
            # One of both, by the specification.
            assert not (posted["params"] and posted["text"])
        spent = [value for value in entry["timings"].values() if value != -1]
        assert entry["time"] == pytest.approx(sum(spent))
    return found


def test_the_checker_finds_what_is_missing() -> None:
    archive = json.loads(to_har(recorded(fetch_user(676))))
    del archive["log"]["entries"][0]["response"]["redirectURL"]
    archive["log"]["entries"][0]["request"]["bodySize"] = "1"
    archive["log"]["entries"][0]["more"] = 1
    assert sorted(flaws(archive, MANDATORY)) == [
        "/log/entries/0/more is unknown",
        "/log/entries/0/request/bodySize is a str",
        "/log/entries/0/response/redirectURL is a NoneType",
        "/log/entries/0/response/redirectURL is missing",
    ]


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_every_request_of_a_session_is_an_entry_sorted_by_when_it_began(loop: str) -> None:
    session = load(Path(__file__).parents[2] / "sessions" / f"format-1-{loop}.jsonl")
    found = entries(session)
    assert len(found) == sum(line.k == "send" for line in session.lines)
    assert [entry["startedDateTime"] for entry in found] == sorted(entry["startedDateTime"] for entry in found)
    lines = dict(zip(session.numbers, session.lines, strict=True))
    for entry in found:
        line = lines[entry["_line"]]
        assert (entry["_program"], entry["_index"]) == (plain(line.p), line.i)
        began = datetime.fromisoformat(entry["startedDateTime"]).timestamp()
        assert began == pytest.approx((session.header.micros + line.t - line.d) / 1e6, abs=1e-5)
        assert entry["timings"] == {"send": 0, "wait": line.d / 1000, "receive": 0}


def test_a_call_with_its_query_and_its_bearer() -> None:
    *_, entry = entries(recorded(fetch_user(676)))
    request, response = entry["request"], entry["response"]
    assert (request["method"], request["url"]) == ("GET", "http://127.0.0.1/public/v1/users?id=676")
    assert request["queryString"] == [{"name": "id", "value": "676"}]
    assert request["headers"] == [{"name": "Authorization", "value": "Bearer «at:1»"}]
    assert "postData" not in request
    assert (response["status"], response["statusText"]) == (200, "OK")
    assert response["content"]["mimeType"] == "application/json"
    assert json.loads(response["content"]["text"])["data"][0]["user_id"] == 676
    assert response["content"]["size"] == response["bodySize"] == len(response["content"]["text"].encode())


def test_a_form_and_a_json_body_with_aliases_in_place() -> None:
    found = entries(recorded(*a_day()))
    token = next(entry for entry in found if "/oauth/token" in entry["request"]["url"])
    assert token["request"]["postData"] == {
        "mimeType": "application/x-www-form-urlencoded",
        "params": [],
        "text": "grant_type=client_credentials&client_id=sandbox-app&client_secret=«cs:1»",
    }
    chat = next(entry for entry in found if entry["request"]["url"].endswith("/chat"))
    assert json.loads(chat["request"]["postData"]["text"])["content"] == "Hello!"
    assert {"name": "Content-Type", "value": "application/json"} in chat["request"]["headers"]


def answering(*answers: Response | Unreachable | Exception, request: Request | None = None) -> Session:
    left = iter(answers)

    def answer(effect: Leaf) -> object:
        if isinstance(effect, Now):
            return 1.5e9
        given = next(left)
        if isinstance(given, Exception):
            raise given
        return given

    def program() -> Any:
        for _ in answers:
            yield from Send(request or Request("GET", "https://api.kick.com/x"))

    recording = Recording(seed="s")
    with suppress(OSError):
        recording.run_sync(program(), answer, label="p")
    return recording.close()


def test_a_failure_has_the_status_0_and_its_reason() -> None:
    silent = Unreachable("the connection broke", Sent.MAYBE)
    first, second = entries(answering(silent, OSError("no route")))
    assert (first["response"]["status"], first["response"]["content"]["size"]) == (0, 0)
    assert first["response"]["_error"] == first["_error"] == "the connection broke (sent: maybe)"
    assert second["_error"] == "OSError: no route"
    assert second["response"]["bodySize"] == -1


def test_what_was_never_answered_is_there_too() -> None:
    simulated, recording = kick(), Recording(seed="s")
    recording.run_sync(fetch_user(676), simulated.answer)
    recording.close()
    rows = recording.text().split(b"\n")
    ask = next(number for number, row in enumerate(rows) if b'"ask"' in row)
    (entry,) = entries(read(b"\n".join(rows[: ask + 1]) + b"\n", partial=True))
    assert entry["_error"] == "never answered: the recording ends here"
    assert "_line" not in entry


def test_octets_are_base64_and_texts_are_texts() -> None:
    png = b"\x89PNG\xff\xab\x00"
    image, page, teapot = entries(
        answering(
            Response(200, (("content-type", "image/png"),), png),
            Response(302, (("content-type", "text/html"), ("location", "https://kick.com/")), "<p>schön".encode()),
            Response(799),
        )
    )
    content = image["response"]["content"]
    assert (content["encoding"], base64.b64decode(content["text"]), content["size"]) == ("base64", png, len(png))
    content = page["response"]["content"]
    assert (content["text"], content["size"], "encoding" in content) == ("<p>schön", 9, False)
    assert (page["response"]["statusText"], page["response"]["redirectURL"]) == ("Found", "https://kick.com/")
    assert (teapot["response"]["statusText"], teapot["response"]["content"]["mimeType"]) == ("", "x-unknown")


def test_texts_and_octets_that_were_posted() -> None:
    text, octets = (
        entries(answering(Response(200), request=Request("POST", "https://api.kick.com/x", body=body)))[0]["request"]
        for body in (b"plain", b"\x80\x81")
    )
    assert text["postData"]["text"] == "plain"
    assert octets["postData"] == {"mimeType": "application/octet-stream", "params": [], "text": "\x80\x81"}


def test_a_query_is_encoded_but_for_its_aliases_and_what_was_doubled_stands_once() -> None:
    request = Request(
        "GET",
        "https://api.kick.com/x",
        (("a b", "«&»"), ("token", Secret("hunter2-hunter2-hunter2"))),
        body=b"\xc2\xab",
    )
    (entry,) = entries(answering(Response(200, body='{"x":"«at:1»"}'.encode()), request=request))
    assert entry["request"]["url"] == "https://api.kick.com/x?a%20b=%C2%AB%26%C2%BB&token=«at:1»"
    assert entry["request"]["queryString"][0] == {"name": "a b", "value": "«&»"}
    assert entry["request"]["postData"]["text"] == "«"
    # Not an alias: the answer had these very characters.
    assert entry["response"]["content"]["text"] == '{"x":"«at:1»"}'
    assert plain("««at:1» «rt:2» ««") == "«at:1» «rt:2» «"


def test_a_session_without_requests_has_no_entries() -> None:
    assert entries(recorded(waiting(1.0))) == []


def test_what_cannot_be_told_is_refused() -> None:
    session = recorded(asking("/x"))
    (line,) = session.lines

    def edited(**members: Any) -> Session:
        return msgspec.structs.replace(session, lines=(msgspec.structs.replace(line, **members),), name="odd.jsonl")

    with pytest.raises(SessionError, match=r"odd\.jsonl has times that no calendar has"):
        to_har(edited(t=10**300))
    for members in ({"q": msgspec.Raw(b"[]")}, {"r": msgspec.Raw(b'{"status":"x"}')}, {"q": msgspec.Raw(b'{"url":7}')}):
        with pytest.raises(SessionError, match=r"odd\.jsonl holds a request or an answer that is none"):
            to_har(edited(**members))
