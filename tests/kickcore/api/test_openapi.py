"""Every request that kickcore builds, held against Kick's description of its API.

`tests/openapi.yaml` is judged by openapi-core. What that lets pass is judged here: names that are declared nowhere, the
two ways to write a list, the kind of the token.
"""

import inspect
import json
import re
from collections import Counter
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from contract import CLAIM, LOCAL, PAGED, REDEMPTIONS, ROWS, ULID, Row, carried_out, full_world
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from strategies import PAYLOADS
from werkzeug.datastructures import Headers, ImmutableMultiDict
from worlds import APP, World

from kickcore import KickClient
from kickcore.api.events import EventName
from kickcore.api.plan import FREE
from kickcore.effects import Consent, Send
from kickcore.errors import InvalidInput, KickError, MissingScopes
from kickcore.http import Request, encode_pairs
from kickcore.oauth.grants import client_credentials_request, exchange_request, refresh_request, revoke_request
from kickcore.oauth.login import authenticate
from kickcore.oauth.scopes import NEEDS, Needs
from kickcore.secret import Secret

FORM = "application/x-www-form-urlencoded"
USER, APP_TOKEN = "UserAccessToken", "AppAccessToken"


# --- The description


@cache
def _described() -> dict[str, Any]:
    return yaml.safe_load((PAYLOADS.parent / "openapi.yaml").read_text("utf-8"))


def _operations() -> dict[str, tuple[str, str, str, dict[str, Any]]]:
    """Of every operation, by its id: the host, the method, the path and what is said of it."""
    host = _described()["servers"][0]["url"]
    return {
        operation["operationId"]: (operation.get("servers", [{"url": host}])[0]["url"], method.upper(), path, operation)
        for path, item in _described()["paths"].items()
        for method, operation in item.items()
    }


def _refusing_strangers(schema: Any) -> Any:
    """A schema that takes no members but those which it declares."""
    if isinstance(schema, list):
        return [_refusing_strangers(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: _refusing_strangers(part) for name, part in schema.items()}
    return inner | {"additionalProperties": False} if schema.get("type") == "object" else inner


@cache
def _judge() -> OpenAPI:
    components = _described()["components"]
    schemas = {
        name: _refusing_strangers(schema) if name.endswith("Params") else schema
        for name, schema in components["schemas"].items()
    }
    # openapi-core does not judge oauth2, which is a bearer token on the wire.
    tokens = {name: {"type": "http", "scheme": "bearer"} for name in components["securitySchemes"]}
    return OpenAPI.from_dict(
        _described() | {"components": components | {"schemas": schemas, "securitySchemes": tokens}}
    )


# --- The checker


class Unlike(Exception):
    """A request that is not as described."""


class Wire(NamedTuple):
    """A request as it is sent, in the form that openapi-core takes."""

    host_url: str
    method: str
    path: str
    parameters: RequestParameters
    content_type: str
    body: bytes | None

    @property
    def query(self) -> list[tuple[str, str]]:
        return list(self.parameters.query.items(multi=True))

    @property
    def bearer(self) -> str:
        return self.parameters.header.get("Authorization", "").removeprefix("Bearer ")


def _wire(request: Request) -> Wire:
    """As `HttpTransport` writes it."""
    url = urlsplit(f"{request.url}?{encode_pairs(request.query)}" if request.query else request.url)
    query = parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query))
    headers = Headers({"Authorization": f"Bearer {request.bearer.reveal()}"} if request.bearer else {})
    assert not (request.form and request.body)
    content = encode_pairs(request.form).encode() if request.form else request.body
    return Wire(
        f"{url.scheme}://{url.netloc}",
        request.method.lower(),
        url.path,
        RequestParameters(query=ImmutableMultiDict(query), header=headers),
        FORM if request.form else "application/json",
        content or None,
    )


