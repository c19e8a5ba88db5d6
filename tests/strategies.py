"""Hypothesis strategies for the values of kickcore: tokens, slots, needs, answers of the world."""

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from kickcore.effects import (
    Consent,
    DropToken,
    Entropy,
    HoldBack,
    Leaf,
    LoadApp,
    LoadPace,
    LoadToken,
    Notify,
    Now,
    PayRetry,
    SaveToken,
    Send,
    Sleep,
)
from kickcore.http import Response, Sent, Unreachable
from kickcore.oauth.callback import Callback, Denied, ForeignIssuer, Granted
from kickcore.oauth.scopes import Needs, Scope
from kickcore.oauth.tokens import (
    LONGEST_LIFE,
    App,
    NotSaved,
    Saved,
    Slot,
    Stored,
    Superseded,
    Token,
    TokenKind,
)
from kickcore.policy import Pace
from kickcore.secret import Secret

PAYLOADS = Path(__file__).parent / "payloads"
NOW = 1_800_000_000.0
"""The middle of the times that are drawn."""

bearer_texts = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60)
"""Texts that can be sent as a bearer token."""

few_secrets = st.sampled_from(["A", "B", "C"]).map(Secret)
"""So few that two of them are often equal."""

instants = st.floats(NOW - 100_000, NOW + 100_000, allow_nan=False)

scope_texts = st.sampled_from([str(scope) for scope in Scope]) | st.from_regex(
    r"[a-z]{1,8}:[a-z_]{1,8}", fullmatch=True
)

scope_tuples = st.lists(scope_texts, max_size=5, unique=True).map(tuple)

slots: st.SearchStrategy[Slot] = st.builds(
    Slot,
    st.sampled_from(["https://id.kick.com", "http://127.0.0.1:8080"]),
    bearer_texts,
    st.sampled_from(TokenKind),
    st.sampled_from(["", "anna", "Ünal"]),
)

needs: st.SearchStrategy[Needs] = st.lists(
    st.frozensets(st.sampled_from(Scope), min_size=1, max_size=3), max_size=3
).map(tuple)


_lives = st.floats(0, LONGEST_LIFE / 100)


@st.composite
def tokens(
    draw: st.DrawFn,
    secrets: st.SearchStrategy[Secret] = few_secrets,
    issued_at: st.SearchStrategy[float] = instants,
    lives: st.SearchStrategy[float] = _lives,
) -> Token:
    """A token with at least one of access and refresh token."""
    start = draw(issued_at)
    access, refresh = draw(st.none() | secrets), draw(st.none() | secrets)
    if access is None and refresh is None:
        access = draw(secrets)
    return Token(access, start + draw(lives), start, refresh, draw(st.none() | scope_tuples))


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
"""What may stand in a JSON text, and what Python's parser takes beside it (NaN, Infinity)."""

statuses = st.integers(100, 599) | st.sampled_from([200, 200, 200, 204, 400, 401, 403, 404, 429, 500, 503])

_bodies = st.binary(max_size=60) | st.sampled_from(
    [path.read_bytes() for folder in ("responses", "errors") for path in sorted((PAYLOADS / folder).glob("*.json"))]
)


def _asking_to_wait(value: str) -> tuple[tuple[str, str], ...]:
    return (("retry-after", value),)


responses: st.SearchStrategy[Response] = st.builds(
    Response,
    statuses,
    st.just(()) | st.sampled_from(["7", "soon", "3600", "Thu, 14 Jan 2027 16:08:16 GMT"]).map(_asking_to_wait),
    _bodies,
)

unreachables: st.SearchStrategy[Unreachable] = st.builds(
    Unreachable, st.sampled_from(["the wire is dead", ""]), st.sampled_from(Sent)
)

callbacks: st.SearchStrategy[Callback] = st.one_of(
    st.builds(Granted, bearer_texts.map(Secret)),
    st.builds(Denied, st.text(max_size=20), st.text(max_size=20)),
    st.builds(ForeignIssuer, st.text(max_size=20)),
)

paces: st.SearchStrategy[Pace] = st.builds(Pace, st.sampled_from([0.0, NOW - 200_000, NOW + 200_000]), st.booleans())
"""A group is free, or is to wait for longer than anybody waits: else a world could let a program wait for ever."""

stored: st.SearchStrategy[Stored] = st.builds(Stored, tokens(), st.sampled_from(["1", "2"]))


def answers_to(effect: Leaf, app: App) -> st.SearchStrategy[Any]:  # noqa: C901 - one case for each effect
    """Whatever the world may answer to an effect, judged by its type alone."""
    match effect:
        case Now():
            return instants
        case Entropy(size):
            return st.binary(min_size=size, max_size=size)
        case Send():
            return responses | unreachables
        case LoadApp():
            return st.just(app)
        case LoadToken():
            return st.none() | stored
        case SaveToken():
            return (
                st.builds(Saved, st.just("3")) | st.builds(Superseded, st.none() | stored) | st.just(NotSaved("full"))
            )
        case Consent():
            return callbacks
        case LoadPace():
            return paces
        case PayRetry():
            return st.booleans()
        case Sleep() | DropToken() | HoldBack() | Notify():
            return st.none()
