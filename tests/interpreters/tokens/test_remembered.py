"""The memory before a store: what is read once, what is never lost, and what never overwrites what."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
from anyio.lowlevel import checkpoint

from interpreters.tokens.files import FileStore
from interpreters.tokens.memory import MemoryStore
from interpreters.tokens.remembered import RememberedTokens
from kickcore.errors import ForeignTokenFile, StoreError, TokenLockTimeout, TokenNotSaved, UnreadableTokenFile
from kickcore.oauth.tokens import NotSaved, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.secret import Secret

USER = Slot("https://id.kick.com", "CID", TokenKind.USER)
BOB = Slot("https://id.kick.com", "CID", TokenKind.USER, "bob")


def token(number: int) -> Token:
    return Token(Secret(f"AT{number}"), 100.0, 50.0, Secret(f"RT{number}"))


class Watched(MemoryStore):
    """A memory store that counts what is asked of it, fails on demand, and can be made to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.fails: Exception | None = None
        self.refused: set[Slot] = set()
        self.before: dict[str, Callable[[], Awaitable[object]]] = {}
        self.after: dict[str, Callable[[], Awaitable[object]]] = {}

    async def _watch(self, name: str) -> None:
        self.calls.append(name)
        await self.before.get(name, checkpoint)()
        if self.fails is not None and name == "save":
            raise self.fails

    async def load(self, slot: Slot) -> Stored | None:
        await self._watch("load")
        stored = await super().load(slot)
        await self.after.get("load", checkpoint)()
        return stored

    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded:
        await self._watch("save")
        outcome = await super().save(slot, token, version)
        await self.after.get("save", checkpoint)()
        return outcome

    async def drop(self, slot: Slot) -> None:
        await self._watch("drop")
        await super().drop(slot)

    def hold(self, slot: Slot) -> Any:
        if slot in self.refused:
            raise TokenLockTimeout("another process has held it", path="file.lock")
        return super().hold(slot)

    async def kept(self, slot: Slot = USER) -> Token | None:
        """What is stored, uncounted."""
        stored = await super().load(slot)
        return stored and stored.token


class Clock:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.ticks = 1000.0

    def __call__(self) -> float:
        return self.ticks


@pytest.fixture
def store() -> Watched:
    return Watched()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(store: Watched, clock: Clock) -> RememberedTokens:
    return RememberedTokens(store, clock)


async def stored_by_another(store: Watched, number: int, slot: Slot = USER) -> None:
    """What another process stores."""
    kept = await MemoryStore.load(store, slot)
    _ = await MemoryStore.save(store, slot, token(number), kept.version if kept else "")


# Loading


async def test_a_second_load_is_answered_from_memory(tokens: RememberedTokens, store: Watched) -> None:
    await stored_by_another(store, 1)
    first = await tokens.load(USER)
    assert first is not None
    assert first.token == token(1)
    assert await tokens.load(USER) == first
    assert store.calls == ["load"]
    assert tokens.peek(USER) == token(1)


@pytest.mark.parametrize("present", [True, False])
async def test_many_first_loads_at_once_read_the_store_once(
    tokens: RememberedTokens, store: Watched, present: bool
) -> None:
    if present:
        await stored_by_another(store, 1)
    got: list[Stored | None] = []

    async def load() -> None:
        got.append(await tokens.load(USER))

    async with anyio.create_task_group() as tasks:
        for _ in range(1_000):
            tasks.start_soon(load)
    assert store.calls == ["load"]
    assert len(got) == 1_000
    assert {stored and stored.token for stored in got} == {token(1) if present else None}


async def test_nothing_is_believed_for_a_second_and_then_looked_up_again(
    tokens: RememberedTokens, store: Watched, clock: Clock
) -> None:
    assert await tokens.load(USER) is None
    await stored_by_another(store, 1)
    clock.ticks += 0.99
    assert await tokens.load(USER) is None
    assert store.calls == ["load"]
    clock.ticks += 0.02
    loaded = await tokens.load(USER)
    assert loaded is not None
    assert loaded.token == token(1)


async def test_nothing_for_one_slot_says_nothing_about_another(tokens: RememberedTokens, store: Watched) -> None:
    await stored_by_another(store, 1, BOB)
    assert await tokens.load(USER) is None
    loaded = await tokens.load(BOB)
    assert loaded is not None
    assert loaded.token == token(1)


