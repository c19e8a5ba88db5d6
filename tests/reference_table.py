"""Makes `docs/methods.md` from the code itself: `python tests/reference_table.py`. A test compares the two.

Endpoints and token kinds come from what the methods do in a world where every token is held, scopes from the table that
they are held to, limits from the constants that are checked against, errors from the docstrings.
"""

import re
from contextlib import suppress
from inspect import getdoc
from pathlib import Path
from urllib.parse import urlsplit

from contract import LOCAL, ROWS, carried_out, full_world

from kickcore import KickClient, KickError
from kickcore.api import ads, channels, chat, deprecated, drops, events, livestreams, moderation, rewards, users
from kickcore.effects import LoadToken, Send
from kickcore.oauth.scopes import NEEDS, scope_text
from kickcore.oauth.tokens import TokenKind

INTRODUCTION = """Made from the code by `python tests/reference_table.py`; the tests keep it equal to it.
A token kind of `app or user` means the app token, or the user token where Kick will not take that or where you ask for
your own. Every method may raise what stands on the page about [errors and repeating](errors.md); the column names what
its documentation speaks of."""

PAGE = Path(__file__).parent.parent / "docs" / "methods.md"

_USER_FILTERS = f"slug: {channels.SLUG_LENGTH} characters"
_BAN = f"duration: 1 to {moderation.LONGEST_TIMEOUT} minutes; reason: {moderation.REASON_LENGTH} characters"
_PAGED = "limit: 1 to 1000"
LIMITS = {
    "fetch_users": f"{users.BATCH} ids a request, more are split",
    "fetch_channel": _USER_FILTERS,
    "fetch_channels": f"{channels.BATCH} a request, more are split; {_USER_FILTERS}",
    "update_channel": f"title: {channels.STREAM_TITLE_LENGTH} characters; 10 tags",
    "fetch_livestreams": f"{_PAGED}; 25 categories, 25 languages",
    "livestreams": f"{_PAGED}; 25 categories, 25 languages",
    "fetch_user_livestreams": f"{livestreams.BATCH} ids a request, more are split",
    "fetch_categories": f"{_PAGED}; names and tags: 3 to 100 characters",
    "categories": f"{_PAGED}; names and tags: 3 to 100 characters",
    "send_chat_message": f"{chat.CONTENT_LENGTH} code points",
    "ban_user": _BAN,
    "timeout_user": _BAN,
    "create_channel_reward": f"title: {rewards.TITLE_LENGTH}, description: {rewards.DESCRIPTION_LENGTH} characters",
    "update_channel_reward": f"title: {rewards.TITLE_LENGTH}, description: {rewards.DESCRIPTION_LENGTH} characters",
    "accept_reward_redemptions": f"1 to {rewards.DECISIONS} ids",
    "reject_reward_redemptions": f"1 to {rewards.DECISIONS} ids",
    "fetch_kicks_leaderboard": "top: 1 to 100",
    "create_ad_break": f"{ads.SHORTEST_BREAK} to {ads.LONGEST_BREAK} seconds",
    "unsubscribe_from_events": f"1 to {events.BATCH} ids",
    "fetch_drops_claims": _PAGED,
    "drops_claims": _PAGED,
    "update_drops_claims": f"1 to {drops.BATCH} claims; status: {drops.STATUS_LENGTH} characters",
    "fetch_livestreams_v1": f"limit: 1 to 100; {deprecated.BATCH} broadcasters",
    "search_categories_v1": f"query: {deprecated.QUERY_LENGTH} characters",
}

_SAME_NEEDS = {"reward_redemptions": "fetch_reward_redemptions"}


def methods() -> list[str]:
    """The methods that ask Kick for anything, in the order of the class."""
    return [name for name, member in vars(KickClient).items() if callable(member) and not name.startswith("_")
            and name not in LOCAL]  # fmt: skip


def _endpoints(name: str) -> str:
    asked: dict[str, None] = {}
    for row in ROWS:
        if row.method == name:
            world = full_world()
            with suppress(KickError):
                carried_out(row, world)
            for effect in world.log:
                if isinstance(effect, Send):
                    request = effect.request
                    asked[request.group or f"{request.method} {urlsplit(request.url).path}"] = None
    return ", ".join(f"`{operation}`" for operation in asked)


def _tokens(name: str) -> str:
    kinds: dict[TokenKind, None] = {}
    for row in ROWS:
        if row.method == name:
            world = full_world()
            with suppress(KickError):
                carried_out(row, world)
            kinds |= {effect.slot.kind: None for effect in world.log if isinstance(effect, LoadToken)}
    return " or ".join(sorted(kind.value for kind in kinds)) or "none"


def _scopes(name: str) -> str:
    groups = NEEDS.get(_SAME_NEEDS.get(name, name), ())
    return re.sub(r"([a-z_]+:[a-z_:]+)", r"`\1`", scope_text(groups))


def _errors(name: str) -> str:
    doc = getdoc(getattr(KickClient, name)) or ""
    told = re.search(r"Raises (.*?)(?:\.\s|\.$)", doc.replace("\n", " "))
    return ", ".join(dict.fromkeys(re.findall(r"`([A-Z]\w+)`", told[1]))) if told else ""


def table() -> str:
    """The page."""
    lines = [
        "# Methods",
        "",
        INTRODUCTION,
        "",
        "| method | endpoint | token | scopes of a user token | limits | errors |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in methods():
        columns = (f"`{name}`", _endpoints(name), _tokens(name), _scopes(name), LIMITS.get(name, ""), _errors(name))
        lines.append("| " + " | ".join(columns) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(table(), "utf-8")
