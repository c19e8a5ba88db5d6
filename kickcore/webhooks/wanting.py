"""Subscriptions as a set that is wanted: what is missing is made, what is there twice or no longer wanted is ended.

Kick delivers each subscription by itself, so one that is there twice is delivered twice. It ends subscriptions by
itself, too: after a day of failures, or when webhooks are switched off. So run `keep_subscriptions` now and then: where
all is as wanted, it only looks.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from kickcore.api.events import (
    BATCH,
    VERSION,
    EventName,
    EventSubscribed,
    EventSubscription,
    fetch_events_subscriptions,
    subscribe_to_events,
    unsubscribe_from_events,
)
from kickcore.api.inputs import checked_id
from kickcore.effects import Program
from kickcore.errors import ConfigError, HTTPError, NetworkError

CAP: Final = 10_000
"""Subscriptions that Kick allows an app for one event."""
CHAT_CAP: Final = 1_000
"""The same for `chat.message.sent`, for an app that is not verified."""


class Wanted(Struct, frozen=True, order=True):
    """One event of one channel."""

    broadcaster_user_id: int
    event: str


class SubscriptionPlan(Struct, frozen=True):
    """What is to be done: `make` these, `end` those (twice there, or no longer wanted), and `keep` the rest.

    `counts` is how many subscriptions there are of each event then, of all channels.
    """

    make: tuple[Wanted, ...]
    end: tuple[EventSubscription, ...]
    keep: tuple[EventSubscription, ...]
    counts: Mapping[str, int]

    @property
    def is_done(self) -> bool:
        """Whether all is as wanted."""
        return not self.make and not self.end


class Refused(Struct, frozen=True):
    """A subscription that was not made, and why in Kick's words or those of the error."""

    wanted: Wanted
    error: str


class SubscriptionReport(Struct, frozen=True):
    """What came of a plan: what was `made` (by subscription id), `ended`, and `refused`."""

    plan: SubscriptionPlan
    made: Mapping[str, Wanted]
    ended: tuple[EventSubscription, ...]
    refused: tuple[Refused, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all is as wanted now."""
        return not self.refused


def wanted_of(events: Iterable[str], broadcaster_user_ids: Iterable[int]) -> frozenset[Wanted]:
    """Each of these events of each of these channels. Raises `InvalidInput` for what can be no id."""
    ids = [checked_id("broadcaster_user_ids", number) for number in broadcaster_user_ids]
    return frozenset(Wanted(number, str(event)) for event in events for number in ids)


def plan_subscriptions(
    there: Sequence[EventSubscription], wanted: Iterable[Wanted], *, ends_others: bool = True, is_verified: bool = False
) -> SubscriptionPlan:
    """What is to be done so that each of `wanted` is there once. Pure: look at it before anything is done.

    Of several for one event and channel, the oldest stays. With `ends_others=False`, what is not wanted stays, too.
    Raises `ConfigError` if more would be wanted than Kick allows: 10,000 of an event, 1,000 of chat unless the app
    `is_verified`.
    """
    missing = set(wanted)
    keep, end = list[EventSubscription](), list[EventSubscription]()
    seen: set[Wanted] = set()
    for subscription in sorted(there, key=_age):
        key = Wanted(subscription.broadcaster_user_id, str(subscription.event))
        is_usual = subscription.version in {None, VERSION}
        if key in seen or (ends_others and (key not in missing or not is_usual)):
            end.append(subscription)
        else:
            keep.append(subscription)
            if is_usual:
                seen.add(key)
    make = tuple(sorted(missing - seen))
    counts = _counted([str(subscription.event) for subscription in keep] + [one.event for one in make])
    for event, count in counts.items():
        cap = CHAT_CAP if event == EventName.CHAT_MESSAGE_SENT and not is_verified else CAP
        if count > cap:
            raise ConfigError(
                f"{count} subscriptions to {event} are wanted, and Kick allows {cap}"
                + (" for an app that is not verified (is_verified=True if it is)" if cap == CHAT_CAP else "")
                + "; nothing was changed"
            )
    return SubscriptionPlan(make, tuple(end), tuple(keep), counts)


def _age(subscription: EventSubscription) -> tuple[float, str]:
    return subscription.created_at.timestamp() if subscription.created_at else 0.0, subscription.id


def _counted(events: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for event in events:
        counts[event] = counts.get(event, 0) + 1
    return dict(sorted(counts.items()))


def keep_subscriptions(
    wanted: Iterable[Wanted], *, ends_others: bool = True, is_verified: bool = False
) -> Program[SubscriptionReport]:
    """Let exactly these subscriptions be there, each once, and tell what was done. Doing it again changes nothing.

    Looks first, makes what is missing, channel by channel, and only then ends what is too much. What Kick refuses for
    one event or one channel is in the report and holds up no other. `plan_subscriptions` tells beforehand what would be
    done.

    App token. Raises `ConfigError` if more are wanted than Kick allows, before anything is changed, and what looking
    raises: `HTTPError`, `NetworkError`, `TokenError`.
    Kick: GET, POST and DELETE /public/v1/events/subscriptions.
    """
    there = yield from fetch_events_subscriptions()
    plan = plan_subscriptions(there, wanted, ends_others=ends_others, is_verified=is_verified)
    made: dict[str, Wanted] = {}
    refused: list[Refused] = []
    for broadcaster in dict.fromkeys(one.broadcaster_user_id for one in plan.make):
        events = [one.event for one in plan.make if one.broadcaster_user_id == broadcaster]
        rows = yield from _made(events, broadcaster)
        for row in rows:
            one = Wanted(broadcaster, row.name)
            if row.subscription_id is not None and row.error is None:
                made[row.subscription_id] = one
            else:
                refused.append(Refused(one, row.error or "Kick gave no id"))
        told = {row.name for row in rows}
        refused += [
            Refused(Wanted(broadcaster, event), "Kick said nothing of it") for event in events if event not in told
        ]
    ended = yield from _ended(plan.end)
    return SubscriptionReport(plan, made, ended, tuple(refused))


def _made(events: list[str], broadcaster: int) -> Program[list[EventSubscribed]]:
    try:
        return (yield from subscribe_to_events(events, broadcaster))
    except (HTTPError, NetworkError) as error:
        # One channel that is gone shall not keep the others from their events.
        return [EventSubscribed(event, error=str(error)) for event in events]


def _ended(subscriptions: tuple[EventSubscription, ...]) -> Program[tuple[EventSubscription, ...]]:
    for first in range(0, len(subscriptions), BATCH):
        yield from unsubscribe_from_events([one.id for one in subscriptions[first : first + BATCH]])
    return subscriptions
