"""The lock between processes: exclusive, freed by death, patient without blocking, and never deleted."""

import asyncio
import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import anyio
import pytest
from anyio.lowlevel import checkpoint

from interpreters.tokens import lock
from interpreters.tokens.lock import file_lock
from kickcore.errors import KickWarning, StoreError, TokenLockTimeout, UnreadableTokenFile

ROOT = Path(__file__).parents[3]

COUNTER = """
import sys
from pathlib import Path
import anyio
from interpreters.tokens.lock import file_lock

async def count(folder):
    counter = folder / "counter"
    for _ in range(50):
        async with file_lock(folder / "lock"):
            seen = int(counter.read_text())
            counter.write_text(str(seen + 1))

sys.stdin.readline()
anyio.run(count, Path(sys.argv[1]), backend=sys.argv[2])
"""

HOLDER = """
import sys
from pathlib import Path
import anyio
from interpreters.tokens.lock import file_lock

async def hold(path):
    async with file_lock(path):
        print("held", flush=True)
        await anyio.sleep_forever()

anyio.run(hold, Path(sys.argv[1]))
"""


FORKER = """
import gc
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
import anyio
from interpreters.tokens import lock

async def in_this_thread(work, *args):
    return work(*args)

def is_child():
    return os.fork() == 0

def live_on():
    gc.collect()
    print(os.getpid(), flush=True)
    signal.pause()

async def hold(path):
    holding = lock.file_lock(path)
    assert await holding.__aenter__()
    if is_child():
        if how == "leaves it":
            await holding.__aexit__(None, None, None)
            del holding
        live_on()
    sys.stdin.readline()
    await holding.__aexit__(None, None, None)
    print("released", flush=True)
    sys.stdin.readline()

async def wait(path):
    async with lock.file_lock(path):
        print("held", flush=True)
        signal.pause()

async def fork_while_waiting(path):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, path)
        await anyio.sleep(0.01)
        if is_child():
            live_on()

# A process that has threads cannot well be forked.
lock.to_thread = SimpleNamespace(run_sync=in_this_thread)
how = sys.argv[3]
anyio.run(fork_while_waiting if how == "waits for it" else hold, Path(sys.argv[1]), backend=sys.argv[2])
"""


