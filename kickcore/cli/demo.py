"""`kickcore demo`: the real client against a simulated Kick over real sockets, told step by step.

Every step says what shall happen, does it, and checks it; the first that does not go as told ends the demonstration
with exit code 1.
"""

import argparse
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2
from anyio.abc import TaskGroup

from interpreters.browser import Loopback
from interpreters.sandbox import OWNER, Sandbox, click_through, serve, small_world
from interpreters.tokens.files import FileStore
from kickcore.client import KickClient
from kickcore.errors import KickError, MissingScopes
from kickcore.oauth.scopes import Scope

CALLERS: Final = 10
STREAMER: Final = 676
TIMEOUT: Final = 30.0
"""Seconds for the whole demonstration."""


class NotAsTold(Exception):
    """A step of the demonstration did not go as it says."""


def check(is_so: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    """End the demonstration unless it is so."""
    if not is_so:
        raise NotAsTold(otherwise)


class Scene:
    """What the steps work with: a client, the Kick that it talks to, and the folder where its tokens are."""

    def __init__(self, client: KickClient, kick: Sandbox, store: FileStore, port: int) -> None:
        self.client = client
        self.kick = kick
        self.folder: Path = store.directory
        self.port = port

    def seen(self, operation: str) -> int:
        """How often Kick was asked this, by method and path."""
        return sum(f"{entry.method} {entry.path}" == operation for entry in self.kick.log)

    def file(self, name: str) -> str:
        """A token file for people: its name and its mode."""
        path = self.folder / name
        check(path.is_file(), f"there is no {name}")
        return f"{path} (mode {stat.S_IMODE(path.stat().st_mode):04o})"


async def read_a_user(scene: Scene) -> str:
    """Read a user: no token is there yet, so an app token is fetched first and kept"""
    user = await scene.client.fetch_user(OWNER)
    check(user.user_id == OWNER, "Kick answered with another user")
    check(scene.seen("POST /oauth/token") == 1, "the app token was not fetched exactly once")
    return f"{user.name}; the app token is in {scene.file('.kick.token.json')}"


async def read_a_channel(scene: Scene) -> str:
    """Read a channel by its slug, with the same app token"""
    channel = await scene.client.fetch_channel(slug="xqc")
    check(scene.seen("POST /oauth/token") == 1, "the app token was fetched again")
    check(channel.stream is not None and channel.stream.is_live, "the channel is not live")
    return f"{channel.slug} is live: {channel.stream_title!r}"


async def read_livestreams(scene: Scene) -> str:
    """Read a page of what is live, and the next one by its cursor"""
    page = await scene.client.fetch_livestreams(limit=3)
    rest = await scene.client.fetch_livestreams(limit=3, cursor=page.next_cursor)
    check(len(page) == 3 and len(rest) >= 1 and not rest.has_next, "the pages are not as expected")
    return ", ".join(f"{live.channel.slug} ({live.viewer_count})" for live in (*page, *rest) if live.channel)


async def log_a_user_in(scene: Scene) -> str:
    """Log a user in: authorization code with PKCE, a real callback listener, and a browser that clicks by itself"""
    login = await scene.client.authenticate(scopes=[Scope.USER_READ, Scope.CHAT_WRITE], port=scene.port, timeout=10)
    check(set(login.granted) == {Scope.USER_READ, Scope.CHAT_WRITE}, "other scopes were granted")
    user = await scene.client.fetch_user()
    return f"{user.name} granted {', '.join(login.granted)}; the token is in {scene.file('.kick.user_token.json')}"


async def send_a_message(scene: Scene) -> str:
    """Send a chat message as that user"""
    sent = await scene.client.send_chat_message("Hello!", broadcaster_user_id=STREAMER)
    told = [message.content for message in scene.kick.world.messages if message.message_id == sent.message_id]
    check(told == ["Hello!"], "the message did not arrive")
    return f"message {sent.message_id} is in the chat of {STREAMER}"


async def renew_once(scene: Scene) -> str:
    """End the access token, and let ten callers come at once: one of them renews it, all of them succeed"""
    scene.kick.expire_access_tokens()
    before, failed = scene.seen("POST /oauth/token"), list[str]()

    async def call_once(number: int) -> None:
        try:
            _ = await scene.client.send_chat_message(f"{number}", broadcaster_user_id=STREAMER)
        except KickError as error:
            failed.append(str(error))

    async with anyio.create_task_group() as callers:
        for number in range(CALLERS):
            callers.start_soon(call_once, number)
    renewed = scene.seen("POST /oauth/token") - before
    check(not failed, f"{len(failed)} callers failed: {failed[:1]}")
    check(renewed == 1, f"the token was renewed {renewed} times")
    return f"{CALLERS} messages sent, {renewed} refresh"


async def refuse_early(scene: Scene) -> str:
    """Ask for what the token may not do: refused here, before anything is sent"""
    before = len(scene.kick.log)
    try:
        await scene.client.delete_chat_message("5138d04d-68f8-4eca-aa65-93123f6f97fe")
    except MissingScopes as error:
        check(len(scene.kick.log) == before, "something was sent all the same")
        return str(error)
    raise NotAsTold("the call was not refused")


async def log_the_user_out(scene: Scene) -> str:
    """Log out: both tokens are revoked, and forgotten"""
    await scene.client.logout()
    check(scene.seen("POST /oauth/revoke") == 2, "not both tokens were revoked")
    check(not (scene.folder / ".kick.user_token.json").exists(), "the token file is still there")
    return "the refresh token and the access token are dead, and the file is gone"


Step = Callable[[Scene], Awaitable[str]]
STEPS: Final[tuple[Step, ...]] = (
    read_a_user,
    read_a_channel,
    read_livestreams,
    log_a_user_in,
    send_a_message,
    renew_once,
    refuse_early,
    log_the_user_out,
)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def _stage(folder: Path, tasks: TaskGroup) -> AsyncGenerator[Scene]:
    """A simulated Kick on a free port, and a client for it whose browser is a script."""
    port = _free_port()
    kick = Sandbox(small_world(redirect_uris=(f"http://127.0.0.1:{port}/callback",)))
    async with serve(kick) as url, httpx2.AsyncClient(trust_env=False) as visitor:

        async def open_url(address: str) -> bool:
            tasks.start_soon(_visit, address, visitor)
            return True

        store = FileStore(folder)
        client = KickClient(
            "sandbox-app", "sandbox-secret", api_url=url, id_url=url, store=store, browser=Loopback(open_url)
        )
        print(f"A simulated Kick listens on {url}; tokens go to {folder}.\n")
        async with client:
            yield Scene(client, kick, store, port)


async def _visit(address: str, visitor: httpx2.AsyncClient) -> None:
    await click_through(address, http=visitor)


async def run_demo(asked: argparse.Namespace) -> int:
    """Play all steps, each of them checked. Nothing is left behind."""
    with tempfile.TemporaryDirectory(prefix="kickcore-demo-") as folder:
        failure: str | None = ""
        try:
            with anyio.fail_after(TIMEOUT):
                async with anyio.create_task_group() as tasks, _stage(Path(folder), tasks) as scene:
                    await _play(scene)
        except* (NotAsTold, KickError, TimeoutError, httpx2.HTTPError) as errors:
            failure = _first(errors)
        except* BrokenPipeError:
            # Raised again outside, bare: whoever read what is told here has gone.
            failure = None
        if failure is None:
            raise BrokenPipeError
        if failure:
            print(f"\nNot as told: {failure}", file=sys.stderr)
            return 1
    print(f"\nAll {len(STEPS)} steps went as told, on {asked.backend}. Nothing is left behind.")
    return 0


async def _play(scene: Scene) -> None:
    for number, step in enumerate(STEPS, 1):
        print(f"{number}. {step.__doc__}.")
        print(f"   -> {await step(scene)}", flush=True)


def _first(errors: Any) -> str:
    """The first error of a group, however deep it stands."""
    while hasattr(errors, "exceptions"):
        errors = errors.exceptions[0]
    return f"{type(errors).__name__}: {errors}"
