"""Deliveries: what is told, as it goes out, with the faults that `Rules.deliveries` asks for. Pure; nothing is signed.

Also what Kick does about receivers that fail.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, cast

from msgspec import Struct, json
from msgspec.structs import replace

from interpreters.sandbox.faults import extended
from interpreters.sandbox.minting import mint_ulid
from interpreters.sandbox.rules import DeliveryFaults
from interpreters.sandbox.telling import CLAIM
from interpreters.sandbox.wire import rfc3339
from interpreters.sandbox.world import Due, World
from kickcore.api.events import EventName

PATIENCE: Final = 86_400.0
"""Seconds for which a receiver may fail with an event; after them Kick ends the app's subscriptions to it."""
UNHEARD: Final = "channel.not.heard.of"
"""The event that `DeliveryFaults.unknown_type_every` makes up."""

_NULLED: Final = frozenset({"emotes", "identity", "is_verified", "replies_to"})


class Fault(StrEnum):
    """What is wrong with a delivery, or what it has beside a good one."""

    LATE = "late"
    DUPLICATE = "duplicate"
    DOUBLED = "doubled"
    FORGED = "forged"
    RELABELLED = "relabelled"
    UNKNOWN_TYPE = "unknown_type"


class Outgoing(Struct, frozen=True):
    """A delivery before it is signed. `type` and `subscription_id` go into headers; the claim of a drop has none.

    `timestamp` is in epoch seconds, of which the whole ones are signed; `fault` is None for what is as it should be.
    """

    event: str
    broadcaster_user_id: int
    client_id: str
    message_id: str
    timestamp: float
    body: bytes
    type: str = ""
    subscription_id: str = ""
    version: str = "1"
    fault: Fault | None = None

    @property
    def is_claim(self) -> bool:
        """Whether this is the claim of a drop, which goes to an address of its own."""
        return self.event == CLAIM

    @property
    def stamp(self) -> str:
        """The timestamp as it is signed."""
        return rfc3339(self.timestamp)

    @property
    def message(self) -> bytes:
        """What is signed: id, timestamp and body, joined by dots."""
        return b"%s.%s.%s" % (self.message_id.encode(), self.stamp.encode(), self.body)


def take(world: World, now: float) -> tuple[World, tuple[Outgoing, ...]]:
    """The world in which nothing is due, and what was, as it goes out at `now` (epoch seconds)."""
    faults = world.rules.deliveries
    left, world = world.due, replace(world, due=())
    prompt: list[Outgoing] = []
    late: list[Outgoing] = []
    for due in left:
        if _strikes(faults.drop_every, due):
            continue
        is_late = _strikes(faults.late_every, due)
        world, first = _first(world, due, now - faults.late_seconds if is_late else now)
        world, more = _beside(world, due, first)
        (late if is_late else prompt).extend((replace(first, fault=Fault.LATE) if is_late else first, *more))
    going = (*prompt, *late)
    return world, going[::-1] if faults.out_of_order else going


def _strikes(every: int | None, due: Due) -> bool:
    return every is not None and due.number % every == 0


def _first(world: World, due: Due, at: float) -> tuple[World, Outgoing]:
    world, message_id = mint_ulid(world, "delivery", at)
    outgoing = Outgoing(
        event=due.event,
        broadcaster_user_id=due.broadcaster_user_id,
        client_id=due.client_id,
        message_id=message_id,
        timestamp=at,
        body=_altered(due.body, world.rules.deliveries),
        type="" if due.event == CLAIM else due.event,
        subscription_id=due.subscription_id,
    )
    return world, outgoing


def _beside(world: World, due: Due, first: Outgoing) -> tuple[World, list[Outgoing]]:
    """What comes with a delivery that should not."""
    faults, more = world.rules.deliveries, list[Outgoing]()
    if _strikes(faults.duplicate_every, due):
        more.append(replace(first, fault=Fault.DUPLICATE))
    if _strikes(faults.forged_every, due):
        world, other = mint_ulid(world, "delivery", first.timestamp)
        more.append(replace(first, message_id=other, fault=Fault.FORGED))
    if first.is_claim:
        return world, more
    if _strikes(faults.doubled_every, due):
        world, other = mint_ulid(world, "delivery", first.timestamp)
        second = twin_of(first.subscription_id)
        more.append(replace(first, message_id=other, subscription_id=second, fault=Fault.DOUBLED))
    if _strikes(faults.relabelled_every, due):
        more.append(replace(first, type=another_than(first.event), fault=Fault.RELABELLED))
    if _strikes(faults.unknown_type_every, due):
        world, other = mint_ulid(world, "delivery", first.timestamp)
        body = unheard_of(first.body)
        more.append(replace(first, message_id=other, type=UNHEARD, body=body, fault=Fault.UNKNOWN_TYPE))
    return world, more


def twin_of(subscription_id: str) -> str:
    """The id of the second of two subscriptions to one thing; it is always the same for the first."""
    return subscription_id[:-1] + ("1" if subscription_id.endswith("0") else "0")


def another_than(event: str) -> str:
    """The name of an event whose body has other members."""
    chat, follow = EventName.CHAT_MESSAGE_SENT.value, EventName.CHANNEL_FOLLOWED.value
    return follow if event == chat else chat


def unheard_of(body: bytes) -> bytes:
    """A body that is no known event's, of the same channel as another body."""
    known: Any = json.decode(body)
    return json.encode({"broadcaster": known.get("broadcaster"), "not_heard_of_yet": {"of": ["any", "kind"]}})


def _altered(body: bytes, faults: DeliveryFaults) -> bytes:
    if not (faults.upper_category or faults.nulls or faults.extra_members):
        return body
    value = _changed(json.decode(body), faults)
    return json.encode(extended(value) if faults.extra_members else value)


def _changed(value: object, faults: DeliveryFaults) -> object:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {
            "Category" if faults.upper_category and name == "category" else name: None
            if faults.nulls and name in _NULLED
            else _changed(member, faults)
            for name, member in members.items()
        }
    if isinstance(value, list):
        return [_changed(item, faults) for item in cast("list[object]", value)]
    return value


def answered(world: World, outgoing: Outgoing, status: int, now: float) -> World:
    """The world in which a receiver has answered a delivery with `status` at `now`; 0 is no answer.

    Anything but 2xx has failed. When an app's receiver has failed with an event for more than a day, and not taken a
    single one of them meanwhile, Kick ends all subscriptions of the app to this event. What is not Kick's does not
    count: what is forged, or called another event.
    """
    if outgoing.fault in {Fault.FORGED, Fault.RELABELLED} or outgoing.is_claim:
        return world
    failing = (outgoing.client_id, outgoing.event)
    if 200 <= status < 300:
        return replace(world, failing=_without(world.failing, failing)) if failing in world.failing else world
    since = world.failing.get(failing)
    if since is None:
        return replace(world, failing={**world.failing, failing: now})
    return world if now - since <= PATIENCE else _unsubscribed(world, failing)


def _unsubscribed(world: World, failing: tuple[str, str]) -> World:
    left = {text: one for text, one in world.subscriptions.items() if (one.client_id, one.event) != failing}
    return replace(world, subscriptions=left, failing=_without(world.failing, failing))


def _without(held: Mapping[tuple[str, str], float], gone: tuple[str, str]) -> Mapping[tuple[str, str], float]:
    return {key: since for key, since in held.items() if key != gone}
