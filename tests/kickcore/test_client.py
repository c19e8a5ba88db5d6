"""The promises of `KickClient`, kept against the simulated Kick."""

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from interpreters.browser import Loopback
from interpreters.sandbox import OWNER, Sandbox, SandboxApp, approve, click_through, small_world
from interpreters.tokens.files import FileStore
from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient, KickError, Scope, Secret
from kickcore.api.users import fetch_user
from kickcore.effects import Program
from kickcore.errors import (
    CallbackPortInUse,
    ClientClosed,
    ConfigError,
    CorruptTokenFile,
    ForeignTokenFile,
    InvalidInput,
    LoginInProgress,
    LoginRequired,
    LoginTimeout,
    MissingScopes,
    NotFound,
    ReauthorizationRequired,
    ScopesNotGranted,
    UnreadableTokenFile,
    UnsafeTokenFile,
)

APP_FILE, USER_FILE = ".kick.token.json", ".kick.user_token.json"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tokens go to the working directory by default, so each test has one of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def kick(port: int) -> Sandbox:
    return Sandbox(small_world(redirect_uris=(f"http://127.0.0.1:{port}/callback",)))


def over(kick: Sandbox) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=SandboxApp(kick)))


@asynccontextmanager
async def client_of(kick: Sandbox, **options: Any) -> AsyncIterator[KickClient]:
    async with over(kick) as http, KickClient("sandbox-app", "sandbox-secret", http=http, **options) as client:
        yield client


def clicking(kick: Sandbox, **choices: Any) -> Loopback:
    """A browser whose user clicks by himself, through the real callback listener."""

    async def open_url(url: str) -> bool:
        async def visit() -> None:
            location = approve(url, kick.handle, **choices)
            async with httpx2.AsyncClient(trust_env=False) as visitor:
                await visitor.get(location)

        tasks.start_soon(visit)
        return True

    class Visiting(Loopback):
        async def __call__(self, consent: Any) -> Any:
            nonlocal tasks
            async with anyio.create_task_group() as tasks:
                return await super().__call__(consent)

    tasks: Any = None
    return Visiting(open_url)


def asked(kick: Sandbox, operation: str) -> int:
    return sum(f"{entry.method} {entry.path}" == operation for entry in kick.log)


async def test_the_app_token_is_fetched_on_the_first_call_and_kept_in_the_working_directory(
    kick: Sandbox, folder: Path
) -> None:
    async with client_of(kick) as client:
        assert not (folder / APP_FILE).exists()
        user = await client.fetch_user(OWNER)
        channel = await client.fetch_channel(slug="xqc")
        streams = await client.fetch_livestreams(limit=2)
        categories = await client.fetch_categories(query="Gaming")
    assert (user.user_id, user.name, user.email) == (OWNER, "streamer_123", None)
    assert channel.slug == "xqc"
    assert len(streams) == 2
    assert streams.has_next
    assert all("gaming" in category.name.lower() for category in categories)
    assert asked(kick, "POST /oauth/token") == 1
    assert stat.S_IMODE((folder / APP_FILE).stat().st_mode) == 0o600


async def test_cached_tokens_are_loaded_on_startup(kick: Sandbox) -> None:
    async with client_of(kick) as client:
        await client.fetch_user(OWNER)
    async with client_of(kick) as another:
        await another.fetch_user(OWNER)
    assert asked(kick, "POST /oauth/token") == 1


