"""A world that is a function: a clock, some tokens, a scripted Kick. Programs run in it without an event loop."""

import json
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec.structs import replace

from interpreters.driver import run_sync
from interpreters.pace import Pacing
from kickcore.effects import (
    Consent,
    DropToken,
    Entropy,
    HoldBack,
    Leaf,
    LoadApp,
    LoadPace,
    LoadToken,
    Notify,
    Now,
    PayRetry,
    Program,
    SaveToken,
    Send,
    Sleep,
)
from kickcore.errors import InvalidInput
from kickcore.http import Request, Response, Unreachable
from kickcore.notices import Notice
from kickcore.oauth.callback import Callback, Granted
from kickcore.oauth.tokens import App, NotSaved, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.policy import Policy
from kickcore.secret import Secret

T = TypeVar("T")
Answering: TypeAlias = Callable[[Request], Response | Unreachable]

NOW = 1_800_000_000.0
APP = App("CID", Secret("CSECRET"))
APP_SLOT = APP.slot(TokenKind.APP)
USER_SLOT = APP.slot(TokenKind.USER)
NO_REPEATS = Policy(retries=0)
ALL_SCOPES = "user:read channel:read channel:write chat:write moderation:chat_message:manage"


def json_response(value: Any, status: int = 200, *headers: tuple[str, str]) -> Response:
    return Response(status, headers, json.dumps(value).encode())


def shown(pairs: Any) -> dict[str, str]:
    """Pairs of a query or a form, with their secrets revealed."""
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in pairs}


class Kick:
    """Both hosts of Kick, as far as a test needs them. `lenient`: a spent refresh token still works."""

    def __init__(self, *, lenient: bool = False) -> None:
        self.lenient = lenient
        self.granted = 0
        self.life: Any = 7200
        self.scope: str | None = ALL_SCOPES
        self.living: set[str] = set()
        self.refreshable: set[str] = set()
        self.codes: dict[str, dict[str, str]] = {}
        self.scripted: deque[Response | Unreachable | Answering] = deque()
        """Answers of the identity host, to be given before any of its own."""
        self.api: Answering = lambda _: json_response({"data": [], "message": "OK"})
        self.takes_app_tokens = True

    def __call__(self, request: Request) -> Response | Unreachable:
        if request.url.startswith(APP.id_url):
            if self.scripted:
                answer = self.scripted.popleft()
                return answer(request) if callable(answer) else answer
            return self.identity(request)
        bearer = request.bearer.reveal() if request.bearer else ""
        if bearer not in self.living or (bearer.startswith("APP") and not self.takes_app_tokens):
            return json_response({"data": {}, "message": "Unauthorized"}, 401)
        return self.api(request)

    def identity(self, request: Request) -> Response:
        if request.url == "https://id.kick.com/oauth/revoke":
            self.living.discard(shown(request.query)["token"])
            self.refreshable.discard(shown(request.query)["token"])
            return Response(200, (), b"OK")
        if request.url == "https://id.kick.com/oauth/token/introspect":
            return json_response({"data": {"active": True, "token_type": "app", "scope": ""}, "message": "OK"})
        form = shown(request.form)
        assert (form["client_id"], form["client_secret"]) == ("CID", "CSECRET")
        match form["grant_type"]:
            case "client_credentials":
                return self.grant(app=True)
            case "refresh_token" if form["refresh_token"] in self.refreshable:
                if not self.lenient:
                    self.refreshable.discard(form["refresh_token"])
                return self.grant()
            case "authorization_code" if form["code"] in self.codes:
                asked = self.codes.pop(form["code"])
                proof = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
                assert proof == asked["code_challenge"]
                assert form["redirect_uri"] == asked["redirect_uri"]
                return self.grant()
            case _:
                return json_response({"error": "invalid_grant", "error_description": "spent"}, 401)

    def grant(self, *, app: bool = False) -> Response:
        """The next pair of tokens: AT1 and RT1, AT2 and RT2, or APP1, APP2 and so on."""
        self.granted += 1
        access = f"{'APP' if app else 'AT'}{self.granted}"
        self.living.add(access)
        members: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "expires_in": self.life}
        if not app:
            members["refresh_token"] = f"RT{self.granted}"
            self.refreshable.add(f"RT{self.granted}")
            members |= {} if self.scope is None else {"scope": self.scope}
        return json_response(members)

    def consent(self, effect: Consent) -> Callback:
        """A user who agrees to everything."""
        code = f"code-{len(self.codes)}"
        self.codes[code] = dict(parse_qsl(urlsplit(effect.url.reveal()).query))
        return Granted(Secret(code))


