"""Programs and worlds for sessions: what tests of recording and of replaying share."""

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from interpreters.sandbox import Sandbox, Simulated, small_world
from interpreters.sessions import Recording, Session
from interpreters.turns import Turn
from kickcore.api.chat import send_chat_message
from kickcore.api.users import fetch_user
from kickcore.effects import Leaf, LoadToken, Now, Program, SaveToken, Send, Sleep
from kickcore.http import Request, Response, Unreachable
from kickcore.oauth.login import authenticate
from kickcore.oauth.tokens import App, Saved, Slot, Superseded, Token, TokenKind
from kickcore.secret import Secret

SCOPES = ("chat:write", "user:read")
ISSUER = "http://127.0.0.1"
SLOT = Slot(ISSUER, "sandbox-app", TokenKind.USER)


def kick(**rules: Any) -> Simulated:
    """A simulated Kick that knows a user."""
    return Simulated(Sandbox(small_world(**rules)))


def recorded(*programs: Program[Any], on: Simulated | None = None, **options: Any) -> Session:
    """A session of programs one after the other."""
    simulated, recording = on or kick(), Recording(**{"seed": "s", **options})
    for program in programs:
        try:
            recording.run_sync(program, simulated.answer)
        except Exception:  # noqa: BLE001 - it belongs to the session
            continue
    return recording.close()


def a_day() -> list[Program[Any]]:
    """A login, calls, a refresh in the middle and an own user: one program after the other."""
    return [
        fetch_user(676),
        authenticate(SCOPES),
        send_chat_message("Hello!", broadcaster_user_id=676),
        waiting(7150.0),
        send_chat_message("Still here", broadcaster_user_id=676),
        fetch_user(),
    ]


def waiting(seconds: float) -> Program[float]:
    """Let time pass."""
    yield from Sleep(seconds)
    return (yield from Now())


def asking(path: str, *, bearer: Secret | None = None, method: str = "GET") -> Program[Response | Unreachable]:
    """Ask for one address."""
    return (yield from Send(Request(method, f"{ISSUER}{path}", bearer=bearer)))


def appending(me: str, times: int) -> Program[list[str]]:
    """Add a name to what is stored, `times` times, without a lock: whoever comes too late sees what is there."""
    seen: list[str] = []
    for _ in range(times):
        stored = yield from LoadToken(SLOT)
        before = stored.token.scope if stored is not None and stored.token.scope else ()
        token = Token(Secret(f"token-of-{me}-{len(before)}"), 2e9, 1e9, None, (*before, me))
        outcome = yield from SaveToken(SLOT, token, stored.version if stored else "")
        match outcome:
            case Saved(version):
                seen.append(f"saved {version}")
            case Superseded(theirs):
                seen.append("lost to " + (",".join(theirs.token.scope or ()) if theirs else "nobody"))
            case _:
                seen.append("not saved")
    return seen


class Wavering:
    """A simulated Kick whose every answer takes a while, by chance."""

    def __init__(self, simulated: Simulated, seed: int) -> None:
        self.simulated = simulated
        self.app: App = simulated.app
        self._random = random.Random(seed)

    async def __call__(self, effect: Leaf, /) -> object:
        if not isinstance(effect, Now):
            for _ in range(self._random.randrange(4)):
                await checkpoint()
            self.simulated.time += 0.001
        return self.simulated.answer(effect)

    def turn(self, slot: Slot) -> Turn:
        return self.simulated.turn(slot)

    def hold(self, slot: Slot) -> AbstractAsyncContextManager[object]:
        return self.simulated.hold(slot)

    def acting_for(self, account: str) -> "Wavering":
        other = object.__new__(Wavering)
        other.__dict__.update(vars(self))
        other.simulated = _Acting(self.simulated, account)  # type: ignore[assignment]
        other.app = replace(self.app, account=account)
        return other


class _Acting:
    """The same simulated Kick for another account."""

    def __init__(self, simulated: Simulated, account: str) -> None:
        self._simulated = simulated
        self._app = replace(simulated.app, account=account)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._simulated, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            setattr(self._simulated, name, value)

    def answer(self, effect: Leaf) -> object:
        from kickcore.effects import LoadApp

        return self._app if isinstance(effect, LoadApp) else self._simulated.answer(effect)


async def all_at_once(
    run: Callable[..., Any], programs: dict[str, tuple[Callable[[], Program[Any]], Any]]
) -> dict[str, Any]:
    """Run programs at once: by label, each with what to call `run` with beside; their values or errors."""
    results: dict[str, Any] = {}

    async def one(label: str, make: Callable[[], Program[Any]], more: Any) -> None:
        try:
            results[label] = await run(make(), *more, label=label)
        except Exception as error:  # noqa: BLE001 - it is the result
            results[label] = f"{type(error).__name__}: {error}"

    async with anyio.create_task_group() as tasks:
        for label, (make, more) in programs.items():
            tasks.start_soon(one, label, make, more)
    return results
