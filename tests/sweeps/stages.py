"""Where a call is cut short: the simulated Kick, a client, its tokens; and what must hold whatever was cut.

The refresh token in the store is one that Kick takes (rotation is strict), the next call works, with this client and
with a new one, and nothing is left: no task, no descriptor, no lock, no temporary file.
"""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import anyio
import httpx2
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from interpreters import apart
from interpreters.sandbox import (
    Ads,
    Claim,
    RegisteredApp,
    Reward,
    Sandbox,
    SandboxApp,
    World,
    redeemed,
    small_world,
    with_ads,
    with_app,
    with_claim,
    with_reward,
)
from interpreters.sandbox.world import Message
from interpreters.tokens.files import FileStore
from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient, KickError, Scope
from kickcore.http import Request, Response
from kickcore.oauth.record import Record, read_record, write_record
from kickcore.oauth.tokens import ID_URL, Saved, Slot, Token, TokenKind
from kickcore.policy import Policy
from kickcore.secret import Secret

from .left import PATIENCE, at_last, descriptors, is_free, tasks
from .points import STEPS, Work

OWNER, OTHER = 123, 676
REWARD, CLAIM = "01HZ8X9K2M4N6P8Q0R2S4T6V8W", "01KAAFHJ2PNXS48NG8XXPGWKCZ"
MESSAGE = "5138d04d-68f8-4eca-aa65-93123f6f97fe"
USER_SLOT = Slot(ID_URL, "sandbox-app", TokenKind.USER)
APP_SLOT = Slot(ID_URL, "sandbox-app", TokenKind.APP)
QUICK = Policy(backoff=0.002, longest_backoff=0.002)

APP_LIFE, USER_LIFE = 5_184_000.0, 7200.0


@cache
def stocked() -> World:
    """The small world, with one of each thing that a call can be about."""
    now = time.time()
    app = RegisteredApp(
        "sandbox-app", "sandbox-secret", ("http://127.0.0.1:3000/callback",), organization=True, verified=True
    )
    world = with_app(small_world(), app)
    world = with_reward(world, Reward(REWARD, OWNER, "Song", client_id="sandbox-app"))
    world = redeemed(redeemed(world, REWARD, OTHER, at=now), REWARD, OTHER, at=now)
    world = with_claim(with_claim(world, _claim(CLAIM, now)), _claim(CLAIM[:-1] + "A", now))
    world = with_ads(world, Ads(OWNER, opted_in=True))
    message = Message(MESSAGE, OWNER, OTHER, "sandbox-app", "user", "Hello!", now)
    return replace(world, messages=(message,))


def _claim(claim_id: str, now: float) -> Claim:
    return Claim(claim_id, OTHER, REWARD, REWARD, now, now)


class Wire(httpx2.AsyncBaseTransport):
    """The way to the simulated Kick: time passes before it acts, after it has acted, and between parts of the body."""

    def __init__(self, kick: Sandbox) -> None:
        self._kick = httpx2.ASGITransport(app=SandboxApp(kick))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        for _ in range(2):
            await checkpoint()
        answer = await self._kick.handle_async_request(request)
        for _ in range(2):
            await checkpoint()
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=_Pieces(await answer.aread()))


