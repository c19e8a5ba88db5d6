"""The interpreter that meets the real world: this machine's clock and entropy, the network, the stores, the browser."""

import secrets
import time
import warnings
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from copy import copy
from typing import Final, Protocol, TypeAlias, assert_never

import anyio
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from interpreters.apart import to_its_end
from interpreters.browser import Loopback
from interpreters.pace import Pacing
from interpreters.tokens.remembered import RememberedTokens
from interpreters.turns import Turn
from interpreters.warned import warn_of
from kickcore.effects import (
    Consent,
    DropToken,
    Entropy,
    HoldBack,
    Leaf,
    LoadApp,
    LoadPace,
    LoadToken,
    Notify,
    Now,
    PayRetry,
    SaveToken,
    Send,
    Sleep,
)
from kickcore.errors import ClientClosed, KickWarning, LoginInProgress
from kickcore.http import Request, Response, Unreachable
from kickcore.notices import Notice
from kickcore.oauth.callback import Callback
from kickcore.oauth.tokens import App, NotSaved, Saved, Slot, Stored, Superseded, Token
from kickcore.policy import Pace

CLOSING_PATIENCE: Final = 5.0
"""Seconds that closing waits for other processes, to store what could not be stored before."""

Browser: TypeAlias = Callable[[Consent], Awaitable[Callback]]
"""Shows the consent page and waits for what comes of it."""


class Transport(Protocol):
    """Sends requests. Anything that cannot be answered is an `Unreachable`, not an exception."""

    async def send(self, request: Request) -> Response | Unreachable:
        """Send once and read the answer."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


class Live:
    """Answers effects for one account of one app. `acting_for` gives the same for another account.

    Made anywhere, with or without a running event loop. `clock` gives epoch seconds, `entropy` unpredictable octets.
    """

    def __init__(
        self,
        app: App,
        transport: Transport,
        tokens: RememberedTokens,
        *,
        browser: Browser | None = None,
        clock: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        pacing: Pacing | None = None,
        on_notice: Callable[[Notice], None] | None = None,
    ) -> None:
        self.app = app
        self.tokens: Final = tokens
        self._transport = transport
        self.browser: Browser = browser or Loopback()
        self._clock = clock
        self._entropy = entropy
        self._pacing = pacing or Pacing(clock)
        self._on_notice = on_notice
        self._consenting: set[str] = set()
        self._closed: list[bool] = []
        self._warned: set[type[Warning]] = set()

    def acting_for(self, account: str) -> "Live":
        """The same interpreter for another account of the app: tokens, connections and closing are shared."""
        return self._varied(app=replace(self.app, account=account))

    def showing(self, browser: Browser) -> "Live":
        """The same interpreter with another way to the user's browser."""
        return self._varied(browser=browser)

    def _varied(self, *, app: App | None = None, browser: Browser | None = None) -> "Live":
        other = copy(self)
        other.app = app or self.app
        other.browser = browser or self.browser
        return other

    async def __call__(self, effect: Leaf) -> object:  # noqa: C901 - one case for each effect
        match effect:
            case LoadApp():
                return await self.load_app()
            case LoadPace():
                return await self.load_pace(effect.group)
            case LoadToken():
                return await self.load_token(effect.slot, effect.reread)
            case Now():
                return await self.now()
            case Send():
                return await self.send(effect.request)
            case SaveToken():
                return await self.save_token(effect.slot, effect.token, effect.version)
            case DropToken():
                return await self.drop_token(effect.slot)
            case Entropy():
                return await self.entropy(effect.size, effect.purpose)
            case Sleep():
                return await self.sleep(effect.seconds)
            case HoldBack():
                return await self.hold_back(effect.group, effect.until)
            case PayRetry():
                return await self.pay_retry(effect.cost)
            case Notify():
                return await self.notify(effect.notice)
            case Consent():
                return await self.consent(effect)
            case _:
                assert_never(effect)

    async def now(self) -> float:
        """Epoch seconds by the clock."""
        return self._clock()

    async def entropy(self, size: int, purpose: str) -> bytes:
        """Octets of the system's generator; the purpose does not matter to it."""
        _ = purpose
        return self._entropy(size)

    async def send(self, request: Request) -> Response | Unreachable:
        """One exchange over the network. What is cut off by `aclose` is a `ClientClosed`."""
        self._check_open()
        answer = await self._transport.send(request)
        if isinstance(answer, Unreachable):
            self._check_open()
        return answer

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed("this client was closed; make a new one")

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await anyio.sleep(seconds)

    async def load_app(self) -> App:
        """The app, and the account that this interpreter acts for."""
        self._check_open()
        return self.app

    async def load_token(self, slot: Slot, reread: bool = False) -> Stored | None:  # noqa: FBT001, FBT002 - an effect's fields
        """The token held."""
        return await self.tokens.load(slot, reread=reread)

    async def save_token(self, slot: Slot, token: Token, version: str) -> Saved | Superseded | NotSaved:
        """Hold and store a token."""
        return await self.tokens.save(slot, token, version)

    async def drop_token(self, slot: Slot) -> None:
        """Forget a token."""
        await self.tokens.drop(slot)

    async def load_pace(self, group: str) -> Pace:
        """How long a group of calls is to wait."""
        return self._pacing.load(group)

    async def hold_back(self, group: str, until: float) -> None:
        """Let a group of calls wait."""
        self._pacing.hold_back(group, until)

    async def pay_retry(self, cost: float) -> bool:
        """Spend of the budget for repeating."""
        return self._pacing.pay(cost)

    async def notify(self, notice: Notice) -> None:
        """Tell `on_notice`, if there is one; what harms those who do not listen is a warning, too."""
        warn_of(notice, self._warned)
        if self._on_notice is None:
            return
        try:
            self._on_notice(notice)
        except Exception as error:  # noqa: BLE001 - it stands in the middle of a renewal, and nothing depends on it
            text = f"on_notice raised {type(error).__name__}; the call goes on"
            warnings.warn(text, KickWarning, stacklevel=2)

    async def consent(self, effect: Consent) -> Callback:
        """Show the page and wait. One login of an account at a time."""
        if self.app.account in self._consenting:
            raise LoginInProgress(
                "another login of this account is waiting for the browser; it goes on, and this one was not begun"
            )
        self._consenting.add(self.app.account)
        try:
            return await self.browser(effect)
        finally:
            self._consenting.discard(self.app.account)

    def turn(self, slot: Slot) -> Turn:
        """The line in which the tasks of this event loop wait for the slot."""
        return self.tokens.turn(slot)

    def hold(self, slot: Slot) -> AbstractAsyncContextManager[object]:
        """Wait for the slot among the processes that share the store."""
        return self.tokens.hold(slot)

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called, on this or on an interpreter that shares with it."""
        return bool(self._closed)

    async def aclose(self) -> None:
        """Store what could not be stored before, and let go of connections. Calls after it raise `ClientClosed`.

        Comes to its end also if it is cancelled meanwhile. Connections belong to event loops: close in each.
        """
        await to_its_end(self._end())
        await checkpoint()

    async def _end(self) -> None:
        with anyio.CancelScope(shield=True):
            try:
                if not self._closed:
                    # Renewals first: one that is under way must neither lose its connection nor its answer.
                    await self.tokens.finish_renewals()
                    self._closed.append(True)
                    await self.tokens.flush(CLOSING_PATIENCE)
                    self.tokens.forget()
            finally:
                await self._transport.aclose()
