"""The simulated Kick as an object that remembers: the only mutable part of the sandbox."""

import time
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from interpreters.sandbox.building import with_access_expired, with_nothing_issued
from interpreters.sandbox.machine import respond
from interpreters.sandbox.minting import mint_token
from interpreters.sandbox.oauth.issuing import FAMILY, issue_user_tokens
from interpreters.sandbox.small import OWNER, small_world
from interpreters.sandbox.world import World
from kickcore.http import Request, Response, Unreachable
from kickcore.oauth.tokens import Token
from kickcore.secret import Secret

Before: TypeAlias = Callable[[Request], Response | Unreachable | None]
"""Looks at a request first: its answer is given instead of the world's, None lets the world answer."""

NO_STATUS: Final = 0
"""The status in the log of a request that was never answered."""


class Entry(Struct, frozen=True):
    """A request that came, and the status it got. `path` holds no query."""

    method: str
    path: str
    status: int


class Sandbox:
    """A simulated Kick in memory. `world` is its current state and may be replaced at any time.

    `clock` gives epoch seconds UTC. `log` grows by an entry per request; clear it as you like. `before` may answer
    instead of the world; to lose an answer after Kick has acted, let it step the world itself:

        def before(request):
            sandbox.world = respond(sandbox.world, request, sandbox.clock()).world
            return Unreachable("connection reset", Sent.YES)
    """

    def __init__(
        self, world: World | None = None, *, clock: Callable[[], float] = time.time, before: Before | None = None
    ) -> None:
        self.world: World = small_world() if world is None else world
        self.clock = clock
        self.before = before
        self.log: list[Entry] = []

    def handle(self, request: Request) -> Response | Unreachable:
        """Answer a request. It is only `Unreachable` if `before` says so."""
        answer = None if self.before is None else self.before(request)
        if answer is None:
            step = respond(self.world, request, self.clock())
            self.world, answer = step.world, step.response
        status = answer.status if isinstance(answer, Response) else NO_STATUS
        self.log.append(Entry(request.method, urlsplit(request.url).path, status))
        return answer

    def sign_in(self, scopes: Iterable[str], *, user_id: int = OWNER, client_id: str | None = None) -> Token:
        """Tokens for a user as if they had gone through the login, for tests that are not about it.

        `client_id` is that of the first app unless given. Raises `KeyError` for a user that is not there.
        """
        now, app = self.clock(), client_id or next(iter(self.world.apps))
        user = self.world.users[user_id]
        scope = tuple(str(scope) for scope in scopes)
        world, family = mint_token(self.world, FAMILY)
        issued = issue_user_tokens(world, now, client_id=app, user_id=user.user_id, scope=scope, family=family)
        self.world = issued.world
        refresh = None if issued.refresh_token is None else Secret(issued.refresh_token)
        return Token(Secret(issued.access_token), now + issued.expires_in, now, refresh, scope)

    def expire_access_tokens(self) -> None:
        """End every access token now, as time would; refresh tokens live on."""
        self.world = with_access_expired(self.world, self.clock())

    def revoke_everything(self) -> None:
        """End every token and every code, as if all users had disconnected the app."""
        self.world = with_nothing_issued(self.world)
