"""The life of tokens as a user of `KickClient` sees it: renewed ahead, in threads, kept alive, and let go."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from interpreters.sandbox import Rotation, Sandbox, SandboxApp, small_world
from interpreters.tokens import TokenStore
from interpreters.tokens.files import FileStore
from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient, Secret
from kickcore.errors import ConfigError, GrantLost, LoginRequired, ReauthorizationRequired
from kickcore.http import Request, Response, Unreachable
from kickcore.notices import Notice, RenewalFailed
from kickcore.oauth.tokens import TokenKind

USER_FILE = ".kick.user_token.json"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(kick: Sandbox, store: TokenStore | None = None, **options: Any) -> KickClient:
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=SandboxApp(kick)))
    return KickClient("sandbox-app", "sandbox-secret", http=http, store=store, **options)


def log_in(client: KickClient, kick: Sandbox, expires_in: float, *, save: bool = True) -> None:
    token = kick.sign_in(["user:read"])
    assert token.access_token is not None
    client.set_user_token(token.access_token, token.refresh_token, expires_in, "user:read", save=save)


def refreshes(kick: Sandbox) -> int:
    return sum(entry.path == "/oauth/token" for entry in kick.log)


class Losing(httpx2.ASGITransport):
    """Loses the first answer of the token endpoint, after Kick has acted."""

    def __init__(self, kick: Sandbox) -> None:
        super().__init__(app=SandboxApp(kick))
        self._lost = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if request.url.path == "/oauth/token" and not self._lost:
            self._lost = True
            raise httpx2.ReadError("reset")
        return response


async def settled(until: Callable[[], bool]) -> None:
    """Let what is beside the program come to its end."""
    with anyio.fail_after(5):
        while not until():  # noqa: ASYNC110 - there is no event to wait for
            await anyio.sleep(0.005)


async def test_a_token_that_is_due_is_used_and_renewed_beside(folder: Path) -> None:
    kick = Sandbox()
    client = make(kick)
    log_in(client, kick, 7200)
    assert (await client.fetch_user()).name == "streamer_123"
    before = client.user_token
    assert before is not None
    record = json.loads((folder / USER_FILE).read_text())
    # Five minutes are left of two hours.
    record.pop("check", None)
    record["expires_at"] -= 6900
    record["issued_at"] -= 6900
    (folder / USER_FILE).write_text(json.dumps(record))
    client = make(kick)
    assert (await client.fetch_user()).name == "streamer_123"
    await settled(lambda: refreshes(kick) == 1 and client.user_token != before)
    await client.close()
    again = make(kick)
    assert (await again.fetch_user()).name == "streamer_123"
    assert refreshes(kick) == 1


async def test_who_does_not_wait_is_told_by_a_notice() -> None:
    kick, told = Sandbox(), list[Notice]()
    client = make(kick, MemoryStore(), on_notice=told.append)
    log_in(client, kick, 100)

    def failing(request: Request) -> Response | None:
        return Response(400, (), b'{"error":"invalid_request"}') if request.url.endswith("/oauth/token") else None

    kick.before = failing
    held = client._live.tokens._held[client._live.app.slot(TokenKind.USER)]
    held.wall += 85
    for _ in range(5):
        assert (await client.fetch_user()).name == "streamer_123"
    await settled(lambda: bool(told))
    assert told == [RenewalFailed("user", "", "the identity host refused: invalid_request")]
    assert refreshes(kick) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("save", [True, False], ids=["stored", "the caller's own"])
@pytest.mark.parametrize("files", [True, False], ids=["files", "memory"])
def test_one_client_in_several_threads_makes_one_refresh(backend: str, save: bool, files: bool, folder: Path) -> None:
    kick, lock = Sandbox(small_world(rotation=Rotation.STRICT)), threading.Lock()
    handle = kick.handle

    def one_at_a_time(request: Request) -> Response | Unreachable:
        with lock:
            return handle(request)

    kick.handle = one_at_a_time  # type: ignore[method-assign]
    client = make(kick, FileStore(folder) if files else MemoryStore())
    log_in(client, kick, 7200, save=save)
    kick.expire_access_tokens()
    names: list[str] = []
    together = threading.Barrier(4)

    async def call() -> None:
        together.wait()
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(one)

    async def one() -> None:
        names.append((await client.fetch_user()).name)

    threads = [threading.Thread(target=lambda: anyio.run(call, backend=backend)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == ["streamer_123"] * 20
    assert refreshes(kick) == 1


async def test_a_lost_answer_is_told_as_what_it_is() -> None:
    kick = Sandbox(small_world(rotation=Rotation.STRICT))
    http = httpx2.AsyncClient(transport=Losing(kick))
    client = KickClient("sandbox-app", "sandbox-secret", http=http, store=MemoryStore())
    log_in(client, kick, 7200)
    kick.expire_access_tokens()
    with pytest.raises(GrantLost):
        await client.fetch_user()
    assert refreshes(kick) == 2
    with pytest.raises(ReauthorizationRequired, match="nothing was sent"):
        await client.fetch_user()
    assert refreshes(kick) == 2


async def test_a_dead_grant_is_remembered_by_the_next_process_too() -> None:
    kick, store = Sandbox(), FileStore()
    client = make(kick, store)
    log_in(client, kick, 7200)
    await client.fetch_user()
    kick.revoke_everything()
    for tried in (client, make(kick, store), make(kick, FileStore())):
        with pytest.raises(ReauthorizationRequired):
            await tried.fetch_user()
    assert refreshes(kick) == 1


async def test_keeping_alive_renews_what_is_old_and_ends_where_there_is_nothing() -> None:
    kick = Sandbox()
    client = make(kick, MemoryStore())
    with pytest.raises(LoginRequired):
        await client.keep_alive()
    with pytest.raises(ConfigError):
        await client.keep_alive(every=5)
    log_in(client, kick, 7200)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.keep_alive)
        await settled(lambda: refreshes(kick) == 1)
        tasks.cancel_scope.cancel()
    token = client.user_token
    assert token is not None
    assert token.refresh_issued_at is not None


async def test_a_closed_client_holds_no_token_that_is_stored() -> None:
    kick = Sandbox()
    client = make(kick, MemoryStore())
    log_in(client, kick, 7200)
    await client.fetch_user()
    await client.close()
    assert client.user_token is None
    own = make(kick, MemoryStore())
    log_in(own, kick, 7200, save=False)
    await own.close()
    assert own.user_token is not None
    assert isinstance(own.user_token.refresh_token, Secret)
