"""Strategies for what is stored. For what is done to it see `scripts`, which come with the checks for stores."""

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from kickcore.oauth.tokens import Outcome, Slot, Stored, Token
from kickcore.testing.once import built_once
from kickcore.testing.tokens import tokens
from kickcore.testing.values import NOW, attempts, slots


@built_once
def stored(held: SearchStrategy[Token] | None = None) -> SearchStrategy[Stored]:
    """A token as it lies in a store, with one of two versions.

    It is one of `held`, or else any but one that somebody is just about to renew: a world that never moves on would let
    a program wait for him for ever.
    """
    known = attempts().filter(lambda attempt: attempt.outcome is not Outcome.UNKNOWN)
    drawn = tokens(tried=st.none() | known) if held is None else held
    return st.builds(Stored, drawn, st.sampled_from(["1", "2"]))


@built_once
def contents(now: float = NOW, longest: int = 5) -> SearchStrategy[dict[Slot, Token]]:
    """What a store may hold: up to `longest` slots, each with a token in any phase at `now` (epoch seconds)."""
    return st.dictionaries(slots(), tokens(now=now), max_size=longest)
