"""What several holders do to a few slots: written down, drawn by chance, and compared with a dictionary."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import anyio
from anyio import from_thread, to_thread
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import Struct

from interpreters.tokens.conformance.promise import (
    BrokenPromise,
    Check,
    Keeper,
    Subject,
    account,
    expect,
    numbered,
    promise,
)
from kickcore.oauth.tokens import Saved, Slot, Stored, Superseded, Token

HOLDERS: Final = 3
"""Who share the tokens of a script. Each has a store of his own, and remembers the version that he saw last."""
EXAMPLES: Final = 25
"""Scripts that are tried."""


class Load(Struct, frozen=True, tag="load"):
    """A holder looks at a slot, and remembers its version."""

    holder: int
    slot: int


class Save(Struct, frozen=True, tag="save"):
    """A holder saves a token over the version that he remembers, and remembers what he is told of it."""

    holder: int
    slot: int
    token: Token


class Drop(Struct, frozen=True, tag="drop"):
    """A holder drops the token of a slot. He goes on to remember the version that it had."""

    holder: int
    slot: int


Operation: TypeAlias = Load | Save | Drop
"""One thing that a holder does. Slots are counted from 0."""

Script: TypeAlias = tuple[Operation, ...]
"""What is done, in order."""


def scripts(tokens: SearchStrategy[Token] | None = None, longest: int = 12, slots: int = 2) -> SearchStrategy[Script]:
    """Scripts of at most `longest` operations on so many slots, with these tokens (four of them if not given)."""
    holder, slot = st.integers(0, HOLDERS - 1), st.integers(0, slots - 1)
    saved = st.integers(1, 4).map(numbered) if tokens is None else tokens
    operation = st.builds(Save, holder, slot, saved) | st.builds(Load, holder, slot) | st.builds(Drop, holder, slot)
    return st.lists(operation, max_size=longest).map(tuple)


class _Model:
    """What a store should be: a dictionary. And the versions that were seen, each of which is for one token."""

    def __init__(self) -> None:
        self.there: dict[int, Stored] = {}
        self.seen: dict[tuple[int, str], Token] = {}
        self.known: dict[tuple[int, int], str] = {}

    def save(self, asked: Save, told: object) -> None:
        there = self.there.get(asked.slot)
        version = self.known.get((asked.holder, asked.slot), "")
        if (there.version if there else "") != version:
            expect(told == Superseded(there), f"{asked} over another version: told {told}, and {there} was there")
            self.know(asked, there)
            return
        if not isinstance(told, Saved):
            raise BrokenPromise(f"{asked} over what was there was answered with {told}")
        expect(told.version != "", f"{asked} was given the version of nothing")
        is_own = self.seen.setdefault((asked.slot, told.version), asked.token) == asked.token
        expect(is_own, f"{asked} was given the version of another token")
        self.there[asked.slot] = Stored(asked.token, told.version)
        self.know(asked, self.there[asked.slot])

    def load(self, asked: Load, told: Stored | None) -> None:
        there = self.there.get(asked.slot)
        expect(told == there, f"{asked} gave {told}, and {there} was there")
        self.know(asked, there)

    def know(self, asked: Operation, stored: Stored | None) -> None:
        self.known[asked.holder, asked.slot] = stored.version if stored else ""


async def follow(script: Script, stores: Sequence[Keeper], slots: Sequence[Slot]) -> None:
    """Carry out a script, `stores` being those of the holders, and compare each answer with that of a dictionary.

    Raises `BrokenPromise` at the first that differs. `slots` must be empty at first.
    """
    model = _Model()
    for asked in script:
        store, slot = stores[asked.holder % len(stores)], slots[asked.slot]
        match asked:
            case Load():
                model.load(asked, await store.load(slot))
            case Save(holder, number, token):
                model.save(asked, await store.save(slot, token, model.known.get((holder, number), "")))
            case Drop():
                await store.drop(slot)
                _ = model.there.pop(asked.slot, None)
    for number, slot in enumerate(slots):
        model.load(Load(0, number), await stores[0].load(slot))


@promise
async def whatever_is_done_comes_out_as_in_a_dictionary(subject: Subject) -> None:
    """Scripts for three holders of two slots are drawn by chance, the same ones each time; a short one is shown."""
    stores = [subject.store, *(subject.again() for _ in range(HOLDERS - 1))]
    tried = 0
    hung: list[BrokenPromise] = []

    async def attempt(script: Script) -> None:
        nonlocal tried
        tried += 1
        with anyio.move_on_after(subject.patience / 2) as limit:
            await follow(script, stores, [account(f"{tried}-a"), account(f"{tried}-b")])
        if limit.cancelled_caught:
            hung.append(BrokenPromise("a store does not answer"))

    # Hypothesis knows no event loop: it draws in a thread, and each script is carried out here.
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.nested_given),
    )
    @given(scripts())
    def try_all(script: Script) -> None:
        if not hung:
            from_thread.run(attempt, script)
        if hung:
            raise hung[0]

    await to_thread.run_sync(try_all)


SCRIPTS: Final[tuple[Check, ...]] = (whatever_is_done_comes_out_as_in_a_dictionary,)