def _operation_of(wire: Wire) -> str:
    """The id of the operation that a request asks for: the one that takes its path most literally."""
    found = [
        (path.count("{"), name)
        for name, (host, method, path, _) in _operations().items()
        if (host, method) == (wire.host_url, wire.method.upper())
        and re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)), wire.path)
    ]
    if not found:
        raise Unlike(f"there is no {wire.method.upper()} {wire.path} on {wire.host_url}")
    return min(found)[1]


def check(request: Request) -> str:
    """The id of the operation that a request asks for. Raises `Unlike` if it is not as described."""
    wire = _wire(request)
    name = _operation_of(wire)
    operation = _operations()[name][3]
    try:
        _judge().validate_request(wire)
    except OpenAPIError as error:
        cause = error.__cause__
        why = [each.message for each in getattr(cause, "schema_errors", ())] or [str(cause or "")]
        raise Unlike(f"{name}: {error} {'; '.join(why)}") from error
    _check_query(wire, operation)
    _check_token(wire, operation)
    _check_content(wire, name, operation)
    return name


def _check_query(wire: Wire, operation: dict[str, Any]) -> None:
    declared = {each["name"]: each for each in operation.get("parameters", ()) if each["in"] == "query"}
    counts = Counter(name for name, _ in wire.query)
    for name, _ in wire.query:
        if name not in declared:
            raise Unlike(f"no query parameter is called {name}")
        is_list = declared[name]["schema"]["type"] == "array"
        is_repeated = is_list and declared[name].get("explode", True)
        if counts[name] > 1 and not is_repeated:
            raise Unlike(f"{name} must not be repeated")


def _check_token(wire: Wire, operation: dict[str, Any]) -> None:
    kinds = {kind for alternative in operation["security"] for kind in alternative}
    if bool(wire.bearer) is not bool(kinds):
        raise Unlike("a token is sent where none is asked for")
    kind = APP_TOKEN if wire.bearer.startswith("APP") else USER
    if kinds and kind not in kinds:
        raise Unlike(f"{kind} is not taken")


def _check_content(wire: Wire, name: str, operation: dict[str, Any]) -> None:
    _check_words(wire, name)
    # The form beside the query is meant: see `revoke_request`.
    if wire.body is not None and "requestBody" not in operation and name != "revokeToken":
        raise Unlike("a body is sent where none is described")
    if name == "createToken":
        form = parse_qsl((wire.body or b"").decode(), keep_blank_values=True, strict_parsing=True)
        shapes = operation["requestBody"]["content"][FORM]["schema"]["oneOf"]
        if sorted(member for member, _ in form) not in [sorted(shape["properties"]) for shape in shapes]:
            raise Unlike("the form has other members than those of a grant")


def _check_words(wire: Wire, name: str) -> None:
    """What only the words beside the schemas say."""
    members = json.loads(wire.body) if wire.body and name in {"sendChatMessage", "createEventSubscriptions"} else {}
    is_named = "broadcaster_user_id" in members
    if name == "sendChatMessage" and is_named is not (members["type"] == "user"):
        raise Unlike("broadcaster_user_id is required for a user's message, and ignored for a bot's")
    if name == "createEventSubscriptions" and is_named is not wire.bearer.startswith("APP"):
        raise Unlike("broadcaster_user_id is required with an app token, and ignored with a user token")


# --- What the methods send


def _sent(row: Row, world: World, but: type[KickError] = InvalidInput) -> list[Request]:
    """All that a method sends, and the page that it opens in the browser."""
    try:
        carried_out(row, world)
    except but:
        raise
    except KickError:
        # What becomes of made-up answers does not matter here.
        pass
    found: list[Request] = []
    for effect in world.log:
        if isinstance(effect, Send):
            found.append(effect.request)
        elif isinstance(effect, Consent):
            url, _, query = effect.url.reveal().partition("?")
            found.append(Request("GET", url, tuple(parse_qsl(query, keep_blank_values=True, strict_parsing=True))))
    return found


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_a_method_sends_is_described(row: Row) -> None:
    assert tuple(map(check, _sent(row, full_world()))) == row.operations


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_so_is_what_it_sends_while_kick_takes_no_app_token(row: Row) -> None:
    world = full_world()
    world.kick.takes_app_tokens = False
    assert set(map(check, _sent(row, world))) >= set(row.operations)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_so_is_what_it_sends_when_every_token_is_due(row: Row) -> None:
    world = full_world()
    world.now += 100 * 86400
    asked = [check(request) for request in _sent(row, world)]
    assert tuple(name for name in asked if name != "createToken") == tuple(
        name for name in row.operations if name != "createToken"
    )
    assert "createToken" in asked or row.operations in {("getPublicKey",), ("revokeToken", "revokeToken")}


