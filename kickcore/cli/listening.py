"""`kickcore event listen`: a receiver that verifies what comes, answers at once, and tells what it was."""

import sys
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import anyio
import msgspec

from interpreters.sandbox.asgi import ASGIReceive, ASGIScope, ASGISend
from interpreters.sandbox.telling import CLAIM
from kickcore.errors import cleaned
from kickcore.webhooks import (
    LARGEST_BODY,
    ChannelFollowed,
    ChatMessage,
    Delivery,
    DropsClaim,
    EventUser,
    KicksGifted,
    LivestreamMetadataUpdated,
    LivestreamStatusUpdated,
    ModerationBanned,
    PublicKey,
    RedemptionUpdated,
    Refusal,
    Rejected,
    SubscriptionGifts,
    SubscriptionNew,
    SubscriptionRenewal,
    Unknown,
    verify,
    without_emotes,
)

REMEMBERED: Final = 100_000
"""Ids by which duplicates are told."""

_STATUSES: Final[Mapping[Refusal, HTTPStatus]] = {
    Refusal.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Refusal.INVALID_SIGNATURE: HTTPStatus.UNAUTHORIZED,
}


class Listener:
    """An ASGI application that prints what comes, and on standard error what it refuses. `done` is set after `count`.

    With `as_json`, each delivery is one line of JSON.
    """

    def __init__(self, keys: list[PublicKey], *, as_json: bool, count: int | None) -> None:
        self._keys = keys
        self._as_json = as_json
        self._left = count
        self._seen: dict[str, None] = {}
        self.done: anyio.Event = anyio.Event()

    async def __call__(self, scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        if scope["type"] != "http":
            raise ValueError(f"this speaks http, not {scope['type']}")
        body = await _body_of(receive)
        if body is None:
            return
        status = HTTPStatus.METHOD_NOT_ALLOWED if scope["method"] != "POST" else self._take(scope["headers"], body)
        headers = [(b"content-length", b"0")] if status != HTTPStatus.NO_CONTENT else []
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        if self._left is not None and self._left <= 0:
            self.done.set()

    def _take(self, headers: list[tuple[bytes, bytes]], body: bytes) -> HTTPStatus:
        outcome = verify(headers, body, time.time(), self._keys)
        if isinstance(outcome, Rejected):
            print(f"{_clock()}  refused: {outcome.refusal.value} ({cleaned(outcome.detail, 100)})", file=sys.stderr)
            return _STATUSES.get(outcome.refusal, HTTPStatus.BAD_REQUEST)
        again = outcome.message_id in self._seen
        self._seen[outcome.message_id] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        print(_as_json(outcome, again=again) if self._as_json else _line(outcome, again=again), flush=True)
        if self._left is not None:
            self._left -= 1
        return HTTPStatus.NO_CONTENT


async def _body_of(receive: ASGIReceive) -> bytes | None:
    """The body, not much more of it than is taken; None if the client went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False) or len(body) > LARGEST_BODY:
            return bytes(body)


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def _as_json(received: Delivery, *, again: bool) -> str:
    try:
        body: object = msgspec.json.decode(received.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    known = {
        "id": received.message_id,
        "type": received.type or CLAIM,
        "subscription_id": received.subscription_id,
        "timestamp": received.timestamp,
        "duplicate": again,
        "body": body,
    }
    return msgspec.json.encode(known).decode("utf-8")


def _line(received: Delivery, *, again: bool) -> str:
    note = "  (again)" if again else ""
    kind = cleaned(received.type, 60) or CLAIM
    return f"{_clock()}  {kind}  {received.message_id}  {cleaned(_summary(received), 300)}{note}"


def _summary(received: Delivery) -> str:  # noqa: C901 - one case for each event
    match received.event:
        case ChatMessage(broadcaster=broadcaster, sender=sender, content=content):
            return f"{_name(sender)} in the chat of {_name(broadcaster)}: {without_emotes(content)}"
        case ChannelFollowed(broadcaster=broadcaster, follower=follower):
            return f"{_name(follower)} follows {_name(broadcaster)}"
        case SubscriptionNew(broadcaster=broadcaster, subscriber=subscriber):
            return f"{_name(subscriber)} has subscribed to {_name(broadcaster)}"
        case SubscriptionRenewal(broadcaster=broadcaster, subscriber=subscriber, duration=months):
            return f"{_name(subscriber)} is subscribed to {_name(broadcaster)} for {months} months"
        case SubscriptionGifts(broadcaster=broadcaster, gifter=gifter, giftees=giftees):
            return f"{_name(gifter)} has given {len(giftees)} subscriptions to {_name(broadcaster)}"
        case RedemptionUpdated(redeemer=redeemer, reward=reward, status=status, user_input=text):
            return f"{_name(redeemer)} took {reward.title!r}, {status} {text}"
        case LivestreamStatusUpdated(broadcaster=broadcaster, is_live=is_live, title=title):
            return f"{_name(broadcaster)} is {'live' if is_live else 'offline'}: {title}"
        case LivestreamMetadataUpdated(broadcaster=broadcaster, metadata=metadata):
            category = metadata.category.name if metadata.category else "no category"
            return f"{_name(broadcaster)} streams {metadata.title!r} ({category})"
        case ModerationBanned(broadcaster=broadcaster, banned_user=banned, metadata=metadata):
            until = f"until {metadata.expires_at}" if metadata.expires_at else "for good"
            return f"{_name(banned)} is banned from {_name(broadcaster)} {until}: {metadata.reason}"
        case KicksGifted(broadcaster=broadcaster, sender=sender, gift=gift):
            return f"{_name(sender)} gave {gift.amount} KICKs to {_name(broadcaster)} {gift.message}"
        case DropsClaim(user_id=user_id, claim_id=claim_id):
            return f"user {user_id} claims {claim_id}"
        case Unknown(why=why, body=body):
            return f"{why.value}, {len(body)} bytes"


def _name(user: EventUser | None) -> str:
    return "somebody" if user is None or user.user_id is None else user.username or f"user {user.user_id}"
