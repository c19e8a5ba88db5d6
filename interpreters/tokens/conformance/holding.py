"""Promises about holding a slot, and about what a cancellation leaves behind."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint

from interpreters.tokens.conformance.promise import (
    MOMENT,
    USER,
    Check,
    Keeper,
    Subject,
    account,
    expect,
    expect_stored,
    numbered,
    promise,
    saved,
)
from kickcore.oauth.tokens import Slot

POINTS: Final = 6
"""Places at which a save or a load is cancelled: before its first wait, its second and so on."""


class _Lost(Exception):
    """What goes wrong while a slot is held."""


@promise
async def a_hold_says_false_or_keeps_others_out(subject: Subject) -> None:
    """What it gives is False where others cannot be kept out, and None or something true where they are."""
    async with subject.store.hold(USER) as held:
        expect(
            held is False or held is None or bool(held),
            f"a hold gave {type(held).__name__} that is neither False nor true",
        )


@promise
async def one_at_a_time_holds_a_slot(subject: Subject) -> None:
    """However many stores there are. Where a hold gives False, nothing is promised."""
    holders = most = 0

    async def hold(store: Keeper) -> None:
        nonlocal holders, most
        for _ in range(3):
            async with store.hold(USER) as held:
                if held is not False:
                    holders += 1
                    most = max(most, holders)
                    for _ in range(3):
                        await checkpoint()
                    holders -= 1

    async with anyio.create_task_group() as tasks:
        for store in (subject.store, subject.store, subject.again(), subject.again()):
            tasks.start_soon(hold, store)
    expect(most <= 1, f"{most} held one slot at once")


async def _holds_now(store: Keeper, slot: Slot) -> bool:
    """Whether a slot can be held within a moment; where a hold gives False, no."""
    with anyio.move_on_after(MOMENT):
        async with store.hold(slot) as held:
            return held is not False
    return False


@promise
async def who_holds_a_slot_does_not_get_it_twice(subject: Subject) -> None:
    """A task that holds a slot waits for it like any other, or is refused, by whatever store it asks."""
    async with subject.store.hold(USER):
        for store in (subject.store, subject.again()):
            has_got_it = False
            with suppress(RuntimeError):
                has_got_it = await _holds_now(store, USER)
            expect(not has_got_it, "a slot was held twice by one task")


@promise
async def who_holds_a_slot_can_use_it(subject: Subject) -> None:
    """Load, save and drop do not wait for the hold in which they are called."""
    async with subject.store.hold(USER):
        version = await saved(subject.store, USER, numbered(1))
        await expect_stored(subject.store, USER, numbered(1), version)
        await subject.store.drop(USER)
        _ = await saved(subject.store, USER, numbered(2))
    await expect_stored(subject.again(), USER, numbered(2))


@promise
async def a_slot_that_is_held_can_be_read(subject: Subject) -> None:
    """A token goes on being used while somebody renews it."""
    version = await saved(subject.store, USER, numbered(1))
    async with subject.store.hold(USER):
        await expect_stored(subject.again(), USER, numbered(1), version)


@promise
async def holding_one_slot_does_not_hold_another(subject: Subject) -> None:
    """Accounts do not wait for each other."""
    async with (
        subject.store.hold(USER),
        subject.again().hold(account("alice")),
        subject.again().hold(account("bob")),
        subject.store.hold(account("carol")),
    ):
        _ = await saved(subject.store, USER, numbered(1))


async def _expect_free(subject: Subject, after: str) -> None:
    for store in (subject.store, subject.again()):
        with anyio.move_on_after(subject.patience / 2) as waiting:
            async with store.hold(USER):
                pass
        expect(not waiting.cancelled_caught, f"a slot is still held after {after}")


@promise
async def an_error_lets_go_of_a_slot(subject: Subject) -> None:
    """And passes by."""
    has_passed = False
    try:
        async with subject.store.hold(USER):
            raise _Lost
    except _Lost:
        has_passed = True
    expect(has_passed, "an error within a hold was swallowed")
    await _expect_free(subject, "an error")


@promise
async def a_cancellation_lets_go_of_a_slot(subject: Subject) -> None:
    """However the task that holds it ends."""
    with anyio.CancelScope() as scope:
        async with subject.store.hold(USER):
            scope.cancel()
            await anyio.sleep_forever()
    await _expect_free(subject, "a cancellation")


@promise
async def waiting_for_a_slot_can_be_cancelled(subject: Subject) -> None:
    """Whoever waits can stop waiting, and is not in the way then."""
    waited = anyio.Event()
    has_got_it = False

    async def wait() -> None:
        nonlocal has_got_it
        has_got_it = await _holds_now(subject.again(), USER)
        waited.set()

    async with anyio.create_task_group() as tasks, subject.store.hold(USER):
        tasks.start_soon(wait)
        with anyio.move_on_after(subject.patience / 4):
            await waited.wait()
        expect(waited.is_set(), "somebody who waits to hold a slot cannot be cancelled")
    expect(not has_got_it, "two held one slot at once")
    await _expect_free(subject, "somebody stopped waiting for it")


@promise
async def a_cancelled_save_leaves_the_token_before_or_the_one_after(subject: Subject) -> None:
    """Wherever it is cancelled, and the store can be used as before."""
    for point in range(POINTS):
        slot, before, after = account(f"save-{point}"), numbered(1), numbered(2)
        version = await saved(subject.store, slot, before)
        await _cancelled(partial(subject.store.save, slot, after, version), point)
        await _expect_usable(subject, slot)


@promise
async def a_cancelled_load_leaves_the_store_usable(subject: Subject) -> None:
    """Wherever it is cancelled."""
    for point in range(POINTS):
        slot = account(f"load-{point}")
        _ = await saved(subject.store, slot, numbered(1))
        await _cancelled(partial(subject.store.load, slot), point)
        await _expect_usable(subject, slot)


async def _cancelled(call: Callable[[], Coroutine[Any, Any, object]], point: int) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        for _ in range(point):
            await checkpoint()
        tasks.cancel_scope.cancel()


async def _expect_usable(subject: Subject, slot: Slot) -> None:
    for store in (subject.again(), subject.store):
        stored = await store.load(slot)
        is_whole = stored is not None and stored.token in {numbered(1), numbered(2)}
        expect(is_whole, "after a cancellation there is neither the token before nor the one after")
    mine = await subject.store.load(slot)
    _ = await saved(subject.store, slot, numbered(3), mine.version if mine else "")
    await expect_stored(subject.again(), slot, numbered(3))


HOLDING: Final[tuple[Check, ...]] = (
    a_hold_says_false_or_keeps_others_out,
    one_at_a_time_holds_a_slot,
    who_holds_a_slot_does_not_get_it_twice,
    who_holds_a_slot_can_use_it,
    a_slot_that_is_held_can_be_read,
    holding_one_slot_does_not_hold_another,
    an_error_lets_go_of_a_slot,
    a_cancellation_lets_go_of_a_slot,
    waiting_for_a_slot_can_be_cancelled,
    a_cancelled_save_leaves_the_token_before_or_the_one_after,
    a_cancelled_load_leaves_the_store_usable,
)
