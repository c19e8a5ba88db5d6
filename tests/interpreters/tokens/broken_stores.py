"""A good store, and for every promise one that breaks it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from kickcore.oauth.tokens import NotSaved, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.secret import Secret

USER = Slot("https://id.kick.com", "CID", TokenKind.USER)
TOKEN = Token(Secret("A"), 2.0, 1.0)


class Table:
    """Rows that several stores share."""

    def __init__(self) -> None:
        self.rows: dict[Any, Stored] = {}
        self.turns: dict[Any, anyio.Semaphore] = {}
        self.versions = 0


class Rows:
    """A good store, for others to be worse."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def key(self, slot: Slot) -> Any:
        return slot

    def turn(self, slot: Slot) -> anyio.Semaphore:
        return self.table.turns.setdefault(self.key(slot), anyio.Semaphore(1))

    def there(self, slot: Slot) -> Stored | None:
        return self.table.rows.get(self.key(slot))

    def is_there(self, slot: Slot, version: str) -> bool:
        there = self.there(slot)
        return (there.version if there else "") == version

    def version(self, slot: Slot) -> str:
        self.table.versions += 1
        return str(self.table.versions)

    def put(self, slot: Slot, token: Token) -> Saved:
        self.table.rows[self.key(slot)] = Stored(token, self.version(slot))
        return Saved(self.table.rows[self.key(slot)].version)

    async def load(self, slot: Slot) -> Stored | None:
        await checkpoint()
        return self.there(slot)

    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded | NotSaved:
        await checkpoint()
        return self.put(slot, token) if self.is_there(slot, version) else Superseded(self.there(slot))

    async def drop(self, slot: Slot) -> None:
        await checkpoint()
        self.table.rows.pop(self.key(slot), None)

    @asynccontextmanager
    async def hold(self, slot: Slot) -> AsyncGenerator[object]:
        async with self.turn(slot):
            yield True


class Haunted(Rows):
    async def load(self, slot: Slot) -> Stored | None:
        return await super().load(slot) or Stored(TOKEN, "0")


class Changing(Rows):
    """Stores another token than it was given."""

    def __init__(self, table: Table, change: Callable[[Token], Token]) -> None:
        super().__init__(table)
        self.change = change

    def put(self, slot: Slot, token: Token) -> Saved:
        return super().put(slot, self.change(token))


def changing(change: Callable[[Token], Token]) -> Callable[[Table], Rows]:
    return lambda table: Changing(table, change)


def cut(token: Token) -> Token:
    access = token.access_token
    return replace(token, access_token=access and Secret(access.reveal()[:4096]))


class CaseBlind(Rows):
    def key(self, slot: Slot) -> Any:
        return replace(slot, account=slot.account.lower())


class HostBlind(Rows):
    def key(self, slot: Slot) -> Any:
        return replace(slot, issuer="")


class Small(Rows):
    def put(self, slot: Slot, token: Token) -> Saved:
        if len(self.table.rows) == 100:
            self.table.rows.pop(next(iter(self.table.rows)))
        return super().put(slot, token)


class Picky(Rows):
    async def drop(self, slot: Slot) -> None:
        del self.table.rows[slot]


class Remembering(Rows):
    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self.seen: dict[Slot, Stored] = {}

    async def load(self, slot: Slot) -> Stored | None:
        stored = self.seen.get(slot) or await super().load(slot)
        if stored is not None:
            self.seen[slot] = stored
        return stored


class Piecemeal(Rows):
    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded | NotSaved:
        there = self.there(slot)
        if there is not None and there.version == version:
            self.table.rows[slot] = replace(there, token=replace(token, access_token=there.token.access_token))
            await checkpoint()
        return await super().save(slot, token, version)


class OneVersion(Rows):
    def version(self, slot: Slot) -> str:
        return "1"


class NoVersion(Rows):
    def version(self, slot: Slot) -> str:
        return ""


class Overwriting(Rows):
    def is_there(self, slot: Slot, version: str) -> bool:
        return version == "" or super().is_there(slot, version)


class LastWins(Rows):
    def is_there(self, slot: Slot, version: str) -> bool:
        return self.there(slot) is not None or version == ""


class Reviving(Rows):
    def is_there(self, slot: Slot, version: str) -> bool:
        return self.there(slot) is None or super().is_there(slot, version)


class Silent(Rows):
    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded | NotSaved:
        outcome = await super().save(slot, token, version)
        return Superseded(None) if isinstance(outcome, Superseded) else outcome


class Counting(Rows):
    def version(self, slot: Slot) -> str:
        there = self.there(slot)
        return str(int(there.version) + 1) if there else "1"


class TwoSteps(Rows):
    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded | NotSaved:
        if not self.is_there(slot, version):
            return Superseded(self.there(slot))
        await checkpoint()
        return self.put(slot, token)


class Free(TwoSteps):
    @asynccontextmanager
    async def hold(self, slot: Slot) -> AsyncGenerator[object]:
        await checkpoint()
        yield True


class Tired(Rows):
    """Goes wrong at the fifth token only."""

    def put(self, slot: Slot, token: Token) -> Saved:
        saved = super().put(slot, token)
        if self.table.versions == 5:
            self.table.rows.clear()
        return saved


