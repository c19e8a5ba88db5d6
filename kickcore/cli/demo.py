"""`kickcore demo`: the real client against a simulated Kick over real sockets, told step by step.

Every step says what shall happen, does it, and checks it; the first that does not go as told ends the demonstration
with exit code 1.
"""

import argparse
import socket
import stat
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import httpx2
from anyio.abc import TaskGroup

from interpreters.browser import Loopback
from interpreters.sandbox import OWNER, Sandbox, click_through, serve, small_world
from interpreters.sessions import ReplayDivergence, load
from interpreters.sessions.aliases import packed_forms, written_forms
from interpreters.tokens.files import FileStore
from kickcore.api.channels import Channel
from kickcore.api.livestreams import Livestream
from kickcore.api.users import User
from kickcore.client import KickClient
from kickcore.errors import KickError, MissingScopes
from kickcore.oauth.scopes import Scope

T = TypeVar("T")

CALLERS: Final = 10
STREAMER: Final = 676
TIMEOUT: Final = 30.0
"""Seconds for the whole demonstration."""
DELETED: Final = "5138d04d-68f8-4eca-aa65-93123f6f97fe"
"""The id of a message that is not deleted."""
CLIENT_SECRET: Final = "sandbox-secret"


class NotAsTold(Exception):
    """A step of the demonstration did not go as it says."""


