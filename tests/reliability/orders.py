"""What the simulated Kick is told between scenarios, and what it tells: values that travel as JSON."""

import http.client
import time
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

CONTROL: Final = "/reliability"
CLIENT_ID: Final = "CID"
CLIENT_SECRET: Final = "SANDBOXSECRETQ7ZK2M4XW5J3"
SCOPE: Final = "kicks:read"

T = TypeVar("T")


class Fresh(Struct, frozen=True, kw_only=True, tag=True):
    """Begin anew: a world with one user who has logged in, and whose access token has ended. Gives a `Grant`.

    `pause` is how long a refresh takes at most, in seconds, before Kick acts and once more before it answers.
    """

    seed: str
    strict: bool = True
    user_life: float = 7200.0
    pause: float = 0.0


class Login(Struct, frozen=True, tag=True):
    """The user logs in once more. Gives a `Grant`."""


class Grant(Struct, frozen=True):
    """Tokens as text."""

    access_token: str
    refresh_token: str


class Answer(Struct, frozen=True):
    """An answer in the place of Kick's own. In it "AT" and "RT2" become what was issued, "RT1" what was sent."""

    status: int
    content_type: str
    body: bytes


class Fault(Struct, frozen=True, kw_only=True, tag=True):
    """What becomes of the next refresh. Gives the `State`.

    `acts`: whether Kick acts on it at all. `answer`: what is said instead. `keep`: how many octets of the answer are
    sent (None: all). `ending`: "answer" as usual, "close" or "reset". `hold`: wait for `Release`, either before Kick
    acts ("asked") or when all octets that are to be sent are sent ("answered").
    """

    acts: bool = True
    answer: Answer | None = None
    keep: int | None = None
    ending: str = "answer"
    hold: str = ""


class Release(Struct, frozen=True, tag=True):
    """Let go on what is held. Gives the `State`."""


class Ask(Struct, frozen=True, tag=True):
    """Gives the `State`, and whether Kick would take this refresh token now; asking changes nothing."""

    refresh_token: str = ""


class State(Struct, frozen=True, kw_only=True):
    """What Kick has seen since `Fresh`.

    `refreshes` were asked for, `granted` were given, `reused` were granted for a token that was spent already.
    `replays` were refused because the token was spent. `under_way` are not answered yet, `held` wait for `Release`.
    `length` is that of the last answer, in octets.
    """

    refreshes: int
    granted: int
    reused: int
    replays: int
    under_way: int
    held: int
    length: int
    takes: bool = False


Order: TypeAlias = Fresh | Login | Fault | Release | Ask


class Control:
    """Gives orders to the simulated Kick at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)

    def _give(self, order: Order, kind: type[T]) -> T:
        self._connection.request("POST", CONTROL, msgspec.json.encode(order))
        return msgspec.json.decode(self._connection.getresponse().read(), type=kind)

    def log_in(self, order: Fresh | Login) -> Grant:
        return self._give(order, Grant)

    def tell(self, order: Fault | Release | Ask) -> State:
        return self._give(order, State)

    def takes(self, refresh_token: str) -> bool:
        """Whether Kick would take this refresh token now."""
        return self.tell(Ask(refresh_token)).takes

    def wait_until(self, is_so: Callable[[State], bool], seconds: float = 60.0) -> bool:
        """Look again and again until it is so; False if it is not within `seconds`."""
        deadline = time.monotonic() + seconds
        while not is_so(self.tell(Ask())):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
        return True

    def wait_until_quiet(self) -> State:
        """Wait until Kick has acted on all that the dead have sent."""
        for _ in range(2):
            # What is in a socket's buffer has not been seen yet; one turn of Kick's event loop later it has.
            time.sleep(0.01)
            self.wait_until(lambda state: not state.under_way)
        return self.tell(Ask())
