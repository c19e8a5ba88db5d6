"""How the tests of deliveries let things happen, and look at what is delivered."""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from interpreters.sandbox import (
    Ban,
    Delivery,
    DeliveryFaults,
    Reward,
    Sandbox,
    World,
    banning,
    following,
    gifting_kicks,
    gifting_subscriptions,
    going_live,
    redeemed,
    renewing,
    small_world,
    subscribing,
    with_reward,
    with_subscriptions,
)
from kickcore.webhooks import Delivery as Verified
from kickcore.webhooks import Rejected, verify

from .asking import NOW

CHANNEL: Final = 676
REWARD: Final = Reward("01KBHE7RZNHB0SKDV1H86CD4F3", CHANNEL, "Hydrate", 50, "sandbox-app")
CAMPAIGN: Final = "01JAXK8N4QWRTY5PM7ZEBVJDS8"

HAPPENINGS: Final[Mapping[str, Callable[[World], World]]] = {
    "channel.followed": lambda world: following(world, CHANNEL, 123, at=NOW),
    "channel.subscription.new": lambda world: subscribing(world, CHANNEL, 123, at=NOW),
    "channel.subscription.renewal": lambda world: renewing(world, CHANNEL, 123, 3, at=NOW),
    "channel.subscription.gifts": lambda world: gifting_subscriptions(world, CHANNEL, 123, [456, 789], at=NOW),
    "channel.reward.redemption.updated": lambda world: redeemed(
        with_reward(world, REWARD), REWARD.id, 123, "now", at=NOW
    ),
    "livestream.status.updated": lambda world: going_live(world, CHANNEL, at=NOW),
    "moderation.banned": lambda world: banning(world, Ban(CHANNEL, 456, CHANNEL, NOW, NOW + 60, "spam")),
    "kicks.gifted": lambda world: gifting_kicks(world, CHANNEL, 123, 500, "w", at=NOW),
}
"""What can happen without a request, by the event that tells of it. Chat and metadata have their calls."""


def subscribed(*events: str, faults: DeliveryFaults | None = None) -> Sandbox:
    """A Kick where the app has subscribed to events of one channel, or to all."""
    world = small_world(deliveries=faults or DeliveryFaults())
    return Sandbox(with_subscriptions(world, CHANNEL, *events, at=NOW), clock=lambda: NOW)


def happen(sandbox: Sandbox, *events: str) -> tuple[Delivery, ...]:
    """Let these things happen, and take what is delivered of them."""
    for event in events:
        sandbox.world = HAPPENINGS[event](sandbox.world)
    return sandbox.take_deliveries()


def checked(sandbox: Sandbox, delivery: Delivery, now: float = NOW) -> Verified | Rejected:
    """What a receiver makes of a delivery, who knows the sandbox's key."""
    return verify(delivery.headers, delivery.body, now, [sandbox.key.public_key])


def members(value: Any) -> object:
    """Names of members, of a list only its first item's."""
    match value:
        case dict():
            return {name: members(member) for name, member in cast("dict[str, Any]", value).items()}
        case list():
            return [members(item) for item in cast("list[Any]", value)[:1]]
        case _:
            return None
