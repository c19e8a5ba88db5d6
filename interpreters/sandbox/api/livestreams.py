"""Livestreams (reference 6.6, and `users/livestreams` of 6.1)."""

import re
from typing import Final

from interpreters.sandbox.api.categories import category_within
from interpreters.sandbox.reading import limit, numbers, page_of, single, single_number, values
from interpreters.sandbox.wire import INVALID, Incoming, Refusal, Step, ok, ok_page, rfc3339
from interpreters.sandbox.world import Channel, Stream, World

DEFAULT_PAGE: Final = 100
LARGEST_PAGE: Final = 1000
FILTERS: Final = 25
"""Categories or languages in one request."""
USERS: Final = 100
"""User ids in one request."""
USERS_V1: Final = 50
DEFAULT_PAGE_V1: Final = 25
LARGEST_PAGE_V1: Final = 100

FIRST_CHANNEL_ID: Final = 1_000_000
"""What a channel's id is above its user's, so that nobody takes one for the other."""

_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z", re.ASCII)


def _live(world: World) -> list[tuple[Channel, Stream]]:
    """Who is live, oldest stream first; the stream's id decides between streams of the same second."""
    live = [(channel, channel.stream) for channel in world.channels.values() if channel.stream is not None]
    return sorted(live, key=lambda pair: (pair[1].started_at, pair[1].id))


def get_livestreams(call: Incoming) -> Step:
    """GET /public/v2/livestreams: all who are live, by `category_id` and `language_code`, oldest first."""
    request = call.request
    categories = frozenset(numbers(request, "category_id", FILTERS))
    languages = values(request.query, "language_code")
    if len(languages) > FILTERS or any(not _LANGUAGE.match(language) for language in languages):
        raise Refusal(INVALID)
    found = [
        (channel, stream)
        for channel, stream in _live(call.world)
        if (not categories or channel.category_id in categories) and (not languages or stream.language in languages)
    ]
    page, after = page_of(request, found, limit(request, DEFAULT_PAGE, LARGEST_PAGE))
    return Step(call.world, ok_page([_shown(call.world, *pair) for pair in page], after))


def get_user_livestreams(call: Incoming) -> Step:
    """GET /public/v1/users/livestreams: those of the users in `user_id` who are live."""
    wanted = frozenset(numbers(call.request, "user_id", USERS))
    if not wanted:
        raise Refusal(INVALID)
    found = [pair for pair in _live(call.world) if pair[0].broadcaster_user_id in wanted]
    return Step(call.world, ok([_shown(call.world, *pair) for pair in found]))


def get_livestreams_v1(call: Incoming) -> Step:
    """GET /public/v1/livestreams, deprecated: by `broadcaster_user_id`, `category_id` and `language`; no pages.

    Most viewers first unless `sort` is `started_at`, then newest first. Kick states neither.
    """
    request = call.request
    wanted = frozenset(numbers(request, "broadcaster_user_id", USERS_V1))
    category_id, language = single_number(request, "category_id"), single(request, "language")
    sort, size = single(request, "sort") or "viewer_count", limit(request, DEFAULT_PAGE_V1, LARGEST_PAGE_V1)
    if sort not in {"viewer_count", "started_at"} or (language is not None and not _LANGUAGE.match(language)):
        raise Refusal(INVALID)
    found = [
        (channel, stream)
        for channel, stream in _live(call.world)
        if (not wanted or channel.broadcaster_user_id in wanted)
        and category_id in {None, channel.category_id}
        and language in {None, stream.language}
    ]
    found.sort(key=lambda pair: pair[1].viewer_count if sort == "viewer_count" else pair[1].started_at, reverse=True)
    return Step(call.world, ok([_shown_v1(call.world, *pair) for pair in found[:size]]))


def get_livestream_stats(call: Incoming) -> Step:
    """GET /public/v1/livestreams/stats: how many are live."""
    return Step(call.world, ok({"total_count": len(_live(call.world))}))


def _shown(world: World, channel: Channel, stream: Stream) -> dict[str, object]:
    user = world.users.get(channel.broadcaster_user_id)
    return {
        "id": stream.id,
        "title": channel.title,
        "thumbnail": stream.thumbnail,
        "started_at": rfc3339(stream.started_at),
        "viewer_count": stream.viewer_count,
        "language_code": stream.language,
        "tags": channel.custom_tags,
        "has_mature_content": stream.is_mature,
        "broadcaster_user": {
            "id": channel.broadcaster_user_id,
            "username": user.name if user else "",
            "profile_picture": user.profile_picture if user else "",
        },
        "category": category_within(world, channel.category_id),
        "channel": {"slug": channel.slug},
    }


def _shown_v1(world: World, channel: Channel, stream: Stream) -> dict[str, object]:
    user = world.users.get(channel.broadcaster_user_id)
    tags: dict[str, object] = {"custom_tags": channel.custom_tags} if channel.custom_tags else {}
    return tags | {
        "broadcaster_user_id": channel.broadcaster_user_id,
        "category": category_within(world, channel.category_id),
        "channel_id": FIRST_CHANNEL_ID + channel.broadcaster_user_id,
        "has_mature_content": stream.is_mature,
        "language": stream.language,
        "profile_picture": user.profile_picture if user else "",
        "slug": channel.slug,
        "started_at": rfc3339(stream.started_at),
        "stream_title": channel.title,
        "thumbnail": stream.thumbnail,
        "viewer_count": stream.viewer_count,
    }
