"""Event subscriptions (reference 6.10). What they bring is told in `interpreters.sandbox.telling`."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from interpreters.sandbox.minting import app_id, mint_ulid
from interpreters.sandbox.reading import body_as, single_number, values
from interpreters.sandbox.records import Subscription
from interpreters.sandbox.wire import INVALID, NO_CONTENT, Incoming, Refusal, Step, bad_request, ok, rfc3339_fine
from interpreters.sandbox.world import World
from kickcore.oauth.tokens import TokenKind

DELETED: Final = 50
"""Ids in one DELETE. At Kick 50 work and about 330 do not."""
CHAT: Final = "chat.message.sent"
EVENTS: Final = frozenset(
    {
        CHAT,
        "channel.followed",
        "channel.subscription.renewal",
        "channel.subscription.gifts",
        "channel.subscription.new",
        "channel.reward.redemption.updated",
        "livestream.status.updated",
        "livestream.metadata.updated",
        "moderation.banned",
        "kicks.gifted",
    }
)
FAILED: Final = (
    "internal: operation error DynamoDB: PutItem, failed to get rate limit token, retry quota exceeded, "
    "0 available, 5 requested"
)
"""The one text of a failed item that was seen."""


class WantedEvent(Struct, frozen=True):
    """An item of the body."""

    name: str
    version: Literal[1]


class NewSubscriptions(Struct, frozen=True):
    """The body of a POST."""

    events: Annotated[tuple[WantedEvent, ...], Meta(min_length=1)]
    method: Literal["webhook"]
    broadcaster_user_id: Annotated[int, Meta(ge=1)] | None = None


def get_subscriptions(call: Incoming) -> Step:
    """GET /public/v1/events/subscriptions: the app's; with a user token, those to the user's own channel."""
    wanted = single_number(call.request, "broadcaster_user_id")
    rows = [
        _shown(call.world, held)
        for held in call.world.subscriptions.values()
        if _is_within_reach(call, held) and wanted in {None, held.broadcaster_user_id} and _is_listed(call, held)
    ]
    return Step(call.world, ok(rows))


def post_subscriptions(call: Incoming) -> Step:
    """POST /public/v1/events/subscriptions: each event gets a row of its own, and may fail in it.

    An unknown event or version fails the whole request, as does a limit. Subscribing twice makes two subscriptions.
    """
    body = body_as(call.request, NewSubscriptions)
    if any(event.name not in EVENTS for event in body.events):
        raise Refusal(INVALID)
    target = call.token.user_id if call.token.kind is TokenKind.USER else body.broadcaster_user_id
    if target is None:
        raise Refusal(bad_request("broadcaster_user_id is required for app tokens"))
    if target not in call.world.channels:
        raise Refusal(bad_request("Channel not found"))
    world, rows, made = call.world, list[Mapping[str, object]](), dict[str, Subscription]()
    _check_limits(call, Counter(event.name for event in body.events))
    for event in body.events:
        if event.name in world.rules.failing_events:
            rows.append({"error": FAILED, "name": event.name, "version": event.version})
            continue
        world, subscription_id = mint_ulid(world, "subscription", call.now)
        made[subscription_id] = Subscription(subscription_id, call.token.client_id, target, event.name, call.now)
        rows.append({"name": event.name, "subscription_id": subscription_id, "version": event.version})
    return Step(replace(world, subscriptions={**world.subscriptions, **made}), ok(rows))


def delete_subscriptions(call: Incoming) -> Step:
    """DELETE /public/v1/events/subscriptions: by `id`; those that are unknown or out of reach are passed over."""
    ids, held, lags = values(call.request.query, "id"), call.world.subscriptions, call.world.rules.subscription_lag > 0
    if not 1 <= len(ids) <= DELETED:
        raise Refusal(INVALID)
    left = {text: one for text, one in held.items() if not _is_gone(call, one)} if lags else dict(held)
    for one in [left[text] for text in frozenset(ids) & left.keys()]:
        if one.deleted_at is not None or not _is_within_reach(call, one):
            continue
        if lags:
            left[one.id] = replace(one, deleted_at=call.now)
        else:
            del left[one.id]
    return Step(replace(call.world, subscriptions=left), NO_CONTENT)


def _is_within_reach(call: Incoming, held: Subscription) -> bool:
    token = call.token
    own = token.kind is TokenKind.APP or held.broadcaster_user_id == token.user_id
    return own and held.client_id == token.client_id


def _is_listed(call: Incoming, held: Subscription) -> bool:
    return held.created_at + call.world.rules.subscription_lag <= call.now and not _is_gone(call, held)


def _is_gone(call: Incoming, held: Subscription) -> bool:
    return held.deleted_at is not None and held.deleted_at + call.world.rules.subscription_lag <= call.now


def _check_limits(call: Incoming, wanted: Counter[str]) -> None:
    rules, app = call.world.rules, call.world.apps.get(call.token.client_id)
    held = call.world.subscriptions
    for name, count in wanted.items():
        chats = name == CHAT and not (app and app.verified)
        most = rules.chat_subscription_limit if chats else rules.subscription_limit
        # Counted only where it can matter, because there may be many.
        if len(held) + count > most and _count(call, name) + count > most:
            raise Refusal(bad_request("event subscription limit reached"))


def _count(call: Incoming, name: str) -> int:
    held = call.world.subscriptions.values()
    client_id = call.token.client_id
    return sum(one.event == name and one.client_id == client_id and one.deleted_at is None for one in held)


def _shown(world: World, held: Subscription) -> Mapping[str, object]:
    return {
        "app_id": app_id(world, held.client_id),
        "broadcaster_user_id": held.broadcaster_user_id,
        "created_at": rfc3339_fine(held.created_at, 6),
        "event": held.event,
        "id": held.id,
        "method": "webhook",
        "updated_at": rfc3339_fine(held.created_at, 9),
        "version": 1,
    }
