"""Livestreams: who is live."""

from collections.abc import Iterable
from typing import ClassVar, Final

from kickcore.api.call import APP_OR_USER, Call, call, call_page
from kickcore.api.categories import Category
from kickcore.api.inputs import (
    batches,
    checked_count,
    checked_ids,
    checked_range,
    checked_text,
    checked_texts,
    given,
    repeated,
)
from kickcore.api.model import Instant, Model
from kickcore.api.page import Page
from kickcore.effects import Program

BATCH: Final = 100
"""User ids a request."""


class Broadcaster(Model, frozen=True):
    """Who streams. `profile_picture` is a URL."""

    id: int
    username: str | None = None
    profile_picture: str | None = None

    absent: ClassVar[tuple[str, ...]] = ("username", "profile_picture")


class ChannelSlug(Model, frozen=True):
    """Where: the last part of the channel's address."""

    slug: str


class Livestream(Model, frozen=True):
    """A stream that is live. `viewer_count` is 0 when the streamer hides it; `language_code` is a BCP 47 tag."""

    id: str
    title: str | None = None
    thumbnail: str | None = None
    started_at: Instant | None = None
    viewer_count: int | None = None
    language_code: str | None = None
    tags: tuple[str, ...] | None = None
    has_mature_content: bool | None = None
    broadcaster_user: Broadcaster | None = None
    category: Category | None = None
    channel: ChannelSlug | None = None

    absent: ClassVar[tuple[str, ...]] = ("title", "thumbnail", "started_at", "language_code", "category")


class LivestreamStats(Model, frozen=True):
    """How many are live."""

    total_count: int


def fetch_livestreams(
    *,
    category_ids: Iterable[int] | None = None,
    language_codes: Iterable[str] | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Program[Page[Livestream]]:
    """A page of what is live, oldest first, filtered by at most 25 categories and 25 languages (BCP 47 tags).

    `limit` is 1 to 1000 a page; `cursor` is the `next_cursor` of the page before.
    App token. Raises `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`. Kick: GET /public/v2/livestreams.
    """
    ids = (
        [] if category_ids is None else checked_count("category_ids", checked_ids("category_ids", category_ids), 1, 25)
    )
    codes: list[str] = []
    if language_codes is not None:
        codes = checked_count("language_codes", checked_texts("language_codes", language_codes, 2, 35), 1, 25)
    query = (
        *repeated("category_id", ids),
        *repeated("language_code", codes),
        *given(
            limit=checked_range("limit", limit, 1, 1000),
            cursor=None if cursor is None else checked_text("cursor", cursor, 1, 1024),
        ),
    )
    asked = Call(operation="GET /public/v2/livestreams", answer=list[Livestream], tokens=APP_OR_USER, query=query)
    return (yield from call_page(asked))


def fetch_user_livestreams(user_ids: int | Iterable[int]) -> Program[list[Livestream]]:
    """What these users stream now; those who are not live are not in it.

    More than 100 users are asked for in several requests. App token. Raises `InvalidInput`, `HTTPError`,
    `NetworkError`, `TokenError`. Kick: GET /public/v1/users/livestreams.
    """
    found: list[Livestream] = []
    for ids in batches(checked_ids("user_ids", [user_ids] if isinstance(user_ids, int) else user_ids), BATCH):
        asked = Call(
            operation="GET /public/v1/users/livestreams",
            answer=list[Livestream],
            tokens=APP_OR_USER,
            query=repeated("user_id", ids),
        )
        found += yield from call(asked)
    return found


def fetch_livestream_stats() -> Program[LivestreamStats]:
    """How many streams are live on Kick.

    App token. Raises `HTTPError`, `NetworkError`, `TokenError`. Kick: GET /public/v1/livestreams/stats.
    """
    asked = Call(operation="GET /public/v1/livestreams/stats", answer=LivestreamStats, tokens=APP_OR_USER)
    return (yield from call(asked))