async def test_the_folder_is_that_of_the_moment_in_which_the_client_was_made(
    kick: Sandbox, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with client_of(kick) as client:
        os.chdir(tmp_path_factory.mktemp("elsewhere"))
        await client.fetch_user(OWNER)
    assert (folder / APP_FILE).exists()
    assert not Path(APP_FILE).exists()


async def test_an_app_token_that_kick_no_longer_takes_is_replaced(kick: Sandbox) -> None:
    async with client_of(kick) as client:
        await client.fetch_user(OWNER)
        kick.revoke_everything()
        await client.fetch_user(OWNER)
    assert asked(kick, "POST /oauth/token") == 2


async def test_a_login_by_the_browser_gives_a_user_token_that_is_kept_used_and_renewed(
    kick: Sandbox, port: int, folder: Path
) -> None:
    async with client_of(kick, browser=clicking(kick)) as client:
        login = await client.authenticate(scopes=[Scope.CHAT_WRITE, "user:read"], port=port)
        sent = await client.send_chat_message("Hello!", broadcaster_user_id=676)
        assert (await client.fetch_user()).email == "streamer-123@example.com"
    assert login.granted == ("chat:write", "user:read")
    assert login.missing == ()
    assert kick.world.messages[0].message_id == sent.message_id
    assert stat.S_IMODE((folder / USER_FILE).stat().st_mode) == 0o600

    kick.expire_access_tokens()
    async with client_of(kick) as after_restart:
        assert (await after_restart.fetch_user()).user_id == OWNER
        assert asked(kick, "POST /oauth/token") == 2


async def test_a_port_gives_the_documented_redirect_uri(kick: Sandbox, port: int) -> None:
    seen: list[str] = []

    async def paste(url: str) -> str:
        seen.append(url)
        return approve(url, kick.handle)

    async with client_of(kick) as client:
        await client.authenticate([Scope.USER_READ], port, paste=paste)
    assert f"redirect=127.0.0.1&redirect_uri=http%3A%2F%2F127.0.0.1%3A{port}%2Fcallback&" in seen[0]


async def test_scopes_that_the_user_unticked_are_told_and_refused_before_sending(kick: Sandbox, port: int) -> None:
    async with client_of(kick, browser=clicking(kick, untick=["chat:write"])) as client:
        with pytest.warns(ScopesNotGranted, match="chat:write"):
            login = await client.authenticate([Scope.USER_READ, Scope.CHAT_WRITE], port)
        assert login.missing == ("chat:write",)
        before = len(kick.log)
        with pytest.raises(MissingScopes) as refused:
            await client.send_chat_message("Hello!", broadcaster_user_id=676)
    assert refused.value.missing_scopes == (frozenset({Scope.CHAT_WRITE}),)
    assert len(kick.log) == before


async def test_an_injected_token_is_used_and_written_nowhere(kick: Sandbox, folder: Path) -> None:
    token = kick.sign_in(["chat:write", "moderation:ban"])
    assert token.access_token is not None
    assert token.refresh_token is not None
    async with client_of(kick) as client:
        client.set_user_token(
            access_token=token.access_token.reveal(),
            refresh_token=token.refresh_token.reveal(),
            expires_in=3600,
            scope="chat:write moderation:ban",
        )
        await client.send_chat_message("Hello!", broadcaster_user_id=676)
        kick.expire_access_tokens()
        await client.send_chat_message("Again!", broadcaster_user_id=676)
        renewed = client.user_token
        with pytest.raises(MissingScopes):
            await client.fetch_user()
    assert not list(folder.iterdir())
    assert renewed is not None
    assert renewed.refresh_token != token.refresh_token


async def test_an_injected_token_is_kept_where_the_caller_asks_for_it(kick: Sandbox, folder: Path) -> None:
    token = kick.sign_in(["user:read"])
    assert token.access_token is not None
    async with client_of(kick) as client:
        client.set_user_token(token.access_token, token.refresh_token, expires_in=3600, scope="user:read", save=True)
        assert not (folder / USER_FILE).exists()
        await client.fetch_user()
    assert json.loads((folder / USER_FILE).read_text())["access_token"] == token.access_token.reveal()


async def test_an_injected_token_without_refresh_token_is_used_to_its_end(kick: Sandbox) -> None:
    token = kick.sign_in(["user:read"])
    assert token.access_token is not None
    async with client_of(kick) as client:
        client.set_user_token(token.access_token)
        await client.fetch_user()
        kick.expire_access_tokens()
        with pytest.raises(LoginRequired, match="no refresh token"):
            await client.fetch_user()


async def test_without_a_user_token_nothing_is_sent(kick: Sandbox) -> None:
    async with client_of(kick) as client:
        with pytest.raises(LoginRequired, match="authenticate"):
            await client.send_chat_message("Hello!", broadcaster_user_id=676)
    assert not kick.log


async def test_a_grant_that_kick_ended_asks_for_a_new_login(kick: Sandbox) -> None:
    token = kick.sign_in(["user:read"])
    assert token.access_token is not None
    async with client_of(kick, store=MemoryStore()) as client:
        client.set_user_token(token.access_token, token.refresh_token, 7200, ["user:read"], save=True)
        kick.revoke_everything()
        with pytest.raises(ReauthorizationRequired, match="authenticate"):
            await client.fetch_user()


async def test_many_callers_with_an_expired_token_make_one_refresh(kick: Sandbox) -> None:
    token = kick.sign_in(["user:read"])
    assert token.access_token is not None
    async with client_of(kick, store=MemoryStore()) as client:
        client.set_user_token(token.access_token, token.refresh_token, 7200, "user:read", save=True)
        kick.expire_access_tokens()
        names: list[str] = []

        async def call() -> None:
            names.append((await client.fetch_user()).name)

        async with anyio.create_task_group() as callers:
            for _ in range(500):
                callers.start_soon(call)
    assert names == ["streamer_123"] * 500
    assert asked(kick, "POST /oauth/token") == 1


async def test_accounts_have_tokens_of_their_own(kick: Sandbox, port: int, folder: Path) -> None:
    async with client_of(kick, browser=clicking(kick)) as client:
        alice = client.as_user("alice")
        await client.authenticate([Scope.USER_READ], port)
        with pytest.raises(LoginRequired, match="'alice'"):
            await alice.fetch_user()
        token = kick.sign_in(["user:read"], user_id=456)
        assert token.access_token is not None
        alice.set_user_token(token.access_token, token.refresh_token, 7200, "user:read", save=True)
        assert (await alice.fetch_user()).user_id == 456
        assert (await client.fetch_user()).user_id == OWNER
        assert alice.account == "alice"
    assert {path.name for path in folder.glob("*.json")} == {USER_FILE, ".kick.user_token.alice.json"}


async def test_logging_out_revokes_both_tokens_and_forgets_them(kick: Sandbox, port: int, folder: Path) -> None:
    async with client_of(kick, browser=clicking(kick)) as client:
        await client.authenticate([Scope.USER_READ], port)
        await client.logout()
        assert client.user_token is None
        with pytest.raises(LoginRequired):
            await client.fetch_user()
        await client.logout()
    assert asked(kick, "POST /oauth/revoke") == 2
    assert not (folder / USER_FILE).exists()


async def test_tokens_can_be_introspected(kick: Sandbox) -> None:
    token = kick.sign_in(["user:read"])
    assert token.access_token is not None
    async with client_of(kick) as client:
        client.set_user_token(token.access_token, scope="user:read", expires_in=7200)
        told = await client.introspect_token(use_user_token=True)
        assert (told.active, told.token_type, told.scopes) == (True, "user", ("user:read",))
        app = await client.introspect_token()
        assert (app.active, app.token_type) == (True, "app")
        kick.revoke_everything()
        assert not (await client.introspect_token(use_user_token=True)).active


async def test_a_program_of_ones_own_is_run_as_one(kick: Sandbox) -> None:
    def names() -> Program[list[str]]:
        first = yield from fetch_user(123)
        second = yield from fetch_user(676)
        return [first.name, second.name]

    async with client_of(kick) as client:
        assert await client.run(names()) == ["streamer_123", "xQc"]


async def test_a_closed_client_says_so(kick: Sandbox) -> None:
    async with client_of(kick) as client:
        await client.close()
        await client.close()
        with pytest.raises(ClientClosed):
            await client.fetch_user(OWNER)
    assert "closed" in repr(client)


@pytest.mark.parametrize(
    ("client_id", "client_secret"),
    [("", "s"), ("i", ""), ("i d", "s"), ("i\n", "s"), ("ï", "s"), (None, "s"), ("i", None), ("i", "s\r\n")],
)
def test_credentials_that_cannot_be_right_are_refused_at_once(client_id: Any, client_secret: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        KickClient(client_id, client_secret)
    assert "s\r\n" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://id.kick.com", "ftp://x", "https://u:p@x", "https://x/y", "https://x?y", "x", ""]
)
def test_hosts_that_must_not_be_trusted_are_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="id_url"):
        KickClient("i", "s", id_url=url)
    with pytest.raises(ConfigError, match="api_url"):
        KickClient("i", "s", api_url=url)


