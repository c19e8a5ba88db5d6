"""The tree of errors, and texts from outside."""

import inspect
import json
import pickle
import re
import socket
import tomllib
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest
from canary import Canary
from hypothesis import given
from hypothesis import strategies as st

from interpreters.sandbox import Sandbox, SandboxApp, approve, small_world
from interpreters.sandbox.oauth.issuing import USER_ACCESS
from interpreters.tokens.files import FileStore
from kickcore import KickClient, errors
from kickcore.api.call import error_for
from kickcore.errors import (
    LONGEST_MESSAGE,
    LONGEST_TEXT,
    AuthorizationDenied,
    BadRequest,
    BadResponse,
    Blocked,
    CallbackPortInUse,
    ClientClosed,
    ClockWrong,
    ConfigError,
    CorruptTokenFile,
    Forbidden,
    ForeignTokenFile,
    HTTPError,
    InvalidClient,
    InvalidInput,
    IssuerMismatch,
    KickError,
    KickWarning,
    LoginError,
    LoginTimeout,
    MissingScopes,
    NetworkError,
    NewerTokenFile,
    OAuthError,
    RateLimited,
    ReauthorizationRequired,
    RedirectRefused,
    RefreshOutcomeUnknown,
    ServerError,
    StoreError,
    TokenError,
    TokenResponseError,
    UnsafeTokenFile,
    cleaned,
)
from kickcore.http import Request, Response
from kickcore.policy import Policy
from kickcore.secret import Secret

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


# Messages


def test_a_long_message_loses_its_middle() -> None:
    error = KickError("it failed " + "x" * 1_000_000 + " try again")
    assert len(str(error)) == LONGEST_MESSAGE
    assert str(error).startswith("it failed xxx")
    assert "x…x" in str(error)
    assert str(error).endswith("xxx try again")
    assert str(KickError("x" * 500)) == "x" * 500


_texts = st.text(max_size=20) | st.integers(1, 5000).map(lambda length: "<p>" * length)
_bodies = st.fixed_dictionaries({}, optional=dict.fromkeys(["message", "data", "error", "reference"], _texts))


@given(st.integers(100, 599), _bodies)
def test_whatever_the_server_sends_messages_and_attributes_are_bounded(status: int, body: Mapping[str, str]) -> None:
    error = error_for(Response(status, (), json.dumps(body).encode()), "GET /public/v1/users")
    assert len(str(error)) <= LONGEST_MESSAGE
    assert all(len(value) <= LONGEST_TEXT for value in vars(error).values() if isinstance(value, str))


# What goes wrong with secrets at hand

TOKEN = USER_ACCESS + "A2B3C4D5" * 4
HUGE = "<p>" * 350_000
LONG = "<p>" * 3_000


class Scene(NamedTuple):
    """A simulated Kick, a client with a user token that it issued, and the folder in which tokens are kept."""

    kick: Sandbox
    client: KickClient
    folder: Path


Cause = Callable[[Scene], Awaitable[object]]


def client_of(kick: Sandbox, folder: Path, secret: str = "sandbox-secret") -> KickClient:
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=SandboxApp(kick)))
    return KickClient("sandbox-app", secret, http=http, store=FileStore(folder), policy=Policy(retries=0))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    kick = Sandbox(small_world(redirect_uris=("http://127.0.0.1:3000/callback",)))
    client = client_of(kick, tmp_path)
    token = kick.sign_in(["user:read"])
    assert token.access_token is not None
    client.set_user_token(token.access_token, token.refresh_token, 7200, "user:read", save=True)
    return Scene(kick, client, tmp_path)


def answer_with(kick: Sandbox, path: str, status: int, body: object) -> None:
    """Answer what is sent to `path` with a body, in which {sent} stands for all that was sent beside the path."""

    def before(request: Request) -> Response | None:
        if path not in request.url:
            return None
        values = [value for _, value in (*request.form, *request.query)] + [request.bearer or ""]
        sent = " ".join(value.reveal() if isinstance(value, Secret) else value for value in values)
        text = body if isinstance(body, str) else json.dumps(body)
        return Response(status, (("location", f"http://127.0.0.1/{sent}"),), text.replace("{sent}", sent).encode())

    kick.before = before


def called(status: int, body: object) -> Cause:
    async def cause(scene: Scene) -> None:
        answer_with(scene.kick, "/public", status, body)
        await scene.client.fetch_user()

    return cause


