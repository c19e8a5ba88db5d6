"""Notices that are warnings, too: what a user would want to know who listens to nothing."""

import warnings

from kickcore.errors import ClockWrong, GrantOld, ScopesNotGranted
from kickcore.notices import ClockSkewed, GrantAging, Notice, ScopesNarrowed


def warn_of(notice: Notice, warned: set[type[Warning]]) -> None:
    """Warn of `notice` if it is worth it, of each kind once for each set of those `warned` of."""
    match notice:
        case ClockSkewed(seconds):
            kind, text = ClockWrong, _skewed(seconds)
        case ScopesNarrowed(account, lost):
            kind = ScopesNotGranted
            text = f"the renewed user token{_of(account)} lacks {', '.join(lost)}, which the one before had"
        case GrantAging(account, grant_age, refresh_token_age):
            kind, text = GrantOld, _aging(account, max(grant_age or 0.0, refresh_token_age or 0.0))
        case _:
            return
    if kind not in warned:
        warned.add(kind)
        warnings.warn(text, kind, stacklevel=2)


def _of(account: str) -> str:
    return f" of account {account!r}" if account else ""


def _skewed(seconds: float) -> str:
    side = "ahead of" if seconds > 0 else "behind"
    return (
        f"Kick's clock is {abs(seconds):.0f} seconds {side} this machine's, so tokens may be renewed too early or too "
        "late; set this machine's clock"
    )


def _aging(account: str, age: float) -> str:
    return (
        f"the user's grant{_of(account)} is {age / 86400:.0f} days old, and Kick ends grants after about 30 days; "
        "a new authenticate(...) begins anew"
    )
