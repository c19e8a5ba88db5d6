"""What a check is, what it looks at, and how it says that a promise is broken."""

import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from functools import wraps
from typing import Any, Final, Protocol

import anyio
from msgspec import Struct

from kickcore.oauth.tokens import NotSaved, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.secret import Secret

PATIENCE: Final = 10.0
"""Seconds that a check may take."""
MOMENT: Final = 0.02
"""Seconds after which somebody who waits is taken to go on waiting."""


class BrokenPromise(AssertionError):
    """A store does not do what every store promises. The text says which promise, and what it did instead."""


class Keeper(Protocol):
    """A `TokenStore`, or the memory before one: the same four methods."""

    async def load(self, slot: Slot) -> Stored | None:
        """The token of `slot` and its version, or None."""
        ...

    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded | NotSaved:
        """Store `token` if what is stored still has `version`."""
        ...

    async def drop(self, slot: Slot) -> None:
        """Forget the token of `slot`."""
        ...

    def hold(self, slot: Slot) -> AbstractAsyncContextManager[object]:
        """Keep others from changing `slot` meanwhile."""
        ...


class Subject(Struct, frozen=True):
    """A store that is empty at first, and a way to make another that sees the same tokens, as another process would.

    `patience` is in seconds: a check that takes longer has failed.
    """

    store: Keeper
    again: Callable[[], Keeper]
    patience: float = PATIENCE


class Check(Protocol):
    """One promise: `await check(subject)` raises `BrokenPromise`, or whatever the store raises. Made by `promise`."""

    __name__: str

    def __call__(self, subject: Subject) -> Coroutine[Any, Any, None]: ...


def promise(check: Callable[[Subject], Awaitable[None]]) -> Check:
    """Let a check end in time."""

    @wraps(check)
    async def limited(subject: Subject) -> None:
        try:
            with anyio.move_on_after(subject.patience) as limit:
                await check(subject)
        except ExceptionGroup as group:
            broken = _first(group.exceptions)
            if broken is None:
                raise
            raise broken from None
        if limit.cancelled_caught:
            raise BrokenPromise(f"it took more than {subject.patience:g} seconds")

    return limited


def _first(errors: Iterable[object]) -> BrokenPromise | None:
    """Of what went wrong side by side, the first that names a promise."""
    return next((error for error in errors if isinstance(error, BrokenPromise)), None)


def expect(kept: bool, broken: str) -> None:  # noqa: FBT001 - reads as a sentence: expect(a == b, "…")
    """Raise `BrokenPromise` unless it was kept."""
    if not kept:
        raise BrokenPromise(broken)


ISSUER: Final = "https://id.kick.com"
USER: Final = Slot(ISSUER, "conformance", TokenKind.USER)
APP: Final = Slot(ISSUER, "conformance", TokenKind.APP)
LIFE: Final = 7200.0
SOON: Final = float(int(time.time())) + LIFE
"""Epoch seconds. A store may doubt an end that is more than a year away."""


def account(name: str) -> Slot:
    """The slot of the user token of one account."""
    return Slot(ISSUER, "conformance", TokenKind.USER, name)


def numbered(number: int) -> Token:
    """One of many tokens that differ."""
    return Token(Secret(f"access-{number}"), SOON, SOON - LIFE, Secret(f"refresh-{number}"), ("user:read",))


async def saved(store: Keeper, slot: Slot, token: Token, version: str = "") -> str:
    """Save what must be saved, and give its version."""
    outcome = await store.save(slot, token, version)
    if not isinstance(outcome, Saved):
        raise BrokenPromise(f"a save that names what is stored was answered with {type(outcome).__name__}")
    return outcome.version


async def expect_stored(store: Keeper, slot: Slot, token: Token | None, version: str = "") -> None:
    """See that just this is stored; `version` "" is any."""
    stored = await store.load(slot)
    if token is None or stored is None:
        expect(stored is token, "it gives a token that is not there" if token is None else "the token is gone")
    else:
        expect(stored.token == token, f"another token came back than was saved: {_difference(stored.token, token)}")
        expect(version in {"", stored.version}, "a load names another version than the save before it")


def _difference(found: Token, wanted: Token) -> str:
    differ = [name for name in Token.__struct_fields__ if getattr(found, name) != getattr(wanted, name)]
    return f"its {', '.join(differ)} differ" if differ else "they are not equal"
