"""Event subscriptions: what Kick tells your app by webhook, and of which channel."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar, Final

import msgspec

from kickcore.api.call import APP, APP_OR_USER, USER, Call, call
from kickcore.api.inputs import (
    checked_count,
    checked_id,
    checked_list,
    checked_segment,
    checked_text,
    checked_texts,
    given,
    repeated,
)
from kickcore.api.model import Instant, Model
from kickcore.effects import Program
from kickcore.errors import BadResponse, InvalidInput
from kickcore.oauth.scopes import NEEDS

VERSION: Final = 1
"""The version of every event that Kick documents."""
BATCH: Final = 50
"""Subscriptions that one request ends; Kick has refused 330."""
NAME_LENGTH: Final = 100
"""Characters; Kick states no limit, this one only keeps accidents away."""

_PATH: Final = "/public/v1/events/subscriptions"
_SUBSCRIBE: Final = f"POST {_PATH}"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+\Z", re.ASCII)


class EventName(StrEnum):
    """The events that Kick documents, all of version 1. Others that Kick may add are kept as plain text.

    There is none for an unfollow, and none for an unban.
    """

    CHAT_MESSAGE_SENT = "chat.message.sent"
    CHANNEL_FOLLOWED = "channel.followed"
    CHANNEL_SUBSCRIPTION_NEW = "channel.subscription.new"
    CHANNEL_SUBSCRIPTION_RENEWAL = "channel.subscription.renewal"
    CHANNEL_SUBSCRIPTION_GIFTS = "channel.subscription.gifts"
    CHANNEL_REWARD_REDEMPTION_UPDATED = "channel.reward.redemption.updated"
    LIVESTREAM_STATUS_UPDATED = "livestream.status.updated"
    LIVESTREAM_METADATA_UPDATED = "livestream.metadata.updated"
    MODERATION_BANNED = "moderation.banned"
    KICKS_GIFTED = "kicks.gifted"


_MISNAMED: Final = {"channel.moderation.user_banned": EventName.MODERATION_BANNED}
"""A name that another library made up, and what Kick calls it."""


class EventMethod(StrEnum):
    """How events are delivered: to the webhook address of the app's settings."""

    WEBHOOK = "webhook"


class EventSubscription(Model, frozen=True):
    """A subscription: Kick tells the app `app_id` of every `event` in the channel of `broadcaster_user_id`."""

    id: str
    event: str
    broadcaster_user_id: int
    app_id: str | None = None
    version: int | None = None
    method: str | None = None
    created_at: Instant | None = None
    updated_at: Instant | None = None

    absent: ClassVar[tuple[str, ...]] = ("app_id", "method", "created_at", "updated_at")
    known: ClassVar[dict[str, type[StrEnum]]] = {"event": EventName, "method": EventMethod}


class EventSubscribed(Model, frozen=True):
    """What became of one event of `subscribe_to_events`: a `subscription_id`, or an `error` in Kick's words."""

    name: str
    version: int | None = None
    subscription_id: str | None = None
    error: str | None = None

    absent: ClassVar[tuple[str, ...]] = ("subscription_id", "error")
    known: ClassVar[dict[str, type[StrEnum]]] = {"name": EventName}

    @property
    def ok(self) -> bool:
        """Whether there is a subscription now."""
        return self.subscription_id is not None and self.error is None


def fetch_events_subscriptions(broadcaster_user_id: int | None = None) -> Program[list[EventSubscription]]:
    """The app's event subscriptions, of all channels or of one; an empty list if there are none.

    The list may lag behind a subscription that was just made or ended.

    App token (the user token with `events:subscribe` where Kick refuses that). Raises `InvalidInput`, `HTTPError`,
    `NetworkError`, `TokenError`. Kick: GET /public/v1/events/subscriptions.
    """
    channel = None if broadcaster_user_id is None else checked_id("broadcaster_user_id", broadcaster_user_id)
    asked = Call(
        operation=f"GET {_PATH}",
        answer=list[EventSubscription],
        tokens=APP_OR_USER,
        needs=NEEDS["fetch_events_subscriptions"],
        query=given(broadcaster_user_id=channel),
    )
    found = yield from call(asked)
    # Who cleans up by this list must not end the subscriptions of other channels.
    return [row for row in found if channel in {None, row.broadcaster_user_id}]


