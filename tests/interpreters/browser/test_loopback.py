"""Binding on a machine that lacks something: faults of the system, put in by hand."""

import errno
import socket

import anyio
import pytest

from interpreters.browser.loopback import listening
from kickcore.errors import CallbackPortInUse, LoginError


def failing(monkeypatch: pytest.MonkeyPatch, address: str, error: OSError) -> None:
    real = anyio.create_tcp_listener

    async def create(*, local_host: str, local_port: int) -> object:
        if local_host == address:
            raise error
        return await real(local_host=local_host, local_port=local_port)

    monkeypatch.setattr(anyio, "create_tcp_listener", create)


@pytest.mark.parametrize(
    "error", [OSError(errno.EAFNOSUPPORT, ""), OSError(errno.EADDRNOTAVAIL, ""), socket.gaierror(socket.EAI_NONAME, "")]
)
async def test_without_ipv6_localhost_is_127_0_0_1(error: OSError, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "::1", error)
    async with listening("localhost", port) as listeners:
        assert len(listeners) == 1
    with pytest.raises(LoginError, match="cannot listen") as caught:
        async with listening("::1", port):
            pass
    assert caught.value.__cause__ is error


async def test_a_privileged_port(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "127.0.0.1", PermissionError(errno.EACCES, ""))
    with pytest.raises(LoginError, match="does not let this program listen") as caught:
        async with listening("127.0.0.1", port):
            pass
    assert not isinstance(caught.value, CallbackPortInUse)


async def test_a_port_is_held_by_one_alone_and_then_free(port: int) -> None:
    async with listening("127.0.0.1", port) as listeners:
        raw = listeners[0].extra(anyio.abc.SocketAttribute.raw_socket)
        if hasattr(socket, "SO_REUSEPORT"):
            assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
        with pytest.raises(CallbackPortInUse):
            async with listening("127.0.0.1", port):
                pass
    async with listening("127.0.0.1", port):
        pass
