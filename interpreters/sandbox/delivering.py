"""Delivering to receivers, over HTTP or in memory, on asyncio and trio."""

import time
from typing import TYPE_CHECKING, Final

import anyio
from msgspec import Struct

from interpreters.sandbox.asgi import ASGIApp, ASGIMessage
from interpreters.sandbox.shell import NO_STATUS, Sandbox
from interpreters.sandbox.signing import Delivery
from kickcore.errors import ConfigError, cleaned

if TYPE_CHECKING:
    import httpx2

TIMEOUT: Final = 10.0
"""Seconds that a receiver may take to answer. How long Kick waits is not known."""
BROKEN: Final = 500
"""The status for an application that raises, or ends without an answer."""


class Answered(Struct, frozen=True):
    """What came of a delivery: a status, or 0 for no answer, and then why; and how many seconds it took."""

    delivery: Delivery
    status: int
    seconds: float
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was taken, as Kick sees it."""
        return 200 <= self.status < 300


async def deliver(
    sandbox: Sandbox,
    to: str | ASGIApp,
    *,
    path: str = "/",
    http: "httpx2.AsyncClient | None" = None,
    within: float = TIMEOUT,
) -> tuple[Answered, ...]:
    """Deliver whatever is due, one after the other, and let the sandbox know what was answered.

    `to` is the address of a receiver, or an ASGI application, which is then called in memory with `path`. For an
    address, a client of yours in `http` is used as it is and not closed. A failed delivery is not repeated, as Kick
    repeats none, and raises nothing; one that is not answered `within` these seconds has failed. Works on asyncio and
    trio.

    Raises `ConfigError` for an address that is none, and `KickError` without the extra `webhooks`.
    """
    if not isinstance(to, str):
        return tuple([await _called(sandbox, to, path, delivery, within) for delivery in sandbox.take_deliveries()])
    if http is not None:
        return tuple([await _posted(sandbox, to, http, delivery, within) for delivery in sandbox.take_deliveries()])
    async with client_to(to) as client:
        return tuple([await _posted(sandbox, to, client, delivery, within) for delivery in sandbox.take_deliveries()])


def client_to(address: str) -> "httpx2.AsyncClient":
    """A client that follows no redirect and trusts no environment. Raises `ConfigError` for what is no address."""
    import httpx2

    if not address.startswith(("http://", "https://")):
        raise ConfigError("a receiver is named by its address, as http://127.0.0.1:8000/webhooks; nothing was sent")
    return httpx2.AsyncClient(trust_env=False, follow_redirects=False)


async def _posted(
    sandbox: Sandbox, url: str, http: "httpx2.AsyncClient", delivery: Delivery, within: float
) -> Answered:
    came = await post(delivery, url, http, within=within)
    sandbox.note_answer(delivery, came.status)
    return came


async def post(delivery: Delivery, url: str, http: "httpx2.AsyncClient", *, within: float = TIMEOUT) -> Answered:
    """Send one delivery once, with its own headers and no others but those that HTTP itself needs."""
    import httpx2

    began = time.perf_counter()
    try:
        asked = httpx2.Request(delivery.method, url, headers=list(delivery.headers), content=delivery.body)
        with anyio.fail_after(within):
            answer = await http.send(asked, stream=True, auth=None, follow_redirects=False)
            # The body does not matter to Kick, and may be without end.
            await answer.aclose()
    except TimeoutError:
        return Answered(delivery, NO_STATUS, time.perf_counter() - began, _late(within))
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        told = cleaned(str(error)) or type(error).__name__
        return Answered(delivery, NO_STATUS, time.perf_counter() - began, told)
    return Answered(delivery, answer.status_code, time.perf_counter() - began)


def _late(within: float) -> str:
    return f"no answer within {within:g} seconds"


async def _called(sandbox: Sandbox, app: ASGIApp, path: str, delivery: Delivery, within: float) -> Answered:
    came = await call(delivery, app, path, within=within)
    sandbox.note_answer(delivery, came.status)
    return came


async def call(delivery: Delivery, app: ASGIApp, path: str = "/", *, within: float = TIMEOUT) -> Answered:
    """Give one delivery to an ASGI application, as a server would, and wait until it is done with it.

    What it raises before it answers is told as a status of 500.
    """
    began = time.perf_counter()
    call = _Call(delivery)
    with anyio.move_on_after(within) as limit:
        try:
            await app(_scope(delivery, path), call.receive, call.send)
        except Exception as error:  # noqa: BLE001 - a server stands whatever its application raises
            call.failed = type(error).__name__
    if call.status:
        return Answered(delivery, call.status, call.answered_at - began)
    seconds = time.perf_counter() - began
    if limit.cancelled_caught:
        return Answered(delivery, NO_STATUS, seconds, _late(within))
    return Answered(delivery, BROKEN, seconds, call.failed or "it gave no answer")


class _Call:
    """One request to an application, and the status that it gave."""

    def __init__(self, delivery: Delivery) -> None:
        self._body: bytes | None = delivery.body
        self._answered = anyio.Event()
        self.status = NO_STATUS
        self.answered_at = 0.0
        self.failed = ""

    async def receive(self) -> ASGIMessage:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        # A client goes away when it has its answer.
        await self._answered.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: ASGIMessage) -> None:
        if message["type"] == "http.response.start":
            self.status, self.answered_at = message["status"], time.perf_counter()
        elif not message.get("more_body", False):
            self._answered.set()


def _scope(delivery: Delivery, path: str) -> dict[str, object]:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in delivery.headers]
    length = str(len(delivery.body)).encode("ascii")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": delivery.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8"),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"receiver"), (b"content-length", length), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("receiver", 80),
    }
