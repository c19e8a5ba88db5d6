"""Tokens in files: one per kind and account, readable by their owner alone, replaced as a whole or not at all."""

import errno
import glob
import hashlib
import os
import stat
import time
import warnings
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from anyio import to_thread

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
from kickcore.oauth.record import RECORD_LIMIT, Flaw, Record, Unusable, read_record, write_record
from kickcore.oauth.tokens import Saved, Slot, Stored, Superseded, Token, TokenKind

T = TypeVar("T")

APP_FILE: Final = ".kick.token.json"
USER_FILE: Final = ".kick.user_token.json"
KEPT_CORRUPT: Final = 3
"""How many files that were moved aside are kept, per token file."""
LONGEST_PLAIN: Final = 100
"""Characters of an account's name in a file name; a name on a disk has room for 255, and endings come after it."""

_FLAGS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class FileStore:
    """Tokens as JSON files in `directory`, which is fixed when the store is made (default: the working directory).

    `app_file` and `user_file` are the names for the app token and for the user token of the account ""; another
    account's name stands before the ending. Files have mode 0600; beside each stands a lock file that is never deleted.
    Files of kickcom.py 1.1 are read. Raises `ConfigError` for names that are not plain file names.
    """

    def __init__(
        self, directory: str | os.PathLike[str] | None = None, *, app_file: str = APP_FILE, user_file: str = USER_FILE
    ) -> None:
        self.directory: Final = _absolute(directory)
        for name in (app_file, user_file):
            if name in {"", ".."} or Path(name).name != name or "\0" in name:
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
        return found[0] if found else None

    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded:
        """Replace the file, if it still has `version`. A crash at any moment leaves the old one or the new one."""
        return await _in_thread(lambda: _save(self.path(slot), slot, token, version))

    async def drop(self, slot: Slot) -> None:
        """Delete the file of `slot`."""
        await _in_thread(lambda: _drop(self.path(slot), slot))

    @asynccontextmanager
    async def hold(self, slot: Slot) -> AsyncGenerator[None]:
        """Hold the lock beside the file of `slot`. Raises `TokenLockTimeout` after 30 seconds."""
        path = self.path(slot)
        async with file_lock(path.with_name(path.name + ".lock")):
            yield


def _absolute(directory: str | os.PathLike[str] | None) -> Path:
    try:
        return Path.cwd() if directory is None else Path(directory).absolute()
    except OSError:
        raise ConfigError(
            "the working directory is gone; say where tokens shall be kept: FileStore(directory)"
        ) from None


def _plain(account: str) -> str:
    """A name that is one on every file system: lower-case letters, digits, `-` and `_`, all else by its octets."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-_"
    octets = account.encode("utf-8", "surrogatepass")
    plain = "".join(chr(octet) if chr(octet) in letters else f"%{octet:02x}" for octet in octets)
    # No other name has a "~", so one that was cut cannot be taken for it.
    return plain if len(plain) <= LONGEST_PLAIN else f"{plain[:60]}~{hashlib.sha256(octets).hexdigest()[:32]}"


async def _in_thread(work: Callable[[], T]) -> T:
    return await to_thread.run_sync(work)


def _read(path: Path, slot: Slot) -> tuple[Stored, Record] | None:
    text = _octets(path)
    if text is None:
        return None
    if len(text) > RECORD_LIMIT:
        _refuse(path, Unusable(Flaw.CORRUPT, f"it is longer than {RECORD_LIMIT} bytes"))
    read = read_record(text, slot, time.time())
    if isinstance(read, Unusable):
        _refuse(path, read)
    return Stored(read.token, hashlib.sha256(text).hexdigest()[:32]), read


def _octets(path: Path) -> bytes | None:
    """The content of a file that is ours and a plain file: nothing is followed, nothing blocks."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:
            raise UnsafeTokenFile(f"{path} is a link; a token file must be a plain file", path=str(path)) from None
        _unreadable(path, error)
    try:
        _check_ours(path, os.fstat(descriptor), descriptor)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(RECORD_LIMIT + 1)
    except OSError as error:
        _unreadable(path, error)
    finally:
        os.close(descriptor)


def _check_ours(path: Path, status: os.stat_result, descriptor: int | None = None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeTokenFile(f"{path} is not a plain file, so it is not used for tokens; remove it", path=str(path))
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise UnsafeTokenFile(f"{path} belongs to another user, so it is not used for tokens", path=str(path))
    if descriptor is not None and os.name == "posix" and status.st_mode & 0o077:
        os.fchmod(descriptor, 0o600)
        warnings.warn(f"{path} could be read by others; it is for you alone now (mode 0600)", KickWarning, stacklevel=2)


def _unreadable(path: Path, error: OSError) -> NoReturn:
    reason = error.strerror or type(error).__name__
    raise UnreadableTokenFile(
        f"{path} cannot be used: {reason}; check its folder and permissions", path=str(path)
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
        older = sorted(path.parent.glob(f"{glob.escape(path.name)}.corrupt-*"))[:-KEPT_CORRUPT]
    except OSError as error:
        _unreadable(path, error)
    for name in older:
        with suppress(OSError):
            name.unlink()
    return aside


def _save(path: Path, slot: Slot, token: Token, version: str) -> Saved | Superseded:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        _unreadable(path, error)
    found = _read(path, slot)
    if (found[0].version if found else "") != version:
        return Superseded(found[0] if found else None)
    text = _written(slot, token, found[1] if found else None)
    try:
        _replace(path, text)
    except OSError as error:
        _unreadable(path, error)
    return Saved(hashlib.sha256(text).hexdigest()[:32])


def _written(slot: Slot, token: Token, before: Record | None) -> bytes:
    """The text for `token`, with the unknown members of `before` unless they would make it too long to be read."""
    with suppress(ValueError, RecursionError):
        text = write_record(slot, token, before.unknown if before else None)
        if len(text) <= RECORD_LIMIT:
            return text
    return write_record(slot, token)


def _replace(path: Path, text: bytes) -> None:
    """Write beside, flush to the disk, rename over, flush the folder: whole or not at all, and 0600 from the start."""
    _sweep(path)
    beside = path.with_name(f"{path.name}.{os.getpid()}-{time.time_ns()}.tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
    try:
        try:
            _write_all(descriptor, text)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    _flush_folder(path.parent)


def _write_all(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]


def _flush_folder(folder: Path) -> None:
    # The rename has happened; a file system that cannot flush a folder must not undo that.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sweep(path: Path) -> None:
    """Remove what killed processes left behind: temporary files of this name older than a minute."""
    for left in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError):
            if time.time() - left.lstat().st_mtime > 60:
                left.unlink()


def _drop(path: Path, slot: Slot) -> None:
    # Reading first keeps the promise that another app's file, or something that is no file, is left alone.
    if _read(path, slot) is not None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _unreadable(path, error)