class Vague(Rows):
    @asynccontextmanager
    async def hold(self, slot: Slot) -> AsyncGenerator[object]:
        async with super().hold(slot):
            yield 0


class Reentrant(Rows):
    holders: dict[Any, int]

    @asynccontextmanager
    async def hold(self, slot: Slot) -> AsyncGenerator[object]:
        holders: dict[Any, int] = vars(self.table).setdefault("holders", {})
        me = anyio.get_current_task().id
        if holders.get(slot) == me:
            yield True
            return
        async with super().hold(slot):
            holders[slot] = me
            yield True
            holders.pop(slot, None)


class SavingWaits(Rows):
    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded | NotSaved:
        async with self.turn(slot):
            return await super().save(slot, token, version)


class LoadingWaits(Rows):
    async def load(self, slot: Slot) -> Stored | None:
        async with self.turn(slot):
            return await super().load(slot)


class OneTurn(Rows):
    def turn(self, slot: Slot) -> anyio.Semaphore:
        return super().turn(USER)


class Keeping(Rows):
    """Lets go where all went well, and after what is in `kinds`."""

    kinds: tuple[type[BaseException], ...] = ()

    @asynccontextmanager
    async def hold(self, slot: Slot) -> AsyncGenerator[object]:
        await self.turn(slot).acquire()
        try:
            yield True
        except BaseException as error:
            if isinstance(error, self.kinds):
                self.turn(slot).release()
            raise
        self.turn(slot).release()


class KeepingWhenCancelled(Keeping):
    kinds = (Exception,)


class Swallowing(Rows):
    @asynccontextmanager
    async def hold(self, slot: Slot) -> AsyncGenerator[object]:
        async with super().hold(slot):
            with suppress(Exception):
                yield True


class Stubborn(Rows):
    @asynccontextmanager
    async def hold(self, slot: Slot) -> AsyncGenerator[object]:
        with anyio.CancelScope(shield=True):
            await self.turn(slot).acquire()
        try:
            yield True
        finally:
            self.turn(slot).release()


class Unsafe(Rows):
    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded | NotSaved:
        if not self.is_there(slot, version):
            return Superseded(self.there(slot))
        self.table.rows.pop(slot, None)
        await checkpoint()
        return self.put(slot, token)


class Jammed(Rows):
    async def load(self, slot: Slot) -> Stored | None:
        turn = self.table.turns.setdefault("loading", anyio.Semaphore(1))
        await turn.acquire()
        stored = await super().load(slot)
        turn.release()
        return stored


class Open(Rows):
    """Keeps nobody out, and says so."""

    @asynccontextmanager
    async def hold(self, slot: Slot) -> AsyncGenerator[object]:
        await checkpoint()
        yield False


BROKEN: dict[str, list[Callable[[Table], Rows]]] = {
    "nothing_is_stored_at_first": [Haunted],
    "what_was_saved_is_loaded_whole": [changing(lambda token: replace(token, scope=None))],
    "every_shape_of_token_survives": [changing(lambda token: replace(token, scope=token.scope or None))],
    "ages_and_attempts_survive": [
        changing(lambda token: replace(token, attempt=None)),
        changing(lambda token: replace(token, granted_at=None)),
        changing(lambda token: replace(token, refresh_issued_at=None)),
    ],
    "long_tokens_survive": [changing(cut)],
    "kinds_and_accounts_are_kept_apart": [CaseBlind],
    "apps_and_hosts_are_kept_apart": [HostBlind],
    "hundreds_of_accounts_are_kept_apart": [Small],
    "dropping_forgets_and_dropping_nothing_is_fine": [Picky],
    "a_load_sees_what_others_have_done": [Remembering],
    "a_load_gives_a_whole_token_while_another_is_saved": [Piecemeal],
    "a_save_replaces_what_has_the_version_it_names": [OneVersion],
    "a_version_is_never_that_of_nothing": [NoVersion],
    "a_save_that_names_nothing_does_not_replace_something": [Overwriting],
    "a_save_with_a_version_of_before_does_not_replace_what_came_after": [LastWins],
    "a_save_over_what_was_dropped_brings_nothing_back": [Reviving],
    "a_save_that_another_process_overtook_is_told_so": [Silent],
    "a_version_does_not_come_back_for_another_token": [Counting],
    "of_holders_who_save_over_one_version_one_is_saved": [Free],
    "of_those_who_save_over_one_version_at_once_one_is_saved": [TwoSteps],
    "whatever_is_done_comes_out_as_in_a_dictionary": [Tired],
    "a_hold_says_false_or_keeps_others_out": [Vague],
    "one_at_a_time_holds_a_slot": [Free],
    "who_holds_a_slot_does_not_get_it_twice": [Reentrant],
    "who_holds_a_slot_can_use_it": [SavingWaits],
    "a_slot_that_is_held_can_be_read": [LoadingWaits],
    "holding_one_slot_does_not_hold_another": [OneTurn],
    "an_error_lets_go_of_a_slot": [Keeping, Swallowing],
    "a_cancellation_lets_go_of_a_slot": [KeepingWhenCancelled],
    "waiting_for_a_slot_can_be_cancelled": [Stubborn],
    "a_cancelled_save_leaves_the_token_before_or_the_one_after": [Unsafe],
    "a_cancelled_load_leaves_the_store_usable": [Jammed],
}
