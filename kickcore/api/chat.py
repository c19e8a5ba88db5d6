"""Chat: send and delete messages."""

from enum import StrEnum
from typing import Final

import msgspec

from kickcore.api.call import USER, Call, call
from kickcore.api.inputs import checked_id, checked_text, checked_uuid
from kickcore.api.model import Model
from kickcore.effects import Program
from kickcore.errors import InvalidInput, NotSent
from kickcore.oauth.scopes import NEEDS

CONTENT_LENGTH: Final = 500
"""Code points of a message."""


class MessageType(StrEnum):
    """Whose message it is: the token's user, in any channel; or the app's bot, in the token user's own channel."""

    USER = "user"
    BOT = "bot"


class SentMessage(Model, frozen=True):
    """A message that Kick took. `message_id` names it, for a reply or to delete it."""

    is_sent: bool
    message_id: str


def send_chat_message(
    content: str,
    *,
    broadcaster_user_id: int | None = None,
    message_type: str | None = None,
    reply_to_message_id: str | None = None,
) -> Program[SentMessage]:
    """Send a chat message of 1 to 500 characters (code points); emotes are written `[emote:ID:NAME]`.

    With a `broadcaster_user_id` it is the token user's message in that channel. Without one it is the app's bot's in
    the token user's own channel, and the bot must be switched on in the app's settings. `message_type` ("user" or
    "bot") says it outright; a "user" message needs a broadcaster, and Kick ignores one beside "bot".

    User token with `chat:write`. Never sent twice: after a `NetworkError` with `sent="maybe"` look at the chat.
    Raises `InvalidInput`, `Forbidden` (also for followers-only and slow mode), `NotSent`, `HTTPError`, `NetworkError`,
    `TokenError`. Kick: POST /public/v1/chat.
    """
    body: dict[str, object] = {"content": checked_text("content", content, 1, CONTENT_LENGTH)}
    kind = _message_type(message_type, broadcaster_user_id)
    body["type"] = kind.value
    if kind is MessageType.USER and broadcaster_user_id is not None:
        body["broadcaster_user_id"] = checked_id("broadcaster_user_id", broadcaster_user_id)
    if reply_to_message_id is not None:
        body["reply_to_message_id"] = checked_uuid("reply_to_message_id", reply_to_message_id)
    asked = Call(
        operation="POST /public/v1/chat",
        answer=SentMessage,
        tokens=USER,
        needs=NEEDS["send_chat_message"],
        body=msgspec.json.encode(body),
    )
    sent = yield from call(asked)
    if not sent.is_sent:
        raise NotSent("Kick took the message and reports that it was not sent; the channel's rules may forbid it")
    return sent


def _message_type(message_type: str | None, broadcaster_user_id: int | None) -> MessageType:
    if message_type is None:
        return MessageType.BOT if broadcaster_user_id is None else MessageType.USER
    if message_type not in [kind.value for kind in MessageType]:
        raise InvalidInput(f'message_type is "user" or "bot", not {message_type!r:.60}', parameter="message_type")
    if message_type == MessageType.USER and broadcaster_user_id is None:
        text = 'a "user" message needs broadcaster_user_id: the channel to write to'
        raise InvalidInput(text, parameter="broadcaster_user_id")
    return MessageType(message_type)


def delete_chat_message(message_id: str) -> Program[None]:
    """Delete a chat message, in a channel that the token's user owns or moderates.

    User token with `moderation:chat_message:manage`. Raises `InvalidInput`, `NotFound`, `HTTPError`, `NetworkError`,
    `TokenError`. Kick: DELETE /public/v1/chat/{message_id}.
    """
    asked = Call(
        operation="DELETE /public/v1/chat/{message_id}",
        answer=type(None),
        tokens=USER,
        needs=NEEDS["delete_chat_message"],
        segments=(checked_uuid("message_id", message_id),),
    )
    yield from call(asked)