class _Pieces(httpx2.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        half = len(self._body) // 2
        for piece in (self._body[:half], self._body[half:]):
            await checkpoint()
            yield piece


class Stage:
    """A client that is to make a call, and all that it stands on. `folder` is its own; `visitors` are other people."""

    def __init__(self, folder: Path, visitors: TaskGroup | None = None, *, in_memory: bool = False) -> None:
        self.kick = Sandbox(stocked())
        self.folder = folder
        self.folder.mkdir()
        self.store = MemoryStore() if in_memory else FileStore(folder)
        self.client = self.new_client()
        self.may_raise: tuple[type[KickError], ...] = ()
        """What the next call may raise: after one that closes the client, or logs out."""
        self.is_own = False
        """Whether the program keeps the user's token itself."""
        self._visitors = visitors

    def new_client(self, **options: Any) -> KickClient:
        """Another client on the same store."""
        http = httpx2.AsyncClient(transport=Wire(self.kick))
        return KickClient("sandbox-app", "sandbox-secret", http=http, store=self.store, policy=QUICK, **options)

    def send_visitor(self, visit: Callable[[], Awaitable[object]]) -> None:
        """Somebody does something beside the call, and is neither counted nor cancelled with it."""
        assert self._visitors is not None
        context = copy_context()
        _ = context.run(STEPS.set, None)
        _ = context.run(self._visitors.start_soon, visit)

    # What is held

    def sign_in(self) -> Token:
        """Tokens of a user who has granted everything, as they come from Kick."""
        return self.kick.sign_in(Scope)

    def app_token(self) -> Token:
        """A token of the app, as it comes from Kick."""
        form = (("grant_type", "client_credentials"), ("client_id", "sandbox-app"), ("client_secret", "sandbox-secret"))
        answer = self.kick.handle(Request("POST", f"{ID_URL}/oauth/token", form=form))
        assert isinstance(answer, Response)
        now = time.time()
        return Token(Secret(json.loads(answer.body)["access_token"]), now + APP_LIFE, now)

    def put(self, slot: Slot, token: Token) -> None:
        """Put a token into the store, behind the client's back."""
        if isinstance(self.store, MemoryStore):
            assert isinstance(self.store._table.replace(slot, token, ""), Saved)
        else:
            path = self.store.path(slot)
            path.write_bytes(write_record(slot, token))
            path.chmod(0o600)

    def hand_over(self, token: Token, *, save: bool) -> None:
        """Give a token to the client, as programs do that have it from elsewhere."""
        self.is_own = not save
        self.client._live.tokens.put(USER_SLOT, token, save=save)

    def stored(self) -> Token | None:
        """The user's token in the store, or None if there is none."""
        if isinstance(self.store, MemoryStore):
            held = self.store._table.get(USER_SLOT)
            return held.token if held else None
        with suppress(FileNotFoundError):
            record = read_record(self.store.path(USER_SLOT).read_bytes(), USER_SLOT, time.time())
            assert isinstance(record, Record), record
            return record.token
        return None

    # What must hold afterwards

    async def complaints(self, before: "Left") -> AsyncIterator[str]:
        """What is not as it must be, once all is quiet."""
        if left := await before.again(self):
            yield f"left: {left}"
        if not (self.is_kept(self.stored()) or self.is_kept(self.client.user_token)):
            yield "neither the store nor the client has a refresh token that Kick takes"
        for work in (self.client.fetch_user, lambda: self.client.fetch_user(OTHER)):
            async for complaint in self._next_call("this client", work):
                yield complaint
        await self.client.close()
        if not (self.is_kept(self.client.user_token) if self.is_own else self.is_kept(self.stored())):
            yield "after the next calls, there is no refresh token that Kick takes"
        if not self.is_own:
            async for complaint in self._next_call("a new client", self.new_client().fetch_user):
                yield complaint
        if left := await before.again(self):
            yield f"left by the next calls: {left}"

    def is_kept(self, token: Token | None) -> bool:
        """Whether Kick would take its refresh token; if there is none, whether Kick would take none at all."""
        refreshes = self.kick.world.refresh
        if token is None or token.refresh_token is None:
            return all(held.spent_at is not None for held in refreshes.values())
        held = refreshes.get(token.refresh_token.reveal())
        return held is not None and held.spent_at is None and held.expires_at > time.time()

    async def _next_call(self, whose: str, work: Work) -> AsyncIterator[str]:
        try:
            with anyio.fail_after(PATIENCE):
                _ = await work()
        except self.may_raise:
            pass
        except (KickError, TimeoutError) as error:
            yield f"the next call of {whose} raised {type(error).__name__}: {error}"


class Left:
    """What a process holds at a moment: tasks and descriptors."""

    def __init__(self) -> None:
        self._tasks = tasks()
        self._descriptors = descriptors()

    async def again(self, stage: Stage) -> str:
        """What there is more by now, and does not go away."""
        return await at_last(lambda: "; ".join(self._more(stage)))

    def _more(self, stage: Stage) -> Iterator[str]:
        if more := tasks() - self._tasks:
            yield f"tasks {more}"
        if apart._kept:
            yield f"renewals {apart._kept}"
        if (opened := descriptors() - self._descriptors) > 0:
            yield f"{opened} descriptors"
        if temporary := [path.name for path in stage.folder.iterdir() if path.name.endswith(".tmp")]:
            yield f"files {temporary}"
        for lock in stage.folder.glob(".*.lock"):
            if not is_free(lock):
                yield f"a lock on {lock.name}"
        for slot in (USER_SLOT, APP_SLOT):
            turn = stage.client._live.tokens.turn(slot)
            if turn.is_taken() or turn.is_ahead:
                yield f"the turn of the {slot.kind} token"


# How tokens are found by a call

Setting: TypeAlias = Callable[[Stage], None]


def _aged(token: Token, age: float) -> Token:
    """A token that came so long ago."""
    return replace(token, expires_at=token.expires_at - age, issued_at=token.issued_at - age)


def fresh(stage: Stage) -> None:
    """Both tokens are good."""
    stage.put(USER_SLOT, stage.sign_in())
    stage.put(APP_SLOT, stage.app_token())


def expired(stage: Stage) -> None:
    """Both tokens are over, so that a call waits for new ones."""
    stage.put(USER_SLOT, _aged(stage.sign_in(), USER_LIFE + 10))
    stage.put(APP_SLOT, _aged(stage.app_token(), APP_LIFE + 10))
    stage.kick.expire_access_tokens()


def due(stage: Stage) -> None:
    """Both tokens are good for some minutes yet, so that they are renewed meanwhile."""
    stage.put(USER_SLOT, _aged(stage.sign_in(), USER_LIFE - 300))
    stage.put(APP_SLOT, _aged(stage.app_token(), APP_LIFE - 300))


def refused(stage: Stage) -> None:
    """Both tokens seem good, and Kick does not take them."""
    fresh(stage)
    stage.kick.expire_access_tokens()


def without_app_token(stage: Stage) -> None:
    """The user's token is good, and the app has none yet."""
    stage.put(USER_SLOT, stage.sign_in())


def handed_over(stage: Stage) -> None:
    """The user's token is over, and the program has given it to the client, to be stored."""
    stage.hand_over(_aged(stage.sign_in(), USER_LIFE + 10), save=True)
    stage.put(APP_SLOT, stage.app_token())


def injected(stage: Stage) -> None:
    """The same, and it is not to be stored."""
    stage.hand_over(_aged(stage.sign_in(), USER_LIFE + 10), save=False)
    stage.put(APP_SLOT, stage.app_token())


def failing(stage: Stage) -> None:
    """Both tokens are good, and Kick fails once."""
    fresh(stage)
    _answer_once(stage, Response(503))


def limited(stage: Stage) -> None:
    """Both tokens are good, and Kick asks to wait once."""
    fresh(stage)
    _answer_once(stage, Response(429))


def _answer_once(stage: Stage, answer: Response) -> None:
    answers = iter([answer])
    stage.kick.before = lambda request: None if "/oauth/" in request.url else next(answers, None)


SETTINGS: Final[dict[str, Setting]] = {
    "fresh": fresh,
    "expired": expired,
    "due": due,
    "refused": refused,
    "without an app token": without_app_token,
    "failing once": failing,
    "limited once": limited,
    "handed over": handed_over,
    "injected": injected,
    "expired, in memory": expired,
    "due, in memory": due,
}
"""All ways in which a call can find its tokens, and Kick."""
