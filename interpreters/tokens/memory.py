"""Tokens in memory: for tests, for containers, for those who inject tokens and keep them elsewhere."""

from contextlib import AbstractAsyncContextManager
from itertools import count

from interpreters.turns import Gate
from kickcore.oauth.tokens import Saved, Slot, Stored, Superseded, Token


class TokenTable:
    """Tokens by slot, with compare-and-set: what a store does, without waiting for anything."""

    def __init__(self) -> None:
        self._stored: dict[Slot, Stored] = {}
        self._versions = count(1)

    def get(self, slot: Slot) -> Stored | None:
        """The token of `slot` and its version, or None."""
        return self._stored.get(slot)

    def replace(self, slot: Slot, token: Token, version: str) -> Saved | Superseded:
        """Keep `token` if `version` is still what is kept ("" for nothing), else say what is."""
        held = self._stored.get(slot)
        if (held.version if held else "") != version:
            return Superseded(held)
        self._stored[slot] = Stored(token, str(next(self._versions)))
        return Saved(self._stored[slot].version)

    def remove(self, slot: Slot) -> None:
        """Forget the token of `slot`."""
        _ = self._stored.pop(slot, None)


class MemoryStore:
    """A token store that writes nothing anywhere. Several clients of one process may share it, in any threads.

    Loading, saving and dropping wait for nothing, so there is no checkpoint in them.
    """

    def __init__(self) -> None:
        self._table = TokenTable()
        self._gate = Gate()

    async def load(self, slot: Slot) -> Stored | None:
        """The token of `slot` and its version, or None."""
        return self._table.get(slot)

    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded:
        """Keep `token` if `version` is still what is kept."""
        return self._table.replace(slot, token, version)

    async def drop(self, slot: Slot) -> None:
        """Forget the token of `slot`."""
        self._table.remove(slot)

    def hold(self, slot: Slot) -> AbstractAsyncContextManager[object]:
        """Memory belongs to one process; the clients that share it hold a slot one at a time."""
        return self._gate.hold(slot)