@pytest.mark.parametrize(
    "options",
    [
        {"scopes": []},
        {"scopes": "chat:write"},
        {"scopes": ["chat:read"]},
        {"scopes": ["chat:write "]},
        {"scopes": [Scope.USER_READ], "port": 0},
        {"scopes": [Scope.USER_READ], "port": 65536},
        {"scopes": [Scope.USER_READ], "port": -1},
        {"scopes": [Scope.USER_READ], "timeout": 0},
        {"scopes": [Scope.USER_READ], "timeout": float("nan")},
        {"scopes": [Scope.USER_READ], "redirect_uri": "ftp://127.0.0.1/callback"},
        {"scopes": [Scope.USER_READ], "redirect_uri": "http://example.com/callback"},
        {"scopes": [Scope.USER_READ], "redirect_uri": "https://example.com/callback"},
        {"scopes": [Scope.USER_READ], "redirect_uri": "http://u@127.0.0.1/callback"},
        {"scopes": [Scope.USER_READ], "redirect_uri": ""},
    ],
    ids=str,
)
async def test_a_login_that_cannot_work_is_refused_before_the_browser_opens(
    kick: Sandbox, options: dict[str, Any]
) -> None:
    opened: list[str] = []

    async def open_url(url: str) -> bool:
        opened.append(url)
        return True

    async with client_of(kick, browser=Loopback(open_url)) as client:
        with pytest.raises(ConfigError):
            await client.authenticate(**options)
    assert not opened
    assert not kick.log


