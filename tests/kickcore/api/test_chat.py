"""Chat."""

import json
from typing import Any

import pytest
from worlds import APP_SLOT, NOW, World, exchange, json_response, refusal, user_world

from kickcore import Secret
from kickcore.api.chat import MessageType, SentMessage, delete_chat_message, send_chat_message
from kickcore.errors import Forbidden, LoginRequired, MissingScopes, NetworkError, NotFound, NotSent, ServerError
from kickcore.http import Response, Sent, Unreachable
from kickcore.oauth.tokens import Token

URL = "https://api.kick.com/public/v1/chat"
ID = "5138d04d-68f8-4eca-aa65-93123f6f97fe"
TAKEN = {"is_sent": True, "message_id": ID}


def _body(*args: Any, **others: Any) -> Any:
    return json.loads(exchange(send_chat_message(*args, **others), TAKEN)[1].body)


def test_a_message_of_the_user(payload: Any) -> None:
    sent, request = exchange(
        send_chat_message("Hello world", broadcaster_user_id=123456, reply_to_message_id=ID),
        Response(200, (), payload("responses/post-public-v1-chat.json")),
    )
    assert sent == SentMessage(is_sent=True, message_id=ID)
    assert (request.method, request.url, request.query, request.form) == ("POST", URL, (), ())
    assert request.bearer == Secret("AT0")
    assert request.group == "POST /public/v1/chat"
    assert json.loads(request.body) == json.loads(payload("requests/post-public-v1-chat.user.json"))


def test_a_message_of_the_bot(payload: Any) -> None:
    wanted = json.loads(payload("requests/post-public-v1-chat.bot.json"))
    assert _body("Hello world") == wanted
    assert _body("Hello world", message_type="bot") == wanted
    assert _body("Hello world", message_type=MessageType.BOT, broadcaster_user_id=5) == wanted


def test_a_broadcaster_makes_it_a_message_of_the_user() -> None:
    wanted = {"content": "hi", "type": "user", "broadcaster_user_id": 5}
    assert _body("hi", broadcaster_user_id=5) == wanted
    assert _body("hi", broadcaster_user_id=5, message_type="user") == wanted
    assert _body("hi", broadcaster_user_id=5, message_type=MessageType.USER) == wanted


