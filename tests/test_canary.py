"""The canary notices a secret on each of its ways out, and nothing else."""

import logging
import sys
import warnings
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from canary import LONGEST, MOST_ITEMS, MOST_LOOKS, ROOT, TESTS, Canary

from interpreters.sandbox import small_world
from interpreters.sandbox.minting import mint_token
from interpreters.sandbox.oauth.issuing import APP_ACCESS, CODE, USER_ACCESS, USER_REFRESH
from kickcore.errors import KickError, KickWarning, NetworkError
from kickcore.http import Request
from kickcore.secret import Secret

TOKEN = USER_ACCESS + "A2B3C4D5" * 4
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def leaks(canary: Canary) -> list[tuple[str, str]]:
    return [(leak.kind, leak.place) for leak in canary.leaks]


def looked(look: Callable[[Canary], object]) -> list[tuple[str, str]]:
    """What one look gives, by kind and place. The secret itself is never in it, nor in what is reported."""
    canary = Canary()
    canary.hold(VERIFIER)
    look(canary)
    told = "\n".join((*canary.report(), canary.summary()))
    assert TOKEN[8:16] not in told
    assert VERIFIER[:8] not in told
    return leaks(canary)


# Texts


MINTED = {
    APP_ACCESS: "an app token",
    USER_ACCESS: "a user token",
    USER_REFRESH: "a refresh token",
    CODE: "an authorization code",
}


@pytest.mark.parametrize("prefix", MINTED)
def test_the_beginning_of_each_text_that_the_simulated_kick_mints_is_known(prefix: str) -> None:
    _, text = mint_token(small_world(), prefix)
    assert Canary().found(text) == MINTED[prefix]
    assert Canary().found(f"bearer={text[:8]}...") == MINTED[prefix]


PACKED = [
    *(b64encode(b"x" * before + TOKEN.encode()) for before in range(6)),
    *(urlsafe_b64encode(b"x" * before + TOKEN.encode() + b"y") for before in range(3)),
]


@pytest.mark.parametrize("packed", PACKED, ids=range(len(PACKED)))
def test_base64_is_known_wherever_the_text_begins_in_it(packed: bytes) -> None:
    assert Canary().found(packed.decode()) == "a token in base64"


SHOWN = [TOKEN, VERIFIER, f'{{"state": "{VERIFIER}"}}', f"?state={VERIFIER}&x=1", f"b'{VERIFIER}'", f"/{VERIFIER}/"]


@pytest.mark.parametrize("text", SHOWN, ids=range(len(SHOWN)))
def test_a_secret_is_found_within_a_text(text: str) -> None:
    assert looked(lambda canary: canary.look("kind", "place", text)) == [("kind", "place")]


def test_of_a_secret_with_odd_characters_the_longest_word_is_looked_for() -> None:
    canary = Canary()
    canary.hold(f"https://id.kick.com/authorize?state={VERIFIER}")
    assert canary.found(VERIFIER)
    assert not canary.found("https://id.kick.com/authorize?state=")


INNOCENT = [
    "",
    "SANDBOX",
    "sandbox-app",
    "SANDBOX_URL",
    VERIFIER[:-1],
    VERIFIER + "x",
    "x" * 40,
    "0123456789abcdef" * 9,
]


@pytest.mark.parametrize("text", INNOCENT, ids=range(len(INNOCENT)))
def test_an_innocent_text_is_not_reported(text: str) -> None:
    assert not looked(lambda canary: canary.look("kind", "place", text))


@pytest.mark.parametrize("text", ["short", "x" * 40, "abcabcabcabcabcabc", "KICK_CLIENT_SECRET", None, 5])
def test_what_may_stand_anywhere_is_not_looked_for(text: object) -> None:
    canary = Canary()
    canary.hold(text)
    assert not canary.found(str(text))


# Ways out


def record(text: str, *args: object, **added: object) -> logging.LogRecord:
    made = logging.LogRecord("httpx2", logging.DEBUG, "/lib/client.py", 7, text, args, None)
    vars(made).update(added)
    return made


RECORDS = {
    "text": record(f"token {TOKEN}"),
    "arguments": record("%s %d", TOKEN, 5),
    "an argument that the text leaves out": record("%.2s", [TOKEN]),
    "arguments that do not fit": record(f"%d {TOKEN}", "x"),
    "what was added": record("text", token=TOKEN),
    "stack": record("text", stack_info=f"File …\n    token = {TOKEN!r}"),
}


