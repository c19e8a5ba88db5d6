"""Tokens in files: one per kind and account, readable by their owner alone, replaced as a whole or not at all."""

import errno
import hashlib
import io
import os
import re
import stat
import threading
import time
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from anyio import to_thread

from interpreters.apart import to_its_end
from interpreters.tokens.lock import file_lock
from kickcore.errors import (
    ConfigError,
    CorruptTokenFile,
    ForeignTokenFile,
    KickWarning,
    NewerTokenFile,
    UnreadableTokenFile,
    UnsafeTokenFile,
)
from kickcore.oauth.record import RECORD_LIMIT, Flaw, Unusable, read_record, write_record
from kickcore.oauth.tokens import Saved, Slot, Stored, Superseded, Token, TokenKind

T = TypeVar("T")

APP_FILE: Final = ".kick.token.json"
USER_FILE: Final = ".kick.user_token.json"
KEPT_CORRUPT: Final = 3
"""How many files that were moved aside are kept, per token file."""
LONGEST_PLAIN: Final = 100
"""Characters of an account's name in a file name; a name on a disk has room for 255, and endings come after it."""
LEFT_BEHIND: Final = 60.0
"""Seconds after which a temporary file is taken to be that of a killed process."""

_FLAGS: Final = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


class FileStore:
    """Tokens as JSON files in `directory`, which is fixed when the store is made (default: the working directory).

    `app_file` and `user_file` are the names for the app token and for the user token of the account ""; another
    account's name stands before the ending. Files have mode 0600; beside each stands a lock file that is never deleted.
    Files of kickcom.py 1.1 are read. Raises `ConfigError` for names that are not plain file names, and for a directory
    that cannot be named here.
    """

    def __init__(
        self, directory: str | os.PathLike[str] | None = None, *, app_file: str = APP_FILE, user_file: str = USER_FILE
    ) -> None:
        self.directory: Final = _absolute(directory)
        for name in (app_file, user_file):
            if name in {"", ".."} or Path(name).name != name or not _can_be_named(name):
                raise ConfigError(f"a token file's name is a plain file name, not {name!r}")
        if app_file == user_file:
            raise ConfigError("the app token and the user token need files of different names")
        self._names = {TokenKind.APP: app_file, TokenKind.USER: user_file}

    def path(self, slot: Slot) -> Path:
        """Where the token of `slot` is kept."""
        name = Path(self._names[slot.kind])
        if slot.account:
            name = name.with_name(f"{name.stem}.{_plain(slot.account)}{name.suffix}")
        return self.directory / name

    async def load(self, slot: Slot) -> Stored | None:
        """The token of `slot`, or None if there is no file.

        Raises `UnsafeTokenFile`, `UnreadableTokenFile`, `NewerTokenFile`, `ForeignTokenFile`, and `CorruptTokenFile`
        once: the file is moved aside.
        """
        found = await _in_thread(lambda: _read(self.path(slot), slot))
        return found.stored if found else None

    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded:
        """Replace the file, if it still has `version`. A crash at any moment leaves the old one or the new one."""
        return await _to_its_end(lambda: _alone(self.path(slot), lambda path: _save(path, slot, token, version)))

    async def drop(self, slot: Slot) -> None:
        """Delete the file of `slot`."""
        await _to_its_end(lambda: _alone(self.path(slot), lambda path: _drop(path, slot)))

    @asynccontextmanager
    async def hold(self, slot: Slot) -> AsyncGenerator[bool]:
        """Hold the lock beside the file of `slot`. Raises `TokenLockTimeout` after 30 seconds.

        Yields True if other processes are kept out, and False where the system has no lock to give.
        """
        path = self.path(slot)
        async with file_lock(path.with_name(path.name + ".lock")) as others_kept_out:
            yield others_kept_out


def _absolute(directory: str | os.PathLike[str] | None) -> Path:
    try:
        absolute = Path.cwd() if directory is None else Path(directory).absolute()
    except OSError:
        raise ConfigError(
            "the working directory is gone; say where tokens shall be kept: FileStore(directory)"
        ) from None
    if not _can_be_named(str(absolute)):
        raise ConfigError(f"tokens cannot be kept in {str(absolute)!r}: the system has no such names")
    return absolute


