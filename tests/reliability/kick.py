"""The simulated Kick over HTTP, in a process of its own, with faults to order: `python kick.py` prints its port."""

import asyncio
import os
import random
import socket
import struct
import sys
import threading
from contextlib import suppress
from typing import Final

import msgspec
from orders import (
    CLIENT_ID,
    CLIENT_SECRET,
    CONTROL,
    SCOPE,
    Answer,
    Ask,
    Fault,
    Fresh,
    Grant,
    Login,
    Order,
    Release,
    State,
)

from interpreters.sandbox import Rotation, Sandbox, small_world
from interpreters.sandbox.asgi import read_request
from interpreters.sandbox.machine import respond
from interpreters.sandbox.world import World
from kickcore.http import Request, Response
from kickcore.secret import Secret

NO_LINGER: Final = struct.pack("ii", 1, 0)


class Kick:
    """One user's grant, and whatever goes wrong with renewing it."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.chance = random.Random()
        self.begin(Fresh(seed="begin"))

    def begin(self, order: Fresh) -> Grant:
        rotation = Rotation.STRICT if order.strict else Rotation.GRACE
        world = small_world(
            CLIENT_ID, CLIENT_SECRET, seed=order.seed, rotation=rotation, grace_seconds=600.0, user_life=order.user_life
        )
        self.sandbox = Sandbox(world)
        self.pause = order.pause
        self.chance.seed(order.seed)
        self.fault: Fault | None = None
        self.refreshes = self.granted = self.reused = self.replays = self.length = 0
        self.under_way = 0
        self.let_go()
        grant = self.log_in()
        self.sandbox.expire_access_tokens()
        return grant

    def log_in(self) -> Grant:
        token = self.sandbox.sign_in([SCOPE])
        assert token.access_token is not None
        assert token.refresh_token is not None
        return Grant(token.access_token.reveal(), token.refresh_token.reveal())

    def let_go(self) -> None:
        self.held = 0
        self.release.set()
        self.release = asyncio.Event()

    def obey(self, order: Order) -> Grant | State:
        match order:
            case Fresh():
                return self.begin(order)
            case Login():
                return self.log_in()
            case Fault():
                self.fault = order
            case Release():
                self.let_go()
            case Ask():
                return self.state(takes=self.takes(order.refresh_token))
        return self.state()

    def state(self, *, takes: bool = False) -> State:
        return State(
            refreshes=self.refreshes,
            granted=self.granted,
            reused=self.reused,
            replays=self.replays,
            under_way=self.under_way,
            held=self.held,
            length=self.length,
            takes=takes,
        )

    def takes(self, refresh_token: str) -> bool:
        form = (
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", CLIENT_ID),
            ("client_secret", CLIENT_SECRET),
        )
        request = Request("POST", "http://kick/oauth/token", form=form)
        return respond(self.sandbox.world, request, self.sandbox.clock()).response.status == 200

    def act(self, request: Request, sent: str) -> Response:
        """Answer a refresh, and count what it was."""
        held = self.sandbox.world.refresh.get(sent)
        was_spent = held is not None and held.spent_at is not None
        response = self.sandbox.handle(request)
        assert isinstance(response, Response)
        is_granted = response.status == 200
        self.granted += is_granted
        self.reused += is_granted and was_spent
        self.replays += not is_granted and was_spent
        return response

    async def renew(self, request: Request, sent: str, writer: asyncio.StreamWriter) -> None:
        """Answer a refresh as the fault has it that was ordered for it."""
        fault, self.fault = self.fault or Fault(), None
        self.refreshes += 1
        self.under_way += 1
        sandbox = self.sandbox
        try:
            await asyncio.sleep(self.chance.random() * self.pause)
            if fault.hold == "asked":
                await self.hold()
            before = self.sandbox.world
            response = self.act(request, sent) if fault.acts else Response(503)
            if fault.answer is not None:
                response = replaced(fault.answer, before, self.sandbox.world, sent)
            await asyncio.sleep(self.chance.random() * self.pause)
            await self.finish(octets(response), fault, writer)
        finally:
            if sandbox is self.sandbox:
                self.under_way -= 1

    async def hold(self) -> None:
        self.held += 1
        await self.release.wait()

    async def finish(self, text: bytes, fault: Fault, writer: asyncio.StreamWriter) -> None:
        self.length = len(text)
        writer.write(text[: fault.keep])
        await writer.drain()
        if fault.hold == "answered":
            await self.hold()
        if fault.ending == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            writer.transport.abort()
        if fault.ending != "answer":
            raise ConnectionAbortedError
        writer.write(b"" if fault.keep is None else text[fault.keep :])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first request to its last."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, headers = read_head(head)
                body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
                if target == CONTROL:
                    told = self.obey(msgspec.json.decode(body, type=Order))
                    writer.write(octets(Response(200, (), msgspec.json.encode(told))))
                    continue
                request = read(method, target, headers, body)
                sent = refreshed(request)
                if sent is None:
                    answer = self.sandbox.handle(request)
                    assert isinstance(answer, Response)
                    writer.write(octets(answer))
                else:
                    await self.renew(request, sent, writer)
        writer.close()


def read_head(head: bytes) -> tuple[str, str, dict[bytes, bytes]]:
    first, *lines = head.split(b"\r\n")[:-2]
    method, target, _ = first.decode("ascii").split(" ")
    pairs = (line.partition(b":") for line in lines)
    return method, target, {name.lower(): value.strip() for name, _, value in pairs}


def read(method: str, target: str, headers: dict[bytes, bytes], body: bytes) -> Request:
    path, _, query = target.partition("?")
    scope = {"method": method, "path": path, "query_string": query.encode("ascii"), "headers": headers.items()}
    request = read_request(scope, body)
    assert isinstance(request, Request)
    return request


def refreshed(request: Request) -> str | None:
    """The refresh token that is to be traded in, or None if this is no refresh."""
    form = {name: value.reveal() if isinstance(value, Secret) else value for name, value in request.form}
    return form.get("refresh_token", "") if form.get("grant_type") == "refresh_token" else None


def octets(response: Response) -> bytes:
    headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
    head = f"HTTP/1.1 {response.status} Told\r\n{headers}content-length: {len(response.body)}\r\n\r\n"
    return head.encode("latin-1") + response.body


def replaced(answer: Answer, before: World, after: World, sent: str) -> Response:
    """`answer` with the tokens that were issued between both worlds."""
    access = next((text for text in after.access if text not in before.access), "")
    refresh = next((text for text in after.refresh if text not in before.refresh), "")
    body = answer.body
    for name, text in (("AT", access), ("RT2", refresh), ("RT1", sent)):
        body = body.replace(f'"{name}"'.encode(), f'"{text}"'.encode())
    return Response(answer.status, (("content-type", answer.content_type),), body)


def end_with_its_parent() -> None:
    """Standard input ends when whoever started this has ended, however that was."""
    sys.stdin.read()
    os._exit(0)


async def main() -> None:
    threading.Thread(target=end_with_its_parent, daemon=True).start()
    kick = Kick()
    server = await asyncio.start_server(kick.serve, "127.0.0.1", 0, limit=2**20, backlog=2000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