@pytest.mark.parametrize("spelling", [ID.upper(), ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}"])
def test_the_id_of_a_message_is_sent_in_one_spelling(spelling: str) -> None:
    assert _body("hi", reply_to_message_id=spelling)["reply_to_message_id"] == ID


@pytest.mark.parametrize("content", ["a", "😀" * 500, "[emote:37226:KEKW]", "\u0000\n\u202e", "ä" * 500])
def test_content_is_sent_as_it_is(content: str) -> None:
    assert _body(content)["content"] == content


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ({"content": ""}, "content"),
        ({"content": "a" * 501}, "content"),
        ({"content": "a\ud800"}, "content"),
        ({"content": None}, "content"),
        ({"content": b"a"}, "content"),
        ({"broadcaster_user_id": 0}, "broadcaster_user_id"),
        ({"broadcaster_user_id": -1}, "broadcaster_user_id"),
        ({"broadcaster_user_id": 2**64}, "broadcaster_user_id"),
        ({"broadcaster_user_id": True}, "broadcaster_user_id"),
        ({"broadcaster_user_id": "5"}, "broadcaster_user_id"),
        ({"message_type": "user"}, "broadcaster_user_id"),
        ({"message_type": "owner"}, "message_type"),
        ({"message_type": ""}, "message_type"),
        ({"message_type": "USER"}, "message_type"),
        ({"message_type": 5}, "message_type"),
        ({"message_type": ["user"]}, "message_type"),
        ({"reply_to_message_id": "x"}, "reply_to_message_id"),
        ({"reply_to_message_id": ""}, "reply_to_message_id"),
        ({"reply_to_message_id": ID[:-1]}, "reply_to_message_id"),
        ({"reply_to_message_id": "\ud800"}, "reply_to_message_id"),
        ({"reply_to_message_id": 5}, "reply_to_message_id"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_kick_would_not_take_is_refused(asked: dict[str, Any], parameter: str) -> None:
    arguments: dict[str, Any] = {"content": "hi", **asked}
    assert refusal(send_chat_message(**arguments)).parameter == parameter


def test_a_message_that_kick_took_and_did_not_send_is_an_error() -> None:
    with pytest.raises(NotSent):
        exchange(send_chat_message("hi"), {"is_sent": False, "message_id": ID})


@pytest.mark.parametrize("sent", [Sent.MAYBE, Sent.YES])
def test_a_message_is_never_sent_twice(sent: Sent) -> None:
    world = user_world()
    world.kick.api = lambda _: Unreachable("reset", sent)
    with pytest.raises(NetworkError, match=r"Kick .* acted on it") as caught:
        world.run(send_chat_message("hi"))
    assert caught.value.sent == sent.value
    assert len(world.sent) == 1
    assert world.slept == []


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_message_is_not_sent_again_where_kick_failed(status: int) -> None:
    world = user_world()
    world.kick.api = lambda _: Response(status, (("retry-after", "1"),))
    with pytest.raises(ServerError):
        world.run(send_chat_message("hi"))
    assert len(world.sent) == 1


@pytest.mark.parametrize("first", [Unreachable("refused", Sent.NO), Response(429, (("retry-after", "1"),))])
def test_a_message_that_surely_was_not_taken_is_sent_again(first: Response | Unreachable) -> None:
    world = user_world()
    answers = [first, json_response({"data": TAKEN})]
    world.kick.api = lambda _: answers.pop(0)
    assert world.run(send_chat_message("hi")).message_id == ID
    one, other = world.sent
    assert one == other


def test_a_message_that_is_gone_when_its_deletion_is_repeated_was_deleted() -> None:
    world = user_world()
    answers = [Unreachable("reset", Sent.MAYBE), Response(404), Response(404)]
    world.kick.api = lambda _: answers.pop(0)
    assert world.run(delete_chat_message(ID)) is None
    assert len(world.sent) == 2
    with pytest.raises(NotFound):
        world.run(delete_chat_message(ID))


def test_a_refused_message_is_not_tried_again(payload: Any) -> None:
    world = user_world()
    world.kick.api = lambda _: Response(403, (), payload("errors/403-forbidden.json"))
    with pytest.raises(Forbidden):
        world.run(send_chat_message("hi"))
    assert len(world.sent) == 1


@pytest.mark.parametrize(
    ("program", "scope"),
    [
        (lambda: send_chat_message("hi"), "chat:write"),
        (lambda: delete_chat_message(ID), "moderation:chat_message:manage"),
    ],
    ids=["send", "delete"],
)
def test_chat_needs_a_user_with_the_scope_and_an_app_token_will_not_do(program: Any, scope: str) -> None:
    world = World()
    world.put(APP_SLOT, Token(Secret("APP0"), NOW + 86400, NOW))
    with pytest.raises(LoginRequired):
        world.run(program())
    world.log_in(scope="user:read")
    with pytest.raises(MissingScopes, match=scope):
        world.run(program())
    assert world.sent == []


def test_a_message_is_deleted_by_its_id() -> None:
    value, request = exchange(delete_chat_message(ID), Response(204))
    assert value is None
    assert (request.method, request.url, request.body) == ("DELETE", f"{URL}/{ID}", b"")
    assert request.bearer == Secret("AT0")
    assert request.group == "DELETE /public/v1/chat/{message_id}"


@pytest.mark.parametrize(
    "message_id", ["a/b", "../../users", "a?b=c", "a#b", "a%2Fb", "%2e%2e", "a\\b", "...", "chat.message.sent"]
)
def test_a_message_id_that_could_leave_its_place_in_the_path_is_refused(message_id: str) -> None:
    assert refusal(delete_chat_message(message_id)).parameter == "message_id"


@pytest.mark.parametrize(
    "message_id", ["", ".", "..", "a b", "a\n", "\r\n", "a\0", "ä", "\ud800", "x" * 129, 5, None], ids=repr
)
def test_what_is_no_message_id_is_refused(message_id: Any) -> None:
    assert refusal(delete_chat_message(message_id)).parameter == "message_id"
