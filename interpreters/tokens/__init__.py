"""Where tokens are kept: a protocol of four methods, two stores, and the memory that stands before either."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from kickcore.oauth.tokens import Saved, Slot, Stored, Superseded, Token


class TokenStore(Protocol):
    """A place for tokens. Write one for a database or a keyring; every method may raise `StoreError`."""

    async def load(self, slot: Slot) -> Stored | None:
        """The token of `slot` and its version, or None."""
        ...

    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded:
        """Compare and set: store `token` if what is stored still has `version` ("" for nothing), else say what is."""
        ...

    async def drop(self, slot: Slot) -> None:
        """Forget the token of `slot`. Nothing stored is fine, too."""
        ...

    def hold(self, slot: Slot) -> AbstractAsyncContextManager[object]:
        """Keep every other process from changing `slot` meanwhile. Waiting can be cancelled and has a limit.

        Where that cannot be done, give False: a renewal then waits longer for what others may have begun.
        """
        ...