@pytest.mark.parametrize(
    "request_",
    [
        client_credentials_request(APP),
        refresh_request(APP, Secret("RT & more")),
        exchange_request(APP, Secret("code+/="), Secret("v" * 43), "http://127.0.0.1:3000/callback"),
    ],
    ids=["app token", "refresh", "code"],
)
def test_every_grant_is_described(request_: Request) -> None:
    assert check(request_) == "createToken"


@pytest.mark.parametrize("hint", ["access_token", "refresh_token"])
def test_so_is_the_revocation(hint: str) -> None:
    assert check(revoke_request(APP, Secret("A T"), hint)) == "revokeToken"


def test_every_operation_is_reached() -> None:
    reached = {name for row in ROWS for name in row.operations}
    assert reached == _operations().keys()
    hosts = Counter(host for host, _, _, _ in _operations().values())
    assert hosts == {"https://api.kick.com": 32, "https://id.kick.com": 4}


def test_every_method_has_a_row() -> None:
    methods = {name for name, member in vars(KickClient).items() if callable(member) and not name.startswith("_")}
    assert {row.method for row in ROWS} == methods - LOCAL
    assert methods - LOCAL == NEEDS.keys() | FREE | {"authenticate"}


@pytest.mark.parametrize("method", sorted({row.method for row in ROWS} - PAGED))
def test_every_parameter_is_given_in_some_row(method: str) -> None:
    written = inspect.signature(authenticate if method == "authenticate" else getattr(KickClient, method))
    own = {"self"} & written.parameters.keys()
    tried = [
        written.bind(*[None] * len(own), *row.args, **row.kwargs).arguments for row in ROWS if row.method == method
    ]
    assert {name for arguments in tried for name in arguments} == set(written.parameters)


LISTS: dict[str, dict[str, list[Any]]] = {
    "fetch_users": {"id": [4809577, 2408714]},
    # A text may hold a comma of its own, so that only the list read back tells one that was not repeated.
    "fetch_channels": {"slug": ["scorfly", "x" * 25]},
    "fetch_livestreams": {"category_id": [*range(1, 26)], "language_code": ["en", "pt-BR"]},
    "fetch_user_livestreams": {"user_id": [123]},
    "fetch_categories": {"name": ["chat ting", "Ünter & Über", "a+b"], "tag": ["fps", "mmo"], "id": [1, 15]},
    "fetch_reward_redemptions": {"id": REDEMPTIONS},
    "unsubscribe_from_events": {"id": [ULID, CLAIM]},
    "fetch_livestreams_v1": {"broadcaster_user_id": [*range(1, 51)]},
}


@pytest.mark.parametrize("method", LISTS)
def test_a_list_is_read_as_it_was_given(method: str) -> None:
    read: list[dict[str, Any]] = []
    for row in ROWS:
        if row.method == method:
            queries = [
                _judge().unmarshal_request(_wire(request)).parameters.query for request in _sent(row, full_world())
            ]
            read += [{name: value for name, value in query.items() if isinstance(value, list)} for query in queries]
    assert LISTS[method] in read


def _scopes(name: str) -> frozenset[str]:
    """The scopes of which an operation asks for any one."""
    security = _operations()[name][3]["security"]
    return frozenset(scope for alternative in security for scopes in alternative.values() for scope in scopes)