def check(is_so: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    """End the demonstration unless it is so."""
    if not is_so:
        raise NotAsTold(otherwise)


class Scene:
    """What the steps work with: a client, the Kick that it talks to, and the folder where its tokens are.

    The client is recorded to `session`. `got` is what its calls gave, by the names of the functions that make them;
    `secrets` are the tokens and codes that there were; `took` is how many seconds the calls took.
    """

    def __init__(self, client: KickClient, kick: Sandbox, store: FileStore, port: int, session: Path) -> None:
        self.client = client
        self.kick = kick
        self.folder: Path = store.directory
        self.port = port
        self.session = session
        self.got: dict[str, object] = {}
        self.secrets: set[str] = {CLIENT_SECRET}
        self.took: float = 0.0

    async def does(self, call: Callable[[KickClient, int], Awaitable[T]]) -> T:
        """Make a call, and remember what it gave."""
        began = time.perf_counter()
        got = self.got[call.__name__] = await call(self.client, self.port)
        self.took += time.perf_counter() - began
        return got

    def remember_secrets(self) -> None:
        """Those that Kick knows now: it forgets what was used and revoked."""
        world = self.kick.world
        self.secrets |= {*world.access, *world.refresh, *world.codes}

    def seen(self, operation: str) -> int:
        """How often Kick was asked this, by method and path."""
        return sum(f"{entry.method} {entry.path}" == operation for entry in self.kick.log)

    def file(self, name: str) -> str:
        """A token file for people: its name and its mode."""
        path = self.folder / name
        check(path.is_file(), f"there is no {name}")
        return f"{path} (mode {stat.S_IMODE(path.stat().st_mode):04o})"


# What is called, once on the simulated Kick and once on the recording


async def _a_user(client: KickClient, _: int) -> User:
    return await client.fetch_user(OWNER)


async def _a_channel(client: KickClient, _: int) -> Channel:
    return await client.fetch_channel(slug="xqc")


async def _two_pages(client: KickClient, _: int) -> list[Livestream]:
    page = await client.fetch_livestreams(limit=3)
    rest = await client.fetch_livestreams(limit=3, cursor=page.next_cursor)
    check(len(page) == 3 and len(rest) >= 1 and not rest.has_next, "the pages are not as expected")
    return [*page, *rest]


async def _a_login(client: KickClient, port: int) -> tuple[str, tuple[str, ...]]:
    login = await client.authenticate(scopes=[Scope.USER_READ, Scope.CHAT_WRITE], port=port, timeout=10)
    user = await client.fetch_user()
    # Not the address of the user's mail: another one stands in a recording.
    return user.name, login.granted


async def _a_message(client: KickClient, _: int) -> str:
    return (await client.send_chat_message("Hello!", broadcaster_user_id=STREAMER)).message_id


async def _callers(client: KickClient, _: int) -> dict[int, str]:
    """Ten messages at once: their ids by number, or why one was not sent."""
    told: dict[int, str] = {}

    async def call_once(number: int) -> None:
        try:
            told[number] = (await client.send_chat_message(f"{number}", broadcaster_user_id=STREAMER)).message_id
        except KickError as error:
            told[number] = f"failed: {error}"

    async with anyio.create_task_group() as callers:
        for number in range(CALLERS):
            callers.start_soon(call_once, number)
    return told


async def _a_refusal(client: KickClient, _: int) -> str:
    try:
        await client.delete_chat_message(DELETED)
    except MissingScopes as error:
        return str(error)
    raise NotAsTold("the call was not refused")


async def _a_logout(client: KickClient, _: int) -> bool:
    return await client.logout()


CALLS: Final[tuple[Callable[[KickClient, int], Awaitable[object]], ...]] = (
    _a_user,
    _a_channel,
    _two_pages,
    _a_login,
    _a_message,
    _callers,
    _a_refusal,
    _a_logout,
)


# The steps


async def read_a_user(scene: Scene) -> str:
    """Read a user: no token is there yet, so an app token is fetched first and kept"""
    user = await scene.does(_a_user)
    check(user.user_id == OWNER, "Kick answered with another user")
    check(scene.seen("POST /oauth/token") == 1, "the app token was not fetched exactly once")
    return f"{user.name}; the app token is in {scene.file('.kick.token.json')}"


async def read_a_channel(scene: Scene) -> str:
    """Read a channel by its slug, with the same app token"""
    channel = await scene.does(_a_channel)
    check(scene.seen("POST /oauth/token") == 1, "the app token was fetched again")
    check(channel.stream is not None and channel.stream.is_live, "the channel is not live")
    return f"{channel.slug} is live: {channel.stream_title!r}"


async def read_livestreams(scene: Scene) -> str:
    """Read a page of what is live, and the next one by its cursor"""
    livestreams = await scene.does(_two_pages)
    return ", ".join(f"{live.channel.slug} ({live.viewer_count})" for live in livestreams if live.channel)


async def log_a_user_in(scene: Scene) -> str:
    """Log a user in: authorization code with PKCE, a real callback listener, and a browser that clicks by itself"""
    name, granted = await scene.does(_a_login)
    check(set(granted) == {Scope.USER_READ, Scope.CHAT_WRITE}, "other scopes were granted")
    return f"{name} granted {', '.join(granted)}; the token is in {scene.file('.kick.user_token.json')}"


async def send_a_message(scene: Scene) -> str:
    """Send a chat message as that user"""
    sent = await scene.does(_a_message)
    told = [message.content for message in scene.kick.world.messages if message.message_id == sent]
    check(told == ["Hello!"], "the message did not arrive")
    return f"message {sent} is in the chat of {STREAMER}"


async def renew_once(scene: Scene) -> str:
    """End the access token, and let ten callers come at once: one of them renews it, all of them succeed"""
    scene.kick.expire_access_tokens()
    before = scene.seen("POST /oauth/token")
    told = await scene.does(_callers)
    failed = [text for text in told.values() if text.startswith("failed")]
    renewed = scene.seen("POST /oauth/token") - before
    check(not failed, f"{len(failed)} callers failed: {failed[:1]}")
    check(renewed == 1, f"the token was renewed {renewed} times")
    return f"{CALLERS} messages sent, {renewed} refresh"


async def refuse_early(scene: Scene) -> str:
    """Ask for what the token may not do: refused here, before anything is sent"""
    before = len(scene.kick.log)
    refusal = await scene.does(_a_refusal)
    check(len(scene.kick.log) == before, "something was sent all the same")
    return refusal


async def log_the_user_out(scene: Scene) -> str:
    """Log out: both tokens are revoked, and forgotten"""
    check(await scene.does(_a_logout), "nothing was revoked")
    check(scene.seen("POST /oauth/revoke") == 2, "not both tokens were revoked")
    check(not (scene.folder / ".kick.user_token.json").exists(), "the token file is still there")
    return "the refresh token and the access token are dead, and the file is gone"


async def look_into_the_session(scene: Scene) -> str:
    """All of this was recorded: look for the secrets of this run in the file"""
    octets = scene.session.read_bytes()
    text = octets.decode()
    forms = [form for secret in scene.secrets for form in (*written_forms(secret), *packed_forms(secret))]
    check(not any(form in text for form in forms), "a secret is in the session")
    lines = octets.count(b"\n")
    return f"{scene.session.name} has {lines} lines, and none of {len(scene.secrets)} tokens and secrets in any form"


async def replay_it(scene: Scene) -> str:
    """The simulated Kick is gone: make the same calls once more, and have them answered from the file"""
    began = time.perf_counter()
    got: dict[str, object] = {}
    try:
        async with KickClient.replaying(scene.session) as client:
            for call in CALLS:
                got[call.__name__] = await call(client, scene.port)
    except* ReplayDivergence as divergences:
        raise NotAsTold(_first(divergences)) from None
    took = time.perf_counter() - began
    others = [name for name, value in scene.got.items() if got[name] != value]
    check(not others, f"the replay gave something else for {', '.join(others)}")
    answers = len(load(scene.session).lines)
    return f"{answers} answers as they were, in {took * 1000:.0f} ms; with a Kick it took {scene.took * 1000:.0f} ms"


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
AFTERWARDS: Final[tuple[Step, ...]] = (look_into_the_session, replay_it)
"""What comes when the client is closed and the simulated Kick has stopped."""


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
        plain = KickClient(
            "sandbox-app", CLIENT_SECRET, api_url=url, id_url=url, store=store, browser=Loopback(open_url)
        )
        session = folder / "demo.jsonl"
        print(f"A simulated Kick listens on {url}; tokens go to {folder}.\n")
        async with plain.recording(session) as client:
            yield Scene(client, kick, store, port, session)


async def _visit(address: str, visitor: httpx2.AsyncClient) -> None:
    await click_through(address, http=visitor)


async def run_demo(asked: argparse.Namespace) -> int:
    """Play all steps, each of them checked. Nothing is left behind."""
    with tempfile.TemporaryDirectory(prefix="kickcore-demo-") as folder:
        failure: str | None = ""
        try:
            with anyio.fail_after(TIMEOUT):
                async with anyio.create_task_group() as tasks, _stage(Path(folder), tasks) as scene:
                    await _play(scene, STEPS)
                await _play(scene, AFTERWARDS, len(STEPS))
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
    print(f"\nAll {len(STEPS) + len(AFTERWARDS)} steps went as told, on {asked.backend}. Nothing is left behind.")
    return 0


async def _play(scene: Scene, steps: tuple[Step, ...], done: int = 0) -> None:
    for number, step in enumerate(steps, done + 1):
        print(f"{number}. {step.__doc__}.")
        print(f"   -> {await step(scene)}", flush=True)
        scene.remember_secrets()


def _first(errors: Any) -> str:
    """The first error of a group, however deep it stands."""
    while hasattr(errors, "exceptions"):
        errors = errors.exceptions[0]
    return f"{type(errors).__name__}: {errors}"
