"""A token store under faults, for tests of what happens where the place for tokens fails."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import TypeAlias

from msgspec import Struct

from interpreters.tokens import TokenStore
from kickcore.errors import StoreError
from kickcore.oauth.tokens import Saved, Slot, Stored, Superseded, Token


class FailSave(Struct, frozen=True, tag="fail_save"):
    """Nothing is stored, for this reason."""

    reason: str = "no space left on device"


class LoseSave(Struct, frozen=True, tag="lose_save"):
    """The token is stored, and yet it is said that it is not, for this reason."""

    reason: str = "connection reset"


class MisnameVersion(Struct, frozen=True, tag="misname_version"):
    """The token is stored, and a version is named that it does not have."""

    version: str = "misnamed"


class Overtake(Struct, frozen=True, tag="overtake"):
    """Somebody else stores `token` a moment before."""

    token: Token


class FailLoad(Struct, frozen=True, tag="fail_load"):
    """Nothing can be read, for this reason."""

    reason: str = "permission denied"


class FailHold(Struct, frozen=True, tag="fail_hold"):
    """The slot cannot be held, for this reason."""

    reason: str = "held by somebody else for too long"


SaveFault: TypeAlias = FailSave | LoseSave | MisnameVersion | Overtake
"""What may go wrong with a save."""


class FaultyStore:
    """`store` with faults: the first of `saves` is for the first save and so on, None for one that goes well.

    The same for `loads` and `holds`. When they are used up, all goes well. What fails is a `StoreError`.
    """

    def __init__(
        self,
        store: TokenStore,
        *,
        saves: Iterable[SaveFault | None] = (),
        loads: Iterable[FailLoad | None] = (),
        holds: Iterable[FailHold | None] = (),
    ) -> None:
        self.store = store
        self._saves = iter(saves)
        self._loads = iter(loads)
        self._holds = iter(holds)

    async def load(self, slot: Slot) -> Stored | None:
        """The token of `slot`, if nothing is wrong."""
        fault = next(self._loads, None)
        if fault is not None:
            raise StoreError(fault.reason, path="")
        return await self.store.load(slot)

    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded:
        """Store `token`, or whatever the fault has it."""
        fault = next(self._saves, None)
        if isinstance(fault, FailSave):
            raise StoreError(fault.reason, path="")
        if isinstance(fault, Overtake):
            there = await self.store.load(slot)
            _ = await self.store.save(slot, fault.token, there.version if there else "")
        outcome = await self.store.save(slot, token, version)
        if isinstance(fault, LoseSave):
            raise StoreError(fault.reason, path="")
        if isinstance(fault, MisnameVersion) and isinstance(outcome, Saved):
            return Saved(fault.version)
        return outcome

    async def drop(self, slot: Slot) -> None:
        """Forget the token of `slot`; this never fails."""
        await self.store.drop(slot)

    @asynccontextmanager
    async def hold(self, slot: Slot) -> AsyncGenerator[object]:
        """Hold `slot` in the store, if nothing is wrong."""
        fault = next(self._holds, None)
        if fault is not None:
            raise StoreError(fault.reason, path="")
        async with self.store.hold(slot) as held:
            yield held