@pytest.mark.parametrize("row", [row for row in ROWS if row.method not in PAGED], ids=str)
def test_a_method_needs_the_scopes_that_its_operation_names(row: Row) -> None:
    for name in set(row.operations):
        scopes = _scopes(name)
        assert NEEDS.get(row.method, ()) == ((scopes,) if scopes else ())


@pytest.mark.parametrize("row", [row for row in ROWS if row.method != "authenticate"], ids=str)
def test_a_user_token_without_those_is_not_sent(row: Row) -> None:
    world = full_world()
    world.log_in(scope="some:other")
    scopes = frozenset[str]().union(*map(_scopes, row.operations))
    lacking: Needs | None = None
    try:
        _sent(row, world, MissingScopes)
    except MissingScopes as error:
        lacking = error.missing_scopes
    if lacking is None:
        assert not scopes or all(request.bearer == Secret("APP0") for request in world.sent)
    else:
        assert (lacking, world.sent) == ((scopes,), [])
    for scope in scopes:
        world = full_world()
        world.log_in(scope=scope)
        assert tuple(map(check, _sent(row, world))) == row.operations


# --- The checker can fail

API, TOKEN = "https://api.kick.com/public/v1", "https://id.kick.com/oauth/token"
AT, APP1 = Secret("AT"), Secret("APP1")


def _get(path: str, *query: tuple[str, str], bearer: Secret | None = AT) -> Request:
    return Request("GET", API + path, query, bearer)


def _post(path: str, body: str, method: str = "POST", bearer: Secret | None = AT) -> Request:
    return Request(method, API + path, bearer=bearer, body=body.encode())


def _with(request: Request, **members: str) -> Request:
    return replace(request, form=(*request.form, *members.items()))


