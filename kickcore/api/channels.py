"""Channels: where somebody streams."""

from collections.abc import Iterable
from typing import ClassVar, Final

import msgspec

from kickcore.api.call import APP_OR_USER, USER, Call, call
from kickcore.api.categories import Category
from kickcore.api.inputs import (
    batches,
    checked_count,
    checked_id,
    checked_ids,
    checked_list,
    checked_range,
    checked_text,
    checked_texts,
    repeated,
)
from kickcore.api.model import Instant, Model
from kickcore.effects import Program
from kickcore.errors import InvalidInput, NotFound
from kickcore.http import Pairs
from kickcore.oauth.scopes import NEEDS
from kickcore.secret import Secret

BATCH: Final = 50
"""Ids or slugs a request."""
SLUG_LENGTH: Final = 25
STREAM_TITLE_LENGTH: Final = 500
"""Characters; Kick states no limit, this one only keeps accidents away."""

_OPERATION: Final = "GET /public/v1/channels"
_NEEDS: Final = NEEDS["fetch_channel"]


class Stream(Model, frozen=True):
    """What a channel streams now, or streamed last.

    `url` and `key` are there on the token's own channel with the scope `streamkey:read`; the key is a `Secret`.
    `start_time` is None when not live.
    """

    is_live: bool
    is_mature: bool | None = None
    language: str | None = None
    start_time: Instant | None = None
    thumbnail: str | None = None
    viewer_count: int | None = None
    custom_tags: tuple[str, ...] | None = None
    url: str | None = None
    key: Secret | None = None

    absent: ClassVar[tuple[str, ...]] = ("language", "start_time", "thumbnail", "url", "key")


class Channel(Model, frozen=True):
    """A channel. `broadcaster_user_id` is its owner's user id; `stream_title` is the last title, also when offline."""

    broadcaster_user_id: int
    slug: str
    channel_description: str | None = None
    banner_picture: str | None = None
    stream_title: str | None = None
    category: Category | None = None
    stream: Stream | None = None
    active_subscribers_count: int | None = None
    active_gifted_subscribers_count: int | None = None
    canceled_subscribers_count: int | None = None

    absent: ClassVar[tuple[str, ...]] = ("channel_description", "banner_picture", "stream_title", "category")


def _channels(query: Pairs) -> Call[list[Channel]]:
    return Call(operation=_OPERATION, answer=list[Channel], tokens=APP_OR_USER, needs=_NEEDS, query=query)


def fetch_channel(user_id: int | None = None, slug: str | None = None) -> Program[Channel]:
    """A channel by its owner's user id or by its slug (the last part of its address); without either, your own.

    By id or slug: app token (the user token where Kick refuses that). Own channel: user token with `channel:read`,
    and with `streamkey:read` the stream's key. A slug is not always the user's name.
    Raises `NotFound` if there is none, `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`.
    Kick: GET /public/v1/channels.
    """
    if user_id is not None and slug is not None:
        raise InvalidInput("give user_id or slug, not both: Kick takes one of them", parameter="slug")
    if user_id is not None:
        asked = _channels(repeated("broadcaster_user_id", [checked_id("user_id", user_id)]))
    elif slug is not None:
        asked = _channels(repeated("slug", [checked_text("slug", slug, 1, SLUG_LENGTH).lower()]))
    else:
        asked = Call(operation=_OPERATION, answer=list[Channel], tokens=USER, needs=_NEEDS)
    for channel in (yield from call(asked)):
        # Kick has been seen to answer with rows that nobody asked for, so match and do not count.
        if user_id in {None, channel.broadcaster_user_id} and (slug is None or slug.lower() == channel.slug.lower()):
            return channel
    raise NotFound("Kick knows no such channel", status=200, operation=_OPERATION)


def fetch_channels(
    *, user_ids: Iterable[int] | None = None, slugs: Iterable[str] | None = None
) -> Program[list[Channel]]:
    """Channels by their owners' user ids, or by slugs; those that Kick does not know are left out.

    Match the rows by id or slug, never by position. More than 50 are asked for in several requests. App token (the user
    token where Kick refuses that). Raises `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`.
    Kick: GET /public/v1/channels.
    """
    if (user_ids is None) is (slugs is None):
        raise InvalidInput("give user_ids or slugs, one of them", parameter="slugs")
    found: list[Channel] = []
    if user_ids is not None:
        for ids in batches(checked_ids("user_ids", user_ids), BATCH):
            found += yield from call(_channels(repeated("broadcaster_user_id", ids)))
    if slugs is not None:
        texts = list(dict.fromkeys(text.lower() for text in checked_texts("slugs", slugs, 1, SLUG_LENGTH)))
        for batch in batches(texts, BATCH):
            found += yield from call(_channels(repeated("slug", batch)))
    return found


def update_channel(
    *,
    category_id: int | None = None,
    stream_title: str | None = None,
    custom_tags: Iterable[str] | None = None,
) -> Program[None]:
    """Change your own channel: its category, the title of its stream, its tags (at most 10; an empty list clears them).

    User token with `channel:write`. At least one must be given. A channel read right afterwards may still show what was
    before. Raises `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`. Kick: PATCH /public/v1/channels.
    """
    changes: dict[str, object] = {}
    if category_id is not None:
        changes["category_id"] = checked_range("category_id", category_id, 1, 2**64 - 1)
    if stream_title is not None:
        changes["stream_title"] = checked_text("stream_title", stream_title, 1, STREAM_TITLE_LENGTH)
    if custom_tags is not None:
        if isinstance(custom_tags, str):
            raise InvalidInput("custom_tags is a list of texts, not one text", parameter="custom_tags")
        tags = [checked_text("custom_tags", tag, 1, 100) for tag in checked_list("custom_tags", custom_tags)]
        changes["custom_tags"] = checked_count("custom_tags", tags, 0, 10)
    if not changes:
        raise InvalidInput("give at least one of category_id, stream_title, custom_tags", parameter="stream_title")
    asked = Call(
        operation="PATCH /public/v1/channels",
        answer=type(None),
        tokens=USER,
        needs=NEEDS["update_channel"],
        body=msgspec.json.encode(changes),
    )
    yield from call(asked)