def python(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def is_free(path: Path) -> bool:
    """Whether a process that has nothing to do with the others can take the lock at once."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


class Forked:
    """A process that holds the lock, or waits for it, and was forked meanwhile; and its child, which lives on."""

    def __init__(self, path: Path, backend: str, how: str) -> None:
        self.parent = python(FORKER, str(path), backend, how)
        child = self.says()
        if not child:
            end(self.parent)
        self.child = int(child)

    def says(self) -> str:
        assert self.parent.stdout is not None
        return self.parent.stdout.readline().strip()

    def let_go(self) -> None:
        assert self.parent.stdin is not None
        self.parent.stdin.write("\n")
        self.parent.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.child, signal.SIGKILL)
        end(self.parent)


async def test_two_tasks_hold_it_one_after_the_other(tmp_path: Path) -> None:
    inside = 0
    entered = 0

    async def hold() -> None:
        nonlocal inside, entered
        async with file_lock(tmp_path / "lock"):
            inside += 1
            entered += 1
            assert inside == 1
            await anyio.sleep(0.001)
            inside -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(hold)
    assert entered == 5


def test_eight_processes_lose_no_update(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    processes = [python(COUNTER, str(tmp_path), backend) for backend in ("asyncio", "trio") * 4]
    try:
        # All begin at once.
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        assert [process.wait(timeout=30) for process in processes] == [0] * 8
    finally:
        for process in processes:
            end(process)
    assert (tmp_path / "counter").read_text() == "400"
    assert (tmp_path / "lock").exists()


async def test_a_holder_that_is_killed_frees_it(tmp_path: Path) -> None:
    holder = python(HOLDER, str(tmp_path / "lock"))
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with anyio.move_on_after(0.02) as waiting:
            async with file_lock(tmp_path / "lock"):
                raise AssertionError("two hold it")
        assert waiting.cancelled_caught
        holder.kill()
        with anyio.fail_after(1):
            async with file_lock(tmp_path / "lock"):
                pass
    finally:
        end(holder)


BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@BACKENDS
@pytest.mark.parametrize("how", ["leaves it", "stays in it"])
def test_a_forked_child_neither_frees_the_lock_of_its_parent_nor_keeps_it(
    tmp_path: Path, backend: str, how: str
) -> None:
    with Forked(tmp_path / "lock", backend, how) as forked:
        assert not is_free(tmp_path / "lock")
        forked.let_go()
        assert forked.says() == "released"
        assert is_free(tmp_path / "lock")
        os.kill(forked.child, 0)


@BACKENDS
def test_a_forked_child_does_not_keep_the_lock_of_a_parent_that_is_killed(tmp_path: Path, backend: str) -> None:
    with Forked(tmp_path / "lock", backend, "stays in it") as forked:
        forked.parent.kill()
        forked.parent.wait(5)
        assert is_free(tmp_path / "lock")
        os.kill(forked.child, 0)


@BACKENDS
def test_a_child_forked_while_its_parent_waits_does_not_keep_what_its_parent_gets(
    taken: Path, taken_by: int, backend: str
) -> None:
    with Forked(taken, backend, "waits for it") as forked:
        fcntl.flock(taken_by, fcntl.LOCK_UN)
        assert forked.says() == "held"
        assert not is_free(taken)
        forked.parent.kill()
        forked.parent.wait(5)
        assert is_free(taken)
        os.kill(forked.child, 0)


async def test_a_copy_of_the_open_file_that_nobody_knows_of_does_not_keep_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a child has it that was forked by something other than Python.
    copies: list[int] = []
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if operation & fcntl.LOCK_EX:
            copies.append(os.dup(descriptor))
        real(descriptor, operation)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", flock)
        async with file_lock(tmp_path / "lock"):
            assert len(copies) == 1
    assert is_free(tmp_path / "lock")
    os.close(copies[0])


@pytest.fixture
def taken_by(tmp_path: Path) -> Iterator[int]:
    """The descriptor by which somebody else holds the lock: flock belongs to an open file, not to a process."""
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def taken(tmp_path: Path, taken_by: int) -> Path:
    """A lock file that somebody else holds."""
    return tmp_path / "lock"


async def test_waiting_does_not_block_the_event_loop_and_can_be_cancelled(taken: Path) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await anyio.sleep(0.001)
            turns += 1

    waiting = anyio.CancelScope(deadline=anyio.current_time() + 0.05)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        with waiting:
            async with file_lock(taken):
                raise AssertionError("two hold it")
        tasks.cancel_scope.cancel()
    assert waiting.cancelled_caught
    assert turns >= 5


async def test_waiting_has_a_limit_that_names_the_file(taken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LOCK_TIMEOUT", 0.02)
    with pytest.raises(TokenLockTimeout, match="another process") as caught:
        async with file_lock(taken):
            raise AssertionError("two hold it")
    assert caught.value.path == str(taken)
    assert str(taken) in str(caught.value)


def open_descriptors() -> set[str]:
    # Those of the loops' own plumbing do not point into the file system.
    found: set[str] = set()
    for link in Path("/proc/self/fd").glob("*"):
        try:
            found.add(str(link.readlink()))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
async def test_no_descriptor_is_left_open(taken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        async with file_lock(tmp_path / "mine"):
            raise ZeroDivisionError

    async with file_lock(tmp_path / "mine"):
        assert str(tmp_path / "mine") in open_descriptors()
    with pytest.raises(ZeroDivisionError):
        await fail()
    monkeypatch.setattr(lock, "LOCK_TIMEOUT", 0.0)
    with pytest.raises(TokenLockTimeout):
        async with file_lock(tmp_path / "lock"):
            pass
    with anyio.move_on_after(0):
        async with file_lock(tmp_path / "mine"):
            await checkpoint()
    assert str(tmp_path / "mine") not in open_descriptors()


async def test_the_lock_file_is_never_deleted_and_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    async with file_lock(path) as others_kept_out:
        number = path.stat().st_ino
    assert others_kept_out is True
    assert path.stat().st_ino == number
    async with file_lock(path):
        assert path.stat().st_ino == number
    assert path.read_bytes() == b""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_folder_is_made_if_it_is_missing(tmp_path: Path) -> None:
    async with file_lock(tmp_path / "new" / "lock"):
        pass
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


@pytest.mark.parametrize("target", ["present", "missing"])
async def test_a_link_in_its_place_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "present").write_text("untouched")
    (tmp_path / "lock").symlink_to(tmp_path / target)
    with pytest.raises(StoreError, match="not a plain file") as caught:
        async with file_lock(tmp_path / "lock"):
            raise AssertionError("a link was followed")
    assert caught.value.path == str(tmp_path / "lock")
    assert (tmp_path / "present").read_text() == "untouched"
    assert not (tmp_path / "missing").exists()


async def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(StoreError):
        async with file_lock(tmp_path / "lock"):
            raise AssertionError("a folder was locked")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
async def test_a_file_system_without_locks_gets_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.warns(KickWarning, match="without") as warned:
        async with file_lock(tmp_path / "lock") as others_kept_out:
            assert str(tmp_path / "lock") not in open_descriptors()
    assert others_kept_out is False
    assert len(warned) == 1


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EMFILE, errno.ENOSPC])
async def test_a_lock_file_that_cannot_be_made_gets_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = os.open

    def refused(path: Any, *rest: Any, **options: Any) -> int:
        if str(path).endswith("lock"):
            raise OSError(code, os.strerror(code))
        return real(path, *rest, **options)

    monkeypatch.setattr(os, "open", refused)
    with pytest.warns(KickWarning, match="without a lock") as warned:
        async with file_lock(tmp_path / "lock") as others_kept_out:
            pass
    assert others_kept_out is False
    assert len(warned) == 1


async def test_another_failure_of_the_system_is_named_and_is_one_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(UnreadableTokenFile) as caught:
        async with file_lock(tmp_path / "lock"):
            raise AssertionError("it is not held")
    assert caught.value.path == str(tmp_path / "lock")


async def test_a_system_without_fcntl_gets_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    with pytest.warns(KickWarning, match="not locked"):
        async with file_lock(tmp_path / "lock") as others_kept_out:
            pass
    assert others_kept_out is False


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_descriptor_is_left_open_when_asyncio_itself_cancels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go_on = threading.Event(), threading.Event()
    real = os.open

    def slow(path: Any, *rest: Any, **options: Any) -> int:
        if str(path).endswith("lock"):
            opening.set()
            go_on.wait(2)
        return real(path, *rest, **options)

    async def hold() -> None:
        async with file_lock(tmp_path / "lock"):
            raise AssertionError("it was cancelled")

    monkeypatch.setattr(os, "open", slow)
    task = asyncio.create_task(hold())
    assert await anyio.to_thread.run_sync(opening.wait, 2)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(50):
        await asyncio.sleep(0.002)
        if (tmp_path / "lock").exists():
            break
    await asyncio.sleep(0.02)
    assert str(tmp_path / "lock") not in open_descriptors()