async def test_a_reread_notices_the_newer_token_of_another_process(tokens: RememberedTokens, store: Watched) -> None:
    await stored_by_another(store, 1)
    _ = await tokens.load(USER)
    await stored_by_another(store, 2)
    reread = await tokens.load(USER, reread=True)
    assert reread is not None
    assert reread.token == token(2)
    assert tokens.peek(USER) == token(2)
    assert isinstance(await tokens.save(USER, token(3), reread.version), Saved)


async def test_a_grant_outlives_the_deletion_of_what_was_stored(tokens: RememberedTokens, store: Watched) -> None:
    await stored_by_another(store, 1)
    _ = await tokens.load(USER)
    await MemoryStore.drop(store, USER)
    reread = await tokens.load(USER, reread=True)
    assert reread is not None
    assert reread.token == token(1)
    assert isinstance(await tokens.save(USER, token(2), reread.version), Saved)
    stored = await MemoryStore.load(store, USER)
    assert stored is not None
    assert stored.token == token(2)


async def test_a_store_that_cannot_be_reread_does_not_take_the_token_away(
    tokens: RememberedTokens, store: Watched
) -> None:
    await stored_by_another(store, 1)
    _ = await tokens.load(USER)

    async def gone() -> None:
        raise UnreadableTokenFile("gone", path="x")

    store.before["load"] = gone
    with pytest.warns(TokenNotSaved, match="gone"):
        reread = await tokens.load(USER, reread=True)
    assert reread is not None
    assert reread.token == token(1)


async def test_a_save_that_is_tried_again_gives_way_to_what_was_issued_later(
    tokens: RememberedTokens, store: Watched
) -> None:
    store.fails = OSError("full")
    with pytest.warns(TokenNotSaved):
        _ = await tokens.save(USER, token(1), "")
    store.fails = None
    later = Token(Secret("later"), 1e12, token(1).issued_at + 1, Secret("later-refresh"))
    _ = await MemoryStore.save(store, USER, later, "")
    await tokens.flush()
    assert tokens.peek(USER) == later
    stored = await MemoryStore.load(store, USER)
    assert stored is not None
    assert stored.token == later


def login(name: str, at: float) -> Token:
    return Token(Secret(f"AT-{name}"), at + 100, at, Secret(f"RT-{name}"), None, at, at)


@pytest.mark.parametrize(
    ("set_by", "theirs", "wins"),
    [
        (0.0, login("theirs", 40.0), False),
        (0.0, login("theirs", 60.0), True),
        # The clock was set back by a hundred: what looks earlier by fifty is later by as much.
        (-100.0, login("theirs", 0.5), True),
        (-100.0, login("theirs", -60.0), False),
        (100.0, login("theirs", 140.0), False),
        # What our login replaced is no later one, whatever the clocks say.
        (-100.0, login("before", 20.0), False),
    ],
)
async def test_a_login_that_is_saved_late_gives_way_to_a_later_one_whatever_clock_was_set(
    store: Watched, clock: Clock, set_by: float, theirs: Token, wins: bool
) -> None:
    wall = [50.0]
    tokens = RememberedTokens(store, clock, lambda: wall[0])
    saved = await MemoryStore.save(store, USER, login("before", 20.0), "")
    assert isinstance(saved, Saved)
    assert await tokens.load(USER) is not None
    store.fails = OSError("full")
    with pytest.warns(TokenNotSaved):
        _ = await tokens.save(USER, login("ours", 50.0), saved.version)
    store.fails = None
    wall[0] += set_by
    _ = await MemoryStore.save(store, USER, theirs, saved.version)
    await tokens.flush()
    kept = await store.kept()
    assert kept is not None
    assert kept.refresh_token == (theirs.refresh_token if wins else Secret("RT-ours"))


async def test_a_reread_does_not_believe_that_nothing_is_there(tokens: RememberedTokens, store: Watched) -> None:
    assert await tokens.load(USER) is None
    await stored_by_another(store, 1)
    assert await tokens.load(USER, reread=True) is not None


async def test_a_put_while_the_store_is_read_wins(tokens: RememberedTokens, store: Watched) -> None:
    await stored_by_another(store, 1)

    async def put() -> None:
        tokens.put(USER, token(9), save=False)

    store.after["load"] = put
    loaded = await tokens.load(USER)
    assert loaded is not None
    assert loaded.token == token(9)
    assert tokens.peek(USER) == token(9)


