"""Delivering to receivers, in memory and over sockets."""

import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio
import anyio.abc
import httpx2
import pytest

from interpreters.sandbox import DeliveryFaults, Fault, deliver, serve_app
from interpreters.sandbox.deliveries import PATIENCE
from kickcore.errors import ConfigError
from kickcore.webhooks import Delivery, verify

from .asking import NOW
from .telling import HAPPENINGS, happen, subscribed

FOLLOW = "channel.followed"
Message = MutableMapping[str, Any]


class Receiver:
    """An ASGI application that keeps what comes, and answers with `status`."""

    def __init__(self, status: int = 204) -> None:
        self.status = status
        self.came: list[tuple[str, list[tuple[bytes, bytes]], bytes]] = []

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.came.append((f"{scope['method']} {scope['path']}", [*scope["headers"]], body))
        headers = [(b"location", b"/elsewhere")] if self.status == 302 else []
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if self.status == 204 else b"an answer"})


async def test_an_application_gets_them_in_memory_and_can_verify_them() -> None:
    sandbox, receiver = subscribed(), Receiver()
    sandbox.world = HAPPENINGS[FOLLOW](HAPPENINGS["kicks.gifted"](sandbox.world))
    came = await deliver(sandbox, receiver)
    assert [(each.status, each.ok, each.detail) for each in came] == [(204, True, "")] * 2
    assert [each.delivery.event for each in came] == ["kicks.gifted", FOLLOW]
    for (asked, headers, body), each in zip(receiver.came, came, strict=True):
        assert asked == "POST /"
        assert body == each.delivery.body
        assert isinstance(verify(headers, body, NOW, [sandbox.key.public_key]), Delivery)
    assert await deliver(sandbox, receiver) == ()


async def test_over_a_socket_the_headers_come_as_kick_writes_them() -> None:
    sandbox, receiver = subscribed(FOLLOW), Receiver(200)
    sandbox.world = HAPPENINGS[FOLLOW](sandbox.world)
    async with serve_app(receiver) as url:
        (came,) = await deliver(sandbox, f"{url}/webhooks")
    assert came.ok
    ((asked, headers, body),) = receiver.came
    assert asked == "POST /webhooks"
    assert body == came.delivery.body
    sent = [(name.lower().encode(), value.encode()) for name, value in came.delivery.headers]
    assert [pair for pair in headers if pair in sent] == sent
    assert {name for name, _ in headers} - {name for name, _ in sent} == {b"host", b"content-length"}


