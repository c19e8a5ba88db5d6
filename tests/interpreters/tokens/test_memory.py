"""Tokens in memory: what goes beyond the conformance set."""

import asyncio
from pathlib import Path

import anyio
import pytest
import trio

from interpreters.tokens.memory import MemoryStore
from kickcore.oauth.tokens import Saved, Slot, Superseded, Token, TokenKind
from kickcore.secret import Secret

USER = Slot("https://id.kick.com", "CID", TokenKind.USER)
TOKEN = Token(Secret("AT"), 10.0, 5.0, Secret("RT"))


async def test_memory_writes_nothing_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = MemoryStore()
    async with store.hold(USER):
        _ = await store.save(USER, TOKEN, "")
    await store.drop(USER)
    assert list(tmp_path.iterdir()) == []


async def test_two_stores_share_nothing() -> None:
    one, other = MemoryStore(), MemoryStore()
    _ = await one.save(USER, TOKEN, "")
    assert await other.load(USER) is None
    with anyio.fail_after(1):
        async with one.hold(USER), other.hold(USER):
            pass


async def test_a_version_does_not_come_back_after_a_drop() -> None:
    store = MemoryStore()
    first = await store.save(USER, TOKEN, "")
    assert isinstance(first, Saved)
    await store.drop(USER)
    second = await store.save(USER, TOKEN, "")
    assert isinstance(second, Saved)
    assert first.version != second.version
    assert isinstance(await store.save(USER, TOKEN, first.version), Superseded)


async def test_different_hosts_have_different_tokens() -> None:
    store = MemoryStore()
    _ = await store.save(USER, TOKEN, "")
    assert await store.load(Slot("http://127.0.0.1:8000", "CID", TokenKind.USER)) is None
    assert await store.load(Slot("https://id.kick.com", "CID2", TokenKind.USER)) is None


def test_tokens_outlive_the_event_loop() -> None:
    store = MemoryStore()

    async def save() -> None:
        async with store.hold(USER):
            _ = await store.save(USER, TOKEN, "")

    async def load() -> Token | None:
        async with store.hold(USER):
            stored = await store.load(USER)
        return stored and stored.token

    asyncio.run(save())
    assert trio.run(load) == TOKEN
    assert asyncio.run(load()) == TOKEN
