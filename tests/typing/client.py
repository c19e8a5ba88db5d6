"""Checked by pyright, never run: what the client promises to editors."""

from collections.abc import Coroutine
from typing import Any, assert_type

from interpreters.sessions import Order, Player, Recording, Session, load
from kickcore import KickClient, Scope, Secret
from kickcore.api.categories import Category
from kickcore.api.channels import Channel
from kickcore.api.chat import SentMessage
from kickcore.api.introspection import TokenIntrospection
from kickcore.api.livestreams import Livestream
from kickcore.api.page import Page
from kickcore.api.users import User, fetch_user
from kickcore.effects import Program
from kickcore.oauth.login import Login


async def methods_have_the_types_of_their_programs(client: KickClient) -> None:
    _ = assert_type(client.fetch_user(123), Coroutine[Any, Any, User])
    assert_type(await client.fetch_users([1, 2]), list[User])
    assert_type(await client.fetch_channel(slug="xqc"), Channel)
    assert_type(await client.fetch_livestreams(limit=10), Page[Livestream])
    assert_type(await client.fetch_categories(query="Gaming"), Page[Category])
    assert_type(await client.send_chat_message("Hello!", broadcaster_user_id=123), SentMessage)
    assert_type(await client.authenticate(scopes=[Scope.CHAT_WRITE, "user:read"], port=3000), Login)
    assert_type(await client.introspect_token(use_user_token=True), TokenIntrospection)
    assert_type((await client.fetch_livestreams())[0], Livestream)
    assert_type((await client.fetch_livestreams())[:2], tuple[Livestream, ...])


async def a_program_of_ones_own(client: KickClient) -> None:
    def both() -> Program[tuple[User, User]]:
        return (yield from fetch_user(1)), (yield from fetch_user(2))

    assert_type(await client.run(both()), tuple[User, User])


async def sessions_give_clients(client: KickClient) -> None:
    recorded = assert_type(client.recording("a.jsonl", secret_texts=["x", Secret("y")], allow=["name"]), KickClient)
    assert_type(recorded.session, Session | None)
    assert_type(KickClient.replaying("a.jsonl", order="program", speed=1.0), KickClient)
    assert_type(await client.run(fetch_user(1), label="one"), User)
    player = Player(load("a.jsonl"), order=Order.PROGRAM)
    assert_type(player.run_sync(fetch_user(1)), User)
    assert_type(await player.run(fetch_user(1), label="one"), User)
    assert_type(Recording().run_sync(fetch_user(1), lambda effect: None), User)
    player.run_sync(fetch_user)  # pyright: ignore[reportArgumentType]
    client.recording(secret_texts=[1])  # pyright: ignore[reportArgumentType]


async def mistakes_are_reported(client: KickClient) -> None:
    await client.fetch_user("123")  # pyright: ignore[reportArgumentType]
    await client.fetch_user(123, 456)  # pyright: ignore[reportCallIssue]
    await client.fetch_livestreams(10)  # pyright: ignore[reportCallIssue]
    await client.send_chat_message(broadcaster_user_id=1)  # pyright: ignore[reportCallIssue]
    client.fetch_user(123)  # pyright: ignore[reportUnusedCoroutine]
    client.set_user_token(access_token=1)  # pyright: ignore[reportArgumentType]
    KickClient("id")  # pyright: ignore[reportCallIssue]
    _ = (await client.fetch_user(123)).nickname  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


def a_secret_is_no_text(secret: Secret) -> None:
    text: str = secret  # pyright: ignore[reportAssignmentType]
    print(text)


def a_value_cannot_be_changed(user: User) -> None:
    user.name = "else"  # pyright: ignore[reportAttributeAccessIssue]
