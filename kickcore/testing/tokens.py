"""Strategies for tokens, wherever they are in their lives."""

from enum import StrEnum

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import Struct
from msgspec.structs import replace

from kickcore.oauth.tokens import CLOCK_SLACK, LONGEST_LIFE, RENEW_BY, RENEW_FROM, Attempt, Outcome, Token
from kickcore.secret import Secret
from kickcore.testing.once import built_once
from kickcore.testing.values import NOW, attempts, few_secrets, scope_tuples


class Phase(StrEnum):
    """Where in its life a token is."""

    FRESH = "fresh"
    """Alive, and not to be renewed yet."""
    DUE = "due"
    """Alive, and to be renewed ahead; calls use it meanwhile."""
    OVERDUE = "overdue"
    """Alive for a moment more; calls wait for the new one."""
    EXPIRED = "expired"
    """At its end or past it."""
    SALVAGED = "salvaged"
    """Without an access token: only the refresh token could be saved from an answer."""
    ENDED = "ended"
    """Kick has said that it no longer takes the refresh token; the access token may be alive."""
    FUTURE = "future"
    """Issued later than the clock says."""
    ODD = "odd"
    """With a life that makes no sense: none at all, one that ends before it begins, one of years, or nobody knows."""


@built_once
def tokens(
    *phases: Phase,
    now: float = NOW,
    secrets: SearchStrategy[Secret] | None = None,
    tried: SearchStrategy[Attempt | None] | None = None,
) -> SearchStrategy[Token]:
    """Tokens that are in one of these phases at `now` (epoch seconds), or in any phase if none is named.

    Each has an access token, a refresh token or both, drawn from `secrets` (`few_secrets()` if not given). `tried` are
    the attempts to renew it (none, or one of `attempts(now)`), but for those that ended it: these make the phase
    `ENDED`, and no other.
    """
    secrets = few_secrets() if secrets is None else secrets
    drafts = st.builds(
        _Draft,
        phase=st.sampled_from(phases or tuple(Phase)),
        life=st.sampled_from([7200.0, 5_184_000.0]) | st.floats(1.0, LONGEST_LIFE / 100),
        inside=st.floats(0.01, 0.99),
        beyond=st.floats(0.0, 100_000.0),
        oddity=st.sampled_from(_Oddity),
        access_token=secrets,
        refresh_token=secrets,
        is_refreshable=st.booleans(),
        scope=st.none() | scope_tuples(),
        grant_age=st.none() | st.floats(0, 60 * 86400.0),
        is_first=st.booleans(),
        attempt=st.none() | attempts(now) if tried is None else tried,
    )
    # At the edges a float may fall on the other side.
    made = drafts.map(lambda draft: (draft.phase, _token(draft, now)))
    return made.filter(lambda drawn: is_in(drawn[0], drawn[1], now)).map(lambda drawn: drawn[1])


def moved(token: Token, seconds: float) -> Token:
    """The same token so many seconds later: every instant that it names is."""
    attempt = token.attempt
    return replace(
        token,
        expires_at=token.expires_at + seconds,
        issued_at=token.issued_at + seconds,
        granted_at=None if token.granted_at is None else token.granted_at + seconds,
        refresh_issued_at=None if token.refresh_issued_at is None else token.refresh_issued_at + seconds,
        attempt=None if attempt is None else replace(attempt, at=attempt.at + seconds),
    )


def is_in(phase: Phase, token: Token, now: float) -> bool:
    """Whether `token` is in `phase` at `now` (epoch seconds). Every token is in at least one."""
    if phase is Phase.ENDED:
        return _has_ended(token)
    if phase is Phase.SALVAGED:
        return token.access_token is None
    if phase is Phase.ODD:
        return not 0.0 < token.expires_at - token.issued_at < LONGEST_LIFE
    return token.access_token is not None and phase is _by_clock(token, now)


def _has_ended(token: Token) -> bool:
    return token.refresh_token is not None and token.attempt is not None and token.attempt.outcome is Outcome.ENDED


def _by_clock(token: Token, now: float) -> Phase:
    if now < token.issued_at - CLOCK_SLACK:
        return Phase.FUTURE
    if not token.is_alive(now):
        return Phase.EXPIRED
    if token.is_overdue(now):
        return Phase.OVERDUE
    return Phase.DUE if token.is_due(now) else Phase.FRESH


class _Oddity(StrEnum):
    """What may be wrong with a life."""

    NONE = "none"
    NEGATIVE = "negative"
    ENDLESS = "endless"
    UNKNOWN = "unknown"


class _Draft(Struct, frozen=True, kw_only=True):
    """What is drawn for a token. `inside` is where between two instants, `beyond` is in seconds."""

    phase: Phase
    life: float
    inside: float
    beyond: float
    oddity: _Oddity
    access_token: Secret
    refresh_token: Secret
    is_refreshable: bool
    scope: tuple[str, ...] | None
    grant_age: float | None
    is_first: bool
    attempt: Attempt | None


def _token(draft: _Draft, now: float) -> Token:
    life, left = _odd_life(draft, now) if draft.phase is Phase.ODD else (draft.life, _left(draft))
    expires_at, issued_at = now + left, now + left - life
    attempt = draft.attempt
    if draft.phase is Phase.ENDED:
        attempt = Attempt(min(issued_at, now) + draft.inside * max(now - issued_at, 0.0), Outcome.ENDED)
    elif attempt is not None and attempt.outcome is Outcome.ENDED:
        attempt = None
    access: Secret | None = draft.access_token
    if draft.phase is Phase.SALVAGED:
        access, expires_at = None, issued_at
    if not draft.is_refreshable and draft.phase not in {Phase.ENDED, Phase.SALVAGED}:
        return Token(access, expires_at, issued_at, attempt=attempt)
    granted_at = None if draft.grant_age is None else max(issued_at - draft.grant_age, 0.0)
    refresh_issued_at = granted_at if draft.is_first else issued_at
    return Token(
        access, expires_at, issued_at, draft.refresh_token, draft.scope, granted_at, refresh_issued_at, attempt
    )


def _left(draft: _Draft) -> float:
    """Seconds that are left of a life."""
    life, inside = draft.life, draft.inside
    renew_from, renew_by = min(RENEW_FROM, life * 0.2), min(RENEW_BY, life * 0.1)
    match draft.phase:
        case Phase.DUE:
            return renew_by + (renew_from - renew_by) * inside
        case Phase.OVERDUE:
            return renew_by * inside
        case Phase.EXPIRED:
            return -draft.beyond
        case Phase.FUTURE:
            return life + CLOCK_SLACK + 1.0 + draft.beyond
        case Phase.FRESH:
            return renew_from + (life - renew_from) * inside
        case _:
            return life * inside if draft.is_first else -draft.beyond


def _odd_life(draft: _Draft, now: float) -> tuple[float, float]:
    """How long a life is, and how much of it is left."""
    left = draft.beyond if draft.is_first else -draft.beyond
    lives = {
        _Oddity.NONE: 0.0,
        _Oddity.NEGATIVE: -draft.life,
        _Oddity.ENDLESS: LONGEST_LIFE * 10,
        # Files of others do not say since when: 0.
        _Oddity.UNKNOWN: now + left,
    }
    return lives[draft.oddity], left
