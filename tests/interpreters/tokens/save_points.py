"""Cuts a save short at each call to the system that it makes: by a kill before and after it, and by each error there.

`python save_points.py` prints what came of it, as JSON. All of it is done in one process without threads, so that its
children can be forked; it is those that are killed.
"""

import errno
import fcntl
import json
import os
import shutil
import signal
import stat
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import BuiltinFunctionType, SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import anyio

from interpreters.tokens import files, lock
from interpreters.tokens.files import FileStore
from kickcore.errors import CorruptTokenFile, KickWarning, StoreError
from kickcore.oauth.record import write_record
from kickcore.oauth.tokens import Saved, Slot, Token, TokenKind
from kickcore.secret import Secret

SLOT = Slot("https://id.kick.com", "CID", TokenKind.USER)
NOW = float(int(time.time()))
OLD, NEW, NEXT = (
    Token(Secret(f"access-{name}"), NOW + 7200, NOW, Secret(f"refresh-{name}"), ("user:read",))
    for name in ("old", "new", "next")
)
ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EINTR, errno.EMFILE)
LASTING = (errno.ENOSPC, errno.EROFS, errno.EMFILE)
AFTERWARDS = (errno.EIO, errno.EINTR)
KILL = 0
"""In the place of an error."""
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where files do not wait for the disk of a machine that is busy; None for wherever temporary files are."""

WATCHED = [
    (os, name)
    for name, member in vars(os).items()
    if isinstance(member, BuiltinFunctionType) and name not in {"fspath", "getpid", "geteuid", "kill", "strerror"}
] + [(fcntl, "flock")]
"""Whatever `os` can do: a call that nobody thought of is counted, too."""


class Trouble(NamedTuple):
    """What happens at which call: an error, or a kill; before the call does its work or after; once or from then on."""

    at: int
    code: int
    after: bool = False
    lasting: bool = False


class System:
    """The functions of `os`. Calls about files in `folder` are noted, and at one of them there may be trouble."""

    def __init__(self, folder: Path, trouble: Trouble | None = None, piece: int | None = None) -> None:
        self.calls: list[str] = []
        self.log: list[tuple[str, tuple[Any, ...], Any]] = []
        self._folder = str(folder)
        self._trouble = trouble
        self._piece = piece
        self._descriptors: dict[int, str] = {}

    @contextmanager
    def watched(self) -> Generator[None]:
        """Note calls, until left."""
        real = [(module, name, getattr(module, name)) for module, name in WATCHED]
        for module, name, function in real:
            setattr(module, name, self._wrapped(name, function))
        try:
            yield
        finally:
            for module, name, function in real:
                setattr(module, name, function)

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            if not self._concerns(args):
                return function(*args, **named)
            at = len(self.calls)
            self.calls.append(self._label(name, args))
            if name == "write" and self._piece:
                args = (args[0], args[1][: self._piece])
            result = self._with_trouble(at, name, lambda: function(*args, **named))
            self._follow(name, args, result)
            return result

        return wrapped

    def _concerns(self, args: tuple[Any, ...]) -> bool:
        first = args[0] if args else None
        named = isinstance(first, str | os.PathLike) and os.fspath(first).startswith(self._folder)
        return named or (isinstance(first, int) and first in self._descriptors)

    def _label(self, name: str, args: tuple[Any, ...]) -> str:
        folder = args[1] & os.O_DIRECTORY if name == "open" else self._descriptors.get(args[0]) == "folder"
        return f"{name}_folder" if folder else name

    def _follow(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        kept = tuple(bytes(arg) if isinstance(arg, memoryview) else arg for arg in args)
        self.log.append((name, kept, result))
        if name == "open":
            self._descriptors[result] = "folder" if args[1] & os.O_DIRECTORY else "file"
        elif name == "close":
            self._descriptors.pop(args[0], None)

    def _with_trouble(self, at: int, name: str, call: Callable[[], Any]) -> Any:
        trouble = self._trouble
        if trouble is None or at < trouble.at or (at > trouble.at and not trouble.lasting):
            return call()
        # Linux frees a descriptor whatever it says of closing it.
        if trouble.after or (name == "close" and trouble.code != KILL):
            with suppress(OSError):
                call()
        if trouble.code == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(trouble.code, os.strerror(trouble.code))


class Scene:
    """A save as it begins: what is there before it, and what may be there after it."""

    below = "tokens"
    old: bytes | None = write_record(SLOT, OLD)
    mode = 0o600
    piece: int | None = None

    def __init__(self, root: Path) -> None:
        self.folder = root / self.below
        self.store = FileStore(self.folder)
        self.path = self.store.path(SLOT)
        self.left = self.path.with_name(f"{self.path.name}.1-1.tmp")
        self.young = self.path.with_name(f"{self.path.name}.1-2.tmp")

    def prepare(self) -> None:
        """Write what is there before."""
        self.folder.mkdir()
        self._write(self.path, self.old or b"", self.mode)
        self._write(self.young, b"being written by another process")
        self._write(self.left, b"left by a killed process", age=61)

    def _write(self, path: Path, octets: bytes, mode: int = 0o600, age: float = 0) -> None:
        path.write_bytes(octets)
        path.chmod(mode)
        os.utime(path, (time.time() - age, time.time() - age))

    def act(self, system: System) -> object:
        """Do it, and give the outcome or the exception."""
        version = files._version(self.old) if self.old else ""
        with system.watched():
            return outcome(self.store.save(SLOT, NEW, version))

    def state(self) -> str:
        """What is there now: "old", "new" or "broken"."""
        found = self.path.read_bytes() if self.path.exists() else None
        return {self.old: "old", write_record(SLOT, NEW): "new"}.get(found, "broken")

    def complaints(self, trouble: Trouble | None, came: object) -> Iterator[str]:
        """What is not as it must be, after trouble or none."""
        state = self.state()
        if state == "broken":
            yield "neither the old token nor the new one"
        killed = trouble is not None and trouble.code == KILL
        if not killed and not isinstance(came, Saved | StoreError):
            yield f"it came to {came!r}"
        if isinstance(came, Saved) and state != "new":
            yield "it is said to be saved and is not"
        left = [path for path in self._temporary() if path != self.left]
        if left and not killed and (trouble is None or not trouble.lasting):
            yield "a temporary file was left"
        if any(stat.S_IMODE(path.stat().st_mode) != 0o600 for path in left):
            yield "a temporary file can be read by others"
        if self.old and not self.young.exists():
            yield "a temporary file of another process was removed"
        yield from self._goes_on(state, left)

    def _temporary(self) -> list[Path]:
        return [path for path in self.folder.glob(".*.tmp") if path != self.young] if self.folder.exists() else []

    def _goes_on(self, state: str, left: list[Path]) -> Iterator[str]:
        """The next load gives what is there, and the next save replaces it and tidies up."""
        loaded = outcome(self.store.load(SLOT))
        if isinstance(loaded, CorruptTokenFile):
            loaded = outcome(self.store.load(SLOT))
        token = getattr(loaded, "token", None)
        if isinstance(loaded, Exception) or token != (NEW if state == "new" else self.old_token()):
            yield f"the next load came to {loaded!r}"
        for path in left:
            os.utime(path, (NOW - 61, NOW - 61))
        saved = outcome(self.store.save(SLOT, NEXT, getattr(loaded, "version", "")))
        if not isinstance(saved, Saved) or self.path.read_bytes() != write_record(SLOT, NEXT):
            yield f"the next save came to {saved!r}"
        if self._temporary():
            yield "a temporary file was not swept"
        if any(stat.S_IMODE(path.stat().st_mode) != 0o600 for path in self.folder.iterdir()):
            yield "a file can be read by others"

    def old_token(self) -> Token | None:
        """The token that is there before."""
        return OLD


class First(Scene):
    """Nothing is there, not even the folder."""

    below = "not/there"
    old = None

    def prepare(self) -> None:
        """Nothing."""

    def old_token(self) -> Token | None:
        """None."""
        return None


class OpenToOthers(Scene):
    """The old file can be read by others."""

    mode = 0o644


class InPieces(Scene):
    """The system writes a few octets at a time."""

    piece = 100


class Corrupt(Scene):
    """The old file holds no token, and there are more copies of such files than are kept."""

    old = b"no token"

    def prepare(self) -> None:
        """Write these."""
        super().prepare()
        for number in range(5):
            self._write(self.folder / f"{self.path.name}.corrupt-{number}", b"earlier")

    def state(self) -> str:
        """It is old wherever it is, as long as it is."""
        now = [self.path, *self.folder.glob(".*.corrupt-*")]
        return "old" if [path.read_bytes() for path in now if path.exists()].count(b"no token") == 1 else "broken"

    def old_token(self) -> Token | None:
        """None: the next load begins afresh."""
        return None


class Holding(Scene):
    """Not a save, but the lock that is held around one."""

    def act(self, system: System) -> object:
        """Take it, and let go of it."""

        async def hold() -> object:
            try:
                async with self.store.hold(SLOT) as others_kept_out:
                    return others_kept_out
            except Exception as error:  # noqa: BLE001 - told as what came of it
                return error

        with system.watched():
            return anyio.run(hold)

    def complaints(self, trouble: Trouble | None, came: object) -> Iterator[str]:
        """It must be free at once, whatever happened to its holder."""
        if came is not None and not isinstance(came, bool | StoreError):
            yield f"it came to {came!r}"
        descriptor = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield "the lock is still held"
        finally:
            os.close(descriptor)
        if self.act(System(self.folder)) is not True:
            yield "it cannot be held again"


SCENES: tuple[type[Scene], ...] = (First, Scene, OpenToOthers, InPieces, Corrupt, Holding)


def outcome(coroutine: Coroutine[Any, Any, object]) -> object:
    """What comes of a coroutine that waits for nothing: its value, or what it raises."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    except Exception as error:  # noqa: BLE001 - told as what came of it
        return error
    raise AssertionError("it waits for something")


