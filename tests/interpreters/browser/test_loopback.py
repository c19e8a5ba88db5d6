"""Binding: to the loopback addresses alone, alone on them, and on a machine that lacks something."""

import errno
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import anyio
import anyio.abc
import pytest

from interpreters.browser import loopback
from interpreters.browser.loopback import listening
from kickcore.errors import CallbackPortInUse, ConfigError, LoginError


def failing(monkeypatch: pytest.MonkeyPatch, faults: dict[str, OSError]) -> None:
    """A system that refuses to bind to these addresses."""
    real = socket.socket.bind

    def bind(made: socket.socket, address: tuple[str, int]) -> None:
        if address[0] in faults:
            raise faults[address[0]]
        real(made, address)

    monkeypatch.setattr(socket.socket, "bind", bind)


def absent(number: int = errno.EADDRNOTAVAIL) -> OSError:
    return OSError(number, "")


async def addresses(host: str, port: int) -> list[str]:
    async with listening(host, port) as listeners:
        return [str(listener.extra(anyio.abc.SocketAttribute.local_address)[0]) for listener in listeners]


@pytest.mark.parametrize(
    ("host", "bound"), [("127.0.0.1", ["127.0.0.1"]), ("::1", ["::1"]), ("localhost", ["127.0.0.1", "::1"])]
)
async def test_what_a_host_may_lead_a_browser_to(host: str, bound: list[str], port: int) -> None:
    assert await addresses(host, port) == bound


def listened_on(port: int) -> set[str]:
    """The local addresses, in hexadecimal, at which this machine listens on a port."""
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return {line[1].partition(":")[0] for line in lines if line[3] == "0A" and line[1].endswith(f":{port:04X}")}


@pytest.mark.skipif(not Path("/proc/net/tcp6").exists(), reason="no /proc/net here")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_no_other_interface_is_listened_on(host: str, port: int) -> None:
    four, six = "0100007F", "00000000000000000000000001000000"
    async with listening(host, port):
        assert listened_on(port) == {"127.0.0.1": {four}, "::1": {six}, "localhost": {four, six}}[host]
    assert listened_on(port) == set()


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
@pytest.mark.parametrize(("lacking", "there"), [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
async def test_on_a_machine_with_one_of_them_localhost_is_that_one(
    number: int, lacking: str, there: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = absent(number)
    failing(monkeypatch, {lacking: fault})
    assert await addresses("localhost", port) == [there]
    with pytest.raises(LoginError) as caught:
        await addresses(lacking, port)
    assert caught.value.__cause__ is fault
    assert str(caught.value) == (
        f"cannot listen on port {port} of {lacking} (OSError, number {number}), so the browser was not opened: use "
        f"another redirect URI, such as http://localhost:{port}/callback, or paste the address by hand"
    )


async def test_on_a_machine_with_neither_there_is_no_login(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, {"127.0.0.1": absent(), "::1": absent()})
    with pytest.raises(LoginError, match=f"cannot listen on port {port} of ::1"):
        await addresses("localhost", port)


@pytest.mark.parametrize("other", ["127.0.0.1", "::1"])
async def test_an_address_that_is_there_and_cannot_be_had_is_not_done_without(
    other: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, {other: OSError(errno.ENOBUFS, "")})
    with pytest.raises(LoginError, match=f"cannot listen on port {port} of {other}"):
        await addresses("localhost", port)
    if other == "::1":
        with socket.create_server(("127.0.0.1", port)):
            pass


async def test_no_name_is_resolved(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # With AI_ADDRCONFIG, which event loops like, a machine without other IPv6 addresses denies that there is a ::1, and
    # whoever listens there is given the callback.
    def denying(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_FAMILY, "")

    monkeypatch.setattr(socket, "getaddrinfo", denying)
    assert await addresses("localhost", port) == ["127.0.0.1", "::1"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
async def test_a_privileged_port(number: int, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, {"127.0.0.1": OSError(number, "")})
    with pytest.raises(ConfigError) as caught:
        await addresses("127.0.0.1", port)
    assert str(caught.value) == (
        f"the system does not let this program listen on port {port} of 127.0.0.1 (ports below 1024 often need special "
        "rights), so the browser was not opened: choose a higher port and enter its redirect URL in the app's settings "
        "at Kick"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="systems differ in who may share a port")
async def test_a_port_is_held_by_one_alone_and_then_free(port: int) -> None:
    async with listening("127.0.0.1", port) as listeners:
        raw = listeners[0].extra(anyio.abc.SocketAttribute.raw_socket)
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
        assert raw.gettimeout() == 0
        with pytest.raises(CallbackPortInUse) as caught:
            await addresses("127.0.0.1", port)
        assert caught.value.port == port
        assert str(caught.value) == (
            f"port {port} of 127.0.0.1 is taken, so the browser was not opened: another login may be running, here or "
            "in another program. Wait for its end, stop the program that holds the port, or choose another port and "
            "enter its redirect URL in the app's settings at Kick"
        )
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            for address in ("127.0.0.1", ""):
                with pytest.raises(OSError, match="in use"):
                    squatter.bind((address, port))
    assert await addresses("127.0.0.1", port) == ["127.0.0.1"]


@pytest.mark.skipif(sys.platform != "linux", reason="systems differ in who may share a port")
@pytest.mark.parametrize("at", ["127.0.0.1", ""])
async def test_a_squatter_that_would_share_the_port_gets_no_company(at: str, port: int) -> None:
    with socket.create_server((at, port), reuse_port=True), pytest.raises(CallbackPortInUse):
        await addresses("127.0.0.1", port)


async def test_connections_of_the_login_before_do_not_hold_the_port(port: int) -> None:
    async with listening("127.0.0.1", port) as listeners:
        with socket.create_connection(("127.0.0.1", port)) as visitor:
            stream = await listeners[0].accept()
            # Who closes first is the one whose side the system remembers.
            await stream.aclose()
            assert visitor.recv(1) == b""
    assert await addresses("127.0.0.1", port) == ["127.0.0.1"]


async def test_so_many_silent_connections_find_room(port: int) -> None:
    with ExitStack() as stack:
        async with listening("127.0.0.1", port):
            for _ in range(300):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=0.5))


async def test_a_cancellation_closes_both(port: int) -> None:
    with anyio.CancelScope() as scope:
        async with listening("localhost", port):
            scope.cancel()
            await anyio.sleep_forever()
    with socket.create_server(("127.0.0.1", port)), socket.create_server(("::1", port), family=socket.AF_INET6):
        pass


def test_on_windows_the_port_is_asked_for_alone(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, int]] = []
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", ~socket.SO_REUSEADDR, raising=False)
    monkeypatch.setattr(socket.socket, "setsockopt", lambda _, *option: asked.append(option))
    with monkeypatch.context() as windows:
        windows.setattr(sys, "platform", "win32")
        made = loopback._bound("127.0.0.1", port)
    made.close()
    assert asked == [(socket.SOL_SOCKET, ~socket.SO_REUSEADDR, 1)]
