"""What every token store promises. The same checks run against each store, and against the memory before it."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio
import pytest

from interpreters.tokens import TokenStore
from interpreters.tokens.files import FileStore
from interpreters.tokens.memory import MemoryStore
from interpreters.tokens.remembered import RememberedTokens
from kickcore.errors import ForeignTokenFile
from kickcore.oauth.tokens import NotSaved, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.secret import Secret

ISSUER = "https://id.kick.com"
USER = Slot(ISSUER, "CID", TokenKind.USER)
SOON = float(int(time.time())) + 7200
FULL = Token(Secret("AT"), SOON + 0.5, SOON - 7200, Secret("RT"), ("user:read", "chat:write"))


class Tokens(Protocol):
    """A store, or the memory before one: the same four methods."""

    async def load(self, slot: Slot) -> Stored | None: ...

    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded | NotSaved: ...

    async def drop(self, slot: Slot) -> None: ...

    def hold(self, slot: Slot) -> AbstractAsyncContextManager[None]: ...


@dataclass
class Subject:
    """A store, and a way to make a second one that sees the same tokens, as another process would."""

    store: Tokens
    again: Callable[[], Tokens]


@pytest.fixture(params=["memory", "files", "remembered memory", "remembered files"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    memory = MemoryStore()
    inner: dict[str, Callable[[], TokenStore]] = {"memory": lambda: memory, "files": lambda: FileStore(tmp_path)}
    again: Callable[[], Tokens] = inner[request.param.removeprefix("remembered ")]
    if request.param.startswith("remembered"):
        bare = again

        def again() -> Tokens:
            return RememberedTokens(bare())

    return Subject(again(), again)


def token(number: int) -> Token:
    return Token(Secret(f"AT{number}"), SOON, SOON - 7200, Secret(f"RT{number}"))


async def saved(store: Tokens, slot: Slot, token: Token, version: str = "") -> str:
    outcome = await store.save(slot, token, version)
    assert isinstance(outcome, Saved)
    return outcome.version


async def test_nothing_is_stored_at_first(subject: Subject) -> None:
    assert await subject.store.load(USER) is None


async def test_what_was_saved_is_loaded_whole(subject: Subject) -> None:
    version = await saved(subject.store, USER, FULL)
    assert await subject.store.load(USER) == Stored(FULL, version)
    assert await subject.again().load(USER) == Stored(FULL, version)


@pytest.mark.parametrize(
    "token",
    [
        Token(None, 5.0, 5.0, Secret("RT")),
        Token(Secret("AT"), SOON + 0.25, 0.0),
        Token(Secret("AT"), SOON, 7.0, None, ()),
        Token(Secret("!~" * 4096), 10.0, 7.0, Secret("-" * 8192), ("a", "b:c")),
    ],
    ids=["refresh token only", "app token", "no scope granted", "long"],
)
async def test_every_shape_of_token_survives(subject: Subject, token: Token) -> None:
    _ = await saved(subject.store, USER, token)
    stored = await subject.again().load(USER)
    assert stored is not None
    assert stored.token == token


async def test_a_save_replaces_what_has_the_version_it_names(subject: Subject) -> None:
    first = await saved(subject.store, USER, token(1))
    second = await saved(subject.store, USER, token(2), first)
    assert second != first
    assert await subject.again().load(USER) == Stored(token(2), second)


async def test_a_version_is_never_that_of_nothing(subject: Subject) -> None:
    assert await saved(subject.store, USER, token(1)) != ""


async def test_a_save_that_names_nothing_does_not_replace_something(subject: Subject) -> None:
    version = await saved(subject.store, USER, token(1))
    assert await subject.store.save(USER, token(2), "") == Superseded(Stored(token(1), version))
    assert await subject.again().load(USER) == Stored(token(1), version)


async def test_a_save_with_a_version_of_before_does_not_replace_what_came_after(subject: Subject) -> None:
    first = await saved(subject.store, USER, token(1))
    second = await saved(subject.store, USER, token(2), first)
    assert await subject.store.save(USER, token(3), first) == Superseded(Stored(token(2), second))
    assert await subject.again().load(USER) == Stored(token(2), second)


async def test_a_save_over_what_was_dropped_meanwhile_brings_nothing_back(subject: Subject) -> None:
    version = await saved(subject.store, USER, token(1))
    await subject.again().drop(USER)
    assert await subject.store.save(USER, token(2), version) == Superseded(None)
    assert await subject.again().load(USER) is None


async def test_a_save_that_another_process_overtook_is_reported(subject: Subject) -> None:
    version = await saved(subject.store, USER, token(1))
    theirs = subject.again()
    assert await theirs.load(USER) is not None
    their_version = await saved(theirs, USER, token(2), version)
    assert await subject.store.save(USER, token(3), version) == Superseded(Stored(token(2), their_version))
    assert await subject.again().load(USER) == Stored(token(2), their_version)


async def test_dropping_forgets_and_dropping_nothing_is_fine(subject: Subject) -> None:
    _ = await saved(subject.store, USER, token(1))
    await subject.store.drop(USER)
    assert await subject.again().load(USER) is None
    await subject.store.drop(USER)
    _ = await saved(subject.again(), USER, token(2))


ALL_SLOTS = [
    USER,
    Slot(ISSUER, "CID", TokenKind.APP),
    Slot(ISSUER, "CID", TokenKind.USER, "alice"),
    Slot(ISSUER, "CID", TokenKind.USER, "Alice"),
    Slot(ISSUER, "CID", TokenKind.USER, "alice.lock"),
    Slot(ISSUER, "CID", TokenKind.USER, "al/ice"),
    Slot(ISSUER, "CID", TokenKind.USER, "app"),
]


async def test_kinds_and_accounts_are_never_mixed(subject: Subject) -> None:
    for number, slot in enumerate(ALL_SLOTS):
        assert await subject.store.load(slot) is None
        _ = await saved(subject.store, slot, token(number))
    for number, slot in enumerate(ALL_SLOTS):
        stored = await subject.again().load(slot)
        assert stored is not None
        assert stored.token == token(number)
    await subject.store.drop(ALL_SLOTS[0])
    for slot in ALL_SLOTS[1:]:
        assert await subject.again().load(slot) is not None


@pytest.mark.parametrize(
    "other",
    [Slot("http://127.0.0.1:8000", "CID", TokenKind.USER), Slot(ISSUER, "CID2", TokenKind.USER)],
    ids=["issuer", "client id"],
)
async def test_the_token_of_another_app_or_host_is_never_given(tmp_path: Path, other: Slot) -> None:
    memory, files = MemoryStore(), FileStore(tmp_path)
    for store in (memory, files):
        _ = await saved(store, USER, token(1))
    assert await memory.load(other) is None
    with pytest.raises(ForeignTokenFile):
        _ = await files.load(other)
    for store in (memory, files):
        stored = await store.load(USER)
        assert stored is not None
        assert stored.token == token(1)


async def test_one_at_a_time_holds_a_slot(subject: Subject) -> None:
    holders = 0
    most = 0

    async def hold(store: Tokens) -> None:
        nonlocal holders, most
        for _ in range(3):
            async with store.hold(USER):
                holders += 1
                most = max(most, holders)
                await anyio.sleep(0.001)
                holders -= 1

    async with anyio.create_task_group() as tasks:
        for store in (subject.store, subject.again(), subject.again()):
            tasks.start_soon(hold, store)
    assert most == 1


async def test_holding_one_slot_does_not_hold_another(subject: Subject) -> None:
    first, second, third = ALL_SLOTS[:3]
    with anyio.fail_after(1):
        async with subject.store.hold(first), subject.again().hold(second), subject.again().hold(third):
            _ = await saved(subject.store, first, token(1))


async def test_an_error_or_a_cancellation_lets_go_of_a_slot(subject: Subject) -> None:
    with pytest.raises(ZeroDivisionError):
        async with subject.store.hold(USER):
            raise ZeroDivisionError
    with anyio.CancelScope() as scope:
        async with subject.store.hold(USER):
            scope.cancel()
            await anyio.sleep_forever()
    with anyio.fail_after(1):
        async with subject.again().hold(USER):
            pass


async def test_waiting_to_hold_a_slot_can_be_cancelled(subject: Subject) -> None:
    held, release = anyio.Event(), anyio.Event()

    async def holder() -> None:
        async with subject.store.hold(USER):
            held.set()
            await release.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(holder)
        await held.wait()
        with anyio.move_on_after(0.01) as waiting:
            async with subject.again().hold(USER):
                raise AssertionError("two hold it")
        assert waiting.cancelled_caught
        release.set()
    with anyio.fail_after(1):
        async with subject.again().hold(USER):
            pass
