"""Sockets that listen on this machine alone."""

import errno
import socket
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.abc import SocketListener

from kickcore.errors import CallbackPortInUse, ConfigError, KickError, LoginError

_ADDRESSES: Final = {"127.0.0.1": ("127.0.0.1",), "::1": ("::1",), "localhost": ("127.0.0.1", "::1")}
_ABSENT: Final = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}

BACKLOG: Final = 1024
"""Connections that may wait to be accepted: so many silent ones do not keep the callback out."""


@asynccontextmanager
async def listening(host: str, port: int) -> AsyncGenerator[Sequence[SocketListener]]:
    """Listen on `port` of the loopback addresses that `host` (127.0.0.1, ::1 or localhost) may lead a browser to.

    For `localhost` these are two, and whoever held the other one would be given the callback. So both must be ours, but
    for a machine that has only one. Raises `CallbackPortInUse`, `ConfigError` if the system forbids the port, or
    `LoginError`.
    """
    held: list[SocketListener] = []
    addresses = _ADDRESSES[host]
    try:
        for address in addresses:
            try:
                held.append(await SocketListener.from_socket(_bound(address, port)))
            except OSError as error:
                if error.errno not in _ABSENT or (address == addresses[-1] and not held):
                    raise _explained(error, address, port) from error
        yield held
    finally:
        with anyio.CancelScope(shield=True):
            for listener in held:
                await listener.aclose()


def _bound(address: str, port: int) -> socket.socket:
    """A socket that listens on exactly this address."""
    # Not by name resolution, which denies ::1 (or 127.0.0.1) where all other addresses are IPv4 (or IPv6).
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        if sys.platform == "win32":
            # There, sharing an address is what others may do unless it is forbidden.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            # Connections of the login before, which the system still remembers, do not matter.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _explained(error: OSError, address: str, port: int) -> KickError:
    if error.errno == errno.EADDRINUSE:
        return CallbackPortInUse(
            f"port {port} of {address} is taken, so the browser was not opened: another login may be running, here or "
            "in another program. Wait for its end, stop the program that holds the port, or choose another port and "
            "enter its redirect URL in the app's settings at Kick",
            port=port,
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return ConfigError(
            f"the system does not let this program listen on port {port} of {address} (ports below 1024 often need "
            "special rights), so the browser was not opened: choose a higher port and enter its redirect URL in the "
            "app's settings at Kick"
        )
    return LoginError(
        f"cannot listen on port {port} of {address} ({type(error).__name__}, number {error.errno}), so the browser was "
        f"not opened: use another redirect URI, such as http://localhost:{port}/callback, or paste the address by hand"
    )
