"""The memory before a store: tokens are used from here, saved through here, and never lost to a full disk."""

import time
import warnings
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Final

import anyio
from anyio.lowlevel import RunVar
from msgspec import Struct
from msgspec.structs import replace

from interpreters.tokens import TokenStore
from interpreters.turns import Gate, Turn
from kickcore.errors import StoreError, TokenNotSaved
from kickcore.oauth.tokens import NotSaved, Saved, Slot, Stored, Superseded, Token

ABSENT_FOR: Final = 1.0
"""Seconds for which "nothing is stored" is believed without looking again."""
PATIENCE: Final = 0.25
"""Seconds that a call with a good token waits for other processes, to store what could not be stored before."""
SAVE_AGAIN_AFTER: Final = 30.0
"""Seconds after a failed save before it is tried again in passing."""


class _Held(Struct, kw_only=True):
    """A token in memory. `version` is the store's; `unsaved` since when; `own` if the caller keeps it himself.

    `wall` and `ticks` are what both clocks said when it came. `over` is when the login was that this one replaced.
    """

    token: Token
    version: str
    wall: float
    ticks: float
    unsaved: float | None = None
    own: bool = False
    over: float | None = None


class RememberedTokens:
    """Memory first, then the store, then the caller.

    A load is answered from memory unless a reread is asked for; a save that fails leaves the token in memory, warns
    (`TokenNotSaved`) and is tried again later and on `flush`. `ticks` is a monotonic clock in seconds, `clock` gives
    epoch seconds. May be used from several threads and event loops.
    """

    def __init__(
        self,
        store: TokenStore,
        ticks: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store: Final = store
        self._ticks = ticks
        self._clock = clock
        self._gate = Gate()
        self._held: dict[Slot, _Held] = {}
        self._absent: dict[Slot, float] = {}
        self._versions = count(1)
        # Locks belong to the event loop that waits on them; tokens do not.
        self._turns: RunVar[dict[Slot, Turn]] = RunVar("kickcore token turns")
        self._looks: RunVar[dict[Slot, anyio.Lock]] = RunVar("kickcore token looks")

    def peek(self, slot: Slot) -> Token | None:
        """The token in memory, if there is one."""
        held = self._held.get(slot)
        return held.token if held else None

    def put(self, slot: Slot, token: Token, *, save: bool) -> None:
        """Hold a token that comes from the caller; store it on its next use, or never."""
        self._hold(slot, token, self._mint(), unsaved=float("-inf") if save else None, own=not save)

    def _hold(
        self, slot: Slot, token: Token, version: str, *, unsaved: float | None = None, own: bool = False
    ) -> _Held:
        held = self._held[slot] = _Held(
            token=token, version=version, wall=self._clock(), ticks=self._ticks(), unsaved=unsaved, own=own
        )
        return held

    def _stored(self, held: _Held) -> Stored:
        return Stored(held.token, held.version, held.wall + max(self._ticks() - held.ticks, 0.0))

    def _mint(self) -> str:
        """A version of our own, which no store gives."""
        return f"memory-{next(self._versions)}"

    async def load(self, slot: Slot, *, reread: bool = False) -> Stored | None:
        """The token of `slot`: from memory, or from the store if there is none or with `reread`."""
        held = self._held.get(slot)
        if held is not None and held.unsaved is not None and self._ticks() - held.unsaved >= SAVE_AGAIN_AFTER:
            await self._save_in_passing(slot)
            held = self._held.get(slot)
        if held is not None and (held.own or held.unsaved is not None or not reread):
            return self._stored(held)
        if not reread and self._is_absent(slot):
            return None
        async with self._look_lock(slot):
            # Of many that come at once, the first has looked for all.
            held = self._held.get(slot)
            if not reread and (held is not None or self._is_absent(slot)):
                return self._now_held(slot)
            return await self._look(slot, held)

    def _is_absent(self, slot: Slot) -> bool:
        return self._ticks() - self._absent.get(slot, float("-inf")) < ABSENT_FOR

    async def _look(self, slot: Slot, before: _Held | None) -> Stored | None:
        try:
            stored = await self.store.load(slot)
        except Exception as error:
            if before is None:
                raise
            _ = _not_saved(_told(error))
            return self._now_held(slot)
        if self._held.get(slot) is not before:
            # A token was put here while the store was read; it is newer than what was read.
            return self._now_held(slot)
        if stored is None and before is not None:
            # The file was deleted. If that was a logout, Kick has revoked the token and will say so; if it was an
            # accident, the grant is not lost by it.
            before.version = ""
            return self._now_held(slot)
        self._remember(slot, stored)
        return self._now_held(slot)

    def _now_held(self, slot: Slot) -> Stored | None:
        held = self._held.get(slot)
        return self._stored(held) if held else None

    def _remember(self, slot: Slot, stored: Stored | None) -> None:
        if stored is None:
            _ = self._held.pop(slot, None)
            self._absent[slot] = self._ticks()
        elif (before := self._held.get(slot)) is None or before.token != stored.token:
            _ = self._hold(slot, stored.token, stored.version)
        else:
            # The same token: since when it is here has not changed.
            before.version, before.unsaved = stored.version, None

    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded | NotSaved:
        """Hold `token`, then store it if the store still has `version`."""
        before = self._held.get(slot)
        if before is not None and before.version != version:
            return Superseded(self._stored(before))
        if before is not None and _is_marked(before.token, token):
            return await self._mark(slot, before, token)
        if before is not None and before.own:
            return Saved(self._hold(slot, token, self._mint(), own=True).version)
        held = self._hold(slot, token, version, unsaved=self._ticks())
        if before is not None:
            is_same_login = before.token.granted_at == token.granted_at
            held.over = before.over if is_same_login else before.token.granted_at
        if before is not None and before.unsaved is not None:
            return await self._save_again(slot, held)
        return await self._store(slot, held)

    async def _mark(self, slot: Slot, held: _Held, token: Token) -> Saved | Superseded | NotSaved:
        """The same token with another attempt. Where that cannot be stored, nobody needs to be told."""
        held.token = token
        if held.own:
            return Saved(held.version)
        if held.unsaved is not None:
            # What is about to be sent shall be in the store by then, if there is room again.
            return await self._save_again(slot, held, is_told=False)
        try:
            outcome = await self.store.save(slot, token, held.version)
        except Exception as error:  # noqa: BLE001 - whatever a store fails with, the token is as it was
            return NotSaved(_told(error))
        if isinstance(outcome, Saved):
            held.version = outcome.version
        elif self._held.get(slot) is held:
            self._remember(slot, outcome.stored)
        return outcome

    async def _store(self, slot: Slot, held: _Held, *, is_told: bool = True) -> Saved | Superseded | NotSaved:
        try:
            outcome = await self.store.save(slot, held.token, held.version)
        except Exception as error:  # noqa: BLE001 - whatever a store fails with, the token is good
            reason = _told(error)
        else:
            if isinstance(outcome, Saved):
                held.version, held.unsaved = outcome.version, None
            elif self._held.get(slot) is held:
                # Else a token was put here while this one was on its way to the store.
                self._remember(slot, outcome.stored)
            return outcome
        return _not_saved(reason) if is_told else NotSaved(reason)

    async def _save_again(self, slot: Slot, held: _Held, *, is_told: bool = True) -> Saved | Superseded | NotSaved:
        """Store what could not be stored, over what is there, unless that was issued later."""
        held.unsaved = self._ticks()
        try:
            stored = await self.store.load(slot)
        except Exception:  # noqa: BLE001 - saving will tell
            stored = None
        if self._held.get(slot) is not held:
            # Renewed, put or dropped while the store was read: now this one is the older.
            return Superseded(self._now_held(slot))
        if stored is not None and stored.version != held.version and self._is_later(stored.token, held):
            # Another process has logged in or renewed meanwhile. (Of the same version, a clock was set back.)
            self._remember(slot, stored)
            return Superseded(stored)
        held.version = stored.version if stored else ""
        return await self._store(slot, held, is_told=is_told)

    def _is_later(self, theirs: Token, held: _Held) -> bool:
        """Whether theirs is of a later login, or of the same and issued later."""
        ours = held.token
        if theirs.granted_at is None or ours.granted_at is None or theirs.granted_at == ours.granted_at:
            return theirs.issued_at > ours.issued_at
        # What ours replaced cannot be later; else, ours was at another time if the clock was set meanwhile.
        set_by = self._clock() - (held.wall + max(self._ticks() - held.ticks, 0.0))
        return theirs.granted_at != held.over and theirs.granted_at > ours.granted_at + set_by

    async def drop(self, slot: Slot) -> None:
        """Forget the token of `slot`, here and in the store. A caller's own token was never stored."""
        held = self._held.pop(slot, None)
        if held is None or not held.own:
            await self.store.drop(slot)

    async def _save_in_passing(self, slot: Slot) -> None:
        """Save what could not be saved before, unless somebody is changing the token at this moment: he saves, too."""
        turn = self.turn(slot)
        if not turn.is_taken():
            async with turn:
                await self._save_in_turn(slot, PATIENCE)

    async def _save_in_turn(self, slot: Slot, patience: float | None = None) -> None:
        """Store what could not be stored, if the store is to be had within `patience` seconds."""
        try:
            async with AsyncExitStack() as stack:
                with anyio.move_on_after(patience) as waiting:
                    _ = await stack.enter_async_context(self.hold(slot))
                # Asked only now: whoever had the turn before may have renewed the token, or stored it.
                held = self._held.get(slot)
                if held is None or held.unsaved is None:
                    return
                if waiting.cancelled_caught:
                    held.unsaved = self._ticks()
                else:
                    _ = await self._save_again(slot, held)
        except StoreError as error:
            _ = _not_saved(_told(error))

    async def flush(self, patience: float | None = None) -> None:
        """Try once more to store what is held in memory only, waiting for others `patience` seconds at most."""
        for slot in [slot for slot, held in self._held.items() if held.unsaved is not None]:
            async with self.turn(slot):
                await self._save_in_turn(slot, patience)

    async def finish_renewals(self) -> None:
        """Wait until nobody of this event loop is changing a token, but not for those who come later."""
        for turn in list((self._turns.get(None) or {}).values()):
            if turn.is_taken():
                async with turn:
                    pass

    def forget(self) -> None:
        """Let go of every token that the store has; what is held in memory only stays, so that it is not lost."""
        for slot in [slot for slot, held in self._held.items() if held.unsaved is None and not held.own]:
            del self._held[slot]

    def turn(self, slot: Slot) -> Turn:
        """The line in which tasks of this event loop wait."""
        turns = self._turns.get(None)
        if turns is None:
            turns = dict[Slot, Turn]()
            _ = self._turns.set(turns)
        turn = turns.get(slot)
        if turn is None:
            turn = turns[slot] = Turn()
        return turn

    def _look_lock(self, slot: Slot) -> anyio.Lock:
        looks = self._looks.get(None)
        if looks is None:
            looks = dict[Slot, anyio.Lock]()
            _ = self._looks.set(looks)
        look = looks.get(slot)
        if look is None:
            look = looks[slot] = anyio.Lock()
        return look

    @asynccontextmanager
    async def hold(self, slot: Slot) -> AsyncGenerator[object]:
        """Keep other threads and other processes from changing `slot`; False if the store cannot do the latter."""
        async with self._gate.hold(slot):
            held = self._held.get(slot)
            if held is not None and held.own:
                yield True
            else:
                async with self.store.hold(slot) as alone:
                    yield alone


def _is_marked(before: Token, after: Token) -> bool:
    """Whether they differ by what is known of attempts alone."""
    return before != after and before == replace(after, attempt=before.attempt)


def _told(error: Exception) -> str:
    """Why a store failed. Of a store that is not ours only the kind: its text may hold what it was to store."""
    return str(error) if isinstance(error, StoreError | OSError) else type(error).__name__


def _not_saved(reason: str) -> NotSaved:
    warnings.warn(
        f"a token could not be stored and is held in memory only: {reason}; saving is tried again later",
        TokenNotSaved,
        stacklevel=3,
    )
    return NotSaved(reason)
