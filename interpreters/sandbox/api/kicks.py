"""The leaderboard of KICKs (reference 6.8)."""

from collections import Counter
from typing import Final

from interpreters.sandbox.reading import as_number, single
from interpreters.sandbox.wire import Incoming, Step, ok

DAY: Final = 86_400.0
WEEK: Final = 7 * DAY
MONTH: Final = 30 * DAY
"""Seconds. Whether Kick counts by calendar is not known; here a week and a month are the last 7 and 30 days."""


def get_leaderboard(call: Incoming) -> Step:
    """GET /public/v1/kicks/leaderboard: who gave most to the token's channel; between equals the lower user id."""
    text = single(call.request, "top")
    top = 10 if text is None else as_number(text, 1, 100)
    spans = {"lifetime": float("inf"), "month": MONTH, "week": WEEK}
    return Step(call.world, ok({name: _ranked(call, call.now - span, top) for name, span in spans.items()}))


def _ranked(call: Incoming, since: float, top: int) -> list[dict[str, object]]:
    totals: Counter[int] = Counter()
    for gift in call.world.gifts:
        if gift.broadcaster_user_id == call.token.user_id and since < gift.given_at <= call.now:
            totals[gift.user_id] += gift.amount
    ranked = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:top]
    users = call.world.users
    return [
        {
            "gifted_amount": amount,
            "rank": rank,
            "user_id": user_id,
            "username": users[user_id].name if user_id in users else "",
        }
        for rank, (user_id, amount) in enumerate(ranked, 1)
    ]