async def test_a_port_in_use_is_told_before_the_browser_opens(kick: Sandbox, port: int) -> None:
    opened: list[str] = []

    async def open_url(url: str) -> bool:
        opened.append(url)
        return True

    with socket.create_server(("127.0.0.1", port)):
        async with client_of(kick, browser=Loopback(open_url)) as client:
            with pytest.raises(CallbackPortInUse, match=str(port)):
                await client.authenticate([Scope.USER_READ], port)
    assert not opened


async def test_a_second_login_of_one_account_is_refused_and_the_first_goes_on(kick: Sandbox, port: int) -> None:
    waiting, go_on = anyio.Event(), anyio.Event()

    async def paste(url: str) -> str:
        waiting.set()
        await go_on.wait()
        return approve(url, kick.handle)

    async with client_of(kick) as client:

        async def first() -> None:
            await client.authenticate([Scope.USER_READ], port, paste=paste)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            await waiting.wait()
            with pytest.raises(LoginInProgress):
                await client.authenticate([Scope.USER_READ], port, paste=paste)
            go_on.set()
        assert (await client.fetch_user()).user_id == OWNER


@pytest.mark.parametrize("user_id", [0, -1, 2**64, True, "123", 1.5])
async def test_ids_out_of_range_are_refused_before_sending(kick: Sandbox, user_id: Any) -> None:
    async with client_of(kick) as client:
        with pytest.raises(InvalidInput, match="user_id"):
            await client.fetch_user(user_id)
        with pytest.raises(InvalidInput, match="user_id"):
            await client.fetch_channel(user_id)
        with pytest.raises(InvalidInput, match="user_id"):
            await client.fetch_channel(123, slug="xqc")
    assert not kick.log


async def test_what_is_not_there_is_not_found(kick: Sandbox) -> None:
    async with client_of(kick) as client:
        with pytest.raises(NotFound):
            await client.fetch_user(99)
        with pytest.raises(NotFound):
            await client.fetch_channel(slug="nobody")
        assert await client.fetch_users([99, OWNER]) == [await client.fetch_user(OWNER)]


async def test_a_corrupt_token_file_is_told_and_moved_aside_and_the_next_call_works(
    kick: Sandbox, folder: Path
) -> None:
    (folder / APP_FILE).write_text('{"access_token": "AT"')
    (folder / APP_FILE).chmod(0o600)
    async with client_of(kick) as client:
        with pytest.raises(CorruptTokenFile, match="moved") as told:
            await client.fetch_user(OWNER)
        assert Path(told.value.moved_to).read_text() == '{"access_token": "AT"'
        assert not kick.log
        await client.fetch_user(OWNER)


async def test_a_token_file_that_is_no_file_or_not_ours_is_told_before_anything_is_sent(
    kick: Sandbox, folder: Path
) -> None:
    (folder / APP_FILE).mkdir()
    async with client_of(kick) as client:
        with pytest.raises((UnsafeTokenFile, UnreadableTokenFile), match=r"kick\.token"):
            await client.fetch_user(OWNER)
    (folder / APP_FILE).rmdir()
    (folder / APP_FILE).write_text('{"client_id": "another-app", "access_token": "AT", "expires_at": 4102444800}')
    (folder / APP_FILE).chmod(0o600)
    async with client_of(kick) as client:
        with pytest.raises(ForeignTokenFile, match="client_id"):
            await client.fetch_user(OWNER)
    assert not kick.log
    assert "another-app" in (folder / APP_FILE).read_text()