WRONG: dict[str, tuple[Request, str]] = {
    "another query name": (_get("/users", ("user_id", "1")), "called user_id"),
    "a list by commas that is to be repeated": (_get("/users", ("id", "1,2")), "integer type: 1,2"),
    "a list repeated that is to be separated by commas": (
        Request("GET", "https://api.kick.com/public/v2/categories", (("id", "1"), ("id", "2")), AT),
        "id must not be repeated",
    ),
    "no number": (_get("/kicks/leaderboard", ("top", "ten")), "getKicksLeaderboard"),
    "too large": (_get("/kicks/leaderboard", ("top", "101")), "greater than the maximum of 100"),
    "none of the words": (_get("/livestreams", ("sort", "title")), "is not one of"),
    "too many": (_get("/users/livestreams", *[("user_id", "1")] * 101), "is too long"),
    "query left out": (_get("/categories"), "searchCategories"),
    "no uuid": (Request("DELETE", f"{API}/chat/5", bearer=AT), "is not a 'uuid'"),
    "a member of the wrong type": (_post("/chat", '{"content":5,"type":"bot"}'), "5 is not of type 'string'"),
    "a number as text": (_post("/moderation/bans", '{"broadcaster_user_id":"1","user_id":2}'), "'1' is not of type"),
    "a member left out": (_post("/chat", '{"content":"Hello"}'), "'type' is a required property"),
    "a member that is not declared": (_post("/chat", '{"content":"a","type":"bot","x":1}'), "'x' was unexpected"),
    "one deeper down": (
        _post("/events/subscriptions", '{"events":[{"name":"kicks.gifted","version":1,"x":1}]}'),
        "'x' was unexpected",
    ),
    "nothing to change": (_post("/channels", "{}", "PATCH"), "should be non-empty|enough properties"),
    "no JSON": (_post("/chat", "content=Hello"), "sendChatMessage"),
    "no body": (_post("/chat", ""), "sendChatMessage"),
    "a body that is not described": (_post("/ads/enroll", "{}"), "where none is described"),
    "no token": (_get("/users", bearer=None), "getUsers"),
    "a token for what is public": (_get("/public-key"), "where none is asked for"),
    "an app token for what users do": (_post("/ads/enroll", "", bearer=APP1), "AppAccessToken is not taken"),
    "a user token for drops": (_get("/drops/claims"), "UserAccessToken is not taken"),
    "a bot's message with a channel": (
        _post("/chat", '{"content":"a","type":"bot","broadcaster_user_id":1}'),
        "ignored for a bot's",
    ),
    "an app's subscription without one": (
        _post("/events/subscriptions", '{"events":[{"name":"kicks.gifted","version":1}]}', bearer=APP1),
        "required with an app token",
    ),
    "another method": (_post("/users", "{}", "PUT"), "there is no PUT"),
    "another path": (_get("/users/"), "there is no GET"),
    "another host": (Request("GET", "https://id.kick.com/public/v1/users", bearer=AT), "there is no GET"),
    "a grant without its secret": (Request("POST", TOKEN, form=(("grant_type", "client_credentials"),)), "createToken"),
    "a grant of another type": (Request("POST", TOKEN, form=(("grant_type", "password"),)), "createToken"),
    "a grant as JSON": (Request("POST", TOKEN, body=b'{"grant_type":"client_credentials"}'), "createToken"),
    "a grant with too much": (_with(client_credentials_request(APP), scope="chat:write"), "other members"),
    "a short verifier": (exchange_request(APP, Secret("code"), Secret("v" * 42), "http://127.0.0.1"), "createToken"),
    "another hint": (revoke_request(APP, Secret("A"), "id_token"), "is not one of"),
    "no challenge": (Request("GET", "https://id.kick.com/oauth/authorize", (("client_id", "C"),)), "authorize"),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_checker_refuses(name: str) -> None:
    request, why = WRONG[name]
    with pytest.raises(Unlike, match=why):
        check(request)


# --- Whatever is passed

_ANY = (
    st.none()
    | st.booleans()
    | st.integers(-1, 2**64)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(
        [CLAIM, ULID, "", "user", "bot", "pending", "viewer_count", "a,b", "#00e701", "../x", "\ud800", "x" * 600]
    )
    | st.uuids().map(str)
)
_ARGUMENT = _ANY | st.lists(_ANY, max_size=60) | st.dictionaries(st.text(max_size=30), st.text(max_size=5), max_size=3)
_LIKELY = {
    int: st.integers(-2, 400) | st.integers(),
    str: st.text(max_size=40)
    | st.sampled_from([*(name.value for name in EventName), "en", "pending", "abc", "#123abc", ULID]),
}


def _arguments(method: str) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments for a method: of the kind that it asks for, or of any other."""
    parameters = list(inspect.signature(getattr(KickClient, method)).parameters.values())[1:]
    drawn: dict[str, st.SearchStrategy[Any]] = {}
    for parameter in parameters:
        shown = str(parameter.annotation)
        one = _LIKELY[int] if "int" in shown else st.booleans() if "bool" in shown else _LIKELY[str]
        likely = st.lists(one, min_size=1, max_size=30) if "Iterable" in shown else one
        drawn[parameter.name] = likely | _ARGUMENT
    required = {p.name: drawn[p.name] for p in parameters if p.default is p.empty}
    optional = {p.name: drawn[p.name] for p in parameters if p.default is not p.empty}
    return st.fixed_dictionaries(required, optional=optional)


@pytest.mark.parametrize("method", sorted(NEEDS.keys() | FREE))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_argument_gives_a_described_request_or_a_clear_error_before_sending(
    method: str, data: st.DataObject
) -> None:
    world = full_world()
    arguments = data.draw(_arguments(method))
    try:
        _ = carried_out(Row(method, (), arguments, ()), world)
    except InvalidInput:
        assert not any(isinstance(effect, Send) for effect in world.log)
    except KickError:
        # Made-up answers are empty; what becomes of them does not matter here.
        pass
    for effect in world.log:
        if isinstance(effect, Send):
            _ = check(effect.request)