async def _at_once(work: Coroutine[Any, Any, Any]) -> Any:
    return await work


async def _in_this_thread(work: Callable[..., Any], *args: Any) -> Any:
    return work(*args)


@contextmanager
def at_once() -> Generator[None]:
    """Let stores do their work where they are asked, since a process with threads cannot well be forked.

    And do not wait for the disk: what was written outlives a kill without that.
    """
    here = SimpleNamespace(run_sync=_in_this_thread)
    with (
        mock.patch.object(files, "to_thread", here),
        mock.patch.object(files, "to_its_end", _at_once),
        mock.patch.object(lock, "to_thread", here),
        mock.patch.object(lock, "LOCK_TIMEOUT", 0.01),
        mock.patch.object(os, "fsync", return_value=None),
    ):
        yield


def tried(kind: type[Scene], trouble: Trouble | None, counts: Counter[str], root: Path) -> list[str]:
    """Play a scene with trouble, count what came of it, and give the calls to the system that were made."""
    scene = kind(root)
    scene.prepare()
    system = System(root, trouble, kind.piece)
    came = _killed(scene, system) if trouble and trouble.code == KILL else scene.act(system)
    counts[scene.state() if kind is not Holding else "locks"] += trouble is not None
    complaints = list(scene.complaints(trouble, came))
    for complaint in complaints:
        print(f"{kind.__name__}, {trouble}, {system.calls}: {complaint}", file=sys.stderr)
    counts["broken"] += bool(complaints)
    shutil.rmtree(root / Path(kind.below).parts[0])
    return system.calls


