"""What every token store promises: kept by ours, and missed where a store breaks it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from msgspec.structs import replace

from interpreters.tokens import TokenStore
from interpreters.tokens.files import FileStore
from interpreters.tokens.memory import MemoryStore
from interpreters.tokens.remembered import RememberedTokens
from kickcore.errors import ForeignTokenFile, StoreError
from kickcore.oauth.tokens import NotSaved, Saved, Slot, Stored, Superseded, Token
from kickcore.testing import CHECKS, BrokenPromise, Check, Script, Subject, conforms, follow, promise, scripts

from .broken_stores import BROKEN, TOKEN, USER, NoVersion, Open, Picky, Rows, Table

NAMED = {check.__name__: check for check in CHECKS}


def remembered(subject: Subject) -> Subject:
    """The memory before a store, as a store."""
    return Subject(RememberedTokens(subject.store), lambda: RememberedTokens(subject.again()))  # type: ignore[arg-type]


def subject_of(kind: str, folder: Path) -> Subject:
    memory = MemoryStore()
    stores: dict[str, Callable[[], TokenStore]] = {"memory": lambda: memory, "files": lambda: FileStore(folder)}
    make = stores[kind.removeprefix("remembered ")]
    bare = Subject(make(), make)
    return remembered(bare) if kind.startswith("remembered") else bare


OF_STORES_ALONE = {"a_load_sees_what_others_have_done", "whatever_is_done_comes_out_as_in_a_dictionary"}
"""What memory does not promise: it is there so that not every load looks at the store."""


def cases() -> list[Any]:
    kinds = ["memory", "files", "remembered memory", "remembered files"]
    return [
        pytest.param(kind, check, id=f"{kind}-{name}")
        for kind in kinds
        for name, check in NAMED.items()
        if not (kind.startswith("remembered") and name in OF_STORES_ALONE)
    ]


@pytest.mark.parametrize(("kind", "check"), cases())
async def test_our_stores_keep_every_promise(kind: str, check: Check, tmp_path: Path) -> None:
    await check(subject_of(kind, tmp_path))


@given(script=scripts())
async def test_memory_that_is_new_for_each_operation_comes_out_as_a_dictionary(script: Script) -> None:
    store = MemoryStore()

    class Anew:
        """As if each operation were the first of a process."""

        def __getattr__(self, name: str) -> Any:
            return getattr(RememberedTokens(store), name)

    await follow(script, [Anew()], [replace(USER, account=name) for name in ("a", "b")])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "other",
    [replace(USER, issuer="http://127.0.0.1:8000"), replace(USER, client_id="CID2")],
    ids=["issuer", "client id"],
)
async def test_a_folder_of_another_app_or_host_is_refused(tmp_path: Path, other: Slot) -> None:
    store = FileStore(tmp_path)
    saved = await store.save(USER, TOKEN, "")
    assert isinstance(saved, Saved)
    with pytest.raises(ForeignTokenFile):
        _ = await store.load(other)
    assert await store.load(USER) == Stored(TOKEN, saved.version)


async def test_a_subject_can_be_opened_and_closed() -> None:
    opened: list[str] = []

    @asynccontextmanager
    async def make() -> AsyncGenerator[Subject]:
        opened.append("opened")
        rows = Rows(Table())
        yield Subject(rows, lambda: Rows(rows.table))
        opened.append("closed")

    await conforms(make)
    assert opened == ["opened", "closed"] * len(CHECKS)


# --- Stores of others


def subject_for(make: Callable[[Table], Rows], patience: float = 5.0) -> Subject:
    table = Table()
    return Subject(make(table), lambda: make(table), patience)


@pytest.mark.parametrize("make", [Rows, Open])
async def test_a_good_store_keeps_every_promise(make: Callable[[Table], Rows]) -> None:
    await conforms(lambda: subject_for(make))


def test_for_every_promise_there_is_a_store_that_breaks_it() -> None:
    assert list(BROKEN) == list(NAMED)


@pytest.mark.parametrize(("name", "make"), [(name, make) for name, makes in BROKEN.items() for make in makes])
async def test_a_store_that_breaks_a_promise_is_found(name: str, make: Callable[[Table], Rows]) -> None:
    with pytest.raises((BrokenPromise, KeyError)):
        await NAMED[name](subject_for(make, patience=0.2))


async def test_each_broken_promise_is_named_with_what_happened() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await conforms(lambda: subject_for(Picky))
    assert str(caught.value).startswith(f"3 of {len(CHECKS)} promises of a token store are broken")
    assert [str(error).partition(": Slot")[0] for error in caught.value.exceptions] == [
        "apps_and_hosts_are_kept_apart: KeyError",
        "dropping_forgets_and_dropping_nothing_is_fine: KeyError",
        "whatever_is_done_comes_out_as_in_a_dictionary: KeyError",
    ]
    assert all(isinstance(error.__cause__, KeyError) for error in caught.value.exceptions)


async def test_a_script_that_fails_is_shown_and_short() -> None:
    with pytest.raises(BrokenPromise) as caught:
        await NAMED["whatever_is_done_comes_out_as_in_a_dictionary"](subject_for(NoVersion))
    assert str(caught.value).startswith("Save(holder=0, slot=0, token=")
    assert caught.value.__notes__ == [
        "Failing test case: try_all(\n    script=tuple([Save(0, 0, numbered(1))]),\n)",
    ]


class Mute(Rows):
    async def load(self, slot: Slot) -> Stored | None:
        await anyio.sleep_forever()
        return None


async def test_a_store_that_never_answers_is_not_waited_for() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await conforms(lambda: subject_for(Mute, patience=0.01))
    texts = [str(error) for error in caught.value.exceptions]
    assert "nothing_is_stored_at_first: it took more than 0.01 seconds" in texts


async def test_a_script_to_which_a_store_does_not_answer_is_not_tried_again_and_again() -> None:
    with pytest.raises(BrokenPromise, match=r"a store does not answer|took more than 1 seconds"):
        await NAMED["whatever_is_done_comes_out_as_in_a_dictionary"](subject_for(Mute, patience=1.0))


async def test_what_goes_wrong_side_by_side_and_is_no_broken_promise_is_raised_as_it_is() -> None:
    class Failing(Rows):
        async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded | NotSaved:
            raise StoreError("no", path="")

    with pytest.raises(ExceptionGroup) as caught:
        await NAMED["hundreds_of_accounts_are_kept_apart"](subject_for(Failing))
    assert all(isinstance(error, StoreError) for error in caught.value.exceptions)


def test_a_check_is_a_function_with_a_name_and_a_promise() -> None:
    assert len(NAMED) == len(CHECKS)
    assert all(check.__doc__ for check in CHECKS)


async def test_a_check_of_ones_own_is_made_like_ours() -> None:
    @promise
    async def it_has_rows(subject: Subject) -> None:
        assert isinstance(subject.store, Rows)

    assert it_has_rows.__name__ == "it_has_rows"
    await it_has_rows(subject_for(Rows))