def _can_be_named(name: str) -> bool:
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _plain(account: str) -> str:
    """A name that is one on every file system: lower-case letters, digits, `-` and `_`, all else by its octets."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-_"
    octets = account.encode("utf-8", "surrogatepass")
    plain = "".join(chr(octet) if chr(octet) in letters else f"%{octet:02x}" for octet in octets)
    # No other name has a "~", so one that was cut cannot be taken for it.
    return plain if len(plain) <= LONGEST_PLAIN else f"{plain[:60]}~{hashlib.sha256(octets).hexdigest()[:32]}"


_steps: Final[dict[Path, threading.Lock]] = {}
"""To compare and to replace is one step among the threads of this process; among processes it is by `hold`."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_steps.clear)


async def _to_its_end(work: Callable[[], T]) -> T:
    """Whoever holds the slot must not let go of it while a thread still writes: asyncio leaves threads behind."""
    return await to_its_end(_in_thread(work))


def _alone(path: Path, work: Callable[[Path], T]) -> T:
    with _steps.setdefault(path, threading.Lock()):
        return work(path)


async def _in_thread(work: Callable[[], T]) -> T:
    return await to_thread.run_sync(work)


class _Found:
    """What a token file holds. A plain object, so that a traceback that shows variables shows nothing of it."""

    def __init__(self, stored: Stored, unknown: Mapping[str, Any]) -> None:
        self.stored: Final = stored
        self.unknown: Final = unknown


def _read(path: Path, slot: Slot) -> _Found | None:
    judged = _judged(path, slot)
    if judged is None:
        return None
    found, status = judged
    if isinstance(found, _Found):
        return found
    if found.flaw is not Flaw.CORRUPT or _is_still(path, status):
        _refuse(path, found)
    # Another process was quicker: it has moved the file aside, or written a good one.
    return _read(path, slot)


def _judged(path: Path, slot: Slot) -> tuple[_Found | Unusable, os.stat_result] | None:
    """Read and judge a file. Once its octets are here nothing is raised: a traceback could show them."""
    opened = _octets(path)
    if opened is None:
        return None
    octets, status = opened
    if len(octets) > RECORD_LIMIT:
        return Unusable(Flaw.CORRUPT, f"it is longer than {RECORD_LIMIT} bytes"), status
    read = read_record(octets, slot, time.time())
    if isinstance(read, Unusable):
        return read, status
    return _Found(Stored(read.token, _version(octets)), read.unknown), status


def _version(octets: bytes | memoryview) -> str:
    return hashlib.sha256(octets).hexdigest()[:32]


