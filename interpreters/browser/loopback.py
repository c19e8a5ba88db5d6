"""Sockets that listen on this machine alone."""

import errno
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import anyio
from anyio.abc import SocketStream
from anyio.streams.stapled import MultiListener

from kickcore.errors import CallbackPortInUse, LoginError

Listening: TypeAlias = MultiListener[SocketStream]

_ADDRESSES: Final = {"127.0.0.1": ("127.0.0.1",), "::1": ("::1",), "localhost": ("127.0.0.1", "::1")}
_ABSENT: Final = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}


@asynccontextmanager
async def listening(host: str, port: int) -> AsyncGenerator[Sequence[Listening]]:
    """Listen on `port` of the loopback addresses that `host` (127.0.0.1, ::1 or localhost) may lead a browser to.

    For `localhost` these are two, and whoever held the other one would be given the callback. So both must be ours, but
    for a machine without IPv6. Raises `CallbackPortInUse`, or `LoginError` if the system forbids the port.
    """
    held: list[Listening] = []
    try:
        for address in _ADDRESSES[host]:
            try:
                held.append(await anyio.create_tcp_listener(local_host=address, local_port=port))
            except OSError as error:
                if not (held and _is_absent(error)):
                    raise _explained(error, address, port) from error
        yield held
    finally:
        with anyio.CancelScope(shield=True):
            for listener in held:
                await listener.aclose()


def _is_absent(error: OSError) -> bool:
    return isinstance(error, socket.gaierror) or error.errno in _ABSENT


def _explained(error: OSError, address: str, port: int) -> LoginError:
    if error.errno == errno.EADDRINUSE:
        return CallbackPortInUse(
            f"port {port} of {address} is taken, so the browser was not opened: another login may be running, here or "
            "in another program. Wait for its end, stop the program that holds the port, or choose another port and "
            "enter its redirect URL in the app's settings at Kick",
            port=port,
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return LoginError(
            f"the system does not let this program listen on port {port} of {address} (ports below 1024 often need "
            "special rights), so the browser was not opened: choose a higher port and enter its redirect URL in the "
            "app's settings at Kick"
        )
    return LoginError(
        f"cannot listen on port {port} of {address} ({type(error).__name__}, number {error.errno}), so the browser was "
        "not opened: use the redirect URI http://127.0.0.1:…, or paste the address by hand"
    )