async def test_files_of_kickcom_are_read(kick: Sandbox, folder: Path) -> None:
    token = kick.sign_in(["user:read"])
    assert token.access_token is not None
    assert token.refresh_token is not None
    written = {
        "access_token": token.access_token.reveal(),
        "expires_at": int(token.expires_at),
        "token_type": "Bearer",
        "token_kind": "user",
        "refresh_token": token.refresh_token.reveal(),
        "scope": "user:read",
    }
    (folder / USER_FILE).write_text(json.dumps(written))
    (folder / USER_FILE).chmod(0o600)
    async with client_of(kick) as client:
        assert (await client.fetch_user()).user_id == OWNER
        kick.expire_access_tokens()
        assert (await client.fetch_user()).user_id == OWNER
    assert json.loads((folder / USER_FILE).read_text())["client_id"] == "sandbox-app"


async def test_a_store_with_names_of_ones_own(kick: Sandbox, tmp_path: Path) -> None:
    store = FileStore(tmp_path / "tokens", app_file="app.json")
    async with client_of(kick, store=store) as client:
        await client.fetch_user(OWNER)
    assert (tmp_path / "tokens" / "app.json").is_file()


def test_secrets_do_not_show(kick: Sandbox) -> None:
    client = KickClient("app", Secret("hush-hush"))
    client.set_user_token("hush-access", "hush-refresh", 60, "user:read")
    shown = f"{client!r} {client.user_token!r} {vars(client)!r} {client._live.app!r}"
    assert "hush" not in shown


def test_a_token_that_is_no_token_is_refused_without_showing_it() -> None:
    client = KickClient("app", "secret")
    for bad in ("", "a b", "a\r\nX: 1", "é", Secret("")):
        with pytest.raises(ConfigError) as refused:
            client.set_user_token(bad)
        assert "X: 1" not in str(refused.value)
    with pytest.raises(ConfigError, match="refresh_token"):
        client.set_user_token("good", "b a d")


async def test_the_url_is_shown_beside_a_browser_of_ones_own(kick: Sandbox, port: int) -> None:
    opened: list[str] = []
    shown: list[str] = []

    async def open_url(url: str) -> bool:
        opened.append(url)
        return False

    async with client_of(kick, browser=Loopback(open_url)) as client:
        with pytest.raises(LoginTimeout):
            await client.authenticate([Scope.USER_READ], port, timeout=0.1, show_url=shown.append)
    assert len(opened) == 1
    assert shown == opened


@pytest.mark.parametrize(
    "options",
    [{"policy": {}}, {"policy": "none"}, {"on_notice": 5}, {"store": "folder"}, {"http": "client"}, {"browser": 5}],
    ids=str,
)
def test_parts_that_do_not_fit_are_refused_at_once(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=name):
        KickClient("i", "s", **options)


def test_one_client_serves_one_event_loop_after_another(folder: Path) -> None:
    code = """
import anyio, sys
from kickcore import KickClient
from interpreters.sandbox import Sandbox, serve

kick = Sandbox()
client = None

async def main():
    global client
    async with serve(kick, port=int(sys.argv[1])) as url:
        client = client or KickClient("sandbox-app", "sandbox-secret", api_url=url, id_url=url)
        print((await client.fetch_user(123)).name)

for backend in ("asyncio", "trio", "asyncio"):
    anyio.run(main, backend=backend)
"""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    root = Path(__file__).parent.parent.parent
    told = subprocess.run(
        [sys.executable, "-c", code, str(free)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=30,
    )
    assert told.stdout.split() == ["streamer_123"] * 3, told.stderr


async def test_the_whole_flow_over_real_sockets(kick: Sandbox, port: int) -> None:
    from interpreters.sandbox import serve

    async with serve(kick) as url, httpx2.AsyncClient(trust_env=False) as visitor, anyio.create_task_group() as tasks:

        async def open_url(address: str) -> bool:
            async def visit() -> None:
                await click_through(address, http=visitor)

            tasks.start_soon(visit)
            return True

        browser = Loopback(open_url)
        async with KickClient("sandbox-app", "sandbox-secret", api_url=url, id_url=url, browser=browser) as client:
            await client.authenticate([Scope.CHAT_WRITE], port)
            await client.send_chat_message("Hello!", broadcaster_user_id=676)
            with pytest.raises(KickError):
                await client.delete_chat_message("x")
    assert [message.content for message in kick.world.messages] == ["Hello!"]