@pytest.mark.parametrize("made", RECORDS.values(), ids=RECORDS)
def test_a_log_record_is_looked_at_with_all_that_it_holds(made: logging.LogRecord) -> None:
    # A library's record is ours if our code called the library, which in this test nobody did.
    canary = Canary()
    canary.log(made)
    assert not canary.leaks
    assert canary.left_out.total() == 1
    assert as_if_called_by(str(ROOT / "kickcore" / "client.py"), Canary.log, made) == [
        ("log records", "logger httpx2, client.py:7")
    ]


def as_if_called_by(file: str, look: Callable[[Canary, Any], object], given: object) -> list[tuple[str, str]]:
    names: dict[str, Any] = {}
    exec(compile("def call(look, canary, given):\n    look(canary, given)", file, "exec"), names)
    return looked(lambda canary: names["call"](look, canary, given))


def test_the_exception_of_a_log_record_is_looked_at() -> None:
    made = record("it failed", exc_text=None)
    try:
        raise ValueError(TOKEN)
    except ValueError as error:
        made.exc_info = (ValueError, error, error.__traceback__)
    found = as_if_called_by(str(ROOT / "kickcore" / "client.py"), Canary.log, made)
    assert {kind for kind, _ in found} == {"log records", "exceptions"}


@pytest.mark.parametrize("message", [TOKEN, UserWarning(TOKEN), UserWarning("x", [TOKEN])], ids=range(3))
def test_a_warning_is_looked_at(message: object) -> None:
    assert looked(lambda canary: canary.warning("KickWarning", message)) == [("warnings", "KickWarning")]


def test_output_is_looked_at_and_the_address_of_a_login_may_be_shown() -> None:
    assert looked(lambda canary: canary.output("stdout", f"logged in: {TOKEN}")) == [("outputs", "stdout")]
    assert looked(lambda canary: canary.output("stdout", TOKEN.encode())) == [("outputs", "stdout")]
    shown = f"Open https://id.kick.com/oauth/authorize?state={VERIFIER} in a browser"
    assert not looked(lambda canary: canary.output("stderr", shown))
    assert looked(lambda canary: canary.output("stderr", f"{shown}: {VERIFIER}")) == [("outputs", "stderr")]


def test_files_are_looked_at_but_for_those_in_which_tokens_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    names = [".kick.token.json", ".kick.user_token.anna.json", ".kick.token.json.7.tmp", ".kick.token.json.corrupt-7"]
    for name in (*names, "mine.json", "debug.log", "inner.jsonl", "large.txt"):
        (folder / name).write_text(TOKEN)
    (folder / "mine.json.lock").touch()
    (folder / "large.txt").write_text("x" * LONGEST + TOKEN)
    found = looked(lambda canary: canary.files(tmp_path))
    # Gone before the run's own canary sees it.
    for path in folder.iterdir():
        path.unlink()
    assert sorted(found) == [("files", "a file named debug.log"), ("files", "a file named inner.jsonl")]


# Exceptions


def with_note() -> Exception:
    error = ValueError("x")
    error.add_note(f"sent {TOKEN}")
    return error


def with_attribute(**attributes: object) -> Exception:
    error = ValueError("x")
    vars(error).update(attributes)
    return error


def with_cause() -> Exception:
    error = ValueError("x")
    error.__cause__ = KeyError(TOKEN)
    return error


def with_hidden_context() -> Exception:
    error = ValueError("x")
    error.__context__ = with_cause()
    error.__suppress_context__ = True
    return error


class Odd(Exception):
    """Shows in one way only what it holds."""

    def __str__(self) -> str:
        return "odd"

    def __repr__(self) -> str:
        return "odd"


