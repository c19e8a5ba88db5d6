"""The tree of errors, and texts from outside."""

import inspect
import pickle
import re
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kickcore import errors
from kickcore.errors import (
    AuthorizationDenied,
    BadResponse,
    CallbackPortInUse,
    ConfigError,
    CorruptTokenFile,
    HTTPError,
    InvalidClient,
    InvalidInput,
    KickError,
    KickWarning,
    LoginTimeout,
    MissingScopes,
    NetworkError,
    OAuthError,
    RateLimited,
    StoreError,
    cleaned,
)

CLASSES: list[type[KickError]] = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, KickError)
]


def _drawn_tree() -> dict[str, str]:
    """Each class of the drawing in the docstring, and the class that it hangs from."""
    drawn: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if not line.startswith("    ") or not line.strip()[0].isupper():
            continue
        depth = len(line) - len(line.lstrip())
        above = [(indent, name) for indent, name in above if indent < depth]
        # A row of errors by status: name (status), name (status), …
        names = re.findall(r"(\w+) \(\d", line) or [line.split()[0]]
        for name in names:
            drawn[name] = above[-1][1] if above else "Exception"
        above.append((depth, names[0]))
    return drawn


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    real = {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES}
    assert _drawn_tree() == real


def test_every_error_explains_itself() -> None:
    assert all(kind.__doc__ for kind in CLASSES)


def test_mistakes_of_the_caller_are_value_errors_too() -> None:
    assert issubclass(InvalidInput, ValueError)
    assert issubclass(ConfigError, ValueError)


def test_warnings_are_no_errors() -> None:
    assert issubclass(KickWarning, UserWarning)
    assert not issubclass(KickWarning, KickError)


_MADE: dict[type[KickError], KickError] = {
    InvalidInput: InvalidInput("m", parameter="content"),
    MissingScopes: MissingScopes("m", missing_scopes=(frozenset({"a"}),), granted=("b",)),
    AuthorizationDenied: AuthorizationDenied("m", error="access_denied", description="no"),
    LoginTimeout: LoginTimeout("m", seconds=3.0, refused={"state": 2}),
    CallbackPortInUse: CallbackPortInUse("m", port=3000),
    CorruptTokenFile: CorruptTokenFile("m", path="/a", moved_to="/b"),
    BadResponse: BadResponse("m", status=200, operation="GET /x"),
    NetworkError: NetworkError("m", sent="maybe"),
}


def _made(kind: type[KickError]) -> KickError:
    if kind in _MADE:
        return _MADE[kind]
    if issubclass(kind, OAuthError):
        return kind("m", error="invalid_scope", description="d", status=400)
    if issubclass(kind, CorruptTokenFile):
        return kind("m", path="/a", moved_to="/b")
    if issubclass(kind, StoreError):
        return kind("m", path="/a")
    if issubclass(kind, HTTPError):
        return kind("m", status=409, operation="GET /x", code="C", reference="r")
    return kind("m")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
def test_every_error_survives_a_pickle_with_all_that_it_knows(kind: type[KickError], protocol: int) -> None:
    error = _made(kind)
    if isinstance(error, RateLimited):
        error.retry_after = 7.0
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert str(again) == str(error) == "m"
    assert vars(again) == vars(error)


def test_notes_survive_a_pickle() -> None:
    error = KickError("m")
    error.add_note("remember")
    again = pickle.loads(pickle.dumps(error))
    assert "remember" in "".join(traceback.format_exception(again))


def test_an_invalid_client_is_an_oauth_error_with_its_facts() -> None:
    error = InvalidClient("m", error="invalid_client", description="d", status=401)
    assert (error.error, error.description, error.status) == ("invalid_client", "d", 401)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("", ""),
        ("two\nlines\r\n", "two lines"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("nul\x00bell\x07", "nul bell"),
        ("right\u202eto left", "right to left"),
        ("zero\u200bwidth", "zero width"),
        ("half\ud800", "half"),
        ("<script>", "<script>"),
        ("  many   blanks  ", "many blanks"),
    ],
)
def test_control_characters_become_blanks(text: str, clean: str) -> None:
    assert cleaned(text) == clean


def test_a_long_text_is_cut_and_shows_that_it_was() -> None:
    assert cleaned("x" * 1_000_000) == "x" * 299 + "…"
    assert cleaned("x" * 300) == "x" * 300
    assert cleaned("abcdef", 4) == "abc…"


@given(st.text(st.characters()), st.integers(1, 50))
def test_a_cleaned_text_is_short_and_fit_for_a_terminal(text: str, limit: int) -> None:
    clean = cleaned(text, limit)
    assert len(clean) <= limit
    assert clean.isprintable()
    assert clean.encode().decode() == clean