class World:
    """Answers every leaf effect, and remembers what it was asked."""

    def __init__(self, kick: Kick | None = None, policy: Policy | None = None) -> None:
        self.kick = kick or Kick()
        self.app = APP if policy is None else replace(APP, policy=policy)
        self.now = NOW
        self.log: list[Leaf] = []
        self.stored: dict[Slot, Stored] = {}
        self.before_save: Callable[[SaveToken], NotSaved | None] = lambda _: None
        """Called before a save: may change what is stored (so that the save is superseded), or refuse to save."""
        self.show: Callable[[Consent], Callback] = self.kick.consent
        self._versions = 0
        self.pacing = Pacing(lambda: self.now)

    def run(self, program: Program[T]) -> T:
        return run_sync(program, self)

    def __call__(self, effect: Leaf) -> object:  # noqa: C901 - one case for each effect
        self.log.append(effect)
        match effect:
            case Now():
                return self.now
            case Entropy(size, purpose):
                return sha256(f"{purpose} {len(self.log)}".encode()).digest()[:size]
            case Send(request):
                return self.kick(request)
            case Sleep(seconds):
                self.now += seconds
                return None
            case LoadPace(group):
                return self.pacing.load(group)
            case HoldBack(group, until):
                return self.pacing.hold_back(group, until)
            case PayRetry(cost):
                return self.pacing.pay(cost)
            case Notify():
                return None
            case LoadApp():
                return self.app
            case LoadToken(slot):
                return self.stored.get(slot)
            case SaveToken():
                return self.save(effect)
            case DropToken(slot):
                self.stored.pop(slot, None)
                return None
            case Consent():
                return self.show(effect)

    def save(self, effect: SaveToken) -> Saved | Superseded | NotSaved:
        refusal = self.before_save(effect)
        if refusal is not None:
            return refusal
        there = self.stored.get(effect.slot)
        if (there.version if there else "") != effect.version:
            return Superseded(there)
        return Saved(self.put(effect.slot, effect.token))

    def put(self, slot: Slot, token: Token) -> str:
        """Store a token behind the program's back."""
        self._versions += 1
        self.stored[slot] = Stored(token, str(self._versions))
        return str(self._versions)

    def log_in(self, access: str = "AT0", refresh: str | None = "RT0", scope: str | None = ALL_SCOPES) -> Token:
        """Store a user token that Kick takes."""
        self.kick.living.add(access)
        if refresh is not None:
            self.kick.refreshable.add(refresh)
        scopes = None if scope is None else tuple(scope.split())
        token = Token(Secret(access), self.now + 7200, self.now, Secret(refresh) if refresh else None, scopes)
        self.put(USER_SLOT, token)
        return token

    def token(self, slot: Slot = USER_SLOT) -> Token:
        return self.stored[slot].token

    @property
    def sent(self) -> list[Request]:
        return [effect.request for effect in self.log if isinstance(effect, Send)]

    @property
    def asked_api(self) -> list[Request]:
        return [request for request in self.sent if request.url.startswith(APP.api_url)]

    @property
    def asked_identity(self) -> list[Request]:
        return [request for request in self.sent if request.url.startswith(APP.id_url)]

    @property
    def slept(self) -> list[float]:
        return [effect.seconds for effect in self.log if isinstance(effect, Sleep)]

    @property
    def notices(self) -> list[Notice]:
        return [effect.notice for effect in self.log if isinstance(effect, Notify)]

    @property
    def saves(self) -> list[SaveToken]:
        return [effect for effect in self.log if isinstance(effect, SaveToken)]


def user_world(kick: Kick | None = None, policy: Policy | None = None) -> World:
    """A world in which a user is logged in and the app has its token too."""
    world = World(kick, policy)
    world.log_in()
    world.kick.living.add("APP0")
    world.put(APP_SLOT, Token(Secret("APP0"), NOW + 86400, NOW))
    return world


def granting(scope: str) -> World:
    """The same, of a user who has granted just what is needed."""
    world = user_world()
    world.log_in(scope=scope)
    return world


def exchange(program: Program[T], answer: Any, scope: str = ALL_SCOPES) -> tuple[T, Request]:
    """Run a program of one request in a world where all is well: its value, and the request that it sent.

    `answer` is a `Response`, or the `data` of a good one; `scope` is what the user has granted.
    """
    world = granting(scope)
    response = answer if isinstance(answer, Response) else json_response({"data": answer, "message": "OK"})
    world.kick.api = lambda _: response
    world.kick.scripted.append(response)
    value = world.run(program)
    (request,) = world.sent
    return value, request


GONE: Any = object()
"""In the place of a member's value: the member is not there."""


def changed(row: dict[str, Any], member: str, value: Any) -> dict[str, Any]:
    """A row with one member changed, or taken out."""
    return {name: given for name, given in (row | {member: value}).items() if given is not GONE}


def refusal(program: Program[Any]) -> InvalidInput:
    """Why a program refuses its arguments: before it asks anything of the world, and in few words."""
    world = user_world()
    with pytest.raises(InvalidInput) as caught:
        world.run(program)
    assert world.log == []
    assert len(str(caught.value)) < 400
    return caught.value
