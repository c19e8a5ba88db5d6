"""One client in several threads, each with an event loop of its own; and one that lives on in a forked process."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import anyio
import httpx2
import pytest

from interpreters.sandbox import Sandbox
from interpreters.tokens.files import FileStore
from kickcore import Scope
from kickcore.http import Request, Response, Unreachable
from kickcore.oauth.record import write_record
from kickcore.oauth.tokens import Slot, TokenKind

from .hosting import hosted
from .stages import OTHER, SETTINGS, USER_LIFE, Stage, Wire, _aged, stocked

ROOT: Final = Path(__file__).parent.parent.parent


class SlowWire(Wire):
    """A Kick that takes a while to answer a renewal, and acts on one request at a time whatever threads they are of."""

    def __init__(self, kick: Sandbox) -> None:
        handle, one_at_a_time = kick.handle, threading.Lock()

        def handled(request: Request) -> Response | Unreachable:
            with one_at_a_time:
                return handle(request)

        kick.handle = handled
        super().__init__(kick)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await super().handle_async_request(request)
        if request.url.path == "/oauth/token":
            await anyio.sleep(0.02)
        return answer


@pytest.mark.parametrize("backends", [("asyncio", "asyncio"), ("trio", "trio"), ("asyncio", "trio")], ids="-".join)
@pytest.mark.parametrize("setting", ["expired", "refused", "expired, in memory", "handed over", "injected"])
def test_one_client_in_two_threads_renews_once_and_works_in_both(
    setting: str, backends: tuple[str, str], tmp_path: Path
) -> None:
    stage = Stage(tmp_path / "tokens", in_memory="in memory" in setting)
    SETTINGS[setting](stage)
    client = stage.client
    client._live._transport._own = httpx2.AsyncClient(transport=SlowWire(stage.kick))
    barrier, names, failures = threading.Barrier(2), list[str](), list[BaseException]()

    async def main() -> None:
        for _ in range(3):
            async with anyio.create_task_group() as callers:
                for _ in range(5):
                    callers.start_soon(call)

    async def call() -> None:
        names.append((await client.fetch_user()).name)
        names.append((await client.fetch_user(OTHER)).name)

    def thread(backend: str) -> None:
        barrier.wait()
        try:
            anyio.run(main, backend=backend)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=thread, args=(backend,)) for backend in backends]
    for each in threads:
        each.start()
    for each in threads:
        each.join(timeout=20)
    assert failures == []
    assert sorted(set(names)) == ["streamer_123", "xQc"]
    assert len(names) == 2 * 2 * 3 * 5
    assert sum(held.spent_at is not None for held in stage.kick.world.refresh.values()) == 1
    assert stage.is_kept(client.user_token)


# Forks


PROGRAM: Final = """
import asyncio, os, sys, traceback

import trio

from interpreters.tokens.files import FileStore
from kickcore import KickClient

url, folder, when, backend = sys.argv[1:]
client = KickClient("sandbox-app", "sandbox-secret", api_url=url, id_url=url, store=FileStore(folder))

async def call():
    print((await client.fetch_user()).name, flush=True)

def run():
    asyncio.run(call()) if backend == "asyncio" else trio.run(call)

def fork():
    child = os.fork()
    if child == 0:
        try:
            run()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    return child

async def fork_in_the_middle():
    calling = asyncio.ensure_future(call())
    await asyncio.sleep(0.1)
    child = fork()
    await calling
    return child

if when == "before":
    child = fork()
    run()
elif when == "between":
    asyncio.run(client.fetch_public_key())
    child = fork()
    run()
else:
    child = asyncio.run(fork_in_the_middle())
_, status = os.waitpid(child, 0)
run()
sys.exit(status != 0)
"""


@pytest.mark.parametrize(
    ("when", "backend"),
    [
        ("between", "trio"),
        ("middle", "asyncio"),
        pytest.param("before", "asyncio", marks=pytest.mark.full),
        pytest.param("before", "trio", marks=pytest.mark.full),
        pytest.param("between", "asyncio", marks=pytest.mark.full),
    ],
)
def test_a_fork_leaves_a_client_that_works_in_both_processes(when: str, backend: str, tmp_path: Path) -> None:
    kick = Sandbox(stocked())
    delay = threading.Event()
    renewals: list[Request] = []

    def before(request: Request) -> None:
        if request.url.endswith("/oauth/token"):
            renewals.append(request)
            _ = delay.wait(0.3)

    kick.before = before
    with hosted(kick) as url:
        slot = Slot(url, "sandbox-app", TokenKind.USER)
        path = FileStore(tmp_path).path(slot)
        path.write_bytes(write_record(slot, _aged(kick.sign_in(Scope), USER_LIFE + 10)))
        path.chmod(0o600)
        told = subprocess.run(
            [sys.executable, "-c", PROGRAM, url, str(tmp_path), when, backend],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == ["streamer_123"] * 3
    assert len(renewals) == 1
