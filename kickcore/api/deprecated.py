"""Endpoints of version 1 that Kick calls deprecated, as far as they give what version 2 does not."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import ClassVar, Final

from kickcore.api.call import APP_OR_USER, Call, answered, call, error_for, read_data
from kickcore.api.categories import Category
from kickcore.api.inputs import (
    checked_count,
    checked_id,
    checked_ids,
    checked_range,
    checked_text,
    given,
    repeated,
)
from kickcore.api.introspection import TokenIntrospection
from kickcore.api.model import Instant, Model
from kickcore.effects import LoadApp, Program, Send
from kickcore.errors import InvalidInput, NotFound
from kickcore.http import Pairs, Request
from kickcore.oauth.access import token_for
from kickcore.oauth.grants import TOKEN_LIMIT, TOKEN_TIMEOUT
from kickcore.oauth.tokens import TokenKind

REPLACEMENTS: Final[Mapping[str, str]] = {
    "fetch_livestreams_v1": "fetch_livestreams",
    "fetch_livestream": "fetch_user_livestreams",
    "search_categories_v1": "fetch_categories",
    "fetch_category": "fetch_categories",
    "introspect_token_v1": "introspect_token",
}
"""What to use instead of each program here, where that is enough."""

BATCH: Final = 50
"""Broadcasters a request."""
QUERY_LENGTH: Final = 100
"""Characters; Kick states no limit, this one only keeps accidents away."""
LAST_PAGE: Final = 2**31 - 1
"""As above."""

_LIVESTREAMS: Final = "GET /public/v1/livestreams"
_CATEGORY: Final = "GET /public/v1/categories/{category_id}"
_INTROSPECT: Final = "POST /public/v1/token/introspect"


class LivestreamSort(StrEnum):
    """The orders of `fetch_livestreams_v1`."""

    VIEWER_COUNT = "viewer_count"
    STARTED_AT = "started_at"


class LivestreamV1(Model, frozen=True):
    """A stream that is live, as version 1 tells it. It is the only place that gives a `channel_id`."""

    broadcaster_user_id: int
    slug: str
    channel_id: int | None = None
    stream_title: str | None = None
    language: str | None = None
    thumbnail: str | None = None
    started_at: Instant | None = None
    viewer_count: int | None = None
    has_mature_content: bool | None = None
    category: Category | None = None
    profile_picture: str | None = None
    custom_tags: tuple[str, ...] | None = None

    absent: ClassVar[tuple[str, ...]] = (
        "channel_id",
        "stream_title",
        "language",
        "thumbnail",
        "started_at",
        "category",
        "profile_picture",
    )


class CategoryV1(Category, frozen=True):
    """A category, and how many watch it now."""

    viewer_count: int | None = None


def fetch_livestreams_v1(
    *,
    broadcaster_user_ids: Iterable[int] | None = None,
    category_id: int | None = None,
    language: str | None = None,
    limit: int = 25,
    sort: str | None = None,
) -> Program[list[LivestreamV1]]:
    """What is live, at most `limit` (1 to 100), filtered by at most 50 broadcasters, a category and a language ("en").

    There are no pages: what is beyond `limit` is cut off, so ask for as many as you name broadcasters. `sort` is
    "viewer_count" or "started_at"; without it the order is Kick's. For pages use `fetch_livestreams`, for broadcasters
    `fetch_user_livestreams`; only `channel_id` is not there.

    App token. Raises `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`. Kick: GET /public/v1/livestreams.
    """
    ids: list[int] = []
    if broadcaster_user_ids is not None:
        ids = checked_ids("broadcaster_user_ids", broadcaster_user_ids)
    if sort is not None and sort not in [order.value for order in LivestreamSort]:
        raise InvalidInput(f'sort is "viewer_count" or "started_at", not {sort!r:.60}', parameter="sort")
    query = (
        *repeated("broadcaster_user_id", checked_count("broadcaster_user_ids", ids, 0, BATCH)),
        *given(
            category_id=None if category_id is None else checked_id("category_id", category_id),
            language=None if language is None else checked_text("language", language, 2, 35),
            limit=checked_range("limit", limit, 1, 100),
            sort=sort,
        ),
    )
    return (yield from call(_livestreams(query)))


def fetch_livestream(broadcaster_user_id: int) -> Program[LivestreamV1]:
    """What a broadcaster streams now. `fetch_user_livestreams` tells the same, but for the `channel_id`.

    App token. Raises `NotFound` if the broadcaster is not live, `InvalidInput`, `HTTPError`, `NetworkError`,
    `TokenError`. Kick: GET /public/v1/livestreams.
    """
    query = repeated("broadcaster_user_id", [checked_id("broadcaster_user_id", broadcaster_user_id)])
    for livestream in (yield from call(_livestreams(query))):
        if livestream.broadcaster_user_id == broadcaster_user_id:
            return livestream
    raise NotFound("the broadcaster is not live", status=200, operation=_LIVESTREAMS)


def _livestreams(query: Pairs) -> Call[list[LivestreamV1]]:
    return Call(operation=_LIVESTREAMS, answer=list[LivestreamV1], tokens=APP_OR_USER, query=query)


def search_categories_v1(query: str, page: int = 1) -> Program[list[Category]]:
    """Search categories by 1 to 100 characters: `page` 1, 2 and so on, until one is empty. A page has up to 100.

    App token. Raises `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`. Kick: GET /public/v1/categories.
    """
    asked = Call(
        operation="GET /public/v1/categories",
        answer=list[Category],
        tokens=APP_OR_USER,
        query=given(
            q=checked_text("query", query, 1, QUERY_LENGTH),
            page=checked_range("page", page, 1, LAST_PAGE),
        ),
    )
    return (yield from call(asked))


def fetch_category(category_id: int) -> Program[CategoryV1]:
    """A category by its id, with how many watch it now; `fetch_categories` does not tell that.

    App token. Raises `NotFound` if there is none, `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`.
    Kick: GET /public/v1/categories/{category_id}.
    """
    asked = Call(
        operation=_CATEGORY,
        answer=CategoryV1,
        tokens=APP_OR_USER,
        segments=(str(checked_id("category_id", category_id)),),
    )
    category = yield from call(asked)
    if category.id != category_id:
        # Elsewhere Kick writes the category 0 where there is none.
        raise NotFound("Kick knows no such category", status=200, operation=_CATEGORY)
    return category


def introspect_token_v1(*, use_user_token: bool = False) -> Program[TokenIntrospection]:
    """What Kick knows of the app token, or of the account's user token. A dead token gives `active=False`.

    The same as `introspect_token`, asked of the API's host. A token that is due is renewed first. Raises
    `LoginRequired` if there is no user token, `BadResponse`, `HTTPError`, `NetworkError`.
    Kick: POST /public/v1/token/introspect.
    """
    app = yield from LoadApp()
    token = yield from token_for(app.slot(TokenKind.USER if use_user_token else TokenKind.APP))
    method, _, path = _INTROSPECT.partition(" ")
    asked = Request(method, app.api_url + path, bearer=token.access_token, timeout=TOKEN_TIMEOUT, limit=TOKEN_LIMIT)
    response = answered((yield from Send(asked)), _INTROSPECT)
    if response.status == 401:
        # A renewed token would be another one than that which was asked about.
        return TokenIntrospection(active=False)
    if not 200 <= response.status < 300:
        raise error_for(response, _INTROSPECT, token.access_token)
    return read_data(response, TokenIntrospection, _INTROSPECT)