async def test_an_error_of_the_store_reaches_the_caller_and_is_not_remembered(
    tokens: RememberedTokens, store: Watched
) -> None:
    await stored_by_another(store, 1)

    async def broken() -> None:
        raise UnreadableTokenFile("no", path="file")

    store.before["load"] = broken
    with pytest.raises(UnreadableTokenFile):
        _ = await tokens.load(USER)
    del store.before["load"]
    loaded = await tokens.load(USER)
    assert loaded is not None
    assert loaded.token == token(1)


# What comes from the caller


async def test_a_token_put_without_saving_never_touches_the_store(
    tokens: RememberedTokens, store: Watched, clock: Clock
) -> None:
    tokens.put(USER, token(1), save=False)
    for reread in (False, True):
        loaded = await tokens.load(USER, reread=reread)
        assert loaded is not None
        assert loaded.token == token(1)
        clock.ticks += 100
    async with tokens.turn(USER), tokens.hold(USER):
        renewed = await tokens.save(USER, token(2), loaded.version)
    assert isinstance(renewed, Saved)
    clock.ticks += 100
    reloaded = await tokens.load(USER, reread=True)
    assert reloaded == Stored(token(2), renewed.version)
    await tokens.flush()
    await tokens.drop(USER)
    assert tokens.peek(USER) is None
    assert store.calls == []


async def test_holding_a_slot_of_the_callers_own_token_does_not_wait_for_other_processes(
    tokens: RememberedTokens, store: Watched
) -> None:
    store.refused = {USER}
    tokens.put(USER, token(1), save=False)
    async with tokens.hold(USER):
        pass


async def test_a_token_put_to_be_saved_is_stored_on_its_next_use(tokens: RememberedTokens, store: Watched) -> None:
    tokens.put(USER, token(1), save=True)
    assert store.calls == []
    loaded = await tokens.load(USER)
    assert loaded is not None
    assert loaded.token == token(1)
    assert await store.kept() == token(1)
    _ = await tokens.load(USER)
    assert store.calls == ["load", "save"]
    assert isinstance(await tokens.save(USER, token(2), loaded.version), Saved)
    assert await store.kept() == token(2)


async def test_a_token_put_to_be_saved_replaces_what_was_stored(tokens: RememberedTokens, store: Watched) -> None:
    await stored_by_another(store, 1)
    _ = await tokens.load(USER)
    tokens.put(USER, token(2), save=True)
    _ = await tokens.load(USER)
    assert await store.kept() == token(2)


async def test_many_uses_of_a_token_put_to_be_saved_store_it_once(tokens: RememberedTokens, store: Watched) -> None:
    tokens.put(USER, token(1), save=True)
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(tokens.load, USER)
    assert store.calls == ["load", "save"]


@pytest.mark.parametrize("save", [True, False])
async def test_a_put_while_a_renewal_is_under_way_is_not_overwritten_by_it(
    tokens: RememberedTokens, store: Watched, save: bool
) -> None:
    await stored_by_another(store, 1)
    loaded = await tokens.load(USER, reread=True)
    assert loaded is not None
    tokens.put(USER, token(9), save=save)
    outcome = await tokens.save(USER, token(2), loaded.version)
    assert isinstance(outcome, Superseded)
    assert outcome.stored is not None
    assert outcome.stored.token == token(9)
    assert tokens.peek(USER) == token(9)
    _ = await tokens.load(USER)
    assert await store.kept() == (token(9) if save else token(1))


@pytest.mark.parametrize("overtaken", [True, False], ids=["superseded", "saved"])
async def test_a_put_while_a_renewal_is_being_stored_is_not_overwritten_by_it(
    tokens: RememberedTokens, store: Watched, overtaken: bool
) -> None:
    await stored_by_another(store, 1)
    loaded = await tokens.load(USER, reread=True)
    assert loaded is not None
    if overtaken:
        await stored_by_another(store, 2)

    async def put() -> None:
        tokens.put(USER, token(9), save=True)

    store.after["save"] = put
    _ = await tokens.save(USER, token(3), loaded.version)
    del store.after["save"]
    assert tokens.peek(USER) == token(9)
    _ = await tokens.load(USER)
    assert await store.kept() == token(9)


# Saving