def renewed(status: int, body: object) -> Cause:
    async def cause(scene: Scene) -> None:
        scene.kick.expire_access_tokens()
        answer_with(scene.kick, "/oauth/token", status, body)
        await scene.client.fetch_user()

    return cause


def exchanged(status: int, body: object) -> Cause:
    async def cause(scene: Scene) -> None:
        answer_with(scene.kick, "/oauth/token", status, body)
        await pasted()(scene)

    return cause


def pasted(change: Callable[[str], str] = str, **choices: bool) -> Cause:
    """A login by hand, with an address that was changed on its way."""

    async def cause(scene: Scene) -> None:
        async def paste(url: str) -> str:
            return change(approve(url, scene.kick.handle, **choices))

        await scene.client.authenticate(["user:read"], paste=paste)

    return cause


def unanswered(path: str, failure: Exception) -> Cause:
    async def cause(scene: Scene) -> None:
        def before(request: Request) -> None:
            if path in request.url:
                raise failure

        scene.kick.expire_access_tokens()
        scene.kick.before = before
        await scene.client.fetch_user()

    return cause


def kept(**members: object) -> Cause:
    """A token file with other members in it."""

    async def cause(scene: Scene) -> None:
        file = scene.folder / ".kick.user_token.json"
        file.touch(0o600)
        file.write_text(json.dumps({"access_token": TOKEN, "refresh_token": TOKEN, **members}))
        await client_of(scene.kick, scene.folder).fetch_user()

    return cause


async def kept_behind_a_link(scene: Scene) -> None:
    (scene.folder / "elsewhere.lock").touch()
    (scene.folder / "elsewhere").write_text(TOKEN)
    (scene.folder / ".kick.user_token.json").symlink_to(scene.folder / "elsewhere")
    await client_of(scene.kick, scene.folder).fetch_user()


async def with_a_port_in_use(scene: Scene) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        await scene.client.authenticate(["user:read"], holder.getsockname()[1])


async def with_another_secret(scene: Scene) -> None:
    answer_with(scene.kick, "/public", 401, "")
    await client_of(scene.kick, scene.folder, TOKEN).fetch_user(1)


async def with_a_secret_that_has_a_line_end(scene: Scene) -> None:
    client_of(scene.kick, scene.folder, TOKEN + "\n")


async def with_a_token_that_has_a_blank(scene: Scene) -> None:
    scene.client.set_user_token(TOKEN, TOKEN + " ")


async def with_a_refused_logout(scene: Scene) -> None:
    answer_with(scene.kick, "/oauth/revoke", 500, "{sent}")
    await scene.client.logout()


async def with_a_scope_that_is_lacking(scene: Scene) -> None:
    await scene.client.send_chat_message("Hello!", broadcaster_user_id=1)


async def with_a_text_that_is_too_long(scene: Scene) -> None:
    await scene.client.send_chat_message("x" * 501, broadcaster_user_id=1)


async def after_the_end(scene: Scene) -> None:
    await scene.client.close()
    await scene.client.fetch_user()


ECHO = {"message": "{sent}", "data": "{sent}", "error": "{sent}", "error_description": "{sent}", "reference": "{sent}"}
ALL_LONG = dict.fromkeys(ECHO, LONG)