def _octets(path: Path) -> tuple[bytes, os.stat_result] | None:
    """The content of a file that is ours and a plain file: nothing is followed, nothing blocks."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:
            raise UnsafeTokenFile(f"{path} is a link; a token file must be a plain file", path=str(path)) from None
        if error.errno in {errno.ENXIO, errno.EOPNOTSUPP}:
            _no_plain_file(path)
        _unreadable(path, error)
    try:
        status = os.fstat(descriptor)
        _check_ours(path, status, descriptor)
        return _read_all(descriptor), status
    except OSError as error:
        _unreadable(path, error)
    finally:
        # What was read is read, whatever closing says.
        with suppress(OSError):
            os.close(descriptor)


def _read_all(descriptor: int) -> bytes:
    """All of a file, or one octet more than a token file may have."""
    # A buffer shows nothing of what it holds, should the rest be unreadable and the traceback show variables.
    buffer = io.BytesIO()
    while buffer.write(os.read(descriptor, RECORD_LIMIT + 1 - buffer.tell())):
        pass
    return buffer.getvalue()


def _check_ours(path: Path, status: os.stat_result, descriptor: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        _no_plain_file(path)
    if not _is_own(status):
        raise UnsafeTokenFile(f"{path} belongs to another user, so it is not used for tokens", path=str(path))
    if os.name == "posix" and status.st_mode & 0o077:
        try:
            os.fchmod(descriptor, 0o600)
        except OSError as error:
            # Not using it would hide nothing from those who can read it.
            told = f"{path} can be read by others, and that cannot be changed: {_reason(error)}"
        else:
            told = f"{path} could be read by others; it is for you alone now (mode 0600)"
        warnings.warn(told, KickWarning, stacklevel=2)


def _is_own(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def _is_still(path: Path, status: os.stat_result) -> bool:
    """Whether the file at `path` is the one that `status` is of; a new one may have the number of one that is gone."""
    try:
        now = path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        _unreadable(path, error)
    return os.path.samestat(now, status) and now.st_mtime_ns == status.st_mtime_ns


def _no_plain_file(path: Path) -> NoReturn:
    raise UnsafeTokenFile(
        f"{path} is not a plain file, so it is not used for tokens; remove it", path=str(path)
    ) from None


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _unreadable(path: Path, error: OSError) -> NoReturn:
    raise UnreadableTokenFile(
        f"{path} cannot be used: {_reason(error)}; check its folder and permissions", path=str(path)
    ) from None


def _refuse(path: Path, read: Unusable) -> NoReturn:
    if read.flaw is Flaw.NEWER:
        raise NewerTokenFile(f"{path} was left alone: {read.why}; update kickcore", path=str(path))
    if read.flaw is Flaw.FOREIGN:
        text = f"{path} was left alone: {read.why}; use another directory or file name (store=FileStore(...))"
        raise ForeignTokenFile(text, path=str(path))
    aside = _move_aside(path)
    text = f"{path} holds no token: {read.why}; it was moved to {aside.name}, and the next call starts afresh"
    raise CorruptTokenFile(text, path=str(path), moved_to=str(aside))


def _move_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.corrupt-{time.time_ns()}")
    try:
        path.rename(aside)
    except OSError as error:
        _unreadable(path, error)
    # By a clock that was set back the newest can be the first.
    others = [file for file in _beside(path, r"corrupt-\d+") if file != aside]
    for older in others[: -(KEPT_CORRUPT - 1)]:
        with suppress(OSError):
            older.unlink()
    return aside


def _beside(path: Path, ending: str) -> list[Path]:
    """The files beside `path` that have its name, a dot and `ending`, in order of numbers; none if nobody can say."""
    named = re.compile(re.escape(path.name) + r"\." + ending)
    with suppress(OSError):
        found = [file for file in path.parent.iterdir() if named.fullmatch(file.name)]
        return sorted(found, key=lambda file: (len(file.name), file.name))
    return []


def _save(path: Path, slot: Slot, token: Token, version: str) -> Saved | Superseded:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        _unreadable(path, error)
    found = _read(path, slot)
    if (found.stored.version if found else "") != version:
        return Superseded(found.stored if found else None)
    octets = _written(slot, token, found.unknown if found else None)
    try:
        _replace(path, octets)
    except OSError as error:
        _unreadable(path, error)
    return Saved(_version(octets))


def _written(slot: Slot, token: Token, unknown: Mapping[str, Any] | None) -> memoryview:
    """The octets for `token`, with the members `unknown` unless they would make them too many to be read.

    A view, because it shows nothing of what it holds in a traceback that shows variables.
    """
    with suppress(ValueError, RecursionError):
        octets = write_record(slot, token, unknown)
        if len(octets) <= RECORD_LIMIT:
            return memoryview(octets)
    return memoryview(write_record(slot, token))


def _replace(path: Path, octets: memoryview) -> None:
    """Write beside, flush to the disk, rename over, flush the folder: whole or not at all, and 0600 from the start."""
    _sweep(path)
    beside = path.with_name(f"{path.name}.{os.getpid()}-{time.time_ns()}.tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
    try:
        try:
            _write_all(descriptor, octets)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    _flush_folder(path.parent)


def _write_all(descriptor: int, octets: memoryview) -> None:
    while octets:
        octets = octets[os.write(descriptor, octets) :]


def _flush_folder(folder: Path) -> None:
    # The rename has happened; a file system that cannot flush a folder must not undo that.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sweep(path: Path) -> None:
    """Remove what killed processes left behind: temporary files of this name that are ours and older than a minute."""
    for left in _beside(path, r"\d+-\d+\.tmp"):
        with suppress(OSError):
            status = left.lstat()
            if _is_own(status) and time.time() - status.st_mtime > LEFT_BEHIND:
                left.unlink()


def _drop(path: Path, slot: Slot) -> None:
    # Reading first keeps the promise that another app's file, or something that is no file, is left alone.
    if _read(path, slot) is None:
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _unreadable(path, error)
    _flush_folder(path.parent)