async def test_memory_comes_first_then_the_store(tokens: RememberedTokens, store: Watched) -> None:
    seen: list[Token | None] = []

    async def look() -> None:
        seen.append(tokens.peek(USER))

    store.before["save"] = look
    outcome = await tokens.save(USER, token(1), "")
    assert isinstance(outcome, Saved)
    assert seen == [token(1)]
    assert await tokens.load(USER) == Stored(token(1), outcome.version)
    assert store.calls == ["save"]


FAILURES = [
    UnreadableTokenFile("the disk is full", path="file"),
    ForeignTokenFile("another app's", path="file"),
    OSError(28, "No space left on device"),
    ConnectionResetError("gone"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
async def test_a_failing_save_keeps_the_token_and_warns_and_is_tried_again_after_thirty_ticks(
    tokens: RememberedTokens, store: Watched, clock: Clock, failure: Exception
) -> None:
    await stored_by_another(store, 1)
    loaded = await tokens.load(USER)
    assert loaded is not None
    store.fails = failure
    with pytest.warns(TokenNotSaved, match="held in memory only"):
        outcome = await tokens.save(USER, token(2), loaded.version)
    assert isinstance(outcome, NotSaved)
    assert str(failure) in outcome.reason
    store.calls.clear()
    for reread in (False, True):
        again = await tokens.load(USER, reread=reread)
        assert again is not None
        assert again.token == token(2)
    clock.ticks += 29.9
    _ = await tokens.load(USER)
    assert store.calls == []
    clock.ticks += 0.2
    with pytest.warns(TokenNotSaved):
        still = await tokens.load(USER)
    assert still is not None
    assert still.token == token(2)
    _ = await tokens.load(USER)
    assert store.calls == ["load", "save"]
    store.fails = None
    clock.ticks += 30
    _ = await tokens.load(USER)
    assert await store.kept() == token(2)
    clock.ticks += 30
    store.calls.clear()
    _ = await tokens.load(USER)
    assert store.calls == []


async def test_a_warning_shows_no_secret(tokens: RememberedTokens, store: Watched) -> None:
    store.fails = OSError("full")
    with pytest.warns(TokenNotSaved) as warned:
        _ = await tokens.save(USER, token(1), "")
    assert "AT1" not in str(warned[0].message)
    assert "RT1" not in str(warned[0].message)


async def test_a_failed_save_is_tried_again_on_flush(tokens: RememberedTokens, store: Watched) -> None:
    store.fails = OSError("full")
    with pytest.warns(TokenNotSaved):
        _ = await tokens.save(USER, token(1), "")
    store.fails = None
    await tokens.flush()
    assert await store.kept() == token(1)
    store.calls.clear()
    await tokens.flush()
    assert store.calls == []


async def test_a_store_that_cannot_even_be_read_does_not_fail_a_save_that_is_tried_again(
    tokens: RememberedTokens, store: Watched, clock: Clock
) -> None:
    tokens.put(USER, token(1), save=True)
    store.fails = OSError("gone")

    async def gone() -> None:
        raise ConnectionResetError("gone")

    store.before["load"] = gone
    with pytest.warns(TokenNotSaved, match="gone"):
        loaded = await tokens.load(USER)
    assert loaded is not None
    assert loaded.token == token(1)


async def test_renewing_an_unsaved_token_stores_the_new_one(tokens: RememberedTokens, store: Watched) -> None:
    await stored_by_another(store, 1)
    loaded = await tokens.load(USER)
    assert loaded is not None
    store.fails = OSError("full")
    with pytest.warns(TokenNotSaved):
        _ = await tokens.save(USER, token(2), loaded.version)
    store.fails = None
    held = await tokens.load(USER)
    assert held is not None
    assert isinstance(await tokens.save(USER, token(3), held.version), Saved)
    assert await store.kept() == token(3)


async def test_a_flush_does_not_store_what_was_renewed_while_it_waited(
    tokens: RememberedTokens, store: Watched
) -> None:
    store.fails = OSError("full")
    with pytest.warns(TokenNotSaved):
        _ = await tokens.save(USER, token(1), "")
    store.fails = None
    async with anyio.create_task_group() as tasks, tokens.turn(USER):
        tasks.start_soon(tokens.flush)
        await anyio.wait_all_tasks_blocked()
        held = await tokens.load(USER)
        assert held is not None
        assert isinstance(await tokens.save(USER, token(2), held.version), Saved)
    assert tokens.peek(USER) == token(2)
    assert await store.kept() == token(2)


async def test_a_save_tried_again_in_passing_does_not_overwrite_a_renewal_that_came_between(
    tokens: RememberedTokens, store: Watched, clock: Clock
) -> None:
    store.fails = OSError("full")
    with pytest.warns(TokenNotSaved):
        _ = await tokens.save(USER, token(1), "")
    store.fails = None
    clock.ticks += 31
    first = True

    async def renew() -> None:
        nonlocal first
        if first:
            first = False
            held = await tokens.load(USER)
            assert held is not None
            assert isinstance(await tokens.save(USER, token(2), held.version), Saved)

    store.before["load"] = renew
    _ = await tokens.load(USER)
    assert tokens.peek(USER) == token(2)
    assert await store.kept() == token(2)


async def test_one_slot_that_cannot_be_held_does_not_keep_a_flush_from_the_others(
    tokens: RememberedTokens, store: Watched
) -> None:
    for slot in (USER, BOB):
        tokens.put(slot, token(1), save=True)
    store.refused = {USER}
    with pytest.warns(TokenNotSaved, match="another process"):
        await tokens.flush()
    assert await store.kept(BOB) == token(1)
    assert tokens.peek(USER) == token(1)


async def test_a_store_error_is_what_a_token_store_may_raise() -> None:
    assert issubclass(TokenLockTimeout, StoreError)


async def test_a_superseded_save_takes_what_is_stored(tokens: RememberedTokens, store: Watched) -> None:
    await stored_by_another(store, 1)
    loaded = await tokens.load(USER)
    assert loaded is not None
    await stored_by_another(store, 2)
    outcome = await tokens.save(USER, token(3), loaded.version)
    assert isinstance(outcome, Superseded)
    assert tokens.peek(USER) == token(2)
    assert await store.kept() == token(2)


async def test_dropping_forgets_here_and_there(tokens: RememberedTokens, store: Watched) -> None:
    await stored_by_another(store, 1)
    _ = await tokens.load(USER)
    await tokens.drop(USER)
    assert tokens.peek(USER) is None
    assert await store.kept() is None
    assert await tokens.load(USER) is None


async def test_a_cancelled_save_is_made_up_for_later(tokens: RememberedTokens, store: Watched, clock: Clock) -> None:
    with anyio.CancelScope() as scope:

        async def cancel() -> None:
            scope.cancel()
            await checkpoint()

        store.before["save"] = cancel
        _ = await tokens.save(USER, token(1), "")
    assert scope.cancelled_caught
    assert tokens.peek(USER) == token(1)
    del store.before["save"]
    clock.ticks += 30
    _ = await tokens.load(USER)
    assert await store.kept() == token(1)


# Turns


async def test_one_task_at_a_time_has_the_turn_of_a_slot(tokens: RememberedTokens) -> None:
    inside = 0

    async def turn() -> None:
        nonlocal inside
        async with tokens.turn(USER):
            inside += 1
            assert inside == 1
            await checkpoint()
            inside -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(turn)
    async with tokens.turn(USER), tokens.turn(BOB):
        pass


def test_it_works_on_one_event_loop_after_another(tmp_path: Path) -> None:
    tokens = RememberedTokens(FileStore(tmp_path))

    async def use() -> Token | None:
        async with tokens.turn(USER), tokens.hold(USER):
            held = await tokens.load(USER, reread=True)
            if held is None:
                _ = await tokens.save(USER, token(1), "")
        return tokens.peek(USER)

    for _ in range(2):
        assert asyncio.run(use()) == token(1)
        assert trio.run(use) == token(1)


async def test_nothing_of_a_hold_is_left_when_its_body_fails() -> None:
    class Holding(MemoryStore):
        held = 0

        @asynccontextmanager
        async def hold(self, slot: Slot) -> AsyncGenerator[None]:  # type: ignore[override]
            Holding.held += 1
            try:
                yield
            finally:
                Holding.held -= 1

    tokens = RememberedTokens(Holding())

    async def fail() -> None:
        async with tokens.hold(USER):
            assert Holding.held == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert Holding.held == 0


async def test_what_a_store_of_somebody_elses_says_is_not_repeated(tokens: RememberedTokens, store: Watched) -> None:
    store.fails = RuntimeError("INSERT INTO tokens VALUES ('hush')")
    with pytest.warns(TokenNotSaved, match="RuntimeError") as told:
        outcome = await tokens.save(USER, token(1), "")
    assert isinstance(outcome, NotSaved)
    assert "hush" not in f"{outcome} {told[0].message}"
