"""What a renewal tells by the way: clocks that differ, scopes that are gone, a grant that grows old."""

from typing import Final

from kickcore.effects import Body, Notify
from kickcore.notices import ClockSkewed, GrantAging, ScopesNarrowed
from kickcore.oauth.tokens import Slot, Token

SKEW: Final = 60.0
"""Seconds by which clocks may differ before it is told."""
OLD: Final = 25 * 86400.0
"""Seconds; a grant of this age is told of. Kick ends grants after 30 days, or 30 days unused: reports differ."""
DAY: Final = 86400.0


def tell_skew(skew: float) -> Body[None]:
    """Tell that Kick's clock and ours differ by so many seconds, if it is too many."""
    if abs(skew) > SKEW:
        yield from Notify(ClockSkewed(skew))


def tell_news(slot: Slot, skew: float, before: Token | None, after: Token) -> Body[None]:
    """Tell what came with a token that was renewed."""
    yield from tell_skew(skew)
    if before is None or after.refresh_token is None:
        return
    lost = tuple(scope for scope in before.scope or () if after.scope is not None and scope not in after.scope)
    if lost:
        yield from Notify(ScopesNarrowed(slot.account, lost))
    since = [instant for instant in (before.granted_at, before.refresh_issued_at) if instant is not None]
    # Renewals come every other hour: one a day is enough to tell.
    if since and after.issued_at - min(since) >= OLD and _days(min(since), after) > _days(min(since), before):
        ages = _age(before.granted_at, after), _age(before.refresh_issued_at, after)
        yield from Notify(GrantAging(slot.account, *ages))


def _age(since: float | None, token: Token) -> float | None:
    return None if since is None else token.issued_at - since


def _days(since: float, token: Token) -> float:
    return (token.issued_at - since) // DAY