ERRORS = {
    "text": ValueError(f"bad {TOKEN}"),
    "argument that is not shown": Odd(TOKEN),
    "octets": ValueError(TOKEN.encode()),
    "note": with_note(),
    "attribute": with_attribute(token=TOKEN),
    "attribute of an attribute": with_attribute(held={"a": [TOKEN]}),
    "cause": with_cause(),
    "context that is not shown": with_hidden_context(),
    "group": ExceptionGroup("x", [ValueError("y"), ExceptionGroup("z", [with_cause()])]),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_an_exception_is_looked_at_with_all_that_hangs_from_it(error: Exception) -> None:
    assert looked(lambda canary: canary.exception(error))


def test_an_innocent_exception_is_not_reported_even_if_it_is_its_own_context() -> None:
    error = with_attribute(token=Secret(TOKEN), count=5)
    error.__context__ = ValueError("y")
    error.__context__.__cause__ = error
    assert not looked(lambda canary: canary.exception(error))


def test_an_assertion_may_repeat_what_it_compares_but_what_it_came_from_is_looked_at() -> None:
    error = AssertionError(TOKEN)
    assert not looked(lambda canary: canary.exception(error))
    error.__context__ = ValueError(TOKEN)
    assert looked(lambda canary: canary.exception(error)) == [("exceptions", "ValueError")]


@pytest.mark.parametrize("held", [Request("GET", "http://127.0.0.1"), httpx2.Response(200)], ids=repr)
def test_an_error_of_ours_holds_no_request_and_comes_from_none_that_does(held: object) -> None:
    error, foreign = KickError("x"), with_attribute(request=held)
    error.__context__ = foreign
    assert looked(lambda canary: canary.exception(error)) == [("attributes", "ValueError.request")]
    assert not looked(lambda canary: canary.exception(foreign))


# Local variables

RAISING = """
def fail(token):
    held = {"token": token}
    raise ValueError("x")
"""


def raised(file: Path, token: object) -> Exception:
    """What is raised by code that stands in this file."""
    names: dict[str, Any] = {}
    exec(compile(RAISING, str(file), "exec"), names)
    try:
        names["fail"](token)
    except ValueError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("package", ["kickcore", "interpreters"])
def test_local_variables_of_our_code_are_looked_at(package: str) -> None:
    error = raised(ROOT / package / "made_up.py", TOKEN)
    assert looked(lambda canary: canary.exception(error)) == [
        ("variables", f"token of fail, {package}/made_up.py:4"),
        ("variables", f"held of fail, {package}/made_up.py:4"),
    ]
    assert not looked(lambda canary: canary.exception(raised(ROOT / package / "made_up.py", Secret(TOKEN))))


@pytest.mark.parametrize("file", [ROOT / "interpreters" / "sandbox" / "made_up.py", Path(TESTS, "x.py"), Path("/x.py")])
def test_local_variables_of_the_other_side_are_not(file: Path) -> None:
    assert not looked(lambda canary: canary.exception(raised(file, TOKEN)))


def test_what_is_too_large_or_comes_too_often_is_counted_as_left_out() -> None:
    canary = Canary()
    canary.exception(raised(ROOT / "kickcore" / "x.py", [TOKEN] * (MOST_ITEMS + 1)))
    assert canary.left_out == {f"variables with more than {MOST_ITEMS} items": 1}
    again = Canary()
    error = raised(ROOT / "kickcore" / "x.py", "")
    for _ in range(MOST_LOOKS + 2):
        again.exception(error)
    assert again.left_out == {f"frames of lines that came more than {MOST_LOOKS} times in a test": 2}
    again.begin("the next test")
    again.exception(error)
    assert again.looked["frames"] == MOST_LOOKS + 1


def test_a_value_that_cannot_be_written_out_harms_nothing() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert not looked(lambda canary: canary.exception(raised(ROOT / "kickcore" / "x.py", Broken())))


# What is told


def test_each_place_is_told_once_with_the_test_that_ran() -> None:
    canary = Canary()
    canary.begin("tests/test_x.py::test_y")
    for _ in range(3):
        canary.look("outputs", "stdout", TOKEN)
    canary.look("outputs", "stderr", "fine")
    expected = "outputs: stdout: a user token; in tests/test_x.py::test_y and 2 times more"
    assert list(canary.report()) == [expected]
    assert canary.summary() == "canary: looked at 4 outputs; leaks: 1"
    assert Canary().summary() == "canary: looked at nothing; leaks: 0"


def the_conftest() -> Any:
    return next(module for module in sys.modules.values() if getattr(module, "__file__", "") == f"{TESTS}/conftest.py")


def test_a_run_that_showed_a_secret_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    session, canary = SimpleNamespace(exitstatus=pytest.ExitCode.OK), Canary()
    with monkeypatch.context() as patch:
        patch.setattr(the_conftest(), "CANARY", canary)
        the_conftest().pytest_sessionfinish(session)
        assert session.exitstatus == pytest.ExitCode.OK
        canary.output("stdout", TOKEN)
        the_conftest().pytest_sessionfinish(session)
    assert session.exitstatus == pytest.ExitCode.TESTS_FAILED


def test_the_run_itself_is_watched(capsys: pytest.CaptureFixture[str]) -> None:
    canary = the_conftest().CANARY
    before = canary.looked.copy()
    logging.getLogger("a library that says little").debug("something")
    with pytest.warns(KickWarning, match="something"):
        warnings.warn("something", KickWarning, stacklevel=1)
    with pytest.raises(KickError, match="something"):
        raise KickError("something")
    with pytest.raises(NetworkError) as caught:
        raise NetworkError("something", sent="no")
    assert caught.value.sent == "no"
    print("something")
    assert capsys.readouterr().out == "something\n"
    assert {"log records", "warnings", "exceptions", "attributes", "outputs"} <= set(canary.looked - before)
    Secret(VERIFIER[::-1])
    assert canary.found(VERIFIER[::-1])
