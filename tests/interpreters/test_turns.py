"""Taking turns among tasks, threads and processes."""

import os
import subprocess
import sys
import threading

import anyio
import pytest
from anyio.lowlevel import checkpoint

from interpreters.turns import Gate, Turn
from kickcore.errors import InvalidClient, KickError

FAILURE = InvalidClient("no", error="invalid_client", description="", status=401)


async def test_a_turn_is_taken_in_the_order_in_which_they_came() -> None:
    turn = Turn()
    order: list[int] = []

    async def take(number: int) -> None:
        async with turn as same:
            assert same is turn
            assert turn.is_taken()
            await checkpoint()
            order.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(take, number)
            await anyio.wait_all_tasks_blocked()
    assert order == list(range(10))
    assert not turn.is_taken()


async def test_a_failure_is_for_those_who_waited_and_not_for_those_who_come_later() -> None:
    turn = Turn()
    before = turn.ended
    assert turn.failure_since(before) is None
    turn.end(FAILURE)
    shared = turn.failure_since(before)
    assert isinstance(shared, InvalidClient)
    assert shared is not FAILURE
    assert (str(shared), shared.status) == ("no", 401)
    assert turn.failure_since(turn.ended) is None
    turn.end(None)
    assert turn.failure_since(before) is None


async def test_a_failure_is_kept_without_what_it_came_by() -> None:
    turn = Turn()
    try:
        raise FAILURE from ZeroDivisionError()
    except KickError as error:
        turn.end(error)
    shared = turn.failure_since(0)
    assert shared is not None
    assert shared.__traceback__ is None
    assert shared.__cause__ is None


async def test_one_task_at_a_time_goes_through_a_gate() -> None:
    gate = Gate()
    inside = most = 0

    async def go() -> None:
        nonlocal inside, most
        async with gate.hold("name"):
            inside += 1
            most = max(most, inside)
            await checkpoint()
            inside -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(go)
    assert most == 1


async def test_a_gate_has_as_many_ways_as_names() -> None:
    gate = Gate()
    async with gate.hold("one"):
        with anyio.fail_after(1):
            async with gate.hold("other"):
                pass


async def test_waiting_at_a_gate_can_be_cancelled_and_errors_open_it() -> None:
    gate = Gate()

    async def broken() -> None:
        async with gate.hold("name"):
            with anyio.move_on_after(0.01) as waiting:
                async with gate.hold("name"):
                    raise AssertionError("two hold it")
            assert waiting.cancelled_caught
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await broken()
    with anyio.fail_after(1):
        async with gate.hold("name"):
            pass


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_thread_at_a_time_goes_through_a_gate(backend: str) -> None:
    gate = Gate()
    inside = most = done = 0

    async def go() -> None:
        nonlocal inside, most, done
        for _ in range(20):
            async with gate.hold("name"):
                inside += 1
                most = max(most, inside)
                await checkpoint()
                inside -= 1
                done += 1

    threads = [threading.Thread(target=lambda: anyio.run(go, backend=backend)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert done == 80


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_process_does_not_wait_for_a_gate_that_its_parent_held() -> None:
    code = """
import anyio, os
from interpreters.turns import Gate
gate = Gate()

async def through():
    with anyio.fail_after(5):
        async with gate.hold("name"):
            pass

async def held():
    async with gate.hold("name"):
        return os.fork()

child = anyio.run(held)
if child == 0:
    lock = gate._lock("name")
    os._exit(0 if not lock.locked() else 1)
_, status = os.waitpid(child, 0)
anyio.run(through)
print(os.waitstatus_to_exitcode(status))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (told.stdout.strip(), told.stderr) == ("0", "")
