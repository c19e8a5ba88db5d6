"""A server that answers every request with the same user at once, in a process of its own: `python server.py`."""

import asyncio

BODY = b'{"data":[{"user_id":123,"name":"x","email":"","profile_picture":"https://example.com/x.webp"}],"message":"OK"}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)
ANSWER = HEAD + BODY


class Same(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.seen = b""

    def data_received(self, data: bytes) -> None:
        self.seen += data
        while b"\r\n\r\n" in self.seen:
            _, _, self.seen = self.seen.partition(b"\r\n\r\n")
            self.transport.write(ANSWER)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Same, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
