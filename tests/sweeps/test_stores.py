"""The methods of stores, and of the memory before them, cancelled wherever they can be suspended."""

import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

import anyio
import pytest
from anyio import from_thread
from anyio.lowlevel import checkpoint

from interpreters.tokens import TokenStore, files
from interpreters.tokens.files import FileStore
from interpreters.tokens.memory import MemoryStore
from interpreters.tokens.remembered import RememberedTokens
from kickcore.oauth.tokens import Saved, Superseded, Token
from kickcore.secret import Secret

from .left import at_last, descriptors, is_free, tasks
from .points import STEPS, WAYS, How, counting, is_right
from .stages import USER_SLOT

OLD, NEW, NEXT = (
    Token(Secret(f"access-{name}"), time.time() + 7200, time.time(), Secret(f"refresh-{name}"))
    for name in ("old", "new", "next")
)

Method: TypeAlias = Callable[[TokenStore], Awaitable[object]]


async def load(store: TokenStore) -> object:
    return await store.load(USER_SLOT)


async def save(store: TokenStore) -> object:
    return await store.save(USER_SLOT, NEW, await version(store))


async def drop(store: TokenStore) -> None:
    await store.drop(USER_SLOT)


async def hold(store: TokenStore) -> None:
    async with store.hold(USER_SLOT):
        await checkpoint()


async def save_while_held(store: TokenStore) -> object:
    async with store.hold(USER_SLOT):
        return await save(store)


async def drop_while_held(store: TokenStore) -> None:
    async with store.hold(USER_SLOT):
        await drop(store)


async def wait_for_another_holder(store: TokenStore) -> None:
    """Who holds it lets go after a moment."""
    async with anyio.create_task_group() as others:
        held = anyio.Event()

        async def other() -> None:
            async with another(store).hold(USER_SLOT):
                held.set()
                await anyio.sleep(0.005)

        others.start_soon(other)
        await held.wait()
        await hold(store)


def another(store: TokenStore) -> TokenStore:
    return FileStore(store.directory) if isinstance(store, FileStore) else store


async def version(store: TokenStore) -> str:
    stored = await store.load(USER_SLOT)
    return stored.version if stored else ""


METHODS: Final[dict[str, Method]] = {
    "load": load,
    "save": save,
    "drop": drop,
    "hold": hold,
    "save while held": save_while_held,
    "wait for another holder": wait_for_another_holder,
}
MAKERS: Final[dict[str, Callable[[Path], TokenStore]]] = {"files": FileStore, "memory": lambda _: MemoryStore()}


class Held:
    """What is held before a store is asked."""

    def __init__(self) -> None:
        self._tasks = tasks()
        self._descriptors = descriptors()

    async def more(self, folder: Path) -> list[str]:
        """What there is more by now, and does not go away."""
        return await at_last(lambda: list(self._more(folder)))

    def _more(self, folder: Path) -> Iterator[str]:
        yield from map(str, tasks() - self._tasks)
        yield from (path.name for path in folder.iterdir() if path.name.endswith(".tmp"))
        yield from (lock.name for lock in folder.glob(".*.lock") if not is_free(lock))
        if descriptors() > self._descriptors:
            yield "descriptors"


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", METHODS)
async def test_a_store_that_is_cancelled_holds_one_token_or_the_other_and_goes_on(
    name: str, kind: str, anyio_backend: str, tmp_path: Path
) -> None:
    with counting(anyio_backend) as complaints:
        for way, cancelling in WAYS[anyio_backend].items():
            for place in count(1):
                folder = tmp_path / f"{way}-{place}"
                folder.mkdir()
                store = MAKERS[kind](folder)
                assert isinstance(await store.save(USER_SLOT, OLD, ""), Saved)
                before = Held()
                came, _ = await cancelling(lambda store=store: METHODS[name](store), place)
                assert await before.more(folder) == [], (way, place)
                if not came.was_cancelled:
                    assert came.how is How.FINISHED
                    break
                assert is_right(way, came, may_finish=True), (way, place)
                stored = await store.load(USER_SLOT)
                assert (stored and stored.token) in {"drop": (OLD, None), "load": (OLD,)}.get(name, (OLD, NEW))
                with anyio.fail_after(3):
                    async with store.hold(USER_SLOT):
                        assert isinstance(await store.save(USER_SLOT, NEXT, await version(store)), Saved)
    assert complaints == []


