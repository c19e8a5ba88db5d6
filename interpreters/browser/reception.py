"""Receiving whatever connects to the callback port, until one request ends the login."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import anyio
from anyio.abc import SocketListener, SocketStream, TaskGroup

from interpreters.browser.heads import Head, read_head, written
from interpreters.browser.opening import Invitation
from kickcore.effects import Consent
from kickcore.oauth.callback import BROKEN, Answer, Callback, answer_request

HEAD_SECONDS: Final = 5.0
"""Time that a connection has for the head of its request."""

GOODBYE_SECONDS: Final = 0.25
"""Time that an answer has to arrive; so long may the end of a login be held up."""

MOST_CONNECTIONS: Final = 16

_MOST_DISCARDED: Final = 64 * 1024
_LOST: Final = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


class Reception:
    """What one login learns on its port: how it ended, and which requests were turned away."""

    def __init__(self, consent: Consent) -> None:
        self.outcome: Callback | None = None
        self.refused: Counter[str] = Counter()
        self._consent = consent
        self._failure: BaseException | None = None
        self._over = anyio.Event()
        # Those who may have to make room, oldest first.
        self._waiting: dict[anyio.CancelScope, None] = {}

    async def hold(self, listeners: Sequence[SocketListener], invitation: Invitation) -> None:
        """Send the invitation and receive until the login has ended. Raises what showing the URL raises."""
        try:
            async with anyio.create_task_group() as tasks:
                for listener in listeners:
                    tasks.start_soon(self._guarded, self._admit, listener.serve, tasks)
                tasks.start_soon(self._guarded, invitation.try_browser)
                tasks.start_soon(self._guarded, invitation.show_in_time)
                tasks.start_soon(self._end, tasks)
                await self._guarded(self._over.wait)
            if self._failure is not None:
                raise self._failure
        finally:
            # Its traceback holds this object; and so do those of cancelled tasks, which live on until the next
            # collection, because the event loop holds them in cycles. The state of this login shall not.
            self._failure = None
            del self._consent

    async def _end(self, tasks: TaskGroup) -> None:
        # In a task of its own, because trio keeps the frames of whoever cancels: those around hold() know the state.
        await self._over.wait()
        tasks.cancel_scope.cancel()

    async def _guarded(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        # An exception that left the task group would come out as a group.
        try:
            await work(*args)
        except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001  It is raised again by hold().
            if self._failure is None:
                self._failure = error
            self._over.set()

    async def _admit(self, serve: Callable[..., Awaitable[None]], tasks: TaskGroup) -> None:
        async def attend(stream: SocketStream) -> None:
            await self._guarded(self._attend, stream)

        while True:
            try:
                await serve(attend, tasks)
            except (OSError, anyio.BrokenResourceError):
                # A connection reset before it was accepted, or no descriptor left: neither is the end of the login.
                await anyio.sleep(0.02)

    async def _attend(self, stream: SocketStream) -> None:
        with anyio.CancelScope() as scope:
            async with stream:
                self._make_room()
                self._waiting[scope] = None
                try:
                    with suppress(*_LOST):
                        await self._converse(stream)
                finally:
                    self._waiting.pop(scope, None)

    def _make_room(self) -> None:
        if len(self._waiting) >= MOST_CONNECTIONS:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.cancel()

    async def _converse(self, stream: SocketStream) -> None:
        head = await _received_head(stream)
        if head is None:
            return
        answer = self._judged(head)
        response = written(answer, head.method if isinstance(head, Head) else "GET")
        if answer.end is None or self.outcome is not None:
            await _see_off(stream, response)
            return
        self.outcome = answer.end
        try:
            # The user shall read the page even when the login is cancelled or times out at this very moment, or when
            # this connection is the one to make room.
            with anyio.CancelScope(shield=True):
                await _see_off(stream, response)
        finally:
            self._over.set()

    def _judged(self, head: Head | Answer) -> Answer:
        if isinstance(head, Answer):
            answer = head
        else:
            consent = self._consent
            answer = answer_request(
                head.method,
                head.target,
                head.headers,
                redirect_uri=consent.redirect_uri,
                state=consent.state,
                issuer=consent.issuer,
            )
        if answer.refused is not None:
            self.refused[answer.refused.value] += 1
        return answer


async def _received_head(stream: SocketStream) -> Head | Answer | None:
    """The head of the request; `BROKEN` for a part of one; None for a connection on which nothing was said."""
    received = b""
    with anyio.move_on_after(HEAD_SECONDS), suppress(anyio.EndOfStream):
        while True:
            received += await stream.receive()
            head = read_head(received)
            if head is not None:
                return head
    # Browsers open connections ahead of need; those are nobody's mistake.
    return BROKEN if received else None


async def _see_off(stream: SocketStream, response: bytes) -> None:
    # Closing with octets unread would reset the connection, and the page might be lost on its way. So what else is sent
    # (a body, a second request) is let in for a moment, and thrown away.
    with anyio.move_on_after(GOODBYE_SECONDS):
        await stream.send(response)
        await stream.send_eof()
        discarded = 0
        while discarded < _MOST_DISCARDED:
            discarded += len(await stream.receive())
