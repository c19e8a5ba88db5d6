"""Ad breaks (reference 6.12), always of the token's own channel. Refusals have a code in `data`."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.structs import replace

from interpreters.sandbox.reading import body_as
from interpreters.sandbox.records import AdBreak, Ads
from interpreters.sandbox.wire import Incoming, Refusal, Step, encoded, ok, refused_with, rfc3339
from interpreters.sandbox.world import Channel


class NewAdBreak(Struct, frozen=True):
    """The body of a POST. The same `id` again is the same ad break again."""

    id: UUID
    break_duration_seconds: Annotated[int, Meta(ge=7, le=300)]


def get_ad_break_status(call: Incoming) -> Step:
    """GET /public/v1/ads/ad-break-status, with the breaks of the current period, oldest first."""
    _own_channel(call)
    ads = _own_ads(call)
    recent = _recent(ads, call.now)
    data = {
        "opted_in": ads.opted_in,
        "ads_blocked": ads.blocked,
        "auto_ads_active": ads.auto_active,
        "remaining_ad_breaks": max(0, ads.most - len(recent)),
        "limits": {"max": ads.most, "period_seconds": ads.period},
        "ad_breaks": [_shown(held) for held in recent],
    }
    return Step(call.world, ok(data))


def post_ad_break(call: Incoming) -> Step:
    """POST /public/v1/ads/ad-break. The codes come in the order of the reference."""
    body = body_as(call.request, NewAdBreak)
    ads, break_id = _own_ads(call), str(body.id)
    made = ads.breaks.get(break_id)
    if made is not None:
        return _accepted(call, ads, made)
    recent = _recent(ads, call.now)
    code = _obstacle(_own_channel(call), ads, recent, call.now)
    if code is not None:
        raise Refusal(refused_with(*code))
    made = AdBreak(break_id, body.break_duration_seconds, call.now, ads.most - len(recent) - 1)
    return _accepted(call, replace(ads, breaks={**ads.breaks, break_id: made}), made)


def post_enroll(call: Incoming) -> Step:
    """POST /public/v1/ads/enroll: while offline, by a channel that has streamed before."""
    channel = _own_channel(call)
    if channel.stream is not None:
        raise Refusal(refused_with(400, "CHANNEL_IS_LIVE"))
    if not channel.has_streamed:
        raise Refusal(refused_with(400, "CHANNEL_NEVER_STREAMED"))
    ads = replace(_own_ads(call), opted_in=True)
    return Step(replace(call.world, ads={**call.world.ads, call.token.user_id: ads}), ok({}))


def _own_channel(call: Incoming) -> Channel:
    channel = call.world.channels.get(call.token.user_id)
    if channel is None:
        raise Refusal(refused_with(404, "CHANNEL_NOT_FOUND"))
    return channel


def _own_ads(call: Incoming) -> Ads:
    return call.world.ads.get(call.token.user_id) or Ads(call.token.user_id)


def _recent(ads: Ads, now: float) -> list[AdBreak]:
    return [held for held in ads.breaks.values() if now < held.created_at + ads.period]


def _obstacle(channel: Channel, ads: Ads, recent: list[AdBreak], now: float) -> tuple[int, str] | None:
    obstacles = (
        (channel.stream is None, 400, "CHANNEL_IS_NOT_LIVE"),
        (not ads.opted_in, 400, "CHANNEL_NOT_OPTED_IN"),
        (ads.blocked, 400, "ADS_BLOCKED"),
        (ads.auto_active, 400, "AUTO_ADS_ACTIVE"),
        (any(now < held.created_at + held.duration for held in recent), 409, "AD_BREAK_ACTIVE"),
        (len(recent) >= ads.most, 429, "MAX_AD_BREAKS_REACHED"),
    )
    return next(((status, code) for is_so, status, code in obstacles if is_so), None)


def _accepted(call: Incoming, ads: Ads, made: AdBreak) -> Step:
    world = replace(call.world, ads={**call.world.ads, call.token.user_id: ads})
    data = {"id": made.id, "remaining_ad_breaks": made.remaining}
    return Step(world, encoded(world.rules.ad_break_status, {"data": data, "message": "Accepted"}))


def _shown(held: AdBreak) -> dict[str, object]:
    return {
        "id": held.id,
        "status": "inserted",
        "source": "public_api",
        "break_duration_seconds": held.duration,
        "created_at": rfc3339(held.created_at),
    }