def subscribe_to_events(
    events: Iterable[str], broadcaster_user_id: int | None = None
) -> Program[list[EventSubscribed]]:
    """Subscribe to events of a channel, each named once; what became of each is in the answer, one `EventSubscribed`.

    With a `broadcaster_user_id`: app token, any channel. Without one: user token with `events:subscribe`, the user's
    own channel. Webhooks must be switched on in the app's settings, which also hold the address.

    An event that failed is in the answer with its `error` and is not raised: look at `ok`. To subscribe twice gives two
    subscriptions and every event twice, so look at `fetch_events_subscriptions` first; for the same reason the
    request is never split, and not sent again if its answer was lost (`NetworkError`). Kick allows 10,000 subscriptions
    for each event, and 1,000 to chat messages for apps that are not verified; `BadRequest` tells.

    Raises `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`. Kick: POST /public/v1/events/subscriptions.
    """
    return (yield from call(_subscribe(_event_names(events), broadcaster_user_id)))


def subscribe_to_event(event: str, broadcaster_user_id: int | None = None) -> Program[EventSubscribed]:
    """Subscribe to one event of a channel: `subscribe_to_events` for one. A failure is in the answer: look at `ok`.

    With a `broadcaster_user_id`: app token, any channel. Without one: user token with `events:subscribe`, the user's
    own channel. Raises `InvalidInput`, `HTTPError`, `BadResponse`, `NetworkError`, `TokenError`.
    Kick: POST /public/v1/events/subscriptions.
    """
    name = _event_name("event", event)
    for row in (yield from call(_subscribe([name], broadcaster_user_id))):
        if row.name == name:
            return row
    text = f"{_SUBSCRIBE} succeeded and its answer does not tell what became of {name}"
    raise BadResponse(text, status=200, operation=_SUBSCRIBE)


def _subscribe(names: list[str], broadcaster_user_id: int | None) -> Call[list[EventSubscribed]]:
    body: dict[str, object] = {
        "events": [{"name": name, "version": VERSION} for name in names],
        "method": EventMethod.WEBHOOK.value,
    }
    if broadcaster_user_id is not None:
        body["broadcaster_user_id"] = checked_id("broadcaster_user_id", broadcaster_user_id)
    return Call(
        operation=_SUBSCRIBE,
        answer=list[EventSubscribed],
        tokens=USER if broadcaster_user_id is None else APP,
        needs=NEEDS["subscribe_to_events"],
        body=msgspec.json.encode(body),
    )


def _event_names(events: Iterable[str]) -> list[str]:
    asked = events if isinstance(events, str) else checked_list("events", events)
    names = checked_texts("events", asked, 1, NAME_LENGTH)
    if len(names) < len(asked):
        twice = next(name for name in names if list(asked).count(name) > 1)
        raise InvalidInput(f"events names {twice!r} more than once; Kick would deliver it as often", parameter="events")
    return [_event_name("events", name) for name in names]


def _event_name(parameter: str, value: object) -> str:
    """The name of an event, also of one that is new."""
    name = str(checked_text(parameter, value, 1, NAME_LENGTH))
    if name in _MISNAMED:
        raise InvalidInput(f"{parameter}: Kick calls the event {name!r} {_MISNAMED[name].value!r}", parameter=parameter)
    if not _NAME.match(name):
        text = f"{parameter} is named by lower-case words joined by dots, as 'chat.message.sent', not {name!r:.60}"
        raise InvalidInput(text, parameter=parameter)
    return name


def unsubscribe_from_events(subscription_ids: Iterable[str]) -> Program[None]:
    """End event subscriptions, 1 to 50 at once, by the ids of `fetch_events_subscriptions`.

    App token (the user token with `events:subscribe` where Kick refuses that). Raises `InvalidInput`, `NotFound`,
    `HTTPError`, `NetworkError`, `TokenError`. Kick: DELETE /public/v1/events/subscriptions.
    """
    texts = checked_texts("subscription_ids", subscription_ids, 1, 128)
    ids = [checked_segment("subscription_ids", text) for text in texts]
    yield from call(_unsubscribe(checked_count("subscription_ids", ids, 1, BATCH)))


def unsubscribe_from_event(subscription_id: str) -> Program[None]:
    """End one event subscription, by its id of `fetch_events_subscriptions`.

    App token (the user token with `events:subscribe` where Kick refuses that). Raises `InvalidInput`, `NotFound`,
    `HTTPError`, `NetworkError`, `TokenError`. Kick: DELETE /public/v1/events/subscriptions.
    """
    yield from call(_unsubscribe([checked_segment("subscription_id", subscription_id)]))


def _unsubscribe(subscription_ids: list[str]) -> Call[None]:
    return Call(
        operation=f"DELETE {_PATH}",
        answer=type(None),
        tokens=APP_OR_USER,
        needs=NEEDS["unsubscribe_from_events"],
        query=repeated("id", subscription_ids),
    )