TROUBLES: dict[str, tuple[type[KickError], str, Cause]] = {
    "offline": (NetworkError, "nothing was sent", unanswered("/public", httpx2.ConnectError("no route"))),
    "offline at the identity host": (
        NetworkError,
        "gave no answer",
        unanswered("/oauth/token", httpx2.ConnectError("no route")),
    ),
    "a dead grant": (ReauthorizationRequired, "authenticate", renewed(400, {"error": "invalid_grant"})),
    "a refresh without an answer": (RefreshOutcomeUnknown, "kept", unanswered("/oauth/token", httpx2.ReadError("cut"))),
    "a refresh that gives no token": (RefreshOutcomeUnknown, "kept", renewed(200, '{"access_token": "{sent}')),
    "a refresh with an echo": (OAuthError, "refused", renewed(400, ECHO)),
    "another client secret": (InvalidClient, "compare", renewed(401, ECHO | {"error": "invalid_client"})),
    "a token endpoint that fails": (ServerError, "again", renewed(502, LONG)),
    "a token endpoint that sends too much": (NetworkError, "try again", exchanged(400, HUGE)),
    "a token of another type": (
        TokenResponseError,
        "not Bearer",
        exchanged(200, {"access_token": TOKEN, "token_type": TOKEN}),
    ),
    "an exchange with an echo": (OAuthError, "refused", exchanged(400, ECHO)),
    "an exchange with long texts": (OAuthError, "refused", exchanged(400, ALL_LONG)),
    "denied": (AuthorizationDenied, "tokens held before are as they were", pasted(deny=True)),
    "denied in a megabyte": (
        AuthorizationDenied,
        "tokens held before are as they were",
        pasted(lambda url: f"{url}&error={'x' * 90_000}&error_description={'y' * 900_000}"),
    ),
    "another issuer": (IssuerMismatch, "its code was not used", pasted(lambda url: f"{url}&iss={'x' * 900_000}")),
    "another state": (LoginError, "start the login again", pasted(lambda url: url.replace("state=", "state=x"))),
    "another address": (LoginError, "start the login again", pasted(lambda url: url.replace("/callback", "/"))),
    "a port in use": (CallbackPortInUse, "choose another port", with_a_port_in_use),
    "a refused logout": (TokenError, "disconnect the app", with_a_refused_logout),
    "a link for a token file": (UnsafeTokenFile, "plain file", kept_behind_a_link),
    "a token file of another app": (ForeignTokenFile, "use another directory", kept(client_id="other")),
    "a token file of tomorrow": (NewerTokenFile, "update kickcore", kept(version=99)),
    "a token file that is none": (CorruptTokenFile, "the next call starts afresh", kept(refresh_token=5)),
    "an echo": (Forbidden, "check its scopes", called(403, ECHO)),
    "an echo of the token alone": (BadRequest, "will not help", called(400, {"message": "no: {sent}"})),
    "a megabyte": (ServerError, "try again later", called(502, HUGE)),
    "long texts": (HTTPError, "Kick refused it", called(402, ALL_LONG)),
    "long texts of the firewall": (Blocked, "try again later", called(403, {"error": LONG, "reference": LONG})),
    "a redirect": (RedirectRefused, "follows no redirect", called(302, "")),
    "an answer that cannot be read": (BadResponse, "cannot be read", called(200, {"data": "{sent}"})),
    "a scope that is lacking": (MissingScopes, "nothing was sent", with_a_scope_that_is_lacking),
    "a text that is too long": (InvalidInput, "500", with_a_text_that_is_too_long),
    "after the end": (ClientClosed, "make a new one", after_the_end),
    "a client secret with a line end": (ConfigError, "client_secret holds", with_a_secret_that_has_a_line_end),
    "a token with a blank": (ConfigError, "refresh_token is no token", with_a_token_that_has_a_blank),
}


async def error_of(cause: Cause, scene: Scene) -> KickError:
    # Not by `pytest.raises`: what leaks here is for these tests to tell, once.
    try:
        await cause(scene)
    except KickError as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("name", TROUBLES)
async def test_each_trouble_has_its_type_and_a_short_message_that_says_what_to_do(name: str, scene: Scene) -> None:
    kind, words, cause = TROUBLES[name]
    error = await error_of(cause, scene)
    assert type(error) is kind
    assert words in str(error)
    assert len(str(error)) <= LONGEST_MESSAGE


@pytest.mark.parametrize("name", TROUBLES)
async def test_no_trouble_shows_a_secret_or_holds_a_request(name: str, scene: Scene) -> None:
    error = await error_of(TROUBLES[name][2], scene)
    canary = Canary()
    canary.exception(error)
    assert list(canary.report()) == []
    assert canary.looked["frames"]


def test_what_calls_for_different_steps_is_of_different_types() -> None:
    steps = [
        ReauthorizationRequired, AuthorizationDenied, NetworkError, CallbackPortInUse, UnsafeTokenFile, ClockWrong,
        CorruptTokenFile, InvalidClient, RateLimited, ServerError, ConfigError,
    ]  # fmt: skip
    assert all(not issubclass(one, other) for one in steps for other in steps if one is not other)


# The rules that keep it so


def test_the_linter_looks_for_swallowed_exceptions() -> None:
    settings = Path(__file__).parent.parent.parent / "pyproject.toml"
    lint = tomllib.loads(settings.read_text("utf-8"))["tool"]["ruff"]["lint"]
    rules = {"BLE", "E", "S"}
    assert rules <= set(lint["select"])
    assert not [code for code in lint["ignore"] if code in {*rules, "BLE001", "E722", "S110", "S112"}]
    assert [folder for folder, codes in lint["per-file-ignores"].items() if {"S", "BLE"} & set(codes)] == ["tests/**"]
