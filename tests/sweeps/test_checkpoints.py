"""Every coroutine of `KickClient` is a checkpoint, also where memory has all the answers; what is none says so."""

import asyncio
from pathlib import Path
from warnings import catch_warnings, simplefilter

import anyio
import pytest
import trio
from trio.testing import assert_checkpoints

from interpreters.flow import Flow
from interpreters.tokens.memory import MemoryStore

from .calls import CALLS
from .points import by_scope
from .stages import OTHER, SETTINGS, Stage

SAYS_SO = "no checkpoint"
OPEN = [name for name in CALLS if name not in {"close", "__aexit__"}]


@pytest.fixture
async def stage(tmp_path: Path, anyio_backend: str) -> Stage:
    """Both tokens are good, and in memory."""
    async with anyio.create_task_group() as visitors:
        stage = Stage(tmp_path / "tokens", visitors)
        SETTINGS["fresh"](stage)
        _ = await stage.client.fetch_user()
        _ = await stage.client.fetch_user(OTHER)
        yield stage


@pytest.mark.parametrize("name", CALLS)
async def test_every_call_is_a_checkpoint(name: str, anyio_backend: str, stage: Stage) -> None:
    with catch_warnings():
        simplefilter("ignore", DeprecationWarning)
        if anyio_backend == "trio":
            with assert_checkpoints():
                _ = await CALLS[name](stage)
        else:
            _, suspensions = await by_scope(lambda: CALLS[name](stage), 0)
            assert suspensions > 0


@pytest.mark.parametrize("name", OPEN)
async def test_a_call_by_somebody_who_is_cancelled_already_sends_nothing(name: str, stage: Stage) -> None:
    before = len(stage.kick.log)
    with catch_warnings(), anyio.CancelScope() as scope:
        simplefilter("ignore", DeprecationWarning)
        scope.cancel()
        _ = await CALLS[name](stage)
    assert scope.cancelled_caught
    assert len(stage.kick.log) == before


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("name", OPEN)
async def test_a_call_in_a_task_that_is_cancelled_before_it_begins_sends_nothing(name: str, stage: Stage) -> None:
    before = len(stage.kick.log)

    async def call() -> None:
        with catch_warnings():
            simplefilter("ignore", DeprecationWarning)
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
            _ = await CALLS[name](stage)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(call())
    assert len(stage.kick.log) == before


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_closing_is_done_even_by_somebody_who_is_cancelled_already(stage: Stage) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await stage.client.close()
    assert scope.cancelled_caught
    assert "closed" in repr(stage.client)


async def test_an_item_that_is_there_already_comes_at_once_and_the_flow_says_so(stage: Stage) -> None:
    flow = stage.client.categories()
    _ = await anext(flow)
    _, suspensions = await by_scope(lambda: anext(flow), 0)
    assert suspensions > 0 or SAYS_SO in str(Flow.__doc__)


async def test_the_store_in_memory_answers_at_once_and_says_so(stage: Stage) -> None:
    store = MemoryStore()
    _, suspensions = await by_scope(lambda: store.load(stage.client._live.app.slot("user")), 0)
    assert suspensions > 0 or SAYS_SO in str(MemoryStore.__doc__)
