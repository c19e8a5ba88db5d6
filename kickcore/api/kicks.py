"""KICKs: who gave how many."""

from typing import ClassVar

from msgspec import field

from kickcore.api.call import USER, Call, call
from kickcore.api.inputs import checked_range, given
from kickcore.api.model import Model
from kickcore.effects import Program
from kickcore.oauth.scopes import NEEDS


class KicksLeaderboardEntry(Model, frozen=True):
    """A user who gave KICKs. `rank` begins with 1; `gifted_amount` is in KICKs."""

    user_id: int
    rank: int
    gifted_amount: int
    username: str | None = None

    absent: ClassVar[tuple[str, ...]] = ("username",)


class KicksLeaderboard(Model, frozen=True):
    """Who gave most, ever (`lifetime`), this month and this week.

    `lifetime_list` and the like are what Kick sent: None where it named nobody.
    """

    lifetime_list: tuple[KicksLeaderboardEntry, ...] | None = field(default=None, name="lifetime")
    month_list: tuple[KicksLeaderboardEntry, ...] | None = field(default=None, name="month")
    week_list: tuple[KicksLeaderboardEntry, ...] | None = field(default=None, name="week")

    absent: ClassVar[tuple[str, ...]] = ("lifetime_list", "month_list", "week_list")

    @property
    def lifetime(self) -> tuple[KicksLeaderboardEntry, ...]:
        """Who gave most, ever."""
        return self.lifetime_list or ()

    @property
    def month(self) -> tuple[KicksLeaderboardEntry, ...]:
        """Who gave most, this month."""
        return self.month_list or ()

    @property
    def week(self) -> tuple[KicksLeaderboardEntry, ...]:
        """Who gave most, this week."""
        return self.week_list or ()


def fetch_kicks_leaderboard(top: int = 10) -> Program[KicksLeaderboard]:
    """Who gave most KICKs to the channel of the token's user: the first `top` (1 to 100) of each of three lists.

    User token with `kicks:read`. Raises `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`.
    Kick: GET /public/v1/kicks/leaderboard.
    """
    asked = Call(
        operation="GET /public/v1/kicks/leaderboard",
        answer=KicksLeaderboard,
        tokens=USER,
        needs=NEEDS["fetch_kicks_leaderboard"],
        query=given(top=checked_range("top", top, 1, 100)),
    )
    return (yield from call(asked))
