"""The simulated Kick as an interpreter: no socket, no file, no real time, no chance."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from hashlib import sha256
from typing import assert_never

from interpreters.pace import Pacing
from interpreters.sandbox.shell import Sandbox
from interpreters.sandbox.small import STARTED
from interpreters.sandbox.visitor import approve
from interpreters.tokens.memory import TokenTable
from interpreters.turns import Turn
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
from kickcore.errors import LoginError
from kickcore.notices import Notice
from kickcore.oauth.callback import Callback, Refused, read_pasted
from kickcore.oauth.tokens import App, Slot
from kickcore.secret import Secret

ISSUER = "http://127.0.0.1"
"""The origin of both hosts where no socket has one. No real token can be taken for one of this issuer's."""


class Simulated:
    """Answers every effect from a `Sandbox`, from memory and from a clock that only moves when it is told to.

    `run_sync(program, simulated.answer)` needs no event loop; `await run(program, simulated, simulated)` runs on
    asyncio and trio. `time` is in epoch seconds and may be set; `Sleep` moves it. The user at the consent page unticks
    the scopes in `untick`, and denies if `deny` is set. Entropy depends on `seed`, the purpose and how often it was
    asked for.
    """

    def __init__(
        self,
        sandbox: Sandbox | None = None,
        app: App | None = None,
        *,
        seed: str = "simulated",
        untick: Iterable[str] = (),
        deny: bool = False,
    ) -> None:
        self.time: float = STARTED + 86400.0
        self.sandbox: Sandbox = sandbox or Sandbox()
        self.sandbox.clock = lambda: self.time
        self.app: App = app or App("sandbox-app", Secret("sandbox-secret"), ISSUER, ISSUER)
        self.tokens: TokenTable = TokenTable()
        self.untick: tuple[str, ...] = tuple(untick)
        self.deny = deny
        self.pacing: Pacing = Pacing(lambda: self.time)
        self.notices: list[Notice] = []
        self._seed = seed
        self._drawn: dict[str, int] = {}
        self._turns: dict[Slot, Turn] = {}

    def answer(self, effect: Leaf) -> object:  # noqa: C901 - one case for each effect
        """The answer to one effect."""
        match effect:
            case Now():
                return self.time
            case Send(request):
                return self.sandbox.handle(request)
            case LoadApp():
                return self.app
            case LoadToken(slot):
                return self.tokens.get(slot)
            case SaveToken(slot, token, version):
                return self.tokens.replace(slot, token, version)
            case DropToken(slot):
                return self.tokens.remove(slot)
            case Entropy(size, purpose):
                return self._draw(size, purpose)
            case Sleep(seconds):
                self.time += seconds
                return None
            case LoadPace(group):
                return self.pacing.load(group)
            case HoldBack(group, until):
                return self.pacing.hold_back(group, until)
            case PayRetry(cost):
                return self.pacing.pay(cost)
            case Notify(notice):
                return self.notices.append(notice)
            case Consent():
                return self._consent(effect)
            case _:
                assert_never(effect)

    async def __call__(self, effect: Leaf) -> object:
        """The same, for the driver that awaits."""
        return self.answer(effect)

    def turn(self, slot: Slot) -> Turn:
        """One task at a time for each slot."""
        return self._turns.setdefault(slot, Turn())

    def hold(self, slot: Slot) -> AbstractAsyncContextManager[None]:
        """There is no other process."""
        _ = slot
        return nullcontext()

    def _draw(self, size: int, purpose: str) -> bytes:
        number = self._drawn[purpose] = self._drawn.get(purpose, 0) + 1
        blocks = (
            sha256(f"{self._seed}/{purpose}/{number}/{block}".encode()).digest() for block in range(size // 32 + 1)
        )
        return b"".join(blocks)[:size]

    def _consent(self, asked: Consent) -> Callback:
        address = approve(asked.url, self.sandbox.handle, untick=self.untick, deny=self.deny)
        end = read_pasted(address, redirect_uri=asked.redirect_uri, state=asked.state, issuer=asked.issuer)
        if isinstance(end, Refused):
            raise LoginError(f"the simulated Kick sent the browser to an address that is no answer: {end.value}")
        return end
