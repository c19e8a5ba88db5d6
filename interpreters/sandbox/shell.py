"""The simulated Kick as an object that remembers: the only mutable part of the sandbox."""

import time
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from interpreters.sandbox.building import with_access_expired, with_nothing_issued
from interpreters.sandbox.deliveries import answered, take
from interpreters.sandbox.machine import respond
from interpreters.sandbox.minting import mint_token
from interpreters.sandbox.oauth.issuing import FAMILY, issue_user_tokens
from interpreters.sandbox.public_key import PUBLIC_KEY
from interpreters.sandbox.signing import Delivery, SigningKey, can_sign, key_of_this_run, signed
from interpreters.sandbox.small import OWNER, small_world
from interpreters.sandbox.world import World
from kickcore.http import Request, Response, Unreachable
from kickcore.oauth.tokens import Token
from kickcore.secret import Secret

Before: TypeAlias = Callable[[Request], Response | Unreachable | None]
"""Looks at a request first: its answer is given instead of the world's, None lets the world answer."""

NO_STATUS: Final = 0
"""The status in the log of a request that was never answered."""

_PUBLIC_KEY_PATH: Final = "/public/v1/public-key"


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

    `key` signs webhooks, and its public half is what is served, unless the world's own `public_key` was set to another;
    without one it is the key that this process makes when it first needs it.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        clock: Callable[[], float] = time.time,
        before: Before | None = None,
        key: SigningKey | None = None,
    ) -> None:
        self.world: World = small_world() if world is None else world
        self.clock = clock
        self.before = before
        self.log: list[Entry] = []
        self._key = key

    @property
    def key(self) -> SigningKey:
        """What webhooks are signed with; set another to see a key rotated.

        Needs the extra `webhooks`, and raises `KickError` without it.
        """
        return self._key or key_of_this_run()

    @key.setter
    def key(self, key: SigningKey) -> None:
        self._key = key

    def handle(self, request: Request) -> Response | Unreachable:
        """Answer a request. It is only `Unreachable` if `before` says so."""
        answer = None if self.before is None else self.before(request)
        if answer is None:
            answer = self._respond(request)
        status = answer.status if isinstance(answer, Response) else NO_STATUS
        self.log.append(Entry(request.method, urlsplit(request.url).path, status))
        return answer

    def _respond(self, request: Request) -> Response:
        if urlsplit(request.url).path == _PUBLIC_KEY_PATH and self.world.public_key == PUBLIC_KEY:
            # Only now, because a key takes a while to make and most who ask a simulated Kick never ask for it. Where
            # nothing can be signed, the key that signs nothing stays.
            public = self.key.public_pem if self._key or can_sign() else PUBLIC_KEY
            step = respond(replace(self.world, public_key=public), request, self.clock())
            self.world = replace(step.world, public_key=PUBLIC_KEY)
        else:
            step = respond(self.world, request, self.clock())
            self.world = step.world
        return step.response

    def take_deliveries(self) -> tuple[Delivery, ...]:
        """What is to be delivered by webhook now, signed, to be handed to any receiver; each is given once.

        Then tell by `note_answer` what a receiver answered, if it matters. Needs the extra `webhooks`; raises
        `KickError` without it.
        """
        if not self.world.due:
            return ()
        key = self.key
        self.world, going = take(self.world, self.clock())
        return tuple(signed(outgoing, key) for outgoing in going)

    def note_answer(self, delivery: Delivery, status: int) -> None:
        """Take note that a receiver answered with `status`, or not at all (0).

        An app whose receiver fails with an event for more than a day, by the sandbox's clock, loses its subscriptions
        to it, as at Kick.
        """
        self.world = answered(self.world, delivery.sent, status, self.clock())

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