@pytest.mark.parametrize("method", [save_while_held, drop_while_held])
async def test_who_lets_go_of_a_file_has_ended_writing_it(
    method: Method, anyio_backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could still be written when the next one, who holds it by then, has written a newer token."""
    for way, cancelling in WAYS[anyio_backend].items():
        store = FileStore(tmp_path / way)
        assert isinstance(await store.save(USER_SLOT, OLD, ""), Saved)
        with monkeypatch.context() as patch:
            patch.setattr(files, "_write_all", _cancelling_first(files._write_all))
            patch.setattr(Path, "unlink", _cancelling_first(Path.unlink))
            came, _ = await cancelling(lambda store=store: method(store), 0)
        then = [path.name for path in store.directory.iterdir()], await load(store)
        await anyio.sleep(0.05)
        assert ([path.name for path in store.directory.iterdir()], await load(store)) == then
        assert is_right(way, came, may_finish=True)


def _cancelling_first(work: Callable[..., Any]) -> Callable[..., Any]:
    """In a worker thread: cancel whoever waits for it, and take a while."""

    def cancelling(*args: Any, **named: Any) -> Any:
        steps = STEPS.get()
        assert steps is not None
        _ = from_thread.run_sync(steps.act)
        time.sleep(0.02)
        return work(*args, **named)

    return cancelling


@pytest.mark.parametrize("name", ["flush", "finish_renewals", "load", "load anew", "save"])
async def test_a_memory_that_is_cancelled_loses_no_token_and_can_store_it_later(
    name: str, anyio_backend: str, tmp_path: Path
) -> None:
    async def called(tokens: RememberedTokens) -> object:
        match name:
            case "flush":
                return await tokens.flush()
            case "finish_renewals":
                return await tokens.finish_renewals()
            case "save":
                held = await tokens.load(USER_SLOT)
                assert held is not None
                return await tokens.save(USER_SLOT, NEXT, held.version)
            case _:
                return await tokens.load(USER_SLOT, reread=name == "load anew")

    with counting(anyio_backend) as complaints:
        for way, cancelling in WAYS[anyio_backend].items():
            for place in count(1):
                folder = tmp_path / f"{way}-{place}"
                folder.mkdir()
                tokens = RememberedTokens(FileStore(folder))
                tokens.put(USER_SLOT, NEW, save=True)
                before = Held()
                came, _ = await cancelling(lambda tokens=tokens: called(tokens), place)
                assert await before.more(folder) == [], (way, place)
                assert tokens.peek(USER_SLOT) in ((NEW, NEXT) if name == "save" else (NEW,))
                with anyio.fail_after(3):
                    await tokens.flush()
                stored = await tokens.store.load(USER_SLOT)
                assert stored is not None
                assert stored.token == tokens.peek(USER_SLOT)
                if not came.was_cancelled:
                    break
                assert is_right(way, came, may_finish=True), (way, place)
    assert complaints == []


async def test_waiting_for_a_renewal_to_finish_can_be_cancelled_at_any_point(anyio_backend: str) -> None:
    for way, cancelling in WAYS[anyio_backend].items():
        for place in count(1):
            tokens = RememberedTokens(MemoryStore())
            async with anyio.create_task_group() as others:
                held = anyio.Event()

                async def renew(tokens: RememberedTokens = tokens, held: anyio.Event = held) -> None:
                    async with tokens.turn(USER_SLOT):
                        held.set()
                        await anyio.sleep(0.01)

                others.start_soon(renew)
                await held.wait()
                came, _ = await cancelling(tokens.finish_renewals, place)
                assert is_right(way, came) or not came.was_cancelled
            assert not tokens.turn(USER_SLOT).is_taken()
            if not came.was_cancelled:
                break


async def test_a_save_is_refused_where_another_has_come_first_however_it_was_cancelled(
    anyio_backend: str, tmp_path: Path
) -> None:
    for way, cancelling in WAYS[anyio_backend].items():
        for place in count(1):
            store = FileStore(tmp_path / f"{way}-{place}")
            old, before = await version_of_saved(store), Held()
            came, _ = await cancelling(lambda store=store, old=old: store.save(USER_SLOT, NEW, old), place)
            assert await before.more(store.directory) == []
            assert isinstance(await store.save(USER_SLOT, NEXT, "another"), Superseded)
            if not came.was_cancelled:
                break


async def version_of_saved(store: TokenStore) -> str:
    saved = await store.save(USER_SLOT, OLD, "")
    assert isinstance(saved, Saved)
    return saved.version
