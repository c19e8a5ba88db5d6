"""The sandbox over real HTTP on the loopback interface, by hypercorn, on asyncio and trio."""

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio import CancelScope

from interpreters.sandbox.asgi import ASGIApp, ASGIReceive, ASGIScope, ASGISend, SandboxApp
from interpreters.sandbox.shell import Sandbox
from kickcore.errors import KickError

if TYPE_CHECKING:
    from hypercorn.config import Config

HOST: Final = "127.0.0.1"
GRACE: Final = 0.1
"""Seconds that requests under way get when the server is to end."""
LAST_RESORT: Final = 2.0
"""Seconds after which a server that does not end is cancelled."""
BACKLOG: Final = 100


class _Interruptible:
    """An application, with a handle on the requests that are still under way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._scopes: set[CancelScope] = set()
        self._deadline = float("inf")

    async def __call__(self, scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with CancelScope(deadline=self._deadline) as cancel:
            self._scopes.add(cancel)
            try:
                await self._app(scope, receive, send)
            finally:
                self._scopes.discard(cancel)

    def end_by(self, deadline: float) -> None:
        """Cancel what is not done by `deadline`, on the event loop's clock."""
        self._deadline = deadline
        for cancel in self._scopes:
            cancel.deadline = deadline


def serve(sandbox: Sandbox, port: int = 0) -> AbstractAsyncContextManager[str]:
    """Serve `sandbox` while the body runs: `async with serve(sandbox) as url`.

    Gives the origin, such as `http://127.0.0.1:49152`, to be used for both the API and the identity host; it takes
    connections at once. Listens on 127.0.0.1 only; `port` 0 takes a free one. On leaving, requests under way get a
    tenth of a second. Works on asyncio and trio.

    Raises `KickError` if hypercorn is not installed, and `OSError` if the port is taken.
    """
    return serve_app(SandboxApp(sandbox), port)


@asynccontextmanager
async def serve_app(application: ASGIApp, port: int = 0) -> AsyncGenerator[str, None]:
    """Serve any ASGI application in the same way, such as one that receives webhooks."""
    config_of, run = _hypercorn()
    app = _Interruptible(application)
    stopping = anyio.Event()
    failure: BaseException | None = None
    with _listener(port) as listener:
        async with anyio.create_task_group() as tasks:
            # Shielded, because hypercorn cleans up only when it is told to stop, not when it is cancelled.
            server = CancelScope(shield=True)
            tasks.start_soon(_serve, server, run, app, config_of(listener), stopping)
            try:
                yield f"http://{HOST}:{listener.getsockname()[1]}"
            except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - raised below
                # Not from here, because a task group would wrap it into an ExceptionGroup.
                failure = error
            finally:
                now = anyio.current_time()
                app.end_by(now + GRACE)
                server.deadline = now + LAST_RESORT
                stopping.set()
    if failure is not None:
        try:
            raise failure
        finally:
            del failure


async def _serve(
    server: CancelScope, run: Callable[..., Any], app: _Interruptible, config: "Config", stopping: anyio.Event
) -> None:
    with server:
        await run(app, config, shutdown_trigger=stopping.wait)


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # On Windows the option would let somebody else take over the port.
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(0)
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _hypercorn() -> tuple[Callable[[socket.socket], "Config"], Callable[..., Any]]:
    """How to configure hypercorn for a listening socket, and its `serve` for the event loop that runs."""
    try:
        from hypercorn.config import Config, Sockets
    except ImportError:
        raise KickError('the sandbox needs a web server: pip install "kickcore[sandbox]"') from None

    class Bound(Config):
        """Hands over a socket that is bound already, and logs nothing."""

        def __init__(self, listener: socket.socket) -> None:
            super().__init__()
            self.accesslog = None
            self.errorlog = None
            self.graceful_timeout = GRACE
            self.include_server_header = False
            self._listener = listener

        def create_sockets(self) -> Sockets:
            return Sockets([], [self._listener], [])

    return Bound, _server_of_this_loop()


def _server_of_this_loop() -> Callable[..., Any]:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return import_module("hypercorn.trio").serve
    return import_module("hypercorn.asyncio").serve
