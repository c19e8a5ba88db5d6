"""Effects and answers go through a line and come back the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreters.sessions.coding import (
    Answered,
    Failure,
    ReplayedError,
    answer_to,
    ask,
    exception_of,
    failure_of,
    kept_headers,
    kind_of,
    read_answer,
    read_ask,
)
from kickcore import errors
from kickcore.effects import (
    Consent,
    DropToken,
    Exclusive,
    HoldBack,
    LoadPace,
    LoadToken,
    Notify,
    PayRetry,
    RenewAhead,
    SaveToken,
    Send,
    Sleep,
)
from kickcore.errors import KickError, MissingScopes, RateLimited
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.notices import Retrying
from kickcore.oauth.actions import ExchangeCode, RefreshToken
from kickcore.oauth.callback import Denied, ForeignIssuer, Granted
from kickcore.oauth.tokens import App, NotSaved, Saved, Superseded
from kickcore.policy import Pace
from kickcore.secret import Secret
from kickcore.testing import responses, slots, stored, tokens, unreachables

APP = App("CID", Secret("client-secret-1"))
SLOT = APP.slot("user")  # type: ignore[arg-type]


@given(slots(), tokens())
def test_what_is_asked_of_tokens_is_read_back(slot: object, token: object) -> None:
    for effect in (
        LoadToken(slot, reread=True),  # type: ignore[arg-type]
        SaveToken(slot, token, "v"),  # type: ignore[arg-type]
        DropToken(slot),  # type: ignore[arg-type]
        RenewAhead(slot, RefreshToken(slot, Secret("x1"))),  # type: ignore[arg-type]
        Exclusive(slot, ExchangeCode(slot, Secret("c1"), Secret("v1"), "http://127.0.0.1/", ("a",))),  # type: ignore[arg-type]
    ):
        assert read_ask(kind_of(effect), ask(effect)) == effect


@pytest.mark.parametrize(
    "effect",
    [
        Sleep(1.25),
        LoadPace("GET /x"),
        HoldBack("GET /x", 1_800_000_000.5),
        PayRetry(-1.0),
        Notify(Retrying("GET /x", "busy", 1, 0.5)),
        Consent(Secret("https://id/?state=s"), "http://127.0.0.1/", Secret("s"), "https://id", 300.0),
        Send(Request("POST", "https://api.kick.com/x", body=b'{"a":[1,2]}', group="POST /x", timeout=2.5)),
        Send(Request("PUT", "https://api.kick.com/x", body="text ü".encode())),
        Send(Request("PUT", "https://api.kick.com/x", body=b"\xff\x00\xfe")),
        Send(Request("GET", "https://api.kick.com/x", query=(("id", "1"), ("id", "2")), limit=5)),
    ],
)
def test_what_is_asked_is_read_back(effect: Send) -> None:
    assert read_ask(kind_of(effect), ask(effect)) == effect


@given(responses() | unreachables())
def test_any_answer_of_the_wire_is_read_back_octet_by_octet(answer: Response | Unreachable) -> None:
    assert read_answer("send", answer_to("send", answer)) == answer


@given(st.binary(max_size=60))
def test_any_body_is_read_back(body: bytes) -> None:
    answer = Response(200, (), body)
    assert read_answer("send", answer_to("send", answer)) == answer


@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_body_in_another_charset_is_a_text(charset: str) -> None:
    answer = Response(200, (), '{"access_token":"abc"}'.encode(charset))
    written = answer_to("send", answer)
    assert b'{\\"access_token\\":\\"abc\\"}' in written
    assert read_answer("send", written) == answer


@pytest.mark.parametrize("body", [b'{"a": 1}', b"[]", b'{"a":"\xc3\xa4\\u00e4"}', b'{"a":1,"a":2}'])
def test_a_body_of_json_stands_in_the_line_as_it_is(body: bytes) -> None:
    assert body in answer_to("send", Response(200, (), body))


@given(stored())
def test_a_stored_token_is_read_back(held: object) -> None:
    back = read_answer("load_token", answer_to("load_token", held))
    assert back == held
    assert back is None or back.at_least == held.at_least  # type: ignore[attr-defined]
    assert read_answer("save_token", answer_to("save_token", Superseded(held))) == Superseded(held)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("save_token", Saved("3")),
        ("save_token", NotSaved("disk full")),
        ("consent", Granted(Secret("code-1"))),
        ("consent", Denied("access_denied", "no")),
        ("consent", ForeignIssuer("https://evil")),
        ("load_pace", Pace(5.5, refill=True)),
        ("pay_retry", False),
        ("load_app", APP),
        ("hold", True),
        ("sleep", None),
    ],
)
def test_an_answer_is_read_back(kind: str, answer: object) -> None:
    assert read_answer(kind, answer_to(kind, answer)) == answer


def test_of_headers_only_those_are_kept_that_say_something_to_a_program() -> None:
    headers = (
        ("content-type", "a"),
        ("set-cookie", "b"),
        ("x-ratelimit-left", "5"),
        ("retry-after", "1"),
        ("via", "c"),
    )
    kept = kept_headers(Response(200, headers, b""))
    assert [name for name, _ in kept.headers] == ["content-type", "x-ratelimit-left", "retry-after"]


def test_a_silence_says_how_far_the_request_came() -> None:
    silence = Unreachable("timed out", Sent.MAYBE)
    assert answer_to("send", silence) == b'{"reason":"timed out","sent":"maybe"}'


def test_an_answer_without_a_body_has_no_member_for_it() -> None:
    assert answer_to("send", Response(204)) == b'{"status":204}'
    assert Answered(204).response() == Response(204)


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KickError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_of_kickcore_is_raised_again_as_what_it_was(kind: type[KickError]) -> None:
    error = kind.__new__(kind)
    error.args = ("what happened",)
    again = exception_of(failure_of(error))
    assert type(again) is kind
    assert str(again) == "what happened"


def test_what_an_error_knows_beside_its_text_comes_back() -> None:
    limited = RateLimited("wait", status=429, operation="GET /x")
    limited.retry_after = 3.5
    again = exception_of(failure_of(limited))
    assert isinstance(again, RateLimited)
    assert (again.status, again.retry_after) == (429, 3.5)
    missing = MissingScopes("no", missing_scopes=(("a", "b"),), granted=("c",))
    assert isinstance(exception_of(failure_of(missing)), MissingScopes)


@pytest.mark.parametrize("error", [OSError("disk"), ValueError("odd"), RuntimeError("x"), TimeoutError("late")])
def test_pythons_own_exceptions_come_back_too(error: Exception) -> None:
    again = exception_of(failure_of(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


@pytest.mark.parametrize(
    "name", ["SystemExit", "KeyboardInterrupt", "print", "__import__", "KickError.x", "", "a" * 99]
)
def test_a_file_names_no_other_thing_to_be_raised(name: str) -> None:
    assert type(exception_of(Failure(name, "text"))) is ReplayedError
