"""The sandbox as an object: log, clock, hook, and how fast it steps."""

import json
import time

import pytest

from interpreters.sandbox import Entry, Sandbox, respond, small_world
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.oauth.scopes import Scope
from kickcore.secret import Secret

ORIGIN = "https://api.example"
USERS = f"{ORIGIN}/public/v1/users"


def signed_in(sandbox: Sandbox) -> Secret:
    token = sandbox.sign_in([Scope.USER_READ, Scope.CHAT_WRITE]).access_token
    assert token is not None
    return token


def status(sandbox: Sandbox, request: Request) -> int:
    answer = sandbox.handle(request)
    assert isinstance(answer, Response)
    return answer.status


def test_a_sandbox_starts_from_the_small_world_and_real_time() -> None:
    sandbox = Sandbox()
    assert sandbox.world == small_world()
    assert abs(sandbox.clock() - time.time()) < 5
    token = sandbox.sign_in(["user:read"], user_id=676)
    assert token.scope == ("user:read",)
    assert token.refresh_token is not None
    assert 7190 < token.expires_at - time.time() < 7210
    with pytest.raises(KeyError):
        sandbox.sign_in(["user:read"], user_id=999)


def test_the_log_holds_paths_without_queries() -> None:
    sandbox = Sandbox()
    sandbox.handle(Request("GET", USERS, query=(("id", "1"),), bearer=signed_in(sandbox)))
    sandbox.handle(Request("POST", f"{ORIGIN}/oauth/revoke", query=(("token", "x"),)))
    assert sandbox.log == [Entry("GET", "/public/v1/users", 200), Entry("POST", "/oauth/revoke", 200)]


def test_tokens_can_be_ended() -> None:
    sandbox = Sandbox()
    token = signed_in(sandbox)
    request = Request("GET", USERS, bearer=token)
    assert status(sandbox, request) == 200
    sandbox.expire_access_tokens()
    assert status(sandbox, request) == 401
    assert sandbox.world.refresh
    sandbox.revoke_everything()
    assert not sandbox.world.refresh
    assert not sandbox.world.access


def test_a_hook_may_answer_instead_of_the_world() -> None:
    sandbox = Sandbox()
    request = Request("GET", USERS, bearer=signed_in(sandbox))
    answers: list[Response | Unreachable | None] = [Response(429), Unreachable("reset", Sent.MAYBE), None]

    def next_answer(_request: Request) -> Response | Unreachable | None:
        return answers.pop(0)

    sandbox.before = next_answer
    assert sandbox.handle(request) == Response(429)
    assert sandbox.handle(request) == Unreachable("reset", Sent.MAYBE)
    assert status(sandbox, request) == 200
    assert [entry.status for entry in sandbox.log] == [429, 0, 200]


def test_a_hook_may_lose_an_answer_after_kick_has_acted() -> None:
    sandbox = Sandbox()

    def lost(request: Request) -> Unreachable:
        sandbox.world = respond(sandbox.world, request, sandbox.clock()).world
        return Unreachable("connection reset", Sent.YES)

    token = signed_in(sandbox)
    sandbox.before = lost
    body = json.dumps({"content": "x", "type": "bot"}).encode()
    sandbox.handle(Request("POST", f"{ORIGIN}/public/v1/chat", bearer=token, body=body))
    assert len(sandbox.world.messages) == 1


@pytest.mark.parametrize("kind", ["read", "chat", "refresh"])
def test_ten_thousand_requests_are_answered(kind: str) -> None:
    world = small_world()
    sandbox = Sandbox(world)
    token = signed_in(sandbox)
    body = json.dumps({"content": "x", "type": "bot"}).encode()
    credentials = (("client_id", "sandbox-app"), ("client_secret", "sandbox-secret"))
    form = (("grant_type", "client_credentials"), *credentials)
    request = {
        "read": Request("GET", f"{ORIGIN}/public/v1/users", bearer=token),
        "chat": Request("POST", f"{ORIGIN}/public/v1/chat", bearer=token, body=body),
        "refresh": Request("POST", f"{ORIGIN}/oauth/token", form=form),
    }[kind]
    for _ in range(10_000):
        sandbox.handle(request)
    assert {entry.status for entry in sandbox.log} == {200}
