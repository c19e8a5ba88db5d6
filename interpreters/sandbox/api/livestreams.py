"""Livestreams (reference 6.6, and `users/livestreams` of 6.1)."""

import re
from typing import Final

from interpreters.sandbox.api.categories import category_within
from interpreters.sandbox.reading import limit, numbers, page_of, values
from interpreters.sandbox.wire import INVALID, Call, Refusal, Step, ok, ok_page, rfc3339
from interpreters.sandbox.world import Channel, Stream, World

DEFAULT_PAGE: Final = 100
LARGEST_PAGE: Final = 1000
FILTERS: Final = 25
"""Categories or languages in one request."""
USERS: Final = 100
"""User ids in one request."""

_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z", re.ASCII)


def _live(world: World) -> list[tuple[Channel, Stream]]:
    """Who is live, oldest stream first; the stream's id decides between streams of the same second."""
    live = [(channel, channel.stream) for channel in world.channels.values() if channel.stream is not None]
    return sorted(live, key=lambda pair: (pair[1].started_at, pair[1].id))


def get_livestreams(call: Call) -> Step:
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


def get_user_livestreams(call: Call) -> Step:
    """GET /public/v1/users/livestreams: those of the users in `user_id` who are live."""
    wanted = frozenset(numbers(call.request, "user_id", USERS))
    if not wanted:
        raise Refusal(INVALID)
    found = [pair for pair in _live(call.world) if pair[0].broadcaster_user_id in wanted]
    return Step(call.world, ok([_shown(call.world, *pair) for pair in found]))


def get_livestream_stats(call: Call) -> Step:
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
