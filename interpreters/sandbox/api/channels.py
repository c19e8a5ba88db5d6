"""Channels (reference 6.2)."""

import re
from typing import Annotated, Final

from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import replace

from interpreters.sandbox.api.categories import category_within
from interpreters.sandbox.payloads import livestream_metadata
from interpreters.sandbox.reading import body_as, numbers, values
from interpreters.sandbox.telling import told
from interpreters.sandbox.wire import (
    INVALID,
    NO_CONTENT,
    ZERO_TIME,
    Incoming,
    Refusal,
    Step,
    bad_request,
    ok,
    rfc3339,
)
from interpreters.sandbox.world import Channel, World
from kickcore.api.events import EventName
from kickcore.oauth.scopes import Scope
from kickcore.oauth.tokens import TokenKind

BATCH: Final = 50
"""Ids or slugs in one request."""

_SLUG: Final = re.compile(r"[A-Za-z0-9_-]{1,25}\Z", re.ASCII)


class ChannelChange(Struct, frozen=True):
    """The body of a PATCH; members that Kick does not know are ignored."""

    category_id: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    stream_title: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET
    custom_tags: Annotated[tuple[str, ...], Meta(max_length=10)] | UnsetType = UNSET


def get_channels(call: Incoming) -> Step:
    """GET /public/v1/channels: by `broadcaster_user_id` or by `slug`, or the token's own.

    The rows come in the order of user ids, not in the order asked: match them by id or slug (KickDevDocs issue 321).
    """
    ids, slugs = numbers(call.request, "broadcaster_user_id", BATCH), _slugs(call)
    if ids and slugs:
        raise Refusal(INVALID)
    if not ids and not slugs:
        if call.token.kind is TokenKind.APP:
            raise Refusal(bad_request("broadcaster_user_id is required for app tokens"))
        ids = (call.token.user_id,)
    channels = call.world.channels
    if slugs:
        ids = tuple(channel.broadcaster_user_id for channel in channels.values() if channel.slug in slugs)
        if len(ids) < len(slugs) and call.world.rules.unknown_slug_fails:
            raise Refusal(INVALID)
    rows = [_shown(channels[user_id], call) for user_id in sorted(set(ids)) if user_id in channels]
    return Step(call.world, ok(rows))


def _slugs(call: Incoming) -> frozenset[str]:
    found = values(call.request.query, "slug")
    if len(found) > BATCH or any(not _SLUG.match(slug) for slug in found):
        raise Refusal(INVALID)
    return frozenset(slug.lower() for slug in found)


def _shown(channel: Channel, call: Incoming) -> dict[str, object]:
    return {
        "active_subscribers_count": channel.subscribers,
        "active_gifted_subscribers_count": channel.gifted_subscribers,
        "banner_picture": channel.banner_picture,
        "broadcaster_user_id": channel.broadcaster_user_id,
        "canceled_subscribers_count": channel.canceled_subscribers,
        "category": category_within(call.world, channel.category_id),
        "channel_description": channel.description,
        "slug": channel.slug,
        "stream": _stream(channel, _sees_key(channel, call)),
        "stream_title": channel.title,
    }


def _sees_key(channel: Channel, call: Incoming) -> bool:
    own = call.token.kind is TokenKind.USER and call.token.user_id == channel.broadcaster_user_id
    return own and Scope.STREAMKEY_READ in call.token.scope


def _stream(channel: Channel, sees_key: bool) -> dict[str, object]:  # noqa: FBT001 - a fact about the asker
    stream = channel.stream
    tags: dict[str, object] = {"custom_tags": channel.custom_tags} if channel.custom_tags else {}
    return tags | {
        "is_live": stream is not None,
        "is_mature": stream.is_mature if stream else False,
        "key": channel.stream_key if sees_key else "",
        "language": stream.language if stream else "",
        "start_time": rfc3339(stream.started_at) if stream else ZERO_TIME,
        "thumbnail": stream.thumbnail if stream else "",
        "url": channel.stream_url if sees_key else "",
        "viewer_count": stream.viewer_count if stream else 0,
    }


def patch_channel(call: Incoming) -> Step:
    """PATCH /public/v1/channels: changes the token's own channel. An empty object is refused."""
    change = body_as(call.request, ChannelChange)
    channel = call.world.channels.get(call.token.user_id)
    if not body_as(call.request, dict[str, Raw]) or channel is None:
        raise Refusal(INVALID)
    if change.category_id is not UNSET and change.category_id not in call.world.categories:
        raise Refusal(INVALID)
    changed = _changed(call.world, channel, change)
    return Step(_told(changed, call.token.user_id, change, call.now), NO_CONTENT)


def _changed(world: World, channel: Channel, change: ChannelChange) -> World:
    after = replace(
        channel,
        category_id=channel.category_id if change.category_id is UNSET else change.category_id,
        title=channel.title if change.stream_title is UNSET else change.stream_title,
        custom_tags=channel.custom_tags if change.custom_tags is UNSET else change.custom_tags,
    )
    return replace(world, channels={**world.channels, channel.broadcaster_user_id: after})


def _told(world: World, user_id: int, change: ChannelChange, now: float) -> World:
    """Tags are not among what is told of a stream."""
    if change.category_id is UNSET and change.stream_title is UNSET:
        return world
    return told(world, EventName.LIVESTREAM_METADATA_UPDATED, user_id, livestream_metadata(world, user_id), now)
