"""Receiving with faults put in by hand: in accepting, in showing the URL, in what a connection does."""

import errno
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketListener, SocketStream, TaskGroup

from interpreters.browser import reception
from interpreters.browser.loopback import listening
from interpreters.browser.opening import Invitation
from interpreters.browser.reception import Reception
from kickcore.oauth.callback import Callback

from .scripted_browser import GOOD, LOST, ConsentFor, request, rest, status, unseen, visit


class Faulty:
    """A listener that fails to accept before it accepts."""

    def __init__(self, listener: SocketListener, faults: Sequence[Exception]) -> None:
        self._listener = listener
        self._faults = list(faults)

    async def serve(self, handler: Callable[..., Any], tasks: TaskGroup) -> None:
        if self._faults:
            await anyio.lowlevel.checkpoint()
            raise self._faults.pop(0)
        await self._listener.serve(handler, tasks)


async def held(
    port: int, consent_for: ConsentFor, visits: Callable[[], Awaitable[object]], *faults: Exception
) -> Callback | None:
    async def open_url(_url: str) -> bool:
        await visits()
        return True

    received = Reception(consent_for(port))
    async with listening("127.0.0.1", port) as listeners:
        faulty = [cast("SocketListener", Faulty(listener, faults)) for listener in listeners]
        await received.hold(faulty, Invitation("", open_url, unseen))
    return received.outcome


@pytest.mark.parametrize(
    "fault", [OSError(errno.EMFILE, "too many open files"), ConnectionAbortedError(), anyio.BrokenResourceError()]
)
async def test_a_connection_that_cannot_be_accepted_is_not_the_end(
    fault: Exception, port: int, consent_for: ConsentFor
) -> None:
    async def visits() -> None:
        assert status(await visit(port, request(port))) == 200

    begun = anyio.current_time()
    assert await held(port, consent_for, visits, fault, fault, fault) == GOOD
    # Not at once again: while descriptors are short, that would only use up the processor.
    assert anyio.current_time() - begun > 0.05


async def test_a_connection_that_cannot_be_accepted_does_no_harm_to_another(port: int, consent_for: ConsentFor) -> None:
    class FailingOnTheSecond(Faulty):
        async def serve(self, handler: Callable[..., Any], tasks: TaskGroup) -> None:
            tasks.start_soon(handler, await self._listener.accept())
            raise OSError(errno.EMFILE, "too many open files")

    async def open_url(_url: str) -> bool:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            for octet in request(port):
                await stream.send(bytes([octet]))
                await anyio.lowlevel.checkpoint()
            assert status(await rest(stream)) == 200
        return True

    received = Reception(consent_for(port))
    async with listening("127.0.0.1", port) as listeners:
        faulty = [cast("SocketListener", FailingOnTheSecond(listener, [])) for listener in listeners]
        await received.hold(faulty, Invitation("", open_url, unseen))
    assert received.outcome == GOOD


async def test_a_mistake_in_accepting_comes_out_as_itself(port: int, consent_for: ConsentFor) -> None:
    mistake = ValueError("a mistake")
    with pytest.raises(ValueError, match="a mistake") as caught:
        await held(port, consent_for, anyio.sleep_forever, mistake)
    assert caught.value is mistake


async def test_a_mistake_in_judging_comes_out_as_itself(
    port: int, consent_for: ConsentFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(reception, "answer_request", mistaken)

    async def visits() -> None:
        await visit(port, request(port))
        await anyio.sleep_forever()

    with pytest.raises(ZeroDivisionError):
        await held(port, consent_for, visits)


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
async def test_a_program_that_is_ended_while_the_url_is_shown_ends(
    signal: type[BaseException], port: int, consent_for: ConsentFor
) -> None:
    async def open_url(_url: str) -> bool:
        return False

    def show(_url: str) -> None:
        raise signal

    received = Reception(consent_for(port))
    async with listening("127.0.0.1", port) as listeners:
        with pytest.raises(signal):
            await received.hold(listeners, Invitation("", open_url, show))


async def test_the_first_failure_is_the_one_that_is_told(port: int, consent_for: ConsentFor) -> None:
    async def fails(error: Exception) -> None:
        raise error

    async def open_url(_url: str) -> bool:
        return True

    received = Reception(consent_for(port))
    await received._guarded(fails, ValueError("the first"))
    await received._guarded(fails, LookupError("the second"))
    with pytest.raises(ValueError, match="the first"):
        await received.hold([], Invitation("", open_url, unseen))


async def test_room_is_made_at_once(port: int, consent_for: ConsentFor) -> None:
    received = Reception(consent_for(port))
    waiting = [anyio.CancelScope() for _ in range(reception.MOST_CONNECTIONS)]
    received._waiting.update(dict.fromkeys(waiting))
    received._make_room()
    received._make_room()
    assert list(received._waiting) == waiting[1:]
    assert [scope.cancel_called for scope in waiting] == [True] + [False] * 15


async def sent_before_the_end(stream: SocketStream, octets: bytes) -> int:
    """How many octets can be sent until the other side has had enough, or a second has passed."""
    sent = 0
    with anyio.move_on_after(1), suppress(*LOST):
        while True:
            await stream.send(octets)
            sent += len(octets)
            await anyio.lowlevel.checkpoint()
    return sent


async def test_whoever_does_not_hang_up_is_hung_up_on(
    port: int, consent_for: ConsentFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "GOODBYE_SECONDS", 0.02)

    async def visits() -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request(port, "code=EVIL"))
            assert status(await rest(stream)) == 400
            # The answer has ended. The connection ends a moment later.
            await anyio.sleep(0.05)
            begun = anyio.current_time()
            await sent_before_the_end(stream, b"x")
            assert anyio.current_time() - begun < 1
        await visit(port, request(port))

    assert await held(port, consent_for, visits) == GOOD


async def test_whoever_sends_on_and_on_is_hung_up_on(port: int, consent_for: ConsentFor) -> None:
    async def visits() -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request(port, "code=EVIL"))
            # What both systems hold back in between comes on top of the 64 KiB that are let in.
            assert await sent_before_the_end(stream, b"x" * 65536) < 32 * 1024 * 1024
        await visit(port, request(port))

    assert await held(port, consent_for, visits) == GOOD
