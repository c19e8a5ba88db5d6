"""A lock between processes: the kernel's, on a file that stays.

The kernel frees it when its holder dies, however it dies. The file is never deleted: a holder that deletes it lets two
others in at once, each with a file of its own.

A lock belongs to the open file, and a forked child has the same open file. So the child closes it at once, without a
word to the kernel about the lock; and its holder unlocks it before closing, whoever else may still have it open.
"""

import errno
import os
import warnings
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from kickcore.errors import KickWarning, TokenLockTimeout, UnreadableTokenFile

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None

LOCK_TIMEOUT: Final = 30.0
"""Seconds to wait for another process."""

_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
_TAKEN: Final = frozenset({errno.EAGAIN, errno.EACCES})


@asynccontextmanager
async def file_lock(path: Path) -> AsyncGenerator[bool]:
    """Hold the lock at `path`, waiting at most 30 seconds without blocking the event loop.

    Yields True if others are kept out. Where the file cannot be made or the system has no locks, it warns, goes on
    without and yields False: the store's compare-and-set still notices a lost race. Raises `TokenLockTimeout` that
    names the file.
    """
    opened = await _acquire(path)
    try:
        yield opened is not None
    finally:
        if opened is not None:
            opened.close()


class _Opened:
    """An open lock file, closed at the latest when nobody has it: asyncio may cancel whoever waits for the thread."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        _all_opened.add(self)

    def close(self) -> None:
        """Let go of the lock, if it is held, and close the file. Neither blocks."""
        if fcntl is not None and self.descriptor >= 0:
            with suppress(OSError):
                fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        self.forget()

    def forget(self) -> None:
        """Close the file and leave the lock to whoever else has it open: the process that this one was forked from."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)

    __del__ = close


_all_opened: Final[weakref.WeakSet[_Opened]] = weakref.WeakSet()


def _forget_all() -> None:
    for opened in list(_all_opened):
        opened.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


async def _acquire(path: Path) -> _Opened | None:
    opened = await to_thread.run_sync(_open, path)
    if opened is None:
        return None
    try:
        deadline = anyio.current_time() + LOCK_TIMEOUT
        pause = 0.005
        while (locked := _try_lock(opened.descriptor, path)) is False:
            if anyio.current_time() >= deadline:
                raise TokenLockTimeout(
                    f"another process has held {path} for more than {LOCK_TIMEOUT:g} seconds; tokens are as they were",
                    path=str(path),
                )
            await anyio.sleep(pause)
            pause = min(pause * 1.5, 0.1)
    except BaseException:
        opened.close()
        raise
    if locked is None:
        opened.close()
        return None
    return opened


def _open(path: Path) -> _Opened | None:
    if fcntl is None:
        warnings.warn("this system has no fcntl: tokens are not locked between processes", KickWarning, stacklevel=2)
        return None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _Opened(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600))
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:
            raise UnreadableTokenFile(f"{path} is not a plain file; remove it", path=str(path)) from None
        reason = error.strerror or type(error).__name__
        warnings.warn(f"{path} cannot be locked: {reason}; going on without a lock", KickWarning, stacklevel=2)
        return None


def _try_lock(descriptor: int, path: Path) -> bool | None:
    """Whether the lock was free and is ours now; None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        if error.errno not in _NO_LOCKS:
            reason = error.strerror or type(error).__name__
            raise UnreadableTokenFile(f"{path} cannot be locked: {reason}", path=str(path)) from None
        warnings.warn("this file system has no locks; going on without one", KickWarning, stacklevel=2)
        return None
    return True
