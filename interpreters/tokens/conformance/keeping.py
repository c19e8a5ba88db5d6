"""Promises about keeping tokens: all of them, whole, and apart."""

from contextlib import suppress
from typing import Final

import anyio
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from interpreters.tokens.conformance.promise import (
    APP,
    ISSUER,
    LIFE,
    SOON,
    USER,
    Check,
    Subject,
    account,
    expect,
    expect_stored,
    numbered,
    promise,
    saved,
)
from kickcore.errors import StoreError
from kickcore.oauth.tokens import Attempt, Outcome, Slot, Token, TokenKind
from kickcore.secret import Secret

MANY: Final = 200
"""Accounts of one app."""
LONGEST: Final = 8192
"""Characters of the longest token that kickcore takes; there are two of them."""

_NAMES: Final = ("alice", "Alice", "alice.lock", "al/ice", "al\\ice", "..", "app", "user", "Ünal", "名" * 64)
_SLOTS: Final = (USER, APP, *map(account, _NAMES))
"""Names that a file system, a URL or a careless key would take for one another."""

_FULL: Final = Token(
    Secret("access"), SOON + 0.5, SOON - LIFE, Secret("refresh"), ("user:read", "chat:write"), SOON - 9000, SOON - LIFE
)
_SHAPES: Final = {
    "a refresh token alone": Token(None, 5.0, 5.0, Secret("refresh")),
    "an app token": Token(Secret("access"), SOON + 0.25, 0.0),
    "no scope granted": Token(Secret("access"), SOON, 7.0, Secret("refresh"), ()),
    "no known scope": Token(Secret("access"), SOON, 7.0, Secret("refresh")),
    "a token at its end": Token(Secret("access"), 10.0, 7.0, Secret("refresh"), ("user:read",)),
    "every printable character": Token(Secret("".join(map(chr, range(0x21, 0x7F)))), SOON, 7.0),
}


@promise
async def nothing_is_stored_at_first(subject: Subject) -> None:
    """A store begins empty."""
    for slot in (USER, APP):
        await expect_stored(subject.store, slot, None)


@promise
async def what_was_saved_is_loaded_whole(subject: Subject) -> None:
    """With every member, and by every other process, too."""
    version = await saved(subject.store, USER, _FULL)
    await expect_stored(subject.store, USER, _FULL, version)
    await expect_stored(subject.again(), USER, _FULL, version)


@promise
async def every_shape_of_token_survives(subject: Subject) -> None:
    """Members that are not there are not there afterwards; "no scope" is not "no known scope"."""
    for name, token in _SHAPES.items():
        slot = account(name)
        _ = await saved(subject.store, slot, token)
        await expect_stored(subject.again(), slot, token)


@promise
async def ages_and_attempts_survive(subject: Subject) -> None:
    """When the grant and the refresh token came, and what came of the last attempt to renew."""
    version = ""
    for outcome in Outcome:
        token = replace(_FULL, attempt=Attempt(SOON - 60.25, outcome))
        version = await saved(subject.store, USER, token, version)
        await expect_stored(subject.again(), USER, token)


@promise
async def long_tokens_survive(subject: Subject) -> None:
    """16 kB: two tokens of 8192 characters each."""
    token = replace(_FULL, access_token=Secret("!~" * (LONGEST // 2)), refresh_token=Secret("-" * LONGEST))
    version = await saved(subject.store, USER, token)
    await expect_stored(subject.again(), USER, token, version)


@promise
async def kinds_and_accounts_are_kept_apart(subject: Subject) -> None:
    """Whatever their names look like."""
    for number, slot in enumerate(_SLOTS):
        await expect_stored(subject.store, slot, None)
        _ = await saved(subject.store, slot, numbered(number))
    await subject.store.drop(_SLOTS[0])
    await expect_stored(subject.again(), _SLOTS[0], None)
    for number, slot in enumerate(_SLOTS[1:], start=1):
        await expect_stored(subject.again(), slot, numbered(number))


@promise
async def apps_and_hosts_are_kept_apart(subject: Subject) -> None:
    """The token of another app or host is neither given nor dropped. A store for one app alone raises `StoreError`."""
    version = await saved(subject.store, USER, numbered(1))
    others = (Slot("http://127.0.0.1:8000", USER.client_id, USER.kind), Slot(ISSUER, "another", TokenKind.USER))
    for other in others:
        with suppress(StoreError):
            await expect_stored(subject.again(), other, None)
        with suppress(StoreError):
            await subject.again().drop(other)
        await expect_stored(subject.again(), USER, numbered(1), version)


@promise
async def hundreds_of_accounts_are_kept_apart(subject: Subject) -> None:
    """As many as a bot may have, saved side by side."""

    async def keep(number: int) -> None:
        _ = await saved(subject.store, account(f"user-{number}"), numbered(number))

    async with anyio.create_task_group() as tasks:
        for number in range(MANY):
            tasks.start_soon(keep, number)
    other = subject.again()
    for number in range(MANY):
        await expect_stored(other, account(f"user-{number}"), numbered(number))


@promise
async def dropping_forgets_and_dropping_nothing_is_fine(subject: Subject) -> None:
    """And what was dropped can be saved anew."""
    _ = await saved(subject.store, USER, numbered(1))
    await subject.store.drop(USER)
    await expect_stored(subject.store, USER, None)
    await expect_stored(subject.again(), USER, None)
    await subject.store.drop(USER)
    _ = await saved(subject.again(), USER, numbered(2))
    await expect_stored(subject.again(), USER, numbered(2))


@promise
async def a_load_sees_what_others_have_done(subject: Subject) -> None:
    """A store remembers nothing by itself: what others saved and dropped is seen by the next load."""
    await expect_stored(subject.store, USER, None)
    version = await saved(subject.again(), USER, numbered(1))
    await expect_stored(subject.store, USER, numbered(1), version)
    version = await saved(subject.again(), USER, numbered(2), version)
    await expect_stored(subject.store, USER, numbered(2), version)
    await subject.again().drop(USER)
    await expect_stored(subject.store, USER, None)


@promise
async def a_load_gives_a_whole_token_while_another_is_saved(subject: Subject) -> None:
    """The one before or the one after, and never a part of either."""
    letters = [Secret(letter * LONGEST) for letter in "abcdefgh"]
    tokens = [replace(_FULL, access_token=letter, refresh_token=letter) for letter in letters]
    is_done = False

    async def save() -> None:
        nonlocal is_done
        version = ""
        for token in tokens:
            version = await saved(subject.store, USER, token, version)
            await checkpoint()
        is_done = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(save)
        while not is_done:
            stored = await subject.again().load(USER)
            expect(stored is None or stored.token in tokens, "a load gave a token that nobody has saved")
            await checkpoint()


KEEPING: Final[tuple[Check, ...]] = (
    nothing_is_stored_at_first,
    what_was_saved_is_loaded_whole,
    every_shape_of_token_survives,
    ages_and_attempts_survive,
    long_tokens_survive,
    kinds_and_accounts_are_kept_apart,
    apps_and_hosts_are_kept_apart,
    hundreds_of_accounts_are_kept_apart,
    dropping_forgets_and_dropping_nothing_is_fine,
    a_load_sees_what_others_have_done,
    a_load_gives_a_whole_token_while_another_is_saved,
)
