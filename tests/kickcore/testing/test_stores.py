"""What is stored, and what is done to it, as it is drawn."""

from typing import get_args

import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from interpreters.tokens.memory import MemoryStore
from kickcore.oauth.tokens import Outcome, Slot, Stored, Token, TokenKind
from kickcore.secret import Secret
from kickcore.testing import Load, Operation, Phase, Save, Script, contents, follow, is_in, scripts, stored, tokens

from .reach import FIRST, SOME

TOKEN = Token(Secret("A"), 2.0, 1.0)


@SOME
@given(stored())
def test_nobody_is_just_about_to_renew_what_is_stored(drawn: Stored) -> None:
    assert drawn.version
    assert drawn.token.attempt is None or drawn.token.attempt.outcome is not Outcome.UNKNOWN


def test_the_tokens_that_are_stored_are_those_given() -> None:
    assert find(stored(st.just(TOKEN)), lambda _: True, settings=FIRST).token == TOKEN


@SOME
@given(contents(now=5e8, longest=2))
def test_a_store_holds_as_much_as_was_asked_for(held: dict[Slot, Token]) -> None:
    assert len(held) <= 2


@pytest.mark.parametrize("kind", TokenKind)
@pytest.mark.parametrize("phase", [Phase.DUE, Phase.SALVAGED])
def test_a_store_holds_tokens_of_every_kind_in_every_phase(kind: TokenKind, phase: Phase) -> None:
    def has(held: dict[Slot, Token]) -> bool:
        return any(slot.kind is kind and is_in(phase, token, 5e8) for slot, token in held.items())

    assert find(contents(now=5e8), has, settings=FIRST)


@pytest.mark.parametrize("kind", get_args(Operation))
@pytest.mark.parametrize("holder", range(3))
def test_every_holder_does_everything(kind: type[Operation], holder: int) -> None:
    def does(script: Script) -> bool:
        return {asked.slot for asked in script if isinstance(asked, kind) and asked.holder == holder} == {0, 1}

    assert find(scripts(), does, settings=FIRST)


def test_a_script_saves_the_tokens_that_were_given() -> None:
    def saves(script: Script) -> bool:
        return any(isinstance(asked, Save) and asked.token == TOKEN for asked in script)

    assert find(scripts(st.just(TOKEN), longest=2, slots=1), saves, settings=FIRST)


@SOME
@given(scripts(tokens(Phase.FRESH), longest=4))
def test_a_script_is_as_long_as_was_asked_for(script: Script) -> None:
    assert len(script) <= 4


@SOME
@given(script=scripts())
async def test_memory_comes_out_as_a_dictionary(script: Script) -> None:
    store = MemoryStore()
    slots = [Slot("https://id.kick.com", "CID", TokenKind.USER, name) for name in ("a", "b")]
    await follow(script, [store], slots)
    await follow((Load(0, 0),), [MemoryStore()], slots)
