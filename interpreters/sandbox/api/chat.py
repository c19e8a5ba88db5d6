"""Chat (reference 6.4). What was sent is kept in `World.messages`."""

from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.structs import replace

from interpreters.sandbox.api.moderation import is_banned
from interpreters.sandbox.minting import mint_uuid
from interpreters.sandbox.payloads import chat_message_sent
from interpreters.sandbox.reading import body_as
from interpreters.sandbox.telling import told
from interpreters.sandbox.wire import (
    FORBIDDEN,
    INVALID,
    NO_CONTENT,
    NOT_FOUND,
    Incoming,
    Refusal,
    Step,
    bad_request,
    ok,
)
from interpreters.sandbox.world import Message
from kickcore.api.events import EventName

LONGEST_MESSAGE: Final = 500
"""Code points of a message."""


class ChatMessage(Struct, frozen=True):
    """The body of a POST. A message that it replies to may be one that this world has never seen."""

    content: Annotated[str, Meta(min_length=1, max_length=LONGEST_MESSAGE)]
    type: Literal["user", "bot"]
    broadcaster_user_id: Annotated[int, Meta(ge=1)] | None = None
    reply_to_message_id: UUID | None = None


def post_chat(call: Incoming) -> Step:
    """POST /public/v1/chat. A `bot` writes to the token user's own channel, whichever channel is named.

    403 for a sender who is banned there.
    """
    body = body_as(call.request, ChatMessage)
    if body.type == "user" and body.broadcaster_user_id is None:
        raise Refusal(INVALID)
    target = call.token.user_id if body.type == "bot" else body.broadcaster_user_id
    app = call.world.apps.get(call.token.client_id)
    lacks_bot = body.type == "bot" and not (app and app.has_bot)
    if target is None or target not in call.world.channels or lacks_bot:
        raise Refusal(bad_request("Channel not found"))
    if is_banned(call.world, target, call.token.user_id, call.now):
        raise Refusal(FORBIDDEN)
    world, message_id = mint_uuid(call.world, "message")
    message = Message(
        message_id=message_id,
        broadcaster_user_id=target,
        sender_user_id=call.token.user_id,
        client_id=call.token.client_id,
        type=body.type,
        content=body.content,
        sent_at=call.now,
        reply_to=None if body.reply_to_message_id is None else str(body.reply_to_message_id),
    )
    world = replace(world, messages=(*world.messages, message))
    world = told(world, EventName.CHAT_MESSAGE_SENT, target, chat_message_sent(world, message), call.now)
    return Step(world, ok({"is_sent": True, "message_id": message_id}))


def delete_chat_message(call: Incoming) -> Step:
    """DELETE /public/v1/chat/{message_id}: for the channel's owner, its moderators, and who wrote the message."""
    try:
        message_id = str(UUID(call.parts[0]))
    except ValueError:
        raise Refusal(INVALID) from None
    messages = call.world.messages
    message = next((held for held in messages if held.message_id == message_id), None)
    if message is None:
        raise Refusal(NOT_FOUND)
    channel = call.world.channels.get(message.broadcaster_user_id)
    moderators = channel.moderators if channel else ()
    if call.token.user_id not in {message.broadcaster_user_id, message.sender_user_id, *moderators}:
        raise Refusal(FORBIDDEN)
    left = tuple(held for held in messages if held is not message)
    return Step(replace(call.world, messages=left), NO_CONTENT)
