"""Promises about versions: nobody replaces what he has not seen."""

from typing import Final

import anyio
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from interpreters.tokens.conformance.promise import (
    USER,
    Check,
    Keeper,
    Subject,
    expect,
    expect_stored,
    numbered,
    promise,
    saved,
)
from kickcore.oauth.tokens import Attempt, NotSaved, Outcome, Saved, Superseded, Token

RACERS: Final = 8
"""Who save at once."""

_FIRST, _SECOND, _THIRD = map(numbered, (1, 2, 3))


async def _expect_superseded(store: Keeper, token: Token, version: str, there: Token | None) -> None:
    """See that a save is refused, and that it tells what is there."""
    outcome = await store.save(USER, token, version)
    if not isinstance(outcome, Superseded):
        expect(False, f"a save that does not name what is stored was answered with {type(outcome).__name__}")  # noqa: FBT003
        return
    told = outcome.stored and outcome.stored.token
    expect(told == there, "`Superseded` tells of another token than is stored")
    expect(not outcome.stored or outcome.stored.version not in {"", version}, "`Superseded` tells of a wrong version")


@promise
async def a_save_replaces_what_has_the_version_it_names(subject: Subject) -> None:
    """And what is there has a new version then."""
    first = await saved(subject.store, USER, _FIRST)
    second = await saved(subject.store, USER, _SECOND, first)
    expect(second != first, "two tokens have one version")
    await expect_stored(subject.again(), USER, _SECOND, second)


@promise
async def a_version_is_never_that_of_nothing(subject: Subject) -> None:
    """ "" names what is not there."""
    expect(await saved(subject.store, USER, _FIRST) != "", 'a save gave the version ""')
    stored = await subject.again().load(USER)
    expect(stored is not None and stored.version != "", 'a load gave the version ""')


@promise
async def a_save_that_names_nothing_does_not_replace_something(subject: Subject) -> None:
    """It is told what is there instead."""
    version = await saved(subject.store, USER, _FIRST)
    await _expect_superseded(subject.store, _SECOND, "", _FIRST)
    await expect_stored(subject.again(), USER, _FIRST, version)


@promise
async def a_save_with_a_version_of_before_does_not_replace_what_came_after(subject: Subject) -> None:
    """However often it is tried."""
    first = await saved(subject.store, USER, _FIRST)
    second = await saved(subject.store, USER, _SECOND, first)
    for _ in range(2):
        await _expect_superseded(subject.store, _THIRD, first, _SECOND)
    await expect_stored(subject.again(), USER, _SECOND, second)


@promise
async def a_save_over_what_was_dropped_brings_nothing_back(subject: Subject) -> None:
    """Somebody has logged out meanwhile, and stays logged out."""
    version = await saved(subject.store, USER, _FIRST)
    await subject.again().drop(USER)
    await _expect_superseded(subject.store, _SECOND, version, None)
    await expect_stored(subject.again(), USER, None)


@promise
async def a_save_that_another_process_overtook_is_told_so(subject: Subject) -> None:
    """With what is there now, and what it can be replaced by."""
    version = await saved(subject.store, USER, _FIRST)
    theirs = subject.again()
    await expect_stored(theirs, USER, _FIRST, version)
    their_version = await saved(theirs, USER, _SECOND, version)
    outcome = await subject.store.save(USER, _THIRD, version)
    expect(
        isinstance(outcome, Superseded) and outcome.stored is not None and outcome.stored.version == their_version,
        "a save that came too late is not told the version that came before it",
    )
    _ = await saved(subject.store, USER, _THIRD, their_version)
    await expect_stored(subject.again(), USER, _THIRD)


@promise
async def a_version_does_not_come_back_for_another_token(subject: Subject) -> None:
    """Not after a drop either: who has loaded the one before must not replace the one after."""
    seen: dict[str, Token] = {}
    version = ""
    for number in range(6):
        if number % 2:
            await subject.store.drop(USER)
            version = ""
        for outcome in (None, *Outcome):
            token = replace(numbered(number), attempt=outcome and Attempt(5.0, outcome))
            version = await saved(subject.store, USER, token, version)
            expect(seen.setdefault(version, token) == token, "a version came back for another token")


@promise
async def of_holders_who_save_over_one_version_one_is_saved(subject: Subject) -> None:
    """Each holds the slot while he saves. The others are told what he has saved."""
    await _race(subject, is_held=True)


@promise
async def of_those_who_save_over_one_version_at_once_one_is_saved(subject: Subject) -> None:
    """Nobody holds the slot: to compare and to set is one step. The others are told what he has saved."""
    await _race(subject, is_held=False)


async def _race(subject: Subject, *, is_held: bool) -> None:
    version = ""
    for lap in range(2):
        outcomes: dict[int, Saved | Superseded | NotSaved] = {}

        async def save(number: int) -> None:
            store = subject.again()
            await checkpoint()
            if is_held:
                async with store.hold(USER):
                    outcomes[number] = await store.save(USER, numbered(number), version)  # noqa: B023 - in this lap
            else:
                outcomes[number] = await store.save(USER, numbered(number), version)  # noqa: B023

        racers = range(lap * RACERS, (lap + 1) * RACERS)
        async with anyio.create_task_group() as tasks:
            for number in racers:
                tasks.start_soon(save, number)
        winners = {number: told.version for number, told in outcomes.items() if isinstance(told, Saved)}
        expect(len(winners) == 1, f"of {RACERS} saves over one version, {len(winners)} were saved")
        ((winner, version),) = winners.items()
        for told in outcomes.values():
            expect(
                isinstance(told, Saved) or (isinstance(told, Superseded) and _tells(told, winner)),
                "a save that came too late is not told what came before it",
            )
        await expect_stored(subject.again(), USER, numbered(winner), version)


def _tells(told: Superseded, winner: int) -> bool:
    return told.stored is not None and told.stored.token == numbered(winner)


VERSIONS: Final[tuple[Check, ...]] = (
    a_save_replaces_what_has_the_version_it_names,
    a_version_is_never_that_of_nothing,
    a_save_that_names_nothing_does_not_replace_something,
    a_save_with_a_version_of_before_does_not_replace_what_came_after,
    a_save_over_what_was_dropped_brings_nothing_back,
    a_save_that_another_process_overtook_is_told_so,
    a_version_does_not_come_back_for_another_token,
    of_holders_who_save_over_one_version_one_is_saved,
    of_those_who_save_over_one_version_at_once_one_is_saved,
)