def _killed(scene: Scene, system: System) -> object:
    child = os.fork()
    if child == 0:
        try:
            scene.act(system)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(status) else f"a child that was not killed: {status}"


def troubles(calls: list[str]) -> Iterator[Trouble]:
    """All that can happen at these calls."""
    for at, call in enumerate(calls):
        yield Trouble(at, KILL)
        yield Trouble(at, KILL, after=True)
        yield from (Trouble(at, code) for code in ERRORS)
        yield from (Trouble(at, code, lasting=True) for code in LASTING)
        # Not for files that are opened: nobody could close them.
        yield from (Trouble(at, code, after=True) for code in AFTERWARDS if not call.startswith("open"))


def sweep(scenes: Iterable[type[Scene]] = SCENES) -> dict[str, int]:
    """Play scenes with all troubles. Gives how many there were, what was there afterwards, and at which calls."""
    counts: Counter[str] = Counter(kill_points=0, error_points=0, old=0, new=0, locks=0, broken=0)
    with at_once(), warnings.catch_warnings(), tempfile.TemporaryDirectory(dir=MEMORY) as root:
        warnings.simplefilter("ignore", KickWarning)
        for kind in scenes:
            calls = tried(kind, None, counts, Path(root))
            counts.update(f"at_{call}" for call in calls)
            for trouble in troubles(calls):
                counts["kill_points" if trouble.code == KILL else "error_points"] += 1
                tried(kind, trouble, counts, Path(root))
    return dict(counts)


if __name__ == "__main__":
    print(json.dumps(sweep()))
