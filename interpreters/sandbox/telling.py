"""Who is told what: each happening once for every subscription to it. Pure, and a part of the world (`World.due`)."""

from collections.abc import Mapping

from msgspec import json
from msgspec.structs import replace

from interpreters.sandbox.world import Due, World
from kickcore.api.events import EventName

CLAIM = "drops.claim"
"""What the claim of a drop is called here. Kick gives it no name: it is told to an address of its own."""


def told(world: World, event: EventName, broadcaster_user_id: int, body: Mapping[str, object], at: float) -> World:
    """The world in which everybody is to be told what happened in a channel at `at`, if they subscribed to it."""
    wanted = [
        (held.client_id, held.id)
        for held in world.subscriptions.values()
        if held.event == event and held.broadcaster_user_id == broadcaster_user_id and held.deleted_at is None
    ]
    return _told(world, event.value, broadcaster_user_id, wanted, body, at)


def claim_told(world: World, body: Mapping[str, object], at: float) -> World:
    """The world in which every app of an organization is to be told of a claim. There is nothing to subscribe to."""
    wanted = [(app.client_id, "") for app in world.apps.values() if app.organization]
    return _told(world, CLAIM, 0, wanted, body, at)


def _told(
    world: World,
    event: str,
    broadcaster_user_id: int,
    wanted: list[tuple[str, str]],
    body: Mapping[str, object],
    at: float,
) -> World:
    if not wanted:
        return world
    octets = json.encode(body)
    due = tuple(
        Due(number, event, broadcaster_user_id, client_id, subscription_id, at, octets)
        for number, (client_id, subscription_id) in enumerate(wanted, world.told + 1)
    )
    return replace(world, due=(*world.due, *due), told=world.told + len(due))