async def test_on_the_wire_the_names_of_headers_keep_their_capitals() -> None:
    heard: list[bytes] = []
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)

    async def answer(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            octets = b""
            while b"identity" not in octets:
                octets += await stream.receive()
            heard.append(octets)
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    sandbox = subscribed(FOLLOW)
    sandbox.world = HAPPENINGS[FOLLOW](sandbox.world)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        (came,) = await deliver(sandbox, f"http://127.0.0.1:{port}/")
        tasks.cancel_scope.cancel()
    assert came.ok
    for name, value in came.delivery.headers:
        assert f"\r\n{name}: {value}\r\n".encode() in heard[0]


@pytest.mark.parametrize("status", [302, 401, 500])
async def test_a_failed_delivery_is_told_and_counted_and_not_repeated(status: int) -> None:
    sandbox, receiver = subscribed(FOLLOW), Receiver(status)
    sandbox.world = HAPPENINGS[FOLLOW](sandbox.world)
    (came,) = await deliver(sandbox, receiver)
    assert (came.status, came.ok) == (status, False)
    assert len(receiver.came) == 1
    assert list(sandbox.world.failing) == [("sandbox-app", FOLLOW)]
    sandbox.clock = lambda: NOW + PATIENCE + 1
    sandbox.world = HAPPENINGS[FOLLOW](sandbox.world)
    await deliver(sandbox, receiver)
    assert sandbox.world.subscriptions == {}


async def broken(*_: object) -> None:
    raise RuntimeError("it is broken")


async def mute(*_: object) -> None:
    pass


@pytest.mark.parametrize(("app", "detail"), [(broken, "RuntimeError"), (mute, "it gave no answer")])
async def test_an_application_that_raises_or_says_nothing_has_answered_with_500(app: Any, detail: str) -> None:
    sandbox = subscribed(FOLLOW)
    sandbox.world = HAPPENINGS[FOLLOW](sandbox.world)
    (came,) = await deliver(sandbox, app)
    assert (came.status, came.detail) == (500, detail)
    assert list(sandbox.world.failing) == [("sandbox-app", FOLLOW)]


async def test_what_an_application_does_after_its_answer_changes_nothing() -> None:
    told: list[str] = []

    async def lingering(scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        told.extend([(await receive())["type"], (await receive())["type"], f"{scope['method']} {scope['path']}"])
        raise RuntimeError("it is broken")

    sandbox = subscribed(FOLLOW)
    sandbox.world = HAPPENINGS[FOLLOW](sandbox.world)
    (came,) = await deliver(sandbox, lingering, path="/webhooks")
    assert came.status == 202
    assert told == ["http.request", "http.disconnect", "POST /webhooks"]
    assert sandbox.world.failing == {}


async def test_the_client_does_not_go_away_before_it_has_its_answer() -> None:
    order: list[str] = []

    async def watching(_: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        async def watch() -> None:
            order.append((await receive())["type"])
            order.append((await receive())["type"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            order.append("answered")
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            await send({"type": "http.response.body", "body": b"b"})

    sandbox = subscribed(FOLLOW)
    sandbox.world = HAPPENINGS[FOLLOW](sandbox.world)
    (came,) = await deliver(sandbox, watching)
    assert came.ok
    assert order == ["http.request", "answered", "http.disconnect"]


async def test_one_that_does_not_answer_in_time_has_failed() -> None:
    async def silent(*_: object) -> None:
        await anyio.sleep_forever()

    sandbox = subscribed(FOLLOW)
    sandbox.world = HAPPENINGS[FOLLOW](sandbox.world)
    (came,) = await deliver(sandbox, silent, within=0.01)
    assert (came.status, came.detail) == (0, "no answer within 0.01 seconds")
    assert list(sandbox.world.failing) == [("sandbox-app", FOLLOW)]


async def test_where_nobody_listens_there_is_no_answer() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        sandbox = subscribed(FOLLOW)
        sandbox.world = HAPPENINGS[FOLLOW](sandbox.world)
        (came,) = await deliver(sandbox, f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert (came.status, came.ok) == (0, False)
    assert came.detail


async def test_a_client_of_ones_own_is_used_and_left_open() -> None:
    receiver = Receiver()
    sandbox = subscribed(FOLLOW)
    sandbox.world = HAPPENINGS[FOLLOW](sandbox.world)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=receiver), headers={"x-mine": "1"}) as http:
        (came,) = await deliver(sandbox, "http://receiver/path", http=http)
        assert not http.is_closed
        assert came.ok
        receiver.status = 503
        sandbox.world = HAPPENINGS[FOLLOW](sandbox.world)
        (came,) = await deliver(sandbox, "http://receiver/path", http=http)
    assert came.status == 503
    assert [asked for asked, _, _ in receiver.came] == ["POST /path"] * 2
    assert list(sandbox.world.failing) == [("sandbox-app", FOLLOW)]


@pytest.mark.parametrize("address", ["receiver", "ftp://127.0.0.1/", ""])
async def test_what_is_no_address_is_told_and_nothing_is_lost(address: str) -> None:
    sandbox = subscribed(FOLLOW)
    sandbox.world = HAPPENINGS[FOLLOW](sandbox.world)
    with pytest.raises(ConfigError, match="address"):
        await deliver(sandbox, address)
    assert len(sandbox.take_deliveries()) == 1


async def test_faults_arrive() -> None:
    sandbox, receiver = subscribed(FOLLOW, faults=DeliveryFaults(duplicate_every=1, forged_every=1)), Receiver()
    sandbox.world = HAPPENINGS[FOLLOW](sandbox.world)
    came = await deliver(sandbox, receiver)
    assert [each.delivery.fault for each in came] == [None, Fault.DUPLICATE, Fault.FORGED]
    taken = [
        isinstance(verify(headers, body, NOW, [sandbox.key.public_key]), Delivery) for _, headers, body in receiver.came
    ]
    assert taken == [True, True, False]
    assert happen(sandbox) == ()
