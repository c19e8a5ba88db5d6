"""The memory before a store, over time: attempts, two clocks, threads, and what is let go at the end."""

import warnings
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from interpreters.tokens import remembered
from interpreters.tokens.memory import MemoryStore
from interpreters.tokens.remembered import RememberedTokens
from kickcore.errors import TokenNotSaved
from kickcore.oauth.tokens import Attempt, NotSaved, Outcome, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.secret import Secret

SLOT = Slot("https://id.kick.com", "CID", TokenKind.USER)
TOKEN = Token(Secret("AT1"), 9000.0, 1800.0, Secret("RT1"))
MARKED = replace(TOKEN, attempt=Attempt(5.0, Outcome.UNKNOWN))
NEWER = Token(Secret("AT2"), 12000.0, 5000.0, Secret("RT2"))


class Clocks:
    """A wall clock and a monotonic one, each moved by hand."""

    def __init__(self) -> None:
        self.wall, self.ticks = 2000.0, 50.0


class Store(MemoryStore):
    """A memory store that counts its saves and fails on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.saves = 0
        self.fails: Exception | None = None

    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded:
        self.saves += 1
        if self.fails is not None:
            raise self.fails
        return await super().save(slot, token, version)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def tokens(store: Store, clocks: Clocks) -> RememberedTokens:
    return RememberedTokens(store, lambda: clocks.ticks, lambda: clocks.wall)


async def loaded(tokens: RememberedTokens, *, reread: bool = False) -> Stored:
    stored = await tokens.load(SLOT, reread=reread)
    assert stored is not None
    return stored


async def saved(tokens: RememberedTokens, token: Token, version: str = "") -> str:
    outcome = await tokens.save(SLOT, token, version)
    assert isinstance(outcome, Saved)
    return outcome.version


# Attempts


async def test_an_attempt_is_stored_like_any_token(tokens: RememberedTokens, store: Store) -> None:
    first = await saved(tokens, TOKEN)
    second = await saved(tokens, MARKED, first)
    assert second != first
    assert await store.load(SLOT) == Stored(MARKED, second)
    assert await loaded(tokens) == Stored(MARKED, second)


async def test_an_attempt_that_cannot_be_stored_is_no_news(tokens: RememberedTokens, store: Store) -> None:
    first = await saved(tokens, TOKEN)
    store.fails = OSError("full")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(await tokens.save(SLOT, MARKED, first), NotSaved)
    assert (await loaded(tokens)).token == MARKED
    store.fails = None
    # The token itself is stored, so nothing has to be made up for.
    assert store.saves == 2
    await tokens.flush()
    assert store.saves == 2
    assert await saved(tokens, NEWER, first)
    assert (await loaded(tokens, reread=True)).token == NEWER


async def test_an_attempt_on_what_is_not_stored_yet_waits_with_it(tokens: RememberedTokens, store: Store) -> None:
    store.fails = OSError("full")
    with pytest.warns(TokenNotSaved):
        _ = await tokens.save(SLOT, TOKEN, "")
    version = (await loaded(tokens)).version
    # Nobody is told once more.
    assert await tokens.save(SLOT, MARKED, version) == NotSaved("full")
    store.fails = None
    await tokens.flush()
    there = await store.load(SLOT)
    assert there is not None
    assert there.token == MARKED


async def test_an_attempt_is_stored_with_the_token_if_there_is_room_again(
    tokens: RememberedTokens, store: Store
) -> None:
    store.fails = OSError("full")
    with pytest.warns(TokenNotSaved):
        _ = await tokens.save(SLOT, TOKEN, "")
    store.fails = None
    version = await saved(tokens, MARKED, (await loaded(tokens)).version)
    there = await store.load(SLOT)
    assert there is not None
    assert (there.token, there.version) == (MARKED, version)


async def test_an_attempt_on_the_callers_own_token_stays_in_memory(tokens: RememberedTokens, store: Store) -> None:
    tokens.put(SLOT, TOKEN, save=False)
    version = (await loaded(tokens)).version
    assert await saved(tokens, MARKED, version) == version
    assert (await loaded(tokens)).token == MARKED
    assert store.saves == 0
    assert await saved(tokens, NEWER, version) != version
    assert tokens.peek(SLOT) == NEWER
    assert store.saves == 0


async def test_an_attempt_that_came_too_late_brings_what_is_there(tokens: RememberedTokens, store: Store) -> None:
    version = await saved(tokens, TOKEN)
    theirs = await store.save(SLOT, NEWER, version)
    assert isinstance(theirs, Saved)
    assert await tokens.save(SLOT, MARKED, version) == Superseded(Stored(NEWER, theirs.version))
    assert await loaded(tokens) == Stored(NEWER, theirs.version)


async def test_an_attempt_on_what_was_dropped_meanwhile_brings_nothing_back(
    tokens: RememberedTokens, store: Store
) -> None:
    version = await saved(tokens, TOKEN)
    await store.drop(SLOT)
    assert await tokens.save(SLOT, MARKED, version) == Superseded(None)
    assert tokens.peek(SLOT) is None
    assert await store.load(SLOT) is None


async def test_a_token_put_meanwhile_is_not_touched_by_an_attempt_on_the_one_before(
    tokens: RememberedTokens, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = await saved(tokens, TOKEN)
    taken = await store.save(SLOT, NEWER, version)
    assert isinstance(taken, Saved)
    save = store.save

    async def slow(slot: Slot, token: Token, version: str) -> Saved | Superseded:
        tokens.put(SLOT, replace(NEWER, access_token=Secret("PUT")), save=False)
        return await save(slot, token, version)

    monkeypatch.setattr(store, "save", slow)
    assert isinstance(await tokens.save(SLOT, MARKED, version), Superseded)
    held = tokens.peek(SLOT)
    assert held is not None
    assert held.access_token == Secret("PUT")


# A save that is tried again


async def test_a_token_from_a_clock_that_was_set_back_is_not_given_up_for_the_one_before(
    tokens: RememberedTokens, store: Store
) -> None:
    version = await saved(tokens, NEWER)
    store.fails = OSError("full")
    with pytest.warns(TokenNotSaved):
        _ = await tokens.save(SLOT, TOKEN, version)
    store.fails = None
    await tokens.flush()
    assert tokens.peek(SLOT) == TOKEN
    there = await store.load(SLOT)
    assert there is not None
    assert there.token == TOKEN


@pytest.mark.parametrize(
    ("ours", "theirs", "wins"),
    [
        ((100.0, 500.0), (200.0, 400.0), "theirs"),
        ((200.0, 400.0), (100.0, 500.0), "ours"),
        ((100.0, 400.0), (100.0, 500.0), "theirs"),
        ((100.0, 500.0), (100.0, 400.0), "ours"),
        ((None, 400.0), (100.0, 500.0), "theirs"),
        ((100.0, 500.0), (None, 400.0), "ours"),
        ((100.0, 500.0), (100.0, 500.0), "ours"),
    ],
)
async def test_the_later_login_wins_and_of_one_login_the_later_token(
    tokens: RememberedTokens, store: Store, ours: Any, theirs: Any, wins: str
) -> None:
    made = {
        "ours": replace(TOKEN, granted_at=ours[0], issued_at=ours[1]),
        "theirs": replace(NEWER, granted_at=theirs[0], issued_at=theirs[1]),
    }
    store.fails = OSError("full")
    with pytest.warns(TokenNotSaved):
        _ = await tokens.save(SLOT, made["ours"], "")
    store.fails = None
    _ = await store.save(SLOT, made["theirs"], "")
    await tokens.flush()
    there = await store.load(SLOT)
    assert there is not None
    assert there.token == tokens.peek(SLOT) == made[wins]


async def test_a_call_with_a_good_token_does_not_wait_long_for_others_to_store_it(
    tokens: RememberedTokens, store: Store, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "PATIENCE", 0.01)
    tokens.put(SLOT, TOKEN, save=True)
    async with store.hold(SLOT):
        with anyio.fail_after(1):
            assert (await loaded(tokens)).token == TOKEN
            assert (await loaded(tokens)).token == TOKEN
    assert store.saves == 0
    clocks.ticks += 29
    _ = await loaded(tokens)
    assert store.saves == 0
    clocks.ticks += 2
    _ = await loaded(tokens)
    assert store.saves == 1


# Two clocks


async def test_the_time_that_it_must_be_by_now_is_counted_by_the_monotonic_clock(
    tokens: RememberedTokens, clocks: Clocks
) -> None:
    _ = await saved(tokens, TOKEN)
    assert (await loaded(tokens)).at_least == 2000.0
    clocks.wall, clocks.ticks = 0.0, clocks.ticks + 7
    assert (await loaded(tokens)).at_least == 2007.0
    clocks.ticks -= 100
    assert (await loaded(tokens)).at_least == 2000.0


async def test_it_counts_from_when_the_token_came_and_not_from_the_last_look(
    tokens: RememberedTokens, store: Store, clocks: Clocks
) -> None:
    version = await saved(tokens, TOKEN)
    clocks.wall, clocks.ticks = 1.0, clocks.ticks + 10
    assert (await loaded(tokens, reread=True)).at_least == 2010.0
    version = await saved(tokens, MARKED, version)
    assert (await loaded(tokens)).at_least == 2010.0
    _ = await saved(tokens, NEWER, version)
    assert (await loaded(tokens)).at_least == 1.0
    assert (await loaded(RememberedTokens(store, lambda: 0.0, lambda: 7.0))).at_least == 7.0


# Threads


@pytest.mark.parametrize("own", [True, False], ids=["the caller's own", "stored"])
async def test_holding_keeps_other_threads_out(tokens: RememberedTokens, own: bool) -> None:
    tokens.put(SLOT, TOKEN, save=not own)
    inside = most = 0

    async def hold() -> None:
        nonlocal inside, most
        for _ in range(10):
            async with tokens.hold(SLOT):
                inside += 1
                most = max(most, inside)
                await checkpoint()
                inside -= 1

    async with anyio.create_task_group() as tasks:
        for backend in ("asyncio", "trio") * 2:
            tasks.start_soon(anyio.to_thread.run_sync, lambda backend=backend: anyio.run(hold, backend=backend))
    assert most == 1


@pytest.mark.parametrize("keeps_out", [True, False, None])
async def test_whether_others_are_kept_out_is_passed_on(clocks: Clocks, keeps_out: Any) -> None:
    class Loose(Store):
        def hold(self, slot: Slot) -> Any:
            from contextlib import asynccontextmanager

            @asynccontextmanager
            async def hold() -> Any:
                yield keeps_out

            return hold()

    async with RememberedTokens(Loose()).hold(SLOT) as alone:
        assert alone is keeps_out


# The end


async def test_at_the_end_only_what_the_store_has_is_let_go(tokens: RememberedTokens, store: Store) -> None:
    other, third = replace(SLOT, account="own"), replace(SLOT, account="unsaved")
    _ = await saved(tokens, TOKEN)
    tokens.put(other, TOKEN, save=False)
    store.fails = OSError("full")
    with pytest.warns(TokenNotSaved):
        _ = await tokens.save(third, TOKEN, "")
    tokens.forget()
    assert tokens.peek(SLOT) is None
    assert tokens.peek(other) == TOKEN
    assert tokens.peek(third) == TOKEN
