"""How the tests of the simulated API ask it, and how they look at its answers."""

import json
from typing import Any, cast

from interpreters.sandbox import Sandbox
from kickcore.http import Request, Response
from kickcore.oauth.scopes import Scope
from kickcore.secret import Secret

NOW = 1_790_100_000.0
ORIGIN = "http://127.0.0.1:1"
EVERYTHING = tuple(Scope)


def app_token(sandbox: Sandbox, client_id: str = "sandbox-app") -> Secret:
    secret = sandbox.world.apps[client_id].client_secret
    form = (("grant_type", "client_credentials"), ("client_id", client_id), ("client_secret", secret))
    answer = sandbox.handle(Request("POST", f"{ORIGIN}/oauth/token", form=form))
    assert isinstance(answer, Response)
    return Secret(json.loads(answer.body)["access_token"])


def user_token(sandbox: Sandbox, *scopes: Scope, user_id: int = 123, client_id: str | None = None) -> Secret:
    held = sandbox.sign_in(scopes or EVERYTHING, user_id=user_id, client_id=client_id).access_token
    assert held is not None
    return held


def call(
    sandbox: Sandbox,
    method: str,
    path: str,
    *query: tuple[str, object],
    bearer: Secret | None = None,
    body: object = None,
) -> tuple[int, Any]:
    pairs = tuple((name, str(value)) for name, value in query)
    data = b"" if body is None else json.dumps(body).encode()
    answer = sandbox.handle(Request(method, ORIGIN + path, query=pairs, bearer=bearer, body=data))
    assert isinstance(answer, Response)
    return answer.status, json.loads(answer.body) if answer.body else None


def get(sandbox: Sandbox, path: str, *query: tuple[str, object], bearer: Secret | None = None) -> Any:
    status, body = call(sandbox, "GET", path, *query, bearer=bearer or app_token(sandbox))
    assert status == 200
    assert body["message"] == "OK"
    return body


def same_shape(got: Any, payload: Any, name: str) -> bool:
    """Whether an answer has the members of an example, and of its first rows."""
    return shape(got) == shape(json.loads(payload(f"responses/{name}.json")))


def is_error(got: tuple[int, Any], name: str, payload: Any) -> bool:
    return got == (int(name[:3]), json.loads(payload(f"errors/{name}.json")))


def shape(value: Any) -> object:
    """Member names and types, of a list only its first item's, so that two bodies can be compared."""
    match value:
        case dict():
            return {name: shape(member) for name, member in cast("dict[str, Any]", value).items()}
        case list():
            return [shape(item) for item in cast("list[Any]", value)[:1]]
        case _:
            return type(value).__name__
