"""`KickClient.recording` and `KickClient.replaying`: the same calls, once on a Kick and then on a file."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from msgspec.structs import replace

from interpreters.sandbox import Sandbox, SandboxApp, approve, small_world
from interpreters.sessions import ReplayDivergence, load
from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient, Scope
from kickcore.api.users import fetch_user
from kickcore.effects import Consent, Program
from kickcore.errors import ConfigError, KickError, LeakSuspected, MissingScopes, NotFound, SessionError
from kickcore.oauth.callback import Callback, Refused, read_pasted

REDIRECT = "http://127.0.0.1:3000/callback"


@asynccontextmanager
async def live(kick: Sandbox | None = None, **options: Any) -> AsyncIterator[tuple[KickClient, Sandbox]]:
    """A client over the simulated Kick, whose user agrees."""
    sandbox = kick or Sandbox(small_world(redirect_uris=(REDIRECT,)))

    async def agreeing(asked: Consent) -> Callback:
        end = read_pasted(
            approve(asked.url, sandbox.handle),
            redirect_uri=asked.redirect_uri,
            state=asked.state,
            issuer=asked.issuer,
        )
        assert not isinstance(end, Refused)
        return end

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=SandboxApp(sandbox))) as http:
        yield (
            KickClient("sandbox-app", "sandbox-secret", http=http, store=MemoryStore(), browser=agreeing, **options),
            sandbox,
        )


async def a_flow(client: KickClient, sandbox: Sandbox | None = None) -> list[object]:
    """Reading, a login, a renewal that five callers wait for, a refusal, another account, and a logout."""
    seen: list[object] = [await client.fetch_user(676)]
    seen.append(await client.authenticate(scopes=[Scope.USER_READ, Scope.CHAT_WRITE], port=3000))
    if sandbox is not None:
        sandbox.expire_access_tokens()
    sent: dict[int, object] = {}

    async def send(number: int) -> None:
        sent[number] = await client.send_chat_message(f"message {number}", broadcaster_user_id=676)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(send, number)
    seen += [sent[number] for number in range(5)]
    for refused in (client.fetch_user(999_999), client.delete_chat_message("5138d04d-68f8-4eca-aa65-93123f6f97fe")):
        try:
            await refused
        except (NotFound, MissingScopes) as error:
            seen.append(str(error))
    alice = client.as_user("alice")
    seen.append(await alice.authenticate(scopes=[Scope.USER_READ]))
    user = await alice.fetch_user()
    seen += [user.name, await client.logout(), client.user_token, alice.user_token is not None]
    return seen


async def test_a_whole_flow_is_recorded_and_replayed_without_a_kick(anyio_backend: str, tmp_path: Path) -> None:
    path = tmp_path / "flow.jsonl"
    async with live() as (client, sandbox), client.recording(path) as recorded:
        seen = await a_flow(recorded, sandbox)
        assert recorded.session is not None
    assert recorded.session == load(path)
    text = path.read_text("utf-8")
    world = sandbox.world
    assert not [secret for secret in (*world.access, *world.refresh, *world.codes, "sandbox-secret") if secret in text]
    for _ in range(3):
        async with KickClient.replaying(path) as client:
            assert await a_flow(client) == seen


@pytest.mark.parametrize("name", ["format-1-asyncio.jsonl", "format-1-trio.jsonl"])
async def test_what_was_recorded_on_either_loop_replays_on_both(anyio_backend: str, name: str) -> None:
    path = Path(__file__).parent.parent / "sessions" / name
    if os.environ.get("KICKCORE_RECORD") and anyio_backend in name:
        async with live() as (client, sandbox), client.recording(path) as recorded:
            await a_flow(recorded, sandbox)
    async with KickClient.replaying(path) as client:
        seen = await a_flow(client)
    assert seen[2:7] != []
    assert str(seen[7]) == "Kick knows no such user"


async def test_a_call_that_was_not_recorded_diverges_and_closing_says_no_more(
    anyio_backend: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    async with live() as (client, _), client.recording(path) as recorded:
        await recorded.fetch_user(676)
    with pytest.raises(ReplayDivergence) as caught:
        async with KickClient.replaying(path) as client:
            await client.fetch_user(123)
    assert caught.value.reason == "extra"
    with pytest.raises(ReplayDivergence) as caught:
        async with KickClient.replaying(path):
            pass
    assert caught.value.reason == "unfinished"
    with pytest.raises(ZeroDivisionError):
        async with KickClient.replaying(path):
            raise ZeroDivisionError


async def test_a_flow_of_ones_own_has_a_label(anyio_backend: str, tmp_path: Path) -> None:
    def both() -> Program[list[str]]:
        first = yield from fetch_user(676)
        second = yield from fetch_user(123)
        return [first.name, second.name]

    path = tmp_path / "a.jsonl"
    async with live() as (client, _), client.recording(path) as recorded:
        names = await recorded.run(both(), label="the two")
    assert load(path).programs == ("the two",)
    async with KickClient.replaying(load(path), order="program") as client:
        assert await client.run(both(), label="the two") == names


async def test_a_token_that_comes_from_elsewhere_is_recorded_and_not_needed_again(
    anyio_backend: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    async with live() as (client, sandbox), client.recording(path) as recorded:
        token = sandbox.sign_in(["user:read"])
        assert token.access_token is not None
        recorded.set_user_token(token.access_token, None, 3600.0, "user:read")
        name = (await recorded.fetch_user()).name
    assert token.access_token.reveal() not in path.read_text("utf-8")
    async with KickClient.replaying(path) as client:
        client.set_user_token("whatever", None, 3600.0, "user:read")
        assert (await client.fetch_user()).name == name
        assert client.user_token is not None


async def test_a_recording_is_written_when_the_flow_fails(anyio_backend: str, tmp_path: Path) -> None:
    path = tmp_path / "bug.jsonl"
    with pytest.raises(NotFound):
        async with live() as (client, _), client.recording(path) as recorded:
            await recorded.fetch_user(999_999)
    with pytest.raises(NotFound):
        async with KickClient.replaying(path) as client:
            await client.fetch_user(999_999)


async def test_a_recording_that_would_leak_is_not_written(anyio_backend: str, tmp_path: Path) -> None:
    unknown = "Zk3qT7w9xVbR2mN8pL4sD6fG1hJ5kQ0y"
    async with live() as (client, sandbox):
        user = replace(sandbox.world.users[676], name=unknown)
        sandbox.world = replace(sandbox.world, users={676: user})
        with pytest.raises(LeakSuspected, match="/r/json/data/0/name"):
            async with client.recording(tmp_path / "a.jsonl") as recorded:
                await recorded.fetch_user(676)
        assert not list(tmp_path.iterdir())
        async with client.recording(tmp_path / "b.jsonl", secret_texts=[unknown]) as recorded:
            with pytest.raises(KickError):
                await recorded.fetch_user(676)
    assert unknown not in (tmp_path / "b.jsonl").read_text("utf-8")


async def test_without_a_path_the_session_stays_in_memory(anyio_backend: str, tmp_path: Path) -> None:
    async with live() as (client, _), client.recording() as recorded:
        await recorded.fetch_user(676)
    assert recorded.session is not None
    assert client.session is None
    async with KickClient.replaying(recorded.session) as replaying:
        await replaying.fetch_user(676)
        assert replaying.session is recorded.session


async def test_a_client_records_to_one_place(anyio_backend: str) -> None:
    async with live() as (client, _), client.recording() as recorded:
        with pytest.raises(ConfigError, match="has a session already"):
            recorded.recording()


def test_a_session_that_is_not_there_is_told_when_the_client_is_made(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="record it first"):
        KickClient.replaying(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="backwards"):
        KickClient.replaying(load(Path(__file__).parent.parent / "sessions" / "format-1-trio.jsonl"), order="backwards")


def test_a_kept_session_is_made_of_lines_that_people_can_read() -> None:
    text = (Path(__file__).parent.parent / "sessions" / "format-1-asyncio.jsonl").read_text("utf-8")
    header = json.loads(text.splitlines()[0])
    assert header["kcs"] == 1
    assert header["app"]["client_secret"] == "«cs:1»"
