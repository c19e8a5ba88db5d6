"""Strategies for the small values of kickcore: secrets, times, scopes, slots, apps."""

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from kickcore.oauth.scopes import Needs, Scope
from kickcore.oauth.tokens import PAUSE, App, Attempt, Outcome, Slot, TokenKind
from kickcore.secret import Secret
from kickcore.testing.once import built_once

NOW: Final = 1_800_000_000.0
"""Epoch seconds: the middle of the times that are drawn."""


@built_once
def bearer_texts() -> SearchStrategy[str]:
    """Texts of 1 to 60 characters that can be sent as a bearer token."""
    return st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60)


@built_once
def bearer_secrets() -> SearchStrategy[Secret]:
    """Secrets of such texts."""
    return bearer_texts().map(Secret)


@built_once
def few_secrets() -> SearchStrategy[Secret]:
    """Three secrets, so that two of them are often equal."""
    return st.sampled_from(["A", "B", "C"]).map(Secret)


@built_once
def instants(around: float = NOW, within: float = 100_000.0) -> SearchStrategy[float]:
    """Epoch seconds, at most `within` seconds away from `around`."""
    return st.floats(around - within, around + within, allow_nan=False)


@built_once
def scope_texts() -> SearchStrategy[str]:
    """The scopes of Kick, and some that it does not have yet."""
    return st.sampled_from([str(scope) for scope in Scope]) | st.from_regex(r"[a-z]{1,8}:[a-z_]{1,8}", fullmatch=True)


@built_once
def scope_tuples() -> SearchStrategy[tuple[str, ...]]:
    """What a user may have granted: up to five scopes, each once."""
    return st.lists(scope_texts(), max_size=5, unique=True).map(tuple)


@built_once
def needs() -> SearchStrategy[Needs]:
    """What a call may need: up to three groups of scopes, of each any one."""
    return st.lists(st.frozensets(st.sampled_from(Scope), min_size=1, max_size=3), max_size=3).map(tuple)


@built_once
def slots() -> SearchStrategy[Slot]:
    """Names of tokens: of two hosts, of any app, of both kinds, of three accounts."""
    return st.builds(
        Slot,
        st.sampled_from(["https://id.kick.com", "http://127.0.0.1:8080"]),
        bearer_texts(),
        st.sampled_from(TokenKind),
        st.sampled_from(["", "anna", "Ünal"]),
    )


@built_once
def apps() -> SearchStrategy[App]:
    """Apps as they are registered with Kick, for three accounts."""
    return st.builds(App, bearer_texts(), bearer_secrets(), account=st.sampled_from(["", "anna", "Ünal"]))


@built_once
def attempts(now: float = NOW) -> SearchStrategy[Attempt]:
    """Attempts to renew a token, whatever came of them: a moment before `now` (epoch seconds), long ago, or later."""
    at = st.floats(now - PAUSE, now) | st.sampled_from([now, now - PAUSE, now - 86400.0, now + 3600.0])
    return st.builds(Attempt, at, st.sampled_from(Outcome))


@built_once
def json_values() -> SearchStrategy[Any]:
    """What may stand in a JSON text, and what Python's parser takes beside it (NaN, Infinity)."""
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )
