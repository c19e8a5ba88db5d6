"""The language of kickcore: effects, programs, interpreters.

An *effect* is a frozen value that asks the world one thing. Its type parameter is the type of the answer, and it is its
own typed wrapper: in `now = yield from Now()`, `now` is a float to every type checker.

A *program* is a generator that yields effects and returns a value. Programs call programs with `yield from`.

An *interpreter* answers effects. A *driver* (`interpreters.driver`) takes a program's effects one by one to an
interpreter and sends the answers back; it is the only loop that awaits.

Rules:

1. A program is driven once, by one driver, to its end. Nothing happens before it is driven.
2. Only `yield from` an effect or a program. A bare `yield` would give `Any`; it stands in `Effect.__iter__` alone.
3. What goes wrong in the world and can be expected is an answer (`Unreachable`, a status of 503, `NotSaved`), not an
   exception. An exception that an interpreter raises is thrown into the program at the `yield from` that asked, so the
   traceback shows that line; it is always an `Exception`.
4. Cancellation is never thrown in. The driver closes the program and the cancellation passes by. So a program yields no
   effect in a `finally`, and catches neither `BaseException` nor `GeneratorExit`.
5. `Exclusive(slot, action)` and `RenewAhead(slot, action)` are the structural effects: the driver keeps them for
   itself. `Exclusive` waits for its turn with that token (this can be cancelled); looks whether somebody has renewed
   it, or failed to, meanwhile; and carries the action out behind a shield with a deadline, because Kick may have spent
   the old refresh token while its answer is still on the way. Then it lets go, and a cancelled caller learns it at
   once. `RenewAhead` does the same beside the program, which goes on at once; where somebody is at it already, it does
   nothing. The body is *named by a value* and cannot ask for either of the two: its type forbids it, so it cannot
   deadlock.
6. Fields of effects are values that can be compared, hashed and written down: no functions, no open things.
7. Chance is keyed by its purpose, time is asked for: a program given equal answers takes equal steps.

One effect, one answer, one handler of the same name in snake case:

    Now()                               float                    epoch seconds, UTC: the only clock
    Entropy(size, purpose)              bytes                    unpredictable octets: chance is an effect
    Send(request)                       Response | Unreachable   one HTTP exchange
    Sleep(seconds)                      None                     wait
    LoadApp()                           App                      which app this is, and on whose behalf it acts
    LoadToken(slot, reread)             Stored | None            the token held, and its version
    SaveToken(slot, token, version)     Saved | Superseded | NotSaved   compare-and-set; memory first, then the store
    DropToken(slot)                     None                     forget the token
    Consent(url, redirect_uri, …)       Callback                 open the browser, wait for the redirect
    LoadPace(group)                     Pace                     how long a group of calls is to wait
    HoldBack(group, until)              None                     let the whole group wait
    PayRetry(cost)                      bool                     spend of the budget for repeating; less than 0 refills
    Notify(notice)                      None                     tell whoever listens
    Exclusive(slot, action)             Token                    carry out an action while no one else does
    RenewAhead(slot, action)            None                     the same meanwhile, without waiting for it
"""

from collections.abc import Generator
from typing import Any, Generic, Self, TypeAlias, TypeVar

from msgspec import Struct

from kickcore.http import Request, Response, Unreachable
from kickcore.notices import Notice
from kickcore.oauth.actions import FetchAppToken, RefreshToken, Renewal
from kickcore.oauth.callback import Callback
from kickcore.oauth.tokens import App, NotSaved, Saved, Slot, Stored, Superseded, Token
from kickcore.policy import Pace
from kickcore.secret import Secret

T = TypeVar("T")


def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class Effect(Struct, Generic[T], frozen=True, tag=_snake_case):
    """Something asked of the world and answered with a T: `answer = yield from Send(request)`."""

    def __iter__(self) -> Generator[Self, Any, T]:
        return (yield self)


class Now(Effect[float], frozen=True):
    """The time, in epoch seconds UTC."""


class Entropy(Effect[bytes], frozen=True):
    """`size` unpredictable octets. `purpose` names their use, so that a replay can draw them independently."""

    size: int
    purpose: str


class Send(Effect[Response | Unreachable], frozen=True):
    """Send one request and read its answer. No status is an error, and neither is a dead wire."""

    request: Request


class Sleep(Effect[None], frozen=True):
    """Wait this many seconds."""

    seconds: float


class LoadApp(Effect[App], frozen=True):
    """The app that the program runs for: its credentials, its hosts, and the account it acts for."""


class LoadToken(Effect[Stored | None], frozen=True):
    """The token held for `slot`. With `reread`, look at the store itself: another process may have renewed it."""

    slot: Slot
    reread: bool = False


class SaveToken(Effect[Saved | Superseded | NotSaved], frozen=True):
    """Hold `token` for `slot` and store it, if the store still has the `version` that was loaded ("" for nothing)."""

    slot: Slot
    token: Token
    version: str


class DropToken(Effect[None], frozen=True):
    """Forget the token of `slot`, in memory and in the store."""

    slot: Slot


class Consent(Effect[Callback], frozen=True):
    """Show the user the authorization page at `url` and wait for the redirect to `redirect_uri`.

    Requests with another `state` are refused and the wait goes on, for at most `timeout` seconds.
    """

    url: Secret
    redirect_uri: str
    state: Secret
    issuer: str
    timeout: float


class LoadPace(Effect[Pace], frozen=True):
    """How fast the calls of `group` may go."""

    group: str


class HoldBack(Effect[None], frozen=True):
    """Let every call of `group` wait until this instant, in epoch seconds."""

    group: str
    until: float


class PayRetry(Effect[bool], frozen=True):
    """Spend this much of the client's budget for repeating: whether there was enough. Less than 0 refills it."""

    cost: float


class Notify(Effect[None], frozen=True):
    """Tell whoever listens. Nothing depends on it."""

    notice: Notice


class Exclusive(Effect[Token], frozen=True):
    """Carry out `action` on the token of `slot` while no one else does."""

    slot: Slot
    action: Renewal


class RenewAhead(Effect[None], frozen=True):
    """Begin to carry out `action` on the token of `slot`, unless someone is at it, and do not wait for its end."""

    slot: Slot
    action: FetchAppToken | RefreshToken


Leaf: TypeAlias = (
    Now
    | Entropy
    | Send
    | Sleep
    | LoadApp
    | LoadToken
    | SaveToken
    | DropToken
    | Consent
    | LoadPace
    | HoldBack
    | PayRetry
    | Notify
)
"""The effects that an interpreter answers."""

Program: TypeAlias = Generator[Leaf | Exclusive | RenewAhead, Any, T]
"""What a driver drives: yields effects, returns a T."""

Body: TypeAlias = Generator[Leaf, Any, T]
"""The body of an `Exclusive` or a `RenewAhead`, and any other program that needs no turn of its own."""
