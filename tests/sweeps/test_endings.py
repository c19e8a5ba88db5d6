"""The end of the event loop, and of the process, while a token is being renewed."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from itertools import product
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final, NoReturn

import anyio
import pytest
import trio

from kickcore import KickClient

from .scenes import ANSWERS_AFTER, LONGEST_END, Scene, ends_soon

ROOT: Final = Path(__file__).parent.parent.parent


@pytest.fixture(params=["expired", "due"], ids=["the call waits", "it is renewed ahead"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    return Scene(tmp_path, request.param)


class Leaving(Exception):
    """Why a program ends."""


# asyncio


async def return_(scene: Scene) -> None:
    _ = await scene.begin()


async def cancel_the_call(scene: Scene) -> None:
    task = await scene.begin()
    if task is not None:
        task.cancel()


async def cancel_all_tasks(scene: Scene) -> None:
    """As many programs do when they are told to stop."""
    _ = await scene.begin()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        _ = task.cancel()
    _ = await asyncio.gather(*others, return_exceptions=True)


async def cancel_all_tasks_from_a_handler(scene: Scene) -> None:
    _ = await scene.begin()
    asyncio.get_running_loop().call_soon(lambda: [task.cancel() for task in asyncio.all_tasks()])
    await asyncio.sleep(60)


async def raise_an_error(scene: Scene) -> NoReturn:
    _ = await scene.begin()
    raise Leaving


async def exit_(scene: Scene) -> NoReturn:
    _ = await scene.begin()
    sys.exit(3)


async def exit_in_a_task(scene: Scene) -> None:
    async def leave() -> NoReturn:
        sys.exit(3)

    _ = await scene.begin()
    _ = await asyncio.gather(leave())


async def interrupt(scene: Scene) -> None:
    _ = await scene.begin()
    signal.raise_signal(signal.SIGINT)
    await asyncio.sleep(60)


async def interrupt_twice(scene: Scene) -> None:
    """The second time when nothing runs but the renewal: that ends the wait for everything else."""
    _ = await scene.begin()
    asyncio.get_running_loop().call_later(ANSWERS_AFTER / 2, signal.raise_signal, signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(ANSWERS_AFTER / 2)


async def time_out(scene: Scene) -> None:
    async with asyncio.timeout(ANSWERS_AFTER / 2):
        task = await scene.begin()
        await (task or asyncio.sleep(60))


ON_ASYNCIO: Final[dict[Callable[[Scene], Coroutine[Any, Any, None]], type[BaseException] | None]] = {
    return_: None,
    cancel_the_call: None,
    cancel_all_tasks: None,
    cancel_all_tasks_from_a_handler: asyncio.CancelledError,
    raise_an_error: Leaving,
    exit_: SystemExit,
    exit_in_a_task: SystemExit,
    interrupt: KeyboardInterrupt,
    interrupt_twice: KeyboardInterrupt,
    time_out: TimeoutError,
}


def named(value: Any) -> str:
    return value.__name__ if callable(value) else "debug" if value else ""


@pytest.mark.parametrize(
    ("main", "debug"), [*product(ON_ASYNCIO, [False]), (return_, True), (exit_, True), (interrupt, True)], ids=named
)
def test_the_end_of_asyncio_waits_for_a_renewal_and_for_nothing_else(
    main: Callable[[Scene], Coroutine[Any, Any, None]], scene: Scene, debug: bool
) -> None:
    raises = ON_ASYNCIO[main]

    def run() -> None:
        if raises is None:
            asyncio.run(main(scene), debug=debug)
        else:
            with pytest.raises(raises):
                asyncio.run(main(scene), debug=debug)

    ends_soon(run)
    assert scene.has_ended_well()
    anyio.run(scene.stage.client.fetch_user, backend="trio")


def test_a_runner_of_asyncio_goes_on_with_a_renewal_in_its_next_run(scene: Scene) -> None:
    def run() -> None:
        with asyncio.Runner() as runner:
            task = runner.run(scene.begin())
            assert not scene.has_ended_well()
            runner.run(asyncio.sleep(2 * ANSWERS_AFTER))
            assert task is None or task.done()
            assert scene.has_ended_well()

    ends_soon(run)


def test_closing_a_runner_of_asyncio_waits_for_a_renewal(scene: Scene) -> None:
    def run() -> None:
        runner = asyncio.Runner()
        _ = runner.run(scene.begin())
        runner.close()

    ends_soon(run)
    assert scene.has_ended_well()


# trio


async def trio_begin(scene: Scene, nursery: trio.Nursery) -> None:
    client, sent = scene.slow_client()
    if scene.waits:
        nursery.start_soon(client.fetch_user)
    else:
        _ = await client.fetch_user()
    await sent.wait()


async def trio_cancel(nursery: trio.Nursery) -> None:
    nursery.cancel_scope.cancel()


async def trio_raise(nursery: trio.Nursery) -> NoReturn:
    raise Leaving


async def trio_exit(nursery: trio.Nursery) -> NoReturn:
    sys.exit(3)


async def trio_interrupt(nursery: trio.Nursery) -> None:
    signal.raise_signal(signal.SIGINT)
    await trio.sleep(60)


ON_TRIO: Final[dict[Callable[[trio.Nursery], Awaitable[None]], type[BaseException] | None]] = {
    trio_cancel: None,
    trio_raise: Leaving,
    trio_exit: SystemExit,
    trio_interrupt: KeyboardInterrupt,
}


async def on_trio(scene: Scene, leave: Callable[[trio.Nursery], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery:
        await trio_begin(scene, nursery)
        await leave(nursery)


@pytest.mark.parametrize("leave", ON_TRIO, ids=named)
def test_the_end_of_trio_waits_for_a_renewal_and_for_nothing_else(
    leave: Callable[[trio.Nursery], Awaitable[None]], scene: Scene
) -> None:
    raises = ON_TRIO[leave]

    def run() -> None:
        if raises is None:
            trio.run(on_trio, scene, leave)
        else:
            with pytest.raises(BaseExceptionGroup) as caught:
                trio.run(on_trio, scene, leave)
            assert caught.group_contains(raises)

    ends_soon(run)
    assert scene.has_ended_well()
    anyio.run(scene.stage.client.fetch_user, backend="asyncio")


# Both


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_whoever_is_interrupted_while_he_waits_holds_the_lock_until_it_is_renewed(backend: str, tmp_path: Path) -> None:
    scene = Scene(tmp_path, "expired")

    async def main() -> None:
        client, _ = scene.slow_client(lambda: signal.raise_signal(signal.SIGINT))
        _ = await client.fetch_user()

    def run() -> None:
        with pytest.raises(KeyboardInterrupt):
            anyio.run(main, backend=backend)

    ends_soon(run)
    assert scene.has_ended_well()


@pytest.mark.filterwarnings("ignore::kickcore.errors.GrantOld")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_listener_may_exit(backend: str, scene: Scene) -> None:
    """What it is told here comes after the new token is stored. On trio, no task of the system may exit by itself."""
    scene.make_old()

    async def main() -> None:
        client, _ = scene.slow_client(on_notice=lambda _: sys.exit(3))
        _ = await client.fetch_user()
        await anyio.sleep(60)

    def run() -> None:
        with pytest.raises((SystemExit, trio.TrioInternalError)):
            anyio.run(main, backend=backend)

    ends_soon(run)
    assert scene.has_ended_well()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "left to the event loop"])
def test_a_generator_that_is_closed_closes_the_client_in_it(is_closed: bool, backend: str, scene: Scene) -> None:
    clients: list[KickClient] = []

    async def names() -> AsyncGenerator[str]:
        client, _ = scene.slow_client()
        clients.append(client)
        async with client:
            while True:
                yield (await client.fetch_user()).name

    found = names()

    async def main() -> None:
        assert await anext(found) == "streamer_123"
        if is_closed:
            await found.aclose()

    ends_soon(lambda: anyio.run(main, backend=backend))
    assert "closed" in repr(clients[0])
    assert scene.stage.is_kept(scene.stage.stored())


# Processes


PROGRAM = """
import asyncio, sys, time
from pathlib import Path

import trio

from tests.sweeps import scenes
from tests.sweeps.test_endings import exit_, on_trio, trio_exit

backend, setting, folder = sys.argv[1:]
scenes.ANSWERS_AFTER = 0.3
scene = scenes.Scene(Path(folder), setting)
try:
    asyncio.run(exit_(scene)) if backend == "asyncio" else trio.run(on_trio, scene, trio_exit)
finally:
    print(scene.has_ended_well(), time.time(), flush=True)
"""


def test_a_process_that_exits_while_a_token_is_renewed_ends_soon_and_keeps_the_new_one(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    begun: list[subprocess.Popen[str]] = []
    for backend in ("asyncio", "trio"):
        for setting in ("expired", "due"):
            command = [sys.executable, "-c", PROGRAM, backend, setting, tempfile.mkdtemp(dir=tmp_path)]
            begun.append(subprocess.Popen(command, env=environment, text=True, stdout=PIPE, stderr=PIPE))
    for process in begun:
        told, complained = process.communicate(timeout=30)
        ended = time.time()
        is_well, left = told.split()
        assert is_well == "True", complained
        assert ended - float(left) < LONGEST_END
